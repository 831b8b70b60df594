//! Is it well, and if not, what is wrong?
//!
//! What Postgres says of the fleet is judged once, by the process that was asked. What each process knows for itself is
//! judged for each; where several find the same, it is said once, with who found it.

mod local;
mod shared;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Other, Status};

/// A lease that is older than this should have been renewed three times: milliseconds.
pub(crate) const LEASE_OLD: u64 = 3_000;
/// The lease of a coordinator lapses after this: milliseconds.
pub(crate) const LEASE: u64 = 4_000;
/// What may take a moment is wrong when it takes longer than this: milliseconds.
pub(crate) const PATIENCE: u64 = 2_000;
/// A link that has heard no acknowledgement for longer than this hangs: milliseconds.
pub(crate) const LINK_HANGS: u64 = 3_000;
/// What has happened is told for this long: milliseconds.
pub(crate) const RECENT: u64 = 60_000;

/// What kind of finding it is. Names stay; new ones may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The database does not answer.
    DatabaseAway,
    /// An instance of Redis carries nothing.
    RedisSilent,
    /// A process is not subscribed where others reach it.
    NotSubscribed,
    /// The fleet has no node.
    NoNode,
    /// Slots have no owner.
    SlotsOwnerless,
    /// A lease is old.
    LeaseOld,
    /// Nobody coordinates.
    NoCoordinator,
    /// A process has no lease.
    NoLease,
    /// A node may not decide.
    MayNotDecide,
    /// Part of a process does not answer.
    Stuck,
    /// Nobody receives what is sent to a process.
    Unheard,
    /// A gateway knows no owner that serves for some slots.
    SlotsUnserved,
    /// Slots wait for gateways to confirm.
    SlotsRecovering,
    /// A link hangs.
    LinkHangs,
    /// Records wait for the database.
    RecordsWait,
    /// Slots are being handed over.
    SlotsMoving,
    /// A process drains.
    Draining,
    /// A process was evicted a moment ago.
    Evicted,
    /// A process noticed a moment ago that it was evicted.
    Expelled,
    /// A process could not be asked.
    NotAsked,
    /// Something foreign came over Redis.
    RefusedEnvelopes,
}

/// Something to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What kind of finding.
    pub code: Code,
    /// Whether it is wrong, or merely worth knowing.
    pub wrong: bool,
    /// A sentence.
    pub text: String,
    /// Who found it.
    pub by: Vec<String>,
}

/// What a process has found, before it is put together with what others have.
pub(crate) struct Found {
    pub(crate) code: Code,
    pub(crate) wrong: bool,
    /// The same for the same thing, whoever finds it.
    pub(crate) about: String,
    /// How much: of several who find the same, the one with the most says it.
    pub(crate) weight: u64,
    /// Without its end.
    pub(crate) text: String,
}

impl Found {
    pub(crate) fn new(code: Code, about: impl Into<String>, weight: u64, text: String) -> Self {
        Self { code, wrong: true, about: about.into(), weight, text }
    }

    /// Worth knowing.
    pub(crate) fn note(self) -> Self {
        Self { wrong: false, ..self }
    }

    pub(crate) fn wrong_if(self, wrong: bool) -> Self {
        Self { wrong, ..self }
    }
}

/// What is wrong with a process and its fleet, the gravest first, and then what is worth knowing. `others` are processes
/// of the same fleet that were asked beside; without them, what only they know is missing.
#[must_use]
pub fn verdict(asked: &Status, others: &[Other]) -> Vec<Finding> {
    let mut found: BTreeMap<(Code, String), (Found, Vec<String>)> = BTreeMap::new();
    let mut take = |one: Found, by: String| {
        let key = (one.code, one.about.clone());
        match found.get_mut(&key) {
            Some((known, finders)) => {
                if (one.wrong, one.weight) > (known.wrong, known.weight) {
                    *known = one;
                }
                finders.push(by);
            }
            None => drop(found.insert(key, (one, vec![by]))),
        }
    };
    for one in shared::found(asked) {
        take(one, asked.called());
    }
    let names = |id: &str| asked.fleet.as_ref().map_or_else(|| id.to_owned(), |fleet| fleet.called(id));
    let answered: Vec<&Status> = others.iter().filter_map(|other| other.status.as_ref()).collect();
    for status in [asked].into_iter().chain(answered.iter().copied()) {
        for one in local::found(status, &names) {
            take(one, status.called());
        }
    }
    for other in others {
        // Of one that drains, or whose lease is old, enough is said.
        let row =
            asked.fleet.as_ref().and_then(|fleet| fleet.processes.iter().find(|row| row.id == other.id));
        let known = row.is_some_and(|row| row.draining || row.lease_ms > LEASE_OLD);
        if let Some(problem) = other.problem.as_ref().filter(|_| !known) {
            let name = format!("{} {}", other.kind.as_str(), other.name);
            let text = format!("{name} was not asked: {problem}");
            take(Found::new(Code::NotAsked, name, 0, text).note(), asked.called());
        }
    }
    let everybody = 1 + answered.len();
    let mut findings: Vec<Finding> = found.into_values().map(|(one, by)| said(one, by, everybody)).collect();
    // In the order of the codes, within that by what they are about: stable.
    findings.sort_by_key(|finding| !finding.wrong);
    findings
}

/// As a sentence, with who says so if not everybody does.
fn said(found: Found, by: Vec<String>, everybody: usize) -> Finding {
    let of_fleet = matches!(
        found.code,
        Code::NoNode
            | Code::SlotsOwnerless
            | Code::LeaseOld
            | Code::NoCoordinator
            | Code::SlotsMoving
            | Code::Draining
            | Code::Evicted
            | Code::NotAsked
    );
    let mut text = found.text;
    let of_itself = matches!(&by[..], [one] if text.contains(&**one));
    if let Some(first) = text.get(..1) {
        text = first.to_uppercase() + &text[1..];
    }
    if !of_fleet && !of_itself && everybody > 1 && by.len() < everybody {
        let who = if let [one] = &by[..] { one.clone() } else { format!("{} of {everybody}", by.len()) };
        text += &format!(" (says {who})");
    }
    text.push('.');
    Finding { code: found.code, wrong: found.wrong, text, by }
}

/// `0.4 s`, `12 s`, `3 min`, `2 h`.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("0.{} s", ms / 100),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

/// `1 slot`, `37 slots`.
pub(crate) fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests;
