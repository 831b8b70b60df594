use super::*;

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

fn row(number: u16, epoch: u64, owner: u64) -> Assignment {
    let owner = (owner != 0).then_some(NodeId(owner));
    Assignment { tenure: Tenure { slot: slot(number), epoch: Epoch(epoch) }, owner }
}

#[test]
fn epochs_only_grow() {
    let mut table = Table::default();
    assert_eq!(table.learn(row(7, 3, 10)), Ok(Learned::Newer));
    assert_eq!(table.learn(row(7, 2, 11)), Ok(Learned::Older));
    assert_eq!(table.learn(row(7, 3, 10)), Ok(Learned::Same));
    assert_eq!(table.owner(slot(7)), Some(NodeId(10)));
    assert_eq!(table.learn(row(7, 4, 0)), Ok(Learned::Newer));
    assert_eq!(table.assignment(slot(7)), row(7, 4, 0));
    assert_eq!(table.owner(slot(8)), None);
}

#[test]
fn two_owners_at_one_epoch_are_a_contradiction() {
    let mut table = Table::default();
    table.learn(row(1, 5, 10)).unwrap();
    let contradiction = table.learn(row(1, 5, 11)).unwrap_err();
    assert_eq!((contradiction.known, contradiction.named), (Some(NodeId(10)), Some(NodeId(11))));
    assert_eq!(contradiction.to_string(), "slot 1 has two owners at epoch 5");
    assert_eq!(table.owner(slot(1)), Some(NodeId(10)));
}

#[test]
fn the_store_is_right_whatever_a_hint_has_said() {
    let mut table = Table::default();
    assert_eq!(table.hint(1, &[row(1, 5, 10)]).newer, [slot(1)]);
    let merged = table.read(1, &[row(1, 5, 11)]);
    assert_eq!((merged.newer, merged.contradictions.len()), (vec![slot(1)], 1));
    assert_eq!(table.owner(slot(1)), Some(NodeId(11)));
    // And not the other way round.
    let merged = table.hint(2, &[row(1, 5, 10)]);
    assert_eq!((merged.newer, merged.contradictions.len()), (vec![], 1));
    assert_eq!(table.owner(slot(1)), Some(NodeId(11)));
}

#[test]
fn a_hint_that_follows_is_as_good_as_a_read() {
    let mut table = Table::default();
    table.read(4, &[row(0, 1, 10), row(1, 1, 10)]);
    let merged = table.hint(5, &[row(1, 2, 11)]);
    assert_eq!(merged, Merged { newer: vec![slot(1)], ..Merged::default() });
    assert_eq!(table.version(), 5);
}

#[test]
fn a_hint_beyond_a_gap_is_merged_and_the_gap_is_read() {
    let mut table = Table::default();
    table.read(4, &[]);
    let merged = table.hint(7, &[row(1, 2, 11)]);
    assert!(merged.gap);
    assert_eq!((table.version(), table.owner(slot(1))), (4, Some(NodeId(11))));
    let merged = table.read(7, &[row(0, 1, 10), row(1, 2, 11)]);
    assert_eq!(merged, Merged { newer: vec![slot(0)], ..Merged::default() });
    assert_eq!(table.version(), 7);
}

#[test]
fn an_old_hint_changes_nothing() {
    let mut table = Table::default();
    table.read(9, &[row(1, 6, 11)]);
    assert_eq!(table.hint(8, &[row(1, 5, 12)]), Merged::default());
    assert_eq!(table.version(), 9);
}

#[test]
fn a_fence_lets_the_present_pass_and_the_past_not() {
    let mut fence = Fence::default();
    let at = |epoch| Tenure { slot: slot(3), epoch: Epoch(epoch) };
    assert!(fence.learn(at(2)));
    assert!(!fence.learn(at(2)) && !fence.learn(at(1)));
    assert!(!fence.allows(at(1)) && fence.allows(at(2)) && fence.allows(at(3)));
}
