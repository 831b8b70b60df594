//! The bare forwarder: the least that a relay over WebSockets can do.
//!
//! Two sockets that ask for the same path are a pair, and each gets the text that the other sends. There are no
//! accounts, no JSON, no queues, and no outcome; one task serves a pair. It uses the WebSocket library, the
//! runtime and the allocator that Streamz uses, with buffers as small and without Nagle's delay, so that what
//! Streamz costs beyond it is what Streamz does beyond it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

type Socket = WebSocketStream<TcpStream>;
/// The first of each pair, by the path that it asked for.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Socket>>>>;

/// Serves on a free port of the loopback interface, prints it as one line, and ends with the standard input: with
/// whoever started it.
///
/// # Errors
/// Those of the listener and of the standard input.
pub async fn serve_until_stdin_ends() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    tokio::select! {
        served = serve(listener) => served,
        ended = stdin_ends() => ended,
    }
}

pub(crate) async fn stdin_ends() -> io::Result<()> {
    let read = || io::copy(&mut io::stdin().lock(), &mut io::sink());
    tokio::task::spawn_blocking(read).await?.map(drop)
}

/// Accepts and pairs until the listener fails. All connections end with this future.
async fn serve(listener: TcpListener) -> io::Result<()> {
    let waiting = Waiting::default();
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let waiting = waiting.clone();
                tasks.spawn(async move {
                    // A peer that goes away ends its pair, and that is all.
                    let _ = admit(stream, &waiting).await;
                });
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn admit(stream: TcpStream, waiting: &Waiting) -> Result<(), Error> {
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let note = |request: &Request, response: Response| {
        request.uri().path().clone_into(&mut path);
        Ok(response)
    };
    let config = WebSocketConfig::default().read_buffer_size(1024).write_buffer_size(0);
    let socket = accept_hdr_async_with_config(stream, note, Some(config)).await?;
    let first = waiting.lock().remove(&path);
    match first {
        Some(first) => {
            // The first one may have gone; then so does the second.
            let _ = first.send(socket);
            Ok(())
        }
        None => {
            let (sender, second) = oneshot::channel();
            waiting.lock().insert(path, sender);
            match second.await {
                Ok(second) => Box::pin(forward(socket, second)).await,
                Err(_) => Ok(()),
            }
        }
    }
}

/// Until one of them leaves.
async fn forward(mut one: Socket, mut other: Socket) -> Result<(), Error> {
    loop {
        let (message, to) = tokio::select! {
            message = one.next() => (message, &mut other),
            message = other.next() => (message, &mut one),
        };
        match message.transpose()? {
            Some(text @ Message::Text(_)) => to.send(text).await?,
            Some(Message::Close(_)) | None => return Ok(()),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::connect_async;

    use super::*;

    #[tokio::test]
    async fn a_pair_hears_each_other_and_nobody_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener));
        let connect = async |path: &str| connect_async(format!("ws://{address}/{path}")).await.unwrap().0;
        let (mut a, mut b) = (connect("one").await, connect("one").await);
        let (mut c, mut d) = (connect("two").await, connect("two").await);
        for (text, from, to) in [("1", &mut a, &mut b), ("2", &mut c, &mut d)] {
            from.send(Message::text(text)).await.unwrap();
            assert_eq!(to.next().await.unwrap().unwrap(), Message::text(text));
        }
        b.send(Message::text("back")).await.unwrap();
        assert_eq!(a.next().await.unwrap().unwrap(), Message::text("back"));
        drop(b);
        assert!(!matches!(a.next().await, Some(Ok(Message::Text(_)))));
        server.abort();
    }
}
