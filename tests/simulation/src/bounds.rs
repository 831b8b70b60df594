//! Promise 6, checked after every single step: nothing grows past its limit.

use crate::world::World;

/// What hubs and gateways keep beyond the configured limits; see their sources.
const JOINING: usize = 64;
const WAITING: usize = 4_096 + 2_048;
const HEARD: usize = 256;

impl World {
    pub(crate) fn check_hub(&mut self, place: usize) {
        let user = self.hubs[place].user;
        let Some(hub) = &self.hubs[place].hub else { return };
        let (load, limits) = (hub.load(), &self.plan.limits);
        let held = limits.held_candidates * load.sessions.max(1);
        let bounds = [
            ("window frames", load.window_frames, limits.window_frames),
            ("window bytes", load.window_bytes, limits.window_bytes),
            ("open messages", load.open, limits.unsettled),
            ("remembered outcomes", load.settled, limits.outcomes()),
            ("heard senders", load.heard, HEARD),
            ("held candidates", load.held, held),
            ("streams", load.streams, limits.streams),
            ("joining connections", load.joining, JOINING),
            ("waiting inputs", load.waiting, WAITING),
            ("verdicts that nobody was told of", load.verdicts, 0),
            ("sessions", load.sessions, limits.devices_registered + limits.devices_online),
        ];
        self.check(&format!("the hub of user {user}"), &bounds);
    }

    pub(crate) fn check_session(&mut self, pipe: usize) {
        let Some(session) = &self.pipes[pipe].session else { return };
        let (load, limits) = (session.load(), &self.plan.limits);
        // With the user's devices and live streams.
        let welcome = 2 * 1024 + 700 * limits.streams;
        let bounds = [
            (
                "bytes that wait for the socket",
                load.queued,
                limits.outbound_bytes + welcome + limits.window_bytes,
            ),
            ("window frames", load.window_frames, limits.window_frames),
            ("window bytes", load.window_bytes, limits.window_bytes),
            ("open messages", load.open, limits.unsettled),
            ("bytes of open messages", load.open_bytes, limits.unsettled_bytes),
            ("remembered outcomes", load.settled, limits.outcomes()),
            ("heard senders", load.heard, HEARD),
            ("devices in view", load.view, limits.devices_registered + limits.devices_online),
            ("live streams", load.live, limits.streams),
            ("ended streams", load.over, streamz_protocol::bus::OVER_KEPT),
        ];
        self.check(&format!("the session on connection {pipe}"), &bounds);
    }

    fn check(&mut self, whose: &str, bounds: &[(&str, usize, usize)]) {
        for (what, is, most) in bounds {
            if is > most {
                self.breaks(format!("P6: {whose} holds {is} {what}, and {most} is the most"));
            }
        }
    }
}
