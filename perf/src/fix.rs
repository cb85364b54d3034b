//! `perf fix`: a FIX session against a node, one request answered by one report.
//!
//! About half of the requests are new orders and half are cancels, so that the book holds a few hundred orders however
//! long it runs; one new order in sixteen is an IOC that takes from the book. A latency runs from the moment at which a request
//! was meant to leave, which is when its slot in the window became free, or with `--rate` its place in the schedule, to
//! the moment at which its first report has been read. The run is cut into slices, and between them it measures what the
//! machine needs at least: a blocking round trip of a message of the same size and one durable write of 4 KiB. A shared
//! disk is another one from second to second; only what was measured in turn can be compared.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use gateways::fix::initiator::{Message, NewOrder, OrderRef};
use protocol::{OrderType, Side, TimeInForce};

use crate::cluster::{Cluster, Profile};
use crate::draw::Draw;
use crate::fault::{Fault, agree};
use crate::floor;
use crate::line::{Line, Wait};
use crate::quantile::quantile;

/// Resting orders once the run is under way.
const LIVE_MAX: usize = 400;
/// Passive prices lie within this many ticks of the mid.
const SPREAD_TICKS: u64 = 200;
/// One order in so many takes.
const TAKE_EVERY: u64 = 16;
/// Requests in flight of a run with `--rate`, at most: a node that cannot keep up fails the run, not the machine.
const OPEN_LOOP_IN_FLIGHT_MAX: usize = 65_536;
/// Requests of a slice, at least, and slices, at most.
const SLICE_MIN: u64 = 1_000;
const SLICES_MAX: u64 = 8;
/// Requests that are not measured: the first ones pay for cold caches and for tables that grow.
const WARM_UP: u64 = 2_000;

/// How to load which node.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the node listens for FIX.
    #[arg(long, required_unless_present = "cluster", conflicts_with = "cluster")]
    addr: Option<SocketAddr>,
    /// Three nodes of its own on loopback, in an empty folder: measures the one that leads.
    #[arg(long, value_name = "DIR")]
    cluster: Option<PathBuf>,
    /// Requests in flight.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    window: u16,
    /// Requests to measure: new orders and cancels.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    orders: u32,
    /// Requests a second, sent when they are due however many are in flight; without it the window decides.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// CompID of the session; its numbers are reset.
    #[arg(long, default_value = "CLIENT1")]
    session: String,
    /// Symbol of the market. The defaults fit the built-in demo.
    #[arg(long, default_value = "BTC-TRY")]
    symbol: String,
    /// Mid of all prices, in whole units of quote.
    #[arg(long, default_value_t = 4_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    mid: u64,
    /// Unit of all quantities.
    #[arg(long, default_value = "0.001")]
    qty: String,
    /// Seed of the flow.
    #[arg(long, default_value_t = 20_261_120)]
    seed: u64,
    /// Where the bare disk is measured: a folder on the node's disk.
    #[arg(long, default_value = ".")]
    disk: PathBuf,
}

/// Loads the node and prints the figures.
pub(crate) fn run(args: &Args) -> Result<(), Fault> {
    // Its processes end with it.
    let own = args.cluster.as_deref().map(three_nodes).transpose()?;
    let led_at = own.as_ref().map(|(_, addr)| *addr);
    let Some(addr) = led_at.or(args.addr) else { unreachable!("one of the two is required") };
    let mut line = Line::open(addr, &args.session, args.rate.map_or(Wait::Block, |_| Wait::Poll))?;
    let mut load = Load::new(args, &mut line);
    load.answer(WARM_UP.min(u64::from(args.orders)))?;
    let message_bytes = load.message_bytes();
    load.begin_measuring();
    let mut floors = Floors::default();
    let slices = (u64::from(args.orders) / SLICE_MIN).clamp(1, SLICES_MAX);
    for slice in 0..slices {
        floors.measure(message_bytes, args)?;
        let until = |slice| u64::from(args.orders) * slice / slices;
        load.answer(until(slice + 1) - until(slice))?;
    }
    floors.measure(message_bytes, args)?;
    let mut laps = std::mem::take(&mut load.laps);
    let (seconds, counts) = (load.measured_s, load.counts);
    load.cancel_all()?;
    line.close()?;
    agree("orders refused", 0, counts.refused)?;

    println!(
        "{} new orders, {} cancels ({} came too late), {} fills; requests of {message_bytes} bytes",
        counts.orders, counts.cancels, counts.cancels_late, counts.fills
    );
    laps.sort_unstable();
    let us = |ns: u32| f64::from(ns) / 1_000.0;
    let (tcp_us, disk_us) = (us(floors.tcp()), us(floors.disk()));
    let p50_us = us(quantile(&laps, 500));
    println!(
        "p50_us={p50_us:.1} p99_us={:.1} p999_us={:.1} per_s={:.0} tcp_p50_us={tcp_us:.1} disk_p50_us={disk_us:.1} \
         ratio={:.3}",
        us(quantile(&laps, 990)),
        us(quantile(&laps, 999)),
        f64::from(args.orders) / seconds,
        p50_us / (tcp_us + disk_us)
    );
    Ok(())
}

/// Three nodes in `dir`, and where the one that leads listens for FIX.
fn three_nodes(dir: &Path) -> Result<(Cluster, SocketAddr), Fault> {
    let (cluster, addresses) = Cluster::start(dir, Profile::Lan)?;
    let leader = cluster.leader()?;
    Ok((cluster, addresses[leader]))
}

/// What the machine needs at least, between the slices of the load.
#[derive(Default)]
struct Floors {
    tcp_ns: Vec<u32>,
    disk_ns: Vec<u32>,
}

impl Floors {
    fn measure(&mut self, message_bytes: usize, args: &Args) -> Result<(), Fault> {
        self.tcp_ns.extend(floor::tcp_round_trips_ns(message_bytes)?);
        self.disk_ns.extend(floor::disk_writes_ns(&args.disk)?);
        Ok(())
    }

    fn tcp(&mut self) -> u32 {
        self.tcp_ns.sort_unstable();
        quantile(&self.tcp_ns, 500)
    }

    fn disk(&mut self) -> u32 {
        self.disk_ns.sort_unstable();
        quantile(&self.disk_ns, 500)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    orders: u64,
    cancels: u64,
    cancels_late: u64,
    fills: u64,
    refused: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Rest(Side),
    Take,
    Cancel,
}

/// A request that has no report yet.
struct Pending {
    id: u64,
    intended_ns: u64,
    request: Request,
}

/// The flow, and what is known of its orders.
struct Load<'a> {
    args: &'a Args,
    line: &'a mut Line,
    draw: Draw,
    /// Makes the ClOrdIDs of this run different from those of every other of the day.
    run: String,
    id_next: u64,
    pending: VecDeque<Pending>,
    live: Vec<(u64, Side)>,
    laps: Vec<u32>,
    counts: Counts,
    measured_s: f64,
}

impl<'a> Load<'a> {
    fn new(args: &'a Args, line: &'a mut Line) -> Self {
        let run = format!("{:x}", line.now().wall.0 / 1_000);
        Self {
            args,
            line,
            draw: Draw::new(args.seed),
            run,
            id_next: 1,
            pending: VecDeque::new(),
            live: Vec::new(),
            laps: Vec::new(),
            counts: Counts::default(),
            measured_s: 0.0,
        }
    }

    fn begin_measuring(&mut self) {
        self.laps = Vec::with_capacity(usize::try_from(self.args.orders).unwrap_or(0));
        self.counts = Counts::default();
        self.measured_s = 0.0;
    }

    /// Sends `requests` and waits until each has its report.
    fn answer(&mut self, requests: u64) -> Result<(), Fault> {
        let in_flight_max = match self.args.rate {
            None => usize::from(self.args.window),
            Some(_) => OPEN_LOOP_IN_FLIGHT_MAX,
        };
        let started_ns = self.line.mono_ns();
        let mut sent = 0;
        while sent < requests || !self.pending.is_empty() {
            while sent < requests && self.pending.len() < in_flight_max {
                let now_ns = self.line.mono_ns();
                let intended_ns = match self.args.rate {
                    None => now_ns,
                    Some(rate) => started_ns + sent * 1_000_000_000 / rate,
                };
                if intended_ns > now_ns {
                    break;
                }
                self.send(intended_ns);
                sent += 1;
            }
            self.line.turn()?;
            self.take_reports()?;
        }
        let nanos = self.line.mono_ns() - started_ns;
        self.measured_s += std::time::Duration::from_nanos(nanos).as_secs_f64();
        Ok(())
    }

    fn send(&mut self, intended_ns: u64) {
        let now = self.line.now();
        let id = self.id_next;
        self.id_next += 1;
        let cancel = !self.live.is_empty() && (self.live.len() >= LIVE_MAX || self.draw.below(2) == 0);
        if cancel {
            let (order, side) = self.live.swap_remove(self.draw.index(self.live.len()));
            self.send_cancel(id, order, side);
            self.counts.cancels += 1;
            self.pending.push_back(Pending { id, intended_ns, request: Request::Cancel });
            return;
        }
        let side = if self.draw.below(2) == 0 { Side::Buy } else { Side::Sell };
        let take = self.draw.below(TAKE_EVERY) == 0;
        let away = 1 + self.draw.below(SPREAD_TICKS);
        let (mid, up) = (self.args.mid, (side == Side::Sell) != take);
        let price = if up { mid + away } else { mid - away };
        let time_in_force = if take { TimeInForce::ImmediateOrCancel } else { TimeInForce::GoodTillCancel };
        let order = NewOrder {
            cl_ord_id: &format!("{}-{id}", self.run),
            symbol: &self.args.symbol,
            side,
            order_type: OrderType::Limit,
            time_in_force,
            price: &price.to_string(),
            qty: &self.args.qty,
        };
        self.line.initiator.new_order(&order, now);
        self.counts.orders += 1;
        let request = if take { Request::Take } else { Request::Rest(side) };
        self.pending.push_back(Pending { id, intended_ns, request });
    }

    fn send_cancel(&mut self, id: u64, order: u64, side: Side) {
        let now = self.line.now();
        let order = OrderRef {
            cl_ord_id: &format!("{}-{id}", self.run),
            orig_cl_ord_id: &format!("{}-{order}", self.run),
            symbol: &self.args.symbol,
            side,
            qty: &self.args.qty,
        };
        self.line.initiator.cancel(&order, now);
    }

    fn take_reports(&mut self) -> Result<(), Fault> {
        let received = self.line.initiator.take_received();
        if received.is_empty() {
            return Ok(());
        }
        let now_ns = self.line.mono_ns();
        for message in &received {
            match message.kind() {
                b"8" | b"9" => self.take_report(message, now_ns),
                b"0" | b"1" => {}
                b"5" => return Err(Fault::Fix(format!("the node logged out: {}", message.text(58)))),
                _ => return Err(Fault::Fix(format!("the node answered: {message:?}"))),
            }
        }
        Ok(())
    }

    fn take_report(&mut self, report: &Message, now_ns: u64) {
        let id = report.text(11).rsplit('-').next().and_then(|id| id.parse().ok()).unwrap_or(0);
        let fill = report.get(150) == Some(b"F");
        self.counts.fills += u64::from(fill);
        if let Some(pending) = self.pending.pop_front_if(|pending| pending.id == id) {
            self.laps.push(u32::try_from(now_ns.saturating_sub(pending.intended_ns)).unwrap_or(u32::MAX));
            let refused = report.get(150) == Some(b"8");
            match pending.request {
                Request::Cancel => self.counts.cancels_late += u64::from(report.kind() == b"9"),
                Request::Rest(_) | Request::Take if refused => self.counts.refused += 1,
                Request::Rest(side) => self.live.push((id, side)),
                Request::Take => {}
            }
        } else if fill && report.get(39) == Some(b"2") {
            // A resting order is gone, unless its cancel is already on its way.
            self.live.retain(|(live, _)| *live != id);
        }
    }

    /// Leaves the book as it was found.
    fn cancel_all(&mut self) -> Result<(), Fault> {
        while let Some((order, side)) = self.live.pop() {
            let id = self.id_next;
            self.id_next += 1;
            self.send_cancel(id, order, side);
            let intended_ns = self.line.mono_ns();
            self.pending.push_back(Pending { id, intended_ns, request: Request::Cancel });
            while !self.pending.is_empty() {
                self.line.turn()?;
                self.take_reports()?;
            }
        }
        Ok(())
    }

    /// As long as the requests of the flow are: an order is a little longer than a cancel without its price.
    fn message_bytes(&self) -> usize {
        let framing = "8=FIX.4.4|9=166|35=D|49=|56=SICIL|34=123456|52=20261120-09:30:00.000|10=123|".len();
        let body = "11=|55=|54=1|60=20261120-09:30:00.000|38=|40=2|44=4000000|59=1|".len();
        let text = self.args.session.len() + self.args.symbol.len() + self.args.qty.len();
        framing + body + text + self.run.len() + 7
    }
}
