//! An engine with one ledger and one cashier, fed records one by one, as a node's apply loop feeds it.

use std::time::Duration;

use engine::Engine;
use protocol::commands::{
    CreateAccounts, CreateTransfers, DefineActor, DefineAsset, DefineSession, Genesis, SetLedgerLimits, roles,
};
use protocol::event::Event;
use protocol::limits::LEDGER_ROWS_MAX;
use protocol::record::{Record, RecordHeader};
use protocol::rows::{AccountRow, TransferRow};
use protocol::{
    AccountClass, AccountId, ActorId, Amount, AssetId, CancelOnDisconnect, ClientId, ClusterId, Command,
    EventBody, FirmId, RequestNumber, SessionId, SessionProtocol, Strictness, Text, TransferId, UnixNanos,
    events,
};

use crate::clock::Stopwatch;
use crate::fault::{Fault, agree};

/// The only ledger.
pub(crate) const LEDGER: AssetId = AssetId(1);
const CASHIER: SessionId = SessionId::CLIENTS_FROM;

/// An engine and what is needed to speak with it.
pub(crate) struct Bank {
    pub(crate) engine: Engine,
    /// Of the next record.
    pub(crate) time: UnixNanos,
    requests: u64,
    bytes: Vec<u8>,
    events: Vec<Event>,
}

/// An account of the house.
pub(crate) fn account(id: AccountId, class: AccountClass, owner: ClientId) -> AccountRow {
    AccountRow { id, owner, ledger: LEDGER, code: 1, class: u16::from(class.code()), ..AccountRow::default() }
}

/// A transfer that moves `amount` at once.
pub(crate) fn transfer(id: TransferId, debit: AccountId, credit: AccountId, amount: u128) -> TransferRow {
    TransferRow {
        id,
        debit_account: debit,
        credit_account: credit,
        amount: Amount(amount),
        ledger: LEDGER,
        code: 1,
        ..TransferRow::default()
    }
}

impl Bank {
    /// A cluster that begins at `time`, with the ledger in an asset of `scale` decimals.
    pub(crate) fn new(time: UnixNanos, code: &str, scale: u8) -> Result<Self, Fault> {
        let mut bank =
            Self { engine: Engine::new(), time, requests: 0, bytes: Vec::new(), events: Vec::new() };
        let genesis = Genesis { cluster: ClusterId(1), operator: ActorId(1), operator_uid: 0, demo: true };
        bank.apply(SessionId::SYSTEM, &genesis.into())?;
        bank.operate(DefineAsset { asset: LEDGER, code: Text::truncated(code), scale })?;
        bank.operate(DefineActor { actor: ActorId(2), roles: roles::CASHIER })?;
        bank.operate(DefineSession {
            session: CASHIER,
            actor: ActorId(2),
            firm: FirmId(1),
            protocol: SessionProtocol::Request,
            client_comp_id: Text::truncated("CASHIER"),
            our_comp_id: Text::truncated("SICIL"),
            clients: vec![ClientId(1)],
            reset_on_logon: false,
            heartbeat_s_min: 1,
            heartbeat_s_max: 3_600,
            strictness: Strictness::Strict,
            cancel_on_disconnect: CancelOnDisconnect::Never,
            cancel_window_ms: 0,
        })?;
        Ok(bank)
    }

    /// How much is remembered of transfers.
    pub(crate) fn set_limits(&mut self, limits: SetLedgerLimits) -> Result<(), Fault> {
        self.operate(limits)
    }

    /// Creates accounts, every one of them.
    pub(crate) fn create_accounts(&mut self, rows: &[AccountRow]) -> Result<(), Fault> {
        for rows in rows.chunks(LEDGER_ROWS_MAX) {
            self.apply(CASHIER, &CreateAccounts { accounts: rows.to_vec() }.into())?;
            let Some(EventBody::AccountsCreated(made)) = self.events.last().map(|event| &event.body) else {
                return Err(self.wrong_answer());
            };
            agree("accounts created", u64::try_from(rows.len()).unwrap_or(0), u64::from(made.created))?;
        }
        Ok(())
    }

    /// Creates transfers, every one of them; returns how long the engine took from the record's bytes to its events.
    pub(crate) fn create_transfers(&mut self, rows: Vec<TransferRow>) -> Result<Duration, Fault> {
        let count = u64::try_from(rows.len()).unwrap_or(0);
        let took = self.apply(CASHIER, &CreateTransfers { transfers: rows }.into())?;
        let made = self.transfers_created().ok_or_else(|| self.wrong_answer())?;
        if let Some(exception) = made.exceptions.first() {
            return Err(Fault::Engine(format!("a transfer was not created: {exception:?}")));
        }
        agree("transfers created", count, u64::from(made.created))?;
        Ok(took)
    }

    fn transfers_created(&self) -> Option<&events::TransfersCreated> {
        let EventBody::TransfersCreated(made) = &self.events.last()?.body else { return None };
        Some(made)
    }

    fn wrong_answer(&self) -> Fault {
        Fault::Engine(format!("the engine answered {:?}", self.events.last()))
    }

    fn operate(&mut self, command: impl Into<Command>) -> Result<(), Fault> {
        self.apply(SessionId::OPERATOR, &command.into())?;
        match self.events.last().map(|event| &event.body) {
            Some(EventBody::Replied(replied)) if replied.refusal.is_none() => Ok(()),
            _ => Err(self.wrong_answer()),
        }
    }

    fn apply(&mut self, session: SessionId, command: &Command) -> Result<Duration, Fault> {
        self.requests += 1;
        let request = RequestNumber(if session == SessionId::SYSTEM { 0 } else { self.requests });
        let header = RecordHeader { session, request, ..RecordHeader::default() };
        self.bytes.clear();
        header
            .write(command, &mut self.bytes)
            .map_err(|fault| Fault::Engine(format!("a record that cannot be written: {fault:?}")))?;
        self.events.clear();
        let watch = Stopwatch::start();
        let record =
            Record::read(&self.bytes).map_err(|_| Fault::Arguments("a record that does not read back"))?;
        let applied =
            self.engine.apply(self.engine.seq_applied().next(), self.time, &record, &mut self.events);
        let took = watch.elapsed();
        applied.map_err(|broken| Fault::Engine(format!("the engine stopped: {broken:?}")))?;
        self.time = self.time.plus(1);
        Ok(took)
    }

    /// Everything adds up.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.engine
            .check_invariants()
            .map_err(|broken| Fault::Engine(format!("the books are broken: {broken:?}")))
    }
}
