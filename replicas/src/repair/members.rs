//! Whom a damaged replica can ask: those its caller names, and the members by what is durable here. A log tells of members that no
//! file names; what is lost of it comes back in the course of the repair, and with it who was added last.

use std::collections::BTreeMap;

use bytes::Bytes;
use journal::{Damaged, Disk, Identity, snapshot_file};
use protocol::frame::{Frame, FrameKind};
use protocol::{Index, NodeId};
use raft::prelude::{ConfChangeType, ConfChangeV2};

use super::Repair;
use crate::StartFault;
use crate::log::frame_entry;
use crate::membership::{MEMBERS_MAX, Membership, read_addresses};

/// Bytes of entries that are looked through at once.
const LOOK_BYTES: usize = 1 << 20;
/// Others at once, those among them that are no members.
const KNOWN_MAX: usize = 2 * MEMBERS_MAX;

/// The others that are known, each with the address that the log has of it.
pub(super) struct Known {
    us: NodeId,
    others: BTreeMap<NodeId, Option<String>>,
}

impl Known {
    /// By the caller's word, the newest snapshot with a whole header, and the entries behind it.
    pub(super) fn of<D: Disk>(named: Vec<NodeId>, damaged: &mut Damaged<D>) -> Result<Self, StartFault> {
        let Identity { node: us, .. } = damaged.identity();
        let mut known = Self { us, others: BTreeMap::new() };
        named.into_iter().for_each(|node| known.add(node, None));
        let mut from = damaged.first_index();
        let owner = damaged.identity();
        for kept in snapshot_file::kept(damaged.disk_mut(), &owner)? {
            let Ok((header, _)) = snapshot_file::peek(damaged.disk_mut(), &kept.file) else { continue };
            let Some(membership) = Membership::read(&header.conf_state) else { continue };
            known.take_membership(&membership);
            from = from.max(header.index.next());
            break;
        }
        let (last, commit) = (damaged.log_end().last_index, damaged.commit());
        while from <= last {
            let entries = damaged.readable().entries(from, last.next(), LOOK_BYTES)?;
            from = Index(from.0 + entries.len() as u64);
            entries.iter().for_each(|entry| known.take_entry(entry, commit));
        }
        Ok(known)
    }

    pub(super) fn take_membership(&mut self, membership: &Membership) {
        self.others.retain(|node, _| !membership.is_removed(*node));
        membership.members().for_each(|(node, address)| self.add(node, address));
    }

    /// Takes what an entry says of members. Who was removed is asked until that is known to be `commit`ted: it may have what nobody
    /// else has.
    pub(super) fn take_entry(&mut self, entry: &[u8], commit: Index) {
        let is_change = |frame: &Frame<'_>| frame.header.kind == FrameKind::Conf;
        let Some(index) = Frame::read(entry).ok().filter(is_change).map(|frame| frame.header.index) else {
            return;
        };
        let Some(entry) = frame_entry(Bytes::copy_from_slice(entry)) else { return };
        let Ok(change) = <ConfChangeV2 as protobuf::Message>::parse_from_bytes(&entry.data) else { return };
        let addresses = read_addresses(&change.context).unwrap_or_default();
        let address = |node: NodeId| addresses.iter().find(|(of, _)| *of == node).map(|(_, at)| at.as_str());
        for single in &change.changes {
            let node = NodeId(single.node_id);
            match single.get_change_type() {
                ConfChangeType::RemoveNode if index <= commit => drop(self.others.remove(&node)),
                ConfChangeType::RemoveNode => {}
                ConfChangeType::AddNode | ConfChangeType::AddLearnerNode => self.add(node, address(node)),
            }
        }
    }

    fn add(&mut self, node: NodeId, address: Option<&str>) {
        if node == self.us || (self.others.len() >= KNOWN_MAX && !self.others.contains_key(&node)) {
            return;
        }
        let known = self.others.entry(node).or_default();
        if let Some(address) = address {
            *known = Some(address.to_owned());
        }
    }

    pub(super) fn contains(&self, node: NodeId) -> bool {
        self.others.contains_key(&node)
    }

    pub(super) fn count(&self) -> usize {
        self.others.len()
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.others.keys().copied().collect()
    }
}

impl<D: Disk> Repair<D> {
    /// The others that are asked, each with the address that it was added with: for whoever connects to them. It changes as entries
    /// come.
    pub fn others(&self) -> impl Iterator<Item = (NodeId, Option<&str>)> {
        self.known.others.iter().map(|(node, address)| (*node, address.as_deref()))
    }
}
