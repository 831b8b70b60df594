use streamz_store::LoginDecision::{Allowed, RetryAfter};
use streamz_store::{LoginDecision, LoginKey};

use crate::fixture::{Fixture, at};

const LIMIT: u32 = 5;
const ADA: LoginKey<'_> = LoginKey::Account("ada@example.org");

async fn attempt(t: &Fixture, key: LoginKey<'_>, second: i64) -> LoginDecision {
    t.store.login_attempt(key, LIMIT, at(second)).await.unwrap()
}

pub(crate) async fn stops_at_the_limit_with_growing_delay(t: &Fixture) {
    let mut now = 0;
    for delay in [60, 120, 240, 480, 900, 900] {
        for _ in 0..LIMIT {
            assert_eq!(attempt(t, ADA, now).await, Allowed, "at {now}");
        }
        assert_eq!(attempt(t, ADA, now).await, RetryAfter { seconds: delay });
        // Another try neither shortens nor lengthens it, from whichever process.
        let another = t.another().await;
        let last = at(now + i64::try_from(delay).unwrap() - 1);
        assert_eq!(another.login_attempt(ADA, LIMIT, last).await.unwrap(), RetryAfter { seconds: 1 });
        another.close().await;
        now += i64::try_from(delay).unwrap();
    }
    // Attempts within the limit are never delayed, minute after minute.
    let eve = LoginKey::Account("eve@example.org");
    for minute in 0..4 {
        for _ in 0..LIMIT {
            assert_eq!(attempt(t, eve, minute * 60).await, Allowed);
        }
    }
    // After a quarter of an hour in peace the delays begin anew.
    now += 900;
    for _ in 0..LIMIT {
        assert_eq!(attempt(t, ADA, now).await, Allowed);
    }
    assert_eq!(attempt(t, ADA, now).await, RetryAfter { seconds: 60 });
}

pub(crate) async fn counts_many_at_once(t: &Fixture) {
    let attempts: Vec<_> = (0..20)
        .map(|_| {
            let store = t.store.clone();
            tokio::spawn(async move { store.login_attempt(ADA, LIMIT, at(0)).await })
        })
        .collect();
    let mut allowed = 0;
    for attempt in attempts {
        match attempt.await.unwrap().unwrap() {
            Allowed => allowed += 1,
            refused => assert_eq!(refused, RetryAfter { seconds: 60 }),
        }
    }
    assert_eq!(allowed, LIMIT);
}

pub(crate) async fn forgets_after_success(t: &Fixture) {
    for _ in 0..LIMIT {
        assert_eq!(attempt(t, ADA, 0).await, Allowed);
    }
    t.store.login_succeeded("ada@example.org").await.unwrap();
    assert_eq!(attempt(t, ADA, 1).await, Allowed);
    t.store.login_succeeded("never-seen@example.org").await.unwrap();
}

pub(crate) async fn keeps_keys_apart(t: &Fixture) {
    let full = |address: &str| LoginKey::Address(address.parse().unwrap());
    for key in [ADA, full("192.0.2.1"), full("2001:db8:0:1::1")] {
        for _ in 0..LIMIT {
            assert_eq!(attempt(t, key, 0).await, Allowed);
        }
    }
    // The same account, address and network.
    for key in [ADA, full("::ffff:192.0.2.1"), full("2001:db8:0:1:ffff::2")] {
        assert_eq!(attempt(t, key, 0).await, RetryAfter { seconds: 60 });
    }
    // Others.
    let spelled = LoginKey::Account("192.0.2.1");
    for key in [LoginKey::Account("adb@example.org"), spelled, full("192.0.2.2"), full("2001:db8:0:2::1")] {
        assert_eq!(attempt(t, key, 0).await, Allowed);
    }
    // Nobody at all may sign in.
    let none = t.store.login_attempt(LoginKey::Account("x"), 0, at(0)).await.unwrap();
    assert_eq!(none, RetryAfter { seconds: 60 });
}

pub(crate) async fn keeps_no_text(t: &Fixture) {
    // Any text will do, also what no column could hold: people type passwords into the wrong field.
    let long = "x".repeat(1_000_000);
    for text in ["\0", "", long.as_str(), "' OR 1=1"] {
        assert_eq!(attempt(t, LoginKey::Account(text), 0).await, Allowed);
        t.store.login_succeeded(text).await.unwrap();
    }
}
