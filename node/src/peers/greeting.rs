//! The first bytes in both directions of a connection: which process speaks, where its FIX listener is, and with whom its
//! cluster began.
//!
//! Hello: the lane u8, and what a welcome says. Welcome: the instance u64, a listener, the founders (as in `meta`). A listener:
//! 4 or 6 u8, the address 16 bytes (of IPv4 the first four), the port u16. Numbers are little-endian.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use journal::Founders;
use journal::founders::FOUNDERS_BYTES;

const LISTENER_BYTES: usize = 19;
/// Of a hello.
pub(super) const HELLO_BYTES: usize = 1 + WELCOME_BYTES;
/// Of a welcome.
pub(super) const WELCOME_BYTES: usize = 8 + LISTENER_BYTES + FOUNDERS_BYTES;

/// What each end says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// Drawn by the process at its start.
    pub(super) instance: u64,
    /// Where the process takes FIX clients, as it is bound.
    pub(super) fix: SocketAddr,
    /// With whom its cluster began. Who counts by another list has other majorities.
    pub(super) founders: Founders,
}

impl Greeting {
    /// As who answers says it.
    pub(super) fn welcome(self) -> [u8; WELCOME_BYTES] {
        let mut bytes = [0; WELCOME_BYTES];
        let (instance, rest) = bytes.split_at_mut(8);
        let (listener, founders) = rest.split_at_mut(LISTENER_BYTES);
        instance.copy_from_slice(&self.instance.to_le_bytes());
        founders.copy_from_slice(&self.founders.to_bytes());
        let (family, rest) = listener.split_at_mut(1);
        let (address, port) = rest.split_at_mut(16);
        match self.fix.ip() {
            IpAddr::V4(ip) => {
                family[0] = 4;
                address[..4].copy_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                family[0] = 6;
                address.copy_from_slice(&ip.octets());
            }
        }
        port.copy_from_slice(&self.fix.port().to_le_bytes());
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
        let (instance, listener) = bytes.split_first_chunk::<8>()?;
        let (family, rest) = listener.split_first()?;
        let (address, rest) = rest.split_first_chunk::<16>()?;
        let ip = match family {
            4 => IpAddr::V4(Ipv4Addr::from(*address.first_chunk::<4>()?)),
            6 => IpAddr::V6(Ipv6Addr::from(*address)),
            _ => return None,
        };
        let (port, founders) = rest.split_first_chunk()?;
        let fix = SocketAddr::new(ip, u16::from_le_bytes(*port));
        let founders = Founders::read(founders.first_chunk()?)?;
        Some(Self { instance: u64::from_le_bytes(*instance), fix, founders })
    }

    /// Where we reach the FIX listener of who says this from `host`. `None`: nowhere, only its own host does.
    pub(super) fn reachable_fix(self, host: IpAddr) -> Option<SocketAddr> {
        let (host, bound) = (host.to_canonical(), self.fix.ip());
        let ip = if bound.is_unspecified() { host } else { bound };
        (!ip.is_loopback() || host.is_loopback()).then(|| SocketAddr::new(ip, self.fix.port()))
    }
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
        for fix in ["10.0.0.1:9880", "[fd00::7]:1"] {
            let founders = Founders::new(&[2, 1, 3].map(NodeId)).unwrap();
            let greeting = Greeting { instance: 0x0102_0304_0506_0708, fix: fix.parse().unwrap(), founders };
            assert_eq!(Greeting::read(&greeting.welcome()), Some(greeting));
            let hello = greeting.hello(1);
            assert_eq!((hello[0], &hello[1..]), (1, &greeting.welcome()[..]));
        }
        assert_eq!(Greeting::read(&[9; WELCOME_BYTES]), None);
        assert_eq!(Greeting::read(&[4; WELCOME_BYTES]), None, "of founders");
    }

    #[test]
    fn a_listener_is_reached_at_its_host_or_not_at_all() {
        let reached = |fix: &str, host: &str| {
            let founders = Founders::alone(NodeId(1));
            let greeting = Greeting { instance: 1, fix: fix.parse().unwrap(), founders };
            greeting.reachable_fix(host.parse().unwrap()).map(|address| address.to_string())
        };
        assert_eq!(reached("10.0.0.1:9", "10.9.9.9").as_deref(), Some("10.0.0.1:9"), "as it is bound");
        assert_eq!(reached("0.0.0.0:9", "10.9.9.9").as_deref(), Some("10.9.9.9:9"), "every address");
        assert_eq!(reached("0.0.0.0:9", "::ffff:10.9.9.9").as_deref(), Some("10.9.9.9:9"));
        assert_eq!(reached("127.0.0.1:9", "10.9.9.9"), None, "that would be our own");
        assert_eq!(reached("127.0.0.1:9", "127.0.0.1").as_deref(), Some("127.0.0.1:9"));
    }
}
