//! Calls between real WebRTC peers, signaled through a running Streamz. Each asserts on the bytes and the packets that
//! arrived, not only on what the stack says of itself.
#![allow(clippy::unwrap_used)]

mod call;
mod candidates;
mod in_process;
mod reconnect;
mod relayed;
mod restart;
mod ringing;
mod side;
mod simple;
