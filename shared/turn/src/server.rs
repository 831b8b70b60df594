//! What a server knows, and how it takes an input.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use secrecy::ExposeSecret;
use streamz_protocol::Millis;
use stun_types::attribute::{ErrorCode, MessageIntegrity, Nonce, Realm, Username};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, IntegrityKey, LongTermCredentials, Message, MessageClass, MessageHeader,
};
use stun_types::prelude::AttributeStaticType;
use turn_types::channel::ChannelData;
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};

use crate::allocation::Allocation;
use crate::nonce::NonceKey;
use crate::reply::{self, Reply};
use crate::users::Users;
use crate::{Credentials, Effect, Figures, Input, RelayId, Settings};

/// A TURN server; see the crate.
#[derive(Debug)]
pub struct Server {
    pub(crate) settings: Settings,
    pub(crate) nonces: NonceKey,
    pub(crate) clients: BTreeMap<SocketAddr, Allocation>,
    pub(crate) relays: BTreeMap<RelayId, SocketAddr>,
    /// Which socket has a relayed address.
    pub(crate) addresses: BTreeMap<SocketAddr, RelayId>,
    pub(crate) users: Users,
    pub(crate) figures: Figures,
    pub(crate) last_relay: u64,
    pub(crate) last_transaction: u128,
}

/// Who asks, proven.
pub(crate) struct Proven {
    pub(crate) username: String,
    pub(crate) key: IntegrityKey,
    /// The user of a name that was looked up; an allocation's own name is not.
    pub(crate) user: Option<String>,
}

impl Server {
    /// A server without allocations.
    #[must_use]
    pub fn new(settings: Settings, nonces: NonceKey) -> Self {
        Self {
            settings,
            nonces,
            clients: BTreeMap::new(),
            relays: BTreeMap::new(),
            addresses: BTreeMap::new(),
            users: Users::default(),
            figures: Figures::default(),
            last_relay: 0,
            last_transaction: 0,
        }
    }

    /// What it has done.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { allocations: self.clients.len(), ..self.figures }
    }

    /// Takes one input, and appends what is to be done. What is no STUN, no TURN, or nobody's, is dropped without a word.
    pub fn handle(
        &mut self,
        input: Input<'_>,
        credentials: &dyn Credentials,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        match input {
            // RFC 8656 §12.4: the first two bits tell them apart.
            Input::FromClient { client, data } => match data.first().map(|first| first >> 6) {
                Some(0b00) => self.message(client, data, credentials, now, out),
                Some(0b01) => {
                    if let Ok(channel) = ChannelData::parse(data) {
                        self.channel_data(client, channel.id(), channel.data(), now, out);
                    }
                }
                _ => {}
            },
            Input::FromPeer { relay, peer, data } => self.take_in(relay, peer, data, now, out),
            Input::Opened { relay, address } => self.opened(relay, address, now, out),
            Input::Tick => self.tick(now, out),
        }
    }

    fn message(
        &mut self,
        client: SocketAddr,
        data: &[u8],
        credentials: &dyn Credentials,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        // A datagram is one message, no more and no less.
        let whole = MessageHeader::from_bytes(data)
            .is_ok_and(|header| usize::from(header.data_length()) + MessageHeader::LENGTH == data.len());
        let Some(message) = whole.then(|| Message::from_bytes(data).ok()).flatten() else { return };
        if message.class() == MessageClass::Indication && message.method() == SEND {
            return self.send_indication(client, &message, now, out);
        }
        if message.class() != MessageClass::Request {
            return;
        }
        if message.method() == BINDING {
            let mapped = reply::mapped(client, message.transaction_id());
            out.push(Effect::ToClient { client, data: Reply::success(&message).with(&mapped).unsigned() });
            return;
        }
        if ![ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND].contains(&message.method()) {
            return;
        }
        let answer = match self.prove(client, &message, credentials, now) {
            Ok(proven) => match message.method() {
                ALLOCATE => return self.allocate(client, &message, proven, now, out),
                REFRESH => self.refresh(client, &message, &proven, now, out),
                CREATE_PERMISSION => self.create_permission(client, &message, &proven, now),
                _ => self.channel_bind(client, &message, &proven, now),
            },
            Err(answer) => Err(answer),
        };
        let (Ok(data) | Err(data)) = answer;
        out.push(Effect::ToClient { client, data });
    }

    /// Who asks (RFC 8489 §9.2.4); or what to answer.
    fn prove(
        &mut self,
        client: SocketAddr,
        message: &Message<'_>,
        credentials: &dyn Credentials,
        now: Millis,
    ) -> Result<Proven, Vec<u8>> {
        let challenge = |server: &Self, code| {
            let nonce = server.nonces.make(client, now);
            Reply::error(message, code).with_challenge(&server.settings.realm, &nonce).unsigned()
        };
        if !message.has_attribute(MessageIntegrity::TYPE) {
            return Err(challenge(self, ErrorCode::UNAUTHORIZED));
        }
        let said =
            (message.attribute::<Username>(), message.attribute::<Realm>(), message.attribute::<Nonce>());
        let (Ok(username), Ok(realm), Ok(nonce)) = said else {
            return Err(Reply::error(message, ErrorCode::BAD_REQUEST).unsigned());
        };
        if !self.nonces.holds(nonce.nonce(), client, now) {
            return Err(challenge(self, ErrorCode::STALE_NONCE));
        }
        let username = username.username();
        let own = self.clients.get(&client);
        let known = own.filter(|allocation| &*allocation.username == username);
        let (key, user) = match known {
            Some(allocation) => (Some(allocation.key.clone()), None),
            None => match credentials.account(username) {
                Some(account) => {
                    let password = account.password.expose_secret().to_owned();
                    let long_term = LongTermCredentials::new(username.to_owned(), password);
                    let key =
                        long_term.to_key(self.settings.realm.clone()).make_key(IntegrityAlgorithm::Sha1);
                    (Some(key), Some(account.user))
                }
                None => (None, None),
            },
        };
        let key = key.filter(|key| message.validate_integrity_with_key(key).is_ok());
        match key {
            Some(key) if realm.realm() == self.settings.realm => {
                // RFC 8656 §5: an allocation is its maker's.
                if own.is_some() && known.is_none() && message.method() != ALLOCATE {
                    return Err(Reply::error(message, ErrorCode::WRONG_CREDENTIALS).signed(&key));
                }
                Ok(Proven { username: username.to_owned(), key, user })
            }
            _ => {
                self.figures.refused_credentials += 1;
                Err(challenge(self, ErrorCode::UNAUTHORIZED))
            }
        }
    }

    /// Whether an allocation has a relayed address of this host.
    pub(crate) fn relays_on(&self, address: IpAddr) -> bool {
        let (first, last) = (SocketAddr::new(address, 0), SocketAddr::new(address, u16::MAX));
        self.addresses.range(first..=last).next().is_some()
    }

    pub(crate) fn end(&mut self, client: SocketAddr) -> Option<RelayId> {
        let allocation = self.clients.remove(&client)?;
        self.relays.remove(&allocation.relay);
        if let Some(address) = allocation.address {
            self.addresses.remove(&address);
        }
        self.users.leave(&allocation.user);
        Some(allocation.relay)
    }

    fn tick(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let over: Vec<SocketAddr> =
            self.clients.iter().filter(|(_, own)| own.expires <= now).map(|(client, _)| *client).collect();
        for client in over {
            out.extend(self.end(client).map(|relay| Effect::Close { relay }));
        }
        for allocation in self.clients.values_mut() {
            allocation.sweep(now);
        }
        self.users.sweep(now);
    }
}
