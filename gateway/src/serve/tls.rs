//! TLS on a listener, with a certificate that may be replaced while it serves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{HOST, LOCATION};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::problem::{Code, Problem};

/// The first byte of a TLS handshake (RFC 8446 §5.1). No HTTP request begins with it.
const HANDSHAKE: u8 = 0x16;

/// How a listener speaks TLS. Cheap to clone: all clones have the same certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

/// A certificate and key that do not go together, or that TLS cannot use.
#[derive(Debug, thiserror::Error)]
#[error("certificate and key cannot be used: {0}")]
pub struct UnusableCertificate(#[from] rustls::Error);

impl Tls {
    /// With this certificate, its issuers after it, and its key.
    ///
    /// # Errors
    /// [`UnusableCertificate`].
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, UnusableCertificate> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certified = CertifiedKey::from_der(chain, key, &provider)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current })
    }

    /// Connections from now on get this certificate.
    ///
    /// # Errors
    /// [`UnusableCertificate`]; the old one stays.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), UnusableCertificate> {
        let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())?;
        *self.current.0.write() = Arc::new(certified);
        Ok(())
    }

    /// Shakes hands within this time; or finds out that the client speaks plain HTTP. `None` if it does neither.
    pub(super) async fn accept(&self, stream: TcpStream, within: Duration) -> Option<Accepted> {
        let accepted = async {
            let mut first = [0];
            match stream.peek(&mut first).await {
                Ok(1) if first[0] != HANDSHAKE => Ok::<_, std::io::Error>(Accepted::Plain(stream)),
                _ => Ok(Accepted::Tls(Box::new(self.acceptor.accept(stream).await?))),
            }
        };
        let accepted = tokio::time::timeout(within, accepted).await.ok()?;
        accepted.inspect_err(|error| tracing::debug!(%error, "a client shook no hands")).ok()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// What a new connection speaks.
pub(super) enum Accepted {
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

/// The certificate of the next connection.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

/// What is said to plain HTTP at a port of TLS: where to go. Whoever would send something is told instead; it is not to
/// be sent in the open again.
pub(super) async fn go_to_https(request: Request) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let location = host
        .and_then(|host| Uri::builder().scheme("https").authority(host).path_and_query(path).build().ok());
    let location = location.and_then(|uri| HeaderValue::try_from(uri.to_string()).ok());
    match location {
        Some(location) if matches!(*request.method(), Method::GET | Method::HEAD) => {
            (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response()
        }
        _ => Problem::new(Code::BadRequest, "This port speaks https: write https:// instead of http://.")
            .into_response(),
    }
}
