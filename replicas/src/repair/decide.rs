//! What a damaged log may become, given what others say: one function without effects, the rows of the repair table in the
//! order in which they are looked at. None of them guesses; where none applies the replica waits.
//!
//! Why each is safe. What this replica has acknowledged or voted for, it did in terms up to its own, with its log whole.
//!
//! * *The named end*: two logs with the same entry at the same term are the same up to it (log matching), so whoever holds the
//!   last entry that we held, holds all of them.
//! * *A snapshot that covers the named end*: it holds entries that were committed, up to one that is not before ours. Whatever we have
//!   acknowledged at a place up to there is the entry that it holds, or was never committed, nor can be: another one was. So nothing
//!   that anybody counts on is given up, and one snapshot is enough, of whoever has it. Where a log has the named end itself, a
//!   snapshot of that very replica and the entries behind it serve as the entries alone would.
//! * *A confirmed leader*: a quorum has confirmed its term since we asked. So nobody was elected in a later one before that, as one
//!   of the quorum would have voted for him, and all that we ever acknowledged is of terms up to the leader's; ours may be newer,
//!   if nobody was elected in it, and the leader need not hear of it. An entry that was committed with our acknowledgement is on a
//!   majority; whoever was elected since had the vote of one of them, or ours, given while our log was whole. So its log has
//!   that entry, and what its log lacks was never committed, nor can be: those who could, would have to acknowledge in a term that is
//!   over. A leader of the very term of our last entry has written that entry itself: if it lacks it, something is wrong that
//!   nobody may decide.
//! * *Nacks*: that many intact voters do not hold it that those who may are no majority. They will not acknowledge it later either: a leader who
//!   still has it is of a term up to ours, and theirs is above; or all of them lack it, and nobody else has it.
//! * *All voters answer and none leads*: every committed entry is in the longest whole log, as in an election, as long as those
//!   who cannot say what they have lost are no majority, and every end that is known lies in it.

use std::collections::{BTreeMap, BTreeSet};

use journal::survey::LostEnd;
use protocol::mutant::{Mutant, planted};
use protocol::{NodeId, Term};

use crate::message::repair::{End, Standing};

/// A row of the repair table, as it was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepairRow {
    /// What is damaged held no entry of the log.
    NothingMissing,
    /// Durable entries were lost, and are brought back by somebody who has them.
    LostFetched,
    /// Entries in doubt are named, and are brought back by somebody who has them.
    DoubtFetched,
    /// What is lost lies before the logs of others begin: a snapshot that covers its end takes the place of all before it.
    SnapshotAdopted,
    /// The log is whole, and has no beginning and no state to begin with: one is fetched.
    StateFetched,
    /// A confirmed leader's log is adopted, which goes on behind the damage.
    LeaderAdopted,
    /// A confirmed leader's log ends before: what is missing was never committed.
    LeaderEndsBefore,
    /// Too many intact voters do not hold what is in doubt: it was never committed.
    NackQuorum,
    /// All voters answered, and none leads: the longest whole log that covers every known end is adopted.
    AllAnswered,
}

impl RepairRow {
    /// All rows.
    pub const ALL: [Self; 9] = [
        Self::NothingMissing,
        Self::LostFetched,
        Self::DoubtFetched,
        Self::SnapshotAdopted,
        Self::StateFetched,
        Self::LeaderAdopted,
        Self::LeaderEndsBefore,
        Self::NackQuorum,
        Self::AllAnswered,
    ];

    /// Its name, for logs and counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NothingMissing => "repair: nothing was missing",
            Self::LostFetched => "repair: durable entries brought back",
            Self::DoubtFetched => "repair: entries in doubt brought back",
            Self::SnapshotAdopted => "repair: a snapshot adopted that covers what was lost",
            Self::StateFetched => "repair: the state fetched that the log begins with",
            Self::LeaderAdopted => "repair: a confirmed leader's log adopted",
            Self::LeaderEndsBefore => "repair: a confirmed leader's log ends before",
            Self::NackQuorum => "repair: given up by a nack quorum",
            Self::AllAnswered => "repair: the longest whole log of all voters adopted",
        }
    }
}

/// What a replica with a damaged log waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairWait {
    /// Nobody has answered.
    Peers,
    /// Entries that were durable are lost, and nobody who answers has them. They are never given up.
    Holder,
    /// What is in doubt is decided by a leader, by a quorum of intact voters, or by all voters together.
    Decision,
    /// The log is whole, and nobody who answers has a snapshot for it.
    State,
    /// A leader of the very term in which the lost entry was written says that it lacks it.
    Contradiction,
    /// What came needs another segment, and the disk has no room for one.
    Room,
}

impl std::fmt::Display for RepairWait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Peers => "no other node answers",
            Self::Holder => "entries that were durable are lost, and no node that answers has them",
            Self::Decision => "the end of the log is in doubt, and there is neither a leader, nor a quorum that lacks it, nor an answer of every voter",
            Self::State => "the log is whole, and no node that answers has a snapshot that it goes on from",
            Self::Contradiction => "the leader of the term in which the lost entries were written says that it lacks them",
            Self::Room => "what has come back needs another segment, and the disk has no room for one",
        })
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) row: RepairRow,
    /// The log is whole again when it ends so.
    pub(crate) target: End,
    /// Who has it.
    pub(crate) sources: Vec<NodeId>,
}

/// What is known.
pub(crate) struct Situation<'a> {
    pub(crate) node: NodeId,
    /// End of what is whole and linked.
    pub(crate) end: End,
    /// Whose last entry is in what is whole here: their logs are prefixes of it.
    pub(crate) prefixes: BTreeSet<NodeId>,
    /// The newest term that this replica has seen.
    pub(crate) term: Term,
    pub(crate) lost: LostEnd,
    /// The ends that the others were asked for, by bit.
    pub(crate) ends: &'a [End],
    /// Answers of this round.
    pub(crate) standings: &'a BTreeMap<NodeId, Standing>,
    /// Who leads, confirmed in this round: its term, and the end of its log.
    pub(crate) confirmed: Option<(NodeId, Term, End)>,
}

impl Situation<'_> {
    /// Whether `standing` says that `end` is in its log, if it was asked for.
    pub(crate) fn holds(&self, standing: &Standing, end: End) -> Option<bool> {
        let bit = self.ends.iter().position(|asked| *asked == end)?;
        Some(standing.held & (1 << bit) != 0)
    }

    /// Who says that `end` is in its log.
    pub(crate) fn holders(&self, end: End) -> Vec<NodeId> {
        let holders = self.standings.iter().filter(|(_, standing)| self.holds(standing, end) == Some(true));
        holders.map(|(node, _)| *node).collect()
    }
}

/// Carries out the table.
pub(crate) fn decide(now: &Situation<'_>) -> Result<Plan, RepairWait> {
    if now.lost.end == Some(now.end) {
        return Ok(Plan { row: RepairRow::NothingMissing, target: now.end, sources: Vec::new() });
    }
    named_end(now)
        .or_else(|| in_snapshot(now))
        .or_else(|| leader(now))
        .or_else(|| nack_quorum(now))
        .or_else(|| all_answered(now))
        .ok_or_else(|| waits_for(now))
}

fn named_end(now: &Situation<'_>) -> Option<Plan> {
    let target = now.lost.end?;
    let sources = now.holders(target);
    let row = if now.lost.was_durable { RepairRow::LostFetched } else { RepairRow::DoubtFetched };
    (!sources.is_empty()).then_some(Plan { row, target, sources })
}

fn in_snapshot(now: &Situation<'_>) -> Option<Plan> {
    let target = now.lost.end?;
    let covers = |standing: &Standing| standing.is_intact && standing.first > target.0;
    let holders = now.standings.iter().filter(|(_, standing)| covers(standing));
    let sources: Vec<_> = holders.map(|(node, _)| *node).collect();
    (!sources.is_empty()).then_some(Plan { row: RepairRow::SnapshotAdopted, target, sources })
}

/// Also for entries that were durable, once a leader of a newer term than theirs is confirmed: then it is known that they were
/// never committed.
pub(crate) fn leader(now: &Situation<'_>) -> Option<Plan> {
    let (node, term, target) = now.confirmed?;
    let is_newer = now.lost.end.is_none_or(|(_, lost_term)| term > lost_term);
    if !is_newer {
        return None;
    }
    let goes_on = target.0 > now.end.0;
    let row = if goes_on { RepairRow::LeaderAdopted } else { RepairRow::LeaderEndsBefore };
    Some(Plan { row, target, sources: vec![node] })
}

/// The others among the voters, if everybody whose answer counts names the same voters, us among them.
fn others<'a>(now: &'a Situation<'_>) -> Option<(usize, Vec<(&'a NodeId, &'a Standing)>)> {
    let intact = || now.standings.values().filter(|standing| standing.is_intact);
    let voters = &intact().next()?.voters;
    let agree = intact().all(|standing| !standing.is_moving && standing.voters == *voters);
    if !agree || !voters.contains(&now.node.0) {
        return None;
    }
    let of_voters = now.standings.iter().filter(|(node, _)| **node != now.node && voters.contains(&node.0));
    Some((voters.len(), of_voters.collect()))
}

fn nack_quorum(now: &Situation<'_>) -> Option<Plan> {
    if now.lost.was_durable {
        return None;
    }
    let (voters, others) = others(now)?;
    // One whose last entry is in our whole log holds nothing that we lack, not even a part of what is in doubt.
    let lacks = |node: &NodeId| now.prefixes.contains(node);
    let nacks: Vec<_> = others.iter().filter(|(node, standing)| standing.is_intact && lacks(node)).collect();
    let above = nacks.iter().filter(|(_, standing)| standing.term > now.term).count();
    let majority = voters / 2 + 1;
    let enough = nacks.len() + 1 == voters
        || above > voters - majority
        || (planted(Mutant::NackOfOneBelieved) && !nacks.is_empty());
    // Alone among its voters nobody else could say anything.
    (enough && voters > 1).then(|| Plan { row: RepairRow::NackQuorum, target: now.end, sources: Vec::new() })
}

fn all_answered(now: &Situation<'_>) -> Option<Plan> {
    let (voters, others) = others(now)?;
    let nobody_leads = others.iter().all(|(_, standing)| !standing.leads);
    if now.lost.end.is_some() || others.len() + 1 != voters || !nobody_leads {
        return None;
    }
    let damaged = || others.iter().filter(|(_, standing)| !standing.is_intact);
    let unknown = 1 + damaged().filter(|(_, standing)| standing.lost.is_none()).count();
    if unknown > voters - (voters / 2 + 1) {
        return None;
    }
    let intact = || others.iter().filter(|(_, standing)| standing.is_intact);
    let longest = |standing: &Standing| (standing.last.1, standing.last.0);
    let (_, winner) = intact().max_by_key(|(_, standing)| longest(standing))?;
    let is_covered = |end: End| now.holds(winner, end) == Some(true);
    if !damaged().filter_map(|(_, standing)| standing.lost).all(is_covered) {
        return None;
    }
    // What was durable is never given up because nobody has it.
    let ends_before = longest(winner) <= (now.end.1, now.end.0);
    if now.lost.was_durable && (ends_before || winner.last.0 <= now.end.0) {
        return None;
    }
    if ends_before {
        return Some(Plan { row: RepairRow::AllAnswered, target: now.end, sources: Vec::new() });
    }
    let has_won = |standing: &Standing| standing.last == winner.last;
    let sources = intact().filter(|(_, standing)| has_won(standing)).map(|(node, _)| **node).collect();
    Some(Plan { row: RepairRow::AllAnswered, target: winner.last, sources })
}

fn waits_for(now: &Situation<'_>) -> RepairWait {
    if now.standings.is_empty() {
        return RepairWait::Peers;
    }
    let same_term =
        |(_, term, _): (NodeId, Term, End)| now.lost.end.is_some_and(|(_, lost_term)| term == lost_term);
    if now.confirmed.is_some_and(same_term) {
        return RepairWait::Contradiction;
    }
    if now.lost.was_durable { RepairWait::Holder } else { RepairWait::Decision }
}

#[cfg(test)]
mod tests {
    use protocol::Index;

    use super::*;

    const fn end(index: u64, term: u64) -> End {
        (Index(index), Term(term))
    }

    fn intact(last: End, term: u64) -> Standing {
        Standing {
            is_intact: true,
            leads: false,
            is_moving: false,
            term: Term(term),
            first: Index(1),
            last,
            lost: None,
            held: 0,
            voters: vec![1, 2, 3],
        }
    }

    fn damaged(last: End, lost: Option<End>) -> Standing {
        Standing { is_intact: false, lost, voters: Vec::new(), ..intact(last, 5) }
    }

    /// Node 1 of three or five: whole up to entry 10 of term 4, in term 5.
    fn say(lost: Option<End>, was_durable: bool, answers: &[Standing], leader: Option<(u64, End)>) -> String {
        let standings: BTreeMap<_, _> = (2..).map(NodeId).zip(answers.iter().cloned()).collect();
        let others = answers.iter().filter_map(|standing| standing.lost);
        let ends: Vec<_> = lost.into_iter().chain(others).collect();
        let situation = Situation {
            node: NodeId(1),
            end: end(10, 4),
            term: Term(5),
            lost: LostEnd { end: lost, was_durable, newest_block: 9 },
            ends: &ends,
            standings: &standings,
            // Entries up to 8 are of term 3, and 9 and 10 of term 4.
            prefixes: standings
                .iter()
                .filter(|(_, standing)| {
                    matches!((standing.last.0.0, standing.last.1.0), (0..=8, 3) | (9..=10, 4))
                })
                .map(|(node, _)| *node)
                .collect(),
            confirmed: leader.map(|(term, last)| (NodeId(2), Term(term), last)),
        };
        match decide(&situation) {
            Ok(Plan { row, target, sources }) => {
                let sources: Vec<_> = sources.iter().map(|node| node.0).collect();
                format!("{row:?} {} {} {sources:?}", target.0, target.1)
            }
            Err(wait) => format!("{wait:?}"),
        }
    }

    fn holding(standing: Standing) -> Standing {
        Standing { held: 1, ..standing }
    }

    #[test]
    fn a_named_end_is_fetched_from_whoever_holds_it() {
        let (lost, other) = (Some(end(12, 5)), intact(end(12, 4), 5));
        let holder = holding(intact(end(14, 5), 5));
        for was_durable in [true, false] {
            let row = if was_durable { "LostFetched" } else { "DoubtFetched" };
            let answers = [other.clone(), holder.clone()];
            assert_eq!(say(lost, was_durable, &answers, None), format!("{row} 12 5 [3]"));
            // Also from one that is damaged itself, further behind.
            let answers = [holding(damaged(end(13, 5), None))];
            assert_eq!(say(lost, was_durable, &answers, None), format!("{row} 12 5 [2]"));
        }
        assert_eq!(say(Some(end(10, 4)), true, &[], None), "NothingMissing 10 4 []");
        assert_eq!(say(lost, true, &[], None), "Peers");
    }

    #[test]
    fn a_snapshot_serves_that_covers_the_named_end() {
        let lost = Some(end(12, 5));
        let begins = |first, last| Standing { first: Index(first), ..intact(last, 7) };
        let ahead = begins(13, end(40, 7));
        for was_durable in [true, false] {
            let said = |answers: &[Standing], leader| say(lost, was_durable, answers, leader);
            assert_eq!(said(std::slice::from_ref(&ahead), None), "SnapshotAdopted 12 5 [2]");
            // Nor does a leader of that very term contradict anything, whose log begins behind it.
            let leader = begins(20, end(40, 5));
            assert_eq!(said(&[leader], Some((5, end(40, 5)))), "SnapshotAdopted 12 5 [2]");
            // Entries are less to fetch, where somebody still has them.
            let holder = holding(intact(end(40, 7), 7));
            let row = if was_durable { "LostFetched" } else { "DoubtFetched" };
            assert_eq!(said(&[ahead.clone(), holder], None), format!("{row} 12 5 [3]"));
            let wait = if was_durable { "Holder" } else { "Decision" };
            // One entry less is not enough, nor the word of somebody who is damaged himself.
            assert_eq!(said(&[begins(12, end(40, 7))], None), wait);
            assert_eq!(said(&[Standing { is_intact: false, ..ahead.clone() }], None), wait);
            // Without a name nobody knows how far we have been.
            assert_eq!(say(None, was_durable, std::slice::from_ref(&ahead), None), wait);
        }
    }

    #[test]
    fn what_was_durable_is_not_given_up_because_nobody_has_it() {
        let short = intact(end(10, 4), 6);
        for lost in [Some(end(12, 5)), None] {
            assert_eq!(say(lost, true, &[short.clone(), short.clone()], None), "Holder");
        }
        // One that was not named is in whatever is longest, if there is anything.
        let answers = [intact(end(11, 4), 5), intact(end(12, 4), 5)];
        assert_eq!(say(None, true, &answers, None), "AllAnswered 12 4 [3]");
    }

    #[test]
    fn a_leader_decides_if_its_term_is_above_that_of_what_is_lost() {
        let nobody = [intact(end(10, 4), 5)];
        for was_durable in [true, false] {
            let said = |lost, term, last| say(lost, was_durable, &nobody, Some((term, last)));
            assert_eq!(said(Some(end(12, 5)), 6, end(20, 6)), "LeaderAdopted 20 6 [2]");
            assert_eq!(said(Some(end(12, 5)), 6, end(10, 4)), "LeaderEndsBefore 10 4 [2]");
            assert_eq!(said(Some(end(12, 5)), 5, end(20, 5)), "Contradiction");
            assert_eq!(said(Some(end(12, 4)), 5, end(9, 4)), "LeaderEndsBefore 9 4 [2]");
            assert_eq!(said(None, 5, end(20, 5)), "LeaderAdopted 20 5 [2]");
            // We have voted in a term in which nobody was elected.
            for lost in [Some(end(12, 3)), None] {
                assert_eq!(said(lost, 4, end(20, 4)), "LeaderAdopted 20 4 [2]");
            }
        }
    }

    /// A block in doubt ends with one entry and may hold others, which were committed although nobody has the last.
    #[test]
    fn who_holds_a_part_of_what_is_in_doubt_gives_nothing_up() {
        let (part, without) = (intact(end(11, 5), 5), intact(end(10, 4), 4));
        assert_eq!(say(Some(end(12, 5)), false, &[part, without.clone()], None), "Decision");
        // Nor one whose last entry is another than ours at that place.
        let other = intact(end(9, 5), 5);
        assert_eq!(say(None, false, &[other, without], None), "AllAnswered 9 5 [2]");
    }

    #[test]
    fn what_is_in_doubt_is_given_up_by_all_others_or_by_a_quorum_of_a_newer_term() {
        let (lost, same, newer) = (Some(end(12, 5)), intact(end(10, 4), 5), intact(end(10, 4), 6));
        for lost in [lost, None] {
            let given_up = "NackQuorum 10 4 []";
            assert_eq!(say(lost, false, &[same.clone(), same.clone()], None), given_up);
            assert_eq!(say(lost, false, std::slice::from_ref(&newer), None), "Decision", "one is not enough");
            let five = |standing: &Standing| Standing { voters: vec![1, 2, 3, 4, 5], ..standing.clone() };
            let three = |standing: &Standing| vec![five(standing); 3];
            assert_eq!(say(lost, false, &three(&newer), None), given_up);
            assert_eq!(say(lost, false, &three(&same), None), "Decision", "a leader of our term may have it");
            assert_eq!(say(lost, false, &three(&newer)[..2], None), "Decision");
            // Who is damaged says nothing, nor one whose membership is another.
            let odd = Standing { voters: vec![1, 2, 4], ..same.clone() };
            let moving = Standing { is_moving: true, ..same.clone() };
            for other in [odd, moving, damaged(end(10, 4), None)] {
                assert_eq!(say(lost, false, &[same.clone(), other], None), "Decision");
            }
        }
        // One that begins behind it is no nack, whether or not the end is named.
        let in_snapshot = Standing { first: Index(13), ..intact(end(14, 5), 5) };
        assert_eq!(say(None, false, &[in_snapshot.clone(), same.clone()], None), "AllAnswered 14 5 [2]");
        assert_eq!(say(lost, false, &[in_snapshot, same.clone()], None), "SnapshotAdopted 12 5 [2]");
        // An unnamed one may be anything that lies there.
        assert_eq!(say(None, false, &[intact(end(11, 4), 5), same.clone()], None), "AllAnswered 11 4 [2]");
        let leads = Standing { leads: true, ..intact(end(11, 4), 5) };
        assert_eq!(say(None, false, &[leads, same], None), "Decision", "it has to be confirmed");
    }

    #[test]
    fn all_voters_together_decide_where_those_who_know_nothing_are_no_majority() {
        let (long, short) = (intact(end(15, 4), 5), intact(end(11, 4), 5));
        assert_eq!(say(None, false, &[long.clone(), short.clone()], None), "AllAnswered 15 4 [2]");
        assert_eq!(say(None, false, std::slice::from_ref(&long), None), "Decision");
        assert_eq!(say(None, false, &[long.clone(), damaged(end(10, 4), None)], None), "Decision");
        // An end that is known has to be in it.
        let other = damaged(end(10, 4), Some(end(14, 4)));
        assert_eq!(say(None, false, &[long.clone(), other.clone()], None), "Decision");
        assert_eq!(say(None, false, &[holding(long), other], None), "AllAnswered 15 4 [2]");
        // Our own whole entries count too: were something behind them committed, a longer log had it.
        let old = intact(end(11, 3), 5);
        assert_eq!(say(None, false, &[old, intact(end(9, 4), 5)], None), "AllAnswered 10 4 []");
        // A later term wins over a longer log.
        let later = intact(end(11, 5), 5);
        assert_eq!(say(None, false, &[later, intact(end(15, 4), 5)], None), "AllAnswered 11 5 [2]");
        assert_eq!(
            say(None, false, &[damaged(end(10, 4), None), damaged(end(9, 4), None)], None),
            "Decision"
        );
    }
}
