//! Who is shown online.

use streamz_protocol::bus::{Detach, DeviceChange, Up};

use crate::support::*;

#[test]
fn a_device_that_comes_is_told_to_the_others_and_written() {
    let mut bench = Bench::new(&["tv", "phone"]);
    bench.attach(1, attach("tv"));
    let seen = bench.attach(2, attach("phone"));
    assert_eq!(seen.heard(1), ["device_online phone"]);
    assert_eq!(seen.frames(1)[0]["seq"], 1);
    assert!(seen.heard(2).is_empty(), "it has a list of all in its welcome");
    assert_eq!(seen.presences(), [(row("phone"), true)]);
}

#[test]
fn a_lost_socket_is_told_after_ten_seconds() {
    let mut bench = Bench::online(&["tv", "phone"]);
    assert!(bench.detach(1, Detach::Lost).0.is_empty());
    assert_eq!(bench.hub.next_deadline(), Some(START + secs(10)));
    assert!(bench.after(secs(9)).0.is_empty());
    let seen = bench.after(secs(1));
    assert_eq!(seen.heard(2), ["device_offline tv"]);
    assert_eq!(seen.presences(), [(row("tv"), false)]);
    assert_eq!(bench.shown(), ["phone"]);
}

#[test]
fn a_clean_close_is_told_at_once() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let seen = bench.detach(1, Detach::Clean);
    assert_eq!(seen.heard(2), ["device_offline tv"]);
    assert!(bench.after(secs(59)).heard(2).is_empty(), "once");
}

#[test]
fn a_device_that_comes_back_in_time_was_never_gone() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let session = bench.session(1);
    for round in 0..5 {
        bench.detach(if round == 0 { 1 } else { 9 + round }, Detach::Lost);
        assert!(bench.after(secs(9)).0.is_empty());
        let seen = bench.attach(10 + round, resume("tv", session, 0));
        assert!(seen.heard(2).is_empty() && seen.presences().is_empty());
    }
    assert!(bench.after(secs(30)).0.is_empty());
}

#[test]
fn a_session_that_waits_is_offline_and_comes_back_online() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let session = bench.session(1);
    bench.detach(1, Detach::Clean);
    let seen = bench.attach(3, resume("tv", session, 1));
    assert!(seen.attached(3).unwrap().resumed);
    assert_eq!(seen.heard(2), ["device_online tv"]);
}

#[test]
fn a_simple_client_has_the_same_grace() {
    let mut bench = Bench::online(&["phone"]);
    bench.stored.push(device("tv"));
    bench.up(Up::Devices(DeviceChange::Put(Box::new(device("tv")))));
    bench.attach(2, simple("tv"));
    assert!(bench.detach(2, Detach::Lost).heard(1).is_empty());
    assert!(bench.attach(3, simple("tv")).heard(1).is_empty());
    bench.detach(3, Detach::Lost);
    assert_eq!(bench.after(secs(10)).heard(1), ["device_offline tv"]);
}

#[test]
fn what_a_device_missed_of_the_others_waits_for_it() {
    let mut bench = Bench::online(&["tv", "phone", "cam"]);
    let session = bench.session(1);
    bench.detach(1, Detach::Lost);
    bench.detach(3, Detach::Clean);
    let seen = bench.attach(4, resume("tv", session, 2));
    let attached = seen.attached(4).unwrap();
    let replay: Vec<String> =
        attached.replay.iter().map(|frame| words(&parse(&frame.body.render(None)))).collect();
    assert_eq!(replay, ["device_offline cam"]);
    assert!(!attached.devices.iter().any(|device| device.device_id == id("cam") && device.is_online));
}

#[test]
fn a_change_by_http_is_told() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let mut renamed = device("tv");
    renamed.device_name = "Den".into();
    let seen = bench.up(Up::Devices(DeviceChange::Put(Box::new(renamed))));
    let frame = &seen.frames(2)[0];
    assert_eq!((&frame["type"], &frame["payload"]["device_name"]), (&"device_updated".into(), &"Den".into()));
    assert_eq!(frame["payload"]["is_online"], true, "what is shown is the hub's business");
    let seen = bench.up(Up::Devices(DeviceChange::Put(Box::new(device("new")))));
    assert_eq!(seen.frames(1)[0]["payload"]["is_online"], false);
}
