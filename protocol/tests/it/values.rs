//! A second reader and writer of bodies, as a stranger would write them from docs/FORMAT.md: no word of rkyv here.

use crate::random::Random;
use crate::schema::{Layout, Type, code_lists};

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u128, usize),
    Bool(bool),
    Code(u8, &'static str),
    Bytes(Vec<u8>),
    Text(Vec<u8>),
    List(Vec<Self>),
    Absent(usize),
    Present(Box<Self>),
    Fields(&'static str, Vec<(&'static str, Self)>),
}

/// Reads a body, or says what is wrong with it.
pub(crate) fn read(layout: &Layout, body: &[u8]) -> Result<Value, String> {
    let root = body.len().checked_sub(layout.size()).ok_or("shorter than its fixed part")?;
    let mut reader = Reader { body, root, free_from: 0 };
    reader.value(&Type::Nested(layout.name, layout.fields.clone()), root)
}

struct Reader<'a> {
    body: &'a [u8],
    /// Where the fixed part begins: the parts outside it end here.
    root: usize,
    /// Where the next part outside may begin: they stand in the order of their fields and do not overlap.
    free_from: usize,
}

impl Reader<'_> {
    fn number(&self, at: usize, bytes: usize) -> u128 {
        self.body[at..at + bytes].iter().rev().fold(0, |number, &byte| number << 8 | u128::from(byte))
    }

    /// Where the elements of a text or list stand.
    fn elsewhere(&self, at: usize, element_bytes: usize) -> Result<(usize, usize), String> {
        let offset = i32::from_le_bytes(self.body[at..at + 4].try_into().unwrap());
        let count = usize::try_from(self.number(at + 4, 4)).unwrap();
        let start = i64::try_from(at).unwrap() + i64::from(offset);
        let start = usize::try_from(start).map_err(|_| "begins before the body")?;
        let end =
            count.checked_mul(element_bytes).and_then(|bytes| start.checked_add(bytes)).ok_or("too long")?;
        if start < self.free_from || end > self.root {
            return Err(format!("{start}..{end} is not inside {}..{}", self.free_from, self.root));
        }
        Ok((start, count))
    }

    /// The elements of a list. What of them stands elsewhere stands before them.
    fn elements(&mut self, element: &Type, start: usize, count: usize) -> Result<Value, String> {
        let root = std::mem::replace(&mut self.root, start);
        let places = (0..count).map(|i| start + i * element.size());
        let values = places.map(|place| self.value(element, place)).collect::<Result<_, _>>()?;
        self.root = root;
        self.free_from = start + count * element.size();
        Ok(Value::List(values))
    }

    fn value(&mut self, kind: &Type, at: usize) -> Result<Value, String> {
        Ok(match kind {
            Type::Number(bytes) => Value::Number(self.number(at, *bytes), *bytes),
            Type::Bool => match self.body[at] {
                bit @ 0..=1 => Value::Bool(bit == 1),
                other => return Err(format!("{other} is no bool")),
            },
            Type::Code(list) => {
                let code = self.body[at];
                let (_, variants) = code_lists().into_iter().find(|(name, _)| name == list).unwrap();
                let known = variants.into_iter().find(|(known, _)| *known == code);
                let (_, name) = known.ok_or_else(|| format!("{list} has no code {code}"))?;
                Value::Code(code, name)
            }
            Type::Text(max) => {
                let (start, count) = self.elsewhere(at, 1)?;
                if count > *max {
                    return Err(format!("{count} bytes where {max} are allowed"));
                }
                self.free_from = start + count;
                Value::Text(self.body[start..start + count].to_vec())
            }
            Type::List(element) => {
                let (start, count) = self.elsewhere(at, element.size())?;
                self.elements(element, start, count)?
            }
            Type::Rare(element) => match self.elsewhere(at, element.size())? {
                (start, count @ 0..=1) => self.elements(element, start, count)?,
                (_, more) => return Err(format!("{more} where at most one may be")),
            },
            Type::Optional(value) => match self.body[at] {
                0 => Value::Absent(value.size()),
                1 => Value::Present(Box::new(self.value(value, at + 1)?)),
                other => return Err(format!("{other} where 0 or 1 says whether there is a value")),
            },
            Type::Nested(name, fields) => {
                let mut next = at;
                let mut values = Vec::new();
                for field in fields {
                    values.push((field.name, self.value(&field.kind, next)?));
                    next += field.kind.size();
                }
                Value::Fields(name, values)
            }
            Type::Bytes(size) => Value::Bytes(self.body[at..at + size].to_vec()),
        })
    }
}

/// Writes a body.
pub(crate) fn write(value: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    let mut places = Vec::new();
    value.write_elsewhere(&mut body, &mut places);
    value.write_in_place(&mut body, &mut places.into_iter());
    body
}

impl Value {
    /// First pass: texts and lists, in the order of the fields.
    fn write_elsewhere(&self, body: &mut Vec<u8>, places: &mut Vec<usize>) {
        match self {
            Self::Text(text) => {
                places.push(body.len());
                body.extend_from_slice(text);
            }
            Self::List(elements) => {
                let mut theirs = Vec::new();
                elements.iter().for_each(|element| element.write_elsewhere(body, &mut theirs));
                places.push(body.len());
                let mut theirs = theirs.into_iter();
                elements.iter().for_each(|element| element.write_in_place(body, &mut theirs));
            }
            Self::Present(value) => value.write_elsewhere(body, places),
            Self::Fields(_, fields) => {
                fields.iter().for_each(|(_, value)| value.write_elsewhere(body, places))
            }
            Self::Number(..) | Self::Bool(_) | Self::Code(..) | Self::Bytes(_) | Self::Absent(_) => {}
        }
    }

    /// Second pass: the fixed part.
    fn write_in_place(&self, body: &mut Vec<u8>, places: &mut dyn Iterator<Item = usize>) {
        let mut reference = |body: &mut Vec<u8>, count: usize| {
            let offset = i64::try_from(places.next().unwrap()).unwrap() - i64::try_from(body.len()).unwrap();
            body.extend_from_slice(&i32::try_from(offset).unwrap().to_le_bytes());
            body.extend_from_slice(&u32::try_from(count).unwrap().to_le_bytes());
        };
        match self {
            Self::Number(number, bytes) => body.extend_from_slice(&number.to_le_bytes()[..*bytes]),
            Self::Bool(bit) => body.push(u8::from(*bit)),
            Self::Code(code, _) => body.push(*code),
            Self::Bytes(bytes) => body.extend_from_slice(bytes),
            Self::Text(text) => reference(body, text.len()),
            Self::List(elements) => reference(body, elements.len()),
            Self::Absent(bytes) => body.resize(body.len() + 1 + bytes, 0),
            Self::Present(value) => {
                body.push(1);
                value.write_in_place(body, places);
            }
            Self::Fields(_, fields) => {
                fields.iter().for_each(|(_, value)| value.write_in_place(body, places))
            }
        }
    }
}

/// Some value of this type, of every length and presence that it may have.
pub(crate) fn some(kind: &Type, random: &mut Random) -> Value {
    match kind {
        Type::Number(bytes) => {
            let number = u128::from(random.next()) << 64 | u128::from(random.next());
            let edges = [number, number, 0, 1, u128::MAX];
            Value::Number(edges[random.below(edges.len())] & (u128::MAX >> (128 - bytes * 8)), *bytes)
        }
        Type::Bool => Value::Bool(random.below(2) == 1),
        Type::Code(list) => {
            let (_, variants) = code_lists().into_iter().find(|(name, _)| name == list).unwrap();
            let (code, name) = variants[random.below(variants.len())];
            Value::Code(code, name)
        }
        Type::Text(max) => {
            let lengths = [0, 1, *max, random.below(max + 1)];
            let length = lengths[random.below(lengths.len())];
            Value::Text(random.bytes(length))
        }
        Type::List(element) => {
            // Messages in a list are few: a writer has room for the places of their texts on its stack.
            let most = if element.has_parts() { 3 } else { 256 };
            let count = [0, 1, most, random.below(most.min(8))][random.below(4)];
            Value::List((0..count).map(|_| some(element, random)).collect())
        }
        Type::Rare(element) => Value::List((0..random.below(2)).map(|_| some(element, random)).collect()),
        Type::Optional(value) => match random.below(2) {
            0 => Value::Absent(value.size()),
            _ => Value::Present(Box::new(some(value, random))),
        },
        Type::Nested(name, fields) => {
            let values = fields.iter().map(|field| (field.name, some(&field.kind, random)));
            Value::Fields(name, values.collect())
        }
        Type::Bytes(size) => Value::Bytes(random.bytes(*size)),
    }
}

/// As `{:?}` of the message prints it, after [`without_wrappers`].
pub(crate) fn render(value: &Value) -> String {
    match value {
        Value::Number(number, _) => number.to_string(),
        Value::Bool(bit) => bit.to_string(),
        Value::Code(_, name) => (*name).to_owned(),
        Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Value::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
        Value::List(elements) => format!("[{}]", elements.iter().map(render).collect::<Vec<_>>().join(", ")),
        Value::Absent(_) => "None".to_owned(),
        Value::Present(value) => format!("Some({})", render(value)),
        Value::Fields(name, fields) if fields.is_empty() => (*name).to_owned(),
        Value::Fields(name, fields) => {
            let fields = fields.iter().map(|(field, value)| format!("{field}: {}", render(value)));
            format!("{name} {{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

/// `Some(ClientId(7))` as `Some(7)`: names of tuple structs are not on the disk.
pub(crate) fn without_wrappers(debug: &str) -> String {
    let mut out = String::new();
    let mut kept = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    for c in debug.chars() {
        let in_text = quoted;
        quoted ^= c == '"' && !escaped;
        escaped = in_text && c == '\\' && !escaped;
        match c {
            '(' if !in_text => {
                let name = out.rfind(|c: char| !c.is_alphanumeric()).map_or(0, |at| at + 1);
                kept.push(&out[name..] == "Some");
                if kept.last() == Some(&true) {
                    out.push(c);
                } else {
                    out.truncate(name);
                }
            }
            ')' if !in_text => {
                if kept.pop() == Some(true) {
                    out.push(c);
                }
            }
            _ => out.push(c),
        }
    }
    out
}
