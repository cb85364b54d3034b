//! The README's first command, shortened.

use crate::folder::Folder;
use crate::process::{run, sicil};

#[test]
fn the_demo_compares_everything_and_agrees() {
    let folder = Folder::new("the-demo");
    let (code, out, err) = run(sicil(["demo", "--seconds", "6", "--data"]).arg(folder.data()));
    assert_eq!(code, 0, "{out}\n{err}");
    for said in ["SIGKILL, in mid-flow", "ok  sessions went on without reset", "verdict    clean"] {
        assert!(out.contains(said), "{said:?} is missing:\n{out}");
    }
}
