//! Every maximum of the system, and how they relate.

/// Bytes of one durable write: the block header, its frames and the padding.
pub const BLOCK_BYTES_MAX: usize = 64 << 10;
/// Unit of a durable write: a block is a multiple of this, on an offset that is a multiple of this.
pub const BLOCK_ALIGN: usize = 4 << 10;
/// Bytes of a block that holds one large frame, and nothing beside it.
pub const BLOCK_BYTES_LARGE: usize = 1 << 20;
/// Bytes of a frame: what a block of [`BLOCK_BYTES_MAX`] leaves beside its header.
pub const FRAME_BYTES_MAX: usize = BLOCK_BYTES_MAX - BLOCK_HEADER_BYTES;
/// Bytes of a frame that holds one large record: what a block of [`BLOCK_BYTES_LARGE`] leaves beside its header.
pub const FRAME_BYTES_LARGE: usize = BLOCK_BYTES_LARGE - BLOCK_HEADER_BYTES;
/// Fixed size of a block's header.
pub const BLOCK_HEADER_BYTES: usize = 112;
/// Fixed size of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 96;
/// The chain hash behind a frame's payload.
pub const FRAME_CHAIN_BYTES: usize = 32;
/// Fixed size of a record's header.
pub const RECORD_HEADER_BYTES: usize = 32;
/// Bytes of one record, header and extensions included, unless it is a client's batch.
pub const RECORD_BYTES_MAX: usize = 4 << 10;
/// Bytes of a record that is a client's batch ([`crate::record::bytes_max`]): what a large frame leaves.
pub const RECORD_BYTES_LARGE: usize = FRAME_BYTES_LARGE - FRAME_HEADER_BYTES - FRAME_CHAIN_BYTES;
/// Records in one frame.
pub const BATCH_RECORDS_MAX: usize = 1_024;
/// Fixed size of an event's header.
pub const EVENT_HEADER_BYTES: usize = 48;

/// Records waiting for the sequencer.
pub const INGRESS_RECORDS_MAX: usize = 16_384;
/// Bytes of records waiting for the sequencer.
pub const INGRESS_BYTES_MAX: usize = 8 << 20;
/// Raft entries proposed and not yet applied.
pub const IN_FLIGHT_ENTRIES_MAX: usize = 64;
/// Bytes of them. Less than may wait for one peer, so that a peer that keeps up misses none.
pub const IN_FLIGHT_BYTES_MAX: usize = 6 << 20;

/// Bytes of a ClOrdID(11).
pub const CL_ORD_ID_BYTES_MAX: usize = 64;
/// Bytes of a SenderCompID(49) or TargetCompID(56).
pub const COMP_ID_BYTES_MAX: usize = 32;
/// Bytes of an asset's code.
pub const ASSET_CODE_BYTES_MAX: usize = 16;
/// Bytes of a market's symbol.
pub const SYMBOL_BYTES_MAX: usize = 32;
/// Bytes of a TestReqID(112).
pub const TEST_REQ_ID_BYTES_MAX: usize = 64;
/// Bytes of the fields of third-party routing that an answer carries.
pub const ROUTING_BYTES_MAX: usize = 120;
/// Bytes of an explanation for people.
pub const NOTE_BYTES_MAX: usize = 120;
/// Bytes of one FIX message.
pub const FIX_MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Bytes of one message of the binary protocol, headers included.
pub const BINARY_MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a text in a message of the binary protocol.
pub const BINARY_TEXT_BYTES_MAX: usize = 256;
/// Bytes of a message inside a message of the binary protocol: of the longest command that can be proposed.
pub const BINARY_ENCLOSED_BYTES_MAX: usize = 4 << 10;
/// Accounts or transfers in one answer, and ids in one question.
pub const READ_ROWS_MAX: usize = 4_096;
/// Levels, orders, changes or trades in one message of market data.
pub const MARKET_DATA_ROWS_MAX: usize = 4_096;
/// Candles in one message of market data.
pub const CANDLE_ROWS_MAX: usize = 1_500;

/// Decimals of an asset.
pub const ASSET_SCALE_MAX: u8 = 18;
/// Assets.
pub const ASSETS_MAX: usize = 4_096;
/// Markets.
pub const MARKETS_MAX: usize = 4_096;
/// Accounts.
pub const ACCOUNTS_MAX: usize = 1 << 24;
/// Accounts or transfers of one command: the largest record, alone in a frame, fills a large block.
pub const LEDGER_ROWS_MAX: usize = 8_189;
/// Parts of chains that rows of one command settle as a whole, each counted as often as it is named.
pub const CHAIN_PARTS_PER_RECORD_MAX: usize = 8 * LEDGER_ROWS_MAX;
/// Transfer ids remembered, unless it is said otherwise.
pub const TRANSFER_IDS_DEFAULT: u32 = 1 << 22;
/// How long a transfer's id is remembered, unless it is said otherwise.
pub const ID_WINDOW_DEFAULT_MS: u64 = 10 * 60 * 1_000;
/// The longest that may be said.
pub const ID_WINDOW_MAX_MS: u64 = 31 * 24 * 60 * 60 * 1_000;
/// How far ahead of its record the time in an id may lie, unless it is said otherwise.
pub const ID_AHEAD_DEFAULT_MS: u64 = 60 * 1_000;
/// The most that may be said.
pub const ID_AHEAD_MAX_MS: u64 = 60 * 60 * 1_000;
/// Transfers pending at a time, unless it is said otherwise.
pub const PENDING_TRANSFERS_DEFAULT: u32 = 1 << 20;
/// The most that may be said of either.
pub const LEDGER_TABLE_MAX: u32 = 1 << 26;
/// How long a transfer can be corrected, from the time in its id, unless it is said otherwise: a payer may claim for thirteen months
/// (Directive (EU) 2015/2366, article 71).
pub const CORRECTION_WINDOW_DEFAULT_MS: u64 = 400 * 24 * 60 * 60 * 1_000;
/// The longest that may be said: ten years.
pub const CORRECTION_WINDOW_MAX_MS: u64 = 3_653 * 24 * 60 * 60 * 1_000;
/// Transfers that were corrected and still can be, unless it is said otherwise.
pub const CORRECTED_TRANSFERS_DEFAULT: u32 = 1 << 20;
/// The most that may be said.
pub const CORRECTED_TRANSFERS_MAX: u32 = 1 << 22;
/// Those that are forgotten before one correction, because they cannot be corrected any more.
pub const CORRECTED_TRANSFERS_FORGOTTEN_PER_RECORD_MAX: usize = 1_024;
/// Holidays of a calendar: those of thirty years fit, and a record holds them.
pub const HOLIDAYS_MAX: usize = 512;
/// Seconds between local time and UTC.
pub const UTC_OFFSET_MAX_S: u32 = 14 * 60 * 60;
/// Accounts that may have, or had, an overdraft.
pub const OVERDRAFTS_MAX: usize = 1 << 20;
/// Pending transfers that expire, and exchange quotes that end, before one record.
pub const EXPIRIES_PER_RECORD_MAX: usize = 1_024;
/// Exchange quotes whose time is not over.
pub const QUOTES_MAX: usize = 1 << 16;
/// How long one may be valid.
pub const QUOTE_VALID_MAX_S: u32 = 31 * 24 * 60 * 60;
/// Decimals of a rate.
pub const RATE_SCALE_MAX: u8 = 18;
/// Bytes of the name of where a rate is from.
pub const RATE_SOURCE_BYTES_MAX: usize = 16;
/// Standing orders.
pub const STANDING_ORDERS_MAX: usize = 1 << 20;
/// Standing orders when PAYERs may define no more of them: the rest is left to CASHIERs.
pub const STANDING_ORDERS_OF_PAYERS_MAX: usize = STANDING_ORDERS_MAX / 8 * 7;
/// The highest id that a PAYER may give one, so that a CASHIER always finds a higher one for the account.
pub const STANDING_ORDER_ID_OF_PAYERS_MAX: u64 = u64::MAX / 2;
/// Those that are executed before one record.
pub const STANDING_ORDERS_PER_RECORD_MAX: usize = 64;
/// Those that are planned anew before one record when the calendar has changed.
pub const STANDING_ORDERS_PLANNED_PER_RECORD_MAX: usize = 1_024;
/// Days on which what was refused of one may be attempted again.
pub const RETRY_DAYS_MAX: u8 = 31;
/// Codes of the chart of accounts, each for every ledger or for one.
pub const ACCOUNT_CODES_MAX: usize = 1 << 14;
/// Bytes of what a bank calls one.
pub const ACCOUNT_CODE_NAME_BYTES_MAX: usize = 32;
/// Balance monitors.
pub const MONITORS_MAX: usize = 1 << 16;
/// Those that watch the same account, or the same ledger, code and class.
pub const MONITORS_PER_ACCOUNT_MAX: usize = 16;
/// Actors.
pub const ACTORS_MAX: usize = 4_096;
/// Proposals that are open.
pub const PROPOSALS_MAX: usize = 1_024;
/// Bytes of the body of a proposed command.
pub const PROPOSED_BYTES_MAX: usize = 3 << 10;
/// Transfers of a correction: so many fit a proposal.
pub const CORRECTION_ROWS_MAX: usize = 23;
/// How long a proposal may be open.
pub const PROPOSAL_EXPIRES_IN_MAX_S: u32 = 31 * 24 * 60 * 60;
/// Kinds of commands that need approval.
pub const APPROVAL_KINDS_MAX: usize = 64;
/// Sessions.
pub const SESSIONS_MAX: usize = 4_096;
/// Clients that one session may trade for.
pub const SESSION_CLIENTS_MAX: usize = 256;
/// Gateway processes: their ids are 1 to this.
pub const GATEWAYS_MAX: u32 = 256;
/// Bytes of one message between a gateway process and a node: a large record with what surrounds it.
pub const LINK_MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Commands of a gateway process that the cluster has not executed yet; further ones wait at their connections.
pub const LINK_RECORDS_MAX: usize = 8_192;
/// Bytes of them.
pub const LINK_BYTES_MAX: usize = 8 << 20;
/// Bytes of events that a node keeps for gateway processes that come back from another leader.
pub const LINK_HISTORY_BYTES_MAX: usize = 64 << 20;
/// Resting orders of one market.
pub const BOOK_ORDERS_MAX: usize = 1 << 22;
/// ClOrdIDs remembered for one session: those of the day, and those of live orders.
pub const SESSION_CL_ORD_IDS_MAX: usize = 1 << 21;
/// Request numbers remembered for a session whose requests may come again.
pub const REQUEST_WINDOW: u64 = 1_024;
/// Outputs kept for a session's resends; older ones are answered by a gap fill.
pub const OUTBOX_PER_SESSION_MAX: u64 = 1 << 20;
/// Bytes of the reason for which a record is passed over.
pub const SKIP_REASON_BYTES_MAX: usize = 200;
/// Operators who sign such a decision.
pub const SKIP_SIGNATURES_MAX: usize = 4;
/// Bytes of one message between two nodes: a large block with what surrounds it, or a piece of a snapshot.
pub const PEER_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// How long a session may stay silent before its orders are cancelled, where it asks for that.
pub const CANCEL_ALL_AFTER_MS: core::ops::RangeInclusive<u32> = 1_000..=24 * 60 * 60 * 1_000;
/// Fills that market maker protection counts.
pub const PROTECTION_FILLS_MAX: u32 = 1_024;
/// How long it counts them.
pub const PROTECTION_WINDOW_MAX_MS: u32 = 60 * 60 * 1_000;
/// Legs of an order that trades leg by leg.
pub const TWAP_LEGS: core::ops::RangeInclusive<u16> = 2..=1_000;
/// Time between two of them.
pub const TWAP_INTERVAL_MS: core::ops::RangeInclusive<u32> = 1_000..=24 * 60 * 60 * 1_000;
/// Orders of one market whose prices follow its best prices.
pub const PEGGED_ORDERS_MAX: usize = 1_024;
/// Those that are moved behind one record, and those left over that are moved before it.
pub const PEGS_MOVED_PER_RECORD_MAX: usize = 256;
/// Quotes of one mass quote: their orders' numbers fit the top byte of an order id.
pub const MASS_QUOTE_ENTRIES_MAX: usize = 64;
/// Lists of orders of which an order lives.
pub const ORDER_LISTS_MAX: usize = 1 << 20;
/// How old an index price may become.
pub const PRICE_VALID_MAX_MS: u32 = 24 * 60 * 60 * 1_000;
/// How far ahead of its record an index price may have been observed: as far as clocks may differ.
pub const PRICE_AHEAD_MAX_MS: u32 = 1_000;
/// In what time a market's price is watched.
pub const VOLATILITY_WINDOW_MS: core::ops::RangeInclusive<u32> = 1_000..=24 * 60 * 60 * 1_000;
/// Parts of that time: a price counts for at most one of them longer.
pub const VOLATILITY_BUCKETS: u64 = 64;
/// How long a market pauses because of its price.
pub const VOLATILITY_PAUSE_MAX_MS: u32 = 24 * 60 * 60 * 1_000;
/// Clients who are in a trade group.
pub const TRADE_GROUP_CLIENTS_MAX: usize = 1 << 20;
/// Orders that wait for a price in one market.
pub const ARMED_ORDERS_MAX: usize = 1 << 20;
/// Those that fire behind one record, and those left over that fire before it.
pub const TRIGGERED_PER_RECORD_MAX: usize = 64;
/// Pairs of an auction that trade behind one record, and those left over that trade before it, as well as orders that end with it
/// or with the day.
pub const AUCTION_STEPS_PER_RECORD_MAX: usize = 256;
/// Entries of a market's schedule.
pub const MARKET_SCHEDULE_ENTRIES_MAX: usize = 32;
/// Its holidays, and its short days: those of ten years and more, and a proposal holds both.
pub const MARKET_SCHEDULE_DATES_MAX: usize = 256;
/// How long ago a scheduled change of phase may have been missed to be made up for.
pub const MARKET_SCHEDULE_BEHIND_MAX_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// How often at most it is published what an auction would trade.
pub const INDICATION_INTERVAL_MS: u64 = 1_000;
/// Timers that fire before one record.
pub const TIMERS_PER_RECORD_MAX: usize = 64;
/// A fee rate, in parts per million: the whole notional. With its tax it is not above that either.
pub const FEE_PPM_MAX: u32 = 1_000_000;
/// A tax on fees, in parts per million: as much again as the fee.
pub const FEE_TAX_PPM_MAX: u32 = 1_000_000;
/// Tiers of a fee schedule.
pub const FEE_TIERS_MAX: usize = 16;
/// Fee schedules of one market, those that come into force later among them.
pub const MARKET_FEE_SCHEDULES_MAX: usize = 256;
/// Clients in fee groups.
pub const FEE_GROUP_CLIENTS_MAX: usize = 1 << 20;
/// Trades that have been busted or corrected: each is remembered for ever.
pub const BUSTED_TRADES_MAX: usize = 1 << 20;
/// UTC days, the order's not among them, whose volume counts for fees.
pub const FEE_VOLUME_DAYS: u32 = 30;

const _: () = {
    // A block's header, a frame around one maximal record and its chain fit a batch's block, so that nothing that a
    // gateway may submit has to be split.
    assert!(RECORD_BYTES_MAX + FRAME_HEADER_BYTES + FRAME_CHAIN_BYTES + 8 <= FRAME_BYTES_MAX);
    assert!(BLOCK_BYTES_MAX.is_multiple_of(BLOCK_ALIGN) && BLOCK_BYTES_LARGE.is_multiple_of(BLOCK_ALIGN));
    // A large record fills the payload of a large frame, with nothing left for padding.
    assert!(RECORD_BYTES_LARGE.is_multiple_of(8) && FRAME_BYTES_LARGE.is_multiple_of(8));
    // A large block travels in one message, a large record in one of a gateway process: with the kind and its number.
    assert!(PEER_MESSAGE_BYTES_MAX >= 2 * BLOCK_BYTES_LARGE);
    assert!(LINK_MESSAGE_BYTES_MAX >= RECORD_BYTES_LARGE + 9);
    // The ring holds two batches, small or large, beside the reserved eighth: one gathers while the other is written.
    assert!(INGRESS_RECORDS_MAX >= 2 * BATCH_RECORDS_MAX);
    assert!(
        INGRESS_BYTES_MAX / 8 * 7 >= 2 * RECORD_BYTES_LARGE
            && LINK_BYTES_MAX / 8 * 7 >= 2 * RECORD_BYTES_LARGE
    );
    // More corrected transfers are forgotten before a correction than one can add: a full table always empties.
    assert!(CORRECTED_TRANSFERS_FORGOTTEN_PER_RECORD_MAX > CORRECTION_ROWS_MAX);
    // What a leader has in flight allows a large entry behind a large one, and as many small ones as there may be.
    assert!(
        IN_FLIGHT_BYTES_MAX >= 2 * FRAME_BYTES_LARGE
            && IN_FLIGHT_BYTES_MAX >= IN_FLIGHT_ENTRIES_MAX * FRAME_BYTES_MAX
    );
};
