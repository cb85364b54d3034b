//! Readers over WebSockets: the messages of the binary protocol as JSON.

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use protocol::binary::market::MarketReject;
use protocol::binary::{MarketRejectReason, Words, message_bytes};
use tokio::net::TcpListener;

use super::doors::{Ended, HEARTBEAT, LAST_WORDS, unless_stalled};
use super::hall::{Hall, Place};
use super::json;
use crate::http::{self, Pass};

/// Bytes of a request.
pub(super) const REQUEST_BYTES_MAX: usize = 4 << 10;
/// Bytes that a request may have to be refused with a word, and not by the end of the connection.
const FRAME_BYTES_MAX: usize = 64 << 10;
/// Connections that are told that there is no place, or ask for something else.
const SPARE: usize = 16;

/// Close codes; all but the last are those of RFC 6455.
const GOING_AWAY: u16 = 1_001;
const UNSUPPORTED: u16 = 1_003;
const TOO_BIG: u16 = 1_009;
const INTERNAL: u16 = 1_011;
/// Nothing was read for too long.
const SLOW_READER: u16 = 4_001;

/// Takes readers, for as long as the runtime lives.
pub(super) async fn serve(listener: TcpListener, hall: Arc<Hall>) {
    let connections_max = hall.connections_max() + SPARE;
    let router = Router::new().route("/market", get(upgrade)).with_state(hall);
    if let Err(error) = http::guarded_until_released(listener, router, connections_max).await {
        tracing::error!(%error, "WebSockets are no longer served");
    }
}

async fn upgrade(
    State(hall): State<Arc<Hall>>,
    ConnectInfo(pass): ConnectInfo<Pass>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(place) = hall.enter() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "as many read market data as may\n").into_response();
    };
    upgrade.max_message_size(FRAME_BYTES_MAX).max_frame_size(FRAME_BYTES_MAX).on_upgrade(move |socket| {
        pass.release();
        attend(socket, place)
    })
}

async fn attend(mut socket: WebSocket, mut place: Place) {
    let (mut out, mut ended) = (Vec::new(), None);
    while ended.is_none() {
        ended = turn(&mut socket, &mut place, &mut out).await.err();
    }
    let Some(ended) = ended else { return };
    let code = match ended {
        Ended::Gone => return,
        Ended::Stopping => GOING_AWAY,
        Ended::NotText => UNSUPPORTED,
        Ended::TooLong => TOO_BIG,
        Ended::OutOfTurn(_) | Ended::Malformed(_) => INTERNAL,
        Ended::Stalled(_) => {
            place.count_stalled();
            SLOW_READER
        }
    };
    drop(place);
    let close = CloseFrame { code, reason: ended.to_string().into() };
    let said = async {
        socket.send(Message::Close(Some(close))).await?;
        while socket.recv().await.transpose()?.is_some() {}
        Ok::<_, axum::Error>(())
    };
    // Who does not read them in time goes without.
    drop(tokio::time::timeout(LAST_WORDS, said).await);
}

/// Writes what there is, then waits for more from either side.
async fn turn(socket: &mut WebSocket, place: &mut Place, out: &mut Vec<u8>) -> Result<(), Ended> {
    place.tell(out)?;
    if !out.is_empty() {
        unless_stalled(place, write(socket, out)).await?;
        out.clear();
        // Whoever reads as fast as this writes is heard all the same.
        return tokio::select! {
            biased;
            message = socket.recv() => hear(place, message, out),
            () = tokio::task::yield_now() => Ok(()),
        };
    }
    tokio::select! {
        goes_on = place.news() => if goes_on { Ok(()) } else { Err(Ended::Stopping) },
        message = socket.recv() => hear(place, message, out),
        () = tokio::time::sleep(HEARTBEAT) => {
            place.heartbeat(out);
            Ok(())
        }
    }
}

/// Writes messages of the binary protocol, each as JSON.
async fn write(socket: &mut WebSocket, messages: &[u8]) -> Result<(), axum::Error> {
    let mut rest = messages;
    while let Ok(Some(length)) = message_bytes(rest, usize::MAX)
        && let Some((message, behind)) = rest.split_at_checked(length)
    {
        socket.send(Message::Text(json::render(message).into())).await?;
        rest = behind;
    }
    Ok(())
}

/// Takes a request, and appends the answer.
fn hear(
    place: &mut Place,
    message: Option<Result<Message, axum::Error>>,
    out: &mut Vec<u8>,
) -> Result<(), Ended> {
    let text = match message {
        Some(Ok(Message::Text(text))) => text,
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
        Some(Ok(Message::Binary(_))) => return Err(Ended::NotText),
        Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Ended::Gone),
    };
    if text.len() > REQUEST_BYTES_MAX {
        return Err(Ended::TooLong);
    }
    match json::request(&text) {
        Ok(request) => Ok(place.hear(&request, out)?),
        Err(why) => {
            let (reason, text) = (MarketRejectReason::Malformed, Words::new(&why));
            MarketReject { number: 0, ref_template_id: 0, reason, text }.write(out);
            Ok(())
        }
    }
}
