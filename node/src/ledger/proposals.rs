//! Commands from the command line: executed at once, or proposed for another actor's approval; and what is proposed, as a difference.

use clap::Args;
use client::{Client, ClientFault, Executed, OpenProposal};
use protocol::binary::{BusinessRejectReason, ProposalState};
use protocol::commands::{Approve, Propose, Reject, SetApprovals};
use protocol::limits::NOTE_BYTES_MAX;
use protocol::wire::fields::FieldValue;
use protocol::{Command, ProposalId, ProposedCommand, RejectReason, Text};
use serde::Serialize;

use super::access::Access;
use crate::fault::NodeFault;
use crate::instant;

/// Proposals that are asked for at once.
const PAGE_ROWS: u32 = 1_000;

/// As whom, and whether at once.
#[derive(Args)]
pub(crate) struct Order {
    #[command(flatten)]
    pub(crate) access: Access,
    /// Do not execute it: another actor has to approve it.
    #[arg(long)]
    propose: bool,
    #[command(flatten)]
    wish: Wish,
}

/// Of a proposal.
#[derive(Args)]
pub(crate) struct Wish {
    /// How long what is proposed may be approved.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    expires_in_s: u32,
    /// Why, for whoever approves it. It is kept for ever: name no person.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

impl Wish {
    /// Proposes a command, and shows what came of it.
    pub(crate) fn make(
        &self,
        access: &Access,
        client: &mut Client,
        command: impl Into<Command>,
    ) -> Result<(), NodeFault> {
        execute(access, client, self.proposal(&command.into())?)
    }

    /// The proposal of a command.
    pub(crate) fn proposal(&self, command: &Command) -> Result<Propose, NodeFault> {
        let (command, note) = (ProposedCommand::new(command), note(self.note.as_deref())?);
        Ok(Propose { command, expires_in_s: self.expires_in_s, note })
    }
}

impl Order {
    /// Executes or proposes a command, and shows what came of it.
    pub(crate) fn give(&self, client: &mut Client, command: impl Into<Command>) -> Result<(), NodeFault> {
        let command = command.into();
        if !self.propose {
            if self.wish.note.is_some() {
                return Err(NodeFault::Usage("--note goes with --propose".to_owned()));
            }
            return execute(&self.access, client, command);
        }
        self.wish.make(&self.access, client, command)
    }
}

fn note(text: Option<&str>) -> Result<Text<NOTE_BYTES_MAX>, NodeFault> {
    let text = text.unwrap_or_default();
    Text::new(text).map_err(|_| NodeFault::Usage(format!("--note has more than {NOTE_BYTES_MAX} bytes")))
}

/// Executes a command and shows what came of it. What is the case already is no fault.
pub(super) fn execute(
    access: &Access,
    client: &mut Client,
    command: impl Into<Command>,
) -> Result<(), NodeFault> {
    let command = command.into();
    let name = command.name();
    let line = match client.execute(command) {
        Ok(Executed { seq, .. }) => {
            ExecutedLine { command: name, result: "Executed", seq: Some(seq.0), ..ExecutedLine::default() }
        }
        Err(ClientFault::Rejected {
            reason: BusinessRejectReason::Refused,
            refusal: Some(refusal),
            text,
            expected,
            ..
        }) => ExecutedLine { command: name, result: refusal.name(), seq: None, field: text, expected },
        Err(fault) => return Err(fault.into()),
    };
    let is_so = line.seq.is_some() || line.result == RejectReason::Exists.name();
    access.show(&[line], ExecutedLine::HEAD)?;
    if is_so { Ok(()) } else { Err(NodeFault::Refused { refused: 1, total: 1 }) }
}

/// Shows the proposals that are open.
pub(super) fn list(access: &Access) -> Result<(), NodeFault> {
    let (mut client, mut lines, mut from) = (access.client()?, Vec::new(), Some(ProposalId(0)));
    while let Some(first) = from {
        let page = client.proposals(first, PAGE_ROWS, access.freshness())?;
        lines.extend(page.proposals.iter().map(ProposalLine::of));
        from = page.next;
    }
    access.show(&lines, ProposalLine::HEAD)
}

/// Shows what a proposal would change, field by field.
pub(super) fn show(access: &Access, proposal: u64) -> Result<(), NodeFault> {
    let found = match access.client()?.proposal(ProposalId(proposal), access.freshness()) {
        Err(ClientFault::Rejected { reason: BusinessRejectReason::UnknownProposal, .. }) => {
            return Err(NodeFault::NotFound { missing: 1, asked: 1 });
        }
        found => found?,
    };
    access.show(&DifferenceLine::of(&found)?, DifferenceLine::HEAD)
}

/// Executes what another actor proposed.
pub(super) fn approve(access: &Access, proposal: u64) -> Result<(), NodeFault> {
    execute(access, &mut access.client()?, Approve { proposal: ProposalId(proposal) })
}

/// Ends a proposal.
pub(super) fn reject(access: &Access, proposal: u64, why: Option<&str>) -> Result<(), NodeFault> {
    let command = Reject { proposal: ProposalId(proposal), note: note(why)? };
    execute(access, &mut access.client()?, command)
}

/// Sets which commands have to be proposed, by their names.
pub(super) fn set_approvals(order: &Order, names: &[String]) -> Result<(), NodeFault> {
    let kind = |name: &String| {
        let kind = Command::kind_of_name(name);
        kind.ok_or_else(|| NodeFault::Usage(format!("{name:?} is no command, such as SetOverdraft")))
    };
    let mut kinds = names.iter().map(kind).collect::<Result<Vec<_>, _>>()?;
    kinds.sort_unstable();
    kinds.dedup();
    order.give(&mut order.access.client()?, SetApprovals { kinds })
}

/// What became of a command.
#[derive(Default, Serialize)]
struct ExecutedLine {
    command: &'static str,
    result: &'static str,
    seq: Option<u64>,
    /// That is meant by a refusal …
    field: String,
    /// … and what is expected there.
    expected: &'static str,
}

impl ExecutedLine {
    const HEAD: &[&str] = &["command", "result", "seq", "field", "expected"];
}

#[derive(Serialize)]
struct ProposalLine {
    proposal: u64,
    actor: u32,
    command: String,
    expires_at: String,
}

impl ProposalLine {
    const HEAD: &[&str] = &["proposal", "actor", "command", "expires_at"];

    fn of(state: &ProposalState) -> Self {
        Self {
            proposal: state.proposal.0,
            actor: state.actor.0,
            command: command_name(state.kind),
            expires_at: instant::write(state.expires_at),
        }
    }
}

fn command_name(kind: u16) -> String {
    Command::name_of_kind(kind).map_or_else(|| format!("kind {kind}"), str::to_owned)
}

/// A field of a proposed command, and what is in force in its place.
#[derive(Serialize)]
struct DifferenceLine {
    command: String,
    field: String,
    in_force: Option<String>,
    proposed: Option<String>,
    differs: bool,
}

impl DifferenceLine {
    const HEAD: &[&str] = &["command", "field", "in_force", "proposed", "differs"];

    /// Every field of both; a proposal whose command no message carries cannot be shown, and is not to be approved unseen.
    fn of(found: &OpenProposal) -> Result<Vec<Self>, NodeFault> {
        let name = command_name(found.kind);
        let Some(command) = &found.command else {
            return Err(NodeFault::Admin(format!(
                "no message carries {name}: `sicil replay` shows it, at seq {}",
                found.proposal
            )));
        };
        // What is in force may be another command: that which would put back what is removed.
        let (new, old) = (flat(command), found.before.as_ref().map(flat).unwrap_or_default());
        let mut lines: Vec<Self> = Vec::new();
        for (field, proposed) in &new {
            let in_force = old.iter().find(|(name, _)| name == field).map(|(_, value)| value.clone());
            let differs = in_force.as_ref() != Some(proposed);
            let (command, field, proposed) = (name.clone(), field.clone(), Some(proposed.clone()));
            lines.push(Self { command, field, in_force, proposed, differs });
        }
        for (field, value) in old.into_iter().filter(|(field, _)| !new.iter().any(|(name, _)| name == field))
        {
            let command = name.clone();
            lines.push(Self { command, field, in_force: Some(value), proposed: None, differs: true });
        }
        Ok(lines)
    }
}

/// The fields of a command by name; those of rows with their place.
fn flat(command: &Command) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (name, value) in command.fields() {
        flatten(name.to_owned(), &value, &mut out);
    }
    out
}

fn flatten(name: String, value: &FieldValue<'_>, out: &mut Vec<(String, String)>) {
    let text = match value {
        FieldValue::Fields(fields) => {
            for (field, value) in fields {
                flatten(format!("{name}.{field}"), value, out);
            }
            return;
        }
        FieldValue::List(values) => {
            for (at, value) in values.iter().enumerate() {
                flatten(format!("{name}[{at}]"), value, out);
            }
            return;
        }
        FieldValue::Number(number) | FieldValue::Id(_, number) => number.to_string(),
        FieldValue::Flag(flag) => flag.to_string(),
        FieldValue::Code(name) => (*name).to_owned(),
        FieldValue::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        FieldValue::Bytes(bytes) => crate::admin::hex(bytes),
        FieldValue::Absent => "none".to_owned(),
    };
    out.push((name, text));
}
