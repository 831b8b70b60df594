//! Where the servers' programs are.

use std::path::{Path, PathBuf};

use crate::StartError;

/// The folder with `program`: on the `PATH`, or among `others`, the last of which is preferred.
pub(crate) fn folder_of(
    program: &'static str,
    package: &'static str,
    others: &[PathBuf],
) -> Result<PathBuf, StartError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(others.iter().rev().cloned())
        .find(|folder| folder.join(program).is_file())
        .ok_or(StartError::Missing { program, package })
}

/// Debian keeps the servers of each major version apart and off the `PATH`; oldest first.
pub(crate) fn debian_postgres_folders() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(Path::new("/usr/lib/postgresql"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort();
    versions.into_iter().map(|(_, folder)| folder).collect()
}
