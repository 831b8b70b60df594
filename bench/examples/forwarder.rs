//! The bare forwarder on its own: prints its port, and ends with its standard input.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    streamz_bench::forwarder::serve_until_stdin_ends().await
}
