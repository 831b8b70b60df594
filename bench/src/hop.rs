//! The bare hop: the least that a message over Redis pub/sub can go through twice. What is published on one channel, a
//! process of its own publishes on another.

use std::io;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSubStream};
use redis::{AsyncCommands, Client};

use crate::forwarder::stdin_ends;
use crate::latency::Latencies;
use crate::plan::MESSAGE_BYTES;

const THERE: &str = "streamz-bench:there";
const BACK: &str = "streamz-bench:back";
/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Reads the URL of a Redis from the standard input, serves as the hop, says so in a line, and ends with the standard
/// input.
pub(crate) async fn serve_until_stdin_ends() -> io::Result<()> {
    let mut url = String::new();
    // Nothing else happens yet.
    io::stdin().read_line(&mut url)?;
    let client = crate::cluster::client_of(url.trim()).map_err(io::Error::other)?;
    let (mut publishing, mut heard) = lines(&client, THERE).await.map_err(io::Error::other)?;
    println!("ready");
    let serve = async {
        while let Some(message) = heard.next().await {
            let _: i64 = publishing.publish(BACK, message.get_payload_bytes()).await?;
        }
        Ok::<_, redis::RedisError>(())
    };
    tokio::select! {
        served = serve => served.map_err(io::Error::other),
        ended = stdin_ends() => ended,
    }
}

async fn lines(
    client: &Client,
    channel: &str,
) -> Result<(MultiplexedConnection, PubSubStream), redis::RedisError> {
    let publishing = client.get_multiplexed_async_connection().await?;
    let mut subscribing = client.get_async_pubsub().await?;
    subscribing.subscribe(channel).await?;
    Ok((publishing, subscribing.into_on_message()))
}

/// Both ends of the way over a hop that serves.
pub(crate) struct Ends {
    publishing: MultiplexedConnection,
    heard: PubSubStream,
}

impl Ends {
    pub(crate) async fn connect(client: &Client) -> Result<Self, redis::RedisError> {
        let (publishing, heard) = lines(client, BACK).await?;
        Ok(Self { publishing, heard })
    }

    /// Sends one after the other for `length`, and notes how long each took.
    pub(crate) async fn run(&mut self, length: Duration) -> Result<Latencies, String> {
        let text = vec![b'='; MESSAGE_BYTES];
        let mut delays = Latencies::new();
        let began = Instant::now();
        while began.elapsed() < length {
            let sent = Instant::now();
            let turn = async {
                let publishing: Result<i64, _>;
                let heard;
                (publishing, heard) = tokio::join!(self.publishing.publish(THERE, &text[..]), async {
                    let message = self.heard.next().await;
                    (message, sent.elapsed())
                });
                (publishing, heard)
            };
            match tokio::time::timeout(WITHIN, turn).await {
                Ok((Ok(_), (Some(message), took))) if message.get_payload_bytes() == text => {
                    delays.record(took)
                }
                Ok((Err(error), _)) => return Err(error.to_string()),
                Ok(_) => return Err("the bare hop brought something else than it was given".to_owned()),
                Err(_) => return Err("the bare hop did not bring a message in time".to_owned()),
            }
        }
        Ok(delays)
    }
}
