//! The TURN server in the process: sockets around `streamz-turn`, which decides everything.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use secrecy::SecretString;
use streamz_auth::{EmbeddedTurn, IceServers, turn};
use streamz_platform::config::TurnConfig;
use streamz_platform::{Clock, Config};
use streamz_turn::{
    Account, Credentials, Effect, Figures, Input, NoSocket, NonceKey, Peers, RelayId, Server, Settings,
};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// What credentials are made for; it stands in every one.
const REALM: &str = "streamz";
/// Allocations of all users, each with a socket.
const ALLOCATIONS: usize = 4096;
/// Addresses to which one of them may send: as many as a call has candidates, and then some.
const PEERS_PER_ALLOCATION: usize = 128;
/// The longest datagram that is relayed; media stays below 1,500.
const DATAGRAM: usize = 4096;
/// Datagrams that have arrived at relayed ports and wait to be passed on; more are dropped, as on any way.
const ARRIVED: usize = 1024;
/// How many ports are tried for a free one.
const TRIES: usize = 512;
/// How long to wait when a socket cannot be read.
const PAUSE: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

/// Open, and not yet serving.
pub(crate) struct Turn {
    socket: UdpSocket,
    address: SocketAddr,
    config: TurnConfig,
    secret: SecretString,
}

impl Turn {
    /// Takes the port.
    ///
    /// # Errors
    /// A sentence: there is to be none, or the port is not to be had. Streams that find a way by themselves need none,
    /// so that is no reason not to start.
    pub(crate) async fn open(config: &Config) -> Result<Self, String> {
        let Some(turn) = config.turn.clone() else {
            return Err("TURN_PORT is off, or TURN_URLS names others.".to_owned());
        };
        let secret = config.ice.secret().cloned().unwrap_or_else(|| {
            SecretString::from(rand::random::<[u8; 32]>().map(|byte| format!("{byte:02x}")).concat())
        });
        let opened = UdpSocket::bind(turn.listen).await.and_then(|socket| Ok((socket.local_addr()?, socket)));
        match opened {
            Ok((address, socket)) => Ok(Self { socket, address, config: turn, secret }),
            Err(error) => {
                let listen = turn.listen;
                let sentence = format!(
                    "UDP {listen} cannot be listened on ({error}). Devices that find no direct way to each other \
                     cannot stream; write another TURN_PORT, or off."
                );
                tracing::warn!("no TURN server: {sentence}");
                Err(sentence)
            }
        }
    }

    /// The servers that devices are told, with this one.
    pub(crate) fn ice(&self, config: &Config) -> IceServers {
        let listens = Some(self.address.ip()).filter(|address| !address.is_unspecified());
        let embedded = EmbeddedTurn { host: self.config.public_ip.or(listens), port: self.address.port() };
        config.ice.clone().with_embedded(embedded, self.secret.clone())
    }

    /// Serves until `stopping`.
    pub(crate) async fn serve(self, clock: Clock, stopping: CancellationToken) {
        let settings = Settings {
            realm: REALM.to_owned(),
            allocations: ALLOCATIONS,
            allocations_per_user: self.config.allocations_per_user,
            bandwidth: self.config.bandwidth,
            peers_per_allocation: PEERS_PER_ALLOCATION,
            peers: if self.config.allow_private { Peers::Any } else { Peers::Public },
        };
        let (arrive, mut arrived) = mpsc::channel(ARRIVED);
        let mut serving = Serving {
            server: Server::new(settings, NonceKey::new(rand::random())),
            secret: Secret(self.secret),
            socket: self.socket,
            listen: self.address.ip(),
            config: self.config,
            clock,
            relays: BTreeMap::new(),
            readers: JoinSet::new(),
            arrive,
            unsent: 0,
        };
        let mut buffer = vec![0; DATAGRAM];
        let mut second = tokio::time::interval(SECOND);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                _ = second.tick() => {
                    serving.take(Input::Tick);
                    serving.publish();
                }
                Some(_) = serving.readers.join_next(), if !serving.readers.is_empty() => {}
                Some(Arrived { relay, peer, data }) = arrived.recv() => {
                    serving.take(Input::FromPeer { relay, peer, data: &data });
                }
                received = serving.socket.recv_from(&mut buffer) => match received {
                    // One that fills the buffer may have been cut.
                    Ok((length, client)) if length < DATAGRAM => {
                        serving.take(Input::FromClient { client: canonical(client), data: &buffer[..length] });
                    }
                    Ok(_) => serving.unsent += 1,
                    Err(error) => {
                        tracing::debug!(%error, "the TURN socket cannot be read");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
        serving.readers.shutdown().await;
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.config.ports.start(), self.config.ports.end());
        write!(f, "UDP {}, relays on ports {first} to {last}", self.address)
    }
}

/// Names are `expiry:user`, passwords made with the secret.
struct Secret(SecretString);

impl Credentials for Secret {
    fn account(&self, username: &str) -> Option<Account> {
        let user = turn::user_of(username, Utc::now())?.to_owned();
        Some(Account { user, password: turn::credential(&self.0, username).into() })
    }
}

/// A datagram of a peer.
struct Arrived {
    relay: RelayId,
    peer: SocketAddr,
    data: Vec<u8>,
}

/// An allocation's socket, and the task that reads it.
struct Relay {
    socket: Arc<UdpSocket>,
    reader: AbortHandle,
}

struct Serving {
    server: Server,
    secret: Secret,
    socket: UdpSocket,
    listen: IpAddr,
    config: TurnConfig,
    clock: Clock,
    relays: BTreeMap<RelayId, Relay>,
    readers: JoinSet<()>,
    arrive: mpsc::Sender<Arrived>,
    /// Datagrams that no socket took, or that are too long.
    unsent: u64,
}

impl Serving {
    /// Takes an input, and carries out all effects.
    fn take(&mut self, input: Input<'_>) {
        let mut effects = Vec::new();
        self.server.handle(input, &self.secret, self.clock.now(), &mut effects);
        for effect in effects {
            match effect {
                Effect::ToClient { client, data } => {
                    let sent = send(&self.socket, self.listen, client, &data);
                    self.unsent += u64::from(!sent);
                }
                Effect::ToPeer { relay, peer, data } => {
                    let sent =
                        self.relays.get(&relay).is_some_and(|to| to.socket.try_send_to(&data, peer).is_ok());
                    self.unsent += u64::from(!sent);
                }
                Effect::Open { relay, client, .. } => {
                    let address = self.open(relay, client).map_err(|error| {
                        tracing::warn!(%error, "no port for a relayed stream");
                        NoSocket::Capacity
                    });
                    self.take(Input::Opened { relay, address });
                }
                Effect::Close { relay } => {
                    if let Some(relay) = self.relays.remove(&relay) {
                        relay.reader.abort();
                    }
                }
            }
        }
    }

    /// Opens an allocation's socket, and says which address others are to be told.
    fn open(&mut self, relay: RelayId, client: SocketAddr) -> io::Result<SocketAddr> {
        let host = if self.listen.is_unspecified() { facing(client)? } else { self.listen };
        let socket = Arc::new(bind(host, &self.config)?);
        let port = socket.local_addr()?.port();
        let reader = self.readers.spawn(read(relay, Arc::clone(&socket), self.arrive.clone()));
        self.relays.insert(relay, Relay { socket, reader });
        let public = self.config.public_ip.filter(|public| public.is_ipv4() == client.is_ipv4());
        Ok(SocketAddr::new(public.unwrap_or(host), port))
    }

    fn publish(&self) {
        let Figures {
            allocations,
            allocated,
            relayed_bytes,
            refused_credentials,
            refused_quota,
            refused_capacity,
            refused_peer,
            dropped_bandwidth,
            dropped_peer,
        } = self.server.figures();
        metrics::gauge!("streamz_turn_allocations").set(u32::try_from(allocations).unwrap_or(u32::MAX));
        metrics::counter!("streamz_turn_allocated_total").absolute(allocated);
        metrics::counter!("streamz_turn_relayed_bytes_total").absolute(relayed_bytes);
        for (reason, count) in [
            ("credentials", refused_credentials),
            ("quota", refused_quota),
            ("capacity", refused_capacity),
            ("peer", refused_peer),
        ] {
            metrics::counter!("streamz_turn_refused_total", "reason" => reason).absolute(count);
        }
        for (cause, count) in
            [("bandwidth", dropped_bandwidth), ("peer", dropped_peer), ("socket", self.unsent)]
        {
            metrics::counter!("streamz_turn_dropped_total", "cause" => cause).absolute(count);
        }
    }
}

/// Passes on what arrives at a relayed port.
async fn read(relay: RelayId, socket: Arc<UdpSocket>, arrive: mpsc::Sender<Arrived>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, _)) if length == DATAGRAM => {}
            Ok((length, peer)) => {
                let data = buffer[..length].to_vec();
                if let Err(mpsc::error::TrySendError::Closed(_)) =
                    arrive.try_send(Arrived { relay, peer: canonical(peer), data })
                {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a relayed port cannot be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// `false` if the socket does not take it: datagrams do not wait.
fn send(socket: &UdpSocket, listen: IpAddr, to: SocketAddr, data: &[u8]) -> bool {
    // A socket of both families writes IPv4 in the clothes of IPv6.
    let to = match to {
        SocketAddr::V4(v4) if listen.is_ipv6() => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        to => to,
    };
    socket.try_send_to(data, to).is_ok()
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The address of this machine from which packets to `client` leave. Nothing is sent.
fn facing(client: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if client.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(client)?;
    Ok(socket.local_addr()?.ip())
}

/// A free port of the range: where the search begins, nobody can guess.
fn bind(host: IpAddr, config: &TurnConfig) -> io::Result<UdpSocket> {
    let (first, last) = (u32::from(*config.ports.start()), u32::from(*config.ports.end()));
    let count = last - first + 1;
    let begin = rand::random_range(0..count);
    let mut failed = io::Error::from(io::ErrorKind::AddrInUse);
    for offset in (0..count).take(TRIES) {
        let port = first + (begin + offset) % count;
        let Ok(port) = u16::try_from(port) else { continue };
        match std::net::UdpSocket::bind((host, port)) {
            Ok(socket) => {
                socket.set_nonblocking(true)?;
                return UdpSocket::from_std(socket);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => failed = error,
            Err(error) => return Err(error),
        }
    }
    Err(failed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_secret_knows_its_names_until_they_lapse() {
        let secret = Secret("north".into());
        let later = Utc::now().timestamp() + 60;
        let account = secret.account(&format!("{later}:ann")).unwrap();
        assert_eq!(account.user, "ann");
        let password = turn::credential(&"north".into(), &format!("{later}:ann"));
        assert_eq!(account.password.expose_secret(), password);
        assert!(secret.account(&format!("{}:ann", later - 61)).is_none());
        assert!(secret.account("ann").is_none());
    }

    #[tokio::test]
    async fn relayed_ports_are_those_of_the_range_until_there_is_none() {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        // Three neighbours that were free a moment ago; taken by somebody else, they are looked for again.
        let (sockets, config) = 'found: loop {
            let first =
                UdpSocket::bind((host, 0)).await.unwrap().local_addr().unwrap().port().min(u16::MAX - 2);
            let config = TurnConfig {
                listen: (host, 0).into(),
                public_ip: None,
                ports: first..=first + 2,
                allocations_per_user: 1,
                bandwidth: 1,
                allow_private: false,
            };
            let mut sockets = Vec::new();
            while let Ok(socket) = bind(host, &config) {
                sockets.push(socket);
            }
            if sockets.len() == 3 {
                break 'found (sockets, config);
            }
        };
        for socket in &sockets {
            assert!(config.ports.contains(&socket.local_addr().unwrap().port()));
        }
        assert_eq!(bind(host, &config).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn the_own_address_that_faces_a_client_is_found() {
        assert_eq!(facing("127.0.0.1:9".parse().unwrap()).unwrap(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(canonical("[::ffff:10.0.0.1]:5".parse().unwrap()), "10.0.0.1:5".parse().unwrap());
    }
}
