//! How fast a server starts that was there before, and how small it is.

use crate::plan::Plan;
use crate::report::{Budget, Rounds, Unit};
use crate::run::{Bench, Failure};

const PART: &str = "Start";

pub(crate) fn steps(plan: &Plan) -> usize {
    plan.starts
}

pub(crate) async fn measure(bench: &mut Bench) {
    let Some(own) = bench.own.take() else { return };
    let (mut time, mut memory, mut size) = (Rounds::default(), Rounds::default(), Rounds::default());
    // The first start made the tables and filled the system's cache with the program.
    for number in 0..=bench.plan.starts {
        if number > 0 {
            bench.progress.step("start");
        }
        let start = async {
            let (server, took) = own.start().await?;
            let resident = server.processes.memory()?;
            server.end().await?;
            Ok::<_, Failure>((took, resident))
        };
        if let Some((took, resident)) = bench.attempt(PART, start).await
            && number > 0
        {
            time.add(true, Some(took.as_secs_f64() * 1e3), 1);
            memory.add(true, Some(mib(resident)), 1);
        }
    }
    if let Some(meta) = bench.attempt(PART, async { Ok(std::fs::metadata(&own.program)?) }).await {
        size.add(true, Some(mib(meta.len())), 1);
    }
    bench.rows.extend([
        time.row(PART, "second start to the first /health", Unit::Millis, Some(Budget::AtMost(50.0))),
        memory.row(PART, "memory then", Unit::Mib, Some(Budget::AtMost(12.0))),
        size.row(PART, "binary", Unit::Mib, Some(Budget::AtMost(20.0))),
    ]);
    bench.own = Some(own);
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
