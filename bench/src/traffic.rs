//! Messages between pairs of devices, and what became of them.

use std::time::Duration;

use streamz_protocol::UserId;
use tokio::task::JoinSet;

use crate::accounts::Pair;
use crate::peer::{Dialect, Peer, PeerError};

mod flow;
mod tally;

use flow::{Flow, Schedule};
pub(crate) use tally::{Tally, Trip};

/// How messages are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// One after the other, each when the one before has arrived, and its outcome too if it has one; this many at a time.
    Window(usize),
    /// This many a second from all pairs together, evenly spread, whatever becomes of them.
    Load(u32),
}

/// A connected pair.
pub(crate) struct Link {
    from: Peer,
    to: Peer,
    to_id: String,
    user: Option<UserId>,
}

impl Link {
    /// Both at the same server.
    pub(crate) async fn connect(address: &str, dialect: Dialect, pair: &Pair) -> Result<Self, PeerError> {
        Self::connect_across([address, address], dialect, pair).await
    }

    /// The sender at the first address, the receiver at the second.
    pub(crate) async fn connect_across(
        [one, other]: [&str; 2],
        dialect: Dialect,
        pair: &Pair,
    ) -> Result<Self, PeerError> {
        // Sign-ins are unique, and names of devices only within an account.
        let path = uuid::Uuid::new_v4().simple().to_string();
        let from = Peer::connect(one, dialect, &pair.one, &path).await?;
        let to = Peer::connect(other, dialect, &pair.other, &path).await?;
        Ok(Self { from, to, to_id: pair.other.id.clone(), user: pair.user })
    }

    /// Whose devices they are, where that is known.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.user
    }

    pub(crate) async fn connect_all(
        address: &str,
        dialect: Dialect,
        pairs: &[Pair],
    ) -> Result<Vec<Self>, PeerError> {
        let mut links = Vec::with_capacity(pairs.len());
        for pair in pairs {
            links.push(Self::connect(address, dialect, pair).await?);
        }
        Ok(links)
    }

    pub(crate) async fn close(self) {
        self.from.close().await;
        self.to.close().await;
    }
}

/// Sends over all links for `length`, and waits for what is on its way.
pub(crate) async fn run(
    links: Vec<Link>,
    with_id: bool,
    pace: Pace,
    length: Duration,
) -> Result<(Vec<Link>, Tally), PeerError> {
    run_noting(links, with_id, pace, length, false).await
}

/// The same, and notes each message's way if `each` says so.
pub(crate) async fn run_noting(
    links: Vec<Link>,
    with_id: bool,
    pace: Pace,
    length: Duration,
    each: bool,
) -> Result<(Vec<Link>, Tally), PeerError> {
    let count = links.len();
    let mut tasks = JoinSet::new();
    for (number, link) in links.into_iter().enumerate() {
        let schedule = match pace {
            Pace::Window(window) => Schedule::Window(window),
            Pace::Load(rate) => {
                let interval = Duration::from_secs_f64(count as f64 / f64::from(rate));
                Schedule::Every { interval, first: interval.mul_f64(number as f64 / count as f64) }
            }
        };
        tasks.spawn(Flow::new(with_id, schedule, length).run(link, each));
    }
    let mut all = Tally::new();
    let mut back = Vec::with_capacity(count);
    while let Some(done) = tasks.join_next().await {
        let (link, tally) = done.map_err(|_| PeerError::Unreadable)??;
        all.add(tally);
        back.push(link);
    }
    Ok((back, all))
}
