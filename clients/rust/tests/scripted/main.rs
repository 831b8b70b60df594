//! The client against servers that say what a test tells them to, hostile ones included.
#![allow(clippy::unwrap_used)]

mod api;
mod connection;
mod delivery;
mod support;
