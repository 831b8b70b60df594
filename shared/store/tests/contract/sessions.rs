use secrecy::ExposeSecret;
use streamz_store::{CreateFamilyError, NewFamily, RevokedFamily, Rotation, Store};
use uuid::Uuid;

use crate::fixture::{Fixture, at};

/// What every account of the fixture has.
const HASH: &str = "$argon2id$x";

fn by_password<'a>(user_id: Uuid, token_hash: &'a [u8; 32], hash: &'a str) -> NewFamily<'a> {
    NewFamily {
        user_id,
        password_hash: Some(hash),
        token_hash,
        user_agent: Some("Küche/1.0"),
        expires_at: at(1000),
    }
}

async fn begin(store: &Store, user_id: Uuid, token: u8) -> Uuid {
    store.begin_family(by_password(user_id, &[token; 32], HASH), at(i64::from(token))).await.unwrap()
}

pub(crate) async fn are_listed_as_they_were_used(t: &Fixture) {
    let (ada, eve) = (t.user().await, t.user().await);
    let first = begin(&t.store, ada.id, 1).await;
    let second = begin(&t.store, ada.id, 2).await;
    let silent = t.store.create_family(ada.id, &[3; 32], at(0), at(10)).await.unwrap();
    begin(&t.store, eve.id, 4).await;
    t.store.rotate_refresh_token(&[1; 32], &[11; 32], at(9), at(2000)).await.unwrap();
    let listed = t.store.sign_ins(ada.id, at(9)).await.unwrap();
    assert_eq!(listed.iter().map(|sign_in| sign_in.id).collect::<Vec<_>>(), [first, second, silent]);
    let newest = &listed[0];
    assert_eq!((newest.created_at, newest.last_used_at, newest.expires_at), (at(1), at(9), at(2000)));
    assert_eq!(newest.user_agent.as_deref(), Some("Küche/1.0"));
    assert_eq!((listed[2].last_used_at, listed[2].user_agent.as_deref()), (at(0), None));
    // What lapsed or ended is none.
    t.store.revoke_family(second, "logout", at(10)).await.unwrap();
    let left = t.store.sign_ins(ada.id, at(10)).await.unwrap();
    assert_eq!(left.iter().map(|sign_in| sign_in.id).collect::<Vec<_>>(), [first]);
    for n in 0..101_u8 {
        t.store.create_family(ada.id, &[100 + n; 32], at(20), at(1000)).await.unwrap();
    }
    assert_eq!(t.store.sign_ins(ada.id, at(20)).await.unwrap().len(), 100);
}

pub(crate) async fn end_one_by_one_for_their_owner_only(t: &Fixture) {
    let (ada, eve) = (t.user().await, t.user().await);
    let (first, second) = (begin(&t.store, ada.id, 1).await, begin(&t.store, ada.id, 2).await);
    assert!(!t.store.end_sign_in(eve.id, first, "ended", at(5)).await.unwrap());
    assert!(!t.store.is_family_revoked(first).await.unwrap());
    assert!(t.store.end_sign_in(ada.id, first, "ended", at(5)).await.unwrap());
    assert!(!t.store.end_sign_in(ada.id, first, "ended", at(6)).await.unwrap());
    assert!(t.store.is_family_revoked(first).await.unwrap());
    assert!(!t.store.is_family_revoked(second).await.unwrap());
}

pub(crate) async fn end_with_a_new_password_but_one(t: &Fixture) {
    let (ada, eve) = (t.user().await, t.user().await);
    let kept = begin(&t.store, ada.id, 1).await;
    let mut others = vec![begin(&t.store, ada.id, 2).await, begin(&t.store, ada.id, 3).await];
    let ended = begin(&t.store, ada.id, 4).await;
    t.store.revoke_family(ended, "logout", at(5)).await.unwrap();
    let eves = begin(&t.store, eve.id, 5).await;
    let wrong = t.store.change_password(ada.id, ("$argon2id$y", "$argon2id$new"), kept, at(6)).await.unwrap();
    assert_eq!(wrong, None);
    assert_eq!(t.store.sign_ins(ada.id, at(6)).await.unwrap().len(), 3);
    let mut gone =
        t.store.change_password(ada.id, (HASH, "$argon2id$new"), kept, at(7)).await.unwrap().unwrap();
    others.sort_unstable();
    gone.sort_unstable();
    assert_eq!(gone, others);
    let credentials = t.store.credentials(ada.id).await.unwrap().unwrap();
    assert_eq!(credentials.password_hash.expose_secret(), "$argon2id$new");
    assert_eq!(credentials.user.updated_at, at(7));
    for live in [kept, eves] {
        assert!(!t.store.is_family_revoked(live).await.unwrap());
    }
    let refreshed = t.store.rotate_refresh_token(&[2; 32], &[20; 32], at(8), at(1000)).await.unwrap();
    assert_eq!(refreshed, Rotation::Revoked);
    let nobody = t.store.change_password(Uuid::now_v7(), (HASH, "$new"), kept, at(7)).await.unwrap();
    assert_eq!(nobody, None);
}

pub(crate) async fn end_with_their_account_and_stay_ended(t: &Fixture) {
    let ada = t.user().await;
    let ended_before = begin(&t.store, ada.id, 1).await;
    t.store.revoke_family(ended_before, "logout", at(3)).await.unwrap();
    let live = begin(&t.store, ada.id, 2).await;
    let mut gone = t.store.delete_user(ada.id, at(5)).await.unwrap().unwrap();
    gone.sort_unstable();
    let mut both = vec![ended_before, live];
    both.sort_unstable();
    assert_eq!(gone, both);
    assert_eq!(t.store.delete_user(ada.id, at(6)).await.unwrap(), None);
    // Whoever starts afterwards learns of them, in order, page by page.
    let listed = |family_id, revoked_at| RevokedFamily { family_id, user_id: ada.id, revoked_at };
    let expected = [listed(ended_before, at(3)), listed(live, at(5))];
    assert_eq!(t.store.revoked_since(at(0), None, 100).await.unwrap(), expected);
    assert_eq!(t.store.revoked_since(at(4), None, 100).await.unwrap(), expected[1..]);
    assert_eq!(t.store.revoked_since(at(0), None, 1).await.unwrap(), expected[..1]);
    assert_eq!(t.store.revoked_since(at(0), Some(&expected[0]), 1).await.unwrap(), expected[1..]);
    assert_eq!(t.store.revoked_since(at(0), Some(&expected[1]), 1).await.unwrap(), []);
}

pub(crate) async fn do_not_begin_with_an_old_password(t: &Fixture) {
    let ada = t.user().await;
    let kept = begin(&t.store, ada.id, 1).await;
    t.store.change_password(ada.id, (HASH, "$argon2id$new"), kept, at(2)).await.unwrap().unwrap();
    let late = t.store.begin_family(by_password(ada.id, &[2; 32], HASH), at(3)).await;
    assert!(matches!(late, Err(CreateFamilyError::UnknownUser)), "{late:?}");
    t.store.begin_family(by_password(ada.id, &[2; 32], "$argon2id$new"), at(3)).await.unwrap();
    assert_eq!(t.store.sign_ins(ada.id, at(4)).await.unwrap().len(), 2);
}

/// A sign-in with the old password races its change, or the end of the account: it is ended, or it never began.
pub(crate) async fn never_outlive_a_change_at_once(t: &Fixture) {
    let other = t.another().await;
    for round in 0..20_u8 {
        let ada = t.user().await;
        let kept = begin(&t.store, ada.id, round).await;
        let (token, later) = ([100 + round; 32], [200 + round; 32]);
        let (begun, changed) = tokio::join!(
            other.begin_family(by_password(ada.id, &token, HASH), at(50)),
            t.store.change_password(ada.id, (HASH, "$argon2id$new"), kept, at(50)),
        );
        let changed = changed.unwrap().unwrap();
        match begun {
            Ok(family) => assert_eq!(changed, [family]),
            Err(CreateFamilyError::UnknownUser) => assert!(changed.is_empty(), "{changed:?}"),
            Err(error) => panic!("{error}"),
        }
        let (begun, deleted) = tokio::join!(
            other.begin_family(by_password(ada.id, &later, "$argon2id$new"), at(51)),
            t.store.delete_user(ada.id, at(51)),
        );
        let deleted = deleted.unwrap().unwrap();
        match begun {
            Ok(family) => assert!(deleted.contains(&family)),
            Err(CreateFamilyError::UnknownUser) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
