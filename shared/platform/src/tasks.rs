//! Tasks that have an owner: it knows them by name, tells them to stop, and waits until they have.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long an aborted task may take to drop what it holds. Only code that never yields takes longer.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// A set of tasks. Cheap to clone: all clones are the same set.
///
/// A task is told to stop by [`Tasks::stopping`], which it should select on, and is aborted if it does not
/// within the deadline of [`Tasks::shutdown`]. A task that panics takes down nobody else; it is logged and
/// reported at the end.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    tracker: TaskTracker,
    stopping: CancellationToken,
    book: Mutex<Book>,
}

/// What is running, and what has panicked. Names are few and known at build time, so counts by name are
/// bounded, however many tasks come and go.
#[derive(Debug, Default)]
struct Book {
    next: u64,
    running: HashMap<u64, (&'static str, Option<AbortHandle>)>,
    panicked: BTreeMap<&'static str, usize>,
    /// The deadline has passed: whatever still starts is aborted.
    aborting: bool,
}

impl Tasks {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty set that is told to stop also when `parent` is cancelled.
    #[must_use]
    pub fn under(parent: &CancellationToken) -> Self {
        Self { inner: Arc::new(Inner { stopping: parent.child_token(), ..Inner::default() }) }
    }

    /// The token that tells this set's tasks to stop.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.inner.stopping.clone()
    }

    /// Runs `future` as a task of this set. A set that was told to stop takes no more: the future is dropped.
    ///
    /// `name` says what it is, in logs and in the [`ShutdownReport`]; many tasks may share one.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as `tokio::spawn` does.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (id, task) = {
            let mut book = self.inner.book.lock();
            if self.inner.tracker.is_closed() {
                tracing::debug!(task = name, "not started: its owner has ended");
                return;
            }
            let id = book.next;
            book.next += 1;
            book.running.insert(id, (name, None));
            // From here on `shutdown` waits for it.
            let entry = Entry { id, inner: Arc::clone(&self.inner) };
            (id, self.inner.tracker.track_future(run(future, name, entry)))
        };
        // Not under the lock: a runtime that is shutting down drops the future here, and so its entry.
        let handle = tokio::spawn(task).abort_handle();
        let mut book = self.inner.book.lock();
        let aborting = book.aborting;
        if let Some((_, known)) = book.running.get_mut(&id) {
            if aborting {
                handle.abort();
            }
            *known = Some(handle);
        }
    }

    /// How many tasks run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.book.lock().running.len()
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells all tasks to stop, waits up to `deadline` until they have, aborts the rest, and says what
    /// happened.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        {
            let _no_new_ones = self.inner.book.lock();
            self.inner.tracker.close();
        }
        self.inner.stopping.cancel();
        let in_time = tokio::time::timeout(deadline, self.inner.tracker.wait()).await.is_ok();
        let mut report = ShutdownReport::default();
        if !in_time {
            let late: Vec<_> = {
                let mut book = self.inner.book.lock();
                book.aborting = true;
                book.running.values().cloned().collect()
            };
            for (name, task) in late {
                *report.unfinished.entry(name).or_default() += 1;
                if let Some(task) = task {
                    task.abort();
                }
            }
            if tokio::time::timeout(ABORT_GRACE, self.inner.tracker.wait()).await.is_err() {
                tracing::error!("tasks that never yield are left behind");
            }
        }
        report.panicked = self.inner.book.lock().panicked.clone();
        report
    }
}

async fn run<F>(future: F, name: &'static str, entry: Entry)
where
    F: Future<Output = ()> + Send + 'static,
{
    if let Err(panic) = AssertUnwindSafe(future).catch_unwind().await {
        entry.panicked(name, &*panic);
    }
}

/// A task's line in the book; dropped with the task, however that ends.
struct Entry {
    id: u64,
    inner: Arc<Inner>,
}

impl Entry {
    fn panicked(&self, name: &'static str, panic: &(dyn Any + Send)) {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!(task = name, panic = text.unwrap_or("(no text)"), "a task panicked");
        *self.inner.book.lock().panicked.entry(name).or_default() += 1;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.inner.book.lock().running.remove(&self.id);
    }
}

/// How a set of tasks ended: names, and how many tasks of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Tasks that were still running at the deadline, and were aborted.
    pub unfinished: BTreeMap<&'static str, usize>,
    /// Tasks that panicked, at any time in the life of the set.
    pub panicked: BTreeMap<&'static str, usize>,
}

impl ShutdownReport {
    /// Whether every task ended by itself.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unfinished.is_empty() && self.panicked.is_empty()
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("everything ended in order");
        }
        let list = |tasks: &BTreeMap<&'static str, usize>| {
            let words = tasks.iter().map(|(name, count)| match count {
                1 => (*name).to_owned(),
                count => format!("{name} ({count})"),
            });
            words.collect::<Vec<_>>().join(", ")
        };
        if !self.unfinished.is_empty() {
            write!(f, "did not end in time: {}", list(&self.unfinished))?;
        }
        if !self.panicked.is_empty() {
            let separator = if self.unfinished.is_empty() { "" } else { "; " };
            write!(f, "{separator}panicked: {}", list(&self.panicked))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "tasks_tests.rs"]
mod tests;
