//! Many devices that do nothing, in processes of their own: a process may have only so many open files.
//!
//! They acknowledge what they hear, answer heartbeats, and come back when their gateway is lost: with the full jitter of
//! the product's client, through another gateway, going on with their session.

use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

mod device;
mod worker;

pub(crate) use worker::serve_until_stdin_ends;

use crate::run::Failure;

/// Devices of one process of the crowd: below the usual limits on open files.
const DEVICES_EACH: usize = 9000;
/// How long a process of the crowd may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(240);

/// What the bench tells a process of the crowd, one line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Be these, too; answered when all are connected.
    Connect(Vec<Place>),
    /// Tell how it is.
    Report,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Connected,
    Failed(String),
    Report(Report),
}

/// A device of the crowd and where it connects.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) device: String,
    pub(crate) token: String,
    /// Where it connects first.
    pub(crate) home: String,
    /// Where it goes when it is lost there; none means back to the same.
    pub(crate) refuges: Vec<String>,
}

/// How the devices fared so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Connected now.
    pub(crate) online: u64,
    /// Each return of a device.
    pub(crate) returns: Vec<Return>,
    /// Attempts to return that failed, by what the device saw.
    pub(crate) refusals: BTreeMap<String, u64>,
    /// `device_offline` frames that arrived.
    pub(crate) offline_frames: u64,
}

/// A device that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Return {
    /// When it was welcomed: microseconds of the system's clock, for the bench is another process.
    pub(crate) at: u64,
    /// With its session.
    pub(crate) resumed: bool,
}

/// Microseconds of the system's clock.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The processes of the crowd.
#[derive(Default)]
pub(crate) struct Crowd {
    workers: Vec<Worker>,
    size: usize,
}

struct Worker {
    // Ends with its input.
    _child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    size: usize,
}

impl Crowd {
    /// How many devices it is.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// More devices; returns when all are connected.
    pub(crate) async fn connect(&mut self, places: Vec<Place>) -> Result<(), Failure> {
        let mut rest = places.into_iter().peekable();
        let mut asked = Vec::new();
        for number in 0.. {
            if rest.peek().is_none() {
                break;
            }
            if number == self.workers.len() {
                self.workers.push(Worker::start()?);
            }
            let worker = &mut self.workers[number];
            let room = DEVICES_EACH.saturating_sub(worker.size);
            let these: Vec<Place> = rest.by_ref().take(room).collect();
            if !these.is_empty() {
                worker.size += these.len();
                self.size += these.len();
                worker.tell(&Order::Connect(these)).await?;
                asked.push(number);
            }
        }
        for number in asked {
            match self.workers[number].answer().await? {
                Answer::Connected => {}
                Answer::Failed(why) => return Err(Failure::Wrong(why)),
                Answer::Report(_) => return Err(confused()),
            }
        }
        Ok(())
    }

    /// How all of it fared.
    pub(crate) async fn report(&mut self) -> Result<Report, Failure> {
        let mut all = Report::default();
        for worker in &mut self.workers {
            worker.tell(&Order::Report).await?;
        }
        for worker in &mut self.workers {
            let Answer::Report(one) = worker.answer().await? else { return Err(confused()) };
            all.online += one.online;
            all.returns.extend(one.returns);
            all.offline_frames += one.offline_frames;
            for (what, count) in one.refusals {
                *all.refusals.entry(what).or_default() += count;
            }
        }
        Ok(all)
    }
}

impl Worker {
    fn start() -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "crowd"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let (orders, answers) = child.stdin.take().zip(child.stdout.take()).ok_or_else(confused)?;
        Ok(Self { _child: child, orders, answers: BufReader::new(answers).lines(), size: 0 })
    }

    async fn tell(&mut self, order: &Order) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(order).map_err(io::Error::from)?;
        line.push(b'\n');
        self.orders.write_all(&line).await?;
        Ok(())
    }

    async fn answer(&mut self) -> Result<Answer, Failure> {
        let line = timeout(ANSWER_WITHIN, self.answers.next_line()).await;
        let line =
            line.map_err(|_| Failure::Wrong("a process of the crowd does not answer".to_owned()))??;
        let line = line.ok_or_else(|| Failure::Wrong("a process of the crowd has ended".to_owned()))?;
        Ok(serde_json::from_str(&line).map_err(io::Error::from)?)
    }
}

fn confused() -> Failure {
    Failure::Wrong("a process of the crowd answers something else".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_answers_are_lines() {
        let place =
            Place { device: "d".into(), token: "t".into(), home: "h:1".into(), refuges: vec!["r:1".into()] };
        let line = serde_json::to_string(&Order::Connect(vec![place])).unwrap();
        assert!(!line.contains('\n'));
        let Order::Connect(places) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!((&*places[0].home, places[0].refuges.len()), ("h:1", 1));
        let report =
            Report { online: 3, returns: vec![Return { at: 1, resumed: true }], ..Report::default() };
        let line = serde_json::to_string(&Answer::Report(report)).unwrap();
        let Answer::Report(report) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!((report.online, report.returns[0].resumed), (3, true));
    }
}
