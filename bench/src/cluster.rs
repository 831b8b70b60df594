//! A whole cluster under load: gateways, nodes, Redis and Postgres, all of this bench's own.
//!
//! * `deployment`: the processes; `kinds`: figures of each kind of them;
//! * `connect`, `relay`, `idle`: what things cost; `pauses`: nodes killed, drained and added;
//! * `reconnect` and `scale` are measurements of their own.

mod connect;
mod deployment;
mod idle;
mod kinds;
mod pauses;
mod reconnect;
mod relay;
mod scale;
mod watch;

use std::path::PathBuf;

pub(crate) use deployment::{Shape, client_of, wrong};

use self::deployment::{Cluster, Ground};
use crate::accounts::Accounts;
use crate::args::{BenchArgs, Part};
use crate::plan::{LOAD_PAIRS, Plan};
use crate::run::{Bench, BenchError};
use crate::servers::Server;

/// What is measured of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Figures { failovers: usize },
    ReconnectStorm { devices: usize },
    Scale,
}

/// A cluster to be measured.
pub(crate) struct Subject {
    shape: Shape,
    task: Task,
    program: PathBuf,
}

impl Subject {
    /// What was asked for, if it was a cluster.
    pub(crate) fn of(args: &BenchArgs) -> Result<Option<Self>, BenchError> {
        let Some(gateways) = args.gateways else { return Ok(None) };
        let number = |given: Option<u32>, default: usize| given.map_or(default, |number| number as usize);
        let shape =
            Shape { gateways: gateways as usize, nodes: number(args.nodes, 2), redis: number(args.redis, 1) };
        let task = match args.reconnect_storm {
            Some(_) if gateways < 3 => {
                let why =
                    "--reconnect-storm: the devices come back through two others; give --gateways 3 or more";
                return Err(BenchError::Setup(why.to_owned()));
            }
            Some(devices) => Task::ReconnectStorm { devices: devices as usize },
            None if args.scale => Task::Scale,
            None => Task::Figures { failovers: number(args.failovers, if args.quick { 2 } else { 15 }) },
        };
        if let Some(part) = args.only.iter().find(|part| matches!(part, Part::Start | Part::Storm)) {
            let why = format!("--only {part:?}: that is measured of one process, without --gateways");
            return Err(BenchError::Setup(why.to_lowercase()));
        }
        let program = match &args.server {
            Some(program) => std::path::absolute(program)?,
            None => std::env::current_exe()?,
        };
        Ok(Some(Self { shape, task, program }))
    }

    /// Sizes and lengths for it.
    pub(crate) fn plan(&self, args: &BenchArgs) -> Result<Plan, BenchError> {
        let mut plan = Plan::of(args);
        let most = scale::most_devices(self.shape.gateways);
        match self.task {
            Task::Scale => {
                // Rounds of all that there is would take an hour.
                plan.rounds = args.rounds.map_or(plan.rounds.min(3), |rounds| rounds as usize);
                if args.devices.is_none() && !args.quick {
                    plan.idle_devices = most;
                }
            }
            Task::ReconnectStorm { .. } => plan.idle_devices = 4,
            Task::Figures { .. } => {}
        }
        if plan.idle_devices > most {
            let why = format!(
                "--devices: {} gateways take {most} devices with this limit on open files (ulimit -n)",
                self.shape.gateways
            );
            return Err(BenchError::Setup(why));
        }
        Ok(plan)
    }

    /// Steps of the progress bar.
    pub(crate) fn steps(&self, args: &BenchArgs, plan: &Plan) -> usize {
        let of = |part, steps: usize| if args.measures(part) { steps } else { 0 };
        match self.task {
            Task::Figures { failovers } => {
                of(Part::Connect, connect::steps(plan.rounds))
                    + of(Part::Relay, relay::steps(plan.rounds))
                    + of(Part::Idle, idle::STEPS)
                    + of(Part::Pauses, pauses::steps(failovers))
            }
            Task::ReconnectStorm { .. } => reconnect::STEPS,
            Task::Scale => scale::steps(self.shape, plan.rounds, plan.idle_devices),
        }
    }

    /// What it is, in words.
    pub(crate) fn words(&self) -> String {
        let Shape { gateways, nodes, redis } = self.shape;
        let program = self.program.display();
        format!(
            "a cluster of its own: {gateways} gateways, {nodes} nodes, {redis} Redis, Postgres; {program}"
        )
    }

    /// Pairs of devices that take part.
    fn pairs(&self, plan: &Plan) -> usize {
        match self.task {
            Task::ReconnectStorm { devices } => devices + reconnect::PAIRS_BESIDE,
            Task::Scale => plan.idle_devices / 2 + LOAD_PAIRS,
            Task::Figures { .. } => plan.pairs() + LOAD_PAIRS,
        }
    }

    pub(crate) async fn measure(&self, args: &BenchArgs, bench: &mut Bench) -> Result<(), BenchError> {
        let setup = |failure: crate::run::Failure| BenchError::Setup(failure.to_string());
        let ground =
            Ground::lay(self.program.clone(), self.shape.redis, bench.plan.hub_idle).await.map_err(setup)?;
        bench.accounts = Accounts::make(&ground.database(), &ground.secret, self.pairs(&bench.plan)).await?;
        if self.task == Task::Scale {
            scale::measure(bench, &ground, self.shape).await;
        } else {
            let mut cluster = ground.start(self.shape.gateways, self.shape.nodes).await.map_err(setup)?;
            match self.task {
                Task::ReconnectStorm { devices } => reconnect::measure(bench, &mut cluster, devices).await,
                _ => self.figures(args, bench, &ground, &mut cluster).await,
            }
            cluster.end().await.map_err(setup)?;
        }
        // Its database ends with the ground.
        std::mem::replace(&mut bench.accounts, Accounts::nobody()).end(false).await?;
        Ok(())
    }

    async fn figures(&self, args: &BenchArgs, bench: &mut Bench, ground: &Ground, cluster: &mut Cluster<'_>) {
        if args.measures(Part::Connect) || args.measures(Part::Relay) {
            let forwarder = bench.attempt("the forwarder", async { Ok(Server::forwarder().await?) }).await;
            let Some(forwarder) = forwarder else { return };
            if args.measures(Part::Connect) {
                connect::measure(bench, cluster, &forwarder).await;
            }
            if args.measures(Part::Relay) {
                relay::measure(bench, ground, cluster, &forwarder).await;
            }
            let ended = forwarder.end().await;
            bench.attempt("the forwarder", async { Ok(ended?) }).await;
        }
        if args.measures(Part::Idle) {
            idle::measure(bench, cluster).await;
        }
        if let Task::Figures { failovers } = self.task
            && args.measures(Part::Pauses)
        {
            bench.accounts.rewind();
            pauses::measure(bench, cluster, failovers).await;
        }
    }
}
