//! The shipped engine in the place of the naive one: what both sides of the contract say must be the same.

use engine::Engine;
use protocol::commands::{CreateAccounts, CreateTransfers, DefineSession, Genesis};
use protocol::event::Event;
use protocol::record::{Record, RecordHeader};
use protocol::rows::account_flags::{DEBITS_MUST_NOT_EXCEED_CREDITS, SETTLEMENT};
use protocol::rows::{AccountRow, TransferRow};
use protocol::*;

use crate::world::{SECOND, T0};

pub(crate) struct Shipped {
    engine: Engine,
    time: UnixNanos,
}

impl Shipped {
    /// With these definitions, and money for client 7 to trade with.
    pub(crate) fn new(definitions: &[EventBody], sessions: &[DefineSession]) -> Self {
        let mut shipped = Self { engine: Engine::new(), time: UnixNanos(T0.0 - SECOND) };
        let genesis = Genesis { cluster: ClusterId(1), operator: ActorId(1), operator_uid: 0, demo: false };
        shipped
            .apply(&RecordHeader { session: SessionId::SYSTEM, ..RecordHeader::default() }, &genesis.into());
        for definition in definitions {
            if let EventBody::AssetDefined(asset) = definition {
                shipped.set_up(asset.definition.clone());
                shipped.fund(asset.definition.asset);
            } else if let EventBody::MarketDefined(market) = definition {
                shipped.set_up(market.definition.clone());
            }
        }
        for session in sessions {
            shipped.set_up(session.clone());
        }
        shipped
    }

    fn fund(&mut self, asset: AssetId) {
        let id = |class: AccountClass| match class {
            AccountClass::Fee => AccountId(u128::from(asset.0 == 2) + 8 * u128::from(asset.0 != 2)),
            _ => AccountId(u128::from(class.code()) * 100 + u128::from(asset.0)),
        };
        for class in [AccountClass::Client, AccountClass::Fee, AccountClass::External] {
            let is_client = class == AccountClass::Client;
            let row = AccountRow {
                id: id(class),
                owner: ClientId(if is_client { 7 } else { 0 }),
                ledger: asset,
                code: 1,
                flags: if is_client { DEBITS_MUST_NOT_EXCEED_CREDITS | SETTLEMENT } else { 0 },
                class: class.code().into(),
                ..AccountRow::default()
            };
            self.set_up(CreateAccounts { accounts: vec![row] });
        }
        let row = TransferRow {
            id: TransferId::at_ms(self.time.0 / 1_000_000, asset.0.into()),
            debit_account: id(AccountClass::External),
            credit_account: id(AccountClass::Client),
            amount: Amount(1 << 90),
            ledger: asset,
            code: 1,
            ..TransferRow::default()
        };
        self.set_up(CreateTransfers { transfers: vec![row] });
    }

    fn set_up(&mut self, command: impl Into<Command>) {
        let request = RequestNumber(self.engine.next_request(SessionId::OPERATOR).unwrap());
        let header = RecordHeader { session: SessionId::OPERATOR, request, ..RecordHeader::default() };
        let command = command.into();
        let events = self.apply(&header, &command);
        let answer = events.last().map(|event| &event.body);
        let is_done = if let Some(EventBody::Replied(reply)) = answer {
            reply.refusal.is_none()
        } else if let Some(EventBody::AccountsCreated(made)) = answer {
            made.exceptions.is_empty()
        } else if let Some(EventBody::TransfersCreated(made)) = answer {
            made.exceptions.is_empty()
        } else {
            false
        };
        assert!(is_done, "{command:?}: {events:?}");
    }

    /// Executes a command at this time, or right behind the one before.
    pub(crate) fn execute(
        &mut self,
        header: &RecordHeader,
        command: &Command,
        wall: UnixNanos,
    ) -> Vec<Event> {
        self.time = self.time.max(wall);
        self.apply(header, command)
    }

    fn apply(&mut self, header: &RecordHeader, command: &Command) -> Vec<Event> {
        let mut bytes = Vec::new();
        header.write(command, &mut bytes).unwrap();
        self.time = self.time.plus(1);
        let seq = Seq(self.engine.seq_applied().0 + 1);
        let mut events = Vec::new();
        self.engine.apply(seq, self.time, &Record::read(&bytes).unwrap(), &mut events).unwrap();
        self.engine.check_invariants().unwrap();
        events
    }
}
