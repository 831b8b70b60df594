//! One process of a running Streamz.

use std::collections::BTreeMap;
use std::path::Path;

use crate::binary::binary;
use crate::http::Http;
use crate::process::Process;
use crate::scenario::{eventually, soon};

/// Where a process runs, if not simply here: in a network namespace, say.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// A program that starts it, with its arguments: `ip netns exec NAME`.
    pub through: Vec<String>,
    /// Variables that are different there.
    pub variables: BTreeMap<String, String>,
}

/// A running `streamz` in one role. Dropped, it is killed.
pub struct Member {
    role: Option<&'static str>,
    place: Place,
    process: Process,
    url: String,
}

impl Member {
    /// Starts one in a role (`None`: everything in one process), and waits until it listens.
    ///
    /// # Panics
    /// If it does not; its log is shown.
    pub(crate) async fn start(
        role: Option<&'static str>,
        mut variables: BTreeMap<String, String>,
        folder: &Path,
        place: Place,
    ) -> Self {
        variables.extend(place.variables.clone());
        let program = binary().to_str().unwrap();
        let mut words: Vec<&str> = place.through.iter().map(String::as_str).collect();
        words.extend(std::iter::once(program).chain(role));
        let process = Process::start(Path::new(words[0]), &words[1..], variables, folder);
        let Some(url) = soon(process.line(listening)).await else {
            panic!("streamz {} did not start:\n{}", role.unwrap_or_default(), process.log());
        };
        Self { role, place, process, url }
    }

    /// The same again, on the same port.
    pub(crate) async fn start_again(&mut self, mut variables: BTreeMap<String, String>, folder: &Path) {
        let port = self.url.rsplit(':').next().unwrap().to_owned();
        variables.insert("PORT".into(), port);
        *self = Self::start(self.role, variables, folder, self.place.clone()).await;
    }

    /// `http://127.0.0.1:PORT`: the API of a gateway, the operations of a node.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its memory in bytes: the resident set.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }

    /// How many files it may have open.
    #[must_use]
    pub fn open_files(&self) -> u64 {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.process.pid)).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    pub fn signal(&mut self, name: &str) {
        self.process.signal(name);
    }

    /// Kills it.
    pub async fn kill(&mut self) {
        self.process.signal("KILL");
        assert_eq!(soon(self.process.exit()).await, 128 + 9);
    }

    /// Waits for an orderly end.
    ///
    /// # Panics
    /// If it ends with another status than 0.
    pub async fn ended(&self) {
        self.ends_with(0).await;
    }

    /// Waits for its end with this status.
    ///
    /// # Panics
    /// If it is another one.
    pub async fn ends_with(&self, expected: i32) {
        let code = soon(self.process.exit()).await;
        assert_eq!(code, expected, "streamz ended otherwise:\n{}", self.process.log());
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// If it ends with another status than 0.
    pub async fn stop(&mut self) {
        self.signal("TERM");
        self.ended().await;
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        self.answers("/ready").await;
    }

    /// Waits until it answers this path with 200.
    pub(crate) async fn answers(&self, path: &str) {
        // Whose certificate is to be trusted, only the test knows; what is printed is printed by a server that serves.
        if self.url.starts_with("https://") {
            return;
        }
        let http = Http::new(&self.url);
        eventually(|| async { (http.get(path).await.status == 200).then_some(()) }).await;
    }
}

/// The line that says where it listens.
fn listening(line: &str) -> Option<String> {
    let rest = &line[["http://", "https://"].iter().find_map(|scheme| line.find(scheme))?..];
    let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == '\u{1b}').unwrap_or(rest.len());
    let url = rest[..end].trim_end_matches(['/', '.', ',']).replace("0.0.0.0", "127.0.0.1");
    let address = url.split("://").nth(1)?;
    address.parse::<std::net::SocketAddrV4>().is_ok().then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_ready_line() {
        let found = listening("  Listening on http://127.0.0.1:8080/, try it");
        assert_eq!(found.as_deref(), Some("http://127.0.0.1:8080"));
        let found = listening("Streamz 0.1.0 listens on https://0.0.0.0:8443");
        assert_eq!(found.as_deref(), Some("https://127.0.0.1:8443"));
        assert_eq!(listening("listening"), None);
        assert_eq!(listening("see http://example.org:80"), None);
    }
}
