//! Runs seeds.
fn main() {
    let a: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap_or(0)).collect();
    let t = std::time::Instant::now();
    let (mut n, mut bad) = (0, 0);
    for seed in a[0]..a[1] {
        let r = std::panic::catch_unwind(|| streamz_simulation::try_one(seed, a.len() > 2));
        match r {
            Ok((broken, trace, entries)) => {
                n += entries;
                if let Some(trace) = trace {
                    println!("{trace}");
                }
                if let Some(b) = broken {
                    bad += 1;
                    println!("{seed}: {b}");
                }
            }
            Err(_) => {
                bad += 1;
                println!("{seed}: panicked");
            }
        }
    }
    println!("{n} entries, {bad} bad, {:?}", t.elapsed());
}
