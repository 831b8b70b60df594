//! Access tokens that lapse or are revoked while a device is connected.

use secrecy::ExposeSecret;
use serde_json::json;
use streamz_client::{Builder, Client, Event, TokenSource};
use streamz_protocol::DeviceId;
use streamz_tests::{Device, Server, Topology, User, scenarios};

use crate::support::{assert_delivered, assert_error, tell};

scenarios![
    a_lapsing_token_is_announced_and_replaced,
    a_token_that_lapses_closes_the_socket,
    a_token_that_is_not_fit_replaces_nothing,
    the_native_client_renews_its_token,
    a_logout_closes_the_sockets_of_its_sign_in_at_once,
];

async fn a_lapsing_token_is_announced_and_replaced(topology: Topology) {
    // Shorter than the notice: it is announced at once.
    let server = Server::start(topology, &[("JWT_EXPIRY", "5s")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let expires_in = phone.expect("token_expiring").await["expires_in"].as_u64().unwrap();
    assert!(expires_in <= 5, "{expires_in}");
    let mut token = user.signed_in.clone();
    let began = std::time::Instant::now();
    // Twice the life of the first token.
    for round in 0.. {
        if began.elapsed().as_secs() >= 10 {
            break;
        }
        token = user.api.refresh(&token.refresh_token).await.unwrap();
        let fresh = token.access_token.expose_secret();
        let answer = tell(
            &mut phone,
            json!({"type": "auth", "payload": {"token": fresh}, "id": format!("auth-{round}")}),
        );
        assert_delivered(&answer.await);
        phone.until("token_expiring").await;
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    }
    phone.barrier().await;
}

async fn a_token_that_lapses_closes_the_socket(topology: Topology) {
    let server = Server::start(topology, &[("JWT_EXPIRY", "3s")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    phone.expect("token_expiring").await;
    phone.closes(4001).await;
    user.dial("phone").refused(4001).await;
    assert_eq!(user.dial_simple("phone").open().await.unwrap_err().code, "token_expired");
    assert_eq!(user.get("/api/auth/me").await.problem(), (401, "token_expired".into()));
    // With a new token of the same sign-in, the session goes on.
    let fresh = user.api.refresh(&user.signed_in.refresh_token).await.unwrap();
    let user = user.with(fresh);
    let again = user.dial("phone").resume(&phone.session(), phone.last_seq).welcomed().await;
    assert_eq!(again.welcome["resumed"], true);
}

async fn a_token_that_is_not_fit_replaces_nothing(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let other_sign_in = user.sign_in_again().await.unwrap();
    let stranger = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let long = "x".repeat(10_000);
    for (number, token) in
        [other_sign_in.token(), stranger.token(), "nonsense", "", &long].into_iter().enumerate()
    {
        let auth = json!({"type": "auth", "payload": {"token": token}, "id": format!("a-{number}")});
        assert_error(&tell(&mut phone, auth).await, "invalid_token");
    }
    let auth = json!({"type": "auth", "payload": {"token": user.token()}, "id": "a"});
    assert_delivered(&tell(&mut phone, auth).await);
    phone.hears_nothing().await;
}

async fn the_native_client_renews_its_token(topology: Topology) {
    let server = Server::start(topology, &[("JWT_EXPIRY", "5s")]).await;
    let user = User::new(&server).await;
    let token = TokenSource::signed_in(user.api.clone(), user.signed_in.clone());
    let builder: Builder = Client::builder(server.url(), DeviceId::new("phone").unwrap(), token);
    let mut phone = Device::connect(builder).await;
    let began = std::time::Instant::now();
    while began.elapsed().as_secs() < 8 {
        phone.client.online().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    while let Some(event) = phone.events.try_recv() {
        assert!(!matches!(event, Event::Offline(_)), "it never loses its connection: {event:?}");
    }
}

async fn a_logout_closes_the_sockets_of_its_sign_in_at_once(topology: Topology) {
    let server = Server::start(topology, &[("OFFLINE_GRACE", "60s")]).await;
    let user = User::new(&server).await;
    let other = user.sign_in_again().await.unwrap();
    let mut tv = other.raw("tv").await;
    let mut phone = user.raw("phone").await;
    let mut radio = user.simple("radio").await;
    let away = user.raw("camera").await;
    let camera = user.dial("camera").resume(&away.session(), 0);
    away.vanish();
    user.api.logout(&user.signed_in.access_token).await.unwrap();
    let began = std::time::Instant::now();
    phone.closes(4502).await;
    radio.closes(4502).await;
    assert!(began.elapsed().as_millis() < 1000, "{:?}", began.elapsed());
    let mut offline = Vec::new();
    while offline.len() < 3 {
        offline.push(tv.until("device_offline").await["payload"]["device_id"].as_str().unwrap().to_owned());
    }
    offline.sort_unstable();
    assert_eq!(offline, ["camera", "phone", "radio"]);
    camera.refused(4502).await;
    assert_eq!(user.get("/api/devices").await.problem(), (401, "revoked".into()));
    tv.hears_nothing().await;
}
