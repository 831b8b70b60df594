//! Coming back: all that is not settled, or a clean slate (promise 4).

use serde_json::Value;
use streamz_client::{Outcome, Outgoing, State};
use streamz_protocol::DeviceId;
use streamz_tests::{Raw, Server, Topology, User, scenarios};

use crate::support::{assert_delivered, offer, tell};

scenarios![
    a_resume_replays_all_that_was_not_confirmed,
    a_resume_goes_on_from_what_was_heard,
    a_resume_skips_nothing_that_came_while_away,
    after_the_window_there_is_a_new_session,
    after_a_restart_there_is_a_new_session,
    a_session_that_is_not_this_devices_is_not_resumed,
    a_seq_that_cannot_be_is_not_resumed,
    a_clean_close_can_be_resumed_too,
    unsettled_messages_are_sent_again_and_end_once,
    the_native_client_loses_nothing_over_many_drops,
];

async fn pair(server: &Server) -> (User, Raw, Raw) {
    let user = User::new(server).await;
    let mut phone = user.raw("phone").await;
    let tv = user.raw("tv").await;
    phone.until("device_online").await;
    phone.ack().await;
    (user, phone, tv)
}

fn sdps(frames: &[Value]) -> Vec<String> {
    frames.iter().filter_map(|frame| frame["payload"]["sdp"].as_str().map(str::to_owned)).collect()
}

async fn a_resume_replays_all_that_was_not_confirmed(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut phone, mut tv) = pair(&server).await;
    for number in 0..20 {
        phone.say(offer(&format!("m-{number}"), "tv", &number.to_string())).await;
    }
    let mut heard = Vec::new();
    for _ in 0..20 {
        heard.push(tv.until("sdp_offer").await);
    }
    // Nothing was confirmed, and the client says that it has handled nothing.
    let dial = user.dial("tv").resume(&tv.session(), 0);
    tv.vanish();
    let mut tv = dial.welcomed().await;
    assert_eq!(tv.welcome["resumed"], true);
    let replayed = tv.barrier().await;
    assert_eq!(replayed, heard, "the same frames, with the same seq and mid");
    assert!(phone.barrier().await.is_empty(), "nobody was told an outcome");
    tv.ack().await;
    for number in 0..20 {
        assert_delivered(&phone.outcome(&format!("m-{number}")).await);
    }
}

async fn a_resume_goes_on_from_what_was_heard(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut phone, mut tv) = pair(&server).await;
    for number in 0..4 {
        phone.say(offer(&format!("m-{number}"), "tv", &number.to_string())).await;
        tv.until("sdp_offer").await;
    }
    let dial = user.dial("tv").resume(&tv.session(), 2);
    tv.vanish();
    let mut tv = dial.welcomed().await;
    // `last_seq` confirms as an `ack` does.
    assert_delivered(&phone.outcome("m-0").await);
    assert_delivered(&phone.outcome("m-1").await);
    assert_eq!(sdps(&tv.barrier().await), ["2", "3"]);
}

async fn a_resume_skips_nothing_that_came_while_away(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut phone, tv) = pair(&server).await;
    let dial = user.dial("tv").resume(&tv.session(), tv.last_seq);
    tv.vanish();
    for number in 0..10 {
        phone.say(offer(&format!("m-{number}"), "tv", &number.to_string())).await;
    }
    phone.barrier().await;
    let laptop = user.raw("laptop").await;
    laptop.close().await;
    phone.until("device_offline").await;
    let mut tv = dial.welcomed().await;
    let kinds: Vec<Value> = tv.barrier().await.iter().map(|frame| frame["type"].clone()).collect();
    let mut expected = vec!["sdp_offer"; 10];
    expected.extend(["device_online", "device_offline"]);
    assert_eq!(kinds, expected);
}

async fn after_the_window_there_is_a_new_session(topology: Topology) {
    let variables = [("RESUME_WINDOW", "500ms"), ("OFFLINE_GRACE", "100ms")];
    let server = Server::start(topology, &variables).await;
    let (user, mut phone, tv) = pair(&server).await;
    let (session, last_seq) = (tv.session(), tv.last_seq);
    tv.vanish();
    phone.say(offer("m-1", "tv", "v=0")).await;
    // The session is over when what waited for it has its outcome.
    let outcome = phone.outcome("m-1").await;
    assert_eq!(outcome["payload"]["reason"], "expired", "{outcome}");
    let mut tv = user.dial("tv").resume(&session, last_seq).welcomed().await;
    assert_eq!(tv.welcome["resumed"], false);
    assert_ne!(tv.session(), session);
    phone.say(offer("m-2", "tv", "v=1")).await;
    let heard = tv.frame().await;
    assert_eq!((&heard["seq"], &heard["payload"]["sdp"]), (&Value::from(1), &Value::from("v=1")));
}

async fn after_a_restart_there_is_a_new_session(topology: Topology) {
    let mut server = Server::start(topology, &[]).await;
    let (user, phone, tv) = pair(&server).await;
    let (session, last_seq) = (tv.session(), tv.last_seq);
    server.kill().await;
    drop((phone, tv));
    server.start_again(&[]).await;
    let tv = user.dial("tv").resume(&session, last_seq).welcomed().await;
    assert_eq!(tv.welcome["resumed"], false);
    assert_ne!(tv.session(), session);
    let known: Vec<&Value> =
        tv.welcome["devices"].as_array().unwrap().iter().map(|device| &device["device_id"]).collect();
    assert_eq!(known, ["phone", "tv"]);
}

async fn a_session_that_is_not_this_devices_is_not_resumed(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, phone, mut tv) = pair(&server).await;
    let nobody = uuid::Uuid::new_v4().to_string();
    let mut stranger = User::new(&server).await.raw("tv").await;
    for session in [phone.session(), stranger.session(), nobody] {
        let dial = user.dial("laptop").resume(&session, 0);
        let laptop = dial.welcomed().await;
        assert_eq!(laptop.welcome["resumed"], false);
        assert_ne!(laptop.session(), session);
        laptop.close().await;
    }
    // And nobody's session was hurt.
    tv.barrier().await;
    stranger.hears_nothing().await;
}

async fn a_seq_that_cannot_be_is_not_resumed(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut phone, mut tv) = pair(&server).await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    tv.until("sdp_offer").await;
    tv.ack().await;
    assert_delivered(&phone.outcome("m-1").await);
    // One is ahead of what was sent, one behind what was confirmed.
    for last_seq in [2, 0] {
        let dial = user.dial("tv").resume(&tv.session(), last_seq);
        tv.vanish();
        tv = dial.welcomed().await;
        assert_eq!(tv.welcome["resumed"], false, "{last_seq}");
        phone.say(offer(&format!("again-{last_seq}"), "tv", "v=0")).await;
        tv.until("sdp_offer").await;
        tv.ack().await;
        phone.outcome(&format!("again-{last_seq}")).await;
    }
}

async fn a_clean_close_can_be_resumed_too(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut phone, tv) = pair(&server).await;
    let dial = user.dial("tv").resume(&tv.session(), tv.last_seq);
    tv.close().await;
    phone.until("device_offline").await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    phone.barrier().await;
    let mut tv = dial.welcomed().await;
    assert_eq!(tv.welcome["resumed"], true);
    assert_eq!(tv.expect("sdp_offer").await["sdp"], "v=0");
    tv.ack().await;
    assert_delivered(&phone.outcome("m-1").await);
}

async fn unsettled_messages_are_sent_again_and_end_once(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let (user, mut phone, mut tv) = pair(&server).await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    tv.until("sdp_offer").await;
    let dial = user.dial("phone").resume(&phone.session(), phone.last_seq);
    phone.vanish();
    let mut phone = dial.welcomed().await;
    assert_eq!(phone.welcome["resumed"], true);
    phone.say(offer("m-1", "tv", "v=0")).await;
    phone.say(offer("m-2", "tv", "v=1")).await;
    assert_eq!(tv.expect("sdp_offer").await["sdp"], "v=1", "m-1 came once");
    tv.ack().await;
    let outcomes: Vec<Value> =
        [phone.frame().await, phone.frame().await].map(|frame| frame["id"].clone()).into();
    assert_eq!(outcomes, ["m-1", "m-2"]);
    phone.hears_nothing().await;
    // A lost outcome is repeated with the replay (the last one was of the question), and for whoever asks again.
    let dial = user.dial("phone").resume(&phone.session(), phone.last_seq - 2);
    phone.vanish();
    let mut phone = dial.welcomed().await;
    assert_eq!(phone.frame().await["id"], "m-2");
    assert_delivered(&tell(&mut phone, offer("m-1", "tv", "v=0")).await);
    tv.hears_nothing().await;
}

async fn the_native_client_loses_nothing_over_many_drops(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let phone = user.device("phone").await;
    let mut tv = user.device("tv").await;
    let to_tv = DeviceId::new("tv").unwrap();
    let mut sent = Vec::new();
    for number in 0..60 {
        sent.push(phone.client.try_send(Outgoing::offer(number.to_string()).to(to_tv.clone())).unwrap());
        if number % 7 == 3 {
            phone.client.drop_connection();
        }
        if number % 11 == 5 {
            tv.client.drop_connection();
        }
    }
    for number in 0..60 {
        assert_eq!(tv.offer().await, number.to_string());
    }
    for outcome in sent {
        assert_eq!(streamz_tests::soon(outcome).await, Ok(Outcome::Delivered));
    }
    assert!(matches!(&*tv.client.state().borrow(), State::Online { .. }));
    // One more message: nothing else came before it.
    phone.client.send(Outgoing::offer("last").to(to_tv)).await.unwrap();
    assert_eq!(tv.offer().await, "last");
}
