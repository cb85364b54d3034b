//! What one reader has been sent of a channel of all markets at once. Only what is another since is sent again.

use protocol::{MarketId, Seq, UnixNanos};

use super::data::MarketData;
use super::packet::Body;
use super::status::Status;
use super::subscription::{Channel, Taken};
use super::ticker::{Ticker, Window};

/// In the place of a market: all of them, of the channels [`Channel::Ticker`] and [`Channel::Status`].
pub const ALL_MARKETS: MarketId = MarketId(0);

/// What a reader of all markets has.
#[derive(Clone, Debug)]
pub(super) enum AllMarkets {
    /// The windows behind this record, and where they began; `None` = nothing was sent.
    Tickers { window: Window, seen: Option<(Seq, UnixNanos)> },
    /// The states behind this record; `None` = nothing was sent.
    Statuses(Option<Seq>),
}

impl AllMarkets {
    /// `None`: the channel is of one market alone.
    pub(super) const fn new(channel: Channel) -> Option<Self> {
        match channel {
            Channel::Ticker(window) => Some(Self::Tickers { window, seen: None }),
            Channel::Status => Some(Self::Statuses(None)),
            Channel::Depth(_)
            | Channel::Levels
            | Channel::Orders
            | Channel::Trades
            | Channel::AggregateTrades
            | Channel::Candles(_) => None,
        }
    }

    /// What happened before market data began was put in front: anything may be another.
    pub(super) const fn prepend(&mut self) {
        match self {
            Self::Tickers { seen, .. } => *seen = None,
            Self::Statuses(have) => *have = None,
        }
    }

    pub(super) fn may_have_more(&self, data: &MarketData) -> bool {
        match self {
            Self::Tickers { window, seen } => *seen != Some((data.traded(), window.open_time(data.now()))),
            Self::Statuses(have) => *have != Some(data.status_changed()),
        }
    }

    pub(super) fn take(&mut self, data: &MarketData) -> Taken {
        match self {
            Self::Tickers { window, seen } => tickers(data, *window, seen),
            Self::Statuses(have) => statuses(data, have),
        }
    }
}

/// All tickers, when the window has moved on.
fn tickers(data: &MarketData, window: Window, seen: &mut Option<(Seq, UnixNanos)>) -> Taken {
    let (now, open_time) = (data.now(), window.open_time(data.now()));
    let before = seen.replace((data.traded(), open_time));
    let since = before.filter(|before| before.1 == open_time).map(|before| before.0);
    let others =
        data.markets().filter(|(_, market)| since.is_none_or(|since| market.tape().traded() > since));
    let tickers: Vec<(MarketId, Ticker)> =
        others.filter_map(|(id, market)| Some((id, market.ticker(window, now)?))).collect();
    if tickers.is_empty() { Taken::NOTHING } else { Taken::new(Body::Tickers { window, tickers }) }
}

fn statuses(data: &MarketData, have: &mut Option<Seq>) -> Taken {
    let since = have.replace(data.status_changed());
    let others =
        data.markets().filter(|(_, market)| since.is_none_or(|since| market.status_changed() > since));
    let statuses: Vec<(MarketId, Status)> = others.map(|(id, market)| (id, market.status())).collect();
    if statuses.is_empty() { Taken::NOTHING } else { Taken::new(Body::Statuses(statuses)) }
}
