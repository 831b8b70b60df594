//! Any bytes as a frame from the server: a client never panics, and what it understands can be written again.
#![no_main]

#[path = "../../shared/protocol/tests/support/mod.rs"]
#[allow(dead_code)]
mod support;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A socket hands over text only if it is UTF-8.
    if let Ok(text) = std::str::from_utf8(data) {
        support::check_server_text(text);
    }
});
