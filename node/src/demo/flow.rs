//! What the demo's clients want: three markets, prices that wander, and a seed for each client.

use gateways::fix::initiator::{Clocks, Initiator, NewOrder, OrderRef};
use protocol::money::format_decimal;
use protocol::{OrderType, Side, TimeInForce};

use super::blotter::Standing;

/// Live orders of one client above which it only cancels.
const LIVE_MAX: usize = 300;
/// Requests between two steps of a client's idea of the price.
const DRIFT_EVERY: u64 = 64;

/// A market of the built-in demo, in units of its price's and quantity's last decimal.
struct Market {
    symbol: &'static str,
    mid: u64,
    price_scale: u8,
    /// Between two prices that people think in.
    step: u64,
    qty: u64,
    qty_scale: u8,
}

const MARKETS: [Market; 3] = [
    Market { symbol: "BTC-TRY", mid: 4_000_000, price_scale: 0, step: 100, qty: 1, qty_scale: 2 },
    Market { symbol: "ETH-TRY", mid: 1_400_000, price_scale: 1, step: 50, qty: 1, qty_scale: 1 },
    Market { symbol: "USDT-TRY", mid: 42_500, price_scale: 3, step: 5, qty: 100, qty_scale: 0 },
];

/// What a request does, and to which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A new order.
    Order,
    /// Something to a live order.
    Amend(u64),
}

/// One client's wishes.
pub(super) struct Flow {
    client: usize,
    drawn: u64,
    mids: [u64; MARKETS.len()],
    requests: u64,
}

impl Flow {
    pub(super) fn new(client: usize, seed: u64) -> Self {
        let place = u64::try_from(client).unwrap_or(0) + 1;
        // Far apart from the neighbour's, and never 0.
        let drawn = seed.wrapping_add(place.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1;
        Self { client, drawn, mids: MARKETS.map(|market| market.mid), requests: 0 }
    }

    /// The ClOrdID of the `number`th request.
    pub(super) fn cl_ord_id(&self, number: u64) -> String {
        format!("{}-{number}", self.client)
    }

    /// The number in a ClOrdID of this flow.
    pub(super) fn number_of(cl_ord_id: &str) -> Option<u64> {
        cl_ord_id.rsplit('-').next()?.parse().ok()
    }

    /// Sends the next request. `live`: orders that nothing is under way for; `standing` knows them.
    pub(super) fn send(
        &mut self,
        initiator: &mut Initiator,
        live: &[u64],
        standing: impl Fn(u64) -> Option<Standing>,
        now: Clocks,
    ) -> (u64, Wish) {
        self.requests += 1;
        let number = self.requests;
        let market = self.below(3);
        self.drift(market);
        let draw = self.below(100);
        let target =
            live.get(usize::try_from(self.below(u64::try_from(live.len()).unwrap_or(0).max(1))).unwrap_or(0));
        let target = target.and_then(|order| Some((*order, standing(*order)?)));
        match target {
            Some((order, standing)) if draw < 27 || live.len() > LIVE_MAX => {
                self.cancel(initiator, number, &standing, now);
                (number, Wish::Amend(order))
            }
            Some((order, standing)) if draw < 37 => {
                self.replace(initiator, number, &standing, now);
                (number, Wish::Amend(order))
            }
            _ => {
                self.order(initiator, number, market, now);
                (number, Wish::Order)
            }
        }
    }

    fn order(&mut self, initiator: &mut Initiator, number: u64, market: u64, now: Clocks) {
        let Some((definition, mid)) = of(&MARKETS, market).zip(of(&self.mids, market).copied()) else {
            return;
        };
        let side = if self.below(2) == 0 { Side::Buy } else { Side::Sell };
        let kind = self.below(100);
        let (order_type, time_in_force, taking) = match kind {
            0..70 => (OrderType::Limit, TimeInForce::GoodTillCancel, false),
            70..82 => (OrderType::Limit, TimeInForce::GoodTillCancel, true),
            82..92 => (OrderType::Limit, TimeInForce::ImmediateOrCancel, true),
            92..96 => (OrderType::Limit, TimeInForce::FillOrKill, true),
            _ => (OrderType::Market, TimeInForce::ImmediateOrCancel, true),
        };
        let away = definition.step * (1 + self.below(if taking { 10 } else { 40 }));
        let price = if (side == Side::Buy) == taking { mid + away } else { mid - away };
        let price = match order_type {
            OrderType::Limit => format_decimal(u128::from(price), definition.price_scale),
            OrderType::Market => String::new(),
        };
        let qty = definition.qty * (1 + self.below(50));
        let order = NewOrder {
            cl_ord_id: &self.cl_ord_id(number),
            symbol: definition.symbol,
            side,
            order_type,
            time_in_force,
            price: &price,
            qty: &format_decimal(u128::from(qty), definition.qty_scale),
        };
        initiator.new_order(&order, now);
    }

    fn cancel(&self, initiator: &mut Initiator, number: u64, standing: &Standing, now: Clocks) {
        let cl_ord_id = self.cl_ord_id(number);
        initiator.cancel(&named(standing, &cl_ord_id, &standing.qty), now);
    }

    /// Another price, a few steps from the market's middle.
    fn replace(&mut self, initiator: &mut Initiator, number: u64, standing: &Standing, now: Clocks) {
        let market = MARKETS.iter().zip(self.mids).find(|(market, _)| market.symbol == standing.symbol);
        let Some((definition, mid)) = market else { return };
        let away = definition.step * (1 + self.below(40));
        let price = match standing.side {
            Side::Buy => mid - away,
            Side::Sell => mid + away,
        };
        let price = format_decimal(u128::from(price), definition.price_scale);
        let cl_ord_id = self.cl_ord_id(number);
        initiator.replace(&named(standing, &cl_ord_id, &standing.qty), &price, now);
    }

    fn drift(&mut self, market: u64) {
        if !self.requests.is_multiple_of(DRIFT_EVERY) {
            return;
        }
        let up = self.below(2) == 0;
        let Some(definition) = of(&MARKETS, market) else { return };
        let floor = definition.mid / 2;
        if let Some(mid) = usize::try_from(market).ok().and_then(|place| self.mids.get_mut(place)) {
            *mid = if up || *mid < floor { *mid + definition.step } else { *mid - definition.step };
        }
    }

    /// Uniform in 0..n (xorshift64*).
    fn below(&mut self, n: u64) -> u64 {
        self.drawn ^= self.drawn >> 12;
        self.drawn ^= self.drawn << 25;
        self.drawn ^= self.drawn >> 27;
        let drawn = self.drawn.wrapping_mul(2_685_821_657_736_338_717);
        u64::try_from((u128::from(drawn) * u128::from(n)) >> 64).unwrap_or(0)
    }
}

fn of<T>(items: &[T], place: u64) -> Option<&T> {
    items.get(usize::try_from(place).ok()?)
}

fn named<'a>(standing: &'a Standing, cl_ord_id: &'a str, qty: &'a str) -> OrderRef<'a> {
    OrderRef {
        cl_ord_id,
        orig_cl_ord_id: &standing.cl_ord_id,
        symbol: &standing.symbol,
        side: standing.side,
        qty,
    }
}
