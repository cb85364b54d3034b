//! The published schema, docs/sicil-binary.xml, says of every message what the code writes: ids, names, types, offsets.

use std::collections::BTreeMap;
use std::path::Path;

use protocol::binary::market::MarketMessage;
use protocol::binary::{
    BusinessRejectReason, CandleInterval, EstablishRejectCode, Fields, Fixed, FlowType, MarketChannel,
    MarketRejectReason, Message, NegotiateRejectCode, OrderChangeKind, SCHEMA_ID, SCHEMA_VERSION,
    SettledTrade, SubscriptionEnd, TailLayout, TerminationCode, TickerWindow, TradeStatus, TransferStatus,
};
use protocol::limits::{BINARY_ENCLOSED_BYTES_MAX, BINARY_TEXT_BYTES_MAX};
use protocol::rows::AccountRow;
use protocol::{
    AccountClass, AccountKind, DayRule, LedgerRefusal, MarketPhase, MonitorField, MonitorOperator,
    NormalSide, PhaseCause, ReferencePrice, RejectReason, Schedule, SelfTradePrevention, Side,
};

/// A tag of the file: its name, its attributes, and the text behind it.
struct Tag {
    name: String,
    attributes: BTreeMap<String, String>,
    text: String,
}

impl Tag {
    fn get(&self, name: &str) -> &str {
        self.attributes.get(name).unwrap_or_else(|| panic!("<{}> has no {name}", self.name))
    }

    fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap()
    }
}

/// Every tag of an XML file that has no quotes or angle brackets inside its texts.
fn tags(xml: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    for part in xml.split('<').skip(1).filter(|part| !part.starts_with(['?', '!'])) {
        let (inside, text) = part.split_once('>').unwrap();
        let (name, mut rest) = inside.split_once(' ').unwrap_or((inside, ""));
        let mut attributes = BTreeMap::new();
        while let Some((key, value)) = rest.split_once("=\"") {
            let (value, behind) = value.split_once('"').unwrap();
            attributes.insert(key.trim().to_owned(), value.to_owned());
            rest = behind;
        }
        let name = name.trim_end_matches('/').to_owned();
        tags.push(Tag { name, attributes, text: text.trim().to_owned() });
    }
    tags
}

fn schema() -> Vec<Tag> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sicil-binary.xml");
    tags(&std::fs::read_to_string(path).unwrap())
}

fn primitive_bytes(name: &str) -> usize {
    match name {
        "char" | "uint8" => 1,
        "uint16" => 2,
        "uint32" => 4,
        "uint64" => 8,
        other => panic!("primitive type {other}"),
    }
}

/// Bytes of every type that the schema declares, by name.
fn type_bytes(schema: &[Tag]) -> BTreeMap<String, usize> {
    let (mut types, mut composite) = (BTreeMap::new(), None::<String>);
    for tag in schema {
        match tag.name.as_str() {
            "composite" => composite = Some(tag.get("name").to_owned()),
            "/composite" => composite = None,
            "type" => {
                let length = tag.attributes.get("length").map_or(1, |length| length.parse().unwrap());
                let bytes = primitive_bytes(tag.get("primitiveType")) * length;
                let name = composite.clone().unwrap_or_else(|| tag.get("name").to_owned());
                *types.entry(name).or_default() += bytes;
            }
            "enum" => {
                types.insert(tag.get("name").to_owned(), primitive_bytes(tag.get("encodingType")));
            }
            _ => {}
        }
    }
    types
}

/// The names and codes of every list in the schema.
fn lists(schema: &[Tag]) -> BTreeMap<String, Vec<(String, u8)>> {
    let (mut lists, mut current) = (BTreeMap::<_, Vec<_>>::new(), String::new());
    for tag in schema {
        match tag.name.as_str() {
            "enum" => current = tag.get("name").to_owned(),
            "validValue" => {
                let code = tag.text.parse().unwrap();
                lists.entry(current.clone()).or_default().push((tag.get("name").to_owned(), code));
            }
            _ => {}
        }
    }
    lists
}

/// A field: what the schema calls it, and the name and bytes of its type.
type Described = Vec<(String, String, usize)>;

/// What the schema calls something. A keyword says more there: code is generated from it.
fn schema_name(name: &str) -> String {
    let name = match name {
        "class" => "account_class",
        "operator" => "monitor_operator",
        name => name,
    };
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| name + &part[..1].to_uppercase() + &part[1..])
}

/// Fields as the code writes them; a row inside a row is its fields.
fn of_code(fields: Fields) -> Described {
    let mut described = Described::new();
    for (name, kind, bytes) in fields {
        if *kind == AccountRow::TYPE {
            described.extend(of_code(AccountRow::FIELDS));
        } else if *kind == protocol::rows::TransferRow::TYPE {
            described.extend(of_code(protocol::rows::TransferRow::FIELDS));
        } else if *kind == SettledTrade::TYPE {
            described.extend(of_code(SettledTrade::FIELDS));
        } else {
            described.push((schema_name(name), (*kind).to_owned(), *bytes));
        }
    }
    described
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Outline {
    name: String,
    template: u64,
    fields: Described,
    /// Name and fields of a group; no fields for a text.
    tails: Vec<(String, Described)>,
}

fn in_schema(schema: &[Tag], types: &BTreeMap<String, usize>) -> Vec<Outline> {
    let (mut messages, mut in_group) = (Vec::<Outline>::new(), false);
    let mut next_ids = (1, 1);
    for tag in schema {
        if tag.name == "sbe:message" {
            let (name, template) = (tag.get("name").to_owned(), tag.number("id"));
            messages.push(Outline { name, template, ..Outline::default() });
            next_ids = (1, 1);
        }
        let Some(message) = messages.last_mut() else { continue };
        let id = if in_group { &mut next_ids.1 } else { &mut next_ids.0 };
        match tag.name.as_str() {
            "field" => {
                let kind = tag.get("type").to_owned();
                let bytes = types[&kind];
                let field = (tag.get("name").to_owned(), kind, bytes);
                match message.tails.last_mut().filter(|_| in_group) {
                    Some((_, group)) => group.push(field),
                    None => message.fields.push(field),
                }
            }
            "group" | "data" => message.tails.push((tag.get("name").to_owned(), Described::new())),
            "/group" => in_group = false,
            _ => continue,
        }
        if tag.name != "/group" {
            assert_eq!(tag.number("id"), *id, "{} of {}: ids count from 1", tag.get("name"), message.name);
            *id += 1;
        }
        if tag.name == "group" {
            assert_eq!(tag.get("dimensionType"), "groupSizeEncoding");
            (in_group, next_ids.1) = (true, 1);
        }
        if tag.name == "data" {
            assert!(["text", "message"].contains(&tag.get("type")));
        }
    }
    messages
}

#[test]
fn the_schema_describes_every_message_as_it_is_written() {
    let schema = schema();
    let types = type_bytes(&schema);
    let all = [Message::LAYOUTS, MarketMessage::LAYOUTS].concat();
    let ours = all.iter().map(|layout| Outline {
        name: layout.name.to_owned(),
        template: u64::from(layout.template),
        fields: of_code(layout.fields),
        tails: layout
            .tails
            .iter()
            .map(|(name, tail)| match *tail {
                TailLayout::Group { fields, .. } => (schema_name(name), of_code(fields)),
                TailLayout::Text | TailLayout::Enclosed => (schema_name(name), Described::new()),
            })
            .collect(),
    });
    let theirs = in_schema(&schema, &types);
    assert_eq!(theirs.len(), all.len());
    for (ours, theirs) in ours.zip(theirs) {
        assert_eq!(theirs, ours);
    }
}

/// Of C++, C#, Go and Java: the schema's generators refuse to name anything so.
const KEYWORDS: &str = "abstract alignas alignof and and_eq as asm assert auto base bitand bitor bool boolean break byte case catch chan
char checked class compl concept const const_cast constexpr continue decimal decltype default defer delegate delete do double
dynamic_cast else enum event explicit export extends extern fallthrough false final finally fixed float for foreach friend func
go goto if implements implicit import in inline instanceof int interface internal is lock long map mutable namespace native new
noexcept not not_eq null nullptr object operator or or_eq out override package params private protected public range readonly ref
register reinterpret_cast requires return sbyte sealed select short signed sizeof stackalloc static static_assert static_cast
strictfp string struct super switch synchronized template this thread_local throw throws transient true try type typedef typeid
typename typeof uint ulong unchecked union unsafe unsigned ushort using var virtual void volatile wchar_t while xor xor_eq";

#[test]
fn the_schema_names_nothing_by_a_keyword() {
    let keywords: Vec<&str> = KEYWORDS.split_whitespace().collect();
    for tag in schema() {
        let Some(name) = tag.attributes.get("name") else { continue };
        assert!(!keywords.contains(&name.as_str()), "{}: {name}", tag.name);
    }
}

#[test]
fn the_schema_lists_every_code() {
    let lists = lists(&schema());
    let mut checked = 10;
    let mut check = |name: &str, codes: Vec<(String, u8)>| {
        assert_eq!(lists[name], codes, "{name}");
        checked += 1;
    };
    macro_rules! check {
        ($($list:ident)*) => {$(
            check(stringify!($list), $list::ALL.iter().map(|code| (code.name().to_owned(), code.code())).collect());
        )*};
    }
    check!(FlowType NegotiateRejectCode EstablishRejectCode TerminationCode BusinessRejectReason TransferStatus
        MonitorField MonitorOperator Schedule DayRule MarketPhase
        Side MarketChannel OrderChangeKind MarketRejectReason SubscriptionEnd TradeStatus ReferencePrice
        SelfTradePrevention);
    macro_rules! check_optional {
        ($($list:ident)*) => {$(
            let codes = $list::ALL.iter().map(|code| (code.name().to_owned(), code.code()));
            let codes: Vec<_> = [("None".to_owned(), 0)].into_iter().chain(codes).collect();
            assert_eq!(lists[stringify!($list)], codes);
        )*};
    }
    check_optional!(RejectReason AccountClass AccountKind NormalSide LedgerRefusal TickerWindow CandleInterval PhaseCause);
    let sides = Side::ALL.iter().map(|side| (side.name().to_owned(), side.code()));
    assert_eq!(lists["AnySide"], [("None".to_owned(), 0)].into_iter().chain(sides).collect::<Vec<_>>());
    assert_eq!(lists["Flag"], [("No".to_owned(), 0), ("Yes".to_owned(), 1)]);
    assert_eq!(lists.len(), checked, "no list but these");
}

#[test]
fn the_schema_describes_the_headers() {
    let schema = schema();
    let types = type_bytes(&schema);
    let of = |name: &str| types[name];
    assert_eq!((of("messageHeader"), of("framingHeader"), of("groupSizeEncoding")), (8, 6, 4));
    let root = schema.iter().find(|tag| tag.name == "sbe:messageSchema").unwrap();
    assert_eq!(root.number("id"), u64::from(SCHEMA_ID));
    assert_eq!(root.number("version"), u64::from(SCHEMA_VERSION));
    assert_eq!(root.get("byteOrder"), "littleEndian");
    let maxima: Vec<usize> =
        schema.iter().filter_map(|tag| tag.attributes.get("maxValue")?.parse().ok()).collect();
    assert_eq!(maxima, [BINARY_TEXT_BYTES_MAX, BINARY_ENCLOSED_BYTES_MAX]);
}
