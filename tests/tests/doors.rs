//! A fleet whose ways to Redis and Postgres are locked: TLS that is checked, and users who may do what they must and no
//! more. What is granted here is what docs/security.md tells to grant.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::json;
use streamz_testkit::{Authority, Postgres, Redis, RedisOptions};
use streamz_tests::{Server, Topology, User, command, eventually, run};

/// Redis: one user.
const USER: &str =
    "streamz on >b7Lq2 resetkeys resetchannels &streamz:* -@all +hello +publish +subscribe +info";
/// The servers are the test's own.
const FLEET: Topology = Topology::Fleet { gateways: 2, nodes: 1, redis: 0 };

/// Postgres: a role that owns the tables, and one that uses them.
fn grants(database: &str) -> [String; 2] {
    [
        format!(
            "CREATE ROLE streamz_owner LOGIN; CREATE ROLE streamz_app LOGIN; \
             ALTER DATABASE {database} OWNER TO streamz_owner; REVOKE ALL ON DATABASE {database} FROM PUBLIC; \
             GRANT CONNECT ON DATABASE {database} TO streamz_app"
        ),
        "REVOKE ALL ON SCHEMA public FROM PUBLIC; ALTER SCHEMA public OWNER TO streamz_owner; \
         GRANT USAGE ON SCHEMA public TO streamz_app; \
         ALTER DEFAULT PRIVILEGES FOR ROLE streamz_owner IN SCHEMA public \
         GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO streamz_app"
            .to_owned(),
    ]
}

/// Servers that only this test has.
struct Doors {
    postgres: Postgres,
    redis: Redis,
    folder: tempfile::TempDir,
}

impl Doors {
    fn start() -> Self {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        authority.write(&folder.path().join("ca.crt"));
        Authority::new().write(&folder.path().join("other.crt"));
        let postgres = Postgres::start_tls(&authority).unwrap();
        let options = RedisOptions { password: "admin", users: &[USER], tls: Some(&authority) };
        let redis = Redis::start_with(&options).unwrap();
        Self { postgres, redis, folder }
    }

    /// The same with a database and who may use it.
    fn with_roles() -> Self {
        let doors = Self::start();
        doors.postgres.create_database();
        let [roles, schema] = grants("test_0");
        doors.postgres.sql("postgres", &roles);
        doors.postgres.sql("test_0", &schema);
        doors
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// As a role, with a check of the server by the authority in this file.
    fn database(&self, role: &str, database: &str, authority: &str) -> String {
        let (port, authority) = (self.postgres.port(), self.file(authority));
        format!("postgres://{role}@127.0.0.1:{port}/{database}?sslmode=verify-full&sslrootcert={authority}")
    }

    fn bus(&self) -> String {
        format!("rediss://streamz:b7Lq2@127.0.0.1:{}/", self.redis.port())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Registers, connects, relays, streams, records and signs out.
async fn everything(server: &Server) {
    let user = User::new(server).await;
    let mut phone = user.raw("phone").await;
    let other = server.gateways.last().unwrap();
    let mut tv = user.through(other).raw("tv").await;
    phone.until("device_online").await;
    phone
        .say(json!({"type": "sdp_offer", "id": "m-1", "payload": {"to_device_id": "tv", "sdp": "v=0"}}))
        .await;
    tv.until("sdp_offer").await;
    tv.ack().await;
    assert_eq!(phone.outcome("m-1").await["type"], "delivered");
    phone
        .say(json!({"type": "stream_start", "id": "s-1", "payload": {"to_device_id": "tv", "stream_type": "both"}}))
        .await;
    let stream = phone.until("stream_ringing").await["payload"]["stream_id"].as_str().unwrap().to_owned();
    tv.until("stream_start").await;
    phone
        .say(json!({"type": "stream_end", "id": "s-2", "payload": {"stream_id": stream, "reason": "over"}}))
        .await;
    let ended = eventually(|| async {
        Some(user.record(&stream).await).filter(|record| !record["ended_at"].is_null())
    });
    assert_eq!(ended.await["end_reason"], "over");
    let fresh = user.sign_in_again().await.unwrap();
    let out = fresh.api.refresh(&fresh.signed_in.refresh_token).await.unwrap();
    let removed = server.http();
    let removed =
        removed.send_as(user.token(), "DELETE".parse().unwrap(), "/api/devices/tv", &json!({})).await;
    assert_eq!(removed.status, 204);
    let out = user.with(out);
    let answer =
        server.http().send_as(out.token(), "POST".parse().unwrap(), "/api/auth/logout", &json!({})).await;
    assert_eq!(answer.status, 204);
}

#[test]
fn a_fleet_runs_over_tls_as_users_who_may_do_little() {
    run(FLEET, async |topology| {
        let doors = blocking(Doors::with_roles).await;
        let (owner, app) = (
            doors.database("streamz_owner", "test_0", "ca.crt"),
            doors.database("streamz_app", "test_0", "ca.crt"),
        );
        let (bus, ca, other) = (doors.bus(), doors.file("ca.crt"), doors.file("other.crt"));
        let variables = [("DATABASE_URL", &*app), ("REDIS_URL", &*bus), ("SSL_CERT_FILE", &*ca)];

        // The one role makes the tables, and the other cannot.
        let migrate = async |url: &str| {
            let output = command(Path::new("/"), &["migrate"], &[("DATABASE_URL", url)]).await;
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let (code, said) = migrate(&app).await;
        assert!(code == Some(1) && said.contains("permission denied"), "{said}");
        assert_eq!(migrate(&owner).await, (Some(0), String::new()));
        // Who may not change them finds nothing to do.
        assert_eq!(migrate(&app).await, (Some(0), String::new()));

        let mut server = Server::start_over(topology, &variables).await;
        everything(&server).await;
        let (encrypted, may, denied) = {
            let sql = |text: &str| doors.postgres.sql("test_0", text);
            (
                sql("SELECT bool_and(ssl), count(*) > 2 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'streamz' AND usename = 'streamz_app'"),
                sql("SELECT has_schema_privilege('streamz_app', 'public', 'CREATE'), \
                     has_database_privilege('streamz_app', 'test_0', 'CREATE')"),
                doors.redis.command(&["ACL", "LOG"]),
            )
        };
        assert_eq!((&*encrypted, &*may), ("t|t", "f|f"));
        assert_eq!(denied, "", "Redis refused something");

        // `check` agrees, and a server that somebody else vouches for is refused by it and at the start.
        let check = server.beside(&["check", "--role", "gateway"], &[("PORT", "0")]).await;
        let said = String::from_utf8(check.stdout).unwrap();
        assert_eq!(check.status.code(), Some(0), "{said}");
        let strange = doors.database("streamz_app", "test_0", "other.crt");
        for (wrong, what, sentence) in [
            (("SSL_CERT_FILE", &*other), "bus", "has a TLS problem: invalid peer certificate"),
            (("DATABASE_URL", &*strange), "database", "invalid peer certificate"),
        ] {
            let check = server.beside(&["check", "--role", "gateway"], &[("PORT", "0"), wrong]).await;
            let said = String::from_utf8(check.stdout).unwrap();
            assert_eq!(check.status.code(), Some(1), "{said}");
            let problem = said.lines().find(|line| line.starts_with("  problem ")).unwrap();
            assert!(problem.contains(what) && problem.contains(sentence), "{said}");
            for role in ["gateway", "node"] {
                let start = server.beside(&[role], &[("PORT", "0"), wrong]).await;
                let said = String::from_utf8(start.stderr).unwrap();
                assert_eq!(start.status.code(), Some(1), "{role}: {said}");
                assert!(said.contains(sentence), "{role}: {said}");
            }
        }
        server.stop().await;
    });
}

#[test]
fn one_process_runs_on_a_role_that_may_not_change_tables() {
    run(Topology::EmbeddedPostgres, async |topology| {
        let doors = blocking(Doors::with_roles).await;
        let owner = doors.database("streamz_owner", "test_0", "ca.crt");
        let app = doors.database("streamz_app", "test_0", "ca.crt");
        // The harness migrates as whoever is named.
        Server::start_over(topology, &[("DATABASE_URL", &owner)]).await.stop().await;
        let mut server = Server::start_over(topology, &[("DATABASE_URL", &app)]).await;
        everything(&server).await;
        server.stop().await;
    });
}
