//! What answers where operations are asked for while a process that starts waits for its database: alive, not ready.

use std::time::Duration;

use streamz_gateway::http::{Operations, operations_alone};
use streamz_gateway::readiness::Readiness;
use streamz_gateway::serve::{KEEP_ALIVE, ServeOptions, serve};
use streamz_gateway::status::StatusSource;
use streamz_platform::{Config, Role, Tasks, metrics};
use streamz_status::{Role as Kind, Status};
use streamz_store::Store;
use tokio_util::sync::CancellationToken;

use crate::edge::listen;
use crate::exit::Failure;

/// How long a probe that is being answered may take when the wait is over.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The port of operations, held until it is wanted for good.
pub(crate) struct WaitingRoom {
    accepting: CancellationToken,
    listener: Tasks,
}

impl WaitingRoom {
    pub(crate) async fn open(config: &Config, store: &Store) -> Result<Self, Failure> {
        // A node serves nothing else, so it needs no port of its own for it.
        let admin = config.admin.filter(|_| config.role != Role::Node);
        let address = admin.unwrap_or(config.listen);
        let listener = listen(address, "HOST, PORT, ADMIN_PORT").await?;
        let kind = match config.role {
            Role::Embedded => Kind::Embedded,
            Role::Gateway => Kind::Gateway,
            Role::Node => Kind::Node,
        };
        let name = listener.local_addr().map_err(Failure::unable)?.to_string();
        tracing::info!("until then http://{name} answers /health, and /ready with 503");
        let status = StatusSource::new(move || {
            let status = Status::new(kind, &name, env!("CARGO_PKG_VERSION"));
            async move { status }
        });
        let readiness = Readiness::new()
            .with_store(store.clone())
            .with("start", || async { Err("waits for the database") });
        let figures = metrics::install().map_err(Failure::unable)?;
        let router = operations_alone(Operations::new(readiness, figures, status));
        let options = ServeOptions {
            header_timeout: config.http.header_timeout,
            keep_alive: KEEP_ALIVE,
            max_connections: config.http.connections,
            drain: LAST_ANSWERS,
        };
        let accepting = CancellationToken::new();
        let serving = serve(listener, router, options, accepting.clone());
        let listener = Tasks::new();
        listener.spawn("waiting", async move {
            let _ = serving.await;
        });
        Ok(Self { accepting, listener })
    }

    /// Lets go of the port.
    pub(crate) async fn close(self) {
        self.accepting.cancel();
        self.listener.shutdown(2 * LAST_ANSWERS).await;
    }
}
