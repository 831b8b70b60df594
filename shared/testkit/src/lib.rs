//! Private servers for tests: real Postgres, Redis and coturn from the system's packages, on free ports of the loopback
//! interface, never shared with anything else.
//!
//! ```no_run
//! use streamz_testkit::{Postgres, Redis};
//!
//! let url = Postgres::shared().create_database(); // one server per test process, one database per test
//! let redis = Redis::start().unwrap();            // or one that this test may stop, pause and start again
//! redis.pause();
//! ```
//!
//! No server outlives its test process. Each belongs to a small supervising `sh` which reads its orders from a pipe;
//! when the pipe closes — the value is dropped, or the process exits, panics or is killed — the shell stops the server
//! and removes its folder.
//!
//! A program that is missing is an error (for `shared`, a panic) that names the package to install: a test that cannot
//! run has not passed.
//!
//! `cargo run -p streamz-testkit` starts one of each for a person, until Ctrl-C.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod coturn;
mod error;
mod postgres;
mod programs;
mod redis;
mod supervisor;
mod tls;

pub use coturn::Coturn;
pub use error::StartError;
pub use postgres::Postgres;
pub use redis::{Redis, RedisOptions};
pub use tls::Authority;
