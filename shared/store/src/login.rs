//! Login counters, in the store so that the whole fleet counts together.
//!
//! A key may make `limit` attempts in a window of one minute. One more closes it for a minute; each further time that it
//! passes the limit doubles that, up to a quarter of an hour. An attempt while closed is refused by one read. A quarter
//! of an hour without an attempt forgets the past.

use std::net::{IpAddr, Ipv6Addr};

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::{Store, StoreError, text};

const WINDOW: TimeDelta = TimeDelta::seconds(60);
const LONGEST_DELAY: TimeDelta = TimeDelta::seconds(900);

/// How long a counter without attempts still matters; afterwards it may be swept.
pub(crate) const MEMORY: TimeDelta = TimeDelta::seconds(1800);

/// Whose attempts are counted.
#[derive(Clone, Copy)]
pub enum LoginKey<'a> {
    /// Those for an account, by its address in lower case, whether it exists or not.
    Account(&'a str),
    /// Those from a network address. Of IPv6 the first 64 bits count: a customer has at least those.
    Address(IpAddr),
}

/// Whether an attempt may go on to the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginDecision {
    /// It may.
    Allowed,
    /// It may not.
    RetryAfter {
        /// In so many seconds, at least 1, it is worth trying again.
        seconds: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
struct Counter {
    window_started_at: DateTime<Utc>,
    attempts: i64,
    strikes: i64,
    blocked_until: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
}

macro_rules! columns {
    () => {
        "window_started_at, attempts, strikes, blocked_until, updated_at"
    };
}

const READ: &str = concat!("SELECT ", columns!(), " FROM login_counters WHERE key_hash = $1");
// Makes the row, or locks it as it is: attempts with one key queue up.
const LOCK: &str = concat!(
    "INSERT INTO login_counters (key_hash, window_started_at, attempts, strikes, updated_at) ",
    "VALUES ($1, $2, 0, 0, $2) ON CONFLICT (key_hash) DO UPDATE SET attempts = login_counters.attempts RETURNING ",
    columns!()
);
const WRITE: &str = "UPDATE login_counters SET window_started_at = $2, attempts = $3, strikes = $4, \
     blocked_until = $5, updated_at = $6 WHERE key_hash = $1";
const FORGET: &str = "DELETE FROM login_counters WHERE key_hash = $1";

impl Store {
    /// Counts an attempt and tells whether it may go on. Call it before the password is looked at, for the address and
    /// for the account.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn login_attempt(
        &self,
        key: LoginKey<'_>,
        limit_per_minute: u32,
        now: DateTime<Utc>,
    ) -> Result<LoginDecision, StoreError> {
        let hash = key.hash();
        let now = text::micros(now);
        // The common case of an attack costs no write.
        let read: Option<Counter> = on_conn!(self, |conn| sqlx::query_as::<_, Counter>(READ)
            .bind(&hash[..])
            .fetch_optional(conn)
            .await)?;
        if let Some(refused) = read.and_then(|counter| counter.refusal(now)) {
            return Ok(refused);
        }
        in_tx!(self, |tx| {
            let counter =
                sqlx::query_as::<_, Counter>(LOCK).bind(&hash[..]).bind(now).fetch_one(&mut *tx).await?;
            let (next, decision) = counter.attempt(now, limit_per_minute);
            if next != counter {
                sqlx::query(WRITE)
                    .bind(&hash[..])
                    .bind(next.window_started_at)
                    .bind(next.attempts)
                    .bind(next.strikes)
                    .bind(next.blocked_until)
                    .bind(next.updated_at)
                    .execute(&mut *tx)
                    .await?;
            }
            Ok(decision)
        })
    }

    /// Forgets an account's attempts, after a successful sign-in. (An address keeps its own: whoever has one account
    /// must not try others for ever.)
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn login_succeeded(&self, email: &str) -> Result<(), StoreError> {
        let hash = LoginKey::Account(email).hash();
        on_conn!(self, |conn| sqlx::query(FORGET).bind(&hash[..]).execute(conn).await.map(drop))
    }
}

impl LoginKey<'_> {
    fn hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        match self {
            Self::Account(email) => {
                hasher.update(b"account\0");
                hasher.update(email.as_bytes());
            }
            Self::Address(address) => {
                hasher.update(b"address\0");
                match address.to_canonical() {
                    IpAddr::V4(address) => hasher.update(address.octets()),
                    IpAddr::V6(address) => {
                        let network = Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64));
                        hasher.update(network.octets());
                    }
                }
            }
        }
        hasher.finalize().into()
    }
}

impl Counter {
    fn refusal(&self, now: DateTime<Utc>) -> Option<LoginDecision> {
        let left = self.blocked_until? - now;
        // Upwards: a client that waits so long is not refused again.
        let seconds = u64::try_from(left.num_microseconds()?).ok()?.div_ceil(1_000_000);
        (seconds > 0).then_some(LoginDecision::RetryAfter { seconds })
    }

    fn attempt(mut self, now: DateTime<Utc>, limit: u32) -> (Self, LoginDecision) {
        if let Some(refused) = self.refusal(now) {
            return (self, refused);
        }
        let quiet_since = self.blocked_until.unwrap_or(self.updated_at).max(self.updated_at);
        if now - quiet_since >= LONGEST_DELAY {
            self.strikes = 0;
        }
        // A closed time that is over starts a new window, as a minute does.
        if self.blocked_until.take().is_some() || now - self.window_started_at >= WINDOW {
            self.window_started_at = now;
            self.attempts = 0;
        }
        self.updated_at = now;
        if self.attempts < i64::from(limit) {
            self.attempts += 1;
            return (self, LoginDecision::Allowed);
        }
        let doublings = u32::try_from(self.strikes.clamp(0, 4)).unwrap_or(4);
        let delay = (WINDOW * 2_i32.pow(doublings)).min(LONGEST_DELAY);
        self.strikes += 1;
        self.blocked_until = Some(now + delay);
        let seconds = delay.num_seconds().unsigned_abs();
        (self, LoginDecision::RetryAfter { seconds })
    }
}
