//! Real WebRTC peers that find each other through a running Streamz.
//!
//! Streamz never sees media, so this package stands in for the apps that use it: [`Peer`] is a WebRTC endpoint on
//! the loopback interface that says what it wants to have signaled and takes what it is told.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod channel;
mod figures;
mod film;
mod media;
mod party;
mod pattern;
mod peer;

pub use channel::Channel;
pub use figures::Figures;
pub use film::{Projector, Seen, Viewer};
pub use media::{Codec, Listener, MediaError, Received, Speaker};
pub use party::{CallError, Party, Signal, Step};
pub use pattern::pattern;
pub use peer::{Peer, PeerError, PeerEvent, PeerEvents, PeerState};
