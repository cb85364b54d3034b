//! Readers over the binary protocol.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use protocol::binary::market::{MarketMessage, MarketTerminate, READER_MESSAGE_BYTES_MAX};
use protocol::binary::{BinaryFault, TerminationCode, Words, message_bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use views::market::{OutOfTurn, Stalled};

use super::hall::{Hall, Place};
use super::websocket::REQUEST_BYTES_MAX;

/// Silence after which a sign of life is sent.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// Between two looks whether a reader that is written to was cut.
const LOOK: Duration = Duration::from_secs(1);
/// How long the last words may take.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);
/// After an accept that failed for want of something.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of requests that are taken at once.
const INPUT_BYTES_MAX: usize = 4 << 10;
/// Requests wait while the answers to those before are longer.
const ANSWERS_BYTES_MAX: usize = 64 << 10;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("it went")]
    Gone,
    #[error("what is no text is not taken")]
    NotText,
    #[error("a request of more than {REQUEST_BYTES_MAX} bytes")]
    TooLong,
    #[error("the node stops")]
    Stopping,
    #[error(transparent)]
    Stalled(#[from] Stalled),
    #[error(transparent)]
    OutOfTurn(#[from] OutOfTurn),
    #[error(transparent)]
    Malformed(#[from] BinaryFault),
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl Ended {
    /// What the reader is told; `None` = there is nobody to be told.
    fn code(&self) -> Option<TerminationCode> {
        match self {
            Self::Gone => None,
            Self::Stopping => Some(TerminationCode::Maintenance),
            Self::Stalled(_) => Some(TerminationCode::SlowReader),
            Self::OutOfTurn(_) => Some(TerminationCode::ProtocolViolation),
            Self::Malformed(_) | Self::NotText | Self::TooLong => Some(TerminationCode::DecodingError),
        }
    }
}

/// Takes readers, for as long as the runtime lives.
pub(super) async fn serve(listener: TcpListener, hall: Arc<Hall>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a reader of market data cannot be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        match hall.enter() {
            Some(place) => drop(tokio::spawn(attend(stream, place))),
            None => drop(tokio::spawn(last_words(stream, TerminationCode::NoRoom, String::new()))),
        }
    }
}

async fn attend(mut stream: TcpStream, mut place: Place) {
    // Packets are written whole: there is nothing to wait for.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let ended = converse(&mut stream, &mut place).await;
    if let Ended::Stalled(_) = ended {
        place.count_stalled();
    }
    drop(place);
    if let Some(code) = ended.code() {
        last_words(stream, code, ended.to_string()).await;
    }
}

async fn last_words(mut stream: TcpStream, code: TerminationCode, text: String) {
    let mut out = Vec::new();
    MarketTerminate { code, text: Words::new(&text) }.write(&mut out);
    let said = async {
        stream.write_all(&out).await?;
        stream.shutdown().await?;
        // What the reader still sends is let go by: a reset would take the last words with it.
        let mut input = [0; INPUT_BYTES_MAX];
        while stream.read(&mut input).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Who does not read them in time goes without.
    drop(tokio::time::timeout(LAST_WORDS, said).await);
}

async fn converse(stream: &mut TcpStream, place: &mut Place) -> Ended {
    let (mut input, mut out) = (Vec::with_capacity(INPUT_BYTES_MAX), Vec::new());
    loop {
        if let Err(ended) = turn(stream, place, &mut input, &mut out).await {
            return ended;
        }
    }
}

/// Writes what there is, then waits for more from either side.
async fn turn(
    stream: &mut TcpStream,
    place: &mut Place,
    input: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Ended> {
    let heard = hear(place, input, out);
    if heard.is_ok() {
        place.tell(out)?;
    }
    if !out.is_empty() {
        unless_stalled(place, stream.write_all(out)).await?;
        out.clear();
        heard?;
        // Whoever reads as fast as this writes is heard all the same.
        return match stream.try_read_buf(input) {
            Ok(0) => Err(Ended::Gone),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::task::yield_now().await;
                Ok(())
            }
            Err(error) => Err(error.into()),
        };
    }
    heard?;
    tokio::select! {
        goes_on = place.news() => if goes_on { Ok(()) } else { Err(Ended::Stopping) },
        read = stream.read_buf(input) => if read? == 0 { Err(Ended::Gone) } else { Ok(()) },
        () = tokio::time::sleep(HEARTBEAT) => {
            place.heartbeat(out);
            Ok(())
        }
    }
}

/// Takes the whole requests at the front of `input`, as far as their answers have room, and appends those.
fn hear(place: &mut Place, input: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Ended> {
    let mut rest = &input[..];
    while out.len() < ANSWERS_BYTES_MAX
        && let Some(length) = message_bytes(rest, READER_MESSAGE_BYTES_MAX)?
    {
        let Some((message, behind)) = rest.split_at_checked(length) else { break };
        place.hear(&MarketMessage::read(message)?, out)?;
        rest = behind;
    }
    let taken = input.len() - rest.len();
    input.drain(..taken);
    Ok(())
}

/// Writes, unless the reader is cut meanwhile.
pub(super) async fn unless_stalled<E>(
    place: &Place,
    write: impl Future<Output = Result<(), E>>,
) -> Result<(), Ended> {
    let mut write = pin!(write);
    loop {
        match tokio::time::timeout(LOOK, &mut write).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(_)) => return Err(Ended::Gone),
            Err(_) if place.is_stalled() => return Err(Ended::Stalled(Stalled)),
            // It is only slow: the same write goes on.
            Err(_elapsed) => {}
        }
    }
}
