//! What SIGINT and SIGTERM mean: the first asks for an orderly end, the second for an end.

use std::future::Future;
use std::io;

use tokio_util::sync::CancellationToken;

/// Says that the process is to end. Cheap to clone: all clones say the same.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    graceful: CancellationToken,
    immediate: CancellationToken,
}

impl Shutdown {
    /// A shutdown that nobody has asked for, and that no signal asks for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over SIGINT (Ctrl-C) and SIGTERM, from this call on. The future listens, and ends with the second
    /// signal or with [`Shutdown::request_now`]; it belongs in the process's [`Tasks`](crate::Tasks).
    ///
    /// # Errors
    /// The signals cannot be listened to.
    pub fn on_signals() -> io::Result<(Self, impl Future<Output = ()> + Send + 'static)> {
        let shutdown = Self::new();
        let mut signals = Signals::listen()?;
        let listener = shutdown.clone();
        let run = async move {
            tokio::select! {
                biased;
                () = listener.now() => {}
                () = async {
                    let name = signals.next().await;
                    tracing::info!(signal = name, "ending: a second signal ends at once");
                    listener.request();
                    let name = signals.next().await;
                    tracing::warn!(signal = name, "ending at once");
                    listener.request_now();
                } => {}
            }
        };
        Ok((shutdown, run))
    }

    /// Asks for an orderly end, as the first signal does.
    pub fn request(&self) {
        self.graceful.cancel();
    }

    /// Asks to end at once, as the second signal does.
    pub fn request_now(&self) {
        self.graceful.cancel();
        self.immediate.cancel();
    }

    /// Completes when an end was asked for.
    pub async fn begun(&self) {
        self.graceful.cancelled().await;
    }

    /// Completes when an end at once was asked for.
    pub async fn now(&self) {
        self.immediate.cancelled().await;
    }

    /// The token behind [`Shutdown::begun`].
    #[must_use]
    pub fn graceful(&self) -> &CancellationToken {
        &self.graceful
    }

    /// The token behind [`Shutdown::now`].
    #[must_use]
    pub fn immediate(&self) -> &CancellationToken {
        &self.immediate
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        // An error means that there will never be a signal; then nobody is told.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}
