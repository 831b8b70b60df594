//! Every message, in both directions, as the very bytes that are agreed upon.
//!
//! `UPDATE_GOLDEN=1 cargo test -p streamz-protocol --test golden` writes the files anew; then read the difference,
//! for every client in the field reads what it shows.
#![allow(clippy::unwrap_used)]

#[path = "support/cases.rs"]
mod cases;
#[path = "support/files.rs"]
mod files;

use std::collections::BTreeSet;
use std::sync::Once;

use cases::{
    CLIENT_KINDS, ClientCase, PHONE_SESSION, SERVER_KINDS, TV_SESSION, client_cases, client_kind, phone,
    server_cases, server_kind, tv,
};
use files::{folder, read};
use streamz_protocol::client::{ClientFrame, ClientMessage, Command};
use streamz_protocol::server::{Body, ServerFrame, ServerMessage};
use streamz_protocol::{MessageId, Mid};

/// A golden file's text; all of them are written anew first if that is what was asked for.
fn golden(name: &str) -> String {
    static WRITTEN: Once = Once::new();
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        WRITTEN.call_once(|| {
            let server = server_cases();
            let server = server.iter().map(|frame| (server_name(frame), server_wire(frame)));
            let client = client_cases();
            let client = client.iter().map(|case| (client_name(&case.frame), case.text.clone()));
            for (name, wire) in server.chain(client) {
                std::fs::write(folder().join(format!("{name}.json")), lay_out(&wire)).unwrap();
            }
        });
    }
    read(name)
}

fn server_name(frame: &ServerFrame) -> String {
    format!("server_{}", server_kind(&frame.message))
}

fn client_name(frame: &ClientFrame) -> String {
    format!("client_{}", client_kind(&frame.message))
}

fn server_wire(frame: &ServerFrame) -> String {
    Body::with(&frame.message, frame.id.as_ref(), frame.mid).render(frame.seq)
}

#[test]
fn what_a_server_says_is_what_the_files_show() {
    for frame in server_cases() {
        let name = server_name(&frame);
        let text = golden(&name);
        assert_eq!(lay_out(&server_wire(&frame)), text, "{name}");
        assert_eq!(serde_json::from_str::<ServerFrame>(&text).unwrap(), frame, "{name}");
    }
}

#[test]
fn what_a_device_says_is_what_the_files_show() {
    for ClientCase { text: wire, frame } in client_cases() {
        let name = client_name(&frame);
        let text = golden(&name);
        assert_eq!(lay_out(&wire), text, "{name}");
        assert_eq!(ClientFrame::decode(&text).as_ref(), Ok(&frame), "{name}");
        assert_eq!(ClientFrame::decode(&wire), Ok(frame), "{name}");
    }
}

#[test]
fn every_kind_of_message_has_one_file_and_no_file_is_left_over() {
    golden("server_welcome");
    let mut cases: Vec<String> = server_cases().iter().map(server_name).collect();
    cases.extend(client_cases().iter().map(|case| client_name(&case.frame)));
    cases.sort();
    let mut kinds: Vec<String> = SERVER_KINDS.iter().map(|kind| format!("server_{kind}")).collect();
    kinds.extend(CLIENT_KINDS.iter().map(|kind| format!("client_{kind}")));
    kinds.sort();
    assert_eq!(cases, kinds, "one case for each kind");
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, kinds.iter().map(|kind| format!("{kind}.json")).collect());
}

#[test]
fn a_frame_may_have_any_of_seq_id_and_mid() {
    let id = MessageId::new("m-7").unwrap();
    let mid = Mid { session: PHONE_SESSION, number: 7 };
    for ServerFrame { message, .. } in server_cases() {
        for choice in 0..8 {
            let frame = ServerFrame {
                seq: (choice & 1 != 0).then_some(7),
                id: (choice & 2 != 0).then(|| id.clone()),
                mid: (choice & 4 != 0).then_some(mid),
                message: message.clone(),
            };
            let wire = server_wire(&frame);
            assert_eq!(serde_json::from_str::<ServerFrame>(&wire).unwrap(), frame, "{wire}");
        }
    }
}

/// The relayed frame is not made from a `ServerMessage`, but it must look as if it were.
#[test]
fn what_a_device_sends_is_what_the_other_one_gets() {
    let mut relayed = 0;
    for ClientCase { frame, .. } in client_cases() {
        let name = client_kind(&frame.message);
        let (from, session, number, seq) = match name {
            "sdp_offer" => (phone(), PHONE_SESSION, 2, 2),
            "ice_candidate" => (phone(), PHONE_SESSION, 3, 3),
            "sdp_answer" => (tv(), TV_SESSION, 2, 6),
            _ => continue,
        };
        let ClientMessage::Command { command, .. } = frame.message else {
            panic!("{name} is a command");
        };
        let Command::Relay { body, .. } = command.finish(&from, Mid { session, number }) else {
            panic!("{name} is relayed");
        };
        let received = golden(&format!("server_{name}"));
        assert_eq!(lay_out(&body.render(Some(seq))), received, "{name}");
        let expected: ServerFrame = serde_json::from_str(&received).unwrap();
        assert_eq!(body, Body::with(&expected.message, None, expected.mid), "{name}");
        relayed += 1;
    }
    assert_eq!(relayed, 3);
}

#[test]
fn the_outcomes_say_their_id_twice() {
    for kind in ["delivered", "not_delivered", "error"] {
        let text = golden(&format!("server_{kind}"));
        let frame: ServerFrame = serde_json::from_str(&text).unwrap();
        let beside = frame.id.unwrap();
        let (body, within) = match frame.message {
            ServerMessage::Delivered { id } => (Body::delivered(&id), id),
            ServerMessage::NotDelivered { id, reason, failed } => {
                (Body::not_delivered(&id, reason, failed), id)
            }
            ServerMessage::Error { code, message, id } => {
                (Body::error(code, message, id.as_ref()), id.unwrap())
            }
            other => panic!("{other:?} is not an outcome"),
        };
        assert_eq!(within, beside);
        assert_eq!(lay_out(&body.render(frame.seq)), text);
    }
}

/// The same JSON with a line for each field, in the order of the wire and with the wire's own escapes.
fn lay_out(json: &str) -> String {
    let (mut text, mut depth) = (String::new(), 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        if quoted {
            text.push(c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        let line = |text: &mut String, depth: usize| {
            text.push('\n');
            text.push_str(&"  ".repeat(depth));
        };
        match c {
            '{' | '[' => {
                text.push(c);
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(close);
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => {
                quoted = c == '"';
                text.push(c);
            }
        }
    }
    text.push('\n');
    text
}
