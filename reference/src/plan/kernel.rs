//! What runs the quantized projections, and why not something faster.
//!
//! Differences from the source (seed 002, lines 340-545):
//!
//! * Capabilities are a list of kernels that exist, handed in by who knows the kernel tables and
//!   the device. The source answers `true` for any backend name.
//! * Each targeted projection needs a kernel for its own formats and an artifact of its own; in
//!   the source one artifact of three makes all of them "ready", and the projection kernel
//!   answers for the decoder tail.
//! * The exact integer reference is a choice and a fallback; in the source nothing leads to it.
//! * Whenever less runs than was asked for there is a reason; the source gives none for training.
use super::{Formats, Projection, ProjectionPlan, stored_weight};
use crate::artifact::Artifact;
use crate::config::lowbit::{
    LowBitInferenceMode, LowBitQuantizationConfig, LowBitTrainingMode, LowBitWeightFormat,
};

/// What executes the projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Float matmul of fake-quantized values.
    FakeQuantReference,
    /// Exact integer sums of packed codes, scalar.
    PackedReference,
    /// A kernel on packed codes.
    PackedNativeInference,
    /// A kernel for the forward pass of training.
    PackedNativeTrainingForward,
}

impl Runtime {
    /// The source's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Runtime::FakeQuantReference => "fake_quant_reference",
            Runtime::PackedReference => "packed_reference",
            Runtime::PackedNativeInference => "packed_native_inference",
            Runtime::PackedNativeTrainingForward => "packed_native_training_forward",
        }
    }
}

/// Why something other than a native kernel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fallback {
    /// The config quantizes nothing.
    QuantDisabled,
    /// The config is enabled, but targets no projection.
    NothingTargeted,
    /// There is no packed artifact of the planned format for this projection.
    MissingPackedArtifact(Projection),
    /// No kernel takes the formats of this projection.
    NativeLowBitUnavailable(Projection),
    /// The exact reference was asked for.
    ExactReferenceWanted,
}

impl Fallback {
    /// A stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Fallback::QuantDisabled => "quant_disabled",
            Fallback::NothingTargeted => "nothing_targeted",
            Fallback::MissingPackedArtifact(_) => "missing_packed_artifact",
            Fallback::NativeLowBitUnavailable(_) => "native_low_bit_unavailable",
            Fallback::ExactReferenceWanted => "exact_reference_wanted",
        }
    }
}

/// What a kernel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Packed codes made ahead of time.
    Inference,
    /// Float weights quantized on the way.
    TrainingForward,
}

/// A kernel that exists on the device in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NativeKernel {
    /// What it computes.
    pub projection: Projection,
    /// What for.
    pub pass: Pass,
    /// What it reads.
    pub formats: Formats,
}

/// Everything there is to run. There is no default and no answer by name: whoever builds it has
/// read the kernel tables and asked the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    kernels: Vec<NativeKernel>,
}

impl Capabilities {
    /// These kernels and no others.
    pub fn new(kernels: impl IntoIterator<Item = NativeKernel>) -> Capabilities {
        Capabilities { kernels: kernels.into_iter().collect() }
    }

    /// Whether a kernel computes this projection in these formats. Weights of 16 bits are not
    /// low-bit; `ternary158` and `packed2` are one format.
    pub fn supports(&self, projection: Projection, pass: Pass, formats: Formats) -> bool {
        let one_word = |formats: Formats| match formats.weight {
            LowBitWeightFormat::Packed2 => {
                Formats { weight: LowBitWeightFormat::Ternary158, ..formats }
            }
            _ => formats,
        };
        let wanted = NativeKernel { projection, pass, formats: one_word(formats) };
        let found =
            |k: &NativeKernel| NativeKernel { formats: one_word(k.formats), ..*k } == wanted;
        formats.weight != LowBitWeightFormat::Fp16 && self.kernels.iter().any(found)
    }

    /// The first target without a kernel.
    fn missing(&self, plan: &ProjectionPlan, pass: Pass) -> Option<Projection> {
        let lacks = |(p, formats): &(Projection, Formats)| !self.supports(*p, pass, *formats);
        plan.targets().find(lacks).map(|(projection, _)| projection)
    }
}

/// The packed weights there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackedArtifacts<'a> {
    /// Of `decoder_x`.
    pub x: Option<&'a Artifact>,
    /// Of `decoder_y`.
    pub y: Option<&'a Artifact>,
    /// Of `encoder`.
    pub residual: Option<&'a Artifact>,
}

impl PackedArtifacts<'_> {
    /// The first target without an artifact of its planned format.
    fn missing(&self, plan: &ProjectionPlan) -> Option<Projection> {
        let lacks = |(projection, formats): &(Projection, Formats)| {
            let artifact = match projection {
                Projection::X => self.x,
                Projection::Y => self.y,
                Projection::Residual => self.residual,
            };
            let found = artifact.map(|artifact| artifact.format().name());
            found.is_none() || found != stored_weight(formats.weight).map(|f| f.name())
        };
        plan.targets().find(lacks).map(|(projection, _)| projection)
    }
}

/// What the caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// The fastest thing that follows the config.
    Native,
    /// The exact integer reference.
    ExactReference,
}

/// What runs the projections of a config, and why not something faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelPlan {
    /// What executes.
    pub runtime: Runtime,
    /// Whether every target has a packed artifact of its format.
    pub packed_ready: bool,
    /// Why no native kernel runs; `None` where one does, or where the config asked for fake
    /// quantization.
    pub fallback: Option<Fallback>,
}

impl KernelPlan {
    /// The plan for a config, the artifacts and the kernels there are.
    pub fn resolve(
        config: &LowBitQuantizationConfig,
        artifacts: PackedArtifacts<'_>,
        capabilities: &Capabilities,
        want: Want,
    ) -> KernelPlan {
        let plan = ProjectionPlan::from_config(config);
        let unpacked = artifacts.missing(&plan);
        let packed_ready = plan.is_enabled() && unpacked.is_none();
        let training = config.training_mode == LowBitTrainingMode::TrainKernelExp;
        let packed = config.inference_mode == LowBitInferenceMode::OfflinePack;
        let (runtime, fallback) = if !config.enable {
            (Runtime::FakeQuantReference, Some(Fallback::QuantDisabled))
        } else if !plan.is_enabled() {
            (Runtime::FakeQuantReference, Some(Fallback::NothingTargeted))
        } else if packed || want == Want::ExactReference {
            match (unpacked, want, capabilities.missing(&plan, Pass::Inference)) {
                (Some(projection), ..) => {
                    let missing = Fallback::MissingPackedArtifact(projection);
                    (Runtime::FakeQuantReference, Some(missing))
                }
                (None, Want::ExactReference, _) => {
                    (Runtime::PackedReference, Some(Fallback::ExactReferenceWanted))
                }
                (None, Want::Native, Some(projection)) => {
                    let missing = Fallback::NativeLowBitUnavailable(projection);
                    (Runtime::PackedReference, Some(missing))
                }
                (None, Want::Native, None) => (Runtime::PackedNativeInference, None),
            }
        } else if training {
            match capabilities.missing(&plan, Pass::TrainingForward) {
                Some(projection) => {
                    let missing = Fallback::NativeLowBitUnavailable(projection);
                    (Runtime::FakeQuantReference, Some(missing))
                }
                None => (Runtime::PackedNativeTrainingForward, None),
            }
        } else {
            (Runtime::FakeQuantReference, None)
        };
        KernelPlan { runtime, packed_ready, fallback }
    }
}

#[cfg(test)]
mod tests;
