//! A hostile client: every order message with every bad field, and every kind of order with everything that may stand beside it, through
//! the acceptor into the shipped engine. Each message is answered once, by a typed refusal or a report; its number counts once; the
//! session goes on; and what is sent is what the published dictionary has.

use std::collections::{BTreeMap, BTreeSet};

use gateways::fix::Options;

use crate::cases::timestamp;
use crate::noise::Random;
use crate::stock::{Dictionary, Field};
use crate::world::{SECOND, World};

/// Good messages without header, `T` = now, `#` = an id that was not used. These are all that orders come by.
const MESSAGES: [&str; 25] = [
    "35=D|11=#|55=BTC-TRY|54=1|60=T|38=1|40=2|44=100|59=1|528=A|1=7|21=1|58=x|15=TRY|582=1|660=99|526=a|583=b|",
    "35=D|11=#|453=2|448=7|447=D|452=3|448=5|447=D|452=12|55=BTC-TRY|48=x|22=8|207=XIST|54=2|60=T|38=1|40=1|",
    "35=D|11=#|55=BTC-TRY|54=1|60=T|152=50|40=1|59=3|",
    "35=D|11=#|18=6|110=0|111=0.5|2964=1|55=BTC-TRY|54=1|60=T|38=1|40=2|44=99|59=6|126=20260105-13:00:00|",
    "35=D|11=#|18=9|55=BTC-TRY|54=1|60=T|38=1|40=2|44=99|59=6|432=20260106|",
    "35=D|11=#|18=a|55=BTC-TRY|54=2|60=T|38=1|40=3|1102=120|1107=2|211=5|836=2|",
    "35=D|11=#|18=o|55=BTC-TRY|54=2|60=T|38=1|40=4|44=80|99=90|1107=3|59=0|",
    "35=D|11=#|55=BTC-TRY|54=2|60=T|38=1|40=2|44=110|1100=4|1101=1|1102=110|1107=I|1109=U|",
    "35=D|11=#|18=R|55=BTC-TRY|54=1|60=T|38=1|40=P|44=99|211=1|836=2|",
    "35=D|11=#|18=e|55=BTC-TRY|54=1|60=T|38=1|40=2|44=100|847=1000|848=LEGS=3;INTERVAL_MS=5000|",
    "35=E|66=#|1385=100|394=3|68=3|73=3|11=#a|67=1|1=7|55=BTC-TRY|54=1|60=T|38=1|40=2|44=90|11=#b|67=2|55=BTC-TRY|54=2|38=1|40=2|44=110|\
     11=#c|55=BTC-TRY|54=2|38=1|40=4|44=79|99=80|",
    "35=F|41=rests|37=1|11=#|1=7|55=BTC-TRY|54=1|60=T|38=1|58=x|",
    "35=G|41=rests|11=#|1=7|55=BTC-TRY|54=1|60=T|38=2|40=2|44=91|59=1|528=A|58=x|",
    "35=G|41=waits|11=#|18=a|55=BTC-TRY|54=2|60=T|38=2|40=4|44=70|1102=120|1107=3|211=9|836=2|2964=100|",
    "35=G|41=ends|11=#|18=6|111=0.5|55=BTC-TRY|54=1|60=T|38=1|40=2|44=80|59=6|126=20260105-13:00:00|",
    "35=H|11=rests|1=7|55=BTC-TRY|54=1|",
    "35=K|66=list|60=T|58=x|",
    "35=M|66=list|58=x|",
    "35=e|324=s|55=BTC-TRY|48=x|22=8|207=XIST|263=0|",
    "35=q|11=#|530=1|55=BTC-TRY|54=1|60=T|58=x|",
    "35=i|117=#|1=7|296=1|302=1|304=2|295=2|299=1|55=BTC-TRY|132=90|134=1|133=110|135=1|60=T|299=2|55=BTC-TRY|132=91|134=1|58=x|",
    "35=Z|117=#|298=1|1=7|295=1|55=BTC-TRY|58=x|",
    "35=Z|117=#|298=4|",
    "35=U1|5001=#|5002=60000|58=x|",
    "35=U3|5001=#|55=BTC-TRY|48=x|22=8|207=XIST|5004=3|5005=2|5006=1000|58=x|",
];

/// What a field may be said to be. Nearly all of it is wrong nearly everywhere.
const VALUES: [&str; 34] = [
    "",
    " ",
    "0",
    "1",
    "2",
    "-1",
    "-0",
    "+1",
    "00",
    "1 ",
    "1.",
    ".",
    ".5",
    "-",
    "1e3",
    "0x1",
    "1.0.0",
    "x",
    "!",
    "Z",
    "99",
    "1000",
    "T",
    "20260230",
    "20260105-24:00:00",
    "99991231-23:59:59.999999999",
    "0.0000000000000000000000000000000001",
    "4294967296",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211455",
    "340282366920938463463374607431768211456",
    "\u{ff}\u{0}\u{80}",
];

/// A client and what it talks to.
struct Client {
    world: World,
    dictionary: Dictionary,
    name: &'static str,
    /// MsgSeqNum of the next message, and of the next one that it expects.
    next: u64,
    expects: u64,
    ids: u64,
    /// What was answered, and how often.
    seen: BTreeMap<String, u32>,
}

impl Client {
    /// Logged on, with orders that trade, rest, and wait.
    fn new(name: &'static str) -> Self {
        let mut world = World::shipped(Options::default());
        world.connect(1);
        let dictionary = Dictionary::read();
        let mut client = Self { world, dictionary, name, next: 1, expects: 1, ids: 0, seen: BTreeMap::new() };
        client.send(b"35=A|98=0|108=60|");
        for good in [
            "11=rests|55=BTC-TRY|54=1|60=T|38=5|40=2|44=90|",
            "11=asks|55=BTC-TRY|54=2|60=T|38=50|40=2|44=100|",
            "11=takes|55=BTC-TRY|54=1|60=T|38=1|40=2|44=100|",
            "11=waits|18=a|55=BTC-TRY|54=2|60=T|38=2|40=4|44=70|1102=120|1107=3|211=9|836=2|",
            "11=ends|18=6|111=0.5|55=BTC-TRY|54=1|60=T|38=1|40=2|44=80|59=6|126=20260105-13:00:00|",
        ] {
            let order = client.filled(&format!("35=D|{good}"));
            let answers = client.ask(order.as_bytes());
            assert!(answers.iter().any(|answer| is(answer, 39, b"0")), "{good}");
        }
        client.send(
            b"35=E|66=list|1385=2|68=2|73=2|11=first|55=BTC-TRY|54=1|38=1|40=2|44=70|11=second|55=BTC-TRY|54=2|38=1|40=2|44=130|",
        );
        client
    }

    /// The message with `T` and `#` replaced.
    fn filled(&mut self, message: &str) -> String {
        self.ids += 1;
        let now = timestamp(self.world.wall().0 / SECOND);
        message.replace("=T|", &format!("={now}|")).replace('#', &format!("i{}", self.ids))
    }

    /// Sends a message under the next number, and returns what came.
    fn send(&mut self, message: &[u8]) -> Vec<Vec<Field>> {
        let now = timestamp(self.world.wall().0 / SECOND);
        let message: Vec<u8> = message.iter().map(|&byte| if byte == b'|' { 1 } else { byte }).collect();
        let kind = message.iter().position(|&byte| byte == 1).unwrap() + 1;
        let header = format!("34={}\x0149={}\x0152={now}\x0156=SICIL\x01", self.next, self.name);
        let body = [&message[..kind], header.as_bytes(), &message[kind..]].concat();
        let mut bytes = format!("8=FIX.4.4\x019={}\x01", body.len()).into_bytes();
        bytes.extend_from_slice(&body);
        let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        bytes.extend_from_slice(format!("10={sum:03}\x01").as_bytes());
        self.next += 1;
        assert!(self.world.receive(1, &bytes).is_empty(), "is read");
        let received = self.world.take_received(1);
        let messages = self.dictionary.parse(&received);
        for message in &messages {
            assert_eq!(number(message, 34), Some(self.expects), "{}", shown(message));
            self.expects += 1;
        }
        messages
    }

    /// Sends an order message, which is answered once, whose number counts once, and behind which the session goes on.
    fn ask(&mut self, message: &[u8]) -> Vec<Vec<Field>> {
        let text = || String::from_utf8_lossy(message).into_owned();
        self.world.log.clear();
        let sent = self.next;
        let mut messages = self.send(message);
        let numbers: Vec<u64> =
            self.world.log.iter().map(|(header, _)| header.request.0).filter(|number| *number > 0).collect();
        assert_eq!(numbers, [sent], "{}", text());
        assert!(self.world.closed.is_empty(), "{}", text());
        let mut orders = BTreeSet::new();
        // An order of a list may be accepted and enter in one step: what is told first is the answer.
        let is_first = |answer: &[Field], orders: &mut BTreeSet<Vec<u8>>| {
            !is(answer, 35, b"8") || orders.insert(value(answer, 11).unwrap_or_default().to_vec())
        };
        messages.retain(|answer| is_answer(answer, sent, message) && is_first(answer, &mut orders));
        let kinds: BTreeSet<String> = messages.iter().map(|answer| kind_of(answer)).collect();
        let expected = if message.starts_with(b"35=E|") && kinds.iter().any(|kind| kind.starts_with('8')) {
            2..=3
        } else {
            1..=1
        };
        let (are_refusals, are_reports) =
            (kinds.iter().all(|kind| kind.contains('!')), kinds.iter().all(|kind| !kind.contains('!')));
        assert!(
            expected.contains(&messages.len()) && (are_refusals || are_reports),
            "{} got {kinds:?}: {:?}",
            text(),
            messages.iter().map(|answer| shown(answer)).collect::<Vec<_>>()
        );
        for kind in kinds {
            *self.seen.entry(kind).or_default() += 1;
        }
        messages
    }

    fn is_there(&mut self) {
        let answers = self.send(b"35=1|112=still there|");
        assert!(answers.iter().any(|answer| is(answer, 112, b"still there")), "{answers:?}");
    }
}

fn value(message: &[Field], tag: u32) -> Option<&[u8]> {
    message.iter().find(|(found, _)| *found == tag).map(|(_, value)| &value[..])
}

fn is(message: &[Field], tag: u32, expected: &[u8]) -> bool {
    value(message, tag) == Some(expected)
}

fn number(message: &[Field], tag: u32) -> Option<u64> {
    std::str::from_utf8(value(message, tag)?).ok()?.parse().ok()
}

fn shown(message: &[Field]) -> String {
    message.iter().map(|(tag, value)| format!("{tag}={}|", String::from_utf8_lossy(value))).collect()
}

/// Whether a message answers that of this number: not what follows from it for other orders, nor what follows later.
fn is_answer(answer: &[Field], sent: u64, message: &[u8]) -> bool {
    let asked: Vec<&[u8]> = message.split(|&byte| byte == b'|').collect();
    let is_its = |tag: u32| {
        let prefix = if message.starts_with(b"35=E|") { "11=".to_owned() } else { format!("{tag}=") };
        let mut ids = asked.iter().filter_map(|field| field.strip_prefix(prefix.as_bytes()));
        ids.any(|id| is(answer, 11, id))
    };
    match value(answer, 35).unwrap() {
        b"3" | b"j" => number(answer, 45) == Some(sent),
        b"9" | b"r" => is_its(11),
        // A list that is cancelled ends by this, and one that was asked for is told. Meanwhile timers may move others.
        b"N" if message.starts_with(b"35=K|") => {
            asked.iter().filter_map(|field| field.strip_prefix(b"66=")).any(|list| is(answer, 66, list))
        }
        b"N" => is(answer, 429, b"2"),
        b"f" => true,
        b"U2" | b"U4" => {
            let id = asked.iter().find_map(|field| field.strip_prefix(b"5001="));
            id.is_some_and(|id| is(answer, 5001, id))
        }
        b"b" => {
            let id = asked.iter().find_map(|field| field.strip_prefix(b"117="));
            id.is_some_and(|id| is(answer, 117, id))
        }
        b"8" => {
            let kinds: &[&[u8]] = match message.get(3) {
                Some(b'D' | b'E') => &[b"0", b"A", b"8"],
                Some(b'F') => &[b"4"],
                Some(b'G') => &[b"5"],
                _ => &[b"I"],
            };
            // An order is told of by its latest id, whichever it was asked for by.
            let is_its = is_its(11) || kinds == [b"I"];
            is_its && kinds.iter().any(|kind| is(answer, 150, kind))
        }
        _ => false,
    }
}

/// What an answer is, by its type and code; `!` = a refusal.
fn kind_of(answer: &[Field]) -> String {
    let code = |tag| String::from_utf8_lossy(value(answer, tag).unwrap_or(b"none")).into_owned();
    match value(answer, 35).unwrap() {
        b"3" => format!("3! {}", code(373)),
        b"j" => format!("j! {}", code(380)),
        b"9" => format!("9! {}", code(102)),
        b"8" if is(answer, 150, b"8") => format!("8! {}", code(103)),
        b"8" => format!("8 {}", code(150)),
        b"N" => format!("N {}", code(429)),
        b"f" => format!("f {}", code(326)),
        b"b" if is(answer, 297, b"5") => format!("b! {}", code(300)),
        b"b" => format!("b {}", code(368)),
        b"r" if is(answer, 531, b"0") => format!("r! {}", code(532)),
        b"U2" | b"U4" if is(answer, 5003, b"1") => format!("{}!", code(35)),
        b"U2" | b"U4" => code(35),
        _ => "r".to_owned(),
    }
}

/// Each field of a message absent, twice, moved to the end, and with every value; then with each field beside it that it has not.
fn spoiled(message: &str) -> Vec<String> {
    let fields: Vec<&str> = message.trim_end_matches('|').split('|').collect();
    let joined = |fields: &[String]| fields.join("|") + "|";
    let mut spoiled = Vec::new();
    for at in 1..fields.len() {
        let own = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect::<Vec<String>>();
        let mut absent = own(&fields);
        let moved = absent.remove(at);
        spoiled.push(joined(&absent));
        absent.push(moved.clone());
        spoiled.push(joined(&absent));
        let mut twice = own(&fields);
        twice.insert(at, moved.clone());
        spoiled.push(joined(&twice));
        for value in VALUES.iter().copied().chain(["x*300"]) {
            let value = if value == "x*300" { "x".repeat(300) } else { value.to_owned() };
            let mut changed = own(&fields);
            changed[at] = format!("{}={value}", moved.split_once('=').unwrap().0);
            spoiled.push(joined(&changed));
        }
    }
    let has: BTreeSet<u32> =
        fields.iter().map(|field| field.split_once('=').unwrap().0.parse().unwrap()).collect();
    // Tags of the header and the trailer are of the session layer; its cases are told elsewhere.
    let of_the_session = [
        8, 9, 10, 34, 35, 43, 49, 50, 52, 56, 57, 90, 91, 97, 115, 116, 122, 128, 129, 142, 143, 144, 145,
        347, 369,
    ];
    let others =
        (1..=957).chain([1_100, 1_101, 1_102, 1_107, 1_109, 1_385, 1_629, 2_964, 3_000, 5_003, 70_000]);
    for tag in others.filter(|tag| !has.contains(tag) && !of_the_session.contains(tag)) {
        spoiled.push(format!("{message}{tag}=1|"));
    }
    spoiled
}

#[test]
fn every_bad_field_of_every_order_message_is_answered_once() {
    let mut seen = BTreeMap::<String, u32>::new();
    for name in ["CLIENT1", "CLIENT2"] {
        for message in MESSAGES {
            let mut client = Client::new(name);
            for bad in spoiled(message) {
                let bad = client.filled(&bad);
                // As bytes: what no text can be is written as Latin-1.
                let bytes: Vec<u8> =
                    bad.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
                client.ask(&bytes);
            }
            client.is_there();
            for (kind, count) in client.seen {
                *seen.entry(kind).or_default() += count;
            }
        }
    }
    let total: u32 = seen.values().sum();
    for kind in [
        "3! 1", "3! 2", "3! 4", "3! 5", "3! 6", "3! 13", "3! 15", "3! 16", "j! 0", "j! 1", "j! 2", "j! 5",
        "8! 3", "8! 11", "8! 13", "8! 15", "9! 1", "9! 99", "f 17", "N 2", "N 5", "b none", "b 3", "b 7",
        "b 8", "b! 9", "U2", "U2!", "U4", "U4!",
    ] {
        assert!(seen.get(kind).is_some_and(|count| *count > 1), "{kind} of {seen:?}");
    }
    assert!(total > 15_000, "{total} messages: {seen:?}");
}

/// What an order may say, field by field: what may be good, and what never is.
const SAID: [(&str, &[&str], &[&str]); 20] = [
    ("54", &["1", "2"], &["3"]),
    ("40", &["1", "2", "2", "3", "4", "J", "P"], &["5"]),
    ("44", &["80", "95", "100", "105", "120"], &["0", "100.3", "-1"]),
    ("38", &["1", "2", "3"], &["0", "0.00001", "99999999999"]),
    ("152", &["100", "1"], &["0", "-1"]),
    ("59", &["0", "1", "3", "4", "6", "A"], &["2", "7", "5"]),
    ("1629", &["1", "60", "86400"], &["0", "-1", "4294967296"]),
    ("126", &["20260105-12:30:00", "20260105-13:00:00.123456789", "20260105-11:00:00"], &["20260105"]),
    ("432", &["20260106"], &["20260104"]),
    ("18", &["6", "9", "0", "a", "e", "n", "o", "6 o", "a n", "9 n"], &["9 e", "6 6", "R P", "R 6"]),
    ("99", &["90", "100", "110"], &["0", "90.3"]),
    ("110", &["1", "2"], &["9"]),
    ("111", &["0.5", "1"], &["0", "0.0001"]),
    ("1100", &["4"], &["1"]),
    ("1102", &["90", "101", "110"], &["-1"]),
    ("1107", &["1", "2", "3", "I"], &["4"]),
    ("1109", &["U", "D"], &["X"]),
    ("211", &["1", "2", "150"], &["0", "-1", "0.3"]),
    ("847", &["1000"], &["1"]),
    ("2964", &["1", "2", "3", "100", "101", "102"], &["4"]),
];

/// Takes away what nothing beside it asks for, and adds what belongs to what is there: orders with most fields get through only so.
fn completed(said: &mut BTreeMap<&'static str, &'static str>, random: &mut Random) {
    let waits = ["3", "4", "J"].contains(&said["40"]);
    let is_pegged = said["40"] == "P";
    if is_pegged {
        said.insert("18", ["P", "R", "R n"][random.below(3)]);
    }
    let is_instructed = said.contains_key("1100") && !waits && !is_pegged;
    let trails = said.get("18").is_some_and(|value| value.contains('a'));
    let keep = |said: &mut BTreeMap<&str, &str>, is_needed: bool, fields: &[(&'static str, &'static str)]| {
        for (tag, value) in fields {
            if is_needed {
                said.entry(tag).or_insert(value);
            } else {
                said.remove(tag);
            }
        }
    };
    keep(said, is_instructed, &[("1100", "4"), ("1101", "1"), ("1109", "U")]);
    keep(said, waits && !trails, &[("99", "90")]);
    if !(trails && (waits || is_instructed)) {
        keep(said, is_instructed, &[("1102", "110")]);
    }
    if !waits && !is_instructed {
        said.remove("1107");
    }
    let unit = ["0", "2", "1"][random.below(if is_pegged { 2 } else { 3 })];
    keep(said, trails || is_pegged, &[("211", "2"), ("836", unit)]);
    let is_twap = said.contains_key("847") || said.get("18").is_some_and(|value| value.contains('e'));
    keep(said, is_twap, &[("847", "1000"), ("848", "LEGS=2;INTERVAL_MS=1000")]);
    let is_dated = said.get("59") == Some(&"6");
    if !is_dated || said.contains_key("126") {
        said.remove("432");
    }
    if !is_dated {
        said.remove("126");
    } else if !said.contains_key("432") {
        said.entry("126").or_insert("20260105-12:30:00");
    }
    keep(said, said.get("59") == Some(&"A"), &[("1629", "60")]);
    let by_budget =
        ["1", "3", "J"].contains(&said["40"]) && said["54"] == "1" && (waits || said.contains_key("152"));
    keep(said, by_budget, &[("152", "100")]);
    keep(said, !by_budget, &[("38", "1")]);
    keep(said, ["2", "4", "P"].contains(&said["40"]), &[("44", "100")]);
}

/// The fields of an order: `wildly`, whatever comes; else what mostly goes together.
fn order(random: &mut Random) -> String {
    let wildly = random.below(4) == 0;
    let mut said = BTreeMap::new();
    for (tag, good, bad) in SAID {
        // Most orders say little: what is said of all of them is seldom good together.
        if ["54", "40"].contains(&tag) || random.below(if wildly { 3 } else { 7 }) == 0 {
            let values = if random.below(if wildly { 4 } else { 40 }) == 0 { bad } else { good };
            said.insert(tag, values[random.below(values.len())]);
        }
    }
    if !wildly {
        completed(&mut said, random);
    }
    said.iter().map(|(tag, value)| format!("{tag}={value}|")).collect()
}

/// Lists that are taken, and some that are not.
const LISTS: [&str; 4] = [
    "1385=1|68=2|73=2|11=#a|55=BTC-TRY|54=2|38=1|40=2|44=120|11=#b|55=BTC-TRY|54=2|38=1|40=3|99=85|",
    "1385=2|68=2|73=2|11=#a|55=BTC-TRY|54=1|38=1|40=2|44=100|59=3|11=#b|55=BTC-TRY|54=2|38=1|40=2|44=120|",
    "1385=100|68=3|73=3|11=#a|55=BTC-TRY|54=1|38=1|40=2|44=99|11=#b|55=BTC-TRY|54=2|38=1|40=J|99=125|11=#c|55=BTC-TRY|54=2|38=1|40=3|18=a|211=3|",
    "1385=1|68=2|73=2|11=#a|55=BTC-TRY|54=2|38=1|40=2|44=120|11=#b|55=BTC-TRY|54=1|38=1|40=3|99=85|",
];

/// What a client may do next; `orders`: ids and sides of orders that it was told of.
fn message(random: &mut Random, orders: &[(String, String)], ids: u64) -> String {
    let unknown = (format!("i{}", 1 + random.next() % ids.max(1)), "1".to_owned());
    let newest = orders.len().saturating_sub(1 + random.below(40));
    let known = orders.get(newest).filter(|_| random.below(8) > 0);
    let (old, side) = known.cloned().unwrap_or(unknown);
    let of = format!("55=BTC-TRY|54={side}|60=T|");
    match random.below(14) {
        0 => format!("35=F|41={old}|11=#|{of}"),
        1 => {
            let said = order(random);
            let said =
                said.split_inclusive('|').filter(|field| !field.starts_with("54=")).collect::<String>();
            format!("35=G|41={old}|11=#|{of}{said}")
        }
        2 => format!("35=G|41={old}|11=#|{of}38=2|40=2|44={}|", [90, 100, 110][random.below(3)]),
        3 => format!("35=H|11={old}|55=BTC-TRY|54={side}|"),
        4 => format!("35=E|66=l{}|{}", random.below(8), LISTS[random.below(LISTS.len())]),
        5 => {
            let count = 2 + random.below(2);
            let contingency = if count == 3 { "100" } else { ["1", "2"][random.below(2)] };
            let orders = (0..count).map(|at| format!("11=#{at}|55=BTC-TRY|{}", order(random)));
            format!("35=E|66=#|1385={contingency}|68={count}|73={count}|{}", orders.collect::<String>())
        }
        6 if random.below(2) == 0 => format!("35=M|66=l{}|", random.below(8)),
        6 => format!("35=K|66=l{}|60=T|", random.below(8)),
        7 if random.below(8) == 0 => format!("35=q|11=#|530=7|60=T|54={}|", 1 + random.below(2)),
        _ => format!("35=D|11=#|55=BTC-TRY|60=T|{}", order(random)),
    }
}

#[test]
fn whatever_an_order_says_it_is_taken_or_refused() {
    let one = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let count = 40 * std::env::var("SEEDS_TIMES").map_or(1, |times| times.parse::<u64>().unwrap());
    let (mut seen, mut taken) = (BTreeMap::<String, u32>::new(), BTreeMap::<(String, String), u32>::new());
    for seed in one.map_or(1..=count, |seed| seed..=seed) {
        let result = std::panic::catch_unwind(|| play(seed));
        let (client, orders) = result.unwrap_or_else(|_| panic!("SEED={seed}"));
        client.into_iter().for_each(|(kind, count)| *seen.entry(kind).or_default() += count);
        orders.into_iter().for_each(|order| *taken.entry(order).or_default() += 1);
    }
    if one.is_some() {
        return;
    }
    let kinds = [
        "8 0", "8 A", "8 4", "8 5", "8 I", "8! 2", "8! 3", "8! 4", "8! 6", "8! 11", "8! 13", "9! 0", "9! 1",
        "9! 99", "j! 0", "j! 1", "j! 5", "3! 5", "r", "N 2", "N 5",
    ];
    for kind in kinds {
        assert!(seen.contains_key(kind), "{kind} of {seen:?}");
    }
    for order_type in ["1", "2", "3", "4", "J", "P"] {
        for time_in_force in ["none", "0", "1", "3", "4", "6"] {
            // A market order is good for no day, and a pegged one rests.
            let is_possible = match order_type {
                "1" => ["none", "1", "3", "4"].contains(&time_in_force),
                "P" => ["none", "0", "1", "6"].contains(&time_in_force),
                _ => true,
            };
            let key = (order_type.to_owned(), time_in_force.to_owned());
            assert!(!is_possible || taken.contains_key(&key), "{key:?} of {taken:?}");
        }
    }
}

/// One client's day: what was answered, and which orders were taken, by their types and times in force.
fn play(seed: u64) -> (BTreeMap<String, u32>, Vec<(String, String)>) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut client = Client::new("CLIENT1");
    let (mut taken, mut orders) = (Vec::new(), Vec::new());
    for _ in 0..250 {
        let message = message(&mut random, &orders, client.ids);
        let message = client.filled(&message);
        let answers = client.ask(message.as_bytes());
        for answer in answers.iter().filter(|answer| is(answer, 150, b"0") || is(answer, 150, b"5")) {
            let text = |tag| String::from_utf8(value(answer, tag).unwrap().to_vec()).unwrap();
            orders.push((text(11), text(54)));
        }
        if message.starts_with("35=D|") && is(&answers[0], 150, b"0") {
            let said = |tag: &str| {
                let field = message.split('|').find_map(|field| field.strip_prefix(tag));
                field.unwrap_or("none").to_owned()
            };
            taken.push((said("40="), said("59=")));
        }
        if random.below(30) == 0 {
            client.world.wait(SECOND);
        }
    }
    client.is_there();
    (client.seen, taken)
}
