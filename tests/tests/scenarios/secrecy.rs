//! What is never in the log, however much is asked for.

use serde_json::json;
use streamz_tests::{Dial, Server, Topology, scenarios};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::support::offer;

scenarios![passwords_tokens_and_signaling_are_never_logged];

async fn passwords_tokens_and_signaling_are_never_logged(topology: Topology) {
    let variables = [
        ("RUST_LOG", "trace,tungstenite=trace,hyper=trace,sqlx=trace,axum=trace"),
        ("TURN_URLS", "turn:turn.example.org"),
        ("TURN_SECRET", "bright-walnut-Jq7_harbour"),
    ];
    let mut server = Server::start(topology, &variables).await;
    let http = server.http();
    let password = "Zebra%42-crossing_at_noon";
    let email = "ada@example.org";
    let account = json!({"email": email, "password": password});
    let signed_up = http.post("/api/auth/register", &account).await.json();
    let signed_in = http.post("/api/auth/login", &account).await.json();
    let refreshed =
        http.post("/api/auth/refresh", &json!({"refresh_token": signed_in["refresh_token"]})).await.json();
    // What is refused is not shown either.
    let wrong_type = json!({"email": email, "password": {"is": "Mistyped-walrus-77"}});
    assert_eq!(http.post("/api/auth/login", &wrong_type).await.status / 100, 4);
    let wrong = json!({"email": email, "password": "Forgotten-walrus-78"});
    assert_eq!(http.post("/api/auth/login", &wrong).await.status, 401);
    assert_eq!(http.get("/ws?device_id=x&token=Misplaced-walrus-79").await.status / 100, 4);

    let token = signed_up["access_token"].as_str().unwrap();
    let dial = |device| Dial::new(server.url(), device).bearer(token);
    let mut phone = dial("phone").v1().welcomed().await;
    let mut tv = dial("tv").welcomed().await;
    phone.until("device_online").await;
    phone.say(json!({"type": "auth", "id": "a-1", "payload": {"token": refreshed["access_token"]}})).await;
    phone.outcome("a-1").await;
    phone.say(offer("m-1", "tv", "v=0 session-walrus-80")).await;
    tv.until("sdp_offer").await;
    let candidate = json!({"to_device_id": "phone", "candidate": "candidate:walrus-81 udp"});
    tv.say(json!({"type": "ice_candidate", "payload": candidate})).await;
    phone.until("ice_candidate").await;
    phone.say_text(r#"{"type": "sdp_offer", "payload": {"sdp": "broken-walrus-82"#).await;
    phone.until("error").await;
    let credential = phone.welcome["ice_servers"][0]["credential"].as_str().unwrap().to_owned();
    // The reason that a device gives is its own text.
    let goodbye = CloseFrame { code: 1000.into(), reason: "goodbye-walrus-83".into() };
    phone.write(Message::Close(Some(goodbye))).await;
    phone.end().await;
    drop(tv);
    server.stop().await;

    let log = server.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "much was asked for:\n{log}");
    let mut secrets = vec![password.to_owned(), "bright-walnut".to_owned(), "walrus".to_owned(), credential];
    for answer in [signed_up, signed_in, refreshed] {
        for token in ["access_token", "refresh_token"] {
            let token = answer[token].as_str().unwrap();
            // The last part alone is as good as the whole, to whom has the rest.
            secrets.push(token.rsplit('.').next().unwrap().to_owned());
        }
    }
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
}
