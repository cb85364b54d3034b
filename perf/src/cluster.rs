//! Three `sicil` processes on loopback: the release binary, a folder with certificates and configurations, and what an
//! operator's commands say of them.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Stopwatch;
use crate::fault::Fault;

/// Nodes of the cluster.
pub(crate) const NODES: usize = 3;
/// A node that says nothing for longer is not coming: it recovers its whole journal in this time.
const READY_WAIT: Duration = Duration::from_secs(60);
/// How often is looked whether something has come about that nobody announces.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A node that is killed every few seconds reads the journal behind its newest snapshot again each time, and lives no longer than a
/// few of these intervals.
const SNAPSHOT_JOURNAL_BYTES: u64 = 128 << 20;
const SNAPSHOT_INTERVAL_MS: u64 = 1_000;

/// How soon silence counts as loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Profile {
    /// Hosts of their own on one network.
    Lan,
    /// Several nodes that share two cores.
    Ci,
}

impl Profile {
    const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Ci => "ci",
        }
    }
}

/// The cluster. Its processes end with it.
pub(crate) struct Cluster {
    program: PathBuf,
    dir: PathBuf,
    nodes: [Option<Child>; NODES],
    gateway: Option<Child>,
}

impl Cluster {
    /// Makes the folders of three founders in `dir`, which must not be there or be empty. Nothing runs yet.
    pub(crate) fn create(dir: &Path, profile: Profile) -> Result<Self, Fault> {
        let program = program()?;
        fs::create_dir_all(dir).map_err(Fault::io(format!("making {}", dir.display())))?;
        let mut entries = fs::read_dir(dir).map_err(Fault::io(format!("reading {}", dir.display())))?;
        if entries.next().is_some() {
            return Err(Fault::Cluster(format!("{} is not empty", dir.display())));
        }
        let dir = dir.canonicalize().map_err(Fault::io(format!("finding {}", dir.display())))?;
        let cluster = Self { program, dir, nodes: [const { None }; NODES], gateway: None };
        let pki = cluster.dir.join("pki");
        cluster.run(|command| command.args(["pki", "init", "--dir"]).arg(&pki))?;
        let id_path = pki.join("cluster.id");
        let id = fs::read_to_string(&id_path).map_err(|error| Fault::Read { path: id_path, error })?;
        let addresses = free_addresses()?;
        for place in 0..NODES {
            let node = (place + 1).to_string();
            cluster.run(|command| command.args(["pki", "issue", "--node", &node, "--dir"]).arg(&pki))?;
            let path = cluster.config(place);
            let text = configuration(place, id.trim(), profile, &addresses);
            write(&path, &text)?;
            let (data, config) = (cluster.data(place), cluster.config(place));
            cluster.run(|command| command.args(["init", "--data"]).arg(data).arg("--config").arg(config))?;
        }
        cluster.run(|command| command.args(["pki", "issue", "--gateway", "1", "--dir"]).arg(&pki))?;
        write(&cluster.dir.join("gateway.toml"), &gateway_configuration(id.trim(), profile, &addresses))?;
        Ok(cluster)
    }

    /// [`Self::create`], and all of them run; where each takes FIX clients.
    pub(crate) fn start(dir: &Path, profile: Profile) -> Result<(Self, [SocketAddr; NODES]), Fault> {
        let mut cluster = Self::create(dir, profile)?;
        (0..NODES).try_for_each(|place| cluster.launch(place))?;
        let mut addresses = [SocketAddr::from(([0; 4], 0)); NODES];
        for (place, address) in addresses.iter_mut().enumerate() {
            *address = cluster.ready(place)?;
        }
        Ok((cluster, addresses))
    }

    /// Starts the gateway process, which needs a leader to be ready; where it takes FIX clients.
    pub(crate) fn start_gateway(&mut self) -> Result<SocketAddr, Fault> {
        let (said, log) = (self.dir.join("gateway.ready"), self.dir.join("gateway.log"));
        let mut command = self.command();
        command.args(["gateway", "--json", "--cluster"]).arg(self.dir.join("gateway.toml"));
        let mut child = self.spawn(command, &said, &log)?;
        let ready = ready(&said, Some(&mut child), "the gateway", &log);
        self.gateway = Some(child);
        ready
    }

    /// The node that serves now, once there is one.
    pub(crate) fn leader(&self) -> Result<usize, Fault> {
        let watch = Stopwatch::start();
        loop {
            let serves = |place: &usize| {
                let runs = self.nodes.get(*place).is_some_and(Option::is_some);
                runs && self.status(*place, &[]).is_ok_and(|status| status["serving"] == true)
            };
            if let Some(place) = (0..NODES).find(serves) {
                return Ok(place);
            }
            if watch.elapsed() > READY_WAIT {
                return Err(Fault::Cluster("no node leads".to_owned()));
            }
            thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Launches a node, which needs others to be ready.
    pub(crate) fn launch(&mut self, place: usize) -> Result<(), Fault> {
        let mut command = self.command();
        command.args(["start", "--json", "--data"]).arg(self.data(place));
        command.arg("--config").arg(self.config(place));
        let child = self.spawn(command, &self.said(place), &self.log(place))?;
        if let Some(node) = self.nodes.get_mut(place) {
            *node = Some(child);
        }
        Ok(())
    }

    /// What it says goes to one file, from its beginning, and its log to the end of another.
    fn spawn(&self, mut command: Command, said: &Path, log: &Path) -> Result<Child, Fault> {
        let file = |path: &Path, append: bool| {
            let opened = File::options().create(true).write(true).append(append).truncate(!append).open(path);
            opened.map_err(Fault::io(format!("opening {}", path.display())))
        };
        command.stdin(Stdio::null()).stdout(file(said, false)?).stderr(file(log, true)?);
        command.spawn().map_err(Fault::io(format!("starting {}", self.program.display())))
    }

    /// Waits for the ready line of a node that was launched; where it takes FIX clients.
    pub(crate) fn ready(&mut self, place: usize) -> Result<SocketAddr, Fault> {
        let (said, log) = (self.said(place), self.log(place));
        let child = self.nodes.get_mut(place).and_then(Option::as_mut);
        ready(&said, child, &format!("node {}", place + 1), &log)
    }

    /// Ends a node with SIGKILL, and its process is gone.
    pub(crate) fn kill(&mut self, place: usize) -> Result<(), Fault> {
        let Some(mut child) = self.nodes.get_mut(place).and_then(Option::take) else { return Ok(()) };
        let ended = child.kill().and_then(|()| child.wait());
        ended.map(|_| ()).map_err(Fault::io(format!("killing node {}", place + 1)))
    }

    /// Waits until a node has applied what another one has applied now.
    pub(crate) fn caught_up(&self, place: usize, with: usize) -> Result<(), Fault> {
        let watch = Stopwatch::start();
        let goal = self.status(with, &[])?["seq_applied"].as_u64().unwrap_or(0);
        while self.status(place, &[])?["seq_applied"].as_u64().unwrap_or(0) < goal {
            if watch.elapsed() > READY_WAIT {
                return Err(Fault::Cluster(format!("node {} does not catch up", place + 1)));
            }
            thread::park_timeout(LOOK_EVERY);
        }
        Ok(())
    }

    /// Gives the lead away.
    pub(crate) fn transfer(&self, from: usize, to: usize) -> Result<(), Fault> {
        let (data, to) = (self.data(from), (to + 1).to_string());
        let said = self.run(|command| command.args(["transfer-leader", "--to", &to, "--data"]).arg(data));
        said.map(|_| ())
    }

    /// Whether all nodes have the same state, effects included, once none is behind the others.
    pub(crate) fn hashes_equal(&self) -> Result<bool, Fault> {
        let watch = Stopwatch::start();
        loop {
            let mut reports = Vec::with_capacity(NODES);
            for place in 0..NODES {
                reports.push(self.status(place, &["--hash"])?);
            }
            let same = |key: &str| {
                reports.iter().all(|report| Some(&report[key]) == reports.first().map(|r| &r[key]))
            };
            if same("seq_applied") && same("state_seq") {
                let there = reports.iter().all(|report| report["state_hash"].is_string());
                return Ok(there && same("state_hash") && same("effect_hash"));
            }
            if watch.elapsed() > READY_WAIT {
                return Err(Fault::Cluster("the nodes do not come to the same seq".to_owned()));
            }
            thread::park_timeout(LOOK_EVERY);
        }
    }

    fn status(&self, place: usize, more: &[&str]) -> Result<Value, Fault> {
        let data = self.data(place);
        json(&self.run(|command| command.args(["status", "--json"]).args(more).arg("--data").arg(data))?)
    }

    /// Runs a command of the operator to its end; what it said.
    fn run(&self, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Result<String, Fault> {
        let mut command = self.command();
        let command = arguments(&mut command).stdin(Stdio::null());
        let output = command.output().map_err(Fault::io(format!("running {}", self.program.display())))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Fault::Cluster(format!("{command:?}: {}: {}", output.status, said.trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Whoever wants to know more than warnings finds it in the nodes' logs.
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn");
        }
        command
    }

    fn data(&self, place: usize) -> PathBuf {
        self.dir.join(format!("data{}", place + 1))
    }

    fn config(&self, place: usize) -> PathBuf {
        self.dir.join(format!("node{}.toml", place + 1))
    }

    fn said(&self, place: usize) -> PathBuf {
        self.dir.join(format!("node{}.ready", place + 1))
    }

    fn log(&self, place: usize) -> PathBuf {
        self.dir.join(format!("node{}.log", place + 1))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut gateway) = self.gateway.take()
            && let Err(error) = gateway.kill().and_then(|()| gateway.wait())
        {
            eprintln!("perf: ending the gateway: {error}");
        }
        for place in 0..NODES {
            if let Err(fault) = self.kill(place) {
                eprintln!("perf: {fault}");
            }
        }
    }
}

/// Waits for the ready line of a process; where it takes FIX clients.
fn ready(said: &Path, mut child: Option<&mut Child>, name: &str, log: &Path) -> Result<SocketAddr, Fault> {
    let watch = Stopwatch::start();
    loop {
        let text = fs::read_to_string(said).map_err(Fault::io(format!("reading {}", said.display())))?;
        if let Some((line, _)) = text.split_once('\n') {
            let ready = json(line)?;
            let fix = ready["fix"].as_str().and_then(|text| text.parse().ok());
            return fix.ok_or_else(|| Fault::Cluster(format!("no FIX address in {line}")));
        }
        let ended = child.as_mut().map(|child| child.try_wait()).transpose();
        let ended = ended.map_err(Fault::io(format!("waiting for {name}")))?;
        if ended.flatten().is_some() || watch.elapsed() > READY_WAIT {
            return Err(Fault::Cluster(format!("{name} is not ready; see {}", log.display())));
        }
        thread::park_timeout(LOOK_EVERY);
    }
}

fn write(path: &Path, text: &str) -> Result<(), Fault> {
    fs::write(path, text).map_err(Fault::io(format!("writing {}", path.display())))
}

/// `sicil` of the same build as this program.
fn program() -> Result<PathBuf, Fault> {
    let own = std::env::current_exe().map_err(Fault::io("finding this program"))?;
    let program = own.with_file_name(format!("sicil{}", std::env::consts::EXE_SUFFIX));
    match fs::metadata(&program) {
        Ok(_) => Ok(program),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Fault::Cluster(format!(
            "{} is not there: `cargo build --release` makes it",
            program.display()
        ))),
        Err(error) => Err(Fault::Read { path: program, error }),
    }
}

/// Free ones, all bound at once so that they differ.
fn free_addresses() -> Result<Vec<SocketAddr>, Fault> {
    let bound = (0..NODES).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>();
    let addresses = bound.and_then(|sockets| sockets.iter().map(UdpSocket::local_addr).collect());
    addresses.map_err(Fault::io("looking for free ports"))
}

fn peers(addresses: &[SocketAddr]) -> String {
    let nodes = (1..).zip(addresses);
    nodes.map(|(node, address)| format!("[[peer]]\nid = {node}\naddress = \"{address}\"\n")).collect()
}

fn gateway_configuration(cluster: &str, profile: Profile, addresses: &[SocketAddr]) -> String {
    let (profile, peers) = (profile.name(), peers(addresses));
    format!(
        "[gateway]\nid = 1\n[cluster]\nid = \"{cluster}\"\n[listen]\nfix = \"127.0.0.1:0\"\n\
         [tls]\nca = \"pki/ca.pem\"\ncertificate = \"pki/gateway1.pem\"\nkey = \"pki/gateway1.key\"\n\
         [timing]\nprofile = \"{profile}\"\n{peers}"
    )
}

/// Clients see who acknowledges by where they have logged on: no node serves them through itself.
fn configuration(place: usize, cluster: &str, profile: Profile, addresses: &[SocketAddr]) -> String {
    let peers = peers(addresses);
    let listen = addresses.get(place).map(ToString::to_string).unwrap_or_default();
    let (node, profile) = (place + 1, profile.name());
    format!(
        "demo = true\n[node]\nid = {node}\n[cluster]\nid = \"{cluster}\"\nfounders = [1, 2, 3]\n\
         [listen]\nfix = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\npeers = \"{listen}\"\n\
         [tls]\nca = \"pki/ca.pem\"\ncertificate = \"pki/node{node}.pem\"\nkey = \"pki/node{node}.key\"\n\
         [timing]\nprofile = \"{profile}\"\n[fix]\nrelay = false\n\
         [snapshots]\njournal_bytes = {SNAPSHOT_JOURNAL_BYTES}\ninterval_ms = {SNAPSHOT_INTERVAL_MS}\n{peers}"
    )
}

fn json(text: &str) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::Cluster(format!("no JSON: {error}: {text}")))
}
