//! Puts together what the parts of this process say.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use streamz_gateway::Connections;
use streamz_gateway::fleet::GatewayFleet;
use streamz_gateway::status::StatusSource;
use streamz_platform::config::Role;
use streamz_signaling_node::{FleetNode, Node};
use streamz_status::Status;
use streamz_store::Store;

use super::picture::{Pictures, ms};

/// What can be asked in a process.
pub(crate) enum Parts {
    /// Everything is in it. The connections come later.
    Embedded(Arc<Node>, OnceLock<Arc<Connections>>),
    /// A gateway of a fleet.
    Gateway(Arc<GatewayFleet>),
    /// A node of a fleet.
    Node(Arc<Node>, Arc<FleetNode>),
}

/// A process that can be asked how it is.
#[derive(Clone)]
pub(crate) struct Source {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    started: Instant,
    pictures: Pictures,
    parts: Parts,
}

impl Source {
    pub(crate) fn new(name: String, store: Store, parts: Parts) -> Self {
        let fleet = !matches!(parts, Parts::Embedded(..));
        let pictures = Pictures::new(store, fleet);
        Self { inner: Arc::new(Inner { name, started: Instant::now(), pictures, parts }) }
    }

    /// Who has the connections, in one process.
    pub(crate) fn serves(&self, connections: &Arc<Connections>) {
        if let Parts::Embedded(_, known) = &self.inner.parts {
            // Nobody else sets it.
            let _ = known.set(connections.clone());
        }
    }

    /// For the operators' routes.
    pub(crate) fn source(&self) -> StatusSource {
        let inner = self.inner.clone();
        StatusSource::new(move || inner.clone().ask())
    }
}

impl Inner {
    /// Ends within two seconds, whatever stands still: each part is waited for by itself.
    async fn ask(self: Arc<Self>) -> Status {
        let ((database, fleet), mut status) = tokio::join!(self.pictures.take(), self.parts());
        // Its lease is renewed every second, so it knows better since when.
        let renewed = status.lease.and_then(|lease| lease.renewed_ms_ago);
        status.database = database;
        let answered = [status.database.answered_ms_ago, renewed];
        status.database.answered_ms_ago = answered.into_iter().flatten().min();
        status.fleet = fleet;
        status
    }

    async fn parts(self: &Arc<Self>) -> Status {
        let role = match &self.parts {
            Parts::Embedded(..) => Role::Embedded,
            Parts::Gateway(_) => Role::Gateway,
            Parts::Node(..) => Role::Node,
        };
        let mut status = Status::new(as_said(role), &self.name, env!("CARGO_PKG_VERSION"));
        status.up_ms = ms(self.started.elapsed());
        match &self.parts {
            Parts::Embedded(node, _) | Parts::Node(node, _) => status.node = Some(node.describe().await),
            Parts::Gateway(_) => {}
        }
        let (inner, before) = (self.clone(), status.clone());
        // Locks are waited for there, and not where everybody else works.
        let asked = tokio::task::spawn_blocking(move || {
            match &inner.parts {
                Parts::Embedded(_, connections) => {
                    status.gateway = connections.get().map(|connections| connections.describe());
                }
                Parts::Gateway(gateway) => gateway.describe(&mut status),
                Parts::Node(_, fleet) => fleet.describe(&mut status),
            }
            status
        });
        asked.await.unwrap_or_else(|_| {
            let mut status = before;
            status.stuck.push("what knows how it is".to_owned());
            status
        })
    }
}

fn as_said(role: Role) -> streamz_status::Role {
    match role {
        Role::Embedded => streamz_status::Role::Embedded,
        Role::Gateway => streamz_status::Role::Gateway,
        Role::Node => streamz_status::Role::Node,
    }
}
