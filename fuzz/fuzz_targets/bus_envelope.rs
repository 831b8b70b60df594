//! Any bytes as a packet, as packets under a good tag, and as an envelope: nothing panics, and one packet that is not
//! understood costs no other.
#![no_main]

#[path = "../../shared/protocol/tests/support/bus.rs"]
#[allow(dead_code)]
mod bus;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| bus::check_bus_bytes(data));
