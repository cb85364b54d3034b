//! A node of the demo: this very program as a child process, so that it can be killed like any other.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::DemoFault;
use crate::threads;

/// Any free ports, and segments small enough that a minute fills several.
const CONFIG: &str = "demo = true\n[listen]\nfix = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nmarket = \"127.0.0.1:0\"\n[journal]\nsegment_bytes = 33554432\n";
/// Where a child finds its configuration: on its standard input, so that no file stays beside the folder.
const CONFIG_PATH: &str = "/dev/stdin";
/// A node that is not ready after this long is not going to be.
const READY_SECONDS: i64 = 60;
/// Longest time for a drained stop.
const STOP_SECONDS: i64 = 30;
/// Lines of its log that are shown when something goes wrong.
const LOG_LINES_MAX: usize = 30;

/// A running node. Killed when dropped: a demo that fails leaves no process behind.
pub(super) struct Node {
    child: Child,
    out: BufReader<ChildStdout>,
    log: Arc<Mutex<VecDeque<String>>>,
    /// Where FIX is served.
    pub(super) fix: SocketAddr,
    /// Where metrics are served.
    pub(super) http: String,
    /// Where market data are; empty = nowhere.
    pub(super) market: String,
}

impl Node {
    /// Starts a node on `data` and waits until it takes orders.
    ///
    /// # Errors
    /// [`DemoFault`] with the end of its log if it does not get there.
    pub(super) fn start(data: &Path) -> Result<Self, DemoFault> {
        let mut node = Self::launch(data, None)?;
        node.wait_ready()?;
        Ok(node)
    }

    /// Launches a node on `data`, with the configuration in a file or a built-in one.
    ///
    /// # Errors
    /// [`DemoFault`] if there is no process to be had.
    pub(super) fn launch(data: &Path, config: Option<&Path>) -> Result<Self, DemoFault> {
        let mut command = Command::new(program()?);
        command.arg("start").arg("--json").arg("--data").arg(data);
        command.arg("--config").arg(config.unwrap_or(Path::new(CONFIG_PATH)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(DemoFault::io("starting the node"))?;
        let (Some(mut stdin), Some(out), Some(err)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(DemoFault::Node("it has no pipes".to_owned()));
        };
        if config.is_none() {
            stdin.write_all(CONFIG.as_bytes()).map_err(DemoFault::io("the node's configuration"))?;
        }
        drop(stdin);
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&log);
        threads::start("node-log", move || keep_log(BufReader::new(err), &kept))
            .map(drop)
            .map_err(DemoFault::io("a thread"))?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Self {
            child,
            out: BufReader::new(out),
            log,
            fix: nowhere,
            http: String::new(),
            market: String::new(),
        })
    }

    /// Waits until orders are taken, by it or by the leader that it follows.
    ///
    /// # Errors
    /// [`DemoFault`] with the end of its log if it does not get there.
    pub(super) fn wait_ready(&mut self) -> Result<(), DemoFault> {
        self.wait_output(READY_SECONDS)?;
        let mut line = String::new();
        self.out.read_line(&mut line).map_err(DemoFault::io("the node's output"))?;
        let ready: Value = serde_json::from_str(&line).unwrap_or_default();
        let fix = ready.get("fix").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let http = ready.get("http").and_then(Value::as_str);
        let (Some(fix), Some(http)) = (fix, http) else {
            return Err(DemoFault::Node(format!(
                "no ready line came, but {line:?}; its log:\n{}",
                self.log()
            )));
        };
        (self.fix, self.http) = (fix, http.to_owned());
        self.market = ready.get("market").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(())
    }

    /// SIGKILL: the process does not get to say or write anything any more.
    pub(super) fn kill(&mut self) -> Result<(), DemoFault> {
        self.child.kill().map_err(DemoFault::io("killing the node"))?;
        self.child.wait().map(drop).map_err(DemoFault::io("waiting for the killed node"))
    }

    /// Ctrl-C, and waits until it has drained.
    pub(super) fn stop(self) -> Result<(), DemoFault> {
        self.interrupt()?;
        self.wait_end()
    }

    /// Ctrl-C.
    pub(super) fn interrupt(&self) -> Result<(), DemoFault> {
        kill_process(Pid::from_child(&self.child), Signal::INT)
            .map_err(|errno| DemoFault::io("stopping the node")(errno.into()))
    }

    /// Waits until it has drained.
    pub(super) fn wait_end(mut self) -> Result<(), DemoFault> {
        // The end of its output is the end of the process.
        loop {
            self.wait_output(STOP_SECONDS)?;
            let mut rest = [0; 256];
            if self.out.read(&mut rest).map_err(DemoFault::io("the node's output"))? == 0 {
                break;
            }
        }
        let status = self.child.wait().map_err(DemoFault::io("waiting for the node"))?;
        if status.success() {
            return Ok(());
        }
        Err(DemoFault::Node(format!("it stopped with {status}; its log:\n{}", self.log())))
    }

    fn wait_output(&mut self, seconds: i64) -> Result<(), DemoFault> {
        if !self.out.buffer().is_empty() {
            return Ok(());
        }
        let mut fds = [PollFd::new(self.out.get_ref(), PollFlags::IN)];
        let timeout = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let ready =
            poll(&mut fds, Some(&timeout)).map_err(|e| DemoFault::io("the node's output")(e.into()))?;
        if ready > 0 {
            return Ok(());
        }
        Err(DemoFault::Node(format!("nothing came from it for {seconds} s; its log:\n{}", self.log())))
    }

    /// The end of what it logged.
    pub(super) fn log(&self) -> String {
        let log = self.log.lock().map(|log| log.iter().cloned().collect::<Vec<_>>());
        log.map(|lines| lines.join("\n")).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both fail only if the process has ended, which is what is wanted.
        if let Ok(None) = self.child.try_wait()
            && self.child.kill().is_ok()
            && let Err(error) = self.child.wait()
        {
            eprintln!("sicil: the demo's node: {error}");
        }
    }
}

fn keep_log(mut err: impl BufRead, log: &Mutex<VecDeque<String>>) {
    let mut line = String::new();
    while err.read_line(&mut line).is_ok_and(|len| len > 0) {
        if let Ok(mut log) = log.lock() {
            if log.len() >= LOG_LINES_MAX {
                log.pop_front();
            }
            log.push_back(line.trim_end().to_owned());
        }
        line.clear();
    }
}

/// What an auditor's command printed.
pub(super) struct Audited {
    pub(super) status: ExitStatus,
    pub(super) out: String,
    pub(super) err: String,
}

/// Runs `sicil replay` with `arguments`.
pub(super) fn replay(arguments: &[&str]) -> Result<Audited, DemoFault> {
    finish(Command::new(program()?).arg("replay").args(arguments))
}

/// Runs a command of the operator, which has to succeed; what it says.
pub(super) fn operate<S: AsRef<OsStr>>(arguments: &[S]) -> Result<String, DemoFault> {
    let done = finish(Command::new(program()?).args(arguments))?;
    if done.status.success() {
        return Ok(done.out);
    }
    Err(DemoFault::Node(format!("{}: {}", done.status, done.err.trim())))
}

fn finish(command: &mut Command) -> Result<Audited, DemoFault> {
    let output = command.stdin(Stdio::null()).output().map_err(DemoFault::io("running this program"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Audited { status: output.status, out: text(&output.stdout), err: text(&output.stderr) })
}

fn program() -> Result<PathBuf, DemoFault> {
    env::current_exe().map_err(DemoFault::io("finding this program"))
}
