//! Where packets may be relayed to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// No host has such an address, whatever is configured.
const NOWHERE_V4: [Ipv4Net; 3] = [
    v4(0, 0, 0, 0, 8),   // "this network"; 0.0.0.0 reaches the own machine
    v4(224, 0, 0, 0, 4), // multicast
    v4(240, 0, 0, 0, 4), // reserved, and the broadcast
];

/// Addresses that are not the internet's (RFC 6890), as coturn's guides advise to deny.
const NOT_PUBLIC_V4: [Ipv4Net; 12] = [
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // carrier-grade NAT
    v4(127, 0, 0, 0, 8),     // loopback
    v4(169, 254, 0, 0, 16),  // link-local; clouds tell secrets at 169.254.169.254
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 88, 99, 0, 24),  // 6to4 relays
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
];

const NOWHERE_V6: [Ipv6Net; 2] = [
    v6(0, 0, 0, 128),    // unspecified
    v6(0xff00, 0, 0, 8), // multicast
];

/// The same; and forms that hide an IPv4 address, which a translator on the way would bring out again.
const NOT_PUBLIC_V6: [Ipv6Net; 10] = [
    v6(0, 0, 0, 8), // loopback, IPv4-compatible, and what nobody has; IPv4-mapped is judged as IPv4
    v6(0x64, 0xff9b, 0, 96), // NAT64
    v6(0x64, 0xff9b, 1, 48), // NAT64 within a network
    v6(0x100, 0, 0, 64), // discard
    v6(0x2001, 0, 0, 23), // protocol assignments, Teredo
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x2002, 0, 0, 16), // 6to4
    v6(0xfc00, 0, 0, 7), // unique local
    v6(0xfe80, 0, 0, 10), // link-local
    v6(0xfec0, 0, 0, 10), // site-local, of old
];

/// To which addresses packets may be relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// To hosts on the internet only.
    Public,
    /// Also to this machine and to private networks: whoever may use the server then reaches what it reaches. For a
    /// network of one's own, and for tests.
    Any,
}

impl Peers {
    /// Whether packets may go there.
    #[must_use]
    pub fn allow(self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                !NOWHERE_V4.iter().any(|net| net.contains(&address))
                    && (self == Self::Any || !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address)))
            }
            IpAddr::V6(address) => {
                !NOWHERE_V6.iter().any(|net| net.contains(&address))
                    && (self == Self::Any || !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(peers: Peers, addresses: &[&str]) -> Vec<bool> {
        addresses.iter().map(|address| peers.allow(address.parse().unwrap())).collect()
    }

    #[test]
    fn the_internet_is_relayed_to() {
        let public = [
            "8.8.8.8",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:8.8.8.8",
        ];
        assert!(judge(Peers::Public, &public).iter().all(|allowed| *allowed));
        assert!(judge(Peers::Any, &public).iter().all(|allowed| *allowed));
    }

    #[test]
    fn this_machine_and_private_networks_only_if_configured() {
        let inside = [
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "192.88.99.1",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:169.254.169.254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fdff::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
        ];
        for (address, allowed) in inside.iter().zip(judge(Peers::Public, &inside)) {
            assert!(!allowed, "{address}");
        }
        for (address, allowed) in inside.iter().zip(judge(Peers::Any, &inside)) {
            assert!(allowed, "{address}");
        }
    }

    #[test]
    fn nowhere_is_never_relayed_to() {
        let nowhere = [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "ff02::1",
            "::ffff:0.0.0.0",
            "::ffff:224.0.0.1",
        ];
        for peers in [Peers::Public, Peers::Any] {
            assert!(judge(peers, &nowhere).iter().all(|allowed| !*allowed));
        }
    }
}
