//! What the rows of `rho_encode` and `rho_decode` share: the codecs, block by block.
//!
//! Everything here is plain Rust without branches on values, inlined into the one function that is
//! compiled for an instruction set (`Isa::enter`): the compiler's vectors are SSE2's in `scalar`,
//! 8 values in `avx2` and 16 in `avx512vnni`. Reductions are those of `quantize`, and AVX-512 has
//! its own `sparse_positive` (`avx512.rs`). Every bit of a payload is fixed, so that the rows
//! differ in nothing but speed.
//!
//! | codec | block of 32 | file |
//! |---|---|---|
//! | `bf16` | 64 bytes | `floats.rs` |
//! | `fp8` | 32 bytes | `floats.rs` |
//! | `fp8_block` | scale (f32), 32 bytes | `blocks.rs` |
//! | `blockfp8`, `blockfp` | scale (a byte), 32 bytes | `blocks.rs` |
//! | `sparse_positive` | bitmap (u32), scale (f32), at most 16 bytes | `sparse_positive.rs` |
//! | `sparse_tile` | 8 x 8 values: a bit, and 128 bytes where it lives | `sparse_tile.rs` |
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod blocks;
#[cfg(feature = "cube")]
pub(crate) mod cube;
pub(crate) mod floats;
pub(crate) mod sparse_positive;
pub(crate) mod sparse_tile;
#[cfg(test)]
mod tests;

/// Values of a block.
pub(crate) const BLOCK: usize = 32;
/// Values of a task: whole blocks, some ten microseconds.
pub(crate) const TASK: usize = 1024 * BLOCK;
/// Blocks that pass through a stage at a time on their way past the caches: whole lines of bytes,
/// whatever a block has.
pub(crate) const STAGED: usize = 64;
/// A codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Codec {
    Bf16,
    Fp8,
    Fp8Block,
    MxFp8,
    MxInt8,
    SparsePositive,
    SparseTile,
}

impl Codec {
    /// The codec of that name, if it is one of those written here.
    pub(crate) fn named(name: &str) -> Result<Codec, String> {
        match name {
            "bf16" => Ok(Codec::Bf16),
            "fp8" => Ok(Codec::Fp8),
            "fp8_block" => Ok(Codec::Fp8Block),
            "blockfp8" => Ok(Codec::MxFp8),
            "blockfp" => Ok(Codec::MxInt8),
            "sparse_positive" => Ok(Codec::SparsePositive),
            "sparse_tile" => Ok(Codec::SparseTile),
            _ => Err(format!("no codec {name}")),
        }
    }

    /// Bytes of a block of 32 values; of a sparse one, the most.
    pub(crate) const fn block_bytes(self) -> usize {
        match self {
            Codec::Bf16 => 2 * BLOCK,
            Codec::Fp8 => BLOCK,
            Codec::Fp8Block => 4 + BLOCK,
            Codec::MxFp8 | Codec::MxInt8 => 1 + BLOCK,
            Codec::SparsePositive => sparse_positive::MOST,
            Codec::SparseTile => 2 * BLOCK,
        }
    }
}

/// The first `sizes.sum()` bytes, cut into pieces of these sizes.
pub(crate) fn cut(mut bytes: &mut [u8], sizes: impl Iterator<Item = usize>) -> Vec<&mut [u8]> {
    let pieces = sizes.map(|size| {
        let (piece, rest) = std::mem::take(&mut bytes).split_at_mut(size);
        bytes = rest;
        piece
    });
    pieces.collect()
}
