//! An administrator who sets the bank's calendar and closes its days: one command after the other, asked for until it is answered. A day
//! is asked for under other numbers too, because what it says makes it safe; a calendar is not, or an old one could come back.

use std::collections::BTreeMap;

use protocol::commands::{CloseDay, DefineActor, SetCalendar, roles};
use protocol::event::Event;
use protocol::events::Replied;
use protocol::record::RecordHeader;
use protocol::submit::Submit;
use protocol::{ActorId, Command, EventBody, MonoNanos, RejectReason, RequestNumber, Seq, SessionId};

use super::payments;
use crate::calendar::{Calendar, SECONDS_PER_DAY};
use crate::checkers::{Violation, ensure};
use crate::clock::truth;
use crate::knobs::Knobs;
use crate::rng::Rng;
use crate::trace::Trace;

const NAME: &str = "days_closed_once";

/// Commands of a world, at most; as many more for each [`MORE_EVERY_NS`] that it lasts.
const COMMANDS_MAX: u64 = 20;
const MORE_EVERY_NS: u64 = 20_000_000_000;
const SESSION: SessionId = SessionId(98);
const ACTOR: ActorId = ActorId(98);
/// An answer that does not come for so long is not waited for any more.
const ANSWER_NS: u64 = 400_000_000;
/// Holidays lie so many days from the present one at most.
const HOLIDAYS_WITHIN: u32 = 2;
/// Local midnight comes so many seconds from now at most, where it comes at all.
const MIDNIGHT_S_MAX: u64 = 4;
const NOON_S: u64 = SECONDS_PER_DAY / 2;

/// What is to come of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Done,
    /// It is so already.
    Known,
    /// The day or the next one is wrong.
    Refused,
}

/// A command that was asked for.
#[derive(Debug)]
struct Ask {
    command: Command,
    expected: Expected,
    /// Under how many numbers.
    numbers: u64,
    /// Under whose reign it was taken first, and sent last; 0 = it found no room.
    reigns: (u64, u64),
    sent_at: MonoNanos,
    /// Where it was done.
    done: Option<Seq>,
    is_answered: bool,
}

/// The administrator.
pub struct Days {
    rng: Rng,
    trace: Trace,
    /// Commands that are still to be made.
    left: u64,
    pause_us_max: u64,
    next_at: MonoNanos,
    /// The last one may be without an answer.
    asks: Vec<Ask>,
    /// Which command a number was used for.
    requests: BTreeMap<u64, usize>,
    /// As the answers tell it.
    calendar: Option<SetCalendar>,
    closed: Option<CloseDay>,
    known: Vec<(Seq, Command)>,
}

impl Days {
    pub(crate) fn new(mut rng: Rng, knobs: Knobs, trace: Trace) -> Self {
        let times = 1 + knobs.faults_ns / MORE_EVERY_NS;
        let left = if knobs.payments { times * rng.within(4..=COMMANDS_MAX) } else { 0 };
        let pause_us_max = (2 * knobs.faults_ns / 1_000 / left.max(1)).max(20);
        Self {
            rng,
            trace,
            left,
            pause_us_max,
            next_at: MonoNanos(0),
            asks: Vec::new(),
            requests: BTreeMap::new(),
            calendar: None,
            closed: None,
            known: Vec::new(),
        }
    }

    /// What it was told to be done, and where.
    pub(crate) fn known(&self) -> &[(Seq, Command)] {
        &self.known
    }

    /// No new commands.
    pub(crate) fn stop(&mut self) {
        self.left = 0;
    }

    fn unanswered(&self) -> Option<&Ask> {
        self.asks.last().filter(|ask| !ask.is_answered)
    }

    /// Commands that wait for an answer.
    pub(crate) fn open(&self) -> usize {
        usize::from(self.unanswered().is_some())
    }

    pub(crate) fn next_at(&self) -> Option<MonoNanos> {
        (self.left > 0 || self.open() > 0).then_some(self.next_at)
    }

    /// Whether somebody has not answered for so long that another should be asked.
    pub(crate) fn is_impatient(&self, now: MonoNanos) -> bool {
        self.unanswered().is_some_and(|ask| ask.reigns.1 > 0 && now.since(ask.sent_at) > ANSWER_NS)
    }

    /// Sends what is due, under this `reign`. Returns whether it sent anything.
    pub(crate) fn act(&mut self, now: MonoNanos, reign: u64, submit: &mut impl Submit) -> bool {
        if self.next_at().is_none() || now < self.next_at {
            return false;
        }
        let pause_us_max = if self.left > 0 { self.pause_us_max } else { 20_000 };
        self.next_at = now.plus(self.rng.within(20..=pause_us_max) * 1_000);
        let Some(ask) = self.unanswered() else {
            let (command, expected) = self.next_command(now);
            self.left -= 1;
            let (numbers, reigns, sent_at) = (0, (0, 0), now);
            self.asks.push(Ask {
                command,
                expected,
                numbers,
                reigns,
                sent_at,
                done: None,
                is_answered: false,
            });
            self.send(now, reign, true, submit);
            return true;
        };
        let is_unknown = ask.reigns.1 != reign || now.since(ask.sent_at) > ANSWER_NS;
        let may_have_another = matches!(ask.command, Command::CloseDay(_)) && ask.reigns.1 > 0;
        if is_unknown {
            let has_another = may_have_another && self.rng.coin();
            self.send(now, reign, has_another, submit);
        }
        is_unknown
    }

    /// Sends the last command, under its number or under another one.
    fn send(&mut self, now: MonoNanos, reign: u64, under_another: bool, submit: &mut impl Submit) {
        let place = self.asks.len() - 1;
        let Some(ask) = self.asks.last_mut() else { return };
        if under_another {
            self.requests.insert(self.requests.len() as u64 + 1, place);
            ask.numbers += 1;
        }
        let request = RequestNumber(self.requests.len() as u64);
        let header = RecordHeader { session: SESSION, request, ..RecordHeader::default() };
        if submit.submit(&header, now, &ask.command).is_ok() {
            let first = if ask.reigns.0 > 0 { ask.reigns.0 } else { reign };
            (ask.reigns, ask.sent_at) = ((first, reign), now);
            self.trace.note("day", request.0, reign);
        }
    }

    fn next_command(&mut self, now: MonoNanos) -> (Command, Expected) {
        let Some(present) = self.calendar.clone() else {
            let business_date = (truth(now).0 / 1_000_000_000 / SECONDS_PER_DAY) as u32;
            return (self.next_calendar(now, business_date).into(), Expected::Done);
        };
        let day = present.business_date;
        let calendar = Calendar::of(&present);
        let open_from = |first: u32| (first..).find(|day| calendar.is_open(*day)).unwrap_or(first);
        let close = |business_date, next| CloseDay { business_date, next }.into();
        match self.rng.below(8) {
            0..=2 => {
                let next = self.next_calendar(now, day);
                let is_known = next == present;
                (next.into(), if is_known { Expected::Known } else { Expected::Done })
            }
            3 => {
                let closed = (day + 1..day + 8).find(|day| !calendar.is_open(*day));
                match (self.rng.below(3), self.closed.clone(), closed) {
                    (0, Some(closed), _) => (closed.into(), Expected::Known),
                    (1, _, Some(holiday)) => (close(day, holiday), Expected::Refused),
                    (2, _, _) => (close(day, day), Expected::Refused),
                    _ => (close(day + 1, open_from(day + 2)), Expected::Refused),
                }
            }
            _ => (close(day, open_from(day + 1)), Expected::Done),
        }
    }

    /// Another calendar: now and then local midnight is near, and the bank is closed on some of the days around it.
    fn next_calendar(&mut self, now: MonoNanos, business_date: u32) -> SetCalendar {
        let since_noon_s = (truth(now).0 / 1_000_000_000 % SECONDS_PER_DAY).saturating_sub(NOON_S);
        let soon_s = since_noon_s + self.rng.within(1..=MIDNIGHT_S_MAX);
        let (utc_offset_s, behind_utc) = match self.rng.below(6) {
            0 => (NOON_S.saturating_sub(soon_s), false),
            1 => (NOON_S + soon_s, true),
            2 | 3 => (self.rng.within(1..=MIDNIGHT_S_MAX), self.rng.coin()),
            _ => (0, false),
        };
        let utc_offset_s = utc_offset_s as u32;
        let clock = SetCalendar {
            business_date,
            weekend_days: 0,
            holidays: Vec::new(),
            value_back_days_max: self.rng.within(0..=3) as u16,
            value_ahead_days_max: self.rng.within(0..=3) as u16,
            utc_offset_s,
            behind_utc: behind_utc && utc_offset_s > 0,
        };
        let today = Calendar::of(&clock).local_day(truth(now));
        let around = today - HOLIDAYS_WITHIN..=today + HOLIDAYS_WITHIN;
        let holidays = around.filter(|_| self.rng.below(3) == 0).collect();
        let some_day = 1 << self.rng.below(7);
        let weekend_days = self.rng.pick(&[0, 0, 0x60, some_day]);
        SetCalendar { weekend_days, holidays, ..clock }
    }

    /// Something left a process, when there had been so many reigns: perhaps an answer.
    ///
    /// # Errors
    /// [`Violation`] if that is not what has to come of it.
    pub(crate) fn take(&mut self, event: &Event, reigns: u64) -> Result<(), Violation> {
        if let EventBody::DayClosed(closed) = &event.body {
            if closed.totals.iter().any(|totals| totals.debits_pending.0 > 0) {
                self.trace.sometimes("day closed while transfers were pending");
            }
            Ok(())
        } else if let EventBody::Replied(reply) = &event.body
            && reply.session == SESSION
        {
            self.answered(reply, reigns)
        } else {
            Ok(())
        }
    }

    fn answered(&mut self, reply: &Replied, reigns: u64) -> Result<(), Violation> {
        let place = self.requests.get(&reply.request.0).copied();
        let Some(ask) = place.and_then(|place| self.asks.get_mut(place)) else {
            return Err(Violation { invariant: NAME, what: format!("never sent: {reply:?}") });
        };
        let is_expected = match reply.refusal {
            // Under whichever number, it is done once.
            None => ask.expected == Expected::Done && ask.done.is_none_or(|at| at == reply.effective_seq),
            Some(RejectReason::Exists) => ask.expected == Expected::Known || ask.numbers > 1,
            // One of several numbers may come when another day is booked on.
            Some(RejectReason::FieldOutOfRange) => {
                ask.expected == Expected::Refused || (ask.is_answered && ask.numbers > 1)
            }
            Some(_) => false,
        };
        ensure(is_expected, NAME, || format!("{reply:?} to {ask:?}"))?;
        if reply.refusal.is_none() && ask.done.is_none() {
            ask.done = Some(reply.effective_seq);
            self.known.push((reply.effective_seq, ask.command.clone()));
        }
        if std::mem::replace(&mut ask.is_answered, true) {
            return Ok(());
        }
        let is_late = ask.reigns.0 < reigns;
        if reply.refusal == Some(RejectReason::FieldOutOfRange) {
            self.trace.sometimes("closing of a wrong day refused");
        } else if ask.expected == Expected::Known {
            self.trace.sometimes("day closed or calendar set already");
        } else if let Command::CloseDay(close) = &ask.command {
            self.trace.sometimes("day closed");
            if is_late {
                self.trace.sometimes("day closed under another reign than it was asked for");
            }
            if reply.refusal.is_some() {
                self.trace.sometimes("day found closed after its answer was lost");
            }
            self.calendar.iter_mut().for_each(|calendar| calendar.business_date = close.next);
            self.closed = Some(close.clone());
        } else if let Command::SetCalendar(set) = &ask.command {
            self.trace.sometimes(if self.calendar.is_some() { "calendar set anew" } else { "calendar set" });
            self.calendar = Some(set.clone());
        }
        Ok(())
    }
}

/// What has to be defined for it.
pub(super) fn setup() -> [Command; 2] {
    [
        DefineActor { actor: ACTOR, roles: roles::ADMIN }.into(),
        payments::session(SESSION, ACTOR, "DAYS").into(),
    ]
}
