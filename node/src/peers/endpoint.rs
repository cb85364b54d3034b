//! The QUIC endpoint: its limits, its encryption, and what both halves of the transport need of it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use protocol::{ClusterId, GatewayId, NodeId};
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
};
use replicas::Membership;
use rustix::net::sockopt;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use tokio::sync::Semaphore;

use super::identity::{self, Authority, Callers, Dialled, Party};
use super::slot::{Slot, lock};
use super::{Identity, PeerTiming};
use crate::clock::Clock;
use crate::fault::NodeFault;

/// The protocol on the connections; another format of records or greetings gets another name.
const ALPN: &[u8] = b"sicil-peer/3";
/// Largest datagram: a jumbo frame. Larger ones, which loopback could, cost 2 KiB of receive buffer a byte.
const DATAGRAM_BYTES_MAX: u16 = 8_952;
/// Bytes of one connection on their way, and as many read and not taken.
const WINDOW_BYTES: u32 = 4 << 20;
/// Bytes on their way before the first acknowledgement. With quinn's 12,000 a probe for larger datagrams fills the window,
/// and everything waits for a timeout of it.
const FIRST_WINDOW_BYTES: u64 = 256 << 10;
/// Asked of the operating system for the socket, which may give less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Handshakes that this node begins at once.
const DIALS_MAX: usize = 8;
/// Handshakes that others begin at once; further ones are not answered.
pub(super) const HANDSHAKES_MAX: usize = 64;
/// Bytes that wait for a handshake to be looked at.
const HANDSHAKE_BYTES_MAX: u64 = 64 << 10;
/// Nodes that call before they are known, at once.
const CALLERS_MAX: usize = 8;
/// Between two lines of the log about wrong connections.
const COMPLAINT_NANOS: u64 = 60_000_000_000;

/// The endpoint, and the peers behind it.
pub(super) struct Endpoints {
    pub(super) endpoint: Endpoint,
    pub(super) timing: PeerTiming,
    /// Wakes the hot thread.
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
    /// Places for handshakes that this node begins.
    pub(super) dials: Semaphore,
    /// Places for handshakes that others begin.
    pub(super) handshakes: Arc<Semaphore>,
    tls: Tls,
    transport: Arc<TransportConfig>,
    slots: Mutex<BTreeMap<NodeId, Arc<Slot>>>,
    /// By the log, as far as this node has it.
    membership: Mutex<Membership>,
    /// Nodes of the cluster that called and are no peers yet, and from where.
    callers: Mutex<BTreeMap<NodeId, SocketAddr>>,
    /// The connection of each gateway process.
    gateways: Mutex<BTreeMap<GatewayId, Connection>>,
    refused: AtomicU64,
    complaints: Complaints,
    own: Party,
}

/// What every handshake needs.
struct Tls {
    provider: Arc<CryptoProvider>,
    authority: Arc<Authority>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Endpoints {
    /// Takes over the socket. In the context of the runtime. Only a node answers who calls.
    pub(super) fn new(
        identity: &Identity<'_>,
        socket: UdpSocket,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, NodeFault> {
        let tls = Tls::new(identity)?;
        for set in [sockopt::set_socket_recv_buffer_size, sockopt::set_socket_send_buffer_size] {
            if let Err(error) = set(&socket, SOCKET_BUFFER_BYTES) {
                tracing::debug!(%error, "buffer of the peers' socket");
            }
        }
        let (dialling, answering) = transports(identity.timing)?;
        let server = match identity.party {
            Party::Node(_) => Some(answers(tls.server()?, answering)),
            Party::Gateway(_) => None,
        };
        let mut config = EndpointConfig::default();
        config.max_udp_payload_size(DATAGRAM_BYTES_MAX).map_err(internal)?;
        let endpoint = Endpoint::new(config, server, socket, Arc::new(TokioRuntime))
            .map_err(NodeFault::io("the peers' socket"))?;
        Ok(Self {
            endpoint,
            timing: identity.timing,
            wake,
            dials: Semaphore::new(DIALS_MAX),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            tls,
            transport: Arc::new(dialling),
            slots: Mutex::new(BTreeMap::new()),
            membership: Mutex::new(Membership::default()),
            callers: Mutex::new(BTreeMap::new()),
            gateways: Mutex::new(BTreeMap::new()),
            refused: AtomicU64::new(0),
            complaints: Complaints::new(),
            own: identity.party,
        })
    }

    /// Whether this is `node`.
    pub(super) fn is(&self, node: NodeId) -> bool {
        self.own == Party::Node(node)
    }

    /// The peers, by id.
    pub(super) fn slots(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Slot>>> {
        lock(&self.slots)
    }

    /// The connection of each gateway process.
    pub(super) fn gateways(&self) -> MutexGuard<'_, BTreeMap<GatewayId, Connection>> {
        lock(&self.gateways)
    }

    /// Who belongs to the cluster, by the log.
    pub(super) fn membership(&self) -> MutexGuard<'_, Membership> {
        lock(&self.membership)
    }

    /// Keeps that a node of the cluster calls from there, for the hot thread to decide.
    pub(super) fn announce(&self, node: NodeId, address: SocketAddr) {
        let mut callers = lock(&self.callers);
        if callers.len() < CALLERS_MAX || callers.contains_key(&node) {
            callers.insert(node, address);
            drop(callers);
            (self.wake)();
        }
    }

    /// Who has called since the last call.
    pub(super) fn take_callers(&self) -> BTreeMap<NodeId, SocketAddr> {
        std::mem::take(&mut *lock(&self.callers))
    }

    /// How to dial `node`.
    pub(super) fn client_for(&self, node: NodeId) -> Result<ClientConfig, NodeFault> {
        let mut config = ClientConfig::new(self.tls.client(node)?);
        config.transport_config(Arc::clone(&self.transport));
        Ok(config)
    }

    /// From the first datagram to the peer's welcome.
    pub(super) fn handshake_time(&self) -> Duration {
        self.timing.idle * 2
    }

    /// Counts a connection that is not let in.
    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that were not let in.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether what strangers do may be logged again.
    pub(super) fn may_complain(&self) -> bool {
        self.complaints.may()
    }

    /// Tells every peer, and gives the datagrams that say so some time.
    pub(super) async fn close(&self, time_max: Duration) {
        self.endpoint.close(0_u32.into(), b"leaving");
        if tokio::time::timeout(time_max, self.endpoint.wait_idle()).await.is_err() {
            tracing::debug!("a peer has not confirmed that this node leaves");
        }
    }
}

impl Tls {
    /// Refuses certificates that no peer would take, so that the mistake shows at the start.
    fn new(identity: &Identity<'_>) -> Result<Self, NodeFault> {
        let Identity { cluster, party, credentials, .. } = identity;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let anchors = credentials.authority.iter().map(|der| {
            webpki::anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned()).map_err(|error| {
                NodeFault::Usage(format!("tls.ca: not the certificate of an authority: {error}"))
            })
        });
        let anchors = anchors.collect::<Result<Vec<_>, _>>()?;
        let algorithms = provider.signature_verification_algorithms;
        let authority = Arc::new(Authority::new(anchors, algorithms, *cluster, *party));
        let chain = credentials.chain.clone();
        refuse_other(chain.first(), *cluster, *party)?;
        Ok(Self { provider, authority, chain, key: credentials.key.clone_key() })
    }

    fn client(&self, node: NodeId) -> Result<Arc<QuicClientConfig>, NodeFault> {
        let verifier = Dialled { authority: Arc::clone(&self.authority), node };
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(internal)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(own_certificate)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would not look at certificates again.
        config.resumption = Resumption::disabled();
        QuicClientConfig::try_from(config).map(Arc::new).map_err(internal)
    }

    fn server(&self) -> Result<Arc<QuicServerConfig>, NodeFault> {
        let verifier = Callers { authority: Arc::clone(&self.authority) };
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(internal)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(own_certificate)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        QuicServerConfig::try_from(config).map(Arc::new).map_err(internal)
    }
}

fn answers(tls: Arc<QuicServerConfig>, transport: TransportConfig) -> ServerConfig {
    let mut server = ServerConfig::with_crypto(tls);
    server
        .transport_config(Arc::new(transport))
        .migration(false)
        .max_incoming(HANDSHAKES_MAX)
        .incoming_buffer_size(HANDSHAKE_BYTES_MAX)
        .incoming_buffer_size_total(HANDSHAKE_BYTES_MAX * HANDSHAKES_MAX as u64);
    server
}

fn refuse_other(own: Option<&CertificateDer<'_>>, cluster: ClusterId, party: Party) -> Result<(), NodeFault> {
    let wrong = |found: String| {
        let expected = identity::name_of(cluster, party);
        NodeFault::Usage(format!("tls.certificate: one for {expected} is needed, found {found}"))
    };
    let own = own.ok_or_else(|| wrong("none".to_owned()))?;
    match identity::claimed(own) {
        Ok(found) if found == (cluster, party) => Ok(()),
        Ok((cluster, party)) => Err(wrong(identity::name_of(cluster, party))),
        Err(refusal) => Err(wrong(format!("this: {refusal}"))),
    }
}

fn own_certificate(error: rustls::Error) -> NodeFault {
    NodeFault::Usage(format!("tls.certificate and tls.key: {error}"))
}

fn internal(error: impl std::fmt::Display) -> NodeFault {
    NodeFault::Internal(format!("QUIC: {error}"))
}

/// For connections that this node makes, and for those that others make.
fn transports(timing: PeerTiming) -> Result<(TransportConfig, TransportConfig), NodeFault> {
    let idle = IdleTimeout::try_from(timing.idle).map_err(internal)?;
    let common = || {
        let mut congestion = CubicConfig::default();
        congestion.initial_window(FIRST_WINDOW_BYTES);
        let mut config = TransportConfig::default();
        config
            .max_idle_timeout(Some(idle))
            // Until the first round trip is measured: a lost first datagram is repeated soon.
            .initial_rtt(timing.idle / 25)
            .congestion_controller_factory(Arc::new(congestion))
            .mtu_discovery_config(None)
            .stream_receive_window(WINDOW_BYTES.into())
            .receive_window(WINDOW_BYTES.into())
            .send_window(WINDOW_BYTES.into())
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None);
        config
    };
    let (mut dialling, mut answering) = (common(), common());
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(DATAGRAM_BYTES_MAX);
    // Who answers sends nothing but acknowledgements, and hears signs of life too: one end is enough for both.
    dialling.mtu_discovery_config(Some(mtu));
    dialling.keep_alive_interval(Some(timing.keep_alive));
    answering.max_concurrent_bidi_streams(VarInt::from_u32(1));
    Ok((dialling, answering))
}

/// Keeps the log short while something is wrong for long.
pub(super) struct Complaints {
    clock: Clock,
    /// Nanoseconds of the clock.
    next: AtomicU64,
}

impl Complaints {
    pub(super) fn new() -> Self {
        Self { clock: Clock::start(), next: AtomicU64::new(0) }
    }

    /// Once a minute.
    pub(super) fn may(&self) -> bool {
        let now = self.clock.mono().0;
        let next = self.next.load(Ordering::Relaxed);
        now >= next
            && self
                .next
                .compare_exchange(next, now + COMPLAINT_NANOS, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
