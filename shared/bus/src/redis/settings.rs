//! What the transport is told at its start.

use std::time::Duration;

use secrecy::SecretString;
use streamz_protocol::ProcessId;

/// Instances, names and times. [`Settings::new`] has the times of the cluster; other times are for tests.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `redis://` and `rediss://` URLs, the same in the same order in every process.
    pub urls: Vec<SecretString>,
    /// Keeps clusters apart that share instances. Processes of one cluster agree on it.
    pub namespace: String,
    /// This process.
    pub process: ProcessId,
    /// How long connecting may take, TLS and the greeting included.
    pub connect_timeout: Duration,
    /// How long the answer to a command may take.
    pub response_timeout: Duration,
    /// How often a process says something to itself on each instance.
    pub loopback_interval: Duration,
    /// How long ago the newest loopback that came back may have left on an instance that is well.
    pub healthy_within: Duration,
    /// After how long without a loopback the connections to an instance are made anew.
    pub renew_after: Duration,
    /// How long nobody must have heard before that is evidence of a death.
    pub silence: Duration,
    /// For how long after its start an instance is no witness of anybody's death.
    pub restart_guard: Duration,
}

impl Settings {
    /// With the times of the cluster.
    #[must_use]
    pub fn new(urls: Vec<SecretString>, namespace: &str, process: ProcessId) -> Self {
        Self {
            urls,
            namespace: namespace.to_owned(),
            process,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(500),
            loopback_interval: Duration::from_secs(1),
            healthy_within: Duration::from_millis(2500),
            renew_after: Duration::from_secs(5),
            silence: Duration::from_millis(300),
            restart_guard: Duration::from_secs(5),
        }
    }
}
