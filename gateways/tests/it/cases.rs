//! Runs the scripts of `gateways/tests/cases/`: what a client does, and what follows. `|` stands for SOH.
//!
//! ```text
//! == title of a case; each begins with a new acceptor and engine, connection 1 made
//! > 35=0|34=2|          a message of CLIENT1; 8, 9, 49, 52, 56 and 10 are added (behind 34), `-56` leaves one out
//! >= 35=D|55=X|34=2|    only 8, 9 and 10 are added
//! >> 8=FIX.4.4|9=…      these bytes
//! 2> …                  the same on connection 2; `connect 2` makes it, `drop 2` ends it
//! > 35=0|58=x*9|        a value of so many letters
//! wait 6.5              seconds pass          as CLIENT2    who writes from now on
//! full / full of orders / room 1 / room      the queue             quorum off / quorum on     commits
//! slow 1 / fast 1       the peer reads        floor 5       nothing below is kept        stop
//! ```
//! What follows stands indented below: `=` a command with its number (`-` = unnumbered), `<` a message to connection 1,
//! `2<` to connection 2, without 8, 9, 10, 49, 52 and 56, `closed 1`. Times are `T` and seconds since the case began.
//! `UPDATE_GOLDEN=1` writes what follows into the scripts; read every line of the difference.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use gateways::fix::Options;
use protocol::{Command, UnixNanos};

use crate::world::{SECOND, T0, World};

struct Player {
    world: World,
    client: String,
    pending: std::collections::BTreeMap<u64, Vec<u8>>,
}

impl Player {
    fn new(shipped: bool) -> Self {
        let options = Options { output_bytes_max: 1_500, ..Options::default() };
        let mut world = if shipped { World::shipped(options) } else { World::new(options) };
        world.connect(1);
        Self { world, client: "CLIENT1".to_owned(), pending: std::collections::BTreeMap::new() }
    }

    fn act(&mut self, line: &str) {
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let connection = if digits == 0 { 1 } else { line[..digits].parse().unwrap() };
        if let Some((kind, text)) = line[digits..].split_once(' ').filter(|(kind, _)| kind.starts_with('>')) {
            let bytes = match kind {
                ">" => self.addressed(text),
                ">=" => sealed(&self.times(text)),
                _ => self.times(text).replace('|', "\x01").into_bytes(),
            };
            self.pending.entry(connection).or_default().extend_from_slice(&bytes);
            self.feed();
            return;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let number = || words[1].parse::<u64>().unwrap();
        match words[0] {
            "connect" => self.world.connect(number()),
            "drop" => self.world.drop_connection(number()),
            "as" => self.client = words[1].to_owned(),
            "wait" => {
                let millis = (words[1].parse::<f64>().unwrap() * 1_000.0).round() as u64;
                self.world.wait(millis * SECOND / 1_000);
            }
            "full" if words.len() > 1 => self.world.queue.reserved_only = true,
            "full" => self.world.queue.room = 0,
            "room" => {
                self.world.queue.room = words.get(1).map_or(usize::MAX, |room| room.parse().unwrap());
                self.world.queue.reserved_only = false;
            }
            "quorum" => self.world.quorum = words[1] == "on",
            "slow" => assert!(self.world.slow.insert(number())),
            "fast" => assert!(self.world.slow.remove(&number())),
            "floor" => self.world.engine.floor = number(),
            "stop" => {
                let now = self.world.now();
                self.world.acceptor.stop(now, &mut self.world.queue);
            }
            other => panic!("what is `{other}`?"),
        }
        self.world.settle();
        self.feed();
    }

    /// Peers go on writing as soon as they are read from.
    fn feed(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for (connection, bytes) in &mut self.pending {
                let rest = self.world.receive(*connection, bytes).len();
                moved |= rest < bytes.len();
                bytes.drain(..bytes.len() - rest);
            }
            self.world.settle();
        }
    }

    fn addressed(&self, text: &str) -> Vec<u8> {
        let mut fields: Vec<String> = Vec::new();
        let mut left_out = Vec::new();
        for field in self.times(text).trim_end_matches('|').split('|') {
            match field.strip_prefix('-').filter(|_| !field.contains('=')) {
                Some(tag) => left_out.push(tag.to_owned()),
                None => fields.push(field.to_owned()),
            }
        }
        let has =
            |fields: &[String], tag: &str| fields.iter().any(|field| field.starts_with(&format!("{tag}=")));
        let mut at = fields.iter().position(|field| field.starts_with("34=")).map_or(1, |at| at + 1);
        let time = self.time("T").unwrap();
        for (tag, value) in [("49", self.client.as_str()), ("52", time.as_str()), ("56", "SICIL")] {
            if !has(&fields, tag) && !left_out.iter().any(|out| out == tag) {
                fields.insert(at, format!("{tag}={value}"));
                at += 1;
            }
        }
        sealed(&(fields.join("|") + "|"))
    }

    /// Replaces values like `T`, `T-121` and `T+10` by timestamps, and `x*9` by so many letters.
    fn times(&self, text: &str) -> String {
        let time = |field: &str| {
            let (tag, value) = field.split_once('=')?;
            let letters = value.strip_prefix("x*").and_then(|count| count.parse().ok());
            let value = letters.map(|count| "x".repeat(count)).or_else(|| self.time(value))?;
            Some(format!("{tag}={value}"))
        };
        text.split('|')
            .map(|field| time(field).unwrap_or_else(|| field.to_owned()))
            .collect::<Vec<_>>()
            .join("|")
    }

    fn time(&self, value: &str) -> Option<String> {
        let offset = value.strip_prefix('T')?;
        let offset: i64 = if offset.is_empty() { 0 } else { offset.parse().ok()? };
        let seconds = (self.world.wall().0 / SECOND).checked_add_signed(offset).unwrap();
        Some(timestamp(seconds))
    }

    fn follows(&mut self) -> String {
        let mut text = String::new();
        for (header, command) in std::mem::take(&mut self.world.log) {
            let number = if header.request.0 == 0 { "-".to_owned() } else { header.request.to_string() };
            writeln!(text, "    = {number} {}", shown(&command)).unwrap();
        }
        for connection in 1..=3 {
            for message in messages(&self.world.take_received(connection)) {
                let mark = if connection == 1 { String::new() } else { connection.to_string() };
                writeln!(text, "    {mark}< {message}").unwrap();
            }
        }
        for connection in std::mem::take(&mut self.world.closed) {
            writeln!(text, "    closed {connection}").unwrap();
        }
        text
    }
}

/// The command with its fields; empty ones and the connection are left out.
fn shown(command: &Command) -> String {
    let full = format!("{command:?}");
    let inner = full.split_once('(').unwrap().1.strip_suffix(')').unwrap();
    let Some((name, fields)) = inner.split_once(" { ") else { return inner.to_owned() };
    let dull = ["None", "0", "false", "\"\"", "[]", "Amount(0)", "PriceTicks(0)", "QtyLots(0)"];
    let interesting = |field: &&str| {
        let value = field.split_once(": ").map_or("", |(_, value)| value);
        !dull.contains(&value)
    };
    let fields: Vec<&str> = fields.trim_end_matches(" }").split(", ").filter(interesting).collect();
    format!("{name} {}", fields.join(", ")).trim_end().to_owned()
}

/// Checks the frames of what was received, and shows the messages without the fields that are the same everywhere.
fn messages(bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let text = String::from_utf8(rest.to_vec()).unwrap();
        let end = text.find("\x0110=").unwrap() + 8;
        let message = &text[..end];
        let body = message.find("\x0135=").unwrap() + 1;
        let fields: Vec<&str> = message.trim_end_matches('\x01').split('\x01').collect();
        assert_eq!(fields[1], format!("9={}", end - 7 - body), "{message}");
        let sum = rest[..end - 7].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(fields[fields.len() - 1], format!("10={sum:03}"), "{message}");
        let same = ["8=", "9=", "10=", "49=", "52=", "56="];
        let shown = fields.iter().filter(|field| !same.iter().any(|same| field.starts_with(same)));
        let shown: Vec<String> = shown.map(|field| relative(field)).collect();
        messages.push(shown.join("|") + "|");
        rest = &rest[end..];
    }
    messages
}

fn relative(field: &str) -> String {
    match field.split_once('=') {
        Some((tag @ ("60" | "122"), time)) => {
            let seconds = (0..).take(200_000).find(|s| time.starts_with(&timestamp(T0.0 / SECOND + s)));
            format!("{tag}=T+{}", seconds.unwrap())
        }
        _ => field.to_owned(),
    }
}

/// `body` between 8, 9 and 10.
pub(crate) fn sealed(body: &str) -> Vec<u8> {
    let body = body.replace('|', "\x01");
    let mut message = format!("8=FIX.4.4\x019={}\x01{body}", body.len());
    if let Some(rest) = body.strip_prefix("8=") {
        let (version, body) = rest.split_once('\x01').unwrap();
        message = format!("8={version}\x019={}\x01{body}", body.len());
    }
    let sum = message.bytes().fold(0_u8, u8::wrapping_add);
    format!("{message}10={sum:03}\x01").into_bytes()
}

/// Seconds since 1970 in January 2026, which is enough for a script.
pub(crate) fn timestamp(seconds: u64) -> String {
    let january = UnixNanos(1_767_225_600 * SECOND).0 / SECOND;
    let (day, second) = ((seconds - january) / 86_400, (seconds - january) % 86_400);
    format!("202601{:02}-{:02}:{:02}:{:02}", day + 1, second / 3_600, second / 60 % 60, second % 60)
}

fn play(script: &str, shipped: bool) -> String {
    let mut text = String::new();
    let mut player = Player::new(shipped);
    for line in script.lines() {
        if line.starts_with("    ") {
            continue;
        }
        writeln!(text, "{line}").unwrap();
        if line.starts_with("==") {
            player = Player::new(shipped);
        } else if !line.is_empty() && !line.starts_with('#') {
            player.act(line);
            text += &player.follows();
        }
    }
    text
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut scripts: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    scripts
}

fn assert_same(played: &str, script: &str, path: &Path) {
    for (at, (found, expected)) in played.lines().zip(script.lines()).enumerate() {
        assert_eq!(found, expected, "{} line {}", path.display(), at + 1);
    }
    assert_eq!(played.lines().count(), script.lines().count(), "{}", path.display());
}

/// Lines without what depends on the place in the journal: OrderID(37) and ExecID(17).
fn without_seqs(text: &str) -> String {
    let field = |field: &&str| !["17=", "37="].iter().any(|seq| field.starts_with(seq));
    let line = |line: &str| line.split('|').filter(field).collect::<Vec<_>>().join("|");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// What only the shipped engine can say: what becomes of an order with terms, of a list, of quotes, of many at once.
fn needs_book(path: &Path) -> bool {
    [
        "32_order_terms.scn",
        "33_lists.scn",
        "34_order_types.scn",
        "35_security_status.scn",
        "36_quotes.scn",
        "37_safeguards.scn",
    ]
    .iter()
    .any(|name| path.ends_with(name))
}

#[test]
fn the_shipped_engine_says_what_the_scripts_say() {
    // The naive engine has no book: what becomes of an order that crosses is the engine's own tests' to say.
    let fits = |path: &Path| !path.ends_with("30_orders.scn") && !needs_book(path);
    for path in scripts().iter().filter(|path| fits(path)) {
        let script = std::fs::read_to_string(path).unwrap();
        assert_same(&without_seqs(&play(&script, true)), &without_seqs(&script), path);
    }
}

#[test]
fn what_follows_is_what_the_scripts_say() {
    for path in scripts() {
        let script = std::fs::read_to_string(&path).unwrap();
        let played = play(&script, needs_book(&path));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, played).unwrap();
            continue;
        }
        assert_same(&played, &script, &path);
    }
}
