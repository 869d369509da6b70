//! What a case hands to a program outside: its inputs as named tensors.
use super::{Op, Tensor};

/// One tensor of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Name, unique in the case.
    pub name: &'static str,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Tensor,
}

impl Input {
    /// A tensor whose values fill its shape.
    pub fn new(name: &'static str, shape: &[usize], values: Tensor) -> Input {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}: {shape:?}");
        Input { name, shape: shape.to_vec(), values }
    }
}

/// An operation whose inputs can be given away.
pub trait Export: Op {
    /// Everything somebody needs to answer the problem without our code.
    fn inputs(problem: &Self::Problem) -> Vec<Input>;
}
