//! One device of the crowd.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use rand::RngExt;
use streamz_client::Backoff;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Error;

use super::{Place, Report, Return, now};
use crate::accounts;
use crate::peer::{Dialect, Frame, Peer, PeerError, Session, Welcome, text};

/// How all devices of a process fare.
#[derive(Default)]
pub(super) struct Fate {
    online: AtomicU64,
    offline_frames: AtomicU64,
    returns: Mutex<Vec<Return>>,
    refusals: Mutex<BTreeMap<String, u64>>,
}

impl Fate {
    pub(super) fn report(&self) -> Report {
        Report {
            online: self.online.load(Ordering::Relaxed),
            returns: self.returns.lock().clone(),
            refusals: self.refusals.lock().clone(),
            offline_frames: self.offline_frames.load(Ordering::Relaxed),
        }
    }
}

pub(super) struct Device {
    identity: accounts::Device,
    home: String,
    refuges: Vec<String>,
    fate: Arc<Fate>,
    /// For the first connection.
    connected: Option<oneshot::Sender<Result<(), String>>>,
    session: Option<Session>,
}

impl Device {
    pub(super) fn new(place: Place, fate: Arc<Fate>, connected: oneshot::Sender<Result<(), String>>) -> Self {
        let identity = accounts::Device { id: place.device, token: Arc::new(place.token.into()) };
        let (home, refuges) = (place.home, place.refuges);
        Self { identity, home, refuges, fate, connected: Some(connected), session: None }
    }

    /// Connects, and comes back whenever its connection is lost. It ends only if the first attempt fails.
    pub(super) async fn live(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let first = self.connected.is_some();
            let mut asked = None;
            // Boxed: while nothing happens a device holds its socket and little else.
            match Box::pin(self.attach()).await {
                Ok((mut peer, welcome)) => {
                    self.welcomed(welcome, &peer);
                    backoff.reset();
                    let _ = self.stay(&mut peer).await;
                    self.fate.online.fetch_sub(1, Ordering::Relaxed);
                    if let Some(session) = &mut self.session {
                        session.last_seq = peer.acks.last();
                    }
                }
                Err(error) if first => {
                    if let Some(connected) = self.connected.take() {
                        let _ = connected.send(Err(error.to_string()));
                    }
                    return;
                }
                Err(error) => {
                    *self.fate.refusals.lock().entry(seen(&error)).or_default() += 1;
                    asked = patience(&error);
                    if asked.is_some() {
                        backoff.skip_first();
                    }
                }
            }
            let wait = asked.unwrap_or_default() + backoff.next(&mut rand::rng());
            tokio::time::sleep(wait).await;
        }
    }

    async fn attach(&self) -> Result<(Peer, Welcome), PeerError> {
        let address = match self.refuges.len() {
            count if count > 0 && self.session.is_some() => &self.refuges[rand::rng().random_range(0..count)],
            _ => &self.home,
        };
        Peer::attach(address, Dialect::V1, &self.identity, "", self.session.as_ref()).await
    }

    fn welcomed(&mut self, welcome: Welcome, peer: &Peer) {
        self.fate.online.fetch_add(1, Ordering::Relaxed);
        if self.session.is_some() {
            self.fate.returns.lock().push(Return { at: now(), resumed: welcome.resumed });
        }
        self.session = Some(Session { id: welcome.session, last_seq: peer.acks.last() });
        if let Some(connected) = self.connected.take() {
            let _ = connected.send(Ok(()));
        }
    }

    /// Until the connection is lost.
    async fn stay(&self, peer: &mut Peer) -> Result<(), PeerError> {
        loop {
            // Pings are answered by the library as it reads.
            let Some(text) = text(peer.socket.next().await)? else { continue };
            let frame = Frame::read(&text)?;
            if frame.r#type == "device_offline" {
                self.fate.offline_frames.fetch_add(1, Ordering::Relaxed);
            }
            peer.acks.received(&frame);
            if let Some(ack) = peer.acks.take() {
                peer.socket.send(ack).await?;
            }
        }
    }
}

/// How long the server asks to be left alone for, if it refused.
fn patience(error: &PeerError) -> Option<Duration> {
    let PeerError::Socket(error) = error else { return None };
    let Error::Http(response) = &**error else { return None };
    let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    Some(Duration::from_secs(seconds.unwrap_or(0)))
}

/// A failed attempt in a word or two.
fn seen(error: &PeerError) -> String {
    match error {
        PeerError::Socket(error) => match &**error {
            Error::Http(response) => format!("HTTP {}", response.status().as_u16()),
            Error::Io(error) => error.kind().to_string(),
            _ => "not a WebSocket".to_owned(),
        },
        PeerError::Closed { code: Some(code) } => format!("close code {code}"),
        PeerError::Closed { code: None } => "no close code".to_owned(),
        PeerError::TimedOut => "no answer in time".to_owned(),
        PeerError::Unreadable | PeerError::Token => "no frame of the protocol".to_owned(),
    }
}
