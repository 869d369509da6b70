//! Numbers as people read them: three significant digits and a unit.

/// Nanoseconds with the unit that keeps the number between 1 and 1000.
pub fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        _ if ns < 1e3 => (ns, "ns"),
        _ if ns < 1e6 => (ns / 1e3, "µs"),
        _ if ns < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    format!("{} {unit}", significant(value, 3))
}

/// A share as a percentage: `0.123` is `12.3 %`.
pub fn percent(share: f64) -> String {
    format!("{} %", significant(share * 100.0, 3))
}

/// A number with `digits` significant digits; scientific below 1e-4 and from 1e6.
pub fn significant(value: f64, digits: u32) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = i32::try_from(digits).unwrap_or(1).max(1);
    let places = |v: f64| digits - 1 - v.abs().log10().floor() as i32;
    // Rounding may carry into a new digit (9.996 to 10.0), which then has one place less.
    let unit = 10f64.powi(-places(value));
    let rounded = (value / unit).round() * unit;
    if !(1e-4..1e6).contains(&rounded.abs()) {
        return format!("{value:.*e}", usize::try_from(digits - 1).unwrap_or(0));
    }
    format!("{value:.*}", usize::try_from(places(rounded)).unwrap_or(0))
}

/// `1 case`, `2 cases`.
pub fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_choose_their_unit() {
        assert_eq!(time(12.345), "12.3 ns");
        assert_eq!(time(12_345.0), "12.3 µs");
        assert_eq!(time(1_234_567.0), "1.23 ms");
        assert_eq!(time(2.5e9), "2.50 s");
    }

    #[test]
    fn significant_digits_survive_carries_and_extremes() {
        assert_eq!(significant(9.996, 3), "10.0");
        assert_eq!(significant(0.012_345, 3), "0.0123");
        assert_eq!(significant(1234.5, 3), "1234");
        assert_eq!(significant(-0.5, 3), "-0.500");
        assert_eq!(significant(1.5e-7, 2), "1.5e-7");
        assert_eq!(significant(0.0, 3), "0");
        assert_eq!(percent(0.1234), "12.3 %");
        assert_eq!(percent(1.0), "100 %");
    }
}
