//! The first bytes in both directions of a connection: which process speaks, where it takes clients, and with whom its
//! cluster began.
//!
//! Hello: the lane u8, and what a welcome says. Welcome: the instance u64, the listeners of FIX and of the binary protocol, the founders (as
//! in `meta`). A listener: 4 or 6 u8, the address 16 bytes (of IPv4 the first four), the port u16; all 0 = there is none, which FIX may
//! not say. Numbers are little-endian.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use journal::Founders;
use journal::founders::FOUNDERS_BYTES;

const LISTENER_BYTES: usize = 19;
/// Of a hello.
pub(super) const HELLO_BYTES: usize = 1 + WELCOME_BYTES;
/// Of a welcome.
pub(super) const WELCOME_BYTES: usize = 8 + 2 * LISTENER_BYTES + FOUNDERS_BYTES;

/// Where a process takes clients, as it is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listeners {
    /// Those of FIX.
    pub(crate) fix: SocketAddr,
    /// Those of the ledger, if any.
    pub(crate) binary: Option<SocketAddr>,
}

/// Where clients reach a process; `None`: nowhere, or only its own host does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Those of FIX.
    pub(crate) fix: Option<SocketAddr>,
    /// Those of the ledger.
    pub(crate) binary: Option<SocketAddr>,
}

impl Listeners {
    /// As whoever sees the process at `host` reaches them.
    pub(super) fn reached_at(self, host: IpAddr) -> Reached {
        let host = host.to_canonical();
        let reached = |bound: SocketAddr| {
            let ip = if bound.ip().is_unspecified() { host } else { bound.ip() };
            (!ip.is_loopback() || host.is_loopback()).then(|| SocketAddr::new(ip, bound.port()))
        };
        Reached { fix: reached(self.fix), binary: self.binary.and_then(reached) }
    }
}

/// What each end says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// Drawn by the process at its start.
    pub(super) instance: u64,
    /// Where the process takes clients.
    pub(super) listeners: Listeners,
    /// With whom its cluster began. Who counts by another list has other majorities.
    pub(super) founders: Founders,
}

impl Greeting {
    /// As who answers says it.
    pub(super) fn welcome(self) -> [u8; WELCOME_BYTES] {
        let mut bytes = [0; WELCOME_BYTES];
        let (instance, rest) = bytes.split_at_mut(8);
        let (fix, rest) = rest.split_at_mut(LISTENER_BYTES);
        let (binary, founders) = rest.split_at_mut(LISTENER_BYTES);
        instance.copy_from_slice(&self.instance.to_le_bytes());
        fix.copy_from_slice(&listener(Some(self.listeners.fix)));
        binary.copy_from_slice(&listener(self.listeners.binary));
        founders.copy_from_slice(&self.founders.to_bytes());
        bytes
    }

    /// As who calls says it; the lane comes before it.
    pub(super) fn hello(self, lane: u8) -> [u8; HELLO_BYTES] {
        let mut bytes = [lane; HELLO_BYTES];
        bytes[1..].copy_from_slice(&self.welcome());
        bytes
    }

    /// Reads a welcome, or what follows the lane in a hello. `None`: a listener of no family, or no founders.
    pub(super) fn read(bytes: &[u8; WELCOME_BYTES]) -> Option<Self> {
        let (instance, rest) = bytes.split_first_chunk::<8>()?;
        let (fix, rest) = rest.split_first_chunk()?;
        let (binary, founders) = rest.split_first_chunk()?;
        let listeners = Listeners { fix: read_listener(fix)??, binary: read_listener(binary)? };
        let founders = Founders::read(founders.first_chunk()?)?;
        Some(Self { instance: u64::from_le_bytes(*instance), listeners, founders })
    }
}

fn listener(address: Option<SocketAddr>) -> [u8; LISTENER_BYTES] {
    let mut bytes = [0; LISTENER_BYTES];
    let Some(address) = address else { return bytes };
    let (family, rest) = bytes.split_at_mut(1);
    let (ip, port) = rest.split_at_mut(16);
    match address.ip() {
        IpAddr::V4(v4) => {
            family[0] = 4;
            ip[..4].copy_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            family[0] = 6;
            ip.copy_from_slice(&v6.octets());
        }
    }
    port.copy_from_slice(&address.port().to_le_bytes());
    bytes
}

/// `None`: of no family. `Some(None)`: there is no such listener.
fn read_listener(bytes: &[u8; LISTENER_BYTES]) -> Option<Option<SocketAddr>> {
    let (family, rest) = bytes.split_first()?;
    let (address, port) = rest.split_first_chunk::<16>()?;
    let ip = match family {
        0 => return Some(None),
        4 => IpAddr::V4(Ipv4Addr::from(*address.first_chunk::<4>()?)),
        6 => IpAddr::V6(Ipv6Addr::from(*address)),
        _ => return None,
    };
    Some(Some(SocketAddr::new(ip, u16::from_le_bytes(*port.first_chunk()?))))
}

/// A peer counts by another list than this node: one of the two was made by a wrong file, or is of another cluster with the
/// same id.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("cluster.founders = {expected} is expected, found {found}")]
pub(super) struct OtherFounders {
    /// Ours.
    pub(super) expected: Founders,
    /// The peer's.
    pub(super) found: Founders,
}

#[cfg(test)]
mod tests {
    use protocol::NodeId;

    use super::*;

    #[test]
    fn a_greeting_is_read_as_it_was_said() {
        for (fix, binary) in [
            ("10.0.0.1:9880", None),
            ("[fd00::7]:1", Some("10.0.0.1:9")),
            ("10.0.0.1:1", Some("[fd00::7]:2")),
        ] {
            let founders = Founders::new(&[2, 1, 3].map(NodeId)).unwrap();
            let listeners =
                Listeners { fix: fix.parse().unwrap(), binary: binary.map(|binary| binary.parse().unwrap()) };
            let greeting = Greeting { instance: 0x0102_0304_0506_0708, listeners, founders };
            assert_eq!(Greeting::read(&greeting.welcome()), Some(greeting));
            let hello = greeting.hello(1);
            assert_eq!((hello[0], &hello[1..]), (1, &greeting.welcome()[..]));
            let with = |at: usize, family: u8| {
                let mut welcome = greeting.welcome();
                welcome[at] = family;
                Greeting::read(&welcome).is_some()
            };
            assert!(!with(8, 0), "every node takes FIX clients");
            assert!(!with(8, 5) && !with(8 + LISTENER_BYTES, 5), "of no family");
            assert!(with(8 + LISTENER_BYTES, 0));
        }
        assert_eq!(Greeting::read(&[9; WELCOME_BYTES]), None);
        assert_eq!(Greeting::read(&[4; WELCOME_BYTES]), None, "of founders");
    }

    #[test]
    fn a_listener_is_reached_at_its_host_or_not_at_all() {
        let reached = |bound: &str, host: &str| {
            let bound = bound.parse().unwrap();
            let listeners = Listeners { fix: bound, binary: Some(bound) };
            let Reached { fix, binary } = listeners.reached_at(host.parse().unwrap());
            assert_eq!(fix, binary);
            fix.map(|address| address.to_string())
        };
        assert_eq!(reached("10.0.0.1:9", "10.9.9.9").as_deref(), Some("10.0.0.1:9"), "as it is bound");
        assert_eq!(reached("0.0.0.0:9", "10.9.9.9").as_deref(), Some("10.9.9.9:9"), "every address");
        assert_eq!(reached("0.0.0.0:9", "::ffff:10.9.9.9").as_deref(), Some("10.9.9.9:9"));
        assert_eq!(reached("127.0.0.1:9", "10.9.9.9"), None, "that would be our own");
        assert_eq!(reached("127.0.0.1:9", "127.0.0.1").as_deref(), Some("127.0.0.1:9"));
    }
}
