//! What passes through.

use std::net::SocketAddr;

use streamz_protocol::Millis;
use stun_types::message::Message;
use turn_types::attribute::{Data, XorPeerAddress};

use crate::reply;
use crate::server::Server;
use crate::{Effect, Peers, RelayId};

impl Server {
    pub(crate) fn channel_data(
        &mut self,
        client: SocketAddr,
        number: u16,
        data: &[u8],
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        match self.clients.get(&client).and_then(|own| own.peer_of(number, now)) {
            Some(peer) => self.pass_on(client, peer, data, now, out),
            None => self.figures.dropped_peer += 1,
        }
    }

    pub(crate) fn send_indication(
        &mut self,
        client: SocketAddr,
        message: &Message<'_>,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let said = (message.attribute::<XorPeerAddress>(), message.attribute::<Data<'_>>());
        let (Ok(peer), Ok(data)) = said else { return };
        let peer = peer.addr(message.transaction_id());
        match self.clients.get(&client).is_some_and(|own| own.permits(peer.ip(), now)) {
            true => self.pass_on(client, peer, data.data(), now, out),
            false => self.figures.dropped_peer += 1,
        }
    }

    fn pass_on(
        &mut self,
        client: SocketAddr,
        peer: SocketAddr,
        data: &[u8],
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let Some(own) = self.clients.get(&client) else { return };
        let (relay, address, user) = (own.relay, own.address, own.user.clone());
        let neighbour = self.addresses.get(&peer).copied();
        // Of this host, only what relays is reached: a permission names no port.
        let outside = match self.settings.peers {
            Peers::Any => true,
            Peers::Public => Peers::Public.allow(peer.ip()) && !self.relays_on(peer.ip()),
        };
        if neighbour.is_none() && !outside {
            self.figures.dropped_peer += 1;
            return;
        }
        if !self.users.take(&user, data.len(), self.settings.bandwidth, now) {
            self.figures.dropped_bandwidth += 1;
            return;
        }
        self.figures.relayed_bytes += u64::try_from(data.len()).unwrap_or(u64::MAX);
        match (neighbour, address) {
            (Some(neighbour), Some(address)) => self.take_in(neighbour, address, data, now, out),
            _ => out.push(Effect::ToPeer { relay, peer, data: data.to_vec() }),
        }
    }

    pub(crate) fn take_in(
        &mut self,
        relay: RelayId,
        peer: SocketAddr,
        data: &[u8],
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let Some(client) = self.relays.get(&relay).copied() else { return };
        let Some(own) = self.clients.get(&client) else { return };
        let channel = own.channel_of(peer, now);
        if channel.is_none() && !own.permits(peer.ip(), now) {
            self.figures.dropped_peer += 1;
            return;
        }
        let user = own.user.clone();
        if !self.users.take(&user, data.len(), self.settings.bandwidth, now) {
            self.figures.dropped_bandwidth += 1;
            return;
        }
        let bytes = match channel {
            Some(number) => Some(reply::channel_data(number, data)),
            None => {
                self.last_transaction += 1;
                reply::data_indication(self.last_transaction.into(), peer, data)
            }
        };
        if let Some(bytes) = bytes {
            self.figures.relayed_bytes += u64::try_from(data.len()).unwrap_or(u64::MAX);
            out.push(Effect::ToClient { client, data: bytes });
        }
    }
}
