//! A record that no engine can take, and operators who signed that it is passed over.

use std::collections::BTreeMap;

use engine::Skips;
use engine::skip::bytes_at;
use protocol::commands::SetActorKey;
use protocol::event::Event;
use protocol::frame::{self, Frame, FrameKind};
use protocol::hash::blake3;
use protocol::limits::FRAME_HEADER_BYTES;
use protocol::sign::PrivateKey;
use protocol::skip::Skip;
use protocol::{ActorId, Seq, Text};

use crate::program::{Folder, path, run, verify};
use crate::world::{IDENTITY, World};

const GARBAGE: [u8; 48] = [0xEE; 48];

fn key() -> PrivateKey {
    PrivateKey::from_seed(&[7; 32])
}

/// A journal in which an entry holds an order and two records that are none; `signer` decides to pass over them.
fn with_poison(folder: &Folder, signer: Option<&PrivateKey>) -> (World, Seq) {
    let mut world = World::create(&folder.0, 5);
    world.define(1_000_000_000);
    let set = SetActorKey { actor: ActorId(1), key: Some(key().public()) };
    let operator = world.operator();
    world.append(&[(operator, set.into())]);
    world.trade();
    let order = world.order();
    let mut bytes = world.frame(&[order]);
    let mut header = Frame::read(&bytes).unwrap().header;
    let used = Frame::read(&bytes)
        .unwrap()
        .records()
        .map(|(_, _, record)| record.unwrap().bytes.len())
        .sum::<usize>();
    bytes.truncate(FRAME_HEADER_BYTES + used);
    bytes.extend_from_slice(&GARBAGE);
    header.count = 3;
    frame::finish(&mut bytes, &header);
    let chain = world.append_raw(&bytes);
    let read = Frame::read(&bytes).unwrap();
    let (seq, _, poison) = read.records().nth(1).unwrap();
    assert!(poison.is_err());
    let Some(signer) = signer else { return (world, seq) };
    let mut skip = Skip::new(seq, blake3(&[bytes_at(&poison)]), Text::new("half a frame: case 17").unwrap());
    skip.sign(IDENTITY.cluster, ActorId(1), &key());
    let skips: Skips = BTreeMap::from([(seq, vec![skip.clone()])]);
    let mut events: Vec<Event> = Vec::new();
    for (seq, time, record) in read.records() {
        world.engine.take((seq, time), &record, &skips, &mut events).unwrap();
    }
    world.followed(chain, &events);
    skip.signatures.clear();
    skip.sign(IDENTITY.cluster, ActorId(1), signer);
    let mut payload = Vec::new();
    skip.write(&mut payload);
    world.append_without_records(FrameKind::Skip, &payload);
    world.trade();
    world.snapshot();
    world.trade();
    (world, seq)
}

#[test]
fn what_was_passed_over_is_verified_and_told_of() {
    let folder = Folder::new("skipped");
    let (world, seq) = with_poison(&folder, Some(&key()));
    let (code, report) = verify(&folder.0);
    assert_eq!((code, &report["verdict"]), (0, &"clean".into()), "{report:#}");
    assert_eq!(report["last_seq"], world.engine.seq_applied().0);
    let told = report["findings"].as_array().unwrap();
    for (finding, seq) in told.iter().zip([seq.0, seq.0 + 1]) {
        assert_eq!((&finding["grade"], &finding["seq"]), (&"notice".into(), &seq.into()), "{report:#}");
        assert!(finding["what"].as_str().unwrap().contains("half a frame: case 17"), "{report:#}");
    }
    assert_eq!(told.len(), 2);
    let (from, to) = (seq.0.to_string(), (seq.0 + 1).to_string());
    let shown = run(&["show", path(&folder.0), "--from", &from, "--to", &to, "--json"]).lines();
    assert_eq!(shown.iter().map(|line| &line["outcome"]).collect::<Vec<_>>(), ["skipped"; 2]);
    for (at, record, _, state) in &world.history {
        let said = run(&["state", path(&folder.0), "--at", &record.to_string(), "--json"]);
        assert_eq!(said.json()["state_hash"], state.to_string(), "entry {at}");
    }
    // Also between the two that the decision covers.
    let said = run(&["state", path(&folder.0), "--at", &from, "--json"]);
    assert_eq!((said.code, &said.json()["seq"]), (0, &seq.0.into()));
}

#[test]
fn without_a_decision_that_counts_the_record_is_damage() {
    for (name, signer) in [("unsigned", None), ("forged", Some(PrivateKey::from_seed(&[8; 32])))] {
        let folder = Folder::new(name);
        let (_, seq) = with_poison(&folder, signer.as_ref());
        let (code, report) = verify(&folder.0);
        assert_eq!((code, &report["verdict"]), (1, &"damaged".into()), "{report:#}");
        let damage = report["findings"].as_array().unwrap().iter().find(|f| f["grade"] == "damage").unwrap();
        assert_eq!(damage["seq"], seq.0, "{report:#}");
        assert!(damage["what"].as_str().unwrap().contains("not a record"), "{report:#}");
    }
}
