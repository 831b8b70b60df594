//! What the audit log says, and what it does not.

use std::io::{self, Write};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::fixture::{Answer, Api, json as with_json, request};

const PASSWORD: &str = "correct horse battery";

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Of this test alone: it runs on one thread.
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(log.clone());
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        (log, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }

    /// The lines for auditors since the last call, without what every line has.
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock())).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines = lines.filter(|line| line["target"] == streamz_gateway::audit::TARGET);
        lines
            .map(|mut line| {
                let fields = line.as_object_mut().unwrap();
                assert!(fields.get("spans").is_some_and(|spans| spans.to_string().contains("request_id")));
                for everywhere in ["timestamp", "target", "span", "spans"] {
                    fields.remove(everywhere);
                }
                line
            })
            .collect()
    }
}

async fn from(api: &Api, method: Method, path: &str, token: &str, body: Value) -> Answer {
    let peer: std::net::SocketAddr = "192.0.2.77:4711".parse().unwrap();
    api.send(with_json(request(method, path, token).extension(ConnectInfo(peer)), &body)).await
}

#[tokio::test]
async fn sign_ins_refusals_and_revocations_are_written_down() {
    let api = Api::new().await;
    let (log, _guard) = Log::listen();
    let (email, wrong) = ("ada.lovelace@example.org", "a wrong password");
    let credentials = |email: &str, password: &str| json!({"email": email, "password": password});
    let post = async |path: &str, token: &str, body| from(&api, Method::POST, path, token, body).await;

    let made = post("/api/auth/register", "", credentials(email, PASSWORD)).await.ok(201);
    let user = &made["user"]["id"];
    let lines = log.lines();
    let session = lines[1]["session"].clone();
    assert_eq!(
        lines,
        [
            json!({"level": "INFO", "event": "account.created", "user": user}),
            json!({"level": "INFO", "event": "sign_in.succeeded", "user": user, "session": session}),
        ]
    );

    post("/api/auth/login", "", credentials(email, wrong)).await.problem(401, "invalid_credentials");
    post("/api/auth/login", "", credentials("nobody@example.org", wrong))
        .await
        .problem(401, "invalid_credentials");
    let lines = log.lines();
    assert_eq!(
        lines[0],
        json!({"level": "WARN", "event": "sign_in.refused", "reason": "wrong_password", "user": user})
    );
    let unknown = lines[1]["account"].clone();
    assert_eq!(
        lines[1],
        json!({"level": "WARN", "event": "sign_in.refused", "reason": "unknown_account", "account": unknown})
    );
    // The same account has the same name, another has another.
    post("/api/auth/login", "", credentials("nobody@example.org", wrong)).await;
    post("/api/auth/login", "", credentials("somebody@example.org", wrong)).await;
    let lines = log.lines();
    assert_eq!(lines[0]["account"], unknown);
    assert_ne!(lines[1]["account"], unknown);
    post("/api/auth/login", "", credentials("other@example.org", wrong)).await.problem(429, "rate_limited");
    assert_eq!(
        log.lines(),
        [json!({"level": "WARN", "event": "sign_in.refused", "reason": "address_limited"})]
    );

    // A token that was copied.
    let refresh = json!({"refresh_token": made["refresh_token"]});
    post("/api/auth/refresh", "", refresh.clone()).await.ok(200);
    post("/api/auth/refresh", "", refresh.clone()).await.problem(401, "refresh_token_reused");
    post("/api/auth/refresh", "", refresh).await.problem(401, "revoked");
    post("/api/auth/refresh", "", json!({"refresh_token": "nonsense"})).await;
    let token = made["access_token"].as_str().unwrap();
    api.get("/api/auth/me", token).await.problem(401, "revoked");
    api.get("/api/auth/me", "nonsense").await.problem(401, "invalid_token");
    api.get("/api/auth/me", "").await.problem(401, "invalid_token");
    assert_eq!(
        log.lines(),
        [
            json!({"level": "WARN", "event": "refresh.refused", "reason": "reused", "user": user, "session": session}),
            json!({"level": "INFO", "event": "session.revoked", "reason": "reused", "user": user, "session": session}),
            json!({"level": "WARN", "event": "refresh.refused", "reason": "revoked"}),
            json!({"level": "WARN", "event": "refresh.refused", "reason": "unknown"}),
            json!({"level": "WARN", "event": "access.refused", "reason": "revoked"}),
            json!({"level": "WARN", "event": "access.refused", "reason": "invalid_token"}),
        ]
    );
    let text = log.text();
    for secret in [email, "lovelace", "nobody", PASSWORD, wrong, token, "192.0.2.77", "srt_"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn what_people_do_with_their_accounts_is_written_down() {
    let api = Api::with(|parts| parts.settings.http.logins_per_minute = 100.try_into().unwrap()).await;
    let (log, _guard) = Log::listen();
    let credentials = json!({"email": "ada@example.org", "password": PASSWORD});
    let made = api.post("/api/auth/register", "", credentials.clone()).await.ok(201);
    api.post("/api/auth/login", "", credentials.clone()).await.ok(200);
    let (user, token) = (&made["user"]["id"], made["access_token"].as_str().unwrap());
    let lines = log.lines();
    let (session, other) = (lines[1]["session"].clone(), lines[2]["session"].clone());
    let change = |current: &str| json!({"current_password": current, "new_password": "another password"});
    api.put("/api/auth/password", token, change("wrong one")).await.problem(403, "wrong_password");
    api.put("/api/auth/password", token, change(PASSWORD)).await.ok(204);
    let by = |event: &str, reason: Option<&str>, level: &str, session: &Value| {
        let mut line = json!({"level": level, "event": event, "user": user, "session": session});
        if let Some(reason) = reason {
            line["reason"] = reason.into();
        }
        line
    };
    assert_eq!(
        log.lines(),
        [
            by("password.refused", Some("wrong_password"), "WARN", &session),
            by("password.changed", None, "INFO", &session),
            by("session.revoked", Some("password_changed"), "INFO", &other),
        ]
    );
    let delete = |body: Value| with_json(request(Method::DELETE, "/api/auth/me", token), &body);
    api.send(delete(json!({"password": PASSWORD}))).await.problem(403, "wrong_password");
    api.send(delete(json!({"password": "another password"}))).await.ok(204);
    assert_eq!(
        log.lines(),
        [
            by("deletion.refused", Some("wrong_password"), "WARN", &session),
            by("account.deleted", None, "INFO", &session),
            by("session.revoked", Some("account_deleted"), "INFO", &session),
            by("session.revoked", Some("account_deleted"), "INFO", &other),
        ]
    );
}

#[tokio::test]
async fn addresses_are_written_if_that_is_wanted() {
    let api = Api::with(|parts| parts.settings.http.audit_addresses = true).await;
    let (log, _guard) = Log::listen();
    let body = json!({"email": "nobody@example.org", "password": PASSWORD});
    from(&api, Method::POST, "/api/auth/login", "", body).await.problem(401, "invalid_credentials");
    assert_eq!(log.lines()[0]["client"], "192.0.2.77");
}

/// Whoever sends nonsense as fast as they can does not fill a disk.
#[tokio::test]
async fn a_storm_of_refusals_is_summed_up() {
    let api = Api::new().await;
    let (log, _guard) = Log::listen();
    for _ in 0..300 {
        let ask = request(Method::GET, "/api/auth/me", "nonsense").body(Body::empty()).unwrap();
        api.send(ask).await.problem(401, "invalid_token");
    }
    let written = log.lines();
    assert!(written.len() < 300, "{}", written.len());
    // The next one that is written says how many were not.
    let summed = loop {
        let ask = request(Method::GET, "/api/auth/me", "nonsense").body(Body::empty()).unwrap();
        api.send(ask).await;
        if let Some(count) = log.lines().iter().find_map(|line| line["unwritten"].as_u64()) {
            break count;
        }
    };
    let before: u64 = written.iter().filter_map(|line| line["unwritten"].as_u64()).sum();
    assert!(written.len() as u64 + before + summed >= 300, "{} {before} {summed}", written.len());
}
