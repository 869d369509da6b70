//! A failure made small, and what is left of it: a page, a scenario and a file of data.
use super::data::{self, KeptCase};
use super::{Alone, Budget, Found, Smallest, Subject, shrink};
use lowbit_reference::case::{Case, Value};
use serde_json::{Map, json};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A failure made small.
#[derive(Clone, Debug)]
pub struct Small {
    /// The case it was found on.
    pub found: Found,
    /// The smallest case that fails in the same way.
    pub smallest: Smallest,
    /// The same with the fewest data, where they can be kept.
    pub(crate) kept: Option<KeptCase>,
    /// The scenario file, and that of the data.
    pub files: Vec<PathBuf>,
    /// Why no files were written.
    unwritten: Option<String>,
    /// Trials, and the seconds they took.
    pub spent: (usize, f64),
}

impl Small {
    /// Make a failure small within `limit`, and leave files in `folder`.
    pub fn of(
        found: Found,
        subject: &mut dyn Subject,
        folder: Option<&Path>,
        limit: Duration,
    ) -> Small {
        let mut budget = Budget::new(limit);
        let smallest = shrink(found.clone(), subject, &mut budget);
        let mut small = Small {
            found,
            smallest,
            kept: None,
            files: Vec::new(),
            unwritten: None,
            spent: (0, 0.0),
        };
        match folder.map(|folder| small.leave(folder, subject, &mut budget)) {
            Some(Ok(files)) => small.files = files,
            Some(Err(why)) => small.unwritten = Some(why),
            None => {}
        }
        small.spent = (budget.trials, budget.seconds());
        small
    }

    /// Write the files and name them.
    fn leave(
        &mut self,
        folder: &Path,
        subject: &mut dyn Subject,
        budget: &mut Budget,
    ) -> Result<Vec<PathBuf>, String> {
        let at = |e: std::io::Error| format!("{}: {e}", folder.display());
        std::fs::create_dir_all(folder).map_err(at)?;
        let (scenario, tensors) = (self.path(folder, "json"), self.path(folder, "safetensors"));
        let in_file = self.smallest.found.case.word("data") == "file";
        self.kept = data::shrink(&self.smallest.found, tensors.clone(), subject, budget);
        if let Some(kept) = self.kept.as_ref().filter(|_| in_file) {
            let minimal = kept.cut && self.smallest.alone == Alone::Fails;
            self.smallest = Smallest { found: kept.found.clone(), minimal, ..self.smallest };
        }
        let mut files = vec![scenario.clone()];
        match &self.kept {
            Some(kept) => {
                kept.write(&tensors)?;
                files.push(tensors);
            }
            // That of a case which did not fail.
            None => drop(std::fs::remove_file(&tensors)),
        }
        std::fs::write(&scenario, self.scenario()).map_err(at)?;
        Ok(files)
    }

    /// `<op>-<row>-<hash of the case>` with that extension.
    fn path(&self, folder: &Path, extension: &str) -> PathBuf {
        let Found { case, record, .. } = &self.smallest.found;
        // FNV-1a of the id: the same failure has the same name.
        let hash = case
            .to_string()
            .bytes()
            .fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        folder.join(format!("{}-{}-{hash:08x}.{extension}", case.op(), record.kernel))
    }

    /// A scenario of the smallest case: with drawn data and, if they fail too, with those kept.
    pub fn scenario(&self) -> String {
        let Found { case, record, .. } = &self.smallest.found;
        let mut sweeps = Vec::new();
        if case.word("data") != "kept" {
            sweeps.push(sweep("drawn", case));
        }
        sweeps.extend(self.kept.iter().map(|kept| sweep("kept", &kept.found.case)));
        let (row, op, reason) = (&record.kernel, case.op(), &record.reason);
        let about = format!("{row} of {op}: {reason}. Found on {}.", self.found.case);
        let file = json!({ "about": about, "sweeps": sweeps });
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }

    /// The command that shows the failure again, from nothing but its text.
    pub fn command(&self) -> String {
        command(&self.smallest.found)
    }

    fn how_small(&self) -> String {
        let (trials, seconds) = self.spent;
        match (self.smallest.minimal, &self.kept) {
            _ if self.smallest.alone == Alone::Passes => format!(
                "alone it passes: it fails only after other cases; {trials} trials, {seconds:.1} s"
            ),
            _ if self.smallest.alone == Alone::Sometimes => format!(
                "it fails only sometimes, and a smaller one may, too; {trials} trials, {seconds:.1} s"
            ),
            (false, _) => {
                format!("not the smallest: time was up after {trials} trials, {seconds:.1} s")
            }
            (true, Some(KeptCase { minimal: false, .. })) => format!(
                "no single step makes the case smaller; for its data time was up after {trials} trials, {seconds:.1} s"
            ),
            (true, _) => {
                format!("no single step makes it smaller; {trials} trials, {seconds:.1} s")
            }
        }
    }
}

fn command(found: &Found) -> String {
    format!("lowbit check --case '{}' --kernel {}", found.case, found.record.kernel)
}

/// One case as a sweep. Kept data are looked for beside the scenario.
fn sweep(name: &str, case: &Case) -> serde_json::Value {
    let product: Map<_, _> = case.parameters().map(|(key, v)| (key.to_owned(), value(v))).collect();
    let mut sweep = json!({ "name": name, "op": case.op(), "product": product });
    if let Some(Value::Text(path)) = case.get("file").filter(|_| case.word("data") == "kept") {
        let file = Path::new(path).file_name().map(|name| name.to_string_lossy());
        sweep["product"]["file"] = json!(file.unwrap_or_default());
    }
    sweep
}

fn value(value: &Value) -> serde_json::Value {
    match value {
        Value::Word(word) => json!(word),
        Value::Number(number) => json!(number),
        Value::Decimal(decimal) => json!(decimal),
        Value::Text(text) => json!(text),
        Value::Config(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}

impl fmt::Display for Small {
    /// The page a kernel's author reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { case, record, fault } = &self.smallest.found;
        writeln!(f, "{} of {}: {}", record.kernel, case.op(), fault.sentence())?;
        writeln!(f, "  found     {}", self.found.case)?;
        writeln!(f, "            {}", self.found.record.reason)?;
        writeln!(f, "  smallest  {case}")?;
        writeln!(f, "            {}", record.reason)?;
        writeln!(f, "            ({})", self.how_small())?;
        if let Some(kept) = &self.kept {
            for (i, line) in kept.lines().iter().enumerate() {
                writeln!(f, "  {:<8}  {line}", if i == 0 { "data" } else { "" })?;
            }
            writeln!(f, "            {}", kept.found.record.reason)?;
        }
        writeln!(f, "  again     {}", self.command())?;
        if let Some(kept) = self.kept.as_ref().filter(|kept| kept.found.case != *case) {
            writeln!(f, "            {}", command(&kept.found))?;
        }
        for (i, file) in self.files.iter().enumerate() {
            let name = if i == 0 { "files" } else { "" };
            writeln!(f, "  {name:<8}  {}", file.display())?;
        }
        match &self.unwritten {
            Some(why) => writeln!(f, "  no files  {why}"),
            None => Ok(()),
        }
    }
}
