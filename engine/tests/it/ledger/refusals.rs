//! The table of refusals in docs/LEDGER.md is what the enum says. `UPDATE_GOLDEN=1` rewrites it.

use protocol::LedgerRefusal;

use LedgerRefusal as R;

const DOCUMENT: &str = include_str!("../../../../docs/LEDGER.md");
const SOURCE: &str = include_str!("../../../../protocol/src/ledger_refusal.rs");
const HEADING: &str =
    "| code | refusal | of | TigerBeetle | again | meaning |\n| --- | --- | --- | --- | --- | --- |\n";

/// Which rows may be refused with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Accounts,
    Transfers,
    Both,
    /// Of transfers that correct others.
    Corrections,
}

impl Of {
    const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Transfers => "transfers",
            Self::Both => "both",
            Self::Corrections => "corrections",
        }
    }

    pub(crate) const fn accounts(self) -> bool {
        matches!(self, Self::Accounts | Self::Both)
    }

    pub(crate) const fn transfers(self) -> bool {
        matches!(self, Self::Transfers | Self::Both)
    }
}

const ACCOUNTS_ONLY: &[LedgerRefusal] = &[
    R::ExistsWithDifferentOwner,
    R::ExistsWithDifferentClass,
    R::ClassNotFound,
    R::OwnerMustMatchClass,
    R::LedgerNotFound,
    R::CodeNotFound,
    R::CodeExcludesClass,
    R::LimitAgainstNormalSide,
    R::SettlementAccountExists,
    R::TooManyAccounts,
];
const CORRECTIONS_ONLY: &[LedgerRefusal] = &[
    R::CorrectedTransferTooOld,
    R::CorrectedTransferNotFound,
    R::CorrectedTransferNotPosted,
    R::CorrectedTransferHasDifferentLedger,
    R::ExceedsCorrectedTransfer,
    R::TooManyCorrections,
];
const BOTH: &[LedgerRefusal] = &[
    R::LinkedEventChainOpen,
    R::LinkedEventFailed,
    R::ReservedField,
    R::ReservedFlag,
    R::IdMustNotBeZero,
    R::IdMustNotBeIntMax,
    R::ExistsWithDifferentFlags,
    R::ExistsWithDifferentUserData128,
    R::ExistsWithDifferentUserData64,
    R::ExistsWithDifferentUserData32,
    R::ExistsWithDifferentLedger,
    R::ExistsWithDifferentCode,
    R::Exists,
    R::FlagsAreMutuallyExclusive,
    R::LedgerMustNotBeZero,
    R::CodeMustNotBeZero,
];

pub(crate) fn of(refusal: LedgerRefusal) -> Of {
    if ACCOUNTS_ONLY.contains(&refusal) {
        Of::Accounts
    } else if BOTH.contains(&refusal) {
        Of::Both
    } else if CORRECTIONS_ONLY.contains(&refusal) {
        Of::Corrections
    } else {
        Of::Transfers
    }
}

/// TigerBeetle 0.17's statuses of accounts and of transfers, by name.
const TIGERBEETLE: &[(&str, Option<u32>, Option<u32>)] = &[
    ("linked_event_failed", Some(1), Some(1)),
    ("linked_event_chain_open", Some(2), Some(2)),
    ("reserved_field", Some(4), None),
    ("reserved_flag", Some(5), Some(4)),
    ("id_must_not_be_zero", Some(6), Some(5)),
    ("id_must_not_be_int_max", Some(7), Some(6)),
    ("exists_with_different_flags", Some(15), Some(36)),
    ("exists_with_different_pending_id", None, Some(40)),
    ("exists_with_different_timeout", None, Some(44)),
    ("exists_with_different_debit_account_id", None, Some(37)),
    ("exists_with_different_credit_account_id", None, Some(38)),
    ("exists_with_different_amount", None, Some(39)),
    ("exists_with_different_user_data_128", Some(16), Some(41)),
    ("exists_with_different_user_data_64", Some(17), Some(42)),
    ("exists_with_different_user_data_32", Some(18), Some(43)),
    ("exists_with_different_ledger", Some(19), Some(67)),
    ("exists_with_different_code", Some(20), Some(45)),
    ("exists", Some(21), Some(46)),
    ("flags_are_mutually_exclusive", Some(8), Some(7)),
    ("debit_account_id_must_not_be_zero", None, Some(8)),
    ("debit_account_id_must_not_be_int_max", None, Some(9)),
    ("credit_account_id_must_not_be_zero", None, Some(10)),
    ("credit_account_id_must_not_be_int_max", None, Some(11)),
    ("accounts_must_be_different", None, Some(12)),
    ("pending_id_must_be_zero", None, Some(13)),
    ("pending_id_must_not_be_zero", None, Some(14)),
    ("pending_id_must_not_be_int_max", None, Some(15)),
    ("pending_id_must_be_different", None, Some(16)),
    ("timeout_reserved_for_pending_transfer", None, Some(17)),
    ("closing_transfer_must_be_pending", None, Some(64)),
    ("ledger_must_not_be_zero", Some(13), Some(19)),
    ("code_must_not_be_zero", Some(14), Some(20)),
    ("debit_account_not_found", None, Some(21)),
    ("credit_account_not_found", None, Some(22)),
    ("accounts_must_have_the_same_ledger", None, Some(23)),
    ("transfer_must_have_the_same_ledger_as_accounts", None, Some(24)),
    ("pending_transfer_not_found", None, Some(25)),
    ("pending_transfer_not_pending", None, Some(26)),
    ("pending_transfer_has_different_debit_account_id", None, Some(27)),
    ("pending_transfer_has_different_credit_account_id", None, Some(28)),
    ("pending_transfer_has_different_ledger", None, Some(29)),
    ("pending_transfer_has_different_code", None, Some(30)),
    ("exceeds_pending_transfer_amount", None, Some(31)),
    ("pending_transfer_has_different_amount", None, Some(32)),
    ("pending_transfer_already_posted", None, Some(33)),
    ("pending_transfer_already_voided", None, Some(34)),
    ("pending_transfer_expired", None, Some(35)),
    ("debit_account_already_closed", None, Some(65)),
    ("credit_account_already_closed", None, Some(66)),
    ("overflows_debits_pending", None, Some(47)),
    ("overflows_credits_pending", None, Some(48)),
    ("overflows_debits_posted", None, Some(49)),
    ("overflows_credits_posted", None, Some(50)),
    ("overflows_debits", None, Some(51)),
    ("overflows_credits", None, Some(52)),
    ("overflows_timeout", None, Some(53)),
    ("exceeds_credits", None, Some(54)),
    ("exceeds_debits", None, Some(55)),
];

/// `IdMustNotBeZero` as TigerBeetle writes it.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut before = '_';
    for c in name.chars() {
        let begins_number = c.is_ascii_digit() && !before.is_ascii_digit();
        if (c.is_ascii_uppercase() || begins_number) && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
        before = c;
    }
    snake
}

/// Its name and numbers there: of accounts before those of transfers.
fn tigerbeetle(refusal: LedgerRefusal) -> String {
    let snake = snake_case(refusal.name());
    let Some((name, accounts, transfers)) = TIGERBEETLE.iter().find(|(name, ..)| *name == snake) else {
        return "–".to_owned();
    };
    let numbers: Vec<String> = accounts.iter().chain(transfers).map(u32::to_string).collect();
    format!("{name} {}", numbers.join(", "))
}

/// What the source says above the refusal.
fn meaning(refusal: LedgerRefusal) -> String {
    let declared = format!("\n        {} = {},", refusal.name(), refusal.code());
    let before = SOURCE.split(&declared).next().unwrap();
    assert!(before.len() < SOURCE.len(), "{declared} is not declared so");
    let lines: Vec<&str> = before.lines().rev().map_while(|line| line.trim().strip_prefix("/// ")).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" ")
}

fn table() -> String {
    let mut table = HEADING.to_owned();
    for &refusal in LedgerRefusal::ALL {
        let again = if refusal.is_transient() && of(refusal).transfers() { "same" } else { "judged" };
        table += &format!(
            "| {} | `{}` | {} | {} | {again} | {} |\n",
            refusal.code(),
            refusal.name(),
            of(refusal).name(),
            tigerbeetle(refusal),
            meaning(refusal)
        );
    }
    table
}

#[test]
fn the_table_of_refusals_is_what_the_enum_says() {
    let table = table();
    let start = DOCUMENT.find(HEADING).expect("docs/LEDGER.md has no table of refusals");
    let rest = &DOCUMENT[start..];
    let found = &rest[..rest.find("\n\n").map_or(rest.len(), |end| end + 1)];
    if found != table && std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/LEDGER.md");
        std::fs::write(path, DOCUMENT.replace(found, &table)).unwrap();
        return;
    }
    assert!(found == table, "docs/LEDGER.md should hold this table:\n{table}");
}

#[test]
fn every_status_of_tigerbeetle_has_a_refusal() {
    let ours: Vec<String> = LedgerRefusal::ALL.iter().map(|refusal| snake_case(refusal.name())).collect();
    for (name, accounts, transfers) in TIGERBEETLE {
        let at = ours.iter().position(|ours| ours == name);
        let at = at.unwrap_or_else(|| panic!("nothing is called {name}"));
        let of = of(LedgerRefusal::ALL[at]);
        assert!(accounts.is_none() || of.accounts(), "{name} is a status of accounts there");
        assert!(transfers.is_none() || of.transfers(), "{name} is a status of transfers there");
    }
}
