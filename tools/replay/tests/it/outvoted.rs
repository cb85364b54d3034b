//! A majority of the replicas has outvoted what a proposer recorded, or this very replica: that is told, and is no damage.

use std::fs;
use std::path::Path;

use journal::divergence::{Divergence, Outvoted, Quarantine};
use protocol::Seq;
use protocol::frame::Frame;
use protocol::hash::Hash;
use serde_json::Value;

use crate::program::{Folder, verify};
use crate::rewritten::{Forgery, rewrite};
use crate::world::{Plan, build};

const WRONG: Hash = Hash([9; 32]);

/// From the twentieth entry with records on, `count` of them record other effects. Of each: seq, and what was right.
fn go_wrong(dir: &Path, count: usize) -> Vec<(Seq, Hash)> {
    let (mut at, mut wrong) = (0, Vec::new());
    rewrite(dir, Forgery::Chain, &mut |bytes| {
        at += 1;
        let header = Frame::read(bytes).unwrap().header;
        if at > 20 && wrong.len() < count {
            wrong.push((header.applied_seq, header.effect_hash));
            bytes[56..88].copy_from_slice(&WRONG.0);
        }
    });
    assert_eq!(wrong.len(), count);
    wrong
}

fn know(dir: &Path, known: &Divergence) {
    fs::write(dir.join("divergence"), known.to_bytes()).unwrap();
}

fn finding<'a>(report: &'a Value, text: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["what"].as_str().unwrap().contains(text));
    found.unwrap_or_else(|| panic!("{text}: {report:#}"))
}

#[test]
fn a_recorded_hash_that_was_outvoted_is_a_notice_and_any_other_is_damage() {
    let folder = Folder::new("outvoted");
    drop(build(&folder.0, &Plan::default()));
    let wrong = go_wrong(&folder.0, 2);
    assert_eq!(verify(&folder.0).0, 1, "without the file nobody knows");
    let outvoted =
        |(seq, computed): &(Seq, Hash)| Outvoted { seq: *seq, recorded: WRONG, computed: *computed };
    let mut known = Divergence { quarantine: None, outvoted: wrong.iter().map(outvoted).collect() };
    know(&folder.0, &known);
    let (code, report) = verify(&folder.0);
    assert_eq!((code, &report["verdict"]), (0, &"clean".into()), "{report:#}");
    let said = finding(&report, "outvoted");
    assert_eq!((&said["grade"], said["seq"].as_u64()), (&"notice".into(), Some(wrong[0].0.0)));
    assert!(said["what"].as_str().unwrap().contains("2 such hashes"), "{said:#}");
    // What a majority is said to have had is not believed where the engine has something else.
    known.outvoted[1].computed = Hash([8; 32]);
    know(&folder.0, &known);
    let (code, report) = verify(&folder.0);
    assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "{report:#}");
    fs::write(folder.0.join("divergence"), b"SICLDIVG").unwrap();
    let (code, report) = verify(&folder.0);
    assert_eq!(code, 1);
    assert_eq!(finding(&report, "the file is damaged")["grade"], "damage");
}

#[test]
fn the_journal_of_a_replica_that_was_found_to_be_wrong_is_clean_if_it_gives_what_the_majority_had() {
    let folder = Folder::new("quarantined");
    drop(build(&folder.0, &Plan::default()));
    let part = "accounts".to_owned();
    // A follower: all recorded hashes are others'. Then a leader, which has recorded some of its own.
    for recorded in [0, 3] {
        let wrong = go_wrong(&folder.0, recorded.max(1));
        if recorded == 0 {
            // Undone.
            let mut right = wrong.iter();
            rewrite(&folder.0, Forgery::Chain, &mut |bytes| {
                if Frame::read(bytes).unwrap().header.effect_hash == WRONG {
                    bytes[56..88].copy_from_slice(&right.next().unwrap().1.0);
                }
            });
        }
        let (seq, theirs) = wrong[0];
        let quarantine = Quarantine { seq, ours: WRONG, theirs, part: part.clone() };
        know(&folder.0, &Divergence { quarantine: Some(quarantine.clone()), outvoted: Vec::new() });
        let (code, report) = verify(&folder.0);
        assert_eq!((code, &report["verdict"]), (0, &"clean".into()), "{report:#}");
        let said = finding(&report, "found to be wrong");
        assert_eq!((&said["grade"], said["seq"].as_u64()), (&"notice".into(), Some(seq.0)));
        assert!(said["what"].as_str().unwrap().contains("accounts"), "{said:#}");
        // Where the run gives neither, or what this one had, somebody's program is another.
        for (ours, theirs) in [(theirs, WRONG), (WRONG, Hash([8; 32]))] {
            know(
                &folder.0,
                &Divergence {
                    quarantine: Some(Quarantine { ours, theirs, ..quarantine.clone() }),
                    outvoted: Vec::new(),
                },
            );
            let (code, report) = verify(&folder.0);
            let verdict = if recorded == 0 { "in doubt" } else { "damaged" };
            assert_eq!((code, &report["verdict"]), (1, &verdict.into()), "{report:#}");
        }
    }
}
