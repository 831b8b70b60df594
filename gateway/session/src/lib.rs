//! One device's session as a pure state machine: input and time in, effects out.
