//! The log: to stderr, for people or as JSON. Numbers and ids only: no FIX message, no name, no amount is ever logged,
//! so that nothing in a log has to be erased.

use std::fmt::Display;
use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

use crate::fault::NodeFault;

const FILTER_DEFAULT: &str = "info";

/// Starts logging. `filter` as in `--log`, else from `RUST_LOG`, else `info`.
///
/// # Errors
/// [`NodeFault::Usage`] if the filter means nothing.
pub(crate) fn start(filter: Option<&str>, json: bool) -> Result<(), NodeFault> {
    let from_environment = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = filter.or(from_environment.as_deref()).unwrap_or(FILTER_DEFAULT);
    let filter =
        EnvFilter::try_new(filter).map_err(|error| NodeFault::Usage(format!("--log {filter:?}: {error}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    // What cannot be written is lost: to say so would be to write there again, and that panics.
    let log = log.log_internal_errors(false);
    let started = if json { log.json().try_init() } else { log.with_ansi(false).try_init() };
    started.map_err(|error| NodeFault::Internal(format!("log: {error}")))
}

/// Says why the process ends, on stderr. Nobody may be there to read it any more: then it ends all the same, and as it was to.
pub(crate) fn say_why(fault: impl Display) {
    writeln!(io::stderr(), "sicil: {fault}").unwrap_or_default();
}
