//! Who somebody is, and how they prove it.
//!
//! * [`password`]: the rules for a password and what is stored of it; [`pool`] runs the hashing off the
//!   async threads, bounded, so that a storm of logins never delays a relay;
//! * [`access`]: short-lived access tokens (JWT) that every gateway checks without asking anyone;
//! * [`keys`]: the keys behind them, of which one signs and all verify: a secret ([`key`]), from the configuration or made
//!   on the first start, or a [`folder`] of key files;
//! * [`refresh`]: long-lived refresh tokens, of which only a hash is stored;
//! * [`turn`]: STUN and TURN servers with time-limited credentials;
//! * [`email`]: the address that names an account.
//!
//! Nothing here opens a socket or a database, and the time is an argument. What touches a disk is
//! [`SigningKey::load_or_create`], once, at the start, and [`KeyFolder::read`]. Whatever is secret stays out of `Debug`.
//!
//! ```
//! use std::time::Duration;
//! use streamz_auth::{SigningKey, TokenIssuer, TokenVerifier};
//! use streamz_protocol::UserId;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::generate();
//! let issuer = TokenIssuer::new(&key, Duration::from_secs(900));
//! let verifier = TokenVerifier::new(&key);
//!
//! let now = chrono::Utc::now();
//! let (user, family) = (UserId(uuid::Uuid::new_v4()), uuid::Uuid::new_v4());
//! let token = issuer.issue(user, family, now);
//! let claims = verifier.verify_at(token.expose(), now)?;
//! assert_eq!(claims.user, user);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod access;
pub mod email;
pub mod folder;
pub mod key;
pub mod keys;
pub mod password;
mod pem;
pub mod pool;
pub mod refresh;
pub mod turn;

pub use access::{AccessToken, Claims, TokenError, TokenIssuer, TokenVerifier};
pub use email::{Email, InvalidEmail};
pub use folder::{KeyFiles, KeyFolder, KeysError, Signs};
pub use key::{KeyError, SigningKey};
pub use keys::{KeySet, Keys};
pub use password::{NewPassword, PasswordRule, Verdict};
pub use pem::PemProblem;
pub use pool::{PasswordError, PasswordPool, PoolSize, PoolUse};
pub use refresh::{InvalidRefreshToken, RefreshToken};
pub use turn::{EmbeddedTurn, IceServer, IceServers, IceUrl, InvalidIceServers, InvalidIceUrl};
