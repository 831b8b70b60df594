//! The limits that the state machines keep, with the defaults of the documentation.

use std::time::Duration;

/// What bounds a session and a hub. Every field is configurable; see `docs/configuration.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame that a device may send, in bytes.
    pub frame_bytes: usize,
    /// Frames waiting for a device's socket, in bytes; beyond it the socket is closed with 4002.
    pub outbound_bytes: usize,
    /// The time between two server pings.
    pub heartbeat: Duration,
    /// Pings that may go unanswered before the socket is closed with 4003.
    pub missed_heartbeats: u32,
    /// Devices of one user that may be online at the same time.
    pub devices_online: usize,
    /// Devices of one user that may be registered.
    pub devices_registered: usize,
    /// How long a session outlives its socket.
    pub resume_window: Duration,
    /// How long a device that lost its socket is still shown online.
    pub offline_grace: Duration,
    /// How long a ring lasts without an answer.
    pub ring: Duration,
    /// How long a message may be without an outcome.
    pub delivery: Duration,
    /// Sequenced frames that a session keeps for a resume.
    pub window_frames: usize,
    /// The same, in bytes.
    pub window_bytes: usize,
    /// Messages of one sending session that may be without an outcome.
    pub unsettled: usize,
    /// The same, in bytes.
    pub unsettled_bytes: usize,
    /// Candidates of one sender in one stream that wait for their offer or answer.
    pub held_candidates: usize,
    /// Live streams of one user.
    pub streams: usize,
    /// Outcomes that a session remembers to repeat them, beside those in its window.
    pub remembered_outcomes: usize,
    /// Refused messages, of which one a second is forgiven, before the socket is closed with 4004.
    pub rate_strikes: u32,
    /// How long before its end a lapsing token is announced with `token_expiring`.
    pub token_notice: Duration,
}

impl Limits {
    /// Outcomes that a session holds at most: a whole window of them may be unconfirmed.
    #[must_use]
    pub fn outcomes(&self) -> usize {
        self.remembered_outcomes.saturating_add(self.window_frames)
    }

    /// When a hub gives up on a message: a little before its sender must have heard of it.
    #[must_use]
    pub fn hub_delivery(&self) -> Duration {
        self.delivery - Duration::from_secs(1).min(self.delivery / 10)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 64 * 1024,
            outbound_bytes: 512 * 1024,
            heartbeat: Duration::from_secs(25),
            missed_heartbeats: 2,
            devices_online: 32,
            devices_registered: 128,
            resume_window: Duration::from_secs(60),
            offline_grace: Duration::from_secs(10),
            ring: Duration::from_secs(30),
            delivery: Duration::from_secs(30),
            window_frames: 256,
            window_bytes: 256 * 1024,
            unsettled: 256,
            unsettled_bytes: 512 * 1024,
            held_candidates: 64,
            streams: 64,
            remembered_outcomes: 256,
            rate_strikes: 200,
            token_notice: Duration::from_secs(60),
        }
    }
}
