//! From a scenario to its cases.
use crate::axes::{Entry, sentence};
use crate::constraint::Row;
use crate::error::ScenarioError;
use crate::json::Checked;
use crate::scenario::{Scenario, Sweep};
use lowbit_reference::case::{Case, CaseError, Param, Value, condition};
use std::collections::HashMap;

/// Most combinations of one sweep.
pub const MAX_COMBINATIONS: usize = 1_000_000;

/// A case to run and the sweep that asks for it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Position of the sweep in [`Scenario::sweeps`].
    pub sweep: usize,
    /// The case.
    pub case: Case,
    /// Earlier sweeps that ask for the same case, of other kernels.
    earlier: Vec<usize>,
}

impl Scenario {
    /// Every case, in the order of the file; within a sweep the last axis advances fastest.
    ///
    /// A case that an earlier sweep with the same `kernels` has is left out. One that an earlier
    /// sweep has for other kernels stays: ask [`Scenario::runs`] which kernels it is for, so that
    /// no kernel runs a case twice.
    pub fn expand(&self) -> Result<Vec<Planned>, ScenarioError> {
        let mut planned = Vec::new();
        let mut seen: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, sweep) in self.sweeps.iter().enumerate() {
            let before = planned.len();
            sweep.expand(&self.file, &mut |case| {
                let sweeps = seen.entry(case.to_string()).or_default();
                let repeats =
                    |earlier: &usize| self.sweeps[*earlier].kernels.names == sweep.kernels.names;
                if !sweeps.iter().any(repeats) {
                    planned.push(Planned { sweep: i, case, earlier: sweeps.clone() });
                    sweeps.push(i);
                }
            })?;
            if planned.len() == before {
                let message = "has no case that an earlier sweep does not have";
                return Err(sweep.place.error(&self.file, &sweep.name, message));
            }
        }
        Ok(planned)
    }

    /// Whether a kernel runs the planned case: its sweep asks for the kernel, and no earlier
    /// sweep with the same case does.
    pub fn runs(&self, planned: &Planned, kernel: &str) -> bool {
        let asks = |sweep: usize| self.sweeps[sweep].kernel_matches(kernel);
        asks(planned.sweep) && !planned.earlier.iter().any(|sweep| asks(*sweep))
    }
}

impl Sweep {
    /// Hand each case of the sweep to `found`.
    pub(crate) fn expand(&self, file: &str, found: &mut impl FnMut(Case)) -> Checked<()> {
        let total = self.combinations(file)?;
        let defaults = self.defaults(file)?;
        let params = self.op.params;
        let mut applied = vec![false; params.len()];
        let mut any = false;
        let absent = evalexpr::Value::String(String::new());
        let mut row = Row { spec: self.op, slots: vec![None; params.len()], absent };
        for combination in 0..total {
            self.fill(combination, &defaults, &mut row.slots);
            if !self.kept(file, &row)? {
                continue;
            }
            any = true;
            row.slots.iter().zip(&mut applied).for_each(|(slot, seen)| *seen |= slot.is_some());
            found(self.case(file, &row)?);
        }
        if !any {
            let place = self.constraints.first().map_or(self.place, |first| first.place());
            let message = format!("leaves none of the {total} combinations");
            return Err(place.error(file, "where", message));
        }
        let mut axes = self.groups.iter().flatten();
        if let Some(axis) = axes.find(|axis| !applied[axis.param]) {
            let param = &params[axis.param];
            let (other, words) = param.when.unwrap_or_default();
            let when = condition(other, words);
            let message = format!("applies only when `{when}`, which no case here has");
            return Err(axis.place.error(file, param.key, message));
        }
        Ok(())
    }

    pub(crate) fn combinations(&self, file: &str) -> Checked<usize> {
        let lens = self.groups.iter().map(|group| group.first().map_or(1, |a| a.entries.len()));
        let total = lens.fold(1, usize::saturating_mul);
        if total > MAX_COMBINATIONS {
            let message = format!("has {total} combinations, more than {MAX_COMBINATIONS}");
            return Err(self.place.error(file, &self.name, message));
        }
        Ok(total)
    }

    /// What each parameter is where it is not given, by its position.
    pub(crate) fn defaults(&self, file: &str) -> Checked<Vec<Option<Entry>>> {
        let parse = |param: &Param| {
            let value = param.default_value();
            let value = value.map_err(|e| self.place.error(file, param.key, e.to_string()))?;
            Ok(value.map(|value| Entry::new(value, self.place)))
        };
        self.op.params.iter().map(parse).collect()
    }

    /// The values of one combination. A parameter that does not apply to it is left out.
    pub(crate) fn fill<'a>(
        &'a self,
        mut combination: usize,
        defaults: &'a [Option<Entry>],
        slots: &mut [Option<&'a Entry>],
    ) {
        slots.fill(None);
        for group in self.groups.iter().rev() {
            let len = group.first().map_or(1, |axis| axis.entries.len());
            for axis in group {
                slots[axis.param] = axis.entries.get(combination % len);
            }
            combination /= len;
        }
        for (i, param) in self.op.params.iter().enumerate() {
            let applies = param.applies(|other| {
                let at = self.op.params.iter().position(|param| param.key == other);
                match at.and_then(|at| slots[at]).map(|entry| &entry.value) {
                    Some(Value::Word(word)) => word,
                    _ => "",
                }
            });
            slots[i] = slots[i].or(defaults[i].as_ref()).filter(|_| applies);
        }
    }

    pub(crate) fn kept(&self, file: &str, row: &Row) -> Checked<bool> {
        for constraint in &self.constraints {
            if !constraint.holds(file, row)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn case(&self, file: &str, row: &Row) -> Checked<Case> {
        let params = self.op.params;
        let slots = params.iter().zip(&row.slots);
        let given: Vec<_> = slots
            .filter_map(|(param, slot)| Some((param.key, slot.as_ref()?.value.clone())))
            .collect();
        Case::new(self.op, &given).map_err(|e| {
            let key = match &e {
                CaseError::Conflict { key, .. } | CaseError::Value { key, .. } => key,
                CaseError::Missing { key, .. } | CaseError::NotApplicable { key, .. } => key,
                _ => "op",
            };
            let at = params.iter().position(|param| param.key == key);
            let place = at.and_then(|at| row.slots[at]).map_or(self.place, |entry| entry.place);
            let hint = match e {
                CaseError::Conflict { .. } => format!(" (`where` can leave it out: {row})"),
                _ => String::new(),
            };
            place.error(file, key, format!("{}{hint}", sentence(&e, key)))
        })
    }
}
