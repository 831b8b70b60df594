//! Any bytes as a frame from a device: decoding keeps its promises, and what is relayed says nothing of its own.
#![no_main]

#[path = "../../shared/protocol/tests/support/mod.rs"]
#[allow(dead_code)]
mod support;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A socket hands over text only if it is UTF-8.
    if let Ok(text) = std::str::from_utf8(data) {
        support::check_client_text(text);
    }
});
