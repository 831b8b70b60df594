//! A look at what a hub holds, for gauges and for whoever checks that it stays bounded.

use streamz_protocol::bus::LiveStream;

use crate::hub::Hub;

/// How much a hub holds; of what each session or stream has, the largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Devices of the account.
    pub devices: usize,
    /// Sessions, attached and away.
    pub sessions: usize,
    /// Live streams.
    pub streams: usize,
    /// Connections that wait for the store.
    pub joining: usize,
    /// Inputs that wait for the end of a recovery, or for the right to decide.
    pub waiting: usize,
    /// Frames in a replay window.
    pub window_frames: usize,
    /// Bytes in a replay window.
    pub window_bytes: usize,
    /// Messages of a session without an outcome.
    pub open: usize,
    /// Outcomes that a session remembers.
    pub settled: usize,
    /// Senders that a session has heard.
    pub heard: usize,
    /// Candidates of a stream that wait for their description.
    pub held: usize,
    /// Verdicts that no sender was told of.
    pub verdicts: usize,
}

impl Hub {
    /// How much it holds.
    #[must_use]
    pub fn load(&self) -> Load {
        let mut load = Load {
            devices: self.devices.len(),
            sessions: self.members.len(),
            streams: self.streams.len(),
            joining: self.joining.len(),
            waiting: self.waiting.len() + self.recovery.as_ref().map_or(0, |recovery| recovery.waiting()),
            held: self.streams.iter().map(|live| live.held.len()).max().unwrap_or(0),
            verdicts: self.verdicts.len(),
            ..Load::default()
        };
        for member in &self.members {
            let (frames, bytes) = member.window_size();
            load.window_frames = load.window_frames.max(frames);
            load.window_bytes = load.window_bytes.max(bytes);
            load.open = load.open.max(member.open.len());
            load.settled = load.settled.max(member.outcomes().len());
            load.heard = load.heard.max(member.heard.len());
        }
        load
    }

    /// The user's live streams.
    pub fn live_streams(&self) -> impl Iterator<Item = &LiveStream> {
        self.streams.iter().map(|live| &live.stream)
    }
}
