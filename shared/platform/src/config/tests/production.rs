//! What only development lets pass.

use super::*;

#[test]
fn production_refuses_weak_secrets() {
    let production = ("ENV", "production");
    assert!(good(&[production, ("JWT_SECRET", STRONG)]).telemetry.json);
    let missing = problem(Role::Embedded, &[production]);
    assert_eq!(missing.variable, "JWT_SECRET");
    assert!(missing.message.contains("is missing"), "{missing}");
    for weak in [
        "secret",
        "changeme",
        "31-bytes-of-something-random-xy",
        "your-secret-key-change-in-production",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let problem = problem(Role::Embedded, &[production, ("JWT_SECRET", weak)]);
        assert_eq!(problem.variable, "JWT_SECRET");
        assert!(problem.message.starts_with("is weak: it "), "{problem}");
        assert!(!problem.message.contains(weak), "{problem}");
        // In development it is only worth a word.
        assert_eq!(good(&[("JWT_SECRET", weak)]).warnings.len(), 1);
    }
}

#[test]
fn production_refuses_wildcard_origins_and_does_not_assume_localhost() {
    let base = [("ENV", "prod"), ("JWT_SECRET", STRONG)];
    for all in ["*", "https://a.example,*"] {
        let problem = problem(Role::Embedded, &[base[0], base[1], ("ALLOWED_ORIGINS", all)]);
        assert_eq!(problem.variable, "ALLOWED_ORIGINS");
        assert!(problem.message.contains("every page"), "{problem}");
    }
    assert_eq!(good(&[("ALLOWED_ORIGINS", "*")]).warnings.len(), 1);
    let page = "http://localhost:3000";
    assert!(good(&[]).origins.allows(page, Some("127.0.0.1:8080")));
    assert!(!good(&base).origins.allows(page, Some("127.0.0.1:8080")));
}

#[test]
fn production_refuses_weak_turn_secrets() {
    let base = [("ENV", "production"), ("JWT_SECRET", STRONG), ("TURN_URLS", "turn:t.example")];
    for weak in ["north", "mysecret-mysecret", "abcdefghijklmnopqrst"] {
        let problem = problem(Role::Embedded, &[&base[..], &[("TURN_SECRET", weak)]].concat());
        assert_eq!(problem.variable, "TURN_SECRET");
        assert!(problem.message.starts_with("is weak: it "), "{problem}");
        assert!(!problem.message.contains(weak), "{problem}");
        assert_eq!(good(&[("TURN_SECRET", weak)]).warnings.len(), 1);
    }
    good(&[&base[..], &[("TURN_SECRET", "gT5wQz8LmX2vRk0p")]].concat());
}

#[test]
fn production_trusts_nobody_as_everybody() {
    let base = [("ENV", "production"), ("JWT_SECRET", STRONG)];
    for all in ["0.0.0.0/0", "::/0", "10.0.0.0/8,::/0"] {
        let problem = problem(Role::Embedded, &[&base[..], &[("TRUSTED_PROXIES", all)]].concat());
        assert_eq!(problem.variable, "TRUSTED_PROXIES");
        assert!(problem.message.starts_with("trusts everybody ("), "{problem}");
        let warnings = good(&[("TRUSTED_PROXIES", all)]).warnings;
        assert!(matches!(&warnings[..], [one] if one.contains("trusts everybody")), "{warnings:?}");
    }
    good(&[&base[..], &[("TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8")]].concat());
}
