use streamz_store::{CreateFamilyError, RevokedFamily, Rotation};
use uuid::Uuid;

use crate::fixture::{Fixture, at};

pub(crate) async fn rotates(t: &Fixture) {
    let ada = t.user().await;
    let family = t.store.create_family(ada.id, &[1; 32], at(0), at(100)).await.unwrap();
    assert!(!t.store.is_family_revoked(family).await.unwrap());
    for n in 1..4 {
        let rotated = t.store.rotate_refresh_token(&[n; 32], &[n + 1; 32], at(1), at(200)).await.unwrap();
        assert_eq!(rotated, Rotation::Rotated { user: ada.clone(), family_id: family });
    }
    let unknown = t.store.rotate_refresh_token(&[9; 32], &[10; 32], at(1), at(200)).await.unwrap();
    assert_eq!(unknown, Rotation::Unknown);
}

pub(crate) async fn is_the_same_when_it_is_asked_for_again(t: &Fixture) {
    let ada = t.user().await;
    let family = t.store.create_family(ada.id, &[1; 32], at(0), at(100)).await.unwrap();
    let other = t.store.create_family(ada.id, &[7; 32], at(0), at(100)).await.unwrap();
    let rotated = Rotation::Rotated { user: ada.clone(), family_id: family };
    let rotate =
        async |old: u8, new: u8| t.store.rotate_refresh_token(&[old; 32], &[new; 32], at(1), at(200)).await;
    for _ in 0..3 {
        assert_eq!(rotate(1, 2).await.unwrap(), rotated);
    }
    // A token that is there already takes no other's place, and nothing is lost by it.
    for taken in [1, 2, 7] {
        assert_eq!(rotate(2, taken).await.unwrap(), Rotation::Unknown, "{taken}");
    }
    assert_eq!(rotate(2, 3).await.unwrap(), rotated);
    // Whoever asks for it once the new one is used was not the first.
    assert_eq!(rotate(1, 2).await.unwrap(), Rotation::Reused { user_id: ada.id, family_id: family });
    assert!(!t.store.is_family_revoked(other).await.unwrap());
}

pub(crate) async fn is_the_same_for_two_who_ask_at_once(t: &Fixture) {
    let ada = t.user().await;
    for round in 0..5_u8 {
        let (old, new) = ([100 + round; 32], [200 + round; 32]);
        let family = t.store.create_family(ada.id, &old, at(0), at(100)).await.unwrap();
        let rotate = || t.store.rotate_refresh_token(&old, &new, at(1), at(200));
        let (one, other) = tokio::join!(rotate(), rotate());
        let rotated = Rotation::Rotated { user: ada.clone(), family_id: family };
        assert_eq!((one.unwrap(), other.unwrap()), (rotated.clone(), rotated));
    }
}

pub(crate) async fn ends_a_family_that_reuses(t: &Fixture) {
    let ada = t.user().await;
    let family = t.store.create_family(ada.id, &[1; 32], at(0), at(100)).await.unwrap();
    let other = t.store.create_family(ada.id, &[7; 32], at(0), at(100)).await.unwrap();
    t.store.rotate_refresh_token(&[1; 32], &[2; 32], at(1), at(200)).await.unwrap();
    // Also after the token's own time: whoever has it has copied it.
    let again = t.store.rotate_refresh_token(&[1; 32], &[3; 32], at(150), at(200)).await.unwrap();
    assert_eq!(again, Rotation::Reused { user_id: ada.id, family_id: family });
    assert!(t.store.is_family_revoked(family).await.unwrap());
    for token in [[1; 32], [2; 32]] {
        let after = t.store.rotate_refresh_token(&token, &[4; 32], at(3), at(200)).await.unwrap();
        assert_eq!(after, Rotation::Revoked);
    }
    assert!(!t.store.is_family_revoked(other).await.unwrap());
}

pub(crate) async fn ends_with_its_time(t: &Fixture) {
    let ada = t.user().await;
    let family = t.store.create_family(ada.id, &[1; 32], at(0), at(100)).await.unwrap();
    let late = t.store.rotate_refresh_token(&[1; 32], &[2; 32], at(100), at(200)).await.unwrap();
    assert_eq!(late, Rotation::Expired);
    assert!(!t.store.is_family_revoked(family).await.unwrap());
    let in_time = t.store.rotate_refresh_token(&[1; 32], &[2; 32], at(99), at(200)).await.unwrap();
    assert!(matches!(in_time, Rotation::Rotated { .. }));
}

pub(crate) async fn ends_when_revoked(t: &Fixture) {
    let ada = t.user().await;
    let family = t.store.create_family(ada.id, &[1; 32], at(0), at(100)).await.unwrap();
    assert!(t.store.revoke_family(family, "logout", at(1)).await.unwrap());
    assert!(!t.store.revoke_family(family, "logout", at(2)).await.unwrap());
    assert!(!t.store.revoke_family(Uuid::now_v7(), "logout", at(2)).await.unwrap());
    assert!(t.store.is_family_revoked(family).await.unwrap());
    let after = t.store.rotate_refresh_token(&[1; 32], &[2; 32], at(3), at(200)).await.unwrap();
    assert_eq!(after, Rotation::Revoked);
}

pub(crate) async fn needs_a_user(t: &Fixture) {
    let nobody = t.store.create_family(Uuid::now_v7(), &[1; 32], at(0), at(100)).await;
    assert!(matches!(nobody, Err(CreateFamilyError::UnknownUser)), "{nobody:?}");
    assert!(t.store.is_family_revoked(Uuid::now_v7()).await.unwrap());
    let ada = t.user().await;
    t.store.create_family(ada.id, &[1; 32], at(0), at(100)).await.unwrap();
    t.store.delete_user(ada.id, at(2)).await.unwrap();
    let after = t.store.rotate_refresh_token(&[1; 32], &[2; 32], at(1), at(200)).await.unwrap();
    assert_eq!(after, Rotation::Unknown);
}

pub(crate) async fn has_one_winner_of_many_at_once(t: &Fixture) {
    const RACERS: u8 = 6;
    let ada = t.user().await;
    for round in 0..5_u8 {
        let old = [100 + round; 32];
        let family = t.store.create_family(ada.id, &old, at(0), at(100)).await.unwrap();
        let racers: Vec<_> = (0..RACERS)
            .map(|n| {
                let store = t.store.clone();
                let mut new = [n; 32];
                new[0] = round;
                tokio::spawn(async move { store.rotate_refresh_token(&old, &new, at(1), at(200)).await })
            })
            .collect();
        let (mut rotated, mut reused, mut revoked) = (0, 0, 0);
        for racer in racers {
            match racer.await.unwrap().unwrap() {
                Rotation::Rotated { .. } => rotated += 1,
                Rotation::Reused { .. } => reused += 1,
                Rotation::Revoked => revoked += 1,
                other => panic!("{other:?}"),
            }
        }
        // The second one ends the family, and the rest find it ended.
        assert_eq!((rotated, reused, revoked), (1, 1, RACERS - 2));
        assert!(t.store.is_family_revoked(family).await.unwrap());
    }
}

pub(crate) async fn never_outlives_a_revocation_at_once(t: &Fixture) {
    let ada = t.user().await;
    for round in 0..10_u8 {
        let (old, new) = ([round; 32], [100 + round; 32]);
        let family = t.store.create_family(ada.id, &old, at(0), at(100)).await.unwrap();
        let (rotated, revoked) = tokio::join!(
            t.store.rotate_refresh_token(&old, &new, at(1), at(200)),
            t.store.revoke_family(family, "logout", at(1)),
        );
        assert!(revoked.unwrap());
        let presented = match rotated.unwrap() {
            Rotation::Rotated { .. } => new,
            Rotation::Revoked => old,
            other => panic!("{other:?}"),
        };
        let after =
            t.store.rotate_refresh_token(&presented, &[200 + round; 32], at(2), at(200)).await.unwrap();
        assert_eq!(after, Rotation::Revoked);
    }
}

pub(crate) async fn lists_what_was_revoked(t: &Fixture) {
    let ada = t.user().await;
    let mut expected = Vec::new();
    for n in 0..7_u8 {
        let family = t.store.create_family(ada.id, &[n; 32], at(0), at(1000)).await.unwrap();
        if n == 6 {
            break; // this one lives on
        }
        // Pairs at the same time.
        let revoked_at = at(i64::from(n / 2) * 10);
        t.store.revoke_family(family, "logout", revoked_at).await.unwrap();
        expected.push(RevokedFamily { family_id: family, user_id: ada.id, revoked_at });
    }
    expected.sort_by_key(|family| (family.revoked_at, family.family_id));
    assert_eq!(t.store.revoked_since(at(-1), None, 100).await.unwrap(), expected);
    assert_eq!(t.store.revoked_since(at(5), None, 100).await.unwrap(), expected[2..]);
    assert_eq!(t.store.revoked_since(at(21), None, 100).await.unwrap(), []);
    let mut read: Vec<RevokedFamily> = Vec::new();
    loop {
        let page = t.store.revoked_since(at(-1), read.last(), 1).await.unwrap();
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, expected);
}
