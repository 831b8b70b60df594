//! Devices, sessions and hubs in virtual time, with a checker of the promises.
//!
//! A run is made from a seed alone: [`run`] builds a world of users, devices, gateways and hubs around the very
//! state machines of the product (`streamz-session`, `streamz-hub`), lets them work and fail in virtual time, and
//! hands the history of what was seen at the edges to a checker. The same seed is the same run, byte for byte.
//! `docs/simulation.md` tells more.

mod bounds;
mod checker;
mod client;
mod devices;
mod dice;
mod faults;
mod gateways;
mod history;
mod nodes;
mod plan;
mod queue;
mod store;
mod workload;
mod world;

pub use checker::Violation;
pub use plan::Profile;

/// Tries one seed.
pub fn try_one(seed: u64, traced: bool) -> (Option<String>, Option<String>, usize) {
    let mut world = world::World::new(seed, traced);
    world.run();
    let broken = world.broken.take();
    let trace = world.take_trace();
    if broken.is_some() {
        return (broken, trace, 0);
    }
    let history = world.into_history();
    let n = history.entries.len();
    let v = checker::check(&history);
    (v.first().map(|v| format!("{} {} {}", history.clock(v.at), v.promise, v.sentence)), trace, n)
}
