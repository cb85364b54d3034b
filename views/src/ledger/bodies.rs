//! Everything that moved, in order, packed into blocks: what a transfer says is kept once, here.
//!
//! ```text
//! crc32c u32 over the rest | movements u16 | time of the first u64 | the movements
//! ```
//! A block's key is the place of its first movement. The last block is written anew, longer, until it is full.

use protocol::{MarketId, Seq, TradeId, TradePart, TransferId, UnixNanos};
use redb::{ReadableTable, TableDefinition};

use super::fault::ViewFault;
use super::movement::{Cause, Fields, Movement, Place};
use super::run::{BLOCK_BYTES, seal, unseal};
use crate::pack::{Damaged, Unpack, fold_u128, put_u64, put_u128, unfold_u128};

/// Seq and step of a block's first movement → the block.
pub(crate) const BODIES: TableDefinition<'static, (u64, u32), &'static [u8]> = TableDefinition::new("bodies");
/// Time of a block's first movement → its seq.
pub(crate) const TIMES: TableDefinition<'static, u64, u64> = TableDefinition::new("times");

const HEAD_BYTES: usize = 14;
const BLOCK_MOVEMENTS_MAX: u16 = 4_096;

const CAUSE: u8 = 7;
/// What stands before is a row with the same code and flags, and one place less in its batch.
const LIKE_BEFORE: u8 = 8;
const NEW_RECORD: u8 = 16;
const HAS_PENDING_ID: u8 = 32;
const HAS_USER_DATA: u8 = 64;
const HAS_RARE: u8 = 128;

/// Collects blocks until they are written.
#[derive(Default)]
pub(crate) struct BodyWriter {
    /// Those that are full, each with its place and the time of its first movement.
    pub(crate) full: Vec<Block>,
    /// The one that grows.
    pub(crate) last: Option<Block>,
}

/// A block that is being written.
pub(crate) struct Block {
    first: Place,
    first_time: UnixNanos,
    before: Movement,
    count: u16,
    bytes: Vec<u8>,
}

impl Block {
    fn begin(movement: &Movement) -> Self {
        let mut bytes = vec![0; HEAD_BYTES];
        pack(movement, None, &mut bytes);
        let (first, first_time) = (movement.place, movement.time);
        Self { first, first_time, before: *movement, count: 1, bytes }
    }

    /// Goes on with the last block of the file.
    fn resume(first: Place, bytes: &[u8]) -> Result<Self, Damaged> {
        let movements = read_block(first, bytes)?;
        let (begin, before) = (movements.first().ok_or(Damaged)?, movements.last().ok_or(Damaged)?);
        let count = u16::try_from(movements.len()).map_err(|_| Damaged)?;
        Ok(Self { first, first_time: begin.time, before: *before, count, bytes: bytes.to_vec() })
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BLOCK_BYTES || self.count == BLOCK_MOVEMENTS_MAX
    }

    /// The block's bytes as of now.
    fn sealed(&mut self) -> &[u8] {
        protocol::put(&mut self.bytes, 4, &self.count.to_le_bytes());
        protocol::put(&mut self.bytes, 6, &self.first_time.0.to_le_bytes());
        seal(&mut self.bytes);
        &self.bytes
    }
}

impl BodyWriter {
    pub(crate) fn push(&mut self, movement: &Movement) {
        if let Some(last) = self.last.take_if(|last| last.is_full()) {
            self.full.push(last);
        }
        match &mut self.last {
            None => self.last = Some(Block::begin(movement)),
            Some(block) => {
                pack(movement, Some(&block.before), &mut block.bytes);
                block.before = *movement;
                block.count += 1;
            }
        }
    }

    /// Goes on where the file ends.
    pub(crate) fn resume(table: &impl ReadableTable<(u64, u32), &'static [u8]>) -> Result<Self, ViewFault> {
        let mut writer = Self::default();
        if let Some((key, block)) = table.last()? {
            let (seq, step) = key.value();
            writer.last = Some(Block::resume(Place { seq: Seq(seq), step }, block.value())?);
        }
        Ok(writer)
    }

    /// Writes everything; the last block goes on growing.
    pub(crate) fn write(
        &mut self,
        bodies: &mut redb::Table<'_, (u64, u32), &'static [u8]>,
        times: &mut redb::Table<'_, u64, u64>,
    ) -> Result<(), ViewFault> {
        for block in self.full.iter_mut().chain(&mut self.last) {
            let (first, time) = (block.first, block.first_time);
            bodies.insert((first.seq.0, first.step), block.sealed())?;
            times.insert(time.0, first.seq.0)?;
        }
        self.full.clear();
        Ok(())
    }
}

/// The movements of a block.
pub(crate) fn read_block(first: Place, block: &[u8]) -> Result<Vec<Movement>, Damaged> {
    let mut from = Unpack::new(unseal(block)?);
    let count = u16::from_le_bytes(from.array()?);
    let time = UnixNanos(u64::from_le_bytes(from.array()?));
    let mut movements: Vec<Movement> = Vec::with_capacity(count.into());
    for _ in 0..count {
        let movement = unpack(movements.last(), (first, time), &mut from)?;
        movements.push(movement);
    }
    if from.is_empty() { Ok(movements) } else { Err(Damaged) }
}

fn pack(movement: &Movement, before: Option<&Movement>, out: &mut Vec<u8>) {
    let fields = &movement.fields;
    let new_record = before.filter(|before| before.place.seq != movement.place.seq);
    let alike = before.is_some_and(|before| is_like(movement, before));
    let user_data = (fields.user_data_128, fields.user_data_64, fields.user_data_32) != (0, 0, 0);
    let rare = (fields.timeout_s, fields.value_date, fields.reason) != (0, 0, 0);
    let mut bits = cause_bits(movement.cause);
    bits |= if alike { LIKE_BEFORE } else { 0 };
    bits |= if new_record.is_some() { NEW_RECORD } else { 0 };
    bits |= if fields.pending_id.0 != 0 { HAS_PENDING_ID } else { 0 };
    bits |= if user_data { HAS_USER_DATA } else { 0 };
    bits |= if rare { HAS_RARE } else { 0 };
    out.push(bits);
    if let Some(before) = new_record {
        put_u64(out, movement.place.seq.0.wrapping_sub(before.place.seq.0));
        put_u64(out, movement.time.0.wrapping_sub(before.time.0));
    }
    match movement.cause {
        Cause::Row { index } if !alike => put_u64(out, index.into()),
        Cause::Trade { trade, market, part } => {
            put_u64(out, (u64::from(market.0) << 3) | u64::from(part.code()));
            put_u64(out, trade.0);
        }
        Cause::Row { .. } | Cause::Expiry => {}
    }
    let id_before = before.map_or(0, |before| before.id.0);
    put_u128(out, fold_u128(movement.id.0.wrapping_sub(id_before)));
    put_u64(out, movement.debit.into());
    put_u64(out, movement.credit.into());
    put_u128(out, movement.amount);
    if !alike {
        put_u64(out, fields.code.into());
        put_u64(out, fields.flags.into());
    }
    if fields.pending_id.0 != 0 {
        put_u128(out, fold_u128(fields.pending_id.0.wrapping_sub(id_before)));
    }
    if user_data {
        put_u128(out, fields.user_data_128);
        put_u64(out, fields.user_data_64);
        put_u64(out, fields.user_data_32.into());
    }
    if rare {
        put_u64(out, fields.timeout_s.into());
        put_u64(out, fields.value_date.into());
        put_u64(out, fields.reason.into());
    }
}

fn is_like(movement: &Movement, before: &Movement) -> bool {
    let (Cause::Row { index }, Cause::Row { index: last }) = (movement.cause, before.cause) else {
        return false;
    };
    index == last.wrapping_add(1)
        && (movement.fields.code, movement.fields.flags) == (before.fields.code, before.fields.flags)
}

const fn cause_bits(cause: Cause) -> u8 {
    match cause {
        Cause::Row { .. } => 0,
        Cause::Trade { .. } => 1,
        Cause::Expiry => 2,
    }
}

fn unpack(
    before: Option<&Movement>,
    (first, time): (Place, UnixNanos),
    from: &mut Unpack<'_>,
) -> Result<Movement, Damaged> {
    let bits = from.u8()?;
    let (place, time) = match before {
        None => (first, time),
        Some(before) if bits & NEW_RECORD == 0 => {
            let step = before.place.step.checked_add(1).ok_or(Damaged)?;
            (Place { step, ..before.place }, before.time)
        }
        Some(before) => {
            let seq = Seq(before.place.seq.0.wrapping_add(from.u64()?));
            (Place { seq, step: 0 }, UnixNanos(before.time.0.wrapping_add(from.u64()?)))
        }
    };
    let like = before.filter(|_| bits & LIKE_BEFORE != 0);
    let cause = match bits & CAUSE {
        0 => Cause::Row { index: row_index(like, from)? },
        1 => unpack_trade(from)?,
        2 => Cause::Expiry,
        _ => return Err(Damaged),
    };
    let id_before = before.map_or(0, |before| before.id.0);
    let id = TransferId(id_before.wrapping_add(unfold_u128(from.u128()?)));
    let (debit, credit, amount) = (from.u32()?, from.u32()?, from.u128()?);
    let (code, flags) = match like {
        Some(like) => (like.fields.code, like.fields.flags),
        None => (from.u16()?, from.u16()?),
    };
    let mut fields = Fields { code, flags, ..Fields::default() };
    if bits & HAS_PENDING_ID != 0 {
        fields.pending_id = TransferId(id_before.wrapping_add(unfold_u128(from.u128()?)));
    }
    if bits & HAS_USER_DATA != 0 {
        fields.user_data_128 = from.u128()?;
        fields.user_data_64 = from.u64()?;
        fields.user_data_32 = from.u32()?;
    }
    if bits & HAS_RARE != 0 {
        fields.timeout_s = from.u32()?;
        fields.value_date = from.u32()?;
        fields.reason = from.u16()?;
    }
    Ok(Movement { place, time, cause, id, debit, credit, amount, fields })
}

fn row_index(like: Option<&Movement>, from: &mut Unpack<'_>) -> Result<u32, Damaged> {
    match like.map(|like| like.cause) {
        None => from.u32(),
        Some(Cause::Row { index }) => index.checked_add(1).ok_or(Damaged),
        Some(Cause::Trade { .. } | Cause::Expiry) => Err(Damaged),
    }
}

fn unpack_trade(from: &mut Unpack<'_>) -> Result<Cause, Damaged> {
    let market = from.u64()?;
    let part = u8::try_from(market & 7).ok().and_then(TradePart::from_code).ok_or(Damaged)?;
    let market = MarketId(u32::try_from(market >> 3).map_err(|_| Damaged)?);
    Ok(Cause::Trade { trade: TradeId(from.u64()?), market, part })
}
