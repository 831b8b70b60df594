use chrono::TimeDelta;
use secrecy::ExposeSecret;
use streamz_store::{CreateUserError, NewUser};
use uuid::Uuid;

use crate::fixture::{Fixture, at, ringing};

const ADA: NewUser<'_> = NewUser {
    email: "ada@example.org",
    password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
    first_name: Some("Ada"),
    last_name: None,
};

pub(crate) async fn comes_back_as_made(t: &Fixture) {
    // Nanoseconds are cut before they are stored: what is returned is what will be read.
    let now = at(0) + TimeDelta::nanoseconds(123_456_789);
    let ada = t.store.create_user(ADA, now).await.unwrap();
    assert_eq!(
        (ada.email.as_str(), ada.first_name.as_deref(), ada.last_name.as_deref()),
        (ADA.email, Some("Ada"), None)
    );
    assert_eq!(ada.created_at, at(0) + TimeDelta::microseconds(123_456));
    assert_eq!(ada.updated_at, ada.created_at);
    assert_eq!(ada.id.get_version_num(), 7);
    assert_eq!(t.store.user(ada.id).await.unwrap().as_ref(), Some(&ada));
    let credentials = t.store.user_by_email(ADA.email).await.unwrap().unwrap();
    assert_eq!(credentials.user, ada);
    assert_eq!(credentials.password_hash.expose_secret(), ADA.password_hash);
    assert!(!format!("{credentials:?}").contains("argon2id"));
}

pub(crate) async fn is_json_without_the_password_hash(t: &Fixture) {
    let ada = t.store.create_user(ADA, at(0) + TimeDelta::microseconds(1)).await.unwrap();
    assert_eq!(
        serde_json::to_value(&ada).unwrap(),
        serde_json::json!({
            "id": ada.id.to_string(),
            "email": "ada@example.org",
            "first_name": "Ada",
            "last_name": null,
            "created_at": "2025-11-24T16:00:00.000Z",
            "updated_at": "2025-11-24T16:00:00.000Z",
        })
    );
}

pub(crate) async fn has_an_email_of_its_own(t: &Fixture) {
    t.store.create_user(ADA, at(0)).await.unwrap();
    let second = t.store.create_user(ADA, at(1)).await;
    assert!(matches!(second, Err(CreateUserError::EmailTaken)), "{second:?}");
    // The connection is as good as before.
    t.user().await;
}

pub(crate) async fn is_made_once_of_many_at_once(t: &Fixture) {
    let attempts: Vec<_> = (0..8)
        .map(|_| {
            let store = t.store.clone();
            tokio::spawn(async move { store.create_user(ADA, at(0)).await })
        })
        .collect();
    let mut made = 0;
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(_) => made += 1,
            Err(CreateUserError::EmailTaken) => {}
            Err(CreateUserError::Store(error)) => panic!("{error}"),
        }
    }
    assert_eq!(made, 1);
}

pub(crate) async fn is_none_if_unknown(t: &Fixture) {
    assert!(t.store.user(Uuid::now_v7()).await.unwrap().is_none());
    assert!(t.store.user_by_email("nobody@example.org").await.unwrap().is_none());
    assert!(t.store.user_by_email("").await.unwrap().is_none());
    assert_eq!(t.store.delete_user(Uuid::now_v7(), at(2)).await.unwrap(), None);
}

pub(crate) async fn changes_its_password_hash_only_from_the_old_one(t: &Fixture) {
    let ada = t.store.create_user(NewUser { password_hash: "$2a$10$old", ..ADA }, at(0)).await.unwrap();
    let (one, two) = tokio::join!(
        t.store.replace_password_hash(ada.id, "$2a$10$old", "$argon2id$one", at(5)),
        t.store.replace_password_hash(ada.id, "$2a$10$old", "$argon2id$two", at(5)),
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one ^ two, "{one} {two}");
    let now = t.store.user_by_email(ADA.email).await.unwrap().unwrap();
    assert_eq!(now.password_hash.expose_secret(), if one { "$argon2id$one" } else { "$argon2id$two" });
    assert_eq!((now.user.created_at, now.user.updated_at), (at(0), at(5)));
    assert!(!t.store.replace_password_hash(Uuid::now_v7(), "$2a$10$old", "x", at(6)).await.unwrap());
}

pub(crate) async fn takes_everything_along(t: &Fixture) {
    let (ada, eve) = (t.user().await, t.user().await);
    for user in [&ada, &eve] {
        let phone = t.device(user, "phone").await;
        let mut stream = ringing(user.id, at(0));
        stream.source_device_id = Some(phone.id);
        assert!(t.store.upsert_stream(&stream).await.unwrap());
    }
    let family = t.store.create_family(ada.id, &[1; 32], at(0), at(100)).await.unwrap();
    assert_eq!(t.store.delete_user(ada.id, at(2)).await.unwrap(), Some(vec![family]));

    assert!(t.store.user_with_devices(ada.id).await.unwrap().is_none());
    assert!(t.store.streams(ada.id, Default::default()).await.unwrap().streams.is_empty());
    assert!(t.store.is_family_revoked(family).await.unwrap());
    assert_eq!(t.store.devices(eve.id).await.unwrap().len(), 1);
    assert_eq!(t.store.streams(eve.id, Default::default()).await.unwrap().streams.len(), 1);
}

pub(crate) async fn is_missed_when_it_is_gone(t: &Fixture) {
    let ada = t.store.create_user(ADA, at(0)).await.unwrap();
    assert_eq!(t.store.missing_users(&[]).await.unwrap(), Vec::<Uuid>::new());
    assert_eq!(t.store.missing_users(&[ada.id]).await.unwrap(), Vec::<Uuid>::new());
    // More than one statement takes.
    let mut strangers: Vec<Uuid> = (0..700).map(|_| Uuid::now_v7()).collect();
    let all = [&strangers[..600], &[ada.id], &strangers[600..]].concat();
    assert_eq!(t.store.missing_users(&all).await.unwrap(), strangers);
    t.store.delete_user(ada.id, at(2)).await.unwrap();
    strangers.insert(600, ada.id);
    assert_eq!(t.store.missing_users(&all).await.unwrap(), strangers);
}
