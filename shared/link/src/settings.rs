//! The bounds and times of a link.

use std::time::Duration;

/// What a kept frame weighs beside its own bytes.
pub const FRAME_OVERHEAD: usize = 64;

/// The bounds and times of a link. All bytes are [`Weigh::bytes`](crate::Weigh::bytes) plus [`FRAME_OVERHEAD`] for each
/// frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Unconfirmed bytes from which on refusable frames are refused.
    pub max_bytes: usize,
    /// What frames that must not be refused may take beyond `max_bytes`.
    pub must_bytes: usize,
    /// Bytes under way at most: transmitted and not confirmed. The rest waits here. A single frame may be larger.
    pub window_bytes: usize,
    /// Bytes under way at the beginning and after each time that nothing was confirmed for too long; every confirmation
    /// adds what it confirms, up to `window_bytes`.
    pub burst_bytes: usize,
    /// Bytes that may wait for their turn. At least `window_bytes` of the other side, or it sends in vain.
    pub reorder_bytes: usize,
    /// How long a confirmation waits for a frame that carries it.
    pub ack_delay: Duration,
    /// Received frames after which it waits no longer.
    pub ack_frames: u32,
    /// Received bytes after which it waits no longer. Well below `burst_bytes` of the other side, or that waits for it.
    pub ack_bytes: u32,
    /// After how long without a confirmation everything goes again.
    pub rto_min: Duration,
    /// What that doubles up to.
    pub rto_max: Duration,
}

/// The settings of the cluster.
pub static DEFAULT: Settings = Settings {
    max_bytes: 32 << 20,
    must_bytes: 16 << 20,
    window_bytes: 4 << 20,
    burst_bytes: 64 << 10,
    reorder_bytes: 4 << 20,
    ack_delay: Duration::from_millis(20),
    ack_frames: 32,
    ack_bytes: 16 << 10,
    rto_min: Duration::from_millis(200),
    rto_max: Duration::from_secs(2),
};
