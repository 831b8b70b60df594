//! Scenarios that every topology passes, and the harness that starts its own servers.
