//! What operators and price sources tell the exchange, from the command line against the process.

use gateways::fix::initiator::{LogonStyle, NewOrder};
use protocol::{OrderType, Side, TimeInForce};
use serde_json::Value;

use crate::folder::Folder;
use crate::ledger::config;
use crate::ledger_settings::{Cli, define_administrator};
use crate::market_data::door;
use crate::market_restart::await_past;
use crate::process::{Node, run, sicil};
use crate::trading::Client;

/// What came of a command: the exit code, the result, and the seq or the field.
fn result(cli: &Cli, group: &str, words: &str) -> (i32, String, Value) {
    let (code, out, err) = cli.run_in(group, &format!("{words} --json"));
    let line: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{words}: {code} {out}{err}"));
    let told = if line["seq"].is_null() { line["field"].clone() } else { line["seq"].clone() };
    (code, line["result"].as_str().unwrap().to_owned(), told)
}

fn executed(cli: &Cli, group: &str, words: &str) -> u64 {
    let (code, result, seq) = result(cli, group, words);
    assert_eq!((code, result.as_str()), (0, "Executed"), "{words}: {seq}");
    seq.as_u64().unwrap()
}

fn refused(cli: &Cli, words: &str) -> (String, String) {
    let (code, result, field) = result(cli, "exchange", words);
    assert_eq!(code, 1, "{words}: {result}");
    (result, field.as_str().unwrap().to_owned())
}

fn order<'a>(cl_ord_id: &'a str, side: Side, qty: &'a str) -> NewOrder<'a> {
    let (symbol, order_type, price) = ("BTC-TRY", OrderType::Limit, "4200000");
    NewOrder { cl_ord_id, symbol, side, order_type, time_in_force: TimeInForce::GoodTillCancel, price, qty }
}

/// An actor who publishes prices, and nothing else, with the key of session 203.
fn define_price_source(folder: &Folder) {
    let key = protocol::sign::PrivateKey::from_seed(&[80; 32]);
    let text = format!(
        "[[actor]]\nid = 204\nroles = [\"price_source\"]\npublic_key = \"{}\"\n\
         [[session]]\nid = 204\nactor = 204\nprotocol = \"request\"\n",
        key.public()
    );
    let file = folder.write("price_source.toml", &text);
    let (code, _, err) = run(sicil(["apply", "--data"]).arg(folder.data()).arg(file));
    assert_eq!(code, 0, "{err}");
}

#[test]
fn prices_phases_and_fees_are_told_by_who_may() {
    let folder = Folder::new("exchange-settings");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    define_price_source(&folder);
    let (admin, source) = (Cli::new(&folder, &node, 201, 77), Cli::new(&folder, &node, 204, 80));

    let price = "publish-price --market 1 --price 4200000 --valid-for-ms 60000";
    executed(&source, "exchange", price);
    assert_eq!(
        refused(&source, &price.replace("60000", "0")),
        ("FieldOutOfRange".into(), "valid_for_ms".into())
    );
    let before = format!("{price} --observed-at 2026-01-01T00:00:00Z");
    assert_eq!(refused(&source, &before).0, "TooLateToEnter");
    assert_eq!(refused(&admin, price).0, "NotEntitled");
    assert_eq!(refused(&source, "set-phase --market 1 --phase halt").0, "NotEntitled");

    executed(&admin, "exchange", "set-phase --market 1 --phase halt");
    assert_eq!(result(&admin, "exchange", "set-phase --market 1 --phase halt").1, "Exists");
    assert_eq!(refused(&admin, "set-phase --market 99 --phase halt").0, "UnknownMarket");
    let (code, _, err) = admin.run_in("exchange", "set-phase --market 1 --phase open");
    assert!(code == 2 && err.contains("trading"), "{err}");
    executed(&admin, "exchange", "set-phase --market 1 --phase trading");

    executed(&admin, "exchange", "set-fees --market 1 --group 2 --tier 0:100:200 --tier 1000000:-10:150");
    let backwards = "set-fees --market 1 --group 2 --tier 5:100:200";
    assert_eq!(refused(&admin, backwards), ("FieldOutOfRange".into(), "tiers".into()));
    executed(&admin, "exchange", "set-fee-group --client 1 --group 2");
    executed(&admin, "exchange", "set-trade-group --client 1 --group 9");
    executed(&admin, "exchange", "set-protection --of 101 --market 1 --fills 3 --window-ms 1000");
    let (code, _, err) = admin.run_in("exchange", "cancel-all");
    assert!(code == 2 && err.contains("--everything"), "{err}");
    executed(&admin, "exchange", "cancel-all --market 1 --side buy");
    assert_eq!(node.stop().code(), Some(0));
}

/// What a proposal would change, as its lines say: field, in force, proposed.
fn differences(cli: &Cli, proposal: u64) -> Vec<(String, String, String)> {
    let (code, out, err) = cli.run_in("ledger", &format!("proposal {proposal} --json"));
    assert_eq!(code, 0, "{err}");
    let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().unwrap_or("nothing").to_owned();
    let differing = lines.filter(|line| line["differs"] == true);
    differing.map(|line| (text(&line["field"]), text(&line["in_force"]), text(&line["proposed"]))).collect()
}

const SCHEDULE: &str = "set-schedule --market 1 --utc-offset -03:30 --entry weekdays,short@09:40=pre_open \
                    --entry mon@09:00:30=halt --holiday 1970-01-08 --short-day 1970-01-09";

#[test]
fn rules_and_schedules_that_cannot_be_are_refused_by_field() {
    let folder = Folder::new("exchange-wrong-rules");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let one = Cli::new(&folder, &node, 201, 77);
    let refused_field = |words: &str| {
        let (reason, field) = refused(&one, words);
        assert_eq!(reason, "FieldOutOfRange", "{words}");
        field
    };
    assert_eq!(refused_field("set-rules --market 1 --collar-ppm 1000001"), "collar_ppm");
    let (_, out, _) = one.run_in("exchange", "set-rules --market 1 --collar-ppm 1000001 --json");
    assert!(out.contains("at most a million"), "what is expected there: {out}");
    assert_eq!(refused_field("set-rules --market 1 --self-trades-forbidden"), "self_trade_prevention");
    assert_eq!(refused_field("set-rules --market 1 --volatility-window-ms 999"), "volatility_window_ms");
    assert_eq!(
        refused_field("set-schedule --market 1 --utc-offset +15:00 --entry mon@09:00=halt"),
        "utc_offset_s"
    );
    let twice = "set-schedule --market 1 --entry mon@09:00=halt --entry mon,tue@09:00=trading";
    assert_eq!(refused_field(twice), "entries");
    assert_eq!(refused_field(&format!("{SCHEDULE} --holiday 1970-01-09")), "short_days");
    assert_eq!(refused(&one, "set-rules --market 99 --collar-ppm 1").0, "UnknownMarket");
    assert_eq!(result(&one, "exchange", "set-schedule --market 1").1, "Exists", "there is none");
    for (wrong, said) in [
        ("set-rules --market 1 --reference yesterday", "last_trade"),
        ("set-schedule --market 1 --entry mon=halt", "DAYS@TIME=PHASE"),
        ("set-schedule --market 1 --entry mon@25:00=halt", "schedule.at"),
        ("set-schedule --market 1 --holiday someday", "schedule.holidays"),
    ] {
        let (code, _, err) = one.run_in("exchange", wrong);
        assert!(code == 2 && err.contains(said), "{wrong}: {err}");
    }
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn rules_and_schedules_are_proposed_shown_and_approved() {
    let folder = Folder::new("exchange-rules");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let (one, two) = (Cli::new(&folder, &node, 201, 77), Cli::new(&folder, &node, 202, 78));
    let rules = "set-rules --market 1 --reference index --buy-above-ppm 50000 --self-trade-prevention expire_maker \
                 --self-trades-forbidden --client-position-lots-max 7 --volatility-ppm 10000 --volatility-window-ms 60000";
    executed(&one, "ledger", "set-approvals SetTradingRules SetMarketSchedule");
    assert_eq!(refused(&one, rules).0, "ApprovalNeeded");
    let proposal = executed(&one, "exchange", &format!("{rules} --propose"));
    let changed = |words: &[[&str; 3]]| -> Vec<(String, String, String)> {
        words.iter().map(|[field, old, new]| (field.to_string(), old.to_string(), new.to_string())).collect()
    };
    let in_full = [
        ["reference", "LastTrade", "Index"],
        ["buy_above_ppm", "0", "50000"],
        ["self_trade_prevention", "None", "ExpireMaker"],
        ["may_self_trade", "true", "false"],
        ["client_position_lots_max", "0", "7"],
        ["volatility_ppm", "0", "10000"],
        ["volatility_window_ms", "0", "60000"],
    ];
    assert_eq!(differences(&two, proposal), changed(&in_full));
    executed(&two, "ledger", &format!("approve {proposal}"));
    assert_eq!(
        result(&one, "exchange", &format!("{rules} --propose")).1,
        "Executed",
        "it may be proposed again"
    );

    let proposal = executed(&one, "exchange", &format!("{SCHEDULE} --propose"));
    let in_full = [
        ["utc_offset_s", "0", "12600"],
        ["behind_utc", "false", "true"],
        ["entries[0].days", "nothing", "1"],
        ["entries[0].at_ms", "nothing", "32430000"],
        ["entries[0].phase", "nothing", "Halt"],
        ["entries[1].days", "nothing", "159"],
        ["entries[1].at_ms", "nothing", "34800000"],
        ["entries[1].phase", "nothing", "PreOpen"],
        ["holidays[0]", "nothing", "7"],
        ["short_days[0]", "nothing", "8"],
    ];
    assert_eq!(differences(&two, proposal), changed(&in_full));
    executed(&two, "ledger", &format!("approve {proposal}"));
    // What is taken away is shown as well.
    let proposal = executed(&one, "exchange", "set-schedule --market 1 --propose");
    assert!(differences(&two, proposal).contains(&("holidays[0]".into(), "7".into(), "nothing".into())));
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_trade_is_taken_back_by_two_and_the_traders_are_told() {
    let folder = Folder::new("exchange-bust");
    let config = config(&folder, 0);
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replacen("[listen]\n", "[listen]\nmarket = \"127.0.0.1:0\"\n", 1);
    let config = folder.write("node.toml", &text);
    let node = Node::start(&folder.data(), &config);
    define_administrator(&folder, &folder.data());
    let (one, two) = (Cli::new(&folder, &node, 201, 77), Cli::new(&folder, &node, 202, 78));
    let (mut seller, mut buyer) = (Client::new("CLIENT1"), Client::new("CLIENT2"));
    seller.log_on(&node, LogonStyle::Reset);
    buyer.log_on(&node, LogonStyle::Reset);
    seller.session.new_order(&order("offer", Side::Sell, "0.2"), seller.now());
    seller.report("offer", "0");
    for id in ["first", "second"] {
        buyer.session.new_order(&order(id, Side::Buy, "0.1"), buyer.now());
    }
    let trades = ["first", "second"].map(|id| buyer.report(id, "F").text(527));

    let (code, out, err) =
        run(sicil(["replay", "show"]).arg(folder.data()).args(["--kind", "Settled", "--json"]));
    assert_eq!(code, 0, "{err}");
    let journal = folder.write("settled.json", &out);
    let words = |trade: &str| format!("--trade {trade} --reason 7 --journal {}", journal.display());
    let (code, _, err) = one.run_in("exchange", &format!("bust-trade {}", words("999999")));
    assert!(code == 2 && err.contains("no trade 999999"), "{err}");

    let proposal = executed(&one, "exchange", &format!("bust-trade {}", words(&trades[0])));
    let (code, shown, _) = two.run_in("ledger", &format!("proposal {proposal} --json"));
    assert!(code == 0 && shown.contains("maker_order"), "what is approved is shown: {shown}");
    assert_eq!(result(&one, "ledger", &format!("approve {proposal}")).0, 1, "nobody approves their own");
    executed(&two, "ledger", &format!("approve {proposal}"));
    assert_eq!(buyer.report("first", "H").text(527), trades[0]);
    let (code, result, _) = result(&one, "exchange", &format!("bust-trade {}", words(&trades[0])));
    assert_eq!((code, result.as_str()), (0, "Executed"), "it is judged when it is approved");

    let half = format!(
        "correct-trade {} --qty 5000 --notional 210000000000 --buyer-fee 0 --seller-fee 0",
        words(&trades[1])
    );
    let proposal = executed(&one, "exchange", &half);
    executed(&two, "ledger", &format!("approve {proposal}"));
    let corrected = buyer.report("second", "G");
    assert_eq!((corrected.text(527), corrected.text(32)), (trades[1].clone(), "0.05".to_owned()));

    // Everybody is told, now and after a crash.
    let told = |node: &Node| {
        await_past(node, &folder);
        let address = door(node, "market");
        let ask = |arguments: &[&str]| -> Vec<Value> {
            let (code, out, err) =
                run(sicil(["market"]).args(arguments).args(["--json", "--addr", &address]));
            assert_eq!(code, 0, "{err}");
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let rows = ask(&["trades", "BTC-TRY"]);
        let trades: Vec<_> =
            rows.iter().map(|row| (row["status"].clone(), row["qty_lots"].clone())).collect();
        assert_eq!(trades, [("Busted".into(), "10000".into()), ("Corrected".into(), "5000".into())]);
        let ticker = &ask(&["ticker", "BTC-TRY"])[0];
        assert_eq!((&ticker["trades"], &ticker["volume_lots"]), (&"1".into(), &"5000".into()));
        let day = &ask(&["candles", "BTC-TRY", "--interval", "1d"])[0];
        assert_eq!((&day["trades"], &day["volume_lots"]), (&"1".into(), &"5000".into()));
    };
    told(&node);
    node.kill();
    let node = Node::start(&folder.data(), &folder.join("node.toml"));
    told(&node);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn what_needs_approval_is_proposed_from_a_file() {
    let folder = Folder::new("exchange-propose");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let (one, two) = (Cli::new(&folder, &node, 201, 77), Cli::new(&folder, &node, 202, 78));
    executed(&one, "ledger", "set-approvals SetOverdraft SetApprovals");
    let file = folder.write("new_actor.toml", "[[actor]]\nid = 300\nroles = [\"trader\"]\n");
    let apply =
        |flags: &[&str]| run(sicil(["apply", "--json", "--data"]).arg(folder.data()).arg(&file).args(flags));
    let (code, out, _) = apply(&[]);
    assert!(code != 0 && out.contains("ApprovalNeeded"), "{out}");
    let (code, out, err) = apply(&["--propose", "--note", "a new trader"]);
    assert_eq!(code, 0, "{out}{err}");
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(line["result"], "proposed");
    executed(&two, "ledger", &format!("approve {}", line["seq"]));
    let (code, out, _) = apply(&["--plan"]);
    assert!(code == 0 && out.contains("\"unchanged\""), "{out}");
    assert_eq!(node.stop().code(), Some(0));
}
