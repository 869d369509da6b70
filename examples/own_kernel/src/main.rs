//! `lowbit` with rows of one's own: every command, suite and report knows them. Try
//! `cargo run --release -p lowbit-own-kernel -- check scenarios/suites/smoke.json --op hadamard`
use lowbit_harness::driver::DRIVERS;
use lowbit_harness::memory::Counting;
use lowbit_harness::own::with_rows;
use lowbit_own_kernel::{RIGHT, WRONG};
use std::process::ExitCode;

#[global_allocator]
static HEAP: Counting = Counting::new();

fn main() -> ExitCode {
    match with_rows(DRIVERS, &[&RIGHT, &WRONG]) {
        Ok(drivers) => lowbit_harness::cli::main(&drivers, &HEAP),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
