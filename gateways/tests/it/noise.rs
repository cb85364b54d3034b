//! Noise: random bytes, broken messages and stormy dialogues, cut into reads of any size. Nothing panics, buffers stay
//! bounded, and how the stream was cut changes nothing.

use gateways::fix::{ConnectionId, Options};
use protocol::commands::NewOrder;
use protocol::limits::FIX_MESSAGE_BYTES_MAX;
use protocol::{Command, MonoNanos, OrderType, PostOnly, PriceTicks, QtyLots, Side, TriggerDirection};

use crate::cases::{sealed, timestamp};
use crate::world::{SECOND, T0, World};

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

fn body(random: &mut Random, number: u64) -> String {
    let now = timestamp(T0.0 / SECOND);
    let head = |kind: &str| format!("35={kind}|34={number}|49=CLIENT1|52={now}|56=SICIL|");
    let id = random.below(50);
    let order = format!("55=BTC-TRY|54={}|60={now}|", 1 + id % 2);
    match random.below(14) {
        0 => head("0"),
        1 => head("1") + &format!("112=t{id}|"),
        2 => head("2") + &format!("7={}|16={}|", random.below(40), random.below(40)),
        3 => head("3") + "45=1|",
        4 => head("4") + &format!("123=Y|36={}|", number + 1),
        5 => head("F") + &format!("41=o{id}|11=c{id}|") + &order,
        6 => head("G") + &format!("41=o{id}|11=o{}|38=1|40=2|44=7|", id + 1) + &order,
        7 => head("H") + &format!("11=o{id}|55=BTC-TRY|54=1|"),
        8 => head("*"),
        9 => head("d") + "320=x|",
        _ => {
            let more = TERMS[random.below(TERMS.len())];
            head("D") + &format!("11=o{id}|453=1|448=7|452=3|38=0.5|40=2|44=100.5|{more}") + &order
        }
    }
}

/// What an order may say beside its price and quantity.
const TERMS: [&str; 8] = [
    "",
    "59=0|",
    "59=6|126=20260105-12:00:30|",
    "59=6|432=20260105|18=6|",
    "110=0.5|2964=1|",
    "18=9|",
    "111=0.1|",
    "99=90|59=3|",
];

/// A Logon and what a peer might send that has lost its mind now and then: numbers that jump, repetitions, flipped and
/// missing bytes, noise.
fn stream(random: &mut Random, insanity: usize) -> Vec<u8> {
    let now = timestamp(T0.0 / SECOND);
    let mut stream = sealed(&format!("35=A|34=1|49=CLIENT1|52={now}|56=SICIL|98=0|108=30|"));
    let mut number = 2;
    for _ in 0..60 {
        let mut message = sealed(&body(random, number));
        if random.below(100) >= insanity {
            number += 1;
        } else {
            match random.below(7) {
                0 => message.truncate(random.below(message.len())),
                1 => {
                    let at = random.below(message.len());
                    message[at] = u8::try_from(random.below(256)).unwrap();
                }
                2 => message.extend((0..random.below(30)).map(|_| b"8=FIX.4\x0110=9"[random.below(12)])),
                3 => number += random.next() % 4,
                4 => {
                    let at = random.below(message.len());
                    message.insert(at, b"\x01=8|"[random.below(4)]);
                }
                // Seldom: byte by byte they take long.
                5 if random.below(20) == 0 => {
                    let now = timestamp(T0.0 / SECOND);
                    let text = "x".repeat(FIX_MESSAGE_BYTES_MAX + random.below(5_000));
                    message = sealed(&format!("35=5|34={number}|49=CLIENT1|52={now}|56=SICIL|58={text}|"));
                }
                _ => {
                    let at = random.below(message.len());
                    let byte = message.remove(at);
                    message.extend([byte; 3]);
                }
            }
        }
        stream.extend_from_slice(&message);
    }
    stream
}

/// Plays a stream in pieces and returns the commands and what was sent.
fn play(stream: &[u8], mut cut: impl FnMut() -> usize, options: Options) -> (Vec<(u64, Command)>, Vec<u8>) {
    let mut world = World::new(options);
    world.connect(1);
    let mut rest = stream;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(cut().clamp(1, rest.len()));
        if !world.receive(1, piece).is_empty() {
            break;
        }
        rest = behind;
        let pending = world.acceptor.output(ConnectionId(1)).len();
        assert!(pending <= options.output_bytes_max + 256 * 600, "{pending} bytes of output");
    }
    let commands = world.log.iter().map(|(header, command)| (header.request.0, command.clone())).collect();
    (commands, world.take_received(1))
}

#[test]
fn how_the_stream_was_cut_changes_nothing() {
    let mut commands = 0;
    for seed in 1..=300_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let insanity = [0, 5, 30, 80][random.below(4)];
        let stream = stream(&mut random, insanity);
        let by_one = play(&stream, || 1, Options::default());
        let cuts = play(&stream, || 1 + random.below(400), Options::default());
        let whole = play(&stream, || usize::MAX, Options::default());
        // Where a resend falls between new messages depends on when it was asked for, and on nothing else.
        for other in [cuts, whole] {
            assert!(by_one.0 == other.0, "seed {seed}: other commands");
            assert!(first_times(&by_one.1) == first_times(&other.1), "seed {seed}: other outputs");
        }
        commands += by_one.0.len();
    }
    assert!(commands > 5_000, "{commands} commands: the noise drowned the dialogue");
}

#[test]
fn random_bytes_never_panic_and_are_not_hoarded() {
    for seed in 1..=200_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let alphabet = b"8=FIX.4.4\x019=120\x0135=D\x0110=123\x01\x00\xff|";
        let noise: Vec<u8> = (0..40_000).map(|_| alphabet[random.below(alphabet.len())]).collect();
        let mut logon =
            sealed(&format!("35=A|34=1|49=CLIENT1|52={}|56=SICIL|98=0|108=30|", timestamp(T0.0 / SECOND)));
        if seed % 2 == 0 {
            logon.clear();
        }
        logon.extend_from_slice(&noise);
        let (commands, _) = play(&logon, || 1 + random.below(1_500), Options::default());
        assert!(commands.len() <= 4, "seed {seed}: {commands:?}");
    }
}

#[test]
fn a_message_that_never_ends_is_given_up() {
    let mut world = World::new(Options::default());
    world.connect(1);
    let now = timestamp(T0.0 / SECOND);
    world.receive(1, &sealed(&format!("35=A|34=1|49=CLIENT1|52={now}|56=SICIL|98=0|108=30|")));
    for length in [FIX_MESSAGE_BYTES_MAX - 100, FIX_MESSAGE_BYTES_MAX, 99_999] {
        world.receive(1, format!("8=FIX.4.4\x019={length}\x0135=D\x01").as_bytes());
        for _ in 0..20 {
            world.receive(1, &[b'x'; 1_000]);
            assert!(world.acceptor.wants_read(ConnectionId(1)), "stuck behind {length}");
        }
    }
    // The first is taken for the end of the endless one; from then on its gap is seen.
    for number in [2, 3] {
        world.receive(1, &sealed(&format!("35=1|34={number}|49=CLIENT1|52={now}|56=SICIL|112=alive|")));
    }
    let answer = String::from_utf8(world.take_received(1)).unwrap();
    assert!(answer.contains("\x017=2\x01"), "{answer}");
}

/// A queue that is full at random, a quorum that comes and goes, a peer that reads at random: every message is executed
/// once and in order, and every output arrives once and in order.
#[test]
fn push_back_loses_and_doubles_nothing() {
    for seed in 1..=200_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let options = Options { output_bytes_max: 1_000 + random.below(4_000), ..Options::default() };
        let mut world = World::new(options);
        world.outbox_batch = 1 + random.below(9);
        world.connect(1);
        let stream = stream(&mut random, 0);
        let mut rest = &stream[..];
        for _ in 0..20_000 {
            match random.below(6) {
                0 => world.queue.room = random.below(3),
                1 => world.quorum = random.below(3) > 0,
                2 if !world.slow.remove(&1) => assert!(world.slow.insert(1)),
                _ => {}
            }
            let (piece, behind) = rest.split_at(rest.len().min(1 + random.below(900)));
            if !piece.is_empty() && world.receive(1, piece).is_empty() {
                rest = behind;
            }
            world.settle();
        }
        assert!(rest.is_empty(), "seed {seed}: {} bytes were never read", rest.len());
        world.queue.room = usize::MAX;
        (world.quorum, world.slow) = (true, Default::default());
        world.settle();
        let calm = play(&stream, || 1, Options::default());
        let stormy: Vec<(u64, Command)> =
            world.log.iter().map(|(header, command)| (header.request.0, command.clone())).collect();
        assert!(stormy == calm.0, "seed {seed}: other commands");
        let received = world.take_received(1);
        assert!(first_times(&received) == first_times(&calm.1), "seed {seed}: other outputs");
        assert_eq!(world.now(), MonoNanos(1_000 * SECOND));
    }
}

/// What was sent for the first time: resends may be merged, what is new may not. Numbers of new messages go up by one;
/// nothing is sent again, or filled, that was not sent before.
fn first_times(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut first = Vec::new();
    for message in text.split("8=FIX.4.4\x01").filter(|message| !message.is_empty()) {
        let number = |tag: &str| {
            let field = message.split('\x01').find_map(|field| field.strip_prefix(tag))?;
            field.parse::<usize>().ok()
        };
        let (number, next) = (number("34=").unwrap(), number("36=").unwrap_or(0));
        if message.contains("\x0143=Y\x01") {
            assert!(number <= first.len() && next <= first.len() + 1, "not sent before: {message}");
        } else {
            assert_eq!(number, first.len() + 1, "{message}");
            first.push(message.to_owned());
        }
    }
    first
}

/// Numbers at the edges of what can be counted, in every field that is counted with, in every message: nothing panics,
/// and what the shipped engine holds stays consistent.
#[test]
fn no_number_is_too_large_to_be_told_so() {
    let now = timestamp(T0.0 / SECOND);
    let messages = [
        "35=A|34=2|98=0|108=30|",
        "35=A|34=2|98=0|108=30|141=Y|789=1|",
        "35=0|34=2|369=1|",
        "35=2|34=2|7=1|16=0|",
        "35=3|34=2|45=1|371=1|",
        "35=4|34=2|123=Y|36=3|",
        "35=4|34=2|36=3|",
        "35=j|34=2|45=1|372=D|380=0|",
        "35=F|34=2|41=a|11=b|37=1|55=BTC-TRY|54=1|60=T|38=1|",
        "35=D|34=2|11=c|453=1|448=7|452=3|55=BTC-TRY|54=1|60=T|38=1|152=1|40=2|44=7|",
        "35=D|34=2|11=c|55=BTC-TRY|54=1|60=T|38=1|40=2|44=7|59=6|126=T|18=9|110=1|111=1|2964=1|",
        "35=D|34=2|11=c|55=BTC-TRY|54=2|60=T|38=1|40=4|44=7|99=8|59=6|432=20260105|",
        "35=G|34=2|41=a|11=b|55=BTC-TRY|54=1|60=T|38=1|40=2|44=7|1=7|59=1|",
        "35=G|34=2|41=a|11=b|55=BTC-TRY|54=1|60=T|38=1|40=2|44=7|18=6|99=1|110=1|111=1|126=T|432=20260105|",
    ];
    let values = [
        "0",
        "1",
        "9223372036854775806",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551614",
        "18446744073709551615",
        "18446744073709551616",
        "340282366920938463463374607431768211455",
        "340282366920938463463374607431768211456",
        "-9223372036854775808",
        "-1",
        "0.000000000000000000000000000000000000001",
        "19700101",
        "25540722",
        "99991231",
        "19700101-00:00:00",
        "25540721-23:34:33.709551615",
        "25540721-23:34:33.709551616",
        "99991231-23:59:60.999999999",
    ];
    let mut told = 0;
    for message in messages {
        let fields: Vec<&str> = message.trim_end_matches('|').split('|').collect();
        for at in 1..fields.len() {
            for value in values {
                let mut world = World::shipped(Options::default());
                world.connect(1);
                let send = |world: &mut World, body: &str| {
                    let body = body.replace("=T|", &format!("={now}|"));
                    let (kind, rest) = body.split_once('|').unwrap();
                    let bytes = sealed(&format!("{kind}|49=CLIENT1|52={now}|56=SICIL|{rest}"));
                    world.receive(1, &bytes);
                };
                send(&mut world, "35=A|34=1|98=0|108=30|");
                let mut changed = fields.clone();
                let field = format!("{}={value}", fields[at].split_once('=').unwrap().0);
                changed[at] = &field;
                send(&mut world, &(changed.join("|") + "|"));
                // Whatever became of it, the next ones do no harm either.
                for number in ["2", "3", "9223372036854775806", "9223372036854775807"] {
                    send(&mut world, &format!("35=1|34={number}|112=x|"));
                }
                world.wait(100 * SECOND);
                told += world.log.len();
            }
        }
    }
    assert!(told > 2_000, "{told} commands");
}

/// A value for a field of a D, right or wrong.
const SAID: [(&str, &[&str]); 8] = [
    ("40", &["1", "2", "3", "4", "P", "33"]),
    ("59", &["0", "1", "2", "3", "4", "5", "6", "7", "66"]),
    ("126", &["20260105-12:00:30", "19700101-00:00:00", "20260105", "99991231-00:00:00", "x"]),
    ("432", &["20260105", "19700101", "99991231", "20260230", "1"]),
    ("18", &["6", "9", "0", "6 9", " ", "G", "66"]),
    ("99", &["90", "0", "-1", "90.3", "1e3", "99999999999999999999"]),
    ("110", &["0.5", "0", "-0.5", "0.00001", "340282366920938463463374607431768211456"]),
    ("111", &["0.5", "0", "0.0", "-0.5", "0.00001"]),
];

/// Whether an order has what a field said.
fn is_carried(order: &NewOrder, tag: &str, value: &str) -> bool {
    let terms = order.terms.get().copied().unwrap_or_default();
    match tag {
        "40" => {
            (order.order_type == OrderType::Market) == ["1", "3"].contains(&value)
                && terms.trigger.is_some() == ["3", "4"].contains(&value)
        }
        "59" => {
            order.time_in_force.code() == value.parse().map(|code| if code == 0 { 8 } else { code }).unwrap()
        }
        "126" | "432" => terms.expires_at_ns != 0,
        "18" => terms.post_only == Some(if value == "6" { PostOnly::Reject } else { PostOnly::Slide }),
        "99" => terms.trigger.is_some_and(|trigger| {
            trigger.price_ticks == PriceTicks(if value == "90" { 180 } else { 0 })
                && (trigger.direction == TriggerDirection::Up) == (order.side == Side::Buy)
        }),
        "110" => terms.min_qty_lots == QtyLots(if value == "0" { 0 } else { 5_000 }),
        "111" => terms.display_lots == QtyLots(5_000),
        _ => {
            terms.self_trade_prevention.map(|mode| mode.code())
                == ["100", "1", "2", "3", "101", "102"]
                    .into_iter()
                    .zip(1_u8..)
                    .find(|(known, _)| *known == value)
                    .map(|(_, code)| code)
        }
    }
}

/// A peer says anything: an order that gets through carries every word that was said, with what it means, or says that it
/// is none.
#[test]
fn what_an_order_says_is_carried_or_refused() {
    let (mut carried, mut refused) = ([0_u32; SAID.len() + 1], 0);
    for seed in 1..=3_000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut said: Vec<(&str, &str)> = Vec::new();
        for (tag, values) in SAID {
            // The first of the values are the good ones: most of them are to come together.
            let good = random.below(4) > 0;
            let value = values[random.below(if good { 2.min(values.len()) } else { values.len() })];
            if tag == "40" || random.below(3) == 0 {
                said.push((tag, value));
            }
        }
        let prevention = ["1", "2", "3", "100", "101", "102", "0", "4", "x"][random.below(9)];
        if random.below(3) == 0 {
            said.push(("2964", prevention));
        }
        let side = ["1", "2"][random.below(2)];
        let more: String = said.iter().map(|(tag, value)| format!("{tag}={value}|")).collect();
        let now = timestamp(T0.0 / SECOND);
        let mut world = World::shipped(Options::default());
        world.connect(1);
        world.receive(1, &sealed(&format!("35=A|34=1|49=CLIENT1|52={now}|56=SICIL|98=0|108=30|")));
        let head =
            format!("35=D|34=2|49=CLIENT1|52={now}|56=SICIL|11=a|55=BTC-TRY|54={side}|60={now}|38=1|44=100|");
        world.receive(1, &sealed(&(head + &more)));
        let [(_, Command::SessionLogon(_)), (_, command)] = &world.log[..] else {
            panic!("seed {seed}: {more}")
        };
        let Command::NewOrder(order) = command else {
            assert!(matches!(command, Command::SessionRefuse(_)), "seed {seed}: {command:?}");
            refused += 1;
            continue;
        };
        for (tag, value) in said {
            let is_there = is_carried(order, tag, value);
            assert!(is_there, "seed {seed}: {tag}={value} of {more} became {order:?}");
            let at = SAID.iter().position(|(known, _)| *known == tag).unwrap_or(SAID.len());
            carried[at] += 1;
        }
    }
    assert!(
        refused > 500 && carried.iter().all(|count| *count > 20),
        "{refused} refused, {carried:?} carried"
    );
}
