//! Whatever comes: a hub is never stuck, never busy for nothing, and ends empty.

use proptest::prelude::*;
use serde_json::json;
use streamz_hub::{Effect, Input, RegisterFailure, Rest, StoreAway};
use streamz_protocol::SessionId;
use streamz_protocol::bus::{Attach, Detach, DeviceChange, OpenMessage, Replica, Up};
use uuid::Uuid;

use crate::support::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// One thing that happens. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Attach { conn: u64, device: usize, simple: bool, resume: bool },
    Say { conn: u64, what: usize, to: usize },
    Ack { conn: u64, seq: u64 },
    Detach { conn: u64, how: usize },
    Gone { conn: u64 },
    Removed { device: usize },
    Revoke,
    Answer { ok: bool },
    Wait { millis: u64 },
    Deadline,
    Roster { conns: Vec<u64> },
    Announce { conn: u64, device: usize, away: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let conn = 1..7u64;
    let device = 0..NAMES.len();
    prop_oneof![
        4 => (conn.clone(), device.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(conn, device, simple, resume)| Step::Attach { conn, device, simple, resume }),
        8 => (conn.clone(), 0..8usize, 0..=NAMES.len())
            .prop_map(|(conn, what, to)| Step::Say { conn, what, to }),
        4 => (conn.clone(), 0..20u64).prop_map(|(conn, seq)| Step::Ack { conn, seq }),
        2 => (conn.clone(), 0..3usize).prop_map(|(conn, how)| Step::Detach { conn, how }),
        1 => conn.clone().prop_map(|conn| Step::Gone { conn }),
        1 => device.clone().prop_map(|device| Step::Removed { device }),
        1 => Just(Step::Revoke),
        4 => any::<bool>().prop_map(|ok| Step::Answer { ok }),
        3 => (0..40_000u64).prop_map(|millis| Step::Wait { millis }),
        3 => Just(Step::Deadline),
        2 => proptest::collection::vec(conn.clone(), 0..3).prop_map(|conns| Step::Roster { conns }),
        2 => (conn, device, any::<bool>())
            .prop_map(|(conn, device, away)| Step::Announce { conn, device, away }),
    ]
}

/// A bench with the questions that the store has not answered.
struct Watched {
    bench: Bench,
    loads: usize,
    registers: Vec<(u64, String)>,
    attached: Vec<u64>,
    streams: Vec<String>,
    /// Connections that asked for a session or announced one: they do either.
    used: Vec<u64>,
}

impl Watched {
    fn note(&mut self, seen: Seen) {
        for effect in &seen.0 {
            match effect {
                Effect::Load => self.loads += 1,
                Effect::Register { conn, device, .. } => {
                    self.registers.push((conn.number, device.to_string()));
                }
                _ => {}
            }
        }
        for number in 1..7 {
            if seen.attached(number).is_some() {
                self.attached.push(number);
            }
            for frame in seen.frames(number) {
                self.streams.extend(frame["payload"]["stream_id"].as_str().map(str::to_owned));
            }
        }
        self.check();
    }

    /// A hub that has something to do has a time for it, or waits for an answer.
    fn check(&self) {
        let waits = self.loads > 0 || !self.registers.is_empty() || self.bench.hub.is_recovering();
        if self.bench.hub.rest() == Rest::Busy && !waits {
            assert!(self.bench.hub.next_deadline().is_some(), "stuck: {:?}", self.bench.hub);
        }
        if self.bench.hub.rest() != Rest::Busy {
            assert_eq!(self.bench.hub.next_deadline(), None);
            assert!(self.loads == 0 || self.bench.hub.rest() == Rest::Empty);
        }
    }

    /// A tick at the deadline makes the next one later.
    fn deadline(&mut self) -> bool {
        let Some(due) = self.bench.hub.next_deadline() else { return false };
        self.bench.now = self.bench.now.max(due);
        let now = self.bench.now;
        let seen = self.bench.input(Input::Tick);
        self.note(seen);
        if let Some(next) = self.bench.hub.next_deadline() {
            assert!(next > now, "busy for nothing: {:?}", self.bench.hub);
        }
        true
    }

    fn answer(&mut self, ok: bool) {
        let seen = if self.loads > 0 {
            self.loads -= 1;
            let devices = self.bench.stored.clone();
            let answer = if ok { Ok(Some(devices)) } else { Err(StoreAway) };
            self.bench.input(Input::Loaded(answer))
        } else if let Some((number, name)) = self.registers.pop() {
            let answer = if ok { Ok(device(&name)) } else { Err(RegisterFailure::StoreAway) };
            self.bench.input(Input::Registered(conn(number), answer))
        } else {
            return;
        };
        self.note(seen);
    }

    fn take(&mut self, step: Step) {
        let seen = match step {
            Step::Attach { conn: number, device, simple: plain, resume: again } => {
                if self.used.contains(&number) {
                    // As a connection does that asks a new hub.
                    let gone = self.bench.up(Up::Gone(conn(number)));
                    self.note(gone);
                }
                self.used.push(number);
                let name = NAMES[device];
                let known = again && self.attached.contains(&number);
                let ask = match (plain, known) {
                    (true, _) => simple(name),
                    (false, true) => resume(name, self.bench.session(number), 1),
                    (false, false) => attach(name),
                };
                self.bench.up(Up::Attach(conn(number), Box::new(ask)))
            }
            Step::Say { conn, what, to } => {
                if !self.attached.contains(&conn) {
                    return;
                }
                let frame = self.frame(what, to);
                self.bench.say(conn, frame)
            }
            Step::Ack { conn, seq } => self.bench.ack(conn, seq),
            Step::Detach { conn, how } => {
                let how = [Detach::Clean, Detach::Lost, Detach::Slow { handed: 2 }][how];
                self.bench.detach(conn, how)
            }
            Step::Gone { conn: number } => self.bench.up(Up::Gone(conn(number))),
            Step::Removed { device } => self.bench.removed(NAMES[device]),
            Step::Revoke => self.bench.up(Up::Revoke { family: FAMILY }),
            Step::Answer { ok } => return self.answer(ok),
            Step::Wait { millis } => self.bench.after(std::time::Duration::from_millis(millis)),
            Step::Deadline => {
                self.deadline();
                return;
            }
            Step::Roster { conns } => self.bench.roster(&conns),
            Step::Announce { conn, device, away } => {
                if self.used.contains(&conn) {
                    return;
                }
                self.used.push(conn);
                self.attached.push(conn);
                let at = self.bench.now;
                let number = u128::from(conn) + 100 * device as u128;
                let session = SessionId(Uuid::from_u128(number));
                let open = vec![OpenMessage::Whole(Box::new(offer(session, NAMES[device], 1, "o", "a", at)))];
                let away = away.then_some((at, Detach::Lost));
                let replica = Replica { open, away, next_number: 2, ..replica(NAMES[device], number) };
                self.bench.announce(conn, replica)
            }
        };
        self.note(seen);
    }

    fn frame(&self, what: usize, to: usize) -> serde_json::Value {
        let stream = self.streams.last().map_or("00000000-0000-0000-0000-000000000000", String::as_str);
        let mut payload = json!({"stream_id": stream});
        if let Some(to) = NAMES.get(to) {
            payload["to_device_id"] = (*to).into();
        }
        let kinds = ["stream_accept", "stream_decline", "stream_end", "stream_start", "sdp_offer"];
        let kind = match kinds.get(what) {
            Some(kind) => kind,
            None => "ice_candidate",
        };
        payload["stream_type"] = "data".into();
        payload["sdp"] = format!("a=ice-ufrag:{what}").into();
        payload["candidate"] = format!("c ufrag {what}").into();
        if what == 7 {
            payload.as_object_mut().unwrap().remove("stream_id");
        }
        json!({"type": kind, "payload": payload, "id": format!("{what}{to}")})
    }

    /// Everybody goes: nothing may be left.
    fn wind_up(&mut self) {
        let roster = self.bench.roster(&[]);
        self.note(roster);
        for number in 1..7 {
            let seen = self.bench.up(Up::Gone(conn(number)));
            self.note(seen);
        }
        for _ in 0..10_000 {
            while self.loads > 0 || !self.registers.is_empty() {
                self.answer(true);
            }
            if !self.deadline() {
                break;
            }
        }
        assert_eq!(self.bench.hub.rest(), Rest::Empty);
    }
}

fn run(bench: Bench, loads: usize, steps: Vec<Step>) {
    let mut watched = Watched {
        bench,
        loads,
        registers: Vec::new(),
        attached: Vec::new(),
        streams: Vec::new(),
        used: Vec::new(),
    };
    watched.check();
    for step in steps {
        watched.take(step);
    }
    watched.wind_up();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hub_is_never_stuck(steps in proptest::collection::vec(step(), 0..80)) {
        run(Bench::new(&NAMES[..3]), 0, steps);
    }

    #[test]
    fn a_hub_that_follows_another_is_never_stuck(steps in proptest::collection::vec(step(), 0..80)) {
        let (bench, _) = Bench::recovering(&NAMES[..3], &[GATEWAY]);
        run(bench, 1, steps);
    }
}

#[test]
fn a_device_that_is_put_while_nobody_is_there_keeps_nothing_awake() {
    let mut bench = Bench::new(&[]);
    bench.up(Up::Devices(DeviceChange::Put(Box::new(device("a")))));
    assert_eq!(bench.hub.rest(), Rest::Empty);
    let asked: Attach = attach("a");
    assert!(bench.attach(1, asked).attached(1).is_some());
}
