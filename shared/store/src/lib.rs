//! All SQL of Streamz: accounts, devices, streams, refresh tokens, login counters; on Postgres or SQLite.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use streamz_store::{NewUser, Store, StoreOptions};
//!
//! let store = Store::connect("sqlite:/var/lib/streamz/streamz.db", &StoreOptions::default()).await?;
//! store.migrate().await?; // Postgres: `streamz migrate` does this, and a start only calls `check_schema`
//! let new = NewUser { email: "ada@example.org", password_hash: "$argon2id$…", first_name: None, last_name: None };
//! let user = store.create_user(new, chrono::Utc::now()).await?;
//! assert!(store.devices(user.id).await?.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! What to know before reading on:
//!
//! - [`Store`] is a cheap handle over a connection pool. The methods stand with their aggregate: `users`, `devices`,
//!   `presence`, `streams` (and `pages`), `refresh` (and `sessions`), `login`, `sweep`. What a fleet shares beside them, its processes
//!   and the owners of slots, is a [`ClusterStore`], on Postgres alone.
//! - **One SQL text serves both databases.** The macros of `db` expand a body once per database; the statements use only
//!   what both understand. `tests/` runs one contract on a real server of each kind.
//! - **Time and ids come from the program.** Methods take `now`; times are cut to microseconds (what Postgres keeps)
//!   before they are bound, so what is returned equals what is read later. Ids are UUID v7.
//! - **Outcomes are types.** What a caller must tell apart (an address in use, a spent token) is in the result of that
//!   operation. [`StoreError`] is for the rest: `Unavailable` passes by itself and is worth trying again, `Internal` is
//!   a defect, `InvalidText` is text that no database can hold. An operation that was `Unavailable` may or may not have
//!   happened: every write here may be repeated.
//! - **Everything is bounded**: the pool, the wait for it, the time of one operation, the rows of one query or batch.
//!   Every query has an index; the plans of the frequent ones are asserted in `tests/plans.rs`.
//! - **It heals by itself.** A connection that was lost, timed out, or turned out to lead to a read-only server is
//!   closed, not pooled again; the next operation opens another.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[macro_use]
mod db;
mod cluster;
mod devices;
mod error;
pub mod json;
mod login;
mod pages;
mod presence;
mod refresh;
mod schema;
mod sessions;
mod store;
mod streams;
mod sweep;
mod text;
mod users;

pub use cluster::{
    Changed, ClusterStore, ClusterView, CoordinatorState, CoordinatorTerm, DbTime, Deposed, Evicted,
    Eviction, FencedPresence, FencedWrite, Left, LiveProcess, Members, Move, NewOwner, ProcessKind,
    ProcessRow, RegisterError, Registered, Renewal, Renewed, Share, SlotRow, SlotTable, Staleness,
    StreamWrite, TakeCoordinator, TermError,
};
pub use devices::{
    CreateDeviceError, Device, DeviceChange, EnsureDeviceError, Ensured, NewDevice, UNKNOWN_DEVICE_TYPE,
};
pub use error::{Cause, StoreError};
pub use login::{LoginDecision, LoginKey};
pub use pages::{MAX_PAGE, PageError, StreamPage, StreamQuery};
pub use presence::{MAX_PRESENCE_BATCH, PresenceUpdate};
pub use refresh::{CreateFamilyError, NewFamily, RevokedFamily, Rotation};
pub use schema::{MigrateError, OLDEST_POSTGRES, SchemaState};
pub use sessions::SignIn;
pub use store::{Backend, ConnectError, PoolStats, Store, StoreOptions};
pub use streams::{DeviceRef, Stream, StreamRecord};
pub use sweep::{RetentionPolicy, Swept};
pub use text::{MAX_KEY_BYTES, MAX_TEXT_BYTES, TextProblem};
pub use users::{CreateUserError, Credentials, NewUser, User};
