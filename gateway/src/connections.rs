//! All connections of this gateway: where frames from the bus find their way to a connection's task.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use streamz_bus::{Bus, GatewayReceiver, Refused};
use streamz_protocol::bus::{Down, ToGateway, ToHub, Up};
use streamz_protocol::{CloseCode, ConnId, GatewayId, UserId};
use uuid::Uuid;

use crate::hubs::Hubs;
use crate::identity::Identity;
use crate::inbox::{Inbox, ToSession};

/// Devices that are sent to other gateways in a second, if there is time: each of them costs somebody a handshake.
pub const LEAVES_PER_SECOND: u32 = 500;

/// The connections of one gateway.
pub struct Connections {
    identity: Identity,
    bus: Arc<dyn Bus>,
    hubs: Hubs,
    next: AtomicU64,
    inboxes: RwLock<HashMap<u64, Arc<Inbox>>>,
    /// Of each user those that announce themselves, all under the present identity: at least one. The bus hears of a user's
    /// first and last within this lock.
    users: Mutex<HashMap<UserId, Vec<u64>>>,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new(identity: impl Into<Identity>, bus: Arc<dyn Bus>, hubs: Hubs) -> Arc<Self> {
        Arc::new(Self {
            identity: identity.into(),
            bus,
            hubs,
            next: AtomicU64::new(1),
            inboxes: RwLock::default(),
            users: Mutex::default(),
        })
    }

    /// How many there are, those included whose socket is gone and whose session waits for its device.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inboxes.read().len()
    }

    /// For a status; asks no connection, each has noted what it has.
    #[must_use]
    pub fn describe(&self) -> streamz_status::Gateway {
        let inboxes = self.inboxes.read();
        streamz_status::Gateway {
            sessions: inboxes.len() as u64,
            unsettled: inboxes.values().map(|inbox| u64::from(inbox.unsettled())).sum(),
            unserved: None,
            unserved_ms: None,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names a new connection and opens its inbox, for as long as the registration lives.
    pub(crate) fn register(self: &Arc<Self>, user: UserId, inbox_bytes: usize) -> Registration {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let inbox = Arc::new(Inbox::new(inbox_bytes));
        self.inboxes.write().insert(number, inbox.clone());
        metrics::gauge!("streamz_connections").increment(1);
        let conn = {
            let mut users = self.users.lock();
            let numbers = users.entry(user).or_default();
            if numbers.is_empty() {
                self.bus.connected(user);
            }
            numbers.push(number);
            ConnId { gateway: self.identity.gateway(), number }
        };
        Registration { connections: self.clone(), user, conn, inbox, told_hub: false }
    }

    /// Tells every device to come back, spread over `spread`, and closes its socket with 4000.
    pub fn drain(&self, spread: Duration) {
        let inboxes: Vec<Arc<Inbox>> = self.inboxes.read().values().cloned().collect();
        let spread_ms = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        let count = inboxes.len().max(1) as u64;
        for (at, inbox) in inboxes.into_iter().enumerate() {
            // Evenly spread: as good as random here, and no two at once.
            let after_ms = spread_ms.saturating_mul(at as u64) / count;
            // One that overflowed is closing already.
            let _ = inbox.push(ToSession::Drain { after_ms });
            let _ = inbox.push(ToSession::Close(CloseCode::Draining));
        }
    }

    /// The same one after the other, where other gateways take the devices: each is told in its turn to come back at
    /// once, and served until then. It takes `within` at most, and no longer than [`LEAVES_PER_SECOND`] needs.
    pub async fn drain_in_turn(&self, within: Duration) {
        let inboxes: Vec<Arc<Inbox>> = self.inboxes.read().values().cloned().collect();
        let count = u32::try_from(inboxes.len()).unwrap_or(u32::MAX).max(1);
        let pause = (Duration::from_secs(1) / LEAVES_PER_SECOND).min(within / count);
        let began = tokio::time::Instant::now();
        for (turn, inbox) in (0_u32..).zip(inboxes) {
            // Timers are no finer than a millisecond: some go together then.
            tokio::time::sleep_until(began + pause.saturating_mul(turn)).await;
            let _ = inbox.push(ToSession::Drain { after_ms: 0 });
            let _ = inbox.push(ToSession::Close(CloseCode::Draining));
        }
    }

    /// This gateway was evicted and goes on as another one: whoever is connected belongs to nobody any more.
    pub(crate) fn start_anew(&self, gateway: GatewayId) {
        let mut users = self.users.lock();
        self.identity.change(gateway);
        let inboxes = self.inboxes.read();
        for (user, numbers) in users.drain() {
            self.bus.disconnected(user);
            for inbox in numbers.iter().filter_map(|number| inboxes.get(number)) {
                // The session ends with its socket. One that overflowed is closing already.
                let _ = inbox.push(ToSession::Down(Down::Close(CloseCode::Unavailable), None));
            }
        }
    }

    /// Sign-ins were revoked: their connections close. Without a user all connections are asked.
    pub(crate) fn revoke(&self, user: Option<UserId>, families: &Arc<[Uuid]>) {
        let inboxes: Vec<Arc<Inbox>> = match user {
            Some(user) => {
                let numbers = self.users.lock().get(&user).cloned().unwrap_or_default();
                let inboxes = self.inboxes.read();
                numbers.iter().filter_map(|number| inboxes.get(number).cloned()).collect()
            }
            None => self.inboxes.read().values().cloned().collect(),
        };
        for inbox in inboxes {
            let _ = inbox.push(ToSession::Revoked(families.clone()));
        }
    }

    fn deliver(&self, number: u64, item: ToSession) -> Result<(), Refused> {
        let inbox = self.inboxes.read().get(&number).cloned().ok_or(Refused::NoReceiver)?;
        inbox.push(item).map_err(|_| Refused::Full)
    }

    /// A new hub asks who is there: each connection of the user announces itself.
    fn roll(&self, user: UserId, epoch: u64) {
        let (gateway, numbers) = {
            let users = self.users.lock();
            (self.identity.gateway(), users.get(&user).cloned().unwrap_or_default())
        };
        let told = |number: &u64| self.deliver(*number, ToSession::Roll { epoch }).is_ok();
        let conns = numbers.into_iter().filter(told).map(|number| ConnId { gateway, number }).collect();
        let up = Up::Roster { gateway, epoch, conns };
        match self.bus.to_hub(ToHub { user, up }) {
            // Later: the hub that asked has lost the user already, and the next one asks again.
            Ok(()) | Err(Refused::Later) => {}
            Err(refused) => {
                tracing::warn!(%user, %refused, "a new hub could not be told of its connections");
            }
        }
    }

    fn forget(&self, user: UserId, number: u64) {
        self.inboxes.write().remove(&number);
        metrics::gauge!("streamz_connections").decrement(1);
        self.strike_off(user, number);
    }

    /// It announces itself no more.
    fn strike_off(&self, user: UserId, number: u64) {
        let mut users = self.users.lock();
        if let Some(numbers) = users.get_mut(&user) {
            numbers.retain(|known| *known != number);
            if numbers.is_empty() {
                users.remove(&user);
                self.bus.disconnected(user);
            }
        }
    }
}

impl GatewayReceiver for Connections {
    fn receive(&self, frame: ToGateway) -> Result<(), Refused> {
        match frame {
            ToGateway::Conn(conn, down, trace) => self.deliver(conn.number, ToSession::Down(down, trace)),
            ToGateway::Roll { user, epoch } => {
                self.roll(user, epoch);
                Ok(())
            }
            ToGateway::Online { request, devices } => {
                self.hubs.answered(request, devices);
                Ok(())
            }
        }
    }
}

/// A connection's place among the others. When it is dropped the hub hears that the connection is gone, unless it
/// was told.
pub(crate) struct Registration {
    connections: Arc<Connections>,
    pub(crate) user: UserId,
    pub(crate) conn: ConnId,
    pub(crate) inbox: Arc<Inbox>,
    told_hub: bool,
}

impl Registration {
    /// The session is over, though its socket may still be closing: a new hub must not wait for it. To be called
    /// before the hub is told that it is gone, so that either this hub or the next one hears it.
    pub(crate) fn leave(&self) {
        self.connections.strike_off(self.user, self.conn.number);
    }

    /// Tells the user's hub.
    pub(crate) fn tell_hub(&mut self, up: Up) -> Result<(), Refused> {
        self.told_hub = matches!(up, Up::Gone(_));
        self.connections.bus.to_hub(ToHub { user: self.user, up })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.forget(self.user, self.conn.number);
        if !self.told_hub
            && let Err(refused) = self.tell_hub(Up::Gone(self.conn))
        {
            tracing::debug!(user = %self.user, %refused, "a hub could not be told of a lost connection");
        }
    }
}

#[cfg(test)]
mod tests;
