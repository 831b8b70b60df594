use std::time::Duration;

use streamz_protocol::{NodeId, ProcessId};
use streamz_store::{ProcessKind, RegisterError, Renewal, Renewed, StoreError};

use crate::fixture::{Fixture, gives, owned};

async fn renewed(t: &Fixture, id: u64) -> Renewed {
    match t.cluster().renew(ProcessId(id)).await.unwrap() {
        Renewal::Renewed(renewed) => renewed,
        Renewal::Evicted => panic!("{id} was evicted"),
    }
}

pub(crate) async fn are_listed_as_registered(t: &Fixture) {
    let cluster = t.cluster();
    cluster.register_process(ProcessId(9), ProcessKind::Gateway, "g", "1.2.3", 0).await.unwrap();
    t.node(3).await;
    t.node(2).await;
    let nodes = cluster.live_processes(ProcessKind::Node).await.unwrap();
    let ids: Vec<u64> = nodes.processes.iter().map(|process| process.id.0).collect();
    assert_eq!((nodes.version, ids), (3, vec![2, 3]));
    let gateways = cluster.live_processes(ProcessKind::Gateway).await.unwrap();
    let [gateway] = &gateways.processes[..] else { panic!("{gateways:?}") };
    assert_eq!((gateway.id, gateway.name.as_str(), gateway.info.as_str()), (ProcessId(9), "g", "1.2.3"));
    assert!(!gateway.draining && gateway.age < Duration::from_secs(60));
    assert_eq!(ProcessKind::Gateway.as_str(), "gateway");
}

pub(crate) async fn have_ids_of_their_own(t: &Fixture) {
    let cluster = t.cluster();
    let register =
        async |id, name| cluster.register_process(ProcessId(id), ProcessKind::Node, name, "", 0).await;
    for id in [0, 1 << 63, u64::MAX] {
        assert!(matches!(register(id, "a").await, Err(RegisterError::InvalidId)));
    }
    register((1 << 63) - 1, "a").await.unwrap();
    // The answer was lost: once more.
    assert_eq!(register((1 << 63) - 1, "a").await.unwrap().namesakes, []);
    assert!(matches!(register((1 << 63) - 1, "b").await, Err(RegisterError::IdTaken)));
    let bad = register(1, "a\0").await;
    assert!(
        matches!(bad, Err(RegisterError::Store(StoreError::InvalidText { field: "name", .. }))),
        "{bad:?}"
    );
    assert_eq!(t.count("SELECT count(*) FROM processes").await, 1);
}

pub(crate) async fn hear_of_their_namesakes(t: &Fixture) {
    let cluster = t.cluster();
    let namesakes = async |id, kind, name| {
        let registered = cluster.register_process(ProcessId(id), kind, name, "", 0).await.unwrap();
        registered.namesakes.iter().map(|process| process.id.0).collect::<Vec<_>>()
    };
    assert_eq!(namesakes(1, ProcessKind::Node, "a").await, Vec::<u64>::new());
    assert_eq!(namesakes(2, ProcessKind::Node, "a").await, [1]);
    assert_eq!(namesakes(3, ProcessKind::Gateway, "a").await, Vec::<u64>::new());
    assert_eq!(namesakes(4, ProcessKind::Node, "b").await, Vec::<u64>::new());
}

pub(crate) async fn have_one_key(t: &Fixture) {
    let cluster = t.cluster();
    let register =
        async |id, key| cluster.register_process(ProcessId(id), ProcessKind::Node, "a", "", key).await;
    register(1, 7).await.unwrap();
    register(2, 7).await.unwrap();
    let refused = register(3, u32::MAX).await.unwrap_err();
    assert_eq!(refused.to_string(), "node a has another key");
    assert_eq!(t.count("SELECT count(*) FROM processes").await, 2);
    // Those that do not renew any more do not count: all were stopped, and start with a new secret.
    t.raw("UPDATE processes SET renewed_at = renewed_at - interval '11 seconds'").await;
    register(3, u32::MAX).await.unwrap();
}

pub(crate) async fn of_one_name_hear_of_each_other_also_at_once(t: &Fixture) {
    let all: Vec<_> = (1..=16)
        .map(|id| {
            let cluster = t.cluster();
            tokio::spawn(async move {
                cluster.register_process(ProcessId(id), ProcessKind::Node, "a", "", 0).await
            })
        })
        .collect();
    let mut heard = Vec::new();
    for one in all {
        heard.push(one.await.unwrap().unwrap().namesakes.len());
    }
    heard.sort_unstable();
    assert_eq!(heard, (0..16).collect::<Vec<_>>());
    // Each is one version of the list.
    assert_eq!(t.cluster().live_processes(ProcessKind::Node).await.unwrap().version, 16);
}

pub(crate) async fn renew_and_learn_what_is_new(t: &Fixture) {
    assert_eq!(t.cluster().renew(ProcessId(1)).await.unwrap(), Renewal::Evicted);
    let node = t.node(1).await;
    let first = renewed(t, 1).await;
    assert_eq!((first.table_version, first.members_version, first.draining), (0, 1, false));
    assert_eq!((first.coordinator.holder, first.coordinator.epoch), (None, 0));

    let term = t.coordinates(node).await;
    t.cluster().assign(term, &[gives(7, 0, node)]).await.unwrap();
    t.node(2).await;
    let second = renewed(t, 1).await;
    assert_eq!((second.table_version, second.members_version), (1, 2));
    assert_eq!((second.coordinator.holder, second.coordinator.epoch), (Some(node), 1));
    assert!(second.coordinator.age < Duration::from_secs(60));
    assert!(second.at > first.at && second.at.since(first.at) > Duration::ZERO);
    assert_eq!(first.at.since(second.at), Duration::ZERO);
    assert_eq!(first.at.plus(Duration::from_secs(3)).minus(Duration::from_secs(3)), first.at);
}

pub(crate) async fn drain(t: &Fixture) {
    t.node(1).await;
    assert!(t.cluster().set_draining(ProcessId(1)).await.unwrap());
    assert!(!t.cluster().set_draining(ProcessId(1)).await.unwrap());
    assert!(!t.cluster().set_draining(ProcessId(2)).await.unwrap());
    let nodes = t.cluster().live_processes(ProcessKind::Node).await.unwrap();
    assert!(nodes.processes[0].draining);
    assert_eq!(nodes.version, 2);
    assert!(renewed(t, 1).await.draining);
}

pub(crate) async fn leave_nothing_behind(t: &Fixture) {
    let (leaves, stays) = (t.node(1).await, t.node(2).await);
    let term = t.coordinates(leaves).await;
    t.cluster().assign(term, &[gives(0, 0, leaves), gives(1, 0, stays)]).await.unwrap();
    let to_it = streamz_store::Move { tenure: crate::fixture::tenure(1, 1), owner: stays, to: leaves };
    assert_eq!(t.cluster().plan_moves(term, &[to_it]).await.unwrap().applied.len(), 1);
    let before = renewed(t, 2).await;

    assert!(t.cluster().remove_process(leaves.into()).await.unwrap());
    assert!(!t.cluster().remove_process(leaves.into()).await.unwrap());
    assert_eq!(t.cluster().renew(leaves.into()).await.unwrap(), Renewal::Evicted);
    assert_eq!(t.count("SELECT count(*) FROM processes").await, 1);
    let after = renewed(t, 2).await;
    assert_eq!(after.coordinator.holder, None);
    assert_eq!(after.members_version, before.members_version + 1);
    assert_eq!(after.table_version, before.table_version + 1);
    assert_eq!(t.slot_row(1).await, owned(1, 1, stays));
    // What it owned waits for the coordinator.
    assert_eq!(t.slot_row(0).await, owned(0, 1, NodeId(1)));
    let term = t.coordinates(stays).await;
    let taken = t.cluster().assign(term, &[gives(0, 1, stays)]).await.unwrap();
    assert_eq!(taken.applied, [owned(0, 2, stays)]);
}

pub(crate) async fn age_by_the_database(t: &Fixture) {
    const HOUR: Duration = Duration::from_secs(3600);
    t.node(1).await;
    let age = async || t.cluster().live_processes(ProcessKind::Node).await.unwrap().processes[0].age;
    assert!(age().await < HOUR);
    t.raw("UPDATE processes SET renewed_at = now() - interval '1 hour'").await;
    assert!(age().await >= HOUR);
    renewed(t, 1).await;
    assert!(age().await < HOUR);
    // The clock went back by two hours.
    t.raw("UPDATE processes SET renewed_at = now() + interval '2 hours'").await;
    assert!(age().await >= HOUR);
    renewed(t, 1).await;
    assert!(age().await < HOUR);
}
