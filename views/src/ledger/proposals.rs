//! Commands that wait for another actor's approval: the record that executes one names the proposal alone, and its events do not say
//! everything that the command did.

use std::collections::BTreeMap;

use protocol::{Command, Field, ProposalId, ProposedCommand, put};
use redb::TableDefinition;

use super::run::{seal, unseal};
use crate::pack::Damaged;

pub(crate) const PROPOSALS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("proposals");

const BYTES: usize = 6;

/// Codes of the accounts and transfers that open proposals are about: as many as the engine lets be open at a time.
#[derive(Default)]
pub(crate) struct Proposals {
    codes: BTreeMap<ProposalId, u16>,
    /// Begun or ended since the file was written last.
    changed: Vec<ProposalId>,
}

/// The code that a command gives to what it creates.
pub(crate) fn code_of(command: &Command) -> Option<u16> {
    if let Command::OpenAccount(open) = command {
        Some(open.code)
    } else if let Command::Transfer(transfer) = command {
        Some(transfer.code)
    } else {
        None
    }
}

impl Proposals {
    pub(crate) fn restore(&mut self, id: ProposalId, bytes: &[u8]) -> Result<(), Damaged> {
        unseal(bytes)?;
        if bytes.len() != BYTES {
            return Err(Damaged);
        }
        self.codes.insert(id, bytes.u16_at(4));
        Ok(())
    }

    pub(crate) fn begin(&mut self, id: ProposalId, proposed: &ProposedCommand) {
        if let Some(code) = proposed.command().ok().as_ref().and_then(code_of) {
            self.codes.insert(id, code);
            self.changed.push(id);
        }
    }

    pub(crate) fn end(&mut self, id: ProposalId) {
        if self.codes.remove(&id).is_some() {
            self.changed.push(id);
        }
    }

    pub(crate) fn code(&self, id: ProposalId) -> Option<u16> {
        self.codes.get(&id).copied()
    }

    /// What changed since the last time, each with what is kept of it now; `None` = it is open no more.
    pub(crate) fn take_changed(&mut self) -> impl Iterator<Item = (ProposalId, Option<[u8; BYTES]>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|id| {
            let written = self.codes.get(&id).map(|code| {
                let mut bytes = [0; BYTES];
                put(&mut bytes, 4, &code.to_le_bytes());
                seal(&mut bytes);
                bytes
            });
            (id, written)
        })
    }
}
