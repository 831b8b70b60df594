//! Whether to come back after a connection was lost, when, and with which token: a decision without I/O.

use std::time::Duration;

use rand::Rng;
use streamz_protocol::CloseCode;

use crate::backoff::Backoff;
use crate::dial::Failed;
use crate::error::{Ended, Lost, TokenError};
use crate::token::Need;

/// A connection that lasted this long was a good one: the next failure is a first one again.
const GOOD: Duration = Duration::from_secs(5);

/// The longest that a server can send a client away for.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(300);

/// What to do after a connection was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try again after this time.
    Again(Duration),
    /// Do not come back.
    End(Ended),
}

/// What is remembered from one attempt to the next.
#[derive(Debug)]
pub(crate) struct Retry {
    backoff: Backoff,
    /// The program waits for the first attempt and wants to know that it failed.
    first_must_do: bool,
    /// Once welcomed, the address is known to be right.
    ever_online: bool,
    /// Which token the next attempt needs.
    need: Need,
    /// A new token was asked for because the server refused one, and there was no good connection since.
    refused: Option<Ended>,
}

impl Retry {
    pub(crate) fn new(backoff: Backoff, first_must_do: bool) -> Self {
        Self { backoff, first_must_do, ever_online: false, need: Need::Valid, refused: None }
    }

    /// Which token the next attempt needs.
    pub(crate) fn need(&self) -> Need {
        self.need
    }

    /// There is a token: until it is refused, it will do.
    pub(crate) fn got_token(&mut self) {
        self.need = Need::Valid;
    }

    /// Welcomed.
    pub(crate) fn online(&mut self) {
        self.ever_online = true;
    }

    /// A connection or an attempt is over; `online_for` is zero if it was never welcomed.
    pub(crate) fn lost(&mut self, failed: &Failed, online_for: Duration, rng: &mut impl Rng) -> Next {
        if online_for >= GOOD {
            self.backoff.reset();
            self.refused = None;
        }
        if let Some(ended) = self.end(&failed.lost) {
            return Next::End(ended);
        }
        let refused = !matches!(failed.lost, Lost::Token(_));
        let another_token = refused && self.need == Need::New;
        if self.first_must_do && !self.ever_online && !another_token {
            return Next::End(Ended::FirstAttempt(failed.lost.clone()));
        }
        match &failed.lost {
            // The server spread its clients already; so did whoever asked for it.
            Lost::Moved => return Next::Again(Duration::ZERO),
            Lost::Dropped => self.backoff.reset(),
            Lost::Closed { .. } => match failed.lost.close_code() {
                Some(CloseCode::RateLimited | CloseCode::Unavailable) => self.backoff.skip_first(),
                _ => {}
            },
            Lost::Refused { .. } | Lost::Violation(_) | Lost::WebSocket(_) if !another_token => {
                self.backoff.skip_first();
            }
            _ => {}
        }
        // On top of what the server asked for, so that those that it sent away together do not return together.
        let asked = failed.retry_after.unwrap_or_default().min(MAX_WAIT);
        Next::Again(asked + self.backoff.next(rng))
    }

    /// Whether it is for good; if not, decides on the token.
    fn end(&mut self, lost: &Lost) -> Option<Ended> {
        match lost {
            Lost::Closed { code } if (4500..5000).contains(code) => {
                let ended = Ended::Closed { code: *code };
                match lost.close_code() {
                    Some(CloseCode::InvalidToken) => self.once_with_a_new_token(ended),
                    _ => Some(ended),
                }
            }
            Lost::Refused { status: 401 } => self.once_with_a_new_token(Ended::Refused { status: 401 }),
            Lost::Refused { status } if (400..500).contains(status) => {
                let later = matches!(status, 408 | 425 | 429);
                (!later && !self.ever_online).then_some(Ended::Refused { status: *status })
            }
            Lost::Closed { .. } if lost.close_code() == Some(CloseCode::TokenExpired) => {
                // In a first attempt that must do, not for ever.
                let again = self.refused.is_some() && self.first_must_do && !self.ever_online;
                self.need = if again { Need::Valid } else { Need::New };
                let code = CloseCode::TokenExpired.code();
                self.refused = Some(Ended::Closed { code });
                None
            }
            Lost::Token(TokenError::Unavailable(_)) => None,
            // There is only the token that was refused: that it was is the reason.
            Lost::Token(error) => {
                let refused = self.refused.take();
                Some(refused.unwrap_or_else(|| Ended::Token(error.clone())))
            }
            _ => None,
        }
    }

    fn once_with_a_new_token(&mut self, ended: Ended) -> Option<Ended> {
        if self.refused.is_some() {
            return Some(ended);
        }
        self.need = Need::New;
        self.refused = Some(ended);
        None
    }
}
