//! One record of a frame: applied, or passed over because operators decided so with their keys. What is passed over has no
//! effect, but its place is used and its sender gets an answer.

use std::collections::BTreeMap;

use protocol::commands::roles;
use protocol::event::Event;
use protocol::hash::blake3;
use protocol::record::{Record, RecordFault, Unreadable};
use protocol::skip::Skip;
use protocol::{ActorId, RareText, RejectReason, Seq, SessionId, Text, UnixNanos, events};

use crate::broken::{About, InvariantBroken, Refusal};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::sessions::Session;
use crate::sessions::requests::{Known, Reply};

/// Why a decision does not count, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipRefusal {
    /// There is no cluster yet, and so no operator.
    NoCluster,
    /// The actor has no key.
    NoKey(ActorId),
    /// The actor may not configure.
    NotEntitled(ActorId),
    /// The actor signed more than once.
    SignedTwice(ActorId),
    /// The signature is not one of the actor's key over this decision in this cluster.
    NotSigned(ActorId),
}

impl core::fmt::Display for SkipRefusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoCluster => write!(f, "there is no cluster yet, and so no operator"),
            Self::NoKey(actor) => write!(f, "actor {actor} has no key on record"),
            Self::NotEntitled(actor) => write!(f, "actor {actor} may not configure"),
            Self::SignedTwice(actor) => write!(f, "actor {actor} signed more than once"),
            Self::NotSigned(actor) => write!(f, "the signature is not one of actor {actor}'s key"),
        }
    }
}

impl core::error::Error for SkipRefusal {}

/// Decisions to pass over a record, by its seq, in the order of the log. They stand behind the record: who runs the log
/// collects them first, or runs it again.
pub type Skips = BTreeMap<Seq, Vec<Skip>>;

/// Why the engine cannot take what stands at a seq. It halts there; every replica's does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotTake {
    /// The record trips an invariant.
    Invariant(InvariantBroken),
    /// The bytes are not a record.
    NotARecord(RecordFault),
}

impl Engine {
    /// Whether those who signed `skip` may decide so: each holds the role ADMIN and a key, and the key verifies.
    ///
    /// # Errors
    /// [`SkipRefusal`] of the first signature that does not count: none may be in doubt.
    pub fn may_skip(&self, skip: &Skip) -> Result<(), SkipRefusal> {
        let cluster = self.registry.genesis.as_ref().ok_or(SkipRefusal::NoCluster)?.cluster;
        let mut before: Vec<ActorId> = Vec::new();
        for signed in &skip.signatures {
            let id = signed.actor;
            let actor = self.registry.actors.get(&id).copied().unwrap_or_default();
            let key = actor.key.ok_or(SkipRefusal::NoKey(id))?;
            if actor.roles & roles::ADMIN == 0 {
                return Err(SkipRefusal::NotEntitled(id));
            }
            if before.contains(&id) {
                return Err(SkipRefusal::SignedTwice(id));
            }
            if !skip.is_signed_by(cluster, &key, signed) {
                return Err(SkipRefusal::NotSigned(id));
            }
            before.push(id);
        }
        Ok(())
    }

    /// Whether anybody could decide to pass over a record, should this engine ever halt.
    #[must_use]
    pub fn has_signer(&self) -> bool {
        let mut actors = self.registry.actors.values();
        actors.any(|actor| actor.key.is_some() && actor.roles & roles::ADMIN != 0)
    }

    /// Takes what stands at a place of a frame: applies the record, or passes over it where one of `skips` is about these
    /// bytes and those who signed it may decide so. Where bytes are no record, what the frame counts behind them goes with them.
    ///
    /// # Errors
    /// [`CannotTake`]: the engine halts in front of `seq`.
    pub fn take(
        &mut self,
        (seq, time): (Seq, UnixNanos),
        record: &Result<Record<'_>, Unreadable<'_>>,
        skips: &Skips,
        events: &mut Vec<Event>,
    ) -> Result<(), CannotTake> {
        let about = |skip: &&Skip| skip.record_hash == blake3(&[bytes_at(record)]);
        let decisions = skips.get(&seq).map(Vec::as_slice).unwrap_or_default();
        let skip = decisions.iter().filter(about).find(|skip| self.may_skip(skip).is_ok());
        match (record, skip) {
            (Ok(record), None) => self.apply(seq, time, record, events),
            (Ok(record), Some(skip)) => self.skip(seq, time, Some(record), skip, events),
            (Err(unreadable), Some(skip)) => (0..u64::from(unreadable.records)).try_for_each(|place| {
                let seq = Seq(seq.0.saturating_add(place));
                self.skip(seq, time.plus(place), None, skip, events)
            }),
            (Err(unreadable), None) => return Err(CannotTake::NotARecord(unreadable.fault)),
        }
        .map_err(CannotTake::Invariant)
    }

    /// Passes over the record at `seq`, because those who signed `skip` may. `record` is absent where the
    /// bytes are none. Timers that are due wait for the next record; time does not go back.
    fn skip(
        &mut self,
        seq: Seq,
        time: UnixNanos,
        record: Option<&Record<'_>>,
        skip: &Skip,
        events: &mut Vec<Event>,
    ) -> Result<(), InvariantBroken> {
        self.check_place(seq)?;
        self.seq = seq;
        self.time = self.time.max(time);
        let mut effects = Effects::new(seq, self.time, events);
        effects.push(events::RecordSkipped { record_hash: skip.record_hash, reason: skip.reason });
        if let Some(record) = record {
            self.answer_skipped(record, &mut effects);
        }
        Ok(())
    }

    /// What the sender of a record that was passed over is told. Who does not number is told nothing, as ever.
    fn answer_skipped(&mut self, record: &Record<'_>, effects: &mut Effects<'_>) {
        if record.header.gateway.is_some_and(|from| self.admit(from).is_err()) {
            // A second copy: the first was executed, and answered.
            return;
        }
        if record.header.session == SessionId::SYSTEM {
            return;
        }
        let Some(row) = self.sessions.row(record.header.session) else { return };
        let session = self.sessions.rows.at_mut(row);
        if session.is_fix() {
            session.answer_skipped(record, effects);
            return;
        }
        if session.requests.look(record) == Known::New {
            let refusal = Refusal { reason: RejectReason::Skipped, about: About::Nothing };
            let reply = Reply::new(effects.seq, Some(refusal));
            session.requests.remember(record, reply.clone());
            effects.push(reply.event(record.header.session, record.header.request));
        }
    }
}

/// What a decision about a place names by its hash.
#[must_use]
pub fn bytes_at<'a>(record: &Result<Record<'a>, Unreadable<'a>>) -> &'a [u8] {
    match record {
        Ok(record) => record.bytes,
        Err(unreadable) => unreadable.bytes,
    }
}

impl Session {
    /// Uses the number, so that the record is not sent again, and says that it was passed over.
    fn answer_skipped(&mut self, record: &Record<'_>, effects: &mut Effects<'_>) {
        let number = record.header.request.0;
        if self.is_bound_by(&record.header) && number == self.next_in {
            self.expect(number.saturating_add(1));
            let note = "passed over by the operators of the exchange: it had no effect";
            self.send(
                effects,
                events::BusinessRejected {
                    ref_seq_num: number,
                    ref_msg_type: Text::EMPTY,
                    reason: 0,
                    ref_id: Text::EMPTY,
                    note: Text::truncated(note),
                    routing: RareText::EMPTY,
                },
            );
        }
    }
}
