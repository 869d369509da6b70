//! `doctor`: what this machine has, and why each row can or cannot run.
use super::run::missing;
use super::{print, say};
use crate::cli::DoctorArgs;
use crate::driver::Driver;
use crate::engine::Engine;
use crate::exit::Exit;
use crate::machine::{Machine, cores};
use anyhow::Context as _;
use lowbit_kernels::Threads;
use lowbit_kernels::hardware::Hardware;
use std::fmt::Write as _;

/// Print the machine, its peaks and the rows.
pub(crate) fn run(drivers: &[&dyn Driver], args: &DoctorArgs) -> anyhow::Result<Exit> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut engine = Engine::new(program, drivers, None);
    let hardware = engine.hardware().map_err(anyhow::Error::msg)?;
    let mut machine = Machine::detect(&hardware, String::new());
    let mut text = String::from("machine\n");
    for (name, value) in machine.facts() {
        let _ = writeln!(text, "  {name:<14} {value}");
    }
    print(&text)?;
    if !args.no_peaks {
        engine.measure_peaks_at(&[1, cores()]).map_err(anyhow::Error::msg)?;
        machine.peaks = engine.peaks();
        machine.busy().iter().for_each(|warning| say(warning));
        let mut text = String::from("peaks, best of some 40 ms each\n");
        for peak in machine.run_info().peaks {
            let (name, threads, value) = (peak.name, peak.threads, peak.value);
            let _ = writeln!(
                text,
                "  {name:<28} {threads:>3} {} {value:>9.1} {}",
                plural(threads),
                peak.unit
            );
        }
        print(&text)?;
    }
    print(&rows(drivers, &hardware))?;
    if let Some(missing) = missing(&args.require, &hardware) {
        say(&format!("lowbit: required hardware is missing: {missing}"));
        return Ok(Exit::Infrastructure);
    }
    Ok(Exit::Ok)
}

fn plural(threads: u32) -> &'static str {
    if threads == 1 { "thread " } else { "threads" }
}

fn rows(drivers: &[&dyn Driver], hardware: &Hardware) -> String {
    let mut text = String::from("kernel rows\n");
    for driver in drivers {
        for row in driver.rows() {
            let answer = match hardware.has(row.need) {
                Ok(()) => format!("runs on {}", hardware.device(row.need)),
                Err(why) => format!("cannot run: {why}"),
            };
            let threads = match row.threads {
                Threads::Pool => "",
                Threads::One => ", one thread",
                Threads::Own => ", threads of its own",
            };
            let same = row.determinism;
            let _ = writeln!(
                text,
                "  {:<20} {:<12} {answer}{threads}; same bits: {same}",
                driver.spec().name,
                row.name
            );
        }
    }
    text
}
