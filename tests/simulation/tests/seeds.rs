//! Two thousand worlds, each with its own troubles, keep every promise.
//!
//! Run it optimised: `cargo test -p streamz-simulation --profile sim`.

use streamz_simulation::run_all;

#[test]
fn two_thousand_seeds_keep_every_promise() {
    let progress = run_all(0..2_000, 2, |_| true).unwrap_or_else(|failure| panic!("\n{failure}"));
    assert_eq!(progress.seeds, 2_000);
}
