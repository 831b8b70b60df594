//! Gateways: the router between their sessions and the nodes.

use streamz_cluster::router::{Effect, Input};
use streamz_protocol::bus::{ToGateway, ToHub, Up};
use streamz_protocol::cluster::{Routed, Tenure};
use streamz_protocol::{GatewayId, Millis, NodeId, ProcessId};

use super::process::Role;
use crate::world::World;

impl World {
    /// A gateway that has read the table takes connections.
    pub(super) fn gateway_opens(&mut self, id: ProcessId) {
        if let Some(Role::Gateway { number, .. }) =
            self.cluster.processes.get(&id).map(|process| &process.role)
        {
            self.gateways[*number].alive = true;
        }
    }

    /// A user has a connection: it is listed before anything of it is routed.
    pub(crate) fn enlist(&mut self, gateway: usize, user: usize) {
        let user = self.user_ids[user];
        if let Some(Role::Gateway { directory, .. }) = self.role_of(gateway) {
            directory.insert(user);
        }
    }

    /// A connection is over; it may have been the user's last.
    pub(crate) fn delist(&mut self, gateway: usize, user: usize) {
        if self.plan.cluster.is_none() {
            return;
        }
        let others = self.gateways[gateway].pipes.iter();
        if others.map(|pipe| self.clients[self.pipes[*pipe].device].user).any(|other| other == user) {
            return;
        }
        let user = self.user_ids[user];
        if let Some(Role::Gateway { directory, .. }) = self.role_of(gateway) {
            directory.remove(user);
        }
    }

    /// The first gateways are there before a fault is named.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn plant_routers(&mut self, bug: streamz_cluster::Bug) {
        for process in self.cluster.processes.values_mut() {
            if let Role::Gateway { router, .. } = &mut process.role {
                router.plant(bug);
            }
        }
    }

    fn role_of(&mut self, gateway: usize) -> Option<&mut Role> {
        let id = self.gateway_process(gateway);
        self.cluster.processes.get_mut(&id).map(|process| &mut process.role)
    }

    /// What a connection says goes to the owner of its user. What is refused is in the announcement to come, if it
    /// matters.
    pub(crate) fn route_up(&mut self, user: usize, gateway: usize, up: Up) {
        let (id, user) = (self.gateway_process(gateway), self.user_ids[user]);
        let Some(Role::Gateway { router, .. }) = self.role_of(gateway) else { return };
        match router.address(ToHub { user, up }) {
            Ok((node, routed)) => self.link_send(id, node.into(), routed),
            Err(refusal) => self.note(|| format!("    refused: {refusal}")),
        }
    }

    pub(super) fn router_hears(&mut self, id: ProcessId, from: ProcessId, frame: Routed, sent: Millis) {
        if let Routed::Claim { tenures, .. } = &frame {
            self.told(id, tenures);
        }
        self.router_acts(id, Input::FromNode { node: NodeId(from.0), frame }, sent);
    }

    pub(super) fn router_input(&mut self, id: ProcessId, input: Input) {
        self.router_acts(id, input, self.now);
    }

    fn router_acts(&mut self, id: ProcessId, input: Input, said: Millis) {
        if let Input::Read { changes, .. } | Input::Hint { changes, .. } = &input {
            let tenures: Vec<Tenure> = changes.iter().map(|change| change.tenure).collect();
            self.told(id, &tenures);
        }
        let says = match &input {
            Input::FromNode { frame: Routed::ToGateway { tenure, .. }, .. } => Some(*tenure),
            _ => None,
        };
        let local = self.clock_of(id);
        let Some(Role::Gateway { number, router, directory }) =
            self.cluster.processes.get_mut(&id).map(|process| &mut process.role)
        else {
            return;
        };
        let number = *number;
        for effect in router.handle(input, directory, local) {
            self.note(|| format!("    {id:?} {effect:?}"));
            match effect {
                Effect::Deliver(frame) => {
                    if let Some(tenure) = says {
                        self.check_applied(id, tenure);
                    }
                    self.gateway_delivers(number, frame, said);
                }
                Effect::Send(node, routed) => self.link_send(id, node.into(), routed),
                Effect::Read => self.poll(id),
                Effect::Ignored(..) => {}
                Effect::Contradiction(contradiction) => self.breaks(format!("P1: {contradiction}")),
            }
        }
    }

    /// Whether the others go on without a gateway that is still there.
    pub(crate) fn is_island(&self, gateway: GatewayId) -> bool {
        self.plan.cluster.is_some() && !self.cluster.postgres.processes.contains_key(&gateway.into())
    }

    /// What a hub says counts when its gateway takes it: what is said elsewhere nobody hears.
    fn gateway_delivers(&mut self, gateway: usize, frame: ToGateway, said: Millis) {
        if let ToGateway::Conn(conn, down, _) = &frame {
            let pipe = usize::try_from(conn.number).unwrap_or(usize::MAX);
            if self.gateways[gateway].pipes.contains(&pipe) {
                let user = self.clients[self.pipes[pipe].device].user;
                self.number(user, *conn, down, said);
            }
        }
        self.gateway_hears(gateway, frame);
    }
}
