//! Who belongs to the cluster, what each is, and where each is reached: what the log says, so that it is the same on every
//! replica and after every restart.
//!
//! ```text
//! voters, learners, outgoing voters, learners to be: each a count u32, then as many node ids u64
//! | joint configuration is left automatically u8 | ids used to u64 | seats u32
//! | a seat for each member, by id: node u64 | rank u16 | address_bytes u16 | address
//! ```
//! Little endian; this is the membership in a snapshot file. The first line, with the byte behind it, is what travels with an
//! offer of a snapshot as well.

use std::collections::{BTreeMap, BTreeSet};

use protocol::NodeId;
use raft::prelude::{ConfChangeV2, ConfState};

/// Members at once, those on their way in and out among them.
pub const MEMBERS_MAX: usize = 16;
/// Bytes of an address.
pub const ADDRESS_BYTES_MAX: usize = 255;

/// The membership of one cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Membership {
    conf_state: ConfState,
    /// No new node gets an id up to this one.
    ids_used_to: u64,
    /// One for each member.
    seats: BTreeMap<u64, Seat>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seat {
    /// How long it waits before it stands for election: no two members have the same.
    rank: u16,
    /// Where other nodes reach it, if it was added with an address.
    address: Option<String>,
}

impl Membership {
    /// Of a new cluster: the first of these is the likeliest leader.
    #[must_use]
    pub fn of_founders(founders: &[NodeId]) -> Self {
        let mut conf_state = ConfState::default();
        conf_state.set_voters(founders.iter().map(|founder| founder.0).collect());
        let mut membership = Self { conf_state, ..Self::default() };
        founders.iter().for_each(|founder| membership.seat(founder.0));
        membership
    }

    /// Whether `node` was a member and is none any more: it never comes back under its id.
    #[must_use]
    pub fn is_removed(&self, node: NodeId) -> bool {
        node.0 <= self.ids_used_to && !self.seats.contains_key(&node.0)
    }

    /// No new node gets an id up to this one.
    #[must_use]
    pub fn ids_used_to(&self) -> NodeId {
        NodeId(self.ids_used_to)
    }

    /// All members by id, each with its address if it was added with one.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, Option<&str>)> {
        self.seats.iter().map(|(node, seat)| (NodeId(*node), seat.address.as_deref()))
    }

    /// How late a member stands for election, from 0 on: no two members have the same rank.
    pub(crate) fn rank(&self, node: NodeId) -> Option<u16> {
        self.seats.get(&node.0).map(|seat| seat.rank)
    }

    pub(crate) fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    /// Whether nobody but `node` belongs to it.
    pub(crate) fn is_only(&self, node: NodeId) -> bool {
        self.seats.len() == 1 && self.seats.contains_key(&node.0)
    }

    /// Whether two configurations are in force at once.
    pub(crate) fn is_joint(&self) -> bool {
        !self.conf_state.voters_outgoing.is_empty()
    }

    /// Raft has come to `conf_state` by `change`.
    pub(crate) fn apply(&mut self, conf_state: ConfState, change: &ConfChangeV2) {
        let members = members_of(&conf_state);
        self.conf_state = sorted(conf_state);
        self.seats.retain(|node, _| members.contains(node));
        members.iter().for_each(|node| self.seat(*node));
        for (node, address) in read_addresses(&change.context).unwrap_or_default() {
            if let Some(seat) = self.seats.get_mut(&node.0) {
                seat.address = Some(address);
            }
        }
    }

    /// Gives a new member the lowest rank that no other one has.
    fn seat(&mut self, node: u64) {
        if self.seats.contains_key(&node) {
            return;
        }
        let is_free = |rank: &u16| self.seats.values().all(|seat| seat.rank != *rank);
        let rank = (0..=u16::MAX).find(is_free).unwrap_or(u16::MAX);
        self.seats.insert(node, Seat { rank, address: None });
        self.ids_used_to = self.ids_used_to.max(node);
    }

    /// As it stands in a snapshot file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = encode_conf_state(&self.conf_state);
        out.extend_from_slice(&self.ids_used_to.to_le_bytes());
        out.extend_from_slice(&count(self.seats.len()).to_le_bytes());
        for (node, Seat { rank, address }) in &self.seats {
            let address = address.as_deref().unwrap_or_default();
            out.extend_from_slice(&node.to_le_bytes());
            out.extend_from_slice(&rank.to_le_bytes());
            // An address has no more bytes than its limit.
            out.extend_from_slice(&u16::try_from(address.len()).unwrap_or(u16::MAX).to_le_bytes());
            out.extend_from_slice(address.as_bytes());
        }
        out
    }

    /// Reads it back. `None`: it is none, or contradicts itself.
    pub(crate) fn read(mut bytes: &[u8]) -> Option<Self> {
        let conf_state = take_conf_state(&mut bytes)?;
        let ids_used_to = u64::from_le_bytes(take(&mut bytes)?);
        let count = u32::from_le_bytes(take(&mut bytes)?);
        let mut seats = BTreeMap::new();
        for _ in 0..count {
            let node = u64::from_le_bytes(take(&mut bytes)?);
            let rank = u16::from_le_bytes(take(&mut bytes)?);
            let len = usize::from(u16::from_le_bytes(take(&mut bytes)?));
            let (address, rest) = bytes.split_at_checked(len)?;
            bytes = rest;
            let address = if len == 0 { None } else { Some(read_address(address)?) };
            let is_behind = seats.last_key_value().is_none_or(|(last, _)| *last < node);
            seats.insert(node, Seat { rank, address }).is_none().then_some(()).filter(|()| is_behind)?;
        }
        let ranks: BTreeSet<u16> = seats.values().map(|seat| seat.rank).collect();
        let is_whole = bytes.is_empty()
            && ranks.len() == seats.len()
            && seats.keys().copied().collect::<BTreeSet<_>>() == members_of(&conf_state)
            && seats.keys().all(|node| *node <= ids_used_to);
        is_whole.then_some(Self { conf_state, ids_used_to, seats })
    }
}

/// Everybody whom Raft counts or tells.
fn members_of(state: &ConfState) -> BTreeSet<u64> {
    let lists = [&state.voters, &state.learners, &state.voters_outgoing, &state.learners_next];
    lists.into_iter().flatten().copied().collect()
}

/// Whether `address` is of the form `host:port`, in printable characters and not too long.
#[must_use]
pub fn is_address(address: &str) -> bool {
    let parts = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    address.len() <= ADDRESS_BYTES_MAX
        && address.bytes().all(|byte| byte.is_ascii_graphic())
        && parts.is_some_and(|(_, port)| port.parse().is_ok_and(|port: u16| port != 0))
}

fn read_address(bytes: &[u8]) -> Option<String> {
    str::from_utf8(bytes).ok().filter(|address| is_address(address)).map(ToOwned::to_owned)
}

/// Addresses as a membership change carries them: for each node u64, bytes u8, the address.
pub(crate) fn write_address(node: NodeId, address: &str) -> Vec<u8> {
    let mut out = node.0.to_le_bytes().to_vec();
    out.push(u8::try_from(address.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(address.as_bytes());
    out
}

/// Reads them. `None`: they are none, or more than there can be members.
pub(crate) fn read_addresses(mut bytes: &[u8]) -> Option<Vec<(NodeId, String)>> {
    let mut addresses = Vec::new();
    while !bytes.is_empty() {
        let node = u64::from_le_bytes(take(&mut bytes)?);
        let [len] = take(&mut bytes)?;
        let (address, rest) = bytes.split_at_checked(usize::from(len))?;
        bytes = rest;
        addresses.push((NodeId(node), read_address(address)?));
    }
    (addresses.len() <= MEMBERS_MAX).then_some(addresses)
}

/// Membership as Raft knows it, for an offer of a snapshot.
pub(crate) fn encode_conf_state(state: &ConfState) -> Vec<u8> {
    let mut out = Vec::new();
    for list in [&state.voters, &state.learners, &state.voters_outgoing, &state.learners_next] {
        out.extend_from_slice(&count(list.len()).to_le_bytes());
        list.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    }
    out.push(u8::from(state.auto_leave));
    out
}

/// Raft's lists are in the order of a hash set, which depends on what a process has seen: snapshots are the same bytes everywhere.
fn sorted(mut state: ConfState) -> ConfState {
    for list in [&mut state.voters, &mut state.learners, &mut state.voters_outgoing, &mut state.learners_next]
    {
        list.sort_unstable();
    }
    state
}

pub(crate) fn decode_conf_state(mut bytes: &[u8]) -> Option<ConfState> {
    take_conf_state(&mut bytes).filter(|_| bytes.is_empty())
}

fn take_conf_state(bytes: &mut &[u8]) -> Option<ConfState> {
    let mut list = || {
        let len = usize::try_from(u32::from_le_bytes(take(bytes)?)).ok()?.checked_mul(8)?;
        let (ids, rest) = bytes.split_at_checked(len)?;
        *bytes = rest;
        let (ids, _) = ids.as_chunks::<8>();
        Some(ids.iter().map(|id| u64::from_le_bytes(*id)).collect::<Vec<u64>>())
    };
    let mut state = ConfState::default();
    state.set_voters(list()?);
    state.set_learners(list()?);
    state.set_voters_outgoing(list()?);
    state.set_learners_next(list()?);
    state.set_auto_leave(match take(bytes)? {
        [0] => false,
        [1] => true,
        _ => return None,
    });
    Some(state)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(voters: &[u64], learners: &[u64], outgoing: &[u64]) -> ConfState {
        let mut state = ConfState::default();
        state.set_voters(voters.to_vec());
        state.set_learners(learners.to_vec());
        state.set_voters_outgoing(outgoing.to_vec());
        state
    }

    fn addressed(node: u64, address: &str) -> ConfChangeV2 {
        let context = write_address(NodeId(node), address).into();
        ConfChangeV2 { context, ..ConfChangeV2::default() }
    }

    fn replaced() -> Membership {
        let mut membership = Membership::of_founders(&[3, 1, 2].map(NodeId));
        membership.apply(conf(&[1, 2, 3], &[7], &[]), &addressed(7, "node-7.example:9884"));
        membership
    }

    #[test]
    fn snapshots_say_the_same_in_whatever_order_raft_lists_the_members() {
        let (mut one, mut other) = (replaced(), replaced());
        one.apply(conf(&[4, 2, 3], &[7, 6], &[9, 8]), &ConfChangeV2::default());
        other.apply(conf(&[3, 4, 2], &[6, 7], &[8, 9]), &ConfChangeV2::default());
        assert_eq!(one.to_bytes(), other.to_bytes());
    }

    #[test]
    fn an_id_is_used_once_and_a_rank_by_one_member_at_a_time() {
        let mut membership = replaced();
        let ranks = |membership: &Membership| {
            membership.members().map(|(node, _)| membership.rank(node).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(ranks(&membership), [1, 2, 0, 3], "in the founders' order, and then behind them");
        assert_eq!(membership.ids_used_to(), NodeId(7));
        membership.apply(conf(&[2, 3, 7], &[], &[1, 2, 3]), &ConfChangeV2::default());
        assert!(membership.is_joint() && !membership.is_removed(NodeId(1)), "it still counts");
        membership.apply(conf(&[2, 3, 7], &[], &[]), &ConfChangeV2::default());
        assert!(membership.is_removed(NodeId(1)) && membership.is_removed(NodeId(5)));
        assert!(!membership.is_removed(NodeId(7)) && !membership.is_removed(NodeId(8)));
        membership.apply(conf(&[2, 3, 7], &[9], &[]), &addressed(9, "10.0.0.9:1"));
        assert_eq!(ranks(&membership), [2, 0, 3, 1], "the rank that has become free");
        let addresses: Vec<_> = membership.members().map(|(_, address)| address).collect();
        assert_eq!(addresses, [None, None, Some("node-7.example:9884"), Some("10.0.0.9:1")]);
    }

    #[test]
    fn it_is_read_as_it_was_written_and_nothing_else_is() {
        let mut joint = replaced();
        joint.apply(conf(&[2, 3, 7], &[], &[1, 2, 3]), &ConfChangeV2::default());
        for membership in [Membership::default(), replaced(), joint] {
            let bytes = membership.to_bytes();
            assert_eq!(Membership::read(&bytes), Some(membership));
            for len in 0..bytes.len() {
                assert_eq!(Membership::read(&bytes[..len]), None, "cut at {len}");
            }
            assert_eq!(Membership::read(&[&bytes[..], &[0]].concat()), None);
            // Every outcome is a membership that is written so, or none.
            for at in 0..bytes.len() {
                for value in [0, 1, 2, 8, 0x7F, 0xFF] {
                    let mut damaged = bytes.clone();
                    damaged[at] = value;
                    if let Some(read) = Membership::read(&damaged) {
                        assert_eq!(read.to_bytes(), damaged);
                    }
                }
            }
        }
        let mut huge = encode_conf_state(&conf(&[1], &[], &[]));
        huge[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode_conf_state(&huge), None);
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["a:1", "10.0.0.1:9884", "[fd00::1]:65535", "node-4.example.org:9884"] {
            assert!(is_address(good), "{good}");
            assert_eq!(read_addresses(&write_address(NodeId(4), good)).unwrap()[0].1, good);
        }
        let long = format!("{}:1", "a".repeat(254));
        for wrong in ["", ":1", "a", "a:", "a:0", "a:65536", "a b:1", "a:1\n", "\u{f6}:1", &long] {
            assert!(!is_address(wrong), "{wrong}");
            assert_eq!(read_addresses(&write_address(NodeId(4), wrong)), None, "{wrong}");
        }
        let many: Vec<u8> = (0..17).flat_map(|node| write_address(NodeId(node), "a:1")).collect();
        assert_eq!(read_addresses(&many), None);
    }
}
