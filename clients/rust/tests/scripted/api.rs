//! The HTTP half, and tokens from a sign-in.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use streamz_client::api::{ApiError, StreamFilter};
use streamz_client::protocol::objects::StreamType;
use streamz_client::protocol::{Millis, StreamId};
use streamz_client::{Api, DeviceId, Need, TokenError, TokenSource};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

#[derive(Default)]
struct Script {
    answers: VecDeque<(u16, Value)>,
    asked: Vec<String>,
}

/// An API that answers as told and writes down what it was asked.
struct FakeApi {
    script: Arc<Mutex<Script>>,
    api: Api,
    task: JoinHandle<()>,
}

impl FakeApi {
    async fn start() -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api::new(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { script, api, task }
    }

    fn will_say(&self, status: u16, body: Value) {
        self.script.lock().unwrap().answers.push_back((status, body));
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.script.lock().unwrap().asked)
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    let bearer = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
    let body = String::from_utf8(body.to_vec()).unwrap();
    let mut script = script.lock().unwrap();
    script.asked.push(format!("{method} {uri} {bearer} {body}"));
    let (status, body) = script.answers.pop_front().unwrap();
    (status.try_into().unwrap(), [("retry-after", "7")], body.to_string())
}

fn user() -> Value {
    json!({
        "id": Uuid::nil(), "email": "ada@example.org", "first_name": "Ada", "last_name": null,
        "created_at": "2027-01-15T08:30:00Z", "updated_at": "2027-01-15T08:30:00.123456Z",
    })
}

fn signed_in(number: u32, expires_in: u64) -> Value {
    json!({
        "user": user(), "access_token": format!("access-{number}"), "refresh_token": format!("refresh-{number}"),
        "token_type": "Bearer", "expires_in": expires_in,
    })
}

fn problem(status: u16, code: &str) -> Value {
    json!({"type": "about:blank", "title": "No", "status": status, "code": code, "detail": "Because."})
}

fn device() -> Value {
    json!({
        "id": Uuid::nil(), "user_id": Uuid::nil(), "device_id": "TV / 2", "device_name": "TV", "device_type": "tv",
        "is_online": false, "last_seen": null, "created_at": "2027-01-15T08:30:00Z",
    })
}

#[tokio::test]
async fn each_call_is_one_documented_request() {
    let fake = FakeApi::start().await;
    let api = &fake.api;
    fake.will_say(201, signed_in(1, 900));
    let ada = api.register("ada@example.org", "correct horse", Some("Ada"), None).await.unwrap();
    assert_eq!((ada.user.email.as_str(), ada.expires_in), ("ada@example.org", Duration::from_secs(900)));
    assert!(!format!("{ada:?}").contains("access-1"));
    let token = &ada.access_token;
    let tv = DeviceId::new("TV / 2").unwrap();
    fake.will_say(200, user());
    assert_eq!(api.me(token).await.unwrap().created_at, Millis(1_800_001_800_000));
    fake.will_say(200, json!({"devices": [device()]}));
    assert_eq!(api.devices(token).await.unwrap()[0].device_id, tv);
    fake.will_say(201, device());
    api.add_device(token, &tv, "TV", Some("tv")).await.unwrap();
    fake.will_say(200, device());
    api.change_device(token, &tv, Some("Big TV"), None).await.unwrap();
    fake.will_say(204, Value::Null);
    api.remove_device(token, &tv).await.unwrap();
    let record = json!({
        "id": Uuid::nil(), "user_id": Uuid::nil(), "source_device_id": Uuid::nil(), "target_device_id": null,
        "stream_type": "screen", "started_at": "2027-01-15T08:30:00Z", "ended_at": null, "connection_type": null,
        "quality": null, "latency_ms": 12, "source_device": null, "target_device": null,
    });
    fake.will_say(200, json!({"streams": [record], "next_cursor": "abc"}));
    let filter =
        StreamFilter { active: Some(true), device: Some(tv), limit: Some(10), cursor: Some("a+b".into()) };
    let page = api.streams(token, &filter).await.unwrap();
    assert_eq!((page.streams[0].stream_type, page.next_cursor.as_deref()), (StreamType::Screen, Some("abc")));
    fake.will_say(200, record);
    api.stream(token, StreamId(Uuid::nil())).await.unwrap();
    fake.will_say(200, json!({"ice_servers": [{"urls": ["stun:h:3478"]}]}));
    assert_eq!(api.ice_servers(token).await.unwrap()[0].urls, ["stun:h:3478"]);
    fake.will_say(204, Value::Null);
    api.logout(token).await.unwrap();
    let zero = Uuid::nil();
    assert_eq!(
        fake.asked(),
        [
            r#"POST /api/auth/register  {"email":"ada@example.org","password":"correct horse","first_name":"Ada"}"#
                .to_owned(),
            "GET /api/auth/me Bearer access-1 ".to_owned(),
            "GET /api/devices Bearer access-1 ".to_owned(),
            r#"POST /api/devices Bearer access-1 {"device_id":"TV / 2","device_name":"TV","device_type":"tv"}"#
                .to_owned(),
            r#"PUT /api/devices/TV%20%2F%202 Bearer access-1 {"device_name":"Big TV"}"#.to_owned(),
            "DELETE /api/devices/TV%20%2F%202 Bearer access-1 ".to_owned(),
            "GET /api/streams?active=true&device_id=TV%20%2F%202&limit=10&cursor=a%2Bb Bearer access-1 ".to_owned(),
            format!("GET /api/streams/{zero} Bearer access-1 "),
            "GET /api/ice-servers Bearer access-1 ".to_owned(),
            "POST /api/auth/logout Bearer access-1 ".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_problem_is_a_typed_error() {
    let fake = FakeApi::start().await;
    fake.will_say(409, problem(409, "email_taken"));
    let error = fake.api.register("a@b.c", "12345678", None, None).await.unwrap_err();
    assert_eq!((error.status(), error.code(), error.temporary()), (Some(409), Some("email_taken"), false));
    let ApiError::Problem { detail, retry_after, .. } = error else { panic!("{error}") };
    assert_eq!((detail.as_str(), retry_after), ("Because.", Some(Duration::from_secs(7))));

    fake.will_say(502, Value::String("<html>".into()));
    let error = fake.api.login("a@b.c", "12345678").await.unwrap_err();
    assert_eq!((error.status(), error.code(), error.temporary()), (Some(502), Some(""), true));
}

#[tokio::test]
async fn a_sign_in_is_kept_up_silently() {
    let fake = FakeApi::start().await;
    let source = TokenSource::login(fake.api.clone(), "ada@example.org", "correct horse");
    fake.will_say(200, signed_in(1, 900));
    for _ in 0..3 {
        assert_eq!(secret(&source, Need::Valid).await, Ok("access-1".into()));
    }
    fake.will_say(200, signed_in(2, 5));
    assert_eq!(secret(&source, Need::New).await, Ok("access-2".into()));
    // It lapses too soon to be used.
    fake.will_say(200, signed_in(3, 900));
    assert_eq!(secret(&source, Need::Valid).await, Ok("access-3".into()));
    // The sign-in was revoked meanwhile.
    fake.will_say(401, problem(401, "invalid_refresh_token"));
    fake.will_say(200, signed_in(4, 900));
    assert_eq!(secret(&source, Need::New).await, Ok("access-4".into()));
    fake.will_say(503, problem(503, "unavailable"));
    assert!(matches!(secret(&source, Need::New).await, Err(TokenError::Unavailable(_))));
    assert_eq!(secret(&source, Need::Valid).await, Ok("access-4".into()));
    fake.will_say(401, problem(401, "invalid_refresh_token"));
    fake.will_say(401, problem(401, "invalid_credentials"));
    assert!(matches!(secret(&source, Need::New).await, Err(TokenError::Refused(_))));
    let login = r#"POST /api/auth/login  {"email":"ada@example.org","password":"correct horse"}"#.to_owned();
    let refresh = |number| format!(r#"POST /api/auth/refresh  {{"refresh_token":"refresh-{number}"}}"#);
    let (first, second, third, fourth) = (refresh(1), refresh(2), refresh(3), refresh(4));
    let expected = [login.clone(), first, second, third, login.clone(), fourth.clone(), fourth, login];
    assert_eq!(fake.asked(), expected);
}

#[tokio::test]
async fn a_sign_in_without_password_ends_with_its_family() {
    let fake = FakeApi::start().await;
    fake.will_say(200, signed_in(1, 900));
    let ada = fake.api.login("ada@example.org", "correct horse").await.unwrap();
    let source = TokenSource::signed_in(fake.api.clone(), ada);
    assert_eq!(secret(&source, Need::Valid).await, Ok("access-1".into()));
    fake.will_say(401, problem(401, "invalid_refresh_token"));
    assert!(matches!(secret(&source, Need::New).await, Err(TokenError::Refused(_))));
}

async fn secret(source: &TokenSource, need: Need) -> Result<String, TokenError> {
    use secrecy::ExposeSecret;
    source.token(need).await.map(|token| token.expose_secret().to_owned())
}
