//! What signs, and by what a fleet knows itself.

use streamz_auth::Signs;

use super::*;

const OTHER: &str = "Zk4vT9qLr2Wx7mBn5cPy8sHd3gJf6aQe";
const FOLDER: (&str, &str) = ("JWT_KEYS_DIR", "/etc/streamz/keys");
const SIGNS: (&str, &str) = ("JWT_SIGNING_KEY", "2026-11");
const SECRET: (&str, &str) = ("JWT_SECRET", STRONG);

fn fleet<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut vars = vec![("DATABASE_URL", POSTGRES), ("REDIS_URL", "redis://r1")];
    vars.extend(more);
    vars
}

/// Who signs and who verifies of a folder: `key+secret`, `key`, `secret`.
fn signs(config: &Config) -> String {
    let SigningSource::Folder(folder) = &config.signing else { panic!("{:?}", config.signing) };
    assert_eq!(folder.path.to_str(), Some(FOLDER.1));
    match &folder.signs {
        Signs::Secret(_) => "secret".to_owned(),
        Signs::Key { kid, secret } => {
            format!("{kid}{}", if secret.is_some() { " and secret" } else { "" })
        }
    }
}

#[test]
fn the_steps_from_a_secret_to_keys_are_configurations() {
    assert!(matches!(good(&[SECRET]).signing, SigningSource::Secret(_)));
    assert_eq!(signs(&good(&[SECRET, FOLDER])), "secret");
    assert_eq!(signs(&good(&[SECRET, FOLDER, SIGNS])), "2026-11 and secret");
    assert_eq!(signs(&good(&[FOLDER, SIGNS])), "2026-11");
    assert_eq!(signs(&good(&[FOLDER, ("JWT_SIGNING_KEY", "2026-11.pem")])), "2026-11");
    assert_eq!(signs(&good(&[("ENV", "production"), FOLDER, SIGNS])), "2026-11", "no secret is needed");
}

#[test]
fn half_of_it_is_a_problem_of_the_other_half() {
    let problem = |vars: &[_]| problem(Role::Embedded, vars);
    assert_eq!(problem(&[FOLDER]).variable, "JWT_SIGNING_KEY");
    assert_eq!(problem(&[SIGNS]).variable, "JWT_KEYS_DIR");
    assert_eq!(problem(&[SIGNS, SECRET]).variable, "JWT_KEYS_DIR");
    for bad in ["../key", "a b", ".pem", "ä"] {
        let problem = problem(&[FOLDER, ("JWT_SIGNING_KEY", bad)]);
        assert_eq!(problem.variable, "JWT_SIGNING_KEY", "{bad}");
        assert!(problem.message.contains("without .pem"), "{problem}");
    }
}

#[test]
fn a_fleet_knows_itself_by_a_secret_whatever_signs() {
    let secret = |config: &Config| config.bus_secret.as_ref().unwrap().expose_secret().to_owned();
    for role in [Role::Gateway, Role::Node] {
        assert_eq!(secret(&read(role, &fleet(&[SECRET])).unwrap()), STRONG);
        let both = read(role, &fleet(&[SECRET, ("BUS_SECRET", OTHER)])).unwrap();
        assert_eq!(secret(&both), OTHER);
        assert_eq!(secret(&read(role, &fleet(&[FOLDER, SIGNS, ("BUS_SECRET", OTHER)])).unwrap()), OTHER);
        assert_eq!(problem(role, &fleet(&[FOLDER, SIGNS])).variable, "BUS_SECRET");
        let weak = fleet(&[("ENV", "production"), SECRET, ("BUS_SECRET", "changeme")]);
        assert_eq!(problem(role, &weak).variable, "BUS_SECRET");
    }
    // A node signs nothing: it needs neither keys nor their secret, and is not confused by them.
    let node = fleet(&[("ENV", "production"), ("BUS_SECRET", OTHER)]);
    assert_eq!(secret(&read(Role::Node, &node).unwrap()), OTHER);
    assert!(read(Role::Node, &fleet(&[("BUS_SECRET", OTHER), FOLDER])).is_ok());
    // A gateway without a key to sign with is told of that one.
    assert_eq!(problem(Role::Gateway, &fleet(&[("BUS_SECRET", OTHER)])).variable, "JWT_SECRET");
    assert!(good(&[]).bus_secret.is_none());
}
