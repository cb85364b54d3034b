//! Who a peer is: its certificate names cluster and node, or gateway process, and the cluster's authority signed it.
//!
//! Host names play no part: addresses change, and a node that answers at the right address is still the wrong one if
//! its certificate says so.

use std::fmt::Debug;
use std::sync::Arc;

use protocol::{ClusterId, GatewayId, NodeId};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage};

/// Before the cluster's id in a certificate's name.
const SCHEME: &str = "sicil://";

/// Who may take part in a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// A replica.
    Node(NodeId),
    /// A gateway process of its own. It dials, and is never dialled.
    Gateway(GatewayId),
}

impl std::fmt::Display for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Gateway(gateway) => write!(f, "gateway {gateway}"),
        }
    }
}

/// The name of a party in a certificate: `sicil://CLUSTER/node/ID` or `sicil://CLUSTER/gateway/ID`, the cluster in 32
/// hexadecimal digits.
pub(crate) fn name_of(cluster: ClusterId, party: Party) -> String {
    let cluster = cluster.0;
    match party {
        Party::Node(node) => format!("{SCHEME}{cluster:032x}/node/{node}"),
        Party::Gateway(gateway) => format!("{SCHEME}{cluster:032x}/gateway/{gateway}"),
    }
}

/// Reads the id of a cluster: 32 hexadecimal digits in lower case.
pub(crate) fn read_cluster(text: &str) -> Option<ClusterId> {
    let cluster = u128::from_str_radix(text, 16).ok()?;
    (format!("{cluster:032x}") == text).then_some(ClusterId(cluster))
}

/// Reads such a name: what [`name_of`] writes and nothing else.
fn named(uri: &str) -> Option<(ClusterId, Party)> {
    let (cluster, party) = uri.strip_prefix(SCHEME)?.split_once('/')?;
    let party = match party.split_once('/')? {
        ("node", id) => Party::Node(NodeId(id.parse().ok()?)),
        ("gateway", id) => {
            Party::Gateway(Some(GatewayId(id.parse().ok()?)).filter(|gateway| gateway.is_process())?)
        }
        _ => return None,
    };
    let found = (read_cluster(cluster)?, party);
    (name_of(found.0, found.1) == uri).then_some(found)
}

/// Why a certificate is refused: what was expected, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Not signed by the authority, expired, or not a certificate.
    #[error("a certificate that our authority (tls.ca) vouches for is expected, found: {0}")]
    NotVouchedFor(webpki::Error),
    /// Not a node's, nor a gateway's.
    #[error("a certificate with one name {SCHEME}CLUSTER/node/ID or …/gateway/ID is expected, found {0}")]
    Nameless(String),
    /// A node of somebody else.
    #[error("a certificate of cluster {expected:032x} is expected, found {found:032x}")]
    OtherCluster {
        /// Ours.
        expected: u128,
        /// Named.
        found: u128,
    },
    /// Another node answers at the address.
    #[error("a certificate of node {expected} is expected, found {found}")]
    OtherNode {
        /// Dialled.
        expected: NodeId,
        /// Named.
        found: Party,
    },
    /// Two have one certificate.
    #[error("a certificate of another node is expected, found {0}, which is this one")]
    Ourselves(Party),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        // As a `CertificateError` it would be shown as code, not as a sentence.
        Self::General(refusal.to_string())
    }
}

/// Cluster and party that a certificate names. Whether that is true, only [`Authority`] says.
pub(super) fn claimed(certificate: &CertificateDer<'_>) -> Result<(ClusterId, Party), Refusal> {
    let certificate = EndEntityCert::try_from(certificate).map_err(Refusal::NotVouchedFor)?;
    let mut uris = certificate.valid_uri_names().filter(|uri| uri.starts_with(SCHEME));
    match (uris.next(), uris.next()) {
        (Some(uri), None) => named(uri).ok_or_else(|| Refusal::Nameless(uri.escape_debug().to_string())),
        (None, _) => Err(Refusal::Nameless("none".to_owned())),
        (Some(_), Some(_)) => Err(Refusal::Nameless("several".to_owned())),
    }
}

/// Judges certificates.
#[derive(Debug)]
pub(super) struct Authority {
    anchors: Vec<TrustAnchor<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    cluster: ClusterId,
    own: Party,
}

impl Authority {
    /// Of `cluster`, for `own`.
    pub(super) fn new(
        anchors: Vec<TrustAnchor<'static>>,
        algorithms: WebPkiSupportedAlgorithms,
        cluster: ClusterId,
        own: Party,
    ) -> Self {
        Self { anchors, algorithms, cluster, own }
    }

    /// Who in our cluster a certificate is for; `usage` says at which end of a connection.
    pub(super) fn party_of(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<Party, Refusal> {
        let parsed = EndEntityCert::try_from(certificate).map_err(Refusal::NotVouchedFor)?;
        parsed
            .verify_for_usage(self.algorithms.all, &self.anchors, intermediates, now, usage, None, None)
            .map_err(Refusal::NotVouchedFor)?;
        let (cluster, party) = claimed(certificate)?;
        if cluster == self.cluster {
            Ok(party)
        } else {
            Err(Refusal::OtherCluster { expected: self.cluster.0, found: cluster.0 })
        }
    }

    fn verify_tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }
}

/// Judges who answers: it has to be the node that was dialled.
#[derive(Debug)]
pub(super) struct Dialled {
    pub(super) authority: Arc<Authority>,
    pub(super) node: NodeId,
}

impl ServerCertVerifier for Dialled {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = self.authority.party_of(end_entity, intermediates, now, KeyUsage::server_auth())?;
        if found != Party::Node(self.node) {
            return Err(Refusal::OtherNode { expected: self.node, found }.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.verify_tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.verify_tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authority.algorithms.supported_schemes()
    }
}

/// Judges who calls: any node of the cluster but ourselves, and any gateway. Whether it is a peer, `accept` looks up.
#[derive(Debug)]
pub(super) struct Callers {
    pub(super) authority: Arc<Authority>,
}

impl ClientCertVerifier for Callers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let found = self.authority.party_of(end_entity, intermediates, now, KeyUsage::client_auth())?;
        if found == self.authority.own {
            return Err(Refusal::Ourselves(found).into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.verify_tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.verify_tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authority.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_that_is_written_is_read() {
        let cluster = ClusterId(0xab);
        for (party, name) in [
            (Party::Node(NodeId(7)), "sicil://000000000000000000000000000000ab/node/7"),
            (Party::Gateway(GatewayId(256)), "sicil://000000000000000000000000000000ab/gateway/256"),
        ] {
            assert_eq!(name_of(cluster, party), name);
            assert_eq!(named(name), Some((cluster, party)));
        }
        for wrong in [
            "",
            "sicil://",
            "sicil://ab/node/7",
            "https://000000000000000000000000000000ab/node/7",
            "sicil://000000000000000000000000000000AB/node/7",
            "sicil://000000000000000000000000000000ab/gateway/0",
            "sicil://000000000000000000000000000000ab/gateway/257",
            "sicil://000000000000000000000000000000ab/client/7",
            "sicil://000000000000000000000000000000ab/node/07",
            "sicil://000000000000000000000000000000ab/node/+7",
            "sicil://000000000000000000000000000000ab/node/7/",
            "sicil://+00000000000000000000000000000ab/node/7",
            "sicil://000000000000000000000000000000ab/node/18446744073709551616",
        ] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }
}
