//! A coturn server.

use std::path::Path;

use crate::StartError;
use crate::programs::folder_of;
use crate::supervisor::{RunAs, Supervisor};

const PACKAGE: &str = "coturn";

// It is up when it says that it has the port. Everything is on loopback, where two who relay must be able to meet.
const SCRIPT: &str = r#"
pid=
while read -r order port; do
  case $order in
    start)
      : >"$dir/server.log"
      "$1/turnserver" -v -c "$config" --static-auth-secret="$secret" --listening-port "$port" \
        --listening-ip 127.0.0.1 --relay-ip 127.0.0.1 --allow-loopback-peers --allowed-peer-ip 127.0.0.1 \
        --userdb "$dir/turndb" --pidfile "$dir/pid" --log-file stdout </dev/null >"$dir/server.log" 2>&1 &
      pid=$!
      tries=0
      until grep -q "UDP listener opened on: 127.0.0.1:$port" "$dir/server.log" \
        && grep -q "(auth thread)" "$dir/server.log"; do
        tries=$((tries + 1))
        if [ $tries -ge 1000 ] || ! kill -0 "$pid"; then break; fi
        sleep 0.01
      done
      kill -0 "$pid" && grep -q "UDP listener opened on: 127.0.0.1:$port" "$dir/server.log" ;;
    *) false ;;
  esac >>"$dir/harness.log" 2>&1
  echo $?
done
if [ -n "$pid" ]; then kill -KILL "$pid"; wait "$pid"; fi
rm -rf "$dir"
"#;

/// A private coturn with `use-auth-secret`, on loopback; stopped when dropped, or when the process ends in any way.
pub struct Coturn {
    _supervisor: Supervisor,
    port: u16,
}

impl Coturn {
    /// Starts one with this file of settings, whose ports and addresses do not count, and a secret of letters, digits and
    /// dashes.
    ///
    /// # Errors
    /// [`StartError`]: coturn is not installed, or does not start.
    ///
    /// # Panics
    /// If the secret or the path of the file has other characters.
    pub fn start(settings: &Path, secret: &str) -> Result<Self, StartError> {
        let plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        let settings = settings.to_str().filter(|path| plain(path)).expect("a path of plain characters");
        assert!(plain(secret), "a secret of plain characters");
        let bin = folder_of("turnserver", PACKAGE, &[])?;
        let script = format!("config={settings}\nsecret={secret}\n{SCRIPT}");
        let supervisor = Supervisor::start(&script, &bin, &RunAs::Self_)?;
        let port = supervisor.start_on_free_port()?;
        Ok(Self { _supervisor: supervisor, port })
    }

    /// Its port on 127.0.0.1, UDP and TCP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}
