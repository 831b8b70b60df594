//! A hub that only knows who is connected.

use std::collections::BTreeSet;

use streamz_protocol::bus::{Down, Item, Over, ToGateway, Up};
use streamz_protocol::{ConnId, GatewayId, Mid, SessionId, StreamId, UserId};

#[derive(Debug)]
pub(crate) struct FakeHub {
    pub(crate) user: UserId,
    pub(crate) epoch: u64,
    pub(crate) conns: BTreeSet<ConnId>,
    pub(crate) recovery: Option<Recovery>,
    pub(crate) loaded: bool,
    pub(crate) down: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Recovery {
    pub(crate) gateways: BTreeSet<GatewayId>,
    pub(crate) silent: BTreeSet<ConnId>,
    gone: BTreeSet<ConnId>,
    waiting: Vec<(ConnId, u32)>,
}

impl FakeHub {
    pub(crate) fn start(user: UserId, epoch: u64, from: &[GatewayId]) -> Self {
        let recovery = Recovery { gateways: from.iter().copied().collect(), ..Recovery::default() };
        let recovery = (!from.is_empty()).then_some(recovery);
        Self { user, epoch, conns: BTreeSet::new(), recovery, loaded: false, down: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.conns.is_empty() && self.recovery.is_none() && !self.down
    }

    /// What it says, and whether it has just begun to decide.
    pub(crate) fn hears(&mut self, up: Up) -> (Vec<(GatewayId, ToGateway)>, bool) {
        let mut says = Vec::new();
        let Some(recovery) = &mut self.recovery else {
            match up {
                Up::Attach(conn, attach) => self.attach(conn, attach.attempt, &mut says),
                Up::Gone(conn) => {
                    self.conns.remove(&conn);
                }
                _ => {}
            }
            return (says, false);
        };
        match up {
            Up::Roster { gateway, epoch, conns }
                if epoch == self.epoch && recovery.gateways.remove(&gateway) =>
            {
                let known = &self.conns;
                let silent =
                    conns.into_iter().filter(|conn| !known.contains(conn) && !recovery.gone.contains(conn));
                recovery.silent.extend(silent);
            }
            Up::Announce { conn, epoch, .. } if epoch == self.epoch => {
                recovery.silent.remove(&conn);
                self.conns.insert(conn);
            }
            Up::Gone(conn) => {
                recovery.silent.remove(&conn);
                if recovery.gateways.contains(&conn.gateway) {
                    recovery.gone.insert(conn);
                }
                recovery.waiting.retain(|(other, _)| *other != conn);
                self.conns.remove(&conn);
            }
            Up::Attach(conn, attach) => recovery.waiting.push((conn, attach.attempt)),
            _ => {}
        }
        if !recovery.gateways.is_empty() || !recovery.silent.is_empty() {
            return (says, false);
        }
        let waiting = self.recovery.take().map(|recovery| recovery.waiting).unwrap_or_default();
        for (conn, attempt) in waiting {
            self.attach(conn, attempt, &mut says);
        }
        (says, true)
    }

    fn attach(&mut self, conn: ConnId, attempt: u32, says: &mut Vec<(GatewayId, ToGateway)>) {
        self.conns.insert(conn);
        says.push((conn.gateway, ToGateway::Conn(conn, answer(attempt), None)));
        // So that it can be seen who speaks.
        says.push((conn.gateway, ToGateway::Online { request: self.epoch, devices: Vec::new() }));
    }
}

/// The model's word for an attached session; the request that it answers is the number of items.
fn answer(attempt: u32) -> Down {
    let (nothing, session) = (StreamId(Default::default()), SessionId(Default::default()));
    let over = Over { id: nothing, origin: Mid { session, number: 0 }, ended: false };
    Down::Batch((0..attempt).map(|_| Item::StreamOver(over)).collect())
}
