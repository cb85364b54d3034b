//! Batches that no client library writes: the engine answers each with one event, and its books still add up.

use protocol::commands::{CreateAccounts, CreateTransfers};
use protocol::limits::LEDGER_ROWS_MAX;
use protocol::record::RecordHeader;
use protocol::rows::{ACCOUNT_ROW_BYTES, TRANSFER_ROW_BYTES, end_rows};
use protocol::{Command, EventBody, RejectReason, RequestNumber, SessionId};

use super::differential::{plain, prepared, two_accounts};
use crate::numbers::Numbers;
use crate::world::{START, World};

const RECORD_HEADER_BYTES: usize = 32;

fn header(request: u64) -> RecordHeader {
    let (session, request) = (SessionId::CLIENTS_FROM, RequestNumber(request));
    RecordHeader { session, request, ..RecordHeader::default() }
}

/// A record of this kind with this body, as a gateway would pass it on.
fn record(kind: u16, version: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    header(1).write(&Command::from(CreateAccounts { accounts: Vec::new() }), &mut bytes).unwrap();
    bytes.truncate(RECORD_HEADER_BYTES);
    bytes.extend_from_slice(body);
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..6].copy_from_slice(&kind.to_le_bytes());
    bytes[6..8].copy_from_slice(&version.to_le_bytes());
    bytes
}

/// The answer: rows that the batch had, or why it was refused.
fn answer(world: &mut World, record: &[u8]) -> Result<u32, RejectReason> {
    let events = world.submit_bytes(record);
    let [event] = events.as_slice() else { panic!("{events:?}") };
    if let EventBody::AccountsCreated(made) = &event.body {
        Ok(made.count)
    } else if let EventBody::TransfersCreated(made) = &event.body {
        Ok(made.count)
    } else if let EventBody::Replied(reply) = &event.body {
        Err(reply.refusal.unwrap())
    } else {
        panic!("{event:?}")
    }
}

fn rows(count: usize, row_bytes: usize) -> Vec<u8> {
    let mut body = vec![1; count * row_bytes];
    end_rows(u32::try_from(count).unwrap(), u32::try_from(row_bytes).unwrap(), &mut body);
    body
}

#[test]
fn a_batch_has_from_none_to_as_many_rows_as_fit() {
    let mut world = prepared(START);
    for (kind, bytes) in
        [(CreateTransfers::KIND, TRANSFER_ROW_BYTES), (CreateAccounts::KIND, ACCOUNT_ROW_BYTES)]
    {
        for count in [0, 1, LEDGER_ROWS_MAX] {
            let found = answer(&mut world, &record(kind, 1, &rows(count, bytes)));
            assert_eq!(found, Ok(u32::try_from(count).unwrap()), "kind {kind}");
        }
        assert_eq!(answer(&mut world, &record(kind, 2, &rows(1, bytes))), Err(RejectReason::Malformed));
        assert_eq!(answer(&mut world, &record(kind, 1, &[])), Err(RejectReason::Malformed));
        let cut = &rows(3, bytes)[1..];
        assert_eq!(answer(&mut world, &record(kind, 1, cut)), Err(RejectReason::Malformed));
    }
    // Twice as many accounts would fit the record.
    let more = record(CreateAccounts::KIND, 1, &rows(LEDGER_ROWS_MAX + 1, ACCOUNT_ROW_BYTES));
    assert_eq!(answer(&mut world, &more), Err(RejectReason::Malformed));
}

#[test]
fn damaged_batches_are_refused_or_mean_what_they_say() {
    let mut world = prepared(START);
    let mut numbers = Numbers(0xDA_4A6E);
    let mut good = Vec::new();
    let ms = u128::from(world.time / 1_000_000) << 80;
    let transfers = (1..=40).map(|low| plain(ms | low)).collect();
    for command in
        [Command::from(CreateAccounts { accounts: two_accounts() }), CreateTransfers { transfers }.into()]
    {
        let mut bytes = Vec::new();
        header(1).write(&command, &mut bytes).unwrap();
        good.push(bytes);
    }
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..4_000 {
        let mut bytes = numbers.pick(&good).clone();
        let body = bytes.len() - RECORD_HEADER_BYTES;
        // Mostly what stands behind the rows: where they begin, and how many they are.
        let from = if numbers.chance(60) { body - 8 } else { 0 };
        for _ in 0..numbers.between(1, 3) {
            let at = numbers.between(u64::try_from(from).unwrap(), u64::try_from(body - 1).unwrap());
            let at = RECORD_HEADER_BYTES + usize::try_from(at).unwrap();
            bytes[at] = u8::try_from(numbers.below(256)).unwrap();
        }
        match answer(&mut world, &bytes) {
            Ok(_) => taken += 1,
            Err(reason) => {
                assert_eq!(reason, RejectReason::Malformed);
                refused += 1;
            }
        }
    }
    world.engine.check_invariants().unwrap();
    assert!(refused > 1_000 && taken > 1_000, "{refused} refused, {taken} taken");
}
