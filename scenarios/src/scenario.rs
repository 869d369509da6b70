//! A scenario file, parsed and checked as far as it can be without expanding it.
use crate::axes::{self, Group};
use crate::constraint::Constraint;
use crate::error::{Place, ScenarioError};
use crate::gate::Gates;
use crate::goal::{Asked, Goal};
use crate::json::{Checked, Fields, Node, Source, unknown};
use crate::keys;
use crate::measure::Measure;
use globset::{Glob, GlobSet, GlobSetBuilder};
use lowbit_reference::op::{OPS, OpSpec};

/// A scenario file.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Why the file exists.
    pub about: String,
    /// What is swept, in the order of the file.
    pub sweeps: Vec<Sweep>,
    /// Kernels that are not ours, by name.
    pub peers: Vec<String>,
    pub(crate) file: String,
}

/// One sweep over the parameters of an op.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Name, unique in the file.
    pub name: String,
    /// What it is for.
    pub about: Option<String>,
    /// The op.
    pub op: &'static OpSpec,
    pub(crate) kernels: Kernels,
    /// Measurement settings.
    pub measure: Measure,
    /// What makes the run fail.
    pub gate: Gates,
    pub(crate) goals: Vec<Goal>,
    pub(crate) groups: Vec<Group>,
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) place: Place,
}

/// Kernel globs as written, and compiled unless every kernel is meant.
#[derive(Clone, Debug)]
pub(crate) struct Kernels {
    pub(crate) names: Vec<String>,
    globs: Option<GlobSet>,
}

impl Scenario {
    /// Parse a file's text. The name is only for errors.
    pub fn parse(file_name: &str, text: &str) -> Result<Scenario, ScenarioError> {
        let source = Source::new(file_name, text);
        let value = source.parse()?;
        let root = Node { source: &source, key: "$", value: &value };
        let fields = root.fields(keys::FILE)?;
        fields.get("$schema").map(Node::text).transpose()?;
        let about = fields.require("about")?.text()?.to_owned();
        let defaults = Defaults {
            kernels: match fields.get("kernels") {
                Some(node) => Kernels::parse(node)?,
                None => Kernels { names: vec!["*".into()], globs: None },
            },
            measure: match fields.get("measure") {
                Some(node) => Measure::default().overridden(node)?,
                None => Measure::default(),
            },
        };
        let peers = fields.get("peers").map(Node::one_or_more).transpose()?.unwrap_or_default();
        let peers = peers.into_iter().map(|node| Ok(node.text()?.to_owned()));
        let peers = peers.collect::<Checked<_>>()?;
        let mut sweeps: Vec<Sweep> = Vec::new();
        for node in fields.require("sweeps")?.list()? {
            let sweep = Sweep::parse(node, &defaults)?;
            if sweeps.iter().any(|earlier| earlier.name == sweep.name) {
                let message = format!("`{}` is the name of an earlier sweep", sweep.name);
                return Err(sweep.place.error(file_name, "name", message));
            }
            sweeps.push(sweep);
        }
        Ok(Scenario { about, sweeps, peers, file: file_name.to_owned() })
    }
}

/// What a sweep takes from the file when it says nothing itself.
struct Defaults {
    kernels: Kernels,
    measure: Measure,
}

impl Sweep {
    fn parse(node: Node, defaults: &Defaults) -> Checked<Sweep> {
        let fields = node.fields(keys::SWEEP)?;
        let name = fields.require("name")?;
        let op = op(&fields)?;
        let kernels = match fields.get("kernels") {
            Some(node) => Kernels::parse(node)?,
            None => defaults.kernels.clone(),
        };
        let measure = match fields.get("measure") {
            Some(node) => defaults.measure.clone().overridden(node)?,
            None => defaults.measure.clone(),
        };
        let gate = match fields.get("gate") {
            Some(node) => Gates::of(op.name).overridden(node)?,
            None => Gates::of(op.name),
        };
        let goals = fields.get("goals").map(Node::list).transpose()?.unwrap_or_default();
        let asked = Asked { op, measure: &measure, kernel: &|name| kernels.matches(name) };
        let goals = goals.into_iter().map(|node| Goal::parse(node, &asked));
        let goals = goals.collect::<Checked<Vec<Goal>>>()?;
        let conditions = fields.get("where").map(Node::one_or_more).transpose()?;
        let parse = |node| Constraint::parse(node, op);
        Ok(Sweep {
            name: name.text()?.to_owned(),
            about: fields.get("about").map(|node| node.text().map(str::to_owned)).transpose()?,
            op,
            kernels,
            measure,
            gate,
            goals,
            groups: axes::groups(&fields, op)?,
            constraints: conditions.into_iter().flatten().map(parse).collect::<Checked<_>>()?,
            place: name.place(),
        })
    }

    /// Whether a kernel of that name is asked for.
    pub fn kernel_matches(&self, name: &str) -> bool {
        self.kernels.matches(name)
    }
}

fn op(fields: &Fields) -> Checked<&'static OpSpec> {
    let node = fields.require("op")?;
    let name = node.text()?;
    let found = OPS.iter().copied().find(|op| op.name == name);
    found.ok_or_else(|| {
        let what = format!("unknown op `{name}`");
        node.error(unknown(&what, name, OPS.iter().map(|op| op.name)))
    })
}

impl Kernels {
    fn matches(&self, name: &str) -> bool {
        self.globs.as_ref().is_none_or(|globs| globs.is_match(name))
    }

    fn parse(node: Node) -> Checked<Kernels> {
        let mut names = Vec::new();
        for node in node.one_or_more()? {
            let name = node.text()?;
            glob_set(&[name]).map_err(|e| node.error(e.to_string()))?;
            names.push(name.to_owned());
        }
        let globs = glob_set(&names).map_err(|e| node.error(e.to_string()))?;
        Ok(Kernels { names, globs: Some(globs) })
    }
}

fn glob_set<S: AsRef<str>>(names: &[S]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for name in names {
        set.add(Glob::new(name.as_ref())?);
    }
    set.build()
}
