//! Trades are taken back and corrected after clients have spent what they bought: beside sums from scratch.

use std::collections::BTreeMap;

use protocol::commands::{Approve, BustTrade, CorrectTrade, CreateTransfers, DefineActor, Propose, roles};
use protocol::events::{Settled, TradeBusted};
use protocol::rows::TransferRow;
use protocol::{
    AccountClass, AccountId, ActorId, Amount, AssetId, Command, EventBody, PriceTicks, ProposalId,
    ProposedCommand, QtyLots, RejectReason, SessionId, SessionProtocol, Side, Text, TradePart,
};

use crate::definitions;
use crate::model::Model;
use crate::numbers::Numbers;
use crate::properties::{CLIENTS, funded, random_order, restored, seeds, session_of};
use crate::world::{START, World};

const OTHER: SessionId = SessionId(99);
const BASE_OWED: u128 = 901;
const QUOTE_OWED: u128 = 903;

/// Balances by account: credits less debits.
fn balances(world: &World) -> BTreeMap<u128, i128> {
    let balance = |credits: Amount, debits: Amount| {
        i128::try_from(credits.0).unwrap() - i128::try_from(debits.0).unwrap()
    };
    world.engine.accounts().map(|view| (view.account.0, balance(view.credits, view.debits))).collect()
}

/// What each account may pay.
fn free(world: &World) -> BTreeMap<u128, i128> {
    let held = |held: Amount| i128::try_from(held.0).unwrap();
    let mut free = balances(world);
    for view in world.engine.accounts() {
        *free.get_mut(&view.account.0).unwrap() -= held(view.held);
    }
    free
}

/// What a trade has done to each account.
fn effect(settled: &Settled, world: &World, sign: i128, sums: &mut BTreeMap<u128, (i128, i128)>) {
    let market =
        world.engine.markets().find(|view| view.definition.market == settled.market).unwrap().definition;
    let account = |client: u64, asset: AssetId| u128::from(client) + u128::from(asset.0);
    let (buyer, seller) = (settled.buyer.0, settled.seller.0);
    let (fees, taxes) = (market.fee_account.0, market.tax_account.0);
    let base = u128::from(settled.qty_lots.0) * market.lot_base_minor.0;
    let mut pay = |from: u128, to: u128, amount: u128| {
        let amount = i128::try_from(amount).unwrap();
        let (from, to) = if sign > 0 { (from, to) } else { (to, from) };
        sums.entry(from).or_default().0 += amount;
        sums.entry(to).or_default().1 += amount;
    };
    pay(account(seller, market.base), account(buyer, market.base), base);
    pay(account(buyer, market.quote), account(seller, market.quote), settled.notional.0);
    for (side, client, fee, tax) in [
        (Side::Buy, buyer, settled.buyer_fee.0, settled.buyer_tax.0),
        (Side::Sell, seller, settled.seller_fee.0, settled.seller_tax.0),
    ] {
        let client = account(client, market.quote);
        let is_paid = settled.maker_is_paid && side != settled.taker_side;
        let (from, to) = if is_paid { (fees, client) } else { (client, fees) };
        pay(from, to, fee);
        if tax > 0 {
            pay(client, taxes, tax);
        }
    }
}

/// The correction that would follow, with less and at another price.
fn corrected(numbers: &mut Numbers, settled: &Settled, tick: u128) -> Settled {
    let qty = numbers.between(1, settled.qty_lots.0);
    let price = numbers.between(1, settled.price_ticks.0 * 2);
    let notional = u128::from(qty) * u128::from(price) * tick;
    let mut part = |amount: Amount| Amount(amount.0.min(notional / 2) * u128::from(numbers.below(3)) / 2);
    let fees = [settled.buyer_fee, settled.seller_fee, settled.buyer_tax, settled.seller_tax].map(&mut part);
    Settled {
        price_ticks: PriceTicks(price),
        qty_lots: QtyLots(qty),
        notional: Amount(notional),
        buyer_fee: fees[0],
        seller_fee: fees[1],
        buyer_tax: fees[2],
        seller_tax: fees[3],
        ..settled.clone()
    }
}

/// What is left of a trade that is taken back.
fn nothing(settled: &Settled) -> Settled {
    Settled {
        price_ticks: PriceTicks(0),
        qty_lots: QtyLots(0),
        notional: Amount(0),
        buyer_fee: Amount(0),
        seller_fee: Amount(0),
        buyer_tax: Amount(0),
        seller_tax: Amount(0),
        ..settled.clone()
    }
}

fn command(settled: &Settled, next: Option<&Settled>) -> Command {
    let settled = settled.clone();
    let (base_receivable, quote_receivable) =
        (AccountId(BASE_OWED - 1 + u128::from(settled.market.0)), AccountId(QUOTE_OWED));
    let Some(next) = next else {
        return BustTrade { settled, base_receivable, quote_receivable, reason: 7 }.into();
    };
    CorrectTrade {
        settled,
        price_ticks: next.price_ticks,
        qty_lots: next.qty_lots,
        notional: next.notional,
        buyer_fee: next.buyer_fee,
        seller_fee: next.seller_fee,
        buyer_tax: next.buyer_tax,
        seller_tax: next.seller_tax,
        base_receivable,
        quote_receivable,
        reason: 7,
    }
    .into()
}

/// Proposed by the operator and approved by the other one.
fn agree(world: &mut World, command: &Command) -> Result<TradeBusted, RejectReason> {
    let command = ProposedCommand::new(command);
    world.set_up(Propose { command, expires_in_s: 60, note: Text::EMPTY });
    let proposal = ProposalId(world.engine.seq_applied().0);
    let events = world.next(OTHER, Approve { proposal });
    let busted = events.iter().find_map(|event| {
        let EventBody::TradeBusted(busted) = &event.body else { return None };
        Some(busted.clone())
    });
    let reply = events.iter().find_map(|event| {
        let EventBody::Replied(reply) = &event.body else { return None };
        reply.refusal
    });
    match reply {
        Some(refusal) => Err(refusal),
        None => Ok(busted.unwrap()),
    }
}

/// Takes some of what a client has out of the exchange.
fn withdraw(numbers: &mut Numbers, world: &mut World, number: u64) {
    let (client, asset) = (*numbers.pick(&CLIENTS), numbers.between(1, 3));
    let account = u128::from(client + asset);
    let amount = free(world)[&account] * i128::from(numbers.between(1, 3)) / 3;
    if let (Ok(amount), true) = (u128::try_from(amount), amount > 0) {
        let id = definitions::transfer_id(START / 1_000_000, 10_000 + number);
        let row = definitions::transfer_row(id, account, u128::from(asset) * 10 + 1, amount);
        let ledger = AssetId(u32::try_from(asset).unwrap());
        world.set_up(CreateTransfers { transfers: vec![TransferRow { ledger, ..row }] });
    }
}

/// Funded clients, accounts that may advance anything, and a second administrator.
fn world(numbers: &mut Numbers) -> World {
    let mut world = funded(numbers, SessionProtocol::Request, &mut Model::new());
    world.set_up(DefineActor { actor: ActorId(2), roles: roles::ADMIN });
    let mut other = definitions::session(OTHER.0, SessionProtocol::Request, 0);
    other.actor = ActorId(2);
    world.set_up(other);
    for (id, asset) in [(BASE_OWED, 1), (BASE_OWED + 1, 2), (QUOTE_OWED, 3)] {
        let mut account = definitions::account(id, 0, asset, AccountClass::House);
        account.accounts[0].flags = 0;
        world.set_up(account);
    }
    world
}

/// Each account has what it had, less and more what the change moves, and what it was advanced: as much as was needed. Returns how many
/// advances there were.
fn compare(
    world: &World,
    busted: &TradeBusted,
    (before, free): (&BTreeMap<u128, i128>, &BTreeMap<u128, i128>),
    sums: &BTreeMap<u128, (i128, i128)>,
    context: &str,
) -> usize {
    let mut advanced = 0;
    let mut advances: BTreeMap<u128, i128> = BTreeMap::new();
    for posting in busted.postings.iter().filter(|posting| posting.part == TradePart::Receivable) {
        advanced += 1;
        let amount = i128::try_from(posting.amount.0).unwrap();
        *advances.entry(posting.credit_account.0).or_default() += amount;
        *advances.entry(posting.debit_account.0).or_default() -= amount;
    }
    let after = balances(world);
    for (&account, &was) in before {
        let (pays, is_paid) = sums.get(&account).copied().unwrap_or_default();
        let advance = advances.get(&account).copied().unwrap_or_default();
        assert_eq!(after[&account], was + is_paid - pays + advance, "{context}: account {account}");
        let is_owed = (BASE_OWED..=QUOTE_OWED).contains(&account);
        assert!(advance >= 0 || is_owed, "{context}: account {account}");
        // What it is paid may come before it pays, or not.
        let lacks = |pays: i128| if pays > 0 { (pays - free[&account]).max(0) } else { 0 };
        let is_right = (lacks(pays - is_paid)..=lacks(pays)).contains(&advance);
        assert!(is_owed || is_right, "{context}: account {account}");
    }
    advanced
}

#[test]
fn what_is_taken_back_is_what_was_moved_and_nobody_stands_below_zero_for_it() {
    let (mut changed, mut advanced) = (0, 0);
    for seed in seeds(60) {
        let mut numbers = Numbers(seed ^ 0xB057);
        let mut world = world(&mut numbers);
        let mut settled: Vec<Settled> = Vec::new();
        for count in 0..200 {
            let context = format!("SEED={seed}, step {count}");
            let session = session_of(*numbers.pick(&CLIENTS));
            let order = protocol::commands::NewOrder {
                cl_ord_id: Text::new(format!("n{count}")).unwrap(),
                ..random_order(&mut numbers, count, world.time)
            };
            for event in world.next(session, order) {
                if let EventBody::Settled(trade) = event.body
                    && trade.trade.0 > 0
                {
                    settled.push(trade);
                }
            }
            if numbers.chance(20) {
                withdraw(&mut numbers, &mut world, count);
            }
            if settled.is_empty() || !numbers.chance(20) {
                continue;
            }
            let trade = numbers.pick(&settled).clone();
            let market = world.engine.markets().find(|view| view.definition.market == trade.market).unwrap();
            let tick = market.definition.tick_quote_minor.0;
            let next = numbers.chance(50).then(|| corrected(&mut numbers, &trade, tick));
            let mut sums = BTreeMap::new();
            effect(&trade, &world, -1, &mut sums);
            next.iter().for_each(|next| effect(next, &world, 1, &mut sums));
            let (before, free) = (balances(&world), free(&world));
            let busted = match agree(&mut world, &command(&trade, next.as_ref())) {
                Ok(busted) => busted,
                Err(RejectReason::Exists) => continue,
                Err(RejectReason::FieldOutOfRange) if next.as_ref() == Some(&trade) => continue,
                Err(refusal) => panic!("{context}: {refusal:?} for {trade:?} as {next:?}"),
            };
            let said = Settled {
                price_ticks: busted.price_ticks,
                qty_lots: busted.qty_lots,
                notional: busted.notional,
                buyer_fee: busted.buyer_fee,
                seller_fee: busted.seller_fee,
                buyer_tax: busted.buyer_tax,
                seller_tax: busted.seller_tax,
                ..trade.clone()
            };
            assert_eq!(
                (&busted.settled, said),
                (&trade, next.unwrap_or_else(|| nothing(&trade))),
                "{context}"
            );
            changed += 1;
            advanced += compare(&world, &busted, (&before, &free), &sums, &context);
            let again = agree(&mut world, &command(&trade, None));
            assert_eq!(again, Err(RejectReason::Exists), "{context}");
            world.engine = restored(&world.engine, &context);
        }
    }
    assert!(
        std::env::var("SEED").is_ok() || (changed > 500 && advanced > 100),
        "{changed} changed, {advanced} advanced"
    );
}
