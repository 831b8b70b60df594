//! A server, and clients that speak to it.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use streamz_protocol::Millis;
use streamz_turn::{
    Account, Credentials, Effect, Figures, Input, NoSocket, NonceKey, Peers, RelayId, Server, Settings,
};
use stun_types::attribute::{ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageIntegrityCredentials,
    MessageType, MessageWriteVec, Method, TransactionId,
};
use stun_types::prelude::{AttributeWrite, MessageWrite, MessageWriteExt};
use turn_types::attribute::{
    ChannelNumber, Data, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};

pub(crate) const REALM: &str = "streamz";
pub(crate) const PUBLIC: &str = "93.184.216.34:7000";

/// Names are `expiry:user`, passwords the name backwards.
pub(crate) struct Book(pub(crate) u64);

pub(crate) fn password(username: &str) -> String {
    username.chars().rev().collect()
}

impl Credentials for Book {
    fn account(&self, username: &str) -> Option<Account> {
        let (expiry, user) = username.split_once(':')?;
        (self.0 < expiry.parse().ok()?)
            .then(|| Account { user: user.to_owned(), password: SecretString::from(password(username)) })
    }
}

pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) now: Millis,
    /// The seconds that [`Book`] compares names with.
    pub(crate) wall: u64,
    next_port: u16,
    next_transaction: u128,
    /// What is open.
    pub(crate) open: Vec<RelayId>,
    pub(crate) no_sockets: bool,
}

pub(crate) fn settings() -> Settings {
    Settings {
        realm: REALM.to_owned(),
        allocations: 100,
        allocations_per_user: 3,
        bandwidth: 100_000,
        peers_per_allocation: 4,
        peers: Peers::Public,
    }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// An answer of the server, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<u16>,
    pub(crate) nonce: Option<String>,
    pub(crate) relayed: Option<SocketAddr>,
    pub(crate) lifetime: Option<u32>,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let message = Message::from_bytes(bytes).unwrap();
        let code = message.attribute::<ErrorCode>().ok().map(|error| error.code());
        assert_eq!(code.is_some(), message.class() == MessageClass::Error);
        let relayed = message.attribute::<XorRelayedAddress>().ok();
        Self {
            code,
            nonce: message.attribute::<Nonce>().ok().map(|nonce| nonce.nonce().to_owned()),
            relayed: relayed.map(|address| address.addr(message.transaction_id())),
            lifetime: message.attribute::<Lifetime>().ok().map(|lifetime| lifetime.seconds()),
            bytes: bytes.to_vec(),
        }
    }

    /// Whether whoever knows the password wrote it.
    pub(crate) fn is_signed(&self, username: &str) -> bool {
        Message::from_bytes(&self.bytes).unwrap().validate_integrity(&key(username)).is_ok()
    }
}

pub(crate) fn key(username: &str) -> MessageIntegrityCredentials {
    key_with(username, &password(username))
}

pub(crate) fn key_with(username: &str, password: &str) -> MessageIntegrityCredentials {
    LongTermKeyCredentials::new(username.to_owned(), password.to_owned(), REALM.to_owned()).into()
}

/// A request or indication with these attributes, and nothing else.
pub(crate) fn bare(
    class: MessageClass,
    method: Method,
    id: u128,
    attributes: &[&dyn AttributeWrite],
) -> Vec<u8> {
    message(class, method, id, attributes).finish()
}

fn message(
    class: MessageClass,
    method: Method,
    id: u128,
    attributes: &[&dyn AttributeWrite],
) -> MessageWriteVec {
    let kind = MessageType::from_class_method(class, method);
    let mut message = Message::builder(kind, TransactionId::from(id), MessageWriteVec::new());
    for attribute in attributes {
        message.add_attribute(*attribute).unwrap();
    }
    message
}

pub(crate) fn udp() -> RequestedTransport {
    RequestedTransport::new(RequestedTransport::UDP)
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self {
            server: Server::new(settings, NonceKey::new([7; 32])),
            now: Millis(1_000_000),
            wall: 1000,
            next_port: 50_000,
            next_transaction: 1,
            open: Vec::new(),
            no_sockets: false,
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        self.server.figures()
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        assert_eq!(self.give(Input::Tick), []);
    }

    pub(crate) fn id(&mut self) -> u128 {
        self.next_transaction += 1;
        self.next_transaction
    }

    /// Takes an input; sockets are opened and closed as asked.
    pub(crate) fn give(&mut self, input: Input<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.server.handle(input, &Book(self.wall), self.now, &mut effects);
        let mut rest = Vec::new();
        for effect in effects {
            match effect {
                Effect::Open { relay, client, .. } => {
                    let host = if client.is_ipv4() { "198.41.0.4" } else { "2606:4700::7" };
                    self.next_port += 1;
                    let address = SocketAddr::new(host.parse().unwrap(), self.next_port);
                    let address = if self.no_sockets { Err(NoSocket::Capacity) } else { Ok(address) };
                    self.open.extend(address.is_ok().then_some(relay));
                    rest.extend(self.give(Input::Opened { relay, address }));
                }
                Effect::Close { relay } => {
                    assert!(self.open.contains(&relay), "{relay:?} is closed, and was not open");
                    self.open.retain(|open| *open != relay);
                }
                effect => rest.push(effect),
            }
        }
        rest
    }

    /// What is answered to a datagram; it must be one thing, to its sender.
    pub(crate) fn ask(&mut self, client: &str, data: &[u8]) -> Answer {
        let effects = self.give(Input::FromClient { client: address(client), data });
        let [Effect::ToClient { client: to, data }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(*to, address(client));
        Answer::of(data)
    }

    /// A request with credentials, and a nonce that holds.
    pub(crate) fn signed(
        &mut self,
        client: &str,
        method: Method,
        username: &str,
        attributes: &[&dyn AttributeWrite],
    ) -> Vec<u8> {
        let id = self.id();
        let challenge = bare(MessageClass::Request, method, id, attributes);
        let nonce = self.ask(client, &challenge).nonce.unwrap();
        self.signed_with(method, attributes, (username, REALM, &nonce), &key(username))
    }

    pub(crate) fn signed_with(
        &mut self,
        method: Method,
        attributes: &[&dyn AttributeWrite],
        (username, realm, nonce): (&str, &str, &str),
        key: &MessageIntegrityCredentials,
    ) -> Vec<u8> {
        let id = self.id();
        let mut message = message(MessageClass::Request, method, id, attributes);
        message.add_attribute(&Username::new(username).unwrap()).unwrap();
        message.add_attribute(&Realm::new(realm).unwrap()).unwrap();
        message.add_attribute(&Nonce::new(nonce).unwrap()).unwrap();
        message.add_message_integrity(key, IntegrityAlgorithm::Sha1).unwrap();
        message.finish()
    }

    pub(crate) fn request(
        &mut self,
        client: &str,
        method: Method,
        username: &str,
        attributes: &[&dyn AttributeWrite],
    ) -> Answer {
        let request = self.signed(client, method, username, attributes);
        self.ask(client, &request)
    }

    pub(crate) fn allocate(&mut self, client: &str, username: &str) -> Answer {
        self.request(client, ALLOCATE, username, &[&udp()])
    }

    /// An allocation that succeeds: its relayed address.
    pub(crate) fn allocated(&mut self, client: &str, username: &str) -> SocketAddr {
        self.allocate(client, username).relayed.unwrap()
    }

    pub(crate) fn refresh(&mut self, client: &str, username: &str, seconds: u32) -> Answer {
        self.request(client, REFRESH, username, &[&Lifetime::new(seconds)])
    }

    pub(crate) fn permit(&mut self, client: &str, username: &str, peer: &str) -> Option<u16> {
        let id = TransactionId::from(self.next_transaction + 2);
        self.request(client, CREATE_PERMISSION, username, &[&XorPeerAddress::new(address(peer), id)]).code
    }

    pub(crate) fn bind(&mut self, client: &str, username: &str, peer: &str, number: u16) -> Option<u16> {
        let id = TransactionId::from(self.next_transaction + 2);
        let peer = XorPeerAddress::new(address(peer), id);
        self.request(client, CHANNEL_BIND, username, &[&ChannelNumber::new(number), &peer]).code
    }

    pub(crate) fn send(&mut self, client: &str, peer: &str, data: &[u8]) -> Vec<Effect> {
        let id = self.id();
        let peer = XorPeerAddress::new(address(peer), TransactionId::from(id));
        let data = bare(MessageClass::Indication, SEND, id, &[&peer, &Data::new(data)]);
        self.give(Input::FromClient { client: address(client), data: &data })
    }

    pub(crate) fn send_channel(&mut self, client: &str, number: u16, data: &[u8]) -> Vec<Effect> {
        let data =
            [&number.to_be_bytes()[..], &u16::try_from(data.len()).unwrap().to_be_bytes(), data].concat();
        self.give(Input::FromClient { client: address(client), data: &data })
    }

    pub(crate) fn hears(&mut self, relay: RelayId, peer: &str, data: &[u8]) -> Vec<Effect> {
        self.give(Input::FromPeer { relay, peer: address(peer), data })
    }
}

/// What a client is handed of a peer's: over which channel, or from whom; and what.
pub(crate) fn handed(effects: &[Effect]) -> (SocketAddr, Result<u16, SocketAddr>, Vec<u8>) {
    let [Effect::ToClient { client, data }] = effects else { panic!("{effects:?}") };
    if data[0] >> 6 == 1 {
        let channel = turn_types::channel::ChannelData::parse(data).unwrap();
        return (*client, Ok(channel.id()), channel.data().to_vec());
    }
    let message = Message::from_bytes(data).unwrap();
    assert_eq!(message.method(), turn_types::message::DATA);
    let peer = message.attribute::<XorPeerAddress>().unwrap().addr(message.transaction_id());
    (*client, Err(peer), message.attribute::<Data<'_>>().unwrap().data().to_vec())
}
