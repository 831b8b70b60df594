//! What the database says, or the last that it said.

use std::time::{Duration, Instant};

use streamz_status::{Coordinator, Database, Fleet, Kind, Process, Slots};
use streamz_store::{ClusterStore, ClusterView, ProcessKind, Store};
use tokio::sync::Mutex;

/// How long the database may take: whoever asks at night does not want to wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// The database, and the last picture of the fleet.
pub(super) struct Pictures {
    store: Store,
    cluster: Option<ClusterStore>,
    kind: &'static str,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// When the database answered.
    answered: Option<Instant>,
    view: Option<(Instant, ClusterView)>,
}

impl Pictures {
    /// `fleet`: the process is one of several.
    pub(super) fn new(store: Store, fleet: bool) -> Self {
        let kind = if store.cluster().is_some() { "Postgres" } else { "SQLite" };
        let cluster = store.cluster().filter(|_| fleet);
        Self { store, cluster, kind, last: Mutex::default() }
    }

    /// Asks. Without an answer it is the last picture, with its age.
    pub(super) async fn take(&self) -> (Database, Option<Fleet>) {
        let asked = async {
            match &self.cluster {
                Some(cluster) => cluster.view().await.map(Some),
                None => self.store.ping().await.map(|()| None),
            }
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, asked).await;
        let now = Instant::now();
        let mut last = self.last.lock().await;
        let answers = matches!(answer, Ok(Ok(_)));
        let problem = match answer {
            Ok(Ok(view)) => {
                last.answered = Some(now);
                last.view = view.map(|view| (now, view));
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            // Nobody knows more than that.
            Err(_) => None,
        };
        let database = Database {
            kind: self.kind.to_owned(),
            answers,
            problem,
            answered_ms_ago: last.answered.map(|at| ms(now.saturating_duration_since(at))),
        };
        (database, last.view.as_ref().map(|(at, view)| fleet(view, now.saturating_duration_since(*at))))
    }
}

fn fleet(view: &ClusterView, age: Duration) -> Fleet {
    let share = |id: u64| view.shares.iter().find(|share| share.owner.is_some_and(|owner| owner.0 == id));
    let processes: Vec<Process> = view
        .processes
        .iter()
        .map(|process| Process {
            id: process.row.id.0.to_string(),
            kind: match process.kind {
                ProcessKind::Gateway => Kind::Gateway,
                ProcessKind::Node => Kind::Node,
            },
            name: process.row.name.clone(),
            operations: process.row.info.clone(),
            lease_ms: ms(process.row.age),
            up_ms: ms(process.up),
            draining: process.row.draining,
            slots: share(process.row.id.0).map_or(0, |share| share.slots),
            leaving: share(process.row.id.0).map_or(0, |share| share.moving),
        })
        .collect();
    let owned: u64 = processes.iter().map(|process| process.slots).sum();
    let total: u64 = view.shares.iter().map(|share| share.slots).sum();
    Fleet {
        read_ms_ago: ms(age),
        coordinator: Coordinator {
            holder: view.coordinator.holder.map(|holder| holder.0.to_string()),
            epoch: view.coordinator.epoch,
            lease_ms: ms(view.coordinator.age),
        },
        slots: Slots {
            total,
            ownerless: total.saturating_sub(owned),
            moving: view.shares.iter().map(|share| share.moving).sum(),
            lowest_epoch: view.shares.iter().map(|share| share.lowest_epoch).min().unwrap_or(0),
            highest_epoch: view.shares.iter().map(|share| share.highest_epoch).max().unwrap_or(0),
        },
        table_version: view.table_version,
        members_version: view.members_version,
        processes,
    }
}

pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
