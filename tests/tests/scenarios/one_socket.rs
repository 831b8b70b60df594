//! One device has one live connection: the newest.

use streamz_client::protocol::CloseCode;
use streamz_client::{Ended, State};
use streamz_tests::{Heard, Raw, Server, Topology, User, message, scenarios, soon};

use crate::support::{assert_delivered, offer};

scenarios![
    the_newer_connection_wins,
    a_resume_takes_the_session_over,
    of_many_at_once_one_stays,
    the_native_client_stays_away_when_it_is_replaced,
];

async fn the_newer_connection_wins(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut first = user.raw("tv").await;
    phone.until("device_online").await;
    let mut second = user.raw("tv").await;
    assert_eq!(first.hear().await, Heard::Close(4501));
    phone.hears_nothing().await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    assert_eq!(second.frame().await["seq"], 1);
    second.ack().await;
    assert_delivered(&phone.outcome("m-1").await);
    let mut simple = user.simple("tv").await;
    second.closes(4501).await;
    let mut v1 = user.raw("tv").await;
    simple.closes(4501).await;
    v1.hears_nothing().await;
    phone.hears_nothing().await;
}

async fn a_resume_takes_the_session_over(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let mut first = user.raw("tv").await;
    phone.until("device_online").await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    first.until("sdp_offer").await;
    let mut second = user.dial("tv").resume(&first.session(), 0).welcomed().await;
    assert_eq!(second.welcome["resumed"], true);
    first.closes(4501).await;
    assert_eq!(second.frame().await["seq"], 1);
    second.ack().await;
    assert_delivered(&phone.outcome("m-1").await);
}

async fn of_many_at_once_one_stays(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let mut phone = user.raw("phone").await;
    let dials: Vec<_> = (0..20).map(|_| user.dial("tv")).collect();
    let opening: Vec<_> =
        dials.into_iter().map(|dial| tokio::spawn(async move { dial.open().await.unwrap() })).collect();
    let mut connections = Vec::new();
    for connection in opening {
        connections.push(connection.await.unwrap());
    }
    // All of them were admitted, so the last of them has won: the others hear so.
    let mut last: Option<Raw> = None;
    for mut raw in connections {
        match raw.hear().await {
            Heard::Frame(welcome) => assert_eq!(welcome["type"], "welcome"),
            // It was replaced before it was told of its session.
            end => {
                assert_eq!(end, Heard::Close(4501));
                continue;
            }
        }
        raw.try_write(message(&offer("m-0", "none", "v=0"))).await;
        match raw.hear().await {
            Heard::Frame(outcome) => {
                assert_eq!(outcome["id"], "m-0");
                assert!(last.replace(raw).is_none(), "two connections of one device");
            }
            end => assert_eq!(end, Heard::Close(4501)),
        }
    }
    let mut tv = last.expect("one stays");
    assert_eq!(phone.expect("device_online").await["device_id"], "tv");
    phone.hears_nothing().await;
    phone.say(offer("m-1", "tv", "v=0")).await;
    tv.until("sdp_offer").await;
    tv.ack().await;
    assert_delivered(&phone.outcome("m-1").await);
}

async fn the_native_client_stays_away_when_it_is_replaced(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let first = user.device("tv").await;
    let mut second = user.raw("tv").await;
    let mut state = first.client.state();
    let ended = soon(state.wait_for(|state| matches!(state, State::Closed(_)))).await.unwrap().clone();
    let State::Closed(ended) = ended else { unreachable!() };
    assert_eq!(ended, Ended::Closed { code: 4501 });
    assert_eq!(ended.close_code(), Some(CloseCode::Replaced));
    second.hears_nothing().await;
}
