//! A child process that cannot outlive its test.
//!
//! It belongs to a small `sh`, which passes signals on by name and, when its input ends (the value is dropped, or the
//! test process exits, panics or is killed), kills the program.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::watch;

const SUPERVISOR: &str = r#"
trap '' INT TERM HUP
exec 3<&0
( trap - INT TERM HUP; exec "$@" ) </dev/null 3<&- >&2 &
pid=$!
echo "pid $pid"
( while read -r signal; do kill -s "$signal" "$pid"; done <&3; kill -s KILL "$pid" ) >/dev/null 2>&1 &
watcher=$!
wait "$pid"
code=$?
kill -s KILL "$watcher"
echo "exit $code"
"#;

/// A running program, its output and its end.
pub(crate) struct Process {
    supervisor: Child,
    signals: Option<ChildStdin>,
    pub(crate) pid: u32,
    output: watch::Receiver<Vec<String>>,
    exit: watch::Receiver<Option<i32>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `program` with these variables and no others but `PATH`, in `folder`.
    pub(crate) fn start<V: AsRef<OsStr>>(
        program: &Path,
        args: &[&str],
        variables: impl IntoIterator<Item = (String, V)>,
        folder: &Path,
    ) -> Self {
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "sh"])
            .arg(program)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(variables)
            .current_dir(folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let signals = supervisor.stdin.take();
        let mut control = BufReader::new(supervisor.stdout.take().unwrap());
        let mut first = String::new();
        control.read_line(&mut first).unwrap();
        let pid = first.trim().strip_prefix("pid ").and_then(|pid| pid.parse().ok());
        let pid = pid.unwrap_or_else(|| panic!("the supervisor said {first:?}"));
        let (said, output) = watch::channel(Vec::new());
        let log = BufReader::new(supervisor.stderr.take().unwrap());
        let read_log = move || {
            for line in log.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                said.send_modify(|lines| lines.push(line));
            }
        };
        let (ended, exit) = watch::channel(None);
        let read_exit = move || {
            for line in control.lines().map_while(Result::ok) {
                if let Some(code) = line.strip_prefix("exit ").and_then(|code| code.parse().ok()) {
                    ended.send_replace(Some(code));
                }
            }
        };
        let readers = vec![std::thread::spawn(read_log), std::thread::spawn(read_exit)];
        Self { supervisor, signals, pid, output, exit, readers }
    }

    /// Sends a signal: `TERM`, `KILL`, `STOP`, `CONT`.
    pub(crate) fn signal(&mut self, name: &str) {
        let signals = self.signals.as_mut().expect("the process was not dropped");
        writeln!(signals, "{name}").expect("the supervisor lives");
    }

    /// Waits for the end, and returns the status as the shell has it: 128 + N after signal N.
    pub(crate) async fn exit(&self) -> i32 {
        let mut exit = self.exit.clone();
        let code = exit.wait_for(Option::is_some).await.expect("the supervisor reports an end");
        code.expect("it waited for one")
    }

    /// Waits for a line for which `pick` has an answer; `None` if the program ended without one.
    pub(crate) async fn line<T>(&self, pick: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut output = self.output.clone();
        loop {
            let found = output.borrow_and_update().iter().find_map(|line| pick(line));
            if found.is_some() {
                return found;
            }
            output.changed().await.ok()?;
        }
    }

    /// What the program has printed.
    pub(crate) fn log(&self) -> String {
        self.output.borrow().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.signals.take());
        // Nothing to be done about a failure here.
        let _ = self.supervisor.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
            let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
            println!("--- the log of process {}:\n{}\n---", self.pid, self.log());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn sh(script: &str) -> Process {
        let none: [(String, String); 0] = [];
        Process::start(Path::new("/bin/sh"), &["-c", script], none, Path::new("/"))
    }

    fn alive(pid: u32) -> bool {
        PathBuf::from(format!("/proc/{pid}/exe")).exists()
    }

    #[tokio::test]
    async fn an_exit_status_and_the_output_are_reported() {
        let process = sh("echo one; echo two >&2; exit 3");
        assert_eq!(process.exit().await, 3);
        let two = process.line(|line| (line == "two").then_some(2)).await;
        assert_eq!((two, process.line(|line| (line == "three").then_some(3)).await), (Some(2), None));
    }

    #[tokio::test]
    async fn signals_reach_it() {
        let mut process = sh("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done");
        process.line(|line| (line == "ready").then_some(())).await.unwrap();
        process.signal("TERM");
        assert_eq!(process.exit().await, 7);
        let mut process = sh("echo ready; exec sleep 100");
        process.line(|line| (line == "ready").then_some(())).await.unwrap();
        process.signal("KILL");
        assert_eq!(process.exit().await, 128 + 9);
    }

    #[test]
    fn dropping_it_kills_it() {
        let process = sh("trap '' TERM; echo ready; exec sleep 100");
        let pid = process.pid;
        assert!(alive(pid));
        drop(process);
        assert!(!alive(pid));
    }
}
