//! The `driftline` command.

/// Requests to buckets allocate a great deal, from several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    driftline::cli::main()
}
