//! The first frame on every connection, and who does not get it.

use serde_json::{Value, json};
use streamz_protocol::DeviceId;
use streamz_tests::{Dial, Refused, Server, Topology, User, scenarios};

use crate::support::ring;
use crate::support::start;

scenarios![
    a_welcome_holds_everything,
    a_device_is_registered_by_its_first_connection,
    ice_servers_come_with_credentials_over_both_ways,
    a_browser_brings_its_token_as_a_subprotocol,
    a_refusal_is_a_close_code_or_a_status,
    a_query_that_is_wrong_is_a_status_for_others,
    a_query_that_is_wrong_is_a_close_code_for_streamz_v1,
    pages_of_other_origins_are_kept_out,
];

fn ids(list: &Value) -> Vec<&str> {
    let mut ids: Vec<&str> =
        list.as_array().unwrap().iter().map(|d| d["device_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

async fn a_welcome_holds_everything(topology: Topology) {
    let server = Server::start(topology, &[("HEARTBEAT_INTERVAL", "7s"), ("RESUME_WINDOW", "21s")]).await;
    let user = User::new(&server).await;
    user.api
        .add_device(&user.signed_in.access_token, &DeviceId::new("camera").unwrap(), "Porch", Some("camera"))
        .await
        .unwrap();
    let mut phone = user.raw("phone").await;
    let _tv = user.raw("tv").await;
    let stream = ring(&mut phone, start("s-1", "tv")).await;
    let laptop = user.raw("laptop").await;
    let welcome = &laptop.welcome;
    assert_eq!(welcome["resumed"], false);
    assert_eq!(
        (&welcome["heartbeat_interval_ms"], &welcome["resume_window_ms"]),
        (&json!(7000), &json!(21000))
    );
    assert_eq!(welcome["device"]["device_id"], "laptop");
    assert_eq!(welcome["device"]["user_id"], user.signed_in.user.id.to_string());
    assert_eq!(ids(&welcome["devices"]), ["camera", "laptop", "phone", "tv"]);
    for device in welcome["devices"].as_array().unwrap() {
        assert_eq!(device["is_online"], device["device_id"] != "camera", "{device}");
    }
    let [shown] = welcome["streams"].as_array().unwrap().as_slice() else { panic!("{welcome}") };
    assert_eq!((&shown["id"], &shown["state"]), (&json!(stream), &json!("ringing")));
    assert_eq!((&shown["from_device_id"], &shown["to"]), (&json!("phone"), &json!(["tv"])));
    assert_eq!(shown["source_device"]["device_id"], "phone");
    assert_eq!(shown["target_device"]["device_id"], "tv");
    assert_eq!(shown["source_device_id"], shown["source_device"]["id"]);
    assert_eq!(welcome["ice_servers"], json!([]));
}

async fn a_device_is_registered_by_its_first_connection(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let kind = "t".repeat(64);
    let name = "Küche / TV №1";
    let device = "küche/№ 1";
    let dial = user
        .dial(device)
        .query(&format!("device_name=K%C3%BCche%20%2F%20TV%20%E2%84%961%20&device_type={kind}"));
    let tv = dial.welcomed().await;
    assert_eq!(tv.welcome["device"]["device_name"], name);
    let other_name = user.dial(device).query("device_name=Other");
    tv.close().await;
    let tv = other_name.welcomed().await;
    assert_eq!(tv.welcome["device"]["device_name"], name, "only PUT renames");
    let listed = user.get("/api/devices").await.json();
    let [listed] = listed["devices"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&listed["device_id"], &listed["device_type"]), (&json!(device), &json!(kind)));
    assert_eq!(listed["id"], tv.welcome["device"]["id"]);
    let unnamed = user.raw("unnamed").await;
    assert_eq!(unnamed.welcome["device"]["device_name"], "unnamed");
}

async fn ice_servers_come_with_credentials_over_both_ways(topology: Topology) {
    use base64::Engine;
    use hmac::{KeyInit, Mac};
    let urls = "stun:turn.example.org:3478,turn:turn.example.org:3478?transport=udp";
    let variables = [("TURN_URLS", urls), ("TURN_SECRET", "north wind"), ("TURN_TTL", "10m")];
    let server = Server::start(topology, &variables).await;
    let user = User::new(&server).await;
    let phone = user.raw("phone").await;
    let answer = user.get("/api/ice-servers").await.json();
    for servers in [&phone.welcome["ice_servers"], &answer["ice_servers"]] {
        let turn =
            servers.as_array().unwrap().iter().find(|server| server.get("username").is_some()).unwrap();
        assert_eq!(turn["urls"], json!(["turn:turn.example.org:3478?transport=udp"]));
        let username = turn["username"].as_str().unwrap();
        let (expiry, of) = username.split_once(':').unwrap();
        assert_eq!(of, user.signed_in.user.id.to_string());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let left = expiry.parse::<u64>().unwrap() - now;
        assert!((590..=600).contains(&left), "{left}");
        let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(b"north wind").unwrap();
        mac.update(username.as_bytes());
        let credential = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(turn["credential"], credential);
        assert!(servers.to_string().contains("stun:turn.example.org:3478"));
    }
    assert!(!server.log().contains("north wind"));
}

async fn a_browser_brings_its_token_as_a_subprotocol(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let offered = format!("streamz.v1, bearer.{}", user.token());
    let page = Dial::new(server.url(), "page").header("sec-websocket-protocol", &offered);
    let page = page.header("origin", server.url()).welcomed().await;
    assert_eq!(page.welcome["resume_window_ms"], 60_000);
    assert!(!server.log().contains(user.token()));
}

async fn a_refusal_is_a_close_code_or_a_status(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let dial = || Dial::new(server.url(), "phone");
    for dial in [dial(), dial().bearer("nonsense")] {
        assert_eq!(dial.open().await.unwrap_err(), Refused { status: 401, code: "invalid_token".into() });
        dial.v1().refused(4500).await;
    }
}

/// Queries that no device may come with, and a word of what is said of each.
fn wrong_queries(token: &str) -> Vec<(String, &'static str)> {
    let long = "x".repeat(256);
    vec![
        ("".to_owned(), "device_id is missing"),
        ("device_id=".to_owned(), "device_id must have"),
        (format!("device_id={long}"), "1 to 255 characters"),
        ("device_id=a%00b".to_owned(), "no control characters"),
        ("device_id=%zz".to_owned(), "Percent-encode"),
        ("device_id=a&device_id=b".to_owned(), "device_id is given twice"),
        ("device_id=a&session_id=nonsense".to_owned(), "session_id"),
        ("device_id=a&last_seq=-1".to_owned(), "last_seq"),
        ("device_id=a&max_streams=0".to_owned(), "max_streams"),
        ("device_id=a&max_streams=65".to_owned(), "max_streams"),
        (format!("device_id=a&device_name={long}"), "device_name must have at most 255"),
        (format!("device_id=a&device_type={}", &long[..65]), "device_type must have at most 64"),
        ("device_id=a&device_type=".to_owned(), "device_type must not be empty"),
        ("device_id=a&device_name=a%00b".to_owned(), "device_name must not have control"),
        (format!("device_id=a&token={token}"), "ends up in logs"),
        (format!("device_id=a&access_token={token}"), "ends up in logs"),
    ]
}

async fn a_query_that_is_wrong_is_a_status_for_others(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    for (query, _) in wrong_queries(user.token()) {
        let refused = Dial::with_query(server.url(), &query).bearer(user.token()).open().await;
        assert_eq!(
            refused.expect_err(&query),
            Refused { status: 400, code: "malformed_query".into() },
            "{query}"
        );
    }
    // A token in the query does not stand for a missing one either.
    let dial = Dial::with_query(server.url(), &format!("device_id=a&token={}", user.token()));
    assert_eq!(dial.open().await.unwrap_err().status, 400);
    assert_eq!(user.get("/api/devices").await.json()["devices"], json!([]));
    assert!(!server.log().contains(user.token()), "a token must not reach the log");
}

/// A browser shows a page nothing but the close frame: with a status, it would come back for ever.
async fn a_query_that_is_wrong_is_a_close_code_for_streamz_v1(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    for (query, word) in wrong_queries(user.token()) {
        let dial = Dial::with_query(server.url(), &query).bearer(user.token()).v1();
        let reason = dial.refused(4503).await;
        assert!(reason.contains(word), "{query}: {reason}");
        assert!(!reason.contains(user.token()));
    }
    assert_eq!(user.get("/api/devices").await.json()["devices"], json!([]));
    assert!(!server.log().contains(user.token()), "a token must not reach the log");
}

async fn pages_of_other_origins_are_kept_out(topology: Topology) {
    let server = Server::start(topology, &[("ALLOWED_ORIGINS", "https://app.example.org")]).await;
    let user = User::new(&server).await;
    let page = |origin: &str| user.dial("page").header("origin", origin);
    let reason = page("https://evil.example.org").refused(4503).await;
    assert!(reason.contains("ALLOWED_ORIGINS"), "{reason}");
    let refused = user.dial_simple("page").header("origin", "https://evil.example.org").open().await;
    assert_eq!(refused.unwrap_err(), Refused { status: 403, code: "forbidden_origin".into() });
    page("https://app.example.org").welcomed().await.close().await;
    let asked = |origin: &'static str| {
        let http = server.http();
        async move { http.send(http.request(reqwest::Method::GET, "/ping").header("origin", origin)).await }
    };
    let allowed = asked("https://app.example.org").await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.org");
    assert_eq!(asked("https://evil.example.org").await.header("access-control-allow-origin"), "");
}
