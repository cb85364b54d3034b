//! The chart of accounts: what an account's code stands for, and so which accounts may have it.
//!
//! Without a chart a code is any number. Once it has one code, in whatever ledger, every account that is created or gets another code must
//! have one that the chart has. What was there before stays as it is; no code of the chart ever contradicts an account that has it, because
//! what would is refused.

use std::collections::BTreeMap;

use protocol::commands::SetAccountCode;
use protocol::limits::ACCOUNT_CODES_MAX;
use protocol::rows::account_flags::{CREDITS_MUST_NOT_EXCEED_DEBITS, DEBITS_MUST_NOT_EXCEED_CREDITS};
use protocol::{AccountClass, AssetId, LedgerRefusal, NormalSide, RejectReason, events};

use super::totals::Slice;
use super::{Ledger, Registry};
use crate::broken::{Broken, Stop, ensure, ensure_field, refuse_field};
use crate::effects::Effects;

/// The ledger of a code that means the same in all of them.
const EVERY_LEDGER: AssetId = AssetId(0);

/// What the codes stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chart {
    /// By code, then by ledger. No code stands both for every ledger and for one.
    entries: BTreeMap<(u16, AssetId), SetAccountCode>,
}

impl Chart {
    /// What was said of a code in a ledger, or in every one.
    pub(crate) fn entry(&self, ledger: AssetId, code: u16) -> Option<&SetAccountCode> {
        self.entries.get(&(code, ledger))
    }

    /// What a code stands for in a ledger.
    fn meaning(&self, ledger: AssetId, code: u16) -> Option<&SetAccountCode> {
        self.entry(EVERY_LEDGER, code).or_else(|| self.entry(ledger, code))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All of it from a code and a ledger on, by code, then by ledger.
    pub(crate) fn range(&self, first: (u16, AssetId)) -> impl Iterator<Item = &SetAccountCode> {
        self.entries.range(first..).map(|(_, entry)| entry)
    }

    pub(crate) fn insert(&mut self, entry: SetAccountCode) {
        self.entries.insert((entry.code, entry.ledger), entry);
    }

    /// Refuses a code that an account must not have.
    pub(super) fn judge(
        &self,
        ledger: AssetId,
        code: u16,
        class: AccountClass,
        flags: u16,
    ) -> Result<(), LedgerRefusal> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let meaning = self.meaning(ledger, code).ok_or(LedgerRefusal::CodeNotFound)?;
        if meaning.classes & class.bit() == 0 {
            return Err(LedgerRefusal::CodeExcludesClass);
        }
        if meaning.normal_side.is_some_and(|side| flags & limit_against(side) != 0) {
            return Err(LedgerRefusal::LimitAgainstNormalSide);
        }
        Ok(())
    }

    /// Whether a code stands for something in every ledger, where it is set for one, or in one, where it is set for every.
    fn is_set_elsewhere(&self, ledger: AssetId, code: u16) -> bool {
        let mut of_code = self.entries.range((code, AssetId(0))..=(code, AssetId(u32::MAX)));
        of_code.any(|((_, other), _)| (*other == EVERY_LEDGER) != (ledger == EVERY_LEDGER))
    }
}

/// The limit that keeps an account from ever standing on this side.
const fn limit_against(side: NormalSide) -> u16 {
    match side {
        NormalSide::Debit => DEBITS_MUST_NOT_EXCEED_CREDITS,
        NormalSide::Credit => CREDITS_MUST_NOT_EXCEED_DEBITS,
    }
}

/// Whether an account of a slice has a limit against this side.
const fn is_limited_against(slice: &Slice, side: NormalSide) -> bool {
    match side {
        NormalSide::Debit => slice.debits_limited > 0,
        NormalSide::Credit => slice.credits_limited > 0,
    }
}

/// Refuses an entry that means nothing.
fn check_entry(entry: &SetAccountCode) -> Result<(), Stop> {
    let &SetAccountCode { code, kind, normal_side, classes, ref name, .. } = entry;
    ensure_field(code != 0, "code")?;
    let Some(kind) = kind else {
        // Taken away: there is nothing more to say.
        ensure_field(normal_side.is_none(), "normal_side")?;
        ensure_field(classes == 0, "classes")?;
        return ensure_field(name.is_empty(), "name");
    };
    let is_possible =
        normal_side.is_some() && kind.normal_side().is_none_or(|side| Some(side) == normal_side);
    ensure_field(is_possible, "normal_side")?;
    ensure_field(classes != 0 && classes & !kind.classes() == 0, "classes")
}

/// The first field of an entry that contradicts the accounts that have its code.
fn contradiction<'s>(
    entry: &SetAccountCode,
    before: Option<&SetAccountCode>,
    mut slices: impl Iterator<Item = &'s Slice>,
) -> Option<&'static str> {
    slices.find_map(|slice| {
        let differs = |field: fn(&SetAccountCode) -> Option<u8>| {
            before.is_some_and(|before| field(before) != field(entry))
        };
        let against = entry.normal_side.is_some_and(|side| is_limited_against(slice, side));
        if differs(|of| of.kind.map(|kind| kind.code())) {
            Some("kind")
        } else if against || differs(|of| of.normal_side.map(|side| side.code())) {
            Some("normal_side")
        } else if entry.classes & slice.class.bit() == 0 {
            Some("classes")
        } else {
            None
        }
    })
}

impl Ledger {
    /// Sets what a code stands for, or that it stands for nothing. What accounts that have it are, stays so.
    pub(crate) fn set_account_code(
        &mut self,
        command: &SetAccountCode,
        registry: &Registry,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &SetAccountCode { ledger, code, kind, .. } = command;
        check_entry(command)?;
        let is_known = ledger == EVERY_LEDGER || registry.asset(ledger).is_some();
        ensure(is_known, RejectReason::UnknownAsset)?;
        let before = self.chart.entry(ledger, code);
        let is_same = before.map_or(kind.is_none(), |before| before == command);
        ensure(!is_same, RejectReason::Exists)?;
        let elsewhere = refuse_field(RejectReason::ExistsWithDifferent, "ledger");
        if self.chart.is_set_elsewhere(ledger, code) {
            return Err(elsewhere);
        }
        let slices =
            self.accounts.totals.of_code(Some(ledger).filter(|ledger| *ledger != EVERY_LEDGER), code);
        if let Some(field) = contradiction(command, before, slices) {
            return Err(refuse_field(RejectReason::AccountCodeInUse, field));
        }
        ensure(before.is_some() || self.chart.len() < ACCOUNT_CODES_MAX, RejectReason::TableFull)?;
        if kind.is_some() {
            self.chart.insert(command.clone());
        } else {
            self.chart.entries.remove(&(code, ledger));
        }
        effects.push(events::AccountCodeSet { entry: command.clone() });
        Ok(())
    }

    /// Every code of the chart means something, in every ledger or in one, and no account contradicts it.
    pub(super) fn check_chart(&self) -> Result<(), Broken> {
        let is_sound = |entry: &SetAccountCode| {
            let &SetAccountCode { ledger, code, kind, .. } = entry;
            let mut slices =
                self.accounts.totals.of_code(Some(ledger).filter(|ledger| *ledger != EVERY_LEDGER), code);
            let allows = |slice: &Slice| {
                entry.classes & slice.class.bit() != 0
                    && entry.normal_side.is_none_or(|side| !is_limited_against(slice, side))
            };
            kind.is_some()
                && check_entry(entry).is_ok()
                && !self.chart.is_set_elsewhere(ledger, code)
                && slices.all(allows)
        };
        let mut entries = self.chart.entries.iter();
        let is_sound = entries.all(|(key, entry)| *key == (entry.code, entry.ledger) && is_sound(entry));
        if is_sound { Ok(()) } else { Err(Broken::Index { what: "chart of accounts" }) }
    }
}
