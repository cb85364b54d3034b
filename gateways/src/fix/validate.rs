//! Holds a message against the dictionary. The first fault in the order of the bytes is told, then what is missing.

use protocol::Strictness;
use protocol::limits::{CL_ORD_ID_BYTES_MAX, TEST_REQ_ID_BYTES_MAX};

use super::dictionary::{
    self, FIELDS, FieldDef, HEADER, HEADER_MASK, Kind, Mask, Member, MessageDef, TRAILER_MASK,
};
use super::message::{Field, Message, number};
use super::timestamp;

/// SessionRejectReason(373).
pub(crate) mod reason {
    pub(crate) const INVALID_TAG: u16 = 0;
    pub(crate) const REQUIRED_TAG_MISSING: u16 = 1;
    pub(crate) const TAG_NOT_DEFINED: u16 = 2;
    pub(crate) const NO_VALUE: u16 = 4;
    pub(crate) const VALUE_INCORRECT: u16 = 5;
    pub(crate) const INCORRECT_FORMAT: u16 = 6;
    pub(crate) const COMP_ID: u16 = 9;
    pub(crate) const SENDING_TIME: u16 = 10;
    pub(crate) const INVALID_MSG_TYPE: u16 = 11;
    pub(crate) const REPEATED_TAG: u16 = 13;
    pub(crate) const OUT_OF_ORDER: u16 = 14;
    pub(crate) const GROUP_OUT_OF_ORDER: u16 = 15;
    pub(crate) const GROUP_COUNT: u16 = 16;
    pub(crate) const OTHER: u16 = 99;
}

/// The highest number that a message or a sequence may have: there is always one more.
pub(crate) const SEQ_NUM_MAX: u64 = i64::MAX.cast_unsigned();

/// What a Reject(3) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// RefTagID(371); 0 where no tag is meant.
    pub(crate) tag: i32,
    /// SessionRejectReason(373).
    pub(crate) reason: u16,
}

/// Checks a message of a type that the dictionary has.
pub(crate) fn check(message: &Message<'_>, def: &MessageDef, strictness: Strictness) -> Result<(), Fault> {
    let mut seen = Mask::default();
    let mut in_body = false;
    let mut at = 0;
    while let Some(field) = message.fields.get(at).copied() {
        at += 1;
        let Some(place) = expected(field, def, strictness)? else { continue };
        check_value(message, field, &FIELDS[place])?;
        if HEADER_MASK.has(place) && in_body {
            return Err(Fault { tag: field.tag, reason: reason::OUT_OF_ORDER });
        }
        in_body |= !HEADER_MASK.has(place);
        if seen.has(place) {
            return Err(Fault { tag: field.tag, reason: reason::REPEATED_TAG });
        }
        seen = seen.with(place);
        if FIELDS[place].kind == Kind::NumInGroup {
            at = check_group(message, field, at, def)?;
        }
    }
    missing(HEADER, seen)
        .or_else(|| missing(def.members, seen))
        .map_or(Ok(()), |tag| Err(Fault { tag: i32::from(tag), reason: reason::REQUIRED_TAG_MISSING }))
}

/// The place of a field that the message may have; `None` for one that a lenient session ignores.
fn expected(field: Field, def: &MessageDef, strictness: Strictness) -> Result<Option<usize>, Fault> {
    let fault = |reason| Fault { tag: field.tag, reason };
    if field.tag <= 0 {
        return Err(fault(reason::INVALID_TAG));
    }
    let place = dictionary::place(field.tag);
    let is_allowed =
        |place: &usize| [HEADER_MASK, TRAILER_MASK, def.mask].iter().any(|mask| mask.has(*place));
    match (place.filter(is_allowed), strictness) {
        (Some(place), _) => Ok(Some(place)),
        (None, Strictness::Lenient) => Ok(None),
        (None, Strictness::Strict) if place.is_none() && field.tag > dictionary::TAG_MAX => {
            Err(fault(reason::INVALID_TAG))
        }
        (None, Strictness::Strict) => Err(fault(reason::TAG_NOT_DEFINED)),
    }
}

/// Checks the entries behind a count; returns where the fields go on.
fn check_group(message: &Message<'_>, count: Field, mut at: usize, def: &MessageDef) -> Result<usize, Fault> {
    let members =
        def.members.iter().find(|member| i32::from(member.tag) == count.tag).map_or(&[][..], |m| m.group);
    let mut entries = 0_u64;
    let mut seen = Mask::default();
    while let Some(field) = message.fields.get(at).copied() {
        let Some(member) = members.iter().position(|member| i32::from(member.tag) == field.tag) else {
            break;
        };
        let Some(place) = dictionary::place(field.tag) else { break };
        check_value(message, field, &FIELDS[place])?;
        if member == 0 {
            ensure_whole(members, seen, entries)?;
            entries += 1;
            seen = Mask::default();
        } else if entries == 0 {
            return Err(Fault { tag: field.tag, reason: reason::GROUP_OUT_OF_ORDER });
        } else if seen.has(place) {
            return Err(Fault { tag: field.tag, reason: reason::REPEATED_TAG });
        }
        seen = seen.with(place);
        at += 1;
    }
    ensure_whole(members, seen, entries)?;
    if number(message.value(count)) == Some(entries) {
        Ok(at)
    } else {
        Err(Fault { tag: count.tag, reason: reason::GROUP_COUNT })
    }
}

/// Whether the last of so many entries of a group has all that is required of it.
fn ensure_whole(members: &[Member], seen: Mask, entries: u64) -> Result<(), Fault> {
    match missing(members, seen).filter(|_| entries > 0) {
        Some(tag) => Err(Fault { tag: i32::from(tag), reason: reason::REQUIRED_TAG_MISSING }),
        None => Ok(()),
    }
}

fn check_value(message: &Message<'_>, field: Field, def: &FieldDef) -> Result<(), Fault> {
    let value = message.value(field);
    let fault = |reason| Err(Fault { tag: field.tag, reason });
    if value.is_empty() {
        return fault(reason::NO_VALUE);
    }
    if !has_format(value, def.kind) {
        return fault(reason::INCORRECT_FORMAT);
    }
    if def.kind == Kind::SeqNum && number(value).is_some_and(|number| number > SEQ_NUM_MAX) {
        return fault(reason::VALUE_INCORRECT);
    }
    let listed = def.values.is_empty() || def.values.iter().any(|(known, _)| known.as_bytes() == value);
    if !listed || value.len() > bytes_max(def.tag) {
        return fault(reason::VALUE_INCORRECT);
    }
    Ok(())
}

/// What a record can hold of a text.
fn bytes_max(tag: u16) -> usize {
    match tag {
        11 | 41 | 66 | 117 | 324 | 5001 => CL_ORD_ID_BYTES_MAX,
        112 => TEST_REQ_ID_BYTES_MAX,
        _ => usize::MAX,
    }
}

fn has_format(value: &[u8], kind: Kind) -> bool {
    match kind {
        Kind::String | Kind::MultipleValueString | Kind::Currency | Kind::Exchange | Kind::Data => true,
        Kind::Char => value.len() == 1,
        Kind::Int => number(value.strip_prefix(b"-").unwrap_or(value)).is_some(),
        Kind::Length | Kind::SeqNum | Kind::NumInGroup => number(value).is_some(),
        Kind::Boolean => matches!(value, b"Y" | b"N"),
        Kind::Price | Kind::Qty | Kind::Amt | Kind::Float => is_decimal(value),
        Kind::UtcTimestamp => timestamp::parse(value).is_some(),
        Kind::LocalMktDate => timestamp::is_date(value),
    }
}

fn is_decimal(value: &[u8]) -> bool {
    let unsigned = value.strip_prefix(b"-").unwrap_or(value);
    let points = unsigned.iter().filter(|&&byte| byte == b'.').count();
    points <= 1
        && unsigned.len() > points
        && unsigned.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

fn missing(members: &[Member], seen: Mask) -> Option<u16> {
    let has = |tag: u16| dictionary::place(i32::from(tag)).is_some_and(|place| seen.has(place));
    members.iter().filter(|member| member.required).map(|member| member.tag).find(|tag| !has(*tag))
}
