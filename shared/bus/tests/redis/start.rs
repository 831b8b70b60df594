//! Beginning, with everything that can be wrong.

use std::sync::Arc;

use bytes::Bytes;
use streamz_bus::redis::{Endpoint, Evidence, Health, Problem, Settings, StartError, Transport, check};
use streamz_platform::Tasks;
use streamz_protocol::ProcessId;
use streamz_testkit::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::peer::{Peer, settings};

struct Nobody;

impl Endpoint for Nobody {
    fn next(&self, _: ProcessId) -> Option<Bytes> {
        None
    }
    fn received(&self, _: Bytes) {}
    fn silent(&self, _: Evidence) {}
}

async fn refused(url: &str) -> (Problem, String) {
    let settings = Settings::new(vec![url.into()], "test", ProcessId(1));
    let tasks = Tasks::new();
    let error: StartError = Transport::start(settings, Arc::new(Nobody), &tasks).await.unwrap_err();
    assert!(tasks.is_empty());
    let sentence = error.to_string();
    assert!(!format!("{sentence} {error:?}").contains("sesame"), "{sentence}");
    (error.0[0].problem.clone(), sentence)
}

/// A server that answers everything with this.
async fn answering(answer: &'static str) -> (String, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://:sesame@{}/", listener.local_addr().unwrap());
    let tasks = Tasks::new();
    let stop = tasks.stopping();
    tasks.spawn("server", async move {
        let serve = async {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                while socket.read(&mut [0; 1024]).await.is_ok_and(|length| length > 0) {
                    let _ = socket.write_all(answer.as_bytes()).await;
                }
            }
        };
        stop.run_until_cancelled(serve).await;
    });
    (url, tasks)
}

#[tokio::test]
async fn passwords_are_asked_for_and_never_shown() {
    let redis = Redis::start_with_password("opensesame1").unwrap();
    let peer = Peer::ready(&[&redis], 1).await;
    peer.send(&peer, "inside");
    peer.hears("inside").await;
    let (problem, sentence) = refused(&format!("redis://127.0.0.1:{}/", redis.port())).await;
    assert_eq!(problem, Problem::PasswordMissing);
    let (problem, wrong) = refused(&format!("redis://:closesesame@127.0.0.1:{}/", redis.port())).await;
    assert_eq!(problem, Problem::PasswordWrong);
    assert_eq!(
        (sentence.as_str(), wrong.as_str()),
        (
            &*format!(
                "Redis at 127.0.0.1:{} wants a password; write redis://:password@host:6379",
                redis.port()
            ),
            &*format!("Redis at 127.0.0.1:{} does not accept the user and password of its URL", redis.port()),
        )
    );
}

#[tokio::test]
async fn a_user_without_permission_is_told() {
    let redis = Redis::start().unwrap();
    redis.command(&["acl", "setuser", "weak", "on", ">sesame", "-@all", "+hello", "+ping"]);
    let limited = format!("redis://weak:sesame@127.0.0.1:{}/", redis.port());
    let peer = Peer::start(Settings::new(vec![limited.into()], "test", ProcessId(1))).await;
    let statuses = peer.statuses(|all| all[0].problem.is_some()).await;
    assert_eq!(statuses[0].problem.as_ref().unwrap().problem, Problem::Forbidden);
    // Mended at the server, it goes on: with what is needed, and no more.
    let enough = ["acl", "setuser", "weak", "+publish", "+subscribe", "resetchannels", "&streamz:*"];
    redis.command(&enough);
    peer.health(0, Health::Healthy).await;
}

#[tokio::test]
async fn what_is_no_redis_is_told() {
    let (url, _server) = answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert_eq!(refused(&url).await.0, Problem::NotRedis);
    let (url, _server) = answering("+OK\r\n").await;
    assert_eq!(refused(&url).await.0, Problem::NotRedis);
    let (problem, sentence) = refused("http://:sesame@127.0.0.1:1/").await;
    assert_eq!(problem, Problem::Url);
    assert_eq!(
        sentence,
        "Redis at position 1 has no valid URL; write redis://host:6379 or rediss://user:password@host:6379"
    );
}

#[tokio::test]
async fn what_is_too_old_is_told() {
    for answer in [
        "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `sesame`, \r\n",
        "-ERR unknown command 'HELLO'\r\n",
    ] {
        let (url, _server) = answering(answer).await;
        assert_eq!(refused(&url).await.0, Problem::TooOld);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told() {
    let redis = Redis::start().unwrap();
    let url = redis.url().replace("redis://", "rediss://");
    let answers = check(&Settings::new(vec![url.into()], "test", ProcessId(1))).await;
    let error = answers[0].as_ref().unwrap_err();
    assert!(matches!(error.problem, Problem::Tls(_) | Problem::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn what_cannot_be_reached_is_waited_for() {
    let redis = Redis::start().unwrap();
    redis.stop();
    let peer = Peer::start(settings(&[&redis], 1)).await;
    let statuses = peer.statuses(|all| all[0].problem.is_some()).await;
    assert_eq!(statuses[0].health, Health::Away);
    assert!(matches!(statuses[0].problem.as_ref().unwrap().problem, Problem::Unreachable(_)));
    redis.start_again();
    peer.transport.ready().await;
    let status = &peer.transport.statuses()[0];
    assert!(status.version.as_ref().is_some_and(|version| !version.is_empty()));
    assert_eq!((status.health, &status.problem), (Health::Healthy, &None));
    peer.end().await;
}
