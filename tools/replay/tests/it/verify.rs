//! What is whole is called whole, in all its parts; and what the arguments may be.

use protocol::{Index, Seq};

use crate::program::{Folder, path, run, verify};
use crate::world::{Plan, World, build};

fn eventful() -> Plan {
    let snapshots = vec![12, 25];
    Plan { entries: 60, snapshots, conflicts: vec![(10, 2), (11, 1), (30, 3)], ..Plan::default() }
}

#[test]
fn a_whole_journal_is_clean_and_counted() {
    let folder = Folder::new("clean");
    let world = build(&folder.0, &eventful());
    let (_, seq, chain, state_hash) = world.last();
    // While the folder is still open and locked, too.
    let (code, report) = verify(&folder.0);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["verdict"], "clean");
    assert!(report["segments"].as_u64().unwrap() >= 3, "{report:#}");
    assert_eq!(report["commands"], seq.0);
    assert_eq!(report["void_entries"], 6);
    assert_eq!(report["head"], world.head());
    assert_eq!(report["end_chain"], chain.to_string());
    let state = &report["state"];
    assert_eq!(state["origin"], "genesis");
    assert_eq!(state["events"], world.events);
    assert_eq!(state["state_hash"], state_hash.to_string());
    assert_eq!(state["effect_hash"], world.effects.0.to_string());
    // Two snapshots and their two marks.
    assert_eq!(state["states_compared"], 4);
    assert_eq!(state["effect_hashes_compared"].as_u64().unwrap(), world.history.len() as u64);
    assert!(
        state["refusals"]["ExistsWithDifferent"] == 1
            && state["refusals"]["QtyOutOfRange"].as_u64() > Some(0)
    );
    let outcomes = &state["outcomes"];
    let counted = ["done", "refused", "dropped", "repeated"].map(|name| outcomes[name].as_u64().unwrap_or(0));
    assert_eq!(counted.iter().sum::<u64>(), seq.0);
    // The newest block could not know yet that it would be committed.
    let committed = report["committed_index"].as_u64().unwrap();
    assert!(committed < report["end_index"].as_u64().unwrap() && committed > 50);
    let text = run(&["verify", path(&folder.0), "--timing"]);
    assert!(text.out.ends_with("verdict    clean\n") && text.err.contains("commands/s"), "{}", text.out);
}

/// A deposed leader gets the word that voids its tail, what comes in its place and the news that it is committed at once.
#[test]
fn a_block_may_void_a_tail_and_commit_what_takes_its_place() {
    let folder = Folder::new("at-once");
    let mut world = World::create(&folder.0, 3);
    world.define(1_000_000);
    world.trade();
    world.conflict(2);
    world.commits_at_once = true;
    world.trade();
    let (code, report) = verify(&folder.0);
    assert_eq!((code, &report["verdict"]), (0, &"clean".into()), "{report:#}");
    assert_eq!(report["void_entries"], 2);
    assert_eq!(report["committed_index"], report["end_index"]);
}

#[test]
fn a_noted_head_is_found_again_and_another_is_not() {
    let folder = Folder::new("head");
    let world = build(&folder.0, &eventful());
    let dir = path(&folder.0);
    for (_, seq, chain, _) in &world.history {
        let head = format!("{seq}:{chain}");
        let said = run(&["verify", dir, "--head", &head]);
        assert_eq!(said.code, 0, "{head}\n{}", said.out);
    }
    let (_, seq, chain, _) = world.last();
    let (_, first_seq, first_chain, _) = world.history[0];
    assert_eq!(first_seq, Seq(2), "any seq in the entry serves");
    assert_eq!(run(&["verify", dir, "--head", &format!("1:{first_chain}")]).code, 0);
    for head in [format!("{}:{chain}", seq.0 - 20), format!("{}:{chain}", seq.0 + 1)] {
        let said = run(&["verify", dir, "--head", &head, "--json"]);
        assert_eq!((said.code, &said.json()["verdict"]), (1, &"damaged".into()), "{head}");
    }
}

#[test]
fn the_state_may_be_re_run_in_part() {
    let folder = Folder::new("part");
    let world = build(&folder.0, &eventful());
    let (_, last, ..) = world.last();
    let said = run(&["verify", path(&folder.0), "--json", "--from", &last.to_string()]);
    let report = said.json();
    assert_eq!(said.code, 0, "{report:#}");
    assert!(report["state"]["origin"].as_str().unwrap().starts_with("snapshot at seq "));
    assert_eq!(report["state"]["state_hash"], world.last().3.to_string());
    let (_, middle, _, hash) = world.history[20];
    let said = run(&["verify", path(&folder.0), "--json", "--to", &middle.to_string()]);
    assert_eq!(said.json()["state"]["state_hash"], hash.to_string());
}

#[test]
fn a_journal_whose_beginning_was_dropped_starts_from_a_snapshot() {
    let folder = Folder::new("dropped");
    let mut world = build(&folder.0, &eventful());
    let index = Index(world.history[world.history.len() - 30].0.0);
    world.snapshot();
    assert!(world.journal.drop_before(index).unwrap() > 0, "the plan is long enough");
    for _ in 0..5 {
        world.trade();
    }
    let (code, report) = verify(&folder.0);
    assert_eq!((code, &report["verdict"]), (1, &"in doubt".into()), "nobody said so: {report:#}");
    let first = report["first_seq"].as_u64().unwrap();
    assert!(first > 1);
    let accepted = run(&["verify", path(&folder.0), "--json", "--from", &first.to_string()]);
    assert_eq!(accepted.code, 0, "{}", accepted.out);
    assert_eq!(accepted.json()["state"]["state_hash"], world.last().3.to_string());
    let too_early = run(&["verify", path(&folder.0), "--from", &(first - 1).to_string()]);
    assert_eq!(too_early.code, 1);
    let early = format!("5:{}", world.last().2);
    let said = run(&["verify", path(&folder.0), "--json", "--head", &early]);
    assert_eq!((said.code, &said.json()["verdict"]), (1, &"in doubt".into()));
    assert_eq!(run(&["state", path(&folder.0), "--at", "5"]).code, 1, "it is not here any more");
    std::fs::remove_dir_all(folder.0.join("snap")).unwrap();
    let (code, report) = verify(&folder.0);
    assert_eq!((code, &report["verdict"]), (1, &"in doubt".into()), "{report:#}");
}

#[test]
fn an_entry_that_halts_the_engine_is_reported_with_its_seq() {
    for halting in ["time", "record", "padding", "seq"] {
        let folder = Folder::new(&format!("halt-{halting}"));
        let mut world = build(&folder.0, &Plan { entries: 5, ..Plan::default() });
        let command = world.order();
        let mut frame = world.frame(&[command]);
        let mut header = protocol::frame::Frame::read(&frame).unwrap().header;
        match halting {
            "time" => header.time = protocol::UnixNanos(5),
            "record" => frame[96] = 9,
            "padding" => header.count = 0,
            _ => header.applied_seq = Seq(1 << 40),
        }
        protocol::frame::set_header(&mut frame, &header);
        world.append_raw(&frame);
        let next = world.engine.seq_applied().next();
        let (code, report) = verify(&folder.0);
        assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "{halting}: {report:#}");
        let finding = &report["findings"][0];
        assert_eq!(finding["seq"], next.0, "{halting}: {report:#}");
        assert_eq!(report["state"]["seq"].as_u64().unwrap(), next.0 - 1, "{halting}");
        let shown = run(&["show", path(&folder.0), "--json"]);
        assert_eq!(shown.code, 1);
        assert!(shown.err.contains("from here on nothing is known"), "{}", shown.err);
    }
}

#[test]
fn wrong_arguments_and_folders_that_are_no_journals() {
    let folder = Folder::new("usage");
    let world = World::create(&folder.0, 3);
    let dir = path(&folder.0);
    drop(world);
    let (code, report) = verify(&folder.0);
    assert_eq!((code, &report["commands"]), (0, &0.into()), "empty is whole: {report:#}");
    let empty = Folder::new("nothing");
    std::fs::create_dir_all(&empty.0).unwrap();
    for args in [
        vec![],
        vec!["verify"],
        vec!["prove", dir],
        vec!["verify", dir, "--head", "7"],
        vec!["verify", dir, "--head", "0:00"],
        vec!["verify", dir, "--head", "1:00"],
        vec!["verify", path(&empty.0)],
        vec!["verify", "/nonexistent/folder"],
        vec!["verify", env!("CARGO_BIN_EXE_sicil-replay")],
        vec!["show", dir, "--kind", "Nonsense"],
        vec!["show", dir, "--correlation", "xyz"],
        vec!["state", dir, "--at", "x"],
        vec!["state", path(&empty.0), "--at", "1"],
    ] {
        let said = run(&args);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{args:?}: {}", said.err);
        assert!(!said.err.is_empty(), "{args:?}");
    }
    assert_eq!(run(&["--help"]).code, 0);
    assert_eq!(run(&["state", dir, "--at", "1"]).code, 1, "the journal is empty");
}
