use std::sync::Arc;

use streamz_protocol::DeviceId;
use streamz_protocol::bus::{Attach, Caps};

use super::*;

const ME: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);
const G1: GatewayId = GatewayId(11);
const G2: GatewayId = GatewayId(12);
const G3: GatewayId = GatewayId(13);

fn user(number: u128) -> UserId {
    UserId(uuid::Uuid::from_u128(number))
}

fn conn(gateway: GatewayId) -> ConnId {
    ConnId { gateway, number: 7 }
}

fn at(user: UserId, epoch: u64) -> Tenure {
    Tenure { slot: Slot::of(user), epoch: Epoch(epoch) }
}

fn row(tenure: Tenure, owner: NodeId, moving_to: Option<NodeId>) -> SlotRow {
    SlotRow { assignment: Assignment { tenure, owner: Some(owner) }, moving_to }
}

fn read(rows: &[SlotRow], gateways: &[GatewayId]) -> Input {
    Input::Read { version: 1, rows: rows.to_vec(), gateways: gateways.to_vec() }
}

fn attach(gateway: GatewayId) -> Up {
    let attach = Attach {
        attempt: 0,
        device: DeviceId::new("tv").unwrap(),
        name: None,
        device_type: Some(Arc::from("tv")),
        family: uuid::Uuid::nil(),
        caps: Caps { acks: true, max_streams: 1 },
        resume: None,
        trace: None,
    };
    Up::Attach(conn(gateway), Box::new(attach))
}

fn frame(gateway: GatewayId, tenure: Tenure, user: UserId, up: Up) -> Input {
    Input::Frame { gateway, tenure, frame: ToHub { user, up } }
}

fn claimed(gateway: GatewayId, tenure: Tenure, users: &[UserId]) -> Input {
    Input::Claimed { gateway, tenures: vec![tenure], users: users.to_vec() }
}

fn claim(gateway: GatewayId, tenure: Tenure) -> Effect {
    Effect::Send(gateway, Routed::Claim { node: ME, tenures: vec![tenure] })
}

fn start(user: UserId, hub_epoch: u64, recover_from: &[GatewayId]) -> Effect {
    Effect::StartHub { user, hub_epoch, recover_from: recover_from.to_vec() }
}

fn roll(gateway: GatewayId, tenure: Tenure, user: UserId, epoch: u64) -> Effect {
    Effect::Send(gateway, Routed::ToGateway { tenure, frame: ToGateway::Roll { user, epoch } })
}

fn empty(user: UserId, gateway: GatewayId, epoch: u64) -> Effect {
    Effect::HubInput(user, Up::Roster { gateway, epoch, conns: Vec::new() })
}

fn gone(user: UserId, gateway: GatewayId) -> Effect {
    Effect::HubInput(user, Up::Gone(conn(gateway)))
}

/// A machine with a slot of `user`, claimed from these gateways.
fn claiming(user: UserId, gateways: &[GatewayId]) -> Keeper {
    let mut keeper = Keeper::new(ME);
    let effects = tell(&mut keeper, read(&[row(at(user, 5), ME, None)], gateways));
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Send(..))).count(), gateways.len());
    keeper
}

/// The same, confirmed by all of them, with nobody.
fn confirmed(user: UserId, gateways: &[GatewayId]) -> Keeper {
    let mut keeper = claiming(user, gateways);
    for gateway in gateways {
        let _ = tell(&mut keeper, claimed(*gateway, at(user, 5), &[]));
    }
    assert!(keeper.is_confirmed(Slot::of(user)));
    keeper
}

fn tell(keeper: &mut Keeper, input: Input) -> Vec<Effect> {
    keeper.handle(input, Millis(0))
}

const FIRST: u64 = (5 << HUB_EPOCH_BITS) + 1;

#[test]
fn a_slot_is_claimed_from_every_gateway_and_then_confirmed() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = Keeper::new(ME);
    let effects = tell(&mut keeper, read(&[row(t, ME, None)], &[G1, G2]));
    assert_eq!(effects, [claim(G1, t), claim(G2, t)]);
    assert_eq!(tell(&mut keeper, claimed(G1, t, &[])), []);
    assert_eq!(keeper.awaited().collect::<Vec<_>>(), [(t.slot, &[G2][..], Millis(0))]);
    assert_eq!(tell(&mut keeper, claimed(G2, t, &[])), [Effect::Confirmed(t)]);
    // A new user has a new hub.
    let effects = tell(&mut keeper, frame(G1, t, u, attach(G1)));
    assert_eq!(effects, [start(u, FIRST, &[]), Effect::HubInput(u, attach(G1))]);
    assert_eq!(keeper.stats(), Stats { slots: 1, hubs: 1, ..Stats::default() });
}

#[test]
fn without_gateways_there_is_nobody_to_wait_for() {
    let mut keeper = claiming(user(1), &[]);
    assert!(keeper.is_confirmed(Slot::of(user(1))));
    // One that comes is told, and not waited for.
    assert_eq!(tell(&mut keeper, read(&[], &[G1])), [claim(G1, at(user(1), 5))]);
    assert!(keeper.is_confirmed(Slot::of(user(1))));
}

#[test]
fn a_listed_user_has_a_hub_that_hears_every_gateway_once_it_can_be_asked() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = claiming(u, &[G1, G2, G3]);
    assert_eq!(tell(&mut keeper, claimed(G2, t, &[])), []);
    // Who has confirmed without the user need not be heard.
    let effects = tell(&mut keeper, claimed(G1, t, &[u]));
    assert_eq!(effects, [start(u, FIRST, &[G1, G3]), roll(G1, t, u, FIRST)]);
    // The hub's own questions are those that the keeper has put.
    let own = ToGateway::Roll { user: u, epoch: FIRST };
    let says = Input::HubSays { user: u, hub_epoch: FIRST, gateway: G3, frame: own };
    assert_eq!(tell(&mut keeper, says), []);
    let effects = tell(&mut keeper, claimed(G3, t, &[u]));
    assert_eq!(effects, [roll(G3, t, u, FIRST), Effect::Confirmed(t)]);
}

#[test]
fn a_gateway_that_confirms_without_the_user_answers_by_that() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = claiming(u, &[G1, G2]);
    let effects = tell(&mut keeper, claimed(G1, t, &[]));
    assert_eq!(effects, []);
    let effects = tell(&mut keeper, frame(G1, t, u, attach(G1)));
    assert_eq!(effects, [start(u, FIRST, &[G2]), Effect::HubInput(u, attach(G1))]);
    assert_eq!(tell(&mut keeper, claimed(G2, t, &[])), [empty(u, G2, FIRST), Effect::Confirmed(t)]);
}

#[test]
fn devices_are_read_once_no_gateway_can_have_told_a_predecessor() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = claiming(u, &[G1, G2]);
    let _ = tell(&mut keeper, claimed(G1, t, &[u]));
    let loads = Input::HubLoads { user: u, hub_epoch: FIRST };
    assert_eq!(tell(&mut keeper, loads.clone()), []);
    let load = Effect::Load { user: u, hub_epoch: FIRST };
    let effects = tell(&mut keeper, claimed(G2, t, &[]));
    assert_eq!(effects, [empty(u, G2, FIRST), Effect::Confirmed(t), load.clone()]);
    assert_eq!(tell(&mut keeper, loads), [load]);
}

#[test]
fn a_gateway_that_is_gone_has_confirmed_with_nobody() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = claiming(u, &[G1, G2, G3]);
    let _ = tell(&mut keeper, claimed(G1, t, &[u]));
    // Held, and never asked.
    assert_eq!(tell(&mut keeper, read(&[], &[G1, G3])), [empty(u, G2, FIRST)]);
    let _ = tell(&mut keeper, claimed(G3, t, &[u]));
    let roster = Up::Roster { gateway: G3, epoch: FIRST, conns: vec![conn(G3)] };
    let _ = tell(&mut keeper, frame(G3, t, u, roster));
    // Answered, and not announced; asked, and not answered.
    assert_eq!(tell(&mut keeper, read(&[], &[G1])), [gone(u, G3)]);
    assert_eq!(tell(&mut keeper, read(&[], &[])), [empty(u, G1, FIRST)]);
}

#[test]
fn connections_end_with_their_gateway_and_not_before() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = confirmed(u, &[G1, G2]);
    let _ = tell(&mut keeper, frame(G1, t, u, attach(G1)));
    let _ = tell(&mut keeper, frame(G2, t, u, attach(G2)));
    let left = Up::Gone(conn(G1));
    assert_eq!(tell(&mut keeper, frame(G1, t, u, left.clone())), [Effect::HubInput(u, left)]);
    assert_eq!(tell(&mut keeper, read(&[], &[])), [gone(u, G2)]);
}

#[test]
fn nothing_is_taken_from_who_has_not_confirmed() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = claiming(u, &[G1]);
    let effects = tell(&mut keeper, frame(G1, t, u, attach(G1)));
    assert_eq!(effects, [Effect::Ignored(G1, Ignored::Unconfirmed)]);
    let _ = tell(&mut keeper, claimed(G1, t, &[]));
    // Another epoch, another slot, another's user.
    let effects = tell(&mut keeper, frame(G1, at(u, 4), u, attach(G1)));
    let disowned = Effect::Send(G1, Routed::NotMine { tenure: t });
    assert_eq!(effects, [Effect::Ignored(G1, Ignored::NotMine), disowned]);
    let effects = tell(&mut keeper, frame(G1, t, user(2), attach(G1)));
    assert_eq!(effects, [Effect::Ignored(G1, Ignored::WrongSlot)]);
    // An earlier claim's answer.
    let effects = tell(&mut keeper, claimed(G1, at(u, 4), &[u]));
    assert_eq!(effects, [Effect::Ignored(G1, Ignored::NotMine)]);
    assert_eq!(keeper.stats().hubs, 0);
}

#[test]
fn who_is_online_is_answered_when_it_is_certain() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = claiming(u, &[G1, G2]);
    let _ = tell(&mut keeper, claimed(G1, t, &[]));
    let ask = || frame(G1, t, u, Up::WhoIsOnline { gateway: G1, request: 3 });
    assert_eq!(tell(&mut keeper, ask()), []);
    let _ = tell(&mut keeper, claimed(G2, t, &[]));
    let nobody = ToGateway::Online { request: 3, devices: Vec::new() };
    let answer = Effect::Send(G1, Routed::ToGateway { tenure: t, frame: nobody });
    assert_eq!(tell(&mut keeper, ask()), [answer]);
}

#[test]
fn a_gateway_that_came_late_has_its_connections_ask_again() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = confirmed(u, &[G1]);
    let _ = tell(&mut keeper, frame(G1, t, u, attach(G1)));
    assert_eq!(tell(&mut keeper, read(&[], &[G1, G2])), [claim(G2, t)]);
    assert_eq!(tell(&mut keeper, claimed(G2, t, &[u])), [roll(G2, t, u, FIRST)]);
    // Confirmed twice is confirmed.
    assert_eq!(tell(&mut keeper, claimed(G2, t, &[u])), []);
    // A user without a hub gets one, which hears that gateway only.
    let v = (2..).map(user).find(|other| Slot::of(*other) == t.slot).unwrap();
    let _ = tell(&mut keeper, read(&[], &[G1, G2, G3]));
    let effects = tell(&mut keeper, claimed(G3, t, &[v]));
    assert_eq!(effects, [start(v, FIRST + 1, &[G3]), roll(G3, t, v, FIRST + 1)]);
}

#[test]
fn a_hub_that_failed_hears_every_gateway() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = confirmed(u, &[G1, G2]);
    let _ = tell(&mut keeper, frame(G1, t, u, attach(G1)));
    let failed = Input::HubGone { user: u, hub_epoch: FIRST, failed: true };
    assert_eq!(tell(&mut keeper, failed), []);
    // What comes meanwhile is the shell's to keep or to drop.
    let revoke = Up::Revoke { family: uuid::Uuid::nil() };
    assert_eq!(tell(&mut keeper, frame(G1, t, u, revoke.clone())), [Effect::HubInput(u, revoke)]);
    let effects = tell(&mut keeper, Input::HubRestart(u));
    let second = FIRST + 1;
    let asked = [roll(G1, t, u, second), roll(G2, t, u, second)];
    assert_eq!(effects, [&[start(u, second, &[G1, G2])][..], &asked].concat());
    // What the first one still says is nobody's.
    let frame = ToGateway::Online { request: 1, devices: Vec::new() };
    let late = Input::HubSays { user: u, hub_epoch: FIRST, gateway: G1, frame: frame.clone() };
    assert_eq!(tell(&mut keeper, late), []);
    let says = Input::HubSays { user: u, hub_epoch: second, gateway: G1, frame: frame.clone() };
    let sent = Effect::Send(G1, Routed::ToGateway { tenure: t, frame });
    assert_eq!(tell(&mut keeper, says), [sent]);
    let _ = tell(&mut keeper, Input::HubGone { user: u, hub_epoch: second, failed: false });
    assert_eq!(keeper.stats().hubs, 0);
}

#[test]
fn a_slot_that_is_somebody_elses_is_dropped_at_once() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = confirmed(u, &[G1]);
    let taken = Assignment { tenure: at(u, 6), owner: Some(OTHER) };
    assert_eq!(tell(&mut keeper, Input::Hint(vec![taken])), [Effect::DropHubs(t.slot)]);
    // It does not come back with an answer of the store that is older than that.
    assert_eq!(tell(&mut keeper, read(&[row(t, ME, None)], &[G1])), []);
    // A hint that it is ours again has the store asked.
    let ours = Assignment { tenure: at(u, 7), owner: Some(ME) };
    assert_eq!(tell(&mut keeper, Input::Hint(vec![ours])), [Effect::Read]);
    let effects = tell(&mut keeper, read(&[row(at(u, 7), ME, None)], &[G1]));
    assert_eq!(effects, [claim(G1, at(u, 7))]);
    assert_eq!(tell(&mut keeper, Input::Evicted), [Effect::DropHubs(t.slot)]);
}

#[test]
fn a_move_flushes_hands_over_and_tells() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = confirmed(u, &[G1]);
    let _ = tell(&mut keeper, frame(G1, t, u, attach(G1)));
    // The coordinator tells that it has ordered something; what, the store says.
    let hint = Assignment { tenure: t, owner: Some(ME) };
    assert_eq!(tell(&mut keeper, Input::Hint(vec![hint])), [Effect::Read]);
    let ordered = read(&[row(t, ME, Some(OTHER))], &[G1]);
    assert_eq!(tell(&mut keeper, ordered), [Effect::Flush(t)]);
    let effects = tell(&mut keeper, frame(G1, t, u, attach(G1)));
    assert_eq!(effects, [Effect::Ignored(G1, Ignored::Sealed)]);
    assert_eq!(tell(&mut keeper, Input::Flushed(t, true)), [Effect::HandOver(t)]);
    assert_eq!(keeper.moving(), [t.slot]);
    let change = Assignment { tenure: at(u, 6), owner: Some(OTHER) };
    let done = Input::HandedOver(t, HandOver::Done { version: 9, owner: OTHER });
    assert_eq!(tell(&mut keeper, done), [Effect::Publish { version: 9, change }]);
    assert_eq!(keeper.stats(), Stats::default());
}

/// The coordinator may have changed its mind after the order was read: what the store says is what is told.
#[test]
fn who_owns_a_slot_that_was_handed_over_is_what_the_store_says() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = confirmed(u, &[G1]);
    let _ = tell(&mut keeper, read(&[row(t, ME, Some(OTHER))], &[G1]));
    let _ = tell(&mut keeper, Input::Flushed(t, true));
    let owner = NodeId(77);
    let change = Assignment { tenure: at(u, 6), owner: Some(owner) };
    let done = Input::HandedOver(t, HandOver::Done { version: 9, owner });
    assert_eq!(tell(&mut keeper, done), [Effect::Publish { version: 9, change }]);
}

#[test]
fn few_slots_are_sealed_at_a_time_and_the_rest_is_served() {
    let tenures: Vec<Tenure> =
        Slot::all().take(SEALED_MAX + 2).map(|slot| Tenure { slot, epoch: Epoch(5) }).collect();
    let rows: Vec<SlotRow> = tenures.iter().map(|tenure| row(*tenure, ME, Some(OTHER))).collect();
    let mut keeper = Keeper::new(ME);
    let _ = tell(&mut keeper, read(&rows, &[]));
    assert_eq!(keeper.moving().len(), SEALED_MAX);
    assert!(tenures[SEALED_MAX..].iter().all(|tenure| keeper.is_confirmed(tenure.slot)));
    // The next one begins when one is done.
    let first = tenures[0];
    assert_eq!(tell(&mut keeper, Input::Flushed(first, true)), [Effect::HandOver(first)]);
    let effects = tell(&mut keeper, Input::HandedOver(first, HandOver::Done { version: 9, owner: OTHER }));
    assert_eq!(effects.last(), Some(&Effect::Flush(tenures[SEALED_MAX])));
    assert_eq!(keeper.moving().len(), SEALED_MAX);
}

#[test]
fn a_move_that_fails_claims_the_slot_anew() {
    let (u, t) = (user(1), at(user(1), 5));
    for how in [None, Some(HandOver::Refused), Some(HandOver::Unknown)] {
        let mut keeper = confirmed(u, &[G1]);
        let _ = tell(&mut keeper, frame(G1, t, u, attach(G1)));
        let _ = tell(&mut keeper, read(&[row(t, ME, Some(OTHER))], &[G1]));
        let effects = match how.clone() {
            None => tell(&mut keeper, Input::Flushed(t, false)),
            Some(how) => {
                let _ = tell(&mut keeper, Input::Flushed(t, true));
                let mut effects = tell(&mut keeper, Input::HandedOver(t, how));
                assert_eq!(effects.pop(), Some(Effect::Read));
                effects
            }
        };
        assert_eq!(effects, [claim(G1, t)], "{how:?}");
        // What was said meanwhile is announced to a hub of its own.
        let effects = tell(&mut keeper, claimed(G1, t, &[u]));
        let hub = FIRST + 1;
        assert_eq!(effects, [start(u, hub, &[G1]), roll(G1, t, u, hub), Effect::Confirmed(t)], "{how:?}");
        // Tried again with the next answer of the store, unless it was refused.
        let again = tell(&mut keeper, read(&[], &[G1]));
        assert_eq!(again.is_empty(), how == Some(HandOver::Refused), "{how:?}");
    }
}

#[test]
fn a_slot_is_not_handed_on_before_it_is_confirmed() {
    let (u, t) = (user(1), at(user(1), 5));
    let mut keeper = claiming(u, &[G1]);
    assert_eq!(tell(&mut keeper, read(&[row(t, ME, Some(OTHER))], &[G1])), []);
    assert_eq!(tell(&mut keeper, claimed(G1, t, &[])), [Effect::Confirmed(t)]);
    assert_eq!(tell(&mut keeper, read(&[], &[G1])), [Effect::Flush(t)]);
}

#[test]
fn claims_are_made_in_batches() {
    let rows: Vec<SlotRow> =
        Slot::all().map(|slot| row(Tenure { slot, epoch: Epoch(1) }, ME, None)).collect();
    let mut keeper = Keeper::new(ME);
    let effects = tell(&mut keeper, read(&rows, &[G1, G2]));
    assert_eq!(effects.len(), 2 * rows.len() / CLAIM_MAX);
    let full = |effect: &Effect| match effect {
        Effect::Send(_, Routed::Claim { tenures, .. }) => tenures.len() == CLAIM_MAX,
        _ => false,
    };
    assert!(effects.iter().all(full));
}
