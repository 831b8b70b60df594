//! The HTTP API as a client sees it: the whole router, over a real SQLite file and the in-process bus.

#![allow(clippy::unwrap_used)]

mod account;
mod audit;
mod auth;
mod console;
mod devices;
mod fixture;
mod layers;
mod openapi;
mod operations;
mod problems;
mod serve;
mod shed;
mod sign_in;
mod streams;
mod tokens;
