//! What the steward of a cluster has a shard do.

use ractor::ActorRef;
use streamz_hub::Hub;
use streamz_protocol::cluster::Slot;
use streamz_protocol::{GatewayId, StreamId, UserId};
use tokio::sync::oneshot;

use super::{Resident, ShardMsg, ShardState};
use crate::actors::hub::{HubMsg, streams};

impl ShardState {
    pub(super) async fn start(
        &mut self,
        user: UserId,
        epoch: u64,
        recover_from: &[GatewayId],
        myself: &ActorRef<ShardMsg>,
    ) {
        let kept = match self.users.remove(&user) {
            Some(Resident::Down { kept, .. }) => kept,
            Some(other) => {
                self.end(other);
                Vec::new()
            }
            None => Vec::new(),
        };
        let (hub, effects) = Hub::recover(user, epoch, self.limits.clone(), recover_from);
        self.wake(Box::new(hub), effects, kept, myself).await;
    }

    /// Lets go of a hub; of one that is awake, its actor stops after what it does at the moment.
    fn end(&mut self, resident: Resident) -> Option<ActorRef<HubMsg>> {
        match resident {
            Resident::Awake { actor, .. } => {
                actor.stop(None);
                Some(actor)
            }
            Resident::Asleep(_) => {
                self.gauges.asleep.sub(1);
                None
            }
            Resident::Retiring { .. } | Resident::Down { .. } => None,
        }
    }

    pub(super) async fn drop_slot(&mut self, slot: Slot) {
        let users: Vec<UserId> = self.users.keys().copied().filter(|user| Slot::of(*user) == slot).collect();
        let mut stopping = Vec::new();
        for user in users {
            if let Some(resident) = self.users.remove(&user) {
                stopping.extend(self.end(resident));
            }
        }
        for actor in stopping {
            // An error: it had stopped before.
            let _ = actor.stop_and_wait(None, None).await;
        }
    }

    pub(super) fn load(&self, user: UserId, of: u64) {
        if let Some(Resident::Awake { actor, epoch }) = self.users.get(&user)
            && *epoch == of
        {
            // One that failed comes back.
            let _ = actor.cast(HubMsg::Load);
        }
    }

    /// What was held for want of authority is due. (Hubs that sleep hold nothing.)
    pub(super) fn decide(&self) {
        for resident in self.users.values() {
            if let Resident::Awake { actor, .. } = resident {
                // One that failed comes back.
                let _ = actor.cast(HubMsg::Timer);
            }
        }
    }

    pub(super) fn streams(&self, user: UserId, answer: oneshot::Sender<Vec<StreamId>>) {
        match self.users.get(&user) {
            Some(Resident::Awake { actor, .. }) => drop(actor.cast(HubMsg::Streams(answer))),
            Some(Resident::Asleep(hub)) => {
                if let Some(streams) = streams(Some(hub)) {
                    // Whoever asked may have gone.
                    let _ = answer.send(streams);
                }
            }
            // Whoever asks hears that there is no answer.
            _ => {}
        }
    }
}
