//! Every scenario, on every topology. One program, so that its tests run side by side and share one Postgres.
#![allow(clippy::unwrap_used)]

mod accounts;
mod delivery;
mod devices;
mod hostile_flood;
mod hostile_frames;
mod hostile_requests;
mod hostile_strangers;
mod hostile_tokens;
mod hub_rest;
mod ice;
mod ids;
mod lifecycle;
mod limits;
mod limits_http;
mod one_folder;
mod one_socket;
mod outage;
mod presence;
mod relay;
mod resume;
mod rings;
mod secrecy;
mod simple;
mod slow;
mod streams;
mod support;
mod tokens;
mod welcome;
mod window;
