use streamz_store::{
    CreateUserError, DeviceChange, MAX_KEY_BYTES, MAX_TEXT_BYTES, NewDevice, NewUser, StoreError,
    StreamRecord, TextProblem,
};

use crate::fixture::{Fixture, PLENTY, at, new_device, ringing};

const HOSTILE: [&str; 8] = [
    "'; DROP TABLE users; --",
    "$1 %s {} \\ \" ` \u{1b}[31m",
    "\u{1}\u{7f}\t\r\n",
    "\u{202e}txt.exe\u{200b}\u{feff}",
    "👩‍👩‍👧 é e\u{301} ﷽ \u{10ffff}",
    " ",
    "-1e999",
    "2025-11-24T16:00:00+00:00",
];

pub(crate) async fn comes_back_unchanged(t: &Fixture) {
    for text in HOSTILE {
        let new = NewUser { email: text, password_hash: text, first_name: Some(text), last_name: Some(text) };
        let user = t.store.create_user(new, at(0)).await.unwrap();
        assert_eq!([Some(text), Some(text)], [user.first_name.as_deref(), user.last_name.as_deref()]);
        assert_eq!(t.store.user_by_email(text).await.unwrap().unwrap().user, user);
        let new = NewDevice { user_id: user.id, device_id: text, device_name: text, device_type: text };
        let device = t.store.create_device(new, PLENTY, at(0)).await.unwrap();
        assert_eq!(
            [text; 3],
            [&device.device_id, &device.device_name, &device.device_type].map(String::as_str)
        );
        assert_eq!(t.store.device(user.id, text).await.unwrap(), Some(device));
    }
    let ada = t.user().await;
    let longest = "\u{1f3a5}".repeat(255);
    assert_eq!(longest.len(), MAX_KEY_BYTES);
    t.device(&ada, &longest).await;
    assert_eq!(t.store.devices(ada.id).await.unwrap()[0].device_id, longest);
}

fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>, expected: TextProblem) {
    assert!(
        matches!(&result, Err(StoreError::InvalidText { problem, .. }) if *problem == expected),
        "{result:?}"
    );
}

/// Every way to write a text.
async fn writes(t: &Fixture, key: &str, plain: &str, problem: TextProblem) {
    let ada = t.user().await;
    t.device(&ada, "phone").await;
    let good = NewUser { email: "a", password_hash: "b", first_name: None, last_name: None };
    for bad in [
        NewUser { email: key, ..good },
        NewUser { password_hash: plain, ..good },
        NewUser { first_name: Some(plain), ..good },
        NewUser { last_name: Some(plain), ..good },
    ] {
        match t.store.create_user(bad, at(0)).await {
            Err(CreateUserError::Store(error)) => refused(Err::<(), _>(error), problem),
            other => panic!("{other:?}"),
        }
    }
    refused(t.store.replace_password_hash(ada.id, "$argon2id$x", plain, at(0)).await, problem);
    let good = new_device(ada.id, "good");
    for bad in [
        NewDevice { device_id: key, ..good },
        NewDevice { device_name: plain, ..good },
        NewDevice { device_type: plain, ..good },
    ] {
        let created = t.store.create_device(bad, PLENTY, at(0)).await;
        assert!(matches!(
            created,
            Err(streamz_store::CreateDeviceError::Store(StoreError::InvalidText { .. }))
        ));
        let ensured = t.store.ensure_device(bad, PLENTY, at(0)).await;
        assert!(matches!(
            ensured,
            Err(streamz_store::EnsureDeviceError::Store(StoreError::InvalidText { .. }))
        ));
    }
    for change in [
        DeviceChange { device_name: Some(plain), device_type: None },
        DeviceChange { device_name: None, device_type: Some(plain) },
    ] {
        refused(t.store.update_device(ada.id, "phone", change).await, problem);
    }
    let good = ringing(ada.id, at(0));
    let text = || Some(plain.to_owned());
    for bad in [
        StreamRecord { stream_type: plain.to_owned(), ..good.clone() },
        StreamRecord { end_reason: text(), ..good.clone() },
        StreamRecord { connection_type: text(), ..good.clone() },
        StreamRecord { quality: text(), ..good.clone() },
    ] {
        refused(t.store.upsert_stream(&bad).await, problem);
    }
    refused(t.store.close_open_streams(at(0), plain).await, problem);
    let mut token = [0; 32];
    token[..16].copy_from_slice(ada.id.as_bytes());
    let family = t.store.create_family(ada.id, &token, at(0), at(1)).await.unwrap();
    refused(t.store.revoke_family(family, plain, at(0)).await, problem);

    // Looking for it finds nothing.
    assert!(t.store.user_by_email(key).await.unwrap().is_none());
    assert_eq!(t.store.device(ada.id, key).await.unwrap(), None);
    assert_eq!(t.store.update_device(ada.id, key, DeviceChange::default()).await.unwrap(), None);
    assert_eq!(t.store.delete_device(ada.id, key).await.unwrap(), None);
    assert!(!t.store.replace_password_hash(ada.id, plain, "x", at(0)).await.unwrap());
}

pub(crate) async fn with_nul_is_refused(t: &Fixture) {
    writes(t, "a\0b", "\0", TextProblem::Nul).await;
}

pub(crate) async fn too_long_is_refused(t: &Fixture) {
    // The longest are stored, whatever they are made of.
    let incompressible: String =
        (0..MAX_KEY_BYTES).map(|n| char::from(b'!' + u8::try_from(n * n * 7 % 93).unwrap())).collect();
    t.user_called(&incompressible).await;
    let (key, plain) = ("k".repeat(MAX_KEY_BYTES + 1), "p".repeat(MAX_TEXT_BYTES + 1));
    writes(t, &key, &plain, TextProblem::TooLong).await;
    writes(t, &"k".repeat(1_000_000), &"p".repeat(1_000_000), TextProblem::TooLong).await;
}
