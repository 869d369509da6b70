//! Axes of a sweep: which values each parameter takes, and which parameters advance together.
use crate::constraint::words_of;
use crate::error::Place;
use crate::json::{self, Checked, Fields, Node};
use crate::shapes::{FREE, SHAPE_SETS, ShapeSet, is_size};
use jsonc_parser::ast;
use lowbit_reference::case::{CaseError, Kind, Param, Value};
use lowbit_reference::op::OpSpec;

/// One value of an axis, parsed once for all the cases it is in.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    /// The value as conditions see it.
    pub(crate) operand: evalexpr::Value,
    pub(crate) place: Place,
}

impl Entry {
    pub(crate) fn new(value: Value, place: Place) -> Entry {
        let operand = match &value {
            Value::Number(number) => match i64::try_from(*number) {
                Ok(number) => evalexpr::Value::Int(number),
                Err(_) => evalexpr::Value::Float(*number as f64),
            },
            Value::Decimal(decimal) => evalexpr::Value::Float(*decimal),
            other => evalexpr::Value::String(other.to_string()),
        };
        Entry { value, operand, place }
    }
}

/// The values of one parameter.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// Position of the parameter in the op's table.
    pub(crate) param: usize,
    pub(crate) place: Place,
    pub(crate) entries: Vec<Entry>,
}

/// Axes of equal length that advance together. A list of `product` is a group of its own.
pub(crate) type Group = Vec<Axis>;

/// The groups of a sweep, in the order they are written: the last advances fastest.
pub(crate) fn groups(fields: &Fields, spec: &'static OpSpec) -> Checked<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    if let Some(node) = fields.get("product") {
        for entry in node.entries()? {
            groups.push(vec![axis(entry, spec, Node::one_or_more)?]);
        }
    }
    for node in fields.get("zip").map(Node::list).transpose()?.unwrap_or_default() {
        let entries = node.entries()?;
        if entries.is_empty() {
            return Err(node.error("has a group without parameters"));
        }
        let mut group: Group = Vec::new();
        for entry in entries {
            let axis = axis(entry, spec, Node::list)?;
            let len = group.first().map_or(axis.entries.len(), |first| first.entries.len());
            if axis.entries.len() != len {
                let found = axis.entries.len();
                let message = format!("has {found} values, the others of its zip group {len}");
                return Err(entry.node.error(message));
            }
            if given(&groups, axis.param) {
                return Err(entry.error("is given by `product` or by an earlier zip group"));
            }
            group.push(axis);
        }
        groups.push(group);
    }
    if let Some(node) = fields.get("shapes") {
        groups.push(shapes(node, spec, &groups)?);
    }
    Ok(groups)
}

fn given(groups: &[Group], param: usize) -> bool {
    groups.iter().flatten().any(|axis| axis.param == param)
}

fn axis<'a>(
    entry: json::Entry<'a>,
    spec: &'static OpSpec,
    elements: impl Fn(Node<'a>) -> Checked<Vec<Node<'a>>>,
) -> Checked<Axis> {
    let keys = spec.params.iter().map(|param| param.key);
    let Some(at) = keys.clone().position(|key| key == entry.key) else {
        return Err(entry.unknown(&format!("op `{}` has no such parameter", spec.name), keys));
    };
    let parse = |node| Ok(Entry::new(value(node, &spec.params[at])?, Node::place(node)));
    let entries = elements(entry.node)?.into_iter().map(parse).collect::<Checked<_>>()?;
    Ok(Axis { param: at, place: entry.place, entries })
}

/// One value, of the JSON type its kind asks for.
fn value(node: Node, param: &Param) -> Checked<Value> {
    let text = match (param.kind, node.value) {
        (Kind::WordOrConfig { schema, .. }, ast::Value::Object(_)) => {
            check_config(node, &schema())?;
            node.raw()
        }
        (Kind::Number { .. } | Kind::Decimal, _) => node.number()?,
        (Kind::WordOrConfig { words, .. }, _) => {
            let text = node.text()?;
            if text.trim_start().starts_with('{') {
                let words = words().iter().map(|word| word.name).collect::<Vec<_>>().join(", ");
                return Err(node.error(format!("takes an object without quotes, or {words}")));
            }
            text
        }
        _ => node.text()?,
    };
    param.parse(text).map_err(|e| node.error(sentence(&e, param.key)))
}

/// Names the nearest key or word of a spelled-out config; everything else is left to its parser.
fn check_config(node: Node, schema: &serde_json::Value) -> Checked<()> {
    let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
    for entry in node.entries()? {
        let Some(property) = properties.get(entry.key) else {
            return Err(entry.unknown("unknown key", properties.keys().map(String::as_str)));
        };
        let words: Vec<_> =
            property["enum"].as_array().into_iter().flatten().filter_map(|w| w.as_str()).collect();
        if !words.is_empty() {
            let pairs: Vec<_> = words.into_iter().map(|word| (word, ())).collect();
            entry.node.word(&pairs)?;
        }
    }
    Ok(())
}

/// The case error without the key that the scenario error names already.
pub(crate) fn sentence(error: &CaseError, key: &str) -> String {
    let text = error.to_string();
    text.strip_prefix(&format!("`{key}` ")).map(str::to_owned).unwrap_or(text)
}

/// The shapes of the named sets as one group over the sizes that are not given.
fn shapes(node: Node, spec: &'static OpSpec, groups: &[Group]) -> Checked<Group> {
    let mut group: Group = Vec::new();
    for (param, key) in spec.params.iter().enumerate().map(|(i, param)| (i, param.key)) {
        match (is_size(key), given(groups, param)) {
            (true, true) if key != FREE => {
                return Err(node.error(format!("gives `{key}`, which is given already")));
            }
            (true, false) => group.push(Axis { param, place: node.place(), entries: Vec::new() }),
            _ => {}
        }
    }
    let sets: Vec<(&str, &ShapeSet)> = SHAPE_SETS.iter().map(|set| (set.name, set)).collect();
    for node in node.one_or_more()? {
        let set = node.word(&sets)?;
        let mut used = false;
        for shape in set.shapes {
            let sizes = group.iter().map(|axis| {
                let key = spec.params[axis.param].key;
                (key, shape.sizes.iter().find(|(size, _)| *size == key).map(|(_, size)| *size))
            });
            let sizes: Vec<_> = sizes.collect();
            if sizes.iter().all(|(_, size)| size.is_none()) {
                continue;
            }
            used = true;
            for (axis, (key, size)) in group.iter_mut().zip(sizes) {
                let size = size.ok_or_else(|| {
                    node.error(format!("`{}` has no `{key}`: give `{key}`", set.name))
                })?;
                axis.entries.push(Entry::new(Value::Number(size), node.place()));
            }
        }
        if !used {
            let what = format!("`{}` has no shapes for op `{}`", set.name, spec.name);
            return Err(node.error(what));
        }
    }
    Ok(group)
}

/// Every word of a parameter and its aliases.
pub(crate) fn spellings(kind: &Kind) -> Vec<&'static str> {
    let words = words_of(kind);
    words.iter().flat_map(|w| std::iter::once(w.name).chain(w.aliases.iter().copied())).collect()
}
