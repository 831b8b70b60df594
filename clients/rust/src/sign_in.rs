//! Access tokens from a sign-in that is kept up silently.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::api::{Api, ApiError, SignedIn};
use crate::error::TokenError;
use crate::token::{Need, ProvideToken, TokenFuture, TokenSource};

/// A token that lapses sooner than this is replaced before it is used.
const MARGIN: Duration = Duration::from_secs(10);

impl TokenSource {
    /// Signs in when a token is first needed, refreshes it when it lapses, and signs in again when the sign-in ended.
    #[must_use]
    pub fn login(api: Api, email: &str, password: &str) -> Self {
        Self::new(SignIn { api, account: Some((email.to_owned(), password.into())), held: Mutex::new(None) })
    }

    /// Goes on from a sign-in and refreshes it when it lapses. When the sign-in ended, so does the source.
    #[must_use]
    pub fn signed_in(api: Api, signed_in: SignedIn) -> Self {
        Self::new(SignIn { api, account: None, held: Mutex::new(Some(Held::from(signed_in))) })
    }
}

struct SignIn {
    api: Api,
    account: Option<(String, SecretString)>,
    held: Mutex<Option<Held>>,
}

struct Held {
    access: SecretString,
    refresh: SecretString,
    until: Instant,
}

impl From<SignedIn> for Held {
    fn from(signed_in: SignedIn) -> Self {
        Self {
            access: signed_in.access_token,
            refresh: signed_in.refresh_token,
            until: Instant::now() + signed_in.expires_in.saturating_sub(MARGIN),
        }
    }
}

impl ProvideToken for SignIn {
    fn token(&self, need: Need) -> TokenFuture<'_> {
        Box::pin(async move {
            let mut held = self.held.lock().await;
            if let Some(held) = &*held
                && need == Need::Valid
                && Instant::now() < held.until
            {
                return Ok(held.access.clone());
            }
            let signed_in = self.renew(held.as_ref()).await?;
            let access = signed_in.access_token.clone();
            *held = Some(signed_in.into());
            Ok(access)
        })
    }
}

impl SignIn {
    async fn renew(&self, held: Option<&Held>) -> Result<SignedIn, TokenError> {
        let refreshed = match held {
            Some(held) => Some(self.api.refresh(&held.refresh).await),
            None => None,
        };
        match (refreshed, &self.account) {
            (Some(Ok(signed_in)), _) => Ok(signed_in),
            (Some(Err(error)), None) => Err(token_error(&error)),
            (Some(Err(error)), Some(_)) if error.temporary() => Err(token_error(&error)),
            (_, Some((email, password))) => {
                let signed_in = self.api.login(email, password.expose_secret()).await;
                signed_in.map_err(|error| token_error(&error))
            }
            (None, None) => Err(TokenError::Refused("never signed in".to_owned())),
        }
    }
}

fn token_error(error: &ApiError) -> TokenError {
    if error.temporary() {
        TokenError::Unavailable(error.to_string())
    } else {
        TokenError::Refused(error.to_string())
    }
}
