//! Which values of a tensor share a scale.
//!
//! A group is a list of equally long runs at a stride: one run for tensors, rows and groups of a
//! row; one run a head for the head groups of an activation `[B, H, T, E]`, where the heads of a
//! token lie `T E` apart. Groups are a formula and not a list, so that those of a tensor that is
//! nowhere can be counted:
//!
//! ```text
//! per_span = ceil(span / (run runs))                       groups of a span
//! start(g) = floor(g / per_span) span + (g mod per_span) run
//! group(g) = start(g) + i span / runs .. + run,  i < runs  the last run of a span may be short
//! ```
use super::{Granularity, Quantized, Rule, Shared};
use crate::format::Levels;
use crate::invalid::Invalid;
use crate::rule::Code;

/// The groups of a tensor, in the order of their scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    len: usize,
    /// Values that are grouped alike: a tensor, a row, or the heads of a group over all tokens.
    span: usize,
    /// Values of a run.
    run: usize,
    /// Runs of a group.
    runs: usize,
}

impl Groups {
    /// The one way to write these groups: spans as long as they can be, and one run where the runs
    /// of a group touch.
    fn new(len: usize, span: usize, run: usize, runs: usize) -> Groups {
        let (span, run) = (span.max(1), run.clamp(1, span.max(1)));
        match span == run * runs {
            _ if len == 0 => Groups { len, span: 1, run: 1, runs: 1 },
            true => Groups { len, span: len, run: span, runs: 1 },
            false if runs == 1 && span.is_multiple_of(run) => Groups { len, span: len, run, runs },
            false => Groups { len, span, run, runs },
        }
    }

    /// Consecutive groups of `group_len` values (the last may be short).
    pub fn runs(len: usize, group_len: usize) -> Groups {
        Groups::new(len, len, group_len, 1)
    }

    /// Groups of a matrix `[rows, columns]`; a group never crosses from one row to the next.
    pub fn matrix(rule: &Rule, (rows, columns): (usize, usize)) -> Result<Groups, Invalid> {
        let len = Invalid::area("matrix", &[rows, columns])?;
        match rule.granularity {
            Granularity::Tensor => Ok(Groups::runs(len, len)),
            Granularity::Row => Ok(Groups::runs(len, columns)),
            Granularity::Group => Ok(Groups::new(len, columns, rule.group_size, 1)),
            Granularity::HeadGroup => {
                Err(Invalid::new("granularity", "head_group", "another one: a matrix has no heads"))
            }
        }
    }

    /// Groups of a weight `[H, rows, columns]`: heads one after the other.
    pub fn weight_heads(rule: &Rule, shape: [usize; 3]) -> Result<Groups, Invalid> {
        let [heads, rows, columns] = shape;
        let len = Invalid::area("weight", &shape)?;
        match rule.granularity {
            Granularity::HeadGroup => {
                let size = heads_per_group(rule, heads)?;
                // Without a value the other dimensions may be of any size.
                Ok(Groups::runs(len, if len == 0 { 1 } else { size * rows * columns }))
            }
            _ => Groups::matrix(rule, (heads * rows, columns)),
        }
    }

    /// Groups of a weight of any shape: three dimensions are heads, in any other number there are
    /// none and the last one is a row.
    pub fn weight(rule: &Rule, shape: &[usize]) -> Result<Groups, Invalid> {
        match *shape {
            [heads, rows, columns] => Groups::weight_heads(rule, [heads, rows, columns]),
            [ref rows @ .., columns] => {
                Groups::matrix(rule, (Invalid::area("weight", rows)?, columns))
            }
            [] => Groups::matrix(rule, (1, 1)),
        }
    }

    /// Groups of an activation `[B, H, T, E]`. A token is a row `[E]` of one head; a head group is
    /// the same token in `group_size` heads, so that no token sees another.
    pub fn activation_heads(rule: &Rule, shape: [usize; 4]) -> Result<Groups, Invalid> {
        let [batch, heads, tokens, features] = shape;
        let len = Invalid::area("activation", &shape)?;
        if rule.granularity != Granularity::HeadGroup {
            return Groups::matrix(rule, (batch * heads * tokens, features));
        }
        let runs = heads_per_group(rule, heads)?;
        // Without a value the other dimensions may be of any size.
        let span = if len == 0 { 1 } else { runs * tokens * features };
        Ok(Groups::new(len, span, features, runs))
    }

    /// Groups of an activation of any shape: four dimensions are `[B, H, T, E]`, in any other
    /// number there are no heads and the last one is a token.
    pub fn activation(rule: &Rule, shape: &[usize]) -> Result<Groups, Invalid> {
        match *shape {
            [batch, heads, tokens, features] => {
                Groups::activation_heads(rule, [batch, heads, tokens, features])
            }
            [ref rows @ .., columns] => {
                Groups::matrix(rule, (Invalid::area("activation", rows)?, columns))
            }
            [] => Groups::matrix(rule, (1, 1)),
        }
    }

    /// Values of all groups.
    pub fn values(&self) -> usize {
        self.len
    }

    /// Number of groups, so of scales.
    pub fn count(&self) -> usize {
        self.len / self.span * self.per_span()
    }

    fn per_span(&self) -> usize {
        self.span.div_ceil(self.run * self.runs)
    }

    /// Positions of the values of a group below [`count`](Groups::count).
    pub fn positions(&self, group: usize) -> impl Iterator<Item = usize> + use<> {
        let (span, within) = (group / self.per_span(), group % self.per_span());
        let (first, stride) = (within * self.run, self.span / self.runs);
        let (start, len) = (span * self.span + first, self.run.min(self.span - first));
        (0..self.runs).flat_map(move |run| start + run * stride..start + run * stride + len)
    }

    /// The formula's numbers: equal exactly where the groups are.
    pub(crate) fn numbers(&self) -> [usize; 4] {
        [self.len, self.span, self.run, self.runs]
    }
}

fn heads_per_group(rule: &Rule, heads: usize) -> Result<usize, Invalid> {
    match rule.group_size {
        size if size > 0 && heads.is_multiple_of(size) => Ok(size),
        size => Err(Invalid::new("group_size", size, format!("a divisor of the {heads} heads"))),
    }
}

/// Quantize `x`, which has the length the groups were made for.
pub fn quantize_groups(rule: &Rule, levels: Levels, x: &[f32], groups: &Groups) -> Quantized {
    let mut out = Quantized { shared: Vec::with_capacity(groups.count()), codes: vec![0; x.len()] };
    for group in 0..groups.count() {
        let values: Vec<f32> = groups.positions(group).map(|at| x[at]).collect();
        let shared = rule.shared(levels, &values);
        for (at, x) in groups.positions(group).zip(&values) {
            out.codes[at] = rule.code(levels, *x, &shared);
        }
        out.shared.push(shared);
    }
    out
}

/// The values of codes, which have the length the groups were made for; 0 where what a group
/// shares is missing.
pub fn dequantize_groups(
    rule: &Rule,
    (codes, shared): (&[Code], &[Shared]),
    groups: &Groups,
) -> Vec<f32> {
    let mut values = vec![0.0; codes.len()];
    for (group, shared) in (0..groups.count()).zip(shared) {
        groups.positions(group).for_each(|at| values[at] = rule.value(codes[at], shared));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(groups: &Groups) -> Vec<Vec<usize>> {
        (0..groups.count()).map(|g| groups.positions(g).collect()).collect()
    }

    #[test]
    fn groups_end_with_their_row() {
        let rule = Rule { granularity: Granularity::Group, group_size: 2, ..Rule::default() };
        let groups = Groups::matrix(&rule, (2, 3)).unwrap();
        assert_eq!(all(&groups), [vec![0, 1], vec![2], vec![3, 4], vec![5]]);
    }

    #[test]
    fn head_groups_of_activations_hold_one_token_each() {
        let rule = Rule { granularity: Granularity::HeadGroup, group_size: 2, ..Rule::default() };
        // [B, H, T, E] = [1, 4, 2, 1]: heads 0 and 1 of token 0, of token 1, heads 2 and 3 ...
        let groups = Groups::activation_heads(&rule, [1, 4, 2, 1]).unwrap();
        assert_eq!(all(&groups), [vec![0, 2], vec![1, 3], vec![4, 6], vec![5, 7]]);
        let groups = Groups::weight_heads(&rule, [4, 1, 2]).unwrap();
        assert_eq!(all(&groups), [vec![0, 1, 2, 3], vec![4, 5, 6, 7]]);
        let error = Groups::weight_heads(&rule, [3, 1, 2]).unwrap_err().to_string();
        assert_eq!(error, "`group_size` is 2, must be a divisor of the 3 heads");
    }

    #[test]
    fn nothing_has_no_groups_however_large_the_other_dimensions() {
        let huge = usize::MAX / 2 + 1;
        let rule = |granularity| Rule { granularity, group_size: 1, ..Rule::default() };
        let (group, heads) = (rule(Granularity::Group), rule(Granularity::HeadGroup));
        for groups in [
            Groups::matrix(&group, (usize::MAX, 0)),
            Groups::weight_heads(&heads, [0, huge, huge]),
            Groups::activation_heads(&heads, [0, huge, huge, huge]),
            Groups::activation_heads(&heads, [1, huge, 0, huge]),
        ] {
            assert_eq!(groups.unwrap().count(), 0);
        }
        for error in [
            Groups::matrix(&group, (usize::MAX, 2)),
            Groups::weight_heads(&group, [huge, huge, 0]),
            Groups::weight(&group, &[huge, huge, 0, 1]),
            Groups::activation(&group, &[huge, huge, 0, 1, 1]),
        ] {
            assert!(error.is_err());
        }
    }

    #[test]
    fn equal_groups_have_equal_numbers_and_no_others() {
        let granularities =
            [Granularity::Tensor, Granularity::Row, Granularity::Group, Granularity::HeadGroup];
        let mut found: Vec<(Groups, Vec<Vec<usize>>)> = Vec::new();
        for granularity in granularities {
            for (group_size, shape) in [1, 2, 4, 6, 100].into_iter().flat_map(|size| {
                [[1, 4, 3, 6], [2, 2, 3, 6], [1, 1, 1, 72], [4, 6, 1, 3], [12, 6, 1, 1]]
                    .map(|shape| (size, shape))
            }) {
                let rule = Rule { granularity, group_size, ..Rule::default() };
                let Ok(groups) = Groups::activation(&rule, &shape) else { continue };
                found.push((groups, all(&groups)));
            }
        }
        for ((a, listed_a), (b, listed_b)) in
            found.iter().flat_map(|a| found.iter().map(move |b| (a, b)))
        {
            assert_eq!(a.numbers() == b.numbers(), listed_a == listed_b, "{a:?} {b:?}");
        }
    }

    #[test]
    fn groups_are_counted_without_a_list() {
        let rule = |granularity, group_size| Rule { granularity, group_size, ..Rule::default() };
        let tokens = [1 << 20, 4, 1 << 20, 10];
        let count = |rule: &Rule| Groups::activation(rule, &tokens).unwrap().count();
        assert_eq!(count(&rule(Granularity::Tensor, 0)), 1);
        assert_eq!(count(&rule(Granularity::Row, 0)), 4 << 40);
        assert_eq!(count(&rule(Granularity::Group, 4)), 12 << 40);
        assert_eq!(count(&rule(Granularity::HeadGroup, 2)), 2 << 40);
        let heads = Groups::weight(&rule(Granularity::HeadGroup, 2), &[4, 1 << 40, 10]);
        assert_eq!(heads.unwrap().count(), 2);
    }

    #[test]
    fn values_are_those_of_their_group_and_what_is_missing_is_zero() {
        let rule = Rule { granularity: Granularity::HeadGroup, group_size: 2, ..Rule::default() };
        let groups = Groups::activation(&rule, &[1, 4, 2, 1]).unwrap();
        let shared = [2.0, 3.0, 5.0].map(|scale| rule.under(scale));
        let values = dequantize_groups(&rule, (&[1; 8], &shared), &groups);
        assert_eq!(values, [2.0, 3.0, 2.0, 3.0, 5.0, 0.0, 5.0, 0.0]);
    }

    #[test]
    fn every_value_is_in_one_group_whatever_the_granularity() {
        let granularities =
            [Granularity::Tensor, Granularity::Row, Granularity::Group, Granularity::HeadGroup];
        for granularity in granularities {
            for shape in [[2, 4, 3, 5], [0, 2, 1, 1], [1, 2, 0, 3], [1, 2, 3, 0]] {
                let rule = Rule { granularity, group_size: 2, ..Rule::default() };
                let groups = Groups::activation_heads(&rule, shape).unwrap();
                let mut at: Vec<usize> = all(&groups).concat();
                at.sort_unstable();
                let len: usize = shape.iter().product();
                assert_eq!(at, (0..len).collect::<Vec<_>>(), "{granularity:?} {shape:?}");
            }
        }
    }
}
