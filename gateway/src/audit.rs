//! Who signed in, who was refused, what was revoked: one log line each, under a target of its own.
//!
//! The words in `event` and `reason` and the names of the fields are for programs: they keep their meaning, new ones may
//! come. docs/security.md lists them. No line holds an e-mail address or a token. An account that was not looked up, for
//! there may be none, is named by a hash whose key lives and dies with this process: equal hashes of one run are the same
//! account, and nobody can find out which. The client's address is personal data of people who may only have mistyped; it is
//! written if `AUDIT_ADDRESSES` says so.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use streamz_auth::Email;
use streamz_protocol::UserId;
use uuid::Uuid;

/// The target of every line.
pub const TARGET: &str = "streamz::audit";

/// Refusals that are written in a second; whoever is refused more often must not fill a disk.
const REFUSALS_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).expect("not zero");

/// The pen.
pub struct Audit {
    addresses: bool,
    key: RandomState,
    refusals: DefaultDirectRateLimiter,
    unwritten: AtomicU64,
}

/// What a line is about; what is not known, or does not apply, is not written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct About {
    /// The account, if it is one.
    pub(crate) user: Option<UserId>,
    /// The sign-in.
    pub(crate) session: Option<Uuid>,
    /// An account that was not looked up: [`Audit::hash`].
    pub(crate) account: Option<u64>,
    /// Where the client is.
    pub(crate) client: Option<IpAddr>,
    /// Why, or by what.
    pub(crate) reason: Option<&'static str>,
}

impl Audit {
    /// Writes addresses of clients, or does not.
    #[must_use]
    pub fn new(addresses: bool) -> Self {
        Self {
            addresses,
            key: RandomState::new(),
            refusals: RateLimiter::direct(Quota::per_second(REFUSALS_PER_SECOND)),
            unwritten: AtomicU64::new(0),
        }
    }

    /// The name of an account that may not exist.
    pub(crate) fn hash(&self, email: &Email) -> u64 {
        self.key.hash_one(email)
    }

    /// Something was done.
    pub(crate) fn done(&self, event: &'static str, about: About) {
        let About { user, session, account, reason, .. } = about;
        let client = about.client.filter(|_| self.addresses);
        tracing::info!(
            target: TARGET,
            event,
            reason,
            user = user.map(tracing::field::display),
            session = session.map(tracing::field::display),
            account = account.map(|hash| tracing::field::display(format!("{hash:016x}"))),
            client = client.map(tracing::field::display),
        );
    }

    /// Something was refused.
    pub(crate) fn refused(&self, event: &'static str, about: About) {
        if self.refusals.check().is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let unwritten = self.unwritten.swap(0, Ordering::Relaxed);
        let About { user, session, account, reason, .. } = about;
        let client = about.client.filter(|_| self.addresses);
        tracing::warn!(
            target: TARGET,
            event,
            reason,
            user = user.map(tracing::field::display),
            session = session.map(tracing::field::display),
            account = account.map(|hash| tracing::field::display(format!("{hash:016x}"))),
            client = client.map(tracing::field::display),
            unwritten = (unwritten > 0).then_some(unwritten),
        );
    }
}
