//! One client's allocation.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use streamz_protocol::Millis;
use stun_types::message::{IntegrityKey, TransactionId};

use crate::{Family, RelayId};

/// RFC 8656 §9.
const PERMISSION_LIFE: Duration = Duration::from_secs(300);
/// RFC 8656 §12.
const CHANNEL_LIFE: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) relay: RelayId,
    pub(crate) user: Arc<str>,
    /// The name and the key under which it goes on.
    pub(crate) username: Box<str>,
    pub(crate) key: IntegrityKey,
    pub(crate) family: Family,
    /// Of the request that made it: the same one again is a repetition.
    pub(crate) transaction: TransactionId,
    pub(crate) lifetime: Duration,
    pub(crate) expires: Millis,
    /// The relayed address, once there is one.
    pub(crate) address: Option<SocketAddr>,
    permissions: BTreeMap<IpAddr, Millis>,
    channels: BTreeMap<u16, Channel>,
    bound: BTreeMap<SocketAddr, u16>,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    peer: SocketAddr,
    expires: Millis,
}

/// Why a channel is not bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotBound {
    /// The number has another peer, or the peer another number.
    Taken,
    /// There are as many as there may be.
    Full,
}

/// What an allocation begins with.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) relay: RelayId,
    pub(crate) user: Arc<str>,
    pub(crate) username: Box<str>,
    pub(crate) key: IntegrityKey,
    pub(crate) family: Family,
    pub(crate) transaction: TransactionId,
    pub(crate) lifetime: Duration,
}

impl Allocation {
    pub(crate) fn new(beginning: Beginning, now: Millis) -> Self {
        let Beginning { relay, user, username, key, family, transaction, lifetime } = beginning;
        Self {
            relay,
            user,
            username,
            key,
            family,
            transaction,
            lifetime,
            expires: now + lifetime,
            address: None,
            permissions: BTreeMap::new(),
            channels: BTreeMap::new(),
            bound: BTreeMap::new(),
        }
    }

    pub(crate) fn permits(&self, peer: IpAddr, now: Millis) -> bool {
        self.permissions.get(&peer).is_some_and(|expires| now < *expires)
    }

    /// Whether all of `peers` can have a permission without there being more than `most`.
    pub(crate) fn has_room(&self, peers: &[SocketAddr], most: usize) -> bool {
        let mut new: Vec<IpAddr> = peers.iter().map(SocketAddr::ip).collect();
        new.sort_unstable();
        new.dedup();
        new.retain(|peer| !self.permissions.contains_key(peer));
        self.permissions.len() + new.len() <= most
    }

    pub(crate) fn permit(&mut self, peer: IpAddr, now: Millis) {
        self.permissions.insert(peer, now + PERMISSION_LIFE);
    }

    /// Binds a channel, or renews it, and the peer's permission with it.
    pub(crate) fn bind(
        &mut self,
        number: u16,
        peer: SocketAddr,
        most: usize,
        now: Millis,
    ) -> Result<(), NotBound> {
        self.sweep(now);
        let other = self.channels.get(&number).is_some_and(|channel| channel.peer != peer);
        if other || self.bound.get(&peer).is_some_and(|bound| *bound != number) {
            return Err(NotBound::Taken);
        }
        let full = !self.channels.contains_key(&number) && self.channels.len() >= most;
        if full || !self.has_room(&[peer], most) {
            return Err(NotBound::Full);
        }
        self.channels.insert(number, Channel { peer, expires: now + CHANNEL_LIFE });
        self.bound.insert(peer, number);
        self.permit(peer.ip(), now);
        Ok(())
    }

    pub(crate) fn peer_of(&self, number: u16, now: Millis) -> Option<SocketAddr> {
        let channel = self.channels.get(&number)?;
        (now < channel.expires).then_some(channel.peer)
    }

    pub(crate) fn channel_of(&self, peer: SocketAddr, now: Millis) -> Option<u16> {
        let number = *self.bound.get(&peer)?;
        self.peer_of(number, now).map(|_| number)
    }

    /// Drops what has lapsed.
    pub(crate) fn sweep(&mut self, now: Millis) {
        self.permissions.retain(|_, expires| now < *expires);
        self.channels.retain(|_, channel| now < channel.expires);
        let Self { bound, channels, .. } = self;
        bound.retain(|_, number| channels.contains_key(number));
    }
}
