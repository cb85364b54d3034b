//! As whom the ledger is asked, where, and how answers are shown.

use std::path::PathBuf;

use clap::Args;
use client::{Client, Credentials, Freshness, Options};
use protocol::{Seq, SessionId};
use serde::Serialize;

use crate::fault::NodeFault;
use crate::{print, skip};

/// Where a node of this host takes clients of the ledger, unless it is said otherwise.
const NODE_DEFAULT: &str = "127.0.0.1:9881";

/// As whom, where, and how the answer is shown.
#[derive(Args)]
pub(crate) struct Access {
    /// A node of the cluster; may be given for each of them.
    #[arg(long = "addr", value_name = "HOST:PORT", default_value = NODE_DEFAULT)]
    nodes: Vec<String>,
    /// The session; without it, and without a key, that of a demo.
    #[arg(long, value_name = "ID", requires = "key")]
    session: Option<u32>,
    /// File with the private key of the session's actor, as `sicil key` makes it.
    #[arg(long, value_name = "FILE", requires = "session")]
    key: Option<PathBuf>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Miss nothing that was acknowledged anywhere before: a quorum has to answer.
    #[arg(long)]
    linearizable: bool,
    /// Wait until this seq is applied.
    #[arg(long, value_name = "SEQ")]
    min_seq: Option<u64>,
    /// How long an answer is waited for.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout_s: u64,
}

impl Access {
    pub(crate) fn client(&self) -> Result<Client, NodeFault> {
        let credentials = match (self.session, &self.key) {
            (Some(session), Some(path)) => {
                Credentials { session: SessionId(session), key: skip::read_key(path)? }
            }
            _ => Credentials::demo(),
        };
        let options = Options::new(self.nodes.clone(), credentials);
        Ok(Client::connect(Options { patience_ms: self.timeout_s.saturating_mul(1_000), ..options })?)
    }

    pub(crate) fn freshness(&self) -> Freshness {
        Freshness { min_seq: Seq(self.min_seq.unwrap_or(0)), linearizable: self.linearizable }
    }

    pub(crate) fn show<L: Serialize>(&self, lines: &[L], head: &[&str]) -> Result<(), NodeFault> {
        let json = |line: &L| serde_json::to_value(line).map_err(|e| NodeFault::Internal(e.to_string()));
        let lines = lines.iter().map(json).collect::<Result<Vec<_>, _>>()?;
        let mut out = String::new();
        if self.json {
            lines.iter().for_each(|line| out += &format!("{line}\n"));
            return print(&out);
        }
        let cell = |line: &serde_json::Value, column: &str| {
            let value = &line[column];
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if text.is_empty() || value.is_null() { "-".to_owned() } else { text }
        };
        let rows: Vec<Vec<String>> =
            lines.iter().map(|line| head.iter().map(|column| cell(line, column)).collect()).collect();
        print(&table(head, &rows))
    }
}

/// Columns as wide as their widest cell, numbers to the right.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::len);
        cells.chain([head.get(column).map_or(0, |name| name.len())]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, &width)| {
            let is_number = cell.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let text = padded.collect::<Vec<_>>().join("  ");
        out += text.trim_end();
        out.push('\n');
    };
    line(&mut head.iter().copied());
    rows.iter().for_each(|row| line(&mut row.iter().map(String::as_str)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_it_has_to_be() {
        let rows = [["7", "open"], ["1234567890", "x"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&["id", "state"], &rows), "id          state\n         7  open\n1234567890  x\n");
        assert_eq!(table(&["id", "state"], &[]), "id  state\n");
    }
}
