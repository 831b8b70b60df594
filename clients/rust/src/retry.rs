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
            Lost::Closed { .. } => {
                let busy = [Some(CloseCode::RateLimited), Some(CloseCode::Unavailable)];
                if busy.contains(&failed.lost.close_code()) {
                    self.backoff.skip_first();
                }
            }
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

#[cfg(test)]
mod tests {
    use std::io;

    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const NOT: Duration = Duration::ZERO;

    fn retry(first_must_do: bool) -> Retry {
        Retry::new(Backoff::new(Duration::from_millis(250), Duration::from_secs(15)), first_must_do)
    }

    fn known() -> Retry {
        let mut retry = retry(true);
        retry.online();
        retry
    }

    fn next(retry: &mut Retry, lost: Lost, online_for: Duration) -> Next {
        retry.lost(&lost.into(), online_for, &mut SmallRng::seed_from_u64(1))
    }

    fn closed(code: CloseCode) -> Lost {
        Lost::Closed { code: code.code() }
    }

    fn comes_back(retry: &mut Retry, lost: Lost) -> bool {
        matches!(next(retry, lost, NOT), Next::Again(_))
    }

    #[test]
    fn the_table_of_close_codes_decides_who_comes_back() {
        for code in CloseCode::ALL {
            let again = code.come_back() || *code == CloseCode::InvalidToken;
            assert_eq!(comes_back(&mut known(), closed(*code)), again, "{code}");
        }
        for code in [1000, 1001, 1006, 1011, 4499, 5000] {
            assert!(comes_back(&mut known(), Lost::Closed { code }), "{code}");
        }
        for code in [4506, 4999] {
            assert_eq!(next(&mut known(), Lost::Closed { code }, NOT), Next::End(Ended::Closed { code }));
        }
    }

    #[test]
    fn a_lapsed_token_is_replaced_first() {
        let mut retry = known();
        assert_eq!(retry.need(), Need::Valid);
        assert!(comes_back(&mut retry, closed(CloseCode::TokenExpired)));
        assert_eq!(retry.need(), Need::New);
        retry.got_token();
        assert!(comes_back(&mut retry, Lost::Silent));
        assert_eq!(retry.need(), Need::Valid);
    }

    #[test]
    fn a_refused_token_is_replaced_once() {
        let refusals = [
            (closed(CloseCode::InvalidToken), Ended::Closed { code: 4500 }),
            (Lost::Refused { status: 401 }, Ended::Refused { status: 401 }),
        ];
        for (lost, ended) in refusals {
            for first_must_do in [true, false] {
                let mut retry = retry(first_must_do);
                assert!(comes_back(&mut retry, lost.clone()));
                assert_eq!(retry.need(), Need::New);
                retry.got_token();
                assert_eq!(next(&mut retry, lost.clone(), NOT), Next::End(ended.clone()));
            }
            let mut retry = known();
            assert!(comes_back(&mut retry, lost.clone()));
            retry.got_token();
            assert!(
                matches!(next(&mut retry, lost.clone(), GOOD), Next::Again(_)),
                "once per good connection"
            );
        }
    }

    #[test]
    fn a_token_that_cannot_be_replaced_ends_with_the_refusal() {
        let mut retry = known();
        assert!(comes_back(&mut retry, closed(CloseCode::TokenExpired)));
        let ended = Ended::Closed { code: 4001 };
        assert_eq!(next(&mut retry, Lost::Token(TokenError::NoneNewer), NOT), Next::End(ended));
        let refused = TokenError::Refused("gone".into());
        let ended = Ended::Token(refused.clone());
        assert_eq!(next(&mut known(), Lost::Token(refused), NOT), Next::End(ended));
        let later = Lost::Token(TokenError::Unavailable("no network".into()));
        assert!(comes_back(&mut known(), later));
    }

    #[test]
    fn a_first_attempt_that_must_do_is_not_repeated() {
        for lost in
            [Lost::TimedOut, Lost::Io(io::ErrorKind::ConnectionRefused), closed(CloseCode::Unavailable)]
        {
            let ended = Ended::FirstAttempt(lost.clone());
            assert_eq!(next(&mut retry(true), lost.clone(), NOT), Next::End(ended));
            assert!(comes_back(&mut retry(false), lost.clone()));
            assert!(comes_back(&mut known(), lost));
        }
        let mut retry = retry(true);
        assert!(comes_back(&mut retry, closed(CloseCode::TokenExpired)));
        let lost = Lost::Token(TokenError::Unavailable("no network".into()));
        let ended = Ended::FirstAttempt(lost.clone());
        assert_eq!(next(&mut retry, lost, NOT), Next::End(ended), "not for ever");
        assert_eq!(
            next(&mut retry, closed(CloseCode::TokenExpired), NOT),
            Next::End(Ended::FirstAttempt(closed(CloseCode::TokenExpired)))
        );
    }

    #[test]
    fn a_wrong_address_is_final_only_before_it_ever_worked() {
        let not_found = || Lost::Refused { status: 404 };
        assert_eq!(next(&mut retry(false), not_found(), NOT), Next::End(Ended::Refused { status: 404 }));
        assert!(comes_back(&mut known(), not_found()));
        for status in [408, 425, 429, 500, 502, 503] {
            assert!(comes_back(&mut retry(false), Lost::Refused { status }), "{status}");
        }
    }

    #[test]
    fn retry_after_is_honoured_within_reason() {
        let mut rng = SmallRng::seed_from_u64(1);
        for (asked, waits) in [(7, Duration::from_secs(7)), (1_000_000, MAX_WAIT)] {
            let failed =
                Failed { lost: Lost::Refused { status: 503 }, retry_after: Some(Duration::from_secs(asked)) };
            let Next::Again(wait) = known().lost(&failed, NOT, &mut rng) else { panic!("ended") };
            assert!(wait >= waits && wait <= waits + Duration::from_millis(250), "{wait:?}");
        }
    }

    #[test]
    fn only_a_good_connection_is_followed_by_a_first_retry() {
        let most = |online_for, lost: fn() -> Lost| {
            let waits = (0..200).map(|seed| {
                let mut retry = known();
                let mut rng = SmallRng::seed_from_u64(seed);
                for _ in 0..5 {
                    retry.lost(&Lost::Silent.into(), NOT, &mut rng);
                }
                match retry.lost(&lost().into(), online_for, &mut rng) {
                    Next::Again(wait) => wait,
                    Next::End(ended) => panic!("{ended}"),
                }
            });
            waits.max().unwrap()
        };
        assert!(most(NOT, || Lost::Silent) > Duration::from_secs(3));
        assert!(most(GOOD, || Lost::Silent) <= Duration::from_millis(50));
        assert!(most(NOT, || Lost::Dropped) <= Duration::from_millis(50));
        assert_eq!(most(NOT, || Lost::Moved), NOT);
        assert!(most(GOOD, || closed(CloseCode::Unavailable)) > Duration::from_millis(50));
    }
}
