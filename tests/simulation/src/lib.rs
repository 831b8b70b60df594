//! Devices, sessions and hubs in virtual time, with a checker of the promises.
