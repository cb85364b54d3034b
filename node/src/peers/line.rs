//! The connection of a gateway process, from the node's side: let in by `accept`, read and written here, for the hot thread.
//!
//! Both ends of its one stream send messages: the length, u32 little endian; the bytes.

use std::sync::Arc;
use std::time::Duration;

use protocol::GatewayId;
use protocol::limits::LINK_MESSAGE_BYTES_MAX;
use quinn::{Connection, ReadExactError, RecvStream, SendStream, WriteError};
use tokio::sync::{Semaphore, mpsc};

use super::slot::{self, Parcel};

/// Messages in each of the two queues.
const QUEUE_MESSAGES_MAX: usize = 64;
/// Bytes that have come and were not taken.
const ARRIVED_BYTES_MAX: usize = 4 << 20;
/// Messages are gathered up to here for one write.
const GATHER_BYTES: usize = 64 << 10;

const _: () = assert!(ARRIVED_BYTES_MAX >= 2 * LINK_MESSAGE_BYTES_MAX);

/// For the last word to be taken, behind everything that was sent before it.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Why a line ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineFault {
    /// The stream cannot be read.
    #[error("the stream ended: {0}")]
    Read(#[from] ReadExactError),
    /// The stream cannot be written.
    #[error("the stream ended: {0}")]
    Write(#[from] WriteError),
    /// A length that no message has.
    #[error("a message of {0} bytes is announced, 1 to {LINK_MESSAGE_BYTES_MAX} are allowed")]
    Length(u32),
    /// The hot thread has let go of it.
    #[error("closed here")]
    Closed,
}

/// The hot thread's end of a connection between a gateway process and a node; both sides have one. Dropping it closes the
/// connection, after what was sent.
pub(crate) struct Line {
    out: mpsc::Sender<Vec<u8>>,
    arrived: mpsc::Receiver<Parcel>,
}

/// A line whose other end is a gateway.
pub(crate) struct GatewayLine {
    /// By its certificate.
    pub(crate) gateway: GatewayId,
    /// To it.
    pub(super) line: Line,
}

/// The connection is no more, and everything that came on it has been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineEnded;

impl Line {
    /// The next message, if there is one.
    pub(crate) fn receive(&mut self) -> Result<Option<Vec<u8>>, LineEnded> {
        match self.arrived.try_recv() {
            Ok(parcel) => Ok(Some(parcel.bytes)),
            Err(mpsc::error::TryRecvError::Empty) => Ok(None),
            Err(mpsc::error::TryRecvError::Disconnected) => Err(LineEnded),
        }
    }

    /// Room for one message more.
    pub(crate) fn room(&self) -> Option<mpsc::Permit<'_, Vec<u8>>> {
        self.out.try_reserve().ok()
    }
}

impl GatewayLine {
    /// As [`Line::receive`].
    pub(crate) fn receive(&mut self) -> Result<Option<Vec<u8>>, LineEnded> {
        self.line.receive()
    }

    /// As [`Line::room`].
    pub(crate) fn room(&self) -> Option<mpsc::Permit<'_, Vec<u8>>> {
        self.line.room()
    }
}

/// The other end of a [`Line`], for the task that carries it.
pub(crate) struct Carrier {
    out: mpsc::Receiver<Vec<u8>>,
    arrivals: mpsc::Sender<Parcel>,
}

/// Both ends.
pub(crate) fn line() -> (Line, Carrier) {
    let (out, to_send) = mpsc::channel(QUEUE_MESSAGES_MAX);
    let (arrivals, arrived) = mpsc::channel(QUEUE_MESSAGES_MAX);
    (Line { out, arrived }, Carrier { out: to_send, arrivals })
}

impl Carrier {
    /// Carries messages both ways until the connection is lost, or the hot thread has let go of it; why.
    pub(crate) async fn carry(
        mut self,
        connection: &Connection,
        mut send: SendStream,
        mut receive: RecvStream,
        wake: &(dyn Fn() + Send + Sync),
    ) -> LineFault {
        let Self { out, arrivals } = &mut self;
        let both = async {
            let ended = tokio::select! {
                ended = write(&mut send, out, wake) => match ended {
                    Ok(()) => LineFault::Closed,
                    Err(error) => error.into(),
                },
                fault = read(&mut receive, arrivals, wake) => fault,
            };
            // The last word, who leads perhaps, is to be heard before the end.
            if matches!(ended, LineFault::Closed) && send.finish().is_ok() {
                send.stopped().await.ok();
            }
            ended
        };
        // Whoever takes nothing any more is not waited for.
        let let_go = async {
            arrivals.closed().await;
            tokio::time::sleep(LAST_WORD).await;
        };
        let ended = tokio::select! {
            ended = both => ended,
            () = let_go => LineFault::Closed,
        };
        connection.close(0_u32.into(), b"closed");
        drop(self);
        wake();
        ended
    }
}

async fn write(
    stream: &mut SendStream,
    queue: &mut mpsc::Receiver<Vec<u8>>,
    wake: &(dyn Fn() + Send + Sync),
) -> Result<(), WriteError> {
    let mut gathered = Vec::new();
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some(bytes) = next {
            // A longer one than the limit is never made.
            gathered.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            gathered.extend_from_slice(&bytes);
            next = if gathered.len() < GATHER_BYTES { queue.try_recv().ok() } else { None };
        }
        // There is room again.
        wake();
        stream.write_all(&gathered).await?;
        gathered.clear();
    }
    Ok(())
}

async fn read(
    stream: &mut RecvStream,
    arrivals: &mpsc::Sender<Parcel>,
    wake: &(dyn Fn() + Send + Sync),
) -> LineFault {
    let room = Arc::new(Semaphore::new(ARRIVED_BYTES_MAX));
    loop {
        let mut length = [0; 4];
        if let Err(error) = stream.read_exact(&mut length).await {
            return error.into();
        }
        let announced = u32::from_le_bytes(length);
        let bytes = usize::try_from(announced).unwrap_or(usize::MAX);
        if bytes == 0 || bytes > LINK_MESSAGE_BYTES_MAX {
            return LineFault::Length(announced);
        }
        let Some(place) = slot::room(&room, bytes).await else { return LineFault::Closed };
        let mut message = vec![0; bytes];
        if let Err(error) = stream.read_exact(&mut message).await {
            return error.into();
        }
        if arrivals.send(Parcel { bytes: message, _room: place }).await.is_err() {
            return LineFault::Closed;
        }
        wake();
    }
}
