//! A device that a browser may call, or that calls one: `cargo run -p streamz-interop --example peer -- --help`.
//!
//! It sends real pictures, red and blue in turns, counts the frames that it gets, answers what it hears on a data
//! channel, and says what happens as one JSON object a line.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use serde_json::{Value, json};
use streamz_client::protocol::StreamId;
use streamz_client::protocol::objects::StreamType;
use streamz_client::protocol::server::ServerMessage;
use streamz_client::{Api, Client, DeviceId, Event, Events, Outcome, Outgoing, TokenSource};
use streamz_interop::{Channel, Codec, Listener, Party, PeerState, Projector, Step, Viewer};

type Fallible<T, E = Box<dyn Error>> = Result<T, E>;

/// Every so often a picture is sent; the colour changes with every tenth.
const PACE: Duration = Duration::from_millis(40);
const SAME: usize = 10;
const PICTURES: [&[u8]; 2] = [include_bytes!("../pictures/red.vp8"), include_bytes!("../pictures/blue.vp8")];
const SSRC: u32 = 0x00f1_1e00;
/// The channel that the JavaScript client gives every stream of type `data`.
const CHANNEL: (&str, u16) = ("data", 0);

/// A device with a WebRTC peer of the `webrtc` crate behind it. The account is that of STREAMZ_EMAIL and STREAMZ_PASSWORD.
#[derive(Parser)]
struct Args {
    /// The Streamz to go through, as http://host:port
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Which device this is
    #[arg(long, default_value = "rust", value_parser = device)]
    device: DeviceId,
    /// Calls this device; without it, the first ring is answered
    #[arg(long, value_parser = device)]
    call: Option<DeviceId>,
    /// Calls for data instead of pictures
    #[arg(long, requires = "call")]
    data: bool,
    /// The account's email address
    #[arg(long, env = "STREAMZ_EMAIL")]
    email: String,
    /// The account's password
    #[arg(long, env = "STREAMZ_PASSWORD", hide_env_values = true)]
    password: String,
}

fn device(name: &str) -> Fallible<DeviceId, Box<dyn Error + Send + Sync>> {
    Ok(DeviceId::new(name)?)
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let args = Args::parse();
    let token = TokenSource::login(Api::new(&args.url)?, &args.email, &args.password);
    let (client, mut events) = Client::builder(&args.url, args.device, token).connect().await?;
    say(json!({"event": "online"}));
    let began = match args.call {
        Some(device) => call(&client, &mut events, device, args.data).await?,
        None => answer(&client, &mut events).await?,
    };
    talk(client, events, began).await
}

/// A stream that was accepted.
struct Began {
    stream: StreamId,
    with: DeviceId,
    data: bool,
    /// Whether the offer is ours.
    offers: bool,
}

async fn call(client: &Client, events: &mut Events, with: DeviceId, data: bool) -> Fallible<Began> {
    let kind = if data { StreamType::Data } else { StreamType::Video };
    let stream = client.start_stream(Outgoing::start(kind).to(with.clone())).await?;
    say(json!({"event": "ringing", "stream": stream}));
    hears(events, |message| matches!(message, ServerMessage::StreamAccept { .. }).then_some(())).await?;
    Ok(Began { stream, with, data, offers: true })
}

async fn answer(client: &Client, events: &mut Events) -> Fallible<Began> {
    let began = hears(events, |message| match message {
        ServerMessage::StreamStart { stream_id, from_device_id, stream_type, .. } => Some(Began {
            stream: *stream_id,
            with: from_device_id.clone(),
            data: *stream_type == StreamType::Data,
            offers: false,
        }),
        _ => None,
    });
    let began = began.await?;
    match client.send(Outgoing::accept(began.stream)).await? {
        Outcome::Delivered => Ok(began),
        other => Err(format!("the ring could not be taken: {other:?}").into()),
    }
}

async fn hears<T>(events: &mut Events, mut pick: impl FnMut(&ServerMessage) -> Option<T>) -> Fallible<T> {
    let found = events.find(|event| match event {
        Event::Message(frame) => pick(&frame.message),
        _ => None,
    });
    found.await.ok_or_else(|| "the connection ended".into())
}

/// From the first description to the end of the stream.
async fn talk(client: Client, events: Events, began: Began) -> Fallible<()> {
    let Began { stream, with, data, offers } = began;
    let mut party = Party::new(client, events, with, Some(stream)).await?;
    let mut projector = None;
    if data {
        let channel = party.peer.numbered_channel(CHANNEL.0, CHANNEL.1).await?;
        tokio::spawn(or_say(echo(channel, offers)));
    } else {
        projector = Some(party.peer.project(SSRC).await?);
    }
    if offers {
        party.offer().await?;
    }
    let reason = loop {
        match party.step().await? {
            Step::State(PeerState::Connected) => {
                say(json!({"event": "connected"}));
                if let Some(projector) = projector.take() {
                    tokio::spawn(or_say(show(projector)));
                }
            }
            Step::Track(codec) => {
                let listener = party.listener().await?;
                if codec == Codec::Vp8 {
                    tokio::spawn(or_say(watch(listener)));
                }
            }
            Step::Other(event) => {
                if let Event::Message(frame) = *event
                    && let ServerMessage::StreamEnd { reason, .. } = frame.message
                {
                    break reason;
                }
            }
            _ => {}
        }
    };
    say(json!({"event": "ended", "reason": reason}));
    party.peer.close().await?;
    party.client.close().await;
    Ok(())
}

async fn show(mut projector: Projector) -> Fallible<()> {
    let pictures = PICTURES.map(Bytes::from_static);
    let mut pace = tokio::time::interval(PACE);
    for number in 0_usize.. {
        pace.tick().await;
        projector.show(&pictures[(number / SAME) % pictures.len()]).await?;
    }
    Ok(())
}

async fn watch(listener: Listener) -> Fallible<()> {
    let mut viewer = Viewer::new(listener);
    loop {
        let seen = viewer.watch(10).await?;
        let size = seen.size.map(|(width, height)| [width, height]);
        say(json!({
            "event": "frames", "frames": seen.frames, "key_frames": seen.key_frames, "size": size,
            "decoded": seen.decoded, "colour": seen.colour,
        }));
    }
}

async fn echo(channel: Channel, begins: bool) -> Fallible<()> {
    channel.opened().await?;
    if begins {
        channel.send(b"hello of Rust").await?;
    }
    loop {
        let message = channel.receive().await?;
        say(json!({"event": "data", "bytes": message.len(), "text": String::from_utf8_lossy(&message)}));
        channel.send(&message).await?;
    }
}

/// What ends with the stream ends with an error; it is said, for whoever wonders.
async fn or_say(work: impl Future<Output = Fallible<()>>) {
    if let Err(error) = work.await {
        say(json!({"event": "over", "why": error.to_string()}));
    }
}

#[expect(clippy::needless_pass_by_value, reason = "every caller makes it for this")]
fn say(what: Value) {
    println!("{what}");
}
