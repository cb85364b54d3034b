//! docs/FORMAT.md says what the tables of these tests say: each row, each code.

use crate::schema::{self, Layout, code_lists};

const FORMAT: &str = include_str!("../../../docs/FORMAT.md");

/// The part under the heading that begins with `heading`, up to the next heading.
fn part(heading: &str) -> &'static str {
    let start =
        FORMAT.find(&format!("\n{heading}")).unwrap_or_else(|| panic!("docs/FORMAT.md has no `{heading}`"));
    let rest = &FORMAT[start + 1..];
    let end = rest.find("\n#").unwrap_or(rest.len());
    &rest[..end]
}

/// Rows that the part should hold in this order and no others.
fn check(heading: &str, layout: &Layout) -> String {
    let part = part(heading);
    let rows = layout.offsets().map(|(at, field)| {
        format!("| {at} | {} | {} | `{}` | ", field.kind.size(), field.kind.name(), field.name)
    });
    let mut found = part.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
    let mut faults = String::new();
    for row in rows {
        let line = found.next().unwrap_or("nothing");
        if !line.starts_with(&row) || line.len() < row.len() + 3 {
            faults += &format!("under `{heading}`: {row}meaning |\n    found: {line}\n");
        }
    }
    for line in found {
        faults += &format!("under `{heading}`: one row too many: {line}\n");
    }
    faults
}

#[test]
fn every_field_stands_in_the_document() {
    let mut faults = String::new();
    for (family, layouts) in [("Command", schema::commands()), ("Event", schema::events())] {
        for layout in layouts {
            let heading =
                format!("#### {family} {}: {}, version 1, {} bytes", layout.kind, layout.name, layout.size());
            faults += &check(&heading, &layout);
        }
    }
    for layout in schema::rows() {
        faults += &check(&format!("#### {}: {} bytes", layout.name, layout.size()), &layout);
    }
    for layout in schema::headers() {
        faults += &check(&format!("### The {} header: {} bytes", layout.name, layout.size()), &layout);
    }
    assert!(faults.is_empty(), "docs/FORMAT.md lacks rows\n{faults}");
}

#[test]
fn every_code_stands_in_the_document() {
    let mut faults = String::new();
    for (list, variants) in code_lists() {
        let part = part(&format!("#### {list}\n"));
        for (code, name) in &variants {
            if !part.lines().any(|line| line.starts_with(&format!("| {code} | `{name}` | "))) {
                faults += &format!("under `#### {list}`: | {code} | `{name}` | meaning |\n");
            }
        }
        let rows =
            part.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit()).count();
        if rows != variants.len() {
            faults += &format!("under `#### {list}`: {rows} rows for {} codes\n", variants.len());
        }
    }
    assert!(faults.is_empty(), "docs/FORMAT.md lacks codes\n{faults}");
}

#[test]
fn the_code_lists_of_these_tests_are_complete() {
    let sources = [
        include_str!("../../src/wire/kinds.rs"),
        include_str!("../../src/reject.rs"),
        include_str!("../../src/ledger_refusal.rs"),
        include_str!("../../src/frame.rs"),
    ];
    let lists = code_lists();
    for source in sources {
        for part in source.split("codes! {").skip(1) {
            let name = part.split_once("pub enum ").unwrap().1.split(' ').next().unwrap();
            assert!(lists.iter().any(|(known, _)| *known == name), "schema.rs lacks the list {name}");
        }
    }
}
