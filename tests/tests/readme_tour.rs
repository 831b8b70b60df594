//! The tour of the README, as somebody pastes it: every block of commands in one shell, against a server of its own,
//! and what the README shows after a block is what is seen.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use streamz_tests::{Server, Topology, run, soon};
use tokio::process::Command;

/// A block of commands, and what is shown after it, where `…` stands for anything.
struct Step {
    commands: String,
    shown: Option<String>,
}

#[test]
fn the_tour_works_as_it_is_written() {
    build_client();
    run(Topology::EmbeddedSqlite, |topology| async move {
        let server = Server::start(topology, &[]).await;
        let tour = tour();
        let steps: Vec<Step> = tour.iter().map(|step| here(step, &server)).collect();
        let script: String =
            steps.iter().map(|step| format!("{}printf '\\n%s\\n' '{MARK}'\n", step.commands)).collect();
        let shell = Command::new("bash")
            .args([
                "-euo",
                "pipefail",
                "-c",
                &format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}"),
            ])
            .current_dir(repository())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .output();
        let output = soon(shell).await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{said}\n{complaints}", output.status);
        let heard: Vec<&str> = said.split_terminator(&format!("\n{MARK}\n")).collect();
        assert_eq!(heard.len(), steps.len(), "{said}\n{complaints}");
        for (step, heard) in steps.iter().zip(heard) {
            let shown = step.shown.as_deref().unwrap_or_default();
            assert!(
                matches(shown, heard),
                "after\n{}the README shows\n{shown}\nbut it is\n{heard}",
                step.commands
            );
        }
    });
}

const MARK: &str = "=== the next block ===";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The blocks between the marks of the tour.
fn tour() -> Vec<Step> {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- tour: begin -->").unwrap();
    let (tour, _) = rest.split_once("<!-- tour: end -->").unwrap();
    let mut steps: Vec<Step> = Vec::new();
    // Outside, inside, outside, …
    for block in tour.split("```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        match (language, steps.last_mut()) {
            ("sh", _) => steps.push(Step { commands: text.to_owned(), shown: None }),
            ("json", Some(step)) if step.shown.is_none() => step.shown = Some(text.trim_end().to_owned()),
            _ => panic!("a block of {language:?} has no place here: {text}"),
        }
    }
    assert!(steps.len() >= 5, "the tour is there");
    steps
}

/// The step with this server's address and this build's programs in place of the README's.
fn here(step: &Step, server: &Server) -> Step {
    let programs = programs().to_str().unwrap().to_owned();
    let commands = step
        .commands
        .replace("http://127.0.0.1:8080", server.url())
        .replace("cargo build --release ", "true ")
        .replace("$PWD/target/release/", &format!("{programs}/"));
    Step { commands, shown: step.shown.clone() }
}

/// target/PROFILE, where this test lies in `deps`.
fn programs() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().to_owned()
}

/// What the tour's first block does, but in this build's profile; before the clock runs. With `STREAMZ_BIN` all
/// programs were built before.
fn build_client() {
    if std::env::var_os("STREAMZ_BIN").is_some() {
        return;
    }
    let programs = programs();
    let (target, profile) = (programs.parent().unwrap(), programs.file_name().unwrap());
    let profile = if profile == "debug" { "dev".as_ref() } else { profile };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = std::process::Command::new(cargo)
        .args(["build", "--quiet", "-p", "streamz-client", "--example", "ws", "--profile"])
        .arg(profile)
        .arg("--target-dir")
        .arg(target)
        .current_dir(repository())
        .status()
        .unwrap();
    assert!(built.success(), "the client could not be built");
}

/// Whether `text` is `pattern`, where `…` in the pattern stands for anything within a line.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<&str>, Vec<&str>) = (pattern.lines().collect(), text.trim().lines().collect());
    pattern.len() == text.len() && pattern.iter().zip(text).all(|(pattern, line)| line_matches(pattern, line))
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('…') else { return pattern == line };
    let Some(mut line) = line.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('…').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = line.split_once(part) else { return false };
        line = after;
    }
    line.ends_with(last)
}
