use std::collections::BTreeSet;

use streamz_protocol::cluster::{Epoch, SLOTS, Tenure};

use super::*;

const ALL: usize = SLOTS as usize;

fn table(slots: usize) -> Vec<Assignment> {
    let row = |slot| Assignment { tenure: Tenure { slot, epoch: Epoch(0) }, owner: None };
    Slot::all().take(slots).map(row).collect()
}

fn nodes(ids: impl IntoIterator<Item = u64>) -> Vec<NodeView> {
    // Process ids are random; these look so.
    ids.into_iter().map(|id| NodeView { id: NodeId(mix(id) >> 1), draining: false }).collect()
}

fn apply(table: &mut [Assignment], plan: &Plan) {
    let moves = plan.moves.iter().map(|one| (one.slot, one.to));
    for (slot, to) in plan.take.iter().copied().chain(moves) {
        table[usize::from(slot.number())].owner = Some(to);
    }
}

fn loads(table: &[Assignment], nodes: &[NodeView]) -> Vec<usize> {
    nodes.iter().map(|node| table.iter().filter(|row| row.owner == Some(node.id)).count()).collect()
}

fn settled(count: u64) -> (Vec<NodeView>, Vec<Assignment>) {
    let nodes = nodes(0..count);
    let mut table = table(ALL);
    let plan = plan(&nodes, &table);
    apply(&mut table, &plan);
    (nodes, table)
}

fn check(table: &[Assignment], nodes: &[NodeView]) {
    let able: Vec<NodeView> = nodes.iter().filter(|node| !node.draining).copied().collect();
    let bounds = Bounds::of(table.len(), able.len());
    for load in loads(table, &able) {
        assert!((bounds.least..=bounds.most).contains(&load), "{load} {bounds:?}");
    }
    assert_eq!(plan(nodes, table), Plan::default(), "a table that is balanced stays as it is");
}

#[test]
fn weights_never_change() {
    let slot = |number| Slot::new(number).unwrap();
    assert_eq!(weight(slot(0), NodeId(1)), 0x9e01_6029_3a33_aaf7);
    assert_eq!(weight(slot(549), NodeId(0x0123_4567_89ab_cdef)), 0x33d2_86c0_c420_522b);
    assert_eq!(weight(slot(4095), NodeId(u64::MAX >> 1)), 0xeaa4_ca9c_6515_458b);
}

#[test]
fn an_empty_table_is_filled_within_the_bounds() {
    for count in [1, 2, 3, 5, 10, 200] {
        let (nodes, table) = settled(count);
        check(&table, &nodes);
    }
}

#[test]
fn the_order_of_arguments_does_not_matter() {
    let mut nodes = nodes(0..7);
    let mut table = table(ALL);
    let first = plan(&nodes, &table);
    nodes.reverse();
    table.reverse();
    assert_eq!(plan(&nodes, &table), first);
}

#[test]
fn without_nodes_there_is_no_plan() {
    assert_eq!(plan(&[], &table(ALL)), Plan::default());
}

#[test]
fn a_node_that_joins_gets_its_share_and_nothing_else_moves() {
    for count in [1, 2, 3, 9, 50, 200] {
        let (mut nodes, mut table) = settled(count);
        nodes.extend(self::nodes([count]));
        let joined = nodes.last().unwrap().id;
        let plan = plan(&nodes, &table);
        assert!(plan.take.is_empty());
        assert!(plan.moves.iter().all(|one| one.to == joined), "{count}");
        assert!(plan.moves.len() <= ALL / (nodes.len()) + 1, "{count}: {}", plan.moves.len());
        apply(&mut table, &plan);
        check(&table, &nodes);
    }
}

#[test]
fn of_a_node_that_is_lost_only_its_own_slots_move() {
    for count in [2, 3, 10, 200] {
        let (mut nodes, mut table) = settled(count);
        let lost = nodes.remove(1).id;
        let orphans: BTreeSet<Slot> =
            table.iter().filter(|row| row.owner == Some(lost)).map(|row| row.tenure.slot).collect();
        let plan = plan(&nodes, &table);
        let taken: BTreeSet<Slot> = plan.take.iter().map(|(slot, _)| *slot).collect();
        assert_eq!((taken, plan.moves.len()), (orphans, 0), "{count}");
        apply(&mut table, &plan);
        check(&table, &nodes);
    }
}

#[test]
fn a_draining_node_is_emptied() {
    let (mut nodes, mut table) = settled(10);
    nodes[3].draining = true;
    let plan = plan(&nodes, &table);
    assert!(plan.take.is_empty() && plan.moves.iter().all(|one| one.from == nodes[3].id));
    apply(&mut table, &plan);
    assert_eq!(loads(&table, &nodes[3..4]), [0]);
    check(&table, &nodes);
}

#[test]
fn if_all_drain_nothing_moves_but_what_is_homeless_is_taken_in() {
    let (mut nodes, mut table) = settled(3);
    let lost = nodes.remove(0).id;
    nodes.iter_mut().for_each(|node| node.draining = true);
    let plan = plan(&nodes, &table);
    assert_eq!(plan.take.len(), table.iter().filter(|row| row.owner == Some(lost)).count());
    assert!(plan.moves.is_empty());
    apply(&mut table, &plan);
    check(&table, &nodes);
}

/// Nodes come, drain and die for a long time: never more is moved than the change accounts for.
#[test]
fn a_long_life_moves_few_slots_and_ends_balanced() {
    let (mut nodes, mut table) = settled(20);
    for (next, step) in (20..).zip(0..60_u64) {
        let dice = mix(step);
        let at = usize::try_from(dice % nodes.len() as u64).unwrap();
        let (mut touched, mut orphans) = (1, 0);
        match dice % 5 {
            0 | 1 if nodes.len() < 40 => nodes.extend(self::nodes([next])),
            2 if nodes.len() > 5 => {
                let lost = nodes.remove(at).id;
                orphans = table.iter().filter(|row| row.owner == Some(lost)).count();
            }
            3 => nodes[at].draining ^= true,
            _ => touched = 0,
        }
        if nodes.iter().all(|node| node.draining) {
            nodes[0].draining = false;
        }
        let able = nodes.iter().filter(|node| !node.draining).count();
        let plan = plan(&nodes, &table);
        assert_eq!(plan.take.len(), orphans);
        // A share, and what the bounds themselves have moved.
        assert!(plan.moves.len() <= touched * (ALL * 3 / 2) / able.max(1), "{step}: {}", plan.moves.len());
        apply(&mut table, &plan);
        check(&table, &nodes);
    }
}

/// The figures of `examples/placement_model.rs`, with fewer users.
#[test]
fn a_fleet_of_two_hundred_is_balanced_and_moves_little() {
    let (mut nodes, mut table) = settled(200);
    let mut users = vec![0_usize; ALL];
    for number in 0..1_000_000_u128 {
        let user = streamz_protocol::UserId(uuid::Uuid::from_u128(number));
        users[usize::from(Slot::of(user).number())] += 1;
    }
    let mut counts = std::collections::BTreeMap::new();
    for row in &table {
        *counts.entry(row.owner).or_insert(0) += users[usize::from(row.tenure.slot.number())];
    }
    let most = counts.values().max().copied().unwrap();
    assert!(most * 200 < 1_000_000 * 5 / 4, "{most}");
    let (mut moved, mut taken) = (0, 0);
    for next in 200..400 {
        nodes.extend(self::nodes([next]));
        let joined = plan(&nodes, &table);
        apply(&mut table, &joined);
        nodes[0].draining = true;
        let drained = plan(&nodes, &table);
        apply(&mut table, &drained);
        nodes.remove(0);
        let left = plan(&nodes, &table);
        moved += joined.moves.len() + drained.moves.len() + left.moves.len();
        taken += joined.take.len() + drained.take.len() + left.take.len();
    }
    check(&table, &nodes);
    assert_eq!(taken, 0, "a rolling restart leaves no slot without an owner");
    assert!(moved < 2 * ALL, "{moved}");
}
