//! The demo with several nodes: the leader is killed in mid-flow, another one takes over, the clients go on there, and the
//! killed one comes back. Compared are the clients' memories with the new leader's, and all nodes with each other.

use std::path::Path;

use super::cluster::Cluster;
use super::trader::{Pace, Record};
use super::{
    CALM_RATE, CLIENTS, DemoFault, FULL_WINDOW, Floor, agreed, compare_numbers, program_name, show, status,
    tell_records, title, verify,
};
use crate::clock::Clock;

/// The story, in order.
pub(super) fn play(dir: &Path, nodes: usize, seconds: u64) -> Result<(), DemoFault> {
    let clock = Clock::start();
    title(format!("Making a cluster of {nodes} nodes in {}, as an operator does", dir.display()));
    let mut cluster = Cluster::make(dir, nodes)?;
    cluster.start_all()?;
    let mut leader = cluster.leader()?;
    println!("node {} leads", leader + 1);

    title(format!("{CLIENTS} clients log on over FIX 4.4 and trade BTC-TRY, ETH-TRY and USDT-TRY"));
    let mut floor = Floor::open(clock)?;
    floor.connect(cluster.fix())?;
    floor.play(Pace::Rate(CALM_RATE), 0, seconds * 30 / 100, "calmly")?;
    cluster.follow_lead(&mut leader)?;
    let full = floor.play(Pace::Window(FULL_WINDOW), 1, (seconds * 20 / 100).max(2), "at full speed")?;
    cluster.follow_lead(&mut leader)?;
    let before = super::state_hash(&cluster.data(leader))?;
    println!("the state at seq {} has the hash {}", before.seq, before.hash);

    title("SIGKILL for the leader, in mid-flow");
    let (killed, killed_ns) = kill(&floor, &mut cluster)?;
    floor.connect(cluster.fix())?;
    let mut leader = cluster.leader()?;
    println!(
        "node {} leads; {} ms after the kill all clients are logged on again, without a reset, and have been sent what they missed",
        leader + 1,
        (clock.mono().0 - killed_ns) / 1_000_000
    );

    title(format!("Trading goes on with {} of {nodes} nodes", nodes - 1));
    floor.play(Pace::Rate(CALM_RATE), 2, (seconds * 20 / 100).max(1), "calmly")?;
    cluster.follow_lead(&mut leader)?;
    cluster.show_members(leader)?;
    title(format!("Node {} comes back while it goes on", killed + 1));
    cluster.start(killed)?;
    floor.play(Pace::Rate(CALM_RATE), 2, (seconds * 20 / 100).max(1), "calmly")?;
    floor.hold()?;
    cluster.follow_lead(&mut leader)?;
    cluster.show_members(leader)?;

    title("Comparing");
    let after = cluster.agree()?;
    agreed(format!("all {nodes} nodes have the state {} at seq {}", after.hash, after.seq));
    compare_numbers(&floor, || Ok(cluster.data(cluster.leader()?)))?;
    let status = status(&cluster.data(leader))?;
    let records = floor.compare()?;
    cluster.stop()?;
    tell_waits(&records, killed_ns)?;
    tell_records(&records);
    for place in 0..nodes {
        println!("the files of node {}:", place + 1);
        let state = verify(&cluster.data(place), &before, &after)?;
        if place + 1 == nodes {
            show::latencies(&records, full);
            show::stages(&status);
            show::state(&state);
        }
    }
    closing(&cluster, dir, nodes, before.seq);
    Ok(())
}

/// Returns whom, and when.
fn kill(floor: &Floor, cluster: &mut Cluster) -> Result<(usize, u64), DemoFault> {
    let mut killed = 0;
    let (killed_ns, in_flight) = floor.lose(|| {
        killed = cluster.leader()?;
        cluster.take(killed)?.kill()
    })?;
    let count = in_flight.iter().filter(|count| **count > 0).count();
    println!(
        "node {} led, and is dead; {} requests of {count} clients have no answer yet",
        killed + 1,
        in_flight.iter().sum::<usize>()
    );
    Ok((killed, killed_ns))
}

/// From the kill to each client's first answer after it.
fn tell_waits(records: &[Record], killed_ns: u64) -> Result<(), DemoFault> {
    let mut waits: Vec<u64> =
        records.iter().map(|record| record.answered_ns.saturating_sub(killed_ns) / 1_000_000).collect();
    waits.sort_unstable();
    let (Some(first), Some(median), Some(last)) = (waits.first(), waits.get(waits.len() / 2), waits.last())
    else {
        return Err(DemoFault::Check("there are no clients".to_owned()));
    };
    if records.iter().any(|record| record.answered_ns < killed_ns) {
        return Err(DemoFault::Check("a client got no answer after the kill".to_owned()));
    }
    agreed(format!(
        "clients waited {first} to {last} ms from the kill to their next answer, half of them up to {median} ms"
    ));
    Ok(())
}

fn closing(cluster: &Cluster, dir: &Path, nodes: usize, seq: u64) {
    let program = program_name();
    let program = program.display();
    title("Everything agrees. The folder stays; look around");
    for place in 0..nodes {
        let (data, config) = (cluster.data(place), cluster.config(place));
        println!("{program} start --data {} --config {} &", data.display(), config.display());
    }
    let data = cluster.data(0);
    let data = data.display();
    println!(
        "{program} members --data {data}     # who leads; FIX for CLIENT1 to CLIENT8, TargetCompID SICIL"
    );
    println!("{program} status --data {data}");
    println!("{program} transfer-leader --data {data} --to 2    # where it leads");
    println!("{program} replay verify {data}    # any node's, while it does not run");
    println!("{program} replay show {data} --from {seq} --to {}", seq + 5);
    println!("rm -r {}", dir.display());
}
