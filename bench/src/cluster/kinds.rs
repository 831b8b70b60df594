//! Figures of each kind of process of a cluster.

use std::time::Duration;

use crate::process::{Cpu, ProcessError, Processes};

/// Something of each kind of process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ByKind<T> {
    pub(crate) gateways: T,
    pub(crate) nodes: T,
    pub(crate) redis: T,
    pub(crate) postgres: T,
}

/// The names of the kinds, in the order of [`ByKind::each`].
pub(crate) const KINDS: [&str; 4] = ["gateways", "nodes", "Redis", "Postgres"];

impl<T> ByKind<T> {
    pub(crate) fn map<U>(&self, of: impl Fn(&T) -> U) -> ByKind<U> {
        ByKind {
            gateways: of(&self.gateways),
            nodes: of(&self.nodes),
            redis: of(&self.redis),
            postgres: of(&self.postgres),
        }
    }

    pub(crate) fn zip<U, V>(&self, other: &ByKind<U>, of: impl Fn(&T, &U) -> V) -> ByKind<V> {
        ByKind {
            gateways: of(&self.gateways, &other.gateways),
            nodes: of(&self.nodes, &other.nodes),
            redis: of(&self.redis, &other.redis),
            postgres: of(&self.postgres, &other.postgres),
        }
    }

    /// In the order of [`KINDS`].
    pub(crate) fn each(self) -> [T; 4] {
        [self.gateways, self.nodes, self.redis, self.postgres]
    }
}

impl ByKind<f64> {
    pub(crate) fn sum(self) -> f64 {
        self.each().iter().sum()
    }
}

impl ByKind<Processes> {
    /// The processor time so far.
    pub(crate) fn cpu(&self) -> Result<ByKind<Cpu>, ProcessError> {
        Ok(ByKind {
            gateways: self.gateways.cpu()?,
            nodes: self.nodes.cpu()?,
            redis: self.redis.cpu()?,
            // It has a process for each connection; one that ends takes its time with it.
            postgres: self.postgres.with_children().living().cpu()?,
        })
    }

    /// The resident sets, in bytes.
    pub(crate) fn memory(&self) -> Result<ByKind<u64>, ProcessError> {
        Ok(ByKind {
            gateways: self.gateways.memory()?,
            nodes: self.nodes.memory()?,
            redis: self.redis.memory()?,
            // Its processes share most of theirs: a sum would count that many times.
            postgres: self.postgres.memory()?,
        })
    }
}

impl ByKind<Cpu> {
    /// What was used since `before`, in microseconds.
    pub(crate) fn micros_since(&self, before: &Self) -> ByKind<f64> {
        self.zip(before, |now, then| micros(now.since(then)))
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_keep_their_places() {
        let kinds = ByKind { gateways: 1.0, nodes: 2.0, redis: 3.0, postgres: 4.0 };
        assert_eq!(kinds.each(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(kinds.map(|n| n * 2.0).sum(), 20.0);
        assert_eq!(kinds.zip(&kinds, |a, b| a - b).sum(), 0.0);
        assert_eq!(kinds.each().len(), KINDS.len());
    }

    #[test]
    fn time_and_memory_are_those_of_the_processes() {
        let this = Processes(vec![std::process::id()]);
        let kinds = ByKind {
            gateways: this.clone(),
            nodes: this.clone(),
            redis: Processes::default(),
            postgres: this,
        };
        let before = kinds.cpu().unwrap();
        while kinds.cpu().unwrap().micros_since(&before).gateways < 1000.0 {
            std::hint::black_box((0..1_000_000_u64).sum::<u64>());
        }
        let memory = kinds.memory().unwrap();
        assert!(memory.gateways > 100_000 && memory.redis == 0);
    }
}
