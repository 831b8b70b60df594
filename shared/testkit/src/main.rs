//! A private Postgres and Redis to try things with: prints their URLs, and stops them when its input ends (Ctrl-C, Ctrl-D).

use std::io::Read;

use streamz_testkit::{Postgres, Redis, StartError};

fn main() -> Result<(), StartError> {
    let (postgres, redis) = (Postgres::start()?, Redis::start()?);
    println!("DATABASE_URL={}", postgres.create_database());
    println!("REDIS_URL={}", redis.url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
