//! Reads a workload that another program has written, so that engines in any language replay the same bytes.
//!
//! Little endian: a header of 8 u64 (magic, symbols, prefill, operations, expected trades, volume and checksum, live
//! orders at the end), then prefill + operations records of 32 bytes: kind u8, side u8 (0 = buy), symbol u16, qty u32,
//! id u64, price u64, aux u64 (not needed here).

use std::path::Path;

use protocol::Side;

use crate::fault::Fault;
use crate::workload::{Kind, Op, Tally, Workload};

const MAGIC: u64 = 0x5752_4B31;
const HEADER_BYTES: usize = 64;
const RECORD_BYTES: usize = 32;

/// Reads the file at `path` whole.
pub(crate) fn read(path: &Path) -> Result<Workload, Fault> {
    let bytes = std::fs::read(path).map_err(|error| Fault::Read { path: path.to_owned(), error })?;
    parse(&bytes).map_err(|what| Fault::Format { path: path.to_owned(), line: None, what })
}

fn parse(bytes: &[u8]) -> Result<Workload, &'static str> {
    let (header, records) = bytes.split_at_checked(HEADER_BYTES).ok_or("shorter than its header")?;
    let mut fields = header.chunks_exact(8).map(u64_of);
    let mut field = || fields.next().unwrap_or(0);
    if field() != MAGIC {
        return Err("not a matching workload");
    }
    let symbols = usize::try_from(field()).map_err(|_| "too many symbols")?;
    let prefill = usize::try_from(field()).map_err(|_| "too many operations")?;
    let ops = usize::try_from(field()).map_err(|_| "too many operations")?;
    let expected = Tally { trades: field(), volume: field(), checksum: field() };
    let live = field();
    let count = prefill.checked_add(ops).ok_or("too many operations")?;
    if count.checked_mul(RECORD_BYTES) != Some(records.len()) || symbols == 0 || symbols > 1 << 16 {
        return Err("its length is not what its header says");
    }
    let all = records.chunks_exact(RECORD_BYTES).map(|record| op(record, symbols));
    let mut all = all.collect::<Result<Vec<_>, _>>()?;
    let timed = all.split_off(prefill);
    Ok(Workload { symbols, prefill: all, ops: timed, expected, live })
}

fn op(record: &[u8], symbols: usize) -> Result<Op, &'static str> {
    let [kind, side, symbol_low, symbol_high, qty @ ..] = record else { return Err("a short record") };
    let kind = match kind {
        0 => Kind::Add,
        1 => Kind::Ioc,
        2 => Kind::Cancel,
        3 => Kind::Reduce,
        4 => Kind::Move,
        _ => return Err("a record of an unknown kind"),
    };
    let side = match side {
        0 => Side::Buy,
        1 => Side::Sell,
        _ => return Err("a record of an unknown side"),
    };
    let symbol = u16::from_le_bytes([*symbol_low, *symbol_high]);
    if usize::from(symbol) >= symbols {
        return Err("a record of an unknown symbol");
    }
    let (qty, rest) = qty.split_first_chunk().ok_or("a short record")?;
    let mut fields = rest.chunks_exact(8).map(u64_of);
    let mut field = || fields.next().unwrap_or(0);
    Ok(Op { kind, side, symbol, qty: u32::from_le_bytes(*qty), id: field(), price: field() })
}

fn u64_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: [u64; 8], records: &[[u8; RECORD_BYTES]]) -> Vec<u8> {
        header.iter().flat_map(|field| field.to_le_bytes()).chain(records.concat()).collect()
    }

    fn record(kind: u8, side: u8, symbol: u8) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        (record[0], record[1], record[2], record[4], record[8], record[16]) = (kind, side, symbol, 9, 7, 100);
        record
    }

    #[test]
    fn a_record_is_read_field_by_field() {
        let bytes = file([MAGIC, 2, 1, 1, 11, 12, 13, 14], &[record(0, 0, 0), record(4, 1, 1)]);
        let workload = parse(&bytes).unwrap();
        let op = Op { kind: Kind::Move, side: Side::Sell, symbol: 1, qty: 9, id: 7, price: 100 };
        assert_eq!((workload.symbols, workload.prefill.len(), workload.ops), (2, 1, vec![op]));
        assert_eq!((workload.expected, workload.live), (Tally { trades: 11, volume: 12, checksum: 13 }, 14));
    }

    #[test]
    fn another_file_is_refused() {
        let header = [MAGIC, 1, 0, 1, 0, 0, 0, 0];
        let good = file(header, &[record(0, 0, 0)]);
        assert!(parse(&good).is_ok());
        assert!(parse(&good[..95]).is_err() && parse(&good[..63]).is_err());
        for damaged in [
            file([1, 1, 0, 1, 0, 0, 0, 0], &[record(0, 0, 0)]),
            file([MAGIC, 1, u64::MAX, 2, 0, 0, 0, 0], &[record(0, 0, 0)]),
            file(header, &[record(5, 0, 0)]),
            file(header, &[record(0, 2, 0)]),
            file(header, &[record(0, 0, 1)]),
        ] {
            assert!(parse(&damaged).is_err());
        }
    }
}
