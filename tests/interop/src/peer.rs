//! One WebRTC endpoint on the loopback interface.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use streamz_client::Candidate;
use tokio::sync::mpsc;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::Track;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceCandidateInit,
    RTCIceGatheringState, RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription, Registry,
    StatsSelector,
};

use crate::channel::Channel;
use crate::figures::Figures;
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
    ufrag: Arc<Mutex<Option<String>>>,
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
        let (sender, receiver) = mpsc::channel(EVENTS);
        let ufrag = Arc::new(Mutex::new(None));
        let handler = Handler { events: sender, ufrag: Arc::clone(&ufrag) };
        let mut media = MediaEngine::default();
        media.register_default_codecs()?;
        let interceptors = register_default_interceptors(Registry::new(), &mut media)?;
        // An ICE restart then takes new sockets, as after a change of network.
        let settings =
            SettingEngineBuilder::new().with_discard_local_candidates_during_ice_restart(true).build();
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(media)
            .with_interceptor_registry(interceptors)
            .with_setting_engine(settings)
            .with_handler(Arc::new(handler))
            .with_udp_addrs(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))])
            .with_data_channel_send_buffer_limit(SEND_BUFFER)
            .build()
            .await?;
        let connection = Arc::new(connection);
        Ok((Self { connection, ufrag }, PeerEvents { receiver }))
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
        let offer = self.connection.create_offer(None).await?;
        self.describe_itself(offer).await
    }

    /// An offer of a new ICE generation (RFC 8445 §9).
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn restart(&self) -> Result<String, PeerError> {
        self.connection.restart_ice().await?;
        self.offer().await
    }

    /// The answer to the other side's offer.
    ///
    /// # Errors
    /// [`PeerError::WebRtc`].
    pub async fn answer(&self, offer: &str) -> Result<String, PeerError> {
        let offer = RTCSessionDescription::offer(offer.to_owned())?;
        self.connection.set_remote_description(offer).await?;
        let answer = self.connection.create_answer(None).await?;
        self.describe_itself(answer).await
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

    async fn describe_itself(&self, description: RTCSessionDescription) -> Result<String, PeerError> {
        let sdp = description.sdp.clone();
        // Gathering begins with the next line.
        *self.ufrag.lock().unwrap_or_else(PoisonError::into_inner) = user_fragment(&sdp);
        self.connection.set_local_description(description).await?;
        Ok(sdp)
    }
}

/// The name of a description's ICE generation (RFC 8839 §5.4).
fn user_fragment(sdp: &str) -> Option<String> {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).map(|ufrag| ufrag.trim().to_owned())
}

struct Handler {
    events: mpsc::Sender<PeerEvent>,
    ufrag: Arc<Mutex<Option<String>>>,
}

impl Handler {
    async fn tell(&self, event: PeerEvent) {
        // A peer that was dropped has nobody to tell.
        let _ = self.events.send(event).await;
    }

    async fn candidate(&self, line: String) {
        let ufrag = self.ufrag.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mid, section) = FIRST_SECTION;
        // The crate leaves out the user fragment and the section's name.
        let candidate = Candidate {
            sdp_mid: Some(mid.to_owned()),
            username_fragment: ufrag,
            ..Candidate::line(line, section)
        };
        self.tell(PeerEvent::Candidate(candidate)).await;
    }
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if let Ok(candidate) = event.candidate.to_json() {
            self.candidate(candidate.candidate).await;
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.candidate(String::new()).await;
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
