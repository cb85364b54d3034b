//! The shipped engine in the place of the naive one: what both sides of the contract say must be the same.

use engine::Engine;
use protocol::commands::{DefineSession, Deposit, Genesis, OpenAccount};
use protocol::event::Event;
use protocol::record::{Record, RecordHeader};
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
            let client = ClientId(if is_client { 7 } else { 0 });
            self.set_up(OpenAccount {
                account: id(class),
                client,
                asset,
                class,
                code: 0,
                settlement: is_client,
            });
        }
        self.set_up(Deposit {
            transfer: TransferId(u128::from(asset.0)),
            account: id(AccountClass::Client),
            external: id(AccountClass::External),
            amount: Amount(1 << 90),
        });
    }

    fn set_up(&mut self, command: impl Into<Command>) {
        let request = RequestNumber(self.engine.next_request(SessionId::OPERATOR).unwrap());
        let header = RecordHeader { session: SessionId::OPERATOR, request, ..RecordHeader::default() };
        let command = command.into();
        let events = self.apply(&header, &command);
        let Some(EventBody::Replied(reply)) = events.last().map(|event| &event.body) else {
            panic!("no reply among {events:?}")
        };
        assert_eq!(reply.refusal, None, "{command:?}: {reply:?}");
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
