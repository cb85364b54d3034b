//! `show`, `state` and `totals`: nothing that is in the journal is invisible, and a snapshot changes no answer.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::program::{Folder, path, program, run};
use crate::world::{FEES, Plan, WORKFLOW, build};

fn shown(dir: &str, filter: &[&str]) -> Vec<Value> {
    let said = run(&[&["show", dir, "--json"], filter].concat());
    assert_eq!(said.code, 0, "{filter:?}: {}", said.err);
    said.lines()
}

fn seqs(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect()
}

#[test]
fn every_command_is_shown_with_who_when_and_what_followed() {
    let folder = Folder::new("show");
    let world = build(&folder.0, &Plan { snapshots: vec![20], conflicts: vec![(5, 2)], ..Plan::default() });
    let dir = path(&folder.0);
    let all = shown(dir, &[]);
    let last = world.last().1.0;
    assert_eq!(seqs(&all), (1..=last).collect::<Vec<_>>());
    assert_eq!(
        all.iter().map(|line| line["events"].as_array().unwrap().len() as u64).sum::<u64>(),
        world.events
    );
    let deposit = all.iter().find(|line| line["kind"] == "CreateTransfers").unwrap();
    assert_eq!((&deposit["session"], &deposit["actor"]), (&1.into(), &1.into()));
    assert_eq!(deposit["fields"]["transfers"][0]["amount"], 1_000_000_000);
    let (at, came): (u64, u64) = (
        deposit["time_ns"].as_str().unwrap().parse().unwrap(),
        deposit["gateway_in_ns"].as_str().unwrap().parse().unwrap(),
    );
    assert_eq!(at - came, 250_000);
    assert_eq!(deposit["time"].as_str().unwrap().get(..16), Some("2026-01-01T00:00"));
    let order = all.iter().find(|line| line["kind"] == "NewOrder").unwrap();
    assert_eq!(order["actor"], 2);
    assert_eq!(order["generation"], 1);
    // From the nearest snapshot on the same is shown as from the beginning.
    let late = (last - 5).to_string();
    assert_eq!(shown(dir, &["--from", &late]), all[last as usize - 6..]);
    assert_eq!(shown(dir, &["--from", "7", "--to", "9"]), all[6..9]);
    let text = run(&["show", dir]);
    assert_eq!(text.code, 0);
    let (commands, events): (Vec<&str>, Vec<&str>) =
        text.out.lines().partition(|line| !line.starts_with(' '));
    assert_eq!((commands.len() as u64, events.len() as u64), (last, world.events));
}

#[test]
fn filters_find_exactly_what_they_mean() {
    let folder = Folder::new("filter");
    build(&folder.0, &Plan::default());
    let dir = path(&folder.0);
    let all = shown(dir, &[]);
    let expect = |filter: &[&str], means: &dyn Fn(&Value) -> bool| {
        let expected: Vec<u64> =
            all.iter().filter(|line| means(line)).map(|line| line["seq"].as_u64().unwrap()).collect();
        assert!(!expected.is_empty() && expected.len() < all.len(), "{filter:?} tests nothing");
        assert_eq!(seqs(&shown(dir, filter)), expected, "{filter:?}");
    };
    let has =
        |line: &Value, means: &dyn Fn(&Value) -> bool| line["events"].as_array().unwrap().iter().any(means);
    expect(&["--outcome", "refused"], &|line| line["outcome"] == "refused" && line["reason"].is_string());
    expect(&["--outcome", "repeated"], &|line| line["outcome"] == "repeated");
    expect(&["--kind", "CancelOrder"], &|line| line["kind"] == "CancelOrder");
    expect(&["--kind", "Settled"], &|line| has(line, &|event| event["kind"] == "Settled"));
    expect(&["--correlation", &WORKFLOW.to_string()], &|line| line["correlation"] == WORKFLOW.to_string());
    expect(&["--correlation", &format!("{WORKFLOW:#x}")], &|line| !line["correlation"].is_null());
    expect(&["--session", "17"], &|line| {
        line["session"] == 17
            || has(line, &|event| event["output"]["session"] == 17 || event["fields"]["session"] == 17)
            || line["fields"]["session"] == 17
    });
    expect(&["--client", "2"], &|line| {
        let rows = line["fields"]["accounts"].as_array();
        let owns = rows.is_some_and(|rows| rows.iter().any(|row| row["owner"] == 2));
        owns || line.to_string().contains("\"client\":2") || {
            let names = |event: &Value| {
                event["fields"]["buyer"] == 2
                    || event["fields"]["seller"] == 2
                    || event["fields"]["definition"]["clients"] == Value::from(vec![2])
            };
            has(line, &names)
        }
    });
    let trade = all.iter().find(|line| has(line, &|event| event["kind"] == "Settled")).unwrap();
    let settled =
        trade["events"].as_array().unwrap().iter().find(|event| event["kind"] == "Settled").unwrap();
    let maker = settled["fields"]["maker_order"].as_u64().unwrap();
    expect(&["--order", &maker.to_string()], &|line| {
        let names = |event: &Value| {
            ["order", "maker_order", "taker_order"].iter().any(|name| event["fields"][*name] == maker)
        };
        has(line, &names)
    });
    // Every settlement pays a fee, and moves client 1's money if client 1 is in it.
    let settles = |line: &Value| has(line, &|event| event["kind"] == "Settled");
    let fees = FEES.0.to_string();
    let of_fees = seqs(&shown(dir, &["--account", &fees, "--kind", "Settled"]));
    assert_eq!(of_fees, seqs(&all.iter().filter(|line| settles(line)).cloned().collect::<Vec<_>>()));
    expect(&["--account", "101"], &|line| {
        let moves = |event: &Value| {
            event["fields"]["account"] == 101
                || event["fields"]["buyer"] == 1
                || event["fields"]["seller"] == 1
        };
        let names = |list: &str, fields: &[&str]| {
            let rows = line["fields"][list].as_array();
            rows.is_some_and(|rows| rows.iter().any(|row| fields.iter().any(|field| row[field] == 101)))
        };
        names("accounts", &["id"])
            || names("transfers", &["debit_account", "credit_account"])
            || has(line, &moves)
    });
}

/// Sums of accounts as `state` shows them, by ledger and what `part` says.
fn summed(state: &Value, part: impl Fn(&Value) -> String) -> BTreeMap<(String, String), [u128; 3]> {
    let mut sums = BTreeMap::new();
    for account in state["accounts"].as_array().unwrap() {
        let sum: &mut [u128; 3] = sums.entry((account["asset"].to_string(), part(account))).or_default();
        let [debits, credits] = ["debits", "credits"].map(|of| account[of].as_u64().unwrap());
        *sum = [sum[0] + 1, sum[1] + u128::from(debits), sum[2] + u128::from(credits)];
    }
    sums
}

#[test]
fn totals_by_any_slice_are_those_of_the_accounts_and_the_engines() {
    let folder = Folder::new("totals");
    let world = build(&folder.0, &Plan { snapshots: vec![20], ..Plan::default() });
    let dir = path(&folder.0);
    for at in [world.last().1.0 / 2, world.last().1.0].map(|at| at.to_string()) {
        let state = run(&["state", dir, "--at", &at, "--json"]).json();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let slices: [(&[&str], &[&str]); 3] = [
            (&[], &["code", "class"]),
            (&["--by", "owner"], &["owner"]),
            (&["--by", "class,code"], &["class", "code"]),
        ];
        for (by, parts) in slices {
            let said = run(&[&["totals", dir, "--at", &at, "--json"], by].concat());
            assert_eq!(said.code, 0, "{}", said.err);
            let said = said.json();
            assert_eq!((&said["seq"], &said["state_hash"]), (&state["seq"], &state["state_hash"]));
            assert_eq!(said["agrees_with_the_engine"], true);
            let found = said["totals"].as_array().unwrap().iter().map(|line| {
                let key = parts.iter().map(|part| text(&line[*part])).collect::<Vec<_>>().join(" ");
                let sums = ["accounts", "debits_posted", "credits_posted"]
                    .map(|of| line[of].as_u64().unwrap().into());
                ((line["ledger"].to_string(), key), sums)
            });
            let name = |part: &str| if part == "owner" { "client" } else { part }.to_owned();
            let key = |account: &Value| {
                parts.iter().map(|part| text(&account[name(part)])).collect::<Vec<_>>().join(" ")
            };
            assert_eq!(found.collect::<BTreeMap<_, _>>(), summed(&state, key), "by {by:?} after {at}");
        }
    }
    let lines = run(&["totals", dir, "--by", "owner,class"]);
    assert_eq!(lines.code, 0);
    assert!(
        lines.out.lines().all(|line| line.starts_with("ledger ") && line.contains(" class ")),
        "{}",
        lines.out
    );
    assert_eq!(run(&["totals", dir, "--by", "colour"]).code, 2);
    assert_eq!(run(&["totals", dir, "--at", "99999999"]).code, 1);
}

#[test]
fn a_state_is_the_same_from_a_snapshot_and_from_the_beginning() {
    let folder = Folder::new("state");
    let world =
        build(&folder.0, &Plan { snapshots: vec![15, 30], conflicts: vec![(16, 2)], ..Plan::default() });
    let dir = path(&folder.0);
    for (_, seq, _, hash) in world.history.iter().step_by(3).chain(world.history.last()) {
        let at = seq.to_string();
        let said = run(&["state", dir, "--at", &at, "--json"]);
        assert_eq!(said.code, 0, "{}", said.err);
        let state = said.json();
        assert_eq!(state["state_hash"], hash.to_string(), "after {seq}");
        assert_eq!(state, run(&["state", dir, "--at", &at, "--json", "--from-genesis"]).json());
    }
    // Within an entry: the state after that very command, and the effects up to the entry before.
    let (_, seq, ..) = world.history[world.history.len() - 2];
    let said = run(&["state", dir, "--at", &(seq.0 + 1).to_string(), "--json"]).json();
    assert_eq!(said["seq"], seq.0 + 1);
    assert!(said["effect_seq"] == seq.0 || said["effect_seq"] == seq.0 + 1);
    let state = run(&["state", dir, "--json"]).json();
    let accounts: Vec<_> = world.engine.accounts().collect();
    assert_eq!(state["accounts"].as_array().unwrap().len(), accounts.len());
    for (shown, account) in state["accounts"].as_array().unwrap().iter().zip(accounts) {
        assert_eq!(shown["account"], account.account.0 as u64);
        let balance = account.credits.0 as i64 - account.debits.0 as i64;
        let shown_balance = shown["balance"].as_i64().or_else(|| shown["balance"].as_str()?.parse().ok());
        assert_eq!(shown_balance, Some(balance));
        assert_eq!(shown["held"], account.held.0 as u64);
    }
    let levels: usize = world.engine.depth(crate::world::MARKET, protocol::Side::Buy).count();
    assert_eq!(state["markets"][0]["bids"].as_array().unwrap().len(), levels);
    assert_eq!(state["sessions"].as_array().unwrap().len(), 3);
    let text = run(&["state", dir]).out;
    assert!(text.contains("BTC-TRY") && text.contains("account    101 Client"), "{text}");
    assert_eq!(run(&["state", dir, "--at", "99999999"]).code, 1);
}

#[test]
fn a_reader_who_has_read_enough_is_no_failure() {
    let folder = Folder::new("pipe");
    build(&folder.0, &Plan { entries: 150, ..Plan::default() });
    for args in [&["show"][..], &["show", "--json"], &["state"], &["verify"]] {
        let mut child = program()
            .arg(args[0])
            .arg(&folder.0)
            .args(&args[1..])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), err.as_str()), (Some(0), ""), "{args:?}");
    }
}
