//! `--mutants`: each planted fault in a process of its own, because some end it. A mutant is found when the seeds end with a
//! failure; a simulator that finds nothing wrong with one proves nothing about the shipped libraries either.

use std::collections::VecDeque;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use protocol::mutant::Mutant;

/// Worlds that a mutant may survive, of all sizes together.
const WORLDS_MAX: u64 = 2_000;
/// Replicas and worlds of one round of a hunt. Nobody knows beforehand in which a mutant shows itself: what one disk does to one
/// replica is found sooner alone, and those worlds cost least.
const ROUND: [(usize, u64); 3] = [(1, 50), (3, 40), (5, 10)];
/// Processes at once: one a core of the smallest machine.
const AT_ONCE: usize = 2;

/// The mutant of this name.
pub(crate) fn named(name: &str) -> Result<Mutant, String> {
    let found = Mutant::ALL.into_iter().find(|mutant| format!("{mutant:?}") == name);
    found.ok_or_else(|| format!("there is no mutant {name}: {:?}", Mutant::ALL))
}

/// One mutant that is hunted, and the part of a round that runs.
struct Hunt {
    mutant: Mutant,
    round: u64,
    part: usize,
    /// Worlds that it has survived.
    survived: u64,
    process: Child,
}

impl Hunt {
    fn begin(mutant: Mutant) -> std::io::Result<Self> {
        Ok(Self { mutant, round: 0, part: 0, survived: 0, process: start(mutant, 0, 0)? })
    }

    /// The next part, if the mutant has not survived too many worlds.
    fn go_on(self) -> std::io::Result<Option<Self>> {
        let survived = self.survived + ROUND[self.part].1;
        if survived >= WORLDS_MAX {
            println!("SURVIVED  {:?}: {survived} worlds", self.mutant);
            return Ok(None);
        }
        let part = (self.part + 1) % ROUND.len();
        let round = self.round + u64::from(part == 0);
        let process = start(self.mutant, round, part)?;
        Ok(Some(Self { round, part, survived, process, ..self }))
    }
}

fn start(mutant: Mutant, round: u64, part: usize) -> std::io::Result<Child> {
    let (nodes, seeds) = ROUND[part];
    Command::new(std::env::current_exe()?)
        .args(["--mutant", &format!("{mutant:?}"), "--seeds", &seeds.to_string()])
        .args(["--from", &(round * seeds).to_string(), "--nodes", &nodes.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

/// Plants all of them; returns whether each was found.
pub(crate) fn run_all() -> bool {
    let mut waiting: VecDeque<Mutant> = Mutant::ALL.into();
    let mut hunts: VecDeque<Hunt> = VecDeque::new();
    let mut found = 0;
    loop {
        while hunts.len() < AT_ONCE
            && let Some(mutant) = waiting.pop_front()
        {
            match Hunt::begin(mutant) {
                Ok(hunt) => hunts.push_back(hunt),
                Err(error) => println!("{mutant:?}: no process: {error}"),
            }
        }
        let Some(mut hunt) = hunts.pop_front() else { break };
        let text = output_of(&mut hunt.process);
        // Worlds that only have not seen everything do not say that anything is wrong.
        if let Some(line) = text.lines().rev().find(|line| line.starts_with("repeat: ")) {
            found += 1;
            let planted = format!("--features mutants -- --mutant {:?} ", hunt.mutant);
            let line = line.replacen("-- ", &planted, 1);
            println!("found     {:?} behind {} worlds: {line}", hunt.mutant, hunt.survived);
            continue;
        }
        match hunt.go_on() {
            Ok(goes_on) => hunts.extend(goes_on),
            Err(error) => println!("no process: {error}"),
        }
    }
    println!("mutants={} found={found}", Mutant::ALL.len());
    found == Mutant::ALL.len()
}

/// What a process says until it ends; nothing, if that cannot be read.
fn output_of(process: &mut Child) -> String {
    let mut bytes = Vec::new();
    if let Some(stdout) = &mut process.stdout {
        stdout.read_to_end(&mut bytes).ok();
    }
    process.wait().ok();
    String::from_utf8_lossy(&bytes).into_owned()
}
