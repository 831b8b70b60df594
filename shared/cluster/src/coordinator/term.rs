//! Who is the coordinator.

use std::time::Duration;

use streamz_protocol::{Millis, NodeId, ProcessId};

use super::{
    Coordinator, EVICTED_MAX, EVIDENCE_MAX, Effect, GAP, GRACE, Held, Kind, LEASE, PERIOD, ProcessRow,
    READ_PAUSE, TELL_EVICTED, TermRow,
};
use crate::planted::planted;

impl Coordinator {
    /// The store answers this process, and says who the coordinator is.
    pub(super) fn renewed(&mut self, sent_at: Millis, term: TermRow, now: Millis, out: &mut Vec<Effect>) {
        self.answered = Some(now);
        self.gapless = match self.gapless {
            Some((since, last)) if sent_at.since(last) <= GAP => Some((since, last.max(sent_at))),
            _ => Some((sent_at, sent_at)),
        };
        self.seen = Some(term);
        if self.term.is_some_and(|held| held.epoch < term.epoch) {
            self.depose();
        }
        if self.term.is_none() && term.age > LEASE {
            self.try_take(LEASE, out);
        }
    }

    fn try_take(&self, older_than: Duration, out: &mut Vec<Effect>) {
        if let Some(seen) = self.seen
            && !self.resigned
        {
            out.push(Effect::TryTake { seen: seen.epoch, older_than });
        }
    }

    pub(super) fn term_answered(
        &mut self,
        sent_at: Millis,
        epoch: Option<u64>,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        self.answered = Some(now);
        let Some(epoch) = epoch else { return self.depose() };
        match &mut self.term {
            Some(held) if held.epoch == epoch => held.renewed = held.renewed.max(sent_at),
            Some(held) if held.epoch > epoch => {}
            _ if self.resigned => out.push(Effect::GiveUp { epoch }),
            _ => {
                self.term = Some(Held { epoch, renewed: sent_at });
                self.next_period = now;
                self.rows.wanted = true;
            }
        }
    }

    pub(super) fn depose(&mut self) {
        self.term = None;
        // Its successor tells who is gone from then on.
        self.evicted.clear();
    }

    pub(super) fn resign(&mut self, out: &mut Vec<Effect>) {
        self.resigned = true;
        if let Some(held) = self.term.take() {
            out.push(Effect::GiveUp { epoch: held.epoch });
        }
    }

    /// Evidence is not proof: the store is asked whether the process has renewed since. Against the coordinator itself
    /// that question is the taking of its term.
    pub(super) fn report(&mut self, dead: ProcessId, silent: Duration, now: Millis, out: &mut Vec<Effect>) {
        if self.evidence.len() < EVIDENCE_MAX || self.evidence.contains_key(&dead) {
            // Of several reports the last: it asks for the least, and the store judges in the end.
            self.evidence.insert(dead, now - silent);
        }
        let coordinator = self.seen.and_then(|seen| seen.holder).map(ProcessId::from);
        if self.term.is_some() {
            self.rows.wanted = true;
        } else if coordinator == Some(dead) {
            self.try_take(silent, out);
        }
    }

    /// What the period brings: the term renewed, the rows read, the nodes told. And readings that are wanted sooner.
    pub(super) fn on_time(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let Some(held) = self.term else { return };
        if now >= self.next_period {
            self.next_period = now + PERIOD;
            self.rows.wanted = true;
            out.push(Effect::RenewTerm { epoch: held.epoch });
            let nodes = self.to_beat(held, now);
            if !nodes.is_empty() {
                out.push(Effect::Beat { nodes, epoch: held.epoch, version: self.rows.version });
            }
            self.tell_evicted(now, out);
        }
        if self.rows.wanted && self.rows.reading.is_none() && now >= self.rows.last_read + READ_PAUSE {
            self.reads += 1;
            self.rows.reading = Some(self.reads);
            self.rows.last_read = now;
            self.rows.wanted = false;
            out.push(Effect::ReadRows { read: self.reads, since: self.rows.version });
        }
    }

    /// Whose row was there and is not any more.
    pub(super) fn find_evicted(&mut self, rows: &[ProcessRow], now: Millis, out: &mut Vec<Effect>) {
        let before = self.rows.processes.iter().map(|process| process.id);
        let gone: Vec<ProcessId> = before.filter(|id| rows.iter().all(|row| row.id != *id)).collect();
        for id in gone {
            if self.evicted.len() >= EVICTED_MAX
                && let Some((first, _)) = self.evicted.pop_front()
            {
                out.push(Effect::Forget(first));
            }
            self.evicted.push_back((id, now));
            out.push(Effect::TellEvicted(id));
        }
    }

    fn tell_evicted(&mut self, now: Millis, out: &mut Vec<Effect>) {
        while let Some((id, _)) = self.evicted.pop_front_if(|(_, since)| *since + TELL_EVICTED <= now) {
            out.push(Effect::Forget(id));
        }
        out.extend(self.evicted.iter().map(|(id, _)| Effect::TellEvicted(*id)));
    }

    /// While the store answers, only nodes whose lease is good, for a beat must not lend authority to one that is about
    /// to be evicted, and only if the term is. While it answers nobody, nobody is evicted either: all nodes.
    fn to_beat(&self, held: Held, now: Millis) -> Vec<NodeId> {
        let answers = self.answered.is_some_and(|at| now.since(at) <= GAP);
        if answers && now.since(held.renewed) > LEASE {
            return Vec::new();
        }
        let since = now.since(self.rows.read_at);
        let good = |age: Duration| !answers || age + since <= LEASE;
        let nodes = self.rows.processes.iter().filter(|process| process.kind == Kind::Node);
        nodes.filter(|process| good(process.age)).map(|process| NodeId(process.id.0)).collect()
    }

    /// Since when a process that is silent since `began` has not renewed though it could have. While the store was away
    /// nobody could: then what counts is the time since it is back, and that must be long enough for one renewal.
    pub(super) fn could_renew_since(&self, began: Millis, now: Millis) -> Option<Millis> {
        let (since, last) = self.gapless?;
        let there = now.since(last) <= GAP && (since <= began || now.since(since) >= GAP);
        there.then(|| began.max(since))
    }

    /// Whether a lapsed lease means that its process is at fault, and not the store.
    pub(super) fn has_grace(&self, now: Millis) -> bool {
        if planted!(self, NoGrace) {
            return true;
        }
        self.gapless.is_some_and(|(since, last)| now.since(last) <= GAP && now.since(since) >= GRACE)
    }
}
