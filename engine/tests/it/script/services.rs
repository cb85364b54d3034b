//! What the ledger does beside batches, in the scenarios' language.
//!
//! ```text
//! till monitor m1 of cash balance below -5 [field=value …]          a monitor of an account
//! till monitor m2 of TRY 1 house credits-posted at-least 100        of the accounts of a ledger, code and class
//! till unmonitor m1
//! ```

use protocol::commands::{DefineMonitor, RemoveMonitor};
use protocol::{AccountClass, AccountId, Amount, AssetId, Command, MonitorField, MonitorId, MonitorOperator};

use super::ledger::{narrow, number};
use super::{Script, Words, by_name, decimal};

/// `m1`.
fn numbered(word: &str) -> u64 {
    word[1..].parse().unwrap_or_else(|_| panic!("{word} has no number"))
}

/// The one of these names that a word with hyphens means.
fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, word: &str) -> T {
    let bare = word.replace('-', "");
    let found = all.iter().find(|&&known| name(known).eq_ignore_ascii_case(&bare));
    *found.unwrap_or_else(|| panic!("no {word}"))
}

impl Script {
    /// The command of such a line, if it is one.
    pub(super) fn service(&mut self, name: &str, words: &mut Words<'_>) -> Option<Command> {
        Some(match name {
            "monitor" => self.monitor(words).into(),
            "unmonitor" => RemoveMonitor { monitor: MonitorId(numbered(words.next())) }.into(),
            _ => return None,
        })
    }

    fn monitor(&self, words: &mut Words<'_>) -> DefineMonitor {
        let (monitor, of, what) = (MonitorId(numbered(words.next())), words.next(), words.next());
        assert_eq!(of, "of", "{}", words.place);
        let mut subject = (AccountId(0), AssetId(0), 0, None);
        let ledger = match by_name(&self.names.assets, |asset| asset.code == what) {
            Some(ledger) => {
                let (code, class) = (narrow(words.next()), words.next());
                let class = named(AccountClass::ALL, AccountClass::name, class);
                subject = (AccountId(0), AssetId(ledger), code, Some(class));
                ledger
            }
            None => {
                let (account, ledger) = self.account_named(what);
                subject.0 = account;
                ledger
            }
        };
        let field = named(MonitorField::ALL, MonitorField::name, words.next());
        let operator = named(MonitorOperator::ALL, MonitorOperator::name, words.next());
        let value = words.next();
        let negative = value.starts_with('-');
        let value = value.trim_start_matches('-');
        let scale = self.names.assets[&ledger].scale;
        let value = Amount(if value == "max" { u128::MAX } else { decimal(value, scale) });
        let (account, ledger, code, class) = subject;
        let mut command =
            DefineMonitor { monitor, account, ledger, code, class, field, operator, value, negative };
        for word in words.words.drain(..) {
            match word.split_once('=').unwrap_or_else(|| panic!("{}: {word}", words.place)) {
                ("account", value) => command.account = AccountId(number(value)),
                ("ledger", value) => command.ledger = AssetId(narrow(value)),
                ("code", value) => command.code = narrow(value),
                ("class", value) => command.class = AccountClass::from_code(narrow(value)),
                (field, _) => panic!("{}: a monitor has no field {field}", words.place),
            }
        }
        command
    }
}
