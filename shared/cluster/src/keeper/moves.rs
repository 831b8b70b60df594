//! Planned moves: flush, then hand over. Anything but a success claims the slot anew at the same epoch.

use streamz_protocol::Millis;
use streamz_protocol::cluster::{Assignment, Epoch, Slot, Tenure};

use super::{Effect, HandOver, Held, Keeper, SEALED_MAX, Stage};

impl Keeper {
    /// Begins what is ordered, for slots that every gateway has confirmed: until then an answer to the claim is on its
    /// way. Called with each read and after each success, so that a move that failed is tried again only while the
    /// store answers. A slot that waits for its turn is served meanwhile.
    pub(super) fn start_moves(&mut self, out: &mut Vec<Effect>) {
        let sealed = self.held.values().filter(|held| held.is_sealed()).count();
        let mut room = SEALED_MAX.saturating_sub(sealed);
        for (slot, held) in &mut self.held {
            if room == 0 {
                return;
            }
            if held.heir.is_none() || held.stage != Stage::Confirmed {
                continue;
            }
            room -= 1;
            held.stage = Stage::Flushing;
            held.hubs.clear();
            for peer in self.gateways.values_mut() {
                peer.confirmed.remove(*slot);
            }
            out.push(Effect::Flush(Tenure { slot: *slot, epoch: held.epoch }));
        }
    }

    fn sealed(&mut self, tenure: Tenure) -> Option<&mut Held> {
        self.held.get_mut(&tenure.slot).filter(|held| held.epoch == tenure.epoch && held.is_sealed())
    }

    pub(super) fn flushed(&mut self, tenure: Tenure, written: bool, now: Millis, out: &mut Vec<Effect>) {
        let Some(held) = self.sealed(tenure).filter(|held| held.stage == Stage::Flushing) else { return };
        match held.heir.filter(|_| written) {
            Some(heir) => {
                held.stage = Stage::HandingOver(heir);
                out.push(Effect::HandOver(tenure));
            }
            // The store is away, or the order was taken back.
            None => self.begin(&[tenure], now, out),
        }
    }

    pub(super) fn handed_over(&mut self, tenure: Tenure, how: HandOver, now: Millis, out: &mut Vec<Effect>) {
        let Some(held) = self.sealed(tenure) else { return };
        let Stage::HandingOver(heir) = held.stage else { return };
        match how {
            HandOver::Done { version, owner } => {
                let next = Tenure { slot: tenure.slot, epoch: Epoch(tenure.epoch.0 + 1) };
                self.fence.learn(next);
                self.end(tenure.slot, out);
                out.push(Effect::Publish {
                    version,
                    change: Assignment { tenure: next, owner: Some(owner) },
                });
                self.start_moves(out);
            }
            HandOver::Refused => {
                // The coordinator wants something else meanwhile: a read says what, or has said so already.
                held.heir = held.heir.filter(|other| *other != heir);
                self.begin(&[tenure], now, out);
                out.push(Effect::Read);
            }
            HandOver::Unknown => {
                self.begin(&[tenure], now, out);
                out.push(Effect::Read);
            }
        }
    }

    /// How many moves this node carries out at the moment.
    #[must_use]
    pub fn moving(&self) -> Vec<Slot> {
        self.held.iter().filter(|(_, held)| held.is_sealed()).map(|(slot, _)| *slot).collect()
    }
}
