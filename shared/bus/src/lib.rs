//! Carries frames between gateways and signaling nodes.
