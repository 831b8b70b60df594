//! One user's devices, streams and relay as a pure state machine.
