//! The configuration of a gateway process: one TOML file with the words of a node's.

use std::net::SocketAddr;
use std::path::Path;

use protocol::limits::GATEWAYS_MAX;
use protocol::{ClusterId, GatewayId};
use serde::Deserialize;
use toml::Spanned;

use super::{
    CONNECTIONS_DEFAULT, CONNECTIONS_MAX, FILE_BYTES_MAX, FIX_DEFAULT, FixTable, PeerTable, Profile,
    TimingTable, TlsFiles, TlsTable, WrongValue, address, cluster, number, peers, profile, socket_address,
    tls_files,
};
use crate::peers::PeerAddress;
use crate::text_file::{FileFault, Place, read_text, wrong_toml};

/// Everything that a gateway process has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewayConfig {
    /// `gateway.id`, which its certificate has to name.
    pub(crate) id: GatewayId,
    /// `cluster.id`, which certificates have to name.
    pub(crate) cluster: ClusterId,
    /// `listen.fix`
    pub(crate) listen_fix: SocketAddr,
    /// `listen.http`; without it there is no such listener.
    pub(crate) listen_http: Option<SocketAddr>,
    /// `fix.connections_max`
    pub(crate) connections_max: u64,
    /// `peer`: the nodes of the cluster, in order of id.
    pub(crate) nodes: Vec<PeerAddress>,
    /// `tls`
    pub(crate) tls: TlsFiles,
    /// `timing.profile`
    pub(crate) profile: Profile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gateway: GatewayTable,
    cluster: ClusterTable,
    #[serde(default)]
    listen: ListenTable,
    #[serde(default)]
    fix: FixTable,
    peer: Vec<Spanned<PeerTable>>,
    tls: TlsTable,
    #[serde(default)]
    timing: TimingTable,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewayTable {
    id: Spanned<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterTable {
    id: Spanned<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenTable {
    fix: Option<Spanned<String>>,
    http: Option<Spanned<String>>,
}

impl GatewayConfig {
    /// Reads `path`.
    pub(crate) fn load(path: &Path) -> Result<Self, FileFault> {
        Self::parse(path, &read_text(path, FILE_BYTES_MAX)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, FileFault> {
        let file: File = toml::from_str(text).map_err(|error| wrong_toml(path, text, &error))?;
        let dir = path.parent().unwrap_or(Path::new(""));
        Self::from_table(&file, dir).map_err(|wrong| FileFault::Wrong {
            path: path.to_owned(),
            place: Place::of(text, wrong.offset),
            reason: wrong.reason,
        })
    }

    /// Paths in the file are relative to `dir`.
    fn from_table(file: &File, dir: &Path) -> Result<Self, WrongValue> {
        let id = number(Some(&file.gateway.id), 0, 1, u64::from(GATEWAYS_MAX))?;
        let connections_max =
            number(file.fix.connections_max.as_ref(), CONNECTIONS_DEFAULT, 1, CONNECTIONS_MAX)?;
        Ok(Self {
            id: GatewayId(u32::try_from(id.value).unwrap_or_default()),
            cluster: cluster(&file.cluster.id)?,
            listen_fix: address(file.listen.fix.as_ref(), FIX_DEFAULT)?.value,
            listen_http: file.listen.http.as_ref().map(socket_address).transpose()?,
            connections_max: connections_max.value,
            nodes: peers(&file.peer, 0, None)?,
            tls: tls_files(&file.tls, dir),
            profile: profile(file.timing.profile.as_ref())?.value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: &str = r#"[gateway]
id = 3
[cluster]
id = "000000000000000000000000000000ab"
[listen]
fix = "127.0.0.1:0"
[tls]
ca = "ca.pem"
certificate = "gateway3.pem"
key = "gateway3.key"
[[peer]]
id = 2
address = "127.0.0.1:9885"
[[peer]]
id = 1
address = "127.0.0.1:9884"
"#;

    #[test]
    fn a_gateway_is_read() {
        let config = GatewayConfig::parse(Path::new("/etc/sicil/g.toml"), GATEWAY).unwrap();
        assert_eq!((config.id, config.cluster), (GatewayId(3), ClusterId(0xab)));
        assert_eq!(config.nodes.iter().map(|node| node.id.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(config.tls.key, Path::new("/etc/sicil/gateway3.key"));
        assert_eq!((config.connections_max, config.profile), (CONNECTIONS_DEFAULT, Profile::Lan));
        assert_eq!(config.listen_http, None);
    }

    #[test]
    fn a_fault_names_its_line_and_column() {
        for (from, to, place, reason) in [
            ("id = 3", "id = 0", "g.toml:2:6:", "outside 1 to 256"),
            ("id = 3", "id = 257", "g.toml:2:6:", "outside 1 to 256"),
            ("0000ab", "0000", "g.toml:4:6:", "32 hexadecimal digits"),
            ("id = 2", "id = 1", "g.toml:15:6:", "peer 1 stands twice"),
            ("[listen]", "[journal]\n[listen]", "g.toml:5:2:", "unknown field"),
            ("key = \"gateway3.key\"", "", "g.toml:7:1:", "missing field `key`"),
        ] {
            assert!(GATEWAY.contains(from), "{from}");
            let text = GATEWAY.replacen(from, to, 1);
            let said = GatewayConfig::parse(Path::new("g.toml"), &text).unwrap_err().to_string();
            assert!(said.starts_with(place) && said.contains(reason), "{to:?}: {said}");
        }
        let (nodes, _) = GATEWAY.split_once("[[peer]]").unwrap();
        let said = GatewayConfig::parse(Path::new("g.toml"), nodes).unwrap_err().to_string();
        assert!(said.contains("missing field `peer`"), "{said}");
    }
}
