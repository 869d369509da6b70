//! `export`: the inputs of a case as files, for a peer that is no row of ours.
use super::print;
use crate::cli::ExportArgs;
use crate::exit::Exit;
use crate::files::Disk;
use crate::outside::{exchange, tensors};
use crate::plan::Usage;
use anyhow::Context as _;
use lowbit_reference::case::Case;
use lowbit_reference::op::exported::Input;
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the file that says which case a folder holds.
pub(crate) const CASE_FILE: &str = "case.json";
const INPUTS_FILE: &str = "inputs.safetensors";

/// Write `inputs.safetensors` and `case.json` into a folder.
pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<Exit> {
    let case: Case = args.case.parse().map_err(|e| Usage(format!("--case {}: {e}", args.case)))?;
    let usage = |why: String| Usage(format!("--case {case}: {why}"));
    let inputs = exchange(&case).and_then(|op| op.inputs(&case, &Disk)).map_err(usage)?;
    let folder = args.out.as_path();
    std::fs::create_dir_all(folder)
        .map_err(|e| Usage(format!("--out {}: {e}", folder.display())))?;
    // Answers to another case may lie beside it.
    if folder.join(CASE_FILE).exists() {
        let held = super::merge::case(folder)?;
        if held != case {
            let folder = folder.display();
            return Err(Usage(format!("--out {folder}: holds {held}; name a new folder")).into());
        }
    }
    let metadata = [("case", case.to_string()), ("op", case.op().to_owned())];
    let path = folder.join(INPUTS_FILE);
    tensors::write(&path, &inputs, &metadata).map_err(anyhow::Error::msg)?;
    write_case(&folder.join(CASE_FILE), &case, &inputs)?;
    print(&format!("{}: {} tensors of {case}", folder.display(), inputs.len()))?;
    Ok(Exit::Ok)
}

fn write_case(path: &Path, case: &Case, inputs: &[Input]) -> anyhow::Result<()> {
    let parameters: BTreeMap<_, _> = case.parameters().map(|(k, v)| (k, v.to_string())).collect();
    let inputs: Vec<_> = inputs
        .iter()
        .map(
            |i| serde_json::json!({"name": i.name, "type": i.values.type_name(), "shape": i.shape}),
        )
        .collect();
    let work = (case.spec().work)(case);
    let json = serde_json::json!({
        "case": case.to_string(),
        "op": case.op(),
        "parameters": parameters,
        "inputs": inputs,
        "macs": work.macs,
        "bytes_read": work.bytes_read,
        "bytes_written": work.bytes_written,
    });
    let text = serde_json::to_string_pretty(&json)? + "\n";
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
