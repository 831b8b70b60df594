//! Calls between real WebRTC peers, signaled through a running Streamz.
#![allow(clippy::unwrap_used)]

mod in_process;
