//! The configuration of one node: one TOML file, every key with a default, an unknown key an error with its place.
//!
//! Only what differs from host to host stands here. What the cluster trades, who may, and at which fees is commanded
//! through `sicil apply` and lives in the journal.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use journal::WriterKind;
use replicas::SnapshotPolicy;
use serde::Deserialize;
use toml::Spanned;

use crate::text_file::{FileFault, Place, read_text, wrong_toml};

/// Where FIX clients connect unless the file says otherwise.
const FIX_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9880);
/// Where health and metrics are served unless the file says otherwise.
const HTTP_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9882);
const NODE_ID_DEFAULT: u64 = 1;
const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
const SEGMENT_BYTES_MIN: u64 = 1 << 20;
const SEGMENT_BYTES_MAX: u64 = 4 << 30;
/// A segment consists of whole blocks.
const BLOCK_BYTES: u64 = protocol::limits::BLOCK_ALIGN as u64;
const CONNECTIONS_DEFAULT: u64 = 1_024;
const CONNECTIONS_MAX: u64 = 4_096;
/// Longest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File,
}

/// A value and its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    /// In effect.
    pub(crate) value: T,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// Everything that can be configured, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// `None`: not said, so an empty folder decides by whether there is a file at all.
    pub(crate) demo: Option<bool>,
    /// Whether there is a file.
    pub(crate) from_file: bool,
    /// `node.id`
    pub(crate) node_id: Setting<u64>,
    /// `listen.fix`
    pub(crate) listen_fix: Setting<SocketAddr>,
    /// `listen.http`
    pub(crate) listen_http: Setting<SocketAddr>,
    /// `journal.writer`
    pub(crate) writer: Setting<WriterKind>,
    /// `journal.segment_bytes`
    pub(crate) segment_bytes: Setting<u64>,
    /// `snapshots.journal_bytes`
    pub(crate) snapshot_journal_bytes: Setting<u64>,
    /// `snapshots.interval_ms`
    pub(crate) snapshot_interval_ms: Setting<u64>,
    /// `fix.connections_max`
    pub(crate) connections_max: Setting<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    demo: Option<bool>,
    #[serde(default)]
    node: NodeTable,
    #[serde(default)]
    listen: ListenTable,
    #[serde(default)]
    journal: JournalTable,
    #[serde(default)]
    snapshots: SnapshotsTable,
    #[serde(default)]
    fix: FixTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeTable {
    id: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenTable {
    fix: Option<Spanned<String>>,
    http: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct JournalTable {
    writer: Option<Spanned<String>>,
    segment_bytes: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotsTable {
    journal_bytes: Option<Spanned<u64>>,
    interval_ms: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FixTable {
    connections_max: Option<Spanned<u64>>,
}

/// A value in the file that cannot be, and where.
struct WrongValue {
    offset: usize,
    reason: String,
}

impl Config {
    /// Without a file.
    pub(crate) fn defaults() -> Self {
        Self {
            demo: None,
            from_file: false,
            node_id: default(NODE_ID_DEFAULT),
            listen_fix: default(FIX_DEFAULT),
            listen_http: default(HTTP_DEFAULT),
            writer: default(WriterKind::Direct),
            segment_bytes: default(SEGMENT_BYTES_DEFAULT),
            snapshot_journal_bytes: default(SnapshotPolicy::default().journal_bytes),
            snapshot_interval_ms: default(SnapshotPolicy::default().interval_ms),
            connections_max: default(CONNECTIONS_DEFAULT),
        }
    }

    /// Reads `path`, or takes the defaults where there is none.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, FileFault> {
        let Some(path) = path else { return Ok(Self::defaults()) };
        Self::parse(path, &read_text(path, FILE_BYTES_MAX)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, FileFault> {
        let file: File = toml::from_str(text).map_err(|error| wrong_toml(path, text, &error))?;
        Self::from_table(file).map_err(|wrong| FileFault::Wrong {
            path: path.to_owned(),
            place: Place::of(text, wrong.offset),
            reason: wrong.reason,
        })
    }

    fn from_table(file: File) -> Result<Self, WrongValue> {
        let config = Self {
            demo: file.demo,
            from_file: true,
            node_id: number(file.node.id, NODE_ID_DEFAULT, 1, u64::MAX)?,
            listen_fix: address(file.listen.fix.as_ref(), FIX_DEFAULT)?,
            listen_http: address(file.listen.http.as_ref(), HTTP_DEFAULT)?,
            writer: writer(file.journal.writer.as_ref())?,
            segment_bytes: segment_bytes(file.journal.segment_bytes)?,
            snapshot_journal_bytes: number(
                file.snapshots.journal_bytes,
                SnapshotPolicy::default().journal_bytes,
                1 << 20,
                1 << 40,
            )?,
            snapshot_interval_ms: number(
                file.snapshots.interval_ms,
                SnapshotPolicy::default().interval_ms,
                100,
                7 * 86_400_000,
            )?,
            connections_max: number(file.fix.connections_max, CONNECTIONS_DEFAULT, 1, CONNECTIONS_MAX)?,
        };
        if config.demo == Some(true)
            && let Some((key, address)) = config.public_listener()
        {
            let spanned = if key == "listen.fix" { &file.listen.fix } else { &file.listen.http };
            let offset = spanned.as_ref().map_or(0, |s| s.span().start);
            return Err(WrongValue {
                offset,
                reason: format!("{key} = {address}: a demo binds loopback only"),
            });
        }
        Ok(config)
    }

    /// The first listener that other hosts can reach.
    pub(crate) fn public_listener(&self) -> Option<(&'static str, SocketAddr)> {
        [("listen.fix", self.listen_fix.value), ("listen.http", self.listen_http.value)]
            .into_iter()
            .find(|(_, address)| !address.ip().is_loopback())
    }
}

/// The effective configuration as a TOML file, each value with its origin.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = |origin: Origin| match origin {
            Origin::Default => "default",
            Origin::File => "file",
        };
        match self.demo {
            Some(demo) => writeln!(f, "demo = {demo}  # file")?,
            None => writeln!(f, "demo = false  # default")?,
        }
        writeln!(f, "\n[node]\nid = {}  # {}", self.node_id.value, origin(self.node_id.origin))?;
        let (fix, http) = (self.listen_fix, self.listen_http);
        writeln!(f, "\n[listen]\nfix = \"{}\"  # {}", fix.value, origin(fix.origin))?;
        writeln!(f, "http = \"{}\"  # {}", http.value, origin(http.origin))?;
        let (writer, segment) = (self.writer, self.segment_bytes);
        writeln!(f, "\n[journal]\nwriter = \"{}\"  # {}", writer.value, origin(writer.origin))?;
        writeln!(f, "segment_bytes = {}  # {}", segment.value, origin(segment.origin))?;
        let (bytes, interval) = (self.snapshot_journal_bytes, self.snapshot_interval_ms);
        writeln!(f, "\n[snapshots]\njournal_bytes = {}  # {}", bytes.value, origin(bytes.origin))?;
        writeln!(f, "interval_ms = {}  # {}", interval.value, origin(interval.origin))?;
        let connections = self.connections_max;
        writeln!(f, "\n[fix]\nconnections_max = {}  # {}", connections.value, origin(connections.origin))
    }
}

fn default<T>(value: T) -> Setting<T> {
    Setting { value, origin: Origin::Default }
}

fn number(
    found: Option<Spanned<u64>>,
    otherwise: u64,
    min: u64,
    max: u64,
) -> Result<Setting<u64>, WrongValue> {
    let Some(found) = found else { return Ok(default(otherwise)) };
    let value = *found.get_ref();
    if (min..=max).contains(&value) {
        return Ok(Setting { value, origin: Origin::File });
    }
    Err(WrongValue { offset: found.span().start, reason: format!("{value} is outside {min} to {max}") })
}

fn segment_bytes(found: Option<Spanned<u64>>) -> Result<Setting<u64>, WrongValue> {
    let offset = found.as_ref().map_or(0, |found| found.span().start);
    let setting = number(found, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)?;
    if setting.value.is_multiple_of(BLOCK_BYTES) {
        return Ok(setting);
    }
    Err(WrongValue { offset, reason: format!("{} is not a multiple of {BLOCK_BYTES}", setting.value) })
}

fn address(
    found: Option<&Spanned<String>>,
    otherwise: SocketAddr,
) -> Result<Setting<SocketAddr>, WrongValue> {
    let Some(found) = found else { return Ok(default(otherwise)) };
    let text = found.get_ref();
    let value = text.parse().map_err(|_| WrongValue {
        offset: found.span().start,
        reason: format!("{text:?} is not an address such as \"127.0.0.1:9880\" (port 0: any free one)"),
    })?;
    Ok(Setting { value, origin: Origin::File })
}

fn writer(found: Option<&Spanned<String>>) -> Result<Setting<WriterKind>, WrongValue> {
    let Some(found) = found else { return Ok(default(WriterKind::Direct)) };
    let known = [WriterKind::Direct, WriterKind::Mapped, WriterKind::Plain];
    let value = known.into_iter().find(|w| w.to_string() == *found.get_ref()).ok_or_else(|| WrongValue {
        offset: found.span().start,
        reason: format!("{:?} is not one of \"direct\", \"mapped\", \"plain\"", found.get_ref()),
    })?;
    Ok(Setting { value, origin: Origin::File })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("n.toml"), text).map_err(|fault| fault.to_string())
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let config = parse("").unwrap();
        assert_eq!(config, Config { from_file: true, ..Config::defaults() });
    }

    #[test]
    fn the_effective_configuration_is_itself_a_configuration() {
        let text =
            "[listen]\nfix = \"127.0.0.1:0\"\n[journal]\nwriter = \"plain\"\nsegment_bytes = 4194304\n";
        let config = parse(text).unwrap();
        assert_eq!(config.listen_fix.origin, Origin::File);
        assert_eq!(config.listen_http, Config::defaults().listen_http);
        let shown = config.to_string();
        assert!(shown.contains("writer = \"plain\"  # file"), "{shown}");
        assert!(shown.contains("connections_max = 1024  # default"), "{shown}");
        let again = parse(&shown).unwrap();
        assert_eq!(again.listen_fix.value, config.listen_fix.value);
        assert_eq!(again.segment_bytes.value, config.segment_bytes.value);
    }

    #[test]
    fn a_fault_names_its_line_and_column() {
        for (text, place, reason) in [
            ("[listen]\nfix = \"127.0.0.1:0\"\nbinary = \"127.0.0.1:0\"\n", "n.toml:3:1:", "unknown field"),
            ("[listen]\nhttp = \"localhost\"\n", "n.toml:2:8:", "is not an address"),
            ("[journal]\nwriter = \"async\"", "n.toml:2:10:", "is not one of"),
            ("\n[journal]\nsegment_bytes = 5", "n.toml:3:17:", "outside"),
            ("demo = 1", "n.toml:1:8:", "invalid type"),
            ("demo = true\n[listen]\nhttp = \"0.0.0.0:1\"", "n.toml:3:8:", "loopback only"),
            ("demo = ", "n.toml:1:", ""),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with(place) && said.contains(reason), "{text:?}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}
