//! What the random flow has met.

use std::collections::BTreeMap;

use protocol::event::Event;
use protocol::{EventBody, RejectReason, SelfTradePrevention};

use crate::model::{Model, ModelTrade};

/// What trading rules refuse: a flow that never meets one of these tests nothing of it.
const OF_RULES: [RejectReason; 6] = {
    use protocol::RejectReason::*;
    [PriceOutsideBand, NoReferencePrice, TooManyStops, TooManyIcebergs, PositionLimit, TooManyAmendments]
};

/// What a flow has to reach, lest it tests nothing of it.
#[derive(Default)]
pub(crate) struct Reached {
    trades: usize,
    fired: usize,
    auctions: usize,
    taxed: usize,
    paid: usize,
    collared: u32,
    released: u32,
    pulled: u32,
    repriced: u32,
    scheduled: u32,
    caught_up: u32,
    paused: u32,
    resumed: u32,
    /// By the code of the mode, and whether the incoming order traded leg by leg.
    prevented: BTreeMap<(u8, bool), u32>,
    refused: BTreeMap<Option<RejectReason>, u32>,
}

impl Reached {
    pub(crate) fn see(&mut self, events: &[Event], refusal: Option<RejectReason>) {
        self.fired +=
            events.iter().filter(|event| matches!(event.body, EventBody::OrderTriggered(_))).count();
        self.auctions +=
            events.iter().filter(|event| matches!(event.body, EventBody::AuctionUncrossed(_))).count();
        *self.refused.entry(refusal).or_insert(0) += 1;
    }

    pub(crate) fn add(&mut self, model: &Model) {
        self.trades += model.trades.len();
        self.collared += model.collared;
        self.released += model.released;
        self.pulled += model.pulled;
        self.repriced += model.repriced;
        self.scheduled += model.scheduled;
        self.caught_up += model.caught_up;
        self.paused += model.paused;
        self.resumed += model.resumed;
        for (kind, count) in &model.prevented {
            *self.prevented.entry(*kind).or_insert(0) += count;
        }
        self.taxed += model.trades.iter().filter(|trade| trade.buyer_tax + trade.seller_tax > 0).count();
        let fee_of_maker =
            |trade: &&ModelTrade| trade.maker_is_paid && trade.buyer_fee.min(trade.seller_fee) > 0;
        self.paid += model.trades.iter().filter(fee_of_maker).count();
    }

    pub(crate) fn check(&self, played: usize) {
        let Self { trades, fired, auctions, taxed, paid, .. } = *self;
        assert!(fired > played * 3, "only {fired} orders fired in {played} runs");
        assert!(auctions * 2 > played, "only {auctions} auctions in {played} runs");
        assert!(trades > played * 25, "only {trades} trades in {played} runs");
        assert!(played == 1 || (taxed > played && paid > played / 2), "{taxed} taxed, {paid} with a rebate");
        if played > 100 {
            let Self { pulled, released, collared, repriced, scheduled, caught_up, .. } = *self;
            assert!(repriced > 1_000, "only {repriced} times a pegged order was moved");
            assert!(pulled > 100, "only {pulled} times orders were pulled");
            assert!(released > played.try_into().unwrap(), "only {released} lists had orders enter");
            assert!(collared > 40, "only {collared} orders expired at a collar");
            assert!(scheduled > 1_000, "only {scheduled} phases changed by a schedule");
            for mode in SelfTradePrevention::ALL.iter().filter(|mode| **mode != SelfTradePrevention::None) {
                for (is_leg, least) in [(false, 100), (true, 4)] {
                    let seen = self.prevented.get(&(mode.code(), is_leg)).copied().unwrap_or(0);
                    assert!(seen > least, "only {seen} trades prevented by {mode:?}, of legs: {is_leg}");
                }
            }
            let Self { paused, resumed, .. } = *self;
            assert!(
                paused > 200 && resumed > 100,
                "only {paused} pauses, {resumed} of which ended by themselves"
            );
            assert!(caught_up > 20, "only {caught_up} schedules were more than a week behind");
            for reason in OF_RULES {
                assert!(self.refused.contains_key(&Some(reason)), "never refused: {reason:?}");
            }
        }
    }
}
