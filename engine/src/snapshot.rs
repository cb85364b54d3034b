//! The whole state as canonical bytes, and back: equal states give equal bytes, whatever way led to them.
//!
//! Little endian, no padding. A *list* is a u32 count and its items, in the order of the key named; a *text* is a u8
//! length and its bytes; a *flag* is a u8, 0 or 1; an *option* is a flag and, after 1, the value; a *command* is kind u16,
//! version u16, length u32 and the body as in a record ([`protocol::wire`]). In this order:
//!
//! ```text
//! version u8 = 1 | seq u64 | time_ns u64 | trades u64
//! genesis option of command | term u64
//! actors   list by id:      actor u32 | roles u32 | public key option of 32 bytes
//! assets   list by id:      command DefineAsset
//! approvals                 command SetApprovals
//!   proposals list by id:   proposal u64 | actor u32 | the command | the one before option of one | expires_at_ns u64 | note text
//! chart    list by code, ledger: command SetAccountCode
//! accounts list by id:      id u128 | owner u64 | ledger u32 | created seq u64 | hash of the row as sent u64
//!                           | user data u128, u64, u32 | code u16 | flags u16 | flags as sent u16 | class u8
//!                           | debits pending, posted, credits pending, posted, held u128 each
//! calendar                  option of command SetCalendar | the business date closed last u32 (0 = none)
//! overdrafts list by account: command SetOverdraft | the most that was ever allowed u128
//! corrected floor_ms u64, then list by transfer: transfer u128 | reversed so far u128
//!                           | option of debit account u128, credit account u128, ledger u32, amount u128 as it was
//! limits of the ledger      command SetLedgerLimits | floor_ms u64
//!   remembered list, by slices of 16 ms, in each as executed:
//!                           128 bytes as sent | amount u128 | seq u64 | outcome u8 (0 refused, 1 created, 2 pending, 3 posted,
//!                           4 voided, 5 expired) | refusal u8 (0 = none)
//!   pending list by id:     id u128 | debit account u128 | credit account u128 | amount u128 | expires_at_ns option of u64 | ledger u32
//!                           | code u16 | flags u16 | made by a PAYER flag | id of the one before in its chain u128 (its own = it is
//!                           the first, 0 = alone) | how one of its chain ended u8 (an outcome, 0 = none has)
//! quotes   list by id:      command QuoteExchange | what may still be sold u128
//! the first standing order that is still planned by a calendar before the present one u64 (0 = none is)
//! standing orders list by id: command DefineStandingOrder | date due next u32 | day of its execution u32 | attempt u8 | due_ns u64
//!   their highest ids list by debit account: debit account u128 | the highest id that an order of its has had u64
//! monitors list by id:      command DefineMonitor
//! sessions list by id:      command DefineSession | epoch u32 | generation u32 | next_in u64 | next_out u64 | floor u64
//!                           | connected flag | heartbeat_s u32 | last_heard_ns u64 | pending_gap u64
//!                           | cancel_at_ns option of (u64 | cancels all flag) | cancel_all_at_ns u64 (0 = never) | highest request u64
//!   answered list by request: request u64 | kind u16 | version u16 | length u32 | body
//!                           | effective_seq u64 | refusal u8 (0 = none) | field text
//!   day u64
//!   ClOrdIDs list by id:    id text | order u64 | market u32
//!   ended orders list by id: order u64 | cl_ord_id text | client u64 | market u32 | side u8 | type u8 | time in force u8
//!                           | status u8 | reason u8 (0 = none) | price u64 | qty u64 | cum u64 | cum_ticks_lots u128
//! trade groups list by client: client u64 | group u64
//! busted trades list:      trade u64
//! fee groups list by client: client u64 | group u16
//! markets  list by id:      command DefineMarket | status u8
//!   fee schedules list by group and effective seq: command SetFeeSchedule
//!   volumes list by client: client u64 | list by day: day u32 | volume u128
//!   orders list, bids then asks, each by price and time:
//!                           order u64 | cl_ord_id text | session u32 | client u64 | side u8 | type u8
//!                           | time in force u8 | price u64 | qty u64 | cum u64 | cum_ticks_lots u128 | held u128
//!                           | fee_residue_ppb u32 | tax_residue u32 | maker_ppb i32 | taker_ppb u32 | tax_ppm u32
//!                           | terms flag u8, if 1: length u32 | OrderTerms | expires_at_ns u64 (0 = never) | hidden lots u64
//!   last price u64 (0 = none)
//!   armed orders list by id: an order as above | extreme of a trailing one u64 (0 = none)
//!   due orders count u32, then in the order in which they fire: order u64
//! ```
//! What follows from these (indexes, timers, lists of a session's orders) is built again and checked.

mod bytes;
mod ledger;
mod restore;
mod write;

pub use bytes::SnapshotFault;
