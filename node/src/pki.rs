//! `sicil pki`: an authority for one cluster and certificates for its nodes and gateways, in files. It is meant for tests and small
//! installations; any authority will do that writes the names of `peers::identity` into its certificates.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use protocol::limits::GATEWAYS_MAX;
use protocol::{ClusterId, GatewayId, NodeId};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::clock::Clock;
use crate::fault::NodeFault;
use crate::peers::identity::{self, Party};
use crate::text_file::{FileFault, read_text};
use crate::{folder, print};

/// Names in the authority's folder.
const AUTHORITY_CERTIFICATE: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";
const CLUSTER: &str = "cluster.id";
/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;
const DAY: Duration = Duration::from_secs(86_400);
/// Of every certificate, the authority's included.
const VALID_DAYS: u32 = 3_650;
/// Names and addresses of hosts in one certificate.
const HOSTS_MAX: usize = 32;

/// `sicil pki`
#[derive(Subcommand)]
pub(crate) enum PkiCommand {
    /// Make an authority and draw the id of a new cluster, which is printed.
    Init(InitArgs),
    /// Issue the certificate and key of a node, or of a gateway process.
    Issue(IssueArgs),
}

#[derive(Args)]
pub(crate) struct InitArgs {
    /// Folder of the authority; created if it does not exist. Nothing in it is overwritten.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Args)]
pub(crate) struct IssueArgs {
    /// Folder of the authority; the files nodeN.pem and nodeN.key, or gatewayN.pem and gatewayN.key, are made in it.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    whose: Whose,
    /// A name or an address of its host, for tools that look at one; nodes look at cluster and id alone.
    #[arg(long, value_name = "NAME_OR_IP")]
    host: Vec<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// Id of the node.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    node: Option<u64>,
    /// Id of the gateway process.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(GATEWAYS_MAX)))]
    gateway: Option<u32>,
}

impl Whose {
    fn party(&self) -> Party {
        match self.gateway {
            Some(gateway) => Party::Gateway(GatewayId(gateway)),
            None => Party::Node(NodeId(self.node.unwrap_or_default())),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// If a file exists already, or cannot be read or written.
pub(crate) fn run(command: &PkiCommand) -> Result<(), NodeFault> {
    match command {
        PkiCommand::Init(args) => print(&format!("id = \"{:032x}\"\n", init(&args.dir)?.0)),
        PkiCommand::Issue(args) => {
            let (certificate, key) = issue(&args.dir, args.whose.party(), &args.host)?;
            print(&format!("{}\n{}\n", certificate.display(), key.display()))
        }
    }
}

/// Makes an authority for a new cluster in `dir`.
pub(crate) fn init(dir: &Path) -> Result<ClusterId, NodeFault> {
    let cluster = ClusterId(u128::from_le_bytes(folder::random()?));
    init_for(dir, cluster)?;
    Ok(cluster)
}

/// The same for a cluster whose id is drawn already.
pub(crate) fn init_for(dir: &Path, cluster: ClusterId) -> Result<(), NodeFault> {
    let path = |name: &str| dir.join(name);
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(NodeFault::io(shown(dir)))?;
    for name in [AUTHORITY_CERTIFICATE, AUTHORITY_KEY, CLUSTER] {
        refuse_existing(&path(name))?;
    }
    let key = KeyPair::generate().map_err(internal)?;
    let certificate = authority(cluster).self_signed(&key).map_err(internal)?;
    write_new(&path(AUTHORITY_KEY), &key.serialize_pem(), 0o600)?;
    write_new(&path(AUTHORITY_CERTIFICATE), &certificate.pem(), 0o644)?;
    write_new(&path(CLUSTER), &format!("{:032x}\n", cluster.0), 0o644)
}

/// Issues a certificate for `party` by the authority in `dir`; the paths of certificate and key.
pub(crate) fn issue(dir: &Path, party: Party, hosts: &[String]) -> Result<(PathBuf, PathBuf), NodeFault> {
    let cluster = read_cluster(&dir.join(CLUSTER))?;
    let key_path = dir.join(AUTHORITY_KEY);
    let authority_key = KeyPair::from_pem(&read_text(&key_path, FILE_BYTES_MAX)?)
        .map_err(|error| NodeFault::from(wrong(&key_path, error.to_string())))?;
    let issuer = Issuer::new(authority(cluster), authority_key);
    let params = params_of(cluster, party, hosts)?;
    let name = party.to_string().replace(' ', "");
    let (certificate_path, key_path) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    refuse_existing(&certificate_path)?;
    refuse_existing(&key_path)?;
    let key = KeyPair::generate().map_err(internal)?;
    let certificate = params.signed_by(&key, &issuer).map_err(internal)?;
    write_new(&key_path, &key.serialize_pem(), 0o600)?;
    write_new(&certificate_path, &certificate.pem(), 0o644)?;
    Ok((certificate_path, key_path))
}

/// The same for its own certificate and as the issuer of others: its name follows from the cluster.
fn authority(cluster: ClusterId) -> CertificateParams {
    let mut params = named(format!("Sicil test authority {:032x}", cluster.0));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params_of(cluster: ClusterId, party: Party, hosts: &[String]) -> Result<CertificateParams, NodeFault> {
    if hosts.len() > HOSTS_MAX {
        return Err(NodeFault::Usage(format!("{} hosts, {HOSTS_MAX} are allowed", hosts.len())));
    }
    let mut params = named(format!("Sicil {party}"));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match party {
        Party::Node(_) => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        Party::Gateway(_) => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    params.use_authority_key_identifier_extension = true;
    let ascii = |text: &str| {
        Ia5String::try_from(text).map_err(|_| NodeFault::Usage(format!("--host {text:?}: not ASCII")))
    };
    params.subject_alt_names.push(SanType::URI(ascii(&identity::name_of(cluster, party))?));
    for host in hosts {
        params.subject_alt_names.push(match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(ascii(host)?),
        });
    }
    Ok(params)
}

/// Valid from a day ago, because clocks of hosts differ.
fn named(name: String) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = date_time_ymd(1970, 1, 1) + Duration::from_nanos(Clock::start().now().wall.0);
    params.not_before = now - DAY;
    params.not_after = now + DAY * VALID_DAYS;
    params
}

fn read_cluster(path: &Path) -> Result<ClusterId, FileFault> {
    let text = read_text(path, FILE_BYTES_MAX)?;
    identity::read_cluster(text.trim())
        .ok_or_else(|| wrong(path, "not the id of a cluster: 32 hexadecimal digits are expected".to_owned()))
}

fn refuse_existing(path: &Path) -> Result<(), NodeFault> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(NodeFault::Usage(format!("{} exists: it is not overwritten", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(NodeFault::io(shown(path))(error)),
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), NodeFault> {
    let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = open.map_err(NodeFault::io(shown(path)))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(NodeFault::io(shown(path)))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn wrong(path: &Path, reason: String) -> FileFault {
    FileFault::Unreadable { path: path.to_owned(), reason }
}

fn internal(error: rcgen::Error) -> NodeFault {
    NodeFault::Internal(format!("certificate: {error}"))
}
