//! TURN servers for a test, and a client of TURN that says what it is told to say.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use streamz_testkit::Coturn;
use stun_types::attribute::{ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageType, MessageWriteVec, Method,
    TransactionId,
};
use stun_types::prelude::{AttributeWrite, MessageWrite, MessageWriteExt};
use tokio::net::UdpSocket;
use turn_types::attribute::{Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress};
use turn_types::message::{ALLOCATE, CREATE_PERMISSION, REFRESH};

use crate::scenario::soon;
use crate::server::Server;
use crate::topology::Topology;

/// Who relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnServer {
    /// The server in the process of `streamz`.
    Embedded,
    /// Debian's coturn, with the settings of `deploy/coturn`.
    Coturn,
}

impl TurnServer {
    /// The secret that it shares with the gateways of [`start`](Self::start).
    pub const SECRET: &str = "bright-walnut-Jq7-harbour";

    /// A Streamz that tells its devices of this server, and the coturn that must live as long.
    pub async fn start(self, variables: &[(&str, &str)]) -> (Server, Option<Coturn>) {
        let secret = [("TURN_SECRET", Self::SECRET)];
        match self {
            Self::Embedded => {
                let own = [("TURN_PORT", "0")];
                let variables = [&own[..], &secret, variables].concat();
                (Server::start(Topology::EmbeddedSqlite, &variables).await, None)
            }
            Self::Coturn => {
                let start = || Coturn::start(&Self::settings(), Self::SECRET);
                let coturn = tokio::task::spawn_blocking(start).await.unwrap();
                let coturn = coturn.unwrap_or_else(|error| panic!("{error}"));
                let url = format!("turn:127.0.0.1:{}?transport=udp", coturn.port());
                let variables = [&[("TURN_URLS", &*url)][..], &secret, variables].concat();
                (Server::start(Topology::EmbeddedSqlite, &variables).await, Some(coturn))
            }
        }
    }

    fn settings() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/coturn/turnserver.conf").canonicalize().unwrap()
    }
}

/// A client of TURN, with a socket of its own on loopback. Errors are the codes of the answers.
#[derive(Debug)]
pub struct TurnClient {
    socket: UdpSocket,
    realm: String,
    nonce: String,
    key: LongTermKeyCredentials,
}

impl TurnClient {
    /// Asks the server at `address` who it is, to prove to it to be `username`.
    pub async fn new(address: SocketAddr, username: &str, password: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(address).await.unwrap();
        let key = |realm| LongTermKeyCredentials::new(username.to_owned(), password.to_owned(), realm);
        let mut client = Self { socket, realm: String::new(), nonce: String::new(), key: key(String::new()) };
        let answer = client.ask(client.message(ALLOCATE, TransactionId::generate(), &[&udp()])).await;
        let answer = Message::from_bytes(&answer).unwrap();
        assert_eq!(answer.attribute::<ErrorCode>().unwrap().code(), 401, "it asks who is there");
        client.realm = answer.attribute::<Realm>().unwrap().realm().to_owned();
        client.nonce = answer.attribute::<Nonce>().unwrap().nonce().to_owned();
        client.key = key(client.realm.clone());
        client
    }

    /// With what a device was told: an entry of `ice_servers`.
    pub async fn told(server: &serde_json::Value) -> Self {
        let url = server["urls"][0].as_str().unwrap();
        let address = url.strip_prefix("turn:").and_then(|rest| rest.strip_suffix("?transport=udp"));
        let text = |name: &str| server[name].as_str().unwrap().to_owned();
        Self::new(address.unwrap().parse().unwrap(), &text("username"), &text("credential")).await
    }

    /// A relayed address.
    pub async fn allocate(&self) -> Result<SocketAddr, u16> {
        let id = TransactionId::generate();
        let answer = self.request(ALLOCATE, id, &[&udp()]).await?;
        let answer = Message::from_bytes(&answer).unwrap();
        Ok(answer.attribute::<XorRelayedAddress>().unwrap().addr(id))
    }

    /// Another life for it; 0 ends it.
    pub async fn refresh(&self, seconds: u32) -> Result<(), u16> {
        self.request(REFRESH, TransactionId::generate(), &[&Lifetime::new(seconds)]).await.map(drop)
    }

    /// Permission for a peer.
    pub async fn permit(&self, peer: &str) -> Result<(), u16> {
        let id = TransactionId::generate();
        let peer = XorPeerAddress::new(peer.parse().unwrap(), id);
        self.request(CREATE_PERMISSION, id, &[&peer]).await.map(drop)
    }

    async fn request(
        &self,
        method: Method,
        id: TransactionId,
        attributes: &[&dyn AttributeWrite],
    ) -> Result<Vec<u8>, u16> {
        let mut message = self.message(method, id, attributes);
        message.add_attribute(&Username::new(self.key.username()).unwrap()).unwrap();
        message.add_attribute(&Realm::new(&self.realm).unwrap()).unwrap();
        message.add_attribute(&Nonce::new(&self.nonce).unwrap()).unwrap();
        message.add_message_integrity(&self.key.clone().into(), IntegrityAlgorithm::Sha1).unwrap();
        let bytes = self.ask(message).await;
        let answer = Message::from_bytes(&bytes).unwrap();
        match answer.attribute::<ErrorCode>() {
            Ok(error) => Err(error.code()),
            Err(_) => {
                answer.validate_integrity(&self.key.clone().into()).expect("who has the secret signs");
                Ok(bytes)
            }
        }
    }

    fn message(
        &self,
        method: Method,
        id: TransactionId,
        attributes: &[&dyn AttributeWrite],
    ) -> MessageWriteVec {
        let kind = MessageType::from_class_method(MessageClass::Request, method);
        let mut message = Message::builder(kind, id, MessageWriteVec::new());
        for attribute in attributes {
            message.add_attribute(*attribute).unwrap();
        }
        message
    }

    async fn ask(&self, message: MessageWriteVec) -> Vec<u8> {
        self.socket.send(&message.finish()).await.unwrap();
        let mut buffer = vec![0; 2048];
        let length = soon(self.socket.recv(&mut buffer)).await.unwrap();
        buffer.truncate(length);
        buffer
    }
}

fn udp() -> RequestedTransport {
    RequestedTransport::new(RequestedTransport::UDP)
}
