//! `lowbit worker`: a child process that takes requests and answers records.
//!
//! Whatever a row does to its process, it does it here: the parent sees the pipe close, or stay
//! silent, and loses that row alone.
use crate::bench::Bench;
use crate::driver::{self, Driver, Task};
use crate::fault::plant::Planting;
use crate::files::Disk;
use crate::memory::Counting;
use crate::protocol::{REPLY, Reply, Request};
use anyhow::{Context as _, anyhow};
use lowbit_reference::case::Case;
use std::io::Write;

/// Serve requests, a line each, until there are no more.
pub fn serve(
    drivers: &[&dyn Driver],
    threads: usize,
    heap: &'static Counting,
    (requests, output): (impl Iterator<Item = String>, &mut dyn Write),
) -> anyhow::Result<()> {
    let mut bench = driver::bench(threads, &Disk, heap).map_err(|e| anyhow!(e))?;
    bench.expendable = true;
    lowbit_kernels::compiled::keep(bench.hardware());
    for line in requests {
        let request = serde_json::from_str(&line).context("reading a request")?;
        answer(drivers, request, &mut bench, output)?;
    }
    Ok(())
}

fn answer(
    drivers: &[&dyn Driver],
    request: Request,
    bench: &mut Bench,
    output: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut written = Ok(());
    let mut say = |reply: Reply| {
        let json = serde_json::to_string(&reply).unwrap_or_default();
        // One write, so that nothing a library prints can tear it.
        let line = format!("{REPLY}{json}\n");
        let sent = output.write_all(line.as_bytes()).and_then(|()| output.flush());
        if written.is_ok() {
            written = sent;
        }
    };
    match request {
        Request::Hardware => say(Reply::Hardware(bench.hardware().clone())),
        Request::Peaks { known } => say(Reply::Peaks(bench.peaks(known))),
        Request::Case { case, rows, depth } => {
            let case: Case = case.parse()?;
            let driver = driver_of(drivers, &case)?;
            let task = Task { case: &case, rows: &rows, depth: &depth };
            match driver.run(&task, bench, &mut say) {
                Ok(()) => say(Reply::Done),
                Err(reason) => say(Reply::Impossible { reason }),
            }
        }
        Request::Mutate { case, rows } => {
            let case: Case = case.parse()?;
            let planting = Planting { case: &case, rows: &rows };
            match driver_of(drivers, &case)?.mutate(&planting, bench, &mut say) {
                Ok(()) => say(Reply::Done),
                Err(reason) => say(Reply::Impossible { reason }),
            }
        }
    }
    written.context("answering the parent")
}

fn driver_of<'d>(drivers: &[&'d dyn Driver], case: &Case) -> anyhow::Result<&'d dyn Driver> {
    let driver = drivers.iter().find(|d| d.spec().name == case.op());
    driver.copied().ok_or_else(|| anyhow!("no driver for op {}", case.op()))
}
