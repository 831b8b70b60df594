//! What falls out of a replay window.

use streamz_protocol::Limits;
use streamz_protocol::bus::Detach;

use crate::support::*;

#[test]
fn a_message_that_falls_out_has_its_outcome_and_the_session_may_go_on() {
    let limits = Limits { window_frames: 2, ..Limits::default() };
    let mut bench = Bench::online_with(limits, &["tv", "phone"]);
    let session = bench.session(2);
    bench.detach(2, Detach::Lost);
    bench.offer(1, "a", "phone");
    bench.offer(1, "b", "phone");
    assert_eq!(bench.offer(1, "c", "phone").heard(1), ["not_delivered a expired"]);
    let back = bench.attach(3, resume("phone", session, 0));
    let attached = back.attached(3).unwrap();
    assert!(attached.resumed && attached.lossy);
    assert_eq!(attached.replay.iter().map(|frame| frame.seq).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn what_a_return_itself_settles_is_told_with_the_welcome_and_not_before() {
    let limits = Limits { window_frames: 2, ..Limits::default() };
    let mut bench = Bench::online_with(limits, &["phone", "tv"]);
    let session = bench.session(1);
    bench.ack(1, 1);
    bench.detach(2, Detach::Lost);
    bench.offer(1, "a", "tv");
    bench.detach(1, Detach::Clean);
    // That it is online again pushes its own message out of the other's window.
    let back = bench.attach(3, resume("phone", session, 1));
    let attached = back.attached(3).unwrap();
    assert!(attached.resumed);
    assert_eq!(attached.replay.len(), 1);
    assert!(back.items(3).is_empty(), "{:?}", back.0);
}

#[test]
fn a_state_frame_that_falls_out_makes_the_resume_a_new_session() {
    let limits = Limits { window_frames: 2, ..Limits::default() };
    let mut bench = Bench::online_with(limits, &["tv", "phone", "cam"]);
    let session = bench.session(2);
    bench.ack(2, 1);
    bench.detach(2, Detach::Lost);
    bench.detach(3, Detach::Clean);
    bench.offer(1, "a", "phone");
    bench.offer(1, "b", "phone");
    let back = bench.attach(4, resume("phone", session, 1));
    assert!(!back.attached(4).unwrap().resumed, "device_offline cam is missing");
}

#[test]
fn the_window_is_bounded_in_bytes() {
    let mut bench = Bench::online(&["tv", "phone"]);
    bench.detach(2, Detach::Lost);
    let big = "x".repeat(60 * 1024);
    for number in 0..4 {
        assert!(bench.offer(1, &format!("{number}"), "phone").heard(1).is_empty());
        let frame = serde_json::json!({"type": "sdp_offer", "id": format!("big {number}"),
            "payload": {"to_device_id": "phone", "sdp": big}});
        assert!(bench.say(1, frame).heard(1).is_empty(), "{number}");
    }
    let frame = serde_json::json!({"type": "sdp_offer", "id": "one more",
        "payload": {"to_device_id": "phone", "sdp": big}});
    assert_eq!(bench.say(1, frame).heard(1), ["not_delivered 0 expired", "not_delivered big 0 expired"]);
}

/// Each outcome pushes a message of the other out, whose outcome pushes one of the first out, and so on.
#[test]
#[allow(clippy::disallowed_methods, reason = "a thread with a small stack")]
fn two_full_windows_against_each_other_come_to_an_end() {
    let limits = Limits { window_frames: 4_000, window_bytes: usize::MAX, ..Limits::default() };
    let frames = limits.window_frames;
    let mut bench = Bench::online_with(limits, &["a", "b"]);
    bench.detach(1, Detach::Lost);
    bench.detach(2, Detach::Lost);
    let (one, two) = (bench.session(1), bench.session(2));
    bench.attach(3, resume("a", one, 1));
    bench.attach(4, resume("b", two, 0));
    let small = std::thread::Builder::new().stack_size(256 * 1024);
    let chat = move || {
        let mut longest = 0;
        for number in 0..=frames {
            for (from, to) in [(3, "b"), (4, "a")] {
                let seen = bench.offer(from, &format!("{from} {number}"), to);
                longest = longest.max(seen.heard(3).len() + seen.heard(4).len());
            }
        }
        longest
    };
    let longest = small.spawn(chat).unwrap().join().unwrap();
    assert!(longest >= frames, "a chain of {longest}");
}
