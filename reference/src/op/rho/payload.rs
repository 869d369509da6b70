//! What `rho_encode` and `rho_decode` share: a codec by name, the shape of a state and its values.
//!
//! The codecs are those of [`crate::rho::codec`](crate::rho) whose payload depends on the values
//! alone, bit for bit: no sum is rounded on the way. `int8_block`, `ternary_block` and
//! `binary_block` are the formats of `rho_pack`, where scales made of sums are judged by a bound;
//! the singular vectors of `lowrank_delta` have no fixed bits, so that it has no rows.
use super::super::inputs;
use crate::case::{Case, CaseError, Kind, Param, Word};
use crate::data::{Files, Stream};
use crate::op::part::Part;
use crate::quality::{Quality, quality};
use crate::rho::{RhoCodec, State, StateShape, rho_compression, rho_precision};

/// The codecs, by their names in the tables of precisions and compressions.
const CODECS: [&str; 7] =
    ["bf16", "fp8", "fp8_block", "blockfp8", "blockfp", "sparse_positive", "sparse_tile"];

/// Matrices whose first tile lives.
const LIVELY: usize = 1 << 12;

/// A codec and its word.
fn codec(name: &str) -> Option<(Word, &'static dyn RhoCodec)> {
    let precision = rho_precision(name).map(|found| (found.word, found.codec));
    precision.or_else(|| rho_compression(name).and_then(|found| Some((found.word, found.codec?))))
}

fn codec_words() -> Vec<Word> {
    CODECS.iter().filter_map(|name| codec(name)).map(|(word, _)| word).collect()
}

/// The codec.
pub(super) const CODEC: Param = Param {
    key: "codec",
    kind: Kind::Word(codec_words),
    about: "how the state becomes bytes",
    when: None,
    default: None,
};

const fn dimension(key: &'static str, about: &'static str, default: Option<&'static str>) -> Param {
    let kind = Kind::Number { min: 0, max: 1 << 28 };
    Param { key, kind, about, when: None, default }
}

/// Matrices of the state.
pub(super) const MATRICES: Param =
    dimension("matrices", "matrices of the state: batch times heads", Some("1"));
/// Rows of a matrix.
pub(super) const ROWS: Param = dimension("rows", "rows of a matrix", None);
/// Columns of a matrix.
pub(super) const COLUMNS: Param = dimension("columns", "columns of a matrix", None);

fn dimensions(case: &Case) -> [usize; 3] {
    ["matrices", "rows", "columns"].map(|key| case.number(key))
}

/// At most 2^31 values.
pub(super) fn validate(case: &Case) -> Result<(), CaseError> {
    let values = dimensions(case).into_iter().try_fold(1usize, |all, n| all.checked_mul(n.max(1)));
    match values {
        Some(values) if values <= 1 << 31 => Ok(()),
        _ => Err(case.conflict("matrices", "times rows times columns is more than 2^31 values")),
    }
}

/// Bytes of the values and the fewest bytes of their payload: a roof must not count what values
/// without anything to keep would spare.
pub(super) fn bytes(case: &Case) -> (u64, u64) {
    let shape = StateShape::new(&dimensions(case));
    let most = codec(case.word("codec")).zip(shape.ok()).map(|((_, codec), shape)| {
        let values = shape.len() as u64;
        (4 * values, codec.least_bytes(shape))
    });
    most.unwrap_or_default()
}

/// A state and how it is to be stored.
#[derive(Debug)]
pub struct StateProblem {
    /// Name of the codec.
    pub name: &'static str,
    /// What it means.
    pub(super) codec: &'static dyn RhoCodec,
    /// Matrices of rows and columns.
    pub shape: StateShape,
    /// Values, matrix by matrix.
    pub x: Vec<f32>,
    /// Bytes that hold every payload of this shape.
    pub most_bytes: usize,
}

impl StateProblem {
    /// What a row reads.
    pub(super) fn part(&mut self) -> Part<'_> {
        let columns = self.shape.columns();
        Part::values("x", &mut self.x, columns)
    }

    /// A state for a codec of the op; the error names what does not fit.
    pub fn new(name: &str, shape: StateShape, x: Vec<f32>) -> Result<StateProblem, String> {
        let (word, codec) = codec(name).ok_or_else(|| format!("no codec {name}"))?;
        State::new(shape, &x).map_err(|error| error.to_string())?;
        let most = codec.most_bytes(shape);
        let most_bytes = usize::try_from(most).map_err(|_| format!("{most} bytes"))?;
        Ok(StateProblem { name: word.name, codec, shape, x, most_bytes })
    }

    /// The problem of a case. In a state for tiles a third of the diagonals of tiles is dead.
    pub(super) fn generate(case: &Case, files: &dyn Files) -> Result<StateProblem, String> {
        let shape = StateShape::new(&dimensions(case)).map_err(|error| error.to_string())?;
        let len = (shape.len(), shape.columns());
        let x = inputs::values(case, None, Stream::State, len, files)?;
        let mut problem = StateProblem::new(case.word("codec"), shape, x)?;
        if case.word("codec") == "sparse_tile" {
            let mut x = std::mem::take(&mut problem.x);
            problem.kill_tiles(&mut x);
            problem.x = x;
        }
        Ok(problem)
    }

    /// Zero a third of the diagonals of tiles, not that of the first tile: a state of one tile would be
    /// nothing but zeros. Of matrices beyond the first [`LIVELY`] it is that one: a payload has 64 values
    /// for each live tile, also of matrices of one value. NaN and infinities stay, among zeros alone:
    /// one that is lost shows there.
    pub(super) fn kill_tiles(&self, x: &mut [f32]) {
        let (rows, columns) = (self.shape.rows(), self.shape.columns());
        for (i, x) in x.iter_mut().enumerate() {
            let (matrix, row, column) = (i / columns / rows, i / columns % rows, i % columns);
            let dead = if matrix < LIVELY { 2 } else { 0 };
            if (row / 8 + column / 8) % 3 == dead && x.is_finite() {
                *x = 0.0;
            }
        }
    }

    /// The payload of the state. None of these codecs refuses a state of its shape.
    pub fn payload(&self) -> Vec<u8> {
        let state = State::new(self.shape, &self.x);
        let payload = state.and_then(|state| self.codec.encode(state, None));
        payload.unwrap_or_default()
    }

    /// The state of a payload; empty where it is none.
    pub fn values(&self, payload: &[u8]) -> Vec<f32> {
        self.codec.decode(payload, self.shape, None).unwrap_or_default()
    }

    /// What the codec costs.
    pub(super) fn quality(&self, payload: &[u8]) -> Quality {
        quality(&self.x, self.values(payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::NoFiles;

    fn state(id: &str) -> Vec<f32> {
        let case: Case = id.parse().unwrap_or_else(|e| panic!("{id}: {e}"));
        StateProblem::generate(&case, &NoFiles).unwrap_or_else(|e| panic!("{id}: {e}")).x
    }

    #[test]
    fn a_state_of_one_tile_lives_and_dead_tiles_keep_what_is_no_number() {
        let tiles = "rho_encode/codec=sparse_tile/matrices=1/rows=8";
        let one = state(&format!("{tiles}/columns=8/data=realistic/distribution=normal/seed=0"));
        assert!(one.iter().all(|x| *x != 0.0), "{one:?}");
        let dead = |x: &[f32]| x.iter().enumerate().all(|(i, x)| i % 24 < 16 || *x == 0.0);
        let three = format!("{tiles}/columns=24/data=adversarial/pattern");
        assert!(dead(&state(&format!("{three}=binades/seed=0"))));
        let alone = |seed: u64| {
            let x = state(&format!("{three}=nan/seed={seed}"));
            assert_eq!(x.iter().filter(|x| x.is_nan()).count(), 1, "{x:?}");
            !dead(&x)
        };
        assert!((0..32).any(alone), "no NaN in a dead tile");
        let many = state(
            "rho_encode/codec=sparse_tile/matrices=9000/rows=1/columns=1/data=realistic/distribution=normal/seed=0",
        );
        assert!(
            many[..LIVELY].iter().all(|x| *x != 0.0) && many[LIVELY..].iter().all(|x| *x == 0.0)
        );
    }
}
