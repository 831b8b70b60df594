//! What clients ask for.

use std::net::SocketAddr;
use std::time::Duration;

use streamz_protocol::Millis;
use stun_types::attribute::{
    AttributeType, ErrorCode, Fingerprint, MessageIntegrity, MessageIntegritySha256, Nonce, Realm,
    UnknownAttributes, Username,
};
use stun_types::message::{Message, TransactionId};
use stun_types::prelude::{Attribute, AttributeFromRaw, AttributeStaticType};
use turn_types::AddressFamily;
use turn_types::attribute::{
    ChannelNumber, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};

use crate::allocation::{Allocation, Beginning, NotBound};
use crate::reply::{self, Reply};
use crate::server::{Proven, Server};
use crate::{Effect, Family, NoSocket, RelayId};

/// RFC 8656 §7.2: what is given if nothing is asked for, and the least.
const LIFETIME: Duration = Duration::from_secs(600);
/// The most.
const LIFETIME_MAX: Duration = Duration::from_secs(3600);
/// RFC 8656 §12; RFC 5766 went further, and its clients are about.
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7ffe;

/// What every request may have.
const EVERYWHERE: [AttributeType; 6] = [
    Username::TYPE,
    Realm::TYPE,
    Nonce::TYPE,
    MessageIntegrity::TYPE,
    MessageIntegritySha256::TYPE,
    Fingerprint::TYPE,
];

/// An answer to a proven request; `Err` is one, too.
pub(crate) type Answer = Result<Vec<u8>, Vec<u8>>;

impl Server {
    pub(crate) fn allocate(
        &mut self,
        client: SocketAddr,
        message: &Message<'_>,
        proven: Proven,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        match self.try_allocate(client, message, proven, now) {
            Ok(Next::Open(relay, family)) => out.push(Effect::Open { relay, client, family }),
            Ok(Next::Wait) => {}
            Ok(Next::Repeat(data)) | Err(data) => out.push(Effect::ToClient { client, data }),
        }
    }

    fn try_allocate(
        &mut self,
        client: SocketAddr,
        message: &Message<'_>,
        proven: Proven,
        now: Millis,
    ) -> Result<Next, Vec<u8>> {
        let Proven { username, key, user } = proven;
        let refuse = |code| Reply::error(message, code).signed(&key);
        if let Some(own) = self.clients.get(&client) {
            if own.transaction != message.transaction_id() {
                return Err(refuse(ErrorCode::ALLOCATION_MISMATCH));
            }
            return Ok(match own.address {
                Some(address) => Next::Repeat(allocated(message.transaction_id(), client, address, own)),
                None => Next::Wait,
            });
        }
        known(message, &[RequestedTransport::TYPE, Lifetime::TYPE, RequestedAddressFamily::TYPE]).map_err(
            |unknown| Reply::error(message, ErrorCode::UNKNOWN_ATTRIBUTE).with_unknown(&unknown).signed(&key),
        )?;
        let transport =
            message.attribute::<RequestedTransport>().map_err(|_| refuse(ErrorCode::BAD_REQUEST))?;
        if transport.protocol() != RequestedTransport::UDP {
            return Err(refuse(ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL));
        }
        let family = Family::of(client);
        if asked_family(message)
            .map_err(|()| refuse(ErrorCode::BAD_REQUEST))?
            .is_some_and(|asked| asked != family)
        {
            return Err(refuse(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED));
        }
        if self.clients.len() >= self.settings.allocations {
            self.figures.refused_capacity += 1;
            return Err(refuse(ErrorCode::INSUFFICIENT_CAPACITY));
        }
        // Without an allocation every name was looked up.
        let user = user.unwrap_or_default();
        let (most, rate) = (self.settings.allocations_per_user, self.settings.bandwidth);
        let Some(user) = self.users.join(&user, most, rate, now) else {
            self.figures.refused_quota += 1;
            return Err(refuse(ErrorCode::ALLOCATION_QUOTA_REACHED));
        };
        self.last_relay += 1;
        let relay = RelayId(self.last_relay);
        let beginning = Beginning {
            relay,
            user,
            username: username.into(),
            key,
            family,
            transaction: message.transaction_id(),
            // To ask for an end at the beginning is to ask for the least.
            lifetime: asked_lifetime(message).max(LIFETIME),
        };
        self.clients.insert(client, Allocation::new(beginning, now));
        self.relays.insert(relay, client);
        Ok(Next::Open(relay, family))
    }

    /// The socket is there, or is not.
    pub(crate) fn opened(
        &mut self,
        relay: RelayId,
        address: Result<SocketAddr, NoSocket>,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let Some(client) = self.relays.get(&relay).copied() else {
            out.push(Effect::Close { relay });
            return;
        };
        let Some(own) = self.clients.get_mut(&client) else { return };
        match address {
            Ok(address) => {
                own.address = Some(address);
                own.expires = now + own.lifetime;
                let data = allocated(own.transaction, client, address, own);
                self.addresses.insert(address, relay);
                self.figures.allocated += 1;
                out.push(Effect::ToClient { client, data });
            }
            Err(NoSocket::Capacity) => {
                let data = no_capacity(own.transaction, own);
                self.figures.refused_capacity += 1;
                self.end(client);
                out.push(Effect::ToClient { client, data });
            }
        }
    }

    pub(crate) fn refresh(
        &mut self,
        client: SocketAddr,
        message: &Message<'_>,
        proven: &Proven,
        now: Millis,
        out: &mut Vec<Effect>,
    ) -> Answer {
        let own = self.own(client, message, proven)?;
        only(message, proven, &[Lifetime::TYPE, RequestedAddressFamily::TYPE])?;
        let asked = asked_family(message).map_err(|()| refusal(message, proven, ErrorCode::BAD_REQUEST))?;
        if asked.is_some_and(|asked| asked != own.family) {
            return Err(refusal(message, proven, ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH));
        }
        let lifetime = asked_lifetime(message);
        own.lifetime = lifetime;
        own.expires = now + lifetime;
        if lifetime.is_zero() {
            out.extend(self.end(client).map(|relay| Effect::Close { relay }));
        }
        Ok(Reply::success(message).with(&Lifetime::new(seconds(lifetime))).signed(&proven.key))
    }

    pub(crate) fn create_permission(
        &mut self,
        client: SocketAddr,
        message: &Message<'_>,
        proven: &Proven,
        now: Millis,
    ) -> Answer {
        let family = self.own(client, message, proven)?.family;
        only(message, proven, &[XorPeerAddress::TYPE])?;
        let peers = peers(message).filter(|peers| !peers.is_empty());
        let peers = peers.ok_or_else(|| refusal(message, proven, ErrorCode::BAD_REQUEST))?;
        for peer in &peers {
            self.may_reach(*peer, family, message, proven)?;
        }
        let most = self.settings.peers_per_allocation;
        let own = self.own(client, message, proven)?;
        own.sweep(now);
        let room = own.has_room(&peers, most);
        if !room {
            self.figures.refused_capacity += 1;
            return Err(refusal(message, proven, ErrorCode::INSUFFICIENT_CAPACITY));
        }
        let own = self.own(client, message, proven)?;
        for peer in peers {
            own.permit(peer.ip(), now);
        }
        Ok(Reply::success(message).signed(&proven.key))
    }

    pub(crate) fn channel_bind(
        &mut self,
        client: SocketAddr,
        message: &Message<'_>,
        proven: &Proven,
        now: Millis,
    ) -> Answer {
        let family = self.own(client, message, proven)?.family;
        only(message, proven, &[XorPeerAddress::TYPE, ChannelNumber::TYPE])?;
        let number = message.attribute::<ChannelNumber>().ok().map(|number| number.channel());
        let number = number.filter(|number| CHANNELS.contains(number));
        let (Some(number), Some(&[peer])) = (number, peers(message).as_deref()) else {
            return Err(refusal(message, proven, ErrorCode::BAD_REQUEST));
        };
        self.may_reach(peer, family, message, proven)?;
        let most = self.settings.peers_per_allocation;
        match self.own(client, message, proven)?.bind(number, peer, most, now) {
            Ok(()) => Ok(Reply::success(message).signed(&proven.key)),
            Err(NotBound::Taken) => Err(refusal(message, proven, ErrorCode::BAD_REQUEST)),
            Err(NotBound::Full) => {
                self.figures.refused_capacity += 1;
                Err(refusal(message, proven, ErrorCode::INSUFFICIENT_CAPACITY))
            }
        }
    }

    /// The client's allocation, which has its socket.
    fn own(
        &mut self,
        client: SocketAddr,
        message: &Message<'_>,
        proven: &Proven,
    ) -> Result<&mut Allocation, Vec<u8>> {
        let own = self.clients.get_mut(&client).filter(|own| own.address.is_some());
        own.ok_or_else(|| refusal(message, proven, ErrorCode::ALLOCATION_MISMATCH))
    }

    /// Whether an allocation of `family` may send to that peer at all.
    fn may_reach(
        &mut self,
        peer: SocketAddr,
        family: Family,
        message: &Message<'_>,
        proven: &Proven,
    ) -> Result<(), Vec<u8>> {
        if Family::of(peer) != family {
            return Err(refusal(message, proven, ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH));
        }
        if self.settings.peers.allow(peer.ip()) || self.relays_on(peer.ip()) {
            return Ok(());
        }
        self.figures.refused_peer += 1;
        Err(refusal(message, proven, ErrorCode::FORBIDDEN))
    }
}

/// What comes after a request for an allocation.
enum Next {
    Open(RelayId, Family),
    /// Its socket is being opened.
    Wait,
    Repeat(Vec<u8>),
}

fn refusal(message: &Message<'_>, proven: &Proven, code: u16) -> Vec<u8> {
    Reply::error(message, code).signed(&proven.key)
}

fn only(message: &Message<'_>, proven: &Proven, attributes: &[AttributeType]) -> Result<(), Vec<u8>> {
    known(message, attributes).map_err(|unknown| {
        Reply::error(message, ErrorCode::UNKNOWN_ATTRIBUTE).with_unknown(&unknown).signed(&proven.key)
    })
}

/// Whether there is nothing that must be understood and is not (RFC 8489 §6.3.1).
fn known(message: &Message<'_>, attributes: &[AttributeType]) -> Result<(), UnknownAttributes> {
    let mut unknown = UnknownAttributes::new(&[]);
    let mut any = false;
    for (_, attribute) in message.iter_attributes() {
        let kind = attribute.get_type();
        if kind.comprehension_required() && !EVERYWHERE.contains(&kind) && !attributes.contains(&kind) {
            unknown.add_attribute(kind);
            any = true;
        }
    }
    if any { Err(unknown) } else { Ok(()) }
}

/// The peers that are named; `None` if one cannot be read.
fn peers(message: &Message<'_>) -> Option<Vec<SocketAddr>> {
    let named =
        message.iter_attributes().filter(|(_, attribute)| attribute.get_type() == XorPeerAddress::TYPE);
    named
        .map(|(_, attribute)| {
            let peer = XorPeerAddress::from_raw_ref(&attribute).ok()?.addr(message.transaction_id());
            // An IPv4 address in the clothes of IPv6 is nobody's on a wire.
            (peer.ip().to_canonical() == peer.ip()).then_some(peer)
        })
        .collect()
}

fn asked_family(message: &Message<'_>) -> Result<Option<Family>, ()> {
    if !message.has_attribute(RequestedAddressFamily::TYPE) {
        return Ok(None);
    }
    let asked = message.attribute::<RequestedAddressFamily>().map_err(|_| ())?;
    Ok(Some(if asked.family() == AddressFamily::IPV4 { Family::V4 } else { Family::V6 }))
}

/// What is asked for, within what is given; zero asks for the end.
fn asked_lifetime(message: &Message<'_>) -> Duration {
    match message.attribute::<Lifetime>() {
        Ok(asked) if asked.seconds() == 0 => Duration::ZERO,
        Ok(asked) => Duration::from_secs(asked.seconds().into()).clamp(LIFETIME, LIFETIME_MAX),
        Err(_) => LIFETIME,
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

fn allocated(
    transaction: TransactionId,
    client: SocketAddr,
    address: SocketAddr,
    own: &Allocation,
) -> Vec<u8> {
    Reply::success_of(turn_types::message::ALLOCATE, transaction)
        .with(&XorRelayedAddress::new(address, transaction))
        .with(&Lifetime::new(seconds(own.lifetime)))
        .with(&reply::mapped(client, transaction))
        .signed(&own.key)
}

fn no_capacity(transaction: TransactionId, own: &Allocation) -> Vec<u8> {
    Reply::error_of(turn_types::message::ALLOCATE, transaction, ErrorCode::INSUFFICIENT_CAPACITY)
        .signed(&own.key)
}
