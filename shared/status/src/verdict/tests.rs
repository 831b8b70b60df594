use super::*;
use crate::{
    Authority, Awaited, Coordinator, Eviction, Expulsion, Fleet, Gateway, Ground, Health, Instance, Kind,
    Lease, Link, Links, Node, Process, Records, Report, Role, Shards, Slots, Unheard, text,
};

fn process(id: u64, kind: Kind, name: &str) -> Process {
    Process {
        id: id.to_string(),
        kind,
        name: name.to_owned(),
        operations: format!("10.0.0.{id}:9090"),
        lease_ms: 400,
        up_ms: 3_600_000,
        draining: false,
        slots: if kind == Kind::Node { 2048 } else { 0 },
        leaving: 0,
    }
}

fn instance(number: u8) -> Instance {
    Instance {
        instance: format!("redis-{number}:6379"),
        health: Health::Healthy,
        silent_ms: 300,
        loopback_us: Some(210),
        home: true,
        subscribed: true,
        version: Some("7.0.15".to_owned()),
        problem: None,
        publishes: 100,
        failures: 0,
    }
}

/// A fleet of a gateway and two nodes that is well, as this process has it.
fn well(role: Role) -> Status {
    let (id, name) = if role == Role::Gateway { ("1", "g-1") } else { ("2", "n-1") };
    let mut status = Status::new(role, name, "0.1.0");
    status.id = Some(id.to_owned());
    status.database.answers = true;
    status.database.answered_ms_ago = Some(0);
    status.bus = vec![instance(1), instance(2)];
    status.lease = Some(Lease { renewed_ms_ago: Some(400) });
    status.links = Some(Links { total: 2, ..Links::default() });
    if role == Role::Gateway {
        let unserved = Some(0);
        status.gateway = Some(Gateway { sessions: 10, unsettled: 2, unserved, unserved_ms: None });
    } else {
        status.node = Some(Node {
            hubs_awake: 1,
            hubs_asleep: 9,
            shards: Shards { total: 16, stuck: 0, inputs: 0 },
            records: Records { streams: 0, streams_max: 10_000, presences: 0 },
            slots: Some(2048),
            sealed: 0,
            recovering: 0,
            awaits: Vec::new(),
            authority: Some(Authority { by: Some(Ground::Lease), coordinator_ms_ago: Some(500) }),
            term: Some(3),
        });
    }
    status.fleet = Some(Fleet {
        read_ms_ago: 0,
        processes: vec![
            process(1, Kind::Gateway, "g-1"),
            process(2, Kind::Node, "n-1"),
            process(3, Kind::Node, "n-2"),
        ],
        coordinator: Coordinator { holder: Some("2".to_owned()), epoch: 3, lease_ms: 500 },
        slots: Slots { total: 4096, ownerless: 0, moving: 0, lowest_epoch: 1, highest_epoch: 4 },
        table_version: 12,
        members_version: 5,
    });
    status
}

fn other(status: Status) -> Other {
    let kind = if status.role == Role::Gateway { Kind::Gateway } else { Kind::Node };
    let (id, name) = (status.id.clone().unwrap(), status.name.clone());
    Other { id, kind, name, status: Some(status), problem: None }
}

/// What is found after this change, as code, whether it is wrong, and text.
fn after(role: Role, change: impl FnOnce(&mut Status)) -> Vec<(Code, bool, String)> {
    let mut status = well(role);
    change(&mut status);
    verdict(&status, &[]).into_iter().map(|finding| (finding.code, finding.wrong, finding.text)).collect()
}

#[track_caller]
fn wrong(found: &[(Code, bool, String)], code: Code, text: &str) {
    assert_eq!(found, [(code, true, text.to_owned())]);
}

#[track_caller]
fn noted(found: &[(Code, bool, String)], code: Code, text: &str) {
    assert_eq!(found, [(code, false, text.to_owned())]);
}

fn fleet(status: &mut Status) -> &mut Fleet {
    status.fleet.as_mut().unwrap()
}

#[test]
fn a_fleet_without_a_fault_is_well() {
    for role in [Role::Gateway, Role::Node] {
        assert_eq!(after(role, |_| {}), []);
    }
    let report = Report::of(well(Role::Gateway), vec![other(well(Role::Node))]);
    assert!(report.well);
    assert_eq!(text(&report).lines().next(), Some("well"));
}

#[test]
fn one_process_needs_no_fleet() {
    let mut status = Status::new(Role::Embedded, "127.0.0.1:8080", "0.1.0");
    status.database.answers = true;
    assert_eq!(verdict(&status, &[]), []);
    status.database.answers = false;
    status.database.kind = "SQLite".to_owned();
    status.database.answered_ms_ago = Some(90_000);
    // Nobody asks it every second, so nobody knows since when.
    assert_eq!(verdict(&status, &[])[0].text, "SQLite does not answer.");
}

#[test]
fn a_redis_that_is_silent_is_named_with_the_time() {
    let found = after(Role::Gateway, |status| {
        status.bus[1].health = Health::Away;
        status.bus[1].silent_ms = 12_300;
        status.bus[1].problem = Some("cannot be reached: connection refused".to_owned());
    });
    wrong(
        &found,
        Code::RedisSilent,
        "Redis 2 of 2 (redis-2:6379) is silent for 12 s: cannot be reached: connection refused.",
    );
    let found = after(Role::Gateway, |status| {
        status.bus.truncate(1);
        status.bus[0].health = Health::Lagging;
        status.bus[0].silent_ms = 2_600;
    });
    wrong(
        &found,
        Code::RedisSilent,
        "Redis (redis-1:6379) is silent for 2 s: it is connected, but nothing comes back.",
    );
}

#[test]
fn what_several_find_is_said_once_and_what_one_finds_with_its_name() {
    let away = |role| {
        let mut status = well(role);
        status.bus[0].health = Health::Away;
        status.bus[0].silent_ms = if role == Role::Node { 9_000 } else { 4_000 };
        status
    };
    let found = verdict(&away(Role::Gateway), &[other(away(Role::Node))]);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!(finding.text, "Redis 1 of 2 (redis-1:6379) is silent for 9 s: it is not connected.");
    assert_eq!(finding.by, ["gateway g-1", "node n-1"]);
    let found = verdict(&well(Role::Gateway), &[other(away(Role::Node))]);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert!(
        finding.text.ends_with(" is silent for 9 s: it is not connected (says node n-1)."),
        "{finding:?}"
    );
    // One process alone does not reach Postgres, and decides nothing.
    let mut alone = well(Role::Node);
    alone.database.answers = false;
    alone.node.as_mut().unwrap().authority.as_mut().unwrap().by = None;
    let found = verdict(&well(Role::Gateway), &[other(alone)]);
    let [postgres, decides] = &found[..] else { panic!("{found:?}") };
    assert_eq!(postgres.text, "Postgres does not answer since 0.0 s (says node n-1).");
    assert!(decides.text.ends_with("and calls nobody offline."), "{decides:?}");
}

#[test]
fn a_postgres_that_does_not_answer_is_named_and_its_last_picture_judged_no_more() {
    let found = after(Role::Node, |status| {
        status.database.answers = false;
        status.database.answered_ms_ago = Some(8_100);
        status.database.problem = Some("it is read-only".to_owned());
        status.lease = Some(Lease { renewed_ms_ago: Some(8_100) });
        fleet(status).read_ms_ago = 30_000;
        fleet(status).processes[2].lease_ms = 9_000;
        status.node.as_mut().unwrap().authority.as_mut().unwrap().by = Some(Ground::Coordinator);
    });
    wrong(&found, Code::DatabaseAway, "Postgres does not answer since 8 s: it is read-only.");
}

#[test]
fn an_old_lease_is_named_once_it_is_old() {
    let aged = |ms| after(Role::Gateway, |status| fleet(status).processes[2].lease_ms = ms);
    assert_eq!(aged(LEASE_OLD), []);
    wrong(
        &aged(6_000),
        Code::LeaseOld,
        "The lease of node n-2 is 6 s old, and it owns 2048 slots: it is dead, stands still, or does not reach \
         Postgres.",
    );
}

#[test]
fn slots_without_an_owner_are_counted() {
    let found = after(Role::Gateway, |status| {
        fleet(status).slots.ownerless = 37;
        status.gateway.as_mut().unwrap().unserved = Some(37);
        status.gateway.as_mut().unwrap().unserved_ms = Some(3_000);
    });
    assert_eq!(
        found[0],
        (Code::SlotsOwnerless, true, "37 slots have no owner since 3 s: their users wait.".into())
    );
    let found = after(Role::Gateway, |status| {
        fleet(status).processes.truncate(1);
        fleet(status).slots.ownerless = 4096;
    });
    let codes: Vec<Code> = found.iter().map(|(code, ..)| *code).collect();
    assert_eq!(codes, [Code::NoNode, Code::SlotsOwnerless]);
}

#[test]
fn what_takes_a_moment_is_wrong_when_it_takes_longer() {
    let unserved = |ms| {
        after(Role::Gateway, |status| {
            status.gateway.as_mut().unwrap().unserved = Some(1);
            status.gateway.as_mut().unwrap().unserved_ms = Some(ms);
        })
    };
    noted(&unserved(PATIENCE), Code::SlotsUnserved, "1 slot has no owner that serves, since 2 s.");
    assert!(unserved(PATIENCE + 1)[0].1);
    let recovering = |ms| {
        after(Role::Node, |status| {
            let node = status.node.as_mut().unwrap();
            node.recovering = 800;
            node.awaits = vec![Awaited { gateway: "1".to_owned(), slots: 800, for_ms: ms }];
        })
    };
    assert!(!recovering(PATIENCE)[0].1);
    wrong(
        &recovering(5_000),
        Code::SlotsRecovering,
        "800 slots of node n-1 wait for gateway g-1 to confirm, since 5 s: nothing is decided there.",
    );
}

#[test]
fn a_node_that_may_not_decide_says_so() {
    let found = after(Role::Node, |status| {
        status.node.as_mut().unwrap().authority.as_mut().unwrap().by = None;
    });
    wrong(
        &found,
        Code::MayNotDecide,
        "Node n-1 may not decide: it has no lease, and hears no coordinator. It relays, and calls nobody offline.",
    );
}

#[test]
fn a_process_without_a_lease_is_none_of_the_fleet() {
    let found = after(Role::Gateway, |status| status.lease = Some(Lease { renewed_ms_ago: None }));
    wrong(&found, Code::NoLease, "Gateway g-1 has no lease: it is not one of the fleet's.");
    let found = after(Role::Gateway, |status| status.lease = Some(Lease { renewed_ms_ago: Some(3_500) }));
    assert_eq!((found[0].0, found[0].1), (Code::LeaseOld, true));
}

#[test]
fn nobody_coordinates() {
    let found = after(Role::Gateway, |status| fleet(status).coordinator.holder = None);
    assert_eq!((found[0].0, found[0].1), (Code::NoCoordinator, true));
    let found = after(Role::Gateway, |status| fleet(status).coordinator.lease_ms = 6_000);
    wrong(&found, Code::NoCoordinator, "The coordinator, node n-1, has not renewed its office for 6 s.");
}

#[test]
fn what_does_not_answer_within_a_process_is_named() {
    let found = after(Role::Node, |status| {
        status.stuck.push("the keeper of its slots".to_owned());
        status.node.as_mut().unwrap().shards.stuck = 3;
    });
    let texts: Vec<&str> = found.iter().map(|(_, _, text)| &**text).collect();
    assert_eq!(
        texts,
        [
            "In node n-1 3 of 16 shards do not answer: the hubs in them stand still.",
            "In node n-1 the keeper of its slots does not answer."
        ]
    );
}

#[test]
fn a_process_that_is_not_heard_or_does_not_acknowledge_is_named() {
    let found = after(Role::Gateway, |status| {
        status.unheard = vec![Unheard { id: "3".to_owned(), for_ms: 1_500 }];
    });
    wrong(&found, Code::Unheard, "Nobody receives what is sent to node n-2, since 1 s.");
    let hangs = |ms| {
        after(Role::Gateway, |status| {
            let link = Link { to: "3".to_owned(), frames: 12, bytes: 2_500, for_ms: ms, sent_again: 4 };
            status.links.as_mut().unwrap().waiting = vec![link];
        })
    };
    assert_eq!(hangs(LINK_HANGS), []);
    wrong(
        &hangs(5_000),
        Code::LinkHangs,
        "Node n-2 has acknowledged nothing for 5 s: 12 frames (3 KiB) wait for it.",
    );
}

#[test]
fn records_that_wait_are_noted_and_then_wrong() {
    let waiting =
        |streams| after(Role::Node, |status| status.node.as_mut().unwrap().records.streams = streams);
    assert_eq!(waiting(5_000), []);
    assert!(!waiting(5_001)[0].1);
    wrong(
        &waiting(10_000),
        Code::RecordsWait,
        "10000 records of streams wait for the database in node n-1: no stream starts.",
    );
}

#[test]
fn what_is_meant_to_be_is_no_wrong() {
    let found = after(Role::Gateway, |status| {
        fleet(status).processes[2].draining = true;
        fleet(status).processes[2].slots = 812;
    });
    noted(&found, Code::Draining, "Node n-2 is draining, with 812 slots to give away.");
    let found = after(Role::Gateway, |status| fleet(status).slots.moving = 64);
    noted(&found, Code::SlotsMoving, "64 slots are to be handed over to another node.");
    let mut status = well(Role::Gateway);
    fleet(&mut status).processes[2].draining = true;
    let report = Report::of(status, Vec::new());
    assert!(report.well);
    let page = text(&report);
    assert_eq!(page.lines().next(), Some("well. Node n-2 is draining, with 2048 slots to give away."));
    assert!(page.contains("node n-2 (draining)"), "{page}");
}

#[test]
fn what_happened_a_moment_ago_is_told_for_a_while() {
    let evicted = |ms_ago| {
        after(Role::Node, |status| {
            status.evictions = vec![Eviction {
                ms_ago,
                id: "9".to_owned(),
                kind: Kind::Node,
                name: "n-9".to_owned(),
                cause: "nobody receives".to_owned(),
                silent_ms: 400,
                slots: 1365,
            }];
        })
    };
    noted(&evicted(2_000), Code::Evicted, "Node n-9 was evicted 2 s ago: nobody receives.");
    assert_eq!(evicted(RECENT), []);
    let found = after(Role::Gateway, |status| {
        let cause = "the coordinator said so".to_owned();
        status.expulsions = vec![Expulsion { ms_ago: 900, id: "8".to_owned(), cause }];
    });
    noted(
        &found,
        Code::Expelled,
        "Gateway g-1 was evicted 0.9 s ago and goes on as another one: the coordinator said so.",
    );
}

#[test]
fn envelopes_of_strangers_are_noted() {
    let found = after(Role::Gateway, |status| status.refused_envelopes = 1);
    assert_eq!((found[0].0, found[0].1), (Code::RefusedEnvelopes, false));
}

#[test]
fn who_could_not_be_asked_is_noted_unless_that_is_clear() {
    let unanswered = |change: fn(&mut Process)| {
        let mut status = well(Role::Gateway);
        change(&mut fleet(&mut status).processes[2]);
        let problem = Some("no answer in time".to_owned());
        let silent = Other { id: "3".into(), kind: Kind::Node, name: "n-2".into(), status: None, problem };
        verdict(&status, &[silent]).into_iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(unanswered(|_| {}), [Code::NotAsked]);
    assert_eq!(unanswered(|process| process.draining = true), [Code::Draining]);
    assert_eq!(unanswered(|process| process.lease_ms = 5_000), [Code::LeaseOld]);
}

#[test]
fn the_first_line_has_what_is_wrong_and_json_comes_back_as_it_was() {
    let mut status = well(Role::Gateway);
    status.bus[0].health = Health::Away;
    status.bus[0].silent_ms = 3_000;
    fleet(&mut status).processes[1].draining = true;
    let report = Report::of(status, vec![other(well(Role::Node))]);
    assert!(!report.well);
    let page = text(&report);
    let mut lines = page.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("wrong: Redis 1 of 2 (redis-1:6379) is silent for 3 s"), "{first}");
    assert_eq!(lines.next(), Some("   note: Node n-1 is draining, with 2048 slots to give away."));
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn times_are_said_shortly() {
    let said: Vec<String> = [0, 950, 1_999, 119_999, 120_000, 7_200_000].into_iter().map(span).collect();
    assert_eq!(said, ["0.0 s", "0.9 s", "1 s", "119 s", "2 min", "2 h"]);
}
