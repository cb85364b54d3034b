//! The node's end of the admin socket. It runs beside the hot thread and asks it through a short, bounded queue: what
//! does not fit is answered "busy", and the hot thread takes one question a turn.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use protocol::Command;
use protocol::skip::Skip;
use replicas::{ClusterRefusal, SkipNotProposed};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::admin::{
    Answer, AssetLine, Body, COMMANDS_PER_LINE_MAX, HaltLine, LINE_BYTES_MAX, Request, SocketPath, unhex,
};
use crate::members::{Members, Order};
use crate::plan::{Effect, Outcome};
use crate::reads::{Fresh, Freshness};
use crate::repair_report::RepairReport;
use crate::status::{SessionReport, Watch, latest};

/// Operators at once.
const CONNECTIONS_MAX: usize = 8;
/// Questions that wait for the hot thread.
const QUESTIONS_MAX: usize = 16;

/// What an operator is told of a node that is being repaired.
const REPAIRING: &str = "the node's journal is being repaired";

/// After an error, which may well last.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What only the hot thread can answer.
pub(crate) enum Question {
    /// The client sessions.
    Sessions(oneshot::Sender<Vec<SessionReport>>),
    /// The assets.
    Assets(oneshot::Sender<Vec<AssetLine>>),
    /// What would change.
    Plan(Vec<Command>, oneshot::Sender<Vec<Effect>>),
    /// Execute.
    Submit(Vec<Command>, oneshot::Sender<Vec<Outcome>>),
    /// Wait until the state is so new; the seq that is applied then.
    Fresh(Freshness, oneshot::Sender<Fresh>),
    /// Seq and hash of the whole state.
    StateHash(oneshot::Sender<(u64, String)>),
    /// Who belongs to the cluster.
    Members(oneshot::Sender<Box<Members>>),
    /// Move the lead, or change the membership; what speaks against it.
    Order(Order, oneshot::Sender<Result<(), ClusterRefusal>>),
    /// Where the engine halted, and the last seq that it has taken.
    Halt(oneshot::Sender<(Option<HaltLine>, u64)>),
    /// Pass over the record there; what the replica says against it.
    Skip(Box<Skip>, oneshot::Sender<Result<(), SkipNotProposed>>),
}

/// The hot thread's end of the queue.
pub(crate) type Questions = std::sync::mpsc::Receiver<Question>;

/// What an operator's connection may use.
pub(crate) enum Desk {
    /// The replica runs.
    Open(OpenDesk),
    /// Its journal is being repaired.
    Repair(watch::Receiver<Arc<RepairReport>>),
}

/// What it may use of a replica that runs.
pub(crate) struct OpenDesk {
    questions: SyncSender<Question>,
    wake: Box<dyn Fn() + Send + Sync>,
    status: Watch,
}

impl Desk {
    /// A desk, and the hot thread's end of its queue. `wake` is called after each question.
    pub(crate) fn new(status: Watch, wake: impl Fn() + Send + Sync + 'static) -> (Self, Questions) {
        let (questions, receiver) = sync_channel(QUESTIONS_MAX);
        (Self::Open(OpenDesk { questions, wake: Box::new(wake), status }), receiver)
    }

    /// Whether this user of the operating system may ask. Who the operator is the state says, which nobody has during a repair:
    /// then it is the user that the node runs as, who can read its files anyway.
    fn admit(&self, uid: u32) -> Result<(), &'static str> {
        match self {
            Self::Open(desk) => desk.admit(uid),
            Self::Repair(_) if uid == rustix::process::geteuid().as_raw() => Ok(()),
            Self::Repair(_) => Err("this user is not the one that the node runs as"),
        }
    }

    async fn answer(&self, request: Request) -> Result<Answer, String> {
        match (self, request) {
            (Self::Open(desk), request) => desk.answer(request).await,
            (Self::Repair(report), Request::Status) => {
                Ok(Answer::Repair { report: Box::new((**report.borrow()).clone()) })
            }
            (Self::Repair(_), Request::Members) => Err(format!(
                "{REPAIRING}: it knows for certain who belongs to the cluster when it is done; ask another node"
            )),
            (Self::Repair(_), _) => Err(format!("{REPAIRING}: `sicil status` says what it waits for")),
        }
    }
}

impl OpenDesk {
    /// Whether this user of the operating system is the operator. Nobody is until the first record has been read.
    fn admit(&self, uid: u32) -> Result<(), &'static str> {
        match latest(&self.status).genesis.as_ref().map(|genesis| genesis.operator_uid) {
            Some(operator) if operator == uid => Ok(()),
            Some(_) => Err("this user is not the operator of the cluster"),
            None => Err("the node is recovering"),
        }
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        self.questions.try_send(question(answer)).map_err(|refused| match refused {
            TrySendError::Full(_) => "busy with other operators' questions".to_owned(),
            TrySendError::Disconnected(_) => "the node is stopping".to_owned(),
        })?;
        (self.wake)();
        answered.await.map_err(|_| latest(&self.status).takes_no_commands())
    }

    async fn answer(&self, request: Request) -> Result<Answer, String> {
        Ok(match request {
            Request::Status => {
                let sessions = self.ask(Question::Sessions).await?;
                let report = Box::new(latest(&self.status).report());
                Answer::Status { report, sessions }
            }
            Request::Assets => Answer::Assets { assets: self.ask(Question::Assets).await? },
            Request::Plan { commands } => {
                let commands = decode(&commands)?;
                Answer::Plan { effects: self.ask(|to| Question::Plan(commands, to)).await? }
            }
            Request::Submit { commands } => {
                let commands = decode(&commands)?;
                Answer::Submitted { outcomes: self.ask(|to| Question::Submit(commands, to)).await? }
            }
            Request::Fresh { freshness } => {
                Answer::Fresh { seq_applied: self.ask(|to| Question::Fresh(freshness, to)).await?? }
            }
            Request::StateHash => {
                let (seq, hash) = self.ask(Question::StateHash).await?;
                Answer::StateHash { seq, hash }
            }
            Request::Members => Answer::Members { members: self.ask(Question::Members).await? },
            Request::Order { order } => {
                let given = self.ask(|to| Question::Order(order, to)).await?;
                given.map_err(|refused| refused.to_string())?;
                Answer::Ordered
            }
            Request::Halt => {
                let (halt, seq_applied) = self.ask(Question::Halt).await?;
                Answer::Halt { halt, seq_applied }
            }
            Request::Skip { payload } => {
                let bytes = unhex(&payload).ok_or("not hexadecimal")?;
                let skip = Skip::read(&bytes).map_err(|fault| format!("not a decision: {fault}"))?;
                let proposed = self.ask(|to| Question::Skip(Box::new(skip), to)).await?;
                proposed.map_err(|refused| refused.to_string())?;
                Answer::SkipProposed
            }
        })
    }
}

fn decode(bodies: &[Body]) -> Result<Vec<Command>, String> {
    if bodies.len() > COMMANDS_PER_LINE_MAX {
        return Err(format!("{} commands in a line, {COMMANDS_PER_LINE_MAX} allowed", bodies.len()));
    }
    bodies
        .iter()
        .map(|body| {
            body.command().map_err(|fault| format!("a command that this node does not know: {fault:?}"))
        })
        .collect()
}

/// Binds the socket in `dir`, readable and writable by its owner alone. The caller holds the folder's lock, so a socket
/// found there is one that a killed process left.
///
/// # Errors
/// Of the operating system.
pub(crate) fn bind(dir: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let socket = SocketPath::in_dir(dir)?;
    match fs::remove_file(&socket.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(&socket.path)?;
    fs::set_permissions(&socket.path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves operators until the process ends.
pub(crate) async fn serve(listener: std::os::unix::net::UnixListener, desk: Desk) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let desk = Arc::new(desk);
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The socket's queue holds who comes while all places are taken.
        let Ok(place) = Arc::clone(&connections).acquire_owned().await else { return Ok(()) };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept on the admin socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &desk).await {
                tracing::info!(%error, "an operator's connection ended");
            }
            drop(place);
        });
    }
}

async fn converse(stream: UnixStream, desk: &Desk) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(&stream)?;
    let admitted = desk.admit(peer.uid.as_raw());
    if let Err(reason) = admitted {
        tracing::warn!(uid = peer.uid.as_raw(), reason, "refused on the admin socket");
    }
    let mut stream = BufReader::new(stream);
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    loop {
        let mut line = String::new();
        if (&mut stream).take(limit).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match (admitted, serde_json::from_str(&line)) {
            (Err(reason), _) => Err(reason.to_owned()),
            (Ok(()), Err(error)) => Err(format!("not a request: {error}")),
            (Ok(()), Ok(request)) => desk.answer(request).await,
        };
        let answer = answer.unwrap_or_else(|message| Answer::Error { message });
        let mut text = serde_json::to_string(&answer).map_err(io::Error::other)?;
        text.push('\n');
        stream.write_all(text.as_bytes()).await?;
        if admitted.is_err() {
            return Ok(());
        }
    }
}
