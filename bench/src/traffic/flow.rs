//! One pair of devices: sends, listens at both ends, and counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::{Link, Tally, Trip};
use crate::latency::Latencies;
use crate::peer::{Acks, Frame, Peer, PeerError, Socket, text};
use crate::plan::MESSAGE_BYTES;

/// How long messages on the way are waited for at the end.
const GRACE: Duration = Duration::from_secs(10);
/// A sender that is this much behind its own schedule does not make the load that it should.
const LATE: Duration = Duration::from_millis(100);

/// When a pair sends.
#[derive(Clone, Copy)]
pub(super) enum Schedule {
    Window(usize),
    Every { interval: Duration, first: Duration },
}

/// One pair's part. Stamps are nanoseconds since its own beginning: both ends are in this process.
pub(super) struct Flow {
    with_id: bool,
    schedule: Schedule,
    length: Duration,
    began: Instant,
    window: Semaphore,
    sent: AtomicU64,
    received: AtomicU64,
    delivered: AtomicU64,
    refused: AtomicU64,
    all_sent: AtomicBool,
    finished: CancellationToken,
}

/// What a socket brought.
enum Turn {
    Message(Option<Result<Message, Error>>),
    Finished,
}

impl Flow {
    pub(super) fn new(with_id: bool, schedule: Schedule, length: Duration) -> Self {
        let window = match schedule {
            Schedule::Window(window) => window,
            Schedule::Every { .. } => 0,
        };
        Self {
            with_id,
            schedule,
            length,
            began: Instant::now(),
            window: Semaphore::new(window),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            all_sent: AtomicBool::new(false),
            finished: CancellationToken::new(),
        }
    }

    pub(super) async fn run(self, link: Link, each: bool) -> Result<(Link, Tally), PeerError> {
        let Link { from, to, to_id, user } = link;
        let (mut trips, mut reasons) = (Vec::new(), BTreeMap::new());
        let noted = user.filter(|_| each);
        let (mut sender, mut receiver) = (Half::of(from), Half::of(to));
        let (sink, echo) = (&sender.sink, &receiver.sink);
        let (mut delays, mut outcomes) = (Latencies::new(), Latencies::new());
        let (late, heard, settled) = tokio::join!(
            self.guarded(self.send(sink, &to_id)),
            self.guarded(self.listen(
                &mut receiver.stream,
                echo,
                &mut receiver.acks,
                receiver.acknowledges,
                |frame| {
                    if let Some((sent, took)) = self.arrived(frame, &mut delays) {
                        trips.extend(noted.map(|user| Trip { user, sent, took }));
                    }
                }
            )),
            self.guarded(self.listen(
                &mut sender.stream,
                sink,
                &mut sender.acks,
                sender.acknowledges,
                |frame| {
                    if let Some(reason) = self.outcome(frame, &mut outcomes) {
                        *reasons.entry(reason).or_default() += 1;
                    }
                }
            )),
        );
        heard?;
        settled?;
        let tally = Tally {
            sent: self.sent.into_inner(),
            received: self.received.into_inner(),
            delivered: self.delivered.into_inner(),
            refused: self.refused.into_inner(),
            reasons,
            late: late?,
            delays,
            outcomes,
            elapsed: self.began.elapsed(),
            trips,
        };
        let link = Link { from: sender.whole()?, to: receiver.whole()?, to_id, user };
        Ok((link, tally))
    }

    /// A half that fails ends the others.
    async fn guarded<T>(&self, part: impl Future<Output = Result<T, PeerError>>) -> Result<T, PeerError> {
        let done = part.await;
        if done.is_err() {
            self.finished.cancel();
        }
        done
    }

    /// Says whether it fell behind its schedule.
    async fn send(&self, sink: &Mutex<Sink>, to_id: &str) -> Result<bool, PeerError> {
        let end = self.began + self.length;
        let mut late = false;
        for number in 0_u32.. {
            match self.schedule {
                Schedule::Window(_) => {
                    tokio::select! {
                        permit = self.window.acquire() => {
                            if let Ok(permit) = permit {
                                permit.forget();
                            }
                        }
                        () = sleep_until(end.into()) => break,
                        () = self.finished.cancelled() => return Ok(late),
                    }
                }
                Schedule::Every { interval, first } => {
                    let due = self.began + first + interval * number;
                    if due >= end {
                        break;
                    }
                    sleep_until(due.into()).await;
                    late |= due.elapsed() > LATE;
                }
            }
            if Instant::now() >= end {
                break;
            }
            let stamp = self.stamp();
            // Counted first: the answer may be faster than this task.
            self.sent.fetch_add(1, Ordering::Relaxed);
            sink.lock().await.send(message(to_id, stamp, self.with_id)).await?;
        }
        self.all_sent.store(true, Ordering::Release);
        self.look();
        if timeout(GRACE, self.finished.cancelled()).await.is_err() {
            self.finished.cancel();
        }
        Ok(late)
    }

    async fn listen(
        &self,
        stream: &mut SplitStream<Socket>,
        sink: &Mutex<Sink>,
        acks: &mut Acks,
        acknowledges: bool,
        mut take: impl FnMut(&Frame<'_>),
    ) -> Result<(), PeerError> {
        loop {
            let at_once = if acks.urgent() { None } else { stream.next().now_or_never() };
            let turn = match at_once {
                Some(message) => Turn::Message(message),
                None => {
                    if acknowledges && let Some(ack) = acks.take() {
                        sink.lock().await.send(ack).await?;
                    }
                    tokio::select! {
                        message = stream.next() => Turn::Message(message),
                        () = self.finished.cancelled() => Turn::Finished,
                    }
                }
            };
            let Turn::Message(message) = turn else { return Ok(()) };
            if let Some(text) = text(message)? {
                let frame = Frame::read(&text)?;
                if acknowledges {
                    acks.received(&frame);
                }
                take(&frame);
                self.look();
            }
        }
    }

    /// When the message was sent, and what it took.
    fn arrived(&self, frame: &Frame<'_>, delays: &mut Latencies) -> Option<(Instant, Duration)> {
        if frame.r#type != "sdp_offer" {
            return None;
        }
        self.received.fetch_add(1, Ordering::Relaxed);
        if !self.with_id {
            self.window.add_permits(1);
        }
        let stamp = frame.payload.sdp.and_then(|sdp| read_stamp(sdp.get(..16)?))?;
        let took = Duration::from_nanos(self.stamp().saturating_sub(stamp));
        delays.record(took);
        Some((self.began + Duration::from_nanos(stamp), took))
    }

    /// Why a message was not delivered, if it was not.
    fn outcome(&self, frame: &Frame<'_>, outcomes: &mut Latencies) -> Option<String> {
        match frame.r#type {
            "delivered" => {
                if let Some(stamp) = frame.payload.id.and_then(read_stamp) {
                    outcomes.record(Duration::from_nanos(self.stamp().saturating_sub(stamp)));
                }
                self.delivered.fetch_add(1, Ordering::Relaxed);
                self.window.add_permits(1);
            }
            // Against the forwarder nobody says when a message was delivered: its arrival has to do.
            "not_delivered" | "error" => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let reason = frame.payload.reason.or(frame.payload.code);
                return Some(reason.unwrap_or(frame.r#type).to_owned());
            }
            _ => {}
        }
        None
    }

    fn look(&self) {
        let sent = self.sent.load(Ordering::Relaxed);
        let done = |count: u64| count >= sent;
        let settled = self.delivered.load(Ordering::Relaxed) + self.refused.load(Ordering::Relaxed);
        if self.all_sent.load(Ordering::Acquire)
            && done(self.received.load(Ordering::Relaxed))
            && (!self.with_id || done(settled))
        {
            self.finished.cancel();
        }
    }

    fn stamp(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

type Sink = SplitSink<Socket, Message>;

struct Half {
    sink: Mutex<Sink>,
    stream: SplitStream<Socket>,
    acks: Acks,
    acknowledges: bool,
}

impl Half {
    fn of(peer: Peer) -> Self {
        let (sink, stream) = peer.socket.split();
        Self { sink: Mutex::new(sink), stream, acks: peer.acks, acknowledges: peer.acknowledges }
    }

    fn whole(self) -> Result<Peer, PeerError> {
        let socket = self.stream.reunite(self.sink.into_inner()).map_err(|_| PeerError::Unreadable)?;
        Ok(Peer { socket, acks: self.acks, acknowledges: self.acknowledges })
    }
}

/// An offer of [`MESSAGE_BYTES`] that carries its stamp; as its `id`, too, if it has one: stamps of a session differ.
fn message(to: &str, stamp: u64, with_id: bool) -> Message {
    let begin =
        format!("{{\"type\":\"sdp_offer\",\"payload\":{{\"to_device_id\":\"{to}\",\"sdp\":\"{stamp:016x}");
    let end = if with_id { format!("\"}},\"id\":\"{stamp:016x}\"}}") } else { "\"}}".to_owned() };
    let mut text = begin;
    let padding = MESSAGE_BYTES.saturating_sub(text.len() + end.len());
    text.extend(std::iter::repeat_n('=', padding));
    text.push_str(&end);
    Message::text(text)
}

fn read_stamp(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_their_size_and_their_stamp() {
        for with_id in [false, true] {
            let message = message("other", 0xabc, with_id);
            let text = message.to_text().unwrap();
            assert_eq!(text.len(), MESSAGE_BYTES);
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            let stamp = |text: &serde_json::Value| read_stamp(&text.as_str().unwrap()[..16]);
            assert_eq!(stamp(&value["payload"]["sdp"]), Some(0xabc));
            assert_eq!(value.get("id").map(stamp), with_id.then_some(Some(0xabc)));
        }
    }
}
