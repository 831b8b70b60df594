//! A shell that outlives its parent just long enough to clean up after it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::StartError;

/// How much of a log an error shows.
const LOG_LINES: usize = 20;

/// Who the server runs as.
pub(crate) enum RunAs {
    /// Whoever runs the tests.
    Self_,
    /// The user `postgres` if root runs the tests (Postgres refuses root), else whoever runs them.
    Postgres,
}

/// A running shell with a folder of its own. Its script reads orders, one a line, answers each with a line that holds
/// an exit status, and cleans up at the end of its input.
pub(crate) struct Supervisor {
    folder: PathBuf,
    shell: Mutex<Shell>,
}

struct Shell {
    child: Child,
    /// Closed to end the shell.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Runs `script` after a common beginning, which makes the folder `$dir`; `$1` is `bin`, the folder of the programs.
    pub(crate) fn start(script: &str, bin: &Path, run_as: &RunAs) -> Result<Self, StartError> {
        // Ctrl-C goes to the tests; the shell ends when they do.
        const BEGINNING: &str = "trap '' INT TERM HUP\n\
             dir=$(mktemp -d \"${TMPDIR:-/tmp}/streamz-test.XXXXXX\") || exit 1\n\
             echo \"$dir\"\n";
        let mut command = match run_as {
            RunAs::Postgres if is_root()? => {
                let mut command = Command::new("runuser");
                // A folder of root's would be closed to it.
                command.args(["-u", "postgres", "--", "sh"]).env_remove("TMPDIR");
                command
            }
            RunAs::Postgres | RunAs::Self_ => Command::new("sh"),
        };
        let mut child = command
            .arg("-c")
            .arg(format!("{BEGINNING}{script}"))
            .arg("streamz-testkit")
            .arg(bin)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let orders = child.stdin.take();
        let answers = child.stdout.take().ok_or_else(broken)?;
        let mut shell = Shell { child, orders, answers: BufReader::new(answers) };
        let folder = PathBuf::from(shell.answer()?);
        Ok(Self { folder, shell: Mutex::new(shell) })
    }

    /// A file in the server's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The server's log so far.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.file("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Gives an order and waits until it is carried out.
    pub(crate) fn order(&self, order: &str) -> Result<(), StartError> {
        // A test that panicked while it held the lock left no order half given.
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let orders = shell.orders.as_mut().ok_or_else(broken)?;
        writeln!(orders, "{order}")?;
        if shell.answer()? == "0" {
            return Ok(());
        }
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let log = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        Err(StartError::Refused { order: order.to_owned(), log })
    }

    /// Gives `start PORT` with free ports until the server has one. Another process may take a port between the search
    /// and the server's own bind.
    pub(crate) fn start_on_free_port(&self) -> Result<u16, StartError> {
        const ATTEMPTS: usize = 5;
        let mut attempt = 1;
        loop {
            let port = free_port()?;
            match self.order(&format!("start {port}")) {
                Ok(()) => return Ok(port),
                Err(StartError::Refused { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        shell.orders = None;
        // Nothing to be done about a failure here.
        let _ = shell.child.wait();
    }
}

impl Shell {
    fn answer(&mut self) -> Result<String, StartError> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(broken().into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

fn broken() -> std::io::Error {
    std::io::Error::other("it ended by itself")
}

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn is_root() -> std::io::Result<bool> {
    Ok(Command::new("id").arg("-u").output()?.stdout.trim_ascii() == b"0")
}
