//! The native client of Streamz: connect, resume, send with outcome.
//!
//! ```no_run
//! use streamz_client::{Api, Client, DeviceId, Event, Outgoing, TokenSource};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let api = Api::new("http://127.0.0.1:8080")?;
//! let token = TokenSource::login(api, "ada@example.com", "correct horse");
//! let laptop = DeviceId::new("laptop")?;
//! let (client, mut events) = Client::builder("http://127.0.0.1:8080", laptop, token)
//!     .named("Ada's laptop", "laptop")
//!     .connect()
//!     .await?;
//!
//! let outcome = client.send(Outgoing::offer("v=0…").to(DeviceId::new("tv")?)).await?;
//! println!("{outcome:?}");
//! while let Some(event) = events.recv().await {
//!     if let Event::Message(frame) = event {
//!         println!("{:?}", frame.message);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! * [`Client`] and [`Events`] are the two ends of one task that keeps one WebSocket up;
//! * [`session`] holds every rule of delivery without I/O, for those who drive it themselves;
//! * [`Api`] is the HTTP half: accounts, devices, stream records.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
mod backoff;
mod builder;
mod client;
mod dial;
mod error;
mod event;
mod inbound;
mod retry;
mod seen;
pub mod session;
mod sign_in;
mod task;
mod token;
mod wire;

pub use api::{Api, ApiError, SignedIn};
pub use builder::{Builder, Dialect};
pub use client::{Client, PendingOutcome, StartError};
pub use error::{ConnectError, Ended, Lost, SendError, TokenError, Violation};
pub use event::{Event, Events, Outcome, State, Unknown};
pub use session::Counters;
pub use streamz_protocol::client_encode::{Candidate, Description, Outgoing};
pub use streamz_protocol::{self as protocol, DeviceId};
pub use token::{Need, ProvideToken, TokenFuture, TokenSource};
