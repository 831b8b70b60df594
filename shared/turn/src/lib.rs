//! A TURN server (RFC 8656) over UDP, with the credentials of coturn's `use-auth-secret` and limits per user. Pure.
//!
//! [`Server::handle`] takes what arrived ([`Input`]) with the time, and says what is to be done ([`Effect`]): which bytes
//! to send where, which sockets to open and close. There is no socket, clock or task in here; a shell moves the bytes.
//! STUN and TURN messages are read and written by `stun-types` and `turn-types`.
//!
//! # What it does
//! Binding (so it is a STUN server, too), Allocate, Refresh, CreatePermission, ChannelBind, Send and ChannelData, with
//! relayed addresses of the client's own family. It has no reserved ports (EVEN-PORT), no DONT-FRAGMENT, no TCP: these are
//! answered as unknown attributes or as not supported, which clients of WebRTC never ask for.
//!
//! # Whom it serves
//! Who has a name and a password that [`Credentials`] vouches for at the moment of the Allocate. An allocation goes on
//! under the name with which it began, also when that has lapsed, as coturn's do: a call outlives its credentials.
//!
//! # Where it relays to
//! To addresses of the internet ([`Peers`]), and to relayed addresses of its own, whatever those are: two devices that
//! can both do nothing but relay meet in here, and no packet of theirs leaves. Never to another port of an address on
//! which it relays: what listens there may trust its own machine.
//!
//! # Bounds
//! [`Settings`] has them all. Nothing is kept for somebody without an allocation: nonces are made from the time, the
//! client's address and a key, and checked by making them again.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod allocation;
mod nonce;
mod peers;
mod relaying;
mod reply;
mod requests;
mod server;
mod users;

use std::net::SocketAddr;

use secrecy::SecretString;

pub use nonce::NonceKey;
pub use peers::Peers;
pub use server::Server;

/// The socket of one allocation, by a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId(pub u64);

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// That of an address, which must not be an IPv4 address in the clothes of IPv6.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Why there is no socket for an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSocket {
    /// No port of the range is free, or the system gives no more sockets.
    Capacity,
}

/// What a server takes. Addresses are canonical: IPv4 is never written as `::ffff:a.b.c.d`.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A datagram of a client, or of somebody who wants to be one.
    FromClient {
        /// From where.
        client: SocketAddr,
        /// What.
        data: &'a [u8],
    },
    /// A datagram that arrived at an allocation's socket.
    FromPeer {
        /// At which.
        relay: RelayId,
        /// From where.
        peer: SocketAddr,
        /// What.
        data: &'a [u8],
    },
    /// The answer to [`Effect::Open`]: the address that the client is to tell others.
    Opened {
        /// Which.
        relay: RelayId,
        /// The relayed address.
        address: Result<SocketAddr, NoSocket>,
    },
    /// Time has passed: what has lapsed is dropped. Once a second is enough.
    Tick,
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send this from the server's socket.
    ToClient {
        /// To whom.
        client: SocketAddr,
        /// What.
        data: Vec<u8>,
    },
    /// Send this from an allocation's socket.
    ToPeer {
        /// From which.
        relay: RelayId,
        /// To whom.
        peer: SocketAddr,
        /// What.
        data: Vec<u8>,
    },
    /// Open a socket for an allocation of `client`, and answer with [`Input::Opened`].
    Open {
        /// Under which number.
        relay: RelayId,
        /// Whose.
        client: SocketAddr,
        /// Of which family.
        family: Family,
    },
    /// Close an allocation's socket.
    Close {
        /// Which.
        relay: RelayId,
    },
}

/// Whom a name belongs to, and the password that proves it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user, for the limits: all names of one user count together.
    pub user: String,
    /// The password that belongs to the name.
    pub password: SecretString,
}

/// Knows the names that may be used now.
pub trait Credentials {
    /// Whose name that is; `None` if it is nobody's, or has lapsed.
    fn account(&self, username: &str) -> Option<Account>;
}

/// What bounds a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What credentials are made for (RFC 8489 §9.2); it is told to everybody.
    pub realm: String,
    /// Allocations of all users.
    pub allocations: usize,
    /// Allocations of one user.
    pub allocations_per_user: usize,
    /// Bytes that all allocations of one user may relay in a second, both ways together; what is over is dropped.
    pub bandwidth: u64,
    /// Addresses to which one allocation may send, and channels that it may have.
    pub peers_per_allocation: usize,
    /// Where packets may be relayed to.
    pub peers: Peers,
}

/// What a server has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Allocations now.
    pub allocations: usize,
    /// Allocations that were made.
    pub allocated: u64,
    /// Bytes that were relayed, both ways, without what TURN adds.
    pub relayed_bytes: u64,
    /// Requests with a name or a password that is wrong or has lapsed.
    pub refused_credentials: u64,
    /// Allocations beyond a user's most.
    pub refused_quota: u64,
    /// What there was no room for: allocations, ports, permissions, channels.
    pub refused_capacity: u64,
    /// Requests that named an address to which nothing is relayed.
    pub refused_peer: u64,
    /// Packets over a user's bandwidth.
    pub dropped_bandwidth: u64,
    /// Packets from or to somebody that the client has not permitted, or that nobody may.
    pub dropped_peer: u64,
}
