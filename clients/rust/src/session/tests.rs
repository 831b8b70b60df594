//! Every rule, one by one.
