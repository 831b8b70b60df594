//! What can go wrong, and how to make it.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use rand::seq::IndexedRandom;
use streamz_protocol::Millis;
use tokio::time::sleep;

use crate::netns::{Cut, Netns};
use crate::proxy::Way;
use crate::stage::{Retired, Stage};

/// How long a process or a machine is cut off: past its lease of four seconds.
const CUT_OFF: Duration = Duration::from_secs(10);
/// How long ways are slow and lossy.
const SLOW: Duration = Duration::from_secs(15);

/// A fault, from the blow to what an operator or an orchestrator does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// SIGKILL of a node.
    NodeKilled,
    /// SIGKILL of the node that coordinates.
    CoordinatorKilled,
    /// SIGKILL of a gateway.
    GatewayKilled,
    /// SIGKILL of a gateway and a node at once.
    GatewayAndNodeKilled,
    /// SIGSTOP of a node for one second.
    NodeStopped1s,
    /// For three seconds: still within its lease.
    NodeStopped3s,
    /// For six.
    NodeStopped6s,
    /// For twenty.
    NodeStopped20s,
    /// SIGSTOP of a gateway for one second.
    GatewayStopped1s,
    /// For six.
    GatewayStopped6s,
    /// For twenty.
    GatewayStopped20s,
    /// A node is replaced in order.
    NodeReplaced,
    /// A gateway is replaced in order.
    GatewayReplaced,
    /// Redis drops every subscriber: `CLIENT KILL TYPE pubsub`.
    SubscribersKilled,
    /// One of two Redis restarts.
    RedisRestarted,
    /// One of two Redis is away for ten seconds.
    OneRedisAway,
    /// One of two Redis answers nobody for ten seconds.
    OneRedisStopped,
    /// All Redis are away for thirty seconds.
    AllRedisAway,
    /// Postgres restarts.
    PostgresRestarted,
    /// Postgres is away for thirty seconds.
    PostgresAway,
    /// The same, and a node is killed meanwhile.
    PostgresAwayAndNodeKilled,
    /// What a node sends and what is sent to it is lost for ten seconds.
    NodeCutOff,
    /// Only what it sends.
    NodeCutOffOut,
    /// Only what is sent to it.
    NodeCutOffIn,
    /// What a gateway sends and what is sent to it is lost for ten seconds.
    GatewayCutOff,
    /// Only what it sends.
    GatewayCutOffOut,
    /// Only what is sent to it.
    GatewayCutOffIn,
    /// Each way to Redis and Postgres takes 10 to 20 ms more, and one piece of data in a hundred is lost.
    SlowWays,
    /// Every process is replaced, new gateways before old ones.
    AllReplaced,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no fault is skipped");
        f.write_str(value.get_name())
    }
}

impl Fault {
    /// The fault of that name.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::from_str(name, false).expect("a fault's own name")
    }

    /// Whether a session may begin anew by it: only if its gateway and its hub may have been lost together.
    #[must_use]
    pub fn may_begin_anew(self) -> bool {
        self == Self::GatewayAndNodeKilled
    }

    /// How often one device may have to connect anew.
    #[must_use]
    pub fn reconnects_at_most(self) -> usize {
        match self {
            Self::GatewayKilled
            | Self::GatewayAndNodeKilled
            | Self::GatewayStopped6s
            | Self::GatewayStopped20s
            | Self::GatewayReplaced
            | Self::GatewayCutOff
            | Self::GatewayCutOffOut
            | Self::GatewayCutOffIn
            | Self::AllReplaced => 1,
            // Its users' attaches are refused until Postgres is back.
            Self::PostgresAwayAndNodeKilled => usize::MAX,
            _ => 0,
        }
    }

    /// Whether messages may expire, or be refused: it lasts as long as they do, or ends sessions that they were for.
    #[must_use]
    pub fn outlasts_messages(self) -> bool {
        self.may_begin_anew() || matches!(self, Self::AllRedisAway | Self::PostgresAwayAndNodeKilled)
    }

    /// Does it, and mends it. Says when it was mended; when it struck, if there is nothing to mend.
    pub(crate) async fn strike(self, stage: &mut Stage) -> Millis {
        let seconds = Duration::from_secs;
        match self {
            Self::NodeKilled => kill_node(stage, any(&stage.nodes)).await,
            Self::CoordinatorKilled => {
                let node = stage.coordinator().await;
                kill_node(stage, node).await
            }
            Self::GatewayKilled => {
                let gateway = busy_gateway(stage);
                kill_gateway(stage, gateway).await
            }
            Self::GatewayAndNodeKilled => {
                let (gateway, node) = (busy_gateway(stage), any(&stage.nodes));
                stage.node(node).signal("KILL");
                stage.nodes.retain(|known| *known != node);
                kill_gateway(stage, gateway).await
            }
            Self::NodeStopped1s => stop_node(stage, seconds(1)).await,
            Self::NodeStopped3s => stop_node(stage, seconds(3)).await,
            Self::NodeStopped6s => stop_node(stage, seconds(6)).await,
            Self::NodeStopped20s => stop_node(stage, seconds(20)).await,
            Self::GatewayStopped1s => stop_gateway(stage, seconds(1)).await,
            Self::GatewayStopped6s => stop_gateway(stage, seconds(6)).await,
            Self::GatewayStopped20s => stop_gateway(stage, seconds(20)).await,
            Self::NodeReplaced => {
                let node = any(&stage.nodes);
                replace_node(stage, node).await;
                stage.scene.now()
            }
            Self::GatewayReplaced => {
                let old = busy_gateway(stage);
                stage.one_more_gateway().await;
                drain_gateways(stage, &[old]).await
            }
            Self::SubscribersKilled => {
                for redis in &stage.redis {
                    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
                }
                stage.scene.now()
            }
            Self::RedisRestarted => redis_away(stage, 1, Duration::ZERO).await,
            Self::OneRedisAway => redis_away(stage, 1, seconds(10)).await,
            Self::OneRedisStopped => {
                stage.redis[0].pause();
                sleep(seconds(10)).await;
                stage.redis[0].resume();
                stage.scene.now()
            }
            Self::AllRedisAway => redis_away(stage, 2, seconds(30)).await,
            Self::PostgresRestarted => {
                stage.postgres.crash();
                stage.postgres.start_again();
                stage.scene.now()
            }
            Self::PostgresAway => {
                stage.postgres.stop();
                sleep(seconds(30)).await;
                stage.postgres.start_again();
                stage.scene.now()
            }
            Self::PostgresAwayAndNodeKilled => {
                stage.postgres.stop();
                sleep(seconds(5)).await;
                let node = any(&stage.nodes);
                kill_node(stage, node).await;
                sleep(seconds(25)).await;
                stage.postgres.start_again();
                stage.scene.now()
            }
            Self::NodeCutOff => cut_off_node(stage, Cut::Both).await,
            Self::NodeCutOffOut => cut_off_node(stage, Cut::Out).await,
            Self::NodeCutOffIn => cut_off_node(stage, Cut::In).await,
            Self::GatewayCutOff => cut_off_gateway(stage, Cut::Both).await,
            Self::GatewayCutOffOut => cut_off_gateway(stage, Cut::Out).await,
            Self::GatewayCutOffIn => cut_off_gateway(stage, Cut::In).await,
            Self::SlowWays => {
                for way in &stage.ways {
                    way.set(Way { delay: Duration::from_millis(10), lost_of_thousand: 10 });
                }
                sleep(SLOW).await;
                for way in &stage.ways {
                    way.set(Way::default());
                }
                stage.scene.now()
            }
            Self::AllReplaced => {
                for node in stage.nodes.clone() {
                    replace_node(stage, node).await;
                }
                let old = stage.gateways.clone();
                for _ in &old {
                    stage.one_more_gateway().await;
                }
                drain_gateways(stage, &old).await
            }
        }
    }
}

fn any(of: &[usize]) -> usize {
    *of.choose(&mut rand::rng()).expect("there is always one")
}

/// A gateway that matters: one that was just started has no devices yet.
fn busy_gateway(stage: &Stage) -> usize {
    let observer = stage.scene.observer();
    let gateways = stage.gateways.iter().copied();
    gateways.max_by_key(|gateway| observer.devices_at(*gateway)).expect("there is always one")
}

async fn kill_node(stage: &mut Stage, node: usize) -> Millis {
    let at = stage.scene.now();
    stage.node(node).kill().await;
    stage.nodes.retain(|known| *known != node);
    at
}

/// A load balancer sees a connection refused, and sends nobody there.
async fn kill_gateway(stage: &mut Stage, gateway: usize) -> Millis {
    let at = stage.scene.now();
    stage.gateway(gateway).kill().await;
    stage.gateways.retain(|known| *known != gateway);
    stage.rotate();
    at
}

async fn stop_node(stage: &mut Stage, time: Duration) -> Millis {
    let node = any(&stage.nodes);
    stage.node(node).signal("STOP");
    sleep(time).await;
    stage.node(node).signal("CONT");
    stage.scene.now()
}

/// New connections go elsewhere as soon as a health check would have noticed.
async fn stop_gateway(stage: &mut Stage, time: Duration) -> Millis {
    let gateway = busy_gateway(stage);
    stage.scene.observer().gateway_troubled(stage.scene.now(), gateway);
    stage.gateway(gateway).signal("STOP");
    stage.gateways.retain(|known| *known != gateway);
    stage.rotate();
    sleep(time).await;
    stage.gateway(gateway).signal("CONT");
    // It may begin anew before a health check lets it back.
    stage.retired.push(Retired::Gateway(gateway));
    stage.scene.now()
}

async fn replace_node(stage: &mut Stage, node: usize) {
    stage.one_more_node().await;
    stage.node(node).stop().await;
    stage.nodes.retain(|known| *known != node);
}

/// They leave the rotation first.
async fn drain_gateways(stage: &mut Stage, old: &[usize]) -> Millis {
    stage.gateways.retain(|known| !old.contains(known));
    stage.rotate();
    for gateway in old {
        stage.gateway(*gateway).stop().await;
    }
    stage.scene.now()
}

async fn redis_away(stage: &Stage, count: usize, time: Duration) -> Millis {
    for redis in &stage.redis[..count] {
        redis.stop();
    }
    sleep(time).await;
    for redis in &stage.redis[..count] {
        redis.start_again();
    }
    stage.scene.now()
}

/// The node comes, takes its slots, is cut off and comes back, and leaves in order.
async fn cut_off_node(stage: &mut Stage, cut: Cut) -> Millis {
    let netns = Netns::new();
    stage.fleet.add_node_at(netns.place(&stage.urls)).await;
    let node = stage.fleet.nodes.len() - 1;
    stage.node(node).ready().await;
    stage.settle().await;
    stage.struck = stage.scene.now();
    netns.cut(cut);
    sleep(CUT_OFF).await;
    netns.mend(cut);
    stage.namespaces.push(netns);
    stage.retired.push(Retired::Node(node));
    stage.scene.now()
}

/// The gateway comes, gets its share of the devices, is cut off and comes back, and leaves in order.
async fn cut_off_gateway(stage: &mut Stage, cut: Cut) -> Millis {
    let netns = Netns::new();
    stage.fleet.add_gateway_at(netns.place(&stage.urls)).await;
    let gateway = stage.fleet.gateways.len() - 1;
    stage.gateway(gateway).ready().await;
    // One of the others goes, so that devices come to it.
    let old = busy_gateway(stage);
    stage.gateways.push(gateway);
    drain_gateways(stage, &[old]).await;
    stage.settle().await;
    stage.struck = stage.scene.now();
    stage.scene.observer().gateway_troubled(stage.struck, gateway);
    netns.cut(cut);
    stage.gateways.retain(|known| *known != gateway);
    stage.rotate();
    sleep(CUT_OFF).await;
    netns.mend(cut);
    stage.namespaces.push(netns);
    stage.retired.push(Retired::Gateway(gateway));
    stage.scene.now()
}
