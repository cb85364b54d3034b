//! The binary protocol: golden bytes, and what hostile or broken peers send.

use protocol::binary::*;
use protocol::hash::Hash;
use protocol::limits::{
    BINARY_ENCLOSED_BYTES_MAX, BINARY_MESSAGE_BYTES_MAX, BINARY_TEXT_BYTES_MAX, LEDGER_ROWS_MAX,
    READ_ROWS_MAX,
};
use protocol::rows::{AccountRow, RowAmount, RowResult, TransferRow};
use protocol::sign::Signature;
use protocol::*;

use crate::binary_exchange::{self, longest_market_schedule, market_schedule};
use crate::golden::{self, bytes_of};
use crate::random::for_seeds;

const SESSION: SessionId = SessionId(0x0403_0201);
pub(crate) const VERSION: u64 = 0x1817_1615_1413_1211;
const TIME: UnixNanos = UnixNanos(0x2827_2625_2423_2221);
const NUMBER: RequestNumber = RequestNumber(0x3837_3635_3433_3231);
pub(crate) const SEQ: Seq = Seq(0x4847_4645_4443_4241);
pub(crate) const ID: u128 = 0x5F5E_5D5C_5B5A_5958_5756_5554_5352_5150;

fn transfer() -> TransferRow {
    TransferRow {
        id: TransferId(ID),
        debit_account: AccountId(ID + 0x10),
        credit_account: AccountId(ID + 0x20),
        amount: Amount(ID + 0x30),
        pending_id: TransferId(ID + 0x40),
        user_data_128: ID + 0x50,
        user_data_64: 0x6766_6564_6362_6160,
        user_data_32: 0x7372_7170,
        timeout_s: 0x7776_7574,
        ledger: AssetId(0x7B7A_7978),
        code: 0x7D7C,
        flags: 0x7F7E,
        value_date: 0x8382_8180,
        reason: 0x8584,
        reserved: 0x8786,
    }
}

fn account() -> AccountRow {
    AccountRow {
        id: AccountId(ID),
        user_data_128: ID + 0x10,
        owner: ClientId(0x6766_6564_6362_6160),
        user_data_64: 0x7776_7574_7372_7170,
        user_data_32: 0x8382_8180,
        ledger: AssetId(0x8786_8584),
        code: 0x9190,
        flags: 0x9392,
        class: 0x9594,
        reserved: 0x9796,
    }
}

/// Rows, one behind the other.
fn bytes<R: Fixed>(rows: &[R]) -> Vec<u8> {
    let mut bytes = Vec::new();
    rows.iter().for_each(|row| row.put(&mut bytes));
    bytes
}

fn group<R: Fixed, const MAX: usize>(bytes: &[u8]) -> Rows<'_, R, MAX> {
    Rows::new(bytes).unwrap()
}

fn session_layer(each: &mut dyn FnMut(Message<'_>)) {
    let (session, session_ver_id, request_timestamp) = (SESSION, VERSION, TIME);
    let text = Words::new("né");
    let next_seq_no = NUMBER;
    each(Negotiate { session, session_ver_id, timestamp: TIME, client_flow: FlowType::Idempotent }.into());
    let (server_flow, challenge) = (FlowType::Unsequenced, Hash([0xC5; 32]));
    each(NegotiateResponse { session, session_ver_id, request_timestamp, server_flow, challenge }.into());
    let reject_code = NegotiateRejectCode::InvalidSessionVersion;
    each(NegotiateReject { session, session_ver_id, request_timestamp, reject_code, text }.into());
    let (keep_alive_ms, signature) = (0x5352_5150, Signature([0xA7; 64]));
    each(
        Establish { session, session_ver_id, timestamp: TIME, keep_alive_ms, next_seq_no, signature }.into(),
    );
    let (term, journal_seq) = (Term(0x6766_6564_6362_6160), SEQ);
    each(
        EstablishAck {
            session,
            session_ver_id,
            request_timestamp,
            keep_alive_ms,
            next_seq_no,
            term,
            journal_seq,
            next_command_no: RequestNumber(0x7776_7574_7372_7170),
        }
        .into(),
    );
    let reject_code = EstablishRejectCode::NotLeader;
    each(EstablishReject { session, session_ver_id, request_timestamp, reject_code, text }.into());
    each(Terminate { session, session_ver_id, code: TerminationCode::LeaderChange, text }.into());
    each(NotApplied { from_seq_no: NUMBER, count: VERSION }.into());
    each(Sequence { next_seq_no }.into());
    each(
        BusinessReject {
            ref_template_id: 0x0201,
            ref_seq_no: NUMBER,
            reason: BusinessRejectReason::Refused,
            refusal: Some(RejectReason::NotEntitled),
            retry_after_ns: VERSION,
            text,
        }
        .into(),
    );
}

fn batches(each: &mut dyn FnMut(Message<'_>)) {
    let (seq_no, client_seq_no, journal_seq, transact_time) = (NUMBER, NUMBER, SEQ, TIME);
    each(CreateAccounts { seq_no, accounts: group(&bytes(&[account()])) }.into());
    each(CreateTransfers { seq_no, transfers: group(&bytes(&[transfer()])) }.into());
    let (count, created) = (0x5352_5150, 0x6362_6160);
    let result = |index, refusal| RowResult { index, refusal, seq: SEQ };
    let exceptions = bytes(&[result(0, LedgerRefusal::Exists), result(1, LedgerRefusal::ExceedsDebits)]);
    let exceptions = group(&exceptions);
    each(AccountsCreated { client_seq_no, journal_seq, transact_time, count, created, exceptions }.into());
    let amounts = bytes(&[RowAmount { index: 0x0302_0100, amount: Amount(ID) }]);
    let amounts = group(&amounts);
    each(
        TransfersCreated { client_seq_no, journal_seq, transact_time, count, created, exceptions, amounts }
            .into(),
    );
}

fn set_calendar() -> commands::SetCalendar {
    commands::SetCalendar {
        business_date: 0x0403_0201,
        weekend_days: 0x60,
        holidays: vec![0x1413_1211, 0x2423_2221],
        value_back_days_max: 0x3231,
        value_ahead_days_max: 0x4241,
        utc_offset_s: 0x5453_5251,
        behind_utc: true,
    }
}

fn note() -> Text<{ limits::NOTE_BYTES_MAX }> {
    Text::truncated("né")
}

fn propose(command: Command) -> commands::Propose {
    let command = ProposedCommand::new(&command);
    commands::Propose { command, expires_in_s: 0x0403_0201, note: note() }
}

fn quote() -> commands::QuoteExchange {
    commands::QuoteExchange {
        quote: QuoteId(ID),
        client: ClientId(VERSION),
        sell_ledger: AssetId(0x0403_0201),
        buy_ledger: AssetId(0x1413_1211),
        rate_mantissa: 0x5756_5554_5352_5150,
        rate_scale: 0x12,
        sell_liquidity: AccountId(ID + 1),
        buy_liquidity: AccountId(ID + 2),
        rounding: AccountId(ID + 3),
        sell_amount_max: Amount(ID + 4),
        valid_until_ns: TIME.0,
        source: Text::truncated("fixing"),
    }
}

fn standing_order() -> commands::DefineStandingOrder {
    commands::DefineStandingOrder {
        order: StandingOrderId(VERSION),
        debit_account: AccountId(ID + 1),
        credit_account: AccountId(ID + 2),
        amount: Amount(ID + 3),
        ledger: AssetId(0x0403_0201),
        code: 0x1211,
        schedule: Schedule::MonthEnd,
        first_date: 0x2423_2221,
        last_date: 0x3433_3231,
        time_of_day_s: 0x4443_4241,
        day_rule: DayRule::Previous,
        retry_days: 0x1F,
        user_data_128: ID + 4,
    }
}

fn account_code() -> commands::SetAccountCode {
    commands::SetAccountCode {
        ledger: AssetId(0x0403_0201),
        code: 0x1211,
        kind: Some(AccountKind::Nostro),
        normal_side: Some(NormalSide::Debit),
        classes: 0x21,
        name: Text::truncated("correspondents"),
    }
}

/// One of every command that has a message.
fn commands() -> Vec<Command> {
    let amount = |n: u128| Amount(ID + n);
    vec![
        commands::SetOverdraft {
            account: AccountId(ID),
            agreed: amount(1),
            temporary: amount(2),
            temporary_until_ns: VERSION,
            interest_code: 0x0201,
        }
        .into(),
        commands::UpdateAccount {
            account: AccountId(ID),
            code: 0x0201,
            user_data_128: ID + 1,
            user_data_64: VERSION,
            user_data_32: 0x1413_1211,
        }
        .into(),
        set_calendar().into(),
        commands::CloseDay { business_date: 0x0403_0201, next: 0x1413_1211 }.into(),
        commands::CorrectTransfers { reason: 0x0201, transfers: vec![transfer()] }.into(),
        quote().into(),
        commands::ExchangeCurrency {
            quote: QuoteId(ID),
            sell_account: AccountId(ID + 1),
            buy_account: AccountId(ID + 2),
            sell_amount: amount(3),
            buy_amount_min: amount(4),
            sell_transfer: TransferId(ID + 5),
            buy_transfer: TransferId(ID + 6),
            rounding_transfer: TransferId(ID + 7),
            code: 0x0201,
        }
        .into(),
        standing_order().into(),
        commands::CancelStandingOrder { order: StandingOrderId(VERSION) }.into(),
        commands::DefineMonitor {
            monitor: MonitorId(VERSION),
            account: AccountId(ID),
            ledger: AssetId(0x0403_0201),
            code: 0x1211,
            class: Some(AccountClass::Fee),
            field: MonitorField::Outflow,
            operator: MonitorOperator::AtLeast,
            value: amount(3),
            negative: true,
        }
        .into(),
        commands::RemoveMonitor { monitor: MonitorId(VERSION) }.into(),
        commands::SetLedgerLimits {
            id_window_ms: VERSION,
            id_ahead_ms: TIME.0,
            transfer_ids_max: 0x0403_0201,
            pending_transfers_max: 0x1413_1211,
            correction_window_ms: VERSION + 1,
            corrected_transfers_max: 0x2423_2221,
        }
        .into(),
        account_code().into(),
        propose(commands::RemoveMonitor { monitor: MonitorId(VERSION) }.into()).into(),
        commands::Approve { proposal: ProposalId(VERSION) }.into(),
        commands::Reject { proposal: ProposalId(VERSION), note: note() }.into(),
        commands::SetApprovals { kinds: vec![0x0201, 0x1211] }.into(),
    ]
    .into_iter()
    .chain(binary_exchange::commands())
    .collect()
}

#[test]
fn nobody_named_in_a_message_is_everybody() {
    let all = CancelAll {
        seq_no: NUMBER,
        command_no: COMMAND_NUMBER,
        session: SessionId(0),
        client: ClientId(0),
        market: MarketId(0),
        side: None,
        firm: FirmId(0),
    };
    let nobody = commands::CancelAll { session: None, client: None, market: None, side: None, firm: None };
    assert_eq!(CarriedCommand::of(&all.into()), Some(carried(nobody.into())));
}

const COMMAND_NUMBER: RequestNumber = RequestNumber(0x7776_7574_7372_7170);

fn carried(command: Command) -> CarriedCommand {
    CarriedCommand { seq_no: NUMBER, command_no: COMMAND_NUMBER, command }
}

fn each_command(each: &mut dyn FnMut(Message<'_>)) {
    for command in commands() {
        let mut bytes = Vec::new();
        assert!(carried(command).write(&mut bytes));
        each(Message::read(&bytes).unwrap());
    }
    let (client_seq_no, command_no, journal_seq) = (NUMBER, COMMAND_NUMBER, SEQ);
    each(Executed { client_seq_no, command_no, journal_seq }.into());
}

fn reads_of_settings(each: &mut dyn FnMut(Message<'_>)) {
    let (seq_no, client_seq_no, journal_seq) = (NUMBER, NUMBER, SEQ);
    let (min_seq, linearizable) = (Seq(VERSION), true);
    let ids = bytes(&[AccountKey { id: AccountId(ID) }]);
    each(LookupOverdrafts { seq_no, min_seq, linearizable, ids: group(&ids) }.into());
    let overdrafts = bytes(&[OverdraftState {
        account: AccountId(ID),
        agreed: Amount(ID + 1),
        temporary: Amount(ID + 2),
        temporary_until_ns: VERSION,
        interest_code: 0x0201,
    }]);
    each(Overdrafts { client_seq_no, journal_seq, overdrafts: group(&overdrafts) }.into());
    each(GetCalendar { seq_no, min_seq, linearizable }.into());
    let commands::SetCalendar {
        business_date,
        weekend_days,
        holidays,
        value_back_days_max,
        value_ahead_days_max,
        utc_offset_s,
        behind_utc,
    } = set_calendar();
    let holidays: Vec<Day> = holidays.into_iter().map(Day::from).collect();
    let holidays = bytes(&holidays);
    each(
        Calendar {
            client_seq_no,
            journal_seq,
            business_date,
            weekend_days,
            value_back_days_max,
            value_ahead_days_max,
            utc_offset_s,
            behind_utc,
            holidays: group(&holidays),
        }
        .into(),
    );
}

fn reads_of_monitors(each: &mut dyn FnMut(Message<'_>)) {
    let (seq_no, client_seq_no, journal_seq) = (NUMBER, NUMBER, SEQ);
    let (min_seq, linearizable, monitor) = (Seq(VERSION), true, MonitorId(VERSION));
    each(GetMonitors { seq_no, min_seq, linearizable, from_monitor: monitor, limit: 0x7372_7170 }.into());
    let monitors = bytes(&[MonitorState {
        monitor,
        account: AccountId(0),
        ledger: AssetId(0x0403_0201),
        code: 0x1211,
        class: None,
        field: MonitorField::Balance,
        operator: MonitorOperator::Below,
        value: Amount(ID),
        negative: false,
    }]);
    each(Monitors { client_seq_no, journal_seq, next_monitor: monitor, monitors: group(&monitors) }.into());
    let (from_seq, from_index, limit) = (SEQ, 0x6362_6160, 0x7372_7170);
    each(GetMonitorTriggers { seq_no, min_seq, linearizable, from_seq, from_index, limit }.into());
    let triggers = bytes(&[TriggerState {
        seq: SEQ,
        index: 0x5352_5150,
        time: TIME,
        monitor,
        account: AccountId(ID),
        ledger: AssetId(0x0403_0201),
        code: 0x1211,
        class: Some(AccountClass::Suspense),
        value: Amount(ID),
        negative: true,
    }]);
    let (next_seq, next_index) = (Seq(VERSION), 0x6362_6160);
    each(
        MonitorTriggers { client_seq_no, journal_seq, next_seq, next_index, triggers: group(&triggers) }
            .into(),
    );
}

fn proposals(each: &mut dyn FnMut(Message<'_>)) {
    let (seq_no, client_seq_no, journal_seq) = (NUMBER, NUMBER, SEQ);
    let (min_seq, linearizable, proposal) = (Seq(VERSION), true, ProposalId(VERSION));
    let limit = 0x7372_7170;
    each(GetProposals { seq_no, min_seq, linearizable, from_proposal: proposal, limit }.into());
    let (actor, kind, expires_at) = (ActorId(0x0403_0201), 0x1211, TIME);
    let rows = bytes(&[ProposalState { proposal, actor, kind, expires_at }]);
    each(Proposals { client_seq_no, journal_seq, next_proposal: proposal, proposals: group(&rows) }.into());
    each(GetProposal { seq_no, min_seq, linearizable, proposal }.into());
    let (mut command, mut before) = (Vec::new(), Vec::new());
    assert!(enclose(commands::CloseDay { business_date: 1, next: 2 }.into(), &mut command));
    assert!(enclose(commands::RemoveMonitor { monitor: MonitorId(3) }.into(), &mut before));
    each(
        Proposal {
            client_seq_no,
            journal_seq,
            proposal,
            actor,
            kind,
            expires_at,
            note: note(),
            command: Enclosed::new(&command).unwrap(),
            before: Enclosed::new(&before).unwrap(),
        }
        .into(),
    );
}

fn attempts(each: &mut dyn FnMut(Message<'_>)) {
    let (seq_no, client_seq_no, journal_seq, order) = (NUMBER, NUMBER, SEQ, StandingOrderId(VERSION));
    let (min_seq, linearizable, limit) = (Seq(VERSION), true, 0x7372_7170);
    let (from_seq, from_index) = (SEQ, 0x6362_6160);
    let asked =
        GetStandingOrderAttempts { seq_no, min_seq, linearizable, order, from_seq, from_index, limit };
    each(asked.into());
    let rows = bytes(&[AttemptState {
        seq: SEQ,
        index: 0x5352_5150,
        time: TIME,
        order,
        debit_account: AccountId(ID + 1),
        credit_account: AccountId(ID + 2),
        occurrence: 0x2423_2221,
        attempt: 0x31,
        transfer: TransferId(ID + 3),
        refusal: Some(LedgerRefusal::ExceedsCredits),
        retried: true,
        next_due: TIME,
    }]);
    let (next_seq, next_index, attempts) = (Seq(VERSION), 0x6362_6160, group(&rows));
    each(StandingOrderAttempts { client_seq_no, journal_seq, next_seq, next_index, attempts }.into());
}

fn exchanges(each: &mut dyn FnMut(Message<'_>)) {
    let (seq_no, client_seq_no, journal_seq) = (NUMBER, NUMBER, SEQ);
    let ids = bytes(&[TransferKey { id: TransferId(ID) }]);
    each(LookupExchanges { seq_no, min_seq: Seq(VERSION), linearizable: true, ids: group(&ids) }.into());
    let exchanged = events::CurrencyExchanged {
        quote: QuoteId(ID),
        client: ClientId(VERSION),
        sell_account: AccountId(ID + 1),
        buy_account: AccountId(ID + 2),
        rounding_account: AccountId(ID + 3),
        sell_amount: Amount(ID + 4),
        buy_amount: Amount(ID + 5),
        rounding_amount: Amount(ID + 6),
        rate_mantissa: 0x5756_5554_5352_5150,
        rate_scale: 0x12,
        source: Text::truncated("fixing"),
        sell_transfer: TransferId(ID + 7),
        buy_transfer: TransferId(ID + 8),
        rounding_transfer: TransferId(ID + 9),
    };
    let rows = bytes(&[ExchangeState::new(SEQ, TIME, &exchanged)]);
    each(Exchanges { client_seq_no, journal_seq, exchanges: group(&rows) }.into());
}

fn account_codes(each: &mut dyn FnMut(Message<'_>)) {
    let (seq_no, client_seq_no, journal_seq) = (NUMBER, NUMBER, SEQ);
    let (min_seq, linearizable, limit) = (Seq(VERSION), true, 0x7372_7170);
    let (from_code, from_ledger) = (0x2221, AssetId(0x1413_1211));
    each(GetAccountCodes { seq_no, min_seq, linearizable, from_code, from_ledger, limit }.into());
    let rows = bytes(&[AccountCodeState::from(&account_code())]);
    let (next_code, next_ledger, codes) = (from_code, from_ledger, group(&rows));
    each(AccountCodes { client_seq_no, journal_seq, next_code, next_ledger, codes }.into());
}

fn totals(each: &mut dyn FnMut(Message<'_>)) {
    let (seq_no, client_seq_no, journal_seq) = (NUMBER, NUMBER, SEQ);
    let (min_seq, linearizable, ledger) = (Seq(VERSION), true, AssetId(0x0403_0201));
    let (from_ledger, from_code) = (AssetId(0x1413_1211), 0x2221);
    let (from_class, limit) = (Some(AccountClass::Liquidity), 0x7372_7170);
    let asked =
        GetTotals { seq_no, min_seq, linearizable, ledger, from_ledger, from_code, from_class, limit };
    each(asked.into());
    let rows = bytes(&[TotalState {
        ledger,
        code: 0x1211,
        class: Some(AccountClass::Suspense),
        accounts: VERSION,
        debits_pending: Amount(ID + 1),
        debits_posted: Amount(ID + 2),
        credits_pending: Amount(ID + 3),
        credits_posted: Amount(ID + 4),
    }]);
    let (next_ledger, next_code, next_class) = (from_ledger, from_code, from_class);
    let totals = group(&rows);
    each(Totals { client_seq_no, journal_seq, next_ledger, next_code, next_class, totals }.into());
}

fn quotes_and_orders(each: &mut dyn FnMut(Message<'_>)) {
    let (seq_no, client_seq_no, journal_seq) = (NUMBER, NUMBER, SEQ);
    let (min_seq, linearizable, limit) = (Seq(VERSION), true, 0x7372_7170);
    let next_quote = QuoteId(ID + 9);
    each(GetQuotes { seq_no, min_seq, linearizable, from_quote: next_quote, limit }.into());
    let rows = bytes(&[QuoteState::new(&quote(), Amount(ID + 5))]);
    each(Quotes { client_seq_no, journal_seq, next_quote, quotes: group(&rows) }.into());
    let next_order = StandingOrderId(VERSION);
    each(GetStandingOrders { seq_no, min_seq, linearizable, from_order: next_order, limit }.into());
    let rows = bytes(&[StandingOrderState::new(&standing_order(), TIME)]);
    each(StandingOrders { client_seq_no, journal_seq, next_order, orders: group(&rows) }.into());
}

fn reads(each: &mut dyn FnMut(Message<'_>)) {
    let (seq_no, client_seq_no, journal_seq, min_seq) = (NUMBER, NUMBER, SEQ, Seq(VERSION));
    let linearizable = true;
    let sums = [Amount(ID + 1), Amount(ID + 2), Amount(ID + 3), Amount(ID + 4)];
    let [debits_pending, debits_posted, credits_pending, credits_posted] = sums;
    let ids = bytes(&[AccountKey { id: AccountId(ID) }]);
    each(LookupAccounts { seq_no, min_seq, linearizable, ids: group(&ids) }.into());
    let state =
        AccountState { account: account(), debits_pending, debits_posted, credits_pending, credits_posted };
    each(Accounts { client_seq_no, journal_seq, accounts: group(&bytes(&[state])) }.into());
    let ids = bytes(&[TransferKey { id: TransferId(ID) }]);
    each(LookupTransfers { seq_no, min_seq, linearizable: false, ids: group(&ids) }.into());
    let state = TransferState {
        transfer: transfer(),
        seq: SEQ,
        index: 0x5352_5150,
        time: TIME,
        status: TransferStatus::Voided,
        settled_seq: Seq(VERSION),
    };
    let (next_seq, next_index) = (Seq(VERSION), 0x6362_6160);
    let transfers = bytes(&[state]);
    let transfers = group(&transfers);
    each(Transfers { client_seq_no, journal_seq, next_seq, next_index, transfers }.into());
    each(
        GetAccountTransfers {
            seq_no,
            min_seq,
            linearizable,
            account: AccountId(ID),
            counterparty: AccountId(ID + 1),
            time_from: TIME,
            time_to: UnixNanos(VERSION),
            from_seq: SEQ,
            from_index: 0x6362_6160,
            limit: 0x7372_7170,
            code: 0x0201,
            debits: true,
            credits: false,
            backwards: true,
        }
        .into(),
    );
    let (transfer, from_seq, from_index) = (TransferId(ID), SEQ, 0x6362_6160);
    each(
        GetCorrections { seq_no, min_seq, linearizable, transfer, from_seq, from_index, limit: 0x7372_7170 }
            .into(),
    );
}

fn balances(each: &mut dyn FnMut(Message<'_>)) {
    let (seq_no, client_seq_no, journal_seq, account) = (NUMBER, NUMBER, SEQ, AccountId(ID));
    let (min_seq, linearizable) = (Seq(VERSION), true);
    let sums = [Amount(ID + 1), Amount(ID + 2), Amount(ID + 3), Amount(ID + 4)];
    let [debits_pending, debits_posted, credits_pending, credits_posted] = sums;
    each(BalanceAt { seq_no, min_seq, linearizable, account, at_seq: SEQ, at_time: TIME }.into());
    each(
        Balance {
            client_seq_no,
            account,
            journal_seq,
            transact_time: TIME,
            debits_pending,
            debits_posted,
            credits_pending,
            credits_posted,
        }
        .into(),
    );
    let (value_date, business_date) = (0x0403_0201, 0x1413_1211);
    let (at_seq, at_time) = (SEQ, TIME);
    each(ValueBalanceAt { seq_no, min_seq, linearizable, account, value_date, at_seq, at_time }.into());
    each(
        ValueBalance {
            client_seq_no,
            account,
            journal_seq,
            value_date,
            business_date,
            debits_posted,
            credits_posted,
        }
        .into(),
    );
}

/// One of every message, in the order of their template ids within each part.
fn for_each_example(mut each: impl FnMut(Message<'_>)) {
    session_layer(&mut each);
    batches(&mut each);
    each_command(&mut each);
    reads(&mut each);
    balances(&mut each);
    reads_of_settings(&mut each);
    reads_of_monitors(&mut each);
    proposals(&mut each);
    quotes_and_orders(&mut each);
    totals(&mut each);
    account_codes(&mut each);
    attempts(&mut each);
    exchanges(&mut each);
}

/// The layout of a message.
fn layout(template: u16) -> MessageLayout {
    *Message::LAYOUTS.iter().find(|layout| layout.template == template).unwrap()
}

fn written(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    bytes
}

#[test]
fn every_message_is_written_as_its_golden_bytes_and_read_back() {
    let (mut current, mut templates) = (Vec::new(), Vec::new());
    for_each_example(|message| {
        let bytes = written(&message);
        assert_eq!(Message::read(&bytes), Ok(message));
        assert_eq!(message_bytes(&bytes, usize::MAX), Ok(Some(bytes.len())));
        templates.push(message.template());
        current.push((format!("binary-{}-v{SCHEMA_VERSION}", layout(message.template()).name), bytes));
    });
    let mut known: Vec<u16> = Message::LAYOUTS.iter().map(|layout| layout.template).collect();
    known.sort_unstable();
    templates.sort_unstable();
    assert_eq!(templates, known, "an example of every message");
    golden::compare(current);
}

#[test]
fn rows_of_batches_stand_in_a_message_as_in_the_journal() {
    let row = transfer();
    let mut body = Vec::new();
    Command::from(commands::CreateTransfers { transfers: vec![row, row] }).encode(&mut body);
    let in_message = bytes(&[row, row]);
    assert_eq!(body[..in_message.len()], in_message);
    let mut body = Vec::new();
    Command::from(commands::CreateAccounts { accounts: vec![account()] }).encode(&mut body);
    assert_eq!(body[..rows::ACCOUNT_ROW_BYTES], bytes(&[account()]));
    let rows: Rows<'_, TransferRow, LEDGER_ROWS_MAX> = group(&in_message);
    assert_eq!((rows.len(), rows.iter().collect::<Vec<_>>()), (2, vec![row, row]));
}

#[test]
fn a_command_comes_out_of_its_message_as_it_went_in() {
    for command in commands() {
        let carried = carried(command);
        let mut bytes = vec![7];
        assert!(carried.write(&mut bytes));
        let message = Message::read(&bytes[1..]).unwrap();
        assert_eq!(CarriedCommand::of(&message), Some(carried));
    }
    let without_message = carried(commands::Pulse {}.into());
    let too_long = commands::SetCalendar { holidays: (1..=513).collect(), ..set_calendar() };
    let inside = |command: Command| carried(propose(command).into());
    let nested = inside(propose(commands::CloseDay { business_date: 1, next: 2 }.into()).into());
    let longest = longest_market_schedule();
    let one_more = |dates: &[u32]| [dates, &[u32::MAX]].concat();
    let more_entries = [longest.entries.clone(), market_schedule().entries].concat();
    for schedule in [
        commands::SetMarketSchedule { entries: more_entries, ..longest.clone() },
        commands::SetMarketSchedule { holidays: one_more(&longest.holidays), ..longest.clone() },
        commands::SetMarketSchedule { short_days: one_more(&longest.short_days), ..longest },
    ] {
        assert!(!carried(schedule.into()).write(&mut Vec::new()));
    }
    for command in [
        without_message.clone(),
        carried(too_long.clone().into()),
        inside(without_message.command),
        inside(too_long.into()),
        nested,
    ] {
        let mut bytes = Vec::new();
        assert!(!command.write(&mut bytes) && bytes.is_empty(), "{command:?}");
    }
    let sequence = Message::from(Sequence { next_seq_no: NUMBER });
    assert_eq!(CarriedCommand::of(&sequence), None);
}

#[test]
fn whatever_command_a_message_carries_fits_a_record() {
    let calendar = commands::SetCalendar { holidays: (1..=512).collect(), ..set_calendar() };
    let approvals = commands::SetApprovals { kinds: (1..=64).collect() };
    let mut largest = commands();
    let correct = |rows| commands::CorrectTransfers { reason: 1, transfers: vec![transfer(); rows] };
    largest.extend([calendar.into(), approvals.into(), correct(limits::CORRECTION_ROWS_MAX).into()]);
    let schedule: Command = longest_market_schedule().into();
    assert!(ProposedCommand::new(&schedule).body.len() <= limits::PROPOSED_BYTES_MAX);
    largest.push(schedule);
    let proposed = |rows| ProposedCommand::new(&correct(rows).into()).body.len();
    assert!(proposed(limits::CORRECTION_ROWS_MAX) <= limits::PROPOSED_BYTES_MAX);
    assert!(proposed(limits::CORRECTION_ROWS_MAX + 1) > limits::PROPOSED_BYTES_MAX);
    for command in largest {
        let is_proposal = matches!(command, Command::Propose(_));
        let wish = commands::Propose { note: Text::truncated(&"x".repeat(120)), ..propose(command.clone()) };
        for command in [Some(command), (!is_proposal).then(|| wish.into())].into_iter().flatten() {
            let mut bytes = Vec::new();
            assert!(carried(command.clone()).write(&mut bytes));
            record::RecordHeader::default().write(&command, &mut Vec::new()).unwrap();
        }
    }
}

#[test]
fn what_is_enclosed_is_one_command_and_no_proposal() {
    let propose = |bytes: &[u8]| {
        let command = Enclosed::new(bytes).unwrap();
        let (seq_no, command_no, expires_in_s, note) = (NUMBER, COMMAND_NUMBER, 1, note());
        written(&Propose { seq_no, command_no, expires_in_s, note, command }.into())
    };
    let mut close = Vec::new();
    assert!(enclose(commands::CloseDay { business_date: 1, next: 2 }.into(), &mut close));
    let once = propose(&close);
    let Ok(Message::Propose(read)) = Message::read(&once) else { panic!() };
    assert_eq!(read.command.command(), Some(commands::CloseDay { business_date: 1, next: 2 }.into()));
    let none = propose(&[]);
    let Ok(Message::Propose(read)) = Message::read(&none) else { panic!() };
    assert_eq!(read.command.command(), None);
    let mut deep = close.clone();
    while propose(&deep).len() <= BINARY_ENCLOSED_BYTES_MAX {
        deep = propose(&deep);
        let fault = BinaryFault::Value { template: Propose::TEMPLATE, list: "command" };
        assert_eq!(Message::read(&propose(&deep)), Err(fault));
    }
    let sequence = written(&Sequence { next_seq_no: NUMBER }.into());
    for wrong in [&close[1..], &close[..close.len() - 1], &[close.clone(), close.clone()].concat(), &sequence]
    {
        assert!(Message::read(&propose(wrong)).is_err(), "{wrong:?}");
    }
    assert!(Enclosed::new(&[0; BINARY_ENCLOSED_BYTES_MAX + 1]).is_none());
}

#[test]
fn a_text_has_its_place_and_zeros_behind_it() {
    let reject = |note: &str| {
        let command = commands::Reject { proposal: ProposalId(1), note: Text::new(note).unwrap() };
        let mut bytes = Vec::new();
        assert!(carried(command.into()).write(&mut bytes));
        bytes
    };
    let at = HEADERS_BYTES + 24;
    for note in ["", "x", &"y".repeat(120)] {
        let Ok(Message::Reject(read)) = Message::read(&reject(note)) else { panic!() };
        assert_eq!(read.note.to_string(), note);
    }
    for (place, byte) in [(0, 0xFF), (0, 0), (119, b'z')] {
        let mut bytes = reject("xy");
        bytes[at + place] = byte;
        let fault = BinaryFault::Value { template: Reject::TEMPLATE, list: "text120" };
        assert_eq!(Message::read(&bytes), Err(fault), "{byte} at {place}");
    }
}

#[test]
fn a_message_cut_anywhere_is_no_message() {
    for_each_example(|message| {
        let whole = written(&message);
        for len in 0..whole.len() {
            assert!(Message::read(&whole[..len]).is_err(), "{len} bytes of {message:?}");
            // What its own length covers, but not its fields.
            let mut short = whole[..len].to_vec();
            let Some(length) = short.get_mut(..4) else { continue };
            length.copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
            assert!(Message::read(&short).is_err(), "{len} bytes of {message:?} that call themselves whole");
        }
        let mut long = whole;
        long.push(0);
        assert!(matches!(Message::read(&long), Err(BinaryFault::Length(_))));
        let length = u32::try_from(long.len()).unwrap();
        long[..4].copy_from_slice(&length.to_le_bytes());
        assert_eq!(Message::read(&long), Err(BinaryFault::Behind(message.template())));
    });
}

#[test]
fn every_value_of_every_header_field_is_known_or_refused_by_name() {
    let set = |at: usize, value: u16| {
        let mut bytes = bytes_of("binary-Sequence-v1");
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        Message::read(&bytes).map(|message| message.template())
    };
    for value in 0..=u16::MAX {
        let expect = |is_ours: bool, fault: BinaryFault| if is_ours { Ok(9) } else { Err(fault) };
        assert_eq!(set(4, value), expect(value == ENCODING_TYPE, BinaryFault::Encoding(value)));
        assert_eq!(set(6, value), expect(value == 8, BinaryFault::Block { template: 9, found: value }));
        assert_eq!(set(10, value), expect(value == SCHEMA_ID, BinaryFault::Schema(value)));
        assert_eq!(set(12, value), expect(value == SCHEMA_VERSION, BinaryFault::Version(value)));
        if !Message::LAYOUTS.iter().any(|layout| layout.template == value) {
            assert_eq!(set(8, value), Err(BinaryFault::Template(value)));
        }
    }
}

#[test]
fn a_length_is_believed_up_to_the_limit_and_no_further() {
    let header = |length: u32| {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(&ENCODING_TYPE.to_le_bytes());
        bytes
    };
    let max = u32::try_from(BINARY_MESSAGE_BYTES_MAX).unwrap();
    for (length, bytes_max, expected) in [
        (13, usize::MAX, Err(BinaryFault::Length(13))),
        (14, usize::MAX, Ok(Some(14))),
        (max, usize::MAX, Ok(Some(BINARY_MESSAGE_BYTES_MAX))),
        (max + 1, usize::MAX, Err(BinaryFault::Length(max + 1))),
        (u32::MAX, usize::MAX, Err(BinaryFault::Length(u32::MAX))),
        (513, 512, Err(BinaryFault::Length(513))),
    ] {
        assert_eq!(message_bytes(&header(length), bytes_max), expected);
    }
    for len in 0..FRAMING_BYTES {
        assert_eq!(message_bytes(&header(99)[..len], usize::MAX), Ok(None));
    }
}

#[test]
fn the_largest_of_every_message_fits() {
    let largest = |layout: &MessageLayout| {
        let tails = layout.tails.iter().map(|(_, tail)| match *tail {
            TailLayout::Group { row_bytes, rows_max, .. } => 4 + row_bytes * rows_max,
            TailLayout::Text => 2 + BINARY_TEXT_BYTES_MAX,
            TailLayout::Enclosed => 2 + BINARY_ENCLOSED_BYTES_MAX,
        });
        let fields: usize = layout.fields.iter().map(|(_, _, bytes)| bytes).sum();
        HEADERS_BYTES + fields + tails.sum::<usize>()
    };
    for layout in Message::LAYOUTS {
        assert!(largest(layout) <= BINARY_MESSAGE_BYTES_MAX, "{layout:?}");
    }
}

#[test]
fn too_many_rows_are_refused_and_too_long_a_text_is_cut() {
    let ids = vec![0; 16 * (READ_ROWS_MAX + 1)];
    assert!(Rows::<AccountKey, READ_ROWS_MAX>::new(&ids).is_none());
    assert!(Rows::<AccountKey, READ_ROWS_MAX>::new(&ids[1..16]).is_none(), "no whole row");
    let ids: Rows<'_, AccountKey, { READ_ROWS_MAX + 1 }> = group(&ids);
    let mut bytes = bytes_of("binary-LookupAccounts-v1");
    bytes.truncate(HEADERS_BYTES + LookupAccounts::BLOCK_BYTES);
    ids.put(&mut bytes);
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    let found = u16::try_from(READ_ROWS_MAX + 1).unwrap();
    assert_eq!(Message::read(&bytes), Err(BinaryFault::Count { template: 610, found }));
    // Two bytes each: 256 of them are 128 characters, and no half one.
    let long = "é".repeat(200);
    assert_eq!(Words::new(&long).as_str().chars().count(), 128);
    assert_eq!(Words::new(&format!("x{long}")).as_str().len(), 255);
}

#[test]
fn damaged_messages_are_refused_or_say_what_they_are_read_as() {
    let mut examples = Vec::new();
    for_each_example(|message| examples.push(written(&message)));
    let (mut accepted, mut refused) = (0, 0);
    let all = for_seeds(60_000, |random| {
        let mut bytes = examples[random.below(examples.len())].clone();
        random.damage(&mut bytes);
        // In half of all cases the lengths are put right, so that what is behind them is reached.
        if random.next() % 2 == 0
            && let Ok(length) = u32::try_from(bytes.len())
            && let Some(place) = bytes.get_mut(..4)
        {
            place.copy_from_slice(&length.to_le_bytes());
        }
        match Message::read(&bytes) {
            Ok(message) => {
                accepted += 1;
                assert_eq!(written(&message), bytes);
            }
            Err(fault) => {
                refused += 1;
                assert!(!fault.to_string().is_empty());
            }
        }
    });
    assert!(!all || accepted > 1_000 && refused > 1_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn what_is_signed_names_all_that_it_is_for() {
    let to_sign = |session, version, time, challenge| {
        establish_to_sign(SessionId(session), version, UnixNanos(time), Hash([challenge; 32]))
    };
    let all = [
        to_sign(1, 2, 3, 4),
        to_sign(9, 2, 3, 4),
        to_sign(1, 9, 3, 4),
        to_sign(1, 2, 9, 4),
        to_sign(1, 2, 3, 9),
    ];
    for (n, one) in all.iter().enumerate() {
        assert!(all[..n].iter().all(|other| other != one));
        assert!(one.starts_with(b"sicil binary establish 1\0"));
        assert_eq!(one.len(), 25 + 4 + 8 + 8 + 32);
    }
}
