//! Candidates and their ICE generations (§4.3).

use serde_json::{Value, json};
use streamz_tests::{Raw, Server, Topology, User, scenarios};

use crate::support::{about, assert_delivered, assert_error, assert_not_delivered, ring, start, tell};

scenarios![
    candidates_before_their_offer_are_held,
    candidates_of_an_older_generation_are_refused,
    held_candidates_are_bounded,
    held_candidates_end_with_their_stream,
    candidates_without_a_stream_are_passed_on_as_they_are,
];

async fn stream(server: &Server) -> (Raw, Raw, String) {
    let user = User::new(server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    let stream = ring(&mut phone, start("s-1", "tv")).await;
    tv.expect("stream_start").await;
    assert_delivered(&tell(&mut tv, about("stream_accept", "t-1", &stream)).await);
    phone.until("stream_accept").await;
    (phone, tv, stream)
}

fn candidate(id: &str, stream: &str, fragment: Option<&str>) -> Value {
    let mut payload = json!({"to_device_id": "tv", "stream_id": stream, "candidate": id});
    if let Some(fragment) = fragment {
        payload["username_fragment"] = fragment.into();
    }
    json!({"type": "ice_candidate", "payload": payload, "id": id})
}

fn described(id: &str, stream: &str, fragment: &str) -> Value {
    let sdp = format!("v=0\r\na=ice-ufrag:{fragment}\r\n");
    let payload = json!({"to_device_id": "tv", "stream_id": stream, "sdp": sdp});
    json!({"type": "sdp_offer", "payload": payload, "id": id})
}

async fn candidates_before_their_offer_are_held(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (mut phone, mut tv, stream) = stream(&server).await;
    phone.say(candidate("c-1", &stream, Some("aaaa"))).await;
    phone.say(candidate("c-2", &stream, None)).await;
    phone.hears_nothing().await;
    tv.hears_nothing().await;
    phone.say(described("o-1", &stream, "aaaa")).await;
    tv.expect("sdp_offer").await;
    assert_eq!(tv.expect("ice_candidate").await["candidate"], "c-1");
    assert_eq!(tv.expect("ice_candidate").await["candidate"], "c-2");
    phone.say(candidate("c-3", &stream, Some("aaaa"))).await;
    assert_eq!(tv.expect("ice_candidate").await["candidate"], "c-3");
    tv.ack().await;
    for id in ["o-1", "c-1", "c-2", "c-3"] {
        assert_delivered(&phone.outcome(id).await);
    }
}

async fn candidates_of_an_older_generation_are_refused(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (mut phone, mut tv, stream) = stream(&server).await;
    phone.say(described("o-1", &stream, "aaaa")).await;
    phone.say(described("o-2", &stream, "bbbb")).await;
    tv.expect("sdp_offer").await;
    tv.expect("sdp_offer").await;
    assert_error(&tell(&mut phone, candidate("c-1", &stream, Some("aaaa"))).await, "stale_candidate");
    tv.hears_nothing().await;
    phone.say(candidate("c-2", &stream, Some("bbbb"))).await;
    assert_eq!(tv.expect("ice_candidate").await["candidate"], "c-2");
    // The next generation's wait for it.
    phone.say(candidate("c-3", &stream, Some("cccc"))).await;
    phone.barrier().await;
    tv.hears_nothing().await;
    phone.say(described("o-3", &stream, "cccc")).await;
    tv.expect("sdp_offer").await;
    assert_eq!(tv.expect("ice_candidate").await["candidate"], "c-3");
}

async fn held_candidates_are_bounded(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (mut phone, mut tv, stream) = stream(&server).await;
    for number in 0..64 {
        phone.say(candidate(&format!("c-{number}"), &stream, None)).await;
    }
    phone.hears_nothing().await;
    assert_not_delivered(&tell(&mut phone, candidate("c-64", &stream, None)).await, "backlog");
    phone.say(described("o-1", &stream, "aaaa")).await;
    tv.expect("sdp_offer").await;
    for number in 0..64 {
        assert_eq!(tv.expect("ice_candidate").await["candidate"], format!("c-{number}"));
    }
    tv.hears_nothing().await;
}

async fn held_candidates_end_with_their_stream(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (mut phone, mut tv, stream) = stream(&server).await;
    phone.say(candidate("c-1", &stream, None)).await;
    phone.hears_nothing().await;
    assert_delivered(&tell(&mut tv, about("stream_end", "t-2", &stream)).await);
    assert_error(&phone.outcome("c-1").await, "unknown_stream");
    tv.hears_nothing().await;
}

async fn candidates_without_a_stream_are_passed_on_as_they_are(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (mut phone, mut tv, _stream) = stream(&server).await;
    let payload = json!({"to_device_id": "tv", "candidate": "early", "username_fragment": "zzzz"});
    phone.say(json!({"type": "ice_candidate", "payload": payload})).await;
    assert_eq!(tv.expect("ice_candidate").await["candidate"], "early");
}
