//! Random commands of a bank: mostly such as could be right, and one fault in some of them.

use std::collections::BTreeSet;

use protocol::calendar::DAY_MAX;
use protocol::commands::{
    CloseDay, DefineMonitor, RemoveMonitor, SetAccountCode, SetCalendar, SetOverdraft, UpdateAccount,
};
use protocol::rows::account_flags;
use protocol::{
    AccountClass, AccountId, AccountKind, Amount, AssetId, MonitorField, MonitorId, MonitorOperator,
    NormalSide, Text,
};

use super::flow::{Flow, LEDGERS, NO_LEDGER, Step};
use super::model::Model;

/// The first business date: a Wednesday.
const FIRST_DAY: u32 = 20_000;
const MONITORS: u64 = 40;
/// No account has it.
const NOBODY: AccountId = AccountId(9_999);

impl Flow {
    pub(super) fn bank(&mut self, model: &Model) -> Step {
        let sender = match self.numbers.below(10) {
            0 => Some(self.sender(50)),
            _ => None,
        };
        let command = match self.numbers.below(23) {
            20.. if self.has_chart => self.account_code(model).into(),
            0..=5 => self.overdraft(model).into(),
            6..=9 => self.update(model).into(),
            10..=11 => self.calendar(model).into(),
            12..=13 => self.close(model).into(),
            14..=18 => self.monitor(model).into(),
            _ => RemoveMonitor { monitor: MonitorId(self.numbers.between(1, MONITORS)) }.into(),
        };
        if self.numbers.chance(10)
            && let Some(again) = self.last_bank.clone()
        {
            return Step::Bank(sender, again);
        }
        self.last_bank = Some(command);
        Step::Bank(sender, self.last_bank.clone().unwrap())
    }

    /// A day on which something may take value, or nearly.
    pub(super) fn day_around(&mut self, model: &Model) -> u32 {
        let present = model.bank.calendar.as_ref().map_or(FIRST_DAY, |calendar| calendar.business_date);
        present - 6 + u32::try_from(self.numbers.below(13)).unwrap()
    }

    fn an_account(&mut self, model: &Model, is_limited: bool) -> AccountId {
        let may = |flags: u16| !is_limited || flags & account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS != 0;
        let accounts: Vec<_> = model.accounts.values().filter(|account| may(account.row.flags)).collect();
        if accounts.is_empty() || self.numbers.chance(4) {
            return NOBODY;
        }
        self.numbers.pick(&accounts).row.id
    }

    fn overdraft(&mut self, model: &Model) -> SetOverdraft {
        let is_limited = self.numbers.chance(90);
        let account = self.an_account(model, is_limited);
        let numbers = &mut self.numbers;
        let line = |numbers: &mut crate::numbers::Numbers| match numbers.below(6) {
            0..=1 => 0,
            2 => u128::MAX >> numbers.below(100),
            _ => u128::from(numbers.between(1, 2_000)),
        };
        let has_temporary = numbers.chance(50);
        // At an odd nanosecond, at which nothing else happens, or at the very time of an expiry.
        let expiries: Vec<u64> = model.pending().filter_map(|(_, pending)| pending.deadline).collect();
        let until = if numbers.chance(30) && !expiries.is_empty() {
            *numbers.pick(&expiries)
        } else {
            model.time + numbers.between(1, 5_000_000) * 1_000 + 1
        };
        let mut set = SetOverdraft {
            account,
            agreed: Amount(line(numbers)),
            temporary: Amount(if has_temporary { u128::from(numbers.between(1, 500)) } else { 0 }),
            temporary_until_ns: if has_temporary { until } else { 0 },
            interest_code: u16::try_from(numbers.below(3)).unwrap(),
        };
        if set.agreed.0 == 0 && !has_temporary && numbers.chance(80) {
            set.interest_code = 0;
        }
        match numbers.below(30) {
            0 => set.temporary = Amount(u128::MAX),
            1 => set.temporary_until_ns = model.time,
            2 => set.temporary_until_ns = 0,
            3 => set.temporary = Amount(0),
            _ => {}
        }
        set
    }

    fn update(&mut self, model: &Model) -> UpdateAccount {
        let account = self.an_account(model, false);
        let numbers = &mut self.numbers;
        UpdateAccount {
            account,
            code: u16::try_from(numbers.below(4)).unwrap(),
            user_data_128: numbers.below(2).into(),
            user_data_64: numbers.below(2),
            user_data_32: u32::try_from(numbers.below(2)).unwrap(),
        }
    }

    /// Mostly of what accounts have, and sometimes what takes it away again.
    fn account_code(&mut self, model: &Model) -> SetAccountCode {
        use AccountKind as K;
        let said: Vec<_> = model.bank.chart.values().cloned().collect();
        let numbers = &mut self.numbers;
        if !said.is_empty() && numbers.chance(50) {
            let mut set = numbers.pick(&said).clone();
            match numbers.below(8) {
                0..=1 => (set.kind, set.normal_side, set.classes, set.name) = (None, None, 0, Text::EMPTY),
                2 => set.ledger = AssetId(if set.ledger.0 == 0 { LEDGERS[0] } else { 0 }),
                3 => set.name = Text::new(*numbers.pick(&["one", "two"])).unwrap(),
                4 => set.classes &= set.classes - 1,
                5 => set.classes = set.kind.map_or(0, K::classes),
                6 => set.kind = Some(if set.kind == Some(K::Crypto) { K::Checking } else { K::Crypto }),
                _ => set.normal_side = Some(*numbers.pick(&[NormalSide::Debit, NormalSide::Credit])),
            }
            return set;
        }
        let kinds = [K::Checking, K::Loan, K::Crypto, K::Nostro, K::TaxIncome, K::Liquidity];
        let kind = *numbers.pick(&kinds);
        let side = *numbers.pick(&[NormalSide::Debit, NormalSide::Credit]);
        let mut set = SetAccountCode {
            ledger: AssetId(*numbers.pick(&[0, 0, LEDGERS[0], LEDGERS[1]])),
            code: u16::try_from(numbers.between(1, 4)).unwrap(),
            kind: Some(kind),
            normal_side: kind.normal_side().or(Some(side)),
            classes: kind.classes(),
            name: Text::EMPTY,
        };
        match numbers.below(30) {
            0 => set.code = 0,
            1 => set.ledger = AssetId(NO_LEDGER),
            2 => set.normal_side = None,
            3 => set.normal_side = Some(side),
            4 => set.classes = *numbers.pick(&[0, 64, 255]),
            5 => (set.kind, set.classes) = (None, 0),
            6 => (set.kind, set.normal_side) = (None, None),
            7 => (set.kind, set.normal_side, set.classes) = (None, None, 0),
            8 => {
                set.name = Text::new("nothing").unwrap();
                (set.kind, set.normal_side, set.classes) = (None, None, 0);
            }
            _ => {}
        }
        set
    }

    fn calendar(&mut self, model: &Model) -> SetCalendar {
        let present = model.bank.calendar.as_ref().map_or(FIRST_DAY, |calendar| calendar.business_date);
        let numbers = &mut self.numbers;
        // Of business dates, and of days on which standing orders are executed.
        let today = u32::try_from(model.time / (86_400 * 1_000_000_000)).unwrap();
        let days: BTreeSet<u32> = (present..present + 12).chain(today..today + 12).collect();
        let holidays = days.into_iter().filter(|_| numbers.chance(20)).collect();
        let mut set = SetCalendar {
            business_date: present,
            weekend_days: *numbers.pick(&[0x60, 0x60, 0, 0x30]),
            holidays,
            value_back_days_max: u16::try_from(numbers.below(6)).unwrap(),
            value_ahead_days_max: u16::try_from(numbers.below(6)).unwrap(),
            utc_offset_s: 0,
            behind_utc: false,
        };
        if numbers.chance(20) {
            (set.utc_offset_s, set.behind_utc) = (3_600, numbers.chance(50));
        }
        match numbers.below(24) {
            0 => set.business_date = *numbers.pick(&[0, DAY_MAX + 1]),
            1 => set.business_date += 1,
            2 => set.weekend_days = *numbers.pick(&[0x7f, 0x80]),
            3 => set.holidays.push(*numbers.pick(&[0, present, DAY_MAX, DAY_MAX + 1])),
            4 => set.holidays = (present..present + 511 + *numbers.pick(&[1, 2])).collect(),
            5 => set.utc_offset_s = *numbers.pick(&[50_400, 50_401]),
            6 => (set.utc_offset_s, set.behind_utc) = (0, true),
            _ => {}
        }
        set
    }

    fn close(&mut self, model: &Model) -> CloseDay {
        let present = model.bank.calendar.as_ref().map_or(FIRST_DAY, |calendar| calendar.business_date);
        let numbers = &mut self.numbers;
        let business_date = if numbers.chance(90) { present } else { present - 1 };
        let next =
            if numbers.chance(3) { DAY_MAX + 1 } else { present + u32::try_from(numbers.below(5)).unwrap() };
        CloseDay { business_date, next }
    }

    fn monitor(&mut self, model: &Model) -> DefineMonitor {
        let defined: Vec<_> = model.monitors().cloned().collect();
        if !defined.is_empty() && self.numbers.chance(15) {
            let mut again = self.numbers.pick(&defined).clone();
            match self.numbers.below(4) {
                0 => again.value.0 ^= 1,
                1 => again.account.0 ^= 1,
                _ => {}
            }
            return again;
        }
        let free = (1..=MONITORS).find(|id| defined.iter().all(|there| there.monitor.0 != *id));
        let mut define = self.subject(model);
        define.monitor = MonitorId(free.unwrap_or(1));
        let numbers = &mut self.numbers;
        // How it stands now, or nearly.
        let (level, is_negative) = model.level(&define);
        (define.value, define.negative) = match numbers.below(10) {
            0 => (Amount(u128::MAX >> numbers.below(128)), numbers.chance(30)),
            1 => (Amount(u128::MAX), numbers.chance(30)),
            2..=6 => (Amount(level.0.saturating_add(numbers.below(30).into())), is_negative),
            _ => (Amount(numbers.below(3_000).into()), numbers.chance(30)),
        };
        define.negative &= define.value.0 > 0;
        match numbers.below(40) {
            0 => define.monitor = MonitorId(0),
            1 => define.ledger = AssetId(NO_LEDGER),
            2 => define.code += 1,
            3 => define.class = if define.class.is_none() { Some(AccountClass::House) } else { None },
            4 => define.field = MonitorField::Available,
            5 => (define.value, define.negative) = (Amount(0), true),
            _ => {}
        }
        define
    }

    /// A monitor of something, without a value.
    fn subject(&mut self, model: &Model) -> DefineMonitor {
        let rows: Vec<_> = model.accounts.values().map(|account| account.row).collect();
        let is_slice = self.numbers.chance(35);
        let account = match self.numbers.below(10) {
            _ if is_slice => AccountId(0),
            // So many that there are too many of it.
            0..=7 => model.accounts.keys().next().copied().map_or(NOBODY, AccountId),
            _ => self.an_account(model, false),
        };
        let numbers = &mut self.numbers;
        let mut slice = (
            AssetId(*numbers.pick(&LEDGERS)),
            u16::try_from(numbers.between(1, 3)).unwrap(),
            AccountClass::from_code(u8::try_from(numbers.between(1, 6)).unwrap()),
        );
        if !rows.is_empty() && numbers.chance(80) {
            let row = numbers.pick(&rows);
            slice = (row.ledger, row.code, AccountClass::from_code(u8::try_from(row.class).unwrap()));
        }
        let (ledger, code, class) = if is_slice { slice } else { (AssetId(0), 0, None) };
        let field = *numbers.pick(MonitorField::ALL);
        DefineMonitor {
            monitor: MonitorId(1),
            account,
            ledger,
            code,
            class,
            field: if is_slice && field == MonitorField::Available { MonitorField::Balance } else { field },
            operator: *numbers.pick(MonitorOperator::ALL),
            value: Amount(0),
            negative: false,
        }
    }
}
