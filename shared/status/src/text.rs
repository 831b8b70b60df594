//! For people.

use crate::verdict::span;
use crate::{Cause, Finding, Fleet, Ground, Health, Other, Report, Status};

/// Findings that stand in the first line.
const FIRST: usize = 4;

/// The report as a page: its first line is the verdict.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    first_line(report, &mut out);
    let asked = &report.asked;
    if report.findings.len() > FIRST {
        out += "\n";
        for finding in &report.findings {
            out += &format!("  {:<6} {}\n", if finding.wrong { "wrong" } else { "note" }, finding.text);
        }
    }
    if let Some(fleet) = &asked.fleet {
        fleet_part(report, fleet, &mut out);
    }
    own_part(asked, &mut out);
    bus_part(asked, &mut out);
    history_part(report, &mut out);
    out
}

fn first_line(report: &Report, out: &mut String) {
    let say = |findings: Vec<&Finding>| {
        let texts: Vec<&str> = findings.iter().take(FIRST).map(|finding| &*finding.text).collect();
        let more = findings.len().saturating_sub(FIRST);
        let more = if more > 0 { format!(" And {more} more, below.") } else { String::new() };
        texts.join(" ") + &more
    };
    let (wrong, notes): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|finding| finding.wrong);
    match (report.well, notes.is_empty()) {
        (true, true) => *out += "well\n",
        (true, false) => *out += &format!("well. {}\n", say(notes)),
        (false, true) => *out += &format!("wrong: {}\n", say(wrong)),
        (false, false) => *out += &format!("wrong: {}\n   note: {}\n", say(wrong), say(notes)),
    }
}

fn fleet_part(report: &Report, fleet: &Fleet, out: &mut String) {
    let slots = &fleet.slots;
    let age = if fleet.read_ms_ago < 1_000 {
        String::new()
    } else {
        format!(", as it was {} ago", span(fleet.read_ms_ago))
    };
    *out += &format!(
        "\nfleet: {} slots, {} without an owner, {} moving; epochs {} to {}, table version {}{age}\n",
        slots.total,
        slots.ownerless,
        slots.moving,
        slots.lowest_epoch,
        slots.highest_epoch,
        fleet.table_version
    );
    let mut rows = vec![row([
        "",
        "process",
        "id",
        "lease",
        "up",
        "slots",
        "sessions",
        "unsettled",
        "hubs",
        "decides",
        "not acked",
    ])];
    for process in &fleet.processes {
        let asked = report.asked.id.as_deref() == Some(&process.id);
        let other = report.others.iter().find(|other| other.id == process.id);
        let status = if asked { Some(&report.asked) } else { other.and_then(|other| other.status.as_ref()) };
        let mut name = process.called();
        if fleet.coordinator.holder.as_deref() == Some(&process.id) {
            name += " (coordinator)";
        }
        if process.draining {
            name += " (draining)";
        }
        let slots = if process.slots > 0 { process.slots.to_string() } else { String::new() };
        let slots = if process.leaving > 0 { format!("{slots}, {} leaving", process.leaving) } else { slots };
        let mut cells = vec![
            if asked { "*" } else { "" }.to_owned(),
            name,
            process.id.clone(),
            span(process.lease_ms),
            span(process.up_ms),
            slots,
        ];
        cells.extend(figures(status, other));
        rows.push(cells);
    }
    *out += &table(&rows);
    let coordinator = &fleet.coordinator;
    let holder = coordinator.holder.as_deref().map_or_else(|| "nobody".to_owned(), |id| fleet.called(id));
    *out += &format!(
        "  coordinator: {holder}, epoch {}, renewed {} ago\n",
        coordinator.epoch,
        span(coordinator.lease_ms)
    );
}

/// What only the process itself knows.
fn figures(status: Option<&Status>, other: Option<&Other>) -> Vec<String> {
    let Some(status) = status else {
        return vec![other.map_or("not asked", |_| "does not answer").to_owned()];
    };
    let gateway = status.gateway.as_ref();
    let node = status.node.as_ref();
    let decides = node.and_then(|node| node.authority.as_ref()).map(|authority| match authority.by {
        Some(Ground::Lease) => "by lease",
        Some(Ground::Coordinator) => "by coordinator",
        None => "no",
    });
    vec![
        gateway.map(|gateway| gateway.sessions.to_string()).unwrap_or_default(),
        gateway.map(|gateway| gateway.unsettled.to_string()).unwrap_or_default(),
        node.map(|node| format!("{} + {} asleep", node.hubs_awake, node.hubs_asleep)).unwrap_or_default(),
        decides.unwrap_or_default().to_owned(),
        status.links.as_ref().map(|links| links.frames.to_string()).unwrap_or_default(),
    ]
}

fn own_part(asked: &Status, out: &mut String) {
    *out += &format!("\nasked: {}, version {}, up {}\n", asked.called(), asked.version, span(asked.up_ms));
    let database = &asked.database;
    let answered =
        database.answered_ms_ago.map_or_else(|| "never".to_owned(), |ms| format!("{} ago", span(ms)));
    let answers =
        if database.answers { "answers".to_owned() } else { format!("does not answer; it did {answered}") };
    let lease = asked.lease.map(|lease| match lease.renewed_ms_ago {
        Some(ms) => format!("; lease renewed {} ago", span(ms)),
        None => "; no lease".to_owned(),
    });
    *out += &format!("  {}: {answers}{}\n", database.kind, lease.unwrap_or_default());
    if let Some(gateway) = &asked.gateway {
        let unserved = gateway.unserved.filter(|unserved| *unserved > 0);
        let unserved = unserved.map(|unserved| format!(", {unserved} slots not served")).unwrap_or_default();
        *out += &format!(
            "  sessions: {}, {} messages unsettled{unserved}\n",
            gateway.sessions, gateway.unsettled
        );
    }
    if let Some(node) = &asked.node {
        *out += &format!(
            "  hubs: {} awake, {} asleep, in {} shards with {} inputs on their way\n",
            node.hubs_awake, node.hubs_asleep, node.shards.total, node.shards.inputs
        );
        if let Some(slots) = node.slots {
            *out += &format!(
                "  slots: {slots}, {} recovering, {} being handed over\n",
                node.recovering, node.sealed
            );
        }
        for awaited in &node.awaits {
            let whom = asked
                .fleet
                .as_ref()
                .map_or_else(|| awaited.gateway.clone(), |fleet| fleet.called(&awaited.gateway));
            *out += &format!("    {} wait for {whom} since {}\n", awaited.slots, span(awaited.for_ms));
        }
        let records = &node.records;
        *out += &format!(
            "  waiting for the database: {} records of streams (of {} at most), {} of presence\n",
            records.streams, records.streams_max, records.presences
        );
    }
    if let Some(links) = &asked.links {
        *out += &format!(
            "  links: {}, {} frames ({} bytes) not acknowledged\n",
            links.total, links.frames, links.bytes
        );
        for link in links.waiting.iter().filter(|link| link.for_ms >= 1_000) {
            let whom = asked.fleet.as_ref().map_or_else(|| link.to.clone(), |fleet| fleet.called(&link.to));
            *out += &format!(
                "    {whom}: {} frames, {} bytes, nothing acknowledged for {}\n",
                link.frames,
                link.bytes,
                span(link.for_ms)
            );
        }
    }
}

fn bus_part(asked: &Status, out: &mut String) {
    if asked.bus.is_empty() {
        return;
    }
    *out += "\n";
    let mut rows = vec![row([
        "",
        "redis",
        "health",
        "heard",
        "loopback",
        "subscribed",
        "publishes",
        "failed",
        "version",
    ])];
    for instance in &asked.bus {
        let health = match instance.health {
            Health::Healthy => "healthy",
            Health::Lagging => "lagging",
            Health::Away => "away",
        };
        let loopback = instance.loopback_us.map(|us| format!("{}.{} ms", us / 1_000, us % 1_000 / 100));
        let subscribed = match (instance.subscribed, instance.home) {
            (true, true) => "yes",
            (true, false) => "to itself",
            (false, _) => "no",
        };
        rows.push(vec![
            String::new(),
            instance.instance.clone(),
            health.to_owned(),
            format!("{} ago", span(instance.silent_ms)),
            loopback.unwrap_or_default(),
            subscribed.to_owned(),
            instance.publishes.to_string(),
            instance.failures.to_string(),
            instance.version.clone().unwrap_or_default(),
        ]);
    }
    *out += &table(&rows);
}

fn history_part(report: &Report, out: &mut String) {
    let everybody = || {
        let others = report.others.iter().filter_map(|other| other.status.as_ref());
        [&report.asked].into_iter().chain(others)
    };
    let mut evictions: Vec<_> =
        everybody().flat_map(|status| status.evictions.iter().map(move |one| (status, one))).collect();
    evictions.sort_by_key(|(_, eviction)| eviction.ms_ago);
    if !evictions.is_empty() {
        *out += "\n";
        let mut rows = vec![row(["", "evicted", "when", "cause", "silent for", "slots", "by"])];
        rows.extend(evictions.iter().take(8).map(|(status, eviction)| {
            vec![
                String::new(),
                format!("{} {}", eviction.kind.as_str(), eviction.name),
                format!("{} ago", span(eviction.ms_ago)),
                eviction.cause.clone(),
                span(eviction.silent_ms),
                eviction.slots.to_string(),
                status.called(),
            ]
        }));
        *out += &table(&rows);
    }
    let mut takeovers: Vec<_> =
        everybody().flat_map(|status| status.takeovers.iter().map(move |one| (status, one))).collect();
    takeovers.sort_by_key(|(_, takeover)| takeover.ms_ago);
    if takeovers.is_empty() {
        return;
    }
    *out += "\n";
    let mut rows = vec![row(["", "taken over by", "when", "slots", "took", "each at most", "cause"])];
    rows.extend(takeovers.iter().take(8).map(|(status, takeover)| {
        let id = takeover.from.as_deref().unwrap_or_default();
        let from = takeover.from_name.clone().unwrap_or_else(|| id.to_owned());
        let evicted = evictions.iter().find(|(_, eviction)| eviction.id == id);
        let cause = match (takeover.cause, evicted) {
            (Cause::First, _) => "they had no owner before".to_owned(),
            (Cause::HandedOver, _) => format!("handed over by {from}"),
            (Cause::OwnerGone, Some((_, eviction))) => format!("{from} was evicted: {}", eviction.cause),
            (Cause::OwnerGone, None) => format!("{from} is gone"),
        };
        let took = takeover.took_ms.map_or_else(
            || format!("{} recovering", takeover.recovering),
            |ms| if ms < 10_000 { format!("{ms} ms") } else { span(ms) },
        );
        vec![
            String::new(),
            status.called(),
            format!("{} ago", span(takeover.ms_ago)),
            takeover.slots.to_string(),
            took,
            format!("{} ms", takeover.longest_ms),
            cause,
        ]
    }));
    *out += &table(&rows);
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Columns as wide as they have to be.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0).max(1)).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        out += cells.collect::<Vec<_>>().join("  ").trim_end();
        out.push('\n');
    }
    out
}
