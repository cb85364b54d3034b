//! `show`: commands with who sent them and when, and what followed from each.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::ControlFlow;

use engine::Engine;
use protocol::event::Event;
use protocol::frame::FrameKind;
use protocol::record::{GatewayNumber, RecordHeader};
use protocol::{ActorId, Command, EventBody, Seq, SessionId, UnixNanos};
use serde_json::Value;

use crate::args::{ReplayFault, ShowArgs};
use crate::entries::Entry;
use crate::filter::Filter;
use crate::finding::{Finding, Grade};
use crate::log::Log;
use crate::out::{Out, OutFault, complain};
use crate::outcome::Outcome;
use crate::render::{fields_json, fields_text, hex, number, object, utc};
use crate::rerun::{Applied, Rerun};
use crate::{EXIT_CLEAN, EXIT_DAMAGED};

/// A gateway delay of that or longer: when it came is not known.
const DELAY_SATURATED: u32 = u32::MAX;
const NANOS_PER_MICRO: u64 = 1_000;

pub(crate) fn run(args: &ShowArgs, out: &mut Out) -> Result<u8, ReplayFault> {
    let log = Log::open(&args.dir, args.aside, None)?;
    let mut findings: Vec<Finding> =
        log.findings.iter().filter(|finding| finding.grade > Grade::Notice).cloned().collect();
    // A state behind what is shown first serves no better than none.
    let from = Seq(args.from.saturating_sub(1));
    if log.folder.set_aside > 0 && log.first_seq.is_none_or(|first| args.from < first.0) {
        let what = format!(
            "what was before may be in the {} logs that were set aside here, which `verify` tells of; `--aside N` shows one",
            log.folder.set_aside
        );
        complain(&what);
    }
    let mut rerun = match Rerun::start(&log, from, false) {
        Ok(rerun) if rerun.engine.seq_applied() <= from => Some(rerun),
        Ok(rerun) => {
            let what = format!(
                "what followed from commands up to seq {} cannot be shown: the state before is not here",
                rerun.engine.seq_applied()
            );
            findings.push(Finding::new(Grade::Doubt, what));
            None
        }
        Err(finding) => {
            findings.push(*finding);
            None
        }
    };
    let mut show = Show::new(args, rerun.as_ref().map(|rerun| &rerun.engine));
    let after = rerun.as_ref().map_or(log.survey.log.base_index, |rerun| rerun.index);
    let mut ended = Ok(());
    log.entries(after, &mut |entry| {
        if entry.frame.header.first_seq.0 > args.to {
            return ControlFlow::Break(());
        }
        ended = show.entry(entry, &mut rerun, &mut findings, out);
        if ended.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    ended?;
    for finding in &findings {
        complain(&finding.to_string());
    }
    Ok(if findings.is_empty() { EXIT_CLEAN } else { EXIT_DAMAGED })
}

struct Show<'a> {
    args: &'a ShowArgs,
    filter: Filter<'a>,
    actors: BTreeMap<SessionId, ActorId>,
}

impl<'a> Show<'a> {
    fn new(args: &'a ShowArgs, engine: Option<&Engine>) -> Self {
        let filter = Filter::new(args, engine);
        let mut show = Self { args, filter, actors: BTreeMap::new() };
        if let Some(engine) = engine {
            show.learn_sessions(engine);
        }
        show
    }

    fn learn_sessions(&mut self, engine: &Engine) {
        self.actors.extend(engine.sessions().map(|session| (session.session, session.definition.actor)));
    }

    /// Prints an entry's commands; where the engine has stopped, or never could start, without what followed.
    fn entry(
        &mut self,
        entry: &Entry<'_>,
        rerun: &mut Option<Rerun>,
        findings: &mut Vec<Finding>,
        out: &mut Out,
    ) -> Result<(), OutFault> {
        let mut printed = Ok(());
        let mut shown_to = Seq::ZERO;
        let until = Seq(self.args.to);
        if let Some(running) = rerun {
            let applied = running.apply(entry, until, &mut |applied, engine| {
                shown_to = applied.seq;
                self.learn(applied, engine);
                if printed.is_ok() {
                    printed = self.command(applied, true, out);
                }
            });
            if let Err(finding) = applied {
                let what = format!("{}; from here on nothing is known of what followed", finding.what);
                findings.push(Finding { what, ..*finding });
                *rerun = None;
            }
        }
        printed?;
        if rerun.is_none() && entry.frame.header.kind == FrameKind::Entry {
            let records =
                entry.frame.records().filter_map(|(seq, time, record)| Some((seq, time, record.ok()?)));
            for (seq, time, record) in records.filter(|(seq, ..)| *seq > shown_to && *seq <= until) {
                self.command(&Applied { entry, seq, time, record: &record, events: &[] }, false, out)?;
            }
        }
        Ok(())
    }

    fn learn(&mut self, applied: &Applied<'_>, engine: &Engine) {
        self.filter.learn(applied.events, engine);
        for event in applied.events {
            if let EventBody::SessionDefined(defined) = &event.body {
                self.actors.insert(defined.definition.session, defined.definition.actor);
            }
        }
        if applied.seq == Seq(1) {
            self.learn_sessions(engine); // The operator's, which the first record makes.
        }
    }

    fn command(&self, applied: &Applied<'_>, followed: bool, out: &mut Out) -> Result<(), OutFault> {
        if applied.seq.0 < self.args.from {
            return Ok(());
        }
        let command = applied.record.command().ok();
        let outcome = followed.then(|| Outcome::of(applied.seq, applied.events));
        if !self.filter.takes(applied, command.as_ref(), outcome) {
            return Ok(());
        }
        let line = Line { applied, command: command.as_ref(), outcome, actor: self.actor(applied) };
        if self.args.json {
            return out.json(&line.json());
        }
        out.line(line.text())?;
        applied.events.iter().try_for_each(|event| out.line(event_text(event)))
    }

    fn actor(&self, applied: &Applied<'_>) -> Option<ActorId> {
        self.actors.get(&applied.record.header.session).copied()
    }
}

/// A command to be printed.
struct Line<'a> {
    applied: &'a Applied<'a>,
    /// `None` if its body does not decode.
    command: Option<&'a Command>,
    outcome: Option<Outcome>,
    actor: Option<ActorId>,
}

impl Line<'_> {
    /// When it came to its gateway.
    fn gateway_in(&self) -> Option<UnixNanos> {
        let delay_us = self.applied.record.header.gateway_delay_us;
        let delay_ns = u64::from(delay_us) * NANOS_PER_MICRO;
        (delay_us != DELAY_SATURATED).then(|| UnixNanos(self.applied.time.0.saturating_sub(delay_ns)))
    }

    fn text(&self) -> String {
        let Applied { entry, seq, time, record, .. } = self.applied;
        let RecordHeader { session, generation, request, correlation, causation, signature, gateway, .. } =
            record.header;
        let name = self.command.map_or_else(|| format!("unknown({})", record.kind), |c| c.name().to_owned());
        let outcome = self.outcome.map_or("unknown", Outcome::name);
        let mut line = format!("{seq} {} {name} {outcome}", utc(*time));
        let mut push = |text: std::fmt::Arguments<'_>| line.write_fmt(text).unwrap_or_default();
        if let Some(reason) = self.outcome.and_then(Outcome::reason) {
            push(format_args!("({reason})"));
        }
        match (session, self.actor) {
            (SessionId::SYSTEM, _) => push(format_args!(" by the node")),
            (session, Some(actor)) => push(format_args!(" session={session} actor={actor}")),
            (session, None) => push(format_args!(" session={session} actor=-")),
        }
        push(format_args!(" request={request} generation={generation}"));
        push(format_args!(" entry={} term={}", entry.frame.header.index, entry.frame.header.term));
        match self.gateway_in() {
            Some(at) => push(format_args!(" in={}", utc(at))),
            None => push(format_args!(" in=-")),
        }
        if let Some(correlation) = correlation {
            push(format_args!(" correlation=0x{correlation:x}"));
        }
        if let Some(causation) = causation {
            push(format_args!(" causation={causation}"));
        }
        if signature.is_some() {
            push(format_args!(" signed"));
        }
        if let Some(GatewayNumber { gateway, number }) = gateway {
            push(format_args!(" gateway={gateway}-{number}"));
        }
        if !entry.committed {
            push(format_args!(" commit-not-recorded"));
        }
        line.push_str(" |");
        match self.command {
            Some(command) => fields_text(&command.fields(), &mut line),
            None => line.push_str(&format!(" body=0x{}", hex(record.body))),
        }
        line
    }

    fn json(&self) -> Value {
        let Applied { entry, seq, time, record, events } = self.applied;
        let RecordHeader {
            session,
            generation,
            request,
            gateway_delay_us,
            correlation,
            causation,
            signature,
            gateway,
        } = record.header;
        let count = |count: u64| number(u128::from(count));
        let or_null = |value: Option<Value>| value.unwrap_or(Value::Null);
        object([
            ("seq", count(seq.0)),
            ("index", count(entry.frame.header.index.0)),
            ("term", count(entry.frame.header.term.0)),
            ("committed", Value::from(entry.committed)),
            ("time", Value::from(utc(*time))),
            ("time_ns", count(time.0)),
            ("gateway_in_ns", or_null(self.gateway_in().map(|at| count(at.0)))),
            ("gateway_delay_us", count(gateway_delay_us.into())),
            ("session", count(session.0.into())),
            ("actor", or_null(self.actor.map(|actor| count(actor.0.into())))),
            ("generation", count(generation.0.into())),
            ("request", count(request.0)),
            ("correlation", or_null(correlation.map(number))),
            ("causation", or_null(causation.map(|seq| count(seq.0)))),
            ("signature", or_null(signature.map(|bytes| Value::from(hex(&bytes))))),
            ("gateway", or_null(gateway.map(|from| count(from.gateway.0.into())))),
            ("gateway_number", or_null(gateway.map(|from| count(from.number)))),
            ("kind", Value::from(self.command.map_or("unknown", Command::name))),
            ("kind_code", count(record.kind.into())),
            ("version", count(record.version.into())),
            ("fields", or_null(self.command.map(|command| fields_json(&command.fields())))),
            ("body", or_null(self.command.is_none().then(|| Value::from(hex(record.body))))),
            ("outcome", Value::from(self.outcome.map_or("unknown", Outcome::name))),
            ("reason", or_null(self.outcome.and_then(Outcome::reason).map(Value::from))),
            ("events", Value::Array(events.iter().map(event_json).collect())),
        ])
    }
}

fn event_text(event: &Event) -> String {
    let mut line = format!("    {}", event.body.name());
    if let Some(output) = event.output {
        // Session, epoch and number of what was sent.
        line.push_str(&format!(" to={}/{}/{}", output.session, output.epoch, output.out_seq));
    }
    fields_text(&event.body.fields(), &mut line);
    line
}

fn event_json(event: &Event) -> Value {
    let output = event.output.map_or(Value::Null, |output| {
        object([
            ("session", number(output.session.0.into())),
            ("epoch", number(output.epoch.0.into())),
            ("out_seq", number(output.out_seq.0.into())),
        ])
    });
    object([
        ("kind", Value::from(event.body.name())),
        ("output", output),
        ("fields", fields_json(&event.body.fields())),
    ])
}
