//! One process for one embedded database.

use serde_json::json;
use streamz_tests::{Server, Topology, User, eventually, run};

use crate::support::{Database, about, assert_delivered, offer, ring, start, tell};

#[test]
fn a_second_server_on_the_same_folder_changes_nothing() {
    run(Topology::EmbeddedSqlite, async |topology| {
        let mut server = Server::start(topology, &[]).await;
        let user = User::new(&server).await;
        let mut phone = user.raw("phone").await;
        let mut tv = user.raw("tv").await;
        let stream = ring(&mut phone, start("s-1", "tv")).await;
        assert_delivered(&tell(&mut tv, about("stream_accept", "t-1", &stream)).await);
        let database = Database::of(&server);
        let online = "SELECT count(*) FROM devices WHERE is_online";
        let open = "SELECT count(*) FROM streams WHERE ended_at IS NULL AND target_device_id IS NOT NULL";
        for (sql, rows) in [(online, 2), (open, 1)] {
            eventually(|| async { (database.count(sql).await == rows).then_some(()) }).await;
        }

        let second = server.beside(&[], &[("PORT", "0")]).await;
        let said = String::from_utf8(second.stderr).unwrap();
        assert_eq!((second.status.code(), second.stdout.len()), (Some(1), 0), "{said}");
        assert!(said.contains("DATA_DIR") && said.contains(server.data_dir().to_str().unwrap()), "{said}");
        assert_eq!(database.count(online).await, 2);
        assert_eq!(database.count(open).await, 1);
        phone.say(offer("m-1", "tv", "v=0")).await;
        tv.until("sdp_offer").await;
        tv.ack().await;
        assert_delivered(&phone.outcome("m-1").await);

        // A killed process leaves no lock behind.
        server.kill().await;
        drop((phone, tv));
        server.start_again(&[]).await;
        assert_eq!(user.record(&stream).await["end_reason"], json!("server_restart"));
    });
}

#[test]
fn the_other_commands_work_beside_a_server() {
    run(Topology::EmbeddedSqlite, async |topology| {
        let server = Server::start(topology, &[]).await;
        let user = User::new(&server).await;
        let port = server.url().rsplit(':').next().unwrap();
        for (arguments, heard) in [
            (&["check"] as &[_], "is in use, and a streamz serves from the database"),
            (&["migrate"], "up to date"),
            (&["token", "--email", &user.email], "."),
        ] {
            let done = server.beside(arguments, &[("PORT", port)]).await;
            let said = String::from_utf8(done.stdout).unwrap();
            assert_eq!(done.status.code(), Some(0), "{arguments:?}: {said}");
            assert!(said.contains(heard), "{arguments:?}: {said}");
        }
        user.raw("phone").await.barrier().await;
    });
}
