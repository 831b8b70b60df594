use super::*;

fn only(listed: &[&str], localhost: bool) -> AllowedOrigins {
    AllowedOrigins::Only {
        listed: listed.iter().map(|text| Origin::parse(text).unwrap()).collect(),
        localhost,
    }
}

#[test]
fn an_origin_is_written_as_a_browser_writes_it() {
    for (text, wanted) in [
        ("https://App.Example", "https://app.example"),
        ("HTTPS://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://[::1]", "http://[::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
    ] {
        assert_eq!(Origin::parse(text).unwrap().as_str(), wanted);
    }
}

#[test]
fn listed_origins_are_allowed_and_no_others() {
    let origins = only(&["https://app.example:443", "http://b.example:8080"], false);
    for good in ["https://app.example", "https://APP.example", "http://b.example:8080"] {
        assert!(origins.allows(good, None), "{good}");
    }
    for bad in [
        "http://app.example",
        "https://app.example.evil",
        "https://evil-app.example",
        "https://x.app.example",
        "https://app.example:8443",
        "http://b.example",
        "http://localhost:3000",
        "null",
        "",
        "https://app.example/",
    ] {
        assert!(!origins.allows(bad, Some("api.example")), "{bad}");
    }
    assert!(AllowedOrigins::Any.allows("null", None));
}

#[test]
fn the_same_origin_is_always_allowed() {
    let origins = only(&[], false);
    assert!(origins.allows("https://api.example", Some("api.example")));
    assert!(origins.allows("https://api.example", Some("API.example:443")));
    assert!(origins.allows("http://127.0.0.1:8080", Some("127.0.0.1:8080")));
    assert!(origins.allows("http://[::1]:8080", Some("[::1]:8080")));
    assert!(!origins.allows("http://api.example:8080", Some("api.example")));
    assert!(!origins.allows("http://127.0.0.1:8081", Some("127.0.0.1:8080")));
    assert!(!origins.allows("https://api.example", None));
}

#[test]
fn localhost_is_every_port_of_this_machine_if_allowed() {
    for page in ["http://localhost", "http://localhost:5173", "http://127.0.0.1:3000", "https://[::1]:3000"] {
        assert!(only(&[], true).allows(page, Some("192.0.2.7:8080")), "{page}");
        assert!(!only(&[], false).allows(page, Some("192.0.2.7:8080")), "{page}");
    }
    for page in ["http://localhost.evil", "http://127.0.0.1.evil:80", "http://evil/localhost"] {
        assert!(!only(&[], true).allows(page, None), "{page}");
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn proxies(networks: &[&str]) -> TrustedProxies {
    TrustedProxies(networks.iter().map(|text| parse_network(text).unwrap()).collect())
}

#[test]
fn proxies_are_known_in_both_writings() {
    let ours = proxies(&["10.0.0.0/8", "192.0.2.1", "fd00::/8"]);
    for address in ["10.255.0.1", "::ffff:10.0.0.1", "192.0.2.1", "fd12::1"] {
        assert!(ours.contains(ip(address)), "{address}");
    }
    for address in ["11.0.0.1", "192.0.2.2", "::1", "::ffff:11.0.0.1"] {
        assert!(!ours.contains(ip(address)), "{address}");
    }
    assert!(!TrustedProxies::default().contains(ip("127.0.0.1")));
}

#[test]
fn the_client_is_the_last_address_that_a_proxy_of_ours_vouches_for() {
    let ours = proxies(&["10.0.0.0/8"]);
    let client =
        |peer: &str, forwarded: &[&str]| ours.client(ip(peer), forwarded.iter().copied()).to_string();
    assert_eq!(client("203.0.113.9", &["1.1.1.1"]), "203.0.113.9", "a stranger's word is nothing");
    assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    assert_eq!(client("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
    assert_eq!(client("10.0.0.1", &["1.1.1.1", "203.0.113.9", " 10.0.0.2 "]), "203.0.113.9");
    assert_eq!(client("10.0.0.1", &["1.1.1.1", "nonsense"]), "10.0.0.1");
    assert_eq!(client("::ffff:10.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
}
