//! The configuration of one node: one TOML file, every key with a default, an unknown key an error with its place.
//!
//! Only what differs from host to host stands here. What the cluster trades, who may, and at which fees is commanded
//! through `sicil apply` and lives in the journal.

pub(crate) mod gateway;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use journal::founders::FOUNDERS_MAX;
use journal::{Founders, WriterKind};
use protocol::{ClusterId, NodeId};
use replicas::{SnapshotPolicy, Timing};
use serde::Deserialize;
use toml::Spanned;

use crate::peers::identity::read_cluster;
use crate::peers::{PeerAddress, PeerTiming};
use crate::text_file::{FileFault, Place, read_text, wrong_toml};

/// Where FIX clients connect unless the file says otherwise.
const FIX_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9880);
/// Where clients of the ledger connect where there is no file.
const BINARY_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9881);
/// Where readers of market data connect where there is no file.
const MARKET_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9883);
/// Where they connect with WebSockets where there is no file.
const WEBSOCKET_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9885);
/// Where health and metrics are served unless the file says otherwise.
const HTTP_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9882);
const NODE_ID_DEFAULT: u64 = 1;
const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
/// Half of the last segment takes a large block when there is no other, and the second half what refuses more.
const SEGMENT_BYTES_MIN: u64 = 4 << 20;
const SEGMENT_BYTES_MAX: u64 = 4 << 30;
/// A segment consists of whole blocks.
const BLOCK_BYTES: u64 = protocol::limits::BLOCK_ALIGN as u64;
const HISTORY_CACHE_BYTES_DEFAULT: u64 = 64 << 20;
const CONNECTIONS_DEFAULT: u64 = 1_024;
const CONNECTIONS_MAX: u64 = 4_096;
const MARKET_CONNECTIONS_DEFAULT: u64 = 256;
/// Other nodes of a cluster.
const PEERS_MAX: usize = 16;
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

/// `tls`: the files that a node proves itself with, and the authority that it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// `tls.ca`
    pub(crate) authority: PathBuf,
    /// `tls.certificate`
    pub(crate) certificate: PathBuf,
    /// `tls.key`
    pub(crate) key: PathBuf,
}

/// `timing.profile`: how soon silence counts as loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Hosts of their own on one network.
    Lan,
    /// Several nodes that share two cores.
    Ci,
}

impl Profile {
    const ALL: [Self; 2] = [Self::Lan, Self::Ci];

    const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Ci => "ci",
        }
    }

    /// Of elections.
    pub(crate) const fn raft(self) -> Timing {
        match self {
            Self::Lan => Timing::LAN,
            Self::Ci => Timing::CI,
        }
    }

    /// Of the connections between nodes.
    pub(crate) const fn peers(self) -> PeerTiming {
        match self {
            Self::Lan => PeerTiming::LAN,
            Self::Ci => PeerTiming::CI,
        }
    }
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
    /// `listen.binary`
    pub(crate) listen_binary: Setting<Option<SocketAddr>>,
    /// `listen.http`
    pub(crate) listen_http: Setting<SocketAddr>,
    /// `listen.market`
    pub(crate) listen_market: Setting<Option<SocketAddr>>,
    /// `listen.websocket`
    pub(crate) listen_websocket: Setting<Option<SocketAddr>>,
    /// `journal.writer`
    pub(crate) writer: Setting<WriterKind>,
    /// `journal.segment_bytes`
    pub(crate) segment_bytes: Setting<u64>,
    /// `snapshots.journal_bytes`
    pub(crate) snapshot_journal_bytes: Setting<u64>,
    /// `snapshots.interval_ms`
    pub(crate) snapshot_interval_ms: Setting<u64>,
    /// `history.cache_bytes`
    pub(crate) history_cache_bytes: Setting<u64>,
    /// `fix.connections_max`
    pub(crate) connections_max: Setting<u64>,
    /// `binary.connections_max`
    pub(crate) binary_connections_max: Setting<u64>,
    /// `market_data.connections_max`: of both doors together.
    pub(crate) market_connections_max: Setting<u64>,
    /// `fix.relay`: clients of a follower are served through it.
    pub(crate) relay: Setting<bool>,
    /// `cluster.id`: of the cluster that a new folder becomes a part of, and that certificates have to name.
    pub(crate) cluster: Option<ClusterId>,
    /// `cluster.founders`: with whom the cluster began, in rank order: the first is the likeliest leader. Membership since
    /// is in the log, which begins with these: the list never changes.
    pub(crate) founders: Option<Founders>,
    /// `listen.peers`
    pub(crate) listen_peers: Option<SocketAddr>,
    /// `peer`: the other nodes, in order of id.
    pub(crate) peers: Vec<PeerAddress>,
    /// `tls`
    pub(crate) tls: Option<TlsFiles>,
    /// `timing.profile`
    pub(crate) profile: Setting<Profile>,
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
    history: HistoryTable,
    #[serde(default)]
    fix: FixTable,
    #[serde(default)]
    binary: BinaryTable,
    #[serde(default)]
    market_data: MarketDataTable,
    #[serde(default)]
    cluster: ClusterTable,
    #[serde(default)]
    peer: Vec<Spanned<PeerTable>>,
    tls: Option<Spanned<TlsTable>>,
    #[serde(default)]
    timing: TimingTable,
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
    binary: Option<Spanned<String>>,
    http: Option<Spanned<String>>,
    market: Option<Spanned<String>>,
    websocket: Option<Spanned<String>>,
    peers: Option<Spanned<String>>,
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
struct HistoryTable {
    cache_bytes: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FixTable {
    connections_max: Option<Spanned<u64>>,
    relay: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BinaryTable {
    connections_max: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarketDataTable {
    connections_max: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterTable {
    id: Option<Spanned<String>>,
    founders: Option<Spanned<Vec<u64>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerTable {
    id: Spanned<u64>,
    address: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimingTable {
    profile: Option<Spanned<String>>,
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
            listen_binary: default(Some(BINARY_DEFAULT)),
            listen_http: default(HTTP_DEFAULT),
            listen_market: default(Some(MARKET_DEFAULT)),
            listen_websocket: default(Some(WEBSOCKET_DEFAULT)),
            writer: default(WriterKind::Direct),
            segment_bytes: default(SEGMENT_BYTES_DEFAULT),
            snapshot_journal_bytes: default(SnapshotPolicy::default().journal_bytes),
            snapshot_interval_ms: default(SnapshotPolicy::default().interval_ms),
            history_cache_bytes: default(HISTORY_CACHE_BYTES_DEFAULT),
            connections_max: default(CONNECTIONS_DEFAULT),
            binary_connections_max: default(CONNECTIONS_DEFAULT),
            market_connections_max: default(MARKET_CONNECTIONS_DEFAULT),
            relay: default(true),
            cluster: None,
            founders: None,
            listen_peers: None,
            peers: Vec::new(),
            tls: None,
            profile: default(Profile::Lan),
        }
    }

    /// Reads `path`, or takes the defaults where there is none.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, FileFault> {
        let Some(path) = path else { return Ok(Self::defaults()) };
        Self::parse(path, &read_text(path, FILE_BYTES_MAX)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, FileFault> {
        let file: File = toml::from_str(text).map_err(|error| wrong_toml(path, text, &error))?;
        let dir = path.parent().unwrap_or(Path::new(""));
        Self::from_table(file, dir).map_err(|wrong| FileFault::Wrong {
            path: path.to_owned(),
            place: Place::of(text, wrong.offset),
            reason: wrong.reason,
        })
    }

    /// Paths in the file are relative to `dir`.
    fn from_table(file: File, dir: &Path) -> Result<Self, WrongValue> {
        let node_id = number(file.node.id.as_ref(), NODE_ID_DEFAULT, 1, u64::MAX)?;
        let listen_peers = file.listen.peers.as_ref().map(socket_address).transpose()?;
        let config = Self {
            demo: file.demo,
            from_file: true,
            node_id,
            listen_fix: address(file.listen.fix.as_ref(), FIX_DEFAULT)?,
            listen_binary: door(file.listen.binary.as_ref())?,
            listen_http: address(file.listen.http.as_ref(), HTTP_DEFAULT)?,
            listen_market: door(file.listen.market.as_ref())?,
            listen_websocket: door(file.listen.websocket.as_ref())?,
            writer: writer(file.journal.writer.as_ref())?,
            segment_bytes: segment_bytes(file.journal.segment_bytes.as_ref())?,
            snapshot_journal_bytes: number(
                file.snapshots.journal_bytes.as_ref(),
                SnapshotPolicy::default().journal_bytes,
                1 << 20,
                1 << 40,
            )?,
            snapshot_interval_ms: number(
                file.snapshots.interval_ms.as_ref(),
                SnapshotPolicy::default().interval_ms,
                100,
                7 * 86_400_000,
            )?,
            history_cache_bytes: history_cache_bytes(&file.history)?,
            connections_max: number(
                file.fix.connections_max.as_ref(),
                CONNECTIONS_DEFAULT,
                1,
                CONNECTIONS_MAX,
            )?,
            binary_connections_max: number(
                file.binary.connections_max.as_ref(),
                CONNECTIONS_DEFAULT,
                1,
                CONNECTIONS_MAX,
            )?,
            market_connections_max: market_connections_max(&file.market_data)?,
            relay: file.fix.relay.map_or(default(true), |value| Setting { value, origin: Origin::File }),
            cluster: file.cluster.id.as_ref().map(cluster).transpose()?,
            founders: file.cluster.founders.as_ref().map(founders).transpose()?,
            listen_peers,
            peers: peers(&file.peer, node_id.value, listen_peers)?,
            tls: file.tls.as_ref().map(|tls| tls_files(tls.get_ref(), dir)),
            profile: profile(file.timing.profile.as_ref())?,
        };
        config.refuse_half_a_cluster(&file)?;
        if config.demo == Some(true)
            && let Some((key, address)) = config.public_listener()
        {
            let spanned = match key {
                "listen.fix" => &file.listen.fix,
                "listen.binary" => &file.listen.binary,
                "listen.http" => &file.listen.http,
                "listen.market" => &file.listen.market,
                "listen.websocket" => &file.listen.websocket,
                _ => &file.listen.peers,
            };
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
        [
            ("listen.fix", Some(self.listen_fix.value)),
            ("listen.binary", self.listen_binary.value),
            ("listen.http", Some(self.listen_http.value)),
            ("listen.market", self.listen_market.value),
            ("listen.websocket", self.listen_websocket.value),
            ("listen.peers", self.listen_peers),
        ]
        .into_iter()
        .filter_map(|(key, address)| Some((key, address?)))
        .find(|(_, address)| !address.ip().is_loopback())
    }

    /// Whether there are other nodes to talk to.
    pub(crate) const fn is_clustered(&self) -> bool {
        self.listen_peers.is_some()
    }

    /// With whom the cluster began: this node alone, where nothing is said of others.
    pub(crate) fn founders(&self) -> Founders {
        self.founders.unwrap_or(Founders::alone(NodeId(self.node_id.value)))
    }

    /// A node that talks to others needs all of it: who the others are to know, where to listen, and certificates.
    fn refuse_half_a_cluster(&self, file: &File) -> Result<(), WrongValue> {
        let peers_at = file.peer.first().map(|peer| ("[[peer]]", peer.span().start));
        let listen_at = file.listen.peers.as_ref().map(|listen| ("listen.peers", listen.span().start));
        let tls_at = file.tls.as_ref().map(|tls| ("[tls]", tls.span().start));
        // A node that is founded with others and cannot reach them would make a cluster of its own.
        let others = self.founders() != Founders::alone(NodeId(self.node_id.value));
        let founders = file.cluster.founders.as_ref().filter(|_| others);
        let founders_at = founders.map(|founders| ("[cluster] founders", founders.span().start));
        let present = peers_at.or(listen_at).or(tls_at).or(founders_at);
        let Some((present, offset)) = present else { return Ok(()) };
        let missing = [
            (self.cluster.is_none(), "[cluster] id"),
            (self.founders.is_none(), "[cluster] founders"),
            (self.listen_peers.is_none(), "listen.peers"),
            (self.tls.is_none(), "[tls]"),
        ];
        match missing.into_iter().find(|(is_missing, _)| *is_missing) {
            None => Ok(()),
            Some((_, needed)) => {
                Err(WrongValue { offset, reason: format!("{present} without {needed}: nodes need both") })
            }
        }
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
        if let Setting { value: Some(binary), origin: from } = self.listen_binary {
            writeln!(f, "binary = \"{binary}\"  # {}", origin(from))?;
        }
        writeln!(f, "http = \"{}\"  # {}", http.value, origin(http.origin))?;
        for (name, door) in [("market", self.listen_market), ("websocket", self.listen_websocket)] {
            if let Setting { value: Some(address), origin: from } = door {
                writeln!(f, "{name} = \"{address}\"  # {}", origin(from))?;
            }
        }
        if let Some(peers) = self.listen_peers {
            writeln!(f, "peers = \"{peers}\"  # file")?;
        }
        let (writer, segment) = (self.writer, self.segment_bytes);
        writeln!(f, "\n[journal]\nwriter = \"{}\"  # {}", writer.value, origin(writer.origin))?;
        writeln!(f, "segment_bytes = {}  # {}", segment.value, origin(segment.origin))?;
        let (bytes, interval) = (self.snapshot_journal_bytes, self.snapshot_interval_ms);
        writeln!(f, "\n[snapshots]\njournal_bytes = {}  # {}", bytes.value, origin(bytes.origin))?;
        writeln!(f, "interval_ms = {}  # {}", interval.value, origin(interval.origin))?;
        let cache = self.history_cache_bytes;
        writeln!(f, "\n[history]\ncache_bytes = {}  # {}", cache.value, origin(cache.origin))?;
        let connections = self.connections_max;
        writeln!(f, "\n[fix]\nconnections_max = {}  # {}", connections.value, origin(connections.origin))?;
        writeln!(f, "relay = {}  # {}", self.relay.value, origin(self.relay.origin))?;
        let connections = self.binary_connections_max;
        writeln!(f, "\n[binary]\nconnections_max = {}  # {}", connections.value, origin(connections.origin))?;
        let connections = self.market_connections_max;
        writeln!(
            f,
            "\n[market_data]\nconnections_max = {}  # {}",
            connections.value,
            origin(connections.origin)
        )?;
        let profile = self.profile;
        writeln!(f, "\n[timing]\nprofile = \"{}\"  # {}", profile.value.name(), origin(profile.origin))?;
        if let Some(cluster) = self.cluster {
            writeln!(f, "\n[cluster]\nid = \"{:032x}\"  # file", cluster.0)?;
            if let Some(founders) = self.founders {
                writeln!(f, "founders = {founders}  # file")?;
            }
        }
        if let Some(TlsFiles { authority, certificate, key }) = &self.tls {
            // Quoted as TOML quotes; a path that is not UTF-8 cannot have come from the file.
            writeln!(f, "\n[tls]\nca = {:?}  # file", authority.display().to_string())?;
            writeln!(f, "certificate = {:?}  # file", certificate.display().to_string())?;
            writeln!(f, "key = {:?}  # file", key.display().to_string())?;
        }
        for PeerAddress { id, address } in &self.peers {
            writeln!(f, "\n[[peer]]\nid = {id}  # file\naddress = \"{address}\"  # file")?;
        }
        Ok(())
    }
}

fn default<T>(value: T) -> Setting<T> {
    Setting { value, origin: Origin::Default }
}

fn number(
    found: Option<&Spanned<u64>>,
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

fn market_connections_max(table: &MarketDataTable) -> Result<Setting<u64>, WrongValue> {
    number(table.connections_max.as_ref(), MARKET_CONNECTIONS_DEFAULT, 1, CONNECTIONS_MAX)
}

fn history_cache_bytes(table: &HistoryTable) -> Result<Setting<u64>, WrongValue> {
    number(table.cache_bytes.as_ref(), HISTORY_CACHE_BYTES_DEFAULT, 1 << 20, 1 << 40)
}

fn segment_bytes(found: Option<&Spanned<u64>>) -> Result<Setting<u64>, WrongValue> {
    let offset = found.map_or(0, |found| found.span().start);
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
    Ok(Setting { value: socket_address(found)?, origin: Origin::File })
}

fn door(found: Option<&Spanned<String>>) -> Result<Setting<Option<SocketAddr>>, WrongValue> {
    // Who writes a file says which doors are open.
    let Some(found) = found else { return Ok(default(None)) };
    Ok(Setting { value: Some(socket_address(found)?), origin: Origin::File })
}

fn socket_address(found: &Spanned<String>) -> Result<SocketAddr, WrongValue> {
    let text = found.get_ref();
    text.parse().map_err(|_| WrongValue {
        offset: found.span().start,
        reason: format!("{text:?} is not an address such as \"127.0.0.1:9880\" (port 0: any free one)"),
    })
}

fn cluster(found: &Spanned<String>) -> Result<ClusterId, WrongValue> {
    read_cluster(found.get_ref()).filter(|cluster| cluster.0 != 0).ok_or_else(|| WrongValue {
        offset: found.span().start,
        reason: format!("{:?} is not 32 hexadecimal digits in lower case", found.get_ref()),
    })
}

fn founders(found: &Spanned<Vec<u64>>) -> Result<Founders, WrongValue> {
    let ids: Vec<NodeId> = found.get_ref().iter().copied().map(NodeId).collect();
    Founders::new(&ids).ok_or_else(|| WrongValue {
        offset: found.span().start,
        reason: format!("1 to {FOUNDERS_MAX} different node ids are expected"),
    })
}

/// The others, in order of id. This node may stand among them, so that one list serves all files.
fn peers(
    found: &[Spanned<PeerTable>],
    own: u64,
    listens_on: Option<SocketAddr>,
) -> Result<Vec<PeerAddress>, WrongValue> {
    let mut peers: Vec<PeerAddress> = Vec::new();
    let mut ids = Vec::new();
    for table in found {
        let PeerTable { id, address } = table.get_ref();
        let (host, port) = host_and_port(address)?;
        let wrong = |reason: String| WrongValue { offset: id.span().start, reason };
        let (offset, id) = (id.span().start, *id.get_ref());
        if id == 0 {
            return Err(wrong(format!("0 is outside 1 to {}", u64::MAX)));
        }
        if ids.contains(&id) {
            return Err(wrong(format!("peer {id} stands twice")));
        }
        if ids.len() == PEERS_MAX {
            return Err(WrongValue { offset, reason: format!("more than {PEERS_MAX} peers") });
        }
        ids.push(id);
        if id != own {
            peers.push(PeerAddress { id: NodeId(id), address: address.get_ref().clone() });
        } else if let Some(listens_on) = listens_on
            && !is_reached_by(listens_on, host, port)
        {
            let reason = format!("{id} is this node, which listens on {listens_on} and not there");
            return Err(WrongValue { offset: address.span().start, reason });
        }
    }
    peers.sort_unstable_by_key(|peer| peer.id);
    Ok(peers)
}

/// `host:port`; the host is resolved when it is called.
fn host_and_port(found: &Spanned<String>) -> Result<(&str, u16), WrongValue> {
    let text = found.get_ref();
    let is_name = |host: &str| {
        (1..=253).contains(&host.len())
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    let is_v6 = |host: &str| host.starts_with('[') && text.parse::<SocketAddr>().is_ok();
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    parts.filter(|(host, port)| *port != 0 && (is_name(host) || is_v6(host))).ok_or_else(|| WrongValue {
        offset: found.span().start,
        reason: format!("{text:?} is not host and port, such as \"10.0.0.2:9884\""),
    })
}

/// Whether who calls `host:port` may reach the listener, as far as that shows without asking for names.
fn is_reached_by(listens_on: SocketAddr, host: &str, port: u16) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_same_host = ip.map_or(true, |ip| ip == listens_on.ip() || listens_on.ip().is_unspecified());
    listens_on.port() == port && is_same_host
}

fn tls_files(tls: &TlsTable, dir: &Path) -> TlsFiles {
    TlsFiles {
        authority: dir.join(&tls.ca),
        certificate: dir.join(&tls.certificate),
        key: dir.join(&tls.key),
    }
}

fn profile(found: Option<&Spanned<String>>) -> Result<Setting<Profile>, WrongValue> {
    let Some(found) = found else { return Ok(default(Profile::Lan)) };
    let value = Profile::ALL.into_iter().find(|profile| profile.name() == found.get_ref());
    let value = value.ok_or_else(|| WrongValue {
        offset: found.span().start,
        reason: format!("{:?} is not one of \"lan\", \"ci\"", found.get_ref()),
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
    fn an_empty_file_is_the_defaults_without_doors_that_are_not_named() {
        let config = parse("").unwrap();
        let shut = default(None);
        let doors = Config {
            from_file: true,
            listen_binary: shut,
            listen_market: shut,
            listen_websocket: shut,
            ..Config::defaults()
        };
        assert_eq!(config, doors);
        let open = parse("[listen]\nbinary = \"127.0.0.1:7\"").unwrap().listen_binary;
        assert_eq!(open, Setting { value: Some("127.0.0.1:7".parse().unwrap()), origin: Origin::File });
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
            ("[listen]\nfix = \"127.0.0.1:0\"\nbinry = \"127.0.0.1:0\"\n", "n.toml:3:1:", "unknown field"),
            ("[listen]\nbinary = \"localhost\"\n", "n.toml:2:10:", "is not an address"),
            ("demo = true\n[listen]\nbinary = \"0.0.0.0:1\"", "n.toml:3:10:", "loopback only"),
            ("[binary]\nconnections_max = 0", "n.toml:2:19:", "outside"),
            ("[market_data]\nconnections_max = 4097", "n.toml:2:19:", "outside"),
            ("[listen]\nmarket = \"9883\"", "n.toml:2:10:", "is not an address"),
            ("demo = true\n[listen]\nwebsocket = \"0.0.0.0:1\"", "n.toml:3:13:", "loopback only"),
            ("[listen]\nhttp = \"localhost\"\n", "n.toml:2:8:", "is not an address"),
            ("[journal]\nwriter = \"async\"", "n.toml:2:10:", "is not one of"),
            ("\n[journal]\nsegment_bytes = 5", "n.toml:3:17:", "outside"),
            ("demo = 1", "n.toml:1:8:", "invalid type"),
            ("demo = true\n[listen]\nhttp = \"0.0.0.0:1\"", "n.toml:3:8:", "loopback only"),
            ("demo = ", "n.toml:1:", ""),
            ("[cluster]\nid = \"12\"", "n.toml:2:6:", "32 hexadecimal digits"),
            ("[timing]\nprofile = \"wan\"", "n.toml:2:11:", "is not one of \"lan\", \"ci\""),
            ("[tls]\nca = \"a\"\nkey = \"b\"", "n.toml:1:1:", "missing field `certificate`"),
            ("[[peer]]\nid = 2\naddress = \"h:1\"", "n.toml:1:1:", "[[peer]] without [cluster] id"),
            ("[listen]\npeers = \"127.0.0.1:1\"", "n.toml:2:9:", "listen.peers without [cluster] id"),
            ("[cluster]\nfounders = [1, 2]", "n.toml:2:12:", "founders without [cluster] id"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with(place) && said.contains(reason), "{text:?}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }

    /// The first of three nodes.
    const CLUSTER: &str = r#"[cluster]
id = "000000000000000000000000000000ab"
founders = [2, 1, 3]
[listen]
peers = "127.0.0.1:9884"
[tls]
ca = "ca.pem"
certificate = "node1.pem"
key = "/keys/node1.key"
[timing]
profile = "ci"
[[peer]]
id = 3
address = "node-3.example:9884"
[[peer]]
id = 1
address = "127.0.0.1:9884"
[[peer]]
id = 2
address = "[::1]:9885"
"#;

    #[test]
    fn a_cluster_is_read_and_shown() {
        let parse_in = |dir: &str, text: &str| Config::parse(&Path::new(dir).join("n.toml"), text);
        let config = parse_in("/etc/sicil", CLUSTER).unwrap();
        assert_eq!(config.cluster, Some(ClusterId(0xab)));
        assert_eq!(config.founders().nodes(), [NodeId(2), NodeId(1), NodeId(3)]);
        assert_eq!(config.profile.value.peers(), PeerTiming::CI);
        let peers: Vec<_> = config.peers.iter().map(|peer| (peer.id.0, peer.address.as_str())).collect();
        assert_eq!(peers, [(2, "[::1]:9885"), (3, "node-3.example:9884")]);
        let tls = config.tls.as_ref().unwrap();
        assert_eq!(tls.certificate, Path::new("/etc/sicil/node1.pem"));
        assert_eq!(tls.key, Path::new("/keys/node1.key"));
        let again = parse_in("/elsewhere", &config.to_string()).unwrap();
        assert_eq!((&again.peers, &again.tls, again.cluster), (&config.peers, &config.tls, config.cluster));
        assert_eq!(Config::defaults().founders().nodes(), [NodeId(1)]);
        assert_eq!(Config::defaults().profile.value.peers(), PeerTiming::LAN);
    }

    #[test]
    fn a_fault_in_a_cluster_names_its_line_and_column() {
        for (from, to, place, reason) in [
            ("id = \"000000000000000000000000000000ab\"", "", "n.toml:12:1:", "without [cluster] id"),
            ("founders = [2, 1, 3]", "", "n.toml:12:1:", "without [cluster] founders"),
            ("founders = [2, 1, 3]", "founders = [2, 2]", "n.toml:3:12:", "different node ids"),
            ("peers = \"127.0.0.1:9884\"", "", "n.toml:12:1:", "without listen.peers"),
            ("000000ab", "000000AB", "n.toml:2:6:", "lower case"),
            ("000000ab", "00000000", "n.toml:2:6:", "hexadecimal"),
            ("id = 2", "id = 3", "n.toml:19:6:", "peer 3 stands twice"),
            ("id = 2", "id = 0", "n.toml:19:6:", "outside"),
            ("id = 2", "id = 2\nname = 1", "n.toml:20:1:", "unknown field"),
            (
                "address = \"127.0.0.1:9884\"",
                "address = \"127.0.0.1:9885\"",
                "n.toml:17:11:",
                "1 is this node",
            ),
            (
                "address = \"127.0.0.1:9884\"",
                "address = \"10.0.0.1:9884\"",
                "n.toml:17:11:",
                "1 is this node",
            ),
            ("node-3.example:9884", "node-3.example", "n.toml:14:11:", "not host and port"),
            ("node-3.example:9884", "node-3.example:0", "n.toml:14:11:", "not host and port"),
            ("node-3.example:9884", "node 3:9884", "n.toml:14:11:", "not host and port"),
            ("[::1]:9885", "::1:9885", "n.toml:20:11:", "not host and port"),
            ("[cluster]", "demo = true\n[cluster]", "", ""),
        ] {
            assert!(CLUSTER.contains(from), "{from}");
            let text = CLUSTER.replacen(from, to, 1);
            match parse(&text) {
                Ok(_) => assert_eq!(place, "", "{to:?} is taken"),
                Err(said) => assert!(said.starts_with(place) && said.contains(reason), "{to:?}: {said}"),
            }
        }
        let (before, after) = (CLUSTER.find("[tls]").unwrap(), CLUSTER.find("[timing]").unwrap());
        let said = parse(&(CLUSTER[..before].to_owned() + &CLUSTER[after..])).unwrap_err();
        assert!(said.starts_with("n.toml:8:1:") && said.contains("without [tls]"), "{said}");
        let public = CLUSTER.replacen("peers = \"127.0.0.1:9884\"", "peers = \"0.0.0.0:9884\"", 1);
        assert!(parse(&public).is_ok());
        let said = parse(&("demo = true\n".to_owned() + &public)).unwrap_err();
        assert!(said.starts_with("n.toml:6:9:") && said.contains("loopback only"), "{said}");
    }
}
