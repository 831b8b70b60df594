//! Another password, the list of sign-ins, the end of one or of everything.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};
use streamz_protocol::bus::{ToHub, Up};
use streamz_protocol::{DeviceId, UserId};
use uuid::Uuid;

use crate::fixture::{Api, json as with_json, request};

const PASSWORD: &str = "correct horse battery";
const OTHER: &str = "staple of another kind";

/// All sign in from one address here.
async fn patient() -> Api {
    Api::with(|parts| parts.settings.http.logins_per_minute = NonZeroU32::new(100).unwrap()).await
}

/// Someone with a password, signed in: the answer.
async fn registered(api: &Api, email: &str) -> Value {
    let request = request(Method::POST, "/api/auth/register", "").header("user-agent", "Küchenradio/1.0");
    api.send(with_json(request, &json!({"email": email, "password": PASSWORD}))).await.ok(201)
}

async fn signed_in(api: &Api, email: &str, password: &str) -> Value {
    api.post("/api/auth/login", "", json!({"email": email, "password": password})).await.ok(200)
}

fn token(answer: &Value) -> &str {
    answer["access_token"].as_str().unwrap()
}

fn user(answer: &Value) -> UserId {
    UserId(answer["user"]["id"].as_str().unwrap().parse().unwrap())
}

fn change(current: &str, new: &str) -> Value {
    json!({"current_password": current, "new_password": new})
}

async fn listed(api: &Api, token: &str) -> Vec<Value> {
    let answer = api.get("/api/auth/sessions", token).await.ok(200);
    answer["sessions"].as_array().unwrap().clone()
}

fn revoked(told: &[ToHub], user: UserId) -> Vec<Uuid> {
    told.iter()
        .filter(|frame| frame.user == user)
        .filter_map(|frame| match frame.up {
            Up::Revoke { family } => Some(family),
            _ => None,
        })
        .collect()
}

fn id(session: &Value) -> Uuid {
    session["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_new_password_ends_every_other_sign_in() {
    let api = patient().await;
    let ada = registered(&api, "ada@example.org").await;
    let other = signed_in(&api, "ada@example.org", PASSWORD).await;
    let eve = registered(&api, "eve@example.org").await;
    let families = listed(&api, token(&ada)).await;
    let ended: Vec<Uuid> = families.iter().filter(|session| session["current"] == false).map(id).collect();
    let answer = api.put("/api/auth/password", token(&ada), change(PASSWORD, OTHER)).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    assert_eq!(revoked(&api.told(), user(&ada)), ended);
    // The others are void, with their refresh tokens; this one and other people's are not.
    api.get("/api/auth/me", token(&other)).await.problem(401, "revoked");
    let refresh = json!({"refresh_token": other["refresh_token"]});
    api.post("/api/auth/refresh", "", refresh).await.problem(401, "revoked");
    api.get("/api/auth/me", token(&ada)).await.ok(200);
    let refresh = json!({"refresh_token": ada["refresh_token"]});
    api.post("/api/auth/refresh", "", refresh).await.ok(200);
    api.get("/api/auth/me", token(&eve)).await.ok(200);
    // The old password is none any more.
    let old = json!({"email": "ada@example.org", "password": PASSWORD});
    api.post("/api/auth/login", "", old).await.problem(401, "invalid_credentials");
    signed_in(&api, "ada@example.org", OTHER).await;
}

#[tokio::test]
async fn whoever_does_not_know_the_password_changes_nothing() {
    let api = patient().await;
    let ada = registered(&api, "ada@example.org").await;
    let put = async |body| api.put("/api/auth/password", token(&ada), body).await;
    put(change(OTHER, "a good new password")).await.problem(403, "wrong_password");
    let problem = put(json!({"current_password": 5})).await.problem(422, "invalid_fields");
    assert!(!problem.to_string().contains(PASSWORD));
    let problem = put(change(PASSWORD, "short")).await.problem(422, "invalid_fields");
    assert_eq!(problem["errors"][0]["field"], "new_password");
    let problem = put(json!({})).await.problem(422, "invalid_fields");
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["current_password", "new_password"]);
    api.put("/api/auth/password", "", change(PASSWORD, OTHER)).await.problem(401, "invalid_token");
    assert_eq!(api.told(), []);
    signed_in(&api, "ada@example.org", PASSWORD).await;
}

/// A device that was left unlocked is no place to guess a password from.
#[tokio::test]
async fn passwords_are_guessed_here_no_faster_than_at_a_sign_in() {
    let api = Api::new().await;
    let ada = registered(&api, "ada@example.org").await;
    let from = |n: u8, method, path: &str, body: &Value| {
        let peer: std::net::SocketAddr = format!("198.51.100.{n}:1").parse().unwrap();
        with_json(request(method, path, token(&ada)).extension(axum::extract::ConnectInfo(peer)), body)
    };
    // Three times here and twice there are five.
    for n in 1..=3 {
        let body = change("nonsense", OTHER);
        api.send(from(n, Method::PUT, "/api/auth/password", &body)).await.problem(403, "wrong_password");
    }
    for n in 4..=5 {
        let body = json!({"password": "nonsense"});
        api.send(from(n, Method::DELETE, "/api/auth/me", &body)).await.problem(403, "wrong_password");
    }
    let right = change(PASSWORD, OTHER);
    api.send(from(6, Method::PUT, "/api/auth/password", &right)).await.problem(429, "rate_limited");
    let right = json!({"password": PASSWORD});
    api.send(from(7, Method::DELETE, "/api/auth/me", &right)).await.problem(429, "rate_limited");
    // Nor is one at a sign-in guessed with the tries that are left.
    let body = json!({"email": "ada@example.org", "password": PASSWORD});
    api.post_from("198.51.100.8:1", "/api/auth/login", body).await.problem(429, "rate_limited");
    api.pass(Duration::from_secs(60));
    let right = change(PASSWORD, OTHER);
    assert_eq!(api.send(from(9, Method::PUT, "/api/auth/password", &right)).await.status, 204);
}

#[tokio::test]
async fn sign_ins_are_listed_and_ended_one_by_one() {
    let api = patient().await;
    let ada = registered(&api, "ada@example.org").await;
    api.pass(Duration::from_secs(1));
    let tv = signed_in(&api, "ada@example.org", PASSWORD).await;
    let eve = registered(&api, "eve@example.org").await;
    let sessions = listed(&api, token(&ada)).await;
    assert_eq!(sessions.len(), 2);
    let current: Vec<_> = sessions.iter().map(|session| &session["current"]).collect();
    assert_eq!(current, [false, true], "the newest first");
    assert_eq!(sessions[0]["user_agent"], Value::Null);
    // What is not ASCII in a header is no text.
    assert_eq!(sessions[1]["user_agent"], Value::Null);
    let mut keys: Vec<_> = sessions[0].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["created_at", "current", "expires_at", "id", "last_used_at", "user_agent"]);

    let path = format!("/api/auth/sessions/{}", id(&sessions[0]));
    api.delete(&path, token(&eve)).await.problem(404, "session_not_found");
    api.get("/api/auth/me", token(&tv)).await.ok(200);
    assert_eq!(api.delete(&path, token(&ada)).await.status, 204);
    assert_eq!(revoked(&api.told(), user(&ada)), [id(&sessions[0])]);
    api.get("/api/auth/me", token(&tv)).await.problem(401, "revoked");
    api.delete(&path, token(&ada)).await.problem(404, "session_not_found");
    api.delete("/api/auth/sessions/nonsense", token(&ada)).await.problem(400, "malformed_path");
    let nobody = format!("/api/auth/sessions/{}", Uuid::nil());
    api.delete(&nobody, token(&ada)).await.problem(404, "session_not_found");
    // The own one: a logout.
    let own = format!("/api/auth/sessions/{}", id(&sessions[1]));
    assert_eq!(api.delete(&own, token(&ada)).await.status, 204);
    api.get("/api/auth/sessions", token(&ada)).await.problem(401, "revoked");
}

#[tokio::test]
async fn a_client_is_listed_under_its_own_name() {
    let api = patient().await;
    let names = ["Radio/1.0 (Kitchen)".to_owned(), "x".repeat(300), "  ".to_owned()];
    for (name, shown) in names.iter().zip([json!(names[0]), json!("x".repeat(255)), Value::Null]) {
        let email = format!("{}@example.org", Uuid::new_v4().simple());
        let made = request(Method::POST, "/api/auth/register", "").header("user-agent", name);
        let made = api.send(with_json(made, &json!({"email": email, "password": PASSWORD}))).await.ok(201);
        assert_eq!(listed(&api, token(&made)).await[0]["user_agent"], shown);
    }
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing() {
    let api = patient().await;
    let ada = registered(&api, "ada@example.org").await;
    let tv = signed_in(&api, "ada@example.org", PASSWORD).await;
    let device = json!({"device_id": "tv", "device_name": "TV"});
    api.post("/api/devices", token(&ada), device).await.ok(201);
    let families: Vec<Uuid> = listed(&api, token(&ada)).await.iter().map(id).collect();
    api.told();
    let path = "/api/auth/me";
    let ask = |body: Value| with_json(request(Method::DELETE, path, token(&ada)), &body);
    api.send(ask(json!({"password": OTHER}))).await.problem(403, "wrong_password");
    api.send(ask(json!({}))).await.problem(422, "invalid_fields");
    assert_eq!(api.told(), []);
    assert_eq!(api.send(ask(json!({"password": PASSWORD}))).await.status, 204);

    let told = api.told();
    let mut ended = revoked(&told, user(&ada));
    ended.sort_unstable();
    let mut expected = families.clone();
    expected.sort_unstable();
    assert_eq!(ended, expected);
    // Sessions have ended before the hub looks for itself, so that devices hear why.
    assert_eq!(told.last(), Some(&ToHub { user: user(&ada), up: Up::Recheck }));
    for token in [token(&ada), token(&tv)] {
        for path in ["/api/auth/me", "/api/devices", "/api/ice-servers"] {
            api.get(path, token).await.problem(401, "revoked");
        }
    }
    let refresh = json!({"refresh_token": tv["refresh_token"]});
    api.post("/api/auth/refresh", "", refresh).await.problem(401, "invalid_refresh_token");
    let gone = json!({"email": "ada@example.org", "password": PASSWORD});
    api.post("/api/auth/login", "", gone).await.problem(401, "invalid_credentials");
    assert!(
        api.state
            .store()
            .device(user(&ada).0, DeviceId::new("tv").unwrap().as_str())
            .await
            .unwrap()
            .is_none()
    );
    // The address is free again, for an account that has nothing of the old one.
    let anew = registered(&api, "ada@example.org").await;
    assert_ne!(anew["user"]["id"], ada["user"]["id"]);
    assert_eq!(listed(&api, token(&anew)).await.len(), 1);
}

/// What a gateway reads at its start is enough to refuse every token of what ended before.
#[tokio::test]
async fn what_ended_stays_ended_for_a_gateway_that_starts() {
    use std::num::NonZeroUsize;
    use streamz_gateway::revoked::{RevokedFamilies, Standing};
    let api = patient().await;
    let ada = registered(&api, "ada@example.org").await;
    signed_in(&api, "ada@example.org", PASSWORD).await;
    let eve = registered(&api, "eve@example.org").await;
    signed_in(&api, "eve@example.org", PASSWORD).await;
    let adas: Vec<Uuid> = listed(&api, token(&ada)).await.iter().map(id).collect();
    let eves = listed(&api, token(&eve)).await;
    api.put("/api/auth/password", token(&eve), change(PASSWORD, OTHER)).await.ok(204);
    let body = json!({"password": PASSWORD});
    api.send(with_json(request(Method::DELETE, "/api/auth/me", token(&ada)), &body)).await.ok(204);

    let started = RevokedFamilies::new(Duration::from_secs(900), NonZeroUsize::new(100).unwrap());
    assert_eq!(started.sync(api.state.store(), api.state.now()).await.unwrap(), 3);
    let standing = |family| started.standing(family, api.state.now());
    assert!(adas.into_iter().all(|family| standing(family) == Standing::Revoked));
    for session in &eves {
        let expected = if session["current"] == true { Standing::Good } else { Standing::Revoked };
        assert_eq!(standing(id(session)), expected);
    }
}
