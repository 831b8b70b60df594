//! The native client: connect, resume, send with outcome.
