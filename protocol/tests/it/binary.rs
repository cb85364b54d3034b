//! The binary protocol: golden bytes, and what hostile or broken peers send.

use protocol::binary::*;
use protocol::hash::Hash;
use protocol::limits::{BINARY_MESSAGE_BYTES_MAX, BINARY_TEXT_BYTES_MAX, LEDGER_ROWS_MAX, READ_ROWS_MAX};
use protocol::rows::{AccountRow, RowAmount, RowResult, TransferRow};
use protocol::sign::Signature;
use protocol::*;

use crate::golden::{self, bytes_of};
use crate::random::for_seeds;

const SESSION: SessionId = SessionId(0x0403_0201);
const VERSION: u64 = 0x1817_1615_1413_1211;
const TIME: UnixNanos = UnixNanos(0x2827_2625_2423_2221);
const NUMBER: RequestNumber = RequestNumber(0x3837_3635_3433_3231);
const SEQ: Seq = Seq(0x4847_4645_4443_4241);
const ID: u128 = 0x5F5E_5D5C_5B5A_5958_5756_5554_5352_5150;

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
    let account = AccountId(ID);
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
}

/// One of every message, in the order of their template ids within each part.
fn for_each_example(mut each: impl FnMut(Message<'_>)) {
    session_layer(&mut each);
    batches(&mut each);
    reads(&mut each);
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
    let known: Vec<u16> = Message::LAYOUTS.iter().map(|layout| layout.template).collect();
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
