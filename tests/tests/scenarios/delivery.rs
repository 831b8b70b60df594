//! Outcomes: exactly one for every `id` (§4.4).

use serde_json::json;
use streamz_tests::{Server, Topology, User, scenarios};

use crate::support::{assert_delivered, assert_error, assert_not_delivered, offer, start, tell};

scenarios![
    a_message_to_a_device_that_is_away_is_held,
    a_message_to_a_device_that_stays_away_expires,
    an_expired_message_is_not_replayed,
    what_waits_for_a_session_that_was_replaced_expires_at_once,
    the_same_id_repeats_the_outcome,
    the_same_id_while_it_is_open_is_one_message,
    another_message_under_the_same_id_is_refused,
    ids_belong_to_a_session,
    an_ack_confirms_all_before_it,
    acks_that_say_nothing_new_do_nothing,
    an_ack_ahead_of_what_was_sent_is_refused,
    a_message_with_an_id_that_is_refused_says_so_once,
];

async fn a_message_to_a_device_that_is_away_is_held(topology: Topology) {
    let server = Server::start(topology, &[("OFFLINE_GRACE", "0s")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let tv = user.raw("tv").await;
    phone.until("device_online").await;
    let dial = user.dial("tv").resume(&tv.session(), tv.last_seq);
    tv.vanish();
    // Shown offline, but a session all the same.
    phone.until("device_offline").await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    phone.hears_nothing().await;
    let mut tv = dial.welcomed().await;
    tv.until("sdp_offer").await;
    tv.ack().await;
    assert_delivered(&phone.outcome("m-1").await);
}

async fn a_message_to_a_device_that_stays_away_expires(topology: Topology) {
    let server = Server::start(topology, &[("DELIVERY_TIMEOUT", "1s")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    user.raw("tv").await.vanish();
    phone.until("device_online").await;
    let sent = std::time::Instant::now();
    let outcome = tell(&mut phone, offer("m-1", "tv", "v=0")).await;
    assert_not_delivered(&outcome, "expired");
    assert!(outcome["payload"].get("failed").is_none(), "addressed to one: {outcome}");
    let after = sent.elapsed().as_millis();
    assert!((800..5000).contains(&after), "{after} ms");
}

async fn an_expired_message_is_not_replayed(topology: Topology) {
    let server = Server::start(topology, &[("DELIVERY_TIMEOUT", "500ms")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let tv = user.raw("tv").await;
    phone.until("device_online").await;
    let dial = user.dial("tv").resume(&tv.session(), tv.last_seq);
    tv.vanish();
    assert_not_delivered(&tell(&mut phone, offer("m-1", "tv", "v=0")).await, "expired");
    let mut tv = dial.welcomed().await;
    assert_eq!(tv.welcome["resumed"], true);
    tv.hears_nothing().await;
    assert_eq!(tv.last_seq, 2);
    phone.say(offer("m-2", "tv", "v=1")).await;
    let heard = tv.frame().await;
    // 1 was the message that expired, 2 the answer to the question.
    assert_eq!((&heard["seq"], &heard["payload"]["sdp"]), (&json!(3), &json!("v=1")));
}

async fn what_waits_for_a_session_that_was_replaced_expires_at_once(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    user.raw("tv").await.vanish();
    phone.until("device_online").await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    phone.hears_nothing().await;
    let mut tv = user.raw("tv").await;
    assert_not_delivered(&phone.outcome("m-1").await, "expired");
    tv.hears_nothing().await;
}

async fn the_same_id_repeats_the_outcome(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let first = tell(&mut phone, offer("m-1", "tv", "v=0")).await;
    assert_not_delivered(&first, "unknown_device");
    let mut tv = user.raw("tv").await;
    let again = tell(&mut phone, offer("m-1", "tv", "v=0")).await;
    assert_eq!(
        (&again["payload"], &again["type"]),
        (&first["payload"], &first["type"]),
        "although tv is there now"
    );
    tv.hears_nothing().await;
    let first = tell(&mut phone, start("s-1", "tv")).await;
    assert_delivered(&first);
    assert_delivered(&tell(&mut phone, start("s-1", "tv")).await);
    tv.expect("stream_start").await;
    tv.hears_nothing().await;
}

async fn the_same_id_while_it_is_open_is_one_message(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.until("device_online").await;
    for _ in 0..3 {
        phone.say(offer("m-1", "tv", "v=0")).await;
    }
    phone.hears_nothing().await;
    tv.until("sdp_offer").await;
    tv.ack().await;
    assert_delivered(&phone.frame().await);
    phone.hears_nothing().await;
    tv.hears_nothing().await;
}

async fn another_message_under_the_same_id_is_refused(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    tv.until("sdp_offer").await;
    // Another text, another target, another type: while it is open, and when it is settled.
    for open in [true, false] {
        for other in [
            offer("m-1", "tv", "v=1"),
            offer("m-1", "laptop", "v=0"),
            json!({"type": "sdp_answer", "payload": {"to_device_id": "tv", "sdp": "v=0"}, "id": "m-1"}),
            start("m-1", "tv"),
        ] {
            assert_error(&tell(&mut phone, other).await, "id_reused");
        }
        if open {
            tv.ack().await;
            assert_delivered(&phone.outcome("m-1").await);
        }
    }
    tv.hears_nothing().await;
}

async fn ids_belong_to_a_session(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut laptop = user.raw("laptop").await;
    assert_not_delivered(&tell(&mut phone, offer("m-1", "tv", "v=0")).await, "unknown_device");
    assert_not_delivered(&tell(&mut laptop, offer("m-1", "radio", "v=1")).await, "unknown_device");
    phone.close().await;
    let mut phone = user.raw("phone").await;
    assert_not_delivered(&tell(&mut phone, offer("m-1", "radio", "v=1")).await, "unknown_device");
}

async fn an_ack_confirms_all_before_it(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.barrier().await;
    for number in 1..=3 {
        phone.say(offer(&format!("m-{number}"), "tv", "v=0")).await;
        tv.until("sdp_offer").await;
    }
    tv.say(json!({"type": "ack", "payload": {"seq": 2}, "id": "a-1"})).await;
    assert_delivered(&tv.outcome("a-1").await);
    assert_eq!([phone.frame().await["id"].clone(), phone.frame().await["id"].clone()], ["m-1", "m-2"]);
    phone.hears_nothing().await;
    tv.ack().await;
    assert_eq!(phone.frame().await["id"], "m-3");
}

async fn acks_that_say_nothing_new_do_nothing(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.barrier().await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    tv.until("sdp_offer").await;
    tv.say(json!({"type": "ack", "payload": {"seq": 0}})).await;
    tv.barrier().await;
    phone.hears_nothing().await;
    for _ in 0..3 {
        tv.ack().await;
    }
    assert_delivered(&phone.frame().await);
    tv.say(json!({"type": "ack", "payload": {"seq": 0}})).await;
    tv.hears_nothing().await;
    phone.hears_nothing().await;
}

async fn an_ack_ahead_of_what_was_sent_is_refused(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.barrier().await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    tv.until("sdp_offer").await;
    for seq in [2, u64::MAX] {
        tv.say(json!({"type": "ack", "payload": {"seq": seq}, "id": seq.to_string()})).await;
        assert_error(&tv.outcome(&seq.to_string()).await, "invalid_payload");
    }
    phone.hears_nothing().await;
    tv.ack().await;
    assert_delivered(&phone.outcome("m-1").await);
}

async fn a_message_with_an_id_that_is_refused_says_so_once(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    assert_error(&tell(&mut phone, json!({"type": "nonsense", "id": "m-1"})).await, "unknown_type");
    assert_error(
        &tell(&mut phone, json!({"type": "sdp_offer", "payload": {}, "id": "m-2"})).await,
        "invalid_payload",
    );
    phone.hears_nothing().await;
    // That was its outcome: another message needs another id.
    assert_error(&tell(&mut phone, offer("m-1", "tv", "v=0")).await, "id_reused");
}
