use std::pin::pin;
use std::time::{Duration, Instant};

use sqlx::Connection;
use streamz_protocol::{NodeId, ProcessId};
use streamz_store::{
    Changed, CoordinatorTerm, Evicted, Eviction, Move, ProcessKind, Renewal, SlotRow, Staleness,
    TakeCoordinator, TermError,
};

use crate::fixture::{Fixture, LONG, OVER, gives, owned, tenure};

/// A lease, and how to look as if it had ended.
const LEASE: Duration = Duration::from_secs(4);
const SILENCE: &str = "UPDATE processes SET renewed_at = now() - interval '5 seconds' WHERE id = 1";

fn silent(node: NodeId) -> Eviction {
    Eviction { process: node.into(), stale: Staleness::Lease(LEASE) }
}

/// Nodes 1, with slots 0 and 1, and 2, which coordinates.
async fn two_nodes(t: &Fixture) -> (NodeId, NodeId, CoordinatorTerm) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    let term = t.coordinates(two).await;
    t.cluster().assign(term, &[gives(0, 0, one), gives(1, 0, one), gives(2, 0, two)]).await.unwrap();
    (one, two, term)
}

pub(crate) async fn takes_the_silent_and_gives_away_their_slots(t: &Fixture) {
    let (one, two, term) = two_nodes(t).await;
    t.cluster().register_process(ProcessId(3), ProcessKind::Gateway, "g", "", 0).await.unwrap();
    let to_one = Move { tenure: tenure(2, 1), owner: two, to: one };
    t.cluster().plan_moves(term, &[to_one]).await.unwrap();
    let version = t.cluster().live_processes(ProcessKind::Node).await.unwrap().version;
    t.raw(SILENCE).await;
    t.raw("UPDATE processes SET renewed_at = now() - interval '1 day' WHERE id = 3").await;

    let dead = [silent(one), silent(NodeId(3)), silent(NodeId(77))];
    let owners = [gives(0, 1, two), gives(1, 1, two)];
    let evicted = t.cluster().evict(term, &dead, &owners).await.unwrap();
    let applied = vec![owned(0, 2, two), owned(1, 2, two), owned(2, 1, two)];
    let slots = Changed { version: 3, applied };
    assert_eq!(evicted, Evicted { processes: vec![ProcessId(1), ProcessId(3)], slots });
    assert_eq!(t.cluster().renew(one.into()).await.unwrap(), Renewal::Evicted);
    let nodes = t.cluster().live_processes(ProcessKind::Node).await.unwrap();
    assert_eq!((nodes.version, nodes.processes.len()), (version + 1, 1));
    // Once more, after a lost answer.
    let again = t.cluster().evict(term, &dead, &owners).await.unwrap();
    assert_eq!(again, Evicted { processes: vec![], slots: Changed { version: 3, applied: vec![] } });
}

pub(crate) async fn spares_who_renews(t: &Fixture) {
    let (one, two, term) = two_nodes(t).await;
    t.raw(SILENCE).await;
    assert!(matches!(t.cluster().renew(one.into()).await.unwrap(), Renewal::Renewed(_)));
    let evicted = t.cluster().evict(term, &[silent(one)], &[gives(0, 1, two)]).await.unwrap();
    assert_eq!((evicted.processes, evicted.slots.applied), (vec![], vec![]));
    assert_eq!(t.slot_row(0).await, owned(0, 1, one));
}

pub(crate) async fn loses_to_a_renewal_in_flight(t: &Fixture) {
    let (one, two, term) = two_nodes(t).await;
    t.raw(SILENCE).await;
    let mut beside = t.beside().await;
    let mut renewing = beside.begin().await.unwrap();
    sqlx::query("UPDATE processes SET renewed_at = now() WHERE id = 1")
        .execute(&mut *renewing)
        .await
        .unwrap();
    let cluster = t.cluster();
    let evicting =
        tokio::spawn(async move { cluster.evict(term, &[silent(one)], &[gives(0, 1, two)]).await.unwrap() });
    t.waiting_for_locks(1).await;
    renewing.commit().await.unwrap();
    let evicted = evicting.await.unwrap();
    assert_eq!((evicted.processes, evicted.slots.applied), (vec![], vec![]));
    assert!(matches!(t.cluster().renew(one.into()).await.unwrap(), Renewal::Renewed(_)));
}

pub(crate) async fn is_heard_by_a_renewal_that_comes_too_late(t: &Fixture) {
    let (one, two, term) = two_nodes(t).await;
    t.raw(SILENCE).await;
    let cluster = t.cluster();
    // The row is deleted before the slot is locked; nothing is committed yet.
    let holder = t.hold_slot(0).await;
    let evicting =
        tokio::spawn(async move { cluster.evict(term, &[silent(one)], &[gives(0, 1, two)]).await.unwrap() });
    t.waiting_for_locks(1).await;
    let late = t.cluster();
    let renewing = tokio::spawn(async move { late.renew(one.into()).await.unwrap() });
    t.waiting_for_locks(2).await;
    holder.release().await;
    assert_eq!(evicting.await.unwrap().processes, [ProcessId(1)]);
    assert_eq!(renewing.await.unwrap(), Renewal::Evicted);
}

pub(crate) async fn believes_a_renewal_rather_than_the_evidence(t: &Fixture) {
    let (one, two, term) = two_nodes(t).await;
    let Renewal::Renewed(renewed) = t.cluster().renew(one.into()).await.unwrap() else { panic!("evicted") };
    let evict = async |since| {
        let dead = Eviction { process: one.into(), stale: Staleness::NotSince(since) };
        t.cluster().evict(term, &[dead], &[gives(0, 1, two)]).await.unwrap().processes
    };
    assert_eq!(evict(renewed.at.minus(Duration::from_secs(1))).await, []);
    assert_eq!(evict(renewed.at).await, []);
    // A lease that runs does not help against evidence that is newer.
    assert_eq!(evict(renewed.at.plus(Duration::from_micros(1))).await, [ProcessId(1)]);
    assert_eq!(t.slot_row(0).await, owned(0, 2, two));
}

pub(crate) async fn takes_who_renewed_before_the_clock_went_back(t: &Fixture) {
    let (one, two, term) = two_nodes(t).await;
    t.raw("UPDATE processes SET renewed_at = now() + interval '1 hour' WHERE id = 1").await;
    let evicted = t.cluster().evict(term, &[silent(one)], &[gives(0, 1, two)]).await.unwrap();
    assert_eq!((evicted.processes, evicted.slots.applied), (vec![ProcessId(1)], vec![owned(0, 2, two)]));
}

pub(crate) async fn cuts_off_who_stops_in_the_middle(t: &Fixture) {
    let (one, two, term) = two_nodes(t).await;
    let three = t.node(3).await;
    t.raw(SILENCE).await;
    let cluster = t.cluster();
    let (dead, owners) = ([silent(one)], [gives(0, 1, two)]);
    let mut stopped = pin!(cluster.evict(term, &dead, &owners));
    t.run_until_locked(stopped.as_mut(), 0).await;
    // It holds every lock there is to hold, and does nothing any more.
    let began = Instant::now();
    let TakeCoordinator::Taken(next) = t.cluster().try_take(three, OVER).await.unwrap() else {
        panic!("held")
    };
    let evicted = t.cluster().evict(next, &dead, &[gives(0, 1, three)]).await.unwrap();
    assert!(began.elapsed() < LEASE, "{:?}", began.elapsed());
    assert_eq!((evicted.processes, evicted.slots.applied), (vec![ProcessId(1)], vec![owned(0, 2, three)]));
    // Awake again, it learns that it did nothing, and then why it may not.
    let lost = stopped.await;
    assert!(matches!(&lost, Err(TermError::Store(error)) if error.is_unavailable()), "{lost:?}");
    assert!(matches!(t.cluster().evict(term, &dead, &owners).await, Err(TermError::Deposed(_))));
    let held = t.cluster().try_take(two, LONG).await.unwrap();
    assert!(matches!(held, TakeCoordinator::Held(state) if state.holder == Some(three)));
    assert_eq!(t.slot_row(1).await, SlotRow { owner: Some(one), ..owned(1, 1, one) });
}
