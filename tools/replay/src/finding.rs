//! What an auditor is told: what is wrong, where, what was expected and what was found.

use journal::block::BlockFault;
use journal::survey::{Damage, DamageKind};
use protocol::frame::FrameFault;
use protocol::{Index, Seq};
use serde_json::{Map, Value};

use crate::render::number;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    /// Worth knowing; nothing is wrong.
    Notice,
    /// It cannot be told from these files whether anything is missing.
    Doubt,
    /// Something is not what it was.
    Damage,
}

impl Grade {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Doubt => "doubt",
            Self::Damage => "damage",
        }
    }
}

/// One finding.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) grade: Grade,
    pub(crate) what: String,
    /// File, and offset in it where that is known.
    pub(crate) place: Option<String>,
    pub(crate) block: Option<u64>,
    pub(crate) index: Option<Index>,
    /// The first bad seq: where damage begins it is the next one that was expected.
    pub(crate) seq: Option<Seq>,
    pub(crate) expected: Option<String>,
    pub(crate) found: Option<String>,
}

impl Finding {
    pub(crate) fn new(grade: Grade, what: impl Into<String>) -> Self {
        let (place, block, index, seq, expected, found) = (None, None, None, None, None, None);
        Self { grade, what: what.into(), place, block, index, seq, expected, found }
    }

    pub(crate) fn damage(what: impl Into<String>) -> Self {
        Self::new(Grade::Damage, what)
    }

    pub(crate) fn at(self, place: impl ToString) -> Self {
        Self { place: Some(place.to_string()), ..self }
    }

    pub(crate) fn seq(self, seq: Seq) -> Self {
        Self { seq: Some(seq), ..self }
    }

    pub(crate) fn index(self, index: Index) -> Self {
        Self { index: Some(index), ..self }
    }

    pub(crate) fn differs(self, expected: impl ToString, found: impl ToString) -> Self {
        Self { expected: Some(expected.to_string()), found: Some(found.to_string()), ..self }
    }

    /// What the walk over the segments met.
    pub(crate) fn of_damage(grade: Grade, damage: &Damage) -> Self {
        let (what, differs) = describe(&damage.kind);
        let mut finding = Self::new(grade, what).at(damage.place).index(damage.index);
        finding.block = Some(damage.block);
        finding.seq = expected_seq(damage.seq, damage.index);
        match differs {
            Some((expected, found)) => finding.differs(expected, found),
            None => finding,
        }
    }

    pub(crate) fn json(&self) -> Value {
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
        let count = |count: Option<u64>| count.map_or(Value::Null, |count| number(u128::from(count)));
        let fields = [
            ("grade", Value::from(self.grade.name())),
            ("what", Value::from(self.what.as_str())),
            ("seq", count(self.seq.map(|seq| seq.0))),
            ("index", count(self.index.map(|index| index.0))),
            ("block", count(self.block)),
            ("place", text(&self.place)),
            ("expected", text(&self.expected)),
            ("found", text(&self.found)),
        ];
        Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.grade.name(), self.what)?;
        if let Some(seq) = self.seq {
            write!(f, "; seq {seq}")?;
        }
        if let Some(index) = self.index {
            write!(f, "; entry {index}")?;
        }
        if let Some(block) = self.block {
            write!(f, "; block {block}")?;
        }
        if let Some(place) = &self.place {
            write!(f, "; at {place}")?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(found) = &self.found {
            write!(f, "; found {found}")?;
        }
        Ok(())
    }
}

/// The next seq, where the next entry is `index`: the first entry of a cluster holds or precedes seq 1, known before
/// any entry was read.
pub(crate) fn expected_seq(known: Option<Seq>, index: Index) -> Option<Seq> {
    known.or((index == Index(1)).then_some(Seq(1)))
}

/// In words, and what was expected and found where there are two values to compare.
fn describe(kind: &DamageKind) -> (String, Option<(String, String)>) {
    let two = |expected: &dyn ToString, found: &dyn ToString| Some((expected.to_string(), found.to_string()));
    let hex = |crc: &u32| format!("{crc:08x}");
    match kind {
        DamageKind::HeaderCopy(fault) => {
            (format!("one of the two header pages of a segment ({fault:?}); the other one serves"), None)
        }
        DamageKind::SegmentHeader(fault) => (format!("both header pages of a segment ({fault:?})"), None),
        DamageKind::SegmentLink => {
            ("a segment's header does not continue the one before, or is another replica's".to_owned(), None)
        }
        DamageKind::SegmentMissing { expected, found } => (
            "a segment is missing".to_owned(),
            two(&format!("segment {expected}"), &format!("segment {found}")),
        ),
        DamageKind::FileShort { expected, found } => (
            "a segment is shorter than its header says".to_owned(),
            two(&format!("{expected} bytes"), &format!("{found} bytes")),
        ),
        DamageKind::Block(BlockFault::HeaderCrc { expected, found }) => {
            ("the checksum of a block's header".to_owned(), two(&hex(expected), &hex(found)))
        }
        DamageKind::Block(BlockFault::BodyCrc { expected, found }) => {
            ("the checksum of a block's contents".to_owned(), two(&hex(expected), &hex(found)))
        }
        DamageKind::Block(fault) => (format!("no whole block ({fault:?})"), None),
        DamageKind::BlockAstray { segno, file_off } => {
            (format!("a block that was written for segment {segno}, offset {file_off}"), None)
        }
        DamageKind::BlockNumber { expected, found } => {
            ("not the next block".to_owned(), two(expected, found))
        }
        DamageKind::BlockLink { expected, found } => (
            "a block does not continue the block before".to_owned(),
            two(&format!("{expected:08x}"), &format!("{found:08x}")),
        ),
        DamageKind::BlockSummary => ("a block's header says other entries than it holds".to_owned(), None),
        DamageKind::Frame(FrameFault::HeaderCrc { expected, found }) => {
            ("the checksum of a frame's header".to_owned(), two(&hex(expected), &hex(found)))
        }
        DamageKind::Frame(FrameFault::PayloadCrc { expected, found }) => {
            ("the checksum of a frame's payload".to_owned(), two(&hex(expected), &hex(found)))
        }
        DamageKind::Frame(fault) => (format!("a frame ({fault:?})"), None),
        DamageKind::LocalFrame => ("a local frame is shorter than its kind's".to_owned(), None),
        DamageKind::Index { expected, found } => ("entries do not count up".to_owned(), two(expected, found)),
        DamageKind::Chain { expected, found } => {
            ("the hash chain breaks: bytes were changed, left out or put in".to_owned(), two(expected, found))
        }
        DamageKind::Seq { expected, found } => {
            ("seqs have a gap or come twice".to_owned(), two(expected, found))
        }
    }
}
