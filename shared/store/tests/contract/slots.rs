use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use streamz_protocol::cluster::{SLOTS, Tenure};
use streamz_protocol::{NodeId, ProcessId};
use streamz_store::{
    Changed, ClusterStore, Eviction, Move, NewOwner, ProcessKind, SlotRow, Staleness, TakeCoordinator,
    TermError,
};

use crate::fixture::{Fixture, LONG, OVER, gives, owned, poll, tenure};

/// The changes that many tasks made.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<SlotRow>>>);

impl Log {
    fn note(&self, rows: &[SlotRow]) {
        self.0.lock().unwrap().extend_from_slice(rows);
    }
}

fn moves(number: u16, epoch: u64, owner: NodeId, to: NodeId) -> Move {
    Move { tenure: tenure(number, epoch), owner, to }
}

pub(crate) async fn begin_without_owners(t: &Fixture) {
    let table = t.cluster().read_slots().await.unwrap();
    assert_eq!((table.version, table.rows.len()), (0, usize::from(SLOTS)));
    for (number, row) in (0..).zip(&table.rows) {
        assert_eq!(*row, SlotRow { tenure: tenure(number, 0), owner: None, moving_to: None });
    }
}

pub(crate) async fn are_given_once(t: &Fixture) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    let term = t.coordinates(one).await;
    // Of a slot that is named twice the last counts.
    let wanted = [gives(4095, 0, one), gives(0, 0, two), gives(0, 0, one), gives(5, 1, one)];
    let given = t.cluster().assign(term, &wanted).await.unwrap();
    assert_eq!(given, Changed { version: 1, applied: vec![owned(0, 1, one), owned(4095, 1, one)] });
    let again = t.cluster().assign(term, &wanted).await.unwrap();
    assert_eq!(again, Changed { version: 1, applied: vec![] });
    let all: Vec<NewOwner> = (0..SLOTS).map(|number| gives(number, 0, two)).collect();
    assert_eq!(t.cluster().assign(term, &all).await.unwrap().applied.len(), usize::from(SLOTS) - 2);
}

pub(crate) async fn are_given_to_nodes_that_are_there(t: &Fixture) {
    let one = t.node(1).await;
    t.cluster().register_process(ProcessId(2), ProcessKind::Gateway, "g", "", 0).await.unwrap();
    let term = t.coordinates(one).await;
    let wanted = [gives(0, 0, NodeId(2)), gives(1, 0, NodeId(3)), gives(2, 0, one)];
    assert_eq!(t.cluster().assign(term, &wanted).await.unwrap().applied, [owned(2, 1, one)]);
}

pub(crate) async fn are_taken_only_from_the_gone(t: &Fixture) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    let term = t.coordinates(two).await;
    t.cluster().assign(term, &[gives(0, 0, one)]).await.unwrap();
    assert_eq!(t.cluster().assign(term, &[gives(0, 1, two)]).await.unwrap().applied, []);
    t.cluster().remove_process(one.into()).await.unwrap();
    assert_eq!(t.cluster().assign(term, &[gives(0, 1, two)]).await.unwrap().applied, [owned(0, 2, two)]);
}

pub(crate) async fn show_changes_since_a_version(t: &Fixture) {
    let one = t.node(1).await;
    let term = t.coordinates(one).await;
    for number in 0..5 {
        t.cluster().assign(term, &[gives(number, 0, one)]).await.unwrap();
    }
    let changes = t.cluster().slot_changes_since(3).await.unwrap();
    assert_eq!((changes.version, changes.rows), (5, vec![owned(3, 1, one), owned(4, 1, one)]));
    let none = t.cluster().slot_changes_since(5).await.unwrap();
    assert_eq!((none.version, none.rows), (5, vec![]));
    assert_eq!(t.cluster().slot_changes_since(u64::MAX).await.unwrap().rows, []);
    // Nobody who reads changes while others write misses one.
    let two = t.node(2).await;
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let cluster = t.cluster();
            tokio::spawn(async move {
                for at in 1..30 {
                    let (owner, to) = if at % 2 == 1 { (one, two) } else { (two, one) };
                    let planned = cluster.plan_moves(term, &[moves(number, at, owner, to)]).await.unwrap();
                    assert_eq!(planned.applied.len(), 1);
                    let moved = cluster.hand_over(owner, &[tenure(number, at)]).await.unwrap();
                    assert_eq!(moved.applied.len(), 1);
                }
            })
        })
        .collect();
    let mut known = t.cluster().read_slots().await.unwrap();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let changes = t.cluster().slot_changes_since(known.version).await.unwrap();
        assert!(changes.version >= known.version);
        known.version = changes.version;
        for row in changes.rows {
            known.rows[usize::from(row.tenure.slot.number())] = row;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let last = t.cluster().slot_changes_since(known.version).await.unwrap();
    for row in last.rows {
        known.rows[usize::from(row.tenure.slot.number())] = row;
    }
    let whole = t.cluster().read_slots().await.unwrap();
    // Each change is one version of the table.
    assert_eq!((known.rows, whole.version), (whole.rows, 5 + 4 * 29 * 2));
}

pub(crate) async fn move_when_their_owner_says_so(t: &Fixture) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    let term = t.coordinates(one).await;
    t.cluster().assign(term, &[gives(0, 0, one), gives(1, 0, one)]).await.unwrap();
    assert_eq!(t.cluster().hand_over(one, &[tenure(0, 1)]).await.unwrap().applied, []);
    let wrong = [moves(0, 0, one, two), moves(1, 1, two, one), moves(2, 0, one, two)];
    assert_eq!(t.cluster().plan_moves(term, &wrong).await.unwrap().applied, []);
    for target in [NodeId(3), one] {
        assert_eq!(t.cluster().plan_moves(term, &[moves(0, 1, one, target)]).await.unwrap().applied, []);
    }
    let planned = t.cluster().plan_moves(term, &[moves(0, 1, one, two)]).await.unwrap();
    let row = SlotRow { moving_to: Some(two), ..owned(0, 1, one) };
    assert_eq!(planned, Changed { version: 2, applied: vec![row] });
    // Planning the same again changes nothing.
    assert_eq!(t.cluster().plan_moves(term, &[moves(0, 1, one, two)]).await.unwrap().applied, []);
    assert_eq!(t.slot_row(0).await, row);

    assert_eq!(t.cluster().hand_over(two, &[tenure(0, 1)]).await.unwrap().applied, []);
    assert_eq!(t.cluster().hand_over(one, &[tenure(0, 0)]).await.unwrap().applied, []);
    let both = [tenure(0, 1), tenure(1, 1)];
    let moved = t.cluster().hand_over(one, &both).await.unwrap();
    assert_eq!(moved, Changed { version: 3, applied: vec![owned(0, 2, two)] });
    assert_eq!(t.cluster().hand_over(one, &both).await.unwrap(), Changed { version: 3, applied: vec![] });
}

pub(crate) async fn stay_when_their_target_is_gone(t: &Fixture) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    let term = t.coordinates(one).await;
    t.cluster().assign(term, &[gives(0, 0, one)]).await.unwrap();
    t.cluster().plan_moves(term, &[moves(0, 1, one, two)]).await.unwrap();
    t.raw("DELETE FROM processes WHERE id = 2").await;
    assert_eq!(t.cluster().hand_over(one, &[tenure(0, 1)]).await.unwrap().applied, []);
    assert_eq!(t.slot_row(0).await.owner, Some(one));
}

pub(crate) async fn stay_when_a_move_is_cancelled(t: &Fixture) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    let term = t.coordinates(one).await;
    t.cluster().assign(term, &[gives(0, 0, one)]).await.unwrap();
    t.cluster().plan_moves(term, &[moves(0, 1, one, two)]).await.unwrap();
    assert_eq!(t.cluster().cancel_moves(term, &[one, NodeId(3)]).await.unwrap().applied, []);
    let cancelled = t.cluster().cancel_moves(term, &[two]).await.unwrap();
    assert_eq!(cancelled, Changed { version: 3, applied: vec![owned(0, 1, one)] });
    assert_eq!(t.cluster().hand_over(one, &[tenure(0, 1)]).await.unwrap().applied, []);
}

pub(crate) async fn are_safe_to_give_again_after_a_lost_answer(t: &Fixture) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    let term = t.coordinates(one).await;
    let cluster = t.cluster();
    let owners = [gives(0, 0, one)];
    {
        // It is committed, and nobody hears the answer.
        let mut assigning = pin!(cluster.assign(term, &owners));
        while t.slot_row(0).await.owner.is_none() {
            let _ = poll(assigning.as_mut()).await;
        }
        t.raw(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    }
    assert_eq!(t.slot_row(0).await, owned(0, 1, one));
    assert_eq!(cluster.assign(term, &owners).await.unwrap().applied, []);
    assert_eq!(t.slot_row(0).await, owned(0, 1, one));

    cluster.plan_moves(term, &[moves(0, 1, one, two)]).await.unwrap();
    let given = [tenure(0, 1)];
    {
        let mut moving = pin!(cluster.hand_over(one, &given));
        while t.slot_row(0).await.owner == Some(one) {
            let _ = poll(moving.as_mut()).await;
        }
    }
    assert_eq!(cluster.hand_over(one, &given).await.unwrap().applied, []);
    assert_eq!(t.slot_row(0).await, owned(0, 2, two));
}

/// A node that claims to coordinate whenever it can, evicts others, takes what is free, moves what it may and hands over
/// what it must; evicted itself, it comes back under another id.
async fn fight(cluster: ClusterStore, seed: u64, next_id: Arc<AtomicU64>, log: Log) {
    const ROUNDS: u64 = 25;
    const CONTESTED: u16 = 12;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut me = NodeId(0);
    for _ in 0..ROUNDS {
        let lease = if random(8) == 0 { OVER } else { LONG };
        let taken = match cluster.try_take(me, lease).await.unwrap() {
            TakeCoordinator::Taken(term) => Some(term),
            TakeCoordinator::Held(_) => None,
            TakeCoordinator::Evicted => {
                me = NodeId(next_id.fetch_add(1, Ordering::Relaxed));
                cluster
                    .register_process(me.into(), ProcessKind::Node, &format!("{seed}"), "", 0)
                    .await
                    .unwrap();
                continue;
            }
        };
        let nodes = cluster.live_processes(ProcessKind::Node).await.unwrap().processes;
        let somebody = |at: u64| NodeId(nodes[at as usize % nodes.len()].id.0);
        let rows = cluster.read_slots().await.unwrap().rows;
        let contested = &rows[..usize::from(CONTESTED)];
        if let Some(term) = taken {
            let owners: Vec<NewOwner> = contested
                .iter()
                .map(|row| NewOwner { tenure: row.tenure, owner: somebody(random(64)) })
                .collect();
            let evictions: Vec<Eviction> = (random(3) == 0)
                .then(|| Eviction { process: somebody(random(64)).into(), stale: Staleness::Lease(OVER) })
                .into_iter()
                .collect();
            match cluster.evict(term, &evictions, &owners).await {
                // A move that was cancelled is no change of owner; its row shows an epoch that was seen before.
                Ok(done) => log.note(&done.slots.applied),
                Err(TermError::Deposed(_)) => {}
                Err(error) => panic!("{error}"),
            }
            let moves: Vec<Move> = contested
                .iter()
                .filter_map(|row| {
                    Some(Move { tenure: row.tenure, owner: row.owner?, to: somebody(random(64)) })
                })
                .collect();
            if let Err(TermError::Store(error)) = cluster.plan_moves(term, &moves).await {
                panic!("{error}");
            }
        }
        // In any order.
        let mut mine: Vec<Tenure> =
            contested.iter().filter(|row| row.owner == Some(me)).map(|row| row.tenure).collect();
        if random(2) == 0 {
            mine.reverse();
        }
        let moved = cluster.hand_over(me, &mine).await.unwrap();
        assert!(moved.applied.iter().all(|row| row.owner != Some(me) && row.moving_to.is_none()));
        log.note(&moved.applied);
    }
}

pub(crate) async fn rise_by_one_for_each_owner_in_any_race(t: &Fixture) {
    let next_id = Arc::new(AtomicU64::new(1));
    let log = Log::default();
    let fighters: Vec<_> =
        (1..=16).map(|seed| tokio::spawn(fight(t.cluster(), seed, next_id.clone(), log.clone()))).collect();
    for fighter in fighters {
        fighter.await.unwrap();
    }
    // Each epoch of each slot had one owner, was seen by one task at least, and none is missing.
    let mut owners: BTreeMap<Tenure, NodeId> = BTreeMap::new();
    for row in log.0.lock().unwrap().iter() {
        let owner = row.owner.unwrap();
        assert_eq!(*owners.entry(row.tenure).or_insert(owner), owner, "{:?} had two owners", row.tenure);
    }
    let table = t.cluster().read_slots().await.unwrap();
    let mut changes = 0;
    for row in &table.rows {
        for epoch in 1..=row.tenure.epoch.0 {
            assert!(owners.contains_key(&tenure(row.tenure.slot.number(), epoch)), "{row:?}: {epoch}");
        }
        if let Some(owner) = row.owner {
            assert_eq!(owners[&row.tenure], owner);
        }
        changes += row.tenure.epoch.0;
    }
    assert_eq!(changes, owners.len() as u64);
    assert!(changes > 50, "{changes} changes are no fight");
}
