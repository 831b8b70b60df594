//! Hubs as actors: supervisor, slots, hubs.
