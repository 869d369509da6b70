//! The one error of everything that is given a value it cannot take.

/// A field, the value found in it and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {value}, must be {allowed}")]
pub struct Invalid {
    /// The field, with its path: `attention.num_key_value_heads`, `x`.
    pub field: String,
    /// What was found: `-3`, `7 values`.
    pub value: String,
    /// What is allowed: `at least 1`, `12 values ([3, 4])`.
    pub allowed: String,
}

impl Invalid {
    /// `field` is `value`, must be `allowed`.
    pub fn new(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        allowed: impl Into<String>,
    ) -> Invalid {
        Invalid { field: field.into(), value: value.to_string(), allowed: allowed.into() }
    }

    /// The same error one level further out: `path.field`.
    pub fn within(self, path: &str) -> Invalid {
        Invalid { field: format!("{path}.{}", self.field), ..self }
    }

    /// Whether a tensor has the values its shape says; a shape whose product overflows has none.
    pub fn check_len(field: &str, found: usize, shape: &[usize]) -> Result<(), Invalid> {
        let wanted = Invalid::area(field, shape)?;
        match wanted == found {
            true => Ok(()),
            false => {
                let allowed = format!("{wanted} values ({shape:?})");
                Err(Invalid::new(field, format!("{found} values"), allowed))
            }
        }
    }

    /// Number of values of a shape: the product of its dimensions in order, 1 for none.
    pub fn area(field: &str, shape: &[usize]) -> Result<usize, Invalid> {
        let product = shape.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
        product
            .ok_or_else(|| Invalid::new(field, format!("{shape:?}"), "a shape below 2^64 values"))
    }

    /// Whether every value is finite; the first that is not is named.
    pub fn check_finite(field: &str, x: &[f32]) -> Result<(), Invalid> {
        match x.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(Invalid::new(format!("{field}[{at}]"), x[at], "finite")),
            None => Ok(()),
        }
    }

    /// Whether a number lies within limits, both included.
    pub fn check_range(
        field: &str,
        value: usize,
        (least, most): (usize, usize),
    ) -> Result<(), Invalid> {
        match (least..=most).contains(&value) {
            true => Ok(()),
            false if most == usize::MAX => {
                Err(Invalid::new(field, value, format!("at least {least}")))
            }
            false => Err(Invalid::new(field, value, format!("from {least} to {most}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_field_value_and_what_is_allowed() {
        let error = Invalid::check_len("x", 7, &[3, 4]).unwrap_err().within("conv2d");
        assert_eq!(error.to_string(), "`conv2d.x` is 7 values, must be 12 values ([3, 4])");
        let error = Invalid::check_range("groups", 0, (1, usize::MAX)).unwrap_err();
        assert_eq!(error.to_string(), "`groups` is 0, must be at least 1");
        let error = Invalid::check_range("bits", 9, (2, 8)).unwrap_err();
        assert_eq!(error.to_string(), "`bits` is 9, must be from 2 to 8");
        assert!(Invalid::check_len("x", 0, &[usize::MAX, 2]).is_err());
        assert_eq!(Invalid::area("x", &[0, usize::MAX, 2]), Ok(0));
        assert_eq!(Invalid::area("x", &[]), Ok(1));
    }
}
