//! What is paid for trading.
//!
//! ```text
//! taxes TRY                          an account for taxes; a market with the word `taxed` uses it
//! fees BTC-TRY [group 2] [in 3] [tax 5%] 0:0.1%/0.2% 1000:-0.01%/0.15%     tiers: volume:maker/taker; none takes the schedule away
//! feegroup alice 2
//! ```
//! `in 3` is the third seq behind this one; `at 7` is that seq.

use super::*;
use protocol::rows::FeeTier;
use protocol::{FeeGroupId, Seq};

impl Script {
    pub(super) fn fee_schedule(&self, words: &mut Words<'_>) -> SetFeeSchedule {
        let market = self.market_id(words.next());
        let quote = self.names.markets.get(&market).map_or(0, |market| market.quote);
        let scale = self.names.assets.get(&quote).map_or(0, |asset| asset.scale);
        let fee_group = FeeGroupId(u16::try_from(words.number("group", 0)).unwrap());
        let tax_ppm = ppm(words.option("tax"));
        let this = self.world.engine.seq_applied().0 + 1;
        let later = words.option("in").map(|seqs| this + seqs.parse::<u64>().unwrap());
        let effective_seq = Seq(words.number("at", later.unwrap_or(0)));
        let tiers = core::mem::take(&mut words.words).into_iter().map(|word| {
            let (volume, rates) = word.split_once(':').unwrap();
            let (maker, taker) = rates.split_once('/').unwrap();
            let (maker_is_paid, maker) = match maker.strip_prefix('-') {
                Some(rebate) => (true, rebate),
                None => (false, maker),
            };
            let (maker_ppm, taker_ppm) = (ppm(Some(maker)), ppm(Some(taker)));
            FeeTier { volume_min: Amount(decimal(volume, scale)), maker_ppm, maker_is_paid, taker_ppm }
        });
        let tiers = tiers.collect();
        SetFeeSchedule { market: MarketId(market), fee_group, effective_seq, tiers, tax_ppm }
    }

    pub(super) fn fee_group(&self, words: &mut Words<'_>) -> SetFeeGroup {
        let name = words.next();
        let client = by_name(&self.names.clients, |client| client == name).unwrap_or(0);
        SetFeeGroup { client: ClientId(client), fee_group: FeeGroupId(words.next().parse().unwrap()) }
    }
}
