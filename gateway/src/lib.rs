//! HTTP API and WebSocket sessions.
