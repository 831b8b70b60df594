//! One `id`, one message, one outcome: whatever the message is, and whoever settles it (§4.4).

use serde_json::{Value, json};
use streamz_tests::{Server, Topology, User, scenarios};

use crate::support::{assert_delivered, assert_error, offer, tell};

scenarios![
    an_open_message_is_not_settled_by_another_under_its_id,
    a_settled_message_gets_no_second_outcome_by_another_under_its_id,
    a_refused_message_has_its_outcome,
    a_refused_token_has_its_outcome,
    the_outcome_of_a_ping_and_of_a_refusal_survives_a_reconnect,
    an_id_that_could_not_be_read_is_free,
];

fn ping(id: &str) -> Value {
    json!({"type": "ping", "id": id})
}

fn broken_offer(id: &str) -> Value {
    json!({"type": "sdp_offer", "payload": {"to_device_id": "tv", "sdp": 5}, "id": id})
}

async fn an_open_message_is_not_settled_by_another_under_its_id(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.until("device_online").await;
    phone.say(offer("q5", "tv", "v=0")).await;
    let auth = json!({"type": "auth", "payload": {"token": user.token()}, "id": "q5"});
    let dance = json!({"type": "dance", "id": "q5"});
    let ack = json!({"type": "ack", "payload": {"seq": 0}, "id": "q5"});
    for other in [ping("q5"), broken_offer("q5"), auth, dance, ack] {
        phone.say(other.clone()).await;
        let answer = phone.frame().await;
        assert_error(&answer, "id_reused");
        assert_eq!(answer["id"], "q5", "{other}");
    }
    phone.hears_nothing().await;
    tv.until("sdp_offer").await;
    tv.ack().await;
    assert_delivered(&phone.outcome("q5").await);
}

async fn a_settled_message_gets_no_second_outcome_by_another_under_its_id(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let first = tell(&mut phone, offer("q1", "toaster", "v=0")).await;
    assert_eq!(first["payload"]["reason"], "unknown_device");
    assert_error(&tell(&mut phone, ping("q1")).await, "id_reused");
    let again = tell(&mut phone, offer("q1", "toaster", "v=0")).await;
    assert_eq!(again["payload"], first["payload"]);
    // The other way round too.
    assert_delivered(&tell(&mut phone, ping("q2")).await);
    assert_delivered(&tell(&mut phone, ping("q2")).await);
    assert_error(&tell(&mut phone, offer("q2", "toaster", "v=0")).await, "id_reused");
}

async fn a_refused_message_has_its_outcome(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let refused = tell(&mut phone, broken_offer("q2")).await;
    assert_error(&refused, "invalid_payload");
    assert_error(&tell(&mut phone, offer("q2", "tv", "v=0")).await, "id_reused");
    let again = tell(&mut phone, broken_offer("q2")).await;
    assert_eq!(again["payload"], refused["payload"]);
    for wrong in
        [json!({"type": "dance", "id": "q3"}), json!({"type": "ack", "payload": {"seq": 99}, "id": "q4"})]
    {
        let first = tell(&mut phone, wrong.clone()).await;
        assert_eq!(first["type"], "error", "{first}");
        assert_eq!(tell(&mut phone, wrong).await["payload"], first["payload"]);
        assert_error(&tell(&mut phone, ping(first["id"].as_str().unwrap())).await, "id_reused");
    }
}

async fn a_refused_token_has_its_outcome(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let auth = |token: &str| json!({"type": "auth", "payload": {"token": token}, "id": "dup"});
    assert_error(&tell(&mut phone, auth("nonsense")).await, "invalid_token");
    assert_error(&tell(&mut phone, auth(user.token())).await, "id_reused");
    assert_error(&tell(&mut phone, auth("nonsense")).await, "invalid_token");
}

async fn the_outcome_of_a_ping_and_of_a_refusal_survives_a_reconnect(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    assert_delivered(&tell(&mut phone, ping("q1")).await);
    let refused = tell(&mut phone, broken_offer("q2")).await;
    assert!(refused["seq"].is_u64(), "an outcome must not be lost: {refused}");
    // Confirmed or not, they are remembered.
    for heard in [0, phone.last_seq] {
        let dial = user.dial("phone").resume(&phone.session(), heard);
        phone.vanish();
        phone = dial.welcomed().await;
        assert_eq!(phone.welcome["resumed"], true);
        let replayed = phone.barrier().await;
        assert_eq!(replayed.len(), if heard == 0 { 2 } else { 0 }, "{replayed:?}");
        assert_error(&tell(&mut phone, offer("q1", "tv", "v=0")).await, "id_reused");
        assert_error(&tell(&mut phone, offer("q2", "tv", "v=0")).await, "id_reused");
        assert_delivered(&tell(&mut phone, ping("q1")).await);
        assert_eq!(tell(&mut phone, broken_offer("q2")).await["payload"], refused["payload"]);
    }
}

async fn an_id_that_could_not_be_read_is_free(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    phone.say_text(r#"{"id": "q1", "type": 5}"#).await;
    let answer = phone.frame().await;
    assert_error(&answer, "malformed_frame");
    assert_eq!(answer.get("id"), None, "{answer}");
    assert_delivered(&tell(&mut phone, ping("q1")).await);
}
