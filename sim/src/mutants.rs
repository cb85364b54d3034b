//! `--mutants`: each planted fault in a process of its own, because some end it. A mutant is found when the seeds end with a
//! failure; a simulator that finds nothing wrong with one proves nothing about the shipped libraries either.

use std::process::{Child, Command, Stdio};

use protocol::mutant::Mutant;

/// Worlds that a mutant may survive, of each size.
const SEEDS_MAX: u64 = 2_000;
/// Processes at once: one a core of the smallest machine.
const AT_ONCE: usize = 2;

/// The mutant of this name.
pub(crate) fn named(name: &str) -> Result<Mutant, String> {
    let found = Mutant::ALL.into_iter().find(|mutant| format!("{mutant:?}") == name);
    found.ok_or_else(|| format!("there is no mutant {name}: {:?}", Mutant::ALL))
}

/// Replicas in the worlds that are tried first, then in the others. What one disk does to one replica is found sooner alone.
fn sizes(mutant: Mutant) -> [usize; 2] {
    let is_about_one = matches!(
        mutant,
        Mutant::RepairTruncates
            | Mutant::SuspectTruncates
            | Mutant::TornTailLeft
            | Mutant::StartWithoutSync
            | Mutant::FailedWriteIgnored
            | Mutant::WatermarkNeverRaised
            | Mutant::SnapshotNotSynced
            | Mutant::RequestsNotInSnapshot
    );
    if is_about_one { [1, 3] } else { [3, 1] }
}

struct Hunt {
    mutant: Mutant,
    nodes: usize,
    rest: Option<usize>,
    process: Child,
}

fn start(mutant: Mutant, nodes: usize) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--mutant", &format!("{mutant:?}"), "--seeds", &SEEDS_MAX.to_string()])
        .args(["--nodes", &nodes.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

/// Plants all of them; returns whether each was found.
pub(crate) fn run_all() -> bool {
    let mut waiting: std::collections::VecDeque<Mutant> = Mutant::ALL.into();
    let mut hunts: std::collections::VecDeque<Hunt> = std::collections::VecDeque::new();
    let mut found = 0;
    loop {
        while hunts.len() < AT_ONCE
            && let Some(mutant) = waiting.pop_front()
        {
            let [nodes, rest] = sizes(mutant);
            match start(mutant, nodes) {
                Ok(process) => hunts.push_back(Hunt { mutant, nodes, rest: Some(rest), process }),
                Err(error) => println!("{mutant:?}: no process: {error}"),
            }
        }
        let Some(Hunt { mutant, nodes, rest, process }) = hunts.pop_front() else { break };
        let Ok(output) = process.wait_with_output() else { continue };
        let text = String::from_utf8_lossy(&output.stdout);
        // Seeds that only have not seen everything do not say that anything is wrong.
        if let Some(line) = text.lines().rev().find(|line| line.starts_with("repeat: ")) {
            found += 1;
            let planted = format!("--features mutants -- --mutant {mutant:?} ");
            println!("found     {mutant:?}: {}", line.replacen("-- ", &planted, 1));
        } else if let Some(rest) = rest
            && let Ok(process) = start(mutant, rest)
        {
            hunts.push_back(Hunt { mutant, nodes: rest, rest: None, process });
        } else {
            println!("SURVIVED  {mutant:?}: {SEEDS_MAX} seeds of {nodes} replicas, and of the other size");
        }
    }
    println!("mutants={} found={found}", Mutant::ALL.len());
    found == Mutant::ALL.len()
}
