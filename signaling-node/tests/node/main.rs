//! A node with real actors, a real store and a gateway made for the test.
#![allow(clippy::unwrap_used)]

mod desk;
mod failure;
mod sleep;
mod support;
