//! `[[account_code]]`: the chart of accounts.

use protocol::commands::SetAccountCode;
use protocol::limits::ACCOUNT_CODE_NAME_BYTES_MAX;
use protocol::{AccountClass, AccountKind, AssetId, NormalSide, Text};
use serde::Deserialize;

use super::{Assets, EntryFault, Field, Item, find, item};

/// What a code stands for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountCodeEntry {
    code: u16,
    /// Where it stands for that; absent = in every asset.
    asset: Option<String>,
    /// `none` = the chart has no such code.
    kind: String,
    /// Only where the kind leaves it open.
    normal_side: Option<String>,
    /// Absent = all that the kind allows.
    classes: Option<Vec<String>>,
    #[serde(default)]
    name: String,
}

/// The command that says so.
pub(super) fn account_code(assets: &Assets, entry: &AccountCodeEntry) -> Result<Item, EntryFault> {
    let ledger = entry.asset.as_ref().map(|code| find("asset", assets, code)).transpose()?;
    let place = entry.asset.as_ref().map(|code| format!(" in {code}")).unwrap_or_default();
    let ledger = ledger.map_or(AssetId(0), |asset| asset.id);
    let said = Said {
        kind: &entry.kind,
        normal_side: entry.normal_side.as_deref(),
        classes: entry.classes.as_deref(),
    };
    let name = Text::new(&entry.name)
        .map_err(|_| format!("name: {:?} has more than {ACCOUNT_CODE_NAME_BYTES_MAX} bytes", entry.name))?;
    let command = SetAccountCode { name, ..said.of(ledger, entry.code)? };
    Ok(item(format!("account code {}{place}", entry.code), command))
}

/// An entry in people's words; what they leave out follows from the kind.
pub(crate) struct Said<'a> {
    pub(crate) kind: &'a str,
    pub(crate) normal_side: Option<&'a str>,
    pub(crate) classes: Option<&'a [String]>,
}

impl Said<'_> {
    /// The command, without a name.
    pub(crate) fn of(&self, ledger: AssetId, code: u16) -> Result<SetAccountCode, EntryFault> {
        let none =
            SetAccountCode { ledger, code, kind: None, normal_side: None, classes: 0, name: Text::EMPTY };
        if self.kind == "none" {
            let is_bare = self.normal_side.is_none() && self.classes.is_none();
            return if is_bare {
                Ok(none)
            } else {
                Err("kind: none has no normal_side and no classes".to_owned())
            };
        }
        let kind = one_of("kind", self.kind, AccountKind::ALL, AccountKind::name)?;
        let side = |text| one_of("normal_side", text, NormalSide::ALL, NormalSide::name);
        let normal_side = self.normal_side.map(side).transpose()?.or(kind.normal_side());
        if normal_side.is_none() {
            return Err(format!("normal_side: debit or credit, because {} may be either", self.kind));
        }
        let mut classes = if self.classes.is_some() { 0 } else { kind.classes() };
        for name in self.classes.unwrap_or_default() {
            classes |= one_of("classes", name, AccountClass::ALL, AccountClass::name)?.bit();
        }
        Ok(SetAccountCode { kind: Some(kind), normal_side, classes, ..none })
    }
}

/// What an entry says, as text.
pub(crate) fn fields(entry: &SetAccountCode) -> Vec<Field> {
    vec![
        ("kind", entry.kind.map_or("none".to_owned(), |kind| word(kind.name()))),
        ("normal_side", entry.normal_side.map_or("none".to_owned(), |side| word(side.name()))),
        ("classes", class_words(entry.classes)),
        ("name", entry.name.to_string()),
    ]
}

/// Classes as words, one behind the other.
pub(crate) fn class_words(classes: u8) -> String {
    let names = AccountClass::ALL.iter().filter(|class| classes & class.bit() != 0);
    names.map(|class| word(class.name())).collect::<Vec<_>>().join(",")
}

/// A name of the journal's as people write it: `term_deposit`.
pub(crate) fn word(name: &str) -> String {
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(letter.to_lowercase());
    }
    word
}

fn one_of<T: Copy>(field: &str, text: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, EntryFault> {
    all.iter().copied().find(|one| word(name(*one)) == text).ok_or_else(|| {
        let names: Vec<String> = all.iter().map(|one| word(name(*one))).collect();
        format!("{field}: {text:?} is not one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use protocol::Command;

    use super::*;
    use crate::definitions::translate;

    const ASSET: &str = "[[asset]]\nid = 7\ncode = \"BTC\"\nscale = 8\n";

    /// The entry of a file, or what is wrong with it.
    fn read(entry: &str) -> Result<(String, SetAccountCode), String> {
        let file = format!("[[account_code]]\ncode = 2000\n{entry}\n{ASSET}");
        let items =
            translate(Path::new("chart.toml"), &file, Assets::new()).map_err(|fault| fault.to_string())?;
        let [_, item] = &items[..] else { panic!("{items:?}") };
        let Command::SetAccountCode(set) = &item.command else { panic!("{item:?}") };
        Ok((item.label.clone(), set.clone()))
    }

    #[test]
    fn what_is_left_out_follows_from_the_kind() {
        let (label, deposits) = read("kind = \"term_deposit\"\nname = \"deposits\"").unwrap();
        assert_eq!(label, "account code 2000");
        assert_eq!((deposits.ledger, deposits.kind), (AssetId(0), Some(AccountKind::TermDeposit)));
        assert_eq!((deposits.normal_side, deposits.classes), (Some(NormalSide::Credit), 1));
        assert_eq!(deposits.name.to_string(), "deposits");
        let (label, coins) = read(
            "kind = \"crypto\"\nasset = \"BTC\"\nnormal_side = \"credit\"\nclasses = [\"client\", \"house\"]",
        )
        .unwrap();
        assert_eq!(
            (label.as_str(), coins.ledger, coins.classes),
            ("account code 2000 in BTC", AssetId(7), 3)
        );
        let none = SetAccountCode { kind: None, normal_side: None, classes: 0, ledger: AssetId(0), ..coins };
        assert_eq!(read("kind = \"none\"").unwrap().1, none);
        assert_eq!(fields(&none).first(), Some(&("kind", "none".to_owned())));
    }

    #[test]
    fn what_means_nothing_is_named() {
        for (entry, fault) in [
            ("kind = \"deposit\"", "kind: \"deposit\" is not one of checking, savings, term_deposit"),
            ("kind = \"card\"", "normal_side: debit or credit, because card may be either"),
            ("kind = \"loan\"\nnormal_side = \"left\"", "normal_side: \"left\" is not one of debit, credit"),
            ("kind = \"loan\"\nclasses = [\"clients\"]", "classes: \"clients\" is not one of client, house"),
            ("kind = \"none\"\nclasses = []", "kind: none has no normal_side and no classes"),
            ("kind = \"loan\"\nasset = \"XYZ\"", "asset"),
        ] {
            let found = read(entry).unwrap_err();
            assert!(found.contains(fault), "{entry}: {found}");
        }
    }

    #[test]
    fn every_name_has_a_word_of_its_own() {
        let words: Vec<String> = AccountKind::ALL.iter().map(|kind| word(kind.name())).collect();
        assert!(words.contains(&"interest_expense".to_owned()) && words.contains(&"checking".to_owned()));
    }
}
