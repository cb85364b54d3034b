//! Starting `sicil`, and waiting for what it says instead of for time to pass.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio};

use serde_json::Value;

pub(crate) fn sicil<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sicil"));
    command.args(arguments).env("RUST_LOG", "warn");
    command
}

/// Runs to the end: exit code, stdout, stderr.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let code = status.code().unwrap_or(-1);
    (code, String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A running node.
pub(crate) struct Node {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) ready: Value,
}

impl Node {
    /// Starts a node and reads its ready line.
    pub(crate) fn start(data: &Path, config: &Path) -> Self {
        Self::when_ready(Self::launch(data, config))
    }

    /// Runs a command that becomes a node, and reads its ready line.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::when_ready(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Launches a node that may take a while to be ready, or need help.
    pub(crate) fn launch(data: &Path, config: &Path) -> Child {
        let mut command = sicil(["start", "--json"]);
        command.arg("--data").arg(data).arg("--config").arg(config);
        command.stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Reads the ready line of a node that was launched.
    pub(crate) fn when_ready(mut child: Child) -> Self {
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "no ready line: {:?}", child.wait());
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["event"], "ready", "{line}");
        Self { child, stdout, ready }
    }

    /// Like [`Self::of`]; the second is its log, to be read to the end or dropped with the node.
    pub(crate) fn with_log(command: &mut Command) -> (Self, BufReader<ChildStderr>) {
        let mut node = Self::of(command.stderr(Stdio::piped()));
        let log = BufReader::new(node.child.stderr.take().unwrap());
        (node, log)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Ends it with SIGTERM and returns its exit status; nothing more may have come on stdout.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("-TERM");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        self.child.wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `GET path`: status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.ready["http"].as_str().unwrap()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Already ended in a test that passes; a test that fails leaves nothing running.
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// `sicil status --json`.
pub(crate) fn status(data: &Path, more: &[&str]) -> Value {
    let (code, out, err) = run(sicil(["status", "--json"]).args(more).arg("--data").arg(data));
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}
