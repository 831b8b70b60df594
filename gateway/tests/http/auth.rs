//! Accounts and sign-ins.

use serde_json::json;
use streamz_auth::RefreshToken;
use streamz_protocol::bus::{ToHub, Up};

use crate::fixture::Api;

const PASSWORD: &str = "correct horse battery";

#[tokio::test]
async fn an_account_is_made_and_signed_in() {
    let api = Api::new().await;
    let body = json!({
        "email": " Ada@Example.org ", "password": PASSWORD, "first_name": " Ada ", "last_name": "",
        "is_admin": true,
    });
    let answer = api.post("/api/auth/register", "", body).await;
    let made = answer.ok(201);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(made["token_type"], "Bearer");
    assert_eq!(made["expires_in"], 900);
    let user = &made["user"];
    assert_eq!(user["email"], "ada@example.org");
    assert_eq!(user["first_name"], "Ada");
    assert!(user["last_name"].is_null());
    assert!(!answer.text.contains("argon2") && user.get("password_hash").is_none());

    let token = made["access_token"].as_str().unwrap();
    assert_eq!(api.get("/api/auth/me", token).await.ok(200), *user);

    let login = json!({"email": "ADA@example.org", "password": PASSWORD});
    let again = api.post("/api/auth/login", "", login).await.ok(200);
    assert_eq!(again["user"], *user);
    assert_ne!(again["refresh_token"], made["refresh_token"]);

    let same = json!({"email": "ada@EXAMPLE.org", "password": PASSWORD});
    api.post("/api/auth/register", "", same).await.problem(409, "email_taken");
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_registration_is_said_at_once() {
    let api = Api::new().await;
    let body =
        json!({"email": "nobody", "password": "1234567", "first_name": "a\nb", "last_name": "x".repeat(256)});
    let problem = api.post("/api/auth/register", "", body).await.problem(422, "invalid_fields");
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["email", "password", "first_name", "last_name"]);
    let problem = api.post("/api/auth/register", "", json!({})).await.problem(422, "invalid_fields");
    assert_eq!(
        problem["errors"],
        json!([
            {"field": "email", "message": "is required"},
            {"field": "password", "message": "is required"},
        ])
    );
    for (password, status) in [("x".repeat(8), 201), ("x".repeat(128), 201), ("x".repeat(129), 422)] {
        let email = format!("{}@example.org", password.len());
        let answer = api.post("/api/auth/register", "", json!({"email": email, "password": password})).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn a_wrong_type_is_named_and_the_password_not_repeated() {
    let api = Api::new().await;
    let body = json!({"email": "a@example.org", "password": ["hunter2-hunter2"]});
    let answer = api.post("/api/auth/login", "", body).await;
    let problem = answer.problem(422, "invalid_fields");
    assert_eq!(problem["errors"], json!([{"field": "password", "message": "must be a string"}]));
    assert!(!answer.text.contains("hunter2"));
}

#[tokio::test]
async fn refresh_tokens_rotate() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let first = json!({"refresh_token": ada.refresh_token});
    let second = api.post("/api/auth/refresh", "", first).await.ok(200);
    assert_eq!(second["user"]["email"], "ada@example.org");
    assert_ne!(second["refresh_token"], ada.refresh_token.as_str());
    api.get("/api/auth/me", second["access_token"].as_str().unwrap()).await.ok(200);
    let third = json!({"refresh_token": second["refresh_token"]});
    api.post("/api/auth/refresh", "", third).await.ok(200);
    assert_eq!(api.told(), []);
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_its_whole_family() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let body = json!({"refresh_token": ada.refresh_token});
    let fresh = api.post("/api/auth/refresh", "", body.clone()).await.ok(200);
    api.post("/api/auth/refresh", "", body.clone()).await.problem(401, "refresh_token_reused");
    assert_eq!(api.told(), [ToHub { user: ada.id(), up: Up::Revoke { family: ada.family } }]);
    // Nothing of the family is good any more: neither of the access tokens, nor the newest refresh token.
    for token in [&ada.token, fresh["access_token"].as_str().unwrap()] {
        api.get("/api/auth/me", token).await.problem(401, "revoked");
    }
    let newest = json!({"refresh_token": fresh["refresh_token"]});
    for body in [newest, body] {
        api.post("/api/auth/refresh", "", body).await.problem(401, "revoked");
    }
    assert_eq!(api.told(), []);
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused() {
    let api = Api::new().await;
    for text in ["", "srt_", "x", RefreshToken::generate().expose()] {
        let body = json!({"refresh_token": text});
        api.post("/api/auth/refresh", "", body).await.problem(401, "invalid_refresh_token");
    }
    api.post("/api/auth/refresh", "", json!({"refresh_token": 5})).await.problem(422, "invalid_fields");
    api.post("/api/auth/refresh", "", json!({})).await.problem(422, "invalid_fields");
}

#[tokio::test]
async fn an_old_refresh_token_is_refused() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    api.pass(std::time::Duration::from_secs(86_400));
    let body = json!({"refresh_token": ada.refresh_token});
    api.post("/api/auth/refresh", "", body).await.problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn signing_out_ends_this_sign_in_and_no_other() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    let bob = api.somebody("bob@example.org").await;
    let answer = api.post("/api/auth/logout", &ada.token, json!(null)).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    assert_eq!(api.told(), [ToHub { user: ada.id(), up: Up::Revoke { family: ada.family } }]);
    api.get("/api/auth/me", &ada.token).await.problem(401, "revoked");
    api.post("/api/auth/logout", &ada.token, json!(null)).await.problem(401, "revoked");
    let body = json!({"refresh_token": ada.refresh_token});
    api.post("/api/auth/refresh", "", body).await.problem(401, "revoked");
    api.get("/api/auth/me", &bob.token).await.ok(200);
}

#[tokio::test]
async fn a_deleted_users_tokens_are_good_for_nothing() {
    let api = Api::new().await;
    let ada = api.somebody("ada@example.org").await;
    assert!(api.state.store().delete_user(ada.user.id, api.state.now()).await.unwrap().is_some());
    let token = &ada.token;
    for path in [
        "/api/auth/me",
        "/api/devices",
        "/api/streams",
        "/api/streams?device_id=tv",
        "/api/streams/00000000-0000-0000-0000-000000000001",
        "/api/ice-servers",
    ] {
        api.get(path, token).await.problem(401, "invalid_token");
    }
    let device = json!({"device_id": "tv", "device_name": "TV"});
    api.post("/api/devices", token, device.clone()).await.problem(401, "invalid_token");
    api.put("/api/devices/tv", token, device).await.problem(401, "invalid_token");
    api.delete("/api/devices/tv", token).await.problem(401, "invalid_token");
    api.post("/api/auth/logout", token, json!(null)).await.problem(401, "invalid_token");
    let body = json!({"refresh_token": ada.refresh_token});
    api.post("/api/auth/refresh", "", body).await.problem(401, "invalid_refresh_token");
}
