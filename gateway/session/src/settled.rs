//! What becomes of messages, for whoever counts and traces: beside the effects, which say what is to be done.

use std::time::Duration;

use streamz_protocol::Millis;
use streamz_protocol::server::Body;

use crate::copy::OpenEntry;
use crate::session::Session;

/// A message of the device has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Its number.
    pub number: u64,
    /// What it was, as its `type` says; `other` if its content never came to this connection.
    pub kind: &'static str,
    /// `delivered`, or why not: the word of the reason or of the error. `unconfirmed` without an `id`: it is on its way, and
    /// nobody will tell.
    pub outcome: &'static str,
    /// Since it was accepted; of no meaning for those that are unconfirmed.
    pub after: Duration,
}

impl Session {
    /// What was settled by the last input.
    pub fn take_settled(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.settled)
    }

    pub(crate) fn note_settled(
        &mut self,
        number: u64,
        kind: &'static str,
        outcome: &'static str,
        after: Duration,
    ) {
        self.settled.push(Settled { number, kind, outcome, after });
    }

    /// An open message has this outcome.
    pub(crate) fn note_outcome(&mut self, entry: &OpenEntry, outcome: &Body, now: Millis) {
        let kind = entry.message.as_ref().map_or("other", |message| message.command.name());
        let after = now.since(entry.known.accepted_at);
        self.note_settled(entry.known.number, kind, outcome.outcome(), after);
    }
}
