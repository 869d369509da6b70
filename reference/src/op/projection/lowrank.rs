//! `lowrank_projection`: `[B, H or 1, T, E] x [H, E, L] -> [B, H, T, L]`, heads apart.
//!
//! An input of one head is used by every head of the weight.
use super::{Contraction, check_dims};
use crate::invalid::Invalid;

/// Shape of a low-rank projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowrankProjection {
    /// `B`.
    pub batch: usize,
    /// Heads of the input: 1, or `heads`.
    pub input_heads: usize,
    /// `H`, heads of the weight and of the output.
    pub heads: usize,
    /// `T`.
    pub time: usize,
    /// `E`, summed over.
    pub embd: usize,
    /// Latents of the weight.
    pub packed_latent: usize,
    /// `L`, latents of the output: the first of those packed.
    pub latent: usize,
}

impl Contraction for LowrankProjection {
    fn validate(&self) -> Result<(), Invalid> {
        let [batch, time] = [("batch", self.batch), ("time", self.time)];
        let [heads, embd] = [("heads", self.heads), ("embd", self.embd)];
        check_dims("input", &[batch, ("input_heads", self.input_heads), time, embd])?;
        check_dims("weight", &[heads, embd, ("packed_latent", self.packed_latent)])?;
        check_dims("output", &[batch, heads, time, ("latent", self.latent)])?;
        if self.input_heads != 1 && self.input_heads != self.heads {
            let allowed = format!("1 or {}", self.heads);
            return Err(Invalid::new("input_heads", self.input_heads, allowed));
        }
        Invalid::check_range("latent", self.latent, (1, self.packed_latent))
    }
    fn input_shape(&self) -> [usize; 4] {
        [self.batch, self.input_heads, self.time, self.embd]
    }
    fn weight_shape(&self) -> Vec<usize> {
        vec![self.heads, self.embd, self.packed_latent]
    }
    fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.heads, self.time, self.latent]
    }
    fn depth(&self) -> usize {
        self.embd
    }
    fn terms(&self, output: usize) -> impl Iterator<Item = (usize, usize)> {
        let (row, l) = (output / self.latent, output % self.latent);
        let (t, h) = (row % self.time, row / self.time % self.heads);
        let b = row / self.time / self.heads;
        let input_head = if self.input_heads == 1 { 0 } else { h };
        let token = (b * self.input_heads + input_head) * self.time + t;
        let weight = move |e| (h * self.embd + e) * self.packed_latent + l;
        (0..self.embd).map(move |e| (token * self.embd + e, weight(e)))
    }
    fn tokens(&self) -> usize {
        self.batch * self.input_heads * self.time
    }
    fn token(&self, input: usize) -> usize {
        input / self.embd
    }
    /// A latent of a head.
    fn channels(&self) -> usize {
        self.heads * self.packed_latent
    }
    fn channel(&self, weight: usize) -> usize {
        let head = weight / (self.embd * self.packed_latent);
        head * self.packed_latent + weight % self.packed_latent
    }
}
