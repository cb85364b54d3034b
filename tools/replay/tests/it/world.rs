//! Writes a journal as a replica of a cluster of one does, with an engine beside it.

use std::path::Path;
use std::time::Duration;

use engine::{ENGINE_VERSION, Engine};
use journal::snapshot_file::{self, SnapshotHeader};
use journal::{FileDisk, Founders, Identity, Journal, Options, WriterKind};
use protocol::commands::{
    CancelOrder, ClOrdId, CreateAccounts, CreateTransfers, DefineActor, DefineAsset, DefineMarket,
    DefineSession, Genesis, NewOrder, SessionLogon, TermStart, roles,
};
use protocol::event::{EffectHash, Event};
use protocol::frame::{self, Frame, FrameHeader, FrameKind};
use protocol::hash::{Hash, blake3};
use protocol::record::RecordHeader;
use protocol::rows::account_flags::{DEBITS_MUST_NOT_EXCEED_CREDITS, SETTLEMENT};
use protocol::rows::{AccountRow, TransferRow};
use protocol::{
    AccountClass, AccountId, ActorId, Amount, AssetId, CancelOnDisconnect, ClientId, ClusterEpoch, ClusterId,
    Command, FirmId, Generation, Index, MarketId, NodeId, PriceTicks, QtyLots, RequestNumber, Seq, SessionId,
    SessionProtocol, Side, Strictness, Term, Text, TransferId, UnixNanos,
};

pub(crate) const IDENTITY: Identity = Identity {
    cluster: ClusterId(0xa0d17),
    epoch: ClusterEpoch(1),
    node: NodeId(1),
    founders: Founders::alone(NodeId(1)),
};
const START: u64 = 1_767_225_600_000_000_000;
/// The workflow that every tenth order belongs to.
pub(crate) const WORKFLOW: u128 = 1 << 100;
pub(crate) const MARKET: MarketId = MarketId(1);
pub(crate) const FEES: AccountId = AccountId(30);

/// What a journal is made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Entries with orders, behind those with definitions.
    pub(crate) entries: u64,
    /// What each client is given.
    pub(crate) deposit: u128,
    /// Behind these entries a snapshot is taken.
    pub(crate) snapshots: Vec<u64>,
    /// Entries that are voided by others once they are written, with how many void ones each.
    pub(crate) conflicts: Vec<(u64, u64)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { seed: 1, entries: 40, deposit: 1_000_000_000, snapshots: Vec::new(), conflicts: Vec::new() }
    }
}

/// A journal that is being written.
pub(crate) struct World {
    pub(crate) journal: Journal<FileDisk>,
    pub(crate) engine: Engine,
    pub(crate) effects: EffectHash,
    /// Behind each entry: its index, the last seq, the chain, the hash of the state.
    pub(crate) history: Vec<(Index, Seq, Hash, Hash)>,
    pub(crate) events: u64,
    index: u64,
    term: u64,
    time: u64,
    requests: u64,
    draw: u64,
    orders: u64,
    /// FIX number of the next message of each session.
    next_in: [u64; 2],
    /// The block of an entry says that it is committed, as where a replica catches up.
    pub(crate) commits_at_once: bool,
}

/// Writes the journal of `plan` in `dir`, and closes it.
pub(crate) fn build(dir: &Path, plan: &Plan) -> World {
    let mut world = World::create(dir, plan.seed);
    world.define(plan.deposit);
    let first = world.index;
    for n in 1..=plan.entries {
        if let Some((_, count)) = plan.conflicts.iter().find(|(at, _)| *at == n) {
            world.conflict(*count);
        }
        world.trade();
        if plan.snapshots.contains(&(world.index - first)) {
            world.snapshot();
        }
    }
    world
}

impl World {
    pub(crate) fn create(dir: &Path, seed: u64) -> Self {
        let disk = FileDisk::open(dir, WriterKind::Plain).unwrap();
        let options = Options { segment_bytes: 128 << 10, ..Options::new(seed) };
        let journal = Journal::create(disk, IDENTITY, options).unwrap();
        Self {
            journal,
            engine: Engine::new(),
            effects: EffectHash::default(),
            history: Vec::new(),
            events: 0,
            index: 0,
            term: 1,
            time: START,
            requests: 0,
            draw: seed,
            orders: 0,
            next_in: [2, 2],
            commits_at_once: false,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.draw = self.draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.draw;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn header(&self, kind: FrameKind, count: u32) -> FrameHeader {
        let entry = kind == FrameKind::Entry;
        FrameHeader {
            kind,
            index: Index(self.index + 1),
            term: Term(self.term),
            time: UnixNanos(if entry { self.time } else { 0 }),
            first_seq: self.engine.seq_applied().next(),
            count,
            engine_version: if entry { ENGINE_VERSION } else { 0 },
            applied_seq: if entry { self.engine.seq_applied() } else { Seq::ZERO },
            effect_hash: if entry { self.effects.0 } else { Hash::ZERO },
        }
    }

    /// A closed frame of these commands, with the hash of everything before.
    pub(crate) fn frame(&mut self, commands: &[(RecordHeader, Command)]) -> Vec<u8> {
        self.time += 1_000_000;
        let mut buffer = Vec::new();
        frame::begin(&mut buffer);
        for (header, command) in commands {
            header.write(command, &mut buffer).unwrap();
        }
        let header = self.header(FrameKind::Entry, u32::try_from(commands.len()).unwrap());
        frame::finish(&mut buffer, &header);
        buffer
    }

    /// Appends an entry as it is, and makes it durable and committed.
    pub(crate) fn append_raw(&mut self, frame: &[u8]) -> Hash {
        let chain = self.journal.append(frame);
        self.index += 1;
        if !self.commits_at_once {
            self.settle();
        }
        self.journal.set_commit(Index(self.index));
        self.settle();
        chain
    }

    pub(crate) fn append(&mut self, commands: &[(RecordHeader, Command)]) {
        let bytes = self.frame(commands);
        let chain = self.append_raw(&bytes);
        let mut events: Vec<Event> = Vec::new();
        for (seq, time, record) in Frame::read(&bytes).unwrap().records() {
            self.engine.apply(seq, time, &record.unwrap(), &mut events).unwrap();
        }
        self.followed(chain, &events);
    }

    /// Notes what followed from the last entry.
    pub(crate) fn followed(&mut self, chain: Hash, events: &[Event]) {
        let mut encoded = Vec::new();
        events.iter().for_each(|event| event.write(&mut encoded));
        self.effects.fold(&encoded);
        self.events += events.len() as u64;
        let seq = self.engine.seq_applied();
        self.history.push((Index(self.index), seq, chain, self.engine.state_hash()));
    }

    pub(crate) fn settle(&mut self) {
        while self.journal.durable() != self.journal.appended() {
            let progress = self.journal.step().unwrap_or_else(|fault| panic!("{fault}"));
            if !progress.completed {
                self.journal.disk_mut().wait(Duration::from_millis(10));
            }
        }
        // Once more, for the hint of what is durable now.
        self.journal.step().unwrap_or_else(|fault| panic!("{fault}"));
    }

    /// The empty entry with which a leader opens its term.
    fn noop(&mut self) {
        self.append_without_records(FrameKind::Noop, &[]);
    }

    pub(crate) fn append_without_records(&mut self, kind: FrameKind, payload: &[u8]) {
        let mut buffer = Vec::new();
        frame::begin(&mut buffer);
        buffer.extend_from_slice(payload);
        let header = self.header(kind, 0);
        frame::finish(&mut buffer, &header);
        self.append_raw(&buffer);
    }

    pub(crate) fn define(&mut self, deposit: u128) {
        self.noop();
        let system = RecordHeader { session: SessionId::SYSTEM, ..RecordHeader::default() };
        let genesis =
            Genesis { cluster: IDENTITY.cluster, operator: ActorId(1), operator_uid: 0, demo: true };
        let start = TermStart { term: Term(1), node: NodeId(1) };
        self.append(&[(system, genesis.into()), (system, start.into())]);
        let commands = definitions(deposit);
        let commands: Vec<_> = commands.into_iter().map(|command| (self.operator(), command)).collect();
        commands.chunks(5).for_each(|batch| self.append(batch));
        let logon =
            SessionLogon { connection: 1, msg_seq_num: 1, heartbeat_s: 30, reset: false, next_expected: 0 };
        for session in [16, 17] {
            let header = RecordHeader { session: SessionId(session), ..RecordHeader::default() };
            self.append(&[(header, logon.clone().into())]);
        }
    }

    pub(crate) fn operator(&mut self) -> RecordHeader {
        self.requests += 1;
        let request = RequestNumber(self.requests);
        RecordHeader {
            session: SessionId::OPERATOR,
            request,
            gateway_delay_us: 250,
            ..RecordHeader::default()
        }
    }

    /// An entry of orders, cancels and nonsense.
    pub(crate) fn trade(&mut self) {
        let count = 1 + self.below(12);
        let commands: Vec<_> = (0..count).map(|_| self.order()).collect();
        self.append(&commands);
    }

    pub(crate) fn order(&mut self) -> (RecordHeader, Command) {
        let place = self.below(2) as usize;
        self.orders += 1;
        let header = RecordHeader {
            session: SessionId(16 + place as u32),
            generation: Generation(1),
            request: RequestNumber(self.next_in[place]),
            gateway_delay_us: 12,
            correlation: self.orders.is_multiple_of(10).then_some(WORKFLOW),
            ..RecordHeader::default()
        };
        self.next_in[place] += 1;
        let side = [Side::Buy, Side::Sell][self.below(2) as usize];
        let cl_ord_id: ClOrdId = Text::truncated(&format!("o{}", self.orders));
        if self.below(5) == 0 {
            let orig_cl_ord_id = Text::truncated(&format!("o{}", 1 + self.below(self.orders)));
            let cancel = CancelOrder {
                cl_ord_id,
                orig_cl_ord_id,
                order: None,
                market: MARKET,
                side,
                poss_resend: false,
            };
            return (header, cancel.into());
        }
        let (price, qty) = (PriceTicks(95 + self.below(11)), QtyLots(self.below(20)));
        let order = NewOrder::limit(cl_ord_id, MARKET, side, price, qty);
        (header, order.into())
    }

    /// Entries that were never committed, and a newer leader who voids them. Client sessions' numbers in them are used
    /// again by what comes instead.
    pub(crate) fn conflict(&mut self, count: u64) {
        let before = self.index;
        let (next_in, orders) = (self.next_in, self.orders);
        let mut next_seq = self.engine.seq_applied().next();
        for _ in 0..count {
            let command = self.order();
            let mut frame = self.frame(&[command.clone(), command]);
            let header = Frame::read(&frame).unwrap().header;
            let index = Index(self.index + 1);
            frame::set_header(&mut frame, &FrameHeader { first_seq: next_seq, index, ..header });
            self.journal.append(&frame);
            self.settle();
            self.index += 1;
            next_seq = Seq(next_seq.0 + 2);
        }
        self.journal.truncate_from(Index(before + 1)).unwrap();
        (self.next_in, self.orders, self.index) = (next_in, orders, before);
        self.term += 1;
        self.journal.hard_state(journal::HardState { term: Term(self.term), vote: NodeId(1) });
    }

    /// A snapshot behind the last entry, and the mark that says so.
    pub(crate) fn snapshot(&mut self) {
        let mut state = Vec::new();
        self.engine.snapshot(&mut state);
        let state_hash = blake3(&[&state]);
        let header = SnapshotHeader {
            cluster: IDENTITY.cluster,
            epoch: IDENTITY.epoch,
            index: Index(self.index),
            term: Term(self.term),
            engine_version: ENGINE_VERSION,
            next_seq: self.engine.seq_applied().next(),
            last_time: self.engine.time(),
            chain: self.journal.last_chain(),
            effect_hash: self.effects.0,
            state_hash,
            conf_state: vec![8, 1],
        };
        snapshot_file::store(&mut self.journal.disk().beside(), &header, &state, header.index).unwrap();
        self.journal.snap_mark(header.index, header.term, state_hash);
        self.settle();
    }

    pub(crate) fn last(&self) -> (Index, Seq, Hash, Hash) {
        *self.history.last().unwrap()
    }

    /// As `verify` prints it and `--head` takes it.
    pub(crate) fn head(&self) -> String {
        let (_, seq, chain, _) = self.last();
        format!("{seq}:{chain}")
    }
}

fn definitions(deposit: u128) -> Vec<Command> {
    let mut commands: Vec<Command> = vec![DefineActor { actor: ActorId(2), roles: roles::TRADER }.into()];
    for (asset, code) in [(1, "BTC"), (2, "TRY")] {
        let asset = AssetId(asset);
        commands.push(DefineAsset { asset, code: Text::truncated(code), scale: 2 }.into());
        commands.push(account(20 + u128::from(asset.0), 0, asset, AccountClass::External));
    }
    commands.push(account(FEES.0, 0, AssetId(2), AccountClass::Fee));
    commands.push(market());
    for client in [1, 2] {
        for asset in [AssetId(1), AssetId(2)] {
            let id = u128::from(client) * 100 + u128::from(asset.0);
            commands.push(account(id, client, asset, AccountClass::Client));
            commands.push(transfer(id, 20 + u128::from(asset.0), id, asset, deposit));
        }
        commands.push(session(client));
    }
    // A repetition; then refused: a client pays what it does not have, and an asset is defined again with another scale.
    commands.push(transfer(101, 21, 101, AssetId(1), deposit));
    commands.push(transfer(1, 102, 202, AssetId(2), deposit + 1));
    commands.push(DefineAsset { asset: AssetId(1), code: Text::truncated("BTC"), scale: 3 }.into());
    commands
}

fn account(account: u128, client: u64, asset: AssetId, class: AccountClass) -> Command {
    let limited = if class == AccountClass::External { 0 } else { DEBITS_MUST_NOT_EXCEED_CREDITS };
    let settles = if class == AccountClass::Client { SETTLEMENT } else { 0 };
    let row = AccountRow {
        id: AccountId(account),
        owner: ClientId(client),
        ledger: asset,
        code: 1,
        flags: limited | settles,
        class: class.code().into(),
        ..AccountRow::default()
    };
    CreateAccounts { accounts: vec![row] }.into()
}

fn transfer(number: u128, debit: u128, credit: u128, ledger: AssetId, amount: u128) -> Command {
    let row = TransferRow {
        id: TransferId::at_ms(START / 1_000_000, number),
        debit_account: AccountId(debit),
        credit_account: AccountId(credit),
        amount: Amount(amount),
        ledger,
        code: 1,
        ..TransferRow::default()
    };
    CreateTransfers { transfers: vec![row] }.into()
}

fn market() -> Command {
    DefineMarket {
        market: MARKET,
        symbol: Text::truncated("BTC-TRY"),
        base: AssetId(1),
        quote: AssetId(2),
        lot_base_minor: Amount(1),
        tick_quote_minor: Amount(1),
        price_ticks_min: PriceTicks(1),
        price_ticks_max: PriceTicks(1_000),
        qty_lots_min: QtyLots(1),
        qty_lots_max: QtyLots(1_000),
        market_qty_lots_max: QtyLots(1_000),
        notional_min: Amount(1),
        notional_max: Amount(1 << 40),
        client_orders_max: 1_000,
        maker_fee_ppm: 1_000,
        taker_fee_ppm: 20_000,
        fee_account: FEES,
        tax_account: AccountId(0),
    }
    .into()
}

fn session(client: u64) -> Command {
    DefineSession {
        session: SessionId(15 + client as u32),
        actor: ActorId(2),
        firm: FirmId(1),
        protocol: SessionProtocol::Fix,
        client_comp_id: Text::truncated(&format!("CLIENT{client}")),
        our_comp_id: Text::truncated("SICIL"),
        clients: vec![ClientId(client)],
        reset_on_logon: false,
        heartbeat_s_min: 1,
        heartbeat_s_max: 60,
        strictness: Strictness::Strict,
        cancel_on_disconnect: CancelOnDisconnect::Never,
        cancel_window_ms: 0,
    }
    .into()
}
