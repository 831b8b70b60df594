use std::sync::Arc;

use parking_lot::Mutex;
use streamz_bus::{HubReceiver, InProcess};
use streamz_protocol::bus::{Down, Item};
use streamz_protocol::server::{Body, ServerMessage};
use uuid::Uuid;

use super::*;
use crate::inbox::Received;

const GATEWAY: GatewayId = GatewayId(1);

fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

/// Takes what goes to hubs.
#[derive(Default)]
struct Listener(Mutex<Vec<ToHub>>);

impl HubReceiver for Listener {
    fn receive(&self, frame: ToHub) -> Result<(), Refused> {
        self.0.lock().push(frame);
        Ok(())
    }
}

impl Listener {
    fn heard(&self) -> Vec<Up> {
        std::mem::take(&mut *self.0.lock()).into_iter().map(|frame| frame.up).collect()
    }
}

fn connections() -> (Arc<Connections>, Arc<Listener>) {
    let bus = InProcess::new();
    let listener = Arc::new(Listener::default());
    bus.serve_hubs(listener.clone());
    let hubs = Hubs::new(GATEWAY, bus.clone());
    let connections = Connections::new(GATEWAY, bus.clone(), hubs);
    bus.serve_gateway(GATEWAY, connections.clone());
    (connections, listener)
}

fn roll(connections: &Connections, number: u128) {
    connections.receive(ToGateway::Roll { user: user(number), epoch: 3 }).unwrap();
}

fn roster(conns: &[ConnId]) -> Up {
    Up::Roster { gateway: GATEWAY, epoch: 3, conns: conns.to_vec() }
}

#[tokio::test]
async fn a_roll_reaches_the_users_connections_and_names_them() {
    let (connections, listener) = connections();
    let one = connections.register(user(1), 1024);
    let two = connections.register(user(1), 1024);
    let other = connections.register(user(2), 1024);
    roll(&connections, 1);
    assert_eq!(listener.heard(), [roster(&[one.conn, two.conn])]);
    for told in [&one, &two] {
        let Received::Items(items) = told.inbox.receive().await else { panic!("not overflowed") };
        assert!(matches!(items.front(), Some(ToSession::Roll { epoch: 3 })));
    }
    roll(&connections, 9);
    assert_eq!(listener.heard(), [roster(&[])], "nobody is an answer too");
    drop(other);
}

#[test]
fn a_dropped_connection_is_forgotten_and_its_hub_told_once() {
    let (connections, listener) = connections();
    let lost = connections.register(user(1), 1024);
    let conn = lost.conn;
    drop(lost);
    assert_eq!(listener.heard(), [Up::Gone(conn)]);
    let mut told = connections.register(user(1), 1024);
    told.tell_hub(Up::Gone(told.conn)).unwrap();
    drop(told);
    assert_eq!(listener.heard().len(), 1);
    assert!(connections.is_empty());
    roll(&connections, 1);
    assert_eq!(listener.heard(), [roster(&[])]);
}

#[test]
fn a_connection_that_went_on_after_it_was_gone_is_gone_again_when_dropped() {
    let (connections, listener) = connections();
    let mut connection = connections.register(user(1), 1024);
    let conn = connection.conn;
    connection.tell_hub(Up::Gone(conn)).unwrap();
    connection.tell_hub(Up::Ack(conn, 1)).unwrap();
    drop(connection);
    assert_eq!(listener.heard().last(), Some(&Up::Gone(conn)));
}

/// Its socket may take seconds to close. A new hub would wait for it for ever.
#[test]
fn a_connection_whose_session_is_over_is_on_no_roster() {
    let (connections, listener) = connections();
    let over = connections.register(user(1), 1024);
    let lives = connections.register(user(1), 1024);
    over.leave();
    roll(&connections, 1);
    assert_eq!(listener.heard(), [roster(&[lives.conn])]);
    assert_eq!(connections.len(), 2, "its socket still counts");
}

#[test]
fn a_connection_that_overflowed_is_on_no_roster_and_takes_nothing() {
    let (connections, listener) = connections();
    let slow = connections.register(user(1), 10);
    let body = Body::of(&ServerMessage::Pong {});
    let frame = || ToGateway::Conn(slow.conn, Down::Batch(vec![Item::Plain(body.clone())]), None);
    connections.receive(frame()).unwrap();
    assert_eq!(connections.receive(frame()), Err(Refused::Full));
    roll(&connections, 1);
    assert_eq!(listener.heard(), [roster(&[])]);
    let nobody = ConnId { gateway: GATEWAY, number: 99 };
    assert_eq!(connections.receive(ToGateway::Conn(nobody, Down::Forget, None)), Err(Refused::NoReceiver));
}

#[tokio::test]
async fn a_drain_spreads_the_devices_and_closes_their_sockets() {
    let (connections, _listener) = connections();
    let all: Vec<Registration> = (0..4).map(|_| connections.register(user(1), 1024)).collect();
    connections.drain(Duration::from_secs(2));
    let mut waits = Vec::new();
    for one in &all {
        let Received::Items(mut items) = one.inbox.receive().await else { panic!("not overflowed") };
        match items.make_contiguous() {
            [ToSession::Drain { after_ms }, ToSession::Close(CloseCode::Draining)] => waits.push(*after_ms),
            other => panic!("{other:?}"),
        }
    }
    waits.sort_unstable();
    assert_eq!(waits, [0, 500, 1000, 1500]);
}
