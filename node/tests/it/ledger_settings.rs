//! What is set in the ledger, over TCP against the process: overdraft lines, codes of accounts, the calendar, monitors.

use client::{
    AsyncClient, At, AttemptPage, Client, ClientFault, Credentials, Freshness, Options, TotalKey, TransferIds,
};
use protocol::binary::{BusinessRejectReason, TotalState};
use protocol::rows::{AccountRow, TransferRow, account_flags};
use protocol::*;
use serde_json::Value;

use crate::folder::Folder;
use crate::ledger::{account, block_on, config, options, transfer};
use crate::process::{Node, run, sicil};

const SESSION: SessionId = SessionId(201);
const PAYER: u128 = 70_001;
const PAID: u128 = 70_002;

fn key() -> sign::PrivateKey {
    sign::PrivateKey::from_seed(&[77; 32])
}

fn second_key() -> sign::PrivateKey {
    sign::PrivateKey::from_seed(&[78; 32])
}

fn payer_key() -> sign::PrivateKey {
    sign::PrivateKey::from_seed(&[79; 32])
}

/// Sessions of two actors who may set everything, beside the demo's cashier; and of one who pays for client 9.
pub(crate) fn define_administrator(folder: &Folder, data: &std::path::Path) {
    let of = |id: u32, key: &sign::PrivateKey| {
        format!(
            "[[actor]]\nid = {id}\nroles = [\"admin\", \"cashier\"]\npublic_key = \"{}\"\n\
             [[session]]\nid = {id}\nactor = {id}\nprotocol = \"request\"\n",
            key.public()
        )
    };
    let payer = of(203, &payer_key()).replace("\"admin\", \"cashier\"", "\"payer\"") + "clients = [9]\n";
    let definitions = of(201, &key()) + &of(202, &second_key()) + &payer;
    let file = folder.write("administrator.toml", &definitions);
    let (code, _, err) = run(sicil(["apply", "--data"]).arg(data).arg(file));
    assert_eq!(code, 0, "{err}");
}

pub(crate) fn administrator(nodes: Vec<String>) -> Options {
    Options { patience_ms: 120_000, ..Options::new(nodes, Credentials { session: SESSION, key: key() }) }
}

pub(crate) fn address(node: &Node) -> String {
    node.ready["binary"].as_str().unwrap().to_owned()
}

/// The command line, as a session whose key's seed is a byte again and again.
pub(crate) struct Cli {
    address: String,
    session: String,
    key: std::path::PathBuf,
}

impl Cli {
    pub(crate) fn new(folder: &Folder, node: &Node, session: u32, byte: u8) -> Self {
        let digits: String = [byte; 32].iter().map(|byte| format!("{byte:02x}")).collect();
        let key = folder.write(&format!("{byte}.key"), &digits);
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Self { address: address(node), session: session.to_string(), key }
    }

    fn run(&self, words: &str) -> (i32, String, String) {
        self.run_in("ledger", words)
    }

    /// `sicil ledger`, or `sicil exchange`.
    pub(crate) fn run_in(&self, group: &str, words: &str) -> (i32, String, String) {
        let access = ["--addr", &self.address, "--session", &self.session, "--key"];
        run(sicil([group]).args(words.split_whitespace()).args(access).arg(&self.key))
    }

    pub(crate) fn json(&self, words: &str) -> Vec<Value> {
        let (code, out, err) = self.run(&format!("{words} --json"));
        assert_eq!(code, 0, "{words}: {out}{err}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A client's account that may not be overdrawn, unless it is said.
fn bounded(id: u128) -> AccountRow {
    AccountRow { flags: account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS, ..account(id) }
}

/// The engine's refusal, the field that is meant, and what is expected there.
fn refused<T: std::fmt::Debug>(result: Result<T, ClientFault>) -> (RejectReason, String, &'static str) {
    match result {
        Err(ClientFault::Rejected { refusal: Some(refusal), text, expected, .. }) => {
            (refusal, text, expected)
        }
        other => panic!("{other:?}"),
    }
}

fn pay(client: &mut Client, ids: &mut TransferIds, amount: u128, value_date: u32) -> Option<LedgerRefusal> {
    let row = TransferRow { value_date, ..transfer(ids.next(client.now()), PAYER, PAID, amount) };
    client.create_transfers(&[row]).unwrap().exceptions.first().map(|row| row.refusal)
}

fn set_overdraft(agreed: u128) -> commands::SetOverdraft {
    commands::SetOverdraft {
        account: AccountId(PAYER),
        agreed: Amount(agreed),
        temporary: Amount(0),
        temporary_until_ns: 0,
        interest_code: 3,
    }
}

fn set_calendar() -> commands::SetCalendar {
    commands::SetCalendar {
        business_date: 20_787,
        weekend_days: 0x60,
        holidays: vec![20_788, 20_900],
        value_back_days_max: 2,
        value_ahead_days_max: 3,
        utc_offset_s: 10_800,
        behind_utc: false,
    }
}

fn below_zero() -> commands::DefineMonitor {
    commands::DefineMonitor {
        monitor: MonitorId(7),
        account: AccountId(PAYER),
        ledger: AssetId(0),
        code: 0,
        class: None,
        field: MonitorField::Balance,
        operator: MonitorOperator::Below,
        value: Amount(0),
        negative: false,
    }
}

#[test]
fn what_is_set_holds_and_can_be_read() {
    let folder = Folder::new("ledger-settings");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let mut client = Client::connect(administrator(vec![address(&node)])).unwrap();
    let mut cashier = Client::connect(options(&node)).unwrap();
    let mut ids = TransferIds::new(9);
    client.create_accounts(&[bounded(PAYER), account(PAID)]).unwrap();
    assert_eq!(pay(&mut cashier, &mut ids, 5, 0), Some(LedgerRefusal::ExceedsCredits));

    // Overdrafts.
    assert_eq!(refused(cashier.execute(set_overdraft(500))).0, RejectReason::NotEntitled);
    let executed = client.execute(set_overdraft(500)).unwrap();
    assert_eq!(executed.attempts, 1);
    assert_eq!(refused(client.execute(set_overdraft(500))).0, RejectReason::Exists);
    let wrong = commands::SetOverdraft { temporary: Amount(1), temporary_until_ns: 5, ..set_overdraft(500) };
    let (refusal, field, expected) = refused(client.execute(wrong));
    assert_eq!((refusal, field.as_str()), (RejectReason::FieldOutOfRange, "temporary_until_ns"));
    assert_eq!(expected, "Unix nanoseconds, in the future; 0 where `temporary` is.");
    let asked = [AccountId(PAID), AccountId(1), AccountId(PAYER)];
    let (seq, found) = client.lookup_overdrafts(&asked, Freshness::LINEARIZABLE).unwrap();
    let lines: Vec<_> =
        found.iter().map(|line| (line.account.0, line.agreed.0, line.interest_code)).collect();
    assert_eq!(lines, [(PAID, 0, 0), (PAYER, 500, 3)]);
    assert!(seq >= executed.seq);

    // A monitor says when the account goes below zero, and the cashier may have that.
    cashier.execute(below_zero()).unwrap();
    assert_eq!(
        refused(cashier.execute(commands::RemoveMonitor { monitor: MonitorId(8) })).0,
        RejectReason::UnknownMonitor
    );
    let page = cashier.monitors(MonitorId(0), 10, Freshness::ANY).unwrap();
    assert_eq!((page.monitors.len(), page.next), (1, None));
    assert_eq!((page.monitors[0].monitor, page.monitors[0].operator), (MonitorId(7), MonitorOperator::Below));
    let before = client.triggers((executed.seq, 0), 10, Freshness::ANY).unwrap();
    assert_eq!((before.triggers.len(), before.next), (0, None));
    assert_eq!(pay(&mut cashier, &mut ids, 500, 0), None);
    assert_eq!(pay(&mut cashier, &mut ids, 1, 0), Some(LedgerRefusal::ExceedsCredits));
    let triggered = client.triggers(before.goes_on(), 10, Freshness::ANY).unwrap();
    let said: Vec<_> = triggered
        .triggers
        .iter()
        .map(|said| (said.monitor, said.account, said.value, said.negative))
        .collect();
    assert_eq!(said, [(MonitorId(7), AccountId(PAYER), Amount(500), true)]);
    assert_eq!(client.triggers(triggered.goes_on(), 10, Freshness::ANY).unwrap().triggers, []);
    cashier.execute(commands::RemoveMonitor { monitor: MonitorId(7) }).unwrap();
    assert_eq!(cashier.monitors(MonitorId(0), 10, Freshness::ANY).unwrap().monitors, []);

    // Codes.
    let update = commands::UpdateAccount {
        account: AccountId(PAID),
        code: 77,
        user_data_128: 1,
        user_data_64: 2,
        user_data_32: 3,
    };
    cashier.execute(update.clone()).unwrap();
    let (_, found) = client.lookup_accounts(&[AccountId(PAID)], Freshness::LINEARIZABLE).unwrap();
    assert_eq!((found[0].account.code, found[0].account.user_data_32), (77, 3));
    let (refusal, field, expected) = refused(cashier.execute(commands::UpdateAccount { code: 0, ..update }));
    assert_eq!((refusal, field.as_str()), (RejectReason::FieldOutOfRange, "code"));
    assert!(expected.contains("not 0"), "{expected}");

    drop((client, cashier));
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn the_calendar_is_set_and_days_are_closed_by_futures() {
    let folder = Folder::new("ledger-calendar");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let mut cashier = Client::connect(options(&node)).unwrap();
    let mut ids = TransferIds::new(10);
    cashier.create_accounts(&[account(PAYER), account(PAID)]).unwrap();
    let client = AsyncClient::start(administrator(vec![address(&node)])).unwrap();
    assert_eq!(block_on(client.calendar(Freshness::ANY)).unwrap().1, None);
    assert_eq!(pay(&mut cashier, &mut ids, 0, 20_787), Some(LedgerRefusal::ValueDateOutOfRange));
    block_on(client.execute(set_calendar())).unwrap();
    assert_eq!(block_on(client.calendar(Freshness::LINEARIZABLE)).unwrap().1, Some(set_calendar()));
    let close = |next| commands::CloseDay { business_date: 20_787, next };
    // 2026-12-01 is a holiday.
    let (refusal, field, expected) = refused(block_on(client.execute(close(20_788))));
    assert_eq!((refusal, field.as_str()), (RejectReason::FieldOutOfRange, "next"));
    assert_eq!(expected, "The day that is booked on then: later, and a business day.");
    block_on(client.execute(close(20_789))).unwrap();
    assert_eq!(refused(block_on(client.execute(close(20_789)))).0, RejectReason::Exists);
    assert_eq!(block_on(client.calendar(Freshness::ANY)).unwrap().1.unwrap().business_date, 20_789);
    drop((client, cashier));
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_payer_sees_what_is_set_of_its_clients_accounts_and_nothing_else() {
    let folder = Folder::new("ledger-settings-payer");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let mut client = Client::connect(administrator(vec![address(&node)])).unwrap();
    let payer = Credentials { session: SessionId(203), key: payer_key() };
    let mut payer = Client::connect(Options::new(vec![address(&node)], payer)).unwrap();
    let class = u16::from(AccountClass::Client.code());
    let own = AccountRow { owner: ClientId(9), class, ..bounded(PAID) };
    client.create_accounts(&[bounded(PAYER), own]).unwrap();
    let of_own = commands::DefineMonitor { monitor: MonitorId(8), account: AccountId(PAID), ..below_zero() };
    let always = |monitor| commands::DefineMonitor { operator: MonitorOperator::AtMost, ..monitor };
    client.execute(always(below_zero())).unwrap();
    client.execute(always(of_own)).unwrap();
    let wish = client.execute(propose(set_overdraft(5))).unwrap();
    let both = [AccountId(PAYER), AccountId(PAID)];
    let sees = |client: &mut Client| {
        let (_, lines) = client.lookup_overdrafts(&both, Freshness::LINEARIZABLE).unwrap();
        let monitors = client.monitors(MonitorId(0), 10, Freshness::LINEARIZABLE).unwrap().monitors;
        let triggers = client.triggers((Seq(0), 0), 10, Freshness::LINEARIZABLE).unwrap().triggers;
        let proposals = client.proposals(ProposalId(0), 10, Freshness::LINEARIZABLE).unwrap().proposals;
        (
            lines.iter().map(|line| line.account.0).collect::<Vec<_>>(),
            monitors.iter().map(|monitor| monitor.monitor.0).collect::<Vec<_>>(),
            triggers.iter().map(|trigger| trigger.monitor.0).collect::<Vec<_>>(),
            proposals.len(),
        )
    };
    assert_eq!(sees(&mut client), (vec![PAYER, PAID], vec![7, 8], vec![7, 8], 1));
    assert_eq!(sees(&mut payer), (vec![PAID], vec![8], vec![8], 0));
    let unseen = payer.proposal(ProposalId(wish.seq.0), Freshness::ANY);
    assert!(
        matches!(unseen, Err(ClientFault::Rejected { reason: BusinessRejectReason::UnknownProposal, .. })),
        "{unseen:?}"
    );
    assert_eq!(refused(payer.execute(below_zero())).0, RejectReason::NotEntitled);
    drop((client, payer));
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_session_that_comes_back_goes_on_behind_its_commands() {
    let folder = Folder::new("ledger-command-numbers");
    let (data, config) = (folder.data(), config(&folder, 0));
    let node = Node::start(&data, &config);
    define_administrator(&folder, &data);
    let mut first = Client::connect(administrator(vec![address(&node)])).unwrap();
    let mut second = Client::connect(administrator(vec![address(&node)])).unwrap();
    first.create_accounts(&[bounded(PAYER)]).unwrap();
    // Both begin with the same number, and neither takes the other's answer for its own.
    for n in 1..=20 {
        let client = if n % 3 == 0 { &mut first } else { &mut second };
        client.execute(set_overdraft(n)).unwrap();
    }
    drop((first, second));
    assert_eq!(node.stop().code(), Some(0));
    let node = Node::start(&data, &config);
    let mut client = Client::connect(administrator(vec![address(&node)])).unwrap();
    assert_eq!(client.execute(set_overdraft(21)).unwrap().attempts, 1);
    let (_, found) = client.lookup_overdrafts(&[AccountId(PAYER)], Freshness::ANY).unwrap();
    assert_eq!(found[0].agreed, Amount(21));
    drop(client);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn the_command_line_sets_and_shows() {
    let folder = Folder::new("ledger-settings-cli");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let cli = Cli::new(&folder, &node, 201, 77);
    let (ledger, json) = (|words: &str| cli.run(words), |words: &str| cli.json(words));
    assert_eq!(json("open --id 70001 --ledger 4 --code 10 --class house --never-overdrawn").len(), 1);
    assert_eq!(json("open --id 70002 --ledger 4 --code 10 --class house").len(), 1);

    let line = &json("set-overdraft --account 70001 --agreed 500 --interest-code 3")[0];
    assert_eq!((line["command"].as_str(), line["result"].as_str()), (Some("SetOverdraft"), Some("Executed")));
    let line = &json("set-overdraft --account 70001 --agreed 500 --interest-code 3")[0];
    assert_eq!((line["result"].as_str(), line["seq"].as_u64()), (Some("Exists"), None));
    assert_eq!(json("overdrafts 70001")[0]["agreed"], "500");
    let past = "set-overdraft --account 70001 --temporary 5 --until 2020-01-01T00:00:00Z";
    let (code, out, err) = ledger(past);
    let cells: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0], ["command", "result", "seq", "field", "expected"]);
    assert_eq!(cells[1][..4], ["SetOverdraft", "FieldOutOfRange", "-", "temporary_until_ns"]);
    assert!(
        code == 1 && out.contains("in the future") && err.contains("1 of 1 items were refused"),
        "{out}{err}"
    );

    json("define-monitor --id 7 --account 70001 --field balance --operator below --value -100");
    json(
        "define-monitor --id 8 --ledger 4 --code 10 --class house --field inflow --operator atleast --value 9000",
    );
    json("transfer --debit 70001 --credit 70002 --amount 200 --ledger 4");
    let monitors = json("monitors");
    assert_eq!(
        (monitors.len(), &monitors[0]["value"], &monitors[1]["class"]),
        (2, &"-100".into(), &"house".into())
    );
    assert_eq!(json("monitors --account 70001").len(), 1);
    let said = json("triggers");
    assert_eq!((said.len(), &said[0]["monitor"], &said[0]["value"]), (1, &7.into(), &"-200".into()));
    let behind = said[0]["seq"].as_u64().unwrap() + 1;
    assert!(json(&format!("triggers --from-seq {behind}")).is_empty());
    json("remove-monitor 8");
    let (code, out, _) = ledger("remove-monitor 8");
    assert!(code == 1 && out.contains("UnknownMonitor"), "{out}");
    let (code, _, err) =
        ledger("define-monitor --id 9 --account 70001 --field luck --operator below --value 1");
    assert!(code == 2 && err.contains("--field \"luck\" is not one of debitsposted"), "{err}");

    json("update --account 70002 --code 11");
    json("update --account 70002 --user-data-64 5");
    assert_eq!(json("accounts 70002")[0]["code"], 11);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn the_command_line_keeps_the_calendar() {
    let folder = Folder::new("ledger-calendar-cli");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let cli = Cli::new(&folder, &node, 201, 77);
    let (ledger, json) = (|words: &str| cli.run(words), |words: &str| cli.json(words));
    let (code, _, err) = ledger("calendar");
    assert!(code == 1 && err.contains("1 of 1 do not exist"), "{err}");
    json(
        "set-calendar --business-date 2026-11-30 --weekend sat,sun --holiday 2026-12-25 --holiday 2026-12-01 --utc-offset +03:00",
    );
    json("set-calendar --value-back-days 5");
    let line = &json("calendar")[0];
    let expected = [
        ("business_date", "2026-11-30"),
        ("weekend", "sat,sun"),
        ("holidays", "2026-12-01,2026-12-25"),
        ("utc_offset", "+03:00"),
    ];
    expected.iter().for_each(|(field, value)| assert_eq!(line[field], *value, "{line}"));
    assert_eq!((&line["value_back_days"], &line["value_ahead_days"]), (&5.into(), &0.into()));
    let (code, out, _) = ledger("close-day --date 2026-11-30 --next 2026-12-01");
    assert!(code == 1 && out.contains("a business day"), "{out}");
    json("close-day --date 2026-11-30 --next 2026-12-02");
    assert_eq!(json("calendar")[0]["business_date"], "2026-12-02");
    let (code, _, err) = ledger("close-day --date yesterday --next 2026-12-03");
    assert!(code == 2 && err.contains("yesterday"), "{err}");
    assert_eq!(node.stop().code(), Some(0));
}

fn propose(command: impl Into<Command>) -> commands::Propose {
    let command = ProposedCommand::new(&command.into());
    commands::Propose { command, expires_in_s: 60, note: Text::truncated("asked for") }
}

#[test]
fn what_needs_approval_is_proposed_by_one_and_approved_by_another() {
    let folder = Folder::new("ledger-approvals");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let mut first = Client::connect(administrator(vec![address(&node)])).unwrap();
    let second = Credentials { session: SessionId(202), key: second_key() };
    let mut second = Client::connect(Options::new(vec![address(&node)], second)).unwrap();
    first.create_accounts(&[bounded(PAYER)]).unwrap();
    first.execute(set_overdraft(1)).unwrap();
    first.execute(commands::SetApprovals { kinds: vec![commands::SetOverdraft::KIND] }).unwrap();
    assert_eq!(refused(first.execute(set_overdraft(500))).0, RejectReason::ApprovalNeeded);
    let id = ProposalId(first.execute(propose(set_overdraft(500))).unwrap().seq.0);
    let open = second.proposals(ProposalId(0), 10, Freshness::LINEARIZABLE).unwrap();
    assert_eq!((open.proposals.len(), open.next), (1, None));
    assert_eq!((open.proposals[0].proposal, open.proposals[0].kind), (id, commands::SetOverdraft::KIND));
    let seen = second.proposal(id, Freshness::LINEARIZABLE).unwrap();
    assert_eq!((seen.actor, seen.note.as_str()), (ActorId(201), "asked for"));
    assert_eq!((seen.command, seen.before), (Some(set_overdraft(500).into()), Some(set_overdraft(1).into())));
    assert_eq!(refused(first.execute(commands::Approve { proposal: id })).0, RejectReason::OwnProposal);
    second.execute(commands::Approve { proposal: id }).unwrap();
    let (_, found) = first.lookup_overdrafts(&[AccountId(PAYER)], Freshness::LINEARIZABLE).unwrap();
    assert_eq!(found[0].agreed, Amount(500));
    let gone = second.proposal(id, Freshness::LINEARIZABLE);
    assert!(
        matches!(gone, Err(ClientFault::Rejected { reason: BusinessRejectReason::UnknownProposal, .. })),
        "{gone:?}"
    );
    // One that no message carries is told by its kind.
    let mut asset = commands::DefineAsset { asset: AssetId(90), code: Text::truncated("X"), scale: 2 };
    assert!(client::Request::command(propose(asset.clone())).is_none());
    asset.scale = 3;
    assert!(matches!(first.execute(asset), Err(ClientFault::Command)));
    let monitor = propose(below_zero());
    let id = ProposalId(first.execute(monitor).unwrap().seq.0);
    let reject = commands::Reject { proposal: id, note: Text::truncated("no") };
    second.execute(reject).unwrap();
    assert_eq!(second.proposals(ProposalId(0), 10, Freshness::LINEARIZABLE).unwrap().proposals, []);
    drop((first, second));
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn the_command_line_proposes_shows_the_difference_and_approves() {
    let folder = Folder::new("ledger-approvals-cli");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let who = [(201, 77), (202, 78)].map(|(session, byte)| Cli::new(&folder, &node, session, byte));
    let ledger = |at: usize, words: &str| who[at].run(words);
    let json = |at: usize, words: &str| who[at].json(words);
    json(0, "open --id 70001 --ledger 4 --code 10 --class house --never-overdrawn");
    json(0, "set-approvals SetOverdraft CloseDay");
    let (code, _, err) = ledger(0, "set-approvals Everything");
    assert!(code == 2 && err.contains("Everything"), "{err}");
    let wish = "set-overdraft --account 70001 --agreed 500";
    let (code, out, _) = ledger(0, wish);
    assert!(code == 1 && out.contains("ApprovalNeeded"), "{out}");
    let id = json(0, &format!("{wish} --propose --note asked"))[0]["seq"].as_u64().unwrap();
    let open = json(1, "proposals");
    assert_eq!(
        (open.len(), &open[0]["proposal"], &open[0]["command"]),
        (1, &id.into(), &"SetOverdraft".into())
    );
    let difference = json(1, &format!("proposal {id}"));
    let differs: Vec<_> = difference
        .iter()
        .filter(|line| line["differs"] == true)
        .map(|line| [&line["field"], &line["in_force"], &line["proposed"]])
        .collect();
    assert_eq!(differs, [[&Value::from("agreed"), &"0".into(), &"500".into()]]);
    let (code, out, _) = ledger(0, &format!("approve {id}"));
    assert!(code == 1 && out.contains("OwnProposal"), "{out}");
    json(1, &format!("approve {id}"));
    assert_eq!(json(1, "overdrafts 70001")[0]["agreed"], "500");
    let (code, _, err) = ledger(1, &format!("proposal {id}"));
    assert!(code == 1 && err.contains("1 of 1 do not exist"), "{err}");
    let id = json(1, "set-overdraft --account 70001 --propose")[0]["seq"].as_u64().unwrap();
    json(1, &format!("reject {id} --note no"));
    assert!(json(0, "proposals").is_empty());
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_transfer_is_taken_back_by_two_and_balances_know_value_dates() {
    let folder = Folder::new("ledger-corrections-cli");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let who = [(201, 77), (202, 78)].map(|(session, byte)| Cli::new(&folder, &node, session, byte));
    let json = |at: usize, words: &str| who[at].json(words);
    json(0, "open --id 70001 --ledger 4 --code 10 --class house");
    json(0, "open --id 70002 --ledger 4 --code 10 --class house");
    json(0, "set-calendar --business-date 2026-11-30 --value-ahead-days 5");
    let moved = &json(0, "transfer --debit 70001 --credit 70002 --amount 200 --ledger 4")[0];
    let transfer = moved["id"].as_str().unwrap();
    let wish = format!("correct --transfer {transfer} --reason 3 --amount 50 --note wrong");
    let id = json(0, &wish)[0]["seq"].as_u64().unwrap();
    let rows = json(1, &format!("proposal {id}"));
    let row = |field: &str| rows.iter().find(|line| line["field"] == field).unwrap()["proposed"].clone();
    assert_eq!((row("reason"), row("transfers[0].debit_account")), ("3".into(), "70002".into()));
    assert_eq!((row("transfers[0].amount"), row("transfers[0].pending_id")), ("50".into(), transfer.into()));
    json(1, &format!("approve {id}"));
    let corrections = json(0, &format!("corrections {transfer}"));
    assert_eq!((corrections.len(), &corrections[0]["amount"]), (1, &"50".into()));
    assert_eq!(json(0, "balances 70002 --value-date 2026-11-30")[0]["debits_posted"], "50");
    assert_eq!(json(0, "balances 70002 --value-date 2026-11-29")[0]["debits_posted"], "0");
    // Before the correction was approved, nothing was known of it.
    let seq = corrections[0]["seq"].as_u64().unwrap();
    for (at, debits) in [(seq - 1, "0"), (seq, "50")] {
        let known = &json(0, &format!("balances 70002 --value-date 2026-11-30 --at {at}"))[0];
        let found = (known["seq"].as_u64(), &known["debits_posted"], &known["credits_posted"]);
        assert_eq!(found, (Some(at), &debits.into(), &"200".into()));
    }
    // What takes value later counts later.
    let mut client = Client::connect(administrator(vec![address(&node)])).unwrap();
    let mut ids = TransferIds::new(4);
    assert_eq!(pay(&mut client, &mut ids, 7, 20_789), None);
    for (day, credits) in [(20_788, 200), (20_789, 207)] {
        let found = client.value_balance(AccountId(PAID), day, At::Now, Freshness::LINEARIZABLE).unwrap();
        assert_eq!((found.credits_posted, found.business_date), (Amount(credits), 20_787), "{day}");
    }
    drop(client);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn the_command_line_exchanges_and_has_orders_stand() {
    let folder = Folder::new("ledger-orders-cli");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let cli = Cli::new(&folder, &node, 201, 77);
    let json = |words: &str| cli.json(words);
    for (id, asset, class) in
        [(1, 4, "house"), (2, 3, "house"), (3, 4, "liquidity"), (4, 3, "liquidity"), (5, 3, "fee")]
    {
        json(&format!("open --id 7000{id} --ledger {asset} --code 10 --class {class}"));
    }
    let quote = "quote --id 9 --sell-ledger 4 --buy-ledger 3 --rate 0.0243 --sell-liquidity 70003 --buy-liquidity 70004 --rounding 70005 --sell-amount-max 100000 --source fixing --valid-until";
    let (code, out, _) = cli.run(&format!("{quote} 2020-01-01T00:00:00Z"));
    assert!(code == 1 && out.contains("valid_until_ns"), "{out}");
    let mut client = Client::connect(administrator(vec![address(&node)])).unwrap();
    let tomorrow = UnixNanos(client.now().0 + 86_400_000_000_000);
    let (year, month, day) = calendar::date_of(tomorrow);
    json(&format!("{quote} {year:04}-{month:02}-{day:02}T00:00:00Z"));
    let exchange = "exchange --quote 9 --sell-account 70001 --buy-account 70002 --amount 1001";
    json(exchange);
    let open = json("quotes");
    assert_eq!((&open[0]["rate"], &open[0]["left"]), (&"0.0243".into(), &"98999".into()));
    // 1001 x 0.0243 = 24.3243.
    let sums = json("balances 70001 70002 70005");
    let found: Vec<_> = sums.iter().map(|line| [&line["debits_posted"], &line["credits_posted"]]).collect();
    let expected = [["1001", "0"], ["0", "24"], ["0", "1"]].map(|sums| sums.map(Value::from));
    assert_eq!(found, expected.each_ref().map(|[debits, credits]| [debits, credits]));
    // Each of its three transfers leads to its rate, the others' do not.
    let paid = json("transfers --account 70001")[0]["transfer"].as_str().unwrap().to_owned();
    let line = &json(&format!("exchanges {paid}"))[0];
    let found =
        ["quote", "rate", "source", "rounding_account", "sell_amount", "buy_amount"].map(|of| &line[of]);
    assert_eq!(found.map(|of| of.as_str().unwrap()), ["9", "0.0243", "fixing", "70005", "1001", "24"]);
    for account in [70_002, 70_005] {
        let leg = json(&format!("transfers --account {account}"))[0]["transfer"].as_str().unwrap().to_owned();
        assert_eq!(&json(&format!("exchanges {leg}"))[0], line);
    }
    let other = json("transfer --debit 70001 --credit 70003 --amount 1 --ledger 4")[0]["id"].clone();
    let (code, _, err) = cli.run(&format!("exchanges {}", other.as_str().unwrap()));
    assert!(code == 1 && err.contains("1 of 1 do not exist"), "{err}");
    let (code, out, _) = cli.run(&format!("{exchange} --buy-min 25"));
    assert!(code == 1 && out.contains("BuyAmountBelowMinimum"), "{out}");
    let order = format!(
        "define-standing-order --id 5 --debit 70001 --credit 70003 --amount 7 --ledger 4 --schedule monthly \
         --first-date {year:04}-{month:02}-{day:02} --at 23:59 --day-rule next --retry-days 3"
    );
    json(&order);
    assert_eq!(json(&order)[0]["result"], "Exists");
    let line = &json("standing-orders")[0];
    assert_eq!(
        (&line["order"], &line["schedule"], &line["day_rule"]),
        (&5.into(), &"Monthly".into(), &"Next".into())
    );
    assert!(line["next_due"].as_str().unwrap().ends_with("T23:59:00Z"), "{line}");
    json("cancel-standing-order 5");
    assert!(json("standing-orders").is_empty());
    let found = client.quotes(QuoteId(0), 10, Freshness::LINEARIZABLE).unwrap();
    assert_eq!((found.quotes[0].quote, found.next), (QuoteId(9), None));
    drop(client);
    assert_eq!(node.stop().code(), Some(0));
}

/// All totals that a session is shown, so many at a time.
fn totals(client: &mut Client, ledger: Option<AssetId>, limit: u32) -> Vec<TotalState> {
    let (mut found, mut from) = (Vec::new(), Some(TotalKey::default()));
    while let Some(first) = from {
        let page = client.totals(ledger, first, limit, Freshness::LINEARIZABLE).unwrap();
        assert!(page.totals.len() <= usize::try_from(limit).unwrap());
        found.extend(page.totals);
        from = page.next;
    }
    found
}

#[test]
fn the_bank_reads_its_totals_and_nobody_else_does() {
    let folder = Folder::new("ledger-totals");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let mut client = Client::connect(administrator(vec![address(&node)])).unwrap();
    let rows = [(1, 4, 12, "house"), (2, 4, 12, "client"), (3, 4, 11, "client"), (4, 3, 12, "house")];
    let class = |name| AccountClass::ALL.iter().find(|class| class.name().to_lowercase() == name).unwrap();
    let rows = rows.map(|(id, ledger, code, name)| AccountRow {
        ledger: AssetId(ledger),
        code,
        class: u16::from(class(name).code()),
        owner: if name == "client" { ClientId(9) } else { ClientId(0) },
        ..account(PAYER - 1 + id)
    });
    let refused = client.create_accounts(&rows).unwrap().exceptions;
    assert_eq!(refused, []);
    let mut ids = TransferIds::new(11);
    let reserved =
        TransferRow { flags: 1 << 1, timeout_s: 60, ..transfer(ids.next(client.now()), PAYER, PAID, 30) };
    let plain = transfer(ids.next(client.now()), PAYER, PAID + 1, 200);
    assert_eq!(client.create_transfers(&[reserved, plain]).unwrap().exceptions, []);
    // Watched and without an account: there is nothing to tell of it.
    let watched = commands::DefineMonitor {
        account: AccountId(0),
        ledger: AssetId(4),
        code: 12,
        class: Some(AccountClass::Fee),
        ..below_zero()
    };
    client.execute(watched).unwrap();

    let all = totals(&mut client, None, 1_000);
    let key = |total: &TotalState| (total.ledger, total.code, total.class);
    assert!(all.is_sorted_by_key(key) && all.iter().any(|total| total.ledger == AssetId(3)));
    let of_four: Vec<TotalState> = all.iter().filter(|total| total.ledger == AssetId(4)).copied().collect();
    for limit in [1, 2, 3] {
        assert_eq!(totals(&mut client, None, limit), all, "{limit}");
        assert_eq!(totals(&mut client, Some(AssetId(4)), limit), of_four, "{limit}");
    }
    let sums = |code, class| {
        let of = |total: &&TotalState| key(total) == (AssetId(4), code, Some(class));
        let total = of_four.iter().find(of)?;
        let sums = [total.debits_pending, total.debits_posted, total.credits_pending, total.credits_posted];
        Some((total.accounts, sums.map(|sum| sum.0)))
    };
    assert_eq!(sums(12, AccountClass::House), Some((1, [30, 200, 0, 0])));
    assert_eq!(sums(12, AccountClass::Client), Some((1, [0, 0, 30, 0])));
    assert_eq!(sums(11, AccountClass::Client), Some((1, [0, 0, 0, 200])));
    assert_eq!(sums(12, AccountClass::Fee), None);
    let elsewhere = TotalKey { ledger: AssetId(3), ..TotalKey::default() };
    let wrong = client.totals(Some(AssetId(4)), elsewhere, 10, Freshness::ANY);
    let Err(ClientFault::Rejected { reason, text, .. }) = wrong else { panic!("{wrong:?}") };
    assert_eq!((reason, text.as_str()), (BusinessRejectReason::FieldOutOfRange, "from_ledger"));

    let payer = Credentials { session: SessionId(203), key: payer_key() };
    let mut payer = Client::connect(Options::new(vec![address(&node)], payer)).unwrap();
    assert_eq!(payer.lookup_accounts(&[AccountId(PAID)], Freshness::ANY).unwrap().1.len(), 1);
    assert_eq!(totals(&mut payer, None, 10), []);
    let cli = Cli::new(&folder, &node, 201, 77);
    let lines = cli.json("totals --ledger 4");
    assert_eq!((lines.len(), cli.json("totals").len()), (of_four.len(), all.len()));
    let line = lines.iter().find(|line| line["code"] == 12 && line["class"] == "house").unwrap();
    let sums = (&line["accounts"], &line["debits_pending"], &line["debits_posted"]);
    assert_eq!(sums, (&1.into(), &"30".into(), &"200".into()));
    let (code, out, err) = cli.run("totals --ledger 4");
    assert!(code == 0 && out.contains("credits_posted") && out.contains("client"), "{out}{err}");
    drop((client, payer));
    assert_eq!(node.stop().code(), Some(0));
}

/// Has an order stand that is due once, in a moment: so soon as is still ahead when it comes to the engine. When that is.
fn order_once(client: &mut Client, order: u64, (debit, credit, amount): (u128, u128, u128)) -> UnixNanos {
    for wait_s in (0..20).map(|turn| 1_u64 << turn) {
        let due_s = client.now().0 / 1_000_000_000 + wait_s;
        let command = commands::DefineStandingOrder {
            order: StandingOrderId(order),
            debit_account: AccountId(debit),
            credit_account: AccountId(credit),
            amount: Amount(amount),
            ledger: AssetId(4),
            code: 1,
            schedule: Schedule::Once,
            first_date: u32::try_from(due_s / 86_400).unwrap(),
            last_date: 0,
            time_of_day_s: u32::try_from(due_s % 86_400).unwrap(),
            day_rule: DayRule::Execute,
            retry_days: 0,
            user_data_128: 0,
        };
        match client.execute(command) {
            Ok(_) => return UnixNanos(due_s * 1_000_000_000),
            Err(fault) => assert_eq!(refused::<()>(Err(fault)).1, "first_date"),
        }
    }
    panic!("no date is ahead");
}

/// What came of an order that is due then: a record behind that time has it executed before. The first that is sent behind it may still have
/// the time at which the node's turn began; the next comes behind the answer to that one.
fn attempts_behind(client: &mut Client, due: UnixNanos, order: u64) -> AttemptPage {
    let mut behind = 0;
    while behind < 2 {
        behind += u32::from(client.now() >= due);
        client.create_accounts(&[account(PAID + 1)]).unwrap();
    }
    client.standing_order_attempts(StandingOrderId(order), (Seq(0), 0), 10, Freshness::LINEARIZABLE).unwrap()
}

#[test]
fn what_came_of_standing_orders_is_kept_when_they_are_gone() {
    let folder = Folder::new("ledger-attempts");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    define_administrator(&folder, &folder.data());
    let mut client = Client::connect(administrator(vec![address(&node)])).unwrap();
    let class = u16::from(AccountClass::Client.code());
    let own = AccountRow { owner: ClientId(9), class, ..bounded(PAID) };
    client.create_accounts(&[bounded(PAYER), own, account(PAID + 1)]).unwrap();
    let due = order_once(&mut client, 5, (PAYER, PAID, 7));
    let refused = attempts_behind(&mut client, due, 5);
    let [attempt] = refused.attempts[..] else { panic!("{refused:?}") };
    assert_eq!((attempt.order, attempt.attempt, attempt.retried), (StandingOrderId(5), 1, false));
    assert_eq!((attempt.debit_account, attempt.credit_account), (AccountId(PAYER), AccountId(PAID)));
    assert_eq!((attempt.refusal, attempt.transfer.0), (Some(LedgerRefusal::ExceedsCredits), 0));
    assert_eq!((attempt.next_due, refused.next), (UnixNanos(0), None));
    let behind = client.standing_order_attempts(StandingOrderId(5), refused.goes_on(), 10, Freshness::ANY);
    assert_eq!(behind.unwrap().attempts, []);
    let due = order_once(&mut client, 6, (PAID + 1, PAYER, 7));
    let executed = attempts_behind(&mut client, due, 6).attempts;
    let (_, found) = client.lookup_transfers(&[executed[0].transfer], Freshness::LINEARIZABLE).unwrap();
    assert_eq!(
        (executed[0].refusal, found[0].transfer.amount, found[0].seq),
        (None, Amount(7), executed[0].seq)
    );
    let standing = client.standing_orders(StandingOrderId(0), 10, Freshness::LINEARIZABLE).unwrap();
    assert_eq!(standing.orders, []);
    // Whose money it would have been sees it, and nobody else.
    let payer = Credentials { session: SessionId(203), key: payer_key() };
    let mut payer = Client::connect(Options::new(vec![address(&node)], payer)).unwrap();
    for (order, sees) in [(5, 1), (6, 0)] {
        let page =
            payer.standing_order_attempts(StandingOrderId(order), (Seq(0), 0), 10, Freshness::LINEARIZABLE);
        assert_eq!(page.unwrap().attempts.len(), sees, "{order}");
    }
    let cli = Cli::new(&folder, &node, 201, 77);
    let line = &cli.json("standing-order-attempts 5")[0];
    assert_eq!(
        (&line["result"], &line["transfer"], &line["attempt"]),
        (&"ExceedsCredits".into(), &"".into(), &1.into())
    );
    let line = &cli.json("standing-order-attempts 6")[0];
    assert_eq!(
        (&line["result"], &line["transfer"]),
        (&"Executed".into(), &executed[0].transfer.to_string().into())
    );
    assert!(cli.json(&format!("standing-order-attempts 6 --from-seq {}", executed[0].seq.0 + 1)).is_empty());
    assert!(cli.json("standing-order-attempts 6 --limit 0").is_empty());
    drop((client, payer));
    assert_eq!(node.stop().code(), Some(0));
}
