//! `list`: what would run.
use super::print;
use crate::cli::ListArgs;
use crate::driver::Driver;
use crate::exit::Exit;
use crate::plan::{Job, Plan};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Print ids, counts, costs or JSON.
pub(crate) fn run(drivers: &[&dyn Driver], args: &ListArgs) -> anyhow::Result<Exit> {
    if let Some(seeds) = args.seeds {
        return super::seeds::list(
            &args.selection.selection(),
            drivers,
            (seeds as usize, args.seed),
        );
    }
    let plan = args.selection.selection().plan(drivers)?;
    let text = match (args.count, args.cost, args.json) {
        (true, ..) => count(&plan),
        (_, true, _) => cost(&plan),
        (.., true) => json(&plan),
        _ => plan.jobs.iter().map(|job| format!("{}\n", job.case)).collect(),
    };
    print(text.trim_end())?;
    Ok(Exit::Ok)
}

fn count(plan: &Plan) -> String {
    let mut ops: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for job in &plan.jobs {
        let (cases, rows) = ops.entry(job.case.op()).or_default();
        (*cases, *rows) = (*cases + 1, *rows + job.rows.len());
    }
    let mut text = String::new();
    for (op, (cases, rows)) in &ops {
        let _ = writeln!(text, "{op:<20} {cases:>8} cases {rows:>8} kernel-cases");
    }
    let kernel_cases: usize = plan.jobs.iter().map(|job| job.rows.len()).sum();
    let _ = writeln!(
        text,
        "{:<20} {:>8} cases {kernel_cases:>8} kernel-cases",
        "total",
        plan.jobs.len()
    );
    text
}

fn cost(plan: &Plan) -> String {
    let mut text = format!("{:>12} {:>12} {:>12}  case\n", "MMAC", "KiB read", "KiB written");
    let (mut macs, mut read, mut written) = (0u128, 0u128, 0u128);
    for job in &plan.jobs {
        let work = (job.case.spec().work)(&job.case);
        let rows = job.rows.len() as u128;
        macs += rows * u128::from(work.macs);
        read += rows * u128::from(work.bytes_read);
        written += rows * u128::from(work.bytes_written);
        let _ = writeln!(
            text,
            "{:>12.3} {:>12.1} {:>12.1}  {}",
            work.macs as f64 / 1e6,
            work.bytes_read as f64 / 1024.0,
            work.bytes_written as f64 / 1024.0,
            job.case
        );
    }
    let _ = writeln!(
        text,
        "total over rows, one execution each: {:.3} GMAC, {:.3} GiB read, {:.3} GiB written",
        macs as f64 / 1e9,
        read as f64 / (1u64 << 30) as f64,
        written as f64 / (1u64 << 30) as f64
    );
    text
}

fn json(plan: &Plan) -> String {
    let object = |job: &Job| {
        let work = (job.case.spec().work)(&job.case);
        let parameters: BTreeMap<_, _> =
            job.case.parameters().map(|(k, v)| (k, v.to_string())).collect();
        serde_json::json!({
            "case": job.case.to_string(),
            "op": job.case.op(),
            "sweep": job.sweep.name,
            "parameters": parameters,
            "kernels": job.rows,
            "macs": work.macs,
            "bytes_read": work.bytes_read,
            "bytes_written": work.bytes_written,
        })
    };
    plan.jobs.iter().map(|job| format!("{}\n", object(job))).collect()
}
