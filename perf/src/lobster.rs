//! `perf lobster`: real order flow in the LOBSTER sample format through the matching core, in process, or with `--addr`
//! through a node over FIX, which must come to the same counts.
//!
//! Orders that rested before the file begins get a submission first, with the sum of the sizes of their own rows. Then
//! new orders rest (or trade, if they cross), partial cancels and deletions are done as they stand, and each execution of a
//! visible order is one IOC order on the opposite side. A price-time book should fill exactly the order that the row names,
//! but for orders that left the 50 recorded levels and came back unseen.

mod over_fix;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use engine::matching::{Book, BookLimits, Fill};
use protocol::{OrderId, PriceTicks, QtyLots, Side};

use crate::fault::{Fault, agree};

/// Which flow to replay.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A message file: seconds, type, order id, size, price × 10,000, side of the resting order.
    file: PathBuf,
    /// Where a node listens for FIX; perf/lobster.toml says what it has to know.
    #[arg(long)]
    addr: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowKind {
    Submit,
    PartialCancel,
    Delete,
    Execute,
    /// Hidden executions, crosses and halts: they touch no visible order.
    Other,
}

/// One row of the file.
#[derive(Clone, Copy, Debug)]
struct Row {
    kind: RowKind,
    id: OrderId,
    size: QtyLots,
    price: PriceTicks,
    /// Of the resting order.
    side: Side,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    exact: u64,
    none: u64,
    other: u64,
    crossing: u64,
    late: u64,
}

impl Counts {
    /// The node and the book in process must not differ in a single row.
    fn agree_with(self, expected: Self) -> Result<(), Fault> {
        agree("exact", expected.exact, self.exact)?;
        agree("none", expected.none, self.none)?;
        agree("other", expected.other, self.other)?;
        agree("crossing", expected.crossing, self.crossing)?;
        agree("late", expected.late, self.late)
    }
}

/// Replays the file and prints the counts.
pub(crate) fn run(args: &Args) -> Result<(), Fault> {
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Fault::Read { path: args.file.clone(), error })?;
    let rows = parse(&text, &args.file)?;
    let seeds = seeds(&rows);
    println!("{} rows, {} orders rested before the first", rows.len(), seeds.len());
    let counts = replay(&seeds, &rows)?;
    if let Some(address) = args.addr {
        let (through_node, per_s) = over_fix::replay(address, &seeds, &rows)?;
        println!("through the node, one request at a time: {per_s:.0} a second");
        through_node.agree_with(counts)?;
    }
    let Counts { exact, none, other, crossing, late } = counts;
    println!("exact={exact} none={none} other={other} crossing={crossing} late={late}");
    Ok(())
}

fn parse(text: &str, path: &Path) -> Result<Vec<Row>, Fault> {
    let fault = |line, what| Fault::Format { path: path.to_owned(), line: Some(line), what };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(i, line)| row(line).map_err(|what| fault(i + 1, what))).collect()
}

fn row(line: &str) -> Result<Row, &'static str> {
    let mut columns = line.split(',');
    let mut column = || columns.next().map(str::trim).ok_or("a row of fewer than six columns");
    column()?;
    let kind = match column()? {
        "1" => RowKind::Submit,
        "2" => RowKind::PartialCancel,
        "3" => RowKind::Delete,
        "4" => RowKind::Execute,
        "5" | "6" | "7" => RowKind::Other,
        _ => return Err("an unknown type of row"),
    };
    let id = column()?.parse().map_err(|_| "an order id that is no number")?;
    let size = column()?.parse().map_err(|_| "a size that is no number")?;
    // A halt has a price of -1; it is not looked at.
    let price = match column()?.parse() {
        Ok(price) => price,
        Err(_) if kind == RowKind::Other => 0,
        Err(_) => return Err("a price that is no number"),
    };
    let side = match column()? {
        "1" => Side::Buy,
        "-1" => Side::Sell,
        _ => return Err("a side that is neither 1 nor -1"),
    };
    Ok(Row { kind, id: OrderId(id), size: QtyLots(size), price: PriceTicks(price), side })
}

/// Orders that a row cancels or executes and that no row submits, in the order of their first row.
fn seeds(rows: &[Row]) -> Vec<Row> {
    let submitted: BTreeSet<OrderId> =
        rows.iter().filter(|row| row.kind == RowKind::Submit).map(|row| row.id).collect();
    let mut place_of: BTreeMap<OrderId, usize> = BTreeMap::new();
    let mut seeds: Vec<Row> = Vec::new();
    for row in rows {
        match row.kind {
            RowKind::PartialCancel | RowKind::Delete | RowKind::Execute if !submitted.contains(&row.id) => {
                let place = *place_of.entry(row.id).or_insert(seeds.len());
                match seeds.get_mut(place) {
                    Some(seed) => seed.size.0 += row.size.0,
                    None => seeds.push(Row { kind: RowKind::Submit, ..*row }),
                }
            }
            RowKind::Submit
            | RowKind::PartialCancel
            | RowKind::Delete
            | RowKind::Execute
            | RowKind::Other => {}
        }
    }
    seeds
}

fn replay(seeds: &[Row], rows: &[Row]) -> Result<Counts, Fault> {
    let mut book = Book::new(BookLimits::default());
    let mut counts = Counts::default();
    for seed in seeds {
        submit(&mut book, seed)?;
    }
    for row in rows {
        match row.kind {
            RowKind::Submit => counts.crossing += u64::from(submit(&mut book, row)?),
            RowKind::PartialCancel => counts.late += u64::from(!reduce(&mut book, row)),
            RowKind::Delete => counts.late += u64::from(book.cancel_id(row.id).is_none()),
            RowKind::Execute => {
                let outcome = execute(&mut book, row);
                *match outcome {
                    Outcome::Exact => &mut counts.exact,
                    Outcome::None => &mut counts.none,
                    Outcome::Other => &mut counts.other,
                } += 1;
            }
            RowKind::Other => {}
        }
    }
    Ok(counts)
}

/// Whether the order traded on entry.
fn submit(book: &mut Book, row: &Row) -> Result<bool, Fault> {
    let left = book.match_against(row.side, Some(row.price), row.size, |_| {});
    if left.0 > 0 {
        book.insert(row.id, row.side, row.price, left).map_err(|_| {
            Fault::Arguments("the book refused an order of the file: zero size or price, or an id twice")
        })?;
    }
    Ok(left != row.size)
}

/// Takes the row's size off the order, and the order out with its last lot. False where the order is gone.
fn reduce(book: &mut Book, row: &Row) -> bool {
    let Some(slot) = book.slot_of(row.id) else { return false };
    // Refused where nothing would be left.
    book.reduce(slot, row.size).is_ok() || book.cancel(slot).is_some()
}

enum Outcome {
    Exact,
    None,
    Other,
}

fn execute(book: &mut Book, row: &Row) -> Outcome {
    let taker = row.side.opposite();
    let mut fills: Vec<Fill> = Vec::new();
    book.match_against(taker, Some(row.price), row.size, |fill| fills.push(fill));
    match fills.as_slice() {
        [] => Outcome::None,
        [fill] if fill.maker_id == row.id && fill.price == row.price && fill.qty == row.size => {
            Outcome::Exact
        }
        _ => Outcome::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> Counts {
        let rows = parse(text, Path::new("flow.csv")).unwrap();
        replay(&seeds(&rows), &rows).unwrap()
    }

    #[test]
    fn rows_are_counted_as_defined() {
        // Order 1 rested before the first row with 5 + 3 + 2, order 3 with 4 ahead of order 2.
        let text = "1,4,1,5,1000000,1\n\
                    2,2,1,3,1000000,1\n\
                    3,1,2,9,1010000,-1\n\
                    4,3,1,2,1000000,1\n\
                    5,4,3,4,1010000,-1\n\
                    6,4,2,6,1010000,-1\n\
                    7,1,4,1,1020000,1\n\
                    8,2,2,2,1010000,-1\n\
                    9,3,2,1,1010000,-1\n\
                    10,5,0,7,1000000,1\n\
                    11,7,0,0,-1,-1\n\
                    12,4,5,1,1030000,-1\n\
                    13,4,5,1,1000000,-1\n";
        // Row 7 crosses and takes order 2's last but 2; row 8 takes these, so row 9 is late. Row 13 finds no seller at
        // its price; the last row of order 5, whose seed rests at the price of row 12, has one lot left.
        let expected = Counts { exact: 4, none: 1, other: 0, crossing: 1, late: 1 };
        assert_eq!(counts(text), expected);
    }

    #[test]
    fn a_damaged_row_is_named_by_its_line() {
        for bad in ["1,1,1,1,1", "1,9,1,1,1,1", "1,1,x,1,1,1", "1,1,1,1,-1,1", "1,1,1,1,1,0"] {
            let text = format!("1,1,1,1,1,1\n{bad}\n");
            let fault = parse(&text, Path::new("flow.csv")).unwrap_err();
            assert!(matches!(fault, Fault::Format { line: Some(2), .. }), "{bad}: {fault}");
        }
    }

    #[test]
    fn real_flow_fills_the_orders_that_it_names() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/lobster");
        let Ok(mut files) = std::fs::read_dir(&folder) else {
            println!("skipped: {} is not here", folder.display());
            return;
        };
        let path = files.next().unwrap().unwrap().path();
        let text = std::fs::read_to_string(path).unwrap();
        let Counts { exact, none, other, .. } = counts(&text);
        let executions = exact + none + other;
        assert!(executions > 4_000 && exact * 100 > executions * 96, "{exact} of {executions}");
    }
}
