//! The header in front of a connection that was passed on: whose it is. It is version 2 of the PROXY protocol, as proxies
//! for TCP write it, so that one may stand in front of the nodes as well.
//!
//! ```text
//! signature 12 bytes | 0x21 (0x20: the proxy's own) | family u8 (0x11 IPv4, 0x21 IPv6) | rest u16
//! | source address | destination address | source port u16 | destination port u16 | further fields that are passed over
//! ```
//! Big endian. Nothing is granted for it: whoever connects can say anything.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use gateways::fix::ConnectionId;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const HEADER_BYTES: usize = 16;
/// Of a header, further fields included.
const BYTES_MAX: usize = 536;
const PROXIED: u8 = 0x21;
const OWN: u8 = 0x20;
const TCP_V4: u8 = 0x11;
const TCP_V6: u8 = 0x21;

/// Whether a connection that begins with `bytes` was passed on: no FIX message begins so.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    bytes.first() == SIGNATURE.first()
}

/// The header of a connection from `from` to `to`.
pub(crate) fn write(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut addresses = Vec::new();
    let family = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            addresses.extend_from_slice(&from.octets());
            addresses.extend_from_slice(&to.octets());
            TCP_V4
        }
        (from, to) => {
            for ip in [from, to] {
                let ip = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                addresses.extend_from_slice(&ip.octets());
            }
            TCP_V6
        }
    };
    addresses.extend_from_slice(&from.port().to_be_bytes());
    addresses.extend_from_slice(&to.port().to_be_bytes());
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend_from_slice(&[PROXIED, family]);
    bytes.extend_from_slice(&u16::try_from(addresses.len()).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(&addresses);
    bytes
}

/// What a reader finds at the beginning of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// A header of so many bytes; whose connection it is, if it says so.
    Header(usize, Option<SocketAddr>),
    /// The beginning of one.
    Part,
    /// Something that is none, or too long.
    Wrong,
}

fn read(bytes: &[u8]) -> Found {
    let begins = bytes.iter().zip(SIGNATURE).all(|(found, expected)| found == expected);
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES).filter(|_| begins) else {
        return if begins { Found::Part } else { Found::Wrong };
    };
    let &[.., command, family, high, low] = header else { return Found::Wrong };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if HEADER_BYTES + len > BYTES_MAX {
        return Found::Wrong;
    }
    let Some(addresses) = rest.get(..len) else { return Found::Part };
    match (command, family) {
        (OWN, _) => Found::Header(HEADER_BYTES + len, None),
        (PROXIED, TCP_V4) => source::<4>(addresses),
        (PROXIED, TCP_V6) => source::<16>(addresses),
        _ => Found::Wrong,
    }
}

fn source<const N: usize>(addresses: &[u8]) -> Found
where
    IpAddr: From<[u8; N]>,
{
    let ports = addresses.get(2 * N..2 * N + 4);
    let (Some(ip), Some(&[high, low, ..])) = (addresses.first_chunk::<N>(), ports) else {
        return Found::Wrong;
    };
    let source = SocketAddr::new(IpAddr::from(*ip), u16::from_be_bytes([high, low]));
    Found::Header(HEADER_BYTES + addresses.len(), Some(source))
}

/// Connections that have not said anything yet, or only a part of their header.
#[derive(Default)]
pub(crate) struct Introductions(BTreeMap<ConnectionId, Vec<u8>>);

impl Introductions {
    /// A new connection.
    pub(crate) fn expect(&mut self, connection: ConnectionId) {
        self.0.insert(connection, Vec::new());
    }

    /// A connection has ended.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.0.remove(&connection);
    }

    /// What the client itself says in `bytes`; `None`: the header is wrong, and the connection has to end.
    pub(crate) fn strip<'b>(&mut self, connection: ConnectionId, bytes: &'b [u8]) -> Option<Cow<'b, [u8]>> {
        if bytes.is_empty() {
            // The connection is as fresh as before.
            return Some(bytes.into());
        }
        let Some(mut begun) = self.0.remove(&connection) else { return Some(bytes.into()) };
        if begun.is_empty() && !is_one(bytes) {
            return Some(bytes.into());
        }
        begun.extend_from_slice(bytes);
        match read(&begun) {
            Found::Header(len, client) => {
                tracing::debug!(?client, "a client comes through another node or a proxy");
                begun.drain(..len);
                Some(begun.into())
            }
            Found::Part => {
                self.0.insert(connection, begun);
                Some(Cow::Borrowed(&[]))
            }
            Found::Wrong => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ConnectionId = ConnectionId(7);

    fn addresses() -> [(SocketAddr, SocketAddr); 3] {
        [("10.0.0.1:4711", "10.0.0.2:9880"), ("[fd00::1]:1", "[fd00::2]:2"), ("[fd00::1]:1", "10.0.0.2:2")]
            .map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap()))
    }

    #[test]
    fn a_header_is_taken_off_wherever_it_is_cut() {
        for (from, to) in addresses() {
            let header = write(from, to);
            assert!(is_one(&header));
            assert_eq!(read(&header), Found::Header(header.len(), Some(from)));
            let all = [&header[..], b"8=FIX.4.4"].concat();
            for cut in 1..all.len() {
                let mut fresh = Introductions::default();
                fresh.expect(ID);
                let mut said = fresh.strip(ID, &all[..cut]).unwrap().into_owned();
                said.extend_from_slice(&fresh.strip(ID, &all[cut..]).unwrap());
                assert_eq!(said, b"8=FIX.4.4", "cut at {cut}");
                assert!(fresh.0.is_empty());
            }
        }
    }

    #[test]
    fn a_client_without_a_header_is_read_as_it_is() {
        let mut fresh = Introductions::default();
        fresh.expect(ID);
        assert_eq!(fresh.strip(ID, b"8=FIX").unwrap(), &b"8=FIX"[..]);
        let later = write("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        assert_eq!(fresh.strip(ID, &later).unwrap(), later, "a header stands in front or nowhere");
    }

    #[test]
    fn what_is_no_header_ends_the_connection() {
        let good = write("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        let wrong = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            let mut fresh = Introductions::default();
            fresh.expect(ID);
            fresh.strip(ID, &bytes).map(Cow::into_owned)
        };
        for (at, value) in [(1, 0), (11, 0), (12, 0x11), (13, 0x31), (14, 255), (15, 11)] {
            assert_eq!(wrong(at, value), None, "byte {at}");
        }
        for len in 0..=good.len() {
            for value in [0, 0x0d, 0x20, 0x21, 0xff] {
                let mut bytes = good[..len].to_vec();
                bytes.resize(600, value);
                read(&bytes);
            }
        }
    }
}
