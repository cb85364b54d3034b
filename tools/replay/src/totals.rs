//! `totals`: sums over all accounts by any slice, as they were behind one command, held against the sums that the engine itself keeps.
//!
//! The engine keeps totals by ledger, code and class alone. Whoever wants them by something else, or begins to want that years later, gets
//! them here for every seq that the journal has, with no change of what a node keeps.

use std::collections::BTreeMap;

use clap::ValueEnum;
use engine::Engine;
use engine::views::{AccountView, TotalView};
use protocol::{Amount, AssetId};
use serde_json::Value;

use crate::args::{ReplayFault, TotalsArgs};
use crate::out::{Out, OutFault, complain};
use crate::render::{number, object, utc};
use crate::state::reach;
use crate::{EXIT_CLEAN, EXIT_DAMAGED};

/// What accounts may be told apart by, beside their ledger: amounts of different assets have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Part {
    /// The account's code.
    Code,
    /// Its class.
    Class,
    /// Whose it is.
    Owner,
    /// Its flags.
    Flags,
    /// Its `user_data_128`.
    #[value(name = "user_data_128")]
    UserData128,
    /// Its `user_data_64`.
    #[value(name = "user_data_64")]
    UserData64,
    /// Its `user_data_32`.
    #[value(name = "user_data_32")]
    UserData32,
}

/// By which the engine keeps them.
const KEPT: [Part; 2] = [Part::Code, Part::Class];

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Class => "class",
            Self::Owner => "owner",
            Self::Flags => "flags",
            Self::UserData128 => "user_data_128",
            Self::UserData64 => "user_data_64",
            Self::UserData32 => "user_data_32",
        }
    }

    fn of(self, account: &AccountView) -> u128 {
        match self {
            Self::Code => account.code.into(),
            Self::Class => account.class.code().into(),
            Self::Owner => account.client.0.into(),
            Self::Flags => account.flags.into(),
            Self::UserData128 => account.user_data_128,
            Self::UserData64 => account.user_data_64.into(),
            Self::UserData32 => account.user_data_32.into(),
        }
    }

    fn show(self, part: u128) -> Value {
        match self {
            Self::Class => {
                let class = u8::try_from(part).ok().and_then(protocol::AccountClass::from_code);
                class.map_or_else(|| number(part), |class| Value::from(class.name()))
            }
            Self::Code
            | Self::Owner
            | Self::Flags
            | Self::UserData128
            | Self::UserData64
            | Self::UserData32 => number(part),
        }
    }
}

/// Sums of some accounts. `None`: beyond the largest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sums {
    accounts: u64,
    balances: [Option<u128>; 4],
}

impl Sums {
    const NAMES: [&'static str; 4] = ["debits_pending", "debits_posted", "credits_pending", "credits_posted"];
    const NONE: Self = Self { accounts: 0, balances: [Some(0); 4] };

    fn add(&mut self, account: &AccountView) {
        self.accounts += 1;
        let AccountView { debits_pending, debits, credits_pending, credits, .. } = *account;
        for (sum, amount) in self.balances.iter_mut().zip([debits_pending, debits, credits_pending, credits])
        {
            *sum = sum.and_then(|sum| sum.checked_add(amount.0));
        }
    }

    fn kept(total: &TotalView) -> Self {
        let TotalView { debits_pending, debits_posted, credits_pending, credits_posted, .. } = *total;
        let balances = [debits_pending, debits_posted, credits_pending, credits_posted];
        Self { accounts: total.accounts, balances: balances.map(|sum| sum.map(|Amount(sum)| sum)) }
    }
}

/// Ledger, and the other parts in their order.
type Slices = BTreeMap<(AssetId, Vec<u128>), Sums>;

fn slices(engine: &Engine, by: &[Part]) -> Slices {
    let mut slices = Slices::new();
    for account in engine.accounts() {
        let parts = by.iter().map(|part| part.of(&account)).collect();
        slices.entry((account.asset, parts)).or_insert(Sums::NONE).add(&account);
    }
    slices
}

/// The sums that the engine keeps.
fn kept(engine: &Engine) -> Slices {
    let of = |total: TotalView| {
        let parts = vec![total.code.into(), total.class.code().into()];
        ((total.ledger, parts), Sums::kept(&total))
    };
    engine.totals().map(of).collect()
}

pub(crate) fn run(args: &TotalsArgs, out: &mut Out) -> Result<u8, ReplayFault> {
    let reached = reach(&args.state)?;
    let engine = &reached.rerun.engine;
    let (counted, kept) = (slices(engine, &KEPT), kept(engine));
    for key in counted.keys().chain(kept.keys()).filter(|key| counted.get(*key) != kept.get(*key)) {
        complain(&format!(
            "the engine keeps {:?} of {key:?}, the accounts come to {:?}",
            kept.get(key),
            counted.get(key)
        ));
    }
    let agrees = counted == kept;
    let found = slices(engine, &args.by);
    if args.state.json {
        out.json(&json(engine, &found, args, agrees))?
    } else {
        print(&found, args, out)?
    }
    Ok(if agrees && !reached.is_damaged() { EXIT_CLEAN } else { EXIT_DAMAGED })
}

fn shown(sum: Option<u128>) -> Value {
    sum.map_or(Value::Null, number)
}

fn json(engine: &Engine, found: &Slices, args: &TotalsArgs, agrees: bool) -> Value {
    let line = |((ledger, parts), sums): (&(AssetId, Vec<u128>), &Sums)| {
        let parts = args.by.iter().zip(parts).map(|(by, part)| (by.name(), by.show(*part)));
        let balances = Sums::NAMES.into_iter().zip(sums.balances.map(shown));
        let ledger = [("ledger", number(ledger.0.into()))];
        object(
            ledger
                .into_iter()
                .chain(parts)
                .chain([("accounts", number(sums.accounts.into()))])
                .chain(balances),
        )
    };
    object([
        ("seq", number(engine.seq_applied().0.into())),
        ("time", Value::from(utc(engine.time()))),
        ("state_hash", Value::from(engine.state_hash().to_string())),
        ("agrees_with_the_engine", Value::from(agrees)),
        ("totals", found.iter().map(line).collect()),
    ])
}

fn print(found: &Slices, args: &TotalsArgs, out: &mut Out) -> Result<(), OutFault> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for ((ledger, parts), sums) in found {
        let parts = args.by.iter().zip(parts);
        let parts: String =
            parts.map(|(by, part)| format!(" {} {}", by.name(), text(&by.show(*part)))).collect();
        let balances = Sums::NAMES.iter().zip(sums.balances);
        let balances: Vec<String> = balances
            .map(|(name, sum)| {
                format!("{name} {}", sum.map_or_else(|| "beyond 2^128".to_owned(), |sum| sum.to_string()))
            })
            .collect();
        out.line(format_args!(
            "ledger {ledger}{parts}: {} accounts, {}",
            sums.accounts,
            balances.join(", ")
        ))?;
    }
    Ok(())
}
