//! Whose devices take part.
//!
//! Accounts are made in the database, with tokens signed by the server's own secret, or registered over the public
//! API as far as its limits allow. Two devices of an account are a pair: that is who sees and hears each other.

use std::sync::Arc;

use chrono::Utc;
use futures_util::{StreamExt, TryStreamExt};
use secrecy::{ExposeSecret, SecretString};
use streamz_auth::{NewPassword, PasswordPool, PoolSize, SigningKey, TokenIssuer};
use streamz_client::Api;
use streamz_protocol::{DeviceId, UserId};
use streamz_store::{NewDevice, NewUser, Store, StoreOptions};
use uuid::Uuid;

/// Longer than any bench.
const TOKEN_LIFE: std::time::Duration = std::time::Duration::from_secs(3600);
/// Devices of an account that may be online, by default.
const DEVICES_ONLINE: usize = 32;
/// The password of all accounts of a bench that makes them itself.
const PASSWORD_BYTES: usize = 24;
/// Accounts that are written at the same time.
const AT_ONCE: usize = 16;

/// Why there are no accounts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountsError {
    #[error("the accounts of the load could not be written: {0}")]
    Store(String),
    #[error(
        "an account could not be registered: {0}\nA deployment admits few from one address in a minute: ask for fewer \
         with --accounts, raise its LOGINS_PER_MINUTE, or give --database and --jwt-secret."
    )]
    Register(String),
}

/// A device that may connect.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) token: Arc<SecretString>,
}

/// Two devices of an account.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) one: Device,
    pub(crate) other: Device,
    /// Whose they are, where that is known.
    pub(crate) user: Option<UserId>,
}

/// Everybody.
pub(crate) struct Accounts {
    pairs: Vec<Pair>,
    next: usize,
    fresh: usize,
    /// Few accounts serve again and again.
    again: bool,
    /// Who can sign in with the one password.
    pub(crate) emails: Vec<String>,
    pub(crate) password: SecretString,
    made: Option<(Store, Vec<Uuid>)>,
}

impl Accounts {
    /// Makes accounts for `pairs` pairs in the database at `url`, each with its two devices registered.
    pub(crate) async fn make(url: &str, secret: &SecretString, pairs: usize) -> Result<Self, AccountsError> {
        let failed = |error: &dyn std::fmt::Display| AccountsError::Store(error.to_string());
        let store = Store::connect(url, &StoreOptions::default()).await.map_err(|e| failed(&e))?;
        store.migrate().await.map_err(|e| failed(&e))?;
        let password: SecretString = Uuid::new_v4().simple().to_string()[..PASSWORD_BYTES].into();
        let hash = PasswordPool::new(PoolSize::default())
            .hash(NewPassword::new(password.clone()).map_err(|e| failed(&e))?)
            .await
            .map_err(|e| failed(&e))?;
        let issuer = TokenIssuer::new(&SigningKey::from_secret(secret), TOKEN_LIFE);
        let run = Uuid::new_v4().simple().to_string();
        let mut accounts = Self::none(password);
        let mut users = Vec::with_capacity(pairs);
        let (store, hash, run) = (&store, &hash, &run);
        let write = |number: usize| async move {
            let email = format!("bench-{run}-{number}@streamz.invalid");
            let now = Utc::now();
            let new = NewUser { email: &email, password_hash: hash, first_name: None, last_name: None };
            let user = store.create_user(new, now).await.map_err(|e| failed(&e))?;
            for device_id in ["one", "other"] {
                let new =
                    NewDevice { user_id: user.id, device_id, device_name: device_id, device_type: "bench" };
                store.create_device(new, u32::MAX, now).await.map_err(|e| failed(&e))?;
            }
            Ok::<_, AccountsError>((user.id, email))
        };
        let mut written = futures_util::stream::iter((0..pairs).map(write)).buffered(AT_ONCE);
        while let Some((user, email)) = written.try_next().await? {
            let token = issuer.issue(UserId(user), Uuid::new_v4(), Utc::now());
            let pair = Pair::of("one", "other", &Arc::new(token.expose().into()));
            accounts.pairs.push(Pair { user: Some(UserId(user)), ..pair });
            accounts.emails.push(email);
            users.push(user);
        }
        drop(written);
        accounts.made = Some((store.clone(), users));
        Ok(accounts)
    }

    /// Registers `count` accounts over the API at `url`, with as many devices as one may have online.
    pub(crate) async fn register(url: &str, count: usize) -> Result<Self, AccountsError> {
        let failed = |error: &dyn std::fmt::Display| AccountsError::Register(error.to_string());
        let api = Api::new(url).map_err(|e| failed(&e))?;
        let run = Uuid::new_v4().simple().to_string();
        let mut accounts = Self::none(run[..PASSWORD_BYTES].into());
        accounts.again = true;
        for number in 0..count {
            let email = format!("bench-{run}-{number}@streamz.invalid");
            let password = accounts.password.expose_secret();
            let signed_in = api.register(&email, password, None, None).await.map_err(|e| failed(&e))?;
            let token = Arc::new(signed_in.access_token);
            for pair in 0..DEVICES_ONLINE / 2 {
                let (one, other) = (format!("one-{pair}"), format!("other-{pair}"));
                for id in [&one, &other] {
                    let id = DeviceId::new(id).map_err(|e| failed(&e))?;
                    api.add_device(&token, &id, id.as_str(), Some("bench")).await.map_err(|e| failed(&e))?;
                }
                accounts.pairs.push(Pair::of(&one, &other, &token));
            }
            accounts.emails.push(email);
        }
        Ok(accounts)
    }

    /// No accounts.
    pub(crate) fn nobody() -> Self {
        Self::none(SecretString::default())
    }

    fn none(password: SecretString) -> Self {
        Self { pairs: Vec::new(), next: 0, fresh: 0, again: false, emails: Vec::new(), password, made: None }
    }

    /// Pairs that have not been asked for yet; fewer, or the same ones again, if there are not as many.
    pub(crate) fn pairs(&mut self, count: usize) -> Vec<Pair> {
        if self.again || self.next + count > self.pairs.len() {
            self.next = 0;
        }
        let pairs: Vec<Pair> = self.pairs.iter().skip(self.next).take(count).cloned().collect();
        self.next += pairs.len();
        pairs
    }

    /// The same, with names under which they never connected before.
    pub(crate) fn strangers(&mut self, count: usize) -> Vec<Pair> {
        let mut pairs = self.pairs(count);
        for pair in &mut pairs {
            for device in [&mut pair.one, &mut pair.other] {
                self.fresh += 1;
                device.id = format!("new-{}", self.fresh);
            }
        }
        pairs
    }

    /// The server was started anew and knows nobody: all may serve again.
    pub(crate) fn rewind(&mut self) {
        self.next = 0;
    }

    /// Closes the database; deletes what was made in it, if it is somebody else's.
    pub(crate) async fn end(self, delete: bool) -> Result<(), AccountsError> {
        let Some((store, users)) = self.made else { return Ok(()) };
        for user in users.into_iter().filter(|_| delete) {
            store
                .delete_user(user, Utc::now())
                .await
                .map_err(|error| AccountsError::Store(error.to_string()))?;
        }
        store.close().await;
        Ok(())
    }
}

impl Pair {
    fn of(one: &str, other: &str, token: &Arc<SecretString>) -> Self {
        let device = |id: &str| Device { id: id.to_owned(), token: token.clone() };
        Self { one: device(one), other: device(other), user: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accounts_are_made_used_once_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("bench.db").display());
        let secret = SecretString::from("0123456789abcdef0123456789abcdef");
        let mut accounts = Accounts::make(&url, &secret, 5).await.unwrap();
        let (first, second) = (accounts.pairs(2), accounts.pairs(2));
        assert_ne!(first[0].one.token.expose_secret(), second[0].one.token.expose_secret());
        let strangers = accounts.strangers(2);
        assert_eq!([&*strangers[0].one.id, &*strangers[1].other.id], ["new-1", "new-4"]);
        assert_eq!(accounts.pairs(9).len(), 5);
        accounts.end(true).await.unwrap();
        let store = Store::connect(&url, &StoreOptions::default()).await.unwrap();
        let user = first[0].one.token.expose_secret();
        assert!(user.split('.').count() == 3);
        assert_eq!(store.user_by_email("bench").await.unwrap().map(|c| c.user.email), None);
    }
}
