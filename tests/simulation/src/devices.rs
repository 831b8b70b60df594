//! Devices: how they connect, what they make of what they hear, and when they come back.

use std::time::Duration;

use streamz_protocol::bus::Resume;
use streamz_protocol::server::{ServerFrame, ServerMessage};
use streamz_protocol::{CloseCode, client_encode};

use crate::client::{Follow, Open};
use crate::history::{Part, Rested, RestedHub, What};
use crate::seen;
use crate::workload::Deed;
use crate::world::{Event, FromDevice, ToDevice, World};

impl World {
    pub(crate) fn connect(&mut self, device: usize) {
        let client = &self.clients[device];
        if client.pipe.is_some() || !client.wanted {
            return;
        }
        let resume = client.session.filter(|_| !client.simple);
        let resume = resume.map(|session| Resume { session, last_seq: client.last_seq });
        let alive: Vec<usize> = (0..self.gateways.len()).filter(|at| self.gateways[*at].alive).collect();
        if alive.is_empty() {
            return self.after(Duration::from_millis(300), Event::Connect { device });
        }
        let gateway = self.dice.pick(&alive);
        let pipe = self.new_pipe(device, gateway);
        self.clients[device].pipe = Some(pipe);
        self.clients[device].live = false;
        self.saw(What::Connects { device, pipe, resume });
        self.put_on_pipe(pipe, FromDevice::Open { resume });
    }

    /// Hands a frame to the connection; it arrives after what was handed over before it.
    pub(crate) fn put_on_pipe(&mut self, pipe: usize, frame: FromDevice) {
        let delay = self.dice.millis(0, self.plan.device_delay);
        let state = &mut self.pipes[pipe];
        state.up_free = (self.now + delay).max(state.up_free);
        let at = state.up_free;
        self.at(at, Event::ToGateway { pipe, frame });
    }

    pub(crate) fn device_reads(&mut self, pipe: usize, frame: ToDevice) {
        let state = &self.pipes[pipe];
        if state.cut || state.silent || !state.held {
            return;
        }
        let device = state.device;
        match frame {
            ToDevice::Ping => self.put_on_pipe(pipe, FromDevice::Pong),
            ToDevice::Close(code) => self.device_lost(pipe, Some(code)),
            ToDevice::Text(text) => match serde_json::from_str::<ServerFrame>(&text) {
                Ok(frame) => self.device_hears(device, pipe, frame),
                Err(error) => self.breaks(format!("a device cannot read {text}: {error}")),
            },
        }
    }

    fn device_hears(&mut self, device: usize, pipe: usize, frame: ServerFrame) {
        self.observe(device, pipe, &frame);
        self.mark_streams(device, &frame);
        let follow = self.clients[device].hear(frame);
        match follow {
            Some(Follow::SendAgain(open)) => {
                for Open { tag, text, .. } in open {
                    self.transmit(device, tag, text);
                }
            }
            Some(Follow::Rung(stream)) => self.decide_on_ring(device, stream),
            Some(Follow::Connected(stream)) => self.negotiate(device, stream),
            Some(Follow::TokenLapses) => {
                let answers = self.dice.chance(85) || self.healed;
                if answers {
                    let token = if self.dice.chance(10) && !self.healed { "bad" } else { "good" };
                    self.put_on_pipe(pipe, FromDevice::Text { text: client_encode::auth(token), tag: None });
                }
            }
            None => {}
        }
        let client = &mut self.clients[device];
        if !client.simple && client.last_seq > client.acked && !client.confirming {
            client.confirming = true;
            let delay = self.dice.pick(&[0, 0, 20, 300]);
            self.after(Duration::from_millis(delay), Event::Confirm { device });
        }
    }

    pub(crate) fn confirm(&mut self, device: usize) {
        let client = &mut self.clients[device];
        client.confirming = false;
        if let Some(pipe) = client.pipe
            && client.live
            && client.last_seq > client.acked
        {
            client.acked = client.last_seq;
            let text = client_encode::ack(client.acked);
            self.put_on_pipe(pipe, FromDevice::Text { text, tag: None });
        }
    }

    /// Writes down what a frame said.
    fn observe(&mut self, device: usize, pipe: usize, frame: &ServerFrame) {
        if let ServerMessage::Welcome(welcome) = &frame.message {
            return self.saw(seen::welcomed(device, pipe, &self.clients[device].id, welcome));
        }
        let Some(session) = self.clients[device].session.filter(|_| self.clients[device].live) else {
            return self.breaks(format!("device {device} heard something before its welcome"));
        };
        let said = seen::said(&frame.message);
        self.saw(What::Heard { device, session, seq: frame.seq, mid: frame.mid, said });
    }

    /// The device knows that its connection is over, and decides when to come back.
    pub(crate) fn device_lost(&mut self, pipe: usize, code: Option<CloseCode>) {
        let device = self.pipes[pipe].device;
        if !std::mem::replace(&mut self.pipes[pipe].held, false) {
            return;
        }
        self.saw(What::Closed { device, pipe, code });
        if self.clients[device].pipe != Some(pipe) {
            return;
        }
        self.clients[device].pipe = None;
        self.clients[device].live = false;
        if !self.pipes[pipe].cut && code.is_none() {
            // It gives up on a connection that the server may still hold.
            self.pipes[pipe].silent = true;
        }
        let back = match code {
            Some(CloseCode::TooManyDevices | CloseCode::Unavailable) => self.dice.millis(1_000, 8_000),
            Some(code) if !code.come_back() => {
                self.clients[device].forget();
                self.dice.millis(500, 15_000)
            }
            _ if self.healed => self.dice.millis(0, 3_000),
            _ => self.away_for(),
        };
        self.after(back, Event::Connect { device });
    }

    /// How long a device stays away: mostly not for long, sometimes around its resume window.
    pub(crate) fn away_for(&mut self) -> Duration {
        match self.dice.below(20) {
            0..12 => self.dice.millis(0, 1_500),
            12..17 => self.dice.millis(1_000, 12_000),
            17..19 => self.dice.millis(10_000, 58_000),
            _ => self.dice.millis(55_000, 80_000),
        }
    }

    pub(crate) fn close_cleanly(&mut self, device: usize) {
        let Some(pipe) = self.clients[device].pipe.take() else { return };
        self.clients[device].live = false;
        self.put_on_pipe(pipe, FromDevice::Close);
        self.pipes[pipe].held = false;
        self.saw(What::Closed { device, pipe, code: None });
    }

    /// What is left when the run is over.
    pub(crate) fn rested(&self) -> Rested {
        let hubs = (0..self.user_ids.len()).map(|user| {
            let mut hubs =
                self.hubs.iter().filter(|slot| slot.user == user).filter_map(|slot| slot.hub.as_ref());
            hubs.next().map(|hub| RestedHub {
                recovering: hub.is_recovering(),
                quiet: hub.rest() != streamz_hub::Rest::Busy,
                sessions: hub.sessions(),
                streams: hub.live_streams().cloned().collect(),
            })
        });
        let live = |client: &crate::client::Client| client.pipe.is_some() && client.live;
        Rested {
            hubs: hubs.collect(),
            records: self.stores.iter().map(|store| store.records.clone()).collect(),
            online_rows: self.stores.iter().flat_map(|store| store.online.clone()).collect(),
            row_owners: self
                .stores
                .iter()
                .enumerate()
                .flat_map(|(user, store)| store.all_rows().map(move |row| (row, user)))
                .collect(),
            rows: self.clients.iter().map(|client| self.stores[client.user].row(&client.id)).collect(),
            connected: self.clients.iter().map(|client| client.session.filter(|_| live(client))).collect(),
            views: self.clients.iter().map(|client| client.online.iter().cloned().collect()).collect(),
            parts: self
                .clients
                .iter()
                .map(|client| client.streams.iter().map(|(id, role)| (*id, role.part)).collect())
                .collect(),
            open: self
                .clients
                .iter()
                .map(|client| client.open.iter().map(|open| open.id.clone()).collect())
                .collect(),
        }
    }

    /// Keeps what a device believes of its streams in step with the outcomes of its own messages.
    fn mark_streams(&mut self, device: usize, frame: &ServerFrame) {
        let (id, outcome) = match &frame.message {
            ServerMessage::Delivered { id } => (id, Some(true)),
            ServerMessage::NotDelivered { id, reason, .. } => {
                (id, (*reason != streamz_protocol::Reason::Expired).then_some(false))
            }
            ServerMessage::Error { id: Some(id), .. } => (id, Some(false)),
            _ => return,
        };
        let Some(tag) = self.clients[device].open.iter().find(|open| open.id == *id).map(|open| open.tag)
        else {
            return;
        };
        let act = self.written[tag].act.clone();
        use crate::history::Act;
        let client = &mut self.clients[device];
        match (act, outcome) {
            (Act::Accept(stream), Some(true)) => {
                // It may have ended it since.
                if let Some(role) = client.streams.get_mut(&stream).filter(|role| role.part != Part::Unsure) {
                    role.part = Part::Active;
                    self.after(Duration::from_millis(5), Event::Do { device, deed: Deed::Negotiate(stream) });
                }
            }
            (Act::End(stream) | Act::Decline(stream), Some(true)) => {
                client.streams.remove(&stream);
            }
            (Act::Accept(stream) | Act::End(stream) | Act::Decline(stream), None) => {
                if let Some(role) = client.streams.get_mut(&stream) {
                    role.part = Part::Unsure;
                }
            }
            // The stream goes on without this device, or is over.
            (Act::Accept(stream), Some(false)) => {
                if let Some(role) = client.streams.get_mut(&stream)
                    && role.part == Part::Rung
                {
                    role.part = Part::Unsure;
                }
            }
            _ => {}
        }
    }
}
