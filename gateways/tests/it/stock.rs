//! What a client's engine does that knows the published dictionary, and nothing else of us: it reads our messages by it.

use std::collections::{BTreeMap, BTreeSet};

/// A field, by its tag, and its bytes.
pub(crate) type Field = (u32, Vec<u8>);

/// The messages of `docs/fix/FIX44-sicil.xml`.
pub(crate) struct Dictionary {
    /// By MsgType: the tags that it may have, and those that it has to have.
    messages: BTreeMap<String, (BTreeSet<u32>, BTreeSet<u32>)>,
    /// Values of fields that have a list of them.
    values: BTreeMap<u32, BTreeSet<String>>,
}

impl Dictionary {
    pub(crate) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fix/FIX44-sicil.xml");
        let xml = std::fs::read_to_string(path).unwrap();
        let (mut named, mut fields) = (BTreeMap::<String, Vec<(String, bool)>>::new(), BTreeMap::new());
        let (mut values, mut part, mut depth, mut number) = (BTreeMap::new(), String::new(), 0, 0);
        for line in xml.lines() {
            let attribute = |name: &str| {
                let rest = line.split(&format!(" {name}='")).nth(1)?;
                Some(rest.split('\'').next().unwrap().to_owned())
            };
            let element = line.trim_start().trim_start_matches('<');
            let element = element.split([' ', '>', '/']).next().unwrap();
            match element {
                "header" | "trailer" => part = element.to_owned(),
                "message" => part = attribute("msgtype").unwrap(),
                "group" | "field" if attribute("required").is_some() => {
                    let is_required = depth == 0 && attribute("required").unwrap() == "Y";
                    named.entry(part.clone()).or_default().push((attribute("name").unwrap(), is_required));
                    depth += usize::from(element == "group");
                }
                "field" if attribute("number").is_some() => {
                    number = attribute("number").unwrap().parse().unwrap();
                    fields.insert(attribute("name").unwrap(), number);
                }
                "value" => {
                    values.entry(number).or_insert_with(BTreeSet::new).insert(attribute("enum").unwrap());
                }
                _ => depth -= usize::from(line.contains("</group>")),
            }
        }
        let around: Vec<_> =
            ["header", "trailer"].iter().flat_map(|part| named.remove(*part).unwrap()).collect();
        let messages = named.into_iter().map(|(kind, members)| {
            let members: Vec<(u32, bool)> =
                members.iter().chain(&around).map(|(name, required)| (fields[name], *required)).collect();
            let required = members.iter().filter(|(_, required)| *required).map(|(tag, _)| *tag).collect();
            (kind, (members.iter().map(|(tag, _)| *tag).collect(), required))
        });
        Self { messages: messages.collect(), values }
    }

    /// The fields of a stream of messages, each held against the dictionary: frame, tags, lists of values, what is required.
    pub(crate) fn parse(&self, stream: &[u8]) -> Vec<Vec<Field>> {
        let mut messages = Vec::new();
        let mut rest = stream;
        while !rest.is_empty() {
            let end = rest.windows(4).position(|four| four == b"\x0110=").unwrap() + 8;
            let (message, behind) = rest.split_at(end);
            let fields: Vec<Field> = message[..end - 1].split(|&byte| byte == 1).map(field).collect();
            let body = fields[1].1.len() + 13;
            let length: usize = String::from_utf8(fields[1].1.clone()).unwrap().parse().unwrap();
            let sum = message[..end - 7].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
            let shown = String::from_utf8_lossy(message).replace('\x01', "|");
            assert_eq!(
                (length, format!("{sum:03}").as_bytes()),
                (end - 7 - body, &fields[fields.len() - 1].1[..]),
                "{shown}"
            );
            self.check(&fields, &shown);
            messages.push(fields);
            rest = behind;
        }
        messages
    }

    fn check(&self, fields: &[Field], shown: &str) {
        let kind = String::from_utf8(fields[2].1.clone()).unwrap();
        let (known, required) = self.messages.get(&kind).unwrap_or_else(|| panic!("unknown: {shown}"));
        for (tag, value) in fields {
            // A dictionary of FIX 4.4 has no tag above 956, and no message that begins with U: who asks by one knows both. A value that a
            // client gave comes back as it was.
            assert!(known.contains(tag) && (*tag <= 956 || kind.starts_with('U')), "{tag} in {shown}");
            let is_listed =
                self.values.get(tag).is_none_or(|list| list.iter().any(|one| one.as_bytes() == value));
            assert!(!value.is_empty() && is_listed, "{tag} in {shown}");
        }
        let has = |tag: &u32| fields.iter().any(|(found, _)| found == tag);
        assert!(required.iter().all(has), "{shown} lacks one of {required:?}");
    }
}

fn field(bytes: &[u8]) -> Field {
    let equals = bytes.iter().position(|&byte| byte == b'=').unwrap();
    let tag = std::str::from_utf8(&bytes[..equals]).unwrap().parse().unwrap();
    (tag, bytes[equals + 1..].to_vec())
}
