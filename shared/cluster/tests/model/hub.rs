//! A hub that only knows who is connected.

use std::collections::BTreeSet;

use streamz_protocol::bus::{Down, ToGateway, Up};
use streamz_protocol::{ConnId, GatewayId, UserId};

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
    waiting: Vec<ConnId>,
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
                Up::Attach(conn, _) => self.attach(conn, &mut says),
                Up::Gone(conn) => {
                    self.conns.remove(&conn);
                }
                _ => {}
            }
            return (says, false);
        };
        match up {
            Up::Roster { gateway, epoch, conns } if epoch == self.epoch => {
                if recovery.gateways.remove(&gateway) {
                    let known = &self.conns;
                    let silent = conns
                        .into_iter()
                        .filter(|conn| !known.contains(conn) && !recovery.gone.contains(conn));
                    recovery.silent.extend(silent);
                }
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
                recovery.waiting.retain(|other| *other != conn);
                self.conns.remove(&conn);
            }
            Up::Attach(conn, _) => recovery.waiting.push(conn),
            _ => {}
        }
        if !recovery.gateways.is_empty() || !recovery.silent.is_empty() {
            return (says, false);
        }
        let waiting = self.recovery.take().map(|recovery| recovery.waiting).unwrap_or_default();
        for conn in waiting {
            self.attach(conn, &mut says);
        }
        (says, true)
    }

    fn attach(&mut self, conn: ConnId, says: &mut Vec<(GatewayId, ToGateway)>) {
        self.conns.insert(conn);
        says.push((conn.gateway, ToGateway::Conn(conn, Down::Batch(Vec::new()))));
        // So that it can be seen who speaks.
        says.push((conn.gateway, ToGateway::Online { request: self.epoch, devices: Vec::new() }));
    }
}
