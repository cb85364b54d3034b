//! Everybody outside: the operator, the FIX clients, two that send batches, one whose payments execute themselves, and who closes the days.

pub mod batches;
pub mod days;
pub mod operator;
pub mod payments;
pub mod reader;
pub mod setup;
pub mod standing_orders;
mod terms;
pub mod trader;

use crate::knobs::Knobs;
use crate::rng::Rng;
use crate::trace::Trace;
use batches::Batches;
use days::Days;
use operator::Operator;
use payments::Payments;
use protocol::MonoNanos;
use reader::Reader;
use standing_orders::StandingOrders;
use trader::Trader;

/// All of them.
pub struct Workload {
    pub(crate) operator: Operator,
    pub(crate) traders: Vec<Trader>,
    pub(crate) reader: Reader,
    pub(crate) batches: Batches,
    pub(crate) payments: Payments,
    pub(crate) standing_orders: StandingOrders,
    pub(crate) days: Days,
}

impl Workload {
    pub(crate) fn new(rng: &Rng, knobs: Knobs, trace: &Trace) -> Self {
        let trader =
            |place: usize| Trader::new(place, rng.fork(&setup::comp_id(place)), knobs, trace.clone());
        Self {
            operator: Operator::new(rng.fork("operator"), knobs, trace.clone()),
            traders: (0..knobs.traders).map(trader).collect(),
            reader: Reader::new(rng.fork("reader"), knobs, trace.clone()),
            batches: Batches::new(rng.fork("batches"), knobs, trace.clone()),
            payments: Payments::new(rng.fork("payments"), knobs, trace.clone()),
            standing_orders: StandingOrders::new(rng.fork("standing orders"), knobs, trace.clone()),
            days: Days::new(rng.fork("bank days"), knobs, trace.clone()),
        }
    }

    /// The FIX clients.
    #[must_use]
    pub fn traders(&self) -> &[Trader] {
        &self.traders
    }

    /// Nothing new is begun any more.
    pub(crate) fn stop(&mut self, now: MonoNanos) {
        self.operator.stop();
        self.reader.stop();
        self.batches.stop();
        self.payments.stop(now);
        self.standing_orders.stop(now);
        self.days.stop();
        self.traders.iter_mut().for_each(Trader::stop);
    }

    /// What still waits for an answer.
    #[must_use]
    pub fn open(&self) -> Vec<String> {
        let traders = self.traders.iter().filter(|trader| !trader.is_settled()).map(Trader::open);
        let operator =
            (self.operator.open() > 0).then(|| format!("{} requests of the operator", self.operator.open()));
        let reads = (self.reader.open() > 0).then(|| format!("{} reads", self.reader.open()));
        let payments = self.payments.open();
        let payments = (payments > 0).then(|| format!("{payments} batches"));
        let standing = self.standing_orders.open();
        let standing = (standing > 0).then(|| format!("{standing} requests about standing orders"));
        let days = (self.days.open() > 0).then(|| "a command about the bank's days".to_owned());
        traders.chain(operator).chain(reads).chain(payments).chain(standing).chain(days).collect()
    }
}
