//! A call between two devices of one person, told step by step: `cargo run -p streamz-interop --example call`.
//!
//! Streamz carries the ring, the descriptions and the candidates; bytes, pictures and sound go from peer to peer.

mod story;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};
use streamz_client::api::SignedIn;
use streamz_client::protocol::StreamId;
use streamz_client::protocol::objects::StreamType;
use streamz_client::protocol::server::{ServerMessage, Welcome};
use streamz_client::{Api, Client, DeviceId, Event, Events, Outcome, Outgoing, TokenSource};
use streamz_interop::{Channel, Codec, Listener, Party, Received, pattern};
use streamz_tests::{Http, Server, Topology, eventually};

use story::Story;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// The whole call takes two seconds or so.
const PATIENCE: Duration = Duration::from_secs(60);
/// What goes over the data channel, each way.
const BYTES: usize = 128 * 1024;
/// What goes over each track.
const PACKETS: u16 = 100;
/// A packet of pictures or sound every so often.
const PACE: Duration = Duration::from_millis(5);

/// Two devices find each other through Streamz and exchange media, told step by step.
#[derive(Parser)]
struct Args {
    /// The Streamz to go through, as http://host:port; without it, one is started for this call alone
    #[arg(long)]
    url: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("The call failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Fallible<()> {
    // Dropped at the end of the call, it is ended.
    let own = match args.url {
        Some(_) => None,
        None => {
            println!("Building Streamz, if it is not yet, and starting one for this call alone ...");
            Some(Server::start(Topology::EmbeddedSqlite, &[]).await)
        }
    };
    let url = args.url.or_else(|| own.as_ref().map(|server| server.url().to_owned())).unwrap_or_default();
    let story = Story::begin(&format!("Streamz is at {url}"));
    tokio::time::timeout(PATIENCE, call(&url, &story)).await?
}

/// A device with its connection.
struct Device {
    name: DeviceId,
    client: Client,
    events: Events,
}

async fn call(url: &str, story: &Story) -> Fallible<()> {
    let api = Api::new(url)?;
    let account = sign_up(&api).await?;
    story.tell(&format!("{} signed up", account.user.email));
    let (mut laptop, mut tv) = both_online(url, &account.access_token, story).await?;
    let stream = ring(&mut laptop, &mut tv, story).await?;

    let (from, to) = (laptop.name.clone(), tv.name.clone());
    let mut caller = Party::new(laptop.client, laptop.events, to.clone(), Some(stream)).await?;
    let mut callee = Party::new(tv.client, tv.events, from.clone(), Some(stream)).await?;
    let channel = caller.peer.open_channel("files").await?;
    let mut picture = caller.peer.speak(Codec::Vp8, 0xca11).await?;
    let mut sound = caller.peer.speak(Codec::Opus, 0xca12).await?;
    let mut reply = callee.peer.speak(Codec::Opus, 0xca13).await?;
    caller.offer().await?;
    story.signaled(&from, &to, caller.sent.last());
    tokio::try_join!(
        caller.until_telling(Party::negotiated, |step| story.step(&from, &to, step)),
        callee.until_telling(Party::negotiated, |step| story.step(&to, &from, step)),
    )?;
    let there = callee.channel().await?;
    tokio::try_join!(channel.opened(), there.opened())?;
    story.tell(&format!("the data channel {:?} is open", there.label().await?));

    bytes(&channel, &there, 1).await.map(|hash| story.bytes(&from, &to, BYTES, &hash))?;
    bytes(&there, &channel, 2).await.map(|hash| story.bytes(&to, &from, BYTES, &hash))?;
    let (heard, seen, answered) = {
        let speak = async {
            tokio::try_join!(
                picture.send(PACKETS, PACE),
                sound.send(PACKETS, PACE),
                reply.send(PACKETS, PACE)
            )
        };
        let at_tv = async {
            let (one, other) = (callee.listener().await?, callee.listener().await?);
            Ok::<_, Box<dyn Error>>(tokio::try_join!(listen(&one), listen(&other))?)
        };
        let at_laptop = async { listen(&caller.listener().await?).await };
        let (sent, at_tv, at_laptop) = tokio::join!(speak, at_tv, at_laptop);
        sent?;
        let (one, other) = at_tv?;
        (one, other, at_laptop?)
    };
    for (codec, received) in [heard, seen] {
        story.packets(&from, &to, codec, received);
    }
    story.packets(&to, &from, answered.0, answered.1);

    report(&mut caller, &mut callee, stream, story).await?;
    let record = record(url, &account.access_token, stream).await;
    story.tell(&format!("GET /api/streams/{stream} says:"));
    println!("{}", serde_json::to_string_pretty(&record)?);
    tokio::try_join!(caller.peer.close(), callee.peer.close())?;
    tokio::join!(caller.client.close(), callee.client.close());
    Ok(())
}

async fn sign_up(api: &Api) -> Fallible<SignedIn> {
    let name = uuid::Uuid::new_v4().simple().to_string();
    let (email, password) = (format!("ada-{}@example.org", &name[..8]), uuid::Uuid::new_v4().to_string());
    Ok(api.register(&email, &password, Some("Ada"), None).await?)
}

async fn connect(url: &str, token: &SecretString, name: &str) -> Fallible<(Device, Welcome)> {
    let device = DeviceId::new(name)?;
    let token = TokenSource::fixed(token.expose_secret());
    let builder = Client::builder(url, device.clone(), token).named(&format!("Ada's {name}"), name);
    let (client, mut events) = builder.connect().await?;
    let welcome = events.find(|event| match event {
        Event::Welcome(welcome) => Some(*welcome),
        _ => None,
    });
    let welcome = welcome.await.ok_or("the connection ended")?;
    Ok((Device { name: device, client, events }, welcome))
}

async fn both_online(url: &str, token: &SecretString, story: &Story) -> Fallible<(Device, Device)> {
    let (mut laptop, _) = connect(url, token, "laptop").await?;
    story.tell("laptop is connected and welcomed");
    let (tv, welcome) = connect(url, token, "tv").await?;
    let others = welcome.devices.iter().filter(|device| device.is_online && device.device_id != tv.name);
    let others: Vec<_> = others.map(|device| device.device_name.to_string()).collect();
    story.tell(&format!("tv is connected, and sees online: {}", others.join(", ")));
    let name = hears(&mut laptop, |message| match message {
        ServerMessage::DeviceOnline { device_name, .. } => Some(device_name.clone()),
        _ => None,
    });
    story.tell(&format!("laptop hears that {} came online", name.await?));
    Ok((laptop, tv))
}

async fn ring(laptop: &mut Device, tv: &mut Device, story: &Story) -> Fallible<StreamId> {
    let stream = laptop.client.start_stream(Outgoing::start(StreamType::Both).to(tv.name.clone())).await?;
    story.tell("laptop starts a stream of pictures and sound: tv rings");
    let from = hears(tv, |message| match message {
        ServerMessage::StreamStart { from_device_id, .. } => Some(from_device_id.clone()),
        _ => None,
    });
    story.tell(&format!("tv hears {} ring, and accepts", from.await?));
    expect_delivered(tv.client.send(Outgoing::accept(stream)).await?)?;
    let by = hears(laptop, |message| match message {
        ServerMessage::StreamAccept { from_device_id, .. } => Some(from_device_id.clone()),
        _ => None,
    });
    story.tell(&format!("laptop hears that {} accepted", by.await?));
    Ok(stream)
}

async fn hears<T>(
    device: &mut Device,
    mut pick: impl FnMut(&ServerMessage) -> Option<T>,
) -> Result<T, &'static str> {
    let found = device.events.find(|event| match event {
        Event::Message(frame) => pick(&frame.message),
        _ => None,
    });
    found.await.ok_or("the connection ended")
}

fn expect_delivered(outcome: Outcome) -> Fallible<()> {
    match outcome {
        Outcome::Delivered => Ok(()),
        other => Err(format!("not delivered: {other:?}").into()),
    }
}

/// Sends bytes of its own kind, and returns their hash if the same arrived.
async fn bytes(from: &Channel, to: &Channel, seed: u64) -> Fallible<String> {
    let sent = pattern(seed, BYTES);
    let ((), received) = tokio::try_join!(from.send(&sent), to.receive_bytes(BYTES))?;
    let (sent, received) = (Sha256::digest(sent), Sha256::digest(received));
    if sent != received {
        return Err("other bytes arrived than were sent".into());
    }
    Ok(sent.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn listen(listener: &Listener) -> Fallible<(Codec, Received)> {
    Ok((listener.codec(), listener.receive(usize::from(PACKETS)).await?))
}

/// Says what was measured, and ends the stream.
async fn report(caller: &mut Party, callee: &mut Party, stream: StreamId, story: &Story) -> Fallible<()> {
    let signals = caller.delivered().await? + callee.delivered().await?;
    story.tell(&format!("all {signals} signals were confirmed as delivered"));
    let figures = callee.peer.figures().await?.ok_or("there is no path")?;
    story.tell(&format!(
        "tv measured {} -> {}, round trip {:?}",
        figures.local, figures.remote, figures.round_trip
    ));
    expect_delivered(callee.client.send(Outgoing::stats(stream, figures.stats())).await?)?;
    expect_delivered(caller.client.send(Outgoing::end(stream, Some("film is over"))).await?)?;
    let reason = callee.hears(|message| match message {
        ServerMessage::StreamEnd { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    story.tell(&format!("laptop ends the stream, and tv hears why: {:?}", reason.await?));
    Ok(())
}

/// The record, once it is closed.
async fn record(url: &str, token: &SecretString, stream: StreamId) -> Value {
    let http = Http::new(url);
    eventually(|| async {
        let record = http.get_as(token.expose_secret(), &format!("/api/streams/{stream}")).await.json();
        (!record["ended_at"].is_null()).then_some(record)
    })
    .await
}
