//! The README's first command, shortened.

use crate::folder::Folder;
use crate::process::{run, sicil};

#[test]
fn the_demo_compares_everything_and_agrees() {
    let folder = Folder::new("the-demo");
    let (code, out, err) = run(sicil(["demo", "--seconds", "6", "--data"]).arg(folder.data()));
    assert_eq!(code, 0, "{out}\n{err}");
    for said in [
        "SIGKILL, in mid-flow",
        "ok  sessions went on without reset",
        "ok  the book that a reader",
        "verdict    clean",
    ] {
        assert!(out.contains(said), "{said:?} is missing:\n{out}");
    }
}

#[test]
fn the_demo_with_three_nodes_survives_its_leader() {
    let folder = Folder::new("the-demo-of-three");
    let (code, out, err) =
        run(sicil(["demo", "--nodes", "3", "--seconds", "6", "--data"]).arg(folder.data()));
    assert_eq!(code, 0, "{out}\n{err}");
    for said in
        ["the leader, in mid-flow", "ok  all 3 nodes have the state", "ok  clients waited", "without reset"]
    {
        assert!(out.contains(said), "{said:?} is missing:\n{out}");
    }
    assert_eq!(out.matches("verdict    clean").count(), 3, "the files of each node:\n{out}");
}

#[test]
fn a_demo_has_a_majority_that_survives_a_kill() {
    let (code, _, err) = run(&mut sicil(["demo", "--nodes", "2"]));
    assert_eq!(code, 2);
    assert!(err.contains("1, 3 or 5"), "{err}");
}
