//! `decoder_tail`: `[B, H, T, L] x [latent_total, D] -> [B, 1, T, D]`, summed over heads.
//!
//! Head `h` owns the rows `h * packed .. (h + 1) * packed` of the weight, `packed = latent_total
//! / H`, and uses the first `L` of them. The source floors that quotient where it counts memory;
//! here a remainder is an error.
use super::{Contraction, check_dims};
use crate::invalid::Invalid;

/// Shape of a decoder tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderTail {
    /// `B`.
    pub batch: usize,
    /// `H`, summed over.
    pub heads: usize,
    /// `T`.
    pub time: usize,
    /// `L`, latents of the input, summed over.
    pub latent: usize,
    /// Rows of the weight: a multiple of `heads`.
    pub latent_total: usize,
    /// `D`, columns of the weight and of the output.
    pub dim: usize,
}

impl DecoderTail {
    fn packed_latent(&self) -> usize {
        self.latent_total / self.heads
    }
}

impl Contraction for DecoderTail {
    fn validate(&self) -> Result<(), Invalid> {
        let [batch, heads] = [("batch", self.batch), ("heads", self.heads)];
        let [time, dim] = [("time", self.time), ("dim", self.dim)];
        check_dims("input", &[batch, heads, time, ("latent", self.latent)])?;
        check_dims("weight", &[("latent_total", self.latent_total), dim])?;
        check_dims("output", &[batch, time, dim])?;
        if !self.latent_total.is_multiple_of(self.heads) {
            let allowed = format!("a multiple of heads ({})", self.heads);
            return Err(Invalid::new("latent_total", self.latent_total, allowed));
        }
        Invalid::check_range("latent", self.latent, (1, self.packed_latent()))
    }
    fn input_shape(&self) -> [usize; 4] {
        [self.batch, self.heads, self.time, self.latent]
    }
    fn weight_shape(&self) -> Vec<usize> {
        vec![self.latent_total, self.dim]
    }
    fn output_shape(&self) -> [usize; 4] {
        [self.batch, 1, self.time, self.dim]
    }
    fn depth(&self) -> usize {
        self.heads * self.latent
    }
    fn terms(&self, output: usize) -> impl Iterator<Item = (usize, usize)> {
        let (token, d) = (output / self.dim, output % self.dim);
        let (b, t) = (token / self.time, token % self.time);
        let input = move |h, l| ((b * self.heads + h) * self.time + t) * self.latent + l;
        let weight = move |h, l| (h * self.packed_latent() + l) * self.dim + d;
        (0..self.heads)
            .flat_map(move |h| (0..self.latent).map(move |l| (input(h, l), weight(h, l))))
    }
    /// All heads of a token, since an output sums over them.
    fn tokens(&self) -> usize {
        self.batch * self.time
    }
    fn token(&self, input: usize) -> usize {
        let row = input / self.latent;
        row / (self.heads * self.time) * self.time + row % self.time
    }
    fn channels(&self) -> usize {
        self.dim
    }
    fn channel(&self, weight: usize) -> usize {
        weight % self.dim
    }
}
