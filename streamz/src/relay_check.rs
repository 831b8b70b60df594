//! Whether the STUN and TURN servers that devices are told do what devices will ask of them.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::Utc;
use streamz_auth::{IceServer, IceServers};
use stun_types::attribute::{ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageType, MessageWriteVec,
    Method, TransactionId,
};
use stun_types::prelude::{AttributeWrite, MessageWrite, MessageWriteExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use turn_types::attribute::{Lifetime, RequestedTransport};
use turn_types::message::{ALLOCATE, REFRESH};

/// For one server, all in all.
const WITHIN: Duration = Duration::from_secs(4);
/// A request over UDP is said again when there was no answer for so long.
const AGAIN: Duration = Duration::from_millis(500);
/// The longest answer; these have some hundred bytes.
const ANSWER: usize = 2048;
/// Who asks, as it stands in the server's log.
const NAME: &str = "streamz-check";

/// Why a server is of no use, in words that follow its URL.
pub(crate) enum Trouble {
    /// It was not reached from here. That says little: devices are elsewhere, and a policy may keep servers apart.
    Unreached(String),
    /// It was, and does not do what devices will ask of it.
    Useless(String),
}

/// What it does not do.
impl From<String> for Trouble {
    fn from(what: String) -> Self {
        Self::Useless(what)
    }
}

/// What came of one URL: which, and in words what works or what does not.
pub(crate) type Finding = (String, Result<String, Trouble>);

/// Asks every server, all at the same time.
pub(crate) async fn check(ice: &IceServers) -> Vec<Finding> {
    let mut asked = Vec::new();
    for server in ice.at(NAME, None, Utc::now()) {
        for url in server.urls.clone() {
            let server = server.clone();
            asked.push(tokio::spawn(async move {
                let outcome = tokio::time::timeout(WITHIN, ask(&url, &server)).await;
                let late = format!("does not answer within {} s", WITHIN.as_secs());
                (url, outcome.unwrap_or(Err(Trouble::Unreached(late))))
            }));
        }
    }
    let mut findings = Vec::new();
    for asking in asked {
        findings.extend(asking.await);
    }
    findings
}

async fn ask(url: &str, server: &IceServer) -> Result<String, Trouble> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    let (address, transport) = rest.split_once("?transport=").unwrap_or((rest, "udp"));
    let tls = scheme.ends_with('s');
    let address = resolve(address, if tls { 5349 } else { 3478 }).await?;
    if tls {
        let reached = TcpStream::connect(address).await;
        reached.map_err(unreached)?;
        return Ok("takes connections; what it says over TLS was not tried".to_owned());
    }
    let mut line = Line::open(address, transport == "tcp").await?;
    if scheme == "stun" {
        let answer = line.request(BINDING, |_| Ok(())).await?;
        parse(&answer)?;
        return Ok("answers".to_owned());
    }
    let (Some(username), Some(credential)) = (&server.username, &server.credential) else {
        return Err("has no credential to be told: TURN_SECRET is missing".to_owned().into());
    };
    relays(&mut line, username, credential).await
}

/// Takes a relayed port with a credential as a device gets it, and gives it back.
async fn relays(line: &mut Line, username: &str, credential: &str) -> Result<String, Trouble> {
    let udp = RequestedTransport::new(RequestedTransport::UDP);
    let answer = line.request(ALLOCATE, |message| add(message, &udp)).await?;
    let answer = parse(&answer)?;
    match code(&answer) {
        Some(401) => {}
        None => return Err("gives relayed ports to everybody: it asks for no credential".to_owned().into()),
        Some(code) => {
            return Err(format!("refuses with the code {code} before it asked for a credential").into());
        }
    }
    let (Ok(realm), Ok(nonce)) = (answer.attribute::<Realm>(), answer.attribute::<Nonce>()) else {
        return Err("does not say for what it wants a credential: is it a TURN server?".to_owned().into());
    };
    let (realm, nonce) = (realm.realm().to_owned(), nonce.nonce().to_owned());
    let key = LongTermKeyCredentials::new(username.to_owned(), credential.to_owned(), realm.clone());
    let proven = |message: &mut MessageWriteVec, what: &dyn AttributeWrite| {
        add(message, what)?;
        add(message, &Username::new(username).map_err(|error| error.to_string())?)?;
        add(message, &Realm::new(&realm).map_err(|error| error.to_string())?)?;
        add(message, &Nonce::new(&nonce).map_err(|error| error.to_string())?)?;
        let signed = message.add_message_integrity(&key.clone().into(), IntegrityAlgorithm::Sha1);
        signed.map_err(|error| error.to_string())
    };
    let answer = line.request(ALLOCATE, |message| proven(message, &udp)).await?;
    let answer = parse(&answer)?;
    match code(&answer) {
        None => {}
        Some(401 | 441) => {
            let why = "does not take a credential made with TURN_SECRET: give both the same secret, and look at the clocks";
            return Err(why.to_owned().into());
        }
        Some(486 | 508) => {
            return Err("takes the credential, but has no relayed port left".to_owned().into());
        }
        Some(code) => {
            return Err(format!("takes the credential, but gives no relayed port: code {code}").into());
        }
    }
    answer.validate_integrity(&key.clone().into()).map_err(|_| {
        "answers without proof that it knows TURN_SECRET: somebody else answers in its place".to_owned()
    })?;
    // It would lapse by itself, too.
    let _ = line.request(REFRESH, |message| proven(message, &Lifetime::new(0))).await;
    Ok("gave a relayed port for a fresh credential".to_owned())
}

fn add(message: &mut MessageWriteVec, attribute: &dyn AttributeWrite) -> Result<(), String> {
    message.add_attribute(attribute).map_err(|error| error.to_string())
}

fn parse(answer: &[u8]) -> Result<Message<'_>, String> {
    Message::from_bytes(answer).map_err(|_| "answers something that is no STUN".to_owned())
}

fn code(answer: &Message<'_>) -> Option<u16> {
    answer.attribute::<ErrorCode>().ok().map(|error| error.code())
}

async fn resolve(address: &str, port: u16) -> Result<SocketAddr, Trouble> {
    let host = address.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let (host, port) = match host {
        Some((host, text)) => (host, text.parse().unwrap_or(port)),
        None => (address, port),
    };
    let host = host.trim_matches(['[', ']']);
    let found = tokio::net::lookup_host((host, port)).await;
    let nowhere = || Trouble::Unreached("leads nowhere: its name is not known".to_owned());
    found.ok().and_then(|mut found| found.next()).ok_or_else(nowhere)
}

fn unreached(error: std::io::Error) -> Trouble {
    Trouble::Unreached(format!("cannot be reached: {error}"))
}

/// A way to one server.
enum Line {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Line {
    async fn open(address: SocketAddr, tcp: bool) -> Result<Self, Trouble> {
        if tcp {
            return TcpStream::connect(address).await.map(Self::Tcp).map_err(unreached);
        }
        let from = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(from).await.map_err(unreached)?;
        socket.connect(address).await.map_err(unreached)?;
        Ok(Self::Udp(socket))
    }

    async fn request(
        &mut self,
        method: Method,
        fill: impl FnOnce(&mut MessageWriteVec) -> Result<(), String>,
    ) -> Result<Vec<u8>, Trouble> {
        let id = TransactionId::generate();
        let kind = MessageType::from_class_method(MessageClass::Request, method);
        let mut message = Message::builder(kind, id, MessageWriteVec::new());
        fill(&mut message)?;
        let bytes = message.finish();
        match self {
            Self::Udp(socket) => loop {
                socket.send(&bytes).await.map_err(unreached)?;
                let mut answer = vec![0; ANSWER];
                if let Ok(received) = tokio::time::timeout(AGAIN, socket.recv(&mut answer)).await {
                    answer.truncate(received.map_err(unreached)?);
                    // An answer to what was said before may be late.
                    if Message::from_bytes(&answer).is_ok_and(|message| message.transaction_id() == id) {
                        return Ok(answer);
                    }
                    parse(&answer)?;
                }
            },
            Self::Tcp(stream) => {
                stream.write_all(&bytes).await.map_err(unreached)?;
                // The head says how long the rest is (RFC 8489 section 5).
                let mut answer = vec![0; 20];
                stream.read_exact(&mut answer).await.map_err(unreached)?;
                let rest = usize::from(u16::from_be_bytes([answer[2], answer[3]]));
                if rest > ANSWER {
                    return Err("answers something that is no STUN".to_owned().into());
                }
                answer.resize(20 + rest, 0);
                stream.read_exact(&mut answer[20..]).await.map_err(unreached)?;
                Ok(answer)
            }
        }
    }
}
