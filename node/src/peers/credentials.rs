//! This node's certificate and key, and the authority that vouches for all nodes, as read from files.

use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::fault::NodeFault;
use crate::text_file::{FileFault, read_secret, read_text};

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What a node proves itself with, and judges others by.
pub(crate) struct Credentials {
    /// Certificates of the authority: several while one replaces another.
    pub(super) authority: Vec<CertificateDer<'static>>,
    /// Of this node, then those between it and the authority.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Credentials {
    /// Reads the three files of `[tls]`.
    ///
    /// # Errors
    /// If one cannot be read, holds something else, or holds a key that others may read.
    pub(crate) fn load(authority: &Path, certificate: &Path, key: &Path) -> Result<Self, NodeFault> {
        let text = read_secret(key, FILE_BYTES_MAX)?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|error| wrong(key, format!("no private key in PEM: {error}")))?;
        Ok(Self { authority: certificates(authority)?, chain: certificates(certificate)?, key })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileFault> {
    let text = read_text(path, FILE_BYTES_MAX)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong(path, "no certificate in PEM".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(path, format!("no certificate in PEM: {error}"))),
    }
}

fn wrong(path: &Path, reason: String) -> FileFault {
    FileFault::Unreadable { path: path.to_owned(), reason }
}
