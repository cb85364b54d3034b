//! With whom a cluster began: durable on every replica from the making of its folder on, so that no file that a start is given
//! can say something else.
//!
//! ```text
//! count u8 | reserved 7 bytes | ids, 16 times u64, zeros behind the last
//! ```
//! Little endian; so they stand in `meta`, and nodes tell each other.

use protocol::{Field, NodeId, put};

/// Founders of one cluster.
pub const FOUNDERS_MAX: usize = 16;
/// As they stand in `meta`.
pub const FOUNDERS_BYTES: usize = IDS_AT + FOUNDERS_MAX * 8;
const IDS_AT: usize = 8;

/// The first voters of a cluster, in rank order: the first is the likeliest leader. Later membership is in the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Founders {
    /// Zeros behind the last.
    ids: [NodeId; FOUNDERS_MAX],
    count: usize,
}

impl Founders {
    /// Of a cluster of one.
    #[must_use]
    pub const fn alone(node: NodeId) -> Self {
        let mut ids = [NodeId(0); FOUNDERS_MAX];
        ids[0] = node;
        Self { ids, count: 1 }
    }

    /// `None`: nobody, too many, one twice, or an id that no node has.
    #[must_use]
    pub fn new(nodes: &[NodeId]) -> Option<Self> {
        let is_one = |(at, node): (usize, &NodeId)| node.0 != 0 && !nodes[..at].contains(node);
        let fits = !nodes.is_empty() && nodes.len() <= FOUNDERS_MAX && nodes.iter().enumerate().all(is_one);
        fits.then(|| {
            let mut ids = [NodeId(0); FOUNDERS_MAX];
            ids[..nodes.len()].copy_from_slice(nodes);
            Self { ids, count: nodes.len() }
        })
    }

    /// In rank order.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.ids[..self.count]
    }

    /// As they stand in `meta`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; FOUNDERS_BYTES] {
        let mut bytes = [0; FOUNDERS_BYTES];
        // There are no more than fit.
        bytes[0] = u8::try_from(self.count).unwrap_or(0);
        for (place, node) in self.nodes().iter().enumerate() {
            put(&mut bytes, IDS_AT + place * 8, &node.0.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] writes; `None` for anything else.
    #[must_use]
    pub fn read(bytes: &[u8; FOUNDERS_BYTES]) -> Option<Self> {
        let count = usize::from(bytes[0]);
        let ids = (0..count.min(FOUNDERS_MAX)).map(|place| NodeId(bytes.u64_at(IDS_AT + place * 8)));
        Self::new(&ids.collect::<Vec<_>>()).filter(|found| found.to_bytes() == *bytes)
    }
}

impl std::fmt::Display for Founders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<String> = self.nodes().iter().map(ToString::to_string).collect();
        write!(f, "[{}]", ids.join(", "))
    }
}

impl std::fmt::Debug for Founders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nodes: &[u64]) -> Option<Founders> {
        Founders::new(&nodes.iter().copied().map(NodeId).collect::<Vec<_>>())
    }

    #[test]
    fn founders_are_read_as_they_were_written_and_nothing_else_is() {
        let most: Vec<u64> = (1..=FOUNDERS_MAX as u64).collect();
        for nodes in [&[7][..], &[2, 1, 3], &most] {
            let founders = of(nodes).unwrap();
            let bytes = founders.to_bytes();
            assert_eq!(Founders::read(&bytes), Some(founders));
            for at in 0..bytes.len() {
                let mut other = bytes;
                other[at] ^= 0x80;
                assert_ne!(Founders::read(&other), Some(founders), "byte {at}");
            }
        }
        assert_eq!(Founders::read(&[0; FOUNDERS_BYTES]), None, "nobody");
        assert_eq!(Founders::read(&[0xff; FOUNDERS_BYTES]), None, "too many");
        assert_eq!(of(&[1]), Some(Founders::alone(NodeId(1))));
        assert_eq!(of(&[2, 1, 3]).unwrap().to_string(), "[2, 1, 3]");
    }

    #[test]
    fn a_list_of_founders_that_is_none_is_not_taken() {
        let too_many: Vec<u64> = (1..=FOUNDERS_MAX as u64 + 1).collect();
        for nodes in [&[][..], &[1, 2, 1], &[1, 0], &too_many] {
            assert_eq!(of(nodes), None, "{nodes:?}");
        }
    }
}
