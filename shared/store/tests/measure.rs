//! How long the cluster's operations take, and how much work the renewals of a large fleet are. Not a test: run it by
//! `cargo test --release -p streamz-store --test measure -- --ignored --nocapture`.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use streamz_protocol::cluster::{Epoch, SLOTS, Slot, Tenure};
use streamz_protocol::{NodeId, ProcessId};
use streamz_store::{
    ClusterStore, Eviction, FencedPresence, NewOwner, PresenceUpdate, ProcessKind, Staleness, Store,
    StoreOptions, TakeCoordinator,
};
use streamz_testkit::Postgres;

const NODES: u64 = 200;

fn percentiles(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{name}: p50 {:?}, p99 {:?}, most {:?}", at(50), at(99), at(100));
}

/// What the processes of the server on this port have used of the CPU so far, in clock ticks (a hundredth of a second).
fn server_ticks(port: u16) -> u64 {
    let (mut first, mut all) = (None, Vec::new());
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |file| std::fs::read_to_string(process.path().join(file)).unwrap_or_default();
        let stat = read("stat");
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        if !name.contains("postgres") {
            continue;
        }
        let pid: u64 = process.file_name().to_string_lossy().parse().unwrap();
        if read("cmdline").contains(&format!("-p\0{port}\0")) {
            first = Some(pid);
        }
        let fields: Vec<u64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        // Its own, and that of children which ended.
        all.push((pid, fields[1], fields[11..15].iter().sum::<u64>()));
    }
    let first = first.unwrap();
    all.iter().filter(|(pid, parent, _)| *pid == first || *parent == first).map(|(_, _, ticks)| ticks).sum()
}

fn all(epoch: u64, owner: impl Fn(u16) -> NodeId) -> Vec<NewOwner> {
    Slot::all()
        .map(|slot| NewOwner { tenure: Tenure { slot, epoch: Epoch(epoch) }, owner: owner(slot.number()) })
        .collect()
}

async fn timed<T>(times: &mut Vec<Duration>, operation: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let outcome = operation.await;
    times.push(began.elapsed());
    outcome
}

async fn assignments(cluster: &ClusterStore) {
    let mut term = None;
    let (mut times, mut reads, mut evictions) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..20_u64 {
        // All slots from one that goes to one that comes.
        let (gone, next) = (NodeId(1000 + round), NodeId(1001 + round));
        if round == 0 {
            cluster.register_process(gone.into(), ProcessKind::Node, "n", "", 0).await.unwrap();
            cluster.try_take(gone, Duration::ZERO).await.unwrap();
        }
        cluster.register_process(next.into(), ProcessKind::Node, "n", "", 0).await.unwrap();
        let TakeCoordinator::Taken(new) = cluster.try_take(next, Duration::ZERO).await.unwrap() else {
            panic!()
        };
        let dead = Eviction { process: gone.into(), stale: Staleness::Lease(Duration::ZERO) };
        let few: Vec<NewOwner> = all(round, |_| next).into_iter().take(20).collect();
        let done = timed(&mut evictions, cluster.evict(new, &[dead], &few)).await.unwrap();
        assert_eq!(done.slots.applied.len(), 20);
        let rest = all(round, |_| next);
        let done = timed(&mut times, cluster.assign(new, &rest)).await.unwrap();
        assert_eq!(done.applied.len(), usize::from(SLOTS) - 20);
        timed(&mut reads, cluster.read_slots()).await.unwrap();
        term = Some(new);
    }
    percentiles("evict one node, assign its 20 slots", evictions);
    percentiles("assign 4,076 slots", times);
    percentiles("read 4,096 slots", reads);
    let mut deltas = Vec::new();
    let version = cluster.read_slots().await.unwrap().version;
    for _ in 0..200 {
        timed(&mut deltas, cluster.slot_changes_since(version)).await.unwrap();
    }
    percentiles("read no change", deltas);
    assert!(term.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn operations_of_a_cluster() {
    let server = Postgres::start().unwrap();
    let url = server.create_database();
    let store = Store::connect(&url, &StoreOptions::default()).await.unwrap();
    store.migrate().await.unwrap();
    let cluster = store.cluster().unwrap();
    for id in 1..=NODES {
        cluster.register_process(ProcessId(id), ProcessKind::Node, &format!("n{id}"), "", 0).await.unwrap();
    }
    let mut renewals = Vec::new();
    for round in 0..2000 {
        timed(&mut renewals, cluster.renew(ProcessId(1 + round % NODES))).await.unwrap();
    }
    percentiles("renew, one at a time", renewals);
    assignments(&cluster).await;

    let mut presence = Vec::new();
    let owner = NodeId(1020);
    let updates: Vec<FencedPresence> = (0..200_u16)
        .map(|n| FencedPresence {
            tenure: Tenure { slot: Slot::new(n).unwrap(), epoch: Epoch(20) },
            update: PresenceUpdate {
                id: uuid::Uuid::now_v7(),
                is_online: true,
                last_seen: chrono::Utc::now(),
            },
        })
        .collect();
    for _ in 0..100 {
        let done = timed(&mut presence, cluster.set_presence(&updates)).await.unwrap();
        assert!(done.refused.is_empty(), "{owner:?}");
    }
    percentiles("fence 200 slots (no rows)", presence);

    // Each on its own connection would be; here 25 share them.
    let (before, began) = (server_ticks(server.port()), Instant::now());
    const SECONDS: u32 = 10;
    let mut late = Vec::new();
    for _ in 0..SECONDS {
        let due = Instant::now() + Duration::from_secs(1);
        let round: Vec<_> = (1..=NODES)
            .map(|id| {
                let cluster = cluster.clone();
                tokio::spawn(async move {
                    let began = Instant::now();
                    cluster.renew(ProcessId(id)).await.unwrap();
                    began.elapsed()
                })
            })
            .collect();
        for one in round {
            late.push(one.await.unwrap());
        }
        tokio::time::sleep_until(due.into()).await;
    }
    let ticks = server_ticks(server.port()) - before;
    println!(
        "{NODES} renewals a second, for {:?}: {} ms of the server's CPU a second",
        began.elapsed(),
        ticks * 10 / u64::from(SECONDS)
    );
    percentiles("renew, 200 at once", late);
}
