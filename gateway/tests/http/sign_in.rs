//! Who may try a password, and what is done with it.

use std::num::NonZeroUsize;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use streamz_auth::{PasswordPool, PoolSize};
use streamz_store::NewUser;

use crate::fixture::{Answer, Api};

const PASSWORD: &str = "correct horse battery";

fn login(email: &str, password: &str) -> Value {
    json!({"email": email, "password": password})
}

/// An account with this stored hash.
async fn account(api: &Api, email: &str, password_hash: &str) {
    let new = NewUser { email, password_hash, first_name: None, last_name: None };
    api.state.store().create_user(new, api.state.now()).await.unwrap();
}

/// The cheapest hash that is a real one.
fn cheap_hash() -> String {
    bcrypt::hash(PASSWORD, 4).unwrap()
}

async fn stored_hash(api: &Api, email: &str) -> String {
    let found = api.state.store().user_by_email(email).await.unwrap().unwrap();
    secrecy::ExposeSecret::expose_secret(&found.password_hash).to_owned()
}

/// A sign-in from an address that nobody else uses.
async fn try_from(api: &Api, n: u8, email: &str, password: &str) -> Answer {
    let address = format!("198.51.100.{n}:4000");
    api.post_from(&address, "/api/auth/login", login(email, password)).await
}

fn wait_of(answer: &Answer) -> Duration {
    answer.problem(429, "rate_limited");
    Duration::from_secs(answer.header("retry-after").unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_hash_of_the_first_streamz_is_accepted_and_replaced() {
    let api = Api::new().await;
    account(&api, "old@example.org", &cheap_hash()).await;
    api.post("/api/auth/login", "", login("old@example.org", "wrong"))
        .await
        .problem(401, "invalid_credentials");
    assert!(stored_hash(&api, "old@example.org").await.starts_with("$2"));
    api.post("/api/auth/login", "", login("old@example.org", PASSWORD)).await.ok(200);
    let new = stored_hash(&api, "old@example.org").await;
    assert!(new.starts_with("$argon2id$"), "{new}");
    api.post("/api/auth/login", "", login("old@example.org", PASSWORD)).await.ok(200);
    assert_eq!(stored_hash(&api, "old@example.org").await, new);
}

#[tokio::test]
async fn an_unknown_account_gets_the_same_answer_after_the_same_work() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let figures = recorder.handle();
    let checks = |account: &str| {
        let line = format!("streamz_password_checks_total{{account=\"{account}\"}} ");
        let text = figures.render();
        text.lines().find_map(|text| text.strip_prefix(&line)).map(|n| n.parse::<u64>().unwrap())
    };
    let api = Api::new().await;
    account(&api, "ada@example.org", &cheap_hash()).await;
    // This test runs on one thread: what it counts, only it counts.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let wrong = api.post("/api/auth/login", "", login("ada@example.org", "nonsense")).await;
    assert_eq!((checks("known"), checks("unknown")), (Some(1), None));
    let unknown = api.post("/api/auth/login", "", login("eve@example.org", "nonsense")).await;
    assert_eq!((checks("known"), checks("unknown")), (Some(1), Some(1)));

    let without_id = |answer: &Answer| {
        let mut body = answer.problem(401, "invalid_credentials");
        body.as_object_mut().unwrap().remove("request_id");
        body
    };
    assert_eq!(without_id(&wrong), without_id(&unknown));
    let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&wrong), names(&unknown));
}

#[tokio::test]
async fn an_unknown_account_waits_for_the_same_pool() {
    // The only worker is busy and nobody may wait: whoever needs the pool hears of it.
    let api = Api::with(|parts| {
        parts.passwords = PasswordPool::new(PoolSize { workers: NonZeroUsize::MIN, waiting: 0 });
    })
    .await;
    account(&api, "ada@example.org", &cheap_hash()).await;
    let slow = bcrypt::hash_with_result(PASSWORD, 4).unwrap().format_for_version(bcrypt::Version::TwoB);
    // A cost of 14 instead of 4: about a second.
    let slow = slow.replacen("$04$", "$14$", 1);
    let password = secrecy::SecretString::from(PASSWORD);
    let passwords = api.state.passwords().clone();
    let mut busy = Box::pin(passwords.verify(&slow, &password));
    assert!(futures_util::poll!(&mut busy).is_pending());
    for (n, email) in [(1, "ada@example.org"), (2, "eve@example.org")] {
        try_from(&api, n, email, "nonsense").await.problem(503, "busy");
    }
    busy.await.unwrap();
}

#[tokio::test]
async fn an_account_is_closed_after_five_attempts_wherever_they_come_from() {
    let api = Api::new().await;
    account(&api, "ada@example.org", &cheap_hash()).await;
    // Unknown accounts are counted as any other.
    for email in ["ada@example.org", "eve@example.org"] {
        for n in 1..=5 {
            try_from(&api, n, email, "nonsense").await.problem(401, "invalid_credentials");
        }
    }
    for email in ["ada@example.org", "eve@example.org"] {
        assert_eq!(wait_of(&try_from(&api, 6, email, PASSWORD).await), Duration::from_secs(60));
    }
    // Attempts while it is closed do not make the wait longer.
    api.pass(Duration::from_secs(59));
    assert_eq!(wait_of(&try_from(&api, 7, "ada@example.org", PASSWORD).await), Duration::from_secs(1));
    api.pass(Duration::from_secs(1));
    try_from(&api, 8, "ada@example.org", PASSWORD).await.ok(200);
    // A success clears it: five more, and the delay begins anew.
    for n in 11..=15 {
        try_from(&api, n, "ada@example.org", "nonsense").await.problem(401, "invalid_credentials");
    }
    assert_eq!(wait_of(&try_from(&api, 16, "ada@example.org", "nonsense").await), Duration::from_secs(60));
}

#[tokio::test]
async fn whoever_uses_up_an_accounts_attempts_does_not_keep_its_owner_out() {
    let api = Api::new().await;
    account(&api, "ada@example.org", &cheap_hash()).await;
    try_from(&api, 1, "ada@example.org", PASSWORD).await.ok(200);
    for minute in 0..5 {
        for n in 0..6 {
            try_from(&api, 100 + n, "ada@example.org", "nonsense").await;
        }
        // From anywhere else it is closed; the owner at home does not notice.
        wait_of(&try_from(&api, 50, "ada@example.org", PASSWORD).await);
        if minute % 2 == 0 {
            try_from(&api, 1, "ada@example.org", PASSWORD).await.ok(200);
        }
        api.pass(Duration::from_secs(60));
    }
    // Her own network is counted too.
    for _ in 0..5 {
        try_from(&api, 1, "ada@example.org", "nonsense").await.problem(401, "invalid_credentials");
    }
    wait_of(&try_from(&api, 1, "ada@example.org", "nonsense").await);
}

#[tokio::test]
async fn the_delay_grows_and_ends() {
    let api = Api::new().await;
    let mut waits = Vec::new();
    for round in 0..6 {
        for n in 1..=5 {
            try_from(&api, round * 10 + n, "eve@example.org", "nonsense")
                .await
                .problem(401, "invalid_credentials");
        }
        let wait = wait_of(&try_from(&api, round * 10 + 6, "eve@example.org", "nonsense").await);
        waits.push(wait.as_secs());
        api.pass(wait);
    }
    assert_eq!(waits, [60, 120, 240, 480, 900, 900]);
}

#[tokio::test]
async fn an_address_is_closed_whatever_accounts_it_tries() {
    let api = Api::new().await;
    account(&api, "ada@example.org", &cheap_hash()).await;
    for n in 0..5 {
        try_from(&api, 1, &format!("{n}@example.org"), "nonsense").await.problem(401, "invalid_credentials");
    }
    wait_of(&try_from(&api, 1, "ada@example.org", PASSWORD).await);
    // Its attempts while it is closed are not held against the account.
    for _ in 0..10 {
        wait_of(&try_from(&api, 1, "ada@example.org", "nonsense").await);
    }
    try_from(&api, 2, "ada@example.org", PASSWORD).await.ok(200);
}

#[tokio::test]
async fn sign_ups_count_for_their_address() {
    let api = Api::new().await;
    for n in 0..5 {
        let body = login(&format!("{n}@example.org"), PASSWORD);
        api.post_from("203.0.113.9:1", "/api/auth/register", body).await.ok(201);
    }
    let body = login("6@example.org", PASSWORD);
    wait_of(&api.post_from("203.0.113.9:1", "/api/auth/register", body.clone()).await);
    // What is not valid is not counted, and costs nothing.
    api.post_from("203.0.113.10:1", "/api/auth/register", json!({})).await.problem(422, "invalid_fields");
    api.post_from("203.0.113.10:1", "/api/auth/register", body).await.ok(201);
}

#[tokio::test]
async fn an_ipv6_customer_is_one_client() {
    let api = Api::new().await;
    for n in 1..=5 {
        let address = format!("[2001:db8:0:1::{n}]:4000");
        let body = login(&format!("{n}@example.org"), "nonsense");
        api.post_from(&address, "/api/auth/login", body).await.problem(401, "invalid_credentials");
    }
    let body = login("6@example.org", "nonsense");
    wait_of(&api.post_from("[2001:db8:0:1:ffff::6]:4000", "/api/auth/login", body.clone()).await);
    api.post_from("[2001:db8:0:2::6]:4000", "/api/auth/login", body)
        .await
        .problem(401, "invalid_credentials");
}

#[tokio::test]
async fn only_our_own_proxies_say_where_a_client_is() {
    use crate::fixture::{json, request};
    use axum::extract::ConnectInfo;
    use axum::http::Method;
    let api = Api::new().await;
    let from = |peer: &str, forwarded: &str, email: String| {
        let peer: std::net::SocketAddr = peer.parse().unwrap();
        let request = request(Method::POST, "/api/auth/login", "").header("x-forwarded-for", forwarded);
        json(request.extension(ConnectInfo(peer)), &login(&email, "nonsense"))
    };
    // A client that invents addresses in front of its own stays one client, behind our proxy and without it.
    for (peer, suffix) in [("10.0.0.7:1", ", 192.0.2.1"), ("192.0.2.2:1", "")] {
        for n in 0..5 {
            let request = from(peer, &format!("198.51.100.{n}{suffix}"), format!("{peer}-{n}@example.org"));
            api.send(request).await.problem(401, "invalid_credentials");
        }
        let request = from(peer, &format!("198.51.100.77{suffix}"), format!("{peer}-6@example.org"));
        wait_of(&api.send(request).await);
    }
    // Behind the same proxy another client is another client.
    let request = from("10.0.0.7:1", "192.0.2.3", "other@example.org".to_owned());
    api.send(request).await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn signing_in_with_any_bytes_is_right_or_wrong() {
    let api = Api::new().await;
    account(&api, "old@example.org", &cheap_hash()).await;
    for (n, password) in [(1, ""), (2, "\0"), (3, "x\0y"), (4, &*"ü".repeat(10_000))] {
        try_from(&api, n, "old@example.org", password).await.problem(401, "invalid_credentials");
    }
    let problem =
        api.post("/api/auth/login", "", login("no address", "x")).await.problem(422, "invalid_fields");
    assert_eq!(problem["errors"][0]["field"], "email");
}

/// A proxy of ours says where a client is in one header; any other is the client's own word.
#[tokio::test]
async fn a_forwarded_header_moves_nobody() {
    use crate::fixture::{json, request};
    use axum::extract::ConnectInfo;
    use axum::http::Method;
    let api = Api::new().await;
    for peer in ["10.0.0.7:1", "192.0.2.2:1"] {
        let peer: std::net::SocketAddr = peer.parse().unwrap();
        let from = |n: u8| {
            let request = request(Method::POST, "/api/auth/login", "")
                .header("forwarded", format!("for=198.51.100.{n}"))
                .header("x-real-ip", format!("198.51.100.{n}"))
                .header("x-forwarded-for", "192.0.2.99")
                .extension(ConnectInfo(peer));
            json(request, &login(&format!("{}-{n}@example.org", peer.ip()), "nonsense"))
        };
        // The second peer is no proxy: it is itself, and has tries of its own.
        for n in 0..5 {
            api.send(from(n)).await.problem(401, "invalid_credentials");
        }
        wait_of(&api.send(from(77)).await);
    }
}
