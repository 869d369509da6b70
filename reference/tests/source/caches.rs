//! Caches (seed 002, lines 1960-2056 and 2255-2285), without their globals: keyed by addresses
//! and shapes, never let go of.
use super::fake::mean;
use super::quantize::{EPSILON, signed_codes};
use std::collections::HashMap;

/// Values made from artifacts, keyed by where the artifact lies.
#[derive(Debug, Default)]
pub(crate) struct ByAddress<V> {
    entries: HashMap<usize, V>,
}

impl<V: Clone> ByAddress<V> {
    pub(crate) fn get_or_make<T>(&mut self, artifact: &T, make: impl FnOnce(&T) -> V) -> V {
        let address = std::ptr::from_ref(artifact).addr();
        self.entries.entry(address).or_insert_with(|| make(artifact)).clone()
    }
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The key under which `packed_lowrank_projection_native` keeps the activation scale: the address
/// of a clone that lives in this very frame.
#[inline(never)]
pub(crate) fn stack_key<T: Clone>(artifact: &T) -> usize {
    let cached = artifact.clone();
    std::ptr::from_ref(std::hint::black_box(&cached)).addr()
}

/// What the scale of int8 activations is when it is made: a tensor operation, not a loop.
pub(crate) fn activation_scale(x: &[f32]) -> f32 {
    ((mean(x.iter().map(|x| x.abs())) * 2.0).max(EPSILON) / 127.0).max(EPSILON)
}

/// Scales keyed by kind and length, whatever the values: the first ones decide for good.
#[derive(Debug, Default)]
pub(crate) struct ByShape {
    entries: HashMap<(&'static str, usize), f32>,
}

impl ByShape {
    /// The scale and whether it was found rather than made.
    fn scale(&mut self, key: (&'static str, usize), make: impl FnOnce() -> f32) -> (f32, bool) {
        match self.entries.get(&key) {
            Some(scale) => (scale.max(EPSILON), true),
            None => {
                let scale = make();
                self.entries.insert(key, scale.max(EPSILON));
                (scale, false)
            }
        }
    }

    /// int8 activations: codes, scale, hit.
    pub(crate) fn activations(&mut self, x: &[f32]) -> (Vec<i8>, f32, bool) {
        let (scale, hit) = self.scale(("activation", x.len()), || activation_scale(x));
        (signed_codes(x, scale, 127.0), scale, hit)
    }

    /// Ternary weights: codes, scale, hit.
    pub(crate) fn weights(&mut self, w: &[f32]) -> (Vec<i8>, f32, bool) {
        let (scale, hit) =
            self.scale(("weight", w.len()), || mean(w.iter().map(|w| w.abs())).max(EPSILON));
        let code = |w: &f32| i8::from(w.abs() >= scale) * if *w >= 0.0 { 1 } else { -1 };
        (w.iter().map(code).collect(), scale, hit)
    }
}
