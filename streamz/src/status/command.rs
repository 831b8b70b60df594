//! `streamz status`: asks a running process, and through it the others of its fleet.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use streamz_platform::ConfigArgs;
use streamz_platform::config::ListenConfig;
use streamz_status::{Other, Process, Report, Status, text};
use tokio::task::JoinSet;

use crate::cli::StatusArgs;
use crate::exit::Failure;

/// How long the process that is asked may take; it answers within two seconds if anything of it works.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// How long each of the others may.
const OTHERS_WITHIN: Duration = Duration::from_secs(2);
/// Of them, how many are asked at a time.
const AT_A_TIME: usize = 64;

/// Why a process did not say how it is.
enum Silence {
    /// It does not show it there.
    NotThere,
    /// It cannot be reached, or does not answer.
    Problem(String),
}

pub(crate) async fn run(config: ConfigArgs, args: &StatusArgs) -> Result<(), Failure> {
    let urls = match &args.url {
        Some(url) => vec![url.clone()],
        None => addresses(config)?,
    };
    let client =
        Client::builder().no_proxy().build().map_err(|error| Failure::CannotAsk(error.to_string()))?;
    let mut said = Vec::new();
    let mut asked = None;
    for url in urls {
        match ask(&client, &url, ANSWER_WITHIN).await {
            Ok(status) => {
                asked = Some(status);
                break;
            }
            Err(silence) => said.push(sentence(&url, silence)),
        }
    }
    let Some(asked) = asked else { return Err(Failure::CannotAsk(said.join(" "))) };
    let others = if args.alone { Vec::new() } else { ask_others(&client, &asked).await };
    let report = Report::of(asked, others);
    if args.json {
        let json =
            serde_json::to_string_pretty(&report).map_err(|error| Failure::CannotAsk(error.to_string()))?;
        println!("{json}");
    } else {
        print!("{}", text(&report));
    }
    if report.well { Ok(()) } else { Err(Failure::Unwell) }
}

/// Where a process with this configuration shows it: on its own port for operations, or else beside the API.
fn addresses(config: ConfigArgs) -> Result<Vec<String>, Failure> {
    let ListenConfig { listen, admin } = ListenConfig::load(config)?;
    let known = admin.into_iter().chain([listen]).filter(|address| address.port() != 0);
    let urls: Vec<String> = known.map(|address| format!("http://{}", nearby(address))).collect();
    if urls.is_empty() {
        return Err(Failure::CannotAsk(
            "PORT is 0, so nobody knows where it listens; say it with --url.".to_owned(),
        ));
    }
    Ok(urls)
}

/// Who listens everywhere listens here.
fn nearby(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    }
    address
}

fn sentence(url: &str, silence: Silence) -> String {
    match silence {
        Silence::NotThere => format!(
            "{url} does not show how it is: with ADMIN_PORT it does so there, and beside the API only to programs on its \
             own machine."
        ),
        Silence::Problem(why) => format!("{url} does not answer: {why}."),
    }
}

async fn ask(client: &Client, url: &str, within: Duration) -> Result<Status, Silence> {
    let problem = |text: &str| Silence::Problem(text.to_owned());
    let mut url = Url::parse(url).map_err(|_| problem("that is no URL; write http://host:port"))?;
    let path = format!("{}/status", url.path().trim_end_matches('/'));
    url.set_path(&path);
    let answer =
        client.get(url).timeout(within).send().await.map_err(|error| Silence::Problem(why(&error)))?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(Silence::NotThere),
        other => return Err(Silence::Problem(format!("status {}", other.as_u16()))),
    }
    let report: Result<Report, _> = answer.json().await;
    report.map(|report| report.asked).map_err(|error| Silence::Problem(why(&error)))
}

/// Without the address, which is said beside.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    if error.is_decode() {
        return "what it says is not what a Streamz of this version says".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Asks the other processes that have a lease, side by side.
async fn ask_others(client: &Client, asked: &Status) -> Vec<Other> {
    let Some(fleet) = &asked.fleet else { return Vec::new() };
    let others: Vec<&Process> =
        fleet.processes.iter().filter(|process| Some(&process.id) != asked.id.as_ref()).collect();
    let mut answers = BTreeMap::new();
    for some in others.chunks(AT_A_TIME) {
        let mut asking = JoinSet::new();
        for process in some {
            let (client, process) = (client.clone(), (*process).clone());
            asking.spawn(async move {
                let answer = ask(&client, &format!("http://{}", process.operations), OTHERS_WITHIN).await;
                (process, answer)
            });
        }
        while let Some(joined) = asking.join_next().await {
            // A task that panicked has said so.
            let Ok((process, answer)) = joined else { continue };
            let (status, problem) = match answer {
                Ok(status) => (Some(status), None),
                Err(Silence::NotThere) => (None, None),
                Err(Silence::Problem(why)) => (None, Some(why)),
            };
            let Process { id, kind, name, .. } = process;
            answers
                .insert((kind.as_str(), name.clone(), id.clone()), Other { id, kind, name, status, problem });
        }
    }
    answers.into_values().collect()
}
