//! A user's hub that is quiet is put away, and woken by whatever comes next: nobody notices.

use std::time::Duration;

use streamz_tests::{Server, Topology, User, scenarios};

use crate::support::{about, assert_delivered, assert_error, offer, ring, start, tell};

scenarios![a_hub_that_slept_knows_everything];

/// Several times the quiet after which a hub is put away: that time passes is the point.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

async fn a_hub_that_slept_knows_everything(topology: Topology) {
    let server = Server::start(topology, &[("HUB_IDLE", "100ms"), ("OFFLINE_GRACE", "60s")]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut tv = user.raw("tv").await;
    phone.until("device_online").await;
    phone.ack().await;
    a_while().await;

    phone.say(offer("m-1", "tv", "v=0")).await;
    assert_eq!(tv.expect("sdp_offer").await["sdp"], "v=0");
    tv.ack().await;
    assert_delivered(&phone.outcome("m-1").await);
    a_while().await;

    // Outcomes, numbers and who is online were kept.
    assert_delivered(&tell(&mut phone, offer("m-1", "tv", "v=0")).await);
    assert_error(&tell(&mut phone, offer("m-1", "tv", "v=1")).await, "id_reused");
    assert_eq!(user.is_online("tv").await, Some(true));
    let dial = user.dial("tv").resume(&tv.session(), tv.last_seq);
    tv.vanish();
    let mut tv = dial.welcomed().await;
    assert_eq!(tv.welcome["resumed"], true);
    phone.hears_nothing().await;
    let stream = ring(&mut phone, start("s-1", "tv")).await;
    assert_eq!(tv.expect("stream_start").await["stream_id"], *stream);
    a_while().await;

    // So was the ring, and then the stream.
    assert_delivered(&tell(&mut tv, about("stream_accept", "t-1", &stream)).await);
    phone.until("stream_accept").await;
    phone.ack().await;
    a_while().await;
    let laptop = user.raw("laptop").await;
    assert_eq!(laptop.welcome["streams"][0]["state"], "active");
    assert_eq!(phone.until("device_online").await["payload"]["device_id"], "laptop");
    phone.ack().await;
    a_while().await;
    assert_delivered(&tell(&mut phone, about("stream_end", "s-2", &stream)).await);
    assert_eq!(tv.until("stream_end").await["payload"]["reason"], "ended");
}
