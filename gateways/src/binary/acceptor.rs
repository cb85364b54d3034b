//! The acceptor: all connections, which requests of theirs are unanswered, and who is told what followed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::binary::{
    AccountsCreated, BusinessReject, BusinessRejectReason, CarriedCommand, CreateAccounts, CreateTransfers,
    Executed, Fixed, Message, Rows, TerminationCode, TransfersCreated, Words,
};
use protocol::event::Event;
use protocol::hash::{Hash, blake3};
use protocol::record::{EncodedCommand, RecordHeader};
use protocol::rows::{ACCOUNT_ROW_BYTES, ROWS_END_BYTES, TRANSFER_ROW_BYTES, end_rows};
use protocol::submit::{Full, Submit};
use protocol::time::NANOS_PER_MILLI;
use protocol::{ActorId, EventBody, MonoNanos, RejectReason, RequestNumber, Seq, SessionId, commands};

use super::Options;
use super::answers::rows_of;
use super::commands::Commands;
use super::connection::{Connection, Leadership, State, Surroundings};
use super::directory::Directory;
use super::read::{Answer, Read};
use crate::ConnectionId;

/// After how long a question that found too many others may be asked again.
const BUSY_NANOS: u64 = 10 * NANOS_PER_MILLI;

/// Any number of connections. The caller owns sockets, clocks and state: it passes bytes, times, events and answers in, and takes
/// bytes and questions out. After [`Self::deliver`] and [`Self::answer`] call [`Self::resume`].
pub struct Acceptor {
    options: Options,
    directory: Directory,
    commands: Commands,
    leadership: Leadership,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The connection of each serial number.
    serials: BTreeMap<u32, ConnectionId>,
    last_serial: u32,
    /// Connections for which [`Self::resume`] may have something to do.
    waiting: BTreeSet<ConnectionId>,
    /// Where something may have to be written or closed, since the caller asked last.
    touched: BTreeSet<ConnectionId>,
    /// Connections whose next question may be taken, each once: they take turns.
    asking: VecDeque<ConnectionId>,
    /// Questions of all connections that were not taken yet.
    reads_waiting: usize,
    /// Questions of each session that were taken and are not answered.
    reads_of: BTreeMap<SessionId, usize>,
    /// Connections that would be asking if their session had not so many of them.
    parked: BTreeMap<SessionId, VecDeque<ConnectionId>>,
    /// Challenges follow from it.
    secret: [u8; 32],
    /// Nothing is due by the clock before this; it may be too early, never too late.
    deadline: Option<MonoNanos>,
    stopping: bool,
    /// Rows of an answer, kept for its capacity.
    rows: Vec<u8>,
}

/// What became of the first message of a connection.
enum Step {
    /// It is taken.
    Taken,
    /// It waits until the queue has room.
    Waits,
}

impl Acceptor {
    /// An acceptor without connections that knows no session yet and does not lead. `secret`: 32 bytes from a source of true
    /// randomness; who knows them knows every challenge.
    #[must_use]
    pub fn new(options: Options, secret: [u8; 32]) -> Self {
        Self {
            options,
            directory: Directory::default(),
            commands: Commands::default(),
            leadership: Leadership::Elsewhere(String::new()),
            connections: BTreeMap::new(),
            serials: BTreeMap::new(),
            last_serial: 0,
            waiting: BTreeSet::new(),
            touched: BTreeSet::new(),
            asking: VecDeque::new(),
            reads_waiting: 0,
            reads_of: BTreeMap::new(),
            parked: BTreeMap::new(),
            secret,
            deadline: None,
            stopping: false,
            rows: Vec::new(),
        }
    }

    /// Takes a definition of a session or an actor's key; for what was defined before this acceptor was made.
    pub fn define(&mut self, event: &EventBody, now: MonoNanos) {
        if let Some(actor) = self.directory.define(event) {
            self.block(actor, now);
        }
    }

    /// The number of a session's next command, for those that were executed before this acceptor heard of it.
    pub fn set_next_command_no(&mut self, session: SessionId, next: RequestNumber) {
        self.commands.set_next(session, next);
    }

    /// Who leads from now on. Whoever loses the lead ends every session: what is unanswered may have been executed or not, and
    /// is asked of the next leader.
    pub fn set_leadership(&mut self, leadership: Leadership, now: MonoNanos) {
        if let Leadership::Elsewhere(address) = &leadership
            && matches!(self.leadership, Leadership::Here(..))
        {
            self.asking.clear();
            self.parked.clear();
            self.reads_waiting = 0;
            self.commands.forget();
            for (id, connection) in &mut self.connections {
                connection.reads.clear();
                connection.is_asking = false;
                if let State::Established | State::Draining(_) = connection.state {
                    connection.terminate(TerminationCode::LeaderChange, address, &self.options, now);
                    self.touched.insert(*id);
                }
            }
            self.deadline = Some(now);
        }
        self.leadership = leadership;
    }

    /// A connection was accepted.
    pub fn connect(&mut self, connection: ConnectionId, now: MonoNanos) {
        let until = now.plus(self.options.establish_nanos_max);
        let mut fresh = Connection::new(until, now);
        if self.stopping {
            fresh.terminate(TerminationCode::Maintenance, "", &self.options, now);
            self.touched.insert(connection);
        }
        self.connections.insert(connection, fresh);
        self.due_at_most(until);
    }

    /// Whether more input of this connection can be taken now.
    #[must_use]
    pub fn wants_read(&self, connection: ConnectionId) -> bool {
        let takes = |found: &Connection| !found.is_full && found.takes_messages(&self.options);
        self.connections.get(&connection).is_some_and(takes)
    }

    /// Where the next bytes of this connection are to be read to; call it while [`Self::wants_read`], and [`Self::received`] behind
    /// it.
    pub fn room(&mut self, connection: ConnectionId) -> &mut [u8] {
        match self.connections.get_mut(&connection) {
            Some(found) => {
                let bytes_max = found.message_bytes_max();
                found.input.room(bytes_max)
            }
            None => &mut [],
        }
    }

    /// So many bytes were read into the room.
    pub fn received(
        &mut self,
        connection: ConnectionId,
        bytes: usize,
        now: MonoNanos,
        submit: &mut impl Submit,
    ) {
        if let Some(found) = self.connections.get_mut(&connection) {
            found.heard(now);
            found.input.received(bytes);
            self.work(connection, now, submit);
        }
    }

    /// Goes on with connections that waited for room in the queue or for answers.
    pub fn resume(&mut self, now: MonoNanos, submit: &mut impl Submit) {
        for connection in core::mem::take(&mut self.waiting) {
            self.work(connection, now, submit);
        }
    }

    /// The socket has ended.
    pub fn closed(&mut self, connection: ConnectionId) {
        if let Some(found) = self.connections.remove(&connection) {
            // What it has submitted is executed, and nobody hears of it.
            if self.serials.get(&found.serial) == Some(&connection) {
                self.serials.remove(&found.serial);
            }
            self.reads_waiting -= found.reads.len();
            self.waiting.remove(&connection);
            self.touched.remove(&connection);
        }
    }

    /// Takes a committed event. All events may be offered, in their order; those that concern nobody here are ignored.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only what answers requests matters beside definitions"
    )]
    pub fn deliver(&mut self, event: &Event, now: MonoNanos) {
        if let Leadership::Here(_, applied) = &mut self.leadership {
            *applied = event.seq;
        }
        match &event.body {
            EventBody::TransfersCreated(made) => self.transfers_created(event, made, now),
            EventBody::AccountsCreated(made) => self.accounts_created(event, made, now),
            EventBody::Replied(replied) => self.replied(replied, now),
            EventBody::Dropped(dropped) => {
                self.refused(dropped.session, dropped.request, Some(dropped.reason), "", now);
            }
            body => self.define(body, now),
        }
    }

    /// The next question. Answer each with [`Self::answer`], in any order, or [`Self::give_up`] on it.
    pub fn take_read(&mut self) -> Option<Read> {
        loop {
            let id = self.asking.pop_front()?;
            let Some(found) = self.connections.get_mut(&id) else { continue };
            let of_session = self.reads_of.get(&found.session).copied().unwrap_or(0);
            if of_session >= self.options.reads_taken_per_session_max {
                self.parked.entry(found.session).or_default().push_back(id);
                continue;
            }
            found.is_asking = false;
            if let Some(read) = found.take_read(&self.options) {
                self.reads_of.insert(read.session, of_session + 1);
                self.reads_waiting -= 1;
                self.ask(id);
                return Some(read);
            }
        }
    }

    /// A question that was taken is answered to nobody.
    pub fn give_up(&mut self, read: &Read) {
        if let Some(found) = self.connections.get_mut(&read.connection) {
            found.read_answered(read);
        }
        self.make_room(read.session);
    }

    /// A question of the session is done with: another one of it may be taken.
    fn make_room(&mut self, session: SessionId) {
        if let Some(of_session) = self.reads_of.get_mut(&session) {
            *of_session -= 1;
            if *of_session == 0 {
                self.reads_of.remove(&session);
            }
        }
        // Most often there is none; those that have closed are passed over when their turn comes.
        if let Some(mut parked) = self.parked.remove(&session) {
            self.asking.append(&mut parked);
        }
    }

    /// The connection takes its turn, if it has a question that may be taken.
    fn ask(&mut self, id: ConnectionId) {
        let Some(found) = self.connections.get_mut(&id) else { return };
        if !found.is_asking && found.may_ask(&self.options) {
            found.is_asking = true;
            self.asking.push_back(id);
        }
    }

    /// What is known about a question, as it is behind `journal_seq`.
    pub fn answer(&mut self, read: &Read, journal_seq: Seq, answer: &Answer<'_>, now: MonoNanos) {
        self.give_up(read);
        let Self { connections, options, rows, .. } = self;
        let Some(found) = connections.get_mut(&read.connection) else { return };
        if found.answered(super::connection::lower_half(read.seq_no)).is_none() {
            return;
        }
        found.reply(answer.message(read, journal_seq, rows), options, now);
        self.ask(read.connection);
        self.answered(read.connection);
    }

    /// What waits to be written to this connection.
    #[must_use]
    pub fn output(&self, connection: ConnectionId) -> &[u8] {
        self.connections.get(&connection).map(Connection::pending).unwrap_or_default()
    }

    /// So many bytes of [`Self::output`] were written.
    pub fn sent(&mut self, connection: ConnectionId, bytes: usize, now: MonoNanos) {
        let Some(found) = self.connections.get_mut(&connection) else { return };
        let was_behind = found.pending().len() >= self.options.output_bytes_max;
        found.sent(bytes);
        if bytes == 0 {
            return;
        }
        if was_behind {
            // Nothing else can be heard from it meanwhile.
            found.heard(now);
            self.waiting.insert(connection);
        }
        self.ask(connection);
    }

    /// Whether to close the connection now; then call [`Self::closed`].
    #[must_use]
    pub fn should_close(&self, connection: ConnectionId, now: MonoNanos) -> bool {
        self.connections.get(&connection).is_none_or(|found| found.should_close(now))
    }

    /// A connection where something may have to be written or closed.
    pub fn take_touched(&mut self) -> Option<ConnectionId> {
        self.touched.pop_first()
    }

    /// Does what is due by the clock, and tries again what waits for room.
    pub fn tick(&mut self, now: MonoNanos, submit: &mut impl Submit) {
        self.resume(now, submit);
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        for (id, connection) in &mut self.connections {
            if now >= connection.deadline() {
                connection.tick(&self.options, now);
                self.touched.insert(*id);
            }
        }
        self.deadline = self.connections.values().map(Connection::deadline).min();
    }

    /// When to call [`Self::tick`] at the latest; `None` = nothing is due.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<MonoNanos> {
        self.deadline
    }

    /// The node is stopping: every session ends once its requests are answered, and no new one begins.
    pub fn stop(&mut self, now: MonoNanos) {
        self.stopping = true;
        self.deadline = Some(now);
        for (id, connection) in &mut self.connections {
            match connection.state {
                State::Established => connection.drain(TerminationCode::Maintenance, &self.options, now),
                State::Fresh { .. } | State::Negotiated { .. } => {
                    connection.terminate(TerminationCode::Maintenance, "", &self.options, now);
                }
                State::Draining(_) | State::Closing { .. } => {}
            }
            self.touched.insert(*id);
        }
    }

    /// Takes messages of a connection as long as there are any, and room for what they ask for.
    fn work(&mut self, id: ConnectionId, now: MonoNanos, submit: &mut impl Submit) {
        loop {
            let Some(found) = self.connections.get_mut(&id) else { return };
            found.is_full = false;
            if !found.takes_messages(&self.options) {
                break;
            }
            let message = match found.input.message(found.message_bytes_max()) {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(fault) => {
                    found.undecodable(fault, &self.options, now);
                    break;
                }
            };
            let bytes = message.len();
            // Out of the connection, so that both can be seen; no byte moves.
            let input = core::mem::take(&mut found.input);
            let message = input.message(found.message_bytes_max()).ok().flatten().unwrap_or_default();
            let step = self.take(id, message, now, submit);
            let Some(found) = self.connections.get_mut(&id) else { return };
            if let State::Fresh { .. } | State::Negotiated { .. } | State::Established = found.state {
                found.input = input;
            }
            match step {
                Step::Taken => found.input.take(bytes),
                Step::Waits => {
                    found.is_full = true;
                    self.waiting.insert(id);
                    break;
                }
            }
        }
        self.touch(id);
    }

    fn take(&mut self, id: ConnectionId, bytes: &[u8], now: MonoNanos, submit: &mut impl Submit) -> Step {
        let message = match Message::read(bytes) {
            Ok(message) => message,
            Err(fault) => {
                if let Some(found) = self.connections.get_mut(&id) {
                    found.undecodable(fault, &self.options, now);
                }
                return Step::Taken;
            }
        };
        let Some(found) = self.connections.get(&id) else { return Step::Taken };
        match found.state {
            State::Fresh { .. } | State::Negotiated { .. } => {
                self.begin_session(id, &message, now);
                Step::Taken
            }
            State::Established => self.request(id, &message, bytes.len(), now, submit),
            State::Draining(_) | State::Closing { .. } => Step::Taken,
        }
    }

    /// Negotiate and Establish.
    fn begin_session(&mut self, id: ConnectionId, message: &Message<'_>, now: MonoNanos) {
        let challenge = self.challenge(id);
        let serial = if let Message::Establish(establish) = message {
            self.serial_for(establish.session)
        } else {
            None
        };
        let Self { connections, options, directory, commands, leadership, .. } = self;
        let Some(found) = connections.get_mut(&id) else { return };
        let cx = Surroundings { options, directory, commands, leadership, challenge, now };
        if let (State::Fresh { until }, &Message::Negotiate(negotiate)) = (found.state, message) {
            found.negotiate(negotiate, until, &cx);
        } else if let (State::Negotiated { challenge, .. }, Message::Establish(establish)) =
            (found.state, message)
        {
            if found.establish(establish, challenge, serial, &cx) {
                let (serial, deadline) = (found.serial, found.deadline());
                self.serials.insert(serial, id);
                self.last_serial = serial;
                self.due_at_most(deadline);
            }
        } else {
            found.violation("a session begins with Negotiate and Establish", options, now);
        }
    }

    /// For this connection alone: nobody can sign for it beforehand.
    fn challenge(&self, id: ConnectionId) -> Hash {
        blake3(&[&self.secret, &id.0.to_le_bytes()])
    }

    /// A number that no connection has, unless the session has too many.
    fn serial_for(&self, session: SessionId) -> Option<u32> {
        let of_session = |id: &&ConnectionId| self.connections.get(id).is_some_and(|c| c.session == session);
        let connections = self.serials.values().filter(of_session).count();
        if connections >= self.options.connections_per_session_max {
            return None;
        }
        let mut serial = self.last_serial;
        loop {
            serial = serial.wrapping_add(1);
            if !self.serials.contains_key(&serial) {
                return Some(serial);
            }
        }
    }

    /// A message of an established session.
    #[expect(clippy::wildcard_enum_match_arm, reason = "questions are told apart where they are read")]
    fn request(
        &mut self,
        id: ConnectionId,
        message: &Message<'_>,
        bytes: usize,
        now: MonoNanos,
        submit: &mut impl Submit,
    ) -> Step {
        if let Some(carried) = CarriedCommand::of(message) {
            return self.command(id, &carried, (message.template(), bytes), now, submit);
        }
        let Self { connections, options, reads_waiting, directory, .. } = self;
        let Some(found) = connections.get_mut(&id) else { return Step::Taken };
        match message {
            Message::Sequence(sequence) => {
                found.count_on(sequence.next_seq_no, options, now);
            }
            Message::Terminate(_) => found.drain(TerminationCode::Finished, options, now),
            Message::CreateAccounts(CreateAccounts { seq_no, accounts }) => {
                let batch = Batch::accounts(accounts.bytes());
                return submit_batch(found, (*seq_no, bytes), batch, options, now, submit);
            }
            Message::CreateTransfers(CreateTransfers { seq_no, transfers }) => {
                let batch = Batch::transfers(transfers.bytes());
                return submit_batch(found, (*seq_no, bytes), batch, options, now, submit);
            }
            other => match Read::of((id, found.session), directory.scope(found.session), other) {
                None => found.violation("only requests are expected here", options, now),
                Some(Ok(read)) if !found.count_on(read.seq_no, options, now) => {}
                Some(Ok(read)) if *reads_waiting >= options.reads_max => {
                    let reject = refusal(read.template, read.seq_no, BusinessRejectReason::Busy, "");
                    found.reject(BusinessReject { retry_after_ns: BUSY_NANOS, ..reject }, now);
                }
                Some(Ok(read)) => {
                    found.expect_answer(read.seq_no, read.template, bytes);
                    found.reads.push_back(read);
                    *reads_waiting += 1;
                    self.ask(id);
                }
                Some(Err((seq_no, _))) if !found.count_on(seq_no, options, now) => {}
                Some(Err((seq_no, field))) => {
                    let reason = BusinessRejectReason::FieldOutOfRange;
                    found.reject(refusal(other.template(), seq_no, reason, field), now);
                }
            },
        }
        Step::Taken
    }

    /// A command, under its number in the session.
    fn command(
        &mut self,
        id: ConnectionId,
        carried: &CarriedCommand,
        (template, bytes): (u16, usize),
        now: MonoNanos,
        submit: &mut impl Submit,
    ) -> Step {
        let Self { connections, options, commands, .. } = self;
        let Some(found) = connections.get_mut(&id) else { return Step::Taken };
        let &CarriedCommand { seq_no, command_no, ref command } = carried;
        if !found.count_on(seq_no, options, now) {
            return Step::Taken;
        }
        let session = found.session;
        if !commands.admits(session, command_no) {
            let reason = BusinessRejectReason::FieldOutOfRange;
            found.reject(refusal(template, seq_no, reason, "command_no"), now);
            return Step::Taken;
        }
        let header = RecordHeader { session, request: command_no, ..RecordHeader::default() };
        match submit.submit(&header, now, command) {
            Ok(()) => {
                found.expect_answer(seq_no, template, bytes);
                commands.wait(session, command_no, id, seq_no);
                Step::Taken
            }
            Err(Full) => Step::Waits,
        }
    }

    fn transfers_created(
        &mut self,
        event: &Event,
        made: &protocol::events::TransfersCreated,
        now: MonoNanos,
    ) {
        let Some((id, client_seq_no, _)) = self.asked(made.session, made.request) else { return };
        let Self { connections, options, rows, .. } = self;
        let Some(found) = connections.get_mut(&id) else { return };
        rows.clear();
        made.exceptions.iter().for_each(|row| row.put(rows));
        let amounts_from = rows.len();
        made.amounts.iter().for_each(|row| row.put(rows));
        let (exceptions, amounts) = rows.split_at(amounts_from);
        let reply = TransfersCreated {
            client_seq_no,
            journal_seq: event.seq,
            transact_time: event.time,
            count: made.count,
            created: made.created,
            exceptions: Rows::new(exceptions).unwrap_or_default(),
            amounts: Rows::new(amounts).unwrap_or_default(),
        };
        found.reply(reply, options, now);
        self.answered(id);
    }

    fn accounts_created(&mut self, event: &Event, made: &protocol::events::AccountsCreated, now: MonoNanos) {
        let Some((id, client_seq_no, _)) = self.asked(made.session, made.request) else { return };
        let Self { connections, options, rows, .. } = self;
        let Some(found) = connections.get_mut(&id) else { return };
        let reply = AccountsCreated {
            client_seq_no,
            journal_seq: event.seq,
            transact_time: event.time,
            count: made.count,
            created: made.created,
            exceptions: rows_of(&made.exceptions, rows),
        };
        found.reply(reply, options, now);
        self.answered(id);
    }

    /// The engine has executed a command, or refused it or a batch as a whole.
    fn replied(&mut self, replied: &protocol::events::Replied, now: MonoNanos) {
        let &protocol::events::Replied { session, request, effective_seq, refusal, field } = replied;
        self.commands.replied(session, request);
        if refusal.is_some() {
            return self.refused(session, request, refusal, &field.to_string(), now);
        }
        let Some((id, client_seq_no, _)) = self.asked(session, request) else { return };
        let Some(found) = self.connections.get_mut(&id) else { return };
        let executed = Executed { client_seq_no, command_no: request, journal_seq: effective_seq };
        found.reply(executed, &self.options, now);
        self.answered(id);
    }

    /// The engine refused a request as a whole.
    fn refused(
        &mut self,
        session: SessionId,
        request: RequestNumber,
        why: Option<RejectReason>,
        field: &str,
        now: MonoNanos,
    ) {
        let Some((id, seq_no, template)) = self.asked(session, request) else { return };
        let Some(found) = self.connections.get_mut(&id) else { return };
        let reject = refusal(template, seq_no, BusinessRejectReason::Refused, field);
        found.reply(BusinessReject { refusal: why, ..reject }, &self.options, now);
        self.answered(id);
    }

    /// Who asked, and under which number, if it still waits.
    fn asked(
        &mut self,
        session: SessionId,
        request: RequestNumber,
    ) -> Option<(ConnectionId, RequestNumber, u16)> {
        let of_connection = || {
            let serial = u32::try_from(request.0 >> 32).ok()?;
            Some((*self.serials.get(&serial)?, request))
        };
        let (id, number) = self.commands.take(session, request).or_else(of_connection)?;
        let found = self.connections.get_mut(&id).filter(|found| found.session == session)?;
        let asked = found.answered(super::connection::lower_half(number))?;
        Some((id, asked.seq_no, asked.template))
    }

    /// An actor's key is another one now: who proved itself by the one before is not believed any more.
    fn block(&mut self, actor: ActorId, now: MonoNanos) {
        for (id, connection) in &mut self.connections {
            if connection.actor == Some(actor)
                && let State::Established | State::Draining(_) = connection.state
            {
                connection.terminate(TerminationCode::Blocked, "", &self.options, now);
                self.touched.insert(*id);
                self.deadline = Some(now);
            }
        }
    }

    /// A request of it was answered: it may go on.
    fn answered(&mut self, connection: ConnectionId) {
        self.touch(connection);
        self.waiting.insert(connection);
    }

    /// Something may have to be written, or closed in a while.
    fn touch(&mut self, connection: ConnectionId) {
        self.touched.insert(connection);
        if let Some(deadline) = self.connections.get(&connection).map(Connection::deadline) {
            self.due_at_most(deadline);
        }
    }

    fn due_at_most(&mut self, deadline: MonoNanos) {
        self.deadline = Some(self.deadline.map_or(deadline, |before| before.min(deadline)));
    }
}

/// A batch as it becomes a record: rows as they came, and what stands behind them.
struct Batch<'a> {
    template: u16,
    kind: u16,
    version: u16,
    rows: &'a [u8],
    row_bytes: usize,
    /// The field that is meant when there are no rows.
    field: &'static str,
}

impl<'a> Batch<'a> {
    const fn accounts(rows: &'a [u8]) -> Self {
        Self {
            template: CreateAccounts::TEMPLATE,
            kind: commands::CreateAccounts::KIND,
            version: commands::CreateAccounts::VERSION,
            rows,
            row_bytes: ACCOUNT_ROW_BYTES,
            field: "accounts",
        }
    }

    const fn transfers(rows: &'a [u8]) -> Self {
        Self {
            template: CreateTransfers::TEMPLATE,
            kind: commands::CreateTransfers::KIND,
            version: commands::CreateTransfers::VERSION,
            rows,
            row_bytes: TRANSFER_ROW_BYTES,
            field: "transfers",
        }
    }

    fn submit(&self, header: &RecordHeader, now: MonoNanos, submit: &mut impl Submit) -> Result<(), Full> {
        let mut end = Vec::with_capacity(ROWS_END_BYTES);
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        end_rows(number(self.rows.len() / self.row_bytes), number(self.row_bytes), &mut end);
        let body: &[&[u8]] = &[self.rows, &end];
        let command = EncodedCommand { kind: self.kind, version: self.version, body };
        submit.submit_encoded(header, now, &command)
    }
}

/// Hands a batch over, under a number of its own in the journal: the connection's and the client's.
fn submit_batch(
    found: &mut Connection,
    (seq_no, bytes): (RequestNumber, usize),
    batch: Batch<'_>,
    options: &Options,
    now: MonoNanos,
    submit: &mut impl Submit,
) -> Step {
    if !found.count_on(seq_no, options, now) {
        return Step::Taken;
    }
    if batch.rows.is_empty() {
        let reason = BusinessRejectReason::FieldOutOfRange;
        found.reject(refusal(batch.template, seq_no, reason, batch.field), now);
        return Step::Taken;
    }
    let lower = super::connection::lower_half(seq_no);
    let request = RequestNumber(u64::from(found.serial) << 32 | u64::from(lower));
    let header = RecordHeader { session: found.session, request, ..RecordHeader::default() };
    match batch.submit(&header, now, submit) {
        Ok(()) => {
            found.expect_answer(seq_no, batch.template, bytes);
            Step::Taken
        }
        Err(Full) => Step::Waits,
    }
}

/// A request is refused, for good unless something else is said.
pub(super) fn refusal(
    ref_template_id: u16,
    ref_seq_no: RequestNumber,
    reason: BusinessRejectReason,
    text: &str,
) -> BusinessReject<'_> {
    let text = Words::new(text);
    BusinessReject { ref_template_id, ref_seq_no, reason, refusal: None, retry_after_ns: 0, text }
}
