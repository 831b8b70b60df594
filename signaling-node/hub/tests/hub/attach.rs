//! A connection becomes a session, or is refused.

use streamz_hub::{Effect, Input, RegisterFailure, Rest, StoreAway};
use streamz_protocol::bus::{Detach, DeviceChange, Down, Up};
use streamz_protocol::{CloseCode, Limits};
use uuid::Uuid;

use crate::support::*;

fn registered(bench: &mut Bench, number: u64, name: &str) -> Seen {
    bench.input(Input::Registered(conn(number), Ok(device(name))))
}

fn asks_to_register(seen: &Seen, number: u64) -> bool {
    seen.0.iter().any(|effect| matches!(effect, Effect::Register { conn: to, .. } if *to == conn(number)))
}

#[test]
fn a_known_device_has_its_session_after_one_look_at_the_store() {
    let mut bench = Bench::new(&["tv", "phone"]);
    let asked = bench.up(Up::Attach(conn(1), Box::new(attach("tv"))));
    assert_eq!(asked.0, [Effect::Load]);
    assert_eq!(bench.hub.rest(), Rest::Busy);
    assert!(bench.up(Up::Attach(conn(2), Box::new(attach("phone")))).0.is_empty(), "it is asked once");
    let answered = bench.load();
    let session = answered.attached(1).unwrap();
    assert!(!session.resumed);
    assert_eq!((session.last_seq, session.next_number, session.replay.len()), (0, 1, 0));
    assert!(session.device.is_online);
    assert!(answered.attached(2).unwrap().devices.iter().all(|device| device.is_online));
    let later = bench.attach(3, attach("tv"));
    assert!(!later.0.contains(&Effect::Load), "no look at the store for a known device");
    assert_eq!(bench.hub.sessions(), 2);
}

#[test]
fn a_new_device_is_registered_first() {
    let mut bench = Bench::new(&[]);
    let asked = bench.attach(1, attach("cam"));
    let expected = Effect::Register {
        conn: conn(1),
        device: id("cam"),
        name: "cam".into(),
        device_type: "unknown".into(),
    };
    assert!(asked.0.contains(&expected), "{asked:?}");
    assert!(registered(&mut bench, 1, "cam").attached(1).is_some());
    let table = [
        (RegisterFailure::StoreAway, CloseCode::Unavailable),
        (RegisterFailure::TooMany, CloseCode::TooManyDevices),
        (RegisterFailure::NoSuchUser, CloseCode::InvalidToken),
    ];
    for (failure, code) in table {
        bench.attach(2, attach("new"));
        let seen = bench.input(Input::Registered(conn(2), Err(failure)));
        assert_eq!(seen.refused(2), Some(code), "{failure}");
    }
    assert_eq!(bench.hub.sessions(), 1);
}

#[test]
fn no_more_devices_are_online_than_is_allowed() {
    let names: Vec<String> = (1..=34).map(|number| format!("d{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::new(&names);
    for number in 1..=32 {
        assert!(bench.attach(number, attach(names[number as usize - 1])).attached(number).is_some());
    }
    assert_eq!(bench.attach(33, attach("d33")).refused(33), Some(CloseCode::TooManyDevices));
    assert_eq!(bench.attach(34, attach("unknown")).refused(34), Some(CloseCode::TooManyDevices));
    assert!(bench.attach(35, attach("d5")).attached(35).is_some(), "the same device again is none more");
    bench.detach(1, Detach::Lost);
    assert_eq!(bench.attach(36, attach("d33")).refused(36), Some(CloseCode::TooManyDevices), "still shown");
    bench.after(secs(10));
    assert!(bench.attach(37, attach("d33")).attached(37).is_some());
    assert_eq!(bench.attach(38, attach("d1")).refused(38), Some(CloseCode::TooManyDevices));
}

#[test]
fn those_that_wait_for_the_store_at_once_are_counted_too() {
    let limits = Limits { devices_online: 1, ..Limits::default() };
    let mut bench = Bench::with(limits, &["a", "b"]);
    bench.up(Up::Attach(conn(1), Box::new(attach("a"))));
    bench.up(Up::Attach(conn(2), Box::new(attach("b"))));
    let seen = bench.load();
    assert!(seen.attached(1).is_some());
    assert_eq!(seen.refused(2), Some(CloseCode::TooManyDevices));
}

#[test]
fn no_more_devices_are_registered_than_is_allowed() {
    let limits = Limits { devices_registered: 2, ..Limits::default() };
    let mut bench = Bench::with(limits, &["a", "b"]);
    assert_eq!(bench.attach(1, attach("c")).refused(1), Some(CloseCode::TooManyDevices));
    bench.removed("a");
    assert!(asks_to_register(&bench.attach(2, attach("c")), 2));
}

#[test]
fn while_the_store_is_away_known_devices_come_and_go() {
    let mut bench = Bench::new(&["tv"]);
    bench.up(Up::Attach(conn(1), Box::new(attach("tv"))));
    let seen = bench.input(Input::Loaded(Err(StoreAway)));
    assert_eq!(seen.refused(1), Some(CloseCode::Unavailable));
    assert_eq!((bench.hub.rest(), bench.hub.next_deadline()), (Rest::Empty, None), "nobody waits");
    assert!(bench.attach(2, attach("tv")).attached(2).is_some(), "the next one asks again");
    bench.detach(2, Detach::Lost);
    assert!(bench.attach(3, attach("tv")).attached(3).is_some());
}

#[test]
fn a_hub_that_is_to_look_again_does_so_once() {
    let mut bench = Bench::online(&["tv", "phone"]);
    assert_eq!(bench.up(Up::Recheck).0, [Effect::Load]);
    assert!(bench.up(Up::Recheck).0.is_empty(), "it is looking");
    assert!(bench.load().0.is_empty(), "all is as it was");
    assert_eq!(bench.up(Up::Recheck).0, [Effect::Load]);
    let gone = bench.input(Input::Loaded(Ok(None)));
    assert_eq!(
        (gone.closed(1), gone.closed(2)),
        (Some(CloseCode::InvalidToken), Some(CloseCode::InvalidToken))
    );
    assert_eq!(bench.hub.rest(), Rest::Empty);
}

#[test]
fn a_user_that_is_gone_has_nobody_online() {
    let mut bench = Bench::new(&["tv"]);
    bench.up(Up::Attach(conn(1), Box::new(attach("tv"))));
    assert_eq!(bench.input(Input::Loaded(Ok(None))).refused(1), Some(CloseCode::InvalidToken));
    assert_eq!(bench.hub.rest(), Rest::Empty);
}

#[test]
fn a_connection_that_went_while_the_store_worked_gets_nothing() {
    let mut bench = Bench::new(&["tv"]);
    bench.up(Up::Attach(conn(1), Box::new(attach("tv"))));
    bench.up(Up::Gone(conn(1)));
    assert!(bench.load().0.is_empty());
    bench.attach(2, attach("new"));
    bench.detach(2, Detach::Lost);
    assert!(registered(&mut bench, 2, "new").attached(2).is_none());
    assert_eq!(bench.hub.sessions(), 0);
}

/// The registration was on its way to the hub when the device was removed again.
#[test]
fn a_device_that_was_removed_meanwhile_is_not_known() {
    let mut bench = Bench::online(&["tv"]);
    bench.attach(2, attach("new"));
    let removed = bench.removed("new");
    assert_eq!(removed.refused(2), Some(CloseCode::DeviceRemoved));
    let seen = registered(&mut bench, 2, "new");
    assert!(seen.attached(2).is_none());
    if seen.0.contains(&Effect::Load) {
        bench.load();
    }
    assert!(asks_to_register(&bench.attach(3, attach("new")), 3), "it is registered anew, not let in");
}

/// The list was on its way to the hub when a device of it was removed.
#[test]
fn a_device_that_was_removed_while_the_list_was_read_is_not_known() {
    let mut bench = Bench::new(&["tv", "old"]);
    bench.up(Up::Attach(conn(1), Box::new(attach("tv"))));
    bench.up(Up::Devices(DeviceChange::Removed(id("old"))));
    let seen = bench.load();
    assert_eq!(seen.attached(1).unwrap().devices.len(), 1);
    assert!(asks_to_register(&bench.attach(2, attach("old")), 2));
}

#[test]
fn a_removed_device_loses_its_socket_and_the_others_hear_it() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let seen = bench.removed("tv");
    assert_eq!(seen.closed(1), Some(CloseCode::DeviceRemoved));
    assert_eq!(seen.heard(2), ["device_removed tv"]);
    assert!(bench.removed("tv").0.is_empty(), "once");
    assert!(asks_to_register(&bench.attach(3, attach("tv")), 3), "it may be registered anew");
}

#[test]
fn a_whole_resume_goes_on_with_the_session() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let session = bench.session(1);
    bench.offer(2, "m1", "tv");
    bench.ack(1, 2);
    bench.offer(2, "m2", "tv");
    bench.detach(1, Detach::Lost);
    bench.offer(2, "m3", "tv");
    let seen = bench.attach(3, resume("tv", session, 2));
    let attached = seen.attached(3).unwrap();
    assert!(attached.resumed);
    assert_eq!((attached.session, attached.acked, attached.last_seq), (session, 2, 4));
    assert_eq!(attached.replay.iter().map(|frame| frame.seq).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(seen.closed(1), Some(CloseCode::Replaced));
    assert!(seen.frames(2).is_empty(), "nobody saw it go");
}

#[test]
fn a_resume_confirms_what_the_device_had() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let session = bench.session(1);
    bench.offer(2, "m1", "tv");
    bench.offer(2, "m2", "tv");
    bench.detach(1, Detach::Lost);
    let seen = bench.attach(3, resume("tv", session, 3));
    assert_eq!(seen.heard(2), ["delivered m1", "delivered m2"], "in the order in which they were sent");
    assert!(seen.attached(3).unwrap().replay.is_empty());
}

#[test]
fn a_resume_that_cannot_be_whole_begins_anew() {
    let unknown = streamz_protocol::SessionId(Uuid::from_u128(0xbad));
    for case in ["another session", "a seq that was never sent", "a seq before the confirmed", "simple"] {
        let mut bench = Bench::online(&["tv", "phone"]);
        let session = bench.session(1);
        bench.offer(2, "m1", "tv");
        bench.offer(2, "m2", "tv");
        bench.ack(1, 2);
        bench.detach(1, Detach::Lost);
        let back = match case {
            "another session" => resume("tv", unknown, 2),
            "a seq that was never sent" => resume("tv", session, 4),
            "a seq before the confirmed" => resume("tv", session, 1),
            _ => streamz_protocol::bus::Attach { caps: simple("tv").caps, ..resume("tv", session, 2) },
        };
        let seen = bench.attach(3, back);
        let attached = seen.attached(3).unwrap();
        assert!(!attached.resumed, "{case}");
        assert_ne!(attached.session, session, "{case}");
        assert_eq!((attached.last_seq, attached.replay.len()), (0, 0), "{case}");
        assert_eq!(seen.heard(2), ["not_delivered m2 expired"], "{case}: nobody will confirm it");
    }
}

#[test]
fn a_newer_connection_replaces_the_older_one() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let first = bench.session(1);
    let seen = bench.attach(3, attach("tv"));
    assert_eq!(seen.closed(1), Some(CloseCode::Replaced));
    let second = seen.attached(3).unwrap();
    assert_ne!(second.session, first);
    assert!(seen.heard(2).is_empty(), "the device was there all the time");
    assert!(bench.detach(1, Detach::Clean).0.is_empty(), "the old connection has no say any more");
    assert!(bench.up(Up::Gone(conn(1))).0.is_empty());
    assert_eq!(bench.shown(), ["tv", "phone"]);
}

#[test]
fn each_attach_raises_the_generation() {
    let mut bench = Bench::online(&["tv"]);
    let session = bench.session(1);
    let mut last = 0;
    for number in 2..6 {
        bench.detach(number - 1, Detach::Lost);
        let seen = bench.attach(number, resume("tv", session, 0));
        let generation = seen.attached(number).unwrap().generation;
        assert!(generation > last);
        last = generation;
    }
}

#[test]
fn a_revoked_sign_in_ends_its_sessions_only() {
    let other = streamz_protocol::bus::Attach { family: Uuid::from_u128(2), ..attach("phone") };
    let mut bench = Bench::new(&["tv", "phone"]);
    bench.attach(1, attach("tv"));
    bench.attach(2, other);
    bench.attach(3, attach("new"));
    let seen = bench.up(Up::Revoke { family: FAMILY });
    assert_eq!(seen.closed(1), Some(CloseCode::Revoked));
    assert_eq!(seen.refused(3), Some(CloseCode::Revoked), "it waited for its registration");
    assert_eq!(seen.heard(2), ["device_offline tv"]);
    assert_eq!(seen.presences(), [(row("tv"), false)]);
    assert_eq!(bench.hub.sessions(), 1);
}

#[test]
fn a_session_ends_after_its_resume_window() {
    let mut bench = Bench::online(&["tv"]);
    bench.detach(1, Detach::Lost);
    assert!(!bench.after(secs(59)).forgotten(1));
    assert!(bench.after(secs(1)).forgotten(1));
    assert_eq!(bench.hub.rest(), Rest::Empty);
    let mut bench = Bench::new(&["tv"]);
    bench.attach(1, simple("tv"));
    bench.detach(1, Detach::Lost);
    assert_eq!(bench.hub.sessions(), 0, "a simple client's ends with its socket");
}

#[test]
fn connections_that_wait_for_the_store_are_bounded() {
    let mut bench = Bench::new(&[]);
    for number in 0..64 {
        assert!(
            bench
                .up(Up::Attach(conn(number), Box::new(attach(&format!("d{number}")))))
                .refused(number)
                .is_none()
        );
    }
    let seen = bench.up(Up::Attach(conn(64), Box::new(attach("d64"))));
    assert_eq!(seen.0, [Effect::Down(conn(64), Down::Refused(CloseCode::Unavailable))]);
}

#[test]
fn a_removal_that_finds_the_device_registered_anew_leaves_no_row_online() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let seen = bench.removed("tv");
    assert_eq!(seen.presences(), [(row("tv"), false)]);
    assert_eq!(seen.heard(2), ["device_removed tv"]);
}
