use tokio::sync::oneshot;

use super::*;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn tasks_are_told_and_awaited() {
    let tasks = Tasks::new();
    let (ended, has_ended) = oneshot::channel();
    let stopping = tasks.stopping();
    tasks.spawn("listener", async move {
        stopping.cancelled().await;
        // An orderly end takes a few steps.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let _ = ended.send(());
    });
    assert_eq!(tasks.len(), 1);
    let report = tasks.shutdown(LONG).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.to_string(), "everything ended in order");
    assert!(tasks.is_empty());
    has_ended.await.expect("the task ran to its end before shutdown returned");
}

#[tokio::test]
async fn those_that_do_not_end_are_named_and_aborted() {
    let tasks = Tasks::new();
    let (held, dropped) = oneshot::channel::<()>();
    tasks.spawn("stubborn", async move {
        let _held = held;
        std::future::pending().await
    });
    for _ in 0..2 {
        tasks.spawn("socket", std::future::pending());
    }
    let report = tasks.shutdown(Duration::ZERO).await;
    assert_eq!(report.unfinished, BTreeMap::from([("socket", 2), ("stubborn", 1)]));
    assert_eq!(report.to_string(), "did not end in time: socket (2), stubborn");
    assert!(dropped.await.is_err(), "what it held is dropped");
    assert!(tasks.is_empty());
}

#[tokio::test]
async fn those_that_panic_are_named_and_take_nobody_with_them() {
    let tasks = Tasks::new();
    let stopping = tasks.stopping();
    tasks.spawn("fine", async move { stopping.cancelled().await });
    let name = String::from("text");
    tasks.spawn("clumsy", async { panic!("planned") });
    tasks.spawn("clumsy", async move { panic!("planned {name}") });
    let report = tasks.shutdown(LONG).await;
    assert_eq!(report.panicked, BTreeMap::from([("clumsy", 2)]));
    assert_eq!(report.unfinished, BTreeMap::new());
    assert_eq!(report.to_string(), "panicked: clumsy (2)");
}

#[tokio::test]
async fn after_the_end_nothing_starts() {
    let tasks = Tasks::new();
    tasks.shutdown(LONG).await;
    let (held, dropped) = oneshot::channel::<()>();
    tasks.spawn("late", async move {
        let _held = held;
        std::future::pending().await
    });
    assert!(dropped.await.is_err());
    assert!(tasks.is_empty());
}

#[tokio::test]
async fn a_task_may_start_others_while_it_runs() {
    let tasks = Tasks::new();
    let (done, is_done) = oneshot::channel();
    let set = tasks.clone();
    tasks.spawn("parent", async move {
        set.spawn("child", async move {
            let _ = done.send(());
        });
    });
    is_done.await.unwrap();
    assert!(tasks.shutdown(LONG).await.is_clean());
}

#[tokio::test]
async fn a_set_under_a_token_is_told_by_it() {
    let parent = CancellationToken::new();
    let tasks = Tasks::under(&parent);
    let stopping = tasks.stopping();
    let (done, is_done) = oneshot::channel();
    tasks.spawn("child", async move {
        stopping.cancelled().await;
        let _ = done.send(());
    });
    parent.cancel();
    is_done.await.unwrap();
    // The other way round it is not: the parent has other children.
    let parent = CancellationToken::new();
    Tasks::under(&parent).shutdown(LONG).await;
    assert!(!parent.is_cancelled());
}

#[test]
fn a_runtime_that_ends_first_leaves_an_empty_set() {
    let tasks = Tasks::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let handle = runtime.handle().clone();
    runtime.block_on(async { tasks.spawn("running", std::future::pending()) });
    drop(runtime);
    assert!(tasks.is_empty());
    // And taking another one there neither blocks nor keeps it.
    let _entered = handle.enter();
    tasks.spawn("too late", std::future::pending());
    assert!(tasks.is_empty());
}
