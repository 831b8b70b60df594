//! Whether the process itself speaks TLS.

use std::path::{Path, PathBuf};

use super::Role;
use super::reader::Reader;

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsConfig {
    /// `TLS_CERT` and `TLS_KEY`: files in PEM, read anew when they change.
    Files {
        /// The certificate, and its issuers after it.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// `TLS_SELF_SIGNED`: made, and kept in this folder.
    SelfSigned {
        /// `DATA_DIR/tls`.
        folder: PathBuf,
    },
}

pub(super) fn read_tls(r: &mut Reader<'_>, role: Role, data_dir: &Path) -> Option<TlsConfig> {
    let (certificate, key) = (r.text("TLS_CERT"), r.text("TLS_KEY"));
    let self_signed = r
        .parsed("TLS_SELF_SIGNED", |text| text.parse::<bool>().map_err(|_| "write true or false"))
        .unwrap_or_default();
    for (there, missing, what) in [
        (certificate, ("TLS_KEY", key), "TLS_CERT names a certificate; name the file of its key, too."),
        (key, ("TLS_CERT", certificate), "TLS_KEY names a key; name the file of its certificate, too."),
    ] {
        if there.is_some() && missing.1.is_none() {
            r.problem(missing.0, format!("is missing: {what}"));
        }
    }
    if self_signed && certificate.is_some() {
        r.problem("TLS_SELF_SIGNED", "is true, but TLS_CERT names a certificate: leave one of them out.");
    }
    match (certificate, key) {
        _ if role == Role::Node => None,
        (Some(certificate), Some(key)) => {
            Some(TlsConfig::Files { certificate: certificate.into(), key: key.into() })
        }
        _ => self_signed.then(|| TlsConfig::SelfSigned { folder: data_dir.join("tls") }),
    }
}
