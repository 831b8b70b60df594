//! Frames that many scenarios send.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row, SqliteConnection};
use streamz_tests::{Raw, Server, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An offer with an `id`.
pub(crate) fn offer(id: &str, to: &str, sdp: &str) -> Value {
    json!({"type": "sdp_offer", "payload": {"to_device_id": to, "sdp": sdp}, "id": id})
}

/// An offer to all, with an `id`.
pub(crate) fn offer_to_all(id: &str, sdp: &str) -> Value {
    json!({"type": "sdp_offer", "payload": {"sdp": sdp}, "id": id})
}

/// A message about a stream.
pub(crate) fn about(kind: &str, id: &str, stream: &str) -> Value {
    json!({"type": kind, "payload": {"stream_id": stream}, "id": id})
}

/// A ring of one device.
pub(crate) fn start(id: &str, to: &str) -> Value {
    json!({"type": "stream_start", "payload": {"to_device_id": to, "stream_type": "both"}, "id": id})
}

/// A ring of all.
pub(crate) fn start_all(id: &str) -> Value {
    json!({"type": "stream_start", "payload": {"stream_type": "both"}, "id": id})
}

/// A text of this many bytes.
pub(crate) fn text(bytes: usize) -> String {
    "x".repeat(bytes)
}

/// Rings, and returns the stream's id once the caller knows it; the caller's outcome is heard too.
pub(crate) async fn ring(caller: &mut Raw, frame: Value) -> String {
    let id = frame["id"].as_str().unwrap().to_owned();
    caller.say(frame).await;
    let ringing = caller.until("stream_ringing").await;
    assert_eq!(ringing["id"], *id, "{ringing}");
    let outcome = caller.outcome(&id).await;
    assert_eq!(outcome["type"], "delivered", "{outcome}");
    ringing["payload"]["stream_id"].as_str().unwrap().to_owned()
}

/// Sends a message with an `id` and returns its outcome.
pub(crate) async fn tell(raw: &mut Raw, frame: Value) -> Value {
    let id = frame["id"].as_str().unwrap().to_owned();
    raw.say(frame).await;
    raw.outcome(&id).await
}

/// Asserts an outcome of `not_delivered`.
pub(crate) fn assert_not_delivered(outcome: &Value, reason: &str) {
    assert_eq!(outcome["type"], "not_delivered", "{outcome}");
    assert_eq!(outcome["payload"]["reason"], reason, "{outcome}");
}

/// Asserts an outcome of `delivered`.
pub(crate) fn assert_delivered(outcome: &Value) {
    assert_eq!(outcome["type"], "delivered", "{outcome}");
}

/// Asserts an `error` of this code.
pub(crate) fn assert_error(frame: &Value, code: &str) {
    assert_eq!(frame["type"], "error", "{frame}");
    assert_eq!(frame["payload"]["code"], code, "{frame}");
    assert!(frame["payload"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{frame}");
}

/// Says this on a connection of its own, and returns what is answered until the server closes it.
pub(crate) async fn talk(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).await.unwrap();
    // The server may have refused before it was all said.
    let _ = soon(stream.write_all(request)).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A look into the tables, beside the server.
pub(crate) struct Database {
    url: String,
}

impl Database {
    pub(crate) fn of(server: &Server) -> Self {
        Self { url: server.database_url() }
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        if self.url.starts_with("sqlite:") {
            let mut db = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).fetch_one(&mut db).await.unwrap().get(0)
        } else {
            let mut db = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).fetch_one(&mut db).await.unwrap().get(0)
        }
    }

    /// Runs a statement with one UUID as `$1`.
    pub(crate) async fn execute(&self, sql: &'static str, id: uuid::Uuid) {
        if self.url.starts_with("sqlite:") {
            let mut db = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query("PRAGMA foreign_keys = ON").execute(&mut db).await.unwrap();
            sqlx::query(sql).bind(id).execute(&mut db).await.unwrap();
        } else {
            let mut db = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query(sql).bind(id).execute(&mut db).await.unwrap();
        }
    }
}
