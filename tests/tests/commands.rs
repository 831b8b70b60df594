//! What can be typed beside `streamz` itself, and what it prints at its start: as a person or a script would see it.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use streamz_tests::{Http, Server, Topology, User, command, eventually, run, soon};

const SECRET: &str = "pUoDkU5Lk0T4mK1o9yZ4b0d3Q1jYw6Xn8vR2sT7uVwE=";

/// Runs the program to its end, in a folder, with these variables and no others.
async fn streamz(
    folder: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let program = command(folder, arguments, variables);
    said(tokio::time::timeout(Duration::from_secs(240), program).await.unwrap())
}

fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What is said of `what`, after its verdict.
fn finding<'a>(said: &'a str, verdict: &str, what: &str) -> &'a str {
    let start = format!("  {verdict:<11}{what}: ");
    said.lines()
        .find_map(|line| line.strip_prefix(&*start))
        .unwrap_or_else(|| panic!("no {start:?} in {said}"))
}

#[test]
fn check_says_what_is_there_and_changes_nothing() {
    run(Topology::EmbeddedSqlite, async |topology| {
        let folder = tempfile::tempdir().unwrap();
        let (code, out, err) = streamz(folder.path(), &["check"], &[("PORT", "0")]).await;
        assert_eq!((code, &*err), (Some(0), ""), "{out}");
        assert!(out.starts_with("The configuration is valid.\n"), "{out}");
        assert_eq!(finding(&out, "ok", "address"), "127.0.0.1:0 is free");
        assert_eq!(finding(&out, "ok", "database"), "./data/streamz.db will be made at the start");
        assert_eq!(finding(&out, "ok", "signing key"), "./data/key will be made at the start");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");

        let secret = [("PORT", "0"), ("JWT_SECRET", SECRET)];
        let (code, out, _) = streamz(folder.path(), &["check"], &secret).await;
        assert_eq!((code, finding(&out, "ok", "signing key")), (Some(0), "JWT_SECRET"), "{out}");
        assert!(!out.contains(SECRET), "{out}");

        // What needs a word, what is in the way, and what is wrong.
        let weak = [("PORT", "0"), ("JWT_SECRET", "secret")];
        let (code, out, _) = streamz(folder.path(), &["check"], &weak).await;
        assert_eq!(code, Some(0), "{out}");
        assert!(out.contains("\n  note       JWT_SECRET is weak"), "{out}");
        let server = Server::start(topology, &[]).await;
        let port = server.url().rsplit(':').next().unwrap();
        let (code, out, err) = streamz(folder.path(), &["check"], &[("PORT", port)]).await;
        assert_eq!((code, &*err), (Some(1), "streamz: one problem was found.\n"), "{out}");
        assert!(finding(&out, "problem", "address").contains("cannot be listened on"), "{out}");
        let (code, out, err) = streamz(folder.path(), &["check"], &[("RUST_LOG", "loud")]).await;
        assert_eq!((code, &*out), (Some(2), ""), "{err}");
        assert!(err.contains("\nRUST_LOG is \"loud\": \"loud\" is no level"), "{err}");
    });
}

#[test]
fn check_asks_a_postgres() {
    run(Topology::EmbeddedPostgres, async |topology| {
        let server = Server::start(topology, &[]).await;
        let (code, out, _) = said(server.beside(&["check"], &[("PORT", "0")]).await);
        assert_eq!((code, finding(&out, "ok", "database")), (Some(0), "answers, and is up to date"), "{out}");
        let away = [("PORT", "0"), ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")];
        let (code, out, _) = said(server.beside(&["check"], &away).await);
        assert_eq!(code, Some(1), "{out}");
        assert!(finding(&out, "problem", "database").contains("DATABASE_URL"), "{out}");
    });
}

async fn a_token_is_as_good_as_a_sign_in(topology: Topology) {
    let server = Server::start(topology, &[]).await;
    let user = User::new(&server).await;
    let (code, token, err) = said(server.beside(&["token", "--email", &user.email], &[]).await);
    assert_eq!(code, Some(0), "{err}");
    let me = server.http().get_as(token.trim_end(), "/api/auth/me").await;
    assert_eq!((me.status, me.json()["email"].as_str().unwrap()), (200, &*user.email));
    let (code, out, err) = said(server.beside(&["token", "--email", "nobody@example.org"], &[]).await);
    assert_eq!((code, &*out), (Some(1), ""));
    assert_eq!(err, "streamz: --email: there is no such account; register it first.\n");
    let (code, ..) = said(server.beside(&["token"], &[]).await);
    assert_eq!(code, Some(2));
}

#[test]
fn a_token_is_as_good_as_a_sign_in_over_sqlite() {
    run(Topology::EmbeddedSqlite, a_token_is_as_good_as_a_sign_in);
}

#[test]
fn a_token_is_as_good_as_a_sign_in_over_postgres() {
    run(Topology::EmbeddedPostgres, a_token_is_as_good_as_a_sign_in);
}

/// A dozen seconds: it starts servers of its own and puts load on them.
#[test]
fn the_bench_reports_its_rows_as_text_and_as_json() {
    alone(async {
        let folder = tempfile::tempdir().unwrap();
        // As little load as it makes: the figures are another matter.
        let arguments = "bench --quick --only start,relay --rounds 1 --piece 300ms --devices 4 --load 500";
        let arguments: Vec<&str> = arguments.split(' ').chain(["--json", "report.json"]).collect();
        let (code, out, err) = streamz(folder.path(), &arguments, &[]).await;
        assert_eq!(code, Some(0), "{out}\n{err}");
        let json: Value =
            serde_json::from_str(&std::fs::read_to_string(folder.path().join("report.json")).unwrap())
                .unwrap();
        assert_eq!((&json["quick"], &json["failures"]), (&true.into(), &Value::Array(Vec::new())), "{json}");
        let rows = json["rows"].as_array().unwrap();
        let parts: Vec<&str> = rows.iter().map(|row| row["part"].as_str().unwrap()).collect();
        for part in ["Start", "without id", "with id"] {
            assert!(parts.iter().any(|known| known.contains(part)), "{part}: {parts:?}");
        }
        for row in rows {
            assert!(row["streamz"].as_f64().is_some_and(|figure| figure > 0.0), "{row}");
            let (part, name) = (row["part"].as_str().unwrap(), row["name"].as_str().unwrap());
            let lines = out.lines().map(str::trim_start);
            assert!(lines.clone().any(|line| line.starts_with(part)), "{part}: {out}");
            assert!(lines.clone().any(|line| line.starts_with(name)), "{name}: {out}");
        }
        let (code, _, err) = streamz(folder.path(), &["bench", "--only", "speed"], &[]).await;
        assert_eq!(code, Some(2), "{err}");
    });
}

/// What a small cluster run reports: its status, its rows as `(part, name) -> figure`, and what it printed.
async fn cluster_bench(words: &str) -> (Option<i32>, Vec<(String, String, f64)>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var("PATH").unwrap();
    let arguments: Vec<&str> =
        "bench --quick --rounds 1 --piece 300ms --load 200 --json report.json --gateways"
            .split(' ')
            .chain(words.split(' '))
            .collect();
    let (code, out, err) = streamz(folder.path(), &arguments, &[("PATH", &path)]).await;
    let said = format!("{out}\n{err}");
    let Ok(json) = std::fs::read_to_string(folder.path().join("report.json")) else {
        return (code, Vec::new(), said);
    };
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["failures"], Value::Array(Vec::new()), "{said}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let row = |row: &Value| {
        let figure = row["streamz"].as_f64().unwrap_or_else(|| panic!("{row}: {said}"));
        (text(&row["part"]), text(&row["name"]), figure)
    };
    (code, json["rows"].as_array().unwrap().iter().map(row).collect(), said)
}

/// The figure of the only row whose part and name begin so.
fn figure(rows: &[(String, String, f64)], part: &str, name: &str) -> f64 {
    let mut found = rows.iter().filter(|row| row.0.starts_with(part) && row.1.starts_with(name));
    let (one, more) = (found.next(), found.next());
    assert!(one.is_some() && more.is_none(), "{part}, {name}: {rows:?}");
    one.unwrap().2
}

/// Half a minute: a cluster is measured, and its nodes are killed, drained and added.
#[test]
fn the_bench_of_a_cluster_reports_costs_and_pauses() {
    alone(async {
        let (code, rows, said) = cluster_bench("2 --nodes 2 --devices 40 --failovers 1").await;
        assert_eq!(code, Some(0), "{said}");
        for (part, name) in [
            ("Connect", "CPU"),
            ("Connect", "rate"),
            ("900 bytes across the cluster, without id", "CPU a message, at 200/s"),
            ("900 bytes across the cluster, with id", "CPU a message, as fast"),
            ("900 bytes across the cluster, with id", "PUBLISH a message, at 200/s"),
            ("Alone, without id", "delay p50"),
            ("Alone, with id", "outcome p50"),
            ("Idle devices", "memory of all"),
            ("A node is killed", "to the next message that arrives, p99"),
            ("A node is drained", "longest delay of a message, p99"),
            ("A node is drained", "from the signal to its end"),
            ("A node is added", "longest delay of a message, p50"),
        ] {
            assert!(figure(&rows, part, name) > 0.0, "{part}, {name}: {said}");
        }
        // A message without an id passes Redis twice, and batches are smaller than a whole piece.
        let publishes =
            figure(&rows, "900 bytes across the cluster, without id", "PUBLISH a message, at 200/s");
        assert!((0.05..10.0).contains(&publishes), "{said}");
        for budget in ["≤ 5.0×", "≤ 8.0×", "≤ 1.5×", "≤ 1000 ms", "≤ 50.0 ms"] {
            assert!(said.contains(budget), "{budget}: {said}");
        }
    });
}

#[test]
fn the_bench_of_a_cluster_kills_a_gateway_and_all_come_back() {
    alone(async {
        let (code, rows, said) = cluster_bench("3 --nodes 2 --reconnect-storm 40").await;
        assert_eq!(code, Some(0), "{said}");
        let storm = |name| figure(&rows, "Reconnect storm", name);
        assert_eq!(
            storm("came back with their session") + storm("came back to a new session"),
            40.0,
            "{said}"
        );
        assert_eq!(storm("announcements that somebody is offline"), 0.0, "{said}");
        assert!(storm("40 devices are back, all") >= storm("40 devices are back, p50"), "{said}");
        assert!(figure(&rows, "Users on other gateways", "delay p99, until all are back") > 0.0, "{said}");
    });
}

#[test]
fn the_bench_of_a_cluster_scales_it() {
    alone(async {
        let (code, rows, said) = cluster_bench("2 --nodes 1 --scale --devices 80").await;
        assert_eq!(code, Some(0), "{said}");
        for name in ["CPU a message without id, 1 gateway", "CPU a message with id, 2 gateways"] {
            for pace in ["at 200/s", "as fast as it goes"] {
                assert!(figure(&rows, "With more gateways", &format!("{name}, {pace}")) > 0.0, "{said}");
            }
        }
        for name in ["delay p50, 40 devices", "delay p50, 80 devices"] {
            assert!(figure(&rows, "With more devices", name) > 0.0, "{said}");
        }
        figure(&rows, "Memory of devices", "each, from 40 to 80, gateways");
    });
}

#[test]
fn the_bench_of_a_cluster_refuses_what_it_cannot_do() {
    alone(async {
        for (words, sentence) in [
            ("2 --reconnect-storm 40", "give --gateways 3 or more"),
            ("2 --only start", "that is measured of one process"),
            ("1 --devices 1000000", "limit on open files"),
        ] {
            let (code, _, said) = cluster_bench(words).await;
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains(sentence), "{sentence}: {said}");
        }
    });
}

/// What takes longer than a scenario may, and needs no server but those that the bench starts.
fn alone(body: impl Future<Output = ()>) {
    // One load at a time, even if another test of it has failed.
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(body);
}

/// The lines of the start, once all are there.
async fn greeting(server: &Server) -> Vec<String> {
    eventually(|| async {
        let lines: Vec<String> = server.log().lines().map(str::to_owned).collect();
        lines.iter().any(|line| line.starts_with("  stop ")).then_some(lines)
    })
    .await
}

/// What stands behind this word.
fn behind<'a>(greeting: &'a [String], word: &str) -> Option<&'a str> {
    let start = format!("  {word:<10}");
    greeting.iter().find_map(|line| line.strip_prefix(&*start))
}

#[test]
fn the_text_of_the_start_is_true() {
    run(Topology::EmbeddedSqlite, async |topology| {
        let server = Server::start(topology, &[]).await;
        let said = greeting(&server).await;
        assert_eq!(behind(&said, "data"), server.data_dir().join("streamz.db").to_str());
        let key = server.data_dir().join("key");
        assert_eq!(behind(&said, "key"), key.to_str());
        assert!(key.exists());
        assert_eq!(behind(&said, "admin"), None);
        assert_eq!(behind(&said, "TURN"), Some("none: TURN_PORT is off, or TURN_URLS names others."));

        let server = Server::start(topology, &[("JWT_SECRET", SECRET), ("ADMIN_PORT", "0")]).await;
        let said = greeting(&server).await;
        assert_eq!(behind(&said, "key"), Some("JWT_SECRET"));
        assert!(!server.data_dir().join("key").exists());
        let admin = behind(&said, "admin").unwrap();
        let address = admin.split("/metrics").next().unwrap();
        for path in ["/metrics", "/health", "/ready"] {
            assert!(admin.contains(path), "{admin}");
            assert_eq!(soon(Http::new(address).get(path)).await.status, 200, "{address}{path}");
            assert_eq!(server.http().get(path).await.status, 404, "not beside the API: {path}");
        }
    });
}

/// Whoever watches a process that takes its time to end sees how it does.
#[test]
fn operations_are_answered_until_the_end_is_over() {
    run(Topology::EmbeddedSqlite, async |topology| {
        let mut server = Server::start(topology, &[("ADMIN_PORT", "0"), ("DRAIN_TIMEOUT", "3s")]).await;
        let said = greeting(&server).await;
        let address = behind(&said, "admin").unwrap().split("/metrics").next().unwrap().to_owned();
        let http = Http::new(&address);
        let user = User::new(&server).await;
        // Who does not read holds up the end.
        let silent = user.raw("phone").await;
        server.terminate();
        let ready =
            eventually(|| async { Some(http.get("/ready").await).filter(|answer| answer.status != 200) });
        let ready = ready.await;
        assert_eq!((ready.status, &ready.json()["state"]), (503, &json!("draining")), "{ready:?}");
        // Nobody new is let in by now.
        assert_eq!(server.http().get("/ping").await.status, 0);
        for path in ["/health", "/metrics", "/status"] {
            assert_eq!(http.get(path).await.status, 200, "{path}");
        }
        server.ended().await;
        assert_eq!(http.get("/health").await.status, 0);
        drop(silent);
    });
}
