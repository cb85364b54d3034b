//! The engine: (state, command) → (state, events).
//!
//! Rule: pure. No I/O, clock, float, thread, randomness, `unsafe`, hash-ordered container or lossy cast: state is a
//! function of the journal alone, on every replica and in the auditor's hands.
#![forbid(unsafe_code)]
#![deny(
    missing_docs,
    clippy::float_arithmetic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

pub mod matching;
