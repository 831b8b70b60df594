//! Access tokens: which are let in.

use std::num::NonZeroUsize;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use streamz_auth::{SigningKey, TokenIssuer};
use streamz_gateway::authenticate::{AuthFailure, authenticate};
use streamz_gateway::revoked::RevokedFamilies;

use crate::fixture::{Api, request};

/// `alg: none`, for a user of whom it claims everything.
const UNSIGNED: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.eyJzdWIiOiIwIn0.";

#[tokio::test]
async fn a_token_is_good_until_the_second_it_expires() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let identity = authenticate(&api.state, &ada.token).unwrap();
    assert_eq!((identity.user, identity.family), (ada.id(), ada.family));
    assert_eq!(identity.expires_at.timestamp(), api.state.now().timestamp() + 900);
    api.pass(Duration::from_secs(899));
    api.get("/api/auth/me", &ada.token).await.ok(200);
    api.pass(Duration::from_secs(1));
    let answer = api.get("/api/auth/me", &ada.token).await;
    answer.problem(401, "token_expired");
    assert!(answer.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    assert_eq!(authenticate(&api.state, &ada.token), Err(AuthFailure::Expired));
}

#[tokio::test]
async fn what_is_not_ours_is_refused_everywhere() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let stranger = TokenIssuer::new(&SigningKey::generate(), Duration::from_secs(900));
    let forged = stranger.issue(ada.id(), ada.family, api.state.now());
    let (claims, signature) = ada.token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let changed = format!("{claims}.{other}{}", &signature[1..]);
    let huge = "a".repeat(7000);
    for token in [forged.expose(), UNSIGNED, "x", &changed, &huge] {
        api.get("/api/auth/me", token).await.problem(401, "invalid_token");
    }
    for (method, path) in [
        (Method::GET, "/api/auth/me"),
        (Method::POST, "/api/auth/logout"),
        (Method::GET, "/api/devices"),
        (Method::POST, "/api/devices"),
        (Method::PUT, "/api/devices/tv"),
        (Method::DELETE, "/api/devices/tv"),
        (Method::GET, "/api/streams"),
        (Method::GET, "/api/streams/00000000-0000-0000-0000-000000000001"),
        (Method::GET, "/api/ice-servers"),
    ] {
        // Who calls is checked before what is said.
        api.send(request(method, path, "").body(Body::from("{")).unwrap())
            .await
            .problem(401, "invalid_token");
    }
}

#[tokio::test]
async fn a_token_stands_in_its_header_and_nowhere_else() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let me = |headers: &[&str]| {
        let request = Request::builder().uri(format!("/api/auth/me?access_token={}", ada.token));
        let request = headers.iter().fold(request, |request, value| request.header("authorization", *value));
        request.body(Body::empty()).unwrap()
    };
    let bearer = format!("Bearer {}", ada.token);
    api.send(me(&[])).await.problem(401, "invalid_token");
    api.send(me(&[&ada.token])).await.problem(401, "invalid_token");
    api.send(me(&[&format!("Basic {}", ada.token)])).await.problem(401, "invalid_token");
    api.send(me(&[&bearer, &bearer])).await.problem(401, "invalid_token");
    api.send(me(&[&bearer.replacen("Bearer", "bearer", 1)])).await.ok(200);
}

#[tokio::test]
async fn a_restart_remembers_who_was_signed_out() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let bob = api.somebody("bob@example.org").await;
    let now = api.state.now();
    api.state.store().revoke_family(ada.family, "logout", now).await.unwrap();
    let started = RevokedFamilies::new(Duration::from_secs(900), NonZeroUsize::new(10).unwrap());
    assert_eq!(started.sync(api.state.store(), now + Duration::from_secs(1)).await.unwrap(), 1);
    assert_eq!(started.len(), 1);
    // A later sync learns what another process revoked, and what it knows already does no harm.
    api.state.store().revoke_family(bob.family, "logout", now + Duration::from_secs(5)).await.unwrap();
    started.sync(api.state.store(), now + Duration::from_secs(6)).await.unwrap();
    assert_eq!(started.len(), 2);
    // Whoever starts when all their tokens have lapsed need not know.
    let late = RevokedFamilies::new(Duration::from_secs(900), NonZeroUsize::new(10).unwrap());
    late.sync(api.state.store(), now + Duration::from_secs(1000)).await.unwrap();
    assert!(late.is_empty());
}

#[tokio::test]
async fn more_sign_outs_than_fit_let_nobody_back_in() {
    let api = Api::with(|parts| {
        parts.revoked = RevokedFamilies::new(Duration::from_secs(900), NonZeroUsize::MIN);
    })
    .await;
    let ada = api.somebody("ada@example.org").await;
    let bob = api.somebody("bob@example.org").await;
    let cyd = api.somebody("cyd@example.org").await;
    api.post("/api/auth/logout", &ada.token, serde_json::json!(null)).await.ok(204);
    api.pass(Duration::from_secs(2));
    api.post("/api/auth/logout", &bob.token, serde_json::json!(null)).await.ok(204);
    api.get("/api/auth/me", &bob.token).await.problem(401, "revoked");
    api.get("/api/auth/me", &ada.token).await.problem(401, "token_expired");
    // Others refresh, and go on.
    api.get("/api/auth/me", &cyd.token).await.problem(401, "token_expired");
    let body = serde_json::json!({"refresh_token": cyd.refresh_token});
    let fresh = api.post("/api/auth/refresh", "", body).await.ok(200);
    api.get("/api/auth/me", fresh["access_token"].as_str().unwrap()).await.ok(200);
}
