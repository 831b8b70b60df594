use std::time::Duration;

use streamz_protocol::{NodeId, ProcessId};
use streamz_store::{
    ClusterStore, CoordinatorTerm, Eviction, Move, ProcessKind, Staleness, TakeCoordinator, TermError,
};

use crate::fixture::{Fixture, LONG, OVER, gives, owned, tenure};

pub(crate) async fn is_one_of_many_at_once(t: &Fixture) {
    let mut all = Vec::new();
    for id in 1..=16 {
        let (cluster, node) = (t.cluster(), t.node(id).await);
        all.push(tokio::spawn(async move { cluster.try_take(node, LONG).await.unwrap() }));
    }
    let (mut taken, mut held) = (Vec::new(), Vec::new());
    for one in all {
        match one.await.unwrap() {
            TakeCoordinator::Taken(term) => taken.push(term),
            TakeCoordinator::Held(state) => held.push((state.holder, state.epoch)),
            TakeCoordinator::Evicted => panic!("nobody was evicted"),
        }
    }
    let [term] = taken[..] else { panic!("{taken:?}") };
    assert_eq!(term.epoch, 1);
    assert_eq!(held, vec![(Some(term.holder), 1); 15]);
}

pub(crate) async fn goes_on_after_a_lost_answer(t: &Fixture) {
    let node = t.node(1).await;
    let term = t.coordinates(node).await;
    assert_eq!(t.cluster().try_take(node, LONG).await.unwrap(), TakeCoordinator::Taken(term));
    assert!(t.cluster().renew_coordinator(term).await.unwrap());
}

pub(crate) async fn is_followed_when_its_lease_is_over(t: &Fixture) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    let first = t.coordinates(one).await;
    let held = t.cluster().try_take(two, LONG).await.unwrap();
    assert!(matches!(held, TakeCoordinator::Held(state) if state.holder == Some(one)), "{held:?}");
    let lease = Duration::from_millis(50);
    let mut beside = t.beside().await;
    // The database's time passes.
    sqlx::query("SELECT pg_sleep(0.051)").execute(&mut beside).await.unwrap();
    let second = CoordinatorTerm { holder: two, epoch: 2 };
    assert_eq!(t.cluster().try_take(two, lease).await.unwrap(), TakeCoordinator::Taken(second));
    assert!(!t.cluster().renew_coordinator(first).await.unwrap());
    assert!(t.cluster().renew_coordinator(second).await.unwrap());
    let held = t.cluster().try_take(one, LONG).await.unwrap();
    assert!(matches!(held, TakeCoordinator::Held(state) if state.holder == Some(two) && state.epoch == 2));
}

pub(crate) async fn is_followed_at_once_after_an_orderly_end(t: &Fixture) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    let first = t.coordinates(one).await;
    t.cluster().remove_process(one.into()).await.unwrap();
    assert!(!t.cluster().renew_coordinator(first).await.unwrap());
    let taken = t.cluster().try_take(two, LONG).await.unwrap();
    assert_eq!(taken, TakeCoordinator::Taken(CoordinatorTerm { holder: two, epoch: 2 }));
}

async fn assert_deposed(cluster: &ClusterStore, term: CoordinatorTerm, owner: NodeId, other: NodeId) {
    let eviction = Eviction { process: owner.into(), stale: Staleness::Lease(OVER) };
    let moves = [Move { tenure: tenure(0, 1), owner, to: other }];
    let deposed = |error| matches!(error, TermError::Deposed(_));
    assert!(cluster.assign(term, &[gives(1, 0, other)]).await.is_err_and(deposed));
    assert!(cluster.evict(term, &[eviction], &[gives(0, 1, other)]).await.is_err_and(deposed));
    assert!(cluster.plan_moves(term, &moves).await.is_err_and(deposed));
    assert!(cluster.cancel_moves(term, &[other]).await.is_err_and(deposed));
    assert!(!cluster.renew_coordinator(term).await.unwrap());
}

pub(crate) async fn writes_nothing_once_deposed(t: &Fixture) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    let first = t.coordinates(one).await;
    t.cluster().assign(first, &[gives(0, 0, one), gives(2, 0, one)]).await.unwrap();
    let to_two = Move { tenure: tenure(2, 1), owner: one, to: two };
    t.cluster().plan_moves(first, &[to_two]).await.unwrap();
    let second = t.coordinates(two).await;
    let before = t.cluster().read_slots().await.unwrap();
    for term in [first, CoordinatorTerm { epoch: 2, ..first }, CoordinatorTerm { epoch: 1, ..second }] {
        assert_deposed(&t.cluster(), term, one, two).await;
    }
    assert_eq!(t.cluster().read_slots().await.unwrap(), before);
    assert_eq!(t.cluster().live_processes(ProcessKind::Node).await.unwrap().processes.len(), 2);
}

pub(crate) async fn is_a_node_that_is_there(t: &Fixture) {
    t.cluster().register_process(ProcessId(1), ProcessKind::Gateway, "g", "", 0).await.unwrap();
    for id in [1, 2] {
        assert_eq!(t.cluster().try_take(NodeId(id), OVER).await.unwrap(), TakeCoordinator::Evicted);
    }
}

pub(crate) async fn is_not_deposed_while_it_writes(t: &Fixture) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    let first = t.coordinates(one).await;
    let cluster = t.cluster();
    let holder = t.hold_slot(0).await;
    let assigning = tokio::spawn(async move { cluster.assign(first, &[gives(0, 0, one)]).await.unwrap() });
    t.waiting_for_locks(1).await;
    let rival = t.cluster();
    let taking = tokio::spawn(async move { rival.try_take(two, OVER).await.unwrap() });
    t.waiting_for_locks(2).await;
    holder.release().await;
    assert_eq!(assigning.await.unwrap().applied, [owned(0, 1, one)]);
    assert!(matches!(taking.await.unwrap(), TakeCoordinator::Taken(term) if term.epoch == 2));
    assert!(matches!(t.cluster().assign(first, &[]).await, Err(TermError::Deposed(_))));
}

pub(crate) async fn keeps_no_lease_from_a_clock_that_went_back(t: &Fixture) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    t.coordinates(one).await;
    t.raw("UPDATE coordinator SET renewed_at = now() + interval '1 day'").await;
    let taken = t.cluster().try_take(two, LONG).await.unwrap();
    assert!(matches!(taken, TakeCoordinator::Taken(term) if term.epoch == 2), "{taken:?}");
}
