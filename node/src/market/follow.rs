//! What comes out of the queue goes into the read models; and readers that stall are cut.

use std::sync::Arc;
use std::time::Duration;

use protocol::frame::Frame;
use replicas::Tapped;
use views::market::{MarketData, MarketFault, MarketLimits, Publisher};

use super::feed::{Fed, Shared};
use super::hall::Hall;
use super::past::Keeper;
use crate::clock::Clock;

/// After a fault or a gap.
const RETRY: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1_000 });
/// Between two looks for readers that stall.
const LOOK: Duration = Duration::from_secs(1);

/// Why market data begin again.
#[derive(Debug, thiserror::Error)]
enum Stumble {
    #[error(transparent)]
    Market(#[from] MarketFault),
    #[error("the thread was too slow, and some of what was applied went by")]
    Gap,
    #[error("what followed from seq {0} on does not count any more")]
    Again(u64),
    #[error("a frame that does not read back")]
    Frame,
}

/// Follows until the node ends.
pub(super) async fn follow(shared: &Shared, hall: &Hall, keeper: &Keeper) {
    while let Err(stumble) = live(shared, hall, keeper).await {
        hall.shut();
        tracing::error!(fault = %stumble, "market data begin again");
        tokio::time::sleep(RETRY).await;
    }
}

async fn live(shared: &Shared, hall: &Hall, keeper: &Keeper) -> Result<(), Stumble> {
    shared.begin();
    let mut again_at = None;
    loop {
        match shared.next().await {
            Fed::End => return Ok(()),
            Fed::Gap => return Err(Stumble::Gap),
            Fed::Begin(begin) => {
                let limits = MarketLimits::default();
                hall.begin(MarketData::begin(limits, begin.at, begin.definitions, begin.orders)?);
            }
            Fed::Applied(tapped) => {
                let seq =
                    hall.feed(|publisher| tapped.iter().try_for_each(|tapped| take(publisher, tapped)))?;
                if again_at.take_if(|at| *at <= seq).is_some() {
                    shared.begin();
                }
            }
            Fed::CatchUp(catch_up) => keeper.catch_up(catch_up),
            Fed::Past(past) => hall.prepend(*past),
            // What is to come may have come meanwhile.
            Fed::Ahead(seq) if hall.seq() >= seq => shared.begin(),
            Fed::Ahead(seq) => again_at = Some(seq),
            Fed::Time(time) => hall.pass_time(time),
        }
    }
}

fn take(publisher: &mut Publisher, tapped: &Tapped) -> Result<(), Stumble> {
    match tapped {
        Tapped::Again { from } if *from <= publisher.data().seq() => Err(Stumble::Again(from.0)),
        Tapped::Again { .. } => Ok(()),
        Tapped::Applied { frame, events, effects } => {
            let frame = Frame::read(frame).map_err(|_| Stumble::Frame)?;
            Ok(publisher.data_mut().take_frame(&frame.header, events, *effects)?)
        }
    }
}

/// Cuts readers that stall, for as long as the runtime lives.
pub(super) async fn cut_stalled(hall: Arc<Hall>, clock: Clock) {
    loop {
        tokio::time::sleep(LOOK).await;
        hall.cut_stalled(clock.mono());
    }
}
