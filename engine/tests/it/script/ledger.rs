//! The ledger's part of the scenarios' language: batches, one row behind the other, each followed by what became of its rows.
//!
//! ```text
//! cashier till                       payer app for alice bob         a session of an actor with that role; `house` is client 0
//! till accounts cash TRY house [limited | inverse] [closed] [settlement] [linked] ; loan TRY client of alice
//! till transfers t1 cash loan 10 [pending [5s]] [balancing-debit] [balancing-credit] [closing-debit] [closing-credit] [linked]
//! till transfers t2 post t1 [4 | all] [chain] ; t3 void t1 [chain]
//! limits window 10s ahead 1s ids 8189 pending 3 [corrections 5 [for 60s]]
//! overdraft loan 100 [temporary 50 for 10s] [interest 7]
//! code 2 is Crypto Credit for client,house [in TRY] [named cold]     code 2 is nothing [in TRY]
//! calendar 2026-01-05 [weekend 6,7] [holidays 2026-01-06,2026-04-23] [back 5] [ahead 10] [utc +3h]
//! close 2026-01-05 then 2026-01-07
//! till correct 7 c1 loan cash 10 of t1 ; c2 cash fees 1 of t1        proposes it
//! till correct-alone 7 c1 loan cash 10 of t1        boss approve [earlier]
//! till update loan code 2 [user_data_128 3] [user_data_64 3] [user_data_32 3]
//! account cash     totals     floor                                  shown, not commanded
//! ```
//! A transfer's id has the time of its first mention; `at -5s` moves it, `at floor` makes it the lowest that is taken. `field=value` sets any field of a row.

use protocol::calendar::days_since_1970;
use protocol::commands::{
    Approve, CloseDay, CorrectTransfers, CreateAccounts, CreateTransfers, DefineActor, Propose,
    SetAccountCode, SetCalendar, SetLedgerLimits, SetOverdraft, UpdateAccount, roles,
};
use protocol::event::Event;
use protocol::limits::{CORRECTED_TRANSFERS_DEFAULT, CORRECTION_WINDOW_DEFAULT_MS};
use protocol::money::format_decimal;
use protocol::rows::{AccountRow, RowAmount, RowResult, TransferRow, account_flags, transfer_flags};
use protocol::{
    AccountClass, AccountId, AccountKind, ActorId, Amount, AssetId, ClientId, Command, EventBody, NormalSide,
    ProposedCommand, SessionId, SessionProtocol, Text, TransferId,
};

use super::{Script, Words, by_name, decimal, milliseconds, nanoseconds};
use crate::definitions;

/// Ids of accounts made by batches count on from here.
const ACCOUNTS_FROM: u128 = 100_000;

impl Script {
    /// A cashier or a payer, with an actor and a session of its own.
    pub(super) fn teller(&mut self, role: &str, words: &mut Words<'_>) -> Vec<String> {
        let name = words.next();
        let id = 200 + u32::try_from(self.names.sessions.len()).unwrap();
        let role = match role {
            "cashier" => roles::CASHIER,
            "payer" => roles::PAYER,
            role => {
                assert_eq!(role, "admin");
                roles::ADMIN
            }
        };
        self.world.set_up(DefineActor { actor: ActorId(id), roles: role });
        let mut definition = definitions::session(id, SessionProtocol::Request, 0);
        definition.actor = ActorId(id);
        if words.flag("for") {
            definition.clients = words.words.drain(..).map(|client| self.client_id(client)).collect();
        }
        self.world.set_up(definition);
        self.names.sessions.insert(id, name.to_owned());
        Vec::new()
    }

    pub(super) fn client_id(&self, name: &str) -> ClientId {
        let named = by_name(&self.names.clients, |client| client == name);
        ClientId(if name == "house" { 0 } else { named.unwrap_or(77) })
    }

    pub(super) fn limits(words: &mut Words<'_>) -> SetLedgerLimits {
        let number = |words: &mut Words<'_>, name: &str| words.option(name).unwrap().parse().unwrap();
        SetLedgerLimits {
            id_window_ms: milliseconds(words.option("window").unwrap()),
            id_ahead_ms: milliseconds(words.option("ahead").unwrap()),
            transfer_ids_max: number(words, "ids"),
            pending_transfers_max: number(words, "pending"),
            corrected_transfers_max: words
                .option("corrections")
                .map_or(CORRECTED_TRANSFERS_DEFAULT, |text| text.parse().unwrap()),
            correction_window_ms: words.option("for").map_or(CORRECTION_WINDOW_DEFAULT_MS, milliseconds),
        }
    }

    /// What is set in the ledger beside its limits.
    pub(super) fn ledger_command(&mut self, name: &str, words: &mut Words<'_>) -> Command {
        match name {
            "overdraft" => {
                let (account, ledger) = self.account_named(words.next());
                let temporary = words.option("temporary").map(|text| self.amount_of(text, ledger));
                let lasts = words.option("for").map(nanoseconds);
                let until = lasts.map_or(0, |ns| self.world.time + ns);
                SetOverdraft {
                    account,
                    agreed: self.amount_of(words.next(), ledger),
                    temporary: temporary.unwrap_or_default(),
                    temporary_until_ns: until,
                    interest_code: words.option("interest").map_or(0, narrow),
                }
                .into()
            }
            "update" => {
                let (account, _) = self.account_named(words.next());
                let mut field = |name: &str| words.option(name).map_or(0, number);
                UpdateAccount {
                    account,
                    code: u16::try_from(field("code")).unwrap(),
                    user_data_128: field("user_data_128"),
                    user_data_64: u64::try_from(field("user_data_64")).unwrap(),
                    user_data_32: u32::try_from(field("user_data_32")).unwrap(),
                }
                .into()
            }
            "code" => self.account_code(words).into(),
            "calendar" => {
                let holidays =
                    words.option("holidays").map_or(Vec::new(), |days| days.split(',').map(day).collect());
                let offset =
                    words.option("utc").map(|text| (text.starts_with('-'), milliseconds(&text[1..]) / 1_000));
                SetCalendar {
                    weekend_days: words.option("weekend").map_or(0, weekend),
                    holidays,
                    value_back_days_max: words.option("back").map_or(0, narrow),
                    value_ahead_days_max: words.option("ahead").map_or(0, narrow),
                    utc_offset_s: offset.map_or(0, |(_, seconds)| u32::try_from(seconds).unwrap()),
                    behind_utc: offset.is_some_and(|(behind, _)| behind),
                    business_date: day(words.next()),
                }
                .into()
            }
            "close" => {
                let (business_date, _next) = (day(words.next()), words.next());
                CloseDay { business_date, next: day(words.next()) }.into()
            }
            "correct-alone" => self.correction(words).into(),
            "approve" => {
                let back = if words.flag("earlier") { 2 } else { 1 };
                let at = self.proposals.len() - back;
                Approve { proposal: self.proposals[at] }.into()
            }
            name => panic!("{}: no command {name}", words.place),
        }
    }

    /// What a code of the chart of accounts stands for.
    fn account_code(&self, words: &mut Words<'_>) -> SetAccountCode {
        let ledger = words.option("in").map_or(AssetId(0), |name| AssetId(self.asset_id(name)));
        let name = Text::new(words.option("named").unwrap_or_default()).unwrap();
        let classes = words.option("for").map_or(0, |names| names.split(',').map(class_bit).sum());
        let (code, _is, kind) = (words.next().parse().unwrap(), words.next(), words.next());
        let kind = AccountKind::ALL.iter().copied().find(|of| of.name() == kind);
        let side = kind.map(|_| words.next());
        let normal_side = side.and_then(|side| NormalSide::ALL.iter().copied().find(|of| of.name() == side));
        SetAccountCode { ledger, code, kind, normal_side, classes, name }
    }

    /// A correction, each row with what it corrects.
    fn correction(&mut self, words: &mut Words<'_>) -> CorrectTransfers {
        let reason = words.next().parse().unwrap();
        let mut transfers = Vec::new();
        for mut words in rows_of(words) {
            let name = words.next().to_owned();
            let of = words.option("of").map(|of| self.transfer_id(of, None, 0));
            let set: Vec<&str> = words.words.extract_if(.., |word| word.contains('=')).collect();
            let mut row = self.transfer_row(&name, &mut words);
            (row.flags, row.reason) = (row.flags | transfer_flags::CORRECTION, reason);
            row.pending_id = of.unwrap_or_default();
            for (field, value) in set.iter().map(|word| word.split_once('=').unwrap()) {
                set_field(&mut row, field, value);
            }
            transfers.push(row);
        }
        CorrectTransfers { reason, transfers }
    }

    /// Proposes a correction; shows what of the originals was corrected before.
    pub(super) fn correct(&mut self, session: SessionId, words: &mut Words<'_>) -> Vec<String> {
        let command = ProposedCommand::new(&self.correction(words).into());
        let (_, request) = self.world.next_number(session);
        let propose = Propose { command, expires_in_s: 600, note: Text::EMPTY };
        let events = self.world.submit(session, 0, request, propose);
        let mut lines = Vec::new();
        for event in &events {
            let EventBody::Proposed(proposed) = &event.body else { continue };
            self.proposals.push(proposed.proposal);
            let Some(before) = &proposed.before else { continue };
            let Command::CorrectTransfers(before) = before.command().unwrap() else { panic!("{before:?}") };
            for row in before.transfers {
                let (name, ledger) = &self.names.transfers[&row.pending_id.0];
                lines.push(format!("of {name} so far {}", self.names.amount(row.amount, *ledger)));
            }
        }
        lines.extend(events.iter().map(|event| self.names.event(event)));
        lines
    }

    /// A batch of accounts; what became of each.
    pub(super) fn accounts(&mut self, session: SessionId, words: &mut Words<'_>) -> Vec<String> {
        let rows: Vec<(String, AccountRow)> =
            rows_of(words).into_iter().map(|mut words| self.account_row(&mut words)).collect();
        let accounts = rows.iter().map(|(_, row)| *row).collect();
        let (_, request) = self.world.next_number(session);
        let events = self.world.submit(session, 0, request, CreateAccounts { accounts });
        let names = rows.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        self.answers(&events, &names, &[])
    }

    fn account_row(&mut self, words: &mut Words<'_>) -> (String, AccountRow) {
        let (name, asset, class) = (words.next(), words.next(), words.next());
        let ledger = self.asset_id(asset);
        let known = by_name(&self.names.accounts, |account| account.0 == name);
        let id = known.unwrap_or_else(|| ACCOUNTS_FROM + u128::try_from(self.names.accounts.len()).unwrap());
        let class = AccountClass::ALL.iter().find(|known| known.name().eq_ignore_ascii_case(class)).unwrap();
        let mut row = AccountRow {
            id: AccountId(id),
            ledger: AssetId(ledger),
            code: 1,
            class: u16::from(class.code()),
            ..AccountRow::default()
        };
        if let Some(owner) = words.option("of") {
            row.owner = self.client_id(owner);
        }
        for (flag, bit) in [
            ("linked", account_flags::LINKED),
            ("limited", account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS),
            ("inverse", account_flags::CREDITS_MUST_NOT_EXCEED_DEBITS),
            ("closed", account_flags::CLOSED),
            ("settlement", account_flags::SETTLEMENT),
        ] {
            row.flags |= if words.flag(flag) { bit } else { 0 };
        }
        for word in words.words.drain(..) {
            let (field, value) = word.split_once('=').unwrap_or_else(|| panic!("{}: {word}", words.place));
            match field {
                "id" => row.id = AccountId(number(value)),
                "owner" => row.owner = ClientId(narrow(value)),
                "ledger" => row.ledger = AssetId(narrow(value)),
                "code" => row.code = narrow(value),
                "flags" => row.flags = narrow(value),
                "class" => row.class = narrow(value),
                "reserved" => row.reserved = narrow(value),
                "user_data_128" => row.user_data_128 = number(value),
                "user_data_64" => row.user_data_64 = narrow(value),
                "user_data_32" => row.user_data_32 = narrow(value),
                field => panic!("{}: an account has no field {field}", words.place),
            }
        }
        self.names.accounts.entry(id).or_insert((name.to_owned(), ledger));
        (name.to_owned(), row)
    }

    /// One transfer by the operator: in from outside, out, or from one to another.
    pub(super) fn booking(&mut self, kind: &str, words: &mut Words<'_>) -> Vec<String> {
        let name = words.next().to_owned();
        let (from, to) = match kind {
            "deposit" => ("outside", words.next()),
            "withdraw" => (words.next(), "outside"),
            _ => (words.next(), words.next()),
        };
        let (amount, code) = (words.next(), words.next());
        let ledger = self.asset_id(code);
        let row = TransferRow {
            id: self.transfer_id(&name, None, ledger),
            debit_account: self.account_of(from, ledger),
            credit_account: self.account_of(to, ledger),
            amount: self.amount_of(amount, ledger),
            ledger: AssetId(ledger),
            code: 1,
            ..TransferRow::default()
        };
        let events = self.world.operator(CreateTransfers { transfers: vec![row] });
        self.answers(&events, &[name], &[ledger])
    }

    /// A batch of transfers; what became of each.
    pub(super) fn transfers(&mut self, session: SessionId, words: &mut Words<'_>) -> Vec<String> {
        let mut names = Vec::new();
        let mut transfers = Vec::new();
        for mut words in rows_of(words) {
            let name = words.next().to_owned();
            transfers.push(self.transfer_row(&name, &mut words));
            names.push(name);
        }
        let ledgers: Vec<u32> = transfers.iter().map(|row| self.ledger_of(row)).collect();
        let (_, request) = self.world.next_number(session);
        let events = self.world.submit(session, 0, request, CreateTransfers { transfers });
        self.answers(&events, &names, &ledgers)
    }

    /// For the scale of what was moved.
    fn ledger_of(&self, row: &TransferRow) -> u32 {
        let pending = self.names.transfers.get(&row.pending_id.0);
        pending.map_or(row.ledger.0, |(_, ledger)| *ledger)
    }

    fn transfer_row(&mut self, name: &str, words: &mut Words<'_>) -> TransferRow {
        let at = words.option("at");
        let first = words.next();
        let settles = match first {
            "post" => transfer_flags::POST_PENDING_TRANSFER,
            "void" => transfer_flags::VOID_PENDING_TRANSFER,
            _ => 0,
        };
        let mut row = TransferRow::default();
        let mut ledger = 0;
        if settles == 0 {
            let (debit, credit) = (self.account_named(first), self.account_named(words.next()));
            ledger = debit.1;
            (row.debit_account, row.credit_account) = (debit.0, credit.0);
            (row.ledger, row.code) = (AssetId(ledger), 1);
            row.amount = self.amount_of(words.next(), ledger);
        } else {
            row.pending_id = self.transfer_id(words.next(), None, 0);
            row.amount = Amount(if first == "post" { u128::MAX } else { 0 });
            let is_amount = |word: &&&str| **word == "all" || word.starts_with(|c: char| c.is_ascii_digit());
            if words.words.first().as_ref().is_some_and(is_amount) {
                ledger = self.ledger_of(&row);
                row.amount = self.amount_of(words.next(), ledger);
            }
        }
        row.id = self.transfer_id(name, at, ledger);
        row.flags = settles | transfer_row_flags(words, &mut row.timeout_s);
        for word in words.words.drain(..) {
            let (field, value) = word.split_once('=').unwrap_or_else(|| panic!("{}: {word}", words.place));
            set_field(&mut row, field, value);
        }
        row
    }

    pub(super) fn amount_of(&self, text: &str, ledger: u32) -> Amount {
        let scale = self.names.assets.get(&ledger).map_or(0, |asset| asset.scale);
        Amount(if text == "all" { u128::MAX } else { decimal(text, scale) })
    }

    /// The account, and its ledger; of a name that nobody has, one that does not exist.
    pub(super) fn account_named(&self, name: &str) -> (AccountId, u32) {
        // `fees-TRY`: of several with one name that in this asset.
        let is_named = |(of, ledger): &(String, u32)| {
            of == name
                || name.strip_prefix(of.as_str()).is_some_and(|rest| {
                    rest.strip_prefix('-') == Some(self.names.assets[ledger].code.as_str())
                })
        };
        let found = self.names.accounts.iter().find(|(_, account)| is_named(account));
        found.map_or((AccountId(999), 1), |(id, (_, ledger))| (AccountId(*id), *ledger))
    }

    /// The id by that name; a new one has the time of the next record.
    pub(super) fn transfer_id(&mut self, name: &str, at: Option<&str>, ledger: u32) -> TransferId {
        if let Some(id) = by_name(&self.names.transfers, |transfer| transfer.0 == name) {
            return TransferId(id);
        }
        let now = self.world.time / 1_000_000;
        let ms = match at {
            None => now,
            Some("floor") => self.world.engine.transfer_id_floor_ms(),
            Some(at) => match at.strip_prefix('-') {
                Some(before) => now - milliseconds(before),
                None => now + milliseconds(at.trim_start_matches('+')),
            },
        };
        let id = TransferId::at_ms(ms, u128::try_from(self.names.transfers.len() + 1).unwrap());
        self.names.transfers.insert(id.0, (name.to_owned(), ledger));
        id
    }

    /// What became of each row, and what else followed.
    fn answers(&self, events: &[Event], rows: &[String], ledgers: &[u32]) -> Vec<String> {
        let mut lines = Vec::new();
        for event in events {
            let (exceptions, amounts): (&[RowResult], &[RowAmount]) =
                if let EventBody::AccountsCreated(made) = &event.body {
                    (&made.exceptions, &[])
                } else if let EventBody::TransfersCreated(made) = &event.body {
                    (&made.exceptions, &made.amounts)
                } else {
                    lines.push(self.names.event(event));
                    continue;
                };
            for (index, row) in (0_u32..).zip(rows) {
                let exception = exceptions.iter().find(|exception| exception.index == index);
                let amount = amounts.iter().find(|amount| amount.index == index);
                lines.push(match exception {
                    Some(exception) if exception.seq == event.seq => {
                        format!("{row}: {}", exception.refusal.name())
                    }
                    Some(exception) => {
                        format!("{row}: {} at {}", exception.refusal.name(), exception.seq)
                    }
                    None => format!("{row}: created"),
                });
                if let (Some(amount), Some(line)) = (amount, lines.last_mut()) {
                    let ledger = ledgers[usize::try_from(index).unwrap()];
                    *line += &format!(", {}", self.names.amount(amount.amount, ledger));
                }
            }
        }
        lines
    }

    /// One account's balances.
    pub(super) fn account(&self, words: &mut Words<'_>) -> Vec<String> {
        let (id, ledger) = self.account_named(words.next());
        let Some(view) = self.world.engine.account(id) else { return vec!["no such account".to_owned()] };
        let scale = self.names.assets[&ledger].scale;
        let decimal = |amount: Amount| format_decimal(amount.0, scale);
        let closed = if view.flags & account_flags::CLOSED == 0 { "" } else { ", closed" };
        vec![format!(
            "debits {} pending {}, credits {} pending {}{closed}",
            decimal(view.debits),
            decimal(view.debits_pending),
            decimal(view.credits),
            decimal(view.credits_pending),
        )]
    }

    /// Sums of accounts.
    pub(super) fn totals(&self) -> Vec<String> {
        let decimal = |amount: Option<Amount>, ledger: AssetId| {
            amount.map_or("more".to_owned(), |amount| {
                format_decimal(amount.0, self.names.assets[&ledger.0].scale)
            })
        };
        let totals = self.world.engine.totals().map(|total| {
            format!(
                "{} code {} {}: {} accounts, debits {} pending {}, credits {} pending {}",
                self.names.assets[&total.ledger.0].code,
                total.code,
                total.class.name(),
                total.accounts,
                decimal(total.debits_posted, total.ledger),
                decimal(total.debits_pending, total.ledger),
                decimal(total.credits_posted, total.ledger),
                decimal(total.credits_pending, total.ledger),
            )
        });
        totals.collect()
    }

    /// How far behind the clock the floor lies.
    pub(super) fn floor(&self) -> Vec<String> {
        let now = self.world.time / 1_000_000;
        vec![format!("{} ms before now", now - self.world.engine.transfer_id_floor_ms())]
    }
}

/// The rows of a line, between semicolons.
fn rows_of<'l>(words: &mut Words<'l>) -> Vec<Words<'l>> {
    let all: Vec<&str> = words.words.drain(..).collect();
    let rows = all.split(|word| *word == ";");
    rows.map(|row| Words { words: row.to_vec(), place: words.place.clone() }).collect()
}

/// The flags that a row names; `pending` may be followed by a time.
fn transfer_row_flags(words: &mut Words<'_>, timeout_s: &mut u32) -> u16 {
    let mut flags = 0;
    let is_time = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    if let Some(at) = words.words.iter().position(|word| *word == "pending") {
        flags |= transfer_flags::PENDING;
        words.words.remove(at);
        if words.words.get(at).is_some_and(is_time) {
            *timeout_s = u32::try_from(milliseconds(words.words.remove(at)) / 1_000).unwrap();
        }
    }
    for (flag, bit) in [
        ("linked", transfer_flags::LINKED),
        ("balancing-debit", transfer_flags::BALANCING_DEBIT),
        ("balancing-credit", transfer_flags::BALANCING_CREDIT),
        ("closing-debit", transfer_flags::CLOSING_DEBIT),
        ("closing-credit", transfer_flags::CLOSING_CREDIT),
        ("chain", transfer_flags::WHOLE_CHAIN),
    ] {
        flags |= if words.flag(flag) { bit } else { 0 };
    }
    flags
}

fn set_field(row: &mut TransferRow, field: &str, value: &str) {
    match field {
        "id" => row.id = TransferId(number(value)),
        "debit" => row.debit_account = AccountId(number(value)),
        "credit" => row.credit_account = AccountId(number(value)),
        "amount" => row.amount = Amount(number(value)),
        "pending_id" => row.pending_id = TransferId(number(value)),
        "user_data_128" => row.user_data_128 = number(value),
        "user_data_64" => row.user_data_64 = narrow(value),
        "user_data_32" => row.user_data_32 = narrow(value),
        "timeout" => row.timeout_s = narrow(value),
        "ledger" => row.ledger = AssetId(narrow(value)),
        "code" => row.code = narrow(value),
        "flags" => row.flags = narrow(value),
        "value_date" => row.value_date = day(value),
        "reason" => row.reason = narrow(value),
        "reserved" => row.reserved = narrow(value),
        field => panic!("a transfer has no field {field}"),
    }
}

/// `2026-01-05`, or a number of days since 1970-01-01.
pub(super) fn day(text: &str) -> u32 {
    let mut parts = text.split('-').map(|part| part.parse::<u64>().unwrap());
    let first = parts.next().unwrap();
    let days = match (parts.next(), parts.next()) {
        (Some(month), Some(day)) => days_since_1970(first, month, day).unwrap(),
        _ => first,
    };
    u32::try_from(days).unwrap()
}

/// `6,7`: Saturday and Sunday.
fn weekend(days: &str) -> u8 {
    days.split(',').fold(0, |bits, day| bits | 1 << (day.parse::<u8>().unwrap() - 1))
}

pub(super) fn number(text: &str) -> u128 {
    if text == "max" { u128::MAX } else { text.parse().unwrap() }
}

pub(super) fn narrow<N: TryFrom<u128>>(text: &str) -> N {
    N::try_from(number(text)).unwrap_or_else(|_| panic!("{text} is too much"))
}

fn class_bit(name: &str) -> u8 {
    AccountClass::ALL.iter().find(|known| known.name().eq_ignore_ascii_case(name)).unwrap().bit()
}
