use super::*;
use streamz_protocol::cluster::Epoch;

const ME: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const G: ProcessId = ProcessId(9);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Millis {
    Millis(1_000_000 + millis)
}

fn term(holder: Option<NodeId>, epoch: u64, age: u64) -> TermRow {
    TermRow { holder, epoch, age: ms(age) }
}

fn renewed(now: u64, term: TermRow) -> Input {
    Input::Renewed { sent_at: at(now), term }
}

fn process(id: u64, kind: Kind, age: u64) -> ProcessRow {
    ProcessRow { id: ProcessId(id), kind, age: ms(age), draining: false }
}

fn nodes(ages: &[(NodeId, u64)]) -> Vec<ProcessRow> {
    ages.iter().map(|(node, age)| process(node.0, Kind::Node, *age)).collect()
}

fn row(number: u16, epoch: u64, owner: NodeId) -> SlotRow {
    let tenure = Tenure { slot: Slot::new(number).unwrap(), epoch: Epoch(epoch) };
    SlotRow { assignment: Assignment { tenure, owner: Some(owner) }, moving_to: None }
}

/// Everything belongs to these in turn.
fn shared(owners: &[NodeId]) -> Vec<SlotRow> {
    (0..SLOTS).map(|number| row(number, 1, owners[usize::from(number) % owners.len()])).collect()
}

/// A coordinator that has renewed without a gap for long, at 10 s.
fn coordinator() -> Coordinator {
    let mut machine = Coordinator::new(ME);
    for second in 0..10 {
        let _ = machine.handle(renewed(second * 1_000, term(Some(B), 4, 0)), at(second * 1_000));
    }
    let effects = machine.handle(renewed(9_900, term(Some(B), 4, 4_100)), at(9_950));
    assert_eq!(effects, [Effect::TryTake { seen: 4, older_than: LEASE }]);
    let effects = machine.handle(Input::Term { sent_at: at(9_950), epoch: Some(5) }, at(10_000));
    assert_eq!(effects, [Effect::RenewTerm { epoch: 5 }, Effect::ReadRows { read: 1, since: 0 }]);
    machine
}

fn rows(machine: &mut Coordinator, now: u64, processes: Vec<ProcessRow>, slots: Vec<SlotRow>) -> Vec<Effect> {
    let read = machine.rows.reading.unwrap();
    let input = Input::Rows { read, sent_at: at(now), processes, slots, version: 7 };
    machine.handle(input, at(now))
}

fn change(effects: &[Effect]) -> Option<&Change> {
    effects.iter().find_map(|effect| match effect {
        Effect::Write { change, .. } => Some(change),
        _ => None,
    })
}

fn evicted(effects: &[Effect]) -> Vec<ProcessId> {
    match change(effects) {
        Some(Change::Evict { dead, .. }) => dead.iter().map(|(id, _)| *id).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn only_a_term_that_lapsed_is_taken() {
    let mut machine = Coordinator::new(ME);
    assert_eq!(machine.handle(renewed(0, term(Some(B), 4, 3_900)), at(0)), []);
    assert_eq!(machine.holder(), Some(B));
    let effects = machine.handle(renewed(1_000, term(Some(B), 4, 4_001)), at(1_000));
    assert_eq!(effects, [Effect::TryTake { seen: 4, older_than: LEASE }]);
    // Another was quicker.
    assert_eq!(machine.handle(Input::Term { sent_at: at(1_000), epoch: None }, at(1_010)), []);
    assert_eq!((machine.term(), machine.next_deadline()), (None, None));
}

#[test]
fn the_coordinators_own_death_needs_no_lapse() {
    let mut machine = Coordinator::new(ME);
    let _ = machine.handle(renewed(0, term(Some(B), 4, 200)), at(0));
    let report = |dead: NodeId| Input::Report { dead: dead.into(), silent: ms(350) };
    assert_eq!(machine.handle(report(C), at(600)), []);
    let effects = machine.handle(report(B), at(600));
    assert_eq!(effects, [Effect::TryTake { seen: 4, older_than: ms(350) }]);
    // What it knew of its predecessor it acts upon as soon as it has seen the rows.
    let _ = machine.handle(Input::Term { sent_at: at(600), epoch: Some(5) }, at(610));
    let effects = rows(&mut machine, 620, nodes(&[(ME, 100), (B, 820)]), shared(&[ME, B]));
    assert_eq!(evicted(&effects), [ProcessId::from(B)]);
}

#[test]
fn a_term_is_renewed_and_ends_with_a_later_one() {
    let mut machine = coordinator();
    let _ = rows(&mut machine, 10_010, nodes(&[(ME, 0), (B, 3_000), (C, 4_500)]), shared(&[ME]));
    assert_eq!(machine.next_deadline(), Some(at(11_000)));
    let effects = machine.handle(Input::Tick, at(11_000));
    // B is as good as its lease; C is about to be evicted.
    let beat = Effect::Beat { nodes: vec![ME, B], epoch: 5, version: 7 };
    assert!(effects.contains(&Effect::RenewTerm { epoch: 5 }) && effects.contains(&beat), "{effects:?}");
    let _ = machine.handle(renewed(11_100, term(Some(C), 6, 100)), at(11_100));
    assert_eq!((machine.term(), machine.holder()), (None, Some(C)));
    assert_eq!(machine.handle(Input::Tick, at(12_000)), []);
}

#[test]
fn who_resigns_does_not_come_back() {
    let mut machine = coordinator();
    assert_eq!(machine.handle(Input::Resign, at(10_100)), [Effect::GiveUp { epoch: 5 }]);
    assert_eq!(machine.handle(renewed(11_000, term(None, 5, 9_000)), at(11_000)), []);
    let late = Input::Term { sent_at: at(9_000), epoch: Some(6) };
    assert_eq!(machine.handle(late, at(11_100)), [Effect::GiveUp { epoch: 6 }]);
}

#[test]
fn the_dead_are_evicted_and_their_slots_assigned_at_once() {
    let mut machine = coordinator();
    let mut processes = nodes(&[(ME, 10), (B, 900), (C, 4_001)]);
    processes.push(process(G.0, Kind::Gateway, 5_000));
    let effects = rows(&mut machine, 10_010, processes, shared(&[ME, B, C]));
    let Some(Change::Evict { dead, assign }) = change(&effects) else { panic!("{effects:?}") };
    assert_eq!(*dead, [(C.into(), LEASE), (G, LEASE)]);
    assert_eq!(assign.len(), usize::from(SLOTS) / 3);
    assert!(assign.iter().all(|one| one.to != C && one.tenure.slot.number() % 3 == 2));
}

#[test]
fn after_an_outage_everybody_has_time_to_renew() {
    let mut machine = coordinator();
    let _ = rows(&mut machine, 10_010, nodes(&[(ME, 10), (B, 500)]), shared(&[ME, B]));
    // The store is away until 40 s.
    let old = || nodes(&[(ME, 0), (B, 30_000)]);
    let mut seen = Vec::new();
    for tenth in 400..470 {
        let now = tenth * 100;
        if tenth % 10 == 0 {
            let _ = machine.handle(renewed(now, term(Some(ME), 5, 100)), at(now));
            let _ = machine.handle(Input::Term { sent_at: at(now), epoch: Some(5) }, at(now));
        }
        let _ = machine.handle(Input::Tick, at(now));
        if machine.rows.reading.is_some() {
            let effects = rows(&mut machine, now, old(), Vec::new());
            seen.extend(evicted(&effects).into_iter().map(|_| now));
        }
    }
    assert_eq!(seen, [45_000], "a lease and a renewal after the store is back");
}

#[test]
fn evidence_needs_no_grace_but_a_renewal_refutes_it() {
    for (age, dies) in [(700, true), (200, false)] {
        let mut machine = Coordinator::new(ME);
        let _ = machine.handle(renewed(0, term(None, 0, 9_000)), at(0));
        let _ = machine.handle(Input::Term { sent_at: at(0), epoch: Some(1) }, at(5));
        let _ = rows(&mut machine, 10, nodes(&[(ME, 0), (B, 100)]), shared(&[ME, B]));
        let report = Input::Report { dead: B.into(), silent: ms(300) };
        let effects = machine.handle(report, at(600));
        assert_eq!(effects, [Effect::ReadRows { read: 2, since: 7 }]);
        let effects = rows(&mut machine, 620, nodes(&[(ME, 0), (B, age)]), Vec::new());
        assert_eq!(evicted(&effects), if dies { vec![B.into()] } else { vec![] }, "{age}");
        if let Some(Change::Evict { dead, .. }) = change(&effects) {
            assert_eq!(*dead, [(B.into(), ms(320))]);
        }
        assert_eq!(machine.evidence.is_empty(), !dies);
    }
}

#[test]
fn evidence_from_an_outage_waits_for_a_renewal() {
    let mut machine = coordinator();
    let _ = rows(&mut machine, 10_010, nodes(&[(ME, 10), (B, 500)]), shared(&[ME, B]));
    // The store is away until 20 s; B is reported at 18 s.
    let report = Input::Report { dead: B.into(), silent: ms(300) };
    let _ = machine.handle(report, at(18_000));
    let mut read = |now: u64, age: u64| {
        let _ = machine.handle(renewed(now, term(Some(ME), 5, 100)), at(now));
        let _ = machine.handle(Input::Tick, at(now));
        let effects = rows(&mut machine, now, nodes(&[(ME, 0), (B, age)]), Vec::new());
        match change(&effects) {
            Some(Change::Evict { dead, .. }) => Some(dead[0].1),
            _ => None,
        }
    };
    assert_eq!(read(20_000, 10_000), None);
    assert_eq!(read(21_000, 11_000), None);
    assert_eq!(read(22_000, 12_000), Some(ms(2_000)));
}

#[test]
fn evidence_from_an_outage_counts_for_nothing_at_first() {
    let mut machine = Coordinator::new(ME);
    let _ = machine.handle(renewed(0, term(None, 0, 9_000)), at(0));
    let _ = machine.handle(Input::Term { sent_at: at(0), epoch: Some(1) }, at(5));
    let _ = rows(&mut machine, 10, nodes(&[(ME, 0), (B, 100)]), shared(&[ME, B]));
    // The store is away; somebody does not reach B for a moment.
    let _ = machine.handle(Input::Report { dead: B.into(), silent: ms(300) }, at(5_000));
    let _ = machine.handle(Input::RowsFailed { read: 2 }, at(5_900));
    // It is back, and B has not renewed yet: whichever of its answers comes first.
    let _ = machine.handle(Input::Tick, at(9_900));
    let effects = rows(&mut machine, 10_000, nodes(&[(ME, 0), (B, 9_900)]), Vec::new());
    assert_eq!(evicted(&effects), []);
    let _ = machine.handle(renewed(10_000, term(Some(ME), 1, 9_000)), at(10_010));
    let _ = machine.handle(Input::Tick, at(10_900));
    let effects = rows(&mut machine, 10_910, nodes(&[(ME, 0), (B, 10_800)]), Vec::new());
    assert_eq!(evicted(&effects), []);
}

/// Every row is as old as the jump then, until its process has renewed.
#[test]
fn a_clock_of_the_store_that_jumps_ahead_evicts_nobody() {
    let mut machine = coordinator();
    let _ = rows(&mut machine, 10_010, nodes(&[(ME, 10), (B, 500), (C, 500)]), shared(&[ME, B, C]));
    let mut read = |now: u64, ages: [u64; 2]| {
        let _ = machine.handle(renewed(now, term(Some(ME), 5, 100)), at(now));
        let _ = machine.handle(Input::Term { sent_at: at(now), epoch: Some(5) }, at(now));
        let _ = machine.handle(Input::Tick, at(now));
        let processes = nodes(&[(ME, 0), (B, ages[0]), (C, ages[1])]);
        evicted(&rows(&mut machine, now, processes, Vec::new()))
    };
    assert_eq!(read(11_000, [60_500, 60_500]), []);
    // B renews; C does not, and is evicted when its lease has lapsed here as well.
    assert_eq!(read(12_000, [300, 61_500]), []);
    assert_eq!(read(13_000, [300, 62_500]), []);
    assert_eq!(read(14_000, [300, 63_500]), [C.into()]);
}

#[test]
fn of_a_dead_coordinator_every_candidate_is_told() {
    let nodes = [ME, B, C];
    assert_eq!(evidence_for(Some(B), C.into(), &nodes), [B]);
    assert_eq!(evidence_for(Some(B), B.into(), &nodes), [ME, C]);
    assert_eq!(evidence_for(None, B.into(), &nodes), [ME, C]);
    assert_eq!(evidence_for(Some(B), ProcessId(99), &[]), [B]);
}

#[test]
fn moves_go_in_batches_and_none_is_ordered_twice() {
    let mut machine = coordinator();
    let slots = shared(&[ME, B]);
    let processes = nodes(&[(ME, 0), (B, 0), (C, 0)]);
    let effects = rows(&mut machine, 10_010, processes.clone(), slots.clone());
    let Some(Change::Order(orders)) = change(&effects).cloned() else { panic!("{effects:?}") };
    // C takes so many at a time.
    assert_eq!(orders.len(), MOVES_MAX);
    assert!(orders.iter().all(|order| order.moving_to == Some(C)));
    let applied = Outcome::Applied { version: 8, changes: Vec::new() };
    let effects = machine.handle(Input::Written { write: 1, outcome: applied }, at(10_020));
    assert_eq!(effects, [], "a moment is waited between two readings");
    assert_eq!(machine.next_deadline(), Some(at(10_050)));
    let effects = machine.handle(Input::Tick, at(10_050));
    assert_eq!(effects, [Effect::ReadRows { read: 2, since: 7 }]);
    let ordered: Vec<SlotRow> = orders
        .iter()
        .map(|order| SlotRow { moving_to: order.moving_to, ..slots[usize::from(order.tenure.slot.number())] })
        .collect();
    let effects = rows(&mut machine, 10_060, processes.clone(), ordered.clone());
    assert_eq!(change(&effects), None);
    // As some arrive, as many follow.
    let moved = |row: &SlotRow| SlotRow {
        assignment: Assignment {
            tenure: Tenure { slot: row.assignment.tenure.slot, epoch: Epoch(2) },
            owner: row.moving_to,
        },
        moving_to: None,
    };
    assert_eq!(machine.handle(Input::Hint(9), at(10_061)), []);
    let _ = machine.handle(Input::Tick, at(10_200));
    let effects = rows(&mut machine, 10_210, processes, ordered[..10].iter().map(moved).collect());
    let Some(Change::Order(more)) = change(&effects) else { panic!("{effects:?}") };
    assert_eq!(more.len(), 10);
}

#[test]
fn an_order_to_a_node_that_is_gone_is_taken_back_or_changed() {
    let mut machine = coordinator();
    let mut slots = shared(&[ME, B]);
    slots[0].moving_to = Some(C);
    let effects = rows(&mut machine, 10_010, nodes(&[(ME, 0), (B, 0)]), slots.clone());
    let tenure = slots[0].assignment.tenure;
    assert_eq!(change(&effects), Some(&Change::Order(vec![Order { tenure, moving_to: None }])));
    // A draining node's slots go elsewhere, those included that were on their way to it.
    let mut machine = coordinator();
    let mut processes = nodes(&[(ME, 0), (B, 0), (C, 0)]);
    processes[2].draining = true;
    let effects = rows(&mut machine, 10_010, processes, slots);
    assert_eq!(change(&effects), Some(&Change::Order(vec![Order { tenure, moving_to: None }])));
}

#[test]
fn after_a_lost_answer_the_rows_are_read_again() {
    let mut machine = coordinator();
    let slots = shared(&[C]);
    let processes = nodes(&[(ME, 0), (B, 0)]);
    let effects = rows(&mut machine, 10_010, processes.clone(), slots.clone());
    assert!(matches!(change(&effects), Some(Change::Assign(all)) if all.len() == usize::from(SLOTS)));
    // A reading that began before the answer is of no use.
    let _ = machine.handle(Input::Tick, at(11_000));
    let unknown = Input::Written { write: 1, outcome: Outcome::Unknown };
    let _ = machine.handle(unknown, at(11_010));
    assert_eq!(change(&rows(&mut machine, 11_020, processes.clone(), Vec::new())), None);
    let _ = machine.handle(Input::Tick, at(11_080));
    let effects = rows(&mut machine, 11_090, processes, shared(&[ME, B]));
    assert_eq!(change(&effects), None, "it had been made after all");
}

#[test]
fn who_was_deposed_writes_no_more() {
    let mut machine = coordinator();
    let effects = rows(&mut machine, 10_010, nodes(&[(ME, 0)]), Vec::new());
    assert!(matches!(change(&effects), Some(Change::Assign(_))));
    let deposed = Input::Written { write: 1, outcome: Outcome::Deposed };
    assert_eq!(machine.handle(deposed, at(10_020)), []);
    assert_eq!((machine.term(), machine.next_deadline()), (None, None));
}
