//! A command inside a message.

use super::fields::{AsField, FieldValue};
use super::{WireFault, commands::Command};

/// A command as its kind, version and body, so that a message holds one of any kind and of any version.
#[derive(Clone, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct ProposedCommand {
    /// Its kind.
    pub kind: u16,
    /// Version of its body's layout.
    pub version: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl ProposedCommand {
    /// The command's encoding.
    #[must_use]
    pub fn new(command: &Command) -> Self {
        let mut body = Vec::new();
        command.encode(&mut body);
        Self { kind: command.kind(), version: command.version(), body }
    }

    /// The command.
    ///
    /// # Errors
    /// [`WireFault`] if the body is not what kind and version say.
    pub fn command(&self) -> Result<Command, WireFault> {
        Command::decode(self.kind, self.version, &self.body)
    }
}

impl AsField for ProposedCommand {
    fn as_field(&self) -> FieldValue<'_> {
        FieldValue::Fields(vec![
            ("kind", self.kind.as_field()),
            ("version", self.version.as_field()),
            ("body", FieldValue::Bytes(&self.body)),
        ])
    }
}
