//! Where access tokens come from.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use secrecy::SecretString;

use crate::error::TokenError;

/// Which token is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// One that is valid; the last one will do if it still is.
    Valid,
    /// A new one: the server lets the last one lapse, or refused it.
    New,
}

/// A token, or why there is none, in the future.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<SecretString, TokenError>> + Send + 'a>>;

/// Something that provides access tokens. It is asked before each connection and when a token lapses.
pub trait ProvideToken: Send + Sync + 'static {
    /// A token. The future is dropped if the client ends meanwhile.
    fn token(&self, need: Need) -> TokenFuture<'_>;
}

/// Where a client's access tokens come from. Its `Debug` form says nothing.
#[derive(Clone)]
pub struct TokenSource(Arc<dyn ProvideToken>);

impl TokenSource {
    /// Asks `provider`.
    #[must_use]
    pub fn new(provider: impl ProvideToken) -> Self {
        Self(Arc::new(provider))
    }

    /// One token, for as long as it lasts: when the server wants a newer one, the client ends.
    #[must_use]
    pub fn fixed(token: impl Into<String>) -> Self {
        Self::new(Fixed(token.into().into()))
    }

    /// Asks a function.
    #[must_use]
    pub fn from_fn<F, R>(ask: F) -> Self
    where
        F: Fn(Need) -> R + Send + Sync + 'static,
        R: Future<Output = Result<SecretString, TokenError>> + Send + 'static,
    {
        Self::new(Asked(ask))
    }

    /// A token.
    ///
    /// # Errors
    /// What the provider says.
    pub async fn token(&self, need: Need) -> Result<SecretString, TokenError> {
        self.0.token(need).await
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}

impl From<&str> for TokenSource {
    fn from(token: &str) -> Self {
        Self::fixed(token)
    }
}

impl From<String> for TokenSource {
    fn from(token: String) -> Self {
        Self::fixed(token)
    }
}

struct Fixed(SecretString);

impl ProvideToken for Fixed {
    fn token(&self, need: Need) -> TokenFuture<'_> {
        let token = match need {
            Need::Valid => Ok(self.0.clone()),
            Need::New => Err(TokenError::NoneNewer),
        };
        Box::pin(std::future::ready(token))
    }
}

struct Asked<F>(F);

impl<F, R> ProvideToken for Asked<F>
where
    F: Fn(Need) -> R + Send + Sync + 'static,
    R: Future<Output = Result<SecretString, TokenError>> + Send + 'static,
{
    fn token(&self, need: Need) -> TokenFuture<'_> {
        Box::pin((self.0)(need))
    }
}
