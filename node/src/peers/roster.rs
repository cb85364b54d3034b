//! Which nodes are peers: those in this node's own file, the members by the log, and who calls before the log has told of it.
//! Who was removed is none, whatever a file says.

use protocol::NodeId;
use replicas::Membership;

use super::{PeerAddress, Peers};

/// Peers at once, those among them that are no members.
const PEERS_MAX: usize = 2 * replicas::MEMBERS_MAX;

impl Peers {
    /// Ends the connections with those who were removed, and makes those with new members.
    pub(crate) fn follow(&mut self, membership: &Membership) {
        self.endpoints.set_ids_used_to(membership.ids_used_to());
        let known: Vec<NodeId> = self.peers.iter().map(|peer| peer.slot.node).collect();
        for node in known.into_iter().filter(|node| membership.is_removed(*node)) {
            tracing::info!(peer = node.0, "removed from the cluster");
            self.remove(node);
        }
        self.meet_members(membership.members());
    }

    /// Makes connections with new members, whose addresses the log has.
    pub(crate) fn meet_members<'a>(&mut self, members: impl Iterator<Item = (NodeId, Option<&'a str>)>) {
        for (node, address) in members {
            if let Some(address) = address.filter(|_| !self.configured.contains(&node)) {
                self.meet(PeerAddress { id: node, address: address.to_owned() });
            }
        }
    }

    /// Calls those back who have called and may be members, although the log says nothing of them yet: it could be they who have
    /// the rest of it.
    pub(crate) fn call_back(&mut self) {
        for (id, address) in self.endpoints.take_callers() {
            let is_new = self.peer(id).is_none() && !self.endpoints.was_removed(id);
            if is_new && self.peers.len() < PEERS_MAX {
                self.meet(PeerAddress { id, address: address.to_string() });
            }
        }
    }

    fn meet(&mut self, peer: PeerAddress) {
        let id = peer.id.0;
        if let Err(fault) = self.add(peer) {
            tracing::error!(%fault, peer = id, "cannot be called");
        }
    }
}
