use std::collections::HashSet;

use streamz_store::{CreateDeviceError, DeviceChange, EnsureDeviceError, Ensured, NewDevice};
use uuid::Uuid;

use crate::fixture::{Fixture, PLENTY, at, new_device};

pub(crate) async fn come_back_as_made(t: &Fixture) {
    let ada = t.user().await;
    let new = NewDevice { user_id: ada.id, device_id: "tv-1", device_name: "Living room", device_type: "tv" };
    let tv = t.store.create_device(new, PLENTY, at(1)).await.unwrap();
    assert_eq!(
        serde_json::to_value(&tv).unwrap(),
        serde_json::json!({
            "id": tv.id.to_string(),
            "user_id": ada.id.to_string(),
            "device_id": "tv-1",
            "device_name": "Living room",
            "device_type": "tv",
            "is_online": false,
            "last_seen": null,
            "created_at": "2025-11-24T16:00:01.000Z",
        })
    );
    let phone = t.device(&ada, "phone").await;
    assert_eq!(t.store.device(ada.id, "tv-1").await.unwrap().as_ref(), Some(&tv));
    assert_eq!(t.store.devices(ada.id).await.unwrap(), [phone, tv], "oldest first");
}

pub(crate) async fn are_unique_for_their_user_only(t: &Fixture) {
    let (ada, eve) = (t.user().await, t.user().await);
    t.device(&ada, "phone").await;
    t.device(&eve, "phone").await;
    let again = t.store.create_device(new_device(ada.id, "phone"), PLENTY, at(0)).await;
    assert!(matches!(again, Err(CreateDeviceError::AlreadyExists)), "{again:?}");
    // Names are compared as they are: neither case nor form is folded.
    for other in ["Phone", "phone ", "pho\u{6e}\u{303}e"] {
        t.device(&ada, other).await;
    }
}

pub(crate) async fn are_counted(t: &Fixture) {
    let ada = t.user().await;
    for n in 0..3 {
        t.store.create_device(new_device(ada.id, &n.to_string()), 3, at(0)).await.unwrap();
    }
    let fourth = t.store.create_device(new_device(ada.id, "3"), 3, at(0)).await;
    assert!(matches!(fourth, Err(CreateDeviceError::TooMany)), "{fourth:?}");
    let fourth = t.store.ensure_device(new_device(ada.id, "3"), 3, at(0)).await;
    assert!(matches!(fourth, Err(EnsureDeviceError::TooMany)), "{fourth:?}");
    // Whoever is registered may come, even if the limit was lowered since.
    let known = t.store.ensure_device(new_device(ada.id, "2"), 1, at(0)).await.unwrap();
    assert!(matches!(known, Ensured::Known(_)));
    let known = t.store.create_device(new_device(ada.id, "2"), 1, at(0)).await;
    assert!(matches!(known, Err(CreateDeviceError::AlreadyExists)), "{known:?}");
}

pub(crate) async fn need_a_user(t: &Fixture) {
    let created = t.store.create_device(new_device(Uuid::now_v7(), "phone"), PLENTY, at(0)).await;
    assert!(matches!(created, Err(CreateDeviceError::UnknownUser)), "{created:?}");
    let ensured = t.store.ensure_device(new_device(Uuid::now_v7(), "phone"), PLENTY, at(0)).await;
    assert!(matches!(ensured, Err(EnsureDeviceError::UnknownUser)), "{ensured:?}");
}

pub(crate) async fn are_ensured_once(t: &Fixture) {
    let ada = t.user().await;
    let new = NewDevice { user_id: ada.id, device_id: "tv", device_name: "TV", device_type: "tv" };
    let Ensured::Registered(first) = t.store.ensure_device(new, PLENTY, at(0)).await.unwrap() else {
        panic!("it was new")
    };
    let renamed = NewDevice { device_name: "other", ..new };
    let second = t.store.ensure_device(renamed, PLENTY, at(9)).await.unwrap();
    assert_eq!(second, Ensured::Known(first), "a connection renames nothing");
}

pub(crate) async fn are_ensured_once_of_many_at_once(t: &Fixture) {
    let ada = t.user().await;
    let attempts: Vec<_> = (0..16)
        .map(|_| {
            let store = t.store.clone();
            tokio::spawn(async move { store.ensure_device(new_device(ada.id, "phone"), PLENTY, at(0)).await })
        })
        .collect();
    let mut registered = 0;
    let mut rows = HashSet::new();
    for attempt in attempts {
        let ensured = attempt.await.unwrap().unwrap();
        registered += usize::from(matches!(ensured, Ensured::Registered(_)));
        rows.insert(ensured.into_device().id);
    }
    assert_eq!((registered, rows.len()), (1, 1));
}

pub(crate) async fn are_counted_also_at_once(t: &Fixture) {
    let ada = t.user().await;
    let attempts: Vec<_> = (0..16)
        .map(|n: u32| {
            let store = t.store.clone();
            tokio::spawn(
                async move { store.ensure_device(new_device(ada.id, &n.to_string()), 5, at(0)).await },
            )
        })
        .collect();
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(_) | Err(EnsureDeviceError::TooMany) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(t.store.devices(ada.id).await.unwrap().len(), 5);
}

pub(crate) async fn change(t: &Fixture) {
    let ada = t.user().await;
    let before = t.device(&ada, "phone").await;
    let name = DeviceChange { device_name: Some("Ada's"), device_type: None };
    let after = t.store.update_device(ada.id, "phone", name).await.unwrap().unwrap();
    assert_eq!((after.device_name.as_str(), &after.device_type), ("Ada's", &before.device_type));
    let kind = DeviceChange { device_name: None, device_type: Some("phone") };
    let after = t.store.update_device(ada.id, "phone", kind).await.unwrap().unwrap();
    assert_eq!((after.device_name.as_str(), after.device_type.as_str()), ("Ada's", "phone"));
    assert_eq!((after.id, after.created_at), (before.id, before.created_at));
    assert_eq!(t.store.update_device(ada.id, "phone", DeviceChange::default()).await.unwrap(), Some(after));
    assert_eq!(t.store.update_device(ada.id, "none", name).await.unwrap(), None);
}

pub(crate) async fn go(t: &Fixture) {
    let ada = t.user().await;
    let phone = t.device(&ada, "phone").await;
    assert_eq!(t.store.delete_device(ada.id, "phone").await.unwrap(), Some(phone));
    assert_eq!(t.store.delete_device(ada.id, "phone").await.unwrap(), None);
    // The name is free again.
    t.device(&ada, "phone").await;
}

pub(crate) async fn are_nobody_elses(t: &Fixture) {
    let (ada, eve) = (t.user().await, t.user().await);
    let phone = t.device(&ada, "phone").await;
    let change = DeviceChange { device_name: Some("stolen"), device_type: None };
    assert_eq!(t.store.device(eve.id, "phone").await.unwrap(), None);
    assert_eq!(t.store.update_device(eve.id, "phone", change).await.unwrap(), None);
    assert_eq!(t.store.delete_device(eve.id, "phone").await.unwrap(), None);
    assert_eq!(t.store.device(ada.id, "phone").await.unwrap(), Some(phone));
}

pub(crate) async fn tell_whether_their_user_exists(t: &Fixture) {
    let ada = t.user().await;
    assert_eq!(t.store.user_with_devices(Uuid::now_v7()).await.unwrap(), None);
    assert_eq!(t.store.user_with_devices(ada.id).await.unwrap(), Some(Vec::new()));
    let phone = t.device(&ada, "phone").await;
    assert_eq!(t.store.user_with_devices(ada.id).await.unwrap(), Some(vec![phone]));
}
