//! The clock of `--timing`, the only one here; without that option it is not read.

use std::time::Instant;

/// Measures what `--timing` prints.
pub(crate) struct Stopwatch(Option<Instant>);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "rates for people; nothing that is verified depends on them"
    )]
    pub(crate) fn start(wanted: bool) -> Self {
        Self(wanted.then(Instant::now))
    }

    /// Prints how fast `amount` of `unit` went, and starts again.
    pub(crate) fn lap(&mut self, what: &str, amount: u64, unit: &str) {
        let Some(began) = self.0 else { return };
        let seconds = began.elapsed().as_secs_f64().max(1e-9);
        let per_s = amount as f64 / seconds;
        crate::out::complain(&format!(
            "timing: {what}: {amount} {unit} in {seconds:.3} s, {per_s:.0} {unit}/s"
        ));
        *self = Self::start(true);
    }
}
