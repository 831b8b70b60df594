//! What Postgres says of the fleet, as the process that was asked has it.

use super::{Code, Found, LEASE, LEASE_OLD, count, span};
use crate::{Fleet, Kind, Status};

pub(super) fn found(status: &Status) -> Vec<Found> {
    let mut out = Vec::new();
    // A picture that nobody could renew says nothing of now.
    if let Some(fleet) = status.fleet.as_ref().filter(|_| status.database.answers) {
        members(fleet, &mut out);
        slots(status, fleet, &mut out);
    }
    out
}

fn members(fleet: &Fleet, out: &mut Vec<Found>) {
    for process in &fleet.processes {
        let name = process.called();
        if process.lease_ms > LEASE_OLD {
            let old = span(process.lease_ms);
            let owns = if process.slots == 0 {
                String::new()
            } else {
                format!(", and it owns {}", count(process.slots, "slot"))
            };
            let text = format!(
                "the lease of {name} is {old} old{owns}: it is dead, stands still, or does not reach Postgres"
            );
            out.push(Found::new(Code::LeaseOld, &process.id, process.lease_ms, text));
        }
        if process.draining {
            let left = match (process.kind, process.slots) {
                (Kind::Node, 0) => ", and has given all its slots away".to_owned(),
                (Kind::Node, slots) => format!(", with {} to give away", count(slots, "slot")),
                (Kind::Gateway, _) => String::new(),
            };
            out.push(Found::new(Code::Draining, &process.id, 0, format!("{name} is draining{left}")).note());
        }
    }
    if !fleet.processes.iter().any(|process| process.kind == Kind::Node) {
        let text = "there is no node: nobody is served".to_owned();
        return out.push(Found::new(Code::NoNode, "", 0, text));
    }
    let coordinator = &fleet.coordinator;
    match &coordinator.holder {
        None => {
            let text = "nobody coordinates: no slot gets an owner, and nobody is evicted".to_owned();
            out.push(Found::new(Code::NoCoordinator, "", coordinator.lease_ms, text));
        }
        Some(holder) if coordinator.lease_ms > LEASE => {
            let (name, age) = (fleet.called(holder), span(coordinator.lease_ms));
            let text = format!("the coordinator, {name}, has not renewed its office for {age}");
            out.push(Found::new(Code::NoCoordinator, "", coordinator.lease_ms, text));
        }
        Some(_) => {}
    }
}

fn slots(status: &Status, fleet: &Fleet, out: &mut Vec<Found>) {
    let slots = &fleet.slots;
    if slots.ownerless > 0 {
        let seen = status.gateway.as_ref().and_then(|gateway| gateway.unserved_ms);
        let since = seen.map(|ms| format!(" since {}", span(ms))).unwrap_or_default();
        let has = if slots.ownerless == 1 { "has" } else { "have" };
        let text = format!("{} {has} no owner{since}: their users wait", count(slots.ownerless, "slot"));
        out.push(Found::new(Code::SlotsOwnerless, "", slots.ownerless, text));
    }
    if slots.moving > 0 {
        let text = format!(
            "{} to be handed over to another node",
            count(slots.moving, "slot") + if slots.moving == 1 { " is" } else { " are" }
        );
        out.push(Found::new(Code::SlotsMoving, "", slots.moving, text).note());
    }
}
