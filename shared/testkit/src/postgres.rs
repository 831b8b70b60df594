//! A Postgres server.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::StartError;
use crate::programs::{debian_postgres_folders, folder_of};
use crate::supervisor::{RunAs, Supervisor};
use crate::tls::Authority;

const PACKAGE: &str = "postgresql";

// Nothing here need survive a power cut, but what was committed survives a crash of the server. `%d` lets a test find its own database in the log.
const SCRIPT: &str = r#"
while read -r order port; do
  case $order in
    init) "$1/initdb" -D "$dir/data" -A trust -U postgres --no-sync --no-locale -E UTF8 ;;
    start) "$1/pg_ctl" -D "$dir/data" -w -t 60 -l "$dir/server.log" -o "-p $port -c listen_addresses=127.0.0.1 \
      -c unix_socket_directories='' -c fsync=off -c full_page_writes=off \
      -c max_connections=300 -c authentication_timeout=10s -c shared_buffers=32MB -c autovacuum=off -c log_line_prefix='%d ' $more" start ;;
    stop) "$1/pg_ctl" -D "$dir/data" -w -m fast stop ;;
    crash) "$1/pg_ctl" -D "$dir/data" -w -m immediate stop ;;
    *) false ;;
  esac >>"$dir/harness.log" 2>&1
  echo $?
done
"$1/pg_ctl" -D "$dir/data" -w -m immediate stop >>"$dir/harness.log" 2>&1
rm -rf "$dir"
"#;

/// A private Postgres server; stopped and removed when dropped, or when the process ends in any way.
pub struct Postgres {
    supervisor: Supervisor,
    psql: PathBuf,
    port: u16,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts a server; takes about a second.
    ///
    /// # Errors
    /// [`StartError`]: Postgres is not installed, or does not start.
    pub fn start() -> Result<Self, StartError> {
        Self::start_script("more=\n")
    }

    /// Starts a server that speaks TLS to whoever asks for it, with a certificate of this authority for `localhost` and
    /// `127.0.0.1`.
    ///
    /// # Errors
    /// [`StartError`]: Postgres is not installed, or does not start.
    pub fn start_tls(authority: &Authority) -> Result<Self, StartError> {
        let more = "more=\"-c ssl=on -c ssl_cert_file=$dir/server.crt -c ssl_key_file=$dir/server.key\"\n";
        Self::start_script(&format!("{}{more}", authority.script()))
    }

    fn start_script(beginning: &str) -> Result<Self, StartError> {
        let folders = debian_postgres_folders();
        let bin = folder_of("pg_ctl", PACKAGE, &folders)?;
        folder_of("initdb", PACKAGE, &folders)?;
        let psql = folder_of("psql", PACKAGE, &folders)?.join("psql");
        let supervisor = Supervisor::start(&format!("{beginning}{SCRIPT}"), &bin, &RunAs::Postgres)?;
        supervisor.order("init")?;
        let port = supervisor.start_on_free_port()?;
        Ok(Self { supervisor, psql, port, databases: AtomicU32::new(0) })
    }

    /// The server that all tests of this process share. Do not stop it.
    ///
    /// # Panics
    /// If it does not start; the message says what to install.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().unwrap_or_else(|error| panic!("{error}")))
    }

    /// Makes an empty database and returns its URL.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The port it listens on, on 127.0.0.1; the same after [`start_again`](Self::start_again).
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The first of its processes, which starts all others; `None` while it is stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let file = std::fs::read_to_string(self.supervisor.file("data/postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok()
    }

    /// Runs SQL as the superuser, through `psql`, and returns what it prints (unaligned, rows only).
    ///
    /// # Panics
    /// If it fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(&self.psql)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database), "-c", sql])
            .output()
            .unwrap_or_else(|error| panic!("psql: {error}"));
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Stops the server; its connections are cut.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn stop(&self) {
        self.must("stop");
    }

    /// Stops the server as a crash does.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn crash(&self) {
        self.must("crash");
    }

    /// Starts the stopped server again, on its old port and with its data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&self) {
        self.must(&format!("start {}", self.port));
    }

    /// The server's log so far; each line begins with the database's name.
    #[must_use]
    pub fn log(&self) -> String {
        self.supervisor.log()
    }

    fn must(&self, order: &str) {
        self.supervisor.order(order).unwrap_or_else(|error| panic!("{error}"));
    }
}
