//! Accounts over HTTP: registration, sign-in, refresh, logout.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use streamz_tests::{Answer, PASSWORD, Server, Topology, User, scenarios};

use crate::support::{Database, ring, start};

scenarios![
    an_account_is_made_and_signed_in,
    what_is_wrong_with_a_registration_is_said_field_by_field,
    a_wrong_password_and_an_unknown_account_look_the_same,
    a_refresh_token_is_spent_by_its_use,
    a_refresh_without_an_answer_may_be_asked_for_again,
    a_refresh_token_used_twice_ends_the_sign_in_and_its_sockets,
    a_logout_ends_its_sign_in_and_no_other,
    every_error_is_a_problem,
    the_api_describes_itself,
    operators_see_how_it_is,
    passwords_are_kept_as_argon2id,
    a_password_of_the_first_streamz_is_taken_and_its_hash_replaced,
    a_refresh_token_that_has_lapsed_is_refused,
    a_new_password_closes_every_other_device,
    sign_ins_are_listed_and_ended,
    a_deleted_account_ends_its_calls_and_closes_its_devices,
];

fn credentials(email: &str) -> Value {
    json!({"email": email, "password": "a good long password"})
}

fn field<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("{name}: {answer}"))
}

async fn refresh(server: &Server, token: &str) -> Answer {
    server.http().post("/api/auth/refresh", &json!({"refresh_token": token})).await
}

async fn an_account_is_made_and_signed_in(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let http = server.http();
    let mut body = credentials("Ada@Example.org");
    body["first_name"] = "Ada".into();
    let made = http.post("/api/auth/register", &body).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!((&made["token_type"], &made["expires_in"]), (&json!("Bearer"), &json!(900)));
    let user = &made["user"];
    assert_eq!(user["first_name"], "Ada");
    assert_eq!(user["last_name"], Value::Null);
    let mut keys: Vec<&str> = user.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["created_at", "email", "first_name", "id", "last_name", "updated_at"]);

    let me = http.get_as(field(&made, "access_token"), "/api/auth/me").await;
    assert_eq!((me.status, &me.json()), (200, user));
    let login = http.post("/api/auth/login", &credentials("ada@example.org")).await;
    assert_eq!((login.status, &login.json()["user"]), (200, user));
    let taken = http.post("/api/auth/register", &credentials("ada@EXAMPLE.org")).await;
    assert_eq!(taken.problem(), (409, "email_taken".into()));
}

async fn what_is_wrong_with_a_registration_is_said_field_by_field(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let http = server.http();
    let both = json!({"email": "no address", "password": "short"});
    let answer = http.post("/api/auth/register", &both).await;
    assert_eq!(answer.problem(), (422, "invalid_fields".into()));
    let body = answer.json();
    let fields: Vec<&Value> =
        body["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["email", "password"]);
    assert!(!answer.text.contains("short"), "a password is never repeated");
    let bytes = "ü".repeat(128);
    for (password, status) in
        [("1234567", 422), ("12345678", 201), (&*bytes, 201), (&*format!("{bytes}x"), 422)]
    {
        let email = format!("{status}-{}@example.org", password.len());
        let answer = http.post("/api/auth/register", &json!({"email": email, "password": password})).await;
        assert_eq!(answer.status, status, "{}", password.len());
    }
}

async fn a_wrong_password_and_an_unknown_account_look_the_same(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let http = server.http();
    let wrong = http.post("/api/auth/login", &credentials(&user.email)).await;
    let unknown = http.post("/api/auth/login", &credentials("nobody@example.org")).await;
    assert_eq!(wrong.problem(), (401, "invalid_credentials".into()));
    let anonymous = |answer: &Answer| {
        let mut body = answer.json();
        body["request_id"].take();
        body
    };
    assert_eq!(anonymous(&wrong), anonymous(&unknown));
}

async fn a_refresh_token_is_spent_by_its_use(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let http = server.http();
    let made = http.post("/api/auth/register", &credentials("a@example.org")).await.json();
    let first = refresh(&server, field(&made, "refresh_token")).await;
    assert_eq!(first.status, 200);
    let first = first.json();
    assert_ne!(first["refresh_token"], made["refresh_token"]);
    assert_eq!(http.get_as(field(&first, "access_token"), "/api/auth/me").await.status, 200);
    assert_eq!(refresh(&server, field(&first, "refresh_token")).await.status, 200);
    assert_eq!(refresh(&server, "nonsense").await.problem(), (401, "invalid_refresh_token".into()));
}

async fn a_refresh_without_an_answer_may_be_asked_for_again(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let made = server.http().post("/api/auth/register", &credentials("a@example.org")).await.json();
    let old = field(&made, "refresh_token");
    let rotate = async |old: &str, new: &str| {
        let body = json!({"refresh_token": old, "new_refresh_token": new});
        server.http().post("/api/auth/refresh", &body).await
    };
    let new = |letter: &str| format!("srt_{}", letter.repeat(43));
    for bad in ["", "srt_", "nonsense", &new("+")] {
        assert_eq!(rotate(old, bad).await.problem(), (422, "invalid_fields".into()), "{bad}");
    }
    for _ in 0..2 {
        let answer = rotate(old, &new("A")).await;
        assert_eq!(answer.status, 200);
        let signed_in = answer.json();
        assert_eq!(signed_in["refresh_token"], new("A"));
        assert_eq!(server.http().get_as(field(&signed_in, "access_token"), "/api/auth/me").await.status, 200);
    }
    assert_eq!(rotate(&new("A"), &new("A")).await.problem(), (401, "invalid_refresh_token".into()));
    assert_eq!(rotate(&new("A"), &new("E")).await.status, 200);
    assert_eq!(rotate(old, &new("A")).await.problem(), (401, "refresh_token_reused".into()));
}

async fn a_refresh_token_used_twice_ends_the_sign_in_and_its_sockets(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let again = user.sign_in_again().await.unwrap();
    let mut tv = again.raw("tv").await;
    let newer = user.api.refresh(&user.signed_in.refresh_token).await.unwrap();
    let reused = user.api.refresh(&user.signed_in.refresh_token).await.unwrap_err();
    assert_eq!(reused.code(), Some("refresh_token_reused"));
    phone.closes(4502).await;
    let spent = user.api.refresh(&newer.refresh_token).await.unwrap_err();
    assert_eq!((spent.status(), spent.code()), (Some(401), Some("revoked")));
    assert_eq!(user.api.me(&newer.access_token).await.unwrap_err().code(), Some("revoked"));
    assert_eq!(tv.until("device_offline").await["payload"]["device_id"], "phone");
    tv.hears_nothing().await;
}

async fn a_logout_ends_its_sign_in_and_no_other(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let other = user.sign_in_again().await.unwrap();
    user.api.logout(&user.signed_in.access_token).await.unwrap();
    let refused = user.get("/api/auth/me").await;
    assert_eq!(refused.problem(), (401, "revoked".into()));
    assert!(refused.header("www-authenticate").starts_with("Bearer "), "{refused:?}");
    let refused = user.api.refresh(&user.signed_in.refresh_token).await.unwrap_err();
    assert_eq!(refused.status(), Some(401));
    assert_eq!(other.get("/api/auth/me").await.status, 200);
    user.dial("phone").refused(4502).await;
    assert_eq!(user.dial_simple("phone").open().await.unwrap_err().status, 401);
    other.raw("tv").await.close().await;
}

async fn every_error_is_a_problem(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let http = server.http();
    let ask = |method, path: &str| http.request(method, path).bearer_auth(user.token());
    let post = |path: &str, body: &'static str| {
        ask(Method::POST, path).header("content-type", "application/json").body(body)
    };
    for (request, status, code) in [
        (ask(Method::GET, "/api/nothing"), 404, "not_found"),
        (ask(Method::PUT, "/api/auth/me"), 405, "method_not_allowed"),
        (ask(Method::DELETE, "/api/auth/me"), 415, "unsupported_media_type"),
        (ask(Method::GET, "/api/streams/nonsense"), 400, "malformed_path"),
        (ask(Method::GET, "/api/streams?limit=0"), 400, "malformed_query"),
        (ask(Method::DELETE, "/api/devices/%ff"), 400, "malformed_path"),
        (ask(Method::DELETE, "/api/devices/none"), 404, "device_not_found"),
        (post("/api/devices", "{"), 400, "malformed_json"),
        (post("/api/devices", "{\"device_id\": 5}"), 422, "invalid_fields"),
        (ask(Method::POST, "/api/devices").body("x"), 415, "unsupported_media_type"),
        (ask(Method::GET, "/ws?device_id=a"), 426, "upgrade_required"),
        (http.request(Method::GET, "/api/devices"), 401, "invalid_token"),
    ] {
        let answer = http.send(request).await;
        assert_eq!(answer.problem(), (status, code.into()));
        assert_eq!(answer.header("x-request-id"), answer.json()["request_id"]);
    }
}

async fn the_api_describes_itself(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let document = server.http().get("/api/openapi.json").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    for (path, method) in [
        ("/api/auth/register", "post"),
        ("/api/auth/login", "post"),
        ("/api/auth/refresh", "post"),
        ("/api/auth/logout", "post"),
        ("/api/auth/me", "get"),
        ("/api/auth/me", "delete"),
        ("/api/auth/password", "put"),
        ("/api/auth/sessions", "get"),
        ("/api/auth/sessions/{id}", "delete"),
        ("/api/devices", "get"),
        ("/api/devices", "post"),
        ("/api/devices/{device_id}", "put"),
        ("/api/devices/{device_id}", "delete"),
        ("/api/streams", "get"),
        ("/api/streams/{id}", "get"),
        ("/api/ice-servers", "get"),
    ] {
        assert!(document["paths"][path][method].is_object(), "{method} {path}");
    }
    assert_eq!(server.http().get("/docs").await.status, 200);
}

async fn operators_see_how_it_is(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let _phone = user.raw("phone").await;
    let http = server.http();
    assert_eq!(http.get("/ping").await.text, "pong");
    assert_eq!(http.get("/health").await.json()["status"], "ok");
    let ready = http.get("/ready").await.json();
    assert_eq!((&ready["state"], &ready["checks"][0]["ready"]), (&json!("ready"), &json!(true)));
    let metrics = http.get("/metrics").await.text;
    assert!(metrics.contains("streamz_connects_total{outcome=\"accepted\"} 1"), "{metrics}");
    assert!(!metrics.contains(&user.email));
}

const ARGON2ID: &str =
    "SELECT count(*) FROM users WHERE password_hash LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'";

async fn passwords_are_kept_as_argon2id(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    User::new(&server).await;
    assert_eq!(Database::of(&server).count(ARGON2ID).await, 1);
}

async fn a_password_of_the_first_streamz_is_taken_and_its_hash_replaced(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let database = Database::of(&server);
    // "allmine", from the tests of golang.org/x/crypto/bcrypt, which the first Streamz used.
    let bcrypt = "UPDATE users SET password_hash = '$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga' \
                  WHERE id = $1";
    database.execute(bcrypt, user.signed_in.user.id.0).await;
    let sign_in = async |password: &str| {
        let body = json!({"email": user.email, "password": password});
        server.http().post("/api/auth/login", &body).await.status
    };
    assert_eq!(sign_in("allmin").await, 401);
    assert_eq!(database.count(ARGON2ID).await, 0);
    assert_eq!(sign_in("allmine").await, 200);
    assert_eq!(database.count(ARGON2ID).await, 1);
    assert_eq!(sign_in("allmine").await, 200);
}

async fn a_refresh_token_that_has_lapsed_is_refused(topology: Topology) {
    let server = Server::start(topology, &[("JWT_EXPIRY", "1s"), ("REFRESH_EXPIRY", "1s")]).await;
    let user = User::new(&server).await;
    let token = &user.signed_in.refresh_token;
    // It lapses by the clock alone.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(user.api.refresh(token).await.unwrap_err().code(), Some("invalid_refresh_token"));
}

/// Sends as this person.
async fn send(user: &User, method: Method, path: &str, body: Value) -> Answer {
    streamz_tests::Http::new(&user.url).send_as(user.token(), method, path, &body).await
}

/// What is revoked is closed on every gateway within this time.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn a_new_password_closes_every_other_device(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let others = [user.sign_in_again().await.unwrap(), user.sign_in_again().await.unwrap()];
    let mut phone = user.raw("phone").await;
    let (mut tv, mut cam) = (others[0].raw("tv").await, others[1].raw("cam").await);
    phone.barrier().await;
    let change = |current: &str| json!({"current_password": current, "new_password": "quite another one"});
    let path = "/api/auth/password";
    assert_eq!(
        send(&user, Method::PUT, path, change("wrong")).await.problem(),
        (403, "wrong_password".into())
    );
    let began = Instant::now();
    assert_eq!(send(&user, Method::PUT, path, change(PASSWORD)).await.status, 204);
    tv.closes(4502).await;
    cam.closes(4502).await;
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    // This one goes on, with its socket and its tokens; what has ended comes in nowhere.
    phone.barrier().await;
    user.api.refresh(&user.signed_in.refresh_token).await.unwrap();
    for other in &others {
        for gateway in &server.gateways {
            other.through(gateway).dial("tv").refused(4502).await;
        }
        assert_eq!(
            other.api.refresh(&other.signed_in.refresh_token).await.unwrap_err().code(),
            Some("revoked")
        );
    }
    assert_eq!(user.sign_in_again().await.unwrap_err().code(), Some("invalid_credentials"));
    user.api.login(&user.email, "quite another one").await.unwrap();
}

async fn sign_ins_are_listed_and_ended(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let other = user.sign_in_again().await.unwrap();
    let mut tv = other.raw("tv").await;
    let listed = other.get("/api/auth/sessions").await.json();
    let sessions = listed["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{listed}");
    let current: Vec<_> = sessions.iter().filter(|session| session["current"] == true).collect();
    assert_eq!(current.len(), 1, "{listed}");
    let path = format!("/api/auth/sessions/{}", current[0]["id"].as_str().unwrap());
    let stranger = User::new(&server).await;
    let refused = send(&stranger, Method::DELETE, &path, json!({})).await;
    assert_eq!(refused.problem(), (404, "session_not_found".into()));
    let began = Instant::now();
    assert_eq!(send(&user, Method::DELETE, &path, json!({})).await.status, 204);
    tv.closes(4502).await;
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(user.get("/api/auth/sessions").await.json()["sessions"].as_array().unwrap().len(), 1);
}

async fn a_deleted_account_ends_its_calls_and_closes_its_devices(topology: Topology) {
    let variables = [("TURN_URLS", "turn:turn.example.org:3478"), ("TURN_SECRET", "a secret of the relays")];
    let server = Server::start(topology, &variables).await;
    let user = User::new(&server).await;
    let other = user.sign_in_again().await.unwrap();
    let (mut phone, mut tv) = (user.raw("phone").await, other.raw("tv").await);
    phone.until("device_online").await;
    ring(&mut phone, start("s-1", "tv")).await;
    tv.until("stream_start").await;
    assert!(user.get("/api/ice-servers").await.text.contains("credential"));
    let refused = send(&user, Method::DELETE, "/api/auth/me", json!({"password": "wrong"})).await;
    assert_eq!(refused.problem(), (403, "wrong_password".into()));
    let began = Instant::now();
    let gone = send(&user, Method::DELETE, "/api/auth/me", json!({"password": PASSWORD})).await;
    assert_eq!(gone.status, 204, "{gone:?}");
    phone.closes(4502).await;
    tv.closes(4502).await;
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    // On no gateway a token is good for anything, least of all for fresh credentials of a relay.
    for gateway in &server.gateways {
        for user in [&user, &other] {
            let there = user.through(gateway);
            assert_eq!(there.get("/api/ice-servers").await.problem(), (401, "revoked".into()));
            assert_eq!(there.get("/api/auth/me").await.problem(), (401, "revoked".into()));
            there.dial("phone").refused(4502).await;
        }
    }
    let database = Database::of(&server);
    // Presence and records that were on their way find nothing to be written to.
    for rows in [
        "SELECT count(*) FROM users",
        "SELECT count(*) FROM devices",
        "SELECT count(*) FROM streams",
        "SELECT count(*) FROM refresh_families",
        "SELECT count(*) FROM refresh_tokens",
    ] {
        assert_eq!(database.count(rows).await, 0, "{rows}");
    }
    assert_eq!(user.sign_in_again().await.unwrap_err().code(), Some("invalid_credentials"));
}
