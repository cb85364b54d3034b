//! `sicil apply`: asks the running node what a definitions file would change, shows it, and submits what differs.
//!
//! Idempotent twice over: what is so already is not submitted at all, and an account or an opening balance that came
//! to be meanwhile is recognised by its id when it is executed.

use protocol::Seq;
use serde::Serialize;

use crate::admin::client::Client;
use crate::admin::{Answer, Body, COMMANDS_PER_LINE_MAX, Request};
use crate::clock::Clock;
use crate::definitions::{self, Asset, Assets, Item};
use crate::fault::NodeFault;
use crate::plan::{Change, Effect, Outcome};
use crate::reads::Freshness;
use crate::{ApplyArgs, print};

/// What became of one item.
#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
enum Fate {
    Created {
        seq: u64,
    },
    Changed {
        seq: u64,
        changes: Vec<Change>,
    },
    /// `seq` is the proposal's id.
    Proposed {
        seq: u64,
        changes: Vec<Change>,
    },
    Unchanged,
    WouldCreate,
    WouldChange {
        changes: Vec<Change>,
    },
    Refused {
        reason: String,
        field: String,
    },
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    item: &'a str,
    #[serde(flatten)]
    fate: Fate,
}

/// Runs the command.
///
/// # Errors
/// [`NodeFault::Refused`] if the engine refused any item; the others are applied.
pub(crate) fn run(args: &ApplyArgs) -> Result<(), NodeFault> {
    let mut client = Client::connect(&args.data)?;
    let items = definitions::load(&args.file, known_assets(&mut client)?)?;
    let mut refused = 0;
    for items in items.chunks(COMMANDS_PER_LINE_MAX) {
        let effects = plan(&mut client, items)?;
        let fates = if args.plan {
            effects.into_iter().map(foreseen).collect()
        } else {
            apply(&mut client, args, items, effects)?
        };
        for (item, fate) in items.iter().zip(fates) {
            refused += usize::from(matches!(fate, Fate::Refused { .. }));
            let line = Line { item: &item.label, fate };
            print(&if args.json { line.json()? } else { line.text() })?;
        }
    }
    if refused == 0 { Ok(()) } else { Err(NodeFault::Refused { refused, total: items.len() }) }
}

fn known_assets(client: &mut Client) -> Result<Assets, NodeFault> {
    let Answer::Assets { assets } = client.ask(&Request::Assets)? else { return Err(NodeFault::crossed()) };
    let known = assets
        .into_iter()
        .map(|asset| (asset.code, Asset { id: protocol::AssetId(asset.id), scale: asset.scale }));
    Ok(known.collect())
}

/// What items would change: nothing where another item of the file has taken their place.
fn plan(client: &mut Client, items: &[Item]) -> Result<Vec<Effect>, NodeFault> {
    let commands = items.iter().map(|item| Body::of(&item.command)).collect();
    let Answer::Plan { effects } = client.ask(&Request::Plan { commands })? else {
        return Err(NodeFault::crossed());
    };
    if effects.len() != items.len() {
        return Err(NodeFault::crossed());
    }
    // Asked behind the plan: what comes into force in between is not taken for what is still to come.
    let Answer::Fresh { seq_applied } = client.ask(&Request::Fresh { freshness: Freshness::MinSeq(0) })?
    else {
        return Err(NodeFault::crossed());
    };
    let effect = |(item, effect): (&Item, Effect)| {
        if item.is_over(Seq(seq_applied)) { Effect::Unchanged } else { effect }
    };
    Ok(items.iter().zip(effects).map(effect).collect())
}

/// Submits what is not so already; the answers come in the same order.
fn apply(
    client: &mut Client,
    args: &ApplyArgs,
    items: &[Item],
    effects: Vec<Effect>,
) -> Result<Vec<Fate>, NodeFault> {
    let differs = |effect: &Effect| *effect != Effect::Unchanged;
    let due = items.iter().zip(&effects).filter(|(_, effect)| differs(effect));
    let now = Clock::start().now().wall;
    let body = |item: &Item| {
        let command = item.command_at(now);
        Ok(Body::of(&if args.propose { args.wish.proposal(&command)?.into() } else { command }))
    };
    let commands = due.map(|(item, _)| body(item)).collect::<Result<Vec<Body>, NodeFault>>()?;
    let submitted = commands.len();
    let Answer::Submitted { outcomes } = client.ask(&Request::Submit { commands })? else {
        return Err(NodeFault::crossed());
    };
    if outcomes.len() != submitted {
        return Err(NodeFault::crossed());
    }
    let mut outcomes = outcomes.into_iter();
    let mut fate = |effect: Effect| match effect {
        Effect::Unchanged => Some(Fate::Unchanged),
        Effect::Create => Some(happened(outcomes.next()?, None)),
        Effect::Change { changes } => Some(happened(outcomes.next()?, Some(changes))),
    };
    let mut fate =
        |effect: Effect| fate(effect).map(|fate| if args.propose { fate.proposed() } else { fate });
    effects.into_iter().map(|effect| fate(effect).ok_or_else(NodeFault::crossed)).collect()
}

fn happened(outcome: Outcome, changes: Option<Vec<Change>>) -> Fate {
    let seq = outcome.seq;
    match (outcome.refusal, changes) {
        (None, None) => Fate::Created { seq },
        (None, Some(changes)) => Fate::Changed { seq, changes },
        // Known by its id, or another run was faster.
        (Some(reason), _) if reason == protocol::RejectReason::Exists.name() => Fate::Unchanged,
        (Some(reason), _) => Fate::Refused { reason, field: outcome.field },
    }
}

fn foreseen(effect: Effect) -> Fate {
    match effect {
        Effect::Create => Fate::WouldCreate,
        Effect::Change { changes } => Fate::WouldChange { changes },
        Effect::Unchanged => Fate::Unchanged,
    }
}

impl Fate {
    /// What came of an item whose proposal was executed.
    fn proposed(self) -> Self {
        match self {
            Self::Created { seq } => Self::Proposed { seq, changes: Vec::new() },
            Self::Changed { seq, changes } => Self::Proposed { seq, changes },
            Self::Proposed { .. }
            | Self::Unchanged
            | Self::WouldCreate
            | Self::WouldChange { .. }
            | Self::Refused { .. } => self,
        }
    }
}

impl Line<'_> {
    fn json(&self) -> Result<String, NodeFault> {
        let line = serde_json::to_string(self).map_err(|error| NodeFault::Internal(error.to_string()))?;
        Ok(line + "\n")
    }

    fn text(&self) -> String {
        let item = self.item;
        match &self.fate {
            Fate::Created { seq } => format!("created       {item} at seq {seq}\n"),
            Fate::Changed { seq, changes } => {
                format!("changed       {item} at seq {seq}:{}\n", list(changes))
            }
            Fate::Proposed { seq, changes } => {
                format!("proposed      {item} as {seq}:{}\n", list(changes))
            }
            Fate::Unchanged => format!("unchanged     {item}\n"),
            Fate::WouldCreate => format!("would create  {item}\n"),
            Fate::WouldChange { changes } => format!("would change  {item}:{}\n", list(changes)),
            Fate::Refused { reason, field } if field.is_empty() => {
                format!("refused       {item}: {reason}\n")
            }
            Fate::Refused { reason, field } => format!("refused       {item}: {reason} ({field})\n"),
        }
    }
}

fn list(changes: &[Change]) -> String {
    let changes = changes.iter().map(|c| format!(" {} {} -> {}", c.field, c.from, c.to));
    changes.collect::<Vec<_>>().join(",")
}
