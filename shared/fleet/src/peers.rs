//! The other processes: a link to each, and the bus under all of them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use streamz_bus::Refused;
use streamz_bus::redis::{Endpoint, Evidence, Outbox, Settings, StartError, Status, Transport};
use streamz_link::{Effect, Full, Link, Weigh};
use streamz_platform::{Clock, Tasks};
use streamz_protocol::cluster::{Packet, Routed};
use streamz_protocol::wire::{BusKey, Envelope, EnvelopeWriter, PacketError, PushError};
use streamz_protocol::{Millis, ProcessId};
use tokio_util::sync::CancellationToken;

use crate::carried::Carried;
use crate::millis;

/// Envelopes are filled up to this size, in bytes; a larger packet travels alone.
const ENVELOPE_BYTES: usize = 64 * 1024;
/// How often links that wait for something are looked at.
const TICK: Duration = Duration::from_millis(10);
/// Processes that are linked at a time; packets of more are dropped.
const PEERS_MAX: usize = 8192;
/// Dead processes that are remembered.
const DEAD_MAX: usize = 8192;
/// A process that nobody has seen a row of may have sent something before its row was read here.
const STRANGER_FOR: Duration = Duration::from_secs(30);
/// How long a look at a link may wait for it.
const LOOK_WITHIN: Duration = Duration::from_millis(50);
/// Links that a status shows one by one.
const WAITING_SHOWN: usize = 64;
/// Never due.
const NEVER: u64 = u64::MAX;

/// What a process does with what others tell it. It is called from the tasks of the bus and must not block.
pub trait Listener: Send + Sync + 'static {
    /// The next frame of the link from a process: in order, one at a time for each link.
    fn frame(&self, from: ProcessId, frame: Routed);

    /// A packet outside of the links: it may be lost, late, or come twice.
    fn packet(&self, from: ProcessId, packet: Packet);

    /// Nobody receives what is sent to a process.
    fn silent(&self, evidence: Evidence);

    /// A link has no room left, even for what must not be lost: this process cannot go on as it is.
    fn exhausted(&self, peer: ProcessId);
}

/// What links are made of.
#[derive(Clone, Debug)]
pub struct PeersSettings {
    /// The bus.
    pub bus: Settings,
    /// What proves that a packet is from one of us.
    pub key: BusKey,
}

/// The other processes, as one incarnation of this one reaches them.
pub struct Peers {
    me: ProcessId,
    key: BusKey,
    clock: Clock,
    listener: Arc<dyn Listener>,
    known: RwLock<Known>,
    outbox: Outbox<Packet>,
    transport: OnceLock<Transport>,
    /// Envelopes that were dropped.
    refused: AtomicU64,
}

#[derive(Default)]
struct Known {
    live: HashMap<ProcessId, Arc<Peer>>,
    dead: VecDeque<ProcessId>,
}

struct Peer {
    id: ProcessId,
    since: Millis,
    /// Held while frames are handed on, so that they stay in order. Whoever handles one may send on the link.
    delivery: Mutex<()>,
    link: Mutex<Link<Carried>>,
    /// When the link has something to do, in milliseconds of the clock.
    due: AtomicU64,
    /// Frames that were sent again, as far as they were counted.
    again: AtomicU64,
}

impl Peers {
    /// Subscribes to the bus, and waits until this process can be heard of there; or until `stopping`.
    ///
    /// # Errors
    /// [`StartError`] if an instance of Redis will not become usable by waiting.
    pub async fn start(
        settings: PeersSettings,
        clock: Clock,
        listener: Arc<dyn Listener>,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, StartError> {
        let peers = Arc::new(Self {
            me: settings.bus.process,
            key: settings.key,
            clock,
            listener,
            known: RwLock::default(),
            outbox: Outbox::default(),
            transport: OnceLock::new(),
            refused: AtomicU64::new(0),
        });
        let transport = Transport::start(settings.bus, peers.clone(), tasks).await?;
        let ready = transport.clone();
        // Nobody else sets it.
        let _ = peers.transport.set(transport);
        tasks.spawn("links", peers.clone().tick(tasks.stopping()));
        let stopping = tasks.stopping();
        tokio::select! {
            () = ready.ready() => {}
            () = stopping.cancelled() => {}
        }
        Ok(peers)
    }

    /// This process.
    #[must_use]
    pub fn me(&self) -> ProcessId {
        self.me
    }

    /// How the instances of Redis are.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        self.transport.get().map(Transport::statuses).unwrap_or_default()
    }

    /// Sends a frame on the link to a process: it arrives there once and in order, as long as both live.
    ///
    /// # Errors
    /// [`Refused::Full`] if the link has no room, [`Refused::NoReceiver`] if the process is dead.
    pub fn send(&self, to: ProcessId, frame: Routed) -> Result<(), Refused> {
        let peer = self.peer(to).ok_or(Refused::NoReceiver)?;
        let mut effects = Vec::new();
        let mut link = peer.link.lock();
        let sent = link.send(Carried::Frame(Arc::new(frame)), self.clock.now(), &mut effects);
        self.transmit(&peer, &link, effects);
        drop(link);
        match sent {
            Ok(()) => Ok(()),
            Err(Full::Refusable) => Err(Refused::Full),
            Err(Full::Exhausted) => {
                tracing::error!(peer = to.0, "the link to a process is full to the last reserve");
                self.listener.exhausted(to);
                Err(Refused::Full)
            }
        }
    }

    /// Sends a packet outside of the links. If there is no room it is lost, as it may be on the bus.
    pub fn tell(&self, to: ProcessId, packet: Packet) {
        self.put(to, packet, 256);
        self.wake(to);
    }

    /// A process is dead: its link ends, and what it may still send is dropped.
    pub fn forget(&self, process: ProcessId) {
        let mut known = self.known.write();
        known.live.remove(&process);
        if !known.dead.contains(&process) {
            if known.dead.len() >= DEAD_MAX {
                known.dead.pop_front();
            }
            known.dead.push_back(process);
        }
        drop(known);
        self.outbox.forget(process);
        if let Some(transport) = self.transport.get() {
            transport.forget(process);
        }
    }

    /// Forgets who is not among these any more.
    pub fn retain(&self, live: &HashSet<ProcessId>) {
        let now = self.clock.now();
        let gone: Vec<ProcessId> = {
            let known = self.known.read();
            let stranger = |peer: &Peer| peer.since + STRANGER_FOR > now;
            let gone = known.live.values().filter(|peer| !live.contains(&peer.id) && !stranger(peer));
            gone.map(|peer| peer.id).collect()
        };
        for process in gone {
            self.forget(process);
        }
    }

    /// Bytes that are sent and not confirmed, over all links.
    #[must_use]
    pub fn unconfirmed_bytes(&self) -> usize {
        self.known.read().live.values().map(|peer| peer.link.lock().unconfirmed_bytes()).sum()
    }

    /// The links and the instances of Redis, for a status; waits for nobody's lock. `false`: one was held for too long.
    pub fn describe(&self, status: &mut streamz_status::Status) -> bool {
        status.bus = crate::instances(&self.statuses());
        status.refused_envelopes = self.refused.load(Ordering::Relaxed);
        let now = self.clock.now();
        let peers: Vec<Arc<Peer>> = self.known.read().live.values().cloned().collect();
        let mut links = streamz_status::Links { total: peers.len() as u64, ..Default::default() };
        let mut all = true;
        for peer in peers {
            let Some(link) = peer.link.try_lock_for(LOOK_WITHIN) else {
                all = false;
                continue;
            };
            let Some(since) = link.waits_since() else { continue };
            let one = streamz_status::Link {
                to: peer.id.0.to_string(),
                frames: link.unconfirmed() as u64,
                bytes: link.unconfirmed_bytes() as u64,
                for_ms: millis(now.since(since)),
                sent_again: link.counts().retransmitted,
            };
            links.frames += one.frames;
            links.bytes += one.bytes;
            links.waiting.push(one);
        }
        links.waiting.sort_by_key(|link| std::cmp::Reverse(link.for_ms));
        links.waiting.truncate(WAITING_SHOWN);
        status.links = Some(links);
        all
    }

    /// Waits until everything is on the bus that can be; for an orderly end.
    pub async fn flushed(&self) {
        if let Some(transport) = self.transport.get() {
            transport.flushed().await;
        }
    }

    fn peer(&self, id: ProcessId) -> Option<Arc<Peer>> {
        {
            let known = self.known.read();
            if let Some(peer) = known.live.get(&id) {
                return Some(peer.clone());
            }
            if known.dead.contains(&id) || known.live.len() >= PEERS_MAX {
                return None;
            }
        }
        let mut known = self.known.write();
        if known.dead.contains(&id) {
            return None;
        }
        let peer = known.live.entry(id).or_insert_with(|| {
            Arc::new(Peer {
                id,
                since: self.clock.now(),
                delivery: Mutex::new(()),
                link: Mutex::default(),
                due: AtomicU64::new(NEVER),
                again: AtomicU64::new(0),
            })
        });
        Some(peer.clone())
    }

    /// Puts on the bus what a link wants to have there. Called with the link locked, so that order is kept.
    fn transmit(&self, peer: &Peer, link: &Link<Carried>, effects: Vec<Effect<Carried>>) {
        let any = !effects.is_empty();
        for effect in effects {
            match effect {
                Effect::Transmit { seq, ack, frame } => {
                    let bytes = frame.bytes();
                    if let Carried::Frame(frame) = frame {
                        self.put(peer.id, Packet::Frame { seq, ack, frame }, bytes);
                    }
                }
                Effect::TransmitAck { ack } => self.put(peer.id, Packet::Ack { ack }, 32),
                // Handed on by whoever has received it.
                Effect::Deliver(_) => {}
            }
        }
        let again = link.counts().retransmitted;
        let before = peer.again.swap(again, Ordering::Relaxed);
        if again > before {
            metrics::counter!("streamz_links_retransmitted_total").increment(again - before);
        }
        peer.due.store(link.next_deadline().map_or(NEVER, |due| due.0), Ordering::Relaxed);
        if any {
            self.wake(peer.id);
        }
    }

    fn put(&self, to: ProcessId, packet: Packet, bytes: usize) {
        if self.outbox.push(to, packet, bytes).is_err() {
            tracing::debug!(to = to.0, "no room on the bus for a packet; it goes again if it matters");
        }
    }

    fn wake(&self, to: ProcessId) {
        if let Some(transport) = self.transport.get() {
            transport.wake(to);
        }
    }

    fn open(&self, envelope: &Bytes) {
        let now = self.clock.now();
        let envelope = match Envelope::open(&self.key, self.me, envelope) {
            Ok(envelope) => envelope,
            Err(error) => {
                metrics::counter!("streamz_bus_envelopes_refused_total").increment(1);
                self.refused.fetch_add(1, Ordering::Relaxed);
                return tracing::warn!(%error, "something on the bus was dropped");
            }
        };
        let Some(peer) = self.peer(envelope.from) else { return };
        let _turn = peer.delivery.lock();
        for packet in envelope.packets(now) {
            match packet {
                Ok(Packet::Frame { seq, ack, frame }) => {
                    self.receive(&peer, now, |link, effects| {
                        link.receive_frame(seq, ack, Carried::Frame(frame), now, effects);
                    });
                }
                Ok(Packet::Ack { ack }) => {
                    self.receive(&peer, now, |link, effects| link.receive_ack(ack, now, effects));
                }
                Ok(packet) => self.listener.packet(peer.id, packet),
                // It has its place in the link, or the link would wait for it for ever.
                Err(PacketError::Frame { seq, ack, fault }) => {
                    unreadable(&fault);
                    self.receive(&peer, now, |link, effects| {
                        link.receive_frame(seq, ack, Carried::Unreadable, now, effects);
                    });
                }
                Err(error) => unreadable(&error),
            }
        }
    }

    fn receive(
        &self,
        peer: &Peer,
        now: Millis,
        take: impl FnOnce(&mut Link<Carried>, &mut Vec<Effect<Carried>>),
    ) {
        let mut effects = Vec::new();
        let mut delivered = Vec::new();
        {
            let mut link = peer.link.lock();
            take(&mut link, &mut effects);
            let (mine, others) = effects.into_iter().partition(|effect| matches!(effect, Effect::Deliver(_)));
            delivered.extend::<Vec<_>>(mine);
            self.transmit(peer, &link, others);
        }
        let _ = now;
        for effect in delivered {
            if let Effect::Deliver(Carried::Frame(frame)) = effect {
                self.listener.frame(peer.id, Arc::try_unwrap(frame).unwrap_or_else(|frame| (*frame).clone()));
            }
        }
    }

    async fn tick(self: Arc<Self>, stopping: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stopping.cancelled() => return,
            }
            let now = self.clock.now();
            let due: Vec<Arc<Peer>> = {
                let known = self.known.read();
                let due = |peer: &&Arc<Peer>| peer.due.load(Ordering::Relaxed) <= now.0;
                known.live.values().filter(due).cloned().collect()
            };
            for peer in due {
                let mut effects = Vec::new();
                let mut link = peer.link.lock();
                link.tick(now, &mut effects);
                self.transmit(&peer, &link, effects);
            }
        }
    }
}

fn unreadable(error: &dyn std::fmt::Display) {
    metrics::counter!("streamz_bus_packets_unreadable_total").increment(1);
    tracing::warn!(%error, "a packet on the bus could not be read");
}

impl Endpoint for Peers {
    fn next(&self, destination: ProcessId) -> Option<Bytes> {
        let packets = self.outbox.take(destination, ENVELOPE_BYTES);
        if packets.is_empty() {
            return None;
        }
        let mut writer = EnvelopeWriter::new(self.key.clone(), self.me, destination, usize::MAX);
        let now = self.clock.now();
        for packet in packets {
            if let Err(error @ (PushError::Full | PushError::TooLarge(_))) = writer.push(&packet, now) {
                // The bounds of a session keep its frames far below that of an envelope.
                tracing::error!(%error, "a packet was not sent");
            }
        }
        Some(writer.into_sealed().into())
    }

    fn received(&self, envelope: Bytes) {
        self.open(&envelope);
    }

    fn silent(&self, evidence: Evidence) {
        tracing::debug!(peer = evidence.process.0, silent_ms = millis(evidence.silent), "nobody receives");
        self.listener.silent(evidence);
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("me", &self.me).finish_non_exhaustive()
    }
}
