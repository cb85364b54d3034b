//! For whom an order is, in what capacity, and who decided it: what the order record needs beside its terms (RTS 24, fields 2 to 8).

use protocol::commands::decision_flags;
use protocol::{Capacity, ClientId, FirmId};

use super::message::Message;
use super::orders::{Refusal, id, not_a_number, refusal};
use super::reasons::business;

/// PartyRole(452).
mod role {
    pub(super) const EXECUTING_FIRM: u64 = 1;
    pub(super) const CLIENT_ID: u64 = 3;
    pub(super) const ORDER_ORIGINATION_TRADER: u64 = 11;
    pub(super) const EXECUTING_TRADER: u64 = 12;
    pub(super) const INVESTMENT_DECISION_MAKER: u64 = 122;
}

/// PartyRoleQualifier(2376): it is an algorithm.
const ALGORITHM: u64 = 22;
/// OrderOrigination(1724): from a customer with direct or sponsored access.
const DIRECT_ACCESS: u64 = 5;
/// OrderAttributeType(2594): part of market making.
const LIQUIDITY_PROVISION: u64 = 2;

/// What a NewOrderSingle(D) and a MassQuote(i) have in common.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OrderRecord {
    pub(super) client: Option<ClientId>,
    pub(super) capacity: Option<Capacity>,
    pub(super) firm: Option<FirmId>,
    pub(super) investment_decision: Option<u64>,
    pub(super) execution_decision: Option<u64>,
    /// Bits of [`decision_flags`].
    pub(super) decision_flags: u8,
}

impl OrderRecord {
    pub(super) fn read(message: &Message<'_>) -> Result<Self, Refusal> {
        let mut record = Self { capacity: capacity(message), ..Self::default() };
        for party in message.entries(453, 448) {
            record.take(&party)?;
        }
        if let Some(account) = message.get(1) {
            let account = ClientId(id(account, "Account(1)")?);
            if record.client.is_some_and(|client| client != account) {
                return Err(refusal(business::UNKNOWN_ID, "Account(1) and the party with role 3 differ"));
            }
            record.client = Some(account);
        }
        if message.number(1724) == Some(DIRECT_ACCESS) {
            record.decision_flags |= decision_flags::DIRECT_ELECTRONIC_ACCESS;
        }
        let mut attributes = message.entries(2593, 2594);
        if attributes.any(|one| one.number(2594) == Some(LIQUIDITY_PROVISION) && one.is_yes(2595)) {
            record.decision_flags |= decision_flags::LIQUIDITY_PROVISION;
        }
        Ok(record)
    }

    /// Parties without a role, and with roles that mean nothing here, are not used.
    fn take(&mut self, party: &Message<'_>) -> Result<(), Refusal> {
        let (Some(text), Some(role)) = (party.get(448), party.number(452)) else { return Ok(()) };
        let number = || id(text, "PartyID(448)");
        let by_algorithm = match role {
            role::EXECUTING_FIRM => {
                let firm = u32::try_from(number()?).map_err(|_| not_a_number("the firm's PartyID(448)"))?;
                self.firm = Some(FirmId(firm));
                0
            }
            role::CLIENT_ID => {
                self.client = Some(ClientId(number()?));
                0
            }
            role::ORDER_ORIGINATION_TRADER | role::EXECUTING_TRADER => {
                self.execution_decision = Some(number()?);
                decision_flags::EXECUTION_BY_ALGORITHM
            }
            role::INVESTMENT_DECISION_MAKER => {
                self.investment_decision = Some(number()?);
                decision_flags::INVESTMENT_BY_ALGORITHM
            }
            _ => return Ok(()),
        };
        // The last one of a role counts, and so does what it is.
        let is_algorithm = party.number(2376) == Some(ALGORITHM);
        self.decision_flags =
            self.decision_flags & !by_algorithm | if is_algorithm { by_algorithm } else { 0 };
        Ok(())
    }
}

fn capacity(message: &Message<'_>) -> Option<Capacity> {
    match message.get(528) {
        Some(b"A") => Some(Capacity::Agency),
        Some(b"P") => Some(Capacity::Principal),
        Some(b"R") => Some(Capacity::RisklessPrincipal),
        _ => None,
    }
}
