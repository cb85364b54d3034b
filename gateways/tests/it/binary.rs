//! The binary protocol's acceptor: what a client sends, what becomes a record, and what it is told.

mod command_numbers;
mod questions;

use gateways::ConnectionId;
use gateways::binary::{Acceptor, Answer, Leadership, Options, Query, Read};
use protocol::binary::market::MarketMessage;
use protocol::binary::*;
use protocol::event::Event;
use protocol::hash::Hash;
use protocol::record::{EncodedCommand, RecordHeader};
use protocol::rows::{AccountRow, RowAmount, RowResult, TransferRow};
use protocol::sign::{PrivateKey, Signature};
use protocol::submit::{Full, Submit};
use protocol::*;

const MILLI: u64 = 1_000_000;
const SESSION: SessionId = SessionId(16);
const ACTOR: ActorId = ActorId(7);
const KEEP_ALIVE_MS: u32 = 1_000;

fn key(n: u8) -> PrivateKey {
    PrivateKey::from_seed(&[n; 32])
}

/// Records as they were handed over.
#[derive(Default)]
struct Queue {
    records: Vec<(RecordHeader, Command)>,
    bodies: Vec<Vec<u8>>,
    is_full: bool,
}

impl Submit for Queue {
    fn submit(&mut self, header: &RecordHeader, now: MonoNanos, command: &Command) -> Result<(), Full> {
        let is_batch = matches!(command, Command::CreateAccounts(_) | Command::CreateTransfers(_));
        assert!(!is_batch, "{command:?} was decoded on its way");
        let mut body = Vec::new();
        command.encode(&mut body);
        let (kind, version) = (command.kind(), command.version());
        self.submit_encoded(header, now, &EncodedCommand { kind, version, body: &[&body] })
    }

    fn submit_encoded(
        &mut self,
        header: &RecordHeader,
        _: MonoNanos,
        command: &EncodedCommand<'_>,
    ) -> Result<(), Full> {
        if self.is_full {
            return Err(Full);
        }
        let body = command.body.concat();
        self.records.push((*header, Command::decode(command.kind, command.version, &body).unwrap()));
        self.bodies.push(body);
        Ok(())
    }
}

struct World {
    acceptor: Acceptor,
    queue: Queue,
    now: MonoNanos,
    seq: u64,
}

fn definition(session: u32, protocol: SessionProtocol) -> EventBody {
    definition_of(session, protocol, &[])
}

fn definition_of(session: u32, protocol: SessionProtocol, clients: &[u64]) -> EventBody {
    let definition = commands::DefineSession {
        session: SessionId(session),
        actor: ACTOR,
        firm: FirmId(0),
        protocol,
        client_comp_id: Text::EMPTY,
        our_comp_id: Text::EMPTY,
        clients: clients.iter().map(|client| ClientId(*client)).collect(),
        reset_on_logon: false,
        heartbeat_s_min: 0,
        heartbeat_s_max: 0,
        strictness: Strictness::Strict,
        cancel_on_disconnect: CancelOnDisconnect::Never,
        cancel_window_ms: 0,
    };
    events::SessionDefined { definition }.into()
}

fn key_set(key: Option<&PrivateKey>) -> EventBody {
    events::ActorKeySet { actor: ACTOR, key: key.map(PrivateKey::public) }.into()
}

impl World {
    fn new(options: Options) -> Self {
        let now = MonoNanos(77_000 * MILLI);
        let mut acceptor = Acceptor::new(options, [3; 32]);
        for session in [16, 17] {
            acceptor.define(&definition(session, SessionProtocol::Request), now);
        }
        acceptor.define(&definition(18, SessionProtocol::Fix), now);
        acceptor.define(&key_set(Some(&key(1))), now);
        acceptor.set_leadership(Leadership::Here(Term(5), Seq(40)), now);
        Self { acceptor, queue: Queue::default(), now, seq: 40 }
    }

    fn wait_ms(&mut self, ms: u64) {
        self.now = self.now.plus(ms * MILLI);
        self.acceptor.tick(self.now, &mut self.queue);
    }

    fn connect(&mut self, id: u64) {
        self.acceptor.connect(ConnectionId(id), self.now);
    }

    /// Passes bytes in as long as they are wanted; how many were.
    fn pass(&mut self, id: u64, mut bytes: &[u8]) -> usize {
        let (id, all) = (ConnectionId(id), bytes.len());
        while !bytes.is_empty() && self.acceptor.wants_read(id) {
            let room = self.acceptor.room(id);
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.acceptor.received(id, count, self.now, &mut self.queue);
        }
        all - bytes.len()
    }

    fn send<'a>(&mut self, id: u64, message: impl Into<Message<'a>>) {
        let mut bytes = Vec::new();
        message.into().write(&mut bytes);
        self.pass(id, &bytes);
    }

    /// What was said to a connection since this was asked last.
    fn heard(&mut self, id: u64) -> Vec<u8> {
        let output = self.acceptor.output(ConnectionId(id)).to_vec();
        self.acceptor.sent(ConnectionId(id), output.len(), self.now);
        self.acceptor.resume(self.now, &mut self.queue);
        output
    }

    fn negotiate(&mut self, id: u64, session: SessionId) -> Hash {
        let client_flow = FlowType::Idempotent;
        self.send(id, Negotiate { session, session_ver_id: 9, timestamp: UnixNanos(5), client_flow });
        let heard = self.heard(id);
        let Ok(Message::NegotiateResponse(response)) = Message::read(&heard) else {
            panic!("{:?}", Message::read(&heard))
        };
        assert_eq!((response.session, response.session_ver_id), (session, 9));
        response.challenge
    }

    fn establish(&mut self, id: u64, establish: Establish) -> Vec<u8> {
        self.send(id, establish);
        self.heard(id)
    }

    /// A connection whose next number is 1.
    fn open(&mut self, id: u64) {
        self.connect(id);
        let challenge = self.negotiate(id, SESSION);
        let heard = self.establish(id, proof(challenge, 1));
        assert!(matches!(Message::read(&heard), Ok(Message::EstablishAck(_))), "{:?}", Message::read(&heard));
    }

    /// Questions, as many as may be taken.
    fn take_reads(&mut self) -> Vec<Read> {
        core::iter::from_fn(|| self.acceptor.take_read()).collect()
    }

    fn commit(&mut self, body: impl Into<EventBody>) {
        self.seq += 1;
        let event =
            Event { output: None, seq: Seq(self.seq), time: UnixNanos(self.seq * 10), body: body.into() };
        self.acceptor.deliver(&event, self.now);
        self.acceptor.resume(self.now, &mut self.queue);
    }

    /// Executes the oldest record.
    fn execute(&mut self) {
        self.queue.bodies.remove(0);
        let (header, command) = self.queue.records.remove(0);
        self.execute_as(header, &command);
    }

    fn execute_as(&mut self, header: RecordHeader, command: &Command) {
        let RecordHeader { session, request, .. } = header;
        if let Command::CreateTransfers(create) = command {
            let count = u32::try_from(create.transfers.len()).unwrap();
            let exceptions =
                vec![RowResult { index: 0, refusal: LedgerRefusal::ExceedsCredits, seq: Seq(3) }];
            let amounts = vec![RowAmount { index: 1, amount: Amount(1 << 100) }];
            self.commit(events::TransfersCreated {
                session,
                request,
                count,
                created: count - 1,
                exceptions,
                amounts,
                balances: 8,
            });
        } else if let Command::CreateAccounts(create) = command {
            let count = u32::try_from(create.accounts.len()).unwrap();
            let created =
                events::AccountsCreated { session, request, count, created: count, exceptions: vec![] };
            self.commit(created);
        } else {
            panic!("{command:?}");
        }
    }
}

fn proof_of(session: SessionId, version: u64, challenge: Hash, next: u64, key: &PrivateKey) -> Establish {
    let timestamp = UnixNanos(6);
    let signature = key.sign(&establish_to_sign(session, version, timestamp, challenge));
    Establish {
        session,
        session_ver_id: version,
        timestamp,
        keep_alive_ms: KEEP_ALIVE_MS,
        next_seq_no: RequestNumber(next),
        signature,
    }
}

fn proof(challenge: Hash, next: u64) -> Establish {
    proof_of(SESSION, 9, challenge, next, &key(1))
}

fn transfers(count: u8) -> Vec<u8> {
    let row = |n: u8| TransferRow {
        id: TransferId(u128::from(n) + 1),
        debit_account: AccountId(2),
        credit_account: AccountId(3),
        amount: Amount(4),
        pending_id: TransferId(0),
        user_data_128: 0,
        user_data_64: 0,
        user_data_32: 0,
        timeout_s: 0,
        ledger: AssetId(5),
        code: 6,
        flags: 0,
        value_date: 0,
        reason: 0,
        reserved: 0,
    };
    let mut bytes = Vec::new();
    (0..count).for_each(|n| row(n).put(&mut bytes));
    bytes
}

fn batch(number: u64, rows: &[u8]) -> CreateTransfers<'_> {
    CreateTransfers { seq_no: RequestNumber(number), transfers: Rows::new(rows).unwrap() }
}

fn balance(number: u64) -> BalanceAt {
    BalanceAt {
        seq_no: RequestNumber(number),
        min_seq: Seq(0),
        linearizable: false,
        account: AccountId(4),
        at_seq: Seq(0),
        at_time: UnixNanos(0),
    }
}

/// Messages one behind the other, as people read them.
fn names(mut bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(Some(length)) = message_bytes(bytes, usize::MAX) {
        let message = Message::read(&bytes[..length]).unwrap();
        names.push(match message {
            Message::Terminate(end) => format!("Terminate {}", end.code.name()),
            Message::NotApplied(gap) => format!("NotApplied {} {}", gap.from_seq_no, gap.count),
            Message::Sequence(next) => format!("Sequence {}", next.next_seq_no),
            Message::TransfersCreated(made) => format!("TransfersCreated {}", made.client_seq_no),
            Message::AccountsCreated(made) => format!("AccountsCreated {}", made.client_seq_no),
            Message::Executed(executed) => {
                format!(
                    "Executed {} {} {}",
                    executed.client_seq_no, executed.command_no, executed.journal_seq
                )
            }
            Message::Balance(balance) => format!("Balance {}", balance.client_seq_no),
            Message::EstablishReject(reject) => {
                format!("EstablishReject {} {}", reject.reject_code.name(), reject.text.as_str())
            }
            Message::NegotiateReject(reject) => format!("NegotiateReject {}", reject.reject_code.name()),
            Message::BusinessReject(reject) => {
                let why = reject.refusal.map_or("", RejectReason::name);
                format!("BusinessReject {} {}{why}", reject.ref_seq_no, reject.reason.name())
            }
            other => format!("{other:?}").split(['(', ' ']).next().unwrap().to_owned(),
        });
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty(), "half a message");
    names
}

#[test]
fn a_session_is_established_by_its_actors_signature_over_this_connections_challenge() {
    let mut world = World::new(Options::default());
    world.connect(1);
    world.connect(2);
    let mine = world.negotiate(1, SESSION);
    let theirs = world.negotiate(2, SESSION);
    assert_ne!(mine, theirs);
    let heard = world.establish(1, proof(mine, 7));
    let Ok(Message::EstablishAck(ack)) = Message::read(&heard) else { panic!() };
    assert_eq!((ack.term, ack.journal_seq), (Term(5), Seq(40)));
    assert_eq!((ack.keep_alive_ms, ack.next_seq_no), (KEEP_ALIVE_MS, RequestNumber(7)));
    // A proof for one connection is worth nothing on another.
    assert_eq!(names(&world.establish(2, proof(mine, 7))), ["EstablishReject Credentials Credentials"]);
    assert!(world.acceptor.should_close(ConnectionId(2), world.now));
}

#[test]
fn every_wrong_field_of_an_establish_is_refused() {
    let good = |challenge| proof(challenge, 1);
    let other_key = |challenge| proof_of(SESSION, 9, challenge, 1, &key(2));
    let other_time = |challenge| Establish { timestamp: UnixNanos(7), ..good(challenge) };
    let forged = |challenge| Establish { signature: Signature([0; 64]), ..good(challenge) };
    let other_session = |challenge| proof_of(SessionId(17), 9, challenge, 1, &key(1));
    let other_version = |challenge| proof_of(SESSION, 8, challenge, 1, &key(1));
    let hasty = |challenge| Establish { keep_alive_ms: 99, ..good(challenge) };
    let idle = |challenge| Establish { keep_alive_ms: 60_001, ..good(challenge) };
    let no_number = |challenge| proof(challenge, 0);
    let cases: [(&dyn Fn(Hash) -> Establish, &str); 8] = [
        (&other_key, "Credentials Credentials"),
        (&other_time, "Credentials Credentials"),
        (&forged, "Credentials Credentials"),
        (&other_session, "Unnegotiated Unnegotiated"),
        (&other_version, "Unnegotiated Unnegotiated"),
        (&hasty, "KeepAliveInterval 99 ms; 100 to 60000 are allowed"),
        (&idle, "KeepAliveInterval 60001 ms; 100 to 60000 are allowed"),
        (&no_number, "InvalidNextSeqNo InvalidNextSeqNo"),
    ];
    for (n, (establish, expected)) in (1..).zip(cases) {
        let mut world = World::new(Options::default());
        world.connect(n);
        let challenge = world.negotiate(n, SESSION);
        let heard = world.establish(n, establish(challenge));
        assert_eq!(names(&heard), [format!("EstablishReject {expected}")]);
    }
}

#[test]
fn a_negotiate_for_what_is_no_session_of_this_protocol_is_refused() {
    let idempotent = FlowType::Idempotent;
    for (session, version, client_flow, expected) in [
        (99, 1, idempotent, "Credentials"),
        (18, 1, idempotent, "Credentials"),
        (1, 1, idempotent, "Credentials"),
        (16, 0, idempotent, "InvalidSessionVersion"),
        (16, 1, FlowType::Unsequenced, "FlowTypeNotSupported"),
    ] {
        let mut world = World::new(Options::default());
        world.connect(1);
        let session = SessionId(session);
        world.send(1, Negotiate { session, session_ver_id: version, timestamp: UnixNanos(0), client_flow });
        assert_eq!(names(&world.heard(1)), [format!("NegotiateReject {expected}")]);
        assert!(world.acceptor.should_close(ConnectionId(1), world.now));
    }
}

#[test]
fn a_batch_goes_to_the_journal_as_it_came_and_its_answer_to_who_asked() {
    let mut world = World::new(Options::default());
    world.open(1);
    world.open(2);
    let rows = transfers(3);
    world.send(2, batch(1, &rows));
    world.send(1, batch(1, &rows));
    let mut account = Vec::new();
    AccountRow {
        id: AccountId(1),
        user_data_128: 0,
        owner: ClientId(0),
        user_data_64: 0,
        user_data_32: 0,
        ledger: AssetId(1),
        code: 1,
        flags: 0,
        class: 2,
        reserved: 0,
    }
    .put(&mut account);
    world.send(1, CreateAccounts { seq_no: RequestNumber(2), accounts: Rows::new(&account).unwrap() });
    assert_eq!(world.queue.bodies[0][..rows.len()], rows);
    let (header, command) = &world.queue.records[0];
    let mut again = Vec::new();
    command.encode(&mut again);
    assert_eq!(world.queue.bodies[0], again);
    assert_eq!((header.session, header.generation), (SESSION, Generation(0)));
    world.execute();
    world.execute();
    world.execute();
    assert_eq!(names(&world.heard(1)), ["TransfersCreated 1", "AccountsCreated 2"]);
    let heard = world.heard(2);
    let Ok(Message::TransfersCreated(made)) = Message::read(&heard) else { panic!() };
    assert_eq!((made.journal_seq, made.transact_time), (Seq(41), UnixNanos(410)));
    assert_eq!((made.count, made.created), (3, 2));
    let exceptions: Vec<RowResult> = made.exceptions.iter().collect();
    assert_eq!(exceptions, [RowResult { index: 0, refusal: LedgerRefusal::ExceedsCredits, seq: Seq(3) }]);
    assert_eq!(made.amounts.iter().collect::<Vec<_>>(), [RowAmount { index: 1, amount: Amount(1 << 100) }]);
}

#[test]
fn a_gap_is_said_and_a_number_is_used_once() {
    let mut world = World::new(Options::default());
    world.open(1);
    let rows = transfers(1);
    world.send(1, batch(3, &rows));
    world.send(1, Sequence { next_seq_no: RequestNumber(10) });
    world.send(1, Sequence { next_seq_no: RequestNumber(10) });
    assert_eq!(names(&world.heard(1)), ["NotApplied 1 2", "NotApplied 4 6"]);
    world.send(1, batch(9, &rows));
    assert_eq!(names(&world.heard(1)), ["Terminate ProtocolViolation"]);
    assert_eq!(world.queue.records.len(), 1);
    for too_far in [(1 << 31) + 2, u64::MAX] {
        world.open(too_far);
        world.send(too_far, Sequence { next_seq_no: RequestNumber(too_far) });
        assert_eq!(names(&world.heard(too_far)), ["Terminate ProtocolViolation"]);
    }
}

#[test]
fn requests_that_are_unanswered_never_share_a_number_in_the_journal() {
    let mut world = World::new(Options::default());
    world.open(1);
    let rows = transfers(1);
    world.send(1, batch(1, &rows));
    // Twice the farthest jump comes to the same lower half.
    world.send(1, Sequence { next_seq_no: RequestNumber((1 << 31) + 1) });
    world.send(1, batch((1 << 32) + 1, &rows));
    assert_eq!(
        names(&world.heard(1)),
        [format!("NotApplied 2 {}", (1_u64 << 31) - 1), "Terminate ProtocolViolation".to_owned()]
    );
    // Where the first is answered, nothing is mixed up.
    world.open(2);
    world.send(2, batch(1, &rows));
    world.execute();
    world.execute();
    world.heard(2);
    world.send(2, Sequence { next_seq_no: RequestNumber((1 << 31) + 1) });
    world.send(2, batch((1 << 32) + 1, &rows));
    world.execute();
    assert_eq!(names(&world.heard(2))[2..], ["TransfersCreated 4294967297"]);
}

#[test]
fn a_full_queue_is_push_back_and_nothing_is_lost() {
    let mut world = World::new(Options::default());
    world.open(1);
    let rows = transfers(2);
    world.queue.is_full = true;
    let mut all = Vec::new();
    (1..=5).for_each(|n| batch(n, &rows).write(&mut all));
    let first = world.pass(1, &all[..all.len() / 5]);
    assert!(!world.acceptor.wants_read(ConnectionId(1)));
    assert_eq!(world.pass(1, &all[first..]), 0, "nothing more is read");
    world.wait_ms(1);
    assert_eq!(world.queue.records.len(), 0);
    world.queue.is_full = false;
    world.wait_ms(1);
    assert_eq!(world.queue.records.len(), 1);
    assert_eq!(world.pass(1, &all[first..]), all.len() - first);
    (0..5).for_each(|_| world.execute());
    let answered: Vec<String> = (1..=5).map(|n| format!("TransfersCreated {n}")).collect();
    assert_eq!(names(&world.heard(1)), answered, "each once, in order, and no gap");
}

#[test]
fn only_so_much_is_unanswered_at_a_time() {
    let rows = transfers(10);
    for options in [
        Options { unanswered_max: 3, ..Options::default() },
        Options { unanswered_bytes_max: 3 * rows.len(), ..Options::default() },
    ] {
        let mut world = World::new(options);
        world.open(1);
        let mut all = Vec::new();
        (1..=7).for_each(|n| batch(n, &rows).write(&mut all));
        world.pass(1, &all);
        assert_eq!(world.queue.records.len(), 3);
        assert!(!world.acceptor.wants_read(ConnectionId(1)));
        for _ in 0..7 {
            world.execute();
            assert!(world.queue.records.len() <= 3);
        }
        assert_eq!(names(&world.heard(1)).len(), 7);
        assert!(world.acceptor.wants_read(ConnectionId(1)));
    }
}

#[test]
fn a_peer_that_takes_no_answers_is_not_read_from() {
    let mut world = World::new(Options { output_bytes_max: 150, ..Options::default() });
    world.open(1);
    let rows = transfers(1);
    for n in 1..=2 {
        world.send(1, batch(n, &rows));
        world.execute();
    }
    assert!(!world.acceptor.wants_read(ConnectionId(1)), "two answers are more than that");
    assert_eq!(names(&world.heard(1)).len(), 2);
    assert!(world.acceptor.wants_read(ConnectionId(1)));
}

#[test]
fn what_a_lost_connection_asked_is_not_told_to_the_next_one_of_its_session() {
    let mut world = World::new(Options::default());
    world.open(1);
    let rows = transfers(1);
    world.send(1, batch(1, &rows));
    world.acceptor.closed(ConnectionId(1));
    world.open(2);
    world.send(2, batch(1, &rows));
    world.execute();
    assert_eq!(names(&world.heard(2)), Vec::<String>::new(), "that was connection 1's");
    world.execute();
    assert_eq!(names(&world.heard(2)), ["TransfersCreated 1"]);
    // And what another session was answered is nobody's here.
    let header = RecordHeader {
        session: SessionId(17),
        request: RequestNumber(2 << 32 | 2),
        ..RecordHeader::default()
    };
    world.send(2, batch(2, &rows));
    let command = world.queue.records[0].1.clone();
    world.execute_as(header, &command);
    assert_eq!(names(&world.heard(2)), Vec::<String>::new());
}

#[test]
fn what_the_engine_refuses_whole_is_told_with_its_reason() {
    let mut world = World::new(Options::default());
    world.open(1);
    let rows = transfers(1);
    world.send(1, batch(1, &rows));
    world.send(1, batch(2, &rows));
    let headers: Vec<RecordHeader> = world.queue.records.iter().map(|(header, _)| *header).collect();
    let RecordHeader { session, request, .. } = headers[0];
    let (refusal, field) = (Some(RejectReason::NotEntitled), Text::truncated("rows"));
    world.commit(events::Replied { session, request, effective_seq: Seq(41), refusal, field });
    let RecordHeader { session, request, .. } = headers[1];
    world.commit(events::Dropped { session, request, reason: RejectReason::UnknownSession });
    let expected = ["BusinessReject 1 RefusedNotEntitled", "BusinessReject 2 RefusedUnknownSession"];
    assert_eq!(names(&world.heard(1)), expected);
    world.send(1, batch(3, &[]));
    assert_eq!(names(&world.heard(1)), ["BusinessReject 3 FieldOutOfRange"], "no rows");
    assert_eq!(world.queue.records.len(), 2);
}

#[test]
fn who_does_not_lead_says_who_does() {
    let mut world = World::new(Options::default());
    world.open(1);
    let rows = transfers(1);
    world.send(1, batch(1, &rows));
    world.connect(2);
    let challenge = world.negotiate(2, SESSION);
    world.acceptor.set_leadership(Leadership::Elsewhere("10.0.0.2:9883".to_owned()), world.now);
    assert_eq!(names(&world.heard(1)), ["Terminate LeaderChange"]);
    assert!(world.acceptor.should_close(ConnectionId(1), world.now));
    assert_eq!(names(&world.establish(2, proof(challenge, 1))), ["EstablishReject NotLeader 10.0.0.2:9883"]);
    // Whoever follows does not know who may; nobody is let in for that.
    world.connect(3);
    let challenge = world.negotiate(3, SessionId(4_000));
    let stranger = proof_of(SessionId(4_000), 9, challenge, 1, &key(9));
    assert_eq!(names(&world.establish(3, stranger)), ["EstablishReject NotLeader 10.0.0.2:9883"]);
    // It leads again, and an answer of the time before finds nobody.
    world.acceptor.set_leadership(Leadership::Here(Term(6), Seq(50)), world.now);
    world.acceptor.closed(ConnectionId(1));
    world.open(4);
    world.send(4, batch(1, &rows));
    world.execute();
    assert_eq!(names(&world.heard(4)), Vec::<String>::new());
}

#[test]
fn a_key_that_is_taken_back_ends_its_sessions() {
    let mut world = World::new(Options::default());
    world.open(1);
    world.commit(key_set(Some(&key(1))));
    assert_eq!(names(&world.heard(1)), Vec::<String>::new(), "the same key");
    world.commit(key_set(Some(&key(2))));
    assert_eq!(names(&world.heard(1)), ["Terminate Blocked"]);
    world.connect(2);
    let challenge = world.negotiate(2, SESSION);
    assert_eq!(names(&world.establish(2, proof(challenge, 1))), ["EstablishReject Credentials Credentials"]);
    world.commit(key_set(None));
    world.connect(3);
    let client_flow = FlowType::Idempotent;
    world.send(3, Negotiate { session: SESSION, session_ver_id: 1, timestamp: UnixNanos(0), client_flow });
    assert_eq!(names(&world.heard(3)), ["NegotiateReject Credentials"]);
}

#[test]
fn both_sides_are_never_silent_for_long() {
    let mut world = World::new(Options::default());
    world.open(1);
    world.wait_ms(999);
    assert_eq!(names(&world.heard(1)), Vec::<String>::new());
    world.wait_ms(1);
    assert_eq!(names(&world.heard(1)), ["Sequence 1"]);
    // That its socket took this says nothing.
    world.wait_ms(1_000);
    assert_eq!(names(&world.heard(1)), ["Terminate KeepAliveExpired"]);
    world.open(2);
    for _ in 0..5 {
        world.wait_ms(1_500);
        world.send(2, Sequence { next_seq_no: RequestNumber(1) });
    }
    assert!(names(&world.heard(2)).iter().all(|name| name == "Sequence 1"));
}

#[test]
fn who_waits_for_us_is_not_taken_for_silent() {
    let mut world = World::new(Options::default());
    world.open(1);
    let rows = transfers(1);
    world.send(1, batch(1, &rows));
    for _ in 0..20 {
        world.wait_ms(1_000);
        assert!(names(&world.heard(1)).iter().all(|name| name == "Sequence 2"));
    }
    world.execute();
    assert_eq!(names(&world.heard(1)), ["TransfersCreated 1"]);
    world.wait_ms(1_000);
    assert_eq!(names(&world.heard(1)), ["Terminate KeepAliveExpired"]);
}

#[test]
fn who_takes_no_answers_for_long_is_given_up() {
    let mut world = World::new(Options { output_bytes_max: 150, ..Options::default() });
    world.open(1);
    let rows = transfers(1);
    for n in 1..=2 {
        world.send(1, batch(n, &rows));
        world.execute();
    }
    let id = ConnectionId(1);
    for _ in 0..3 {
        world.wait_ms(1_500);
        assert!(!world.acceptor.wants_read(id));
        world.acceptor.sent(id, 1, world.now);
    }
    world.wait_ms(2_000);
    let last = world.acceptor.output(id).to_vec();
    assert!(world.acceptor.should_close(id, world.now.plus(2_000 * MILLI)));
    assert_eq!(
        Message::read(&last[last.len() - 29..]).map(|message| message.template()),
        Ok(Terminate::TEMPLATE)
    );
}

#[test]
fn a_session_ends_when_everything_is_answered() {
    let mut world = World::new(Options::default());
    world.open(1);
    let rows = transfers(1);
    world.send(1, batch(1, &rows));
    world.send(1, batch(2, &rows));
    let end = Terminate {
        session: SESSION,
        session_ver_id: 9,
        code: TerminationCode::Finished,
        text: Words::new(""),
    };
    world.send(1, end);
    assert!(!world.acceptor.wants_read(ConnectionId(1)));
    world.execute();
    world.execute();
    assert_eq!(names(&world.heard(1)), ["TransfersCreated 1", "TransfersCreated 2", "Terminate Finished"]);
    assert!(world.acceptor.should_close(ConnectionId(1), world.now));
}

#[test]
fn a_node_that_stops_answers_what_was_asked() {
    let mut world = World::new(Options::default());
    world.open(1);
    world.connect(2);
    world.send(1, batch(1, &transfers(1)));
    world.acceptor.stop(world.now);
    world.connect(3);
    assert_eq!(names(&world.heard(2)), ["Terminate Maintenance"]);
    assert_eq!(names(&world.heard(3)), ["Terminate Maintenance"]);
    world.execute();
    assert_eq!(names(&world.heard(1)), ["TransfersCreated 1", "Terminate Maintenance"]);
}

#[test]
fn a_session_has_so_many_connections_and_a_stranger_so_little_room() {
    let mut world = World::new(Options { connections_per_session_max: 2, ..Options::default() });
    world.open(1);
    world.open(2);
    world.connect(3);
    let challenge = world.negotiate(3, SESSION);
    let heard = world.establish(3, proof(challenge, 1));
    assert_eq!(names(&heard), ["EstablishReject TooManyConnections TooManyConnections"]);
    world.acceptor.closed(ConnectionId(1));
    world.open(4);
    world.connect(5);
    world.send(5, batch(1, &transfers(8)));
    assert_eq!(names(&world.heard(5)), ["Terminate DecodingError"], "longer than a stranger's may be");
    world.connect(6);
    world.wait_ms(10_000);
    assert_eq!(names(&world.heard(6)), ["Terminate ProtocolViolation"], "it said nothing");
}

#[test]
fn a_message_that_may_not_come_ends_the_connection_and_nothing_else() {
    let every: Vec<Vec<u8>> = std::fs::read_dir("../protocol/tests/golden")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("binary-"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .map(|hex| hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect())
        .collect();
    assert_eq!(every.len(), Message::LAYOUTS.len() + MarketMessage::LAYOUTS.len());
    let expected = |state: &str, template: u16| match (state, template) {
        // The golden bytes name sessions that are not there, and numbers that are too far ahead.
        ("fresh", Negotiate::TEMPLATE) => "NegotiateReject Credentials",
        ("negotiated", Establish::TEMPLATE) => "EstablishReject Unnegotiated Unnegotiated",
        ("established", Terminate::TEMPLATE) => "Terminate Finished",
        _ => "Terminate ProtocolViolation",
    };
    for bytes in &every {
        // Messages of market data belong to another door.
        let template = Message::read(bytes).map(|message| message.template());
        for state in ["fresh", "negotiated", "established"] {
            let mut world = World::new(Options::default());
            world.open(2);
            world.connect(1);
            if state != "fresh" {
                let challenge = world.negotiate(1, SESSION);
                if state == "established" {
                    world.establish(1, proof(challenge, 1));
                }
            }
            world.pass(1, bytes);
            let expected = template.as_ref().map_or("Terminate DecodingError", |&of| expected(state, of));
            assert_eq!(names(&world.heard(1)), [expected], "{state}, {template:?}");
            world.send(2, batch(1, &transfers(1)));
            world.execute();
            assert_eq!(names(&world.heard(2)), ["TransfersCreated 1"]);
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ mixed >> 31) % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// Messages of a session, in which a few bytes are other ones, in pieces of any length: whatever follows, it is said in whole
/// messages, everything submitted is a batch or a command, and another connection is served as if nothing were.
#[test]
fn damaged_streams_hurt_nobody_else() {
    let one = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let count = 3_000 * std::env::var("SEEDS_TIMES").map_or(1, |times| times.parse::<u64>().unwrap());
    let (mut ended, mut lived) = (0, 0);
    for seed in one.map_or(0..count, |seed| seed..seed + 1) {
        println!("SEED={seed} repeats this");
        let mut random = Random(seed);
        let mut world = World::new(Options::default());
        world.open(1);
        world.open(2);
        let rows = transfers(3);
        let mut stream = Vec::new();
        for n in 1..=4 {
            match random.below(5) {
                4 => command_numbers::close_day(n, n).into(),
                0 => balance(n).into(),
                1 => Message::from(Sequence { next_seq_no: RequestNumber(n) }),
                _ => batch(n, &rows).into(),
            }
            .write(&mut stream);
        }
        for _ in 0..random.below(4) {
            let at = random.below(stream.len());
            stream[at] ^= 1 << random.below(8);
        }
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let piece = (1 + random.below(200)).min(rest.len());
            if world.pass(1, &rest[..piece]) < piece {
                break;
            }
            rest = &rest[piece..];
        }
        while let Some(read) = world.acceptor.take_read() {
            let answer = Answer::Accounts(&[]);
            world.acceptor.answer(&read, Seq(1), &answer, world.now);
        }
        while !world.queue.records.is_empty() {
            world.execute_any();
        }
        let heard = names(&world.heard(1));
        if heard.iter().any(|name| name.starts_with("Terminate")) {
            ended += 1
        } else {
            lived += 1
        }
        world.send(2, batch(1, &rows));
        world.execute();
        assert_eq!(names(&world.heard(2)), ["TransfersCreated 1"]);
    }
    assert!(one.is_some() || ended > 300 && lived > 300, "{ended} ended, {lived} lived");
}

impl World {
    /// As [`Self::execute`], of a batch of which nothing is known.
    fn execute_any(&mut self) {
        self.queue.bodies.remove(0);
        let (header, _) = self.queue.records.remove(0);
        let RecordHeader { session, request, .. } = header;
        let (refusal, field) = (Some(RejectReason::Malformed), Text::EMPTY);
        self.commit(events::Replied { session, request, effective_seq: Seq(1), refusal, field });
    }
}
