//! Which values of a tensor share a scale.
//!
//! A group is a list of equally long runs at a stride: one run for tensors, rows and groups of a
//! row; one run a head for the head groups of an activation `[B, H, T, E]`, where the heads of a
//! token lie `T E` apart.
use super::{Granularity, Quantized, Rule};
use crate::format::Levels;
use crate::invalid::Invalid;

/// The groups of a tensor, in the order of their scales.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    len: usize,
    /// Start of each group's first run, ascending.
    starts: Vec<usize>,
    /// Values of a run, and number and distance of a group's runs.
    run: Run,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// One run, up to the next group's start.
    Whole,
    /// `count` runs of `len` values, `stride` apart.
    Strided { len: usize, count: usize, stride: usize },
}

impl Groups {
    /// Consecutive groups of `group_len` values (the last may be short).
    pub fn runs(len: usize, group_len: usize) -> Groups {
        Groups { len, starts: (0..len).step_by(group_len.max(1)).collect(), run: Run::Whole }
    }

    /// Groups of a matrix `[rows, columns]`; a group never crosses from one row to the next.
    pub fn matrix(rule: &Rule, (rows, columns): (usize, usize)) -> Result<Groups, Invalid> {
        let len = area("matrix", &[rows, columns])?;
        match rule.granularity {
            Granularity::Tensor => Ok(Groups::runs(len, len)),
            Granularity::Row => Ok(Groups::runs(len, columns)),
            Granularity::Group => {
                let size = rule.group_size.max(1);
                let row = |row: usize| (0..columns).step_by(size).map(move |at| row * columns + at);
                let starts = (0..rows).flat_map(row).collect();
                Ok(Groups { len, starts, run: Run::Whole })
            }
            Granularity::HeadGroup => {
                Err(Invalid::new("granularity", "head_group", "another one: a matrix has no heads"))
            }
        }
    }

    /// Groups of a weight `[H, rows, columns]`: heads one after the other.
    pub fn weight_heads(rule: &Rule, shape: [usize; 3]) -> Result<Groups, Invalid> {
        let [heads, rows, columns] = shape;
        let len = area("weight", &shape)?;
        match rule.granularity {
            Granularity::HeadGroup => {
                let size = heads_per_group(rule, heads)?;
                Ok(Groups::runs(len, size * rows * columns))
            }
            _ => Groups::matrix(rule, (heads * rows, columns)),
        }
    }

    /// Groups of an activation `[B, H, T, E]`. A token is a row `[E]` of one head; a head group is
    /// the same token in `group_size` heads, so that no token sees another.
    pub fn activation_heads(rule: &Rule, shape: [usize; 4]) -> Result<Groups, Invalid> {
        let [batch, heads, tokens, features] = shape;
        let len = area("activation", &shape)?;
        if rule.granularity != Granularity::HeadGroup {
            return Groups::matrix(rule, (batch * heads * tokens, features));
        }
        let size = heads_per_group(rule, heads)?;
        let head = tokens * features;
        let mut starts = Vec::with_capacity(len / (size * features).max(1));
        for first in (0..batch * heads).step_by(size) {
            starts.extend((0..tokens).map(|token| first * head + token * features));
        }
        let run = Run::Strided { len: features, count: size, stride: head };
        Ok(Groups { len, starts: if len == 0 { Vec::new() } else { starts }, run })
    }

    /// Number of groups, so of scales.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// Positions of a group's values.
    pub fn positions(&self, group: usize) -> impl Iterator<Item = usize> + use<> {
        let start = self.starts[group];
        let (len, count, stride) = match self.run {
            Run::Whole => (self.starts.get(group + 1).unwrap_or(&self.len) - start, 1, 0),
            Run::Strided { len, count, stride } => (len, count, stride),
        };
        (0..count).flat_map(move |run| start + run * stride..start + run * stride + len)
    }
}

fn area(name: &str, shape: &[usize]) -> Result<usize, Invalid> {
    let product = shape.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
    product.ok_or_else(|| Invalid::new(name, format!("{shape:?}"), "a shape below 2^64 values"))
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
