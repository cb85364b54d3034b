//! What the gateway has learnt of the configuration: CompIDs, symbols, and how decimals become ticks and lots. All of it
//! comes from committed events.

use std::collections::BTreeMap;

use protocol::commands::{DefineMarket, DefineSession};
use protocol::limits::{COMP_ID_BYTES_MAX, SYMBOL_BYTES_MAX};
use protocol::money::{DecimalFault, parse_decimal};
use protocol::{AssetId, EventBody, MarketId, PriceTicks, QtyLots, SessionId, SessionProtocol, Text};

type CompId = Text<COMP_ID_BYTES_MAX>;

/// Decimals of the finest price that FIX carries here.
const PRICE_SCALE_MAX: u8 = 18;

/// CompIDs, symbols and scales.
#[derive(Default)]
pub(crate) struct Directory {
    asset_scales: BTreeMap<AssetId, u8>,
    markets: BTreeMap<MarketId, Market>,
    symbols: BTreeMap<Text<SYMBOL_BYTES_MAX>, MarketId>,
    sessions: BTreeMap<SessionId, DefineSession>,
    /// The client's CompID and ours.
    comp_ids: BTreeMap<(CompId, CompId), SessionId>,
}

/// A market, as far as rendering and reading orders need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Market {
    pub(crate) id: MarketId,
    pub(crate) symbol: Text<SYMBOL_BYTES_MAX>,
    /// `None`: a tick is no finite decimal, so no price can be written and no order read.
    pub(crate) tick: Option<Step>,
    /// A lot, in base.
    pub(crate) lot: Step,
    /// Decimals of amounts in quote.
    pub(crate) quote_scale: u8,
}

/// The distance between two values of a price or quantity: `units` of `10^-scale`; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) units: u128,
    pub(crate) scale: u8,
}

/// Why a decimal is no count of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepFault {
    /// It lies between two steps.
    Between,
    /// It is below zero, or past what a count holds.
    Range,
}

impl Step {
    /// The decimal as a count of steps, exactly.
    pub(crate) fn count(&self, text: &[u8]) -> Result<u64, StepFault> {
        let units = parse_decimal(text, self.scale).map_err(|fault| match fault {
            DecimalFault::TooFine => StepFault::Between,
            DecimalFault::NotADecimal | DecimalFault::TooLarge => StepFault::Range,
        })?;
        if units % self.units != 0 {
            return Err(StepFault::Between);
        }
        u64::try_from(units / self.units).map_err(|_| StepFault::Range)
    }
}

impl Directory {
    /// Takes a definition; other events say nothing about the configuration.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only definitions matter here, whatever else is added"
    )]
    pub(crate) fn define(&mut self, event: &EventBody) {
        match event {
            EventBody::AssetDefined(event) => {
                self.asset_scales.insert(event.definition.asset, event.definition.scale);
            }
            EventBody::MarketDefined(event) => self.define_market(&event.definition),
            EventBody::SessionDefined(event) => self.define_session(&event.definition),
            _ => {}
        }
    }

    fn define_market(&mut self, market: &DefineMarket) {
        let scale = |asset| self.asset_scales.get(&asset).copied().unwrap_or(0);
        let (base_scale, quote_scale) = (scale(market.base), scale(market.quote));
        let lot = Step { units: market.lot_base_minor.0.max(1), scale: base_scale };
        let tick = tick(market.tick_quote_minor.0, quote_scale, lot);
        self.markets.insert(
            market.market,
            Market { id: market.market, symbol: market.symbol, tick, lot, quote_scale },
        );
        self.symbols.insert(market.symbol, market.market);
    }

    fn define_session(&mut self, session: &DefineSession) {
        if session.protocol == SessionProtocol::Fix {
            self.comp_ids.insert((session.client_comp_id, session.our_comp_id), session.session);
            self.sessions.insert(session.session, session.clone());
        }
    }

    /// The session of these CompIDs.
    pub(crate) fn session_of(&self, client: &[u8], ours: &[u8]) -> Option<&DefineSession> {
        let pair = (CompId::new(client).ok()?, CompId::new(ours).ok()?);
        self.sessions.get(self.comp_ids.get(&pair)?)
    }

    /// A FIX session.
    pub(crate) fn session(&self, session: SessionId) -> Option<&DefineSession> {
        self.sessions.get(&session)
    }

    /// The market of this symbol.
    pub(crate) fn market_of(&self, symbol: &[u8]) -> Option<&Market> {
        self.markets.get(self.symbols.get(&Text::new(symbol).ok()?)?)
    }

    /// A market.
    pub(crate) fn market(&self, market: MarketId) -> Option<&Market> {
        self.markets.get(&market)
    }
}

impl Market {
    /// A price in ticks, exactly.
    pub(crate) fn price(&self, text: &[u8]) -> Result<PriceTicks, StepFault> {
        self.tick.ok_or(StepFault::Between)?.count(text).map(PriceTicks)
    }

    /// A quantity in lots, exactly.
    pub(crate) fn qty(&self, text: &[u8]) -> Result<QtyLots, StepFault> {
        self.lot.count(text).map(QtyLots)
    }
}

/// The price of one whole unit of base, in quote, at one tick: `tick_quote_minor / 10^quote_scale` buys a lot, which is
/// `lot.units / 10^lot.scale` of base. `None` unless that is a decimal with at most [`PRICE_SCALE_MAX`] places.
fn tick(tick_quote_minor: u128, quote_scale: u8, lot: Step) -> Option<Step> {
    let power = |scale: u8| 10_u128.checked_pow(u32::from(scale));
    let numerator = tick_quote_minor.checked_mul(power(lot.scale)?)?;
    let denominator = lot.units.checked_mul(power(quote_scale)?)?;
    let divisor = gcd(numerator, denominator);
    let (numerator, denominator) = (numerator.checked_div(divisor)?, denominator.checked_div(divisor)?);
    if numerator == 0 {
        return None;
    }
    (0..=PRICE_SCALE_MAX).find_map(|scale| {
        let power = power(scale)?;
        let whole = power.is_multiple_of(denominator);
        let units = || numerator.checked_mul(power / denominator);
        whole.then(units).flatten().map(|units| Step { units, scale })
    })
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_an_exact_decimal_or_none() {
        // BTC-TRY: lots of 0.00001 BTC (scale 8), a tick of 0.01 TRY for a whole BTC cannot be: a lot would cost a
        // fraction of a minor unit. With a scale of 8 for TRY it can.
        assert_eq!(tick(10, 8, Step { units: 1_000, scale: 8 }), Some(Step { units: 1, scale: 2 }));
        assert_eq!(tick(1, 2, Step { units: 1, scale: 0 }), Some(Step { units: 1, scale: 2 }));
        assert_eq!(tick(5, 0, Step { units: 1, scale: 3 }), Some(Step { units: 5_000, scale: 0 }));
        assert_eq!(tick(1, 2, Step { units: 3, scale: 0 }), None);
        assert_eq!(tick(3, 2, Step { units: 6, scale: 0 }), Some(Step { units: 5, scale: 3 }));
        assert_eq!(tick(0, 2, Step { units: 1, scale: 0 }), None);
        assert_eq!(tick(u128::MAX, 2, Step { units: 1, scale: 18 }), None);
    }

    #[test]
    fn a_decimal_is_a_count_of_steps_or_refused() {
        let step = Step { units: 5, scale: 2 };
        assert_eq!(step.count(b"1.05"), Ok(21));
        assert_eq!(step.count(b"001.0500"), Ok(21));
        assert_eq!(step.count(b"1.06"), Err(StepFault::Between));
        assert_eq!(step.count(b"1.055"), Err(StepFault::Between));
        assert_eq!(step.count(b"-1.05"), Err(StepFault::Range));
        assert_eq!(step.count(b"99999999999999999999"), Err(StepFault::Range));
    }
}
