//! What was fed and is not in the file yet.

use protocol::events::{AccountUpdated, MonitorTriggered, StandingOrderAttempted};
use protocol::rows::transfer_flags;
use protocol::{Amount, Seq, TransferId, UnixNanos};

use super::accounts::Definition;
use super::attempts::Attempt;
use super::bodies::BodyWriter;
use super::exchanges::Exchange;
use super::leg::Leg;
use super::movement::{Cause, Change, Closing, Movement, Place, Side};
use super::run::Entry;
use super::shift::{Reach, Shift};
use super::transfer_id::{Fate, Stage};
use super::triggers::Trigger;

/// Grows until it is written.
#[derive(Default)]
pub(crate) struct Buffer {
    pub(crate) accounts: Vec<Definition>,
    /// What was changed of accounts, by number, in order.
    pub(crate) updates: Vec<(u32, AccountUpdated)>,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) bodies: BodyWriter,
    pub(crate) movements: u64,
    legs: Vec<Leg>,
    fates: Vec<Fate>,
    shifts: Vec<Shift>,
    /// Of all shifts that ever came.
    pub(crate) shifted: Reach,
}

impl Buffer {
    /// Empty, in front of what the file goes on with.
    pub(crate) fn before(bodies: BodyWriter) -> Self {
        Self { bodies, ..Self::default() }
    }

    /// Takes a condition of a monitor that became true.
    pub(crate) fn triggered(&mut self, seq: Seq, time: UnixNanos, event: MonitorTriggered) {
        let before = self.triggers.last().filter(|before| before.seq == seq);
        let index = before.map_or(0, |before| before.index + 1);
        self.triggers.push(Trigger { seq, index, time, event });
    }

    /// Takes an attempt to execute a standing order.
    pub(crate) fn attempted(&mut self, seq: Seq, time: UnixNanos, event: StandingOrderAttempted) {
        let before = self.attempts.last().filter(|before| before.seq == seq);
        let index = before.map_or(0, |before| before.index + 1);
        self.attempts.push(Attempt { seq, index, time, event });
    }

    /// Takes a movement, and with it both legs.
    #[inline]
    pub(crate) fn movement(&mut self, movement: &Movement, change: Change, closing_flags: u16) {
        let Movement { place, debit, credit, .. } = *movement;
        let (code, expiry) = (movement.fields.code, movement.cause == Cause::Expiry);
        let closing = |flag| match change {
            _ if closing_flags & flag == 0 => Closing::No,
            Change::Settled { .. } => Closing::Reopens,
            Change::Posted(_) | Change::Reserved(_) => Closing::Closes,
        };
        for (account, counterparty, side, flag) in [
            (debit, credit, Side::Debit, transfer_flags::CLOSING_DEBIT),
            (credit, debit, Side::Credit, transfer_flags::CLOSING_CREDIT),
        ] {
            let closing = closing(flag);
            self.legs.push(Leg { account, counterparty, place, change, code, side, closing, expiry });
        }
        self.bodies.push(movement);
        self.movements += 1;
    }

    /// What a movement posted does not count from the business date on, but from its value date.
    pub(crate) fn shift(&mut self, movement: &Movement, posted: Amount, business_date: u32, value_date: u32) {
        let Movement { place, debit, credit, .. } = *movement;
        self.shifted = self.shifted.max(Reach::of(business_date, value_date));
        for (account, side) in [(debit, Side::Debit), (credit, Side::Credit)] {
            for (day, comes) in [(business_date, false), (value_date, true)] {
                self.shifts.push(Shift { account, day, place, side, amount: posted, comes });
            }
        }
    }

    pub(crate) fn stage(&mut self, id: TransferId, place: Place, stage: Stage) {
        self.fates.push(Fate { id, place, stage });
    }

    /// The legs by account, each account's in order.
    pub(crate) fn take_legs(&mut self) -> impl Iterator<Item = Leg> + use<> {
        let legs = std::mem::take(&mut self.legs);
        // Legs lie in the order of places: their numbers in the list sort what is left.
        let mut order: Vec<u64> =
            (0_u64..).zip(&legs).map(|(at, leg)| (u64::from(leg.account) << 32) | at).collect();
        order.sort_unstable();
        const AT: u64 = u32::MAX as u64;
        order.into_iter().filter_map(move |key| legs.get(usize::try_from(key & AT).ok()?).copied())
    }

    /// What became of transfers, by id.
    pub(crate) fn take_fates(&mut self) -> Vec<Fate> {
        let mut fates = std::mem::take(&mut self.fates);
        fates.sort_unstable_by_key(|fate| (fate.id, fate.place));
        fates
    }

    /// What counts from other days on, by account and day.
    pub(crate) fn take_shifts(&mut self) -> Vec<Shift> {
        let mut shifts = std::mem::take(&mut self.shifts);
        shifts.sort_unstable_by_key(Entry::key);
        shifts
    }

    /// Legs that wait.
    pub(crate) fn legs(&self) -> usize {
        self.legs.len()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let bodies = (self.bodies.full.len() + 1) * super::run::BLOCK_BYTES;
        self.legs.capacity() * (size_of::<Leg>() + size_of::<u64>())
            + self.fates.capacity() * size_of::<Fate>()
            + self.shifts.capacity() * size_of::<Shift>()
            + self.accounts.capacity() * size_of::<Definition>()
            + self.updates.capacity() * size_of::<(u32, AccountUpdated)>()
            + self.triggers.capacity() * size_of::<Trigger>()
            + self.attempts.capacity() * size_of::<Attempt>()
            + self.exchanges.capacity() * size_of::<Exchange>()
            + bodies
    }
}
