//! A device: the model client of the simulation on a real socket, behind a load balancer that picks a gateway at random.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rand::RngExt;
use rand::seq::IndexedRandom;
use streamz_protocol::StreamId;
use streamz_simulation::{Deed, Then};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::scene::{Backend, Scene};

/// An attempt that takes longer is given up, as clients do.
const DIAL: Duration = Duration::from_secs(5);
/// The heartbeat of the servers under test.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);
/// A server that is silent for longer counts as lost.
const PATIENCE: Duration = HEARTBEAT.saturating_mul(3);
/// The first retry comes at once, spread over this much; later ceilings double up to the last.
const BACKOFF: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(2)];
/// Frames are acknowledged at most this much later.
const ACK: Duration = Duration::from_millis(20);
/// A call lasts this long, and between two of them lies this much.
const CALL: Duration = Duration::from_millis(400);
const BETWEEN_CALLS: Duration = Duration::from_secs(3);

pub(crate) struct Device {
    pub(crate) scene: Arc<Scene>,
    /// Its number among all.
    pub(crate) number: usize,
    /// Its number among those of its user.
    pub(crate) own: usize,
    pub(crate) token: String,
}

/// Why a connection ended.
enum End {
    Lost(Option<u16>),
    Drained,
}

impl Device {
    /// Lives until it is dropped.
    pub(crate) async fn live(self) {
        let mut failures = 0;
        loop {
            let picked = self.scene.rotation.borrow().choose(&mut rand::rng()).cloned();
            if let Some(backend) = picked {
                match self.connect(&backend).await {
                    Some(End::Drained) => continue,
                    Some(End::Lost(_)) => failures = 0,
                    None => failures += 1,
                }
            }
            let ceiling = match failures {
                0 => BACKOFF[0],
                n => (BACKOFF[1] * 2_u32.saturating_pow(n - 1)).min(BACKOFF[2]),
            };
            let wait = rand::rng().random_range(Duration::ZERO..=ceiling);
            sleep(wait).await;
        }
    }

    /// One connection, from its first byte to its last. `None` if it never became one.
    async fn connect(&self, backend: &Backend) -> Option<End> {
        let (pipe, resume) = self.scene.observer().connects(self.scene.now(), self.number, backend.number);
        let mut query = format!("device_id={}", self.scene.names[self.own]);
        if let Some(resume) = resume {
            query.push_str(&format!("&session_id={}&last_seq={}", resume.session, resume.last_seq));
        }
        let mut welcomed = false;
        let end = match timeout(DIAL, dial(&backend.address, &query, &self.token)).await {
            Ok(Some(socket)) => self.serve(pipe, socket, &mut welcomed).await,
            _ => End::Lost(None),
        };
        let code = match &end {
            End::Lost(code) => *code,
            End::Drained => None,
        };
        self.scene.observer().closed(self.scene.now(), self.number, pipe, code);
        welcomed.then_some(end)
    }

    async fn serve(&self, pipe: usize, mut socket: WebSocketStream<TcpStream>, welcomed: &mut bool) -> End {
        let mut heard = Instant::now();
        let mut talk = tokio::time::interval(self.scene.pace);
        talk.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ack: Option<Instant> = None;
        let mut leave: Option<Instant> = None;
        let mut next_ring = Instant::now() + BETWEEN_CALLS.mul_f64(rand::rng().random_range(0.2..1.0));
        let mut hang_up: Option<(Instant, StreamId)> = None;
        let mut write: Vec<String> = Vec::new();
        loop {
            for text in write.drain(..) {
                match timeout(PATIENCE, socket.send(Message::text(text))).await {
                    Ok(Ok(())) => {}
                    _ => return End::Lost(None),
                }
            }
            let now = Instant::now();
            let far = now + Duration::from_secs(3600);
            tokio::select! {
                biased;
                frame = socket.next() => {
                    heard = Instant::now();
                    match frame {
                        Some(Ok(Message::Text(text))) => {
                            let turn = self.scene.observer().hears(self.scene.now(), self.number, pipe, &text);
                            let turn = turn.unwrap_or_else(|error| panic!("no client can read {error}"));
                            *welcomed = true;
                            write.extend(turn.write);
                            match turn.then {
                                Then::Go => {}
                                Then::Answer(stream) => write.extend(self.says(Deed::Accept(stream))),
                                Then::Talk(stream) => hang_up = Some((Instant::now() + CALL, stream)),
                                Then::Leave(after) => leave = Some(Instant::now() + after),
                            }
                            ack.get_or_insert(Instant::now() + ACK);
                        }
                        Some(Ok(Message::Close(frame))) => return End::Lost(frame.map(|frame| frame.code.into())),
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return End::Lost(None),
                    }
                }
                () = sleep_until(ack.unwrap_or(far)) => {
                    ack = None;
                    write.extend(self.scene.observer().acknowledges(self.number));
                }
                () = sleep_until(hang_up.map_or(far, |(at, _)| at)) => {
                    if let Some((_, stream)) = hang_up.take() {
                        write.extend(self.says(Deed::End(stream)));
                    }
                }
                () = sleep_until(leave.unwrap_or(far)) => return End::Drained,
                () = sleep_until(heard + PATIENCE) => return End::Lost(None),
                _ = talk.tick(), if *self.scene.talking.borrow() => {
                    let others = self.scene.names.len() - 1;
                    let to = (self.own + 1 + rand::rng().random_range(0..others)) % self.scene.names.len();
                    write.extend(self.says(Deed::Chat(self.scene.names[to].clone())));
                    // The first device of each user rings the second one.
                    if self.own == 0 && next_ring <= now {
                        next_ring = now + BETWEEN_CALLS;
                        let streams = self.scene.observer().streams(self.number);
                        match streams.first() {
                            // What a fault left behind.
                            Some(stream) => write.extend(self.says(Deed::End(*stream))),
                            None => write.extend(self.says(Deed::Ring(self.scene.names[1].clone()))),
                        }
                    }
                }
            }
        }
    }

    fn says(&self, deed: Deed) -> Option<String> {
        self.scene.observer().says(self.scene.now(), self.number, deed)
    }
}

/// A WebSocket with the subprotocol of reliable clients. `None` if there is none to be had.
async fn dial(address: &str, query: &str, token: &str) -> Option<WebSocketStream<TcpStream>> {
    let mut request = format!("ws://{address}/ws?{query}").into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request.headers_mut().insert("sec-websocket-protocol", "streamz.v1".parse().unwrap());
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(client_async(request, stream).await.ok()?.0)
}
