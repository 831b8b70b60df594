//! The program run as a command, to its end.

use std::path::Path;
use std::process::Output;

use tokio::process::Command;

use crate::binary;

/// Runs it in a folder, with these variables and no others. It ends with the future that waits for it.
///
/// # Panics
/// If it cannot be started.
pub async fn command(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(binary())
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(folder)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}
