//! Little-endian fields one behind the other, written and read with every length checked.

use protocol::{Command, ProposedCommand, Text};

use crate::broken::InvariantBroken;

/// Why bytes are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFault {
    /// A version that this engine does not know.
    Version(u8),
    /// The bytes end within a field.
    Short {
        /// Bytes needed.
        needed: usize,
        /// Bytes left.
        found: usize,
    },
    /// Bytes are left behind the last field.
    Trailing(usize),
    /// A field has a value that no snapshot has, or a list is not in order.
    Field(&'static str),
    /// The fields can be read and contradict each other.
    Broken(InvariantBroken),
}

impl core::fmt::Display for SnapshotFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Version(version) => write!(f, "snapshot version {version} is unknown"),
            Self::Short { needed, found } => {
                write!(f, "snapshot ends early: {needed} bytes needed, {found} left")
            }
            Self::Trailing(bytes) => write!(f, "{bytes} bytes behind the snapshot's end"),
            Self::Field(name) => write!(f, "snapshot field out of range or order: {name}"),
            Self::Broken(broken) => write!(f, "snapshot contradicts itself: {broken}"),
        }
    }
}

impl core::error::Error for SnapshotFault {}

/// Appends fields.
pub(super) struct Writer<'o>(pub(super) &'o mut Vec<u8>);

macro_rules! integers {
    ($($write:ident $read:ident $int:ty)*) => {
        impl Writer<'_> {
            $(pub(super) fn $write(&mut self, value: $int) {
                self.0.extend_from_slice(&value.to_le_bytes());
            })*
        }
        impl Reader<'_> {
            $(pub(super) fn $read(&mut self) -> Result<$int, SnapshotFault> {
                Ok(<$int>::from_le_bytes(*self.chunk()?))
            })*
        }
    };
}

impl Writer<'_> {
    pub(super) fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// A count or length; everything that is counted has a limit far below 2^32.
    pub(super) fn count(&mut self, value: usize) {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX));
    }

    pub(super) fn text<const N: usize>(&mut self, text: &Text<N>) {
        self.u8(u8::try_from(text.as_bytes().len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn command(&mut self, command: &Command) {
        self.u16(command.kind());
        self.u16(command.version());
        let length_at = self.0.len();
        self.u32(0);
        command.encode(self.0);
        let length = self.0.len().saturating_sub(length_at).saturating_sub(4);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        protocol::put(self.0, length_at, &length.to_le_bytes());
    }
}

impl Writer<'_> {
    /// A command that is kept as its bytes, like [`Writer::command`].
    pub(super) fn proposed(&mut self, command: &ProposedCommand) {
        self.u16(command.kind);
        self.u16(command.version);
        self.bytes(&command.body);
    }
}

/// Takes fields from the front of what is left.
pub(super) struct Reader<'b>(pub(super) &'b [u8]);

integers! { u8 u8 u8 u16 u16 u16 u32 u32 u32 u64 u64 u64 u128 u128 u128 }

impl<'b> Reader<'b> {
    fn chunk<const N: usize>(&mut self) -> Result<&'b [u8; N], SnapshotFault> {
        let short = SnapshotFault::Short { needed: N, found: self.0.len() };
        let (chunk, rest) = self.0.split_first_chunk::<N>().ok_or(short)?;
        self.0 = rest;
        Ok(chunk)
    }

    /// So many bytes as they are.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotFault> {
        self.chunk().copied()
    }

    fn take(&mut self, needed: usize) -> Result<&'b [u8], SnapshotFault> {
        let short = SnapshotFault::Short { needed, found: self.0.len() };
        let (taken, rest) = self.0.split_at_checked(needed).ok_or(short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, SnapshotFault> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(SnapshotFault::Field(name)),
        }
    }

    /// A code of one of the protocol's lists.
    pub(super) fn code<T>(
        &mut self,
        name: &'static str,
        from_code: impl Fn(u8) -> Option<T>,
    ) -> Result<T, SnapshotFault> {
        from_code(self.u8()?).ok_or(SnapshotFault::Field(name))
    }

    /// As [`Reader::code`], with 0 for none.
    pub(super) fn optional_code<T>(
        &mut self,
        name: &'static str,
        from_code: impl Fn(u8) -> Option<T>,
    ) -> Result<Option<T>, SnapshotFault> {
        match self.u8()? {
            0 => Ok(None),
            code => from_code(code).map(Some).ok_or(SnapshotFault::Field(name)),
        }
    }

    pub(super) fn text<const N: usize>(&mut self, name: &'static str) -> Result<Text<N>, SnapshotFault> {
        let length = usize::from(self.u8()?);
        Text::new(self.take(length)?).map_err(|_| SnapshotFault::Field(name))
    }

    pub(super) fn bytes(&mut self) -> Result<&'b [u8], SnapshotFault> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        self.take(length)
    }

    /// A command that is kept as its bytes.
    pub(super) fn proposed(&mut self) -> Result<ProposedCommand, SnapshotFault> {
        Ok(ProposedCommand { kind: self.u16()?, version: self.u16()?, body: self.bytes()?.to_vec() })
    }

    pub(super) fn command(&mut self, name: &'static str) -> Result<Command, SnapshotFault> {
        let (kind, version) = (self.u16()?, self.u16()?);
        Command::decode(kind, version, self.bytes()?).map_err(|_| SnapshotFault::Field(name))
    }

    /// A list of at most `max` items in ascending order of what `item` returns. Nothing is allocated by the count.
    pub(super) fn list<K: Ord>(
        &mut self,
        name: &'static str,
        max: usize,
        mut item: impl FnMut(&mut Self) -> Result<K, SnapshotFault>,
    ) -> Result<(), SnapshotFault> {
        let count = self.u32()?;
        if usize::try_from(count).map_or(true, |count| count > max) {
            return Err(SnapshotFault::Field(name));
        }
        let mut last: Option<K> = None;
        for _ in 0..count {
            let key = item(self)?;
            if last.as_ref().is_some_and(|last| *last >= key) {
                return Err(SnapshotFault::Field(name));
            }
            last = Some(key);
        }
        Ok(())
    }
}
