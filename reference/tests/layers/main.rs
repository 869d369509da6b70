//! Configs and operations of layers: small cases by hand, and every result a second way.
mod attention;
mod config;
mod convolution;
mod defects;
mod integer;
mod pooling;
mod quantizers;
use lowbit_reference::data::{Distribution, Stream, realistic};

/// Normal values.
fn normal(seed: u64, len: usize) -> Vec<f32> {
    realistic(Distribution::Normal, (seed, Stream::Activation), (len, len), 1.0)
}

fn magnitudes(x: &[f32]) -> Vec<f32> {
    x.iter().map(|x| x.abs()).collect()
}

/// Whether a value is within a bound of another.
#[track_caller]
fn close(found: f32, wanted: f32, bound: f64) {
    let distance = (f64::from(found) - f64::from(wanted)).abs();
    assert!(distance <= bound, "{found} is {distance:e} from {wanted}, bound {bound:e}");
}
