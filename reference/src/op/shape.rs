//! How large a tensor of an operation may be.
use crate::invalid::Invalid;

/// Most values of a tensor that an operation makes. Scalar code has no use for more, and a shape
/// from a file must not be able to ask for all memory.
pub const MAX_VALUES: usize = 1 << 28;

/// Number of values of a shape, at most [`MAX_VALUES`].
pub fn values(field: &str, shape: &[usize]) -> Result<usize, Invalid> {
    // A zero anywhere makes the product zero, however large the rest.
    if shape.contains(&0) {
        return Ok(0);
    }
    let product = Invalid::area(field, shape).ok();
    product.filter(|product| *product <= MAX_VALUES).ok_or_else(|| {
        Invalid::new(field, format!("{shape:?}"), format!("a shape of at most {MAX_VALUES} values"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_a_value_and_overflow_is_not() {
        assert_eq!(values("x", &[1 << 14, 1 << 14]), Ok(MAX_VALUES));
        assert_eq!(values("x", &[usize::MAX, 2, 0]), Ok(0));
        assert_eq!(values("x", &[]), Ok(1));
        for shape in [[MAX_VALUES, 2], [usize::MAX, 2], [usize::MAX, usize::MAX]] {
            assert_eq!(values("x", &shape).unwrap_err().field, "x", "{shape:?}");
        }
    }
}
