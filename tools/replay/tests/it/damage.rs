//! Whatever is done to the files: no panic, and never "clean" for another history than the one that was written.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use journal::block::BlockHeader;
use journal::segment::BLOCKS_AT;
use serde_json::Value;

use crate::program::{Folder, path, run, verify};
use crate::world::{Plan, build};

/// What must not change where the verdict is clean.
fn essence(report: &Value) -> [Value; 5] {
    ["head", "end_index", "commands"]
        .map(|key| report[key].clone())
        .into_iter()
        .chain(["state_hash", "effect_hash"].map(|key| report["state"][key].clone()))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

struct Copy {
    folder: Folder,
    clean: [Value; 5],
    /// Of each file, how far it holds anything: behind it lies the pattern only.
    used: BTreeMap<PathBuf, u64>,
}

fn copied(name: &str) -> Copy {
    let original = Folder::new(&format!("{name}-original"));
    let world = build(
        &original.0,
        &Plan { entries: 45, snapshots: vec![20], conflicts: vec![(8, 2)], ..Plan::default() },
    );
    drop(world);
    let folder = Folder::copy_of(name, &original.0);
    fs::remove_file(folder.0.join("lock")).unwrap();
    let (code, report) = verify(&folder.0);
    assert_eq!(code, 0, "{report:#}");
    let mut used = BTreeMap::new();
    for dir in ["", "j", "snap"] {
        for entry in fs::read_dir(folder.0.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let bytes = fs::read(&path).unwrap();
                let is_segment = path.extension().is_some_and(|extension| extension == "seg");
                let end =
                    if is_segment { blocks(&bytes).last().copied().unwrap_or(0) } else { bytes.len() as u64 };
                used.insert(path, end);
            }
        }
    }
    Copy { folder, clean: essence(&report), used }
}

/// Where blocks begin, and where the last one ends; nothing of a spare.
fn blocks(bytes: &[u8]) -> Vec<u64> {
    let mut places = Vec::new();
    let mut at = BLOCKS_AT;
    while let Ok(header) = BlockHeader::read(bytes.get(at as usize..).unwrap_or_default()) {
        places.push(at);
        at += header.extent() as u64;
    }
    if !places.is_empty() {
        places.push(at);
    }
    places
}

impl Copy {
    /// Verifies; returns whether the damage was reported.
    fn judge(&self, what: &str) -> bool {
        let (code, report) = verify(&self.folder.0);
        if code == 0 {
            assert_eq!(essence(&report), self.clean, "{what}: clean, and another history");
        } else {
            let worst = &report["findings"];
            assert!(
                worst.as_array().unwrap().iter().any(|finding| finding["grade"] != "notice"),
                "{what}: {report:#}"
            );
        }
        code != 0
    }
}

fn draw(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

#[test]
fn every_flipped_byte_that_means_anything_is_reported() {
    let copy = copied("flip");
    let mut seed = 20_260_101;
    let mut unreported = 0;
    for (path, used) in &copy.used {
        let len = fs::metadata(path).unwrap().len();
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let sample = if *used == len { 500 } else { 600 };
        let mut places: Vec<u64> = (0..sample).map(|_| draw(&mut seed, (*used).max(1))).collect();
        if *used > BLOCKS_AT && *used < len {
            // Both header pages and the first block's headers, more closely; and what lies behind the last block.
            places.extend((0..160).map(|_| draw(&mut seed, 144)));
            places.extend((0..300).map(|n| BLOCKS_AT + n));
            places.extend((0..40).map(|_| *used + draw(&mut seed, len - *used)));
        } else if *used == 0 {
            places.extend((0..40).map(|_| draw(&mut seed, len)));
        }
        for at in places {
            let flip = 1 << draw(&mut seed, 8);
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ flip], at).unwrap();
            let what = format!("{}:{at} ^ {flip:#x}", path.display());
            let reported = copy.judge(&what);
            // A flipped checksum of a copy of meta has the shape of a write that never finished: a notice.
            let is_checksum_of_meta = path.ends_with("meta") && at % 4_096 >= 4_092;
            assert!(reported || at >= *used || is_checksum_of_meta, "{what} went unnoticed");
            unreported += u64::from(!reported);
            file.write_all_at(&byte, at).unwrap();
        }
    }
    assert!(unreported > 0, "the pattern behind the last block, and spares, mean nothing");
    assert!(!copy.judge("restored"));
}

#[test]
fn a_file_cut_anywhere_is_reported() {
    let copy = copied("cut");
    let mut seed = 7;
    for (file, used) in &copy.used {
        let whole = fs::read(file).unwrap();
        let mut cuts: Vec<u64> = (0..25).map(|_| draw(&mut seed, whole.len() as u64)).collect();
        cuts.extend([0, 1, 511, 4_096, 8_192, whole.len() as u64 - 1]);
        if file.extension().is_some_and(|extension| extension == "seg") {
            cuts.extend(blocks(&whole));
        }
        for cut in cuts.into_iter().filter(|cut| *cut < whole.len() as u64) {
            fs::write(file, &whole[..cut as usize]).unwrap();
            let what = format!("{} cut at {cut}", file.display());
            let reported = copy.judge(&what);
            let is_meta = file.ends_with("meta");
            // A shorter spare is still a spare; meta may end behind any hint.
            assert!(reported || *used == 0 || is_meta, "{what} went unnoticed");
            for args in [["show", path(&copy.folder.0), "--json"], ["state", path(&copy.folder.0), "--json"]]
            {
                run(&args);
            }
        }
        fs::write(file, &whole).unwrap();
    }
    assert!(!copy.judge("restored"));
}

#[test]
fn a_file_that_is_missing_renamed_or_another_is_reported() {
    let copy = copied("missing");
    let hidden = copy.folder.0.join("hidden");
    let files: Vec<(&PathBuf, &u64)> = copy.used.iter().collect();
    for (file, used) in &files {
        let is_segment = file.extension().is_some_and(|extension| extension == "seg");
        fs::rename(file, &hidden).unwrap();
        let reported = copy.judge(&format!("without {}", file.display()));
        assert_eq!(reported, is_segment && **used > 0, "without {}", file.display());
        if is_segment && **used > 0 {
            let other = file.with_file_name("00000001-0000009999.seg");
            fs::rename(&hidden, &other).unwrap();
            assert!(copy.judge(&format!("{} under another name", file.display())));
            fs::rename(&other, &hidden).unwrap();
        }
        fs::rename(&hidden, file).unwrap();
    }
    let segments: Vec<&&PathBuf> = files
        .iter()
        .filter(|(file, used)| **used > 0 && file.extension().is_some_and(|e| e == "seg"))
        .map(|(f, _)| f)
        .collect();
    for pair in segments.windows(2) {
        let (one, two) = (fs::read(pair[0]).unwrap(), fs::read(pair[1]).unwrap());
        fs::write(pair[0], &two).unwrap();
        assert!(copy.judge("a segment twice"));
        fs::write(pair[1], &one).unwrap();
        assert!(copy.judge("two segments changed places"));
        fs::write(pair[0], &one).unwrap();
        fs::write(pair[1], &two).unwrap();
    }
    fs::create_dir(&hidden).unwrap();
    fs::rename(segments[0].as_path(), hidden.join("x")).unwrap();
    fs::create_dir(segments[0].as_path()).unwrap();
    assert_eq!(run(&["verify", path(&copy.folder.0)]).code, 1, "a folder in a segment's place");
}

#[test]
fn a_write_that_never_finished_is_a_torn_tail() {
    let copy = copied("torn");
    let (file, used) = copy
        .used
        .iter()
        .rfind(|(file, used)| file.extension().is_some_and(|e| e == "seg") && **used > 0)
        .unwrap();
    let whole = fs::read(file).unwrap();
    let begins = blocks(&whole);
    let last = begins[begins.len() - 2] as usize;
    let pattern = whole[whole.len() - 8..].to_vec();
    // The hint knows better: taken away here, as a loss of power takes it.
    fs::remove_file(copy.folder.0.join("meta")).unwrap();
    for sector in (last..*used as usize).step_by(512) {
        let mut torn = whole.clone();
        torn[sector..sector + 512].copy_from_slice(&pattern.repeat(64));
        fs::write(file, &torn).unwrap();
        let (code, report) = verify(&copy.folder.0);
        assert_eq!((code, &report["verdict"]), (0, &"torn tail".into()), "sector at {sector}: {report:#}");
        assert_ne!(report["head"], copy.clean[0], "what never finished is not in the history");
    }
    // Written to its end and not valid: nobody can tell.
    let mut doubtful = whole.clone();
    doubtful[last + 200] ^= 1;
    fs::write(file, &doubtful).unwrap();
    let (code, report) = verify(&copy.folder.0);
    assert_eq!((code, &report["verdict"]), (1, &"in doubt".into()), "{report:#}");
}

#[test]
fn only_the_segments_will_do() {
    let copy = copied("segments");
    let folder = Folder::copy_of("segments-alone", &copy.folder.0.join("j"));
    let (code, report) = verify(&folder.0);
    assert_eq!((code, essence(&report)), (0, copy.clean.clone()), "{report:#}");
    let grown = |path: &Path| OpenOptions::new().append(true).open(path).unwrap();
    let segment = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    std::io::Write::write_all(&mut grown(&segment), b"more").unwrap();
    assert_eq!(verify(&folder.0).0, 1, "longer than its header says");
}

#[test]
fn the_first_bad_seq_and_its_place_are_named() {
    let folder = Folder::new("first-bad");
    let world = build(&folder.0, &Plan::default());
    let file = folder.0.join("j/00000001-0000000002.seg");
    let mut bytes = fs::read(&file).unwrap();
    let at = blocks(&bytes)[3];
    let index = BlockHeader::read(&bytes[at as usize..]).unwrap().first_index;
    let before = world.history.iter().rfind(|(entry, ..)| *entry < index).unwrap();
    bytes[at as usize + 200] ^= 0x20;
    fs::write(&file, &bytes).unwrap();
    let (code, report) = verify(&folder.0);
    assert_eq!(code, 1);
    let finding = &report["findings"][0];
    assert_eq!(finding["seq"], before.1.0 + 1, "{report:#}");
    assert_eq!(finding["index"], index.0);
    assert_eq!(finding["place"], format!("00000001-0000000002.seg:{at}"));
    assert!(finding["expected"].is_string() && finding["found"].is_string(), "{report:#}");
    assert_eq!(report["head"], format!("{}:{}", before.1, before.2), "what is before it stands");
    assert_eq!(report["state"]["state_hash"], before.3.to_string());
}
