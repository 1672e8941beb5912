//! Who vouches for a server's certificate: this machine's authorities, and those of a file that is named beside them.
//!
//! Each is looked at before a client is made: the client ends the whole program on one that it cannot use.

use std::fmt;
use std::path::PathBuf;
use std::sync::LazyLock;

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Names a file of authorities that are trusted too.
const BUNDLE: &str = "AWS_CA_BUNDLE";

/// Whether this machine has authorities of its own, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name instead.
static HAS_OWN: LazyLock<bool> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs().certs;
    RootCertStore::empty().add_parsable_certificates(found).0 > 0
});

/// What is wrong with the authorities: why a server may not be trusted that should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// The file that is named is of no use.
    Bundle(String),
    /// There are none at all.
    All,
}

impl Lack {
    /// What to do about it.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Bundle(_) => {
                format!("name a file of authorities in PEM with {BUNDLE}, or unset it, and start the agent again")
            }
            Self::All => format!(
                "install the package ca-certificates, or name a file of authorities with SSL_CERT_FILE or {BUNDLE}, \
                 and start the agent again"
            ),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(why) => f.write_str(why),
            Self::All => f.write_str("this machine has no certificate of any authority"),
        }
    }
}

/// What is wrong with the authorities now.
pub(super) fn lack() -> Option<Lack> {
    match bundle() {
        Some(Err(why)) => Some(Lack::Bundle(why)),
        Some(Ok(_)) => None,
        None => (!*HAS_OWN).then_some(Lack::All),
    }
}

/// All that can be used of them.
pub(super) fn trusted() -> TlsContext {
    let own = TrustStore::empty().with_native_roots(*HAS_OWN);
    let trust = match bundle() {
        Some(Ok(pem)) => own.with_pem_certificate(pem),
        Some(Err(_)) | None => own,
    };
    TlsContext::builder().with_trust_store(trust).build().expect("a trust store is all that it takes")
}

/// The text of the file that [`BUNDLE`] names, or why it is of no use.
fn bundle() -> Option<Result<Vec<u8>, String>> {
    let file = PathBuf::from(std::env::var_os(BUNDLE)?);
    let wrong = |why: String| format!("{BUNDLE} names {}, which cannot be read: {why}", file.display());
    let pem = std::fs::read(&file).map_err(|error| error.to_string());
    Some(pem.and_then(|pem| usable(&pem).map(|()| pem)).map_err(wrong))
}

/// Whether each certificate of a file is one, and there are any.
fn usable(pem: &[u8]) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for found in CertificateDer::pem_slice_iter(pem) {
        let certificate = found.map_err(|error| error.to_string())?;
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    if store.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_that_can_be_used_is_refused() {
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(usable(broken).is_err(), "no certificate behind the words");
        assert!(usable(b"-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n").is_err());
        for nothing in [&b""[..], b"a letter"] {
            assert_eq!(usable(nothing), Err("there is no certificate in it".to_owned()));
        }
    }
}
