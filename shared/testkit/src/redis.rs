//! A Redis server.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::StartError;
use crate::programs::folder_of;
use crate::supervisor::{RunAs, Supervisor};
use crate::tls::Authority;

const PACKAGE: &str = "redis-server";

// It is up when the server on the port says that it is this process: another one may have taken the port.
const SCRIPT: &str = r#"
if [ -n "$password" ]; then export REDISCLI_AUTH="$password"; fi
cli() { redis-cli ${tls:+--tls --cacert "$dir/ca.crt"} -p "$1" info server </dev/null; }
pid=
while read -r order port; do
  case $order in
    start)
      plain=$port
      if [ -n "$tls" ]; then plain=0; fi
      "$1/redis-server" "$dir/server.conf" --port "$plain" --bind 127.0.0.1 --save '' --appendonly no --dir "$dir" \
        --logfile "$dir/server.log" --daemonize no ${password:+--requirepass "$password"} \
        ${tls:+--tls-port "$port" --tls-cert-file "$dir/server.crt" --tls-key-file "$dir/server.key" \
        --tls-ca-cert-file "$dir/ca.crt" --tls-auth-clients no} </dev/null &
      pid=$!
      tries=0
      until cli "$port" | grep -q "^process_id:$pid"; do
        tries=$((tries + 1))
        if [ $tries -ge 1000 ] || ! kill -0 "$pid"; then break; fi
        sleep 0.01
      done
      cli "$port" | grep -q "^process_id:$pid" ;;
    stop) kill -CONT "$pid"; kill -KILL "$pid"; wait "$pid"; pid=; true ;;
    pause) kill -STOP "$pid" ;;
    resume) kill -CONT "$pid" ;;
    *) false ;;
  esac >>"$dir/harness.log" 2>&1
  echo $?
done
if [ -n "$pid" ]; then kill -KILL "$pid"; wait "$pid"; fi
rm -rf "$dir"
"#;

/// A private Redis server that keeps nothing on disk; stopped when dropped, or when the process ends in any way.
pub struct Redis {
    supervisor: Supervisor,
    cli: PathBuf,
    port: u16,
    password: &'static str,
    tls: bool,
}

/// How a server is to differ from a plain one.
#[derive(Default)]
pub struct RedisOptions<'a> {
    /// Of the user `default`, who may do everything; letters and digits. The empty one is none.
    pub password: &'static str,
    /// Other users, in the words of Redis' ACL: a name, then rules.
    pub users: &'a [&'a str],
    /// It speaks TLS and nothing else, with a certificate of this authority for `localhost` and `127.0.0.1`.
    pub tls: Option<&'a Authority>,
}

impl Redis {
    /// Starts a server; takes some 30 ms.
    ///
    /// # Errors
    /// [`StartError`]: Redis is not installed, or does not start.
    pub fn start() -> Result<Self, StartError> {
        Self::start_with_password("")
    }

    /// Starts a server that wants this password, of letters and digits; the empty one is none.
    ///
    /// # Errors
    /// [`StartError`]: Redis is not installed, or does not start.
    ///
    /// # Panics
    /// If the password has other characters.
    pub fn start_with_password(password: &'static str) -> Result<Self, StartError> {
        Self::start_with(&RedisOptions { password, ..RedisOptions::default() })
    }

    /// Starts a server of another kind.
    ///
    /// # Errors
    /// [`StartError`]: Redis is not installed, or does not start.
    ///
    /// # Panics
    /// If the password has other characters than letters and digits.
    pub fn start_with(options: &RedisOptions<'_>) -> Result<Self, StartError> {
        let RedisOptions { password, users, tls } = options;
        assert!(password.bytes().all(|byte| byte.is_ascii_alphanumeric()), "letters and digits");
        let bin = folder_of("redis-server", PACKAGE, &[])?;
        let cli = folder_of("redis-cli", PACKAGE, &[])?.join("redis-cli");
        let certificate = tls.map(Authority::script).unwrap_or_default();
        let users: String = users.iter().map(|user| format!("user {user}\n")).collect();
        let users = format!("cat >\"$dir/server.conf\" <<'EOF'\n{users}EOF\n");
        let tls = if tls.is_some() { "yes" } else { "" };
        let script = format!("password={password}\ntls={tls}\n{certificate}{users}{SCRIPT}");
        let supervisor = Supervisor::start(&script, &bin, &RunAs::Self_)?;
        let port = supervisor.start_on_free_port()?;
        Ok(Self { supervisor, cli, port, password, tls: !tls.is_empty() })
    }

    /// The server that all tests of this process share. Do not stop or pause it.
    ///
    /// # Panics
    /// If it does not start; the message says what to install.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().unwrap_or_else(|error| panic!("{error}")))
    }

    /// Its URL, with the password if it has one.
    #[must_use]
    pub fn url(&self) -> String {
        let login = if self.password.is_empty() { String::new() } else { format!(":{}@", self.password) };
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://{login}127.0.0.1:{}/", self.port)
    }

    /// Runs a command through `redis-cli` and returns what it prints.
    ///
    /// # Panics
    /// If it fails.
    pub fn command(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.cli);
        if !self.password.is_empty() {
            command.env("REDISCLI_AUTH", self.password);
        }
        if self.tls {
            command.arg("--tls").arg("--cacert").arg(self.supervisor.file("ca.crt"));
        }
        let output = command
            .args(["-p", &self.port.to_string()])
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("redis-cli: {error}"));
        let printed = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        assert!(output.status.success(), "{arguments:?}: {printed}");
        printed
    }

    /// The port it listens on, on 127.0.0.1; the same after [`start_again`](Self::start_again).
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server; its connections are cut.
    ///
    /// # Panics
    /// If that fails.
    pub fn stop(&self) {
        self.must("stop");
    }

    /// Starts the stopped server again, on its old port.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&self) {
        self.must(&format!("start {}", self.port));
    }

    /// Makes the server silent: its connections stay open, nothing is answered.
    ///
    /// # Panics
    /// If that fails.
    pub fn pause(&self) {
        self.must("pause");
    }

    /// Ends a [`pause`](Self::pause).
    ///
    /// # Panics
    /// If that fails.
    pub fn resume(&self) {
        self.must("resume");
    }

    fn must(&self, order: &str) {
        self.supervisor.order(order).unwrap_or_else(|error| panic!("{error}"));
    }
}
