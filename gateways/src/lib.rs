//! Client protocols: bytes and times in, commands and bytes out.
//!
//! Rule: a gateway holds no truth and cannot see the engine. It parses, checks syntax and identity, submits commands and
//! renders committed events; it never invents a message, never numbers one, opens no socket and reads no clock. Whatever
//! it forgets can be learnt again from the journal, so it may die at any moment.
//!
//! [`fix`] is the FIX 4.4 acceptor; its rules of engagement are docs/FIX.md. [`uplink`] stands between it and the cluster where the
//! gateway is a process of its own.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod fix;
pub mod uplink;
