//! The nodes of a demo with a cluster, made with the commands that an operator types.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::child::{Node, operate};
use super::{DemoFault, StateAt, state_hash};
use crate::admin::Request;
use crate::admin::client::Client;
use crate::clock::{Clock, pause};

/// Between two looks at what nobody announces.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Nodes that are not of one state after this long are not going to be.
const AGREE_NANOS: u64 = 60_000_000_000;

/// The nodes, by place; those that run are there. Killed when dropped.
pub(super) struct Cluster {
    dir: PathBuf,
    nodes: Vec<Option<Node>>,
}

impl Cluster {
    /// Makes certificates, configurations and folders in `dir`. Nothing runs yet.
    pub(super) fn make(dir: &Path, count: usize) -> Result<Self, DemoFault> {
        fs::create_dir_all(dir).map_err(DemoFault::io("making the demo's folder"))?;
        let cluster = Self { dir: dir.to_owned(), nodes: (0..count).map(|_| None).collect() };
        let pki = dir.join("pki").display().to_string();
        told(&["pki", "init", "--dir", &pki])?;
        let id = fs::read_to_string(dir.join("pki/cluster.id")).map_err(DemoFault::io("the cluster's id"))?;
        let addresses = free_addresses(count)?;
        for (place, listen) in addresses.iter().enumerate() {
            told(&["pki", "issue", "--dir", &pki, "--node", &(place + 1).to_string()])?;
            let text = configuration(place, id.trim(), listen, &addresses);
            fs::write(cluster.config(place), text).map_err(DemoFault::io("a node's configuration"))?;
            let (data, config) =
                (cluster.data(place).display().to_string(), cluster.config(place).display().to_string());
            told(&["init", "--data", &data, "--config", &config])?;
        }
        Ok(cluster)
    }

    /// Starts all of them, and waits until one leads and the others follow.
    pub(super) fn start_all(&mut self) -> Result<(), DemoFault> {
        for place in 0..self.nodes.len() {
            self.launch(place)?;
        }
        self.nodes.iter_mut().flatten().try_for_each(Node::wait_ready)
    }

    /// Starts one, and waits until it leads or follows.
    pub(super) fn start(&mut self, place: usize) -> Result<(), DemoFault> {
        self.launch(place)?;
        self.nodes.get_mut(place).and_then(Option::as_mut).map_or(Ok(()), Node::wait_ready)
    }

    fn launch(&mut self, place: usize) -> Result<(), DemoFault> {
        let (data, config) = (self.data(place), self.config(place));
        println!("$ sicil start --data {} --config {}", data.display(), config.display());
        if let Some(node) = self.nodes.get_mut(place) {
            *node = Some(Node::launch(&data, Some(&config))?);
        }
        Ok(())
    }

    /// Takes a running node out.
    pub(super) fn take(&mut self, place: usize) -> Result<Node, DemoFault> {
        let node = self.nodes.get_mut(place).and_then(Option::take);
        node.ok_or_else(|| DemoFault::Node(format!("node {} does not run", place + 1)))
    }

    /// Where the running nodes take FIX clients.
    pub(super) fn fix(&self) -> Vec<SocketAddr> {
        self.nodes.iter().flatten().map(|node| node.fix).collect()
    }

    /// The place of the leader, as soon as a node that leads says so.
    pub(super) fn leader(&self) -> Result<usize, DemoFault> {
        let clock = Clock::start();
        while clock.mono().0 < AGREE_NANOS {
            for place in self.running() {
                let members = self.members(place)?;
                let number = |pointer| members.pointer(pointer).and_then(Value::as_u64);
                if number("/members/leader") == u64::try_from(place + 1).ok() {
                    return Ok(place);
                }
            }
            pause(LOOK_AGAIN);
        }
        Err(DemoFault::Node("no node leads".to_owned()))
    }

    /// What `sicil members --json` says at a node, as an answer of its operator socket.
    fn members(&self, place: usize) -> Result<Value, DemoFault> {
        let members = Client::connect(&self.data(place))?.ask(&Request::Members)?;
        serde_json::to_value(&members).map_err(|error| DemoFault::Node(error.to_string()))
    }

    /// Looks who leads, and says so if it is not `leader` any more, and why, as that one has it.
    pub(super) fn follow_lead(&self, leader: &mut usize) -> Result<(), DemoFault> {
        let before = std::mem::replace(leader, self.leader()?);
        if before != *leader {
            let members = self.members(before)?;
            let why = members.pointer("/members/elections/last_end/why").and_then(Value::as_str);
            println!(
                "the lead has moved from node {} to node {}, which nobody had asked for: {}",
                before + 1,
                *leader + 1,
                why.unwrap_or("the node does not know why")
            );
        }
        Ok(())
    }

    /// What `sicil members` shows at a node.
    pub(super) fn show_members(&self, place: usize) -> Result<(), DemoFault> {
        let data = self.data(place).display().to_string();
        told(&["members", "--data", &data])
    }

    /// Waits until all running nodes are at one seq, and compares their states.
    pub(super) fn agree(&self) -> Result<StateAt, DemoFault> {
        let clock = Clock::start();
        while clock.mono().0 < AGREE_NANOS {
            let states: Vec<StateAt> =
                self.running().map(|place| state_hash(&self.data(place))).collect::<Result<_, _>>()?;
            let Some((first, others)) = states.split_first() else { break };
            if others.iter().all(|other| other.seq == first.seq) {
                if let Some(other) = others.iter().find(|other| other.hash != first.hash) {
                    let text = format!("at seq {}: {} and {}", first.seq, first.hash, other.hash);
                    return Err(DemoFault::Check(text));
                }
                return Ok(StateAt { seq: first.seq, hash: first.hash.clone() });
            }
            pause(LOOK_AGAIN);
        }
        Err(DemoFault::Check("the nodes do not come to the same seq".to_owned()))
    }

    /// Ctrl-C for all at once: whoever is left alone could not finish what it has begun.
    pub(super) fn stop(&mut self) -> Result<(), DemoFault> {
        self.nodes.iter().flatten().try_for_each(Node::interrupt)?;
        self.nodes.iter_mut().filter_map(Option::take).try_for_each(Node::wait_end)
    }

    /// Places of those that run.
    fn running(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.is_some()).map(|(place, _)| place)
    }

    pub(super) fn data(&self, place: usize) -> PathBuf {
        self.dir.join(format!("data{}", place + 1))
    }

    pub(super) fn config(&self, place: usize) -> PathBuf {
        self.dir.join(format!("node{}.toml", place + 1))
    }
}

/// Runs a command of the operator, and shows it with what it says.
fn told(arguments: &[&str]) -> Result<(), DemoFault> {
    println!("$ sicil {}", arguments.join(" "));
    let said = operate(arguments)?;
    said.lines().for_each(|line| println!("    {line}"));
    Ok(())
}

/// Free ones, all bound at once so that they differ.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, DemoFault> {
    let bound = (0..count).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>();
    let addresses = bound.and_then(|sockets| sockets.iter().map(UdpSocket::local_addr).collect());
    addresses.map_err(DemoFault::io("looking for free ports"))
}

/// A node's file. Nodes that share the cores of one machine get the timing for that.
fn configuration(place: usize, cluster: &str, listen: &SocketAddr, addresses: &[SocketAddr]) -> String {
    let founders: Vec<String> = (1..=addresses.len()).map(|node| node.to_string()).collect();
    let peers: String = (1..)
        .zip(addresses)
        .map(|(node, address)| format!("[[peer]]\nid = {node}\naddress = \"{address}\"\n"))
        .collect();
    let (node, founders) = (place + 1, founders.join(", "));
    format!(
        "demo = true\n[node]\nid = {node}\n[cluster]\nid = \"{cluster}\"\nfounders = [{founders}]\n\
         [listen]\nfix = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\npeers = \"{listen}\"\n\
         [tls]\nca = \"pki/ca.pem\"\ncertificate = \"pki/node{node}.pem\"\nkey = \"pki/node{node}.key\"\n\
         [timing]\nprofile = \"ci\"\n[journal]\nsegment_bytes = 33554432\n{peers}"
    )
}
