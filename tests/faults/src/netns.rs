//! Network namespaces: machines of their own, as far as the network is concerned.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use streamz_tests::Place;

/// A direction between a namespace and the rest of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// What leaves it is lost.
    Out,
    /// What goes to it is lost.
    In,
    /// Both.
    Both,
}

/// A namespace with one link to this machine. Dropped, it is removed.
pub(crate) struct Netns {
    name: String,
    host: String,
    inside: String,
}

impl Netns {
    /// Makes one. It needs root, and `ip` of Debian's package `iproute2`.
    ///
    /// # Panics
    /// If it cannot be made; the message says what is missing.
    #[must_use]
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let pid = std::process::id();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("szf{pid}-{number}");
        // Interfaces have names of 15 characters at most.
        let (outer, inner) =
            (format!("szo{}x{number}", pid % 100_000), format!("szi{}x{number}", pid % 100_000));
        let net = format!("10.{}.{}", 64 + pid % 128, number % 256);
        let this = Self { host: format!("{net}.1"), inside: format!("{net}.2"), name };
        ip(&["netns", "add", &this.name]);
        ip(&["link", "add", &outer, "type", "veth", "peer", "name", &inner, "netns", &this.name]);
        ip(&["addr", "add", &format!("{}/24", this.host), "dev", &outer]);
        ip(&["link", "set", &outer, "up"]);
        ip(&["-n", &this.name, "addr", "add", &format!("{}/24", this.inside), "dev", &inner]);
        ip(&["-n", &this.name, "link", "set", &inner, "up"]);
        ip(&["-n", &this.name, "link", "set", "lo", "up"]);
        this
    }

    /// A process that runs in it, listens on its address, and reaches these ports of this machine under these names.
    #[must_use]
    pub(crate) fn place(&self, urls: &[(&str, String)]) -> Place {
        let through = ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec();
        let mut variables: BTreeMap<String, String> = urls
            .iter()
            .map(|(name, url)| ((*name).to_owned(), url.replace("127.0.0.1", &self.host)))
            .collect();
        variables.insert("HOST".into(), self.inside.clone());
        Place { through, variables }
    }

    /// Cuts it off. Packets vanish, as they do behind a switch that lost power: nobody is told.
    pub(crate) fn cut(&self, cut: Cut) {
        if cut != Cut::In {
            ip(&["-n", &self.name, "route", "add", "blackhole", &format!("{}/32", self.host)]);
        }
        if cut != Cut::Out {
            ip(&["route", "add", "blackhole", &format!("{}/32", self.inside)]);
        }
    }

    /// Ends a [`cut`](Self::cut).
    pub(crate) fn mend(&self, cut: Cut) {
        if cut != Cut::In {
            ip(&["-n", &self.name, "route", "del", "blackhole", &format!("{}/32", self.host)]);
        }
        if cut != Cut::Out {
            ip(&["route", "del", "blackhole", &format!("{}/32", self.inside)]);
        }
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // The interfaces go with it. Nothing to be done about a failure here.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
        let _ =
            Command::new("ip").args(["route", "del", "blackhole", &format!("{}/32", self.inside)]).output();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("ip: {error}; apt-get install -y iproute2"));
    assert!(
        output.status.success(),
        "ip {} (it needs root): {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}
