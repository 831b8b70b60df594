//! What the calls have in common: devices that ring, and media that flow.

use std::time::Duration;

use streamz_client::protocol::StreamId;
use streamz_client::protocol::objects::StreamType;
use streamz_client::protocol::server::ServerMessage;
use streamz_client::{DeviceId, Outcome, Outgoing};
use streamz_interop::{Channel, Codec, Listener, Party, Signal, Speaker, pattern};
use streamz_tests::{Device, Server, Topology, User, soon};

/// Packets of each track in one exchange.
const PACKETS: u16 = 25;
/// Bytes each way in one exchange: several messages of the channel.
const BYTES: usize = 50_000;

pub(crate) fn id(device: &str) -> DeviceId {
    DeviceId::new(device).unwrap()
}

/// A server of one's own, and an account on it.
pub(crate) async fn account(topology: Topology) -> (Server, User) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    (server, user)
}

/// `phone` rings `tv`, which accepts.
pub(crate) async fn ring(phone: &mut Device, tv: &mut Device) -> StreamId {
    let start = Outgoing::start(StreamType::Both).to(tv.welcome.device.device_id.clone());
    let stream = soon(phone.client.start_stream(start)).await.unwrap();
    assert_eq!(rung(tv).await, stream);
    assert_eq!(soon(tv.client.send(Outgoing::accept(stream))).await, Ok(Outcome::Delivered));
    accepted(phone).await;
    stream
}

/// A call from `phone` to `tv` that has been accepted, and whose peers are connected.
pub(crate) async fn connected(user: &User) -> (StreamId, Side, Side) {
    let (mut phone, mut tv) = (user.device("phone").await, user.device("tv").await);
    let stream = ring(&mut phone, &mut tv).await;
    let mut caller = Side::calling(phone, "tv", Some(stream)).await;
    let mut callee = Side::called(tv, "phone", Some(stream)).await;
    caller.party.offer().await.unwrap();
    connect(&mut caller, &mut callee).await;
    (stream, caller, callee)
}

/// The ring that a device hears.
pub(crate) async fn rung(device: &mut Device) -> StreamId {
    let start = |message: &ServerMessage| match message {
        ServerMessage::StreamStart { stream_id, .. } => Some(*stream_id),
        _ => None,
    };
    device.hears(start).await
}

/// Who took the ring.
pub(crate) async fn accepted(device: &mut Device) -> DeviceId {
    let accept = |message: &ServerMessage| match message {
        ServerMessage::StreamAccept { from_device_id, .. } => Some(from_device_id.clone()),
        _ => None,
    };
    device.hears(accept).await
}

/// A party with a camera and a microphone.
pub(crate) struct Side {
    pub(crate) party: Party,
    speakers: [Speaker; 2],
    listeners: Vec<Listener>,
    channel: Option<Channel>,
}

impl Side {
    pub(crate) async fn new(device: Device, to: &str, stream: Option<StreamId>, ssrc: u32) -> Self {
        let party = Party::new(device.client, device.events, id(to), stream).await.unwrap();
        let picture = party.peer.speak(Codec::Vp8, ssrc).await.unwrap();
        let sound = party.peer.speak(Codec::Opus, ssrc + 1).await.unwrap();
        Self { party, speakers: [picture, sound], listeners: Vec::new(), channel: None }
    }

    /// The side that offers, with a data channel.
    pub(crate) async fn calling(device: Device, to: &str, stream: Option<StreamId>) -> Self {
        let mut side = Self::new(device, to, stream, 0x00ca_1100).await;
        side.channel = Some(side.party.peer.open_channel("files").await.unwrap());
        side
    }

    /// The side that answers.
    pub(crate) async fn called(device: Device, to: &str, stream: Option<StreamId>) -> Self {
        Self::new(device, to, stream, 0x00ca_11ed).await
    }

    /// Speaks while it listens, on every track.
    async fn media(&mut self) {
        let Side { party, speakers: [picture, sound], listeners, .. } = self;
        let pace = Duration::from_millis(4);
        let speak =
            async { tokio::try_join!(picture.send(PACKETS, pace), sound.send(PACKETS, pace)).unwrap() };
        let listen = async {
            while listeners.len() < 2 {
                listeners.push(party.listener().await.unwrap());
            }
            let packets = usize::from(PACKETS);
            tokio::try_join!(listeners[0].receive(packets), listeners[1].receive(packets)).unwrap()
        };
        let (_, (one, other)) = tokio::join!(speak, listen);
        assert_ne!(listeners[0].codec(), listeners[1].codec());
        assert_eq!((one.lost, other.lost), (0, 0));
    }

    /// Sends its own bytes while it receives the other side's.
    async fn bytes(&mut self, own: u64, other: u64) {
        let channel = self.channel.as_ref().unwrap();
        let sent = pattern(own, BYTES);
        let ((), received) = tokio::try_join!(channel.send(&sent), channel.receive_bytes(BYTES)).unwrap();
        assert!(received == pattern(other, BYTES), "other bytes arrived than were sent");
    }
}

/// Carries signals until both sides have said and heard all candidates of so many generations.
pub(crate) async fn negotiated(caller: &mut Side, callee: &mut Side, generations: usize) {
    let ends = |signals: &[Signal]| signals.iter().filter(|signal| signal.is_end_of_candidates()).count();
    let all = |party: &Party| ends(&party.sent) >= generations && ends(&party.heard) >= generations;
    let both = async { tokio::try_join!(caller.party.until(all), callee.party.until(all)) };
    soon(both).await.unwrap();
}

/// The same for a first time, until both are connected.
pub(crate) async fn connect(caller: &mut Side, callee: &mut Side) {
    negotiated(caller, callee, 1).await;
    soon(async {
        let both =
            tokio::try_join!(caller.party.until(Party::connected), callee.party.until(Party::connected));
        both.unwrap();
        let channel = callee.party.channel().await.unwrap();
        let own = caller.channel.as_ref().unwrap();
        tokio::try_join!(own.opened(), channel.opened()).unwrap();
        callee.channel = Some(channel);
    })
    .await;
}

/// Bytes and packets, both ways at once, each checked.
pub(crate) async fn exchange(caller: &mut Side, callee: &mut Side) {
    soon(async {
        tokio::join!(caller.media(), callee.media());
        tokio::join!(caller.bytes(1, 2), callee.bytes(2, 1));
    })
    .await;
}
