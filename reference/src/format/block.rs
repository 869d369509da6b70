//! Block formats: a fixed number of values becomes a fixed number of bytes that carry their own
//! scale, so that bytes alone give values back.
use super::{
    BF16, FP8_E4M3, FP8_E5M2, FP16, MXFP4, MXFP4_E2M1, MXFP6_E2M3, MXFP6_E3M2, MXFP8_E4M3,
    MXFP8_E5M2, MXINT4, MXINT6, MXINT8, NVFP4, Q1_0, Q2_0, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q8_0,
    TQ1_0, TQ2_0,
};
use crate::case::Word;
use crate::invalid::Invalid;

/// Every block format. Adding one is a file and a line here.
pub static BLOCK_FORMATS: &[&dyn BlockFormat] = &[
    &FP16,
    &BF16,
    &FP8_E4M3,
    &FP8_E5M2,
    &MXFP8_E4M3,
    &MXFP8_E5M2,
    &MXFP6_E3M2,
    &MXFP6_E2M3,
    &MXFP4_E2M1,
    &MXINT8,
    &MXINT6,
    &MXINT4,
    &MXFP4,
    &NVFP4,
    &Q1_0,
    &Q2_0,
    &Q4_0,
    &Q4_1,
    &Q5_0,
    &Q5_1,
    &Q4K,
    &Q8_0,
    &TQ1_0,
    &TQ2_0,
];

/// How a block of values is stored.
pub trait BlockFormat: Sync + std::fmt::Debug {
    /// Name in scenario files, ids and reports, with other words for it.
    fn word(&self) -> Word;
    /// Values of a block.
    fn block_len(&self) -> usize;
    /// Bytes of a block.
    fn block_bytes(&self) -> usize;
    /// Exactly [`block_len`](BlockFormat::block_len) values to exactly
    /// [`block_bytes`](BlockFormat::block_bytes) bytes. Any float has an answer; each file says
    /// what NaN and infinities become.
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]);
    /// The values of a block. Any bytes have an answer.
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]);
    /// Whether a value is a code times a scale and an offset beside, so no integer times a scale.
    fn has_offset(&self) -> bool {
        false
    }
    /// `|code scale| + |offset|` of each value: what a bound on a sum has to count. The magnitude
    /// of the value where there is no offset.
    fn reach_block(&self, bytes: &[u8], x: &mut [f32]) {
        self.decode_block(bytes, x);
        x.iter_mut().for_each(|x| *x = x.abs());
    }

    /// The canonical name.
    fn name(&self) -> &'static str {
        self.word().name
    }
    /// Stored bits per value, scales included.
    fn bits(&self) -> f64 {
        8.0 * self.block_bytes() as f64 / self.block_len() as f64
    }

    /// Values to bytes; their number must be whole blocks.
    fn encode(&self, x: &[f32]) -> Result<Vec<u8>, Invalid> {
        whole("x", x.len(), self.block_len(), "values")?;
        let mut bytes = vec![0; x.len() / self.block_len() * self.block_bytes()];
        let blocks = x.chunks_exact(self.block_len());
        blocks.zip(bytes.chunks_exact_mut(self.block_bytes())).for_each(|(x, bytes)| {
            self.encode_block(x, bytes);
        });
        Ok(bytes)
    }

    /// Bytes to values; their number must be whole blocks.
    fn decode(&self, bytes: &[u8]) -> Result<Vec<f32>, Invalid> {
        each_block(self, bytes, Self::decode_block)
    }

    /// [`reach_block`](BlockFormat::reach_block) of bytes; their number must be whole blocks.
    fn reach(&self, bytes: &[u8]) -> Result<Vec<f32>, Invalid> {
        each_block(self, bytes, Self::reach_block)
    }
}

/// What `read` makes of every block.
fn each_block<F: BlockFormat + ?Sized>(
    format: &F,
    bytes: &[u8],
    read: impl Fn(&F, &[u8], &mut [f32]),
) -> Result<Vec<f32>, Invalid> {
    whole("bytes", bytes.len(), format.block_bytes(), "bytes")?;
    let mut x = vec![0.0; bytes.len() / format.block_bytes() * format.block_len()];
    let blocks = bytes.chunks_exact(format.block_bytes());
    blocks
        .zip(x.chunks_exact_mut(format.block_len()))
        .for_each(|(bytes, x)| read(format, bytes, x));
    Ok(x)
}

fn whole(field: &str, found: usize, block: usize, what: &str) -> Result<(), Invalid> {
    match found.is_multiple_of(block) {
        true => Ok(()),
        false => Err(Invalid::new(
            field,
            format!("{found} {what}"),
            format!("whole blocks of {block} {what}"),
        )),
    }
}

/// Look a block format up by its canonical name.
pub fn block_format(name: &str) -> Option<&'static dyn BlockFormat> {
    BLOCK_FORMATS.iter().copied().find(|f| f.name() == name)
}

/// The words of the table, for parameters.
pub fn block_words() -> Vec<Word> {
    BLOCK_FORMATS.iter().map(|f| f.word()).collect()
}
