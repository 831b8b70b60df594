//! Certificates for the servers of a test.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};

/// By what the servers are called: they listen on the loopback interface only.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// Somebody who signs certificates, and whom nobody trusts by himself.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no name is a wrong one");
        // Another name than that of the certificates, which would look as if they had signed themselves.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("the system has randomness");
        Self(CertifiedIssuer::self_signed(params, key).expect("these parameters can be signed"))
    }

    /// Writes its certificate to a file, for whoever is to trust it.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn write(&self, file: &Path) {
        std::fs::write(file, self.0.pem()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// The beginning of a server's script: `server.crt`, `server.key` and `ca.crt` in its folder, the key readable by whoever
    /// runs the script only.
    pub(crate) fn script(&self) -> String {
        let params = CertificateParams::new(NAMES.map(str::to_owned)).expect("these are names");
        let key = KeyPair::generate().expect("the system has randomness");
        let certificate = params.signed_by(&key, &self.0).expect("these parameters can be signed");
        [("server.crt", certificate.pem()), ("server.key", key.serialize_pem()), ("ca.crt", self.0.pem())]
            .map(|(name, pem)| {
                format!("(umask 077; cat >\"$dir/{name}\") <<'EOF'\n{}\nEOF\n", pem.trim_end())
            })
            .concat()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
