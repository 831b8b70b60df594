//! The bounds of what is kept for a session: unsettled messages, and the replay window.

use streamz_tests::{Raw, Server, Topology, User, message, scenarios};

use crate::support::{assert_delivered, assert_not_delivered, offer, tell, text};

scenarios![
    unsettled_messages_are_bounded_by_number,
    unsettled_messages_are_bounded_by_size,
    the_replay_window_is_bounded_by_frames,
    the_replay_window_is_bounded_by_bytes,
    a_lost_message_is_skipped_and_the_session_goes_on,
    a_lost_notice_makes_a_clean_slate,
];

/// A pair that may talk without a pause.
async fn pair(topology: Topology, more: &[(&str, &str)]) -> (Server, User, Raw, Raw) {
    let variables = [&[("MESSAGES_PER_SECOND", "10000"), ("MESSAGE_BURST", "10000")], more].concat();
    let server = Server::start(topology, &variables).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let tv = user.raw("tv").await;
    phone.until("device_online").await;
    phone.ack().await;
    (server, user, phone, tv)
}

async fn send(phone: &mut Raw, numbers: std::ops::Range<usize>, bytes: usize) {
    for number in numbers {
        phone.feed(message(&offer(&format!("m-{number}"), "tv", &text(bytes)))).await;
    }
    phone.flush().await;
}

async fn unsettled_messages_are_bounded_by_number(topology: Topology) {
    let (_server, _user, mut phone, mut tv) = pair(topology, &[("REPLAY_WINDOW_FRAMES", "1000")]).await;
    send(&mut phone, 0..257, 1).await;
    let refused = phone.frame().await;
    assert_not_delivered(&refused, "backlog");
    assert_eq!(refused["id"], "m-256", "the 256 before it were taken");
    for _ in 0..256 {
        tv.until("sdp_offer").await;
    }
    tv.ack().await;
    for number in 0..256 {
        assert_delivered(&phone.outcome(&format!("m-{number}")).await);
    }
    send(&mut phone, 300..301, 1).await;
    tv.until("sdp_offer").await;
    tv.ack().await;
    assert_delivered(&phone.outcome("m-300").await);
}

async fn unsettled_messages_are_bounded_by_size(topology: Topology) {
    let window = [("REPLAY_WINDOW_BYTES", "1MiB"), ("OUTBOUND_QUEUE_BYTES", "2MiB")];
    let (_server, _user, mut phone, mut tv) = pair(topology, &window).await;
    // A relayed frame counts with its sender and its mid; 8 of this size are just below 512 KiB, one is much less.
    send(&mut phone, 0..8, 64 * 1024 - 200).await;
    phone.barrier().await;
    let refused = tell(&mut phone, offer("m-8", "tv", &text(8 * 1024))).await;
    assert_not_delivered(&refused, "backlog");
    for _ in 0..8 {
        tv.until("sdp_offer").await;
    }
    tv.ack().await;
    for number in 0..8 {
        assert_delivered(&phone.outcome(&format!("m-{number}")).await);
    }
}

async fn the_replay_window_is_bounded_by_frames(topology: Topology) {
    let (_server, user, mut phone, tv) = pair(topology, &[("UNSETTLED_MESSAGES", "1000")]).await;
    let dial = user.dial("tv").resume(&tv.session(), tv.last_seq);
    tv.vanish();
    send(&mut phone, 0..256, 1).await;
    phone.hears_nothing().await;
    send(&mut phone, 256..257, 1).await;
    let fallen = phone.frame().await;
    assert_not_delivered(&fallen, "expired");
    assert_eq!(fallen["id"], "m-0", "the oldest falls out");
    let mut tv = dial.welcomed().await;
    assert_eq!(tv.welcome["resumed"], true);
    let seqs: Vec<u64> = tv.barrier().await.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (2..=257).collect::<Vec<u64>>());
}

async fn the_replay_window_is_bounded_by_bytes(topology: Topology) {
    let (_server, user, mut phone, tv) = pair(topology, &[]).await;
    let dial = user.dial("tv").resume(&tv.session(), tv.last_seq);
    tv.vanish();
    send(&mut phone, 0..4, 64 * 1024 - 200).await;
    phone.hears_nothing().await;
    send(&mut phone, 4..5, 1024).await;
    let fallen = phone.frame().await;
    assert_not_delivered(&fallen, "expired");
    assert_eq!(fallen["id"], "m-0");
    let mut tv = dial.welcomed().await;
    assert_eq!(tv.welcome["resumed"], true);
    assert_eq!(tv.barrier().await.len(), 4);
}

async fn a_lost_message_is_skipped_and_the_session_goes_on(topology: Topology) {
    let (_server, _user, mut phone, mut tv) = pair(topology, &[("REPLAY_WINDOW_FRAMES", "4")]).await;
    send(&mut phone, 0..6, 1).await;
    for _ in 0..6 {
        tv.until("sdp_offer").await;
    }
    // All six came, two of them were given up: late confirmations change no outcome.
    tv.ack().await;
    for number in 0..2 {
        assert_not_delivered(&phone.outcome(&format!("m-{number}")).await, "expired");
    }
    for number in 2..6 {
        assert_delivered(&phone.outcome(&format!("m-{number}")).await);
    }
    phone.hears_nothing().await;
}

async fn a_lost_notice_makes_a_clean_slate(topology: Topology) {
    let (_server, user, mut phone, tv) = pair(topology, &[("REPLAY_WINDOW_FRAMES", "4")]).await;
    let dial = user.dial("tv").resume(&tv.session(), tv.last_seq);
    tv.vanish();
    // Presence fell out of the window: a resume could not be whole.
    user.raw("laptop").await.close().await;
    phone.until("device_offline").await;
    send(&mut phone, 0..4, 1).await;
    phone.hears_nothing().await;
    let mut tv = dial.welcomed().await;
    assert_eq!(tv.welcome["resumed"], false);
    for number in 0..4 {
        assert_not_delivered(&phone.outcome(&format!("m-{number}")).await, "expired");
    }
    tv.hears_nothing().await;
}
