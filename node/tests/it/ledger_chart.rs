//! The chart of accounts, over TCP against the process: set by command line and by file, proposed and approved, and shown.

use client::{Client, Freshness};
use protocol::{AccountKind, AssetId, NormalSide};

use crate::folder::Folder;
use crate::ledger::config;
use crate::ledger_settings::{Cli, address, administrator, define_administrator};
use crate::process::{Node, run, sicil};

const FILE: &str = "
[[account_code]]
code = 1000
kind = \"nostro\"
classes = [\"external\"]

[[account_code]]
code = 2500
asset = \"BTC\"
kind = \"crypto\"
normal_side = \"credit\"
name = \"coins\"

[[account_code]]
code = 9999
kind = \"none\"
";

#[test]
fn a_chart_is_set_shown_and_approved() {
    let folder = Folder::new("ledger-chart");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let cli = Cli::new(&folder, &node, 201, 77);
    let refused = |words: &str, what: &str| {
        let (code, out, err) = cli.run_in("ledger", words);
        assert!(code != 0 && (out + &err).contains(what), "{words}: {code}");
    };
    assert!(cli.json("chart").is_empty());
    assert_eq!(cli.json("open --id 70001 --ledger 4 --code 10 --class house --never-overdrawn").len(), 1);
    refused("set-account-code --code 2000 --kind card", "card may be either");
    refused("set-account-code --code 2000 --kind checking --normal-side debit", "FieldOutOfRange");
    // The demo's clients have 2000.
    refused("set-account-code --code 2000 --kind own_funds", "AccountCodeInUse");
    let set = "set-account-code --code 2000 --kind checking --class client --name deposits";
    assert_eq!(cli.json(set)[0]["result"], "Executed");
    assert_eq!(cli.json(set)[0]["result"], "Exists");
    let chart = cli.json("chart");
    assert_eq!(chart.len(), 1);
    let words = ["kind", "normal_side", "classes", "name"].map(|field| chart[0][field].as_str().unwrap());
    assert_eq!(words, ["checking", "credit", "client", "deposits"]);

    refused("open --id 70002 --ledger 4 --code 10 --class house", "CodeNotFound");
    refused("open --id 70002 --ledger 4 --code 2000 --class house", "CodeExcludesClass");
    refused("update --account 70001 --code 11", "AccountCodeRefused");
    assert_eq!(cli.json("update --account 70001 --user-data-64 1")[0]["result"], "Executed");
    assert_eq!(cli.json("open --id 70003 --ledger 4 --code 2000 --owner 9").len(), 1);

    let file = folder.write("chart.toml", FILE);
    let apply = |how: &[&str]| {
        let (code, out, err) = run(sicil(["apply", "--data"]).arg(folder.data()).args(how).arg(&file));
        assert_eq!(code, 0, "{out}{err}");
        out.lines().map(|line| line.split(" at seq").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let codes = ["account code 1000", "account code 2500 in BTC", "account code 9999"];
    let lines = |first: &str| {
        codes.map(|code| format!("{:14}{code}", if code == codes[2] { "unchanged" } else { first }))
    };
    assert_eq!(apply(&["--plan"]), lines("would create"));
    assert_eq!(apply(&[]), lines("created"));
    assert_eq!(apply(&[]), lines("unchanged"));
    assert_eq!((cli.json("chart --ledger 1").len(), cli.json("chart --ledger 4").len()), (3, 2));

    let wish = &cli.json("set-account-code --code 2500 --ledger 1 --kind none --propose")[0];
    let other = Cli::new(&folder, &node, 202, 78);
    let proposal = wish["seq"].as_u64().unwrap();
    let difference = other.json(&format!("proposal {proposal}"));
    let kind = difference.iter().find(|line| line["field"] == "kind").unwrap();
    assert_eq!((&kind["in_force"], &kind["proposed"]), (&"Crypto".into(), &"none".into()));
    assert_eq!(other.json(&format!("approve {proposal}"))[0]["result"], "Executed");

    let mut client = Client::connect(administrator(vec![address(&node)])).unwrap();
    let page = client.account_codes((0, AssetId(0)), 1, Freshness::LINEARIZABLE).unwrap();
    assert_eq!((page.codes.len(), page.next), (1, Some((2_000, AssetId(0)))));
    assert_eq!((page.codes[0].kind, page.codes[0].classes), (Some(AccountKind::Nostro), 8));
    let page = client.account_codes(page.next.unwrap(), 1, Freshness::ANY).unwrap();
    assert_eq!((page.codes[0].normal_side, page.next), (Some(NormalSide::Credit), None));
    // It is the bank's: who pays for clients sees none of it.
    assert!(Cli::new(&folder, &node, 203, 79).json("chart").is_empty());

    refused("set-limits --correction-window-ms 0", "correction_window_ms");
    assert_eq!(cli.json("set-limits --corrected-transfers-max 5")[0]["result"], "Executed");
    drop(client);
    assert_eq!(node.stop().code(), Some(0));
}
