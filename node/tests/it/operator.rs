//! `sicil apply`: idempotent, shows what changes, and says what is refused.

use std::path::Path;

use serde_json::Value;

use crate::folder::Folder;
use crate::process::{Node, run, sicil, status};

const EXCHANGE: &str = r#"
[[opening_balance]]
account = 11
from = 91
amount = "250.75 EUR"

[[asset]]
id = 1
code = "EUR"
scale = 2

[[asset]]
id = 2
code = "XAU"
scale = 4

[[account]]
id = 11
client = 1
asset = "EUR"
class = "client"
code = 2000
settlement = true

[[account]]
id = 91
asset = "EUR"
class = "external"
code = 1000

[[account]]
id = 95
asset = "EUR"
class = "fee"
code = 4000

[[account]]
id = 96
asset = "EUR"
class = "suspense"
code = 5000

[[market]]
id = 1
symbol = "XAU-EUR"
base = "XAU"
quote = "EUR"
lot = "0.01"
tick = "1"
price_min = "1"
price_max = "100000"
qty_min = "0.01"
qty_max = "1000"
market_qty_max = "1000"
notional_min = "1"
notional_max = "1000000"
client_orders_max = 100
maker_fee_ppm = 100
taker_fee_ppm = 200
fee_account = 95
tax_account = 96

[market.rules]
reference = "index"
buy_above_ppm = 100_000
self_trade_prevention = "expire_taker"
client_position_max = "500"
volatility_ppm = 50_000
volatility_window_ms = 60_000
volatility_phase = "auction"
volatility_pause_ms = 120_000

[market.schedule]
utc_offset = "-05:00"
holidays = ["2050-01-03", "2050-01-01"]
short_days = ["2050-01-04"]
phases = [
    { days = ["weekdays"], at = "18:00", phase = "closed" },
    { days = ["weekdays", "short"], at = "09:30", phase = "auction" },
    { days = ["weekdays", "short"], at = "09:40:30", phase = "trading" },
    { days = ["short"], at = "12:00", phase = "closed" },
]

[[market.fees]]
tiers = [{ maker_ppm = 90, taker_ppm = 190 }]

[[market.fees]]
group = 3
tiers = [
    { volume_min = "2500.50", maker_ppm = -10, taker_ppm = 150 },
    { maker_ppm = 50, taker_ppm = 180 },
]
tax_ppm = 50_000

[[client]]
id = 1
fee_group = 3
trade_group = 5

[[actor]]
id = 7
roles = ["trader"]

[[session]]
id = 20
actor = 7
client_comp_id = "BANK"
our_comp_id = "SICIL"
clients = [1]
heartbeat_s_min = 5
heartbeat_s_max = 60
"#;

/// Runs `sicil apply --json`; exit code and one value a line.
fn apply(data: &Path, file: &Path, more: &[&str]) -> (i32, Vec<Value>) {
    let (code, out, err) = run(sicil(["apply", "--json", "--data"]).arg(data).args(more).arg(file));
    assert!(code == 0 || !err.is_empty());
    (code, out.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn results(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["result"].as_str().unwrap()).collect()
}

/// Things that [`EXCHANGE`] defines.
const ITEMS: usize = 16;

/// One result for each item but the market's rules and schedule and the client's group, of which there are none to begin with.
fn settings_differ(made: &'static str, set: &'static str) -> [&'static str; ITEMS] {
    let mut results = [made; ITEMS];
    results[8..10].fill(set);
    results[12..14].fill(set);
    results
}

#[test]
fn applying_twice_changes_nothing() {
    let folder = Folder::new("apply");
    let (data, file) = (folder.data(), folder.write("exchange.toml", EXCHANGE));
    let node = Node::start(&data, &folder.config(""));
    assert_eq!(node.ready["demo"], false);
    let (code, planned) = apply(&data, &file, &["--plan"]);
    assert_eq!(code, 0);
    assert_eq!(results(&planned), settings_differ("would_create", "would_change"), "{planned:?}");
    assert_eq!(status(&data, &[])["seq_applied"], 2, "a plan leaves no trace");
    let (code, first) = apply(&data, &file, &[]);
    assert_eq!(code, 0, "{first:?}");
    assert_eq!(results(&first), settings_differ("created", "changed"), "{first:?}");
    let before = status(&data, &[]);
    assert_eq!(before["sessions"][0]["client_comp_id"], "BANK");
    let (code, second) = apply(&data, &file, &[]);
    assert_eq!(code, 0);
    assert_eq!(results(&second), ["unchanged"; ITEMS], "{second:?}");
    assert_eq!(status(&data, &[])["seq_applied"], before["seq_applied"], "nothing was submitted");
    node.kill();
    let node = Node::start(&data, &folder.config(""));
    assert_eq!(results(&apply(&data, &file, &[]).1), ["unchanged"; ITEMS]);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_change_is_shown_field_by_field_and_a_refusal_by_reason() {
    let folder = Folder::new("change");
    let (data, file) = (folder.data(), folder.write("exchange.toml", EXCHANGE));
    let node = Node::start(&data, &folder.config(""));
    assert_eq!(apply(&data, &file, &[]).0, 0);
    let dearer = folder.write("dearer.toml", &EXCHANGE.replace("maker_fee_ppm = 100", "maker_fee_ppm = 150"));
    let (code, lines) = apply(&data, &dearer, &[]);
    assert_eq!(code, 0);
    let changed: Vec<_> = lines.iter().filter(|line| line["result"] == "changed").collect();
    assert_eq!(changed.len(), 1, "{lines:?}");
    assert_eq!(changed[0]["item"], "market XAU-EUR");
    let change = &changed[0]["changes"][0];
    assert_eq!(
        (&change["field"], &change["from"], &change["to"]),
        (&"maker_fee_ppm".into(), &"100".into(), &"150".into())
    );
    let later = EXCHANGE.replace("09:40:30", "09:45").replace("\"2050-01-03\", ", "");
    let (code, lines) = apply(&data, &folder.write("later.toml", &later), &[]);
    assert_eq!(code, 0);
    let changed = lines.iter().find(|line| line["item"] == "schedule of market XAU-EUR").unwrap();
    let changes: Vec<_> = changed["changes"].as_array().unwrap().iter().collect();
    let fields: Vec<_> = changes.iter().map(|change| change["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["phases", "holidays"], "{changed}");
    assert_eq!(changes[1]["from"], "2050-01-01 2050-01-03");
    let phases = "mon tue wed thu fri short 09:30:00 Auction, mon tue wed thu fri short 09:45:00 Trading, \
                  short 12:00:00 Closed, mon tue wed thu fri 18:00:00 Closed";
    assert_eq!(changes[0]["to"], phases);
    // The scale of an asset and the owner of an account never change; a balance is opened once, whatever the file says later.
    let wrong = EXCHANGE.replace("scale = 4", "scale = 5").replace("lot = \"0.01\"", "lot = \"0.1\"");
    let wrong = wrong.replace("qty_min = \"0.01\"", "qty_min = \"0.1\"").replace("250.75", "999");
    let wrong = wrong.replace("client = 1\n", "client = 2\n");
    let (code, lines) = apply(&data, &folder.write("wrong.toml", &wrong), &[]);
    assert_eq!(code, 1);
    let refused: Vec<_> = lines.iter().filter(|line| line["result"] == "refused").collect();
    let items: Vec<_> = refused.iter().map(|line| line["item"].as_str().unwrap()).collect();
    assert_eq!(items, ["asset XAU", "account 11", "market XAU-EUR"], "{lines:?}");
    let reasons: Vec<_> = refused.iter().map(|line| line["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["ExistsWithDifferent", "ExistsWithDifferentOwner", "ExistsWithDifferent"]);
    assert_eq!(refused[0]["field"], "scale");
    assert_eq!(lines.last().unwrap()["result"], "unchanged", "{lines:?}");
    assert_eq!(node.stop().code(), Some(0));
}

/// What came of those items that were not unchanged: item, result, the first field that changed or is meant.
fn differing(lines: &[Value]) -> Vec<[&str; 3]> {
    let differ = lines.iter().filter(|line| line["result"] != "unchanged");
    differ
        .map(|line| {
            let field = line["changes"][0]["field"].as_str().or(line["field"].as_str());
            [line["item"].as_str().unwrap(), line["result"].as_str().unwrap(), field.unwrap_or_default()]
        })
        .collect()
}

/// [`EXCHANGE`], in which group 3 pays half of it from a seq on.
fn cheaper_from(seq: u64) -> String {
    let later = format!(
        "[[market.fees]]\ngroup = 3\neffective_seq = {seq}\ntiers = [{{ maker_ppm = 25, taker_ppm = 90 }}]\n\n[[client]]\nid = 1"
    );
    EXCHANGE.replace("[[client]]\nid = 1", &later)
}

#[test]
fn fees_come_into_force_at_their_seq_and_the_same_file_never_takes_them_back() {
    let folder = Folder::new("fees");
    let (data, file) = (folder.data(), folder.write("exchange.toml", EXCHANGE));
    let node = Node::start(&data, &folder.config(""));
    let applied = || status(&data, &[])["seq_applied"].as_u64().unwrap();
    let become_seq = |seq: u64| {
        while applied() < seq {
            let roles = if applied().is_multiple_of(2) { "\"trader\"" } else { "" };
            let text = format!("[[actor]]\nid = 8\nroles = [{roles}]\n");
            assert_eq!(apply(&data, &folder.write("actor.toml", &text), &[]).0, 0);
        }
    };
    let of_file = |text: &str| apply(&data, &folder.write("fees.toml", text), &[]);
    assert_eq!(apply(&data, &file, &[]).0, 0);

    let seq = applied() + 4;
    let (now, later) = (
        "fees of group 3 in market XAU-EUR".to_owned(),
        format!("fees of group 3 in market XAU-EUR from seq {seq}"),
    );
    let text = cheaper_from(seq);
    let (code, lines) = of_file(&text);
    assert_eq!(
        (code, differing(&lines)),
        (0, vec![[later.as_str(), "changed", "tiers"]]),
        "what is in force stays"
    );
    assert_eq!(differing(&of_file(&text).1), [[""; 3]; 0]);
    let dearer = text.replace("taker_ppm = 90", "taker_ppm = 95");
    assert_eq!(differing(&of_file(&dearer).1), [[later.as_str(), "changed", "tiers"]], "it lies ahead");
    assert_eq!(differing(&of_file(&text).1), [[later.as_str(), "changed", "tiers"]]);

    become_seq(seq);
    let before = applied();
    assert_eq!(differing(&of_file(&text).1), [[""; 3]; 0], "what was in force before is over");
    assert_eq!(differing(&of_file(&text.replace("maker_ppm = 50", "maker_ppm = 55")).1), [[""; 3]; 0]);
    assert_eq!(applied(), before, "nothing was submitted");
    let (code, lines) = of_file(&dearer);
    assert_eq!((code, differing(&lines)), (1, vec![[later.as_str(), "refused", "effective_seq"]]));
    // Without a seq it is put right at once.
    let (code, lines) = of_file(EXCHANGE);
    assert_eq!((code, differing(&lines)), (0, vec![[now.as_str(), "changed", "tiers"]]));
    let change = &lines.iter().find(|line| line["item"] == now).unwrap()["changes"];
    assert_eq!(
        (&change[0]["from"], &change[0]["to"]),
        (&"0:25:90".into(), &"0:50:180 250050:-10:150".into())
    );
    assert_eq!((&change[1]["field"], &change[1]["to"]), (&"tax_ppm".into(), &"50000".into()));
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn fees_are_taken_away_and_nobody_is_paid_more_than_the_other_side_pays() {
    let folder = Folder::new("no-fees");
    let data = folder.data();
    let node = Node::start(&data, &folder.config(""));
    let of_file = |text: &str| apply(&data, &folder.write("fees.toml", text), &[]);
    assert_eq!(of_file(EXCHANGE).0, 0);
    let now = "fees of group 3 in market XAU-EUR";
    let (front, behind) = EXCHANGE.split_once("group = 3\ntiers").unwrap();
    let none = format!("{front}group = 3\n\n{}", &behind[behind.find("[[client]]").unwrap()..]);
    assert_eq!(differing(&of_file(&none).1), [[now, "changed", "tiers"]]);
    assert_eq!(differing(&of_file(&none).1), [[""; 3]; 0]);
    let (code, lines) = of_file(&EXCHANGE.replace("maker_ppm = -10", "maker_ppm = -160"));
    assert_eq!((code, differing(&lines)), (1, vec![[now, "refused", "tiers"]]));
    let nobody = EXCHANGE
        .replace("fee_group = 3", "fee_group = 0")
        .replace("trade_group = 5", "trade_group = 6")
        .replace("[[market.fees]]\ngroup = 3", "[[market.fees]]\ngroup = 4");
    let (_, lines) = of_file(&nobody);
    let fees = ["fee group of client 1", "changed", "fee_group"];
    let trades = ["trade group of client 1", "changed", "trade_group"];
    assert_eq!(differing(&lines), [["fees of group 4 in market XAU-EUR", "created", ""], fees, trades]);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_wrong_file_is_named_with_its_line_and_nothing_is_applied() {
    let folder = Folder::new("wrong");
    let data = folder.data();
    let node = Node::start(&data, &folder.config(""));
    let before = status(&data, &[]);
    let file = folder.write("d.toml", "[[asset]]\nid = 1\ncode = \"EUR\"\nscale = 2\nsize = 3\n");
    let (code, out, err) = run(sicil(["apply", "--data"]).arg(&data).arg(&file));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("d.toml:5:1: unknown field `size`"), "{err}");
    assert_eq!(status(&data, &[])["seq_applied"], before["seq_applied"]);
    assert_eq!(node.stop().code(), Some(0));
}
