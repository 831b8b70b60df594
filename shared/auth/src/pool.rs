//! Hashing off the async threads: a few workers, a bounded line before them, and a refusal beyond it.
//!
//! A password check burns tens of milliseconds of a core. Without a bound, a storm of logins would take every core
//! from the relays; without a bounded line, it would make everybody wait for answers that nobody reads any more.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
        Self { workers: NonZeroUsize::new(cores / 2).unwrap_or(NonZeroUsize::MIN), waiting: 64 }
    }
}

/// How busy a [`PasswordPool`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// Checks that run.
    pub running: usize,
    /// Checks that wait for a worker.
    pub waiting: usize,
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
        let places = size.workers.get().saturating_add(size.waiting).min(Semaphore::MAX_PERMITS);
        Self {
            workers: Arc::new(Semaphore::new(size.workers.get().min(Semaphore::MAX_PERMITS))),
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
    pub async fn verify(&self, stored: &str, password: &SecretString) -> Result<Verdict, PasswordError> {
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
            return Err(PasswordError::Busy { retry_after: self.time_to_drain() });
        };
        let waits = Instant::now();
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(|_| PasswordError::Stopped)?;
        metrics::histogram!("streamz_password_wait_seconds").record(waits.elapsed());
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

    /// How busy it is.
    #[must_use]
    pub fn usage(&self) -> PoolUse {
        let busy = self.size.workers.get().saturating_sub(self.workers.available_permits());
        let places = self.size.workers.get().saturating_add(self.size.waiting);
        let taken = places.saturating_sub(self.places.available_permits());
        PoolUse { running: busy, waiting: taken.saturating_sub(busy) }
    }

    /// When a full line will have moved on, in whole seconds, at least one.
    fn time_to_drain(&self) -> Duration {
        let rounds = self.size.waiting.div_ceil(self.size.workers.get()).max(1);
        let whole = TYPICAL_CHECK.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
        Duration::from_secs(whole.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for PasswordPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordPool").field("size", &self.size).finish_non_exhaustive()
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;

    fn pool(workers: usize, waiting: usize) -> PasswordPool {
        PasswordPool::new(PoolSize { workers: NonZeroUsize::new(workers).unwrap(), waiting })
    }

    /// A check that has begun, and ends when its sender is dropped.
    async fn occupy(pool: &PasswordPool) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (hold, held) = mpsc::channel::<()>();
        let (begun, has_begun) = oneshot::channel();
        let pool = pool.clone();
        let task = tokio::spawn(async move {
            let job = move || {
                let _ = begun.send(());
                let _ = held.recv();
                Ok(())
            };
            pool.run(job).await.unwrap();
        });
        has_begun.await.unwrap();
        (hold, task)
    }

    #[tokio::test]
    async fn passwords_are_hashed_checked_and_replaced() {
        let pool = PasswordPool::new(PoolSize::default());
        let password = SecretString::from("correct horse");
        let stored = pool.hash(NewPassword::new(password.clone()).unwrap()).await.unwrap();
        let verdict = pool.verify(&stored, &password).await.unwrap();
        assert_eq!(verdict, Verdict::Correct { rehash_needed: false });
        assert_eq!(pool.verify(&stored, &"wrong".into()).await.unwrap(), Verdict::Wrong);
        pool.verify_dummy(&password).await.unwrap();
        let again = pool.rehash(&password).await.unwrap();
        assert_eq!(pool.verify(&again, &password).await.unwrap(), verdict);
        assert_eq!(pool.verify("$x", &password).await, Err(PasswordError::UnsupportedHash));
    }

    #[tokio::test]
    async fn beyond_the_line_is_busy_and_a_place_that_ends_is_free_again() {
        let pool = pool(2, 1);
        let (one, first) = occupy(&pool).await;
        let (other, second) = occupy(&pool).await;
        // The third waits: polled once, it has its place and no worker.
        let mut third = Box::pin(pool.run(|| Ok(3)));
        assert!(poll_once(third.as_mut()).await.is_none());
        // The fourth is refused at once.
        let refused = pool.run(|| Ok(4)).await;
        assert_eq!(refused, Err(PasswordError::Busy { retry_after: Duration::from_secs(1) }));
        drop(one);
        assert_eq!(third.await, Ok(3));
        first.await.unwrap();
        assert_eq!(pool.run(|| Ok(5)).await, Ok(5));
        drop(other);
        second.await.unwrap();
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_line() {
        let pool = pool(1, 1);
        let (hold, task) = occupy(&pool).await;
        let mut waiting = Box::pin(pool.run(|| Ok(())));
        assert!(poll_once(waiting.as_mut()).await.is_none());
        assert!(matches!(pool.run(|| Ok(())).await, Err(PasswordError::Busy { .. })));
        drop(waiting);
        let mut next = Box::pin(pool.run(|| Ok(())));
        assert!(poll_once(next.as_mut()).await.is_none(), "there is a place again");
        drop(hold);
        next.await.unwrap();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_check_whose_caller_is_gone_keeps_its_worker_to_its_end() {
        let pool = pool(1, 0);
        let (hold, task) = occupy(&pool).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(matches!(pool.run(|| Ok(())).await, Err(PasswordError::Busy { .. })));
        drop(hold);
        // Its end is seen at the semaphore, which wakes whoever waits for it.
        drop(pool.places.acquire().await.unwrap());
        assert_eq!(pool.run(|| Ok(())).await, Ok(()));
    }

    #[tokio::test]
    async fn a_check_that_panics_gives_its_place_back() {
        let pool = pool(1, 0);
        let result = pool.run(|| -> Result<(), HashError> { panic!("planned") }).await;
        assert_eq!(result, Err(PasswordError::Stopped));
        assert_eq!(pool.run(|| Ok(())).await, Ok(()));
    }

    #[tokio::test]
    async fn the_hint_is_how_long_a_full_line_takes() {
        assert_eq!(pool(1, 64).time_to_drain(), Duration::from_secs(4));
        assert_eq!(pool(4, 64).time_to_drain(), Duration::from_secs(1));
        assert_eq!(pool(1, 0).time_to_drain(), Duration::from_secs(1));
    }

    /// What the future says when it is asked once.
    async fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|cx| match std::pin::Pin::new(&mut future).poll(cx) {
            std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
