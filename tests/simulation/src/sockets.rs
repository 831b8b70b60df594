//! Sockets: what a system takes from a gateway, and how a connection ends.

use std::time::Duration;

use streamz_session::{Input, Session};

use crate::gateways::Out;
use crate::history::What;
use crate::world::{Event, ToDevice, World};

/// Bytes that the system takes at a time.
const BURST: usize = 32 * 1024;

impl World {
    pub(crate) fn put(&mut self, pipe: usize, out: Out) {
        let state = &mut self.pipes[pipe];
        if !state.socket {
            return;
        }
        state.waiting.push_back(out);
        if !state.draining {
            state.draining = true;
            self.after(Duration::ZERO, Event::Drain { pipe });
        }
    }

    /// The system reports what it took, and takes as much again as its device reads.
    pub(crate) fn drain(&mut self, pipe: usize) {
        let state = &mut self.pipes[pipe];
        if !state.socket {
            return;
        }
        if state.stalled > self.now {
            let at = state.stalled;
            return self.at(at, Event::Drain { pipe });
        }
        if let Some((bytes, seq)) = state.taken.take() {
            self.feed(pipe, Input::Written { bytes, seq });
        }
        let state = &mut self.pipes[pipe];
        let (mut bytes, mut seq, mut service) = (0, None, Duration::ZERO);
        let mut gone = Vec::new();
        while bytes < BURST
            && let Some(out) = state.waiting.pop_front()
        {
            match out {
                Out::Frame(outgoing) => {
                    bytes += outgoing.weight();
                    seq = outgoing.seq.or(seq);
                    gone.push(ToDevice::Text(outgoing.render()));
                }
                Out::Ping => gone.push(ToDevice::Ping),
                Out::Close(code) => {
                    gone.push(ToDevice::Close(code));
                    state.socket = false;
                    break;
                }
            }
        }
        if let Some(speed) = self.clients[state.device].speed {
            service = Duration::from_millis(bytes as u64 * 1000 / speed);
        }
        state.draining = bytes > 0 || !state.waiting.is_empty();
        state.taken = (bytes > 0).then_some((bytes, seq));
        for frame in gone {
            self.send_down(pipe, frame, service);
        }
        if self.pipes[pipe].draining {
            self.after(service, Event::Drain { pipe });
        }
    }

    pub(crate) fn send_down(&mut self, pipe: usize, frame: ToDevice, service: Duration) {
        if let ToDevice::Text(text) = &frame {
            self.note_written(pipe, text);
        }
        let delay = self.dice.millis(0, self.plan.device_delay) + service;
        let state = &mut self.pipes[pipe];
        state.down_free = (self.now + delay).max(state.down_free);
        let at = state.down_free;
        self.at(at, Event::ToDevice { pipe, frame });
    }

    pub(crate) fn note_written(&mut self, pipe: usize, text: &str) {
        // A simple client's socket is the last that is known of a message: see the meaning of `delivered`.
        let device = self.pipes[pipe].device;
        if !self.clients[device].simple {
            return;
        }
        let session = self.pipes[pipe].session.as_ref().and_then(Session::id);
        let frame: Option<streamz_protocol::server::ServerFrame> = serde_json::from_str(text).ok();
        if let (Some(session), Some(mid)) = (session, frame.and_then(|frame| frame.mid)) {
            self.saw(What::Wrote { device, session, mid });
        }
    }

    /// The gateway learns that the device's end is gone.
    pub(crate) fn socket_gone(&mut self, pipe: usize, clean: bool) {
        if !self.pipes[pipe].socket {
            return;
        }
        self.pipes[pipe].socket = false;
        self.pipes[pipe].waiting.clear();
        self.feed(pipe, Input::SocketGone { clean });
    }

    /// The gateway gives a socket up without another word.
    pub(crate) fn drop_socket(&mut self, pipe: usize) {
        if std::mem::replace(&mut self.pipes[pipe].socket, false) {
            self.pipes[pipe].waiting.clear();
            self.break_pipe(pipe);
        }
    }

    /// A connection breaks: what is on its way is lost, both ends learn of it soon.
    pub(crate) fn break_pipe(&mut self, pipe: usize) {
        if std::mem::replace(&mut self.pipes[pipe].cut, true) {
            return;
        }
        self.saw(What::Troubled { pipe });
        let (at_gateway, at_device) = (self.dice.millis(0, 300), self.dice.millis(0, 300));
        self.after(at_gateway, Event::GatewayNotices { pipe });
        if !self.pipes[pipe].silent {
            self.after(at_device, Event::DeviceNotices { pipe });
        }
    }
}
