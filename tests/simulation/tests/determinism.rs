//! The same seed is the same run, byte for byte.

use streamz_simulation::{Profile, run};

#[test]
fn the_same_seed_gives_the_same_trace() {
    // Two of each profile.
    for seed in 0..2 * Profile::ALL.len() as u64 {
        let traces = [run(seed, true), run(seed, true)].map(|run| run.trace.expect("it was asked for"));
        assert!(traces[0].len() > 10_000, "seed {seed} is a run worth comparing");
        assert!(traces[0] == traces[1], "seed {seed} took two courses");
    }
}

#[test]
fn other_seeds_are_other_runs() {
    let traces = [0, 6].map(|seed| run(seed, true).trace);
    assert!(traces[0] != traces[1]);
}
