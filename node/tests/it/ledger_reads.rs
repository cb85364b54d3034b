//! Questions about the past over TCP, against a list of everything that was sent.

use client::{
    AsyncClient, At, BatchResult, Client, ClientFault, Credentials, Freshness, Options, Page, Reply, Request,
    TransferIds,
};
use protocol::binary::{BusinessRejectReason, TransferState, TransferStatus};
use protocol::rows::{AccountRow, TransferRow, transfer_flags as flag};
use protocol::sign::PrivateKey;
use protocol::*;

use crate::folder::Folder;
use crate::ledger::{account, block_on, config, free_port, options, transfer};
use crate::process::{Node, run, sicil};

const ACCOUNTS: [u128; 4] = [70_001, 70_002, 70_003, 70_004];

/// Everything that was sent and created, in order.
#[derive(Default)]
struct Sent {
    transfers: Vec<TransferState>,
    /// Seq and time of each batch.
    batches: Vec<(Seq, UnixNanos)>,
    ids: Option<TransferIds>,
    state: u64,
}

impl Sent {
    fn below(&mut self, bound: usize) -> usize {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.state >> 33).unwrap() % bound
    }

    /// Transfers between the accounts: some are pending, some post or void what is.
    fn send(&mut self, client: &mut Client, rows: usize) {
        let mut ids = self.ids.take().unwrap_or_else(|| TransferIds::new(7));
        let mut batch: Vec<TransferRow> = Vec::new();
        for _ in 0..rows {
            let id = ids.next(client.now());
            let debit = self.below(ACCOUNTS.len());
            let credit = (debit + 1 + self.below(ACCOUNTS.len() - 1)) % ACCOUNTS.len();
            let amount = 1 + u128::try_from(self.below(1_000)).unwrap();
            let row = transfer(id, ACCOUNTS[debit], ACCOUNTS[credit], amount);
            let row = TransferRow { code: 1 + u16::try_from(self.below(3)).unwrap(), ..row };
            let open = |state: &&TransferState| {
                state.status == TransferStatus::Pending
                    && batch.iter().all(|row| row.pending_id != state.transfer.id)
            };
            let pending = self.transfers.iter().find(open).map(|state| state.transfer);
            batch.push(match (self.below(5), pending) {
                (0, _) => TransferRow { flags: flag::PENDING, ..row },
                (1, Some(pending)) => {
                    TransferRow { id, pending_id: pending.id, flags: flag::POST_PENDING_TRANSFER, ..pending }
                }
                (2, Some(pending)) => {
                    TransferRow { id, pending_id: pending.id, flags: flag::VOID_PENDING_TRANSFER, ..pending }
                }
                _ => row,
            });
        }
        self.ids = Some(ids);
        let made = client.create_transfers(&batch).unwrap();
        assert_eq!(made.created, made.count, "{made:?}");
        self.note(&batch, &made);
    }

    fn note(&mut self, batch: &[TransferRow], made: &BatchResult) {
        self.batches.push((made.seq, made.time));
        for (index, row) in (0..).zip(batch) {
            let status =
                if row.flags & flag::PENDING == 0 { TransferStatus::Final } else { TransferStatus::Pending };
            if let Some(pending) = self.transfers.iter_mut().find(|state| state.transfer.id == row.pending_id)
            {
                pending.settled_seq = made.seq;
                let is_posted = row.flags & flag::POST_PENDING_TRANSFER != 0;
                pending.status = if is_posted { TransferStatus::Posted } else { TransferStatus::Voided };
            }
            let (seq, time) = (made.seq, made.time);
            self.transfers.push(TransferState {
                transfer: *row,
                seq,
                index,
                time,
                status,
                settled_seq: Seq(0),
            });
        }
    }

    /// Debits pending and posted, credits pending and posted, behind a seq.
    fn sums(&self, account: u128, seq: Seq) -> [u128; 4] {
        let mut sums = [0; 4];
        for TransferState { transfer: row, settled_seq, .. } in
            self.transfers.iter().filter(|state| state.seq <= seq)
        {
            for (side, of) in [(0, row.debit_account), (2, row.credit_account)] {
                if of.0 != account || row.flags & flag::VOID_PENDING_TRANSFER != 0 {
                    continue;
                }
                let is_pending = row.flags & flag::PENDING != 0;
                if !is_pending {
                    sums[side + 1] += row.amount.0;
                } else if *settled_seq == Seq(0) || *settled_seq > seq {
                    sums[side] += row.amount.0;
                }
            }
        }
        sums
    }

    fn wanted(&self, page: &Page) -> Vec<TransferState> {
        let is_wanted = |state: &&TransferState| {
            let row = &state.transfer;
            let (is_debit, is_credit) =
                (row.debit_account == page.account, row.credit_account == page.account);
            let other = if is_debit { row.credit_account } else { row.debit_account };
            (is_debit && page.debits || is_credit && page.credits)
                && page.counterparty.is_none_or(|account| account == other)
                && page.code.is_none_or(|code| code == row.code)
                && state.time >= page.time_from
                && (page.time_to == UnixNanos(0) || state.time <= page.time_to)
        };
        let mut wanted: Vec<TransferState> = self.transfers.iter().filter(is_wanted).copied().collect();
        if page.backwards {
            wanted.reverse();
        }
        wanted
    }

    fn some_time(&mut self) -> UnixNanos {
        let at = self.below(self.batches.len());
        self.batches[at].1
    }

    fn some_page(&mut self) -> Page {
        let account = AccountId(ACCOUNTS[self.below(ACCOUNTS.len())]);
        let mut page = Page { limit: 1 + u32::try_from(self.below(40)).unwrap(), ..Page::of(account) };
        if self.below(3) == 0 {
            page.counterparty =
                Some(AccountId(ACCOUNTS[self.below(ACCOUNTS.len())])).filter(|other| *other != account);
        }
        if self.below(3) == 0 {
            page.code = Some(1 + u16::try_from(self.below(3)).unwrap());
        }
        if self.below(3) == 0 {
            page.time_from = self.some_time();
        }
        if self.below(3) == 0 {
            page.time_to = self.some_time().max(page.time_from);
        }
        (page.debits, page.credits) =
            [(true, true), (true, true), (true, false), (false, true)][self.below(4)];
        page.backwards = self.below(2) == 0;
        page
    }

    /// Asks for everything, and for much of it in several ways.
    fn compare(&mut self, client: &mut Client, freshness: Freshness) {
        for _ in 0..60 {
            let page = self.some_page();
            let found: Vec<TransferState> =
                client.all_account_transfers(page, freshness).map(Result::unwrap).collect();
            assert_eq!(found, self.wanted(&page), "{page:?}");
        }
        let ids: Vec<TransferId> = self.transfers.iter().map(|state| state.transfer.id).collect();
        for chunk in ids.chunks(333) {
            let mut asked = chunk.to_vec();
            asked.push(TransferId(1));
            let (_, found) = client.lookup_transfers(&asked, freshness).unwrap();
            assert_eq!(found.iter().map(|state| state.transfer.id).collect::<Vec<_>>(), chunk);
            for state in found {
                assert!(self.transfers.contains(&state), "{state:?}");
            }
        }
        let last = self.batches.last().unwrap().0;
        for account in ACCOUNTS {
            for &(seq, time) in &self.batches {
                for at in [At::Seq(seq), At::Time(time)] {
                    let found = client.balance_at(AccountId(account), at, freshness).unwrap();
                    let sums = [
                        found.debits_pending,
                        found.debits_posted,
                        found.credits_pending,
                        found.credits_posted,
                    ];
                    assert_eq!(sums.map(|sum| sum.0), self.sums(account, seq), "{account}, {at:?}");
                    assert_eq!((found.journal_seq, found.transact_time), (seq, time), "{at:?}");
                }
            }
            let now = client.balance_at(AccountId(account), At::Now, freshness).unwrap();
            assert_eq!(now.credits_posted.0, self.sums(account, last)[3]);
        }
    }
}

fn reason<T: std::fmt::Debug>(answer: Result<T, ClientFault>) -> (BusinessRejectReason, bool) {
    match answer {
        Err(ClientFault::Rejected { reason, retry_after_ns, .. }) => (reason, retry_after_ns > 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_pages_together_are_what_was_sent_also_behind_a_kill() {
    let folder = Folder::new("ledger-reads");
    let (data, config) = (folder.data(), config(&folder, free_port()));
    let node = Node::start(&data, &config);
    let mut client = Client::connect(Options { patience_ms: 60_000, ..options(&node) }).unwrap();
    let (before, _) = client.lookup_accounts(&[], Freshness::LINEARIZABLE).unwrap();
    let opened = client.create_accounts(&ACCOUNTS.map(account)).unwrap();
    let mut sent = Sent { state: 5, ..Sent::default() };
    for _ in 0..12 {
        let rows = 1 + sent.below(90);
        sent.send(&mut client, rows);
        // What was acknowledged is found at once, without asking for more than that.
        let newest = *sent.transfers.last().unwrap();
        let (seq, found) = client.lookup_transfers(&[newest.transfer.id], Freshness::ANY).unwrap();
        assert!(found == [newest] && seq >= newest.seq, "{found:?}");
    }
    sent.compare(&mut client, Freshness::ANY);
    let one = AccountId(ACCOUNTS[0]);
    let ask = |client: &mut Client, at| reason(client.balance_at(one, at, Freshness::ANY));
    assert_eq!(ask(&mut client, At::Seq(before)), (BusinessRejectReason::UnknownAccount, false));
    assert_eq!(ask(&mut client, At::Time(UnixNanos(1))), (BusinessRejectReason::UnknownAccount, false));
    assert_eq!(ask(&mut client, At::Seq(Seq(1 << 60))), (BusinessRejectReason::InTheFuture, false));
    assert_eq!(ask(&mut client, At::Time(UnixNanos(u64::MAX))), (BusinessRejectReason::InTheFuture, false));
    let empty = client.balance_at(one, At::Seq(opened.seq), Freshness::ANY).unwrap();
    assert_eq!((empty.debits_posted, empty.credits_posted), (Amount(0), Amount(0)));
    let stranger = client.account_transfers(&Page::of(AccountId(9)), Freshness::ANY);
    assert_eq!(reason(stranger), (BusinessRejectReason::UnknownAccount, false));
    // Whatever is said to be the place where a page goes on: it is one, or there is nothing behind it.
    let all = sent.wanted(&Page::of(one));
    for from in [(1, 0), (1, u32::MAX), (u64::MAX, 0), (u64::MAX, u32::MAX), (1 << 63, 7)] {
        for backwards in [false, true] {
            let page = Page { from: Some((Seq(from.0), from.1)), backwards, limit: 4_096, ..Page::of(one) };
            let found = client.account_transfers(&page, Freshness::ANY).unwrap();
            let is_all = backwards != (from.0 == 1);
            let expected = if is_all { all.len() } else { 0 };
            assert_eq!((found.transfers.len(), found.next), (expected, None), "{from:?}, {backwards}");
        }
    }
    node.kill();
    let node = Node::start(&data, &config);
    sent.compare(&mut client, Freshness::LINEARIZABLE);
    sent.send(&mut client, 50);
    sent.compare(&mut client, Freshness { min_seq: sent.batches.last().unwrap().0, linearizable: false });
    drop(client);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn many_questions_wait_side_by_side_and_all_are_answered() {
    let folder = Folder::new("ledger-reads-many");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    let mut client = Client::connect(options(&node)).unwrap();
    client.create_accounts(&ACCOUNTS.map(account)).unwrap();
    let mut sent = Sent::default();
    sent.send(&mut client, 200);
    let (last, _) = *sent.batches.last().unwrap();
    // Those that ask for what will never come are refused in the end, and hold nobody up.
    let never = Freshness { min_seq: Seq(u64::MAX), linearizable: false };
    let mut patient = Client::connect(Options { patience_ms: 20_000, ..options(&node) }).unwrap();
    let late: Vec<_> = (0..20)
        .map(|_| patient.submit(Request::balance_at(AccountId(ACCOUNTS[0]), At::Now, never)).unwrap())
        .collect();
    let mut asked = Vec::new();
    for n in 0..2_000_u32 {
        let linearizable = n.is_multiple_of(2);
        let freshness = Freshness { min_seq: Seq(0), linearizable };
        let account = AccountId(ACCOUNTS[sent.below(ACCOUNTS.len())]);
        asked.push(client.submit(match n % 3 {
            0 => Request::balance_at(account, At::Seq(last), freshness),
            1 => Request::account_transfers(&Page::of(account), freshness),
            _ => Request::lookup_accounts(&[account], freshness).unwrap(),
        }));
    }
    for ticket in asked {
        let reply = client.wait_for(ticket.unwrap()).unwrap();
        assert!(!matches!(reply, Reply::Rejected { .. }), "{reply:?}");
    }
    for ticket in late {
        let reply = patient.wait_for(ticket).unwrap();
        assert!(
            matches!(reply, Reply::Rejected { reason: BusinessRejectReason::SeqNotReached, .. }),
            "{reply:?}"
        );
    }
    drop((client, patient));
    let client = AsyncClient::start(options(&node)).unwrap();
    let page = Page { limit: 7, ..Page::of(AccountId(ACCOUNTS[1])) };
    let found = block_on(async {
        let (mut pages, mut found) = (client.account_transfers(page, Freshness::LINEARIZABLE), Vec::new());
        while let Some(page) = pages.next().await {
            found.extend(page.unwrap().transfers);
        }
        found
    });
    assert_eq!(found, sent.wanted(&page));
    drop(client);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn without_a_history_the_past_is_refused_and_the_present_is_answered() {
    let folder = Folder::new("ledger-reads-none");
    let (data, config) = (folder.data(), config(&folder, 0));
    assert_eq!(Node::start(&data, &config).stop().code(), Some(0));
    // No file can be opened there, and none removed.
    let file = data.join("views").join("ledger.redb");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let node = Node::start(&data, &config);
    let mut client = Client::connect(options(&node)).unwrap();
    client.create_accounts(&ACCOUNTS.map(account)).unwrap();
    let mut sent = Sent::default();
    sent.send(&mut client, 10);
    let (last, _) = sent.batches[0];
    let id = sent.transfers[0].transfer.id;
    let not_kept = (BusinessRejectReason::NotKept, true);
    assert_eq!(reason(client.lookup_transfers(&[id], Freshness::ANY)), not_kept);
    assert_eq!(reason(client.balance_at(AccountId(ACCOUNTS[0]), At::Seq(last), Freshness::ANY)), not_kept);
    assert_eq!(reason(client.account_transfers(&Page::of(AccountId(ACCOUNTS[0])), Freshness::ANY)), not_kept);
    client.balance_at(AccountId(ACCOUNTS[0]), At::Now, Freshness::LINEARIZABLE).unwrap();
    drop(client);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_payer_sees_the_accounts_of_its_clients_and_nothing_else() {
    let folder = Folder::new("ledger-reads-payer");
    let (data, config) = (folder.data(), config(&folder, 0));
    let node = Node::start(&data, &config);
    let key = PrivateKey::from_seed(&[5; 32]);
    let definitions = format!(
        "[[actor]]\nid = 220\nroles = [\"payer\"]\npublic_key = \"{}\"\n\
         [[session]]\nid = 220\nactor = 220\nprotocol = \"request\"\nclients = [1]\n",
        key.public()
    );
    let file = folder.write("payer.toml", &definitions);
    let (code, _, err) = run(sicil(["apply", "--data"]).arg(&data).arg(&file));
    assert_eq!(code, 0, "{err}");

    let mut cashier = Client::connect(options(&node)).unwrap();
    let (class, owner) = (u16::from(AccountClass::Client.code()), ClientId(1));
    let theirs = AccountRow { owner, class, ..account(70_001) };
    cashier.create_accounts(&[theirs, account(70_002), account(70_003)]).unwrap();
    let mut ids = TransferIds::new(8);
    let now = cashier.now();
    let rows = [
        transfer(ids.next(now), 70_001, 70_002, 3),
        transfer(ids.next(now), 70_002, 70_001, 2),
        transfer(ids.next(now), 70_002, 70_003, 1),
    ];
    let made = cashier.create_transfers(&rows).unwrap();
    assert_eq!(made.created, 3, "{made:?}");
    drop(cashier);

    let credentials = Credentials { session: SessionId(220), key };
    let mut payer = Client::connect(Options { credentials, ..options(&node) }).unwrap();
    let (freshness, [own, other]) = (Freshness::LINEARIZABLE, [AccountId(70_001), AccountId(70_002)]);
    let (_, seen) = payer.lookup_accounts(&[own, other, AccountId(70_003)], freshness).unwrap();
    assert_eq!(seen.iter().map(|state| state.account.id).collect::<Vec<_>>(), [own]);
    let (_, seen) = payer.lookup_transfers(&rows.map(|row| row.id), freshness).unwrap();
    assert_eq!(seen.iter().map(|state| state.transfer).collect::<Vec<_>>(), rows[..2]);
    let unknown = (BusinessRejectReason::UnknownAccount, false);
    for at in [At::Now, At::Seq(made.seq), At::Time(made.time)] {
        assert_eq!(payer.balance_at(own, at, freshness).unwrap().credits_posted, Amount(2));
        assert_eq!(reason(payer.balance_at(other, at, freshness)), unknown, "{at:?}");
    }
    assert_eq!(payer.account_transfers(&Page::of(own), freshness).unwrap().transfers.len(), 2);
    assert_eq!(reason(payer.account_transfers(&Page::of(other), freshness)), unknown);
    drop(payer);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn the_command_line_shows_the_past() {
    let folder = Folder::new("ledger-reads-cli");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    let address = node.ready["binary"].as_str().unwrap().to_owned();
    let mut client = Client::connect(options(&node)).unwrap();
    client.create_accounts(&ACCOUNTS.map(account)).unwrap();
    let mut sent = Sent::default();
    (0..3).for_each(|_| sent.send(&mut client, 40));
    let ledger = |words: &[&str]| run(sicil(["ledger"]).args(words).args(["--addr", &address]));
    let lines = |words: &[&str]| {
        let (code, out, err) = ledger(words);
        assert_eq!(code, 0, "{err}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    let page = Page { backwards: true, ..Page::of(AccountId(ACCOUNTS[0])) };
    let of_account = ["transfers", "--account", "70001", "--backwards", "--json", "--limit", "1000"];
    let shown: Vec<String> =
        lines(&of_account).iter().map(|line| line["transfer"].as_str().unwrap().to_owned()).collect();
    let wanted = sent.wanted(&page);
    assert_eq!(shown, wanted.iter().map(|state| state.transfer.id.to_string()).collect::<Vec<_>>());
    assert_eq!(lines(&["transfers", "--account", "70001", "--json", "--limit", "3"]).len(), 3);
    let (seq, _) = sent.batches[1];
    for at in
        [seq.to_string(), shown_time(&lines(&["balances", "70001", "--json", "--at", &seq.to_string()])[0])]
    {
        let line = &lines(&["balances", "70001", "--json", "--at", &at])[0];
        assert_eq!(line["seq"], seq.0);
        assert_eq!(line["credits_posted"], sent.sums(70_001, seq)[3].to_string(), "at {at}");
    }
    let id = sent.transfers[5].transfer.id.to_string();
    let (code, out, _) = ledger(&["transfers", &id]);
    let cells: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((code, cells.len(), cells[0][0], cells[1][0]), (0, 2, "transfer", &*id));
    let (code, _, err) = ledger(&["transfers", &id, "17"]);
    assert!(code == 1 && err.contains("1 of 2 do not exist"), "{err}");
    let (code, _, err) = ledger(&["balances", "70001", "--at", "999999999999"]);
    assert!(code == 8 && err.contains("InTheFuture"), "{code} {err}");
    drop(client);
    assert_eq!(node.stop().code(), Some(0));
}

fn shown_time(line: &serde_json::Value) -> String {
    line["time"].as_str().unwrap().to_owned()
}
