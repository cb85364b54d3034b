//! The words of an order: what it says beside side, price and quantity.

use protocol::commands::SetTradeGroup;
use protocol::terms::{OrderTerms, RareTerms};
use protocol::{ClientId, MarketId, PostOnly, QtyLots, SelfTradePrevention, TimeInForce, TradeGroupId};

use super::services::named;
use super::{Script, Words, by_name, nanoseconds};

impl Script {
    /// `ioc`, `fok`, `day`, `until 5s` from now; else good till cancelled.
    pub(super) fn time_in_force(&self, words: &mut Words<'_>) -> (TimeInForce, u64) {
        if let Some(after) = words.option("until") {
            return (TimeInForce::GoodTillDate, self.world.time + nanoseconds(after));
        }
        let time_in_force = if words.flag("ioc") {
            TimeInForce::ImmediateOrCancel
        } else if words.flag("fok") {
            TimeInForce::FillOrKill
        } else if words.flag("day") {
            TimeInForce::Day
        } else {
            TimeInForce::GoodTillCancel
        };
        (time_in_force, 0)
    }

    /// `postonly`, `slide`, `min 5`, `show 2`, `valid 2s` from now, `stp expire-taker`, `ondisconnect cancel` or `keep`.
    pub(super) fn terms(&self, market: MarketId, expires_at_ns: u64, words: &mut Words<'_>) -> RareTerms {
        let post_only = if words.flag("postonly") {
            Some(PostOnly::Reject)
        } else if words.flag("slide") {
            Some(PostOnly::Slide)
        } else {
            None
        };
        let lots = |text: Option<&str>| text.map_or(QtyLots(0), |text| self.lots(market, text));
        OrderTerms {
            expires_at_ns,
            post_only,
            min_qty_lots: lots(words.option("min")),
            display_lots: lots(words.option("show")),
            valid_until_ns: words.option("valid").map_or(0, |after| self.world.time + nanoseconds(after)),
            self_trade_prevention: words
                .option("stp")
                .map(|word| named(SelfTradePrevention::ALL, SelfTradePrevention::name, word)),
            cancel_on_disconnect: match words.option("ondisconnect") {
                Some("cancel") => Some(true),
                Some(_keep) => Some(false),
                None => None,
            },
            ..OrderTerms::default()
        }
        .into()
    }

    /// `group alice 7`; 0 = none.
    pub(super) fn trade_group(&self, words: &mut Words<'_>) -> SetTradeGroup {
        let name = words.next();
        let client = by_name(&self.names.clients, |client| client == name).unwrap();
        let trade_group = TradeGroupId(words.next().parse().unwrap());
        SetTradeGroup { client: ClientId(client), trade_group }
    }
}
