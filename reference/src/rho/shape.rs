//! A state: one matrix per batch and head, row-major, one after the other.
use crate::invalid::Invalid;

/// So many matrices of `rows x columns`; their product is below 2^61.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateShape {
    matrices: usize,
    rows: usize,
    columns: usize,
}

impl StateShape {
    /// From a tensor's shape of at least two dimensions: the last two are a matrix, all before
    /// them (batch, layer, head) count matrices.
    pub fn new(shape: &[usize]) -> Result<StateShape, Invalid> {
        let invalid = || {
            let allowed = "at least 2 dimensions whose product is below 2^61";
            Invalid::new("shape", format!("{shape:?}"), allowed)
        };
        // Eight bytes a value, the most a codec asks for, are countable; so is any partial product.
        let countable = shape.iter().try_fold(8usize, |all, dim| all.checked_mul((*dim).max(1)));
        let [outer @ .., rows, columns] = shape else { return Err(invalid()) };
        countable.ok_or_else(invalid)?;
        let matrices = outer.iter().product();
        Ok(StateShape { matrices, rows: *rows, columns: *columns })
    }

    /// How many matrices.
    pub const fn matrices(self) -> usize {
        self.matrices
    }
    /// Rows of a matrix: the dimension of keys.
    pub const fn rows(self) -> usize {
        self.rows
    }
    /// Columns of a matrix: the dimension of values.
    pub const fn columns(self) -> usize {
        self.columns
    }
    /// Values of a matrix.
    pub const fn matrix_len(self) -> usize {
        self.rows * self.columns
    }
    /// Values of the state.
    pub const fn len(self) -> usize {
        self.matrices * self.matrix_len()
    }
    /// Whether it has no values.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Values of a state, as many as its shape says.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    shape: StateShape,
    values: &'a [f32],
}

impl<'a> State<'a> {
    /// `values` in the order of `shape`.
    pub fn new(shape: StateShape, values: &'a [f32]) -> Result<State<'a>, Invalid> {
        let dims = [shape.matrices, shape.rows, shape.columns];
        Invalid::check_len("state", values.len(), &dims)?;
        Ok(State { shape, values })
    }

    /// Its shape.
    pub const fn shape(self) -> StateShape {
        self.shape
    }
    /// Its values, matrix by matrix.
    pub const fn values(self) -> &'a [f32] {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_dimensions_count_matrices() {
        let shape = StateShape::new(&[2, 3, 4, 5]).unwrap();
        assert_eq!((shape.matrices(), shape.rows(), shape.columns()), (6, 4, 5));
        assert_eq!((shape.len(), shape.matrix_len(), shape.is_empty()), (120, 20, false));
        assert_eq!(StateShape::new(&[4, 5]).unwrap().matrices(), 1);
        assert!(StateShape::new(&[7, 0]).unwrap().is_empty());
    }

    #[test]
    fn shapes_without_matrices_or_with_too_many_values_are_errors() {
        // A zero does not hide the overflow of the others.
        let many = usize::MAX / 4;
        for shape in [&[][..], &[3], &[usize::MAX, 2], &[many, 1], &[0, many, 8], &[many, 8, 0]] {
            assert_eq!(StateShape::new(shape).unwrap_err().field, "shape", "{shape:?}");
        }
        let shape = StateShape::new(&[2, 2]).unwrap();
        assert_eq!(State::new(shape, &[0.0; 3]).unwrap_err().field, "state");
    }
}
