//! Messages between pairs of devices, and what became of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use streamz_protocol::UserId;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use crate::accounts::Pair;
use crate::latency::Latencies;
use crate::peer::{Acks, Dialect, Frame, Peer, PeerError, Socket, text};
use crate::plan::MESSAGE_BYTES;

/// How long messages on the way are waited for at the end.
const GRACE: Duration = Duration::from_secs(10);
/// A sender that is this much behind its own schedule does not make the load that it should.
const LATE: Duration = Duration::from_millis(100);

/// How messages are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// One after the other, each when the one before has arrived, and its outcome too if it has one; this many at a time.
    Window(usize),
    /// This many a second from all pairs together, evenly spread, whatever becomes of them.
    Load(u32),
}

/// A connected pair.
pub(crate) struct Link {
    from: Peer,
    to: Peer,
    to_id: String,
    user: Option<UserId>,
}

impl Link {
    /// Both at the same server.
    pub(crate) async fn connect(address: &str, dialect: Dialect, pair: &Pair) -> Result<Self, PeerError> {
        Self::connect_across([address, address], dialect, pair).await
    }

    /// The sender at the first address, the receiver at the second.
    pub(crate) async fn connect_across(
        [one, other]: [&str; 2],
        dialect: Dialect,
        pair: &Pair,
    ) -> Result<Self, PeerError> {
        // Sign-ins are unique, and names of devices only within an account.
        let path = uuid::Uuid::new_v4().simple().to_string();
        let from = Peer::connect(one, dialect, &pair.one, &path).await?;
        let to = Peer::connect(other, dialect, &pair.other, &path).await?;
        Ok(Self { from, to, to_id: pair.other.id.clone(), user: pair.user })
    }

    /// Whose devices they are, where that is known.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.user
    }

    pub(crate) async fn connect_all(
        address: &str,
        dialect: Dialect,
        pairs: &[Pair],
    ) -> Result<Vec<Self>, PeerError> {
        let mut links = Vec::with_capacity(pairs.len());
        for pair in pairs {
            links.push(Self::connect(address, dialect, pair).await?);
        }
        Ok(links)
    }

    pub(crate) async fn close(self) {
        self.from.close().await;
        self.to.close().await;
    }
}

/// What became of the messages.
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) delivered: u64,
    /// Frames that say that something went wrong.
    pub(crate) refused: u64,
    /// What they say.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// The load was not made as it should.
    pub(crate) late: bool,
    /// From the call that sends to the text in the receiver's hand.
    pub(crate) delays: Latencies,
    /// The same to the outcome.
    pub(crate) outcomes: Latencies,
    pub(crate) elapsed: Duration,
    /// Each message on its own, if that was asked for.
    pub(crate) trips: Vec<Trip>,
}

/// The way of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trip {
    /// Whose devices these are.
    pub(crate) user: UserId,
    pub(crate) sent: Instant,
    /// From the call that sends to the text in the receiver's hand.
    pub(crate) took: Duration,
}

impl Tally {
    fn new() -> Self {
        Self {
            sent: 0,
            received: 0,
            delivered: 0,
            refused: 0,
            reasons: BTreeMap::new(),
            late: false,
            delays: Latencies::new(),
            outcomes: Latencies::new(),
            elapsed: Duration::ZERO,
            trips: Vec::new(),
        }
    }

    fn add(&mut self, mut other: Self) {
        self.trips.append(&mut other.trips);
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.sent += other.sent;
        self.received += other.received;
        self.delivered += other.delivered;
        self.refused += other.refused;
        self.late |= other.late;
        self.delays.add(&other.delays);
        self.outcomes.add(&other.outcomes);
        self.elapsed = self.elapsed.max(other.elapsed);
    }

    /// Whether every message arrived, and had its outcome if `outcomes` says that it has one.
    pub(crate) fn is_whole(&self, outcomes: bool) -> bool {
        let settled = if outcomes { self.delivered } else { self.sent };
        self.sent > 0 && self.received == self.sent && settled == self.sent && self.refused == 0
    }
}

/// Sends over all links for `length`, and waits for what is on its way.
pub(crate) async fn run(
    links: Vec<Link>,
    with_id: bool,
    pace: Pace,
    length: Duration,
) -> Result<(Vec<Link>, Tally), PeerError> {
    run_noting(links, with_id, pace, length, false).await
}

/// The same, and notes each message's way if `each` says so.
pub(crate) async fn run_noting(
    links: Vec<Link>,
    with_id: bool,
    pace: Pace,
    length: Duration,
    each: bool,
) -> Result<(Vec<Link>, Tally), PeerError> {
    let count = links.len();
    let mut tasks = JoinSet::new();
    for (number, link) in links.into_iter().enumerate() {
        let schedule = match pace {
            Pace::Window(window) => Schedule::Window(window),
            Pace::Load(rate) => {
                let interval = Duration::from_secs_f64(count as f64 / f64::from(rate));
                Schedule::Every { interval, first: interval.mul_f64(number as f64 / count as f64) }
            }
        };
        tasks.spawn(Flow::new(with_id, schedule, length).run(link, each));
    }
    let mut all = Tally::new();
    let mut back = Vec::with_capacity(count);
    while let Some(done) = tasks.join_next().await {
        let (link, tally) = done.map_err(|_| PeerError::Unreadable)??;
        all.add(tally);
        back.push(link);
    }
    Ok((back, all))
}

#[derive(Clone, Copy)]
enum Schedule {
    Window(usize),
    Every { interval: Duration, first: Duration },
}

/// One pair's part. Stamps are nanoseconds since its own beginning: both ends are in this process.
struct Flow {
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
    fn new(with_id: bool, schedule: Schedule, length: Duration) -> Self {
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

    async fn run(self, link: Link, each: bool) -> Result<(Link, Tally), PeerError> {
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

    #[test]
    fn a_tally_is_whole_when_nothing_is_missing() {
        let mut tally = Tally::new();
        assert!(!tally.is_whole(false));
        (tally.sent, tally.received) = (2, 2);
        assert!(tally.is_whole(false) && !tally.is_whole(true));
        tally.delivered = 2;
        assert!(tally.is_whole(true));
        tally.refused = 1;
        assert!(!tally.is_whole(true));
    }
}
