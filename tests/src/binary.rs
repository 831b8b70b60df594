//! Where the program under test is, and that it is the one of this source.
//!
//! Cargo gives a test only the binaries of its own package. So the first test that needs `streamz` has cargo build it:
//! a moment if it is fresh, and never a stale program otherwise. Under nextest each test is a process of its own; there
//! the first one of a run leaves a note for the others.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of `streamz`, built from the present source in the profile of this test.
///
/// `STREAMZ_BIN` names another program instead, for one that was built elsewhere.
///
/// # Panics
/// If it cannot be built; cargo's own words stand above.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("STREAMZ_BIN") {
        Some(path) => PathBuf::from(path),
        None => fresh(),
    })
}

fn fresh() -> PathBuf {
    // target/PROFILE/deps/TEST
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps").to_owned();
    let program = folder.join(format!("streamz{}", std::env::consts::EXE_SUFFIX));
    let Some(run) = std::env::var_os("NEXTEST_RUN_ID") else {
        build(&folder);
        return program;
    };
    let mut note = open(&folder.join(".streamz-built-for"));
    note.lock().unwrap();
    let mut built_for = String::new();
    note.read_to_string(&mut built_for).unwrap();
    if built_for.as_str() != run {
        build(&folder);
        note.set_len(0).unwrap();
        note.rewind().unwrap();
        note.write_all(run.as_encoded_bytes()).unwrap();
    }
    program
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

fn build(folder: &Path) {
    let profile = match folder.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        other => other,
    };
    let target = folder.parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "streamz",
            "--bin",
            "streamz",
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success(), "streamz could not be built");
}
