//! Who is let in while there is more to do than a process can: the rest is told to come again before memory or processor
//! time run out, and at the least cost.
//!
//! At the listener: connections beyond the rate, and all new ones while the process is short of memory or does not get
//! around to what waits. Those that are there go on. At the router: requests beyond what may be under way at a time, of
//! all clients together and of one address (IPv6: one /64), so that nobody alone takes every place.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use streamz_platform::config::HttpLimits;

use crate::http::network;

/// Of the memory that there is: from here on nobody new is let in,
const MEMORY_FULL_PERCENT: u64 = 90;
/// and from here down again.
const MEMORY_FREE_PERCENT: u64 = 85;
/// A timer that rings so late says that the processor is not to be had,
const LATE: Duration = Duration::from_millis(500);
/// if it does so as often in a row: a process that stood still once is not one with too much to do.
const LATE_IN_A_ROW: u32 = 3;

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// More connections than the process takes.
    Connections,
    /// More new connections than it takes in a second.
    Rate,
    /// It is short of memory.
    Memory,
    /// It does not get around to what waits.
    Processor,
    /// More requests than it answers at a time.
    Requests,
    /// The same, of one client address.
    Address,
}

impl Shed {
    const ALL: [Shed; 6] =
        [Shed::Connections, Shed::Rate, Shed::Memory, Shed::Processor, Shed::Requests, Shed::Address];

    /// The word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Shed::Connections => "connections",
            Shed::Rate => "rate",
            Shed::Memory => "memory",
            Shed::Processor => "processor",
            Shed::Requests => "requests",
            Shed::Address => "address",
        }
    }
}

/// The gate of a process. Cheap to clone: all clones are the same.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    rate: DefaultDirectRateLimiter,
    /// The place in [`Shed::ALL`] of what the process is short of, plus one.
    pressure: AtomicU8,
    requests: u32,
    per_address: u32,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    all: u32,
    /// Only addresses that have one.
    of: HashMap<IpAddr, u32>,
}

impl Gate {
    /// With these limits.
    #[must_use]
    pub fn new(limits: &HttpLimits) -> Self {
        Self(Arc::new(Inner {
            rate: RateLimiter::direct(Quota::per_second(limits.connections_per_second)),
            pressure: AtomicU8::new(0),
            requests: limits.requests.get(),
            per_address: limits.requests_per_address.min(limits.requests).get(),
            under_way: Mutex::default(),
        }))
    }

    /// Whether a new connection is let in.
    ///
    /// # Errors
    /// Why not.
    pub fn connection(&self) -> Result<(), Shed> {
        match self.pressure() {
            Some(cause) => Err(cause),
            None => self.0.rate.check().map_err(|_| Shed::Rate),
        }
    }

    /// A place for a request from this address, until it is dropped.
    ///
    /// # Errors
    /// Why there is none.
    pub fn request(&self, address: IpAddr) -> Result<Place, Shed> {
        let address = network(address);
        let mut under_way = self.0.under_way.lock();
        let UnderWay { all, of } = &mut *under_way;
        if *all >= self.0.requests {
            return Err(Shed::Requests);
        }
        let mine = of.get(&address).copied().unwrap_or_default();
        if mine >= self.0.per_address {
            return Err(Shed::Address);
        }
        *all += 1;
        of.insert(address, mine + 1);
        Ok(Place { gate: self.0.clone(), address })
    }

    /// What the process is short of, if anything.
    #[must_use]
    pub fn pressure(&self) -> Option<Shed> {
        let place = usize::from(self.0.pressure.load(Ordering::Relaxed)).checked_sub(1)?;
        Shed::ALL.get(place).copied()
    }

    /// From now on the process is short of this, or of nothing.
    pub fn set_pressure(&self, cause: Option<Shed>) {
        let place = cause.and_then(|cause| Shed::ALL.iter().position(|known| *known == cause));
        let number = place.map_or(0, |place| u8::try_from(place + 1).unwrap_or(0));
        if self.0.pressure.swap(number, Ordering::Relaxed) != number {
            match cause {
                Some(cause) => tracing::warn!(short_of = cause.as_str(), "nobody new is let in for now"),
                None => tracing::info!("whoever is new is let in again"),
            }
        }
        metrics::gauge!("streamz_shedding").set(if cause.is_some() { 1.0 } else { 0.0 });
    }

    /// Counts somebody who was not let in.
    pub fn count(cause: Shed) {
        metrics::counter!("streamz_shed_total", "cause" => cause.as_str()).increment(1);
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("pressure", &self.pressure()).finish_non_exhaustive()
    }
}

/// Of a request that is under way.
pub struct Place {
    gate: Arc<Inner>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.gate.under_way.lock();
        under_way.all = under_way.all.saturating_sub(1);
        if let Some(mine) = under_way.of.get_mut(&self.address) {
            *mine -= 1;
            if *mine == 0 {
                under_way.of.remove(&self.address);
            }
        }
    }
}

/// Tells from measurements what a process is short of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judge {
    full: bool,
    late: u32,
}

impl Judge {
    /// Of a timer that rang `late`, with so much memory in use and so much that there is, if that is known. A share of
    /// what there is that goes up and down about the limit does not open and close the gate each time.
    pub fn measure(&mut self, late: Duration, used: Option<u64>, limit: Option<u64>) -> Option<Shed> {
        self.full = match (used, limit) {
            (Some(used), Some(limit)) => {
                let percent = if self.full { MEMORY_FREE_PERCENT } else { MEMORY_FULL_PERCENT };
                used.saturating_mul(100) > limit.saturating_mul(percent)
            }
            _ => false,
        };
        self.late = if late >= LATE { self.late.saturating_add(1) } else { 0 };
        if self.full {
            Some(Shed::Memory)
        } else if self.late >= LATE_IN_A_ROW {
            Some(Shed::Processor)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
