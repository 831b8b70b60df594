//! What the documents say is there: files that they link to, metrics that operators are told of.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use streamz_tests::{Server, Topology, User, run};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// README, changelog, and everything in `docs`.
fn documents() -> Vec<PathBuf> {
    let docs = fs::read_dir(repository().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    ["README.md", "CHANGELOG.md", "clients/rust/README.md"]
        .map(|name| repository().join(name))
        .into_iter()
        .chain(docs)
        .collect()
}

/// The targets of links to files of the repository.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains("://")).collect()
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_lead_somewhere() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", document.display());
            if !fragment.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#')));
                assert!(anchors.any(|anchor| anchor == fragment), "{}: {link}", document.display());
            }
        }
    }
}

/// Every `make target` of a document, in a block of commands or between backticks.
fn targets(text: &str) -> BTreeSet<String> {
    let commands = text.lines().filter_map(|line| line.strip_prefix("make "));
    let quoted = text.split("`make ").skip(1);
    let word =
        |rest: &str| rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap().to_owned();
    commands.chain(quoted).map(word).filter(|word| !word.is_empty()).collect()
}

fn make() -> Command {
    let mut make = Command::new("make");
    // Not those of a make that may run this test.
    make.current_dir(repository()).env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MFLAGS");
    make
}

#[test]
fn every_documented_make_target_exists() {
    let list = make().output().unwrap();
    assert!(list.status.success(), "{list:?}");
    let list = String::from_utf8(list.stdout).unwrap();
    let listed = list.lines().filter_map(|line| line.strip_prefix("  make ")?.split(' ').next());
    let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
    let mut told: BTreeSet<String> = BTreeSet::new();
    for document in documents() {
        told.extend(targets(&fs::read_to_string(&document).unwrap()));
    }
    assert!(told.contains("test") && told.len() >= 5, "{told:?}");
    let unlisted: Vec<_> = told.difference(&listed).collect();
    assert!(unlisted.is_empty(), "`make` does not list {unlisted:?}");
    for target in listed {
        let dry = make().args(["-n", &target]).output().unwrap();
        assert!(dry.status.success() && !dry.stdout.is_empty(), "make -n {target}: {dry:?}");
    }
}

/// A machine on which programs are missing: a folder of programs that do nothing, and no other in the `PATH`.
fn make_servers(programs: &[&str]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    for program in programs {
        let path = folder.path().join(program);
        // Whoever asks is user 1000.
        fs::write(&path, "#!/bin/sh\necho 1000\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap();
    let program = std::env::split_paths(&path).map(|folder| folder.join("make")).find(|path| path.exists());
    let mut make = Command::new(program.expect("make is installed"));
    make.current_dir(repository()).env_clear().env("PATH", folder.path()).args(["servers"]);
    let output = make.output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_the_tests_need_and_nobody_may_install_is_named() {
    let (done, said) = make_servers(&["cargo", "cc", "initdb", "curl", "id", "apt-get", "turnserver"]);
    assert!(!done && said.contains("Not installed: redis-server jq. Run this, then try again:"), "{said}");
    assert!(said.contains("    sudo apt-get update && sudo apt-get install -y redis-server jq\n"), "{said}");
    // On a system of another kind there is no such command.
    let (done, said) = make_servers(&["cargo", "initdb", "redis-server", "turnserver", "curl", "jq", "id"]);
    assert!(
        !done && said.contains("Not installed: gcc libc6-dev. Install them in the way of your system"),
        "{said}"
    );
    assert!(!said.contains("sudo"), "{said}");
    let (done, said) = make_servers(&[]);
    assert!(!done && said.contains("Rust is not installed: see https://rustup.rs"), "{said}");
    let (done, said) = make_servers(&["cargo", "cc", "initdb", "redis-server", "turnserver", "curl", "jq"]);
    assert!(done && said.is_empty(), "{said}");
}

#[test]
fn operators_are_told_of_every_metric_that_appears() {
    let text = fs::read_to_string(repository().join("docs/telemetry.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name.to_owned());
    let told: BTreeSet<String> =
        names.filter(|name| name.starts_with("streamz_") || name.starts_with("process_")).collect();
    run(Topology::EmbeddedSqlite, |topology| async move {
        let server = Server::start(topology, &[("LOGINS_PER_MINUTE", "2")]).await;
        let user = User::new(&server).await;
        let _device = user.raw("laptop").await;
        let wrong = json!({"email": user.email, "password": "not this one at all"});
        for _ in 0..3 {
            server.http().post("/api/auth/login", &wrong).await;
        }
        let figures = server.http().get("/metrics").await.text;
        let names = figures.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        let shown: BTreeSet<String> = names.map(str::to_owned).collect();
        assert!(shown.len() >= 5, "{figures}");
        let untold: Vec<_> = shown.difference(&told).collect();
        assert!(untold.is_empty(), "not in docs/telemetry.md: {untold:?}");
    });
}

/// Every file of sources and tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["target", "node_modules", ".git"].contains(&name) {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whoever reads what is defended can run what shows it.
#[test]
fn the_tests_that_show_what_is_defended_exist() {
    let text = fs::read_to_string(repository().join("docs/security.md")).unwrap();
    // In the last column of its tables.
    let cells = text.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.rsplit('|').nth(1));
    let named: BTreeSet<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let tests: Vec<_> = named.into_iter().filter(|name| name.matches('_').count() >= 2).collect();
    assert!(tests.len() >= 20, "{tests:?}");
    let mut files = Vec::new();
    sources(&repository(), &mut files);
    let code: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let missing: Vec<_> = tests.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "docs/security.md names tests that are not there: {missing:?}");
}
