//! Hashing off the async threads: a few workers, a bounded line before them, and a refusal beyond it.
//!
//! A password check burns tens of milliseconds of a core. Without a bound, a storm of logins would take every core
//! from the relays; without a bounded line, it would make everybody wait for answers that nobody reads any more.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::password::{self, HashError, NewPassword, Verdict};

/// What one check takes, roughly: enough to say when to come again.
const TYPICAL_CHECK: Duration = Duration::from_millis(50);

/// How many checks run at once, and how many wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// Checks that run at the same time, each on a thread of its own with 19 MiB.
    pub workers: NonZeroUsize,
    /// Checks that wait for a worker; the next one is refused.
    pub waiting: usize,
}

impl Default for PoolSize {
    /// Half of the cores, at least one worker; 64 wait.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            workers: NonZeroUsize::new(cores / 2).unwrap_or(NonZeroUsize::MIN),
            waiting: 64,
        }
    }
}

/// Hashes and checks passwords on a bounded number of threads. Cheap to clone: clones share the bound.
///
/// A caller that gives up while it waits leaves the line. A check that runs is not interrupted, and keeps its
/// place until it ends.
#[derive(Clone)]
pub struct PasswordPool {
    workers: Arc<Semaphore>,
    places: Arc<Semaphore>,
    size: PoolSize,
}

impl PasswordPool {
    /// A pool of this size. Its methods must be called within a tokio runtime.
    #[must_use]
    pub fn new(size: PoolSize) -> Self {
        let places = size
            .workers
            .get()
            .saturating_add(size.waiting)
            .min(Semaphore::MAX_PERMITS);
        Self {
            workers: Arc::new(Semaphore::new(
                size.workers.get().min(Semaphore::MAX_PERMITS),
            )),
            places: Arc::new(Semaphore::new(places)),
            size,
        }
    }

    /// The hash to store for a new password.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: NewPassword) -> Result<String, PasswordError> {
        self.run(move || password::hash(&password)).await
    }

    /// Whether `password` is the one that `stored` was made of.
    ///
    /// # Errors
    /// [`PasswordError`]. A wrong password is not an error but [`Verdict::Wrong`].
    pub async fn verify(
        &self,
        stored: &str,
        password: &SecretString,
    ) -> Result<Verdict, PasswordError> {
        let (stored, password) = (stored.to_owned(), password.clone());
        self.run(move || password::verify(&stored, &password)).await
    }

    /// Takes the time that [`PasswordPool::verify`] takes for an account with an argon2id hash; for an account
    /// that does not exist, so that the answer's time does not tell.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn verify_dummy(&self, password: &SecretString) -> Result<(), PasswordError> {
        let password = password.clone();
        self.run(move || password::verify_nobody(&password)).await
    }

    /// Replaces a hash of an older kind after the password proved right ([`Verdict::Correct`]).
    ///
    /// The rules for new passwords are not applied: whoever got in with a short one keeps it.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn rehash(&self, password: &SecretString) -> Result<String, PasswordError> {
        let password = password.clone();
        self.run(move || password::rehash(&password)).await
    }

    async fn run<T, F>(&self, job: F) -> Result<T, PasswordError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, HashError> + Send + 'static,
    {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(PasswordError::Busy {
                retry_after: self.time_to_drain(),
            });
        };
        let worker = Arc::clone(&self.workers)
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Stopped)?;
        // The permits go with the job: it keeps them to its end, also if its caller is gone by then.
        let done = spawn_blocking(move || {
            let _held = (place, worker);
            job()
        });
        match done.await {
            Ok(result) => result.map_err(PasswordError::from),
            Err(_) => Err(PasswordError::Stopped),
        }
    }

    /// When a full line will have moved on, in whole seconds, at least one.
    fn time_to_drain(&self) -> Duration {
        let rounds = self.size.waiting.div_ceil(self.size.workers.get()).max(1);
        let whole = TYPICAL_CHECK.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
        Duration::from_secs(
            whole
                .as_millis()
                .div_ceil(1000)
                .try_into()
                .unwrap_or(u64::MAX),
        )
    }
}

impl fmt::Debug for PasswordPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordPool")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Why a password was not hashed or checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The line is full. Nothing was done.
    #[error("too many sign-ins are waiting; try again in {} s", retry_after.as_secs())]
    Busy {
        /// When to come again, in whole seconds: a `Retry-After`.
        retry_after: Duration,
    },
    /// The stored hash is of a kind that nobody here knows: a mistake in the data, not of the caller.
    #[error("the stored password hash is of an unknown kind")]
    UnsupportedHash,
    /// The hashing failed: no randomness or no memory.
    #[error("hashing failed: {0}")]
    Failed(String),
    /// The runtime is shutting down, or the check panicked.
    #[error("the check did not finish")]
    Stopped,
}

impl From<HashError> for PasswordError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::UnsupportedHash => Self::UnsupportedHash,
            HashError::Argon2(error) => Self::Failed(error.to_string()),
        }
    }
}
