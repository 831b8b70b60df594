//! Who was connected when, and when a device could be relied on to hear what it was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use streamz_protocol::{Millis, SessionId};

use crate::history::{DeviceNo, Entry, History, Parted, PipeNo, What};

/// The end of time, for what has not ended.
pub(super) const NEVER: Millis = Millis(u64::MAX);

/// Whoever came to a gateway so shortly before it was evicted may have found a node there that only it could hear: the
/// others count on neither.
const ISLAND: Duration = Duration::from_secs(10);

/// A time during which something was so.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) device: DeviceNo,
    pub(super) from: Millis,
    pub(super) to: Millis,
    pub(super) how: Option<Parted>,
}

/// Spans that other checks ask for.
pub(super) struct Timeline {
    /// A device was welcome on a connection that nothing troubled.
    pub(super) steady: Vec<Span>,
    by_session: BTreeMap<SessionId, Vec<usize>>,
    /// A session was live at a gateway.
    pub(super) attached: Vec<Span>,
    /// The hub of a user was away, or learned anew, or its links stood still.
    pub(super) disturbed: Vec<(usize, Millis, Millis)>,
}

impl Timeline {
    pub(super) fn of(history: &History) -> Self {
        let mut timeline = Self {
            steady: Vec::new(),
            by_session: BTreeMap::new(),
            attached: Vec::new(),
            disturbed: Vec::new(),
        };
        let mut steady: BTreeMap<PipeNo, usize> = BTreeMap::new();
        let mut attached: BTreeMap<PipeNo, usize> = BTreeMap::new();
        let mut troubled: std::collections::BTreeSet<PipeNo> = std::collections::BTreeSet::new();
        let mut down: BTreeMap<usize, Millis> = BTreeMap::new();
        let mut at_gateway: BTreeMap<PipeNo, usize> = BTreeMap::new();
        let mut evicted: std::collections::BTreeSet<usize> = std::collections::BTreeSet::new();
        for Entry { at, what } in &history.entries {
            match what {
                What::Welcomed { device, pipe, session, .. } if !troubled.contains(pipe) => {
                    steady.insert(*pipe, timeline.steady.len());
                    timeline.by_session.entry(*session).or_default().push(timeline.steady.len());
                    timeline.steady.push(Span::open(*device, *at));
                }
                What::Troubled { pipe } | What::Closed { pipe, .. } => {
                    troubled.insert(*pipe);
                    if let Some(span) = steady.remove(pipe) {
                        timeline.steady[span].to = *at;
                    }
                }
                What::Attached { device, pipe, gateway, .. } => {
                    at_gateway.insert(*pipe, *gateway);
                    attached.insert(*pipe, timeline.attached.len());
                    timeline.attached.push(Span::open(*device, *at));
                    if evicted.contains(gateway) {
                        // The others do not count on it.
                        troubled.insert(*pipe);
                        if let Some(span) = timeline.attached.last_mut() {
                            span.to = *at;
                            span.how = Some(Parted::Ended);
                        }
                    }
                }
                What::GatewayEvicted { gateway } => {
                    evicted.insert(*gateway);
                    let held: Vec<PipeNo> =
                        at_gateway.iter().filter(|(_, at)| *at == gateway).map(|(pipe, _)| *pipe).collect();
                    for pipe in held {
                        troubled.insert(pipe);
                        if let Some(span) = attached.get(&pipe).copied() {
                            let span = &mut timeline.attached[span];
                            let on_island = span.from + ISLAND > *at;
                            span.to = if on_island { span.from } else { *at };
                            span.how = Some(if on_island { Parted::Ended } else { Parted::Crashed });
                        }
                        if let Some(span) = steady.remove(&pipe) {
                            timeline.steady[span].to = *at;
                        }
                    }
                }
                What::Detached { pipe, how, .. } => {
                    let lost = at_gateway.get(pipe).is_some_and(|gateway| evicted.contains(gateway));
                    if let Some(span) = attached.remove(pipe) {
                        // Of one that counts as lost a clean end may still be heard.
                        let clean = matches!(how, Parted::Clean | Parted::Ended);
                        if !lost {
                            timeline.attached[span].to = *at;
                        }
                        if !lost || clean {
                            timeline.attached[span].how = Some(*how);
                        }
                    }
                    if let Some(span) = steady.remove(pipe) {
                        timeline.steady[span].to = *at;
                    }
                }
                What::HubCrashed { user, .. } => {
                    down.entry(*user).or_insert(*at);
                }
                What::HubRecovered { user } => {
                    if let Some(since) = down.remove(user) {
                        timeline.disturbed.push((*user, since, *at));
                    }
                }
                What::BusStalled { user, since, until } => timeline.disturbed.push((*user, *since, *until)),
                _ => {}
            }
        }
        timeline.disturbed.extend(down.into_iter().map(|(user, since)| (user, since, NEVER)));
        timeline
    }

    /// A moment at which what began at `since` should be over: `at`, or `wait` after the end of the last trouble that
    /// came in between.
    pub(super) fn calm_after(&self, user: usize, since: Millis, at: Millis, wait: Duration) -> Millis {
        let mut at = at;
        while let Some(later) = self
            .disturbed
            .iter()
            .filter(|(whose, from, to)| *whose == user && *from <= at && since <= *to)
            .map(|(_, _, to)| *to + wait)
            .filter(|later| *later > at)
            .max()
        {
            at = later;
        }
        at
    }

    /// The times in which a session's device was welcome on a connection that held.
    pub(super) fn steady_in(&self, session: SessionId) -> impl Iterator<Item = &Span> {
        self.by_session.get(&session).into_iter().flatten().map(|at| &self.steady[*at])
    }
}

impl Span {
    fn open(device: DeviceNo, from: Millis) -> Self {
        Self { device, from, to: NEVER, how: None }
    }

    pub(super) fn covers(&self, from: Millis, to: Millis) -> bool {
        self.from <= from && to < self.to
    }
}
