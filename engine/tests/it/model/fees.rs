//! Fees, taxes and rebates, as they are written in docs/MATCHING.md.

use protocol::RejectReason::{self, *};
use protocol::commands::{SetFeeGroup, SetFeeSchedule};
use protocol::{AccountId, Seq, Side};

use super::{DAY, FEES, Model, ModelOrder, ModelTrade, TAXES};

const MILLION: i128 = 1_000_000;
const BILLION: i128 = 1_000_000_000;

/// In billionths of the notional, tax included; below zero it is paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelRates {
    pub(super) maker: i128,
    pub(super) taker: i128,
    pub(super) tax_ppm: i128,
}

impl ModelRates {
    fn new(maker_ppm: u32, maker_is_paid: bool, taker_ppm: u32, tax_ppm: u32) -> Self {
        let taxed = |ppm: u32| i128::from(ppm) * (MILLION + i128::from(tax_ppm)) / 1_000;
        let maker = if maker_is_paid { -i128::from(maker_ppm) * 1_000 } else { taxed(maker_ppm) };
        Self { maker, taker: taxed(taker_ppm), tax_ppm: tax_ppm.into() }
    }
}

impl Model {
    /// Trades a taker with the live order at a place.
    pub(super) fn fill(&mut self, taker: &mut ModelOrder, at: usize) {
        let mut maker = self.live[at].clone();
        let qty = (taker.qty - taker.cum - taker.keeps).min(maker.shown);
        let notional = self.move_amounts(taker, &maker, qty);
        let rates = (maker.rates.maker, taker.rates.taker);
        let (maker_fee, maker_tax) = charge(&mut maker, signed(notional) * rates.0);
        let (taker_fee, taker_tax) = charge(taker, signed(notional) * rates.1);
        maker.cum += qty;
        maker.shown -= qty;
        taker.cum += qty;
        let quote = self.markets[&taker.market].0.quote.0;
        self.pay(taker.client, FEES, quote, taker_fee);
        self.pay(taker.client, TAXES, quote, taker_tax);
        // What of a rebate is beyond the fee account's money and its lines is not paid.
        let maker_fee = maker_fee.max(-self.paid_by_fees(quote));
        self.pay(maker.client, FEES, quote, maker_fee);
        self.pay(maker.client, TAXES, quote, maker_tax);
        if !self.of_one_group(taker, &maker) {
            let today = self.now / DAY;
            let sides = [maker.client, taker.client].map(|client| (today, taker.market, client, notional));
            self.volumes.extend(sides);
        }
        let maker_side = (maker.client, maker_fee, maker_tax);
        let taker_side = (taker.client, taker_fee, taker_tax);
        let (buyer, seller) = match taker.side {
            Side::Buy => (taker_side, maker_side),
            Side::Sell => (maker_side, taker_side),
        };
        self.last.insert(taker.market, maker.price);
        self.note_price(taker.market, maker.price);
        self.traded.entry(taker.market).or_default().push(maker.price);
        self.trades.push(ModelTrade {
            maker: maker.id,
            taker: taker.id,
            price: maker.price,
            qty,
            buyer: buyer.0,
            seller: seller.0,
            buyer_fee: buyer.1.unsigned_abs(),
            seller_fee: seller.1.unsigned_abs(),
            buyer_tax: unsigned(buyer.2),
            seller_tax: unsigned(seller.2),
            maker_is_paid: maker.rates.maker < 0,
        });
        self.note_fill(&maker, qty);
        self.note_acted(maker.id);
        self.note_acted(taker.id);
        if maker.cum == maker.qty {
            self.live.remove(at);
            self.end_as(maker.client, maker.id, true);
        } else {
            self.live[at] = maker;
            self.refill(at);
        }
    }

    /// The most that the account of fees can pay now.
    fn paid_by_fees(&self, asset: u32) -> i128 {
        let (_, agreed, temporary, until) =
            self.fee_lines.filter(|(of, ..)| *of == asset).unwrap_or_default();
        let line = if self.now < until { agreed + temporary } else { agreed };
        let owed = self.fees_owed.get(&asset).copied().unwrap_or(0);
        (signed(self.balances[&(FEES, asset)] + line) - signed(owed)).max(0)
    }

    /// Less than nothing goes the other way. The account of fees may come to owe.
    pub(super) fn pay(&mut self, from: u64, to: u64, asset: u32, amount: i128) {
        for (client, amount) in [(from, -amount), (to, amount)] {
            if client == FEES {
                let owed = self.fees_owed.entry(asset).or_default();
                let balance = self.balances.get_mut(&(FEES, asset)).unwrap();
                let stands = signed(*balance) - signed(*owed) + amount;
                (*balance, *owed) = (unsigned(stands.max(0)), unsigned((-stands).max(0)));
            } else if amount != 0 {
                let balance = self.balances.get_mut(&(client, asset)).unwrap();
                *balance = balance.checked_add_signed(amount).unwrap();
            }
        }
    }

    /// The schedule of a group at a seq: of those set for no later one, the one for the latest; of those, the one set last.
    fn schedule(&self, market: u32, group: u16, at: u64) -> Option<&SetFeeSchedule> {
        let of = |set: &&SetFeeSchedule| {
            set.market.0 == market && set.fee_group.0 == group && set.effective_seq.0 <= at
        };
        let last = self.schedules.iter().filter(of).max_by_key(|set| set.effective_seq);
        last.filter(|set| !set.tiers.is_empty())
    }

    pub(super) fn rates(&self, client: u64, market: u32) -> ModelRates {
        let (seq, today) = (self.seq, self.now / DAY);
        let group = self.fee_groups.get(&client).copied().unwrap_or(0);
        let schedule = self.schedule(market, group, seq).or_else(|| self.schedule(market, 0, seq));
        let Some(schedule) = schedule else {
            let definition = &self.markets[&market].0;
            return ModelRates::new(definition.maker_fee_ppm, false, definition.taker_fee_ppm, 0);
        };
        let counts = |&&(day, of, who, _): &&(u64, u32, u64, u128)| {
            of == market && who == client && day < today && day + 30 >= today
        };
        let volume: u128 = self.volumes.iter().filter(counts).map(|traded| traded.3).sum();
        let tier = schedule.tiers.iter().rfind(|tier| tier.volume_min.0 <= volume).unwrap();
        ModelRates::new(tier.maker_ppm, tier.maker_is_paid, tier.taker_ppm, schedule.tax_ppm)
    }

    /// Those that are in force in a market, or will be.
    fn counting(&self, market: u32) -> Vec<&SetFeeSchedule> {
        let now = self.seq;
        let replaces = |one: &SetFeeSchedule, other: &SetFeeSchedule| {
            one.fee_group == other.fee_group
                && other.effective_seq >= one.effective_seq
                && (other.effective_seq == one.effective_seq || other.effective_seq.0 <= now)
        };
        let of_market: Vec<&SetFeeSchedule> =
            self.schedules.iter().filter(|set| set.market.0 == market).collect();
        let counts = |&at: &usize| {
            !of_market[at + 1..].iter().any(|later| replaces(of_market[at], later))
                && !of_market[..at].iter().any(|earlier| {
                    replaces(of_market[at], earlier) && earlier.effective_seq > of_market[at].effective_seq
                })
        };
        (0..of_market.len()).filter(counts).map(|at| of_market[at]).collect()
    }

    /// Whether no rebate is above a fee of the incoming side that may stand against it.
    pub(crate) fn pays_for_itself(&self, market: u32) -> bool {
        let counting = self.counting(market);
        let tiers = || counting.iter().flat_map(|set| &set.tiers);
        let rebate = tiers().filter(|tier| tier.maker_is_paid).map(|tier| tier.maker_ppm).max();
        let fee = tiers().map(|tier| tier.taker_ppm).min().unwrap_or(u32::MAX);
        rebate.unwrap_or(0) <= fee.min(self.markets[&market].0.taker_fee_ppm)
    }

    pub(crate) fn set_schedule(&mut self, command: &SetFeeSchedule) -> Option<RejectReason> {
        let (now, market) = (self.seq, command.market.0);
        let mut set = command.clone();
        if set.effective_seq.0 == 0 {
            set.effective_seq = Seq(now);
        }
        let before = self.schedule(market, set.fee_group.0, set.effective_seq.0);
        let (tiers, tax_ppm) = before.map_or((Vec::new(), 0), |set| (set.tiers.clone(), set.tax_ppm));
        if self.markets.contains_key(&market) && (&tiers, tax_ppm) == (&set.tiers, set.tax_ppm) {
            return Some(Exists);
        }
        let minima: Vec<u128> = set.tiers.iter().map(|tier| tier.volume_min.0).collect();
        let is_sound = set.effective_seq.0 >= now
            && set.tiers.len() <= 16
            && minima.first().is_none_or(|first| *first == 0)
            && (1..minima.len()).all(|at| minima[at - 1] < minima[at])
            && set.tax_ppm <= 1_000_000
            && (set.tax_ppm == 0 || !set.tiers.is_empty())
            && set.tiers.iter().all(|tier| {
                let taxed = |ppm: u32| i128::from(ppm) * (MILLION + i128::from(set.tax_ppm));
                taxed(tier.maker_ppm.max(tier.taker_ppm)) <= MILLION * MILLION
                    && (tier.maker_ppm > 0 || !tier.maker_is_paid)
            });
        if !is_sound {
            return Some(FieldOutOfRange);
        }
        let Some((definition, _)) = self.markets.get(&market) else { return Some(UnknownMarket) };
        if set.tax_ppm > 0 && definition.tax_account == AccountId(0) {
            return Some(FieldOutOfRange);
        }
        self.schedules.push(set);
        if !self.pays_for_itself(market) {
            self.schedules.pop();
            return Some(FieldOutOfRange);
        }
        None
    }

    pub(crate) fn set_group(&mut self, command: &SetFeeGroup) -> Option<RejectReason> {
        let before = self.fee_groups.insert(command.client.0, command.fee_group.0).unwrap_or(0);
        (before == command.fee_group.0).then_some(Exists)
    }
}

pub(super) fn signed(amount: u128) -> i128 {
    amount.try_into().unwrap()
}

pub(super) fn unsigned(amount: i128) -> u128 {
    amount.try_into().unwrap()
}

/// The smallest whole number not below so many billionths.
pub(super) fn ceiling(parts: i128) -> i128 {
    -(-parts).div_euclid(BILLION)
}

/// Fee and tax of a fill: the ceiling of all that is owed, less what was charged; of a rebate, less than nothing.
pub(super) fn charge(order: &mut ModelOrder, owed: i128) -> (i128, i128) {
    order.owed += owed;
    let charged = ceiling(order.owed) - order.charged;
    order.charged += charged;
    if owed < 0 {
        return (charged, 0);
    }
    order.fees += charged;
    let tax = order.fees * order.rates.tax_ppm / (MILLION + order.rates.tax_ppm) - order.taxes;
    order.taxes += tax;
    (charged - tax, tax)
}
