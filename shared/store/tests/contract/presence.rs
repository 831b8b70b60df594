use streamz_store::{MAX_PRESENCE_BATCH, PresenceUpdate};
use uuid::Uuid;

use crate::fixture::{Fixture, at};

fn online(id: Uuid) -> PresenceUpdate {
    PresenceUpdate { id, is_online: true, last_seen: at(7) }
}

pub(crate) async fn is_written_in_batches(t: &Fixture) {
    let ada = t.user().await;
    let mut updates = Vec::new();
    for n in 0..=MAX_PRESENCE_BATCH {
        updates.push(online(t.device(&ada, &n.to_string()).await.id));
    }
    let bystander = t.device(&ada, "bystander").await;
    assert_eq!(t.store.set_presence(&updates).await.unwrap(), updates.len() as u64);
    let devices = t.store.devices(ada.id).await.unwrap();
    for device in devices {
        let expected = if device.id == bystander.id { (false, None) } else { (true, Some(at(7))) };
        assert_eq!((device.is_online, device.last_seen), expected);
    }
    assert_eq!(t.store.set_presence(&[]).await.unwrap(), 0);
}

pub(crate) async fn takes_the_last_word(t: &Fixture) {
    let ada = t.user().await;
    let phone = t.device(&ada, "phone").await.id;
    let updates = [online(phone), PresenceUpdate { id: phone, is_online: false, last_seen: at(8) }];
    assert_eq!(t.store.set_presence(&updates).await.unwrap(), 1);
    let device = t.store.device(ada.id, "phone").await.unwrap().unwrap();
    assert_eq!((device.is_online, device.last_seen), (false, Some(at(8))));
}

pub(crate) async fn passes_over_what_is_gone(t: &Fixture) {
    let ada = t.user().await;
    let phone = t.device(&ada, "phone").await.id;
    assert_eq!(t.store.set_presence(&[online(Uuid::now_v7()), online(phone)]).await.unwrap(), 1);
}

pub(crate) async fn is_put_right_after_a_crash(t: &Fixture) {
    let ada = t.user().await;
    let mut updates = Vec::new();
    for n in 0..3 {
        updates.push(online(t.device(&ada, &n.to_string()).await.id));
    }
    t.store.set_presence(&updates[..2]).await.unwrap();
    assert_eq!(t.store.reset_presence(None).await.unwrap(), 2);
    assert_eq!(t.store.reset_presence(None).await.unwrap(), 0);
    let devices = t.store.devices(ada.id).await.unwrap();
    assert!(devices.iter().all(|device| !device.is_online));
    // When they were last there is still known.
    assert_eq!(devices[0].last_seen, Some(at(7)));
    // At an orderly end it is known better.
    t.store.set_presence(&updates[..1]).await.unwrap();
    assert_eq!(t.store.reset_presence(Some(at(9))).await.unwrap(), 1);
    let devices = t.store.devices(ada.id).await.unwrap();
    let seen = |n: usize| devices.iter().find(|device| device.id == updates[n].id).unwrap().last_seen;
    assert_eq!((seen(0), seen(1)), (Some(at(9)), Some(at(7))));
}
