//! What a node knows of itself and of the cluster, for whoever asks how it is.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use streamz_cluster::Keeper;
use streamz_cluster::authority::TRUST;
use streamz_protocol::{GatewayId, Millis, ProcessId};
use streamz_status::{Authority, Awaited, Eviction, Ground, Kind, Status, Takeover};

use super::FleetNode;

/// How long somebody who asks waits for the keeper.
const LOOK_WITHIN: Duration = Duration::from_millis(500);
/// Gateways that slots wait for, of which a status tells.
const AWAITED_SHOWN: usize = 64;

/// An eviction by this node.
#[derive(Debug)]
pub(super) struct Evicted {
    pub(super) at: Millis,
    pub(super) id: ProcessId,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) cause: &'static str,
    pub(super) silent: Duration,
    pub(super) slots: usize,
}

impl FleetNode {
    /// Writes down what this node knows, beside what [`Node::describe`](crate::Node::describe) has said. Blocks for half a
    /// second at most: if the keeper cannot be asked by then, it says so.
    pub fn describe(&self, status: &mut Status) {
        let now = self.node.clock().now();
        self.diary.describe(status, now);
        status.evictions = self.evictions.lock().iter().map(|one| eviction(one, now)).collect();
        let Some(state) = self.state.try_lock_for(LOOK_WITHIN) else {
            status.stuck.push("the keeper of its slots".to_owned());
            return;
        };
        status.id = (state.id.0 != 0).then(|| state.id.0.to_string());
        let stats = state.keeper.stats();
        let awaits = awaits(&state.keeper, now);
        status.takeovers = state.takeovers.iter().map(|one| self.takeover(one, now)).collect();
        let heard = state.coordinator_heard;
        let peers = state.peers.clone();
        drop(state);
        if let Some(node) = &mut status.node {
            node.slots = Some(stats.slots as u64);
            node.sealed = stats.sealed as u64;
            node.recovering = stats.claiming as u64;
            node.awaits = awaits;
            node.term = Some(self.term.load(Ordering::Relaxed)).filter(|term| *term > 0);
            let renewed = status.lease.and_then(|lease| lease.renewed_ms_ago);
            node.authority = Some(Authority {
                by: self.decides_until.load(Ordering::Relaxed).gt(&now.0).then(|| ground(renewed)),
                coordinator_ms_ago: heard.map(|at| ms(now.since(at))),
            });
        }
        if let Some(peers) = peers
            && !peers.describe(status)
        {
            status.stuck.push("a link".to_owned());
        }
    }

    fn takeover(&self, one: &super::takeovers::Takeover, now: Millis) -> Takeover {
        Takeover {
            ms_ago: ms(now.since(one.at)),
            cause: one.cause,
            from: one.from.map(|node| node.0.to_string()),
            from_name: one.from.and_then(|node| self.diary.name(node.into())),
            slots: one.slots as u64,
            recovering: one.recovering as u64,
            took_ms: one.confirmed.map(|confirmed| ms(confirmed.since(one.at))),
            longest_ms: ms(one.longest),
        }
    }
}

fn ground(renewed_ms_ago: Option<u64>) -> Ground {
    match renewed_ms_ago {
        Some(ago) if ago < ms(TRUST) => Ground::Lease,
        _ => Ground::Coordinator,
    }
}

fn eviction(one: &Evicted, now: Millis) -> Eviction {
    Eviction {
        ms_ago: ms(now.since(one.at)),
        id: one.id.0.to_string(),
        kind: one.kind,
        name: one.name.clone(),
        cause: one.cause.to_owned(),
        silent_ms: ms(one.silent),
        slots: one.slots as u64,
    }
}

/// By whom slots are held up, the longest first.
fn awaits(keeper: &Keeper, now: Millis) -> Vec<Awaited> {
    let mut waits: BTreeMap<GatewayId, (u64, Millis)> = BTreeMap::new();
    for (_, gateways, since) in keeper.awaited() {
        for gateway in gateways {
            let (slots, first) = waits.entry(*gateway).or_insert((0, since));
            *slots += 1;
            *first = since.min(*first);
        }
    }
    let one = |(gateway, (slots, since)): (GatewayId, (u64, Millis))| Awaited {
        gateway: gateway.0.to_string(),
        slots,
        for_ms: ms(now.since(since)),
    };
    let mut all: Vec<Awaited> = waits.into_iter().map(one).collect();
    all.sort_by_key(|awaited| std::cmp::Reverse(awaited.for_ms));
    all.truncate(AWAITED_SHOWN);
    all
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
