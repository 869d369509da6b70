//! Which outputs of a large product are compared, and a checksum over all the others.
use crate::data::{Stream, block_rng, mix};
use rand::Rng;

/// MACs above which the oracle compares a sample.
pub(super) const EXHAUSTIVE_MACS: u64 = 1 << 29;

/// Rows and columns of the output that are compared; every pair of them is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Rows, ascending.
    pub rows: Vec<usize>,
    /// Columns, ascending.
    pub columns: Vec<usize>,
    /// Whether that is less than all of them.
    pub sampled: bool,
}

impl Grid {
    /// All of `m x n`, or a seeded sample that stands on every edge of a power-of-two tile.
    pub fn new((m, n, k): (usize, usize, usize), seed: u64) -> Grid {
        let macs = (m as u64).saturating_mul(n as u64).saturating_mul(k as u64);
        if macs <= EXHAUSTIVE_MACS {
            return Grid { rows: (0..m).collect(), columns: (0..n).collect(), sampled: false };
        }
        let rows = indices(m, 64, mix(seed));
        Grid { rows, columns: indices(n, 256, mix(seed.wrapping_add(1))), sampled: true }
    }

    /// How many elements are compared.
    pub fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row and column of the compared element `at`, counted row by row.
    pub fn element(&self, at: usize) -> (usize, usize) {
        (self.rows[at / self.columns.len()], self.columns[at % self.columns.len()])
    }

    /// Row and column of each compared element, row by row.
    pub fn elements(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.len()).map(|at| self.element(at))
    }

    /// Position in the output of each compared element, row by row.
    pub fn positions(&self, n: usize) -> Option<Vec<usize>> {
        self.sampled.then(|| {
            let row = |i: &usize| self.columns.iter().map(|j| i * n + j).collect::<Vec<_>>();
            self.rows.iter().flat_map(row).collect()
        })
    }
}

/// Both sides of every power of two and of the end, and as many drawn indices.
pub(super) fn indices(len: usize, drawn: usize, seed: u64) -> Vec<usize> {
    let powers = (0..usize::BITS).map(|shift| 1usize << shift).take_while(|p| *p <= len);
    let edges = powers.flat_map(|p| [p - 1, p, p + 1]).chain([0, len.saturating_sub(1)]);
    let mut rng = block_rng(seed, Stream::Sample, 0);
    let mut all: Vec<_> = edges.filter(|i| *i < len).collect();
    all.extend((0..drawn).map(|_| rng.random_range(0..len)));
    all.sort_unstable();
    all.dedup();
    all
}

/// A random vector for Freivalds' check (R. Freivalds, 1977), modulo 2^64: if `A B != C` then
/// `A (B r) != C r`, but with a probability of at most 2^-32 for differences below 2^32.
pub(super) fn weights(len: usize, seed: u64) -> Vec<i64> {
    let mut rng = block_rng(seed, Stream::Sample, 1);
    (0..len).map(|_| rng.random()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_products_are_compared_whole_and_large_ones_at_tile_edges() {
        assert!(!Grid::new((2, 3, 4), 7).sampled);
        let grid = Grid::new((512, 14_336, 4096), 7);
        assert!(grid.sampled);
        for edge in [0, 15, 16, 63, 64, 65, 511] {
            assert!(grid.rows.contains(&edge), "{edge}");
        }
        assert!(grid.columns.contains(&14_335) && grid.columns.contains(&8191));
    }
}
