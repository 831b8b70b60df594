use streamz_protocol::UserId;
use streamz_protocol::cluster::{SLOTS, Slot};
use streamz_store::{FencedPresence, Left, PresenceUpdate, StreamRecord};
use uuid::Uuid;

use crate::fixture::{Fixture, at, gives, ringing, slot, tenure};

/// A node with every slot at epoch 1, and so many devices online and streams open in each of these.
async fn leave(t: &Fixture, slots: &[u16], each: usize) -> (Vec<Left>, Vec<Left>) {
    let node = t.node(1).await;
    let term = t.coordinates(node).await;
    let all: Vec<_> = (0..SLOTS).map(|number| gives(number, 0, node)).collect();
    t.cluster().assign(term, &all).await.unwrap();
    let ada = t.user().await;
    let user = UserId(ada.id);
    let (mut online, mut open) = (Vec::new(), Vec::new());
    for number in slots {
        for n in 0..each {
            let device = t.device(&ada, &format!("{number}-{n}")).await.id;
            let update = PresenceUpdate { id: device, is_online: true, last_seen: at(1) };
            let fenced = FencedPresence { tenure: tenure(*number, 1), update };
            assert_eq!(t.cluster().set_presence(&[fenced]).await.unwrap().written, 1);
            online.push(Left { slot: slot(*number), id: device, user });
            let record = ringing(ada.id, at(0));
            t.cluster().upsert_stream(tenure(*number, 1), &record).await.unwrap();
            open.push(Left { slot: slot(*number), id: record.id, user });
        }
    }
    let order = |left: &Left| (left.slot, left.id);
    online.sort_unstable_by_key(order);
    open.sort_unstable_by_key(order);
    (online, open)
}

pub(crate) async fn is_found_by_slot(t: &Fixture) {
    let (online, open) = leave(t, &[3, 5, 4095], 2).await;
    let cluster = t.cluster();
    let asked = [slot(4095), slot(3), slot(4), slot(3)];
    let of = |all: &[Left]| all.iter().copied().filter(|left| left.slot != slot(5)).collect::<Vec<_>>();
    assert_eq!(cluster.left_online(&asked, None, 100).await.unwrap(), of(&online));
    assert_eq!(cluster.left_open(&asked, None, 100).await.unwrap(), of(&open));
    assert_eq!(cluster.left_online(&[], None, 100).await.unwrap(), []);

    // Put right: those of slot 3, by their owner.
    let offline: Vec<FencedPresence> = online[..2]
        .iter()
        .map(|left| FencedPresence {
            tenure: tenure(3, 1),
            update: PresenceUpdate { id: left.id, is_online: false, last_seen: at(9) },
        })
        .collect();
    assert_eq!(cluster.set_presence(&offline).await.unwrap().written, 2);
    let close: Vec<(_, Uuid)> = open[..2].iter().map(|left| (tenure(3, 1), left.id)).collect();
    assert_eq!(cluster.close_streams(&close, at(9), "node_lost").await.unwrap().written, 2);
    assert_eq!(cluster.left_online(&asked, None, 100).await.unwrap(), online[4..]);
    assert_eq!(cluster.left_open(&asked, None, 100).await.unwrap(), open[4..]);
}

pub(crate) async fn comes_in_pages(t: &Fixture) {
    let (online, open) = leave(t, &[0, 1, 7], 5).await;
    let all: Vec<Slot> = (0..64).map(slot).collect();
    for (limit, left) in [(1, &online), (2, &online), (4, &open), (7, &open), (15, &online)] {
        let mut read: Vec<Left> = Vec::new();
        loop {
            let after = read.last();
            let page = if left == &online {
                t.cluster().left_online(&all, after, limit).await.unwrap()
            } else {
                t.cluster().left_open(&all, after, limit).await.unwrap()
            };
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= limit as usize);
            read.extend(page);
        }
        assert_eq!(&read, left, "{limit}");
    }
}

pub(crate) async fn is_adopted_without_a_slot(t: &Fixture) {
    // A single process wrote them.
    let ada = t.user().await;
    let mut updates = Vec::new();
    for n in 0..3 {
        let id = t.device(&ada, &n.to_string()).await.id;
        updates.push(PresenceUpdate { id, is_online: n != 0, last_seen: at(1) });
    }
    t.store.set_presence(&updates).await.unwrap();
    let record = ringing(ada.id, at(0));
    t.store.upsert_stream(&record).await.unwrap();
    t.store.upsert_stream(&StreamRecord { ended_at: Some(at(1)), ..ringing(ada.id, at(0)) }).await.unwrap();

    let of_ada = [Slot::of(UserId(ada.id))];
    assert_eq!(t.cluster().left_online(&of_ada, None, 9).await.unwrap(), []);
    let mut found = 0;
    loop {
        match t.cluster().adopt_strays(1).await.unwrap() {
            0 => break,
            some => found += some,
        }
    }
    assert_eq!(found, 3);
    let online = t.cluster().left_online(&of_ada, None, 9).await.unwrap();
    assert!(online.len() == 2 && online.iter().all(|left| left.user == UserId(ada.id)));
    assert_eq!(t.cluster().left_open(&of_ada, None, 9).await.unwrap()[0].id, record.id);
}
