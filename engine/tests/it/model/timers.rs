//! What happens by itself, one after the other.

use super::{Model, twap};

impl Model {
    /// Goes on to the time of the next command; what has ended by then is gone.
    pub(crate) fn go_on(&mut self, now: u64) {
        self.now = now;
        loop {
            let timers = self.live.iter().flat_map(twap::timers);
            let timers = timers.chain(self.next_change().map(|(at, market)| (at, 1, u64::from(market))));
            let timers = timers.chain(self.next_resumption().map(|(at, market)| (at, 2, u64::from(market))));
            let Some((_, kind, id)) = timers.filter(|timer| timer.0 <= now).min() else {
                let Some((&market, _)) = self.unsettled.first_key_value() else { break };
                self.go_through(market);
                continue;
            };
            if kind == 1 {
                self.follow_schedule(u32::try_from(id).unwrap());
                continue;
            }
            if kind == 2 {
                self.resume(u32::try_from(id).unwrap());
                continue;
            }
            let at = self.live.iter().position(|order| order.id == id).unwrap();
            if kind == 3 {
                self.roll(self.live[at].client, None);
                let order = self.live.remove(at);
                self.take_leg(order);
                self.see_all();
            } else {
                let order = self.live.remove(at);
                self.end(order.client, order.id);
            }
        }
        self.run_due();
    }
}
