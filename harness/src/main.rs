//! The binary: the suite's own operations, and the allocator that counts for them.
use lowbit_harness::driver::DRIVERS;
use lowbit_harness::memory::Counting;
use std::process::ExitCode;

#[global_allocator]
static HEAP: Counting = Counting::new();

fn main() -> ExitCode {
    lowbit_harness::cli::main(DRIVERS, &HEAP)
}
