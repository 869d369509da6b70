//! The command line.
use crate::command;
use crate::driver::Driver;
use crate::exit::Exit;
use crate::memory::Counting;
use crate::plan::{Selection, exit_of};
use clap::{Args, Parser, Subcommand, ValueEnum};
use lowbit_kernels::hardware::Need;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

/// How fast, how exact and how small is every low-bit kernel on this machine?
#[derive(Debug, Parser)]
#[command(name = "lowbit", version, after_help = Exit::MEANINGS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check, measure, gate and report: the main job.
    ///
    /// Expands the scenario files, checks every kernel row on every case against the scalar
    /// reference, times the rows that agree (hot and cold, one thread and all), applies the gates,
    /// and writes a folder with records, CSV, a summary and charts.
    Run(RunArgs),
    /// Compare rows with the reference; time nothing.
    ///
    /// Prints a table, and a command that reproduces each failure. With --out also writes the
    /// folder of records; its records.jsonl does not depend on the number of threads. Failures that
    /// were mended are replayed: `regressions/*.json` beside the folder of each scenario file.
    Check(CheckArgs),
    /// Check and time, as `run` does, but print the table alone unless --out is given.
    Measure(RunArgs),
    /// Plant faults around rows, and see whether the checks notice.
    ///
    /// Every fault changes what a row reads, computes or answers; the check that the row has to
    /// pass then has to refuse it on one of the cases. Prints which check caught which fault, and
    /// exits with 7 when one survives. A fault that changes no answer counts for nothing.
    Mutate(MutateArgs),
    /// Print the cases of scenarios without running them.
    List(ListArgs),
    /// Write the report of a run's folder anew from its records.jsonl and machine.json.
    Report(ReportArgs),
    /// Write the inputs of a case as files, for a peer that is no row of this program.
    ///
    /// Writes `inputs.safetensors` and `case.json`. The peer answers beside them:
    /// `<peer>.safetensors` with the op's outputs, and `<peer>.json` with its name, version,
    /// arithmetic and samples. `scripts/peers` holds peers that do.
    Export(ExportArgs),
    /// Judge what outside peers answered, and join their records to a run.
    ///
    /// Their outputs are compared with the reference as a row's are. A run's report is written
    /// anew; `peers.json` in its folder names the versions.
    Merge(MergeArgs),
    /// Say what this machine has, what it can do, and which kernel rows can run here, or why not.
    Doctor(DoctorArgs),
    /// Print the JSON Schema of scenario files, for editors.
    ///
    /// Point an editor at it with "$schema", or: lowbit schema > scenario.schema.json
    Schema,
    /// Serve requests on standard input (started by the other commands).
    #[command(hide = true)]
    Worker {
        /// Threads of the rows.
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
}

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct SelectionArgs {
    /// Scenario files (JSON); `lowbit schema` describes them.
    pub(crate) scenarios: Vec<PathBuf>,
    /// Run this case id, as printed by `list` and by every report; may be repeated.
    #[arg(long = "case", value_name = "ID")]
    pub(crate) cases: Vec<String>,
    /// Only kernel rows whose name matches the glob, e.g. `avx*`; may be repeated.
    #[arg(long = "kernel", value_name = "GLOB")]
    pub(crate) kernels: Vec<String>,
    /// Only ops whose name matches the glob, e.g. `rho_*`; may be repeated.
    #[arg(long = "op", value_name = "GLOB")]
    pub(crate) ops: Vec<String>,
}

impl SelectionArgs {
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            scenarios: self.scenarios.clone(),
            cases: self.cases.clone(),
            kernels: self.kernels.clone(),
            ops: self.ops.clone(),
        }
    }
}

/// Arguments of `run`, `check` and `measure`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    /// Folder of the run; created if absent, refused if it holds a run. `run` takes
    /// `runs/<time>-<scenario>` by default, the others write nothing without it.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Threads, instead of those the scenario asks for.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Exit with 8 unless this hardware is here; may be repeated.
    #[arg(long, value_name = "HARDWARE")]
    pub(crate) require: Vec<Required>,
    /// Seconds to make a failing case small, for each of at most four failing rows; 0 for none. The
    /// scenario and the data that are left go to `failures` in the folder of the run.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) shrink: u16,
    /// Exit with 3 if a goal of the scenario is missed or cannot be judged. Goals are those of a
    /// class of machines: without this they are printed and decide nothing.
    #[arg(long)]
    pub(crate) enforce_goals: bool,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) seeds: SeedArgs,
}

/// Random cases instead of those the scenario spells out.
#[derive(Debug, Args)]
pub(crate) struct SeedArgs {
    /// Draw random cases from the scenario's axes, with fresh seeds and with sizes between the least
    /// and the largest of an axis, until every row has had N that it accepts. Cases of more than
    /// 2^20 operations or bytes are left out. Prints its own table; `--out` gets small failures alone.
    #[arg(long, value_name = "N", conflicts_with_all = ["cases"],
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seeds: Option<u32>,
    /// Seed of the draws: the same seed draws the same cases.
    #[arg(long, value_name = "SEED", default_value_t = 7, requires = "seeds")]
    pub(crate) seed: u64,
}

impl SeedArgs {
    /// How many cases, and the seed; nothing unless they are asked for.
    pub(crate) fn wanted(&self) -> Option<(usize, u64)> {
        Some((self.seeds? as usize, self.seed))
    }
}

/// Arguments of `mutate`.
#[derive(Debug, Args)]
pub(crate) struct MutateArgs {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    /// Folder for `mutants.csv`: every fault at every place around every row, with its fate.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Hardware that can be required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Required {
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 with VNNI.
    Avx512vnni,
    /// A wgpu adapter: Vulkan, Metal or DX12 (software Vulkan counts).
    Wgpu,
    /// A CUDA device, NVRTC and the toolkit's headers (feature `cuda`).
    Cuda,
}

impl Required {
    pub(crate) fn need(self) -> Need {
        match self {
            Required::Avx2 => Need::Avx2,
            Required::Avx512vnni => Need::Avx512Vnni,
            Required::Wgpu => Need::Wgpu,
            Required::Cuda => Need::Cuda,
        }
    }
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    /// Print N random cases of each op, drawn from the scenario's axes as `check --seeds` draws.
    #[arg(long, value_name = "N", conflicts_with_all = ["cases", "count", "cost", "json"])]
    pub(crate) seeds: Option<u32>,
    /// Seed of the draws.
    #[arg(long, value_name = "SEED", default_value_t = 7, requires = "seeds")]
    pub(crate) seed: u64,
    /// Print how many cases and kernel-cases there are, per op and in all.
    #[arg(long, conflicts_with_all = ["cost", "json"])]
    pub(crate) count: bool,
    /// Print multiply-accumulates and bytes of each case, and the totals.
    #[arg(long, conflicts_with = "json")]
    pub(crate) cost: bool,
    /// Print one JSON object a case: id, op, parameters, rows, work.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Folders of runs.
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The case, as printed by `list` and by every report.
    #[arg(long, value_name = "ID")]
    pub(crate) case: String,
    /// Folder to write into; created if absent.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// Folder of the run.
    pub(crate) run: PathBuf,
    /// Folders of exported cases, with answers in them.
    #[arg(required = true)]
    pub(crate) answers: Vec<PathBuf>,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Exit with 8 unless this hardware is here; may be repeated.
    #[arg(long, value_name = "HARDWARE")]
    pub(crate) require: Vec<Required>,
    /// Leave out the measured peaks (some seconds for each number of threads).
    #[arg(long)]
    pub(crate) no_peaks: bool,
}

/// Parse the command line and do what it says.
pub fn main(drivers: &[&dyn Driver], heap: &'static Counting) -> ExitCode {
    let command = Cli::parse().command;
    // A panic here is a bug of ours, and still an answer: nothing is known of the rows. In a worker
    // it must end the process, with its message, for the parent to report.
    if matches!(command, Command::Worker { .. }) {
        return run(command, drivers, heap);
    }
    let run = AssertUnwindSafe(|| run(command, drivers, heap));
    catch_unwind(run).unwrap_or_else(|_| ExitCode::from(Exit::Infrastructure as u8))
}

fn run(command: Command, drivers: &[&dyn Driver], heap: &'static Counting) -> ExitCode {
    let result = match command {
        Command::Run(args) => command::run::run(drivers, &args, command::run::Verb::Run),
        Command::Check(args) => command::run::check(drivers, &args),
        Command::Measure(args) => command::run::run(drivers, &args, command::run::Verb::Measure),
        Command::Mutate(args) => command::mutate::run(drivers, &args),
        Command::List(args) => command::list::run(drivers, &args),
        Command::Report(args) => command::report::run(&args),
        Command::Export(args) => command::export::run(&args),
        Command::Merge(args) => command::merge::run(drivers, &args, heap),
        Command::Doctor(args) => command::doctor::run(drivers, &args),
        Command::Schema => command::schema(),
        Command::Worker { threads } => command::worker(drivers, threads, heap),
    };
    let exit = result.unwrap_or_else(|error| {
        command::say(&format!("lowbit: {error:#}"));
        exit_of(&error)
    });
    ExitCode::from(exit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
