//! One WebRTC endpoint on the loopback interface.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use rtc::data_channel::RTCDataChannelInit;
use rtc::peer_connection::configuration::RTCOfferOptions;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::transport::RTCDtlsRole;
use streamz_client::Candidate;
use streamz_client::protocol::objects::IceServer;
use tokio::sync::mpsc;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::Track;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfiguration,
    RTCConfigurationBuilder, RTCIceCandidateInit, RTCIceGatheringState, RTCIceServer, RTCIceTransportPolicy,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription, Registry, StatsSelector,
};

use crate::channel::Channel;
use crate::figures::Figures;
use crate::film::Projector;
use crate::media::{Codec, Listener, Speaker};

/// Where the connection stands (W3C WebRTC §4.3.3).
pub type PeerState = RTCPeerConnectionState;

/// More than a call ever has; while it is full, the connection waits.
const EVENTS: usize = 256;
/// What may wait to be sent on a data channel.
const SEND_BUFFER: usize = 1024 * 1024;
/// All media share one transport, that of the first section, which the crate calls `0` (RFC 9143).
const FIRST_SECTION: (&str, u16) = ("0", 0);

/// Why a peer could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The WebRTC stack refused.
    #[error(transparent)]
    WebRtc(#[from] webrtc::error::Error),
    /// It is over.
    #[error("closed")]
    Closed,
}

/// Something that happened at a peer.
pub enum PeerEvent {
    /// The other side should hear of this candidate. An empty line is the end of a generation's (RFC 8838 §8.2).
    Candidate(Candidate),
    /// The connection stands differently.
    State(PeerState),
    /// The other side opened a data channel.
    Channel(Channel),
    /// Media of the other side arrives.
    Track(Listener),
}

/// A WebRTC endpoint. It knows nothing of who signals for it.
pub struct Peer {
    connection: Arc<dyn PeerConnection>,
    gathering: Arc<Mutex<Gathering>>,
    events: mpsc::Sender<PeerEvent>,
}

/// What happens at one [`Peer`], in the order in which it does.
pub struct PeerEvents {
    receiver: mpsc::Receiver<PeerEvent>,
}

impl PeerEvents {
    /// The next event; `None` when the connection is over. Cancel-safe.
    pub async fn recv(&mut self) -> Option<PeerEvent> {
        self.receiver.recv().await
    }
}

impl Peer {
    /// A peer with a socket of its own on loopback.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn new() -> Result<(Self, PeerEvents), PeerError> {
        Self::with(RTCConfiguration::default()).await
    }

    /// A peer that may only relay, through these servers.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn relaying(servers: &[IceServer]) -> Result<(Self, PeerEvents), PeerError> {
        Self::with(through(servers)).await
    }

    /// From the next ICE generation on it relays through these servers.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn relay_through(&self, servers: &[IceServer]) -> Result<(), PeerError> {
        Ok(self.connection.set_configuration(through(servers)).await?)
    }

    async fn with(configuration: RTCConfiguration) -> Result<(Self, PeerEvents), PeerError> {
        let (sender, receiver) = mpsc::channel(EVENTS);
        let gathering = Arc::<Mutex<Gathering>>::default();
        let handler = Handler { events: sender.clone(), gathering: Arc::clone(&gathering) };
        let mut media = MediaEngine::default();
        media.register_default_codecs()?;
        let interceptors = register_default_interceptors(Registry::new(), &mut media)?;
        let settings = SettingEngineBuilder::new()
            // An ICE restart then takes new sockets, as after a change of network.
            .with_discard_local_candidates_during_ice_restart(true)
            // The crate would take the active role in every answer. Whoever offered first is answered as active by a
            // browser, which refuses a later answer that changes the roles of a running transport (RFC 8842 §5.5).
            .with_answering_dtls_role(RTCDtlsRole::Server)
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(media)
            .with_interceptor_registry(interceptors)
            .with_setting_engine(settings)
            .with_handler(Arc::new(handler))
            .with_udp_addrs(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))])
            .with_data_channel_send_buffer_limit(SEND_BUFFER)
            .build()
            .await?;
        let connection = Arc::new(connection);
        Ok((Self { connection, gathering, events: sender }, PeerEvents { receiver }))
    }

    /// Adds a track to be sent; to be negotiated by the next offer or answer.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn speak(&self, codec: Codec, ssrc: u32) -> Result<Speaker, PeerError> {
        let speaker = Speaker::new(codec, ssrc);
        self.connection.add_track(speaker.track()).await?;
        Ok(speaker)
    }

    /// Adds a track of real pictures to be sent; to be negotiated by the next offer or answer.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn project(&self, ssrc: u32) -> Result<Projector, PeerError> {
        let projector = Projector::new(ssrc);
        self.connection.add_track(projector.track()).await?;
        Ok(projector)
    }

    /// A data channel whose number both sides know, so that neither announces it.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn numbered_channel(&self, label: &str, number: u16) -> Result<Channel, PeerError> {
        let known = RTCDataChannelInit { negotiated: Some(number), ..Default::default() };
        Ok(Channel::new(self.connection.create_data_channel(label, Some(known)).await?))
    }

    /// Opens a data channel; the first one is to be negotiated by the next offer.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn open_channel(&self, label: &str) -> Result<Channel, PeerError> {
        Ok(Channel::new(self.connection.create_data_channel(label, None).await?))
    }

    /// An offer without candidates, which follow as events.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn offer(&self) -> Result<String, PeerError> {
        self.describing(self.offer_with(false)).await
    }

    /// An offer of a new ICE generation (RFC 8445 §9).
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn restart(&self) -> Result<String, PeerError> {
        // `restart_ice` would gather twice, the first time for the generation that there is.
        self.describing(self.offer_with(true)).await
    }

    async fn offer_with(&self, ice_restart: bool) -> Result<String, PeerError> {
        let options = RTCOfferOptions { ice_restart };
        let offer = self.connection.create_offer(Some(options)).await?;
        self.describe_itself(offer).await
    }

    /// The answer to the other side's offer.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn answer(&self, offer: &str) -> Result<String, PeerError> {
        let answer = async {
            let offer = RTCSessionDescription::offer(offer.to_owned())?;
            self.connection.set_remote_description(offer).await?;
            let answer = self.connection.create_answer(None).await?;
            self.describe_itself(answer).await
        };
        self.describing(answer).await
    }

    /// Takes the other side's answer.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn accept(&self, answer: &str) -> Result<(), PeerError> {
        let answer = RTCSessionDescription::answer(answer.to_owned())?;
        Ok(self.connection.set_remote_description(answer).await?)
    }

    /// Takes a candidate of the other side, whose description must have come before.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn add_candidate(&self, candidate: Candidate) -> Result<(), PeerError> {
        let candidate = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_mline_index,
            username_fragment: candidate.username_fragment,
            url: None,
        };
        Ok(self.connection.add_ice_candidate(candidate).await?)
    }

    /// What it measures, if it has a data channel; `None` while it is not connected.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn figures(&self) -> Result<Option<Figures>, PeerError> {
        let Some(sctp) = self.connection.sctp().await else {
            return Ok(None);
        };
        let Some(pair) = sctp.transport().ice_transport().get_selected_candidate_pair().await? else {
            return Ok(None);
        };
        let report = self.connection.get_stats(Instant::now(), StatsSelector::None).await;
        Ok(Some(Figures::of(&pair, &report)))
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn close(&self) -> Result<(), PeerError> {
        Ok(self.connection.close().await?)
    }

    /// Holds candidates back while this side's description is in the making: an offer that restarts ICE makes the
    /// answering side gather before its answer has named the new generation.
    async fn describing<T>(&self, description: impl Future<Output = T>) -> T {
        lock(&self.gathering).held = Some(VecDeque::new());
        let description = description.await;
        self.release().await;
        description
    }

    /// Lets held candidates go, and those that come meanwhile behind them.
    async fn release(&self) {
        loop {
            let next = {
                let mut gathering = lock(&self.gathering);
                let Some(line) = gathering.held.as_mut().and_then(VecDeque::pop_front) else {
                    gathering.held = None;
                    return;
                };
                gathering.name(line)
            };
            tell(&self.events, next.map(PeerEvent::Candidate)).await;
        }
    }

    async fn describe_itself(&self, description: RTCSessionDescription) -> Result<String, PeerError> {
        let sdp = description.sdp.clone();
        lock(&self.gathering).ufrag = user_fragment(&sdp);
        self.connection.set_local_description(description).await?;
        Ok(sdp)
    }
}

/// Nothing but a relay, and no way round it.
fn through(servers: &[IceServer]) -> RTCConfiguration {
    let servers = servers.iter().filter(|server| server.credential.is_some()).map(|server| RTCIceServer {
        urls: server.urls.clone(),
        username: server.username.clone().unwrap_or_default(),
        credential: server.credential.clone().unwrap_or_default(),
    });
    RTCConfigurationBuilder::default()
        .with_ice_servers(servers.collect())
        .with_ice_transport_policy(RTCIceTransportPolicy::Relay)
        .build()
}

/// The name of a description's ICE generation (RFC 8839 §5.4).
fn user_fragment(sdp: &str) -> Option<String> {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).map(|ufrag| ufrag.trim().to_owned())
}

/// What the crate does not say of a candidate.
#[derive(Default)]
struct Gathering {
    /// The present generation.
    ufrag: Option<String>,
    /// The last generation that was complete.
    ended: Option<String>,
    /// Lines whose generation has no name yet, while a description is in the making.
    held: Option<VecDeque<String>>,
}

impl Gathering {
    /// The candidate that a line is; `None` for an end that was said before, which the crate may repeat.
    fn name(&mut self, line: String) -> Option<Candidate> {
        let said = line.is_empty() && std::mem::replace(&mut self.ended, self.ufrag.clone()) == self.ufrag;
        let (mid, section) = FIRST_SECTION;
        (!said).then(|| Candidate {
            sdp_mid: Some(mid.to_owned()),
            username_fragment: self.ufrag.clone(),
            ..Candidate::line(line, section)
        })
    }
}

fn lock(gathering: &Mutex<Gathering>) -> MutexGuard<'_, Gathering> {
    gathering.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn tell(events: &mpsc::Sender<PeerEvent>, event: Option<PeerEvent>) {
    if let Some(event) = event {
        // Whoever dropped the receiver does not want to know.
        let _ = events.send(event).await;
    }
}

struct Handler {
    events: mpsc::Sender<PeerEvent>,
    gathering: Arc<Mutex<Gathering>>,
}

impl Handler {
    async fn tell(&self, event: PeerEvent) {
        tell(&self.events, Some(event)).await;
    }

    async fn gathered(&self, line: String) {
        let candidate = {
            let mut gathering = lock(&self.gathering);
            match &mut gathering.held {
                Some(held) => return held.push_back(line),
                None => gathering.name(line),
            }
        };
        tell(&self.events, candidate.map(PeerEvent::Candidate)).await;
    }
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if let Ok(candidate) = event.candidate.to_json() {
            self.gathered(candidate.candidate).await;
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered(String::new()).await;
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.tell(PeerEvent::State(state)).await;
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        self.tell(PeerEvent::Channel(Channel::new(channel))).await;
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let codec = Codec::of(Track::kind(&*track).await);
        self.tell(PeerEvent::Track(Listener::new(track, codec))).await;
    }
}
