//! A node that may not decide: what its hubs still do, what waits, and what becomes of that.

use serde_json::json;
use streamz_hub::{Effect, Input, Rest};
use streamz_protocol::bus::{Detach, DeviceChange, Up};
use streamz_protocol::{CloseCode, Limits, Millis};

use crate::support::*;

/// Everybody is online and the node has lost its right to decide.
fn unsure(devices: &[&str]) -> Bench {
    let mut bench = Bench::online(devices);
    bench.sure = false;
    bench
}

/// The node may decide again.
fn sure_again(bench: &mut Bench) -> Seen {
    bench.sure = true;
    bench.input(Input::Tick)
}

fn ring(bench: &mut Bench, number: u64, to: &str) -> Seen {
    let payload = json!({"stream_type": "video", "to_device_id": to});
    bench.say(number, json!({"type": "stream_start", "payload": payload, "id": "ring"}))
}

#[test]
fn messages_to_sessions_that_are_here_pass_and_are_confirmed() {
    let mut bench = unsure(&["tv", "phone"]);
    assert_eq!(bench.offer(1, "o", "phone").heard(2), ["sdp_offer tv o"]);
    let seq = bench.offer(1, "p", "phone").frames(2)[0]["seq"].as_u64().unwrap();
    assert_eq!(bench.ack(2, seq).heard(1), ["delivered o", "delivered p"]);
}

#[test]
fn what_would_be_certain_waits_and_is_said_in_order_when_it_is() {
    let mut bench = unsure(&["tv", "phone"]);
    assert!(bench.offer(1, "o", "radio").is_silent(), "unknown to this hub");
    assert!(bench.offer(1, "all", "").is_silent(), "who is everybody?");
    assert!(bench.offer(1, "later", "phone").is_silent(), "after what waits");
    assert!(ring(&mut bench, 2, "tv").is_silent());
    assert_eq!(bench.hub.load().waiting, 4);
    assert_eq!(bench.hub.rest(), Rest::Busy);
    let seen = sure_again(&mut bench);
    assert_eq!(seen.heard(1), ["not_delivered o unknown_device", "stream_start phone"]);
    assert_eq!(
        seen.heard(2),
        ["sdp_offer tv all", "sdp_offer tv later", "stream_ringing tv", "delivered ring"]
    );
    assert_eq!(bench.hub.load().waiting, 0);
}

#[test]
fn nobody_wins_a_ring_and_it_does_not_end() {
    let mut bench = Bench::online(&["tv", "phone"]);
    let seen = ring(&mut bench, 1, "phone");
    let stream = seen.records()[0].id.to_string();
    bench.sure = false;
    let accept = json!({"type": "stream_accept", "payload": {"stream_id": stream}, "id": "yes"});
    assert!(bench.say(2, accept).0.is_empty());
    // By then the phone's gateway has said that its accept is lost.
    assert!(bench.after(secs(31)).records().is_empty());
    let seen = sure_again(&mut bench);
    assert_eq!(seen.heard(2)[0], "not_delivered yes expired");
    assert_eq!(seen.records()[0].end_reason.as_deref(), Some("timeout"));
}

#[test]
fn nobody_is_called_offline_and_no_session_ends() {
    let mut bench = unsure(&["tv", "phone", "cam"]);
    assert!(bench.detach(1, Detach::Clean).0.is_empty());
    bench.detach(2, Detach::Lost);
    assert!(bench.after(secs(5)).0.is_empty());
    // The grace of who lost its socket began when it did.
    assert_eq!(sure_again(&mut bench).heard(3), ["device_offline tv"]);
    assert_eq!(bench.hub.next_deadline(), Some(START + secs(10)));
    bench.sure = false;
    assert!(bench.after(secs(100)).0.is_empty());
    assert_eq!(bench.hub.sessions(), 3);
    assert_eq!(sure_again(&mut bench).heard(3), ["device_offline phone"]);
    assert_eq!(bench.hub.sessions(), 1);
}

#[test]
fn connections_wait_and_those_that_are_gone_wait_no_more() {
    let mut bench = unsure(&["tv", "phone"]);
    let session = bench.session(1);
    bench.attach(3, resume("tv", session, 0));
    bench.attach(4, attach("phone"));
    assert!(bench.up(Up::Gone(conn(4))).0.is_empty());
    let seen = sure_again(&mut bench);
    assert!(seen.attached(3).unwrap().resumed);
    assert_eq!(seen.closed(1), Some(CloseCode::Replaced));
    assert!(seen.attached(4).is_none() && seen.closed(2).is_none());
}

#[test]
fn what_waits_is_bounded() {
    let mut bench = unsure(&["tv", "phone"]);
    for number in 0..5_000 {
        bench.offer(1, &format!("o{number}"), "");
        let device = device("tv");
        bench.up(Up::Devices(DeviceChange::Put(Box::new(device))));
    }
    assert_eq!(bench.attach(9, attach("cam")).refused(9), Some(CloseCode::Unavailable));
    assert_eq!(bench.hub.load().waiting, 4_096);
}

#[test]
fn what_the_store_says_waits_as_well() {
    let mut bench = Bench::new(&["tv"]);
    bench.sure = false;
    assert!(bench.attach(1, attach("tv")).0.is_empty());
    let seen = sure_again(&mut bench);
    assert_eq!(seen.0, [Effect::Load]);
    bench.sure = false;
    assert!(bench.load().0.is_empty());
    assert!(sure_again(&mut bench).attached(1).is_some());
}

#[test]
fn a_recovery_hears_everybody_and_ends_when_the_node_may_decide() {
    let (mut bench, _) = Bench::recovering(&["tv"], &[GATEWAY]);
    bench.sure = false;
    bench.roster(&[1]);
    bench.announce(1, replica("tv", 7));
    assert!(bench.hub.is_recovering());
    assert_eq!(bench.hub.next_deadline(), None);
    sure_again(&mut bench);
    assert!(!bench.hub.is_recovering());
    assert_eq!(bench.hub.sessions(), 1);
}

#[test]
fn what_is_due_and_must_wait_does_not_keep_the_timer_going() {
    let mut bench = Bench::online(&["tv", "phone"]);
    ring(&mut bench, 1, "phone");
    bench.detach(1, Detach::Lost);
    bench.sure = false;
    bench.after(secs(60));
    assert_eq!(bench.hub.next_deadline(), None);
    assert_eq!(bench.hub.rest(), Rest::Busy, "it has things to do once it may");
    // Messages still have their time: that they may or may not have arrived is no decision.
    bench.offer(2, "o", "tv");
    let due: Millis = bench.now + Limits::default().hub_delivery();
    assert_eq!(bench.hub.next_deadline(), Some(due));
    assert_eq!(bench.after(secs(29)).heard(2), ["not_delivered o expired"]);
}
