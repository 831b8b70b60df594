use streamz_protocol::bus::Up;
use streamz_protocol::cluster::Epoch;

use super::*;

const ME: GatewayId = GatewayId(100);
const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const NOW: Millis = Millis(0);

/// Users with slots of their own, and the slots.
fn users() -> Vec<(UserId, Slot)> {
    let ids = (1..=3_u128).map(|number| UserId(uuid(number)));
    ids.map(|user| (user, Slot::of(user))).collect()
}

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

fn at(slot: Slot, epoch: u64) -> Tenure {
    Tenure { slot, epoch: Epoch(epoch) }
}

fn claim(node: NodeId, tenures: Vec<Tenure>) -> Input {
    Input::FromNode { node, frame: Routed::Claim { node, tenures } }
}

fn says(node: NodeId, tenure: Tenure) -> Input {
    let frame = ToGateway::Online { request: 1, devices: Vec::new() };
    Input::FromNode { node, frame: Routed::ToGateway { tenure, frame } }
}

fn delivered() -> Effect {
    Effect::Deliver(ToGateway::Online { request: 1, devices: Vec::new() })
}

fn read(version: u64, changes: &[(Slot, u64, NodeId)], nodes: &[NodeId]) -> Input {
    let row = |(slot, epoch, owner): &(Slot, u64, NodeId)| Assignment {
        tenure: at(*slot, *epoch),
        owner: Some(*owner),
    };
    Input::Read { version, changes: changes.iter().map(row).collect(), nodes: nodes.to_vec() }
}

#[test]
fn what_has_no_owner_is_refused_and_so_is_what_is_not_confirmed() {
    let (user, slot) = users()[0];
    let mut router = Router::new(ME);
    let nobody = BySlot::default();
    assert_eq!(router.route(user), Err(Refusal::NoOwner));
    assert_eq!(router.handle(read(1, &[(slot, 1, A)], &[A]), &nobody, NOW), []);
    assert_eq!(router.route(user), Err(Refusal::NotYet));
    assert_eq!(router.handle(says(A, at(slot, 1)), &nobody, NOW), [Effect::Ignored(A, Ignored::Unconfirmed)]);
    let claimed = Routed::Claimed { gateway: ME, tenures: vec![at(slot, 1)], users: Vec::new() };
    assert_eq!(router.handle(claim(A, vec![at(slot, 1)]), &nobody, NOW), [Effect::Send(A, claimed)]);
    assert_eq!(router.route(user), Ok((A, at(slot, 1))));
    assert_eq!(router.ready(), 1);
    let up = Up::WhoIsOnline { gateway: ME, request: 3 };
    let frame = ToHub { user, up };
    let routed = Routed::ToHub { tenure: at(slot, 1), frame: frame.clone() };
    assert_eq!(router.address(frame), Ok((A, routed)));
}

#[test]
fn a_confirmation_lists_the_users_of_the_slots_and_no_others() {
    let all = users();
    let mut directory = BySlot::default();
    for (user, _) in &all {
        directory.insert(*user);
    }
    directory.remove(all[2].0);
    let tenures = vec![at(all[0].1, 4), at(all[2].1, 4)];
    let mut router = Router::new(ME);
    let effects = router.handle(claim(A, tenures.clone()), &directory, NOW);
    let claimed = Routed::Claimed { gateway: ME, tenures, users: vec![all[0].0] };
    assert_eq!(effects, [Effect::Send(A, claimed)]);
}

#[test]
fn a_claim_raises_the_epoch_and_who_owned_before_is_ignored() {
    let (user, slot) = users()[0];
    let mut router = Router::new(ME);
    let nobody = BySlot::default();
    let _ = router.handle(claim(A, vec![at(slot, 1)]), &nobody, NOW);
    assert_eq!(router.handle(says(A, at(slot, 1)), &nobody, NOW), [delivered()]);
    let _ = router.handle(claim(B, vec![at(slot, 2)]), &nobody, NOW);
    assert_eq!(router.handle(says(A, at(slot, 1)), &nobody, NOW), [Effect::Ignored(A, Ignored::Older)]);
    assert_eq!(router.handle(says(B, at(slot, 2)), &nobody, NOW), [delivered()]);
    // Neither a late claim nor a late answer of the store brings it back.
    assert_eq!(
        router.handle(claim(A, vec![at(slot, 1)]), &nobody, NOW),
        [Effect::Ignored(A, Ignored::Older)]
    );
    let _ = router.handle(read(7, &[(slot, 1, A)], &[A]), &nobody, NOW);
    assert_eq!(router.route(user), Ok((B, at(slot, 2))));
}

#[test]
fn a_claim_is_confirmed_again_but_not_for_another() {
    let (_, slot) = users()[0];
    let mut router = Router::new(ME);
    let nobody = BySlot::default();
    let first = router.handle(claim(A, vec![at(slot, 1)]), &nobody, NOW);
    assert_eq!(router.handle(claim(A, vec![at(slot, 1)]), &nobody, NOW), first);
    let effects = router.handle(claim(B, vec![at(slot, 1)]), &nobody, NOW);
    assert!(matches!(effects[..], [Effect::Contradiction(_)]));
    // Nobody claims in another's name.
    let forged = Input::FromNode { node: B, frame: Routed::Claim { node: A, tenures: vec![at(slot, 9)] } };
    assert_eq!(router.handle(forged, &nobody, NOW), [Effect::Ignored(B, Ignored::Misdirected)]);
}

#[test]
fn a_change_of_owner_ends_the_confirmation() {
    let (user, slot) = users()[0];
    let mut router = Router::new(ME);
    let nobody = BySlot::default();
    let _ = router.handle(claim(A, vec![at(slot, 1)]), &nobody, NOW);
    let change = Assignment { tenure: at(slot, 2), owner: Some(B) };
    let effects = router.handle(Input::Hint { version: 1, changes: vec![change] }, &nobody, NOW);
    assert_eq!(effects, []);
    assert_eq!(router.route(user), Err(Refusal::NotYet));
    assert_eq!(router.handle(says(A, at(slot, 1)), &nobody, NOW), [Effect::Ignored(A, Ignored::Older)]);
    // A gap in the versions is filled from the store.
    assert_eq!(router.handle(Input::Hint { version: 9, changes: Vec::new() }, &nobody, NOW), [Effect::Read]);
}

#[test]
fn a_node_that_is_gone_owns_nothing() {
    let (user, slot) = users()[0];
    let mut router = Router::new(ME);
    let nobody = BySlot::default();
    let _ = router.handle(read(1, &[(slot, 1, A)], &[A]), &nobody, NOW);
    let _ = router.handle(claim(A, vec![at(slot, 1)]), &nobody, NOW);
    // B has just claimed and the list is older than it: that is no sign of death.
    let _ = router.handle(claim(B, vec![at(users()[1].1, 1)]), &nobody, NOW);
    let _ = router.handle(read(1, &[], &[]), &nobody, NOW);
    assert_eq!(router.route(user), Err(Refusal::NoOwner));
    assert_eq!(router.route(users()[1].0), Ok((B, at(users()[1].1, 1))));
    let _ = router.handle(Input::NodeGone(B), &nobody, NOW);
    assert_eq!(router.route(users()[1].0), Err(Refusal::NoOwner));
    let late = router.handle(claim(B, vec![at(slot, 5)]), &nobody, NOW);
    assert_eq!(late, [Effect::Ignored(B, Ignored::Older)]);
    // The slots go to others, and the dead are forgotten.
    let changes = [(slot, 2, NodeId(3)), (users()[1].1, 2, NodeId(3))];
    let _ = router.handle(read(2, &changes, &[NodeId(3)]), &nobody, NOW);
    assert!(router.gone.is_empty());
    assert_eq!(router.route(user), Err(Refusal::NotYet));
}

#[test]
fn a_node_that_disowns_a_slot_has_the_table_read() {
    let (_, slot) = users()[0];
    let mut router = Router::new(ME);
    let frame = Routed::NotMine { tenure: at(slot, 3) };
    assert_eq!(router.handle(Input::FromNode { node: A, frame }, &BySlot::default(), NOW), [Effect::Read]);
}
