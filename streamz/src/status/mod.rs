//! How a process is: what it answers at `/status`, and `streamz status`, which asks.

mod command;
mod picture;
mod source;

pub(crate) use command::run;
pub(crate) use source::{Parts, Source};
