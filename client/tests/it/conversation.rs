//! Connections that are lost at any byte, nodes that do not lead, and requests that are answered once all the same.

use std::collections::BTreeMap;

use client::{
    At, BatchResult, Conversation, Credentials, Ended, Executed, Freshness, Reply, Request, Ticket,
};
use gateways::ConnectionId;
use gateways::binary::{Acceptor, Answer, Leadership, Options};
use protocol::binary::BusinessRejectReason;
use protocol::event::Event;
use protocol::record::{EncodedCommand, RecordHeader};
use protocol::rows::{RowResult, TransferRow};
use protocol::submit::{Full, Submit};
use protocol::*;

const MILLI: u64 = 1_000_000;
const KEEP_ALIVE_MS: u32 = 1_000;

#[derive(Default)]
struct Queue(Vec<(RecordHeader, Command)>);

impl Submit for Queue {
    fn submit(&mut self, header: &RecordHeader, _: MonoNanos, command: &Command) -> Result<(), Full> {
        self.0.push((*header, command.clone()));
        Ok(())
    }

    fn submit_encoded(
        &mut self,
        header: &RecordHeader,
        _: MonoNanos,
        command: &EncodedCommand<'_>,
    ) -> Result<(), Full> {
        let decoded = Command::decode(command.kind, command.version, &command.body.concat());
        self.0.push((*header, decoded.unwrap()));
        Ok(())
    }
}

/// A node whose ledger remembers ids and nothing else.
struct Node {
    acceptor: Acceptor,
    queue: Queue,
    now: MonoNanos,
    connection: u64,
    seq: u64,
    /// Where each transfer was created.
    created: BTreeMap<TransferId, Seq>,
    /// Commands by their numbers in the session, and where they were executed.
    executed: BTreeMap<u64, (Command, Seq)>,
}

impl Node {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let Credentials { session, key } = Credentials::demo();
        let now = MonoNanos(5_000 * MILLI);
        let mut acceptor = Acceptor::new(options, [1; 32]);
        let actor = ActorId(120);
        let definition = commands::DefineSession {
            session,
            actor,
            firm: FirmId(0),
            protocol: SessionProtocol::Request,
            client_comp_id: Text::EMPTY,
            our_comp_id: Text::EMPTY,
            clients: Vec::new(),
            reset_on_logon: false,
            heartbeat_s_min: 0,
            heartbeat_s_max: 0,
            strictness: Strictness::Strict,
            cancel_on_disconnect: CancelOnDisconnect::Never,
            cancel_window_ms: 0,
        };
        acceptor.define(&events::SessionDefined { definition }.into(), now);
        acceptor.define(&events::ActorKeySet { actor, key: Some(key.public()) }.into(), now);
        acceptor.set_leadership(Leadership::Here(Term(1), Seq(0)), now);
        Self {
            acceptor,
            queue: Queue::default(),
            now,
            connection: 0,
            seq: 0,
            created: BTreeMap::new(),
            executed: BTreeMap::new(),
        }
    }

    fn wall(&self) -> UnixNanos {
        UnixNanos(self.now.0 + 1)
    }

    fn connect(&mut self, client: &mut Conversation) {
        self.connection += 1;
        self.acceptor.connect(ConnectionId(self.connection), self.now);
        client.connected(self.now, self.wall());
    }

    fn lose(&mut self, client: &mut Conversation) {
        self.acceptor.closed(ConnectionId(self.connection));
        client.disconnected();
    }

    /// Carries bytes both ways until nothing moves, but no more than `budget` of them. Returns what is left of it.
    fn carry(&mut self, client: &mut Conversation, mut budget: usize) -> Result<usize, Ended> {
        let id = ConnectionId(self.connection);
        loop {
            let mut moved = false;
            while !client.output().is_empty() && self.acceptor.wants_read(id) && budget > 0 {
                let room = self.acceptor.room(id);
                let count = room.len().min(client.output().len()).min(budget);
                room[..count].copy_from_slice(&client.output()[..count]);
                client.sent(count);
                self.acceptor.received(id, count, self.now, &mut self.queue);
                (budget, moved) = (budget - count, true);
            }
            self.execute();
            let output = self.acceptor.output(id);
            let count = output.len().min(budget);
            if count > 0 {
                let heard = output[..count].to_vec();
                self.acceptor.sent(id, count, self.now);
                client.receive(&heard, self.now, self.wall())?;
                (budget, moved) = (budget - count, true);
            }
            if !moved {
                return Ok(budget);
            }
        }
    }

    /// Executes everything that was submitted, on whichever connection that was.
    fn execute(&mut self) {
        for (header, command) in std::mem::take(&mut self.queue.0) {
            self.seq += 1;
            let Command::CreateTransfers(batch) = command else {
                self.execute_once(header, command);
                continue;
            };
            let mut exceptions = Vec::new();
            for (index, row) in (0..).zip(&batch.transfers) {
                if let Some(&seq) = self.created.get(&row.id) {
                    exceptions.push(RowResult { index, refusal: LedgerRefusal::Exists, seq });
                } else {
                    self.created.insert(row.id, Seq(self.seq));
                }
            }
            let count = u32::try_from(batch.transfers.len()).unwrap();
            let body = events::TransfersCreated {
                session: header.session,
                request: header.request,
                count,
                created: count - u32::try_from(exceptions.len()).unwrap(),
                exceptions,
                amounts: Vec::new(),
                balances: 0,
            };
            let event =
                Event { output: None, seq: Seq(self.seq), time: UnixNanos(self.seq), body: body.into() };
            self.acceptor.deliver(&event, self.now);
            self.acceptor.resume(self.now, &mut self.queue);
        }
    }
}

impl Node {
    /// A command, by the engine's rule: a number belongs to one command for ever, and far below the highest nothing is known.
    fn execute_once(&mut self, header: RecordHeader, command: Command) {
        let number = header.request.0;
        let highest = self.executed.keys().next_back().copied().unwrap_or(0);
        let seq = Seq(self.seq);
        let (effective_seq, refusal) = match self.executed.get(&number) {
            _ if number + limits::REQUEST_WINDOW <= highest => (seq, Some(RejectReason::BelowRequestWindow)),
            Some((before, seq)) if *before == command => (*seq, None),
            Some(_) => (seq, Some(RejectReason::KeyReused)),
            None => {
                self.executed.insert(number, (command, seq));
                (seq, None)
            }
        };
        let RecordHeader { session, request, .. } = header;
        let field = Text::EMPTY;
        let body = events::Replied { session, request, effective_seq, refusal, field };
        let event = Event { output: None, seq, time: UnixNanos(self.seq), body: body.into() };
        self.acceptor.deliver(&event, self.now);
        self.acceptor.resume(self.now, &mut self.queue);
    }

    /// Another connection of the session has a command executed.
    fn execute_for_another(&mut self, number: u64) {
        self.seq += 1;
        let header = RecordHeader {
            session: Credentials::demo().session,
            request: RequestNumber(number),
            ..RecordHeader::default()
        };
        self.execute_once(header, close_day(u32::MAX));
    }
}

fn close_day(business_date: u32) -> Command {
    commands::CloseDay { business_date, next: 7 }.into()
}

fn executed(client: &mut Conversation, ticket: Ticket) -> Executed {
    match client.take_reply_to(ticket) {
        Some(Reply::Executed(executed)) => executed,
        other => panic!("{other:?}"),
    }
}

fn conversation() -> Conversation {
    Conversation::new(Credentials::demo(), 77, KEEP_ALIVE_MS)
}

fn batch(first: u128, count: u128) -> Request {
    let row = |id| TransferRow {
        id: TransferId(id),
        debit_account: AccountId(1),
        credit_account: AccountId(2),
        amount: Amount(3),
        pending_id: TransferId(0),
        user_data_128: 0,
        user_data_64: 0,
        user_data_32: 0,
        timeout_s: 0,
        ledger: AssetId(1),
        code: 1,
        flags: 0,
        value_date: 0,
        reason: 0,
        reserved: 0,
    };
    Request::create_transfers(&(first..first + count).map(row).collect::<Vec<_>>()).unwrap()
}

fn result(client: &mut Conversation, ticket: Ticket) -> BatchResult {
    let Some(Reply::Created(result)) = client.take_reply_to(ticket) else { panic!() };
    result
}

#[test]
fn requests_wait_for_the_session_and_are_answered_each() {
    let (mut node, mut client) = (Node::new(), conversation());
    let early = client.submit(batch(1, 3), node.now);
    node.connect(&mut client);
    node.carry(&mut client, usize::MAX).unwrap();
    assert!(client.is_established());
    let late = client.submit(batch(4, 8_189), node.now);
    node.carry(&mut client, usize::MAX).unwrap();
    assert_eq!(client.unanswered(), 0);
    let late = result(&mut client, late);
    assert_eq!((late.count, late.created, late.attempts), (8_189, 8_189, 1));
    let early = result(&mut client, early);
    assert_eq!((early.seq, early.created, early.standing()), (Seq(1), 3, 3));
}

#[test]
fn a_connection_that_is_lost_at_any_byte_loses_no_request_and_doubles_none() {
    // How many bytes the whole dialogue takes, both ways.
    let whole = {
        let (mut node, mut client) = (Node::new(), conversation());
        node.connect(&mut client);
        for n in 0..3 {
            client.submit(batch(1 + n * 10, 10), node.now);
        }
        usize::MAX - node.carry(&mut client, usize::MAX).unwrap()
    };
    let mut repeated = 0;
    for lost_at in 0..=whole {
        let (mut node, mut client) = (Node::new(), conversation());
        node.connect(&mut client);
        let tickets: Vec<Ticket> = (0..3).map(|n| client.submit(batch(1 + n * 10, 10), node.now)).collect();
        node.carry(&mut client, lost_at).unwrap();
        node.lose(&mut client);
        assert!(!client.is_established());
        // What was submitted before is executed all the same.
        node.execute();
        node.connect(&mut client);
        node.carry(&mut client, usize::MAX).unwrap();
        assert_eq!(client.unanswered(), 0, "lost at byte {lost_at}");
        for (n, ticket) in (1..).zip(tickets) {
            let result = result(&mut client, ticket);
            assert_eq!((result.count, result.standing()), (10, 10), "lost at byte {lost_at}");
            if result.created == 0 {
                assert_eq!(result.attempts, 2, "lost at byte {lost_at}");
                assert!(
                    result.exceptions.iter().all(|row| row.seq == Seq(n)),
                    "created at the first attempt"
                );
                repeated += 1;
            }
        }
        assert_eq!(node.created.len(), 30);
    }
    assert!(repeated > 100, "{repeated}: none was executed before the loss");
}

#[test]
fn a_command_is_executed_once_wherever_the_connection_is_lost() {
    let submit = |client: &mut Conversation, node: &Node| -> Vec<Ticket> {
        (1..=3).map(|day| client.submit(Request::command(close_day(day)).unwrap(), node.now)).collect()
    };
    let whole = {
        let (mut node, mut client) = (Node::new(), conversation());
        node.connect(&mut client);
        submit(&mut client, &node);
        usize::MAX - node.carry(&mut client, usize::MAX).unwrap()
    };
    let mut repeated = 0;
    for lost_at in 0..=whole {
        let (mut node, mut client) = (Node::new(), conversation());
        node.connect(&mut client);
        let tickets = submit(&mut client, &node);
        node.carry(&mut client, lost_at).unwrap();
        node.lose(&mut client);
        node.execute();
        node.connect(&mut client);
        node.carry(&mut client, usize::MAX).unwrap();
        assert_eq!((client.unanswered(), client.commands_under_way()), (0, 0), "lost at byte {lost_at}");
        let days: Vec<Command> = node.executed.values().map(|(command, _)| command.clone()).collect();
        assert_eq!(days, [close_day(1), close_day(2), close_day(3)], "lost at byte {lost_at}");
        for (n, ticket) in (1..).zip(tickets) {
            let Executed { seq, attempts } = executed(&mut client, ticket);
            assert_eq!(seq, node.executed[&n].1, "where it took effect");
            repeated += u32::from(attempts == 2 && seq < Seq(node.seq));
        }
    }
    assert!(repeated > 100, "{repeated}: none was executed before the loss");
}

#[test]
fn a_number_that_another_connection_has_used_is_left_to_it() {
    let (mut node, mut client) = (Node::new(), conversation());
    node.connect(&mut client);
    node.carry(&mut client, usize::MAX).unwrap();
    (1..=3).for_each(|number| node.execute_for_another(number));
    let ticket = client.submit(Request::command(close_day(9)).unwrap(), node.now);
    node.carry(&mut client, usize::MAX).unwrap();
    assert_eq!(executed(&mut client, ticket).attempts, 4);
    assert_eq!(node.executed[&4].0, close_day(9));
    // So many that the next number is not known here any more: it is asked for by a new connection.
    node.execute_for_another(5_000);
    let ticket = client.submit(Request::command(close_day(10)).unwrap(), node.now);
    assert_eq!(node.carry(&mut client, usize::MAX), Err(Ended::Outnumbered));
    node.lose(&mut client);
    node.connect(&mut client);
    node.carry(&mut client, usize::MAX).unwrap();
    executed(&mut client, ticket);
    assert_eq!(node.executed[&5_001].0, close_day(10));
}

#[test]
fn whether_a_command_far_below_the_window_was_executed_nobody_says() {
    let (mut node, mut client) = (Node::new(), conversation());
    node.connect(&mut client);
    node.carry(&mut client, usize::MAX).unwrap();
    let ticket = client.submit(Request::command(close_day(1)).unwrap(), node.now);
    // It went out, and nobody knows whether it arrived.
    client.sent(client.output().len());
    node.lose(&mut client);
    node.execute_for_another(5_000);
    node.connect(&mut client);
    node.carry(&mut client, usize::MAX).unwrap();
    let reply = client.take_reply_to(ticket);
    let Some(Reply::Rejected { refusal, .. }) = reply else { panic!("{reply:?}") };
    assert_eq!(refusal, Some(RejectReason::BelowRequestWindow));
    assert_eq!(node.executed.len(), 1, "it was not sent under another number");
}

#[test]
fn whoever_does_not_lead_names_the_leader() {
    let (mut node, mut client) = (Node::new(), conversation());
    let ticket = client.submit(batch(1, 1), node.now);
    node.acceptor.set_leadership(Leadership::Elsewhere("10.0.0.9:9881".to_owned()), node.now);
    node.connect(&mut client);
    let ended = node.carry(&mut client, usize::MAX).unwrap_err();
    assert_eq!(ended, Ended::NotLeader("10.0.0.9:9881".to_owned()));
    assert!(!ended.is_final());
    node.lose(&mut client);
    node.acceptor.set_leadership(Leadership::Here(Term(2), Seq(0)), node.now);
    node.connect(&mut client);
    node.carry(&mut client, usize::MAX).unwrap();
    assert_eq!(result(&mut client, ticket).attempts, 1);
    node.acceptor.set_leadership(Leadership::Elsewhere(String::new()), node.now);
    assert_eq!(node.carry(&mut client, usize::MAX), Err(Ended::NotLeader(String::new())));
}

#[test]
fn a_wrong_key_is_wrong_everywhere() {
    let mut node = Node::new();
    let key = sign::PrivateKey::from_seed(&[9; 32]);
    let mut client = Conversation::new(Credentials { session: SessionId(120), key }, 1, KEEP_ALIVE_MS);
    node.connect(&mut client);
    let ended = node.carry(&mut client, usize::MAX).unwrap_err();
    assert!(matches!(ended, Ended::Refused(_)) && ended.is_final(), "{ended}");
}

#[test]
fn a_node_without_room_for_the_session_may_have_some_later() {
    let mut node = Node::with(Options { connections_per_session_max: 0, ..Options::default() });
    let mut client = conversation();
    node.connect(&mut client);
    let ended = node.carry(&mut client, usize::MAX).unwrap_err();
    assert!(matches!(ended, Ended::NoRoom(_)) && !ended.is_final(), "{ended}");
}

#[test]
fn a_silent_session_lives_and_a_silent_node_does_not() {
    let (mut node, mut client) = (Node::new(), conversation());
    node.connect(&mut client);
    node.carry(&mut client, usize::MAX).unwrap();
    for _ in 0..10 {
        node.now = node.now.plus(u64::from(KEEP_ALIVE_MS) * MILLI);
        client.tick(node.now).unwrap();
        node.acceptor.tick(node.now, &mut node.queue);
        node.carry(&mut client, usize::MAX).unwrap();
    }
    assert!(client.is_established());
    assert!(client.deadline() <= node.now.plus(u64::from(KEEP_ALIVE_MS) * MILLI));
    let later = node.now.plus(2 * u64::from(KEEP_ALIVE_MS) * MILLI);
    assert_eq!(client.tick(later), Err(Ended::Silent));
}

#[test]
fn questions_are_answered_under_their_tickets() {
    let (mut node, mut client) = (Node::new(), conversation());
    node.connect(&mut client);
    let one = client.submit(Request::balance_at(AccountId(7), At::Now, Freshness::ANY), node.now);
    let two =
        client.submit(Request::lookup_accounts(&[AccountId(7)], Freshness::LINEARIZABLE).unwrap(), node.now);
    node.carry(&mut client, usize::MAX).unwrap();
    let (first, second) = (node.acceptor.take_read().unwrap(), node.acceptor.take_read().unwrap());
    assert!(!first.linearizable && second.linearizable);
    node.acceptor.answer(&second, Seq(9), &Answer::Accounts(&[]), node.now);
    let sums = [1, 2, 3, 4].map(Amount);
    node.acceptor.answer(&first, Seq(8), &Answer::Balance { time: UnixNanos(5), sums }, node.now);
    node.carry(&mut client, usize::MAX).unwrap();
    assert_eq!(client.take_reply_to(two), Some(Reply::Accounts { seq: Seq(9), accounts: vec![] }));
    let Some(Reply::Balance(balance)) = client.take_reply_to(one) else { panic!() };
    assert_eq!((balance.account, balance.journal_seq), (AccountId(7), Seq(8)));
    assert_eq!(balance.credits_posted, Amount(4));
}

/// Answers the next question that no answer is there now; when the client asks again at the latest.
fn refuse(node: &mut Node, client: &mut Conversation, reason: BusinessRejectReason, retry_after_ms: u64) {
    node.carry(client, usize::MAX).unwrap();
    let read = node.acceptor.take_read().expect("it was asked");
    let retry_after_ns = retry_after_ms * MILLI;
    let answer = Answer::Rejected { reason, retry_after_ns, text: "" };
    node.acceptor.answer(&read, Seq(0), &answer, node.now);
    node.carry(client, usize::MAX).unwrap();
}

fn wait_ms(node: &mut Node, client: &mut Conversation, ms: u64) {
    node.now = node.now.plus(ms * MILLI);
    client.tick(node.now).unwrap();
    node.carry(client, usize::MAX).unwrap();
}

#[test]
fn what_a_node_has_no_answer_for_is_asked_again_after_pauses_that_grow() {
    let (mut node, mut client) = (Node::new(), conversation());
    client.retry_for(800 * MILLI);
    node.connect(&mut client);
    let ask = |client: &mut Conversation, node: &Node| {
        client.submit(Request::balance_at(AccountId(7), At::Now, Freshness::LINEARIZABLE), node.now)
    };
    let ticket = ask(&mut client, &node);
    refuse(&mut node, &mut client, BusinessRejectReason::Busy, 10);
    for (pause_ms, reason) in [
        (10, BusinessRejectReason::NoQuorum),
        (100, BusinessRejectReason::SeqNotReached),
        (200, BusinessRejectReason::Busy),
    ] {
        assert_eq!(client.deadline(), node.now.plus(pause_ms * MILLI));
        wait_ms(&mut node, &mut client, pause_ms - 1);
        assert_eq!(node.acceptor.take_read(), None, "too early");
        wait_ms(&mut node, &mut client, 1);
        refuse(&mut node, &mut client, reason, 100);
        assert!(client.is_paused(ticket) && client.take_reply().is_none());
    }
    // 310 ms have gone by; a pause of 400 would be too long.
    wait_ms(&mut node, &mut client, 389);
    assert!(client.is_under_way(ticket) && node.acceptor.take_read().is_none());
    let refusal = client.give_up(ticket);
    assert!(
        matches!(refusal, Some(Reply::Rejected { reason: BusinessRejectReason::Busy, .. })),
        "{refusal:?}"
    );

    // What will not be otherwise is said at once, and so is what comes too late.
    let ticket = ask(&mut client, &node);
    refuse(&mut node, &mut client, BusinessRejectReason::NotKept, 10);
    assert!(matches!(client.take_reply_to(ticket), Some(Reply::Rejected { .. })));
    let ticket = ask(&mut client, &node);
    refuse(&mut node, &mut client, BusinessRejectReason::Busy, 800);
    assert!(matches!(client.take_reply_to(ticket), Some(Reply::Rejected { .. })));

    // A new connection asks at once, and once.
    let ticket = ask(&mut client, &node);
    refuse(&mut node, &mut client, BusinessRejectReason::Busy, 50);
    node.lose(&mut client);
    node.connect(&mut client);
    node.carry(&mut client, usize::MAX).unwrap();
    assert!(node.acceptor.take_read().is_some());
    wait_ms(&mut node, &mut client, 60);
    assert_eq!(node.acceptor.take_read(), None);
    assert!(client.is_under_way(ticket));
}

#[test]
fn a_request_has_rows_and_not_too_many() {
    assert!(Request::create_transfers(&[]).is_none());
    assert!(Request::create_accounts(&[]).is_none());
    assert!(Request::lookup_accounts(&[AccountId(1); 4_097], Freshness::ANY).is_none());
    assert_eq!(batch(1, 8_189).len(), 14 + 8 + 4 + 8_189 * 128);
}

/// Damaged bytes of a node: an end with a reason, never a panic.
#[test]
fn what_is_no_message_ends_the_connection() {
    let (mut node, mut client) = (Node::new(), conversation());
    node.connect(&mut client);
    node.carry(&mut client, usize::MAX).unwrap();
    assert!(matches!(client.receive(&[0; 64], node.now, node.wall()), Err(Ended::Malformed(_))));
    let out_of_turn = binary::NotApplied { from_seq_no: RequestNumber(1), count: 1 };
    let mut bytes = Vec::new();
    out_of_turn.write(&mut bytes);
    let (mut node, mut client) = (Node::new(), conversation());
    node.connect(&mut client);
    node.carry(&mut client, usize::MAX).unwrap();
    assert_eq!(client.receive(&bytes, node.now, node.wall()), Err(Ended::OutOfTurn(8)));
}
