//! Tokens that are not what they say.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use streamz_tests::{Dial, Server, Topology, User, scenarios};

use crate::support::{Database, assert_error, tell};

scenarios![
    tokens_that_are_not_ours_are_refused_everywhere,
    a_token_of_a_deleted_user_is_worth_nothing,
    a_deleted_users_sockets_close_as_soon_as_somebody_looks,
    a_deleted_users_sockets_close_in_time_if_nobody_looks,
    a_token_of_a_user_who_never_was_is_worth_nothing,
    a_token_that_has_lapsed_is_refused_as_such,
];

const SECRET: &str = "3f8a1d0c9b7e6254f1a0d8c3b6e97542";

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let text = format!("{}.{}", encode(header), encode(claims));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn hs512(claims: &Value, secret: &[u8]) -> String {
    let text = format!("{}.{}", encode(&json!({"alg": "HS512", "typ": "JWT"})), encode(claims));
    let mut mac = Hmac::<sha2::Sha512>::new_from_slice(secret).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn header() -> Value {
    json!({"alg": "HS256", "typ": "JWT"})
}

/// The claims of a good token.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn tokens_that_are_not_ours_are_refused_everywhere(topology: Topology) {
    let server = Server::start(topology, &[("JWT_SECRET", SECRET)]).await;
    let user = User::new(&server).await;
    let good = claims(user.token());
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let secret = SECRET.as_bytes();
    // The forger's tools work.
    let forged = hs256(&header(), &good, secret);
    assert_eq!(server.http().get_as(&forged, "/api/auth/me").await.status, 200);
    let [head, body, signature] = user.token().split('.').collect::<Vec<_>>()[..] else { panic!("a JWT") };
    let none = encode(&json!({"alg": "none", "typ": "JWT"}));
    let mut turned = signature.to_owned();
    let last = if turned.ends_with('A') { "B" } else { "A" };
    turned.replace_range(..1, if turned.starts_with('A') { "B" } else { last });
    let bad = [
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        format!("{}.{body}.", encode(&json!({"alg": "None"}))),
        format!("{head}.{body}."),
        format!("{head}.{body}"),
        format!("{head}.{body}.{turned}"),
        format!("{head}.{}.{signature}", encode(&with("sub", json!(uuid::Uuid::new_v4())))),
        hs256(&header(), &good, b"another secret of thirty-two bytes"),
        hs256(&header(), &good, b""),
        hs256(&json!({"alg": "RS256", "typ": "JWT"}), &good, secret),
        hs256(&json!({"alg": "HS512", "typ": "JWT"}), &good, secret),
        hs512(&good, secret),
        hs256(&header(), &with("iss", json!("other")), secret),
        hs256(&header(), &without("iss"), secret),
        hs256(&header(), &without("exp"), secret),
        hs256(&header(), &without("sub"), secret),
        hs256(&header(), &without("fam"), secret),
        hs256(&header(), &with("sub", json!("nobody")), secret),
        hs256(&header(), &with("exp", json!("never")), secret),
        "a.b.c".to_owned(),
        "..".to_owned(),
        "x".repeat(6000),
    ];
    let mut phone = user.raw("phone").await;
    for (number, token) in bad.iter().enumerate() {
        let answer = server.http().get_as(token, "/api/auth/me").await;
        assert_eq!(answer.problem(), (401, "invalid_token".into()), "{number}");
        let dial = Dial::new(server.url(), "tv");
        assert_eq!(dial.clone().bearer(token).open().await.unwrap_err().status, 401, "{number}");
        dial.clone().bearer(token).v1().refused(4500).await;
        let offered = format!("streamz.v1, bearer.{token}");
        dial.header("sec-websocket-protocol", &offered).refused(4500).await;
        let auth = json!({"type": "auth", "payload": {"token": token}, "id": number.to_string()});
        assert_error(&tell(&mut phone, auth).await, "invalid_token");
    }
    phone.hears_nothing().await;
}

async fn is_nobody(server: &Server, token: &str) {
    for path in ["/api/auth/me", "/api/devices", "/api/streams", "/api/ice-servers"] {
        let answer = server.http().get_as(token, path).await;
        assert_eq!(answer.problem(), (401, "invalid_token".into()), "{path}");
    }
    let body = json!({"device_id": "a", "device_name": "a"});
    let answer = server.http().send_as(token, reqwest::Method::POST, "/api/devices", &body).await;
    assert_eq!(answer.problem(), (401, "invalid_token".into()));
    let dial = Dial::new(server.url(), "phone").bearer(token);
    assert_eq!(dial.open().await.unwrap_err().status, 401);
    dial.v1().refused(4500).await;
}

async fn a_token_of_a_deleted_user_is_worth_nothing(topology: Topology) {
    let server = Server::start(topology, &[("JWT_SECRET", SECRET)]).await;
    let user = User::new(&server).await;
    let id = user.signed_in.user.id.0;
    Database::of(&server).execute("DELETE FROM users WHERE id = $1", id).await;
    is_nobody(&server, user.token()).await;
    assert_eq!(user.api.refresh(&user.signed_in.refresh_token).await.unwrap_err().status(), Some(401));
    assert_eq!(user.sign_in_again().await.unwrap_err().code(), Some("invalid_credentials"));
}

async fn a_deleted_users_sockets_close_as_soon_as_somebody_looks(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    for request in ["/api/auth/me", "/api/devices", "/api/ice-servers", "logout"] {
        let user = User::new(&server).await;
        let mut phone = user.raw("phone").await;
        let id = user.signed_in.user.id.0;
        Database::of(&server).execute("DELETE FROM users WHERE id = $1", id).await;
        let answer = match request {
            "logout" => {
                let http = server.http();
                http.send(http.request(reqwest::Method::POST, "/api/auth/logout").bearer_auth(user.token()))
                    .await
            }
            path => user.get(path).await,
        };
        assert_eq!(answer.problem(), (401, "invalid_token".into()), "{request}");
        phone.closes(4500).await;
        // The same at every door.
        is_nobody(&server, user.token()).await;
    }
}

async fn a_deleted_users_sockets_close_in_time_if_nobody_looks(topology: Topology) {
    let times = [("USER_CHECK_INTERVAL", "1s"), ("HUB_IDLE", "100ms")];
    let server = Server::start(topology, &times).await;
    let user = User::new(&server).await;
    let mut other = User::new(&server).await.raw("phone").await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    let id = user.signed_in.user.id.0;
    Database::of(&server).execute("DELETE FROM users WHERE id = $1", id).await;
    phone.closes(4500).await;
    tv.closes(4500).await;
    user.dial("phone").refused(4500).await;
    other.hears_nothing().await;
}

async fn a_token_of_a_user_who_never_was_is_worth_nothing(topology: Topology) {
    let server = Server::start(topology, &[("JWT_SECRET", SECRET)]).await;
    let user = User::new(&server).await;
    let mut claims = claims(user.token());
    claims["sub"] = json!(uuid::Uuid::new_v4());
    is_nobody(&server, &hs256(&header(), &claims, SECRET.as_bytes())).await;
}

async fn a_token_that_has_lapsed_is_refused_as_such(topology: Topology) {
    let server = Server::start(topology, &[("JWT_SECRET", SECRET)]).await;
    let user = User::new(&server).await;
    let mut claims = claims(user.token());
    let now = claims["iat"].as_i64().unwrap();
    claims["exp"] = json!(now - 1);
    claims["iat"] = json!(now - 900);
    let token = hs256(&header(), &claims, SECRET.as_bytes());
    let answer = server.http().get_as(&token, "/api/auth/me").await;
    assert_eq!(answer.problem(), (401, "token_expired".into()));
    let dial = Dial::new(server.url(), "phone").bearer(&token);
    assert_eq!(dial.open().await.unwrap_err().code, "token_expired");
    dial.v1().refused(4001).await;
}
