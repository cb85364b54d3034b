//! Connections of gateway processes, between the transport and [`Links`], which decides.

use std::collections::BTreeMap;

use journal::FileDisk;
use protocol::MonoNanos;
use replicas::Replica;
use replicas::links::{LinkId, Links};

use crate::peers::{GatewayLine, Peers};

/// Messages that are taken from one gateway in one turn, and sent to one.
const MESSAGES_PER_TURN: usize = 256;

/// All of them.
#[derive(Default)]
pub(crate) struct GatewayLines {
    links: Links,
    lines: BTreeMap<LinkId, GatewayLine>,
    next: u64,
}

impl GatewayLines {
    /// Takes new connections, and what came on those that are there. Returns whether there was anything.
    pub(crate) fn hear(
        &mut self,
        now: MonoNanos,
        peers: &mut Peers,
        replica: &mut Replica<FileDisk>,
    ) -> bool {
        let mut worked = false;
        while let Some(line) = peers.next_gateway() {
            let link = LinkId(self.next);
            self.next += 1;
            tracing::info!(gateway = line.gateway.0, "a gateway has connected");
            self.links.connect(link, line.gateway, now);
            self.lines.insert(link, line);
            worked = true;
        }
        let mut lost = Vec::new();
        for (link, line) in &mut self.lines {
            for _ in 0..MESSAGES_PER_TURN {
                if !self.links.wants(*link) {
                    break;
                }
                match line.receive() {
                    Ok(Some(bytes)) => {
                        worked = true;
                        if let Err(fault) = self.links.receive(*link, &bytes, now, replica) {
                            tracing::warn!(gateway = line.gateway.0, %fault, "a gateway breaks the protocol");
                            lost.push(*link);
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(_) => {
                        tracing::info!(gateway = line.gateway.0, "the connection of a gateway has ended");
                        lost.push(*link);
                        break;
                    }
                }
            }
        }
        for link in lost {
            self.close(link);
        }
        worked
    }

    /// Does what follows from the replica's step.
    pub(crate) fn step(&mut self, now: MonoNanos, replica: &mut Replica<FileDisk>) -> bool {
        let ended = self.links.leases_ended;
        let worked = self.links.step(now, replica);
        if self.links.leases_ended != ended {
            tracing::warn!("a gateway has not been heard for too long: its sessions are taken down");
        }
        worked
    }

    /// Sends what there is to be told and room for.
    pub(crate) fn tell(&mut self, replica: &mut Replica<FileDisk>) {
        let mut done = Vec::new();
        for (link, line) in &mut self.lines {
            for _ in 0..MESSAGES_PER_TURN {
                let Some(room) = line.room() else { break };
                let Some(bytes) = self.links.next_message(*link, replica) else { break };
                room.send(bytes);
            }
            if self.links.should_close(*link) {
                done.push(*link);
            }
        }
        for link in done {
            self.close(link);
        }
    }

    fn close(&mut self, link: LinkId) {
        self.links.disconnect(link);
        self.lines.remove(&link);
    }
}
