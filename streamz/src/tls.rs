//! Certificates: read from files, or made for this machine; and read again when they are replaced.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use streamz_gateway::serve::Tls;
use streamz_platform::config::TlsConfig;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;

/// How often it is looked whether the files have changed.
const LOOK: Duration = Duration::from_secs(1);
/// How long a certificate that is made here is good: browsers mistrust longer ones.
const LIFE: TimeDelta = TimeDelta::days(397);
/// It is made anew when less than this is left of it.
const LEFT: TimeDelta = TimeDelta::days(30);
/// Of one that somebody else makes, this much left is worth a word: what renews it has failed for weeks.
const SOON: TimeDelta = TimeDelta::days(14);

/// A certificate in files.
pub(crate) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    /// What was read last, to see whether it changes.
    read: [Vec<u8>; 2],
    pub(crate) tls: Tls,
    /// The names and addresses of a certificate that was made here.
    pub(crate) names: Vec<String>,
    /// The folder in which it is made anew before it ends.
    made_in: Option<PathBuf>,
}

impl Certificate {
    /// Reads it, or makes it.
    ///
    /// # Errors
    /// A sentence that names the variable and the file.
    pub(crate) fn open(config: &TlsConfig) -> Result<Self, Failure> {
        let (certificate, key, names, made_in) = match config {
            TlsConfig::Files { certificate, key } => (certificate.clone(), key.clone(), Vec::new(), None),
            TlsConfig::SelfSigned { folder } => {
                let names = names();
                make(folder, &names, Utc::now()).map_err(|error| {
                    Failure::unable(format!("TLS_SELF_SIGNED: {}: {error}", folder.display()))
                })?;
                let (certificate, key) = made(folder);
                (certificate, key, names.into_iter().collect(), Some(folder.clone()))
            }
        };
        let read = read(&certificate, &key).map_err(Failure::unable)?;
        let (chain, secret) = parse(&read, &certificate, &key).map_err(Failure::unable)?;
        let tls = Tls::new(chain, secret)
            .map_err(|error| Failure::unable(format!("TLS_CERT, TLS_KEY: {error}")))?;
        Ok(Self { certificate, key, read, tls, names, made_in })
    }

    /// Takes what the files hold whenever it has changed, until `stopping`; a certificate that was made here is made anew
    /// before it ends. What cannot be used is said once, and the old certificate stays.
    pub(crate) async fn watch(mut self, stopping: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        let names: BTreeSet<String> = self.names.iter().cloned().collect();
        let mut said = None;
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = look.tick() => {}
            }
            let (certificate, key) = (self.certificate.clone(), self.key.clone());
            let (made_in, names) = (self.made_in.clone(), names.clone());
            let read = tokio::task::spawn_blocking(move || {
                // By the names of the start: whoever trusted them need not do so again because an address came or went.
                let renewed = made_in.map(|folder| make(&folder, &names, Utc::now()));
                (renewed.transpose().map_err(|error| error.to_string()), read(&certificate, &key))
            });
            let Ok((renewed, read)) = read.await else { continue };
            let why = renewed.err();
            if why != said {
                if let Some(why) = &why {
                    tracing::warn!("the certificate cannot be made anew: {why}");
                }
                said = why;
            }
            let Ok(read) = read else { continue };
            if read == self.read {
                continue;
            }
            let replaced = parse(&read, &self.certificate, &self.key).and_then(|(chain, key)| {
                self.tls.replace(chain, key).map_err(|error| format!("TLS_CERT, TLS_KEY: {error}"))
            });
            match replaced {
                Ok(()) => tracing::info!("the certificate was replaced"),
                Err(why) => tracing::warn!("the certificate stays the old one: {why}"),
            }
            self.read = read;
        }
    }
}

/// Where a certificate that is made here is kept, and its key.
fn made(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("certificate.pem"), folder.join("key.pem"))
}

/// What is to be said of a certificate without serving with it.
pub(crate) struct Inspection {
    /// In words.
    pub(crate) text: String,
    /// It ends soon, and nobody here renews it.
    pub(crate) ends_soon: bool,
}

/// Looks at the certificate, and makes none.
///
/// # Errors
/// A sentence: it cannot be read, does not fit its key, or has ended.
pub(crate) fn inspect(config: &TlsConfig, now: DateTime<Utc>) -> Result<Inspection, String> {
    let (certificate, key, renewed) = match config {
        TlsConfig::Files { certificate, key } => (certificate.clone(), key.clone(), false),
        TlsConfig::SelfSigned { folder } => {
            let (certificate, key) = made(folder);
            if !certificate.exists() {
                let text = format!("{} will be made at the start", certificate.display());
                return Ok(Inspection { text, ends_soon: false });
            }
            (certificate, key, true)
        }
    };
    let (chain, secret) = parse(&read(&certificate, &key)?, &certificate, &key)?;
    let first = chain[0].clone();
    Tls::new(chain, secret).map_err(|error| format!("TLS_CERT, TLS_KEY: {error}"))?;
    let file = certificate.display();
    let (_, parsed) = x509_parser::parse_x509_certificate(&first)
        .map_err(|_| format!("TLS_CERT: {file} is no certificate that can be read."))?;
    let moment = |time: x509_parser::time::ASN1Time| DateTime::from_timestamp(time.timestamp(), 0);
    let (Some(begins), Some(ends)) =
        (moment(parsed.validity().not_before), moment(parsed.validity().not_after))
    else {
        return Err(format!("TLS_CERT: {file} is valid at a time that no calendar has."));
    };
    let day = |at: DateTime<Utc>| at.format("%Y-%m-%d");
    if now < begins {
        return Err(format!("TLS_CERT: {file} is valid from {} on; is the clock right?", day(begins)));
    }
    if ends <= now && !renewed {
        return Err(format!("TLS_CERT: {file} was valid until {}; renew it.", day(ends)));
    }
    let left = ends - now;
    let by_itself = if renewed { ", and is made anew by itself" } else { "" };
    let text = format!("{file} fits its key, and is valid for {} more days{by_itself}", left.num_days());
    Ok(Inspection { text, ends_soon: left < SOON && !renewed })
}

fn read(certificate: &Path, key: &Path) -> Result<[Vec<u8>; 2], String> {
    let read = |variable: &str, path: &Path| {
        fs::read(path).map_err(|error| format!("{variable}: {} cannot be read: {error}", path.display()))
    };
    Ok([read("TLS_CERT", certificate)?, read("TLS_KEY", key)?])
}

type Parsed = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn parse([chain, secret]: &[Vec<u8>; 2], certificate: &Path, key: &Path) -> Result<Parsed, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain =
        chain.ok_or_else(|| format!("TLS_CERT: {} is no certificate in PEM.", certificate.display()))?;
    let secret = PrivateKeyDer::from_pem_slice(secret);
    let secret = secret.map_err(|_| format!("TLS_KEY: {} is no private key in PEM.", key.display()))?;
    Ok((chain, secret))
}

/// By what devices of the same network may call this machine.
fn names() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if !host.is_empty() && host.chars().all(named) {
        names.insert(format!("{}.local", host.split('.').next().unwrap_or_default()));
        names.insert(host);
    }
    let addresses = if_addrs::get_if_addrs().unwrap_or_default();
    names.extend(addresses.into_iter().filter(|at| !at.is_link_local()).map(|at| at.ip().to_string()));
    names
}

/// Makes a certificate in `folder`, unless there is one for these names that is good for a while.
fn make(folder: &Path, names: &BTreeSet<String>, now: DateTime<Utc>) -> io::Result<()> {
    let note = folder.join("names");
    let listed: Vec<&str> = names.iter().map(String::as_str).collect();
    if let Ok(text) = fs::read_to_string(&note)
        && let Some((ends, rest)) = text.split_once('\n')
        && ends.parse::<DateTime<Utc>>().is_ok_and(|ends| now + LEFT < ends)
        && rest.lines().collect::<BTreeSet<_>>().is_superset(&listed.iter().copied().collect())
        && folder.join("certificate.pem").exists()
        && folder.join("key.pem").exists()
    {
        return Ok(());
    }
    let mut params = CertificateParams::new(listed.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        .map_err(io::Error::other)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "Streamz on this machine");
    params.distinguished_name = name;
    let ends = now + LIFE;
    params.not_before = moment(now - TimeDelta::days(1))?;
    params.not_after = moment(ends)?;
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    fs::create_dir_all(folder)?;
    // The note comes last: without it, everything is made anew.
    let _ = fs::remove_file(&note);
    write(&folder.join("key.pem"), key.serialize_pem().as_bytes())?;
    write(&folder.join("certificate.pem"), certificate.pem().as_bytes())?;
    write(&note, format!("{}\n{}\n", ends.to_rfc3339(), listed.join("\n")).as_bytes())
}

fn moment(at: DateTime<Utc>) -> io::Result<time::OffsetDateTime> {
    time::OffsetDateTime::from_unix_timestamp(at.timestamp()).map_err(io::Error::other)
}

/// Readable by the owner only, and whole or not there.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let _ = fs::remove_file(&draft);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

/// `https://` addresses under which the page can be opened, if all addresses of the family of `at` are listened on.
pub(crate) fn urls(names: &[String], at: SocketAddr) -> Vec<String> {
    let url = |name: &String| match name.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => at.is_ipv6().then(|| format!("https://[{name}]:{}/", at.port())),
        _ => Some(format!("https://{name}:{}/", at.port())),
    };
    names.iter().filter_map(url).collect()
}
