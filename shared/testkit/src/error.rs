//! Why a server did not start.

/// Why a server did not start.
#[derive(thiserror::Error)]
pub enum StartError {
    /// A program is not installed.
    #[error("{program} is not installed; run: apt-get install -y {package}")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The supervising shell could not be started or broke off.
    #[error("the server's supervising shell failed: {0}")]
    Supervisor(#[from] std::io::Error),
    /// The server refused; these are the last lines of its log.
    #[error("the server did not {order}:\n{log}")]
    Refused {
        /// What it was to do.
        order: String,
        /// Its log's end.
        log: String,
    },
}

/// In words: this is what an `unwrap` in a test shows.
impl std::fmt::Debug for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
