//! Connections of gateway processes, between the transport and [`Links`], which decides.

use std::collections::BTreeMap;

use journal::FileDisk;
use protocol::MonoNanos;
use replicas::Replica;
use replicas::links::{LinkId, Links};

use crate::peers::{GatewayLine, Peers};

/// Messages that are taken in one turn. What is sent in one, [`Links`] bounds.
const MESSAGES_PER_TURN: usize = 256;

/// All of them.
#[derive(Default)]
pub(crate) struct GatewayLines {
    links: Links,
    lines: BTreeMap<LinkId, GatewayLine>,
    next: u64,
    /// Who is first in this turn, so that none waits for ever behind others.
    turn: LinkId,
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
        let mut left = MESSAGES_PER_TURN;
        for link in self.in_turn() {
            let Some(line) = self.lines.get_mut(&link) else { continue };
            while left > 0 && self.links.wants(link) {
                match line.receive() {
                    Ok(Some(bytes)) => {
                        worked = true;
                        left -= 1;
                        if let Err(fault) = self.links.receive(link, &bytes, now, replica) {
                            tracing::warn!(gateway = line.gateway.0, %fault, "a gateway breaks the protocol");
                            lost.push(link);
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(_) => {
                        tracing::info!(gateway = line.gateway.0, "the connection of a gateway has ended");
                        lost.push(link);
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

    /// Sends what there is to be told and room for. Returns whether there is more, for which the turn has no room.
    pub(crate) fn tell(&mut self, replica: &mut Replica<FileDisk>) -> bool {
        let mut done = Vec::new();
        for link in self.in_turn() {
            let Some(line) = self.lines.get(&link) else { continue };
            while let Some(room) = line.room()
                && let Some(bytes) = self.links.next_message(link, replica)
            {
                room.send(bytes);
            }
            if self.links.should_close(link) {
                done.push(link);
            }
        }
        for link in done {
            self.close(link);
        }
        let first = self.in_turn().first().copied().unwrap_or_default();
        self.turn = LinkId(first.0 + 1);
        self.links.is_held_back()
    }

    /// All connections, whose turn it is first.
    fn in_turn(&self) -> Vec<LinkId> {
        let (from, to) = (self.lines.range(self.turn..), self.lines.range(..self.turn));
        from.chain(to).map(|(link, _)| *link).collect()
    }

    fn close(&mut self, link: LinkId) {
        self.links.disconnect(link);
        self.lines.remove(&link);
    }
}
