//! The `driftline` command.

fn main() -> std::process::ExitCode {
    driftline::cli::main()
}
