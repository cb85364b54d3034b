//! In which state a market is, and what was published of it.

use protocol::commands::SetTradingRules;
use protocol::events::{AuctionIndicated, PricePublished};
use protocol::{MarketId, MarketPhase, Seq, Side};

use super::tape::{AuctionOver, PhaseBegun};

/// In which state a market is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The phase that it is in.
    pub phase: MarketPhase,
    /// How it came into it; `None` = it began in it, or that was before market data began.
    pub begun: Option<PhaseBegun>,
    /// What its auction would trade now; `None` where there is none.
    pub indicated: Option<AuctionIndicated>,
    /// The last auction in which something was traded.
    pub auction: Option<AuctionOver>,
    /// The index price that was published last, whether it still counts or not.
    pub index: Option<PricePublished>,
    /// Within which bounds orders are taken.
    pub rules: SetTradingRules,
}

/// What of it the tape does not tell.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) phase: MarketPhase,
    pub(crate) indicated: Option<AuctionIndicated>,
    pub(crate) index: Option<PricePublished>,
    pub(crate) rules: SetTradingRules,
    /// The last record that changed any of it.
    pub(crate) changed: Seq,
}

impl Published {
    pub(crate) fn new(market: MarketId, phase: MarketPhase, seq: Seq) -> Self {
        Self { phase, indicated: None, index: None, rules: SetTradingRules::none(market), changed: seq }
    }

    pub(crate) fn status(&self, begun: Option<PhaseBegun>, auction: Option<AuctionOver>) -> Status {
        let Self { phase, indicated, index, rules, .. } = self;
        let (indicated, index, rules) = (indicated.clone(), index.clone(), rules.clone());
        Status { phase: *phase, begun, indicated, auction, index, rules }
    }
}

impl Status {
    /// What an auction would leave over at its price, on this side.
    #[must_use]
    pub fn surplus_lots(&self, side: Side) -> u128 {
        let indicated = self.indicated.as_ref().filter(|indicated| indicated.surplus_side == Some(side));
        indicated.map_or(0, |indicated| indicated.surplus_lots)
    }
}
