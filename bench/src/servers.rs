//! The processes under load, each started, watched and ended here.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::process::{ProcessError, Processes};

/// How long a server may take until it answers.
pub(crate) const START_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to end in order.
pub(crate) const END_WITHIN: Duration = Duration::from_secs(10);
/// Between two questions whether it is there: small beside what a start takes.
const ASK_EVERY: Duration = Duration::from_micros(250);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("{} could not be started: {source}", program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("{} ended instead of serving: {log}", program.display())]
    Ended { program: PathBuf, log: String },
    #[error("{} did not answer within {} s: {log}", program.display(), START_WITHIN.as_secs())]
    Silent { program: PathBuf, log: String },
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the address {0} is none of the kind http://host:port")]
    Address(String),
}

/// Something to put load on.
pub(crate) struct Server {
    /// Host and port.
    pub(crate) address: String,
    /// None if its processes are not ours to look at.
    pub(crate) processes: Processes,
    child: Option<Child>,
}

/// A server of our own: a program, a folder, a secret.
pub(crate) struct Own {
    pub(crate) program: PathBuf,
    folder: TempDir,
    pub(crate) secret: SecretString,
    hub_idle: Duration,
}

impl Own {
    pub(crate) fn new(program: PathBuf, hub_idle: Duration) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("streamz-bench.").tempdir()?;
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        Ok(Self { program, folder, secret: secret.into(), hub_idle })
    }

    /// Where its database will be.
    pub(crate) fn database(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("streamz.db").display())
    }

    /// Starts it, and tells how long it took until it answered `GET /health`.
    ///
    /// Everything is as it is by default, except the limits of messages and sign-ins: they are there to hold off what
    /// is measured here.
    pub(crate) async fn start(&self) -> Result<(Server, Duration), ServerError> {
        let port = free_port()?;
        let log_path = self.folder.path().join("server.log");
        let log = std::fs::File::create(&log_path)?;
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("HOST", "127.0.0.1")
            .env("PORT", port.to_string())
            .env("DATA_DIR", self.folder.path())
            .env("JWT_SECRET", self.secret.expose_secret())
            .env("MESSAGES_PER_SECOND", "100000")
            .env("MESSAGE_BURST", "100000")
            .env("LOGINS_PER_MINUTE", "10000")
            .env("HUB_IDLE", format!("{}ms", self.hub_idle.as_millis()))
            // A .env file of whoever started the bench is not meant.
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let spawn = |source| ServerError::Spawn { program: self.program.clone(), source };
        let began = Instant::now();
        let mut child = command.spawn().map_err(spawn)?;
        let address = format!("127.0.0.1:{port}");
        let program = || self.program.clone();
        let log = || tail(&log_path);
        loop {
            if is_healthy(&address).await {
                break;
            }
            if child.try_wait()?.is_some() {
                return Err(ServerError::Ended { program: program(), log: log() });
            }
            if began.elapsed() > START_WITHIN {
                return Err(ServerError::Silent { program: program(), log: log() });
            }
            sleep(ASK_EVERY).await;
        }
        let took = began.elapsed();
        Ok((Server::of(address, child), took))
    }
}

impl Server {
    fn of(address: String, child: Child) -> Self {
        let processes = Processes(child.id().into_iter().collect());
        Self { address, processes, child: Some(child) }
    }

    /// A bare forwarder, from this very program.
    pub(crate) async fn forwarder() -> Result<Self, ServerError> {
        let (mut server, line) = Self::role("forwarder", "").await?;
        match line.trim().parse::<u16>() {
            Ok(port) => {
                server.address = format!("127.0.0.1:{port}");
                Ok(server)
            }
            Err(_) => Err(ServerError::Ended { program: std::env::current_exe()?, log: line }),
        }
    }

    /// A bare hop over the Redis at `url`, from this very program. It has no address.
    pub(crate) async fn hop(url: &str) -> Result<Self, ServerError> {
        let (server, line) = Self::role("hop", &format!("{url}\n")).await?;
        match line.trim() {
            "ready" => Ok(server),
            _ => Err(ServerError::Ended { program: std::env::current_exe()?, log: line }),
        }
    }

    /// A hidden role of this program, and the first line that it prints.
    async fn role(role: &str, input: &str) -> Result<(Self, String), ServerError> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(&program);
        command
            .args(["bench", role])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let spawn = |source| ServerError::Spawn { program: program.clone(), source };
        let mut child = command.spawn().map_err(spawn)?;
        if let Some(stdin) = &mut child.stdin {
            stdin.write_all(input.as_bytes()).await?;
        }
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut stdout = BufReader::new(stdout);
            let read = stdout.read_line(&mut line);
            let silent =
                |_| ServerError::Silent { program: program.clone(), log: "it says nothing".to_owned() };
            timeout(START_WITHIN, read).await.map_err(silent)??;
        }
        Ok((Self::of(String::new(), child), line))
    }

    /// A deployment that runs, on these processes of this machine.
    pub(crate) fn running(url: &str, pids: &[u32]) -> Result<Self, ServerError> {
        let address = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        match address {
            Some(address) if address.contains(':') && !address.contains(['/', '@', '?']) => {
                Ok(Self { address: address.to_owned(), processes: Processes(pids.to_vec()), child: None })
            }
            _ => Err(ServerError::Address(url.to_owned())),
        }
    }

    /// Its address for the HTTP API.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until it does nothing any more, for some seconds at most.
    pub(crate) async fn quiet(&self) -> Result<(), ProcessError> {
        const LOOK_EVERY: Duration = Duration::from_millis(50);
        /// What timers and heartbeats may take meanwhile.
        const NOTHING: Duration = Duration::from_millis(1);
        let mut before = self.processes.cpu()?;
        let mut quiet = 0;
        for _ in 0..100 {
            sleep(LOOK_EVERY).await;
            let now = self.processes.cpu()?;
            quiet = if now.since(&before) <= NOTHING { quiet + 1 } else { 0 };
            before = now;
            if quiet == 2 {
                break;
            }
        }
        Ok(())
    }

    /// Ends it, if it is ours, as a supervisor would.
    pub(crate) async fn end(mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        drop(child.stdin.take());
        signal(&child, Signal::TERM)?;
        match timeout(END_WITHIN, child.wait()).await {
            Ok(status) => status.map(drop),
            Err(_) => child.kill().await,
        }
    }
}

/// Sends a signal to a child, if it has not ended.
pub(crate) fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    match child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        Some(pid) => Ok(kill_process(pid, signal)?),
        None => Ok(()),
    }
}

/// The system names one; for a moment another process could take it.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

async fn is_healthy(address: &str) -> bool {
    answers(address, "/health").await
}

/// Whether `GET` of this path is answered with 200.
pub(crate) async fn answers(address: &str, path: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        Ok::<_, io::Error>(status == *b"HTTP/1.1 200")
    };
    ask.await.unwrap_or(false)
}

/// The end of a log, for an error.
pub(crate) fn tail(path: &Path) -> String {
    let log = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_an_address() {
        let server = Server::running("http://127.0.0.1:8080/", &[1, 2]).unwrap();
        assert_eq!((&*server.address, &*server.url()), ("127.0.0.1:8080", "http://127.0.0.1:8080"));
        assert_eq!(server.processes.0, [1, 2]);
        for bad in ["", "127.0.0.1:8080", "https://h:1", "http://h", "http://h:1/x", "http://u@h:1"] {
            assert!(Server::running(bad, &[]).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_program_that_ends_is_reported_with_what_it_said() {
        let own = Own::new("/bin/false".into(), Duration::from_secs(1)).unwrap();
        assert!(matches!(own.start().await, Err(ServerError::Ended { .. })));
        let own = Own::new("/nowhere".into(), Duration::from_secs(1)).unwrap();
        assert!(matches!(own.start().await, Err(ServerError::Spawn { .. })));
    }
}
