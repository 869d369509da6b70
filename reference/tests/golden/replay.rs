//! Comparison of a golden file, leaf by leaf: what nobody looks at is a failure, not a pass.
//!
//! Every number, byte string, boolean and word of a file is one of: an input, compared, prose
//! (sources, notes), or excluded with a reason. What is left over fails, so that a value changed
//! anywhere in a file is either seen or listed as unseen.
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// How far a float may be from the golden one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Within<'a> {
    /// Bit for bit; any NaN equals any NaN.
    Exactly,
    /// So many units in the last place of the golden value.
    Ulps(f32),
    /// A distance for all.
    Distance(f64),
    /// A distance for each.
    Each(&'a [f64]),
}

/// One file under comparison.
#[derive(Debug)]
pub(crate) struct Replay {
    file: String,
    seen: HashSet<*const Value>,
    unseen: HashSet<*const Value>,
    /// Numbers equal bit for bit.
    pub(crate) exact: usize,
    /// Numbers within their bound, not equal.
    pub(crate) within: usize,
    /// Numbers not compared, by reason.
    pub(crate) excluded: BTreeMap<&'static str, usize>,
    /// What differs: file, case, field, index.
    pub(crate) failures: Vec<String>,
    /// Case and field compared last.
    pub(crate) last: String,
    /// What a reader of the table must know of this file.
    pub(crate) note: Option<&'static str>,
}

impl Replay {
    pub(crate) fn new(file: &str) -> Replay {
        let (seen, unseen) = (HashSet::new(), HashSet::new());
        let (excluded, failures) = (BTreeMap::new(), Vec::new());
        let (file, last) = (file.to_owned(), "start".to_owned());
        Replay { file, seen, unseen, exact: 0, within: 0, excluded, failures, last, note: None }
    }

    /// Numbers that were compared.
    pub(crate) fn compared(&self) -> usize {
        self.exact + self.within
    }

    /// A failure that no single number shows.
    pub(crate) fn fail(&mut self, case: &str, why: impl std::fmt::Display) {
        self.failures.push(format!("{}: {case}: {why}", self.file));
    }

    fn take(&mut self, value: &Value) -> usize {
        match value {
            Value::Array(items) => items.iter().map(|item| self.take(item)).sum(),
            Value::Object(fields) => fields.values().map(|field| self.take(field)).sum(),
            leaf => usize::from(self.seen.insert(leaf)),
        }
    }

    /// What the comparison feeds on, or what only people read.
    pub(crate) fn input<'v>(&mut self, value: &'v Value) -> &'v Value {
        self.take(value);
        value
    }

    /// What is not compared, and why.
    pub(crate) fn exclude(&mut self, value: &Value, reason: &'static str) {
        let numbers = numbers(value);
        self.take(value);
        leaves(value, &mut |leaf| {
            self.unseen.insert(leaf);
        });
        *self.excluded.entry(reason).or_default() += numbers;
    }

    /// Whether a leaf is listed as excluded.
    pub(crate) fn is_excluded(&self, leaf: &Value) -> bool {
        self.unseen.contains(&std::ptr::from_ref(leaf))
    }

    /// Floats, one or a list, in order.
    pub(crate) fn floats(
        &mut self,
        case: &str,
        field: &str,
        want: &Value,
        got: &[f32],
        within: Within,
    ) {
        let all = list(want);
        self.same_len(case, field, all.len(), got.len());
        for (i, (want, got)) in all.into_iter().zip(got).enumerate() {
            self.take(want);
            let want = float(want);
            let distance = (f64::from(want) - f64::from(*got)).abs();
            let limit = match within {
                Within::Exactly => 0.0,
                Within::Ulps(n) => f64::from(n * lowbit_reference::rule::ulp(want)),
                Within::Distance(limit) => limit,
                Within::Each(limits) => limits[i],
            };
            if want.to_bits() == got.to_bits() || (want.is_nan() && got.is_nan()) {
                self.exact += 1;
            } else if distance <= limit && !matches!(within, Within::Exactly) {
                self.within += 1;
            } else {
                let why = format!("{field}[{i}] is {got:e}, golden {want:e}, bound {limit:e}");
                self.fail(case, why);
            }
        }
    }

    /// A double, or a list of them, that another library computed in another order.
    pub(crate) fn doubles(
        &mut self,
        case: &str,
        field: &str,
        want: &Value,
        got: &[f64],
        relative: f64,
    ) {
        let all = list(want);
        self.same_len(case, field, all.len(), got.len());
        for (i, (want, got)) in all.into_iter().zip(got).enumerate() {
            self.take(want);
            let want: f64 = want.to_string().trim_matches('"').parse().unwrap_or(f64::NAN);
            if want.to_bits() == got.to_bits() || (want.is_nan() && got.is_nan()) {
                self.exact += 1;
            } else if (want - got).abs() <= relative * want.abs() {
                self.within += 1;
            } else {
                let why =
                    format!("{field}[{i}] is {got:e}, golden {want:e}, relative {relative:e}");
                self.fail(case, why);
            }
        }
    }

    /// Integers, one or a list: codes, bits, bytes, counts.
    pub(crate) fn integers(
        &mut self,
        case: &str,
        field: &str,
        want: &Value,
        got: impl IntoIterator<Item = impl Into<i64>>,
    ) {
        let all = list(want);
        let got: Vec<i64> = got.into_iter().map(Into::into).collect();
        self.same_len(case, field, all.len(), got.len());
        for (i, (want, got)) in all.into_iter().zip(got).enumerate() {
            self.take(want);
            match want.as_i64() {
                Some(want) if want == got => self.exact += 1,
                _ => self.fail(case, format!("{field}[{i}] is {got}, golden {want}")),
            }
        }
    }

    /// Codes of a formula that rounds its quotients another way: equal, or one off where `near` a
    /// tie.
    pub(crate) fn codes(
        &mut self,
        case: &str,
        field: &str,
        want: &Value,
        got: &[i16],
        near: impl Fn(usize) -> bool,
    ) {
        let all = list(want);
        self.same_len(case, field, all.len(), got.len());
        for (i, (want, got)) in all.into_iter().zip(got).enumerate() {
            self.take(want);
            match want.as_i64().map(|want| (want - i64::from(*got)).abs()) {
                Some(0) => self.exact += 1,
                Some(1) if near(i) => self.within += 1,
                _ => self.fail(case, format!("{field}[{i}] is {got}, golden {want}")),
            }
        }
    }

    /// A string of hexadecimal bytes.
    pub(crate) fn hex(&mut self, case: &str, field: &str, want: &Value, got: &[u8]) {
        self.take(want);
        let want = bytes(want);
        self.same_len(case, field, want.len(), got.len());
        for (i, (want, got)) in want.iter().zip(got).enumerate() {
            match want == got {
                true => self.exact += 1,
                false => self.fail(case, format!("{field}[{i}] is {got:02x}, golden {want:02x}")),
            }
        }
    }

    /// Anything else: booleans, words, whole objects.
    pub(crate) fn equal(&mut self, case: &str, field: &str, want: &Value, got: &Value) {
        let leaves = self.take(want);
        match want == got {
            true => self.exact += leaves.max(1),
            false => self.fail(case, format!("{field} is {got}, golden {want}")),
        }
    }

    fn same_len(&mut self, case: &str, field: &str, want: usize, got: usize) {
        self.last = format!("{case} {field}");
        if want != got {
            self.fail(case, format!("{field} has {got} values, golden {want}"));
        }
    }

    /// Fails for every leaf that nobody took.
    pub(crate) fn finish(&mut self, document: &Value) {
        let mut left = Vec::new();
        unseen(document, &mut String::new(), &self.seen, &mut left);
        for path in left {
            self.failures.push(format!("{}: {path} is not compared", self.file));
        }
    }
}

fn unseen(value: &Value, path: &mut String, seen: &HashSet<*const Value>, out: &mut Vec<String>) {
    let len = path.len();
    let mut inside = |step: String, value| {
        path.push_str(&step);
        unseen(value, path, seen, out);
        path.truncate(len);
    };
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| inside(format!("[{i}]"), item));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, field)| inside(format!("/{key}"), field));
        }
        leaf if !seen.contains(&std::ptr::from_ref(leaf)) => out.push(path.clone()),
        _ => {}
    }
}

fn leaves(value: &Value, visit: &mut impl FnMut(&Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| leaves(item, visit)),
        Value::Object(fields) => fields.values().for_each(|field| leaves(field, visit)),
        leaf => visit(leaf),
    }
}

/// What a value holds to compare: numbers, bytes of byte strings, booleans; prose is none.
fn numbers(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(numbers).sum(),
        Value::Object(fields) => fields.values().map(numbers).sum(),
        Value::Number(_) | Value::Bool(_) => 1,
        Value::String(text) if text.len() >= 4 && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            text.len() / 2
        }
        _ => 0,
    }
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}

/// A golden float: the shortest decimal of an f32, or its name.
pub(crate) fn float(value: &Value) -> f32 {
    let text = match value {
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    text.parse().unwrap_or_else(|_| panic!("{text} is no float"))
}

/// Golden floats in order.
pub(crate) fn floats(value: &Value) -> Vec<f32> {
    list(value).into_iter().map(float).collect()
}

/// Golden integers in order.
pub(crate) fn integers<T: TryFrom<i64>>(value: &Value) -> Vec<T> {
    let integer = |v: &Value| v.as_i64().and_then(|v| T::try_from(v).ok());
    list(value).into_iter().map(|v| integer(v).unwrap_or_else(|| panic!("{v}"))).collect()
}

/// Golden bytes.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no byte string"));
    let byte = |i: usize| text.get(2 * i..2 * i + 2).and_then(|b| u8::from_str_radix(b, 16).ok());
    (0..text.len() / 2).map(|i| byte(i).unwrap_or_else(|| panic!("{text}"))).collect()
}

/// A golden count or shape.
pub(crate) fn size(value: &Value) -> usize {
    integers::<i64>(value).first().and_then(|v| usize::try_from(*v).ok()).unwrap_or_default()
}

/// A golden word.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
