//! Operations: what goes in, what comes out, what it costs and how exact it must be.
pub mod attention;
pub mod awq;
pub mod blocks;
pub mod conv2d;
pub mod coverage;
pub mod dequantize;
pub mod exact;
mod expected;
pub mod exported;
pub mod hadamard;
mod image;
mod inputs;
pub mod int8;
pub mod int8_tensor;
pub mod integer;
pub mod linear;
pub mod matmul_nbits;
pub mod nf4;
pub mod nf4_linear;
pub mod pack;
pub mod pack_linear;
pub mod packing;
pub mod part;
pub mod patterns;
pub mod pool2d;
pub mod projection;
pub mod quantize;
pub mod quantize_linear;
pub mod rho;
mod samples;
pub mod saved_activation;
pub mod shape;
pub mod top_k;
pub mod window;
use crate::case::{Case, CaseError, Param, nearest};
use crate::data::Files;
use crate::quality::{Predicted, Quality};
pub use coverage::CodesSeen;
pub use expected::{Arithmetic, Bound, Expectation, Expected, Operands, Outputs, Tensor};
pub use part::Part;

/// Every operation. Adding one is a file and a line here.
pub static OPS: &[&OpSpec] = &[
    &quantize::weight::SPEC,
    &quantize::activation::SPEC,
    &quantize::fake::SPEC,
    &dequantize::SPEC,
    &blocks::quantize::SPEC,
    &blocks::dequantize::SPEC,
    &nf4::quantize::SPEC,
    &nf4::dequantize::SPEC,
    &int8_tensor::QUANTIZE,
    &int8_tensor::DEQUANTIZE,
    &awq::SPEC,
    &linear::SPEC,
    &pack_linear::SPEC,
    &packing::PACK,
    &packing::UNPACK,
    &conv2d::SPEC,
    &pool2d::SPEC,
    &projection::LOWRANK,
    &projection::DECODER,
    &rho::pack::SPEC,
    &rho::unpack::SPEC,
    &rho::encode::SPEC,
    &rho::decode::SPEC,
    &rho::drift::SPEC,
    &attention::SPEC,
    &hadamard::SPEC,
    &top_k::SPEC,
];

/// Name, parameters and cost of an operation; no data.
pub struct OpSpec {
    /// Name in scenario files and ids.
    pub name: &'static str,
    /// One sentence for people.
    pub about: &'static str,
    /// Parameters in canonical order.
    pub params: &'static [Param],
    /// Whether the parameters make a case together.
    pub validate: fn(&Case) -> Result<(), CaseError>,
    /// Work of one execution, from the parameters alone.
    pub work: fn(&Case) -> Work,
}

impl std::fmt::Debug for OpSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpSpec({})", self.name)
    }
}

impl OpSpec {
    /// The parameter with that key.
    pub fn param(&self, key: &str) -> Result<&'static Param, CaseError> {
        self.params.iter().find(|p| p.key == key).ok_or_else(|| self.unknown_key(key))
    }

    /// The error for a key that is no parameter.
    pub fn unknown_key(&self, found: &str) -> CaseError {
        let keys = || self.params.iter().map(|p| p.key);
        CaseError::Key {
            op: self.name,
            found: found.to_owned(),
            nearest: nearest(found, keys()),
            allowed: keys().map(str::to_owned).collect(),
        }
    }
}

/// Look an operation up by name.
pub fn spec(name: &str) -> Result<&'static OpSpec, CaseError> {
    let names = || OPS.iter().map(|op| op.name);
    OPS.iter().copied().find(|op| op.name == name).ok_or_else(|| CaseError::Op {
        found: name.to_owned(),
        nearest: nearest(name, names()),
        allowed: names().map(str::to_owned).collect(),
    })
}

/// Work one execution must do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes that must be read at least once.
    pub bytes_read: u64,
    /// Bytes that must be written at least once.
    pub bytes_written: u64,
}

/// Bytes the format needs for the case's main tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Values stored.
    pub elements: u64,
    /// Packed codes.
    pub artifact_bytes: u64,
    /// Scales and centres.
    pub scale_bytes: u64,
}

impl Storage {
    /// Stored bits per value, scales included.
    pub fn bits_per_element(&self) -> f64 {
        8.0 * (self.artifact_bytes + self.scale_bytes) as f64 / self.elements.max(1) as f64
    }
}

/// One operation.
pub trait Op: 'static {
    /// Name and parameters.
    const SPEC: &'static OpSpec;
    /// A complete problem: shape, formats and data, all on the host.
    type Problem: Send + Sync;
    /// Everything the oracle computes once per problem.
    type Reference: Send + Sync;
    /// Case to problem, deterministic. The error is a sentence: a file that is not there, a
    /// tensor of another shape.
    fn generate(case: &Case, files: &dyn Files) -> Result<Self::Problem, String>;
    /// The meaning of the operation. Slow, scalar, obvious.
    fn reference(problem: &Self::Problem) -> Self::Reference;
    /// What a row reads, piece by piece, for faults to be planted in.
    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>>;
    /// What a row with this arithmetic must have answered. The row's own outputs are at hand
    /// because codes are judged under the row's own scale, once the scale itself has passed.
    fn expect(
        problem: &Self::Problem,
        reference: &Self::Reference,
        arithmetic: Arithmetic,
        got: &Outputs,
    ) -> Expectation;
    /// Cost of quantization against the unquantized data, where the op quantizes.
    fn quality(problem: &Self::Problem, reference: &Self::Reference) -> Option<Quality>;
    /// The squared error that format, rule and distribution predict for the quality, calculated
    /// and not tuned; `None` where nothing is known beforehand.
    fn expected_error(_: &Self::Problem) -> Option<Predicted> {
        None
    }
    /// A case of fewer tokens or images whose data, and so whose right answer, are the beginning of
    /// this case's; `None` where there is no batch, or a scale spans it.
    fn fewer(_: &Case) -> Option<Case> {
        None
    }
    /// Codes that a row which passed has met or answered; none for ops on floats alone.
    fn codes(_: &Self::Problem, _: &Self::Reference) -> Vec<CodesSeen> {
        Vec::new()
    }
    /// Bytes of the main tensor.
    fn storage(problem: &Self::Problem) -> Storage;
    /// Share of zeros expected in the main output; `None` where nothing is known beforehand.
    fn predicted_zeros(problem: &Self::Problem) -> Option<f64>;
}
