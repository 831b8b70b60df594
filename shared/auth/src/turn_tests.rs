use super::*;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

fn servers(urls: &[&str]) -> IceServers {
    let urls = urls.iter().map(|url| IceUrl::parse(url).unwrap());
    IceServers::new(urls, Some("north".into()), Duration::from_secs(3600)).unwrap()
}

fn hmac_hex(key: &[u8], text: &[u8]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 2202 section 3, cases 1, 2 and 6.
#[test]
fn hmac_sha1_is_that_of_the_rfc() {
    let cases: [(&[u8], &[u8], &str); 3] = [
        (&[0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
        (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (
            &[0xaa; 80],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "aa4ae5e15272d00e95705637ce8a3b55ed402112",
        ),
    ];
    for (key, text, wanted) in cases {
        assert_eq!(hmac_hex(key, text), wanted);
    }
}

#[test]
fn the_credential_is_the_base64_of_it() {
    // RFC 2202 case 2, in base64.
    let secret = SecretString::from("Jefe");
    assert_eq!(credential(&secret, "what do ya want for nothing?"), "7/zfauXrL6LSdBbV8YTfnCWafHk=");
    // printf '1767229200:ann' | openssl dgst -sha1 -hmac north -binary | base64
    assert_eq!(credential(&"north".into(), "1767229200:ann"), "n88NbElL9GakolrNH9uw7P0p09E=");
}

#[test]
fn a_user_is_told_stun_without_and_turn_with_credentials() {
    let servers = servers(&["turn:t.example:3478", "stun:s.example", "turns:t.example:5349?transport=tcp"]);
    let told = servers.at("ann", None, now());
    assert_eq!(told.len(), 2);
    assert_eq!((&*told[0].urls, &told[0].username), (&["stun:s.example".to_owned()][..], &None));
    assert_eq!(told[1].urls, ["turn:t.example:3478", "turns:t.example:5349?transport=tcp"]);
    assert_eq!(told[1].username.as_deref(), Some("1767229200:ann"));
    assert_eq!(told[1].credential.as_deref(), Some("n88NbElL9GakolrNH9uw7P0p09E="));
    assert_eq!(servers.renew_at(now()), Some(now() + chrono::TimeDelta::seconds(2700)));
    assert!(!format!("{told:?}{servers:?}").contains("n88NbElL9GakolrNH9uw7P0p09E="));
    assert!(!format!("{servers:?}").contains("north"));
}

#[test]
fn json_is_what_a_browser_takes() {
    let json = |urls: &[&str]| serde_json::to_value(servers(urls).at("ann", None, now())).unwrap();
    assert_eq!(json(&["stun:s.example"]), serde_json::json!([{"urls": ["stun:s.example"]}]));
    assert_eq!(
        json(&["turn:t.example"]),
        serde_json::json!([{
            "urls": ["turn:t.example"], "username": "1767229200:ann", "credential": "n88NbElL9GakolrNH9uw7P0p09E=",
        }])
    );
}

#[test]
fn nothing_configured_is_nothing_told_and_nothing_to_renew() {
    let none = IceServers::default();
    assert!(none.at("ann", None, now()).is_empty());
    assert_eq!(none.renew_at(now()), None);
    assert_eq!(servers(&["stun:s.example"]).renew_at(now()), None);
}

#[test]
fn the_server_in_this_process_is_told_by_the_host_that_reached_it() {
    let embedded = |host: Option<&str>| {
        let host = host.map(|host| host.parse().unwrap());
        servers(&["stun:s.example"]).with_embedded(EmbeddedTurn { host, port: 3478 }, "north".into())
    };
    let told = |host, reached| {
        let told = embedded(host).at("ann", reached, now());
        told.into_iter().map(|server| server.urls.join(" ")).collect::<Vec<_>>()
    };
    for (reached, host) in [
        ("laptop.local:8080", "laptop.local"),
        ("laptop.local", "laptop.local"),
        ("192.168.1.7:443", "192.168.1.7"),
        ("[fd00::7]:8080", "[fd00::7]"),
        ("[fd00::7]", "[fd00::7]"),
    ] {
        let turn = format!("turn:{host}:3478?transport=udp");
        assert_eq!(told(None, Some(reached)), [format!("stun:s.example stun:{host}:3478"), turn]);
        assert_eq!(told(Some("10.0.0.1"), Some(reached))[1], "turn:10.0.0.1:3478?transport=udp");
    }
    assert_eq!(told(Some("fd00::1"), None)[1], "turn:[fd00::1]:3478?transport=udp");
    // What is no host is told to nobody.
    for reached in [None, Some(""), Some(":8080"), Some("a b"), Some("x/y"), Some("u@h"), Some("[::1")] {
        assert_eq!(told(None, reached), ["stun:s.example"], "{reached:?}");
    }
    let servers = embedded(None).at("ann", Some("h"), now());
    assert_eq!(servers[1].credential.as_deref(), Some("n88NbElL9GakolrNH9uw7P0p09E="));
    assert!(embedded(None).depend_on_host() && !embedded(Some("::1")).depend_on_host());
    assert!(embedded(None).renew_at(now()).is_some());
}

#[test]
fn a_name_is_its_user_s_until_it_lapses() {
    let at = |seconds| now() + chrono::TimeDelta::seconds(seconds);
    assert_eq!(user_of("1767225601:ann", now()), Some("ann"));
    assert_eq!(user_of("1767225601:ann", at(1)), None);
    assert_eq!(user_of("1767225601:a:b", now()), Some("a:b"));
    for none in ["", "ann", ":ann", "x:ann", "1767225600:ann", "-1:ann", "99999999999999999999:ann"] {
        assert_eq!(user_of(none, now()), None, "{none}");
    }
}

#[test]
fn a_turn_server_needs_a_secret_and_credentials_a_life() {
    let new = |secret: Option<&str>, ttl| {
        let urls = [IceUrl::parse("turn:t.example").unwrap()];
        IceServers::new(urls, secret.map(SecretString::from), Duration::from_millis(ttl)).map(|_| ())
    };
    assert_eq!(new(None, 1000), Err(InvalidIceServers::MissingSecret));
    assert_eq!(new(Some(""), 1000), Err(InvalidIceServers::MissingSecret));
    assert_eq!(new(Some("x"), 999), Err(InvalidIceServers::NoLife));
    assert_eq!(new(Some("x"), 1000), Ok(()));
}

#[test]
fn good_addresses_are_taken_as_they_are() {
    for url in [
        "stun:stun.example.org",
        "stun:192.0.2.1:3478",
        "stuns:stun.example.org:5349",
        "turn:turn.example.org",
        "turn:turn.example.org:3478?transport=udp",
        "turns:turn.example.org:443?transport=tcp",
        "turn:[2001:db8::1]:3478",
        "stun:[::1]",
    ] {
        assert_eq!(IceUrl::parse(url).unwrap().as_str(), url);
    }
    assert_eq!(IceUrl::parse("TURN:t.example").unwrap().as_str(), "turn:t.example");
    assert!(IceUrl::parse("turns:t.example").unwrap().is_turn());
    assert!(!IceUrl::parse("stuns:t.example").unwrap().is_turn());
}

#[test]
fn bad_addresses_are_refused_with_what_is_wrong() {
    for (url, wrong) in [
        ("", "no scheme"),
        ("turn.example.org", "no scheme"),
        ("turn.example.org:3478", "not stun"),
        ("https://turn.example.org", "not stun"),
        ("turn://turn.example.org", "//"),
        ("turn:", "no host"),
        ("turn::3478", "no host"),
        ("turn:t.example:0", "port"),
        ("turn:t.example:65536", "port"),
        ("turn:t.example:+80", "port"),
        ("turn:t.example:", "port"),
        ("turn:t.example:3478?transport=sctp", "transport="),
        ("turn:t.example?x=1", "transport="),
        ("stun:s.example?transport=udp", "no ?"),
        ("turn:[2001:db8::1", "not closed"),
        ("turn:[2001:db8::zz]", "not an IPv6"),
        ("turn:[::1]3478", ":port"),
        ("turn:user@t.example", "not a name"),
        ("turn:t example", "not a name"),
        ("turn:t.example/path", "not a name"),
        ("turn:tä.example", "not a name"),
    ] {
        let error = IceUrl::parse(url).unwrap_err();
        assert!(error.problem.contains(wrong), "{url}: {error}");
    }
}
