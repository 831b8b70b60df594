//! How long people wait while a node is killed, drained or added, with messages between their devices all the while.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use streamz_protocol::UserId;

use super::deployment::{Cluster, wrong};
use super::relay::{close, connect};
use crate::latency::Latencies;
use crate::peer::Dialect;
use crate::plan::LOAD_PAIRS;
use crate::report::{Budget, Rounds, Row, Unit};
use crate::run::{Bench, Failure};
use crate::traffic::{self, Link, Pace, Tally, Trip};

const KILLED: &str = "A node is killed (SIGKILL): its users";
const DRAINED: &str = "A node is drained (SIGTERM): its users";
const ADDED: &str = "A node is added: the users that move to it";
/// Messages a second from all pairs together: each sends every 50 ms.
const LOAD: u32 = LOAD_PAIRS as u32 * 20;
/// How long there is traffic before it happens.
const BEFORE: Duration = Duration::from_millis(700);
/// How long there is traffic at all.
const AROUND: Duration = Duration::from_millis(3500);

pub(super) fn steps(failovers: usize) -> usize {
    failovers * 3
}

/// What people waited for, over all repetitions.
#[derive(Default)]
struct Waits {
    /// From the event to the arrival of the first message that was sent after it.
    next: Vec<Duration>,
    /// The longest delay of a message of each user.
    longest: Vec<Duration>,
    /// The longest of each repetition, for users whose node was another one.
    others: Vec<Duration>,
    /// Messages, and those that were not confirmed, by what their sender was told instead.
    messages: u64,
    reasons: BTreeMap<String, u64>,
}

pub(super) async fn measure(bench: &mut Bench, cluster: &mut Cluster<'_>, failovers: usize) {
    if cluster.nodes.len() < 2 {
        bench.notes.push("No pauses: with one node nobody takes over; give --nodes 2 or more.".to_owned());
        return;
    }
    let pairs = bench.accounts.pairs(LOAD_PAIRS);
    cluster.redis_is_a_witness().await;
    let links = bench.attempt(KILLED, connect(cluster, Dialect::V1, &pairs)).await;
    let Some(mut links) = links else { return };
    let (mut killed, mut drained, mut added) = (Waits::default(), Waits::default(), Waits::default());
    let mut drains = Rounds::default();
    for number in 0..failovers {
        bench.progress.step("a node is killed");
        // The oldest: every second one coordinates, for nodes are replaced in turn.
        let Some(back) = bench.attempt(KILLED, kill(cluster, links, &mut killed)).await else { return };
        links = back;
        bench.progress.step("a node is added");
        let Some(back) = bench.attempt(ADDED, add(cluster, links, &mut added)).await else { return };
        links = back;
        bench.progress.step("a node is drained");
        let Some((back, took)) = bench.attempt(DRAINED, drain(cluster, links, &mut drained)).await else {
            return;
        };
        links = back;
        drains.add(true, Some(took.as_secs_f64() * 1e3), 1);
        if number + 1 < failovers {
            let refill = async {
                cluster.add_node()?.ready().await?;
                cluster.settled().await
            };
            let refilled = refill.await;
            if bench.attempt(ADDED, async { refilled }).await.is_none() {
                return;
            }
        }
    }
    close(links).await;
    let second = Some(Budget::AtMost(1000.0));
    bench.rows.extend(quantiles(KILLED, "to the next message that arrives", &killed.next, second));
    bench.rows.extend(quantiles(KILLED, "longest delay of a message", &killed.longest, None));
    bench.rows.push(most(KILLED, "longest delay, users of other nodes", &killed.others));
    unconfirmed(bench, KILLED, &killed);
    let pause = Some(Budget::AtMost(50.0));
    bench.rows.extend(quantiles(DRAINED, "longest delay of a message", &drained.longest, pause));
    bench.rows.push(most(DRAINED, "longest delay, users of other nodes", &drained.others));
    let ten_seconds = Some(Budget::AtMost(10_000.0));
    bench.rows.push(drains.row(DRAINED, "from the signal to its end", Unit::Millis, ten_seconds));
    unconfirmed(bench, DRAINED, &drained);
    bench.rows.extend(quantiles(ADDED, "longest delay of a message", &added.longest, pause));
    unconfirmed(bench, ADDED, &added);
    bench.notes.push(format!(
        "Pauses: {LOAD_PAIRS} users with two devices on different gateways, a message of 900 bytes with id every 50 ms \
         from each; {failovers} repetitions; every message arrived, once, and had one outcome. Quantiles are over users \
         and repetitions."
    ));
}

/// A message on its way when its hub is lost may have the outcome `expired`, though it arrived.
fn unconfirmed(bench: &mut Bench, part: &'static str, waits: &Waits) {
    let mut rounds = Rounds::default();
    rounds.add(true, Some(waits.reasons.values().sum::<u64>() as f64), waits.messages);
    let name = format!("not confirmed, of {} messages", waits.messages);
    bench.rows.push(rounds.row(part, name, Unit::Count, None));
    if !waits.reasons.is_empty() {
        bench.notes.push(format!(
            "{part}: messages that arrived and were not confirmed, by what their sender was told: {:?}.",
            waits.reasons
        ));
    }
}

/// The traffic around an event.
struct Around {
    trips: Vec<Trip>,
    at: Instant,
    messages: u64,
    reasons: BTreeMap<String, u64>,
}

/// Lets `event` happen in the middle of traffic.
async fn around<T>(
    links: Vec<Link>,
    event: impl Future<Output = Result<T, Failure>>,
) -> Result<(Vec<Link>, Around, T), Failure> {
    let traffic = traffic::run_noting(links, true, Pace::Load(LOAD), AROUND, true);
    let happening = async {
        tokio::time::sleep(BEFORE).await;
        let at = Instant::now();
        Ok::<_, Failure>((at, event.await?))
    };
    let (traffic, happened) = tokio::join!(traffic, happening);
    let ((at, done), (links, tally)) = (happened?, traffic?);
    if tally.received != tally.sent || tally.delivered + tally.refused != tally.sent {
        return Err(wrong(format!(
            "of {} messages {} arrived, {} were confirmed and {} refused",
            tally.sent, tally.received, tally.delivered, tally.refused
        )));
    }
    let Tally { sent: messages, trips, reasons, .. } = tally;
    Ok((links, Around { trips, at, messages, reasons }, done))
}

async fn owners(cluster: &Cluster<'_>, links: &[Link]) -> Result<HashMap<UserId, String>, Failure> {
    cluster.owners(links.iter().filter_map(Link::user)).await
}

async fn kill(cluster: &mut Cluster<'_>, links: Vec<Link>, waits: &mut Waits) -> Result<Vec<Link>, Failure> {
    let owners = owners(cluster, &links).await?;
    let name = cluster.name_of(0);
    let victim = cluster.nodes.remove(0);
    let (links, around, ()) = around(links, async { Ok(victim.kill().await?) }).await?;
    waits.note(&around, |user| owners.get(&user) == Some(&name));
    cluster.settled().await?;
    Ok(links)
}

async fn drain(
    cluster: &mut Cluster<'_>,
    links: Vec<Link>,
    waits: &mut Waits,
) -> Result<(Vec<Link>, Duration), Failure> {
    let owners = owners(cluster, &links).await?;
    let name = cluster.name_of(0);
    let victim = cluster.nodes.remove(0);
    let (links, around, took) = around(links, victim.drain()).await?;
    waits.note(&around, |user| owners.get(&user) == Some(&name));
    cluster.settled().await?;
    Ok((links, took))
}

async fn add(cluster: &mut Cluster<'_>, links: Vec<Link>, waits: &mut Waits) -> Result<Vec<Link>, Failure> {
    let before = owners(cluster, &links).await?;
    let event = async {
        cluster.add_node()?.ready().await?;
        cluster.settled().await
    };
    let (links, around, ()) = around(links, event).await?;
    let after = owners(cluster, &links).await?;
    waits.note(&around, |user| before.get(&user) != after.get(&user));
    Ok(links)
}

impl Waits {
    fn note(&mut self, around: &Around, concerned: impl Fn(UserId) -> bool) {
        let mut users: HashMap<UserId, (Option<Duration>, Duration)> = HashMap::new();
        for trip in &around.trips {
            let arrived = trip.sent + trip.took;
            if arrived < around.at {
                continue;
            }
            let (next, longest) = users.entry(trip.user).or_default();
            *longest = trip.took.max(*longest);
            if let Some(sent_after) = trip.sent.checked_duration_since(around.at) {
                let wait = sent_after + trip.took;
                *next = Some(next.map_or(wait, |next| next.min(wait)));
            }
        }
        let mut others = Duration::ZERO;
        for (user, (next, longest)) in users {
            if concerned(user) {
                self.next.extend(next);
                self.longest.push(longest);
            } else {
                others = others.max(longest);
            }
        }
        self.others.push(others);
        self.messages += around.messages;
        for (reason, count) in &around.reasons {
            *self.reasons.entry(reason.clone()).or_default() += count;
        }
    }
}

/// p50 and p99 in milliseconds; the budget is for the latter.
fn quantiles(part: &'static str, name: &str, waits: &[Duration], budget: Option<Budget>) -> [Row; 2] {
    let mut all = Latencies::new();
    waits.iter().for_each(|wait| all.record(*wait));
    let row = |quantile, word, budget| {
        let mut rounds = Rounds::default();
        rounds.add(true, all.micros(quantile).map(|micros| micros / 1e3), all.count());
        let row = rounds.row(part, format!("{name}, {word}"), Unit::Millis, budget);
        Row { range: range(waits), ..row }
    };
    [row(0.5, "p50", None), row(0.99, "p99", budget)]
}

fn most(part: &'static str, name: &str, waits: &[Duration]) -> Row {
    let mut rounds = Rounds::default();
    let most = range(waits).map(|(_, most)| most);
    rounds.add(true, most, waits.len() as u64);
    Row { range: range(waits), ..rounds.row(part, name, Unit::Millis, None) }
}

fn range(waits: &[Duration]) -> Option<(f64, f64)> {
    let millis = |wait: Duration| wait.as_secs_f64() * 1e3;
    Some((millis(*waits.iter().min()?), millis(*waits.iter().max()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_the_wait_of_whom_it_concerns() {
        let (mine, other) = (UserId(uuid::Uuid::from_u128(1)), UserId(uuid::Uuid::from_u128(2)));
        let began = Instant::now();
        let trip = |user, sent, took| Trip {
            user,
            sent: began + Duration::from_millis(sent),
            took: Duration::from_millis(took),
        };
        let trips = vec![
            trip(mine, 0, 90),    // Over before it happens.
            trip(mine, 98, 600),  // On its way when it happens.
            trip(mine, 150, 555), // The first that was sent after it, and
            trip(mine, 200, 503), // the first of those to arrive.
            trip(other, 100, 2),
        ];
        let at = began + Duration::from_millis(100);
        let around = Around { trips, at, messages: 5, reasons: BTreeMap::from([("expired".to_owned(), 1)]) };
        let mut waits = Waits::default();
        waits.note(&around, |user| user == mine);
        assert_eq!(waits.longest, [Duration::from_millis(600)]);
        assert_eq!(waits.next, [Duration::from_millis(603)]);
        assert_eq!(waits.others, [Duration::from_millis(2)]);
        assert_eq!((waits.messages, waits.reasons["expired"]), (5, 1));
        let [p50, p99] = quantiles(KILLED, "n", &waits.next, Some(Budget::AtMost(1000.0)));
        assert_eq!((p50.budget, p99.met, &*p99.name), (None, Some(true), "n, p99"));
        assert_eq!(p99.range, Some((603.0, 603.0)));
    }
}
