//! Heartbeats, tokens, credentials, and the ends of waits.

use std::time::Duration;

use streamz_protocol::bus::Detach;
use streamz_protocol::server::{Body, ServerMessage};
use streamz_protocol::{CloseCode, Millis, Reason};

use crate::effect::{Effect, Outgoing};
use crate::planted::planted;
use crate::session::{Phase, Session};

/// How much longer than the resume window a copy is kept if no hub says that it may go.
const FORGET_AFTER: Duration = Duration::from_secs(10);

impl Session {
    /// When [`crate::Input::Tick`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        let open = self
            .copy
            .as_ref()
            .and_then(|copy| copy.open.front().map(|entry| entry.known.accepted_at + self.limits.delivery));
        match self.phase {
            Phase::Attaching | Phase::Over => None,
            Phase::Away { since, .. } => {
                let forget = since + self.limits.resume_window + FORGET_AFTER;
                Some(open.map_or(forget, |open| open.min(forget)))
            }
            Phase::Live => {
                let token = self.token_notice_at.unwrap_or(self.token_expires);
                let first = self.next_ping.min(token);
                let first = self.ice_renew_at.map_or(first, |at| first.min(at));
                Some(open.map_or(first, |open| first.min(open)))
            }
        }
    }

    /// Takes note of a token. Of one with a short life half is over when it is announced: whoever answers at once
    /// is not asked again at once.
    pub(crate) fn set_token(&mut self, expires: Millis, now: Millis) {
        let notice = self.limits.token_notice.min(expires.since(now) / 2);
        self.token_expires = expires;
        self.token_notice_at = Some(expires - notice);
    }

    pub(crate) fn tick(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.give_up_open(now, out);
        match self.phase {
            Phase::Attaching | Phase::Over => {}
            Phase::Away { since, .. } => {
                if since + self.limits.resume_window + FORGET_AFTER <= now {
                    self.end(out);
                }
            }
            Phase::Live => self.tick_live(now, out),
        }
    }

    fn tick_live(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.token_expires <= now {
            return self.close(CloseCode::TokenExpired, Detach::Lost, now, out);
        }
        if self.token_notice_at.is_some_and(|at| at <= now) {
            self.token_notice_at = None;
            let expires_in = self.token_expires.since(now).as_secs();
            self.say(&ServerMessage::TokenExpiring { expires_in }, out);
        }
        if self.ice_renew_at.is_some_and(|at| at <= now) {
            self.ice_renew_at = None;
            out.push(Effect::RenewIce);
        }
        if self.next_ping <= now {
            if self.missed_pings >= self.limits.missed_heartbeats {
                return self.close(CloseCode::NoHeartbeat, Detach::Lost, now, out);
            }
            if let Some(copy) = &mut self.copy {
                copy.forget_confirmed(now, &self.limits);
            }
            self.missed_pings += 1;
            self.next_ping = now + self.limits.heartbeat;
            out.push(Effect::Ping);
        }
    }

    /// No hub has answered for a message's whole life: its sender must hear something.
    fn give_up_open(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let limits = self.limits.clone();
        while let Some(copy) = &mut self.copy
            && let Some(entry) =
                copy.open.pop_front_if(|entry| entry.known.accepted_at + limits.delivery <= now)
        {
            copy.open_bytes -= entry.weight();
            let known = entry.known;
            let body = Body::not_delivered(&known.id, Reason::Expired, Vec::new());
            copy.remember(known.id, known.digest, body.clone(), now, &limits);
            if !planted!(self, SilentGiveUp) {
                self.send(Outgoing { seq: None, body }, out);
            }
        }
    }
}
