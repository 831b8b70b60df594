//! A TCP proxy that can be slow, lossy, deaf or gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What TCP makes of a lost segment on a short way: nothing arrives until it is sent again (RFC 6298 §2.4 has a second at
/// least, Linux 200 ms).
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// How the way is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Way {
    /// Each piece of data takes this much longer, and up to as much again.
    pub(crate) delay: Duration,
    /// How many of a thousand pieces are lost and sent again.
    pub(crate) lost_of_thousand: u32,
}

/// A port that leads to another one. Dropped, all its connections are cut.
pub(crate) struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
    tasks: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens on all addresses of this machine, so that other network namespaces reach it, too.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (way, seen) = watch::channel(Way::default());
        let tasks = tokio::spawn(serve(listener, SocketAddr::from(([127, 0, 0, 1], port)), seen));
        Self { port: own, way, tasks }
    }

    /// Where it listens.
    #[must_use]
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Changes the way, for connections that there are as well.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, way: watch::Receiver<Way>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                // Without files or memory there is nothing to be served with.
                let Ok((client, _)) = accepted else { continue };
                let way = Arc::new(way.clone());
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(target).await else { return };
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    // Whoever goes first takes the other one along, as a cut line does.
                    tokio::select! {
                        () = pump(from_client, to_server, Arc::clone(&way)) => {}
                        () = pump(from_server, to_client, way) => {}
                    }
                });
            }
        }
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Arc<watch::Receiver<Way>>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        let Way { delay, lost_of_thousand } = *way.borrow();
        if delay > Duration::ZERO || lost_of_thousand > 0 {
            let (jitter, lost) = {
                let mut rng = rand::rng();
                (rng.random_range(Duration::ZERO..=delay), rng.random_range(0..1000) < lost_of_thousand)
            };
            tokio::time::sleep(delay + jitter + if lost { RETRANSMISSION } else { Duration::ZERO }).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
