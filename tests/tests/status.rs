//! `streamz status` and the endpoint behind it, on real processes: for each fault it names the right thing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamz_testkit::Postgres;
use streamz_tests::{Http, Member, Server, Topology, User, eventually, run};

/// What the command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Asks this process.
async fn ask(fleet: &Server, member: &Member, more: &[&str]) -> Said {
    let arguments: Vec<&str> =
        ["status", "--url", member.url()].into_iter().chain(more.iter().copied()).collect();
    let output = fleet.beside(&arguments, &[]).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

async fn report(fleet: &Server, member: &Member) -> (Option<i32>, Value) {
    let said = ask(fleet, member, &["--json"]).await;
    let json = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    (said.code, json)
}

/// The endpoint's own answer, of this process alone.
async fn endpoint(member: &Member) -> Value {
    Http::new(member.url()).get("/status").await.json()
}

fn codes(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

/// The sentence of a finding of this kind about a process.
fn finding<'a>(report: &'a Value, code: &str, about: &str) -> Option<&'a Value> {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|finding| finding["code"] == code && finding["text"].as_str().unwrap().contains(about))
}

/// `:PORT`, with which a process's name ends.
fn port(member: &Member) -> String {
    format!(":{}", member.url().rsplit(':').next().unwrap())
}

async fn is_well(fleet: &Server, member: &Member) -> Value {
    eventually(|| async {
        let (code, report) = report(fleet, member).await;
        (code == Some(0)).then_some(report)
    })
    .await
}

/// Waits until both nodes have their share, and nothing moves.
async fn is_settled(fleet: &Server) {
    eventually(|| async {
        let report = endpoint(&fleet.gateways[0]).await;
        let view = &report["asked"]["fleet"];
        let shares = view["processes"].as_array()?.iter().filter_map(|process| process["slots"].as_u64());
        let both = shares.filter(|slots| *slots > 1_500).count() == 2;
        (both && view["slots"]["moving"] == 0 && report["well"] == true).then_some(())
    })
    .await;
}

async fn start(gateways: usize, nodes: usize, redis: usize) -> Server {
    Server::start(Topology::Fleet { gateways, nodes, redis }, &[]).await
}

fn test<F: Future<Output = ()>>(body: impl FnOnce() -> F) {
    // The topology is the test's own.
    run(Topology::EmbeddedSqlite, |_| body());
}

#[test]
fn a_fleet_that_is_well_is_well_and_shown_whole() {
    test(|| async {
        let fleet = start(2, 2, 2).await;
        let user = User::new(&fleet).await;
        let mut phone = user.through(&fleet.gateways[0]).raw("phone").await;
        let mut tv = user.through(&fleet.gateways[1]).raw("tv").await;
        phone.until("device_online").await;
        phone
            .say(json!({"type": "sdp_offer", "id": "m-1", "payload": {"to_device_id": "tv", "sdp": "v=0"}}))
            .await;
        // It has it, and does not acknowledge it.
        tv.until("sdp_offer").await;
        let report = is_well(&fleet, &fleet.gateways[0]).await;
        let asked = &report["asked"];
        assert_eq!(
            asked["gateway"],
            json!({"sessions": 1, "unsettled": 1, "unserved": 0, "unserved_ms": null})
        );
        let processes = asked["fleet"]["processes"].as_array().unwrap();
        let slots: u64 = processes.iter().map(|process| process["slots"].as_u64().unwrap()).sum();
        assert_eq!((processes.len(), slots), (4, 4096), "{report}");
        assert_eq!(asked["fleet"]["slots"]["ownerless"], 0);
        assert_eq!(asked["database"]["answers"], true);
        for instance in asked["bus"].as_array().unwrap() {
            assert_eq!(
                (&instance["health"], &instance["subscribed"]),
                (&json!("healthy"), &json!(true)),
                "{instance}"
            );
            assert!(
                instance["silent_ms"].as_u64().unwrap() < 2_500
                    && instance["publishes"].as_u64().unwrap() > 0
            );
        }
        // The others were asked as well.
        let others: Vec<&Value> =
            report["others"].as_array().unwrap().iter().map(|other| &other["status"]).collect();
        assert_eq!(others.len(), 3, "{report}");
        let hubs: u64 = others
            .iter()
            .filter_map(|status| {
                Some(status["node"]["hubs_awake"].as_u64()? + status["node"]["hubs_asleep"].as_u64()?)
            })
            .sum();
        assert_eq!(hubs, 1, "{report}");
        let nodes: Vec<&&Value> = others.iter().filter(|status| status["role"] == "node").collect();
        for node in &nodes {
            assert_eq!(node["node"]["authority"]["by"], "lease", "{node}");
            assert_eq!(
                (&node["node"]["recovering"], &node["node"]["shards"]["stuck"]),
                (&json!(0), &json!(0))
            );
        }
        let taken = nodes.iter().flat_map(|node| node["takeovers"].as_array().unwrap());
        assert!(
            taken.clone().any(|takeover| takeover["cause"] == "first" && takeover["took_ms"].is_u64()),
            "{report}"
        );

        let page = ask(&fleet, &fleet.nodes[0], &[]).await;
        assert_eq!((page.code, page.out.lines().next(), &*page.err), (Some(0), Some("well"), ""), "{page:?}");
        for member in fleet.gateways.iter().chain(&fleet.nodes) {
            assert!(page.out.contains(&port(member)), "{}: {}", member.url(), page.out);
        }
        tv.ack().await;
        phone.outcome("m-1").await;
        eventually(|| async {
            let report = endpoint(&fleet.gateways[0]).await;
            (report["asked"]["gateway"]["unsettled"] == 0).then_some(())
        })
        .await;
    });
}

#[test]
fn a_redis_that_is_gone_is_named() {
    test(|| async {
        let fleet = start(1, 1, 2).await;
        fleet.redis[1].stop();
        let sentence = format!("Redis 2 of 2 (127.0.0.1:{}) is silent for ", fleet.redis[1].port());
        let found = eventually(|| async {
            let (code, report) = report(&fleet, &fleet.gateways[0]).await;
            finding(&report, "redis_silent", &sentence)
                .map(|finding| (code, finding.clone(), codes(&report).len()))
        })
        .await;
        assert_eq!(found.0, Some(1));
        assert_eq!((&found.1["wrong"], found.2), (&json!(true), 1), "nothing else is wrong: {found:?}");
        let page = ask(&fleet, &fleet.gateways[0], &[]).await;
        assert!(page.out.starts_with(&format!("wrong: {sentence}")), "{page:?}");
        fleet.redis[1].start_again();
        is_well(&fleet, &fleet.gateways[0]).await;
    });
}

#[test]
fn a_postgres_that_is_gone_is_named_quickly_and_nodes_decide_by_the_coordinator() {
    test(|| async {
        let postgres = tokio::task::spawn_blocking(|| Postgres::start().unwrap()).await.unwrap();
        let topology = Topology::Fleet { gateways: 1, nodes: 2, redis: 1 };
        let fleet = Server::start_on(&postgres, topology, &[]).await;
        is_well(&fleet, &fleet.gateways[0]).await;
        postgres.stop();
        let report = eventually(|| async {
            let began = Instant::now();
            let (code, report) = report(&fleet, &fleet.gateways[0]).await;
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
            let others = report["others"].as_array().unwrap();
            let by = |other: &Value| other["status"]["node"]["authority"]["by"] == "coordinator";
            let known = finding(&report, "database_away", "Postgres does not answer since ").is_some();
            (code == Some(1) && known && others.len() == 2 && others.iter().all(by)).then_some(report)
        })
        .await;
        // The picture of the fleet is the last one, and says so; nothing of it is judged.
        assert_eq!(codes(&report), ["database_away"], "{report}");
        let fleet_view = &report["asked"]["fleet"];
        assert_eq!(fleet_view["processes"].as_array().unwrap().len(), 3);
        assert!(fleet_view["read_ms_ago"].as_u64().unwrap() > 0);
        let page = ask(&fleet, &fleet.nodes[1], &[]).await;
        assert!(page.out.starts_with("wrong: Postgres does not answer since "), "{page:?}");
        postgres.start_again();
        is_well(&fleet, &fleet.gateways[0]).await;
    });
}

#[test]
fn a_node_that_is_killed_is_listed_with_cause_and_duration() {
    test(|| async {
        let mut fleet = start(1, 2, 1).await;
        is_settled(&fleet).await;
        let before = endpoint(&fleet.nodes[0]).await;
        let id = before["asked"]["id"].clone();
        let name = port(&fleet.nodes[0]);
        fleet.nodes[0].kill().await;
        let report = eventually(|| async {
            let report = endpoint(&fleet.nodes[1]).await;
            let takeovers = report["asked"]["takeovers"].as_array().unwrap();
            let done = |one: &Value| one["from"] == id && one["took_ms"].is_u64();
            takeovers.iter().any(done).then_some(report)
        })
        .await;
        let asked = &report["asked"];
        let takeover = &asked["takeovers"][0];
        assert_eq!(takeover["cause"], "owner_gone", "{report}");
        assert_eq!(takeover["slots"], before["asked"]["node"]["slots"], "{report}");
        assert!(takeover["took_ms"].as_u64().unwrap() < 5_000, "{takeover}");
        let eviction = &asked["evictions"][0];
        assert_eq!((&eviction["id"], &eviction["kind"]), (&id, &json!("node")), "{report}");
        let cause = eviction["cause"].as_str().unwrap();
        assert!(["nobody receives", "its lease has lapsed"].contains(&cause), "{cause}");
        assert_eq!(eviction["slots"], takeover["slots"]);
        assert!(finding(&report, "evicted", &name).is_some(), "{report}");
        // Through any process, and for people.
        is_well(&fleet, &fleet.gateways[0]).await;
        let page = ask(&fleet, &fleet.gateways[0], &[]).await;
        let line = page
            .out
            .lines()
            .find(|line| line.contains("was evicted: "))
            .unwrap_or_else(|| panic!("{page:?}"));
        assert!(line.contains(&name) && line.contains(" ms"), "{line}");
        assert!(line.contains(&port(&fleet.nodes[1])), "{line}");
    });
}

#[test]
fn a_node_that_stands_still_is_named_while_its_lease_ages_and_afterwards() {
    test(|| async {
        let mut fleet = start(1, 2, 1).await;
        is_settled(&fleet).await;
        let name = port(&fleet.nodes[0]);
        fleet.nodes[0].signal("STOP");
        let found = eventually(|| async {
            let report = endpoint(&fleet.gateways[0]).await;
            finding(&report, "lease_old", &name).cloned()
        })
        .await;
        assert_eq!(found["wrong"], true, "{found}");
        // It is evicted by its lease: its connections to Redis stand.
        let report = eventually(|| async {
            let report = endpoint(&fleet.nodes[1]).await;
            finding(&report, "evicted", &name).is_some().then_some(report)
        })
        .await;
        assert_eq!(report["asked"]["evictions"][0]["cause"], "its lease has lapsed", "{report}");
        assert!(report["asked"]["evictions"][0]["silent_ms"].as_u64().unwrap() >= 4_000, "{report}");
        let said = ask(&fleet, &fleet.nodes[0], &[]).await;
        assert_eq!((said.code, &*said.out), (Some(2), ""), "{said:?}");
        assert!(said.err.contains("does not answer: no answer in time."), "{said:?}");
        fleet.nodes[0].signal("CONT");
        let report = eventually(|| async {
            let report = endpoint(&fleet.nodes[0]).await;
            finding(&report, "expelled", &name).is_some().then_some(report)
        })
        .await;
        assert_eq!(report["asked"]["expulsions"].as_array().unwrap().len(), 1, "{report}");
        is_well(&fleet, &fleet.nodes[0]).await;
    });
}

#[test]
fn a_node_that_drains_is_named_and_that_is_no_wrong() {
    test(|| async {
        let mut fleet = start(1, 2, 1).await;
        is_settled(&fleet).await;
        let name = port(&fleet.nodes[0]);
        fleet.nodes[0].signal("TERM");
        let found = eventually(|| async {
            let report = endpoint(&fleet.gateways[0]).await;
            finding(&report, "draining", &name).cloned()
        })
        .await;
        assert_eq!(found["wrong"], false, "{found}");
        fleet.nodes[0].ended().await;
        // Who took over can tell how long it took.
        let report = eventually(|| async {
            let report = endpoint(&fleet.nodes[1]).await;
            let takeovers = report["asked"]["takeovers"].as_array().unwrap();
            let handed = |one: &&Value| one["cause"] == "handed_over" && one["took_ms"].is_u64();
            let slots: u64 = takeovers.iter().filter(handed).map(|one| one["slots"].as_u64().unwrap()).sum();
            (slots > 0).then_some(report)
        })
        .await;
        let from = report["asked"]["takeovers"][0]["from_name"].as_str().unwrap();
        assert!(from.ends_with(&name), "{report}");
    });
}

#[test]
fn without_a_node_nobody_is_served() {
    test(|| async {
        let mut fleet = start(1, 1, 1).await;
        is_well(&fleet, &fleet.gateways[0]).await;
        fleet.nodes[0].stop().await;
        let (code, found) = eventually(|| async {
            let (code, report) = report(&fleet, &fleet.gateways[0]).await;
            finding(&report, "no_node", "there is no node")
                .or(finding(&report, "no_node", "There is no node"))
                .and(finding(&report, "slots_ownerless", "4096 slots have no owner since "))
                .map(|_| (code, report.clone()))
        })
        .await;
        assert_eq!(code, Some(1), "{found}");
        fleet.add_node().await;
        is_well(&fleet, &fleet.gateways[0]).await;
    });
}

#[test]
fn one_process_shows_it_to_programs_beside_it_alone() {
    run(Topology::EmbeddedSqlite, |topology| async move {
        let server = Server::start(topology, &[]).await;
        let said = ask(&server, &server.gateways[0], &[]).await;
        assert_eq!((said.code, said.out.lines().next()), (Some(0), Some("well")), "{said:?}");
        let report = endpoint(&server.gateways[0]).await;
        assert_eq!((&report["asked"]["role"], &report["asked"]["fleet"]), (&json!("embedded"), &Value::Null));
        assert_eq!(report["asked"]["database"]["kind"], "SQLite");
        // By its own configuration, without --url.
        let beside = server.beside(&["status"], &[("PORT", &port(&server.gateways[0])[1..])]).await;
        assert_eq!(beside.status.code(), Some(0), "{beside:?}");
        let http = server.http();
        for (name, value) in [
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1"),
            ("host", "app.example.org"),
            ("origin", "http://localhost"),
        ] {
            let request = http.request(reqwest::Method::GET, "/status").header(name, value);
            assert_eq!(http.send(request).await.status, 404, "{name}: {value}");
        }
        // What has a port for operations shows it there, to whoever reaches that.
        let server = Server::start(topology, &[("ADMIN_PORT", "0")]).await;
        assert_eq!(server.http().get("/status").await.status, 404);
        let said = ask(&server, &server.gateways[0], &[]).await;
        assert_eq!((said.code, &*said.out), (Some(2), ""), "{said:?}");
        let admin = eventually(|| async {
            let line = server.log().lines().find(|line| line.starts_with("  admin "))?.to_owned();
            Some(
                line.split_whitespace().nth(1)?.trim_end_matches(',').trim_end_matches("/metrics").to_owned(),
            )
        })
        .await;
        let admin = Http::new(&admin);
        let request = admin.request(reqwest::Method::GET, "/status").header("x-forwarded-for", "192.0.2.1");
        assert_eq!(admin.send(request).await.status, 200);
    });
}

#[test]
fn a_process_that_is_not_there_is_no_wrong_but_no_answer() {
    run(Topology::EmbeddedSqlite, |topology| async move {
        let server = Server::start(topology, &[]).await;
        let began = Instant::now();
        let nobody = server.beside(&["status", "--url", "http://127.0.0.1:1"], &[]).await;
        assert_eq!(nobody.status.code(), Some(2), "{nobody:?}");
        let err = String::from_utf8(nobody.stderr).unwrap();
        assert!(err.starts_with("streamz: http://127.0.0.1:1 does not answer: "), "{err}");
        assert!(began.elapsed() < Duration::from_secs(5));
        let nowhere = server.beside(&["status"], &[]).await;
        assert_eq!(nowhere.status.code(), Some(2), "{nowhere:?}");
        assert!(String::from_utf8(nowhere.stderr).unwrap().contains("--url"));
    });
}
