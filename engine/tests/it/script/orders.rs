//! The words of an order: what it says beside side, price and quantity.

use protocol::commands::{
    CancelOrder, CancelReplaceOrder, ClOrdId, MassCancel, MassQuote, NewOrderList, PublishPrice,
    SetCancelAllAfter, SetMarketMakerProtection, SetTradeGroup, SetTradingRules,
};
use protocol::rows::QuoteEntry;
use protocol::terms::{OrderTerms, Peg, RareTerms, Trail, Trigger, Twap};
use protocol::{
    CancelReplaceMode, ClientId, Contingency, ListRelease, MarketId, MarketPhase, PegTo, PostOnly,
    PriceTicks, QtyLots, ReferencePrice, SelfTradePrevention, SessionId, TimeInForce, TradeGroupId, TrailBy,
    TriggerDirection, TriggerPriceType,
};

use super::services::named;
use super::{Script, Words, by_name, milliseconds, nanoseconds, phase, ppm, side};

/// `trail 200` ticks, `trail 50bp`.
fn trail(words: &mut Words<'_>) -> Option<Trail> {
    let word = words.option("trail")?;
    let (by, number) = match word.strip_suffix("bp") {
        Some(number) => (TrailBy::BasisPoints, number),
        None => (TrailBy::Ticks, word),
    };
    Some(Trail { by, offset: number.parse().unwrap() })
}

/// `twap 5x10s`.
fn twap(words: &mut Words<'_>) -> Option<Twap> {
    let (legs, interval) = words.option("twap")?.split_once('x')?;
    let interval_ms = u32::try_from(milliseconds(interval)).unwrap();
    Some(Twap { legs: legs.parse().unwrap(), interval_ms })
}

/// `primary 2`, `opposite 2`: pegged to the best price of its side, or of the other one, so many ticks away.
fn peg(words: &mut Words<'_>) -> Option<Peg> {
    let (to, offset) = match (words.option("primary"), words.option("opposite")) {
        (Some(offset), _) => (PegTo::Primary, offset),
        (None, Some(offset)) => (PegTo::Market, offset),
        (None, None) => return None,
    };
    Some(Peg { to, offset_ticks: offset.parse().unwrap() })
}

fn prevention_named(word: &str) -> SelfTradePrevention {
    named(SelfTradePrevention::ALL, SelfTradePrevention::name, word)
}

/// `cancelallafter 2s`.
pub(super) fn cancel_all_after(words: &mut Words<'_>) -> SetCancelAllAfter {
    let timeout_ms = u32::try_from(milliseconds(words.next())).unwrap();
    SetCancelAllAfter { request_id: ClOrdId::EMPTY, timeout_ms }
}

impl Script {
    /// `ioc`, `fok`, `day`, `until 5s` from now, `lasting 5s` as the engine counts; else good till cancelled. With the end as a term.
    pub(super) fn time_in_force(&self, words: &mut Words<'_>) -> (TimeInForce, OrderTerms) {
        let never = OrderTerms::default();
        if let Some(after) = words.option("until") {
            let ends = OrderTerms { expires_at_ns: self.world.time + nanoseconds(after), ..never };
            return (TimeInForce::GoodTillDate, ends);
        }
        if let Some(after) = words.option("lasting") {
            let expires_in_s = u32::try_from(milliseconds(after) / 1_000).unwrap();
            return (TimeInForce::GoodTillDate, OrderTerms { expires_in_s, ..never });
        }
        let time_in_force = if words.flag("ioc") {
            TimeInForce::ImmediateOrCancel
        } else if words.flag("fok") {
            TimeInForce::FillOrKill
        } else if words.flag("opening") {
            TimeInForce::AtTheOpening
        } else if words.flag("closing") {
            TimeInForce::AtTheClose
        } else if words.flag("day") {
            TimeInForce::Day
        } else {
            TimeInForce::GoodTillCancel
        };
        (time_in_force, never)
    }

    /// `postonly`, `slide`, `min 5`, `show 2`, `valid 2s` from now, `stp expire-taker`, `down 95 trail 50bp`, `ondisconnect cancel` or `keep`.
    pub(super) fn terms(&self, market: MarketId, ends: OrderTerms, words: &mut Words<'_>) -> RareTerms {
        let post_only = if words.flag("postonly") {
            Some(PostOnly::Reject)
        } else if words.flag("slide") {
            Some(PostOnly::Slide)
        } else {
            None
        };
        let lots = |text: Option<&str>| text.map_or(QtyLots(0), |text| self.lots(market, text));
        OrderTerms {
            post_only,
            min_qty_lots: lots(words.option("min")),
            display_lots: lots(words.option("show")),
            valid_until_ns: words.option("valid").map_or(0, |after| self.world.time + nanoseconds(after)),
            self_trade_prevention: words.option("stp").map(prevention_named),
            cancel_on_disconnect: match words.option("ondisconnect") {
                Some("cancel") => Some(true),
                Some(_keep) => Some(false),
                None => None,
            },
            trigger: self.trigger(market, words),
            trail: trail(words),
            twap: twap(words),
            peg: peg(words),
            ..ends
        }
        .into()
    }

    /// `up 105` or `down 95`, of the last price; `best up 105`, `index up 105`.
    fn trigger(&self, market: MarketId, words: &mut Words<'_>) -> Option<Trigger> {
        let price_type = if words.flag("best") {
            TriggerPriceType::Best
        } else if words.flag("index") {
            TriggerPriceType::Index
        } else {
            TriggerPriceType::Last
        };
        let (direction, price) = match (words.option("up"), words.option("down")) {
            (Some(price), _) => (TriggerDirection::Up, price),
            (None, Some(price)) => (TriggerDirection::Down, price),
            (None, None) => return None,
        };
        Some(Trigger { price_ticks: self.ticks(market, price), price_type, direction })
    }

    /// `cancel a2 of a1 buy`.
    pub(super) fn cancel(&self, words: &mut Words<'_>) -> CancelOrder {
        let (cl_ord_id, orig_cl_ord_id, order) = self.named_order(words);
        CancelOrder {
            cl_ord_id,
            orig_cl_ord_id,
            order,
            poss_resend: words.flag("again"),
            market: self.on(words),
            side: side(words.next()),
        }
    }

    /// `cancelreplace a2 of a1 buy | sell a3 1 @ 110`; `or-not` in front: the new one enters even if the old one cannot be cancelled.
    pub(super) fn cancel_replace(&self, words: &mut Words<'_>) -> CancelReplaceOrder {
        let mode = if words.flag("or-not") {
            CancelReplaceMode::AllowFailure
        } else {
            CancelReplaceMode::StopOnFailure
        };
        let all = std::mem::take(&mut words.words);
        let mut parts = all.split(|word| *word == "|");
        let mut words_of = || Words { words: parts.next().unwrap().to_vec(), place: words.place.clone() };
        let cancel = self.cancel(&mut words_of());
        let mut words = words_of();
        let side = side(words.next());
        CancelReplaceOrder { cancel, order: self.order(side, &mut words), mode }
    }

    /// `protect BTC-TRY of bob fills 3 lots 10 in 1s`; without fills none.
    pub(super) fn protection(&self, words: &mut Words<'_>) -> SetMarketMakerProtection {
        let market = MarketId(self.market_id(words.next()));
        let session = words
            .option("of")
            .map(|name| SessionId(by_name(&self.names.sessions, |session| session == name).unwrap_or(99)));
        SetMarketMakerProtection {
            request_id: ClOrdId::EMPTY,
            session,
            market,
            fills_max: u32::try_from(words.number("fills", 0)).unwrap(),
            lots_max: words.option("lots").map_or(QtyLots(0), |lots| self.lots(market, lots)),
            window_ms: u32::try_from(words.option("in").map_or(0, milliseconds)).unwrap(),
        }
    }

    /// `masscancel m1 on BTC-TRY side sell for alice`, any of them.
    pub(super) fn mass_cancel(&self, words: &mut Words<'_>) -> MassCancel {
        let client = words.option("for");
        let client = client.map(|name| by_name(&self.names.clients, |c| c == name).unwrap_or(77));
        MassCancel {
            market: words.option("on").map(|symbol| MarketId(self.market_id(symbol))),
            side: words.option("side").map(side),
            client: client.map(ClientId),
            cl_ord_id: words.id(),
        }
    }

    /// `massquote q1 postonly | 1 bid 10@99 offer 5@101 | 2 offer 5@101 on ETH-TRY`: entries behind bars; `alone` withdraws the others, `alone
    /// in BTC-TRY` those there.
    pub(super) fn mass_quote(&self, words: &mut Words<'_>) -> MassQuote {
        let all = std::mem::take(&mut words.words);
        let mut parts = all.split(|word| *word == "|");
        let words_of = |part: &[_]| Words { words: part.to_vec(), place: words.place.clone() };
        let mut head = words_of(parts.next().unwrap());
        let entries = parts.map(|part| {
            let mut words = words_of(part);
            let market = self.on(&mut words);
            let mut side = |name| {
                let Some((lots, price)) = words.option(name).and_then(|word| word.split_once('@')) else {
                    return (PriceTicks(0), QtyLots(0));
                };
                (self.ticks(market, price), self.lots(market, lots))
            };
            let ((bid_price_ticks, bid_lots), (offer_price_ticks, offer_lots)) = (side("bid"), side("offer"));
            let entry = words.next().parse().unwrap();
            QuoteEntry { entry, market, bid_price_ticks, bid_lots, offer_price_ticks, offer_lots }
        });
        let entries = entries.collect();
        let client = head.option("for");
        let client = client.map(|name| by_name(&self.names.clients, |c| c == name).unwrap_or(77));
        MassQuote {
            client: client.map(ClientId),
            post_only: if head.flag("postonly") {
                Some(PostOnly::Reject)
            } else {
                head.flag("slide").then_some(PostOnly::Slide)
            },
            self_trade_prevention: head.option("stp").map(prevention_named),
            withdraws_market: head.option("in").map(|symbol| MarketId(self.market_id(symbol))),
            withdraws_others: head.flag("alone"),
            entries,
            ..MassQuote::empty(if head.flag("-") { ClOrdId::EMPTY } else { head.id() })
        }
    }

    /// `oto l1 on-trade | buy a1 1 @ 100 | sell a2 1 @ 110`: the orders behind bars; those that wait enter when the first one is filled, or has traded.
    pub(super) fn order_list(&self, name: &str, words: &mut Words<'_>) -> NewOrderList {
        let contingency = match name {
            "oco" => Contingency::OneCancelsOther,
            "oto" => Contingency::OneTriggersOther,
            _ => Contingency::OneTriggersOneCancelsOther,
        };
        let all = std::mem::take(&mut words.words);
        let mut parts = all.split(|word| *word == "|");
        let words_of = |part: &[_]| Words { words: part.to_vec(), place: words.place.clone() };
        let mut head = words_of(parts.next().unwrap());
        let release = if head.flag("on-trade") { ListRelease::Traded } else { ListRelease::Filled };
        let orders = parts.map(|part| {
            let mut words = words_of(part);
            let side = side(words.next());
            self.order(side, &mut words)
        });
        NewOrderList { cl_list_id: head.id(), contingency, release, orders: orders.collect() }
    }

    /// `rules BTC-TRY by-index buy-above 10% buy-below 50% sell-above 50% sell-below 10% collar 5% stp expire-taker no-self-trades stops 2
    /// icebergs 1 position 20 amendments 3 moves 10% within 60s into Auction pause 30s`, any of them.
    pub(super) fn trading_rules(&self, words: &mut Words<'_>) -> SetTradingRules {
        let market = MarketId(self.market_id(words.next()));
        let mut number = |name| words.number(name, 0).try_into().unwrap();
        let (client_stops_max, client_icebergs_max) = (number("stops"), number("icebergs"));
        let amendments_max = number("amendments");
        let position = words.option("position").map(|lots| self.lots(market, lots));
        let prevention = words.option("stp");
        let mut time = |name| u32::try_from(words.option(name).map_or(0, milliseconds)).unwrap();
        let (volatility_window_ms, volatility_pause_ms) = (time("within"), time("pause"));
        let volatility_phase = words.option("into").map_or(MarketPhase::Halt, phase);
        let volatility_ppm = ppm(words.option("moves"));
        let mut millionths = |name| ppm(words.option(name));
        SetTradingRules {
            market,
            buy_above_ppm: millionths("buy-above"),
            buy_below_ppm: millionths("buy-below"),
            sell_above_ppm: millionths("sell-above"),
            sell_below_ppm: millionths("sell-below"),
            collar_ppm: millionths("collar"),
            reference: if words.flag("by-index") { ReferencePrice::Index } else { ReferencePrice::LastTrade },
            self_trade_prevention: prevention.map_or(SelfTradePrevention::None, prevention_named),
            may_self_trade: !words.flag("no-self-trades"),
            client_stops_max,
            client_icebergs_max,
            client_position_lots_max: position.unwrap_or(QtyLots(0)),
            amendments_max,
            volatility_ppm,
            volatility_window_ms,
            volatility_phase,
            volatility_pause_ms,
        }
    }

    /// `index BTC-TRY 101 for 5s`, observed now or `ago 2s` or `ahead 2s`.
    pub(super) fn index_price(&self, words: &mut Words<'_>) -> PublishPrice {
        let market = MarketId(self.market_id(words.next()));
        let ago = words.option("ago").map_or(0, nanoseconds);
        let ahead = words.option("ahead").map_or(0, nanoseconds);
        let valid_for_ms = words.option("for").map_or(5_000, milliseconds);
        PublishPrice {
            market,
            price_ticks: self.ticks(market, words.next()),
            observed_at_ns: self.world.time + ahead - ago,
            valid_for_ms: u32::try_from(valid_for_ms).unwrap(),
        }
    }

    /// `group alice 7`; 0 = none.
    pub(super) fn trade_group(&self, words: &mut Words<'_>) -> SetTradeGroup {
        let name = words.next();
        let client = by_name(&self.names.clients, |client| client == name).unwrap();
        let trade_group = TradeGroupId(words.next().parse().unwrap());
        SetTradeGroup { client: ClientId(client), trade_group }
    }
}
