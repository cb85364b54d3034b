//! `sicil members`, `transfer-leader`, `add-member`, `replace-member` and `remove-member`: who belongs to the cluster, how far
//! each is, and the orders of an operator to it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use journal::FileDisk;
use protocol::NodeId;
use replicas::{Elections, LeadEnd, Member, MemberChange, MemberRole, Replica, Status};
use serde::{Deserialize, Serialize};

use crate::admin::client::Client;
use crate::admin::{Answer, Request};
use crate::fault::NodeFault;
use crate::peers::PeerReport;
use crate::status::role_name;
use crate::{AddMemberArgs, MembersArgs, RemoveMemberArgs, ReplaceMemberArgs, TransferArgs, print};

/// The role of a node that is a member no more.
pub(crate) const REMOVED: &str = "removed";
/// What there is to say about it.
pub(crate) const REMOVED_LINE: &str = "this node was removed from the cluster: it takes part in nothing, and never comes back under its id; stop it";

/// The cluster, as one node knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Members {
    /// The node that says so.
    node: u64,
    /// `leader`, `follower`, `candidate` or `removed`.
    role: String,
    /// Whether the node is a member no more, by its own log or by the word of others who refuse it.
    pub(crate) removed: bool,
    term: u64,
    /// Who leads, if that is known.
    pub(crate) leader: Option<u64>,
    /// Last entry of this node's log, and the last one that it knows to be committed.
    index_last: u64,
    index_committed: u64,
    elections: ElectionCounts,
    pub(crate) members: Vec<MemberLine>,
    /// Nodes that this one calls, because its file says so or they have called, and that are no members by its log.
    strangers: Vec<StrangerLine>,
}

/// A node that is called and is no member.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StrangerLine {
    node: u64,
    address: String,
    connected: bool,
    /// Why it could not be connected to, or the connection was lost, last; until it is connected.
    fault: Option<String>,
}

/// Elections that the node has seen since its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ElectionCounts {
    /// Times that it stood itself.
    pub(crate) stood: u64,
    /// Times that it won.
    pub(crate) won: u64,
    /// Times that another leader than the one before became known.
    pub(crate) leader_changes: u64,
    /// Terms that have begun.
    pub(crate) terms: u64,
    /// Times that it offered the lead to another, or laid it down, for a reason of its own.
    pub(crate) given_away: u64,
    /// How often its own lead has ended, by the names of why.
    pub(crate) ends: BTreeMap<String, u64>,
    /// Its last lead that has ended.
    pub(crate) last_end: Option<EndOfLead>,
}

/// Why a node leads no more.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndOfLead {
    /// That it led.
    pub(crate) term: u64,
    /// One word.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) why: String,
}

impl From<Elections> for ElectionCounts {
    fn from(elections: Elections) -> Self {
        let Elections { stood, won, leader_changes, terms, given_away, ends, last_end } = elections;
        let ends = LeadEnd::ALL.into_iter().zip(ends).filter(|(_, count)| *count > 0);
        Self {
            stood,
            won,
            leader_changes,
            terms,
            given_away,
            ends: ends.map(|(end, count)| (end.name().to_owned(), count)).collect(),
            last_end: last_end.map(|(term, end)| EndOfLead {
                term: term.0,
                reason: end.name().to_owned(),
                why: end.to_string(),
            }),
        }
    }
}

impl fmt::Display for ElectionCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stood, won, leader_changes, terms, given_away, .. } = self;
        write!(f, "stood {stood} times, won {won}, gave the lead away {given_away} times; ")?;
        write!(f, "{leader_changes} changes of the leader, {terms} terms since the start")?;
        let Some(EndOfLead { term, why, .. }) = &self.last_end else { return Ok(()) };
        write!(f, "\nlead      of term {term} ended: {why}")
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberLine {
    pub(crate) node: u64,
    /// `voter`, `learner`, or `leaving`: a voter whose replacement is under way. `removed`: this node itself, whose log does not say so yet.
    role: String,
    /// The last entry on its disk; the leader alone knows, once it has heard it.
    index_durable: Option<u64>,
    /// Entries that it lacks of the leader's.
    pub(crate) lag_entries: Option<u64>,
    /// Whether a learner can be promoted; the leader alone knows.
    caught_up: Option<bool>,
    /// Whether the leader has heard of it lately.
    active: Option<bool>,
    /// Where this node calls it, by its own configuration or by the log; none of this node itself.
    address: Option<String>,
    pub(crate) connected: Option<bool>,
    /// Where it takes FIX clients, by its last word, if that is reached from this node.
    fix: Option<String>,
    pub(crate) rtt_us: Option<u64>,
    /// Messages to it that found no room or no connection.
    messages_dropped: Option<u64>,
    /// Why it could not be connected to, or the connection was lost, last; until it is connected.
    fault: Option<String>,
}

/// What an operator asks of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Order {
    /// This voter shall lead.
    Transfer {
        /// Who.
        to: u64,
    },
    /// This node follows, without a vote.
    AddLearner {
        /// Who.
        node: u64,
        /// Where the other nodes reach it, if their own files do not say it.
        address: Option<String>,
    },
    /// This learner counts from now on.
    Promote {
        /// Who.
        node: u64,
    },
    /// This node is no member any more.
    Remove {
        /// Who.
        node: u64,
    },
    /// A learner counts in place of a voter.
    Replace {
        /// The voter.
        old: u64,
        /// The learner.
        new: u64,
    },
}

impl Order {
    /// Gives it to the replica.
    ///
    /// # Errors
    /// What speaks against it.
    pub(crate) fn give(&self, replica: &mut Replica<FileDisk>) -> Result<(), replicas::ClusterRefusal> {
        let change = match self {
            Self::Transfer { to } => return replica.transfer_leader(NodeId(*to)),
            Self::AddLearner { node, address } => {
                MemberChange::AddLearner { node: NodeId(*node), address: address.clone() }
            }
            Self::Promote { node } => MemberChange::Promote(NodeId(*node)),
            Self::Remove { node } => MemberChange::Remove(NodeId(*node)),
            Self::Replace { old, new } => MemberChange::Replace { old: NodeId(*old), new: NodeId(*new) },
        };
        replica.change_members(&change)
    }
}

impl Members {
    /// As `replica` and the connections to `peers` have it; `own_fix`: where this node takes FIX clients.
    pub(crate) fn of(
        replica: &Replica<FileDisk>,
        status: &Status,
        peers: &[PeerReport],
        own_fix: &str,
    ) -> Self {
        let removed =
            replica.membership().is_removed(status.node) || peers.iter().any(|peer| peer.has_removed_us);
        let line = |member: Member| {
            let peer = peers.iter().find(|peer| peer.node == member.node);
            // Who is silent since this node leads has not said yet how far it is.
            let known = member.progress.filter(|(matched, active)| *active || matched.0 > 0);
            let holds = known.map(|(matched, _)| matched.0);
            MemberLine {
                node: member.node.0,
                role: match member.role {
                    _ if removed && member.node == status.node => REMOVED.to_owned(),
                    MemberRole::Voter => "voter".to_owned(),
                    MemberRole::Learner => "learner".to_owned(),
                    MemberRole::Leaving => "leaving".to_owned(),
                },
                index_durable: holds,
                lag_entries: holds.map(|holds| status.index_last.0.saturating_sub(holds)),
                caught_up: member.has_caught_up,
                active: member.progress.map(|(_, active)| active),
                address: peer.map(|peer| peer.address.clone()),
                connected: peer.map(|peer| peer.connected),
                fix: if member.node == status.node {
                    Some(own_fix.to_owned())
                } else {
                    peer.and_then(|peer| peer.fix).map(|fix| fix.to_string())
                },
                rtt_us: peer
                    .and_then(|peer| peer.rtt)
                    .map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
                messages_dropped: peer.map(|peer| peer.dropped),
                fault: peer.and_then(|peer| peer.fault.clone()),
            }
        };
        let members: Vec<MemberLine> = replica.members().into_iter().map(line).collect();
        let is_stranger = |peer: &&PeerReport| members.iter().all(|member| member.node != peer.node.0);
        let strangers = peers.iter().filter(is_stranger).map(|peer| StrangerLine {
            node: peer.node.0,
            address: peer.address.clone(),
            connected: peer.connected,
            fault: peer.fault.clone(),
        });
        Self {
            strangers: strangers.collect(),
            node: status.node.0,
            role: if removed { REMOVED } else { role_name(status.role) }.to_owned(),
            removed,
            term: status.term.0,
            leader: replica.leader().map(|leader| leader.0),
            index_last: status.index_last.0,
            index_committed: status.index_committed.0,
            elections: status.elections.into(),
            members,
        }
    }

    /// Where the leader takes FIX clients, if that is reached from here.
    pub(crate) fn leader_fix(&self) -> Option<&str> {
        self.line(self.leader?)?.fix.as_deref()
    }

    /// Who leads instead of this node, and where.
    pub(crate) fn other_leader(&self) -> Option<String> {
        let leader = self.leader.filter(|leader| *leader != self.node)?;
        let address = self.line(leader).and_then(|line| line.address.as_deref());
        Some(address.map_or(format!("node {leader}"), |address| format!("node {leader} at {address}")))
    }

    /// Refuses what cannot be replaced before a learner is added for it.
    fn replaceable_or_refuse(&self, node: u64) -> Result<(), NodeFault> {
        let why = match self.line(node) {
            None => format!("node {node} is not a member"),
            Some(line) if line.role != "voter" => format!("node {node} is not a voter"),
            Some(_) if self.leader == Some(node) => format!("node {node} leads: transfer the lead first"),
            Some(_) => return Ok(()),
        };
        Err(NodeFault::Admin(why))
    }

    fn has_voter(&self, node: u64) -> bool {
        self.line(node).is_some_and(|line| line.role == "voter")
    }

    fn line(&self, node: u64) -> Option<&MemberLine> {
        self.members.iter().find(|member| member.node == node)
    }

    fn print(&self, json: bool) -> Result<(), NodeFault> {
        if json {
            let text = serde_json::to_string(self).map_err(|error| NodeFault::Internal(error.to_string()))?;
            return print(&(text + "\n"));
        }
        let leader = self.leader.map_or("none known".to_owned(), |leader| leader.to_string());
        let mut text = format!(
            "term {}, leader {leader}; node {}, {}, has entries up to {}, committed up to {}\n{}\n",
            self.term, self.node, self.role, self.index_last, self.index_committed, self.elections
        );
        if self.removed {
            writeln!(text, "REMOVED   {REMOVED_LINE}").unwrap_or_default();
        }
        let or_dash = |value: Option<String>| value.unwrap_or("-".to_owned());
        for member in &self.members {
            let lag = or_dash(member.lag_entries.map(|lag| lag.to_string()));
            let active = match member.active {
                Some(true) => "active",
                Some(false) => "silent",
                None => "-",
            };
            let rtt = or_dash(member.rtt_us.map(|rtt| format!("{rtt} us")));
            let address = member.address.as_deref().unwrap_or("-");
            let fix = member.fix.as_deref().unwrap_or("-");
            writeln!(
                text,
                "node {:<4} {:<8} lag {lag:<8} {active:<7} rtt {rtt:<9} {address} fix {fix}",
                member.node, member.role
            )
            .unwrap_or_default();
            if let Some(fault) = &member.fault {
                writeln!(text, "          not connected: {fault}").unwrap_or_default();
            }
        }
        for StrangerLine { node, address, connected, fault } in &self.strangers {
            let connected = if *connected { "connected" } else { "not connected" };
            let fault = fault.as_ref().map_or(String::new(), |fault| format!(": {fault}"));
            writeln!(text, "node {node:<4} no member, {address}, {connected}{fault}").unwrap_or_default();
        }
        print(&text)
    }
}

/// `sicil members`.
///
/// # Errors
/// If no node answers.
pub(crate) fn show(args: &MembersArgs) -> Result<(), NodeFault> {
    ask(&mut Client::connect(&args.data)?)?.print(args.json)
}

/// `sicil transfer-leader`.
///
/// # Errors
/// [`NodeFault::Admin`] with what speaks against it; [`NodeFault::Unanswered`] if it has not come about in time.
pub(crate) fn transfer(args: &TransferArgs) -> Result<(), NodeFault> {
    let mut client = Client::connect(&args.at.data)?;
    give(&mut client, Order::Transfer { to: args.to })?;
    until(&mut client, args.timeout_s, &format!("node {} does not lead yet", args.to), |members| {
        members.leader == Some(args.to)
    })?
    .print(args.at.json)
}

/// `sicil add-member`: a learner first, which counts when it has caught up.
///
/// # Errors
/// As [`transfer`].
pub(crate) fn add(args: &AddMemberArgs) -> Result<(), NodeFault> {
    let mut client = Client::connect(&args.at.data)?;
    let node = args.node;
    let members = learn(&mut client, node, args.address.as_deref(), args.timeout_s)?;
    if args.learner {
        return members.print(args.at.json);
    }
    give(&mut client, Order::Promote { node })?;
    let is_voter = |members: &Members| members.has_voter(node);
    until_led(&mut client, args.timeout_s, &format!("node {node} is no voter yet"), is_voter)?
        .print(args.at.json)
}

/// `sicil replace-member`: a learner first, which takes a voter's place when it has caught up.
///
/// # Errors
/// As [`transfer`].
pub(crate) fn replace(args: &ReplaceMemberArgs) -> Result<(), NodeFault> {
    let mut client = Client::connect(&args.at.data)?;
    let (old, new) = (args.old, args.new);
    let is_replaced = |members: &Members| members.has_voter(new) && members.line(old).is_none();
    let members = ask(&mut client)?;
    let is_under_way = members.has_voter(new) && !members.has_voter(old);
    if !is_under_way {
        members.replaceable_or_refuse(old)?;
        learn(&mut client, new, args.address.as_deref(), args.timeout_s)?;
        give(&mut client, Order::Replace { old, new })?;
    }
    let waits = format!("node {new} has not taken the place of node {old} yet");
    until_led(&mut client, args.timeout_s, &waits, is_replaced)?.print(args.at.json)
}

/// Makes a node a learner, if it is no member, and waits until it has caught up.
fn learn(
    client: &mut Client,
    node: u64,
    address: Option<&str>,
    timeout_s: u64,
) -> Result<Members, NodeFault> {
    if ask(client)?.line(node).is_none() {
        give(client, Order::AddLearner { node, address: address.map(ToOwned::to_owned) })?;
    }
    let caught_up = |members: &Members| members.line(node).is_some_and(|line| line.caught_up == Some(true));
    let waits = format!("node {node} has not caught up yet; the same command goes on from here");
    until_led(client, timeout_s, &waits, caught_up)
}

/// `sicil remove-member`.
///
/// # Errors
/// As [`transfer`].
pub(crate) fn remove(args: &RemoveMemberArgs) -> Result<(), NodeFault> {
    let node = args.node;
    let mut client = Client::connect(&args.at.data)?;
    give(&mut client, Order::Remove { node })?;
    let waits = format!("node {node} is still a member");
    until_led(&mut client, args.timeout_s, &waits, |members| members.line(node).is_none())?
        .print(args.at.json)
}

fn ask(client: &mut Client) -> Result<Members, NodeFault> {
    if let Answer::Members { members } = client.ask(&Request::Members)? {
        Ok(*members)
    } else {
        Err(NodeFault::crossed())
    }
}

fn give(client: &mut Client, order: Order) -> Result<(), NodeFault> {
    if let Answer::Ordered = client.ask(&Request::Order { order })? {
        Ok(())
    } else {
        Err(NodeFault::crossed())
    }
}

/// Asks until the members are as `done` wants them.
fn until(
    client: &mut Client,
    timeout_s: u64,
    waits: &str,
    done: impl Fn(&Members) -> bool,
) -> Result<Members, NodeFault> {
    client.ask_until(timeout_s, waits, |client| Ok(Some(ask(client)?).filter(&done)))
}

/// As [`until`], at the leader: another node knows nothing of how far others are.
fn until_led(
    client: &mut Client,
    timeout_s: u64,
    waits: &str,
    done: impl Fn(&Members) -> bool,
) -> Result<Members, NodeFault> {
    client.ask_until(timeout_s, waits, |client| {
        let members = ask(client)?;
        if done(&members) {
            return Ok(Some(members));
        }
        match members.leader {
            Some(leader) if leader != members.node => {
                let text =
                    format!("node {leader} leads now: the same command goes on from here at that node");
                Err(NodeFault::Admin(text))
            }
            _ => Ok(None),
        }
    })
}
