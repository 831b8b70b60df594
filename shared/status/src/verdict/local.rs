//! What a process knows for itself.

use super::{Code, Found, LEASE_OLD, LINK_HANGS, PATIENCE, RECENT, count, span};
use crate::{Gateway, Health, Instance, Links, Node, Status};

/// `names` says what a process is called.
pub(super) fn found(status: &Status, names: &dyn Fn(&str) -> String) -> Vec<Found> {
    let mut out = Vec::new();
    let me = status.called();
    database(status, &mut out);
    for part in &status.stuck {
        let text = format!("in {me} {part} does not answer");
        out.push(Found::new(Code::Stuck, format!("{me} {part}"), 0, text));
    }
    for (position, instance) in status.bus.iter().enumerate() {
        redis(&me, position + 1, status.bus.len(), instance, &mut out);
    }
    if status.refused_envelopes > 0 {
        let text = format!(
            "{} on Redis dropped by {me}: another BUS_SECRET or JWT_SECRET, another version, or somebody else's",
            count(status.refused_envelopes, "envelope")
                + if status.refused_envelopes == 1 { " was" } else { " were" }
        );
        out.push(Found::new(Code::RefusedEnvelopes, &me, 0, text).note());
    }
    lease(status, &me, &mut out);
    if let Some(gateway) = &status.gateway {
        of_gateway(gateway, &mut out);
    }
    if let Some(node) = &status.node {
        of_node(node, &me, names, &mut out);
    }
    if let Some(links) = &status.links {
        of_links(links, names, &mut out);
    }
    for unheard in &status.unheard {
        let (name, since) = (names(&unheard.id), span(unheard.for_ms));
        let text = format!("nobody receives what is sent to {name}, since {since}");
        out.push(Found::new(Code::Unheard, &unheard.id, unheard.for_ms, text));
    }
    // Of a process that has a lease Postgres says it as well.
    if status.draining && (status.lease.is_none() || !status.database.answers) {
        out.push(
            Found::new(Code::Draining, status.id.clone().unwrap_or_default(), 0, format!("{me} is ending"))
                .note(),
        );
    }
    for eviction in status.evictions.iter().filter(|eviction| eviction.ms_ago < RECENT) {
        let (kind, name, ago) = (eviction.kind.as_str(), &eviction.name, span(eviction.ms_ago));
        let text = format!("{kind} {name} was evicted {ago} ago: {}", eviction.cause);
        out.push(Found::new(Code::Evicted, &eviction.id, 0, text).note());
    }
    for expulsion in status.expulsions.iter().filter(|expulsion| expulsion.ms_ago < RECENT) {
        let text = format!(
            "{me} was evicted {} ago and goes on as another one: {}",
            span(expulsion.ms_ago),
            expulsion.cause
        );
        out.push(Found::new(Code::Expelled, &expulsion.id, 0, text).note());
    }
    out
}

fn database(status: &Status, out: &mut Vec<Found>) {
    let database = &status.database;
    if database.answers {
        return;
    }
    // Who has a lease asks every second, and knows since when.
    let since = database.answered_ms_ago.filter(|_| status.lease.is_some());
    let said = since.map(|ms| format!(" since {}", span(ms))).unwrap_or_default();
    let why = database.problem.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let text = format!("{} does not answer{said}{why}", database.kind);
    out.push(Found::new(Code::DatabaseAway, "", since.unwrap_or(0), text));
}

fn redis(me: &str, position: usize, of: usize, instance: &Instance, out: &mut Vec<Found>) {
    let name = if of == 1 { "Redis".to_owned() } else { format!("Redis {position} of {of}") };
    let address = &instance.instance;
    if instance.health != Health::Healthy {
        // The sentence of the problem begins with the name.
        let why = match (&instance.problem, instance.health) {
            (Some(problem), _) => format!(": {problem}"),
            (None, Health::Lagging) => ": it is connected, but nothing comes back".to_owned(),
            (None, _) => ": it is not connected".to_owned(),
        };
        let text = format!("{name} ({address}) is silent for {}{why}", span(instance.silent_ms));
        out.push(Found::new(Code::RedisSilent, format!("{position}"), instance.silent_ms, text));
    } else if instance.home && !instance.subscribed {
        let text = format!("{me} is not subscribed on {name} ({address})");
        out.push(Found::new(Code::NotSubscribed, format!("{me} {position}"), 0, text));
    }
}

fn lease(status: &Status, me: &str, out: &mut Vec<Found>) {
    let Some(lease) = &status.lease else { return };
    match lease.renewed_ms_ago {
        None => {
            let text = format!("{me} has no lease: it is not one of the fleet's");
            out.push(Found::new(Code::NoLease, me, 0, text));
        }
        // While the database is away everybody's is old.
        Some(ms) if ms > LEASE_OLD && status.database.answers => {
            let id = status.id.clone().unwrap_or_else(|| me.to_owned());
            let text =
                format!("{me} has not renewed its lease for {}, though its database answers", span(ms));
            out.push(Found::new(Code::LeaseOld, id, ms, text));
        }
        Some(_) => {}
    }
}

fn of_gateway(gateway: &Gateway, out: &mut Vec<Found>) {
    let Some(unserved) = gateway.unserved.filter(|unserved| *unserved > 0) else { return };
    let ms = gateway.unserved_ms.unwrap_or(0);
    let has = if unserved == 1 { "has" } else { "have" };
    let text = format!("{} {has} no owner that serves, since {}", count(unserved, "slot"), span(ms));
    out.push(Found::new(Code::SlotsUnserved, "", unserved, text).wrong_if(ms > PATIENCE));
}

fn of_node(node: &Node, me: &str, names: &dyn Fn(&str) -> String, out: &mut Vec<Found>) {
    if node.shards.stuck > 0 {
        let text = format!(
            "in {me} {} of {} shards do not answer: the hubs in them stand still",
            node.shards.stuck, node.shards.total
        );
        out.push(Found::new(Code::Stuck, me, node.shards.stuck, text));
    }
    if let Some(authority) = &node.authority
        && authority.by.is_none()
    {
        {
            let text = format!(
                "{me} may not decide: it has no lease, and hears no coordinator. It relays, and calls nobody offline"
            );
            out.push(Found::new(Code::MayNotDecide, me, 0, text));
        }
    }
    if node.recovering > 0 {
        let longest = node.awaits.iter().map(|awaited| awaited.for_ms).max().unwrap_or(0);
        let waits = if node.recovering == 1 { "waits" } else { "wait" };
        let whom: Vec<String> = node.awaits.iter().take(3).map(|awaited| names(&awaited.gateway)).collect();
        let whom = if whom.is_empty() { "a gateway".to_owned() } else { whom.join(", ") };
        let text = format!(
            "{} of {me} {waits} for {whom} to confirm, since {}: nothing is decided there",
            count(node.recovering, "slot"),
            span(longest)
        );
        out.push(Found::new(Code::SlotsRecovering, me, longest, text).wrong_if(longest > PATIENCE));
    }
    let records = &node.records;
    if records.streams >= records.streams_max && records.streams_max > 0 {
        let text = format!(
            "{} of streams wait for the database in {me}: no stream starts",
            count(records.streams, "record")
        );
        out.push(Found::new(Code::RecordsWait, me, records.streams, text));
    } else if records.streams * 2 > records.streams_max {
        let text = format!(
            "{} of streams wait for the database in {me}, of {} at most",
            count(records.streams, "record"),
            records.streams_max
        );
        out.push(Found::new(Code::RecordsWait, me, records.streams, text).note());
    }
}

fn of_links(links: &Links, names: &dyn Fn(&str) -> String, out: &mut Vec<Found>) {
    for link in links.waiting.iter().filter(|link| link.for_ms > LINK_HANGS) {
        let text = format!(
            "{} has acknowledged nothing for {}: {} ({} KiB) wait for it",
            names(&link.to),
            span(link.for_ms),
            count(link.frames, "frame"),
            link.bytes.div_ceil(1024)
        );
        out.push(Found::new(Code::LinkHangs, &link.to, link.for_ms, text));
    }
}
