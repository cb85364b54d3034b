//! Several replicas on real disks, their messages carried as bytes: a quorum, its leader's end, members that come and go.

use std::collections::BTreeMap;
use std::path::PathBuf;

use journal::snapshot_file::SnapshotFault;
use journal::{Founders, Identity};
use protocol::event::Event;
use protocol::{Index, MonoNanos, NodeId, UnixNanos};
use replicas::{
    ClusterRefusal, MemberChange, MemberRole, Now, Options, Outbound, ReceiveFault, Repair, RepairRow,
    RepairWait, Replica, ReplicaFault, Role, SkipNotProposed, SnapshotPolicy, StartFault, Status, Timing,
};

use super::crashing::Crashing;
use super::{IDENTITY, define_assets, folder, genesis, journal_options, open_disk, replies, skip};

/// A cluster in one thread; a replica that is not there is down.
pub(crate) struct Cluster {
    name: &'static str,
    /// Of the folders to be made, and who is asked in a repair.
    pub(crate) founders: Founders,
    pub(crate) options: Options,
    pub(crate) journal: journal::Options,
    pub(crate) running: BTreeMap<u64, Replica<Crashing>>,
    /// Handles for snapshots.
    pub(crate) besides: BTreeMap<u64, Crashing>,
    pub(crate) events: BTreeMap<u64, Vec<Event>>,
    /// Those that ended by themselves because they had gone wrong.
    pub(crate) ended: BTreeMap<u64, ReplicaFault>,
    pub(crate) millis: u64,
    /// Messages of who is no member, which nobody takes.
    pub(crate) refused: usize,
    /// What the network makes of a message: none where it is lost.
    pub(crate) network: fn(u64, NodeId, Outbound) -> Option<Outbound>,
    /// Messages arrive twice, the second time a little later.
    pub(crate) doubles: bool,
    late: Vec<(u64, NodeId, Outbound)>,
    /// Replicas whose logs are damaged.
    pub(crate) repairing: BTreeMap<u64, Repair<Crashing>>,
    /// By which rows they were repaired.
    pub(crate) rows: Vec<(u64, RepairRow)>,
    /// How far the wall clocks of replicas are ahead of the truth.
    pub(crate) ahead_ms: BTreeMap<u64, i64>,
    /// Where their logs ended before they took part again.
    pub(crate) repaired_to: BTreeMap<u64, Index>,
}

pub(crate) fn cluster_folder(name: &str, node: u64) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{node}"))
}

pub(crate) fn cluster_options() -> Options {
    Options { timing: Timing::LAN, snapshots: SnapshotPolicy::default(), genesis: genesis() }
}

/// A node of a cluster that 1, 2 and 3 found.
pub(crate) fn identity_of(node: u64) -> Identity {
    let founders = Founders::new(&[1, 2, 3].map(NodeId)).unwrap();
    Identity { node: NodeId(node), founders, ..IDENTITY }
}

fn at(millis: u64) -> Now {
    Now { mono: MonoNanos(millis * 1_000_000), wall: UnixNanos(millis * 1_000_000) }
}

impl Cluster {
    /// Of the three founders, nobody is there yet.
    pub(crate) fn empty(name: &'static str) -> Self {
        Self::founded(name, identity_of(1).founders, cluster_options())
    }

    /// Of the three founders, these are there.
    pub(crate) fn new(name: &'static str, nodes: &[u64]) -> Self {
        let mut cluster = Self::empty(name);
        nodes.iter().for_each(|node| cluster.create(*node));
        cluster
    }

    /// These nodes found it, and all of them are there.
    pub(crate) fn with_options(name: &'static str, nodes: &[u64], options: Options) -> Self {
        let founders: Vec<NodeId> = nodes.iter().copied().map(NodeId).collect();
        let mut cluster = Self::founded(name, Founders::new(&founders).unwrap(), options);
        nodes.iter().for_each(|node| cluster.create(*node));
        cluster
    }

    fn founded(name: &'static str, founders: Founders, options: Options) -> Self {
        Self {
            name,
            founders,
            options,
            journal: journal_options(),
            running: BTreeMap::new(),
            besides: BTreeMap::new(),
            events: BTreeMap::new(),
            ended: BTreeMap::new(),
            millis: 1_000,
            refused: 0,
            network: |_, _, outbound| Some(outbound),
            doubles: false,
            late: Vec::new(),
            repairing: BTreeMap::new(),
            rows: Vec::new(),
            ahead_ms: BTreeMap::new(),
            repaired_to: BTreeMap::new(),
        }
    }

    pub(crate) fn folder(&self, node: u64) -> PathBuf {
        cluster_folder(self.name, node)
    }

    pub(crate) fn create(&mut self, node: u64) {
        let disk = Crashing::new(open_disk(&folder(&format!("{}-{node}", self.name))), u64::MAX);
        let identity = Identity { founders: self.founders, ..identity_of(node) };
        self.besides.insert(node, disk.beside());
        let replica = Replica::create(disk.beside(), disk, identity, self.journal, &self.options).unwrap();
        self.running.insert(node, replica);
    }

    pub(crate) fn open(&mut self, node: u64) {
        self.open_for(node, u64::MAX).unwrap();
    }

    /// Starts `node` on a disk that fails after so many operations.
    pub(crate) fn open_for(&mut self, node: u64, operations: u64) -> Result<(), StartFault> {
        let disk = Crashing::new(open_disk(&self.folder(node)), operations);
        let beside = disk.beside();
        let replica = Replica::open(disk.beside(), disk, self.journal, &self.options)?;
        self.besides.insert(node, beside);
        self.running.insert(node, replica);
        Ok(())
    }

    pub(crate) fn open_or_repair(&mut self, node: u64) -> Result<(), StartFault> {
        self.open_or_repair_for(node, u64::MAX)
    }

    /// Starts `node`, whose log may be damaged.
    pub(crate) fn open_or_repair_for(&mut self, node: u64, operations: u64) -> Result<(), StartFault> {
        let disk = Crashing::new(open_disk(&self.folder(node)), operations);
        let beside = disk.beside();
        match Replica::open(disk.beside(), disk.beside(), self.journal, &self.options) {
            Ok(replica) => drop(self.running.insert(node, replica)),
            Err(fault) if fault.is_damage() => {
                self.repair(node, disk)?;
            }
            Err(fault) => return Err(fault),
        }
        self.besides.insert(node, beside);
        Ok(())
    }

    /// Repairs `node` with those whom a file names, which are the founders.
    fn repair(&mut self, node: u64, disk: Crashing) -> Result<(), StartFault> {
        let peers = self.founders.nodes().iter().copied().filter(|voter| voter.0 != node).collect();
        let repair = Repair::open(disk, self.journal, Timing::LAN, peers)?;
        self.repairing.insert(node, repair);
        Ok(())
    }

    /// Damaged replicas take a turn; who is whole again is opened.
    fn step_repairs(&mut self, sent: &mut Vec<(NodeId, Outbound)>, ended: &mut Vec<u64>) {
        let mut done = Vec::new();
        for (node, repair) in &mut self.repairing {
            let now = at(self.millis).mono;
            // As with the others: to the clock every write takes less than a millisecond.
            loop {
                let worked = repair.step(now);
                let outbound = repair.take_outbound();
                assert!(outbound.iter().all(|outbound| outbound.bytes[1] >= 64), "nothing of Raft");
                sent.extend(outbound.into_iter().map(|outbound| (NodeId(*node), outbound)));
                match worked {
                    Ok(_) if repair.is_writing() && repair.status().wait != RepairWait::Room => {
                        std::thread::yield_now();
                    }
                    Ok(_) => break,
                    Err(fault) => {
                        assert!(self.besides[node].has_failed(), "{fault}");
                        ended.push(*node);
                        break;
                    }
                }
            }
            if let Some((row, _)) = repair.status().row
                && self.rows.last() != Some(&(*node, row))
            {
                self.rows.push((*node, row));
            }
            if repair.is_done() {
                done.push(*node);
            }
        }
        for node in done {
            let Some(repair) = self.repairing.remove(&node) else { continue };
            self.repaired_to.insert(node, repair.status().log.last_index);
            let disk = repair.into_disk();
            match Replica::open(disk.beside(), disk.beside(), self.journal, &self.options) {
                Ok(replica) => drop(self.running.insert(node, replica)),
                // Entries first, then the state.
                Err(fault) if fault.is_damage() && !disk.has_failed() => {
                    self.repair(node, disk).unwrap();
                }
                Err(fault) => {
                    assert!(self.besides[&node].has_failed(), "{fault}");
                    ended.push(node);
                }
            }
        }
    }

    /// The process of `node` ends.
    pub(crate) fn stop(&mut self, node: u64) {
        drop(self.repairing.remove(&node));
        drop(self.running.remove(&node));
        drop(self.besides.remove(&node));
    }

    /// Everybody takes a snapshot behind everything that is applied now; behind which entry.
    pub(crate) fn snapshot(&mut self) -> Index {
        let all: Vec<u64> = self.running.keys().copied().collect();
        self.snapshot_of(&all)
    }

    /// As [`Self::snapshot`]; the disks of others have no room for it.
    pub(crate) fn snapshot_of(&mut self, nodes: &[u64]) -> Index {
        // What is due already lies further back.
        self.fail_snapshots(|_| true);
        // Further apart than any policy wants them.
        self.millis += 2_000;
        let mut missing = nodes.to_vec();
        while !missing.is_empty() {
            self.tick();
            missing.retain(|node| {
                // One that has gone wrong ends.
                let Some(replica) = self.running.get_mut(node) else { return false };
                let Some(job) = replica.begin_snapshot() else { return true };
                replica.end_snapshot(job.write(self.besides.get_mut(node).unwrap()));
                assert_eq!(replica.status().snapshot_fault, None);
                false
            });
            self.fail_snapshots(|node| !nodes.contains(&node));
        }
        self.running[&nodes[0]].status().snapshot_index.unwrap()
    }

    fn fail_snapshots(&mut self, of: impl Fn(u64) -> bool) {
        for (_, replica) in self.running.iter_mut().filter(|(node, _)| of(**node)) {
            if replica.begin_snapshot().is_some() {
                replica.end_snapshot(Err(SnapshotFault::ReadBack));
            }
        }
    }

    /// A millisecond for everybody: each takes a turn, and what was sent arrives. A process whose disk fails ends.
    pub(crate) fn tick(&mut self) {
        self.millis += 1;
        let (mut sent, mut ended) = (Vec::new(), Vec::new());
        for (node, replica) in &mut self.running {
            let ahead_ms = self.ahead_ms.get(node).copied().unwrap_or(0);
            let now = Now { wall: at(self.millis.saturating_add_signed(ahead_ms)).wall, ..at(self.millis) };
            if let Err(fault) = replica.step(now, self.events.entry(*node).or_default()) {
                let is_wrong = matches!(fault, ReplicaFault::Quarantined { .. } | ReplicaFault::Read(_));
                assert!(is_wrong || self.besides[node].has_failed(), "{fault}");
                ended.push(*node);
                if is_wrong {
                    self.ended.insert(*node, fault);
                }
                continue;
            }
            // The clock is not the disk's: to it every write takes less than a millisecond.
            while replica.status().writing_since.is_some() && !self.besides[node].hangs() {
                std::thread::yield_now();
                if let Err(fault) = replica.step(now, self.events.entry(*node).or_default()) {
                    let is_wrong = matches!(fault, ReplicaFault::Quarantined { .. });
                    assert!(is_wrong || self.besides[node].has_failed(), "{fault}");
                    ended.push(*node);
                    if is_wrong {
                        self.ended.insert(*node, fault);
                    }
                    break;
                }
            }
            if ended.contains(node) {
                continue;
            }
            sent.extend(replica.take_outbound().into_iter().map(|outbound| (NodeId(*node), outbound)));
        }
        self.step_repairs(&mut sent, &mut ended);
        ended.into_iter().for_each(|node| self.stop(node));
        let late = self.late.extract_if(.., |(at, ..)| *at <= self.millis);
        let late: Vec<_> = late.map(|(_, from, outbound)| (from, outbound)).collect();
        let on_time = sent.into_iter().filter_map(|(from, outbound)| {
            (self.network)(self.millis, from, outbound).map(|outbound| (from, outbound))
        });
        let on_time: Vec<_> = on_time.collect();
        if self.doubles {
            let later = |(from, outbound): &(NodeId, Outbound)| (self.millis + 40, *from, outbound.clone());
            self.late.extend(on_time.iter().map(later));
        }
        for (from, outbound) in late.into_iter().chain(on_time) {
            if let Some(repair) = self.repairing.get_mut(&outbound.to.0) {
                // What was damaged on the way is refused.
                repair.receive_from(from, &outbound.bytes).ok();
            }
            if let Some(replica) = self.running.get_mut(&outbound.to.0) {
                match replica.receive_from(from, &outbound.bytes) {
                    Ok(()) | Err(ReceiveFault::Message(_)) => {}
                    Err(ReceiveFault::Removed(_) | ReceiveFault::Stranger(_)) => self.refused += 1,
                    Err(fault) => panic!("{fault}"),
                }
            }
        }
    }

    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = self.millis + 60_000;
        while !done(self) {
            assert!(self.millis < deadline, "{what}: {:#?}", self.statuses());
            self.tick();
        }
    }

    pub(crate) fn statuses(&self) -> Vec<Status> {
        self.running.values().map(Replica::status).collect()
    }

    pub(crate) fn serving(&self) -> Option<u64> {
        self.running.iter().find(|(_, replica)| replica.serving()).map(|(node, _)| *node)
    }

    /// Waits for a leader that serves.
    pub(crate) fn leader(&mut self) -> u64 {
        self.until("a leader", |cluster| cluster.serving().is_some());
        self.serving().unwrap()
    }

    /// The leader takes these definitions, and acknowledges them.
    pub(crate) fn define(&mut self, from: u32, to: u32) {
        let leader = self.leader();
        self.events.clear();
        define_assets(self.running.get_mut(&leader).unwrap(), from, to);
        let expected = usize::try_from(to - from + 1).unwrap();
        self.until("replies", |c| c.events.get(&leader).is_some_and(|events| replies(events) == expected));
        for (node, events) in &self.events {
            assert!(*node == leader || events.is_empty(), "a follower tells nobody");
        }
    }

    /// The same where the numbers of assets are further on, and replies are not counted from the beginning.
    pub(crate) fn define_further(&mut self, from: u32, to: u32) {
        let known = |replica: &Replica<Crashing>| replica.engine().definitions().len();
        let leader = self.leader();
        let expected = known(&self.running[&leader]) + usize::try_from(to - from + 1).unwrap();
        let done = |cluster: &Self| cluster.running.values().all(|replica| known(replica) == expected);
        for _ in 0..60 {
            // What a leader has taken and not proposed when it loses the lead is gone, and is submitted again.
            let leader = self.leader();
            define_assets(self.running.get_mut(&leader).unwrap(), from, to);
            for _ in 0..1_000 {
                if done(self) {
                    return;
                }
                self.tick();
            }
        }
        let found: Vec<usize> = self.running.values().map(known).collect();
        panic!("{found:?} and not {expected} definitions are known: {:#?}", self.statuses());
    }

    /// Everybody who runs comes to the same state.
    pub(crate) fn agree(&mut self, definitions: usize) {
        self.until("agreement", |cluster| {
            let statuses = cluster.statuses();
            statuses.iter().all(|status| status.seq_applied == statuses[0].seq_applied)
                && cluster.running.values().all(|r| r.engine().definitions().len() == definitions + 1)
        });
        let hashes: Vec<_> =
            self.running.values().map(|r| (r.status().effect_hash, r.engine().state_hash())).collect();
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    }
}

#[test]
fn three_replicas_agree_and_go_on_when_the_leader_ends() {
    let mut cluster = Cluster::new("three", &[1, 2, 3]);
    assert_eq!(cluster.leader(), 1, "the first of the voters stands first");
    cluster.define(1, 500);
    cluster.agree(500);

    cluster.stop(1);
    let second = cluster.leader();
    assert_eq!(second, 2, "the second rank stands before the third");
    cluster.define(501, 700);
    cluster.agree(700);

    cluster.open(1);
    cluster.agree(700);
    assert_eq!(cluster.serving(), Some(2), "who comes back takes no lead away");
    // Without a quorum nothing is acknowledged, and after a while nobody leads.
    cluster.stop(1);
    cluster.stop(3);
    cluster.until("a step down", |cluster| cluster.serving().is_none());
    assert!(cluster.statuses().iter().all(|status| status.role != Role::Leader));
    cluster.open(3);
    cluster.define(701, 702);
    cluster.open(1);
    cluster.agree(702);
}

#[test]
fn the_lead_moves_when_it_is_asked_to() {
    let mut cluster = Cluster::new("transfer", &[1, 2, 3]);
    assert_eq!(cluster.leader(), 1);
    cluster.define(1, 100);
    let lead =
        |cluster: &mut Cluster, node: u64| cluster.running.get_mut(&node).unwrap().transfer_leader(NodeId(3));
    assert_eq!(lead(&mut cluster, 2), Err(ClusterRefusal::NotLeader(Some(NodeId(1)))));
    let leader = cluster.running.get_mut(&1).unwrap();
    assert_eq!(leader.transfer_leader(NodeId(1)), Err(ClusterRefusal::NotAnotherVoter(NodeId(1))));
    assert_eq!(leader.transfer_leader(NodeId(9)), Err(ClusterRefusal::NotAMember(NodeId(9))));
    leader.transfer_leader(NodeId(3)).unwrap();
    let began = cluster.millis;
    cluster.until("the third leads", |cluster| cluster.serving() == Some(3));
    assert!(
        cluster.millis - began < 100,
        "no election timeout was waited for: {} ms",
        cluster.millis - began
    );
    cluster.define(101, 200);
    cluster.agree(200);
}

#[test]
fn a_member_is_replaced_without_touching_the_others() {
    let mut cluster = Cluster::new("members", &[1, 2, 3]);
    cluster.define(1, 300);
    cluster.stop(3);
    cluster.create(4);
    let change = |cluster: &mut Cluster, change: MemberChange| cluster.change(&change);
    assert_eq!(
        change(&mut cluster, MemberChange::Promote(NodeId(4))),
        Err(ClusterRefusal::NotAMember(NodeId(4)))
    );
    change(&mut cluster, learner(4)).unwrap();
    cluster.define(301, 302);
    let promote = MemberChange::Promote(NodeId(4));
    cluster
        .until("the learner catches up", |cluster| cluster.running[&4].engine().definitions().len() == 303);
    cluster.define(303, 303);
    change(&mut cluster, promote).unwrap();
    cluster.define(304, 304);
    change(&mut cluster, MemberChange::Remove(NodeId(3))).unwrap();
    cluster.define(305, 305);
    cluster.agree(305);
    for replica in cluster.running.values() {
        let members = replica.members();
        assert_eq!(members.iter().map(|member| member.node.0).collect::<Vec<_>>(), [1, 2, 4]);
        assert!(members.iter().all(|member| member.role == MemberRole::Voter));
    }
    // Two of the new three are a quorum, also without the first.
    cluster.stop(1);
    cluster.define(306, 400);
    cluster.agree(400);
    let refused = cluster.serving().unwrap();
    let remove = MemberChange::Remove(NodeId(6 - refused));
    let refusal = cluster.running.get_mut(&refused).unwrap().change_members(&remove);
    assert!(matches!(refusal, Err(ClusterRefusal::TooFewReachable { .. })), "{refusal:?}");
}

pub(crate) fn learner(node: u64) -> MemberChange {
    MemberChange::AddLearner { node: NodeId(node), address: Some(format!("node-{node}:9884")) }
}

impl Cluster {
    fn change(&mut self, change: &MemberChange) -> Result<(), ClusterRefusal> {
        self.running.get_mut(&1).unwrap().change_members(change)
    }

    /// Four follows, and holds `definitions`.
    fn learn(&mut self, definitions: usize) {
        self.create(4);
        self.change(&learner(4)).unwrap();
        self.until("the learner catches up", |cluster| {
            cluster.running[&4].engine().definitions().len() == definitions + 1
        });
    }

    fn members(&self, node: u64) -> Vec<(u64, Option<&str>)> {
        self.running[&node].membership().members().map(|(node, address)| (node.0, address)).collect()
    }
}

#[test]
fn what_cannot_be_a_change_is_refused_with_the_reason() {
    let mut cluster = Cluster::new("refusals", &[1, 2, 3]);
    cluster.define(1, 10);
    let too_high = |node| ClusterRefusal::IdTooHigh { node: NodeId(node), used_to: NodeId(3) };
    for (change, refusal) in [
        (learner(2), ClusterRefusal::MemberAlready(NodeId(2))),
        (
            MemberChange::AddLearner { node: NodeId(4), address: Some("no port".to_owned()) },
            ClusterRefusal::Address,
        ),
        (MemberChange::Replace { old: NodeId(2), new: NodeId(4) }, ClusterRefusal::NotAMember(NodeId(4))),
        (MemberChange::Replace { old: NodeId(2), new: NodeId(3) }, ClusterRefusal::MemberAlready(NodeId(3))),
        (
            MemberChange::Replace { old: NodeId(9), new: NodeId(3) },
            ClusterRefusal::NotAnotherVoter(NodeId(9)),
        ),
        (MemberChange::Replace { old: NodeId(1), new: NodeId(3) }, ClusterRefusal::Leads(NodeId(1))),
        (MemberChange::Remove(NodeId(1)), ClusterRefusal::Leads(NodeId(1))),
        (learner(u64::MAX), too_high(u64::MAX)),
        (learner(1_004), too_high(1_004)),
    ] {
        assert_eq!(cluster.change(&change), Err(refusal), "{change:?}");
    }
    for node in 4..=16 {
        cluster.change(&learner(node)).unwrap();
        cluster.until("a learner", |cluster| cluster.members(1).iter().any(|member| member.0 == node));
    }
    assert_eq!(cluster.change(&learner(17)), Err(ClusterRefusal::TooMany));
    cluster.change(&MemberChange::Remove(NodeId(16))).unwrap();
    cluster.until("no learner", |cluster| cluster.members(1).len() == 15);
    let used = ClusterRefusal::IdUsed { node: NodeId(16), used_to: NodeId(16) };
    assert_eq!(cluster.change(&learner(16)), Err(used), "an id is used once");
    cluster.change(&learner(1_016)).unwrap();
    cluster.until("the highest id", |cluster| cluster.members(1).len() == 16);
    cluster.change(&MemberChange::Remove(NodeId(1_016))).unwrap();
    cluster.until("no learner again", |cluster| cluster.members(1).len() == 15);
    cluster.change(&learner(1_017)).unwrap();
    // With one voter silent for long, the other two may not become one of two.
    cluster.stop(3);
    for _ in 0..1_000 {
        cluster.tick();
    }
    let refusal = cluster.change(&MemberChange::Remove(NodeId(2)));
    assert_eq!(refusal, Err(ClusterRefusal::TooFewReachable { reachable: 1, voters: 2 }));
}

/// Found by a world in which the leader was lost as well: the others had heard of the removal, forgot it when they were started again,
/// and waited for a majority of four, of whom two were gone.
#[test]
fn who_has_left_is_not_forgotten_by_a_restart() {
    let mut cluster = Cluster::new("has-left", &[1, 2, 3]);
    cluster.define(1, 10);
    cluster.agree(10);
    cluster.change(&MemberChange::Remove(NodeId(3))).unwrap();
    // Nothing comes behind it that would tell.
    cluster.until("both know", |cluster| {
        [1, 2].iter().all(|node| {
            cluster.members(*node).len() == 2 && cluster.running[node].status().writing_since.is_none()
        })
    });
    [1, 2, 3].iter().for_each(|node| cluster.stop(*node));
    for node in [1, 2] {
        cluster.open(node);
        cluster.until("it knows by itself", |cluster| cluster.members(node).len() == 2);
        cluster.stop(node);
    }
}

/// The leader ends so many milliseconds after it was told to put four in the place of three.
#[test]
fn a_replacement_is_made_or_not_wherever_the_leader_ends() {
    let (mut made, mut not_made) = (0, 0);
    for millis in 0..12 {
        let mut cluster = Cluster::new("joint", &[1, 2, 3]);
        cluster.define(1, 20);
        cluster.learn(20);
        cluster.change(&MemberChange::Replace { old: NodeId(3), new: NodeId(4) }).unwrap();
        for _ in 0..millis {
            cluster.tick();
        }
        cluster.stop(1);
        cluster.until("one configuration, the same for all", |cluster| {
            cluster.serving().is_some_and(|leader| {
                cluster.running[&leader].members().iter().all(|member| member.role != MemberRole::Leaving)
            })
        });
        cluster.define(21, 30);
        let leader = cluster.serving().unwrap();
        let voters: Vec<u64> = cluster.running[&leader]
            .members()
            .iter()
            .filter(|member| member.role == MemberRole::Voter)
            .map(|member| member.node.0)
            .collect();
        match &voters[..] {
            [1, 2, 4] => made += 1,
            [1, 2, 3] => not_made += 1,
            other => panic!("{other:?} after {millis} ms"),
        }
        cluster.open(1);
        cluster.until("the same membership", |cluster| cluster.members(1) == cluster.members(leader));
        let four = cluster.members(1).last().copied();
        assert_eq!(four, Some((4, Some("node-4:9884"))), "its address is in the log");
    }
    assert!(made > 0 && not_made > 0, "{made} made, {not_made} not");
}

#[test]
fn who_was_removed_neither_votes_nor_disturbs() {
    let mut cluster = Cluster::new("removed", &[1, 2, 3]);
    cluster.define(1, 20);
    cluster.agree(20);
    cluster.learn(20);
    // Three is there to the end, and has whatever the leader still sent.
    cluster.change(&MemberChange::Replace { old: NodeId(3), new: NodeId(4) }).unwrap();
    cluster.until("the replacement", |cluster| {
        [1, 2, 4].iter().all(|node| cluster.running[node].membership().is_removed(NodeId(3)))
    });
    cluster.define(21, 30);
    let term = cluster.running[&1].status().term;
    cluster.stop(3);
    cluster.open(3);
    for _ in 0..5_000 {
        cluster.tick();
    }
    assert!(cluster.refused > 0, "it has tried");
    let status = cluster.running[&1].status();
    assert_eq!((status.role, status.term), (Role::Leader, term));
    // It makes no quorum with one of the others.
    cluster.stop(1);
    cluster.stop(4);
    for _ in 0..5_000 {
        cluster.tick();
        assert!(cluster.statuses().iter().all(|status| status.role != Role::Leader));
    }
    // A restart changes nothing.
    cluster.stop(2);
    cluster.open(2);
    cluster.open(4);
    cluster.define(31, 40);
    assert_eq!(cluster.members(2), [(1, None), (2, None), (4, Some("node-4:9884"))]);
    cluster.stop(3);
    cluster.open(1);
    cluster.agree(40);
}

#[test]
fn a_log_that_lost_what_the_leader_counts_on_ends_the_process_with_a_word() {
    let mut cluster = Cluster::new("regressed", &[1, 2, 3]);
    cluster.define(1, 50);
    cluster.agree(50);
    // The same node id on a blank disk: it does not know what it has acknowledged.
    cluster.create(3);
    let fault = (0..200).find_map(|_| {
        let leader = cluster.running.get_mut(&1).unwrap();
        cluster.millis += 1;
        leader.step(at(cluster.millis), &mut Vec::new()).unwrap();
        let outbound = leader.take_outbound().into_iter().filter(|outbound| outbound.to == NodeId(3));
        let messages: Vec<_> = outbound.collect();
        let third = cluster.running.get_mut(&3).unwrap();
        messages.iter().find_map(|message| third.receive_from(NodeId(1), &message.bytes).err())
    });
    assert!(matches!(fault, Some(ReceiveFault::Regressed { .. })), "{fault:?}");
}

#[test]
fn a_halted_cluster_elects_replaces_members_and_passes_over_the_record() {
    let mut cluster = Cluster::new("halted", &[]);
    let [skip, ..] =
        [1, 2, 3].map(|node| skip::write_poisoned(&folder(&format!("halted-{node}")), identity_of(node)));
    (1..=3).for_each(|node| cluster.open(node));
    let leads = |cluster: &Cluster| {
        cluster
            .running
            .iter()
            .find(|(_, replica)| replica.status().role == Role::Leader)
            .map(|(node, _)| *node)
    };
    let halted = |cluster: &Cluster| cluster.statuses().iter().all(|status| status.halted.is_some());
    cluster.until("all halt", halted);
    cluster.until("somebody leads", |cluster| leads(cluster).is_some());
    let leader = leads(&cluster).unwrap();
    let change = |cluster: &mut Cluster, leader: u64, change: MemberChange| {
        while cluster.running.get_mut(&leader).unwrap().change_members(&change) == Err(ClusterRefusal::Busy) {
            cluster.tick();
        }
    };
    change(&mut cluster, leader, learner(4));
    (0..300).for_each(|_| cluster.tick());
    cluster.stop(leader);
    cluster.until("another leads", |cluster| leads(cluster).is_some());
    let leader = leads(&cluster).unwrap();
    change(&mut cluster, leader, MemberChange::Remove(NodeId(4)));
    while cluster.running.get_mut(&leader).unwrap().propose_skip(&skip) == Err(SkipNotProposed::Busy) {
        cluster.tick();
    }
    cluster.leader();
    (1..=3)
        .filter(|node| !cluster.running.contains_key(node))
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|node| cluster.open(node));
    cluster.define(8, 20);
    cluster.agree(2 + 13 + 1);
}

#[test]
fn who_was_away_for_thousands_of_small_entries_catches_up() {
    let mut cluster = Cluster::new("small", &[1, 2, 3]);
    cluster.define(1, 2);
    cluster.stop(3);
    for n in 3..1_500 {
        let leader = cluster.leader();
        define_assets(cluster.running.get_mut(&leader).unwrap(), n, n);
        cluster.tick();
    }
    cluster.open(3);
    cluster.agree(1_499);
}
