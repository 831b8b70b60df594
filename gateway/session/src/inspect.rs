//! A look at what a session holds, for gauges and for whoever checks that it stays bounded.

use crate::session::Session;

/// How much a session holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes that wait for the socket.
    pub queued: usize,
    /// Frames in the replay window.
    pub window_frames: usize,
    /// Bytes in the replay window.
    pub window_bytes: usize,
    /// Messages without an outcome.
    pub open: usize,
    /// The same, in bytes.
    pub open_bytes: usize,
    /// Outcomes that are remembered.
    pub settled: usize,
    /// Senders that were heard.
    pub heard: usize,
    /// Devices that are known to be online.
    pub view: usize,
    /// Live streams.
    pub live: usize,
    /// Streams that ended.
    pub over: usize,
}

impl Session {
    /// How much it holds.
    #[must_use]
    pub fn load(&self) -> Load {
        let queued = self.queued;
        self.copy.as_ref().map_or(Load { queued, ..Load::default() }, |copy| Load {
            queued,
            window_frames: copy.window.len(),
            window_bytes: copy.window_bytes,
            open: copy.open.len(),
            open_bytes: copy.open_bytes,
            settled: copy.settled.len(),
            heard: copy.heard.len(),
            view: copy.view.len(),
            live: copy.live.len(),
            over: copy.over.len(),
        })
    }
}
