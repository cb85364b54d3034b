//! Corrections beside a naive model, which keeps everything that was ever executed and adds it up anew for each row.

use std::collections::{BTreeMap, BTreeSet};

use engine::views::AccountView;
use protocol::commands::{
    Approve, CorrectTransfers, CreateAccounts, CreateTransfers, DefineActor, DefineSession, Propose, Reject,
    SetLedgerLimits, roles,
};
use protocol::rows::transfer_flags::{CORRECTION, PENDING, POST_PENDING_TRANSFER, VOID_PENDING_TRANSFER};
use protocol::rows::{TransferRow, account_flags};
use protocol::{
    AccountId, ActorId, Amount, AssetId, Command, EventBody, LedgerRefusal, ProposalId, ProposedCommand,
    RejectReason, SessionId, SessionProtocol, Text, TransferId,
};

use crate::definitions;
use crate::numbers::Numbers;
use crate::world::World;

const SEEDS: u64 = 12;
const STEPS: u64 = 1_000;
const APPROVER: SessionId = SessionId(19);
const REASON: u16 = 7;
/// Accounts by ledger; the first of each may be overdrawn.
const ACCOUNTS: [(u32, [u128; 4]); 2] = [(1, [11, 12, 13, 14]), (2, [21, 22, 23, 24])];

/// What there is of a transfer.
#[derive(Clone, Copy, Debug)]
enum Past {
    /// It moved what the row says.
    Moved(TransferRow),
    /// It moved what the row says by posting that transfer.
    Posted(TransferRow, TransferId),
    /// It is pending.
    Pending(TransferRow),
    /// It was pending, or voided what was.
    Unmoved,
}

struct Run {
    world: World,
    numbers: Numbers,
    /// Of all transfers, whether they were executed or not.
    ids: Vec<TransferId>,
    past: BTreeMap<TransferId, Past>,
    /// What was known of an original when it was corrected first.
    originals: BTreeMap<TransferId, Option<TransferRow>>,
    corrections: Vec<TransferRow>,
    seen: BTreeSet<LedgerRefusal>,
}

fn reverses(row: &TransferRow, original: &TransferRow) -> bool {
    (row.debit_account, row.credit_account) == (original.credit_account, original.debit_account)
}

fn milliseconds(id: TransferId) -> u64 {
    u64::try_from(id.0 >> 80).unwrap()
}

fn may_be_overdrawn(account: AccountId) -> bool {
    ACCOUNTS.iter().any(|(_, accounts)| accounts[0] == account.0)
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::with_genesis();
        for ((ledger, accounts), code) in ACCOUNTS.into_iter().zip(["TRY", "USD"]) {
            world.set_up(definitions::asset(ledger, code, 2));
            let mut rows = accounts.map(|id| definitions::account_row(id, ledger));
            rows[0].flags &= !account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS;
            world.set_up(CreateAccounts { accounts: rows.to_vec() });
        }
        world.set_up(DefineActor { actor: ActorId(6), roles: roles::CASHIER });
        let session = definitions::session(APPROVER.0, SessionProtocol::Request, 100);
        world.set_up(DefineSession { actor: ActorId(6), ..session });
        // In every second seed most originals are forgotten while they are corrected.
        if seed.is_multiple_of(2) {
            let limits = world.engine.ledger_limits().clone();
            world.set_up(SetLedgerLimits { id_window_ms: 1_000, ..limits });
        }
        Self {
            world,
            numbers: Numbers(seed),
            ids: Vec::new(),
            past: BTreeMap::new(),
            originals: BTreeMap::new(),
            corrections: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    fn new_id(&mut self) -> TransferId {
        let number = u64::try_from(self.ids.len()).unwrap();
        let id = definitions::transfer_id(self.world.time / 1_000_000, number);
        self.ids.push(id);
        id
    }

    /// One that debits and credits two accounts of a ledger.
    fn new_row(&mut self, ledger: AssetId) -> TransferRow {
        let (_, accounts) = ACCOUNTS[if ledger.0 == 1 { 0 } else { 1 }];
        let debit = *self.numbers.pick(&accounts);
        let others: Vec<u128> = accounts.into_iter().filter(|account| *account != debit).collect();
        let (credit, amount) = (*self.numbers.pick(&others), self.numbers.below(100).into());
        TransferRow { ledger, ..definitions::transfer_row(self.new_id(), debit, credit, amount) }
    }

    /// One transfer by a batch: posted, pending, or the end of a pending one.
    fn transfer(&mut self) {
        let ledger = AssetId(if self.numbers.chance(80) { 2 } else { 1 });
        let mut row = self.new_row(ledger);
        let is_pending = |id: &TransferId| matches!(self.past.get(id), Some(Past::Pending(_)));
        let pending: Vec<TransferId> = self.ids.iter().copied().filter(is_pending).collect();
        let kind = self.numbers.below(10);
        if kind <= 2 {
            row.flags = PENDING;
        } else if kind <= 4 && !pending.is_empty() {
            let posts = kind == 3;
            let part = self.numbers.chance(50);
            row = TransferRow {
                id: row.id,
                pending_id: *self.numbers.pick(&pending),
                flags: if posts { POST_PENDING_TRANSFER } else { VOID_PENDING_TRANSFER },
                amount: Amount(match (posts, part) {
                    (true, true) => row.amount.0 / 2,
                    (true, false) => u128::MAX,
                    (false, _) => 0,
                }),
                ..TransferRow::default()
            };
        }
        let events = self.world.operator(CreateTransfers { transfers: vec![row] });
        let answer = events.last().map(|event| &event.body);
        let Some(EventBody::TransfersCreated(created)) = answer else { panic!("{events:?}") };
        if created.exceptions.is_empty() {
            let amount = created.amounts.first().map_or(row.amount, |moved| moved.amount);
            self.note(TransferRow { amount, ..row });
        }
    }

    fn note(&mut self, row: TransferRow) {
        let before = self.past.get(&row.pending_id).copied();
        let past = if let (POST_PENDING_TRANSFER, Some(Past::Pending(pending))) = (row.flags, before) {
            self.past.insert(row.pending_id, Past::Unmoved);
            Past::Posted(TransferRow { amount: row.amount, ..pending }, row.pending_id)
        } else if let (VOID_PENDING_TRANSFER, Some(Past::Pending(_))) = (row.flags, before) {
            self.past.insert(row.pending_id, Past::Unmoved);
            Past::Unmoved
        } else if row.flags == PENDING {
            Past::Pending(row)
        } else {
            Past::Moved(row)
        };
        self.past.insert(row.id, past);
    }

    /// What is known of an original; `None` = nothing any more.
    fn original(&self, id: TransferId) -> Result<Option<TransferRow>, LedgerRefusal> {
        let is_forgotten = |id| milliseconds(id) < self.world.engine.transfer_id_floor_ms();
        match self.past.get(&id) {
            Some(Past::Pending(_)) => Err(LedgerRefusal::CorrectedTransferNotPosted),
            _ if is_forgotten(id) => Ok(None),
            None => Err(LedgerRefusal::CorrectedTransferNotFound),
            Some(Past::Unmoved) => Err(LedgerRefusal::CorrectedTransferNotPosted),
            Some(Past::Posted(_, pending)) if is_forgotten(*pending) => Ok(None),
            Some(Past::Moved(row) | Past::Posted(row, _)) => Ok(Some(*row)),
        }
    }

    /// What a correction comes to: what is known of its originals, or the row that is refused.
    fn judge(
        &self,
        rows: &[TransferRow],
        mut accounts: BTreeMap<AccountId, AccountView>,
    ) -> Result<BTreeMap<TransferId, Option<TransferRow>>, (usize, LedgerRefusal)> {
        let mut originals = self.originals.clone();
        for (index, row) in rows.iter().enumerate() {
            let known = match originals.get(&row.pending_id) {
                Some(known) => *known,
                None => self.original(row.pending_id).map_err(|refusal| (index, refusal))?,
            };
            originals.insert(row.pending_id, known);
            let counts = |row: &TransferRow| known.is_none_or(|original| reverses(row, &original));
            if known.is_some_and(|original| original.ledger != row.ledger) {
                return Err((index, LedgerRefusal::CorrectedTransferHasDifferentLedger));
            }
            let so_far = self.corrections.iter().chain(&rows[..=index]);
            let of_it = so_far.filter(|other| other.pending_id == row.pending_id && counts(other));
            let reversed: u128 = of_it.map(|other| other.amount.0).sum();
            if counts(row) && known.is_some_and(|original| reversed > original.amount.0) {
                return Err((index, LedgerRefusal::ExceedsCorrectedTransfer));
            }
        }
        for (index, row) in rows.iter().enumerate() {
            let debit = &accounts[&row.debit_account];
            let spent = debit.debits.0 + debit.debits_pending.0 + row.amount.0;
            if !may_be_overdrawn(row.debit_account) && spent > debit.credits.0 {
                return Err((index, LedgerRefusal::ExceedsCredits));
            }
            apply(row, &mut accounts);
        }
        Ok(originals)
    }

    /// Rows that correct something, or what cannot be.
    fn correction(&mut self) -> Vec<TransferRow> {
        let mut rows = Vec::new();
        for _ in 0..self.numbers.between(1, 3) {
            let late = self.ids.len().saturating_sub(40);
            let of = match self.numbers.below(40) {
                0 => definitions::transfer_id(5, 5),
                1 => definitions::transfer_id(self.world.time / 1_000_000, 1 << 40),
                2..=10 => *self.numbers.pick(&self.ids),
                _ => *self.numbers.pick(&self.ids[late..]),
            };
            let past = self.past.get(&of).copied();
            let ledger = AssetId(if self.numbers.chance(90) { 2 } else { 1 });
            let mut row = self.new_row(ledger);
            if let Some(Past::Moved(original) | Past::Posted(original, _)) = past
                && self.numbers.chance(80)
            {
                (row.debit_account, row.credit_account) = (original.credit_account, original.debit_account);
                row.ledger = original.ledger;
                row.amount = Amount(self.numbers.below(64).into()).min(original.amount);
            }
            rows.push(TransferRow { pending_id: of, flags: CORRECTION, reason: REASON, ..row });
        }
        rows
    }

    fn correct(&mut self) {
        let rows = self.correction();
        let command: Command = CorrectTransfers { reason: REASON, transfers: rows.clone() }.into();
        let command = ProposedCommand::new(&command);
        let proposed = self.world.operator(Propose { command, expires_in_s: 60, note: Text::EMPTY });
        let proposal = ProposalId(self.world.engine.seq_applied().0);
        assert_eq!(self.shown(&proposed), self.sums(&rows));
        let before = self.accounts();
        let events = self.world.next(APPROVER, Approve { proposal });
        let Some(EventBody::Replied(reply)) = events.last().map(|event| &event.body) else {
            panic!("{events:?}")
        };
        match self.judge(&rows, before.clone()) {
            Ok(originals) => {
                assert_eq!(reply.refusal, None, "{rows:?}: {}", reply.field);
                let EventBody::TransfersEntered(entered) = &events[0].body else { panic!("{events:?}") };
                assert_eq!(entered.transfers, rows);
                let mut accounts = before;
                rows.iter().for_each(|row| apply(row, &mut accounts));
                assert_eq!(self.accounts(), accounts);
                self.originals = originals;
                self.corrections.extend(&rows);
                rows.into_iter().for_each(|row| self.note(row));
            }
            Err((index, refusal)) => {
                assert_eq!(reply.refusal, Some(RejectReason::CorrectionRefused), "{refusal:?} of {rows:?}");
                assert_eq!(reply.field.to_string(), format!("{index} {}", refusal.name()));
                assert_eq!(self.accounts(), before);
                self.seen.insert(refusal);
                self.world.operator(Reject { proposal, note: Text::EMPTY });
            }
        }
    }

    fn accounts(&self) -> BTreeMap<AccountId, AccountView> {
        self.world.engine.accounts().map(|view| (view.account, view)).collect()
    }

    /// What the approver is shown.
    fn shown(&self, events: &[protocol::event::Event]) -> Vec<(TransferId, u128)> {
        let EventBody::Proposed(proposed) = &events[0].body else { panic!("{events:?}") };
        let Some(before) = &proposed.before else { return Vec::new() };
        let Command::CorrectTransfers(before) = before.command().unwrap() else { panic!("{before:?}") };
        before.transfers.iter().map(|row| (row.pending_id, row.amount.0)).collect()
    }

    /// What has been reversed so far of the originals that were corrected.
    fn sums(&self, rows: &[TransferRow]) -> Vec<(TransferId, u128)> {
        let sum = |row: &TransferRow| {
            let known = self.originals.get(&row.pending_id)?;
            let counts = |row: &&TransferRow| known.is_none_or(|original| reverses(row, &original));
            let of_it = self.corrections.iter().filter(|other| other.pending_id == row.pending_id);
            Some((row.pending_id, of_it.filter(counts).map(|other| other.amount.0).sum()))
        };
        rows.iter().filter_map(sum).collect()
    }
}

fn apply(row: &TransferRow, accounts: &mut BTreeMap<AccountId, AccountView>) {
    accounts.get_mut(&row.debit_account).unwrap().debits.0 += row.amount.0;
    accounts.get_mut(&row.credit_account).unwrap().credits.0 += row.amount.0;
}

#[test]
fn corrections_are_what_a_naive_model_says() {
    let (mut seen, mut executed, mut forgotten) = (BTreeSet::new(), 0, 0);
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            let pause_ms = run.numbers.below(60);
            run.world.wait_ns(pause_ms * 1_000_000);
            if run.ids.len() < 10 || run.numbers.chance(60) { run.transfer() } else { run.correct() }
        }
        seen.append(&mut run.seen);
        executed += run.corrections.len();
        forgotten += run.originals.values().filter(|original| original.is_none()).count();
    }
    assert!(executed > 500 && forgotten > 20, "{executed} executed, of {forgotten} forgotten originals");
    let all = [
        LedgerRefusal::CorrectedTransferNotFound,
        LedgerRefusal::CorrectedTransferNotPosted,
        LedgerRefusal::CorrectedTransferHasDifferentLedger,
        LedgerRefusal::ExceedsCorrectedTransfer,
        LedgerRefusal::ExceedsCredits,
    ];
    assert_eq!(seen, BTreeSet::from(all));
}
