//! Which nodes are peers: those in this node's own file, the members by the log, and who calls before the log has told of it.
//! Who was removed is none, whatever a file says.

use std::collections::{BTreeMap, BTreeSet};

use protocol::time::NANOS_PER_SECOND;
use protocol::{MonoNanos, NodeId};
use replicas::Membership;

use super::{PeerAddress, Peers};

/// Peers at once that are no members by the log.
pub(super) const STRANGERS_MAX: usize = 8;
/// After so long a peer that is still no member is forgotten. Where it goes on calling, it is called back again.
pub(super) const STRANGER_NANOS: u64 = 60 * NANOS_PER_SECOND;

/// Who is a peer although the log says nothing of it.
#[derive(Default)]
pub(super) struct Roster {
    /// In this node's own file, whose word on addresses counts for itself.
    configured: BTreeSet<NodeId>,
    /// Peers because they called, and since when.
    strangers: BTreeMap<NodeId, MonoNanos>,
}

impl Roster {
    /// With the nodes in this node's own file.
    pub(super) fn of_file(configured: impl Iterator<Item = NodeId>) -> Self {
        Self { configured: configured.collect(), ..Self::default() }
    }
}

impl Peers {
    /// Ends the connections with those who were removed, and makes those with new members.
    pub(crate) fn follow(&mut self, membership: &Membership) {
        *self.endpoints.membership() = membership.clone();
        let known: Vec<NodeId> = self.peers.iter().map(|peer| peer.slot.node).collect();
        for node in known.into_iter().filter(|node| membership.is_removed(*node)) {
            tracing::info!(peer = node.0, "removed from the cluster");
            self.remove(node);
        }
        let is_stranger = |node| membership.members().all(|(member, _)| member != node);
        self.roster.strangers.retain(|node, _| is_stranger(*node) && !membership.is_removed(*node));
        self.meet_members(membership.members());
    }

    /// Makes connections with new members, whose addresses the log has.
    pub(crate) fn meet_members<'a>(&mut self, members: impl Iterator<Item = (NodeId, Option<&'a str>)>) {
        for (node, address) in members {
            if let Some(address) = address.filter(|_| !self.roster.configured.contains(&node)) {
                self.meet(PeerAddress { id: node, address: address.to_owned() });
            }
        }
    }

    /// Calls those back who have called and may be members, although the log says nothing of them yet: it could be they who have
    /// the rest of it. They are few, and not for ever: any node with a certificate of the authority may call.
    pub(crate) fn call_back(&mut self, now: MonoNanos) {
        let is_due = |since: &MonoNanos| now.since(*since) >= STRANGER_NANOS;
        let due = self.roster.strangers.extract_if(.., |_, since| is_due(since));
        for (node, _) in due.collect::<Vec<_>>() {
            tracing::info!(peer = node.0, "is still no member, and forgotten until it calls again");
            self.remove(node);
        }
        for (id, address) in self.endpoints.take_callers() {
            let (is_member, is_removed) = {
                let membership = self.endpoints.membership();
                (membership.members().any(|(member, _)| member == id), membership.is_removed(id))
            };
            let has_place = is_member || self.roster.strangers.len() < STRANGERS_MAX;
            if is_removed || !has_place || self.peer(id).is_some() {
                continue;
            }
            if !is_member {
                self.roster.strangers.insert(id, now);
            }
            self.meet(PeerAddress { id, address: address.to_string() });
        }
    }

    fn meet(&mut self, peer: PeerAddress) {
        let id = peer.id.0;
        if let Err(fault) = self.add(peer) {
            tracing::error!(%fault, peer = id, "cannot be called");
        }
    }
}
