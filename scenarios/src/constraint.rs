//! `where`: conditions that a combination must meet to become a case.
//!
//! Parameters are names: numbers are integers, everything else strings, and a parameter that
//! does not apply is the empty string. Words are quoted: `weight != "int8" || m * k <= 65536`.
use crate::axes::Entry;
use crate::error::Place;
use crate::json::{Checked, Node, unknown};
use evalexpr::{Context, EvalexprError, EvalexprResult, Operator, Value};
use lowbit_reference::case::{Kind, Param, Word};
use lowbit_reference::op::OpSpec;

/// A condition, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    text: String,
    tree: evalexpr::Node,
    place: Place,
}

impl Constraint {
    pub(crate) fn parse(node: Node, spec: &'static OpSpec) -> Checked<Constraint> {
        let text = node.text()?.to_owned();
        let tree = evalexpr::build_operator_tree(&text)
            .map_err(|e| node.error(format!("`{text}` is no condition: {}", sentence(&e))))?;
        if tree.iter_write_variable_identifiers().next().is_some() {
            return Err(node.error(format!("`{text}` assigns; compare with `==`")));
        }
        let keys = spec.params.iter().map(|param| param.key);
        for name in tree.iter_variable_identifiers() {
            if !keys.clone().any(|key| key == name) {
                let what = format!("`{text}`: op `{}` has no parameter `{name}`", spec.name);
                return Err(node.error(unknown(&what, name, keys) + "; words take quotes"));
            }
        }
        check_comparisons(node, &tree, spec)?;
        Ok(Constraint { text, tree, place: node.place() })
    }

    /// Whether a combination meets the condition.
    pub(crate) fn holds(&self, file: &str, row: &Row) -> Checked<bool> {
        self.tree.eval_boolean_with_context(row).map_err(|e| {
            let case = row.to_string();
            self.place.error(file, "where", format!("`{}` {} ({case})", self.text, sentence(&e)))
        })
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }
}

/// What is wrong with a condition, in the words of a scenario's author.
fn sentence(error: &EvalexprError) -> String {
    match error {
        EvalexprError::ExpectedBoolean { actual } => format!("is {actual}, not true or false"),
        EvalexprError::WrongOperatorArgumentAmount { .. } => {
            "has an operator with a side missing".to_owned()
        }
        EvalexprError::UnmatchedLBrace | EvalexprError::UnmatchedRBrace => {
            "has a parenthesis without its partner".to_owned()
        }
        other => format!("cannot be evaluated: {other}"),
    }
}

/// Refuses comparisons of a parameter with something it never is: they have one answer for all
/// combinations, so they are typos.
fn check_comparisons(node: Node, tree: &evalexpr::Node, spec: &OpSpec) -> Checked<()> {
    if let (Operator::Eq | Operator::Neq, [a, b]) = (tree.operator(), tree.children()) {
        for sides in [(a.operator(), b.operator()), (b.operator(), a.operator())] {
            let (Operator::VariableIdentifierRead { identifier }, Operator::Const { value }) =
                sides
            else {
                continue;
            };
            spec.params
                .iter()
                .filter(|param| param.key == identifier)
                .try_for_each(|param| check_comparison(param, value))
                .map_err(|message| node.error(message))?;
        }
    }
    tree.children().iter().try_for_each(|child| check_comparisons(node, child, spec))
}

fn check_comparison(param: &Param, value: &Value) -> Result<(), String> {
    let key = param.key;
    match (param.kind, value) {
        (Kind::Number { .. }, Value::Int(_)) | (Kind::Decimal, Value::Float(_)) => Ok(()),
        (Kind::Number { .. }, _) => Err(format!("`{key}` is a whole number, not {value}")),
        (Kind::Decimal, _) => Err(format!("`{key}` is a decimal, not {value}: write 2.0 for 2")),
        (Kind::Text, Value::String(_)) => Ok(()),
        (kind, Value::String(text)) => {
            let words = words_of(&kind);
            let config = text.starts_with('{') && matches!(kind, Kind::WordOrConfig { .. });
            let absent = text.is_empty() && param.when.is_some();
            if config || absent || words.iter().any(|word| word.name == text) {
                return Ok(());
            }
            let names = words.iter().map(|word| word.name);
            Err(unknown(&format!("`{key}` is never `{text}`"), text, names))
        }
        (_, _) => Err(format!("`{key}` is text, not {value}")),
    }
}

/// The words of a parameter.
pub(crate) fn words_of(kind: &Kind) -> Vec<Word> {
    match kind {
        Kind::Word(words) | Kind::WordOrConfig { words, .. } => words(),
        _ => Vec::new(),
    }
}

/// One combination: a value for each parameter of the op that applies, in the op's order.
pub(crate) struct Row<'a> {
    pub(crate) spec: &'static OpSpec,
    pub(crate) slots: Vec<Option<&'a Entry>>,
    /// What a parameter that does not apply is.
    pub(crate) absent: Value,
}

impl std::fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.spec.name)?;
        let slots = self.spec.params.iter().zip(&self.slots);
        let mut set = slots.filter_map(|(param, slot)| Some((param.key, slot.as_ref()?)));
        set.try_for_each(|(key, entry)| write!(f, "/{key}={}", entry.value))
    }
}

impl Context for Row<'_> {
    fn get_value(&self, identifier: &str) -> Option<&Value> {
        let at = self.spec.params.iter().position(|param| param.key == identifier)?;
        Some(self.slots.get(at)?.map_or(&self.absent, |entry| &entry.operand))
    }

    fn call_function(&self, identifier: &str, _: &Value) -> EvalexprResult<Value> {
        Err(EvalexprError::FunctionIdentifierNotFound(identifier.to_owned()))
    }

    fn are_builtin_functions_disabled(&self) -> bool {
        false
    }

    fn set_builtin_functions_disabled(&mut self, _: bool) -> EvalexprResult<()> {
        Err(EvalexprError::BuiltinFunctionsCannotBeDisabled)
    }
}
