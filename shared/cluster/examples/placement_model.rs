//! What placement does to a large fleet: 200 nodes and 10 million users, in numbers.
//!
//! `cargo run --release -p streamz-cluster --example placement_model`

use std::collections::BTreeMap;
use std::time::Instant;

use streamz_cluster::placement::{Bounds, NodeView, Plan, plan};
use streamz_protocol::cluster::{Assignment, Epoch, SLOTS, Slot, Tenure};
use streamz_protocol::{NodeId, UserId};
use uuid::Uuid;

const NODES: u64 = 200;
const USERS: u64 = 10_000_000;
const GATEWAYS: u64 = 400;

fn main() {
    let mut fleet = Fleet::new();
    println!("{NODES} nodes, {SLOTS} slots, {USERS} users (ids of version 4)\n");
    println!("{:<52}{:>8}{:>8}{:>10}{:>10}{:>8}", "", "taken", "moved", "slots", "users", "plan");
    println!("{:<52}{:>8}{:>8}{:>10}{:>10}{:>8}", "", "", "", "max/mean", "max/mean", "ms");
    for _ in 0..NODES {
        fleet.join();
    }
    fleet.step("an empty table");
    fleet.step("nothing happens");
    fleet.join();
    fleet.step("one joins");
    fleet.lose(1);
    fleet.step("one is lost");
    fleet.lose(10);
    fleet.step("10 of 200 are lost at once");
    for _ in 0..10 {
        fleet.join();
    }
    fleet.step("10 join at once");
    let (mut taken, mut moved) = (0, 0);
    for _ in 0..NODES {
        // A new process, then the old one drains and leaves.
        fleet.join();
        let joined = fleet.plan();
        fleet.nodes[0].draining = true;
        let drained = fleet.plan();
        fleet.nodes.remove(0);
        let left = fleet.plan();
        for plan in [joined, drained, left] {
            taken += plan.take.len();
            moved += plan.moves.len();
        }
    }
    fleet.print("rolling restart of all, one after the other", taken, moved, 0.0);
    let least = u64::from(SLOTS);
    println!("\nThe rolling restart moves each slot {:.2} times.", moved as f64 / least as f64);
    agreement(&mut fleet.dice);
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

struct Fleet {
    dice: Dice,
    nodes: Vec<NodeView>,
    table: Vec<Assignment>,
    users: Vec<u64>,
}

impl Fleet {
    fn new() -> Self {
        let mut dice = Dice(42);
        let mut users = vec![0; usize::from(SLOTS)];
        for _ in 0..USERS {
            let bits = (u128::from(dice.next()) << 64) | u128::from(dice.next());
            let id = uuid::Builder::from_u128(bits).with_version(uuid::Version::Random).into_uuid();
            users[usize::from(Slot::of(UserId(Uuid::from_u128(id.as_u128()))).number())] += 1;
        }
        let row = |slot| Assignment { tenure: Tenure { slot, epoch: Epoch(0) }, owner: None };
        Self { dice, nodes: Vec::new(), table: Slot::all().map(row).collect(), users }
    }

    fn join(&mut self) {
        let id = NodeId(self.dice.next() >> 1);
        self.nodes.push(NodeView { id, draining: false });
    }

    fn lose(&mut self, count: usize) {
        for _ in 0..count {
            let at = self.dice.next() % self.nodes.len() as u64;
            self.nodes.remove(usize::try_from(at).unwrap_or(0));
        }
    }

    fn plan(&mut self) -> Plan {
        let plan = plan(&self.nodes, &self.table);
        let moves = plan.moves.iter().map(|one| (one.slot, one.to));
        for (slot, to) in plan.take.iter().copied().chain(moves) {
            self.table[usize::from(slot.number())].owner = Some(to);
        }
        plan
    }

    fn step(&mut self, what: &str) {
        #[expect(clippy::disallowed_methods, reason = "how long a plan takes is what is asked")]
        let begun = Instant::now();
        let plan = self.plan();
        let took = begun.elapsed().as_secs_f64() * 1_000.0;
        self.print(what, plan.take.len(), plan.moves.len(), took);
    }

    fn print(&self, what: &str, taken: usize, moved: usize, took: f64) {
        let mut slots: BTreeMap<NodeId, u64> = BTreeMap::new();
        let mut users: BTreeMap<NodeId, u64> = BTreeMap::new();
        for row in &self.table {
            let Some(owner) = row.owner else { continue };
            *slots.entry(owner).or_default() += 1;
            *users.entry(owner).or_default() += self.users[usize::from(row.tenure.slot.number())];
        }
        let spread = |counts: &BTreeMap<NodeId, u64>| {
            let mean = counts.values().sum::<u64>() as f64 / self.nodes.len() as f64;
            counts.values().max().copied().unwrap_or(0) as f64 / mean
        };
        let bounds = Bounds::of(usize::from(SLOTS), self.nodes.len());
        let what = format!("{what} ({} to {})", bounds.least, bounds.most);
        println!("{what:<52}{taken:>8}{moved:>8}{:>10.3}{:>10.3}{took:>8.2}", spread(&slots), spread(&users));
    }
}

/// When the last of all gateways knows of a change: a hint over the bus, or the next reading of the store, whichever
/// comes first. The hint takes 0.5 ms and an exponential time of 1 ms on average; a reading comes every second and
/// takes 5 ms.
fn agreement(dice: &mut Dice) {
    println!("\nUntil all of {GATEWAYS} gateways know of a change (1,000 changes):");
    println!("{:<20}{:>10}{:>10}{:>10}", "hints lost", "p50 ms", "p99 ms", "max ms");
    for lost in [0.0, 0.0001, 0.01, 1.0] {
        let mut times: Vec<f64> = (0..1_000)
            .map(|_| {
                let one = |_| {
                    let hint =
                        if dice.unit() < lost { f64::INFINITY } else { 0.5 - (1.0 - dice.unit()).ln() };
                    hint.min(dice.unit() * 1_000.0 + 5.0)
                };
                (0..GATEWAYS).map(one).fold(0.0, f64::max)
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{:<20}{:>10.1}{:>10.1}{:>10.1}",
            format!("{} %", lost * 100.0),
            times[500],
            times[990],
            times[999]
        );
    }
}
