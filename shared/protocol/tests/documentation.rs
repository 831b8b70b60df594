//! `docs/protocol.md` says what is so: its examples are the golden files, its tables have every code.
#![allow(clippy::unwrap_used)]

#[path = "support/files.rs"]
mod files;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use streamz_protocol::client::ClientFrame;
use streamz_protocol::server::ServerFrame;
use streamz_protocol::{CloseCode, EndReason, ErrorCode, Reason};

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    std::fs::read_to_string(path).unwrap()
}

/// What stands under the heading, up to the next one of any level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    rest.split("\n#").next().unwrap()
}

/// The first columns of the table in a section, without its head.
fn rows(section: &str, columns: usize) -> Vec<Vec<String>> {
    section
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split('|').take(columns);
            cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
        })
        .collect()
}

fn words<T: std::fmt::Display>(all: &[T]) -> Vec<Vec<String>> {
    all.iter().map(|word| vec![word.to_string()]).collect()
}

#[test]
fn the_examples_are_the_golden_files() {
    let page = page();
    let (client, server) = page.split_once("\n## 5. ").unwrap();
    let mut shown = BTreeSet::new();
    for (from, text) in [("client", client), ("server", server)] {
        for block in text.split("```json\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let value: Value = serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
            let name = format!("{from}_{}", value["type"].as_str().unwrap());
            let golden = files::read(&name);
            assert_eq!(value, serde_json::from_str::<Value>(&golden).unwrap(), "{name}");
            if from == "client" {
                assert_eq!(ClientFrame::decode(block), ClientFrame::decode(&golden), "{name}");
                assert!(ClientFrame::decode(block).is_ok(), "{name}");
            } else {
                let frame: ServerFrame = serde_json::from_str(block).unwrap();
                assert_eq!(frame, serde_json::from_str(&golden).unwrap(), "{name}");
            }
            assert!(shown.insert(format!("{name}.json")), "{name} is shown twice");
        }
    }
    let files: BTreeSet<String> = std::fs::read_dir(files::folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(shown, files, "every message is shown");
}

#[test]
fn the_tables_have_every_code_in_its_order() {
    let page = page();
    let closes: Vec<Vec<String>> =
        CloseCode::ALL.iter().map(|close| vec![close.code().to_string(), close.to_string()]).collect();
    assert_eq!(rows(section(&page, "### Close codes"), 2), closes);
    assert_eq!(rows(section(&page, "### Error codes"), 1), words(ErrorCode::ALL));
    assert_eq!(rows(section(&page, "### Reasons of not_delivered"), 1), words(Reason::ALL));
    assert_eq!(rows(section(&page, "### Reasons of stream_end"), 1), words(EndReason::ALL));
}

#[test]
fn the_links_within_the_page_lead_somewhere() {
    let page = page();
    let mut anchors: BTreeMap<String, usize> = BTreeMap::new();
    for heading in page.lines().filter_map(|line| line.strip_prefix("##")) {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let anchor: String = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        *anchors.entry(anchor).or_default() += 1;
    }
    for link in page.split("](#").skip(1) {
        let link = link.split(')').next().unwrap();
        assert_eq!(anchors.get(link), Some(&1), "{link}");
    }
}

#[test]
fn the_limits_are_the_defaults() {
    let limits = streamz_protocol::Limits::default();
    let page = page();
    let table = rows(section(&page, "### Limits"), 2);
    let of = |name: &str| {
        let row = table.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("no {name}"));
        row[1].clone()
    };
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    let two = |count: usize, bytes: usize| format!("{count}, and {}", kib(bytes));
    assert_eq!(of("frame"), kib(limits.frame_bytes));
    assert_eq!(of("messages without an outcome, per session"), two(limits.unsettled, limits.unsettled_bytes));
    assert_eq!(of("frames kept for a resume"), two(limits.window_frames, limits.window_bytes));
    assert_eq!(of("devices of a user online"), limits.devices_online.to_string());
    assert_eq!(of("live streams of a user"), limits.streams.to_string());
    let [ring, delivery, resume] =
        [limits.ring, limits.delivery, limits.resume_window].map(|limit| limit.as_secs());
    assert_eq!(of("a ring; a message's time; a resume"), format!("{ring} s; {delivery} s; {resume} s"));
}
