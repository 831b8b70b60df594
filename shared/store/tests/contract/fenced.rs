use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::Connection;
use streamz_protocol::NodeId;
use streamz_protocol::cluster::Tenure;
use streamz_store::{
    ClusterStore, CoordinatorTerm, Device, FencedPresence, FencedWrite, Move, PresenceUpdate, StoreError,
    StreamRecord, StreamWrite, User,
};
use uuid::Uuid;

use crate::fixture::{Fixture, at, gives, owned, ringing, tenure};

fn online(tenure: Tenure, device: &Device, seconds: i64) -> FencedPresence {
    let update = PresenceUpdate { id: device.id, is_online: true, last_seen: at(seconds) };
    FencedPresence { tenure, update }
}

fn wrote(written: u64, refused: &[Tenure]) -> FencedWrite {
    FencedWrite { written, refused: refused.iter().copied().collect() }
}

/// Nodes 1 and 2, slots 0 to 7 at epoch 1 with the first of them.
async fn owners(t: &Fixture) -> (NodeId, NodeId, CoordinatorTerm) {
    let (one, two) = (t.node(1).await, t.node(2).await);
    let term = t.coordinates(two).await;
    let all: Vec<_> = (0..8).map(|number| gives(number, 0, one)).collect();
    assert_eq!(t.cluster().assign(term, &all).await.unwrap().applied.len(), 8);
    (one, two, term)
}

/// Moves slots as the coordinator and their owner do.
async fn move_to(cluster: &ClusterStore, term: CoordinatorTerm, from: NodeId, to: NodeId, slots: &[Tenure]) {
    let moves: Vec<Move> = slots.iter().map(|tenure| Move { tenure: *tenure, owner: from, to }).collect();
    cluster.plan_moves(term, &moves).await.unwrap();
    assert_eq!(cluster.hand_over(from, slots).await.unwrap().applied.len(), slots.len());
}

async fn seen(t: &Fixture, user: &User, device: &Device) -> (bool, Option<chrono::DateTime<chrono::Utc>>) {
    let device = t.store.device(user.id, &device.device_id).await.unwrap().unwrap();
    (device.is_online, device.last_seen)
}

pub(crate) async fn writes_presence_while_it_owns(t: &Fixture) {
    owners(t).await;
    let ada = t.user().await;
    let (phone, tv, hat) = (t.device(&ada, "a").await, t.device(&ada, "b").await, t.device(&ada, "c").await);
    let updates = [
        online(tenure(0, 1), &phone, 1),
        online(tenure(1, 0), &tv, 1),
        online(tenure(2, 2), &hat, 1),
        // Gone since.
        FencedPresence {
            update: PresenceUpdate { id: Uuid::now_v7(), ..online(tenure(3, 1), &hat, 1).update },
            tenure: tenure(3, 1),
        },
    ];
    let written = t.cluster().set_presence(&updates).await.unwrap();
    assert_eq!(written, wrote(1, &[tenure(1, 0), tenure(2, 2)]));
    assert_eq!(seen(t, &ada, &phone).await, (true, Some(at(1))));
    for device in [&tv, &hat] {
        assert_eq!(seen(t, &ada, device).await, (false, None));
    }
    // Two epochs of one slot: one of them can be true.
    let both = [online(tenure(0, 1), &phone, 2), online(tenure(0, 7), &tv, 2)];
    assert_eq!(t.cluster().set_presence(&both).await.unwrap(), wrote(1, &[tenure(0, 7)]));
    assert_eq!(t.cluster().set_presence(&[]).await.unwrap(), wrote(0, &[]));
    assert_eq!(t.cluster().set_presence(&both[1..]).await.unwrap(), wrote(0, &[tenure(0, 7)]));
}

pub(crate) async fn writes_streams_while_it_owns(t: &Fixture) {
    owners(t).await;
    let ada = t.user().await;
    let record = ringing(ada.id, at(0));
    let cluster = t.cluster();
    for epoch in [0, 2] {
        let written = cluster.upsert_stream(tenure(0, epoch), &record).await.unwrap();
        assert_eq!(written, StreamWrite::Refused);
    }
    assert_eq!(t.store.stream(ada.id, record.id).await.unwrap(), None);
    assert_eq!(cluster.upsert_stream(tenure(0, 1), &record).await.unwrap(), StreamWrite::Written);
    let ended = StreamRecord { ended_at: Some(at(5)), ..record.clone() };
    assert_eq!(cluster.upsert_stream(tenure(0, 0), &ended).await.unwrap(), StreamWrite::Refused);
    assert_eq!(t.store.stream(ada.id, record.id).await.unwrap().unwrap().ended_at, None);
    assert_eq!(cluster.upsert_stream(tenure(0, 1), &ended).await.unwrap(), StreamWrite::Written);
    assert_eq!(t.store.stream(ada.id, record.id).await.unwrap().unwrap().ended_at, Some(at(5)));
    let nobodys = ringing(Uuid::now_v7(), at(0));
    assert_eq!(cluster.upsert_stream(tenure(0, 1), &nobodys).await.unwrap(), StreamWrite::NoUser);
    let stolen = StreamRecord { user_id: t.user().await.id, ..record };
    assert_eq!(cluster.upsert_stream(tenure(0, 1), &stolen).await.unwrap(), StreamWrite::NoUser);
    let nul = StreamRecord { quality: Some("\0".to_owned()), ..ended };
    let refused = cluster.upsert_stream(tenure(0, 1), &nul).await;
    assert!(matches!(refused, Err(StoreError::InvalidText { field: "quality", .. })), "{refused:?}");
}

pub(crate) async fn closes_streams_while_it_owns(t: &Fixture) {
    owners(t).await;
    let ada = t.user().await;
    let records: Vec<StreamRecord> = (0..3).map(|n| ringing(ada.id, at(n))).collect();
    for record in &records {
        t.cluster().upsert_stream(tenure(0, 1), record).await.unwrap();
    }
    let ended = StreamRecord { ended_at: Some(at(5)), ..records[2].clone() };
    t.cluster().upsert_stream(tenure(0, 1), &ended).await.unwrap();
    let close = [(tenure(0, 1), records[0].id), (tenure(0, 2), records[1].id), (tenure(0, 1), records[2].id)];
    let closed = t.cluster().close_streams(&close, at(9), "node_lost").await.unwrap();
    assert_eq!(closed, wrote(1, &[tenure(0, 2)]));
    let mut ends = Vec::new();
    for record in &records {
        let stream = t.store.stream(ada.id, record.id).await.unwrap().unwrap();
        ends.push((stream.ended_at, stream.end_reason));
    }
    let expected = [(Some(at(9)), Some("node_lost".to_owned())), (None, None), (Some(at(5)), None)];
    assert_eq!(ends, expected);
}

pub(crate) async fn is_waited_for_by_a_change_of_owner(t: &Fixture) {
    let (one, two, term) = owners(t).await;
    let ada = t.user().await;
    let phone = t.device(&ada, "phone").await;
    let moves = [Move { tenure: tenure(0, 1), owner: one, to: two }];
    t.cluster().plan_moves(term, &moves).await.unwrap();
    // Somebody holds the write up, after it has seen its epoch.
    let mut beside = t.beside().await;
    let mut holding = beside.begin().await.unwrap();
    sqlx::query("SELECT id FROM devices FOR UPDATE").execute(&mut *holding).await.unwrap();
    let cluster = t.cluster();
    let update = online(tenure(0, 1), &phone, 1);
    let writing = tokio::spawn(async move { cluster.set_presence(&[update]).await.unwrap() });
    t.waiting_for_locks(1).await;
    let cluster = t.cluster();
    let moving = tokio::spawn(async move { cluster.hand_over(one, &[tenure(0, 1)]).await.unwrap() });
    t.waiting_for_locks(2).await;
    holding.rollback().await.unwrap();
    assert_eq!(writing.await.unwrap(), wrote(1, &[]));
    assert_eq!(moving.await.unwrap().applied, [owned(0, 2, two)]);
    assert_eq!(seen(t, &ada, &phone).await, (true, Some(at(1))));
}

pub(crate) async fn waits_for_a_change_of_owner_and_is_refused(t: &Fixture) {
    let (one, two, term) = owners(t).await;
    let ada = t.user().await;
    let phone = t.device(&ada, "phone").await;
    let given = [tenure(0, 1), tenure(1, 1)];
    let moves = given.map(|tenure| Move { tenure, owner: one, to: two });
    t.cluster().plan_moves(term, &moves).await.unwrap();
    let cluster = t.cluster();
    // Locked in order: it has the first, and waits for the second.
    let holder = t.hold_slot(1).await;
    let moving = tokio::spawn(async move { cluster.hand_over(one, &given).await.unwrap() });
    t.waiting_for_locks(1).await;
    let (late, late_record) = (t.cluster(), ringing(ada.id, at(0)));
    let update = online(tenure(0, 1), &phone, 1);
    let presence = tokio::spawn(async move { late.set_presence(&[update]).await.unwrap() });
    let late = t.cluster();
    let stream = tokio::spawn(async move { late.upsert_stream(tenure(0, 1), &late_record).await.unwrap() });
    t.waiting_for_locks(3).await;
    holder.release().await;
    assert_eq!(moving.await.unwrap().applied, [owned(0, 2, two), owned(1, 2, two)]);
    assert_eq!(presence.await.unwrap(), wrote(0, &[tenure(0, 1)]));
    assert_eq!(stream.await.unwrap(), StreamWrite::Refused);
    assert_eq!(seen(t, &ada, &phone).await, (false, None));
}

pub(crate) async fn never_writes_after_the_next_owner(t: &Fixture) {
    const EPOCHS: u64 = 25;
    let (one, two, term) = owners(t).await;
    let ada = t.user().await;
    let phone = t.device(&ada, "phone").await;
    // One writer an epoch, each of which goes on until it is refused for good.
    let writers: Vec<_> = (1..=EPOCHS)
        .map(|epoch| {
            let (cluster, update) = (t.cluster(), online(tenure(0, epoch), &phone, epoch as i64));
            tokio::spawn(async move {
                let mut owned = false;
                loop {
                    let write = cluster.set_presence(&[update]).await.unwrap();
                    if write.written == 0 && (owned || epoch == EPOCHS) {
                        return;
                    }
                    owned |= write.written == 1;
                }
            })
        })
        .collect();
    for epoch in 1..EPOCHS {
        let (from, to) = if epoch % 2 == 1 { (one, two) } else { (two, one) };
        let write =
            t.cluster().set_presence(&[online(tenure(0, epoch), &phone, epoch as i64)]).await.unwrap();
        assert_eq!(write.written, 1);
        assert_eq!(seen(t, &ada, &phone).await.1, Some(at(epoch as i64)));
        move_to(&t.cluster(), term, from, to, &[tenure(0, epoch)]).await;
    }
    for writer in writers {
        writer.abort();
    }
    let last = online(tenure(0, EPOCHS), &phone, 1000);
    assert_eq!(t.cluster().set_presence(&[last]).await.unwrap().written, 1);
    for epoch in 0..EPOCHS {
        let late = t.cluster().set_presence(&[online(tenure(0, epoch), &phone, 1)]).await.unwrap();
        assert_eq!(late, wrote(0, &[tenure(0, epoch)]));
    }
}

pub(crate) async fn does_not_deadlock_with_changes_of_owners(t: &Fixture) {
    const EPOCHS: u64 = 60;
    let (one, two, term) = owners(t).await;
    let ada = t.user().await;
    let mut devices = Vec::new();
    for n in 0..8_u16 {
        devices.push(t.device(&ada, &n.to_string()).await);
    }
    let epoch = Arc::new(AtomicU64::new(1));
    let writers: Vec<_> = (0..6)
        .map(|turn| {
            let (cluster, devices, epoch) = (t.cluster(), devices.clone(), epoch.clone());
            tokio::spawn(async move {
                let mut refused = BTreeSet::new();
                loop {
                    let now = epoch.load(Ordering::Relaxed);
                    if now == EPOCHS {
                        return refused.len();
                    }
                    // Each begins with another slot.
                    let updates: Vec<FencedPresence> = (0..8_u16)
                        .map(|n| (n + turn) % 8)
                        .map(|n| online(tenure(n, now), &devices[usize::from(n)], 1))
                        .collect();
                    refused.extend(cluster.set_presence(&updates).await.unwrap().refused);
                }
            })
        })
        .collect();
    for at in 1..EPOCHS {
        let (from, to) = if at % 2 == 1 { (one, two) } else { (two, one) };
        let slots: Vec<Tenure> = (0..8).rev().map(|number| tenure(number, at)).collect();
        move_to(&t.cluster(), term, from, to, &slots).await;
        epoch.store(at + 1, Ordering::Relaxed);
    }
    let mut refused = 0;
    for writer in writers {
        refused += writer.await.unwrap();
    }
    assert!(refused > 0, "they never met");
}

pub(crate) async fn is_written_with_the_slot(t: &Fixture) {
    owners(t).await;
    let ada = t.user().await;
    let phone = t.device(&ada, "phone").await;
    t.cluster().set_presence(&[online(tenure(3, 1), &phone, 1)]).await.unwrap();
    let record = ringing(ada.id, at(0));
    t.cluster().upsert_stream(tenure(3, 1), &record).await.unwrap();
    // A write without an ownership takes no slot away.
    t.store.upsert_stream(&record).await.unwrap();
    assert_eq!(t.count("SELECT count(*) FROM devices WHERE slot = 3").await, 1);
    assert_eq!(t.count("SELECT count(*) FROM streams WHERE slot = 3").await, 1);
}
