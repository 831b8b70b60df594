//! One function, one test per topology.

use std::future::Future;
use std::time::Duration;

use crate::{Topology, binary};

/// Nothing in a scenario takes this long unless it failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The longest that a whole scenario may take.
const WHOLE: Duration = Duration::from_secs(120);

/// Makes a test of each of these functions for each topology, named `topology::function`. A function that is not in
/// the list is dead code, which the linter refuses.
#[macro_export]
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        mod embedded_sqlite {
            $(#[test] fn $name() { $crate::run($crate::Topology::EmbeddedSqlite, super::$name) })+
        }
        $crate::scenarios_on_postgres![$($name),+];
    };
}

/// The same for each topology that stands on Postgres.
#[macro_export]
macro_rules! scenarios_on_postgres {
    ($($name:ident),+ $(,)?) => {
        mod embedded_postgres {
            $(#[test] fn $name() { $crate::run($crate::Topology::EmbeddedPostgres, super::$name) })+
        }
        mod one_and_one {
            $(#[test] fn $name() { $crate::run($crate::Topology::ONE_AND_ONE, super::$name) })+
        }
        mod three_and_three {
            $(#[test] fn $name() { $crate::run($crate::Topology::THREE_AND_THREE, super::$name) })+
        }
    };
}

/// Makes a test of each of these functions, which take a [`TurnServer`](crate::TurnServer), for the server in the process
/// and for coturn.
#[macro_export]
macro_rules! on_both_turn_servers {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(#[test] fn $name() {
                let scenario = |_| super::$name($crate::TurnServer::Embedded);
                $crate::run($crate::Topology::EmbeddedSqlite, scenario);
            })+
        }
        mod coturn {
            $(#[test] fn $name() {
                let scenario = |_| super::$name($crate::TurnServer::Coturn);
                $crate::run($crate::Topology::EmbeddedSqlite, scenario);
            })+
        }
    };
}

/// Runs a scenario on a runtime of its own.
pub fn run<F: Future<Output = ()>>(topology: Topology, scenario: impl FnOnce(Topology) -> F) {
    // Before the clock starts: it may have to be built.
    binary();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(WHOLE, scenario(topology)).await.expect("the scenario did not end");
    });
}

/// Waits for what must come soon.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it did not come")
}

/// Asks again, until there is an answer: for what is true a little later and nobody announces.
pub async fn eventually<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    soon(async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
