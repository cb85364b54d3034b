//! What gateway processes were told last. Every replica keeps it, so that whoever leads next can tell a gateway what it
//! missed: the events of the log are the same everywhere, and outputs alone, which the outbox has, do not say that a session was
//! opened, refused or closed.

use std::collections::{BTreeMap, VecDeque};

use engine::Engine;
use protocol::event::Event;
use protocol::limits::LINK_HISTORY_BYTES_MAX;
use protocol::link::Cursor;
use protocol::{EventBody, GatewayId, Seq, SessionId};

/// For whom an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// One gateway.
    One(GatewayId),
    /// All: something was defined.
    All,
}

struct Kept {
    seq: Seq,
    audience: Audience,
    /// As [`Event::write`] wrote it.
    bytes: Box<[u8]>,
}

/// The newest events that concern gateway processes.
pub(crate) struct History {
    /// Sessions whose connection belongs to a process.
    gateways: BTreeMap<SessionId, GatewayId>,
    events: VecDeque<Kept>,
    bytes: usize,
    bytes_max: usize,
    /// Events of later commands are all here.
    floor: Seq,
    /// The Logout of a session that nobody holds: it belongs to the refusal right behind it.
    unclaimed: Option<(Seq, SessionId, Box<[u8]>)>,
}

/// What an event counts beside its bytes.
const OVERHEAD_BYTES: usize = 48;

impl History {
    /// Begins behind the state of `engine`.
    pub(crate) fn behind(engine: &Engine) -> Self {
        let held = engine.held_by_gateways();
        Self {
            gateways: held.collect(),
            events: VecDeque::new(),
            bytes: 0,
            bytes_max: LINK_HISTORY_BYTES_MAX,
            floor: engine.seq_applied(),
            unclaimed: None,
        }
    }

    /// Takes an event, and its bytes, if it concerns a gateway process.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all else concerns a gateway if it is a session's output"
    )]
    pub(crate) fn take(&mut self, event: &Event, bytes: &[u8]) {
        let holder = |session| self.gateways.get(session).copied().map(Audience::One);
        let audience = match &event.body {
            EventBody::SessionOpened(opened) => {
                let gateway = GatewayId::of_connection(opened.connection);
                if gateway == GatewayId::IN_NODE {
                    self.gateways.remove(&opened.session);
                    return;
                }
                self.gateways.insert(opened.session, gateway);
                Some(Audience::One(gateway))
            }
            EventBody::SessionRefused(refused) => {
                let gateway = GatewayId::of_connection(refused.connection);
                let before = self.unclaimed.take();
                if gateway == GatewayId::IN_NODE {
                    return;
                }
                let logout =
                    before.filter(|(seq, session, _)| (*seq, *session) == (event.seq, refused.session));
                if let Some((seq, _, logout)) = logout {
                    self.keep(seq, Audience::One(gateway), logout);
                }
                Some(Audience::One(gateway))
            }
            EventBody::SessionClosed(closed) => self.gateways.remove(&closed.session).map(Audience::One),
            EventBody::ResendDue(due) => holder(&due.session),
            EventBody::AssetDefined(_) | EventBody::MarketDefined(_) | EventBody::SessionDefined(_) => {
                Some(Audience::All)
            }
            body => {
                let Some(number) = event.output else { return };
                let audience = holder(&number.session);
                if audience.is_none() && matches!(body, EventBody::LogoutSent(_)) {
                    self.unclaimed = Some((event.seq, number.session, bytes.into()));
                }
                audience
            }
        };
        if let Some(audience) = audience {
            self.keep(event.seq, audience, bytes.into());
        }
    }

    fn keep(&mut self, seq: Seq, audience: Audience, bytes: Box<[u8]>) {
        self.bytes += bytes.len() + OVERHEAD_BYTES;
        self.events.push_back(Kept { seq, audience, bytes });
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.events.pop_front() else { return };
            self.bytes -= oldest.bytes.len() + OVERHEAD_BYTES;
            self.floor = oldest.seq;
        }
    }

    /// Whether everything behind a place is still here.
    pub(crate) fn reaches(&self, cursor: Cursor) -> bool {
        cursor.through >= self.floor
    }

    /// Appends what comes for a gateway behind `cursor`, up to about `bytes_max` but at least one event, and returns the place
    /// behind it; `applied` is how far the engine is. `looks` is lowered by each event that was looked at; with none left it
    /// stops behind a whole command, but at least one.
    pub(crate) fn read(
        &self,
        gateway: GatewayId,
        cursor: Cursor,
        applied: Seq,
        bytes_max: usize,
        looks: &mut usize,
        out: &mut Vec<u8>,
    ) -> Cursor {
        let from = self.events.partition_point(|kept| kept.seq <= cursor.through);
        let mut at = cursor;
        let (mut seq, mut of_seq, mut passed) = (cursor.through, 0, 0);
        let start = out.len();
        for kept in self.events.range(from..) {
            if kept.seq != seq {
                if *looks == 0 && seq != cursor.through {
                    return Cursor { through: Seq(kept.seq.0.saturating_sub(1)), plus: 0 };
                }
                (seq, of_seq) = (kept.seq, 0);
            }
            *looks = looks.saturating_sub(1);
            let concerns = matches!(kept.audience, Audience::All) || kept.audience == Audience::One(gateway);
            if !concerns {
                continue;
            }
            of_seq += 1;
            passed += 1;
            if passed <= cursor.plus {
                continue;
            }
            if out.len() > start && out.len() - start + kept.bytes.len() > bytes_max {
                return at;
            }
            out.extend_from_slice(&kept.bytes);
            at = Cursor { through: Seq(seq.0.saturating_sub(1)), plus: of_seq };
        }
        Cursor { through: applied, plus: 0 }
    }
}

#[cfg(test)]
mod tests {
    use protocol::event::OutputNumber;
    use protocol::{Generation, OutSeq, SessionEnd, SessionEpoch, Text, UnixNanos, events};

    use super::*;

    const ALICE: SessionId = SessionId(16);
    const BOB: SessionId = SessionId(17);
    const CAROL: SessionId = SessionId(18);
    const FIRST: GatewayId = GatewayId(1);
    const SECOND: GatewayId = GatewayId(2);

    fn event(seq: u64, body: impl Into<EventBody>) -> Event {
        Event { output: None, seq: Seq(seq), time: UnixNanos(seq), body: body.into() }
    }

    fn output(seq: u64, session: SessionId, body: impl Into<EventBody>) -> Event {
        let number = OutputNumber { session, epoch: SessionEpoch(1), out_seq: OutSeq(seq) };
        Event { output: Some(number), ..event(seq, body) }
    }

    fn opened(seq: u64, session: SessionId, gateway: GatewayId) -> Event {
        let opened = events::SessionOpened {
            session,
            connection: gateway.connections_from() + 2,
            generation: Generation(1),
            epoch: SessionEpoch(1),
            next_in: 2,
            next_out: OutSeq(1),
            heartbeat_s: 30,
            resend_from: 0,
        };
        event(seq, opened)
    }

    fn beat(seq: u64, session: SessionId) -> Event {
        output(seq, session, events::HeartbeatSent { test_req_id: Text::EMPTY })
    }

    fn logout(seq: u64, session: SessionId) -> Event {
        output(seq, session, events::LogoutSent { end: SessionEnd::SequenceTooLow, expected: 2, received: 1 })
    }

    fn refused(seq: u64, session: SessionId, gateway: GatewayId) -> Event {
        let connection = gateway.connections_from() + 3;
        event(seq, events::SessionRefused { session, connection, end: SessionEnd::SequenceTooLow })
    }

    fn closed(seq: u64, session: SessionId) -> Event {
        let generation = Generation(1);
        event(seq, events::SessionClosed { session, generation, end: SessionEnd::Lost })
    }

    /// What happens, and for whom it is.
    fn story() -> Vec<(Event, &'static [GatewayId])> {
        const NOBODY: &[GatewayId] = &[];
        let definition = protocol::commands::DefineAsset {
            asset: protocol::AssetId(1),
            code: Text::truncated("BTC"),
            scale: 8,
        };
        vec![
            (event(1, events::AssetDefined { definition }), &[FIRST, SECOND]),
            (opened(2, ALICE, FIRST), &[FIRST]),
            (beat(2, ALICE), &[FIRST]),
            (opened(3, BOB, SECOND), &[SECOND]),
            (opened(3, CAROL, GatewayId::IN_NODE), NOBODY),
            (beat(3, CAROL), NOBODY),
            (beat(4, BOB), &[SECOND]),
            (beat(4, ALICE), &[FIRST]),
            (beat(4, ALICE), &[FIRST]),
            (beat(4, ALICE), &[FIRST]),
            (closed(5, ALICE), &[FIRST]),
            (beat(5, ALICE), NOBODY),
            (logout(6, ALICE), &[SECOND]),
            (refused(6, ALICE, SECOND), &[SECOND]),
            (logout(7, ALICE), NOBODY),
            (refused(7, ALICE, GatewayId::IN_NODE), NOBODY),
            (refused(8, ALICE, FIRST), &[FIRST]),
            (opened(9, ALICE, SECOND), &[SECOND]),
            (logout(10, ALICE), &[SECOND]),
            (closed(10, ALICE), &[SECOND]),
        ]
    }

    fn of_story() -> History {
        let mut history = History::behind(&Engine::new());
        for (event, _) in story() {
            let mut bytes = Vec::new();
            event.write(&mut bytes);
            history.take(&event, &bytes);
        }
        history
    }

    fn told(history: &History, gateway: GatewayId, cursor: Cursor, bytes_max: usize) -> (Cursor, Vec<Event>) {
        let mut bytes = Vec::new();
        let mut looks = usize::MAX;
        let behind = history.read(gateway, cursor, Seq(10), bytes_max, &mut looks, &mut bytes);
        (behind, protocol::link::events(&bytes).unwrap_or_default())
    }

    #[test]
    fn each_gateway_is_told_its_own_from_wherever_it_had_come_to() {
        let history = of_story();
        for gateway in [FIRST, SECOND] {
            let story = story().into_iter().filter(|(_, whose)| whose.contains(&gateway));
            let expected: Vec<Event> = story.map(|(event, _)| event).collect();
            assert_eq!(told(&history, gateway, Cursor::default(), usize::MAX).1, expected);
            // One at a time, and from each of these places all that is left.
            let (mut cursor, mut one_by_one) = (Cursor::default(), Vec::new());
            loop {
                let rest = told(&history, gateway, cursor, usize::MAX);
                assert_eq!(rest.1, expected[one_by_one.len()..], "{cursor:?}");
                let (behind, events) = told(&history, gateway, cursor, 1);
                one_by_one.extend(events);
                if behind.through == Seq(10) {
                    break;
                }
                assert_ne!(behind, cursor);
                cursor = behind;
            }
            assert_eq!(one_by_one, expected);
        }
    }

    #[test]
    fn a_bounded_look_passes_over_nothing() {
        let history = of_story();
        for gateway in [FIRST, SECOND] {
            for looks in 1..12 {
                let (mut cursor, mut found, mut turns) = (Cursor::default(), Vec::new(), 0);
                while cursor.through != Seq(10) {
                    let mut left = looks;
                    let behind = history.read(gateway, cursor, Seq(10), usize::MAX, &mut left, &mut found);
                    assert!(behind.through > cursor.through, "{cursor:?} with {looks}");
                    cursor = behind;
                    turns += 1;
                }
                assert!(looks > 1 || turns > 3);
                let all = told(&history, gateway, Cursor::default(), usize::MAX).1;
                assert_eq!(protocol::link::events(&found), Ok(all));
            }
        }
    }

    #[test]
    fn what_is_forgotten_is_not_passed_over_in_silence() {
        let mut history = History { bytes_max: 1_000, ..History::behind(&Engine::new()) };
        let take = |history: &mut History, event: &Event| {
            let mut bytes = Vec::new();
            event.write(&mut bytes);
            history.take(event, &bytes);
        };
        take(&mut history, &opened(1, ALICE, FIRST));
        assert!(history.reaches(Cursor::default()));
        for seq in 2..=50 {
            take(&mut history, &beat(seq, ALICE));
            assert!(history.bytes <= history.bytes_max);
            let newest = Cursor { through: Seq(seq - 1), plus: 0 };
            assert!(history.reaches(newest));
            let kept = history.events.front().map(|kept| kept.seq);
            assert_eq!(kept, Some(history.floor.next()), "all behind the floor is here");
        }
        assert!(!history.reaches(Cursor::default()));
    }
}
