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
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    versions.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_an_error_that_names_the_command() {
        let missing = folder_of("no-such-server", "some-package", &[]).unwrap_err();
        // `unwrap` shows the debug form, `panic!` the other.
        for shown in [format!("{missing:?}"), missing.to_string()] {
            assert_eq!(shown, "no-such-server is not installed; run: apt-get install -y some-package");
        }
    }

    #[test]
    fn a_program_is_found_on_the_path_and_elsewhere() {
        assert!(folder_of("sh", "dash", &[]).unwrap().join("sh").is_file());
        let folder = std::env::current_exe().unwrap();
        let folder = folder.parent().unwrap().to_owned();
        let others = [PathBuf::from("/nonexistent"), folder.clone()];
        let name: &'static str =
            std::env::current_exe().unwrap().file_name().unwrap().to_str().unwrap().to_owned().leak();
        assert_eq!(folder_of(name, "none", &others).unwrap(), folder);
    }
}
