//! The cluster's state machines together, in virtual time, with everything failing that may fail.
//!
//! A run has a store with the compare-and-swaps of the design, links that keep order between two incarnations, hints
//! that get lost, gateways and nodes that crash, stall, are cut off and drain, and hubs that only count connections.
//! Checked are the promises: no gateway applies what is older than what it knows; one owner is confirmed per epoch;
//! a hub that decides knows every connection; nobody is evicted for the store's outage; and when faults end, every
//! user has one hub that knows all of the user's connections.
#![allow(clippy::unwrap_used)]

mod checks;
mod dice;
mod faults;
mod gateway;
mod hub;
mod node;
mod store;
mod world;

use streamz_cluster::Bug;
use world::World;

/// Runs a seed; `Err` says which promise was broken.
fn run(seed: u64, bug: Option<Bug>, traced: bool) -> Result<world::Totals, String> {
    let mut world = World::new(seed, bug, traced);
    world.run();
    if traced {
        eprintln!("{}", world.trace());
    }
    match world.broken.take() {
        Some(broken) => Err(format!("seed {seed}: {broken}")),
        None => Ok(world.totals),
    }
}

fn seeds() -> u64 {
    std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

#[test]
fn promises_hold_whatever_fails() {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|text| text.parse().ok()) {
        run(seed, None, true).unwrap();
        return;
    }
    let mut totals = world::Totals::default();
    for seed in 0..seeds() {
        totals.add(&run(seed, None, false).unwrap());
    }
    eprintln!("{totals:?}");
    assert!(totals.every_kind(), "something never happened: {totals:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let trace = |seed| {
        let mut world = World::new(seed, None, true);
        world.run();
        world.trace().to_owned()
    };
    assert_eq!(trace(3), trace(3));
}

#[test]
fn every_planted_bug_is_found() {
    let all = [
        Bug::NoFence,
        Bug::EarlyActivation,
        Bug::EpochReuse,
        Bug::StaleClaimedAccepted,
        Bug::HeldRollDropped,
        Bug::NoGrace,
        Bug::SilentConfirmation,
        Bug::GhostSpeaks,
    ];
    for bug in all {
        let found = (0..seeds()).find_map(|seed| run(seed, Some(bug), false).err());
        eprintln!("{bug:?}: {found:?}");
        assert!(found.is_some(), "{bug:?} was not found");
    }
}
