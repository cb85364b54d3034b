//! Market data that begin in the middle, and are given what happened before, are as if they had been there from the first record.

use std::path::PathBuf;

use protocol::frame::{FrameHeader, FrameKind};
use protocol::hash::{Hash, blake3};
use protocol::{Index, PhaseCause, Term};

use super::*;

type Log = Vec<(Seq, UnixNanos, Vec<Event>)>;

fn header(first_seq: Seq, time: UnixNanos) -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Entry,
        index: Index(first_seq.0),
        term: Term(1),
        time,
        first_seq,
        count: 1,
        engine_version: 1,
        applied_seq: Seq(0),
        effect_hash: Hash::ZERO,
    }
}

fn effects(seq: Seq) -> Hash {
    if seq == Seq(0) { Hash::ZERO } else { blake3(&[&seq.0.to_le_bytes()]) }
}

fn nothing(limits: MarketLimits) -> Past {
    Past::begin(limits, TapeEnd { seq: Seq(0), time: UnixNanos(START), effects: Hash::ZERO })
}

fn run(past: &mut Past, log: &Log, to: Seq) -> Result<(), MarketFault> {
    let begin = past.end().seq;
    for (seq, time, events) in log.iter().filter(|(seq, ..)| *seq > begin && *seq <= to) {
        past.take_frame(&header(*seq, *time), events, effects(*seq))?;
    }
    Ok(())
}

/// Of the market, behind the last record of its log.
fn begun(limits: MarketLimits, log: &Log) -> MarketData {
    let defined = MarketDefined { definition: definition(), phase: MarketPhase::Trading };
    let (seq, time, _) = log.last().unwrap();
    let none: [(MarketId, Vec<RestingOrder>); 0] = [];
    MarketData::begin(limits, (*seq, *time), [defined.into()], none).unwrap()
}

fn go_on(data: &mut MarketData, log: &Log, to: usize) {
    for (seq, time, events) in &log[..to] {
        if *seq > data.seq() {
            data.take_frame(&header(*seq, *time), events, effects(*seq)).unwrap();
        }
    }
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("sicil-past-{name}-{}.tapes", std::process::id())))
    }

    fn write(&self, data: &MarketData) {
        let mut writer = PastWriter::begin(&self.0, data.began(), 1).unwrap();
        let (tape, end) = data.spool(MARKET).unwrap();
        writer.append(MARKET, &tape, end).unwrap();
        writer.finish(&self.0).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn tape_of(data: &MarketData) -> String {
    format!("{:?}", data.market(MARKET).unwrap().tape())
}

/// Trades now and then, and what becomes of them: of any, or of none where trades are lost.
fn step(tape: &mut Tape, gap_ns: u64, busts: bool) {
    tape.time += 2 * MINUTE / 60;
    tape.trade(gap_ns);
    if busts && tape.below(3) == 0 {
        let at = usize::try_from(tape.below(tape.all.len() as u64)).unwrap();
        if tape.all[at].status == TradeStatus::Made {
            let is_corrected = tape.below(2) == 0;
            tape.bust(at, is_corrected);
        }
    }
    if tape.below(20) == 0 {
        let [before, phase] = [MarketPhase::Trading, MarketPhase::Auction];
        let cause = PhaseCause::Command;
        let over = AuctionUncrossed { market: MARKET, price_ticks: PriceTicks(7), lots: 1 << 70, trades: 3 };
        tape.feed(vec![MarketPhaseChanged { market: MARKET, before, phase, cause }.into()]);
        tape.feed(vec![over.into()]);
    }
}

#[test]
fn with_its_past_in_front_nobody_sees_that_it_began_late() {
    let (mut lost, mut late) = (0, 0);
    for seed in 0..48 {
        let is_bounded = seed % 2 == 1;
        let limits = if is_bounded {
            MarketLimits {
                changes_kept: 8,
                trades_kept: 20,
                trade_changes_kept: 2,
                candles_kept: 0,
                quarter_hours_kept: 30,
            }
        } else {
            UNLIMITED
        };
        let gap_ns = [1, 10 * MINUTE, DAY][usize::try_from(seed / 2 % 3).unwrap()];
        let mut tape = Tape::new(seed, limits);
        let place = Place::new(&seed.to_string());
        let (mut saved_at, mut files) = (Seq(0), 0);
        for _ in 0..1 + tape.below(100) {
            step(&mut tape, gap_ns, !is_bounded);
        }
        place.write(&whole(&tape));
        for _ in 0..tape.below(60) {
            step(&mut tape, gap_ns, !is_bounded);
        }
        let log = tape.log.clone();
        let mut live = begun(limits, &log);
        for _ in 0..tape.below(80) {
            step(&mut tape, gap_ns, !is_bounded);
        }
        go_on(&mut live, &tape.log, tape.log.len());
        // Out of the file and the rest of the log, and out of all of the log.
        for from_file in [true, false] {
            let mut past =
                if from_file { Past::read(&place.0, limits).unwrap().unwrap() } else { nothing(limits) };
            saved_at = saved_at.max(past.end().seq);
            files += usize::from(past.end().seq > Seq(0));
            let mut live = live.clone();
            let began = live.began().0;
            run(&mut past, &tape.log, began).unwrap();
            assert_eq!(past.end().seq, began);
            lost += usize::from(live.market(MARKET).unwrap().trades().dropped() > 0);
            late += usize::from(live.seq() > began);
            assert!(live.prepend(past.clone()));
            assert!(!live.prepend(past), "once");
            assert_eq!(live.began(), (Seq(0), UnixNanos(START)));
            assert_eq!(tape_of(&live), tape_of(&whole(&tape)), "seed {seed}");
        }
        assert!(files == 1 && saved_at > Seq(0));
    }
    assert!(lost > 10 && late > 40, "{lost} of {late} had lost something meanwhile");
}

/// Market data that were there from the first record, with the effects that were told of.
fn whole(tape: &Tape) -> MarketData {
    let none: [(MarketId, Vec<RestingOrder>); 0] = [];
    let mut data = MarketData::begin(tape.limits, (Seq(0), UnixNanos(START)), [], none).unwrap();
    go_on(&mut data, &tape.log, tape.log.len());
    data
}

#[test]
fn a_file_that_is_damaged_or_of_another_log_is_of_no_use() {
    let mut tape = Tape::new(5, UNLIMITED);
    for _ in 0..12 {
        step(&mut tape, MINUTE, true);
    }
    let place = Place::new("damaged");
    assert!(Past::read(&place.0, UNLIMITED).unwrap().is_none(), "there is none");
    place.write(&whole(&tape));
    let bytes = std::fs::read(&place.0).unwrap();
    let past = Past::read(&place.0, UNLIMITED).unwrap().unwrap();
    assert_eq!(past.end().effects, effects(past.end().seq));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&place.0, &damaged).unwrap();
        assert!(Past::read(&place.0, UNLIMITED).is_err(), "byte {at}");
        std::fs::write(&place.0, &bytes[..at]).unwrap();
        assert!(Past::read(&place.0, UNLIMITED).is_err(), "{at} bytes");
    }
    std::fs::write(&place.0, &bytes).unwrap();
    // A second market's tape ends earlier: the run begins there, and finds out whether the first one's is of another log.
    let (tape_of_market, end) = whole(&tape).spool(MARKET).unwrap();
    let early = TapeEnd { seq: Seq(0), time: UnixNanos(START), effects: Hash::ZERO };
    let write = |effects| {
        let mut writer = PastWriter::begin(&place.0, (Seq(0), UnixNanos(START)), 2).unwrap();
        writer.append(MARKET, &tape_of_market, TapeEnd { effects, ..end }).unwrap();
        let empty = tape::Tape::new(&UNLIMITED, UnixNanos(START));
        writer.append(MarketId(2), &empty, early).unwrap();
        writer.finish(&place.0).unwrap();
        Past::read(&place.0, UNLIMITED).unwrap().unwrap()
    };
    let mut past = write(end.effects);
    assert_eq!(past.end(), early);
    run(&mut past, &tape.log, end.seq).unwrap();
    assert_eq!(
        format!("{:?}", past.take_tape(MARKET).unwrap()),
        tape_of(&whole(&tape)),
        "what it had already it does not take twice"
    );
    let mut past = write(Hash::ZERO);
    assert_eq!(run(&mut past, &tape.log, end.seq), Err(MarketFault::OtherLog { seq: end.seq }));
    let mut past = nothing(UNLIMITED);
    run(&mut past, &tape.log, Seq(3)).unwrap();
    let (seq, time, events) = &tape.log[4];
    let fault = MarketFault::OutOfOrder { last: Seq(3), found: Seq(5) };
    assert_eq!(past.take_frame(&header(*seq, *time), events, effects(*seq)), Err(fault));
}

#[test]
fn subscriptions_go_on_where_a_past_is_put_in_front() {
    let mut tape = Tape::new(9, UNLIMITED);
    for _ in 0..30 {
        step(&mut tape, MINUTE, true);
    }
    let (before, phase) = (MarketPhase::Halt, MarketPhase::Trading);
    let cause = PhaseCause::Command;
    tape.feed(vec![MarketPhaseChanged { market: MARKET, before, phase, cause }.into()]);
    let mut publisher = Publisher::new(begun(UNLIMITED, &tape.log), PublisherLimits::default());
    let begun_at = tape.all.len();
    let channels =
        [Channel::Trades, Channel::Candles(Interval::Day), Channel::Ticker(Window::Day), Channel::Status];
    let ids = channels.map(|channel| publisher.subscribe(MARKET, channel, None).unwrap());
    for _ in 0..10 {
        step(&mut tape, MINUTE, false);
    }
    go_on(publisher.data_mut(), &tape.log, tape.log.len());
    let read = |publisher: &mut Publisher| {
        let next = |id| match publisher.next(id) {
            Next::Packet(packet) => Some(packet.body),
            Next::Nothing => None,
            other @ (Next::Cut(_) | Next::Unknown) => panic!("{other:?}"),
        };
        ids.map(next)
    };
    let [Some(Body::Trades { trades, .. }), Some(_), Some(Body::Ticker(before)), Some(_)] =
        read(&mut publisher)
    else {
        panic!()
    };
    assert_eq!(trades, tape.all[begun_at..]);
    assert_eq!(read(&mut publisher), [const { None }; 4]);
    let mut past = nothing(UNLIMITED);
    let (began, _) = publisher.data().began();
    run(&mut past, &tape.log, began).unwrap();
    assert!(publisher.prepend(past));
    let [None, Some(Body::Candles { candles, .. }), Some(Body::Ticker(ticker)), Some(Body::Status(status))] =
        read(&mut publisher)
    else {
        panic!()
    };
    let standing = tape.standing();
    assert!(ticker.trades > before.trades);
    assert_eq!(candles.last().unwrap().trades, ticker.trades);
    assert_eq!(ticker.trades, standing.len() as u64);
    assert!(status.begun.is_some());
    assert_eq!(read(&mut publisher), [const { None }; 4]);
    step(&mut tape, MINUTE, false);
    go_on(publisher.data_mut(), &tape.log, tape.log.len());
    let [Some(Body::Trades { missed: 0, trades }), ..] = read(&mut publisher) else { panic!() };
    assert_eq!(trades[..], tape.all[tape.all.len() - 1..]);
}
