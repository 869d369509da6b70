//! Random material: numbers, floats of every kind, shapes, bytes and damaged text.
use lowbit_reference::data::mix;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Seed of every input, beside the target's name and the input's number.
pub(crate) const SEED: u64 = 14;

/// Sizes that no memory holds, alone or multiplied.
const HUGE: [usize; 6] =
    [1 << 32, (1 << 32) + 1, 1 << 48, usize::MAX / 2, usize::MAX / 2 + 1, usize::MAX];

/// Floats that break things.
const SPECIAL: [f32; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    1e-45,
    -1e-45,
    1e-38,
];

/// Pieces of JSON and of case ids.
const TOKENS: [&str; 16] = [
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "18446744073709551616",
    "[",
    "]",
    "{",
    "}",
    "\"",
    ":",
    ",",
    "=",
    "/",
    "é",
];

/// One input.
pub(crate) struct Input {
    rng: ChaCha8Rng,
    number: u64,
}

impl Input {
    pub(crate) fn new(target: &str, number: u64) -> Input {
        let name = target.bytes().fold(SEED, |hash, byte| mix(hash ^ u64::from(byte)) | 1);
        Input { rng: ChaCha8Rng::seed_from_u64(mix(name.wrapping_add(number))), number }
    }

    /// Which input of its target it is.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// From 0 to below `end`, which is at least 1.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.rng.random()
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.rng.next_u64()
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A size: small, and now and then huge.
    pub(crate) fn size(&mut self) -> usize {
        if self.once_in(24) { self.pick(&HUGE) } else { self.below(8) }
    }

    pub(crate) fn sizes<const N: usize>(&mut self) -> [usize; N] {
        std::array::from_fn(|_| self.size())
    }

    /// Any number of 16 bits; mostly a small one.
    pub(crate) fn code(&mut self) -> i16 {
        match self.below(8) {
            0 => self.rng.random(),
            1 => self.rng.random_range(-128..256),
            2 => self.rng.random_range(-8..16),
            _ => self.rng.random_range(-1..=1),
        }
    }

    pub(crate) fn codes(&mut self, most: usize) -> Vec<i16> {
        // All from one range, so that some are codes of a format.
        let len = self.below(most + 1);
        match self.below(4) {
            0 => (0..len).map(|_| self.code()).collect(),
            1 => (0..len).map(|_| self.rng.random_range(0..16)).collect(),
            2 => (0..len).map(|_| if self.flip() { 1 } else { -1 }).collect(),
            _ => (0..len).map(|_| self.rng.random_range(-1..=1)).collect(),
        }
    }

    /// Any float: special, of any bits, or ordinary.
    pub(crate) fn float(&mut self) -> f32 {
        match self.below(8) {
            0 => self.pick(&SPECIAL),
            1 => f32::from_bits(self.rng.random()),
            _ => self.rng.random_range(-4.0..4.0),
        }
    }

    pub(crate) fn double(&mut self) -> f64 {
        if self.once_in(4) { f64::from_bits(self.word()) } else { f64::from(self.float()) }
    }

    /// So many floats; half the time only ordinary ones.
    pub(crate) fn floats(&mut self, len: usize) -> Vec<f32> {
        let ordinary = self.flip();
        let mut float = || if ordinary { self.rng.random_range(-4.0..4.0) } else { self.float() };
        (0..len).map(|_| float()).collect()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// As many values as the shape has, mostly; another number if those are too many.
    pub(crate) fn len_of(&mut self, shape: &[usize]) -> usize {
        let product = shape.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
        match product.filter(|product| *product <= 1 << 12) {
            Some(len) if !self.once_in(16) => len,
            _ => self.below(65),
        }
    }

    pub(crate) fn tensor(&mut self, shape: &[usize]) -> Vec<f32> {
        let len = self.len_of(shape);
        self.floats(len)
    }

    /// Some texts, one of them damaged in a few places.
    pub(crate) fn text(&mut self, of: &[&str]) -> String {
        let mut bytes = self.pick(of).as_bytes().to_vec();
        for _ in 0..self.below(5) {
            let (at, end) = (self.below(bytes.len() + 1), self.below(bytes.len() + 1));
            let (at, end) = (at.min(end), at.max(end));
            match self.below(6) {
                0 => drop(bytes.splice(at..at, self.pick(&TOKENS).bytes())),
                1 => drop(bytes.splice(at..end.min(at + 8), self.pick(&TOKENS).bytes())),
                2 => drop(bytes.drain(at..end.min(at + 4))),
                3 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
                4 => bytes.truncate(end),
                _ => {
                    let byte = self.rng.random();
                    bytes.get_mut(at).into_iter().for_each(|slot| *slot = byte);
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
