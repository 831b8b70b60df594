//! What the documents say is there: files that they link to, metrics that operators are told of.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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

#[test]
fn operators_are_told_of_every_metric_that_appears() {
    let text = fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `streamz_"));
    let told: BTreeSet<String> =
        rows.filter_map(|row| row.split_once('`')).map(|(name, _)| format!("streamz_{name}")).collect();
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
        assert!(untold.is_empty(), "not in docs/operations.md: {untold:?}");
    });
}
