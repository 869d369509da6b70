//! Every runtime and every reason is reached, each by the smallest step from a plan that runs.
use super::*;
use crate::config::lowbit::{LowBitActivationFormat, LowBitTargetModule};
use crate::format::{INT8, WeightFormat};

const INT8_ACTIVATION: LowBitActivationFormat = LowBitActivationFormat::Int8;

/// `decoder_x` in signs and `decoder_y` in ternary codes, packed ahead of time.
fn config() -> LowBitQuantizationConfig {
    LowBitQuantizationConfig {
        enable: true,
        weight_format: LowBitWeightFormat::Ternary158,
        decoder_x_mode: LowBitWeightFormat::Sign1,
        act_format: INT8_ACTIVATION,
        target_modules: vec![LowBitTargetModule::DecoderY, LowBitTargetModule::DecoderX],
        ..Default::default()
    }
}

/// The same config for training.
fn training() -> LowBitQuantizationConfig {
    LowBitQuantizationConfig {
        training_mode: LowBitTrainingMode::TrainKernelExp,
        inference_mode: LowBitInferenceMode::RuntimeFakeQuant,
        ..config()
    }
}

fn kernel(projection: Projection, pass: Pass, weight: LowBitWeightFormat) -> NativeKernel {
    NativeKernel { projection, pass, formats: Formats { weight, activation: INT8_ACTIVATION } }
}

/// Just what the config needs in one pass.
fn capable(pass: Pass) -> Capabilities {
    Capabilities::new([
        kernel(Projection::X, pass, LowBitWeightFormat::Sign1),
        kernel(Projection::Y, pass, LowBitWeightFormat::Packed2),
    ])
}

fn artifact(format: LowBitWeightFormat) -> Artifact {
    let format: &'static dyn WeightFormat = stored_weight(format).unwrap_or(&INT8);
    Artifact::pack(format, &[1, 4], vec![1.0], &[1, -1, 1, 1]).unwrap()
}

fn resolve(config: &LowBitQuantizationConfig, capabilities: &Capabilities) -> KernelPlan {
    let x = artifact(LowBitWeightFormat::Sign1);
    let y = artifact(LowBitWeightFormat::Ternary158);
    let artifacts = PackedArtifacts { x: Some(&x), y: Some(&y), residual: None };
    KernelPlan::resolve(config, artifacts, capabilities, Want::Native)
}

fn without_artifacts(config: &LowBitQuantizationConfig, capabilities: &Capabilities) -> KernelPlan {
    KernelPlan::resolve(config, PackedArtifacts::default(), capabilities, Want::Native)
}

#[test]
fn packed_native_inference_needs_a_kernel_and_an_artifact_for_every_target() {
    let plan = resolve(&config(), &capable(Pass::Inference));
    assert_eq!((plan.runtime, plan.fallback), (Runtime::PackedNativeInference, None));
    assert!(plan.packed_ready);
}

#[test]
fn native_low_bit_unavailable_falls_back_to_the_exact_reference() {
    let none = resolve(&config(), &Capabilities::new([]));
    let missing = Some(Fallback::NativeLowBitUnavailable(Projection::X));
    assert_eq!((none.runtime, none.fallback), (Runtime::PackedReference, missing));
    // A kernel for x alone, for the wrong pass, for the wrong formats: not enough.
    let x = kernel(Projection::X, Pass::Inference, LowBitWeightFormat::Sign1);
    let y = |pass, weight| Capabilities::new([x, kernel(Projection::Y, pass, weight)]);
    for capabilities in [
        Capabilities::new([x]),
        y(Pass::TrainingForward, LowBitWeightFormat::Ternary158),
        y(Pass::Inference, LowBitWeightFormat::Int8),
    ] {
        let plan = resolve(&config(), &capabilities);
        let missing = Some(Fallback::NativeLowBitUnavailable(Projection::Y));
        assert_eq!((plan.runtime, plan.fallback), (Runtime::PackedReference, missing));
    }
    let mut fp16 = config();
    fp16.act_format = LowBitActivationFormat::Fp16;
    let plan = resolve(&fp16, &capable(Pass::Inference));
    assert_eq!(plan.fallback, Some(Fallback::NativeLowBitUnavailable(Projection::X)));
}

#[test]
fn missing_packed_artifact_names_the_projection() {
    let capabilities = capable(Pass::Inference);
    let plan = without_artifacts(&config(), &capabilities);
    let missing = |projection| Some(Fallback::MissingPackedArtifact(projection));
    assert_eq!(
        (plan.runtime, plan.fallback),
        (Runtime::FakeQuantReference, missing(Projection::X))
    );
    assert!(!plan.packed_ready);
    // One artifact of two is not enough; nor is one of another format.
    let x = artifact(LowBitWeightFormat::Sign1);
    let only_x = PackedArtifacts { x: Some(&x), ..Default::default() };
    let plan = KernelPlan::resolve(&config(), only_x, &capabilities, Want::Native);
    assert_eq!(plan.fallback, missing(Projection::Y));
    let y = artifact(LowBitWeightFormat::Int8);
    let other = PackedArtifacts { x: Some(&x), y: Some(&y), residual: None };
    let plan = KernelPlan::resolve(&config(), other, &capabilities, Want::Native);
    assert_eq!(plan.fallback, missing(Projection::Y));
}

#[test]
fn quant_disabled_and_nothing_targeted_are_told_apart() {
    let capabilities = capable(Pass::Inference);
    let off = LowBitQuantizationConfig { enable: false, ..config() };
    let plan = resolve(&off, &capabilities);
    let disabled = Some(Fallback::QuantDisabled);
    assert_eq!((plan.runtime, plan.fallback), (Runtime::FakeQuantReference, disabled));
    let untargeted = LowBitQuantizationConfig { target_modules: vec![], ..config() };
    let plan = resolve(&untargeted, &capabilities);
    let nothing = Some(Fallback::NothingTargeted);
    assert_eq!((plan.runtime, plan.fallback), (Runtime::FakeQuantReference, nothing));
    assert!(!plan.packed_ready);
}

#[test]
fn the_exact_reference_can_be_asked_for_where_there_is_something_to_run_it_on() {
    let (x, y) = (artifact(LowBitWeightFormat::Sign1), artifact(LowBitWeightFormat::Packed2));
    let artifacts = PackedArtifacts { x: Some(&x), y: Some(&y), residual: None };
    let capabilities = capable(Pass::Inference);
    for config in [config(), training()] {
        let exact = KernelPlan::resolve(&config, artifacts, &capabilities, Want::ExactReference);
        let wanted = Some(Fallback::ExactReferenceWanted);
        assert_eq!((exact.runtime, exact.fallback), (Runtime::PackedReference, wanted));
    }
    let nothing = PackedArtifacts::default();
    let exact = KernelPlan::resolve(&config(), nothing, &capabilities, Want::ExactReference);
    assert_eq!(exact.fallback, Some(Fallback::MissingPackedArtifact(Projection::X)));
}

#[test]
fn training_runs_natively_or_says_why_not() {
    let plan = without_artifacts(&training(), &capable(Pass::TrainingForward));
    assert_eq!((plan.runtime, plan.fallback), (Runtime::PackedNativeTrainingForward, None));
    let plan = without_artifacts(&training(), &capable(Pass::Inference));
    let missing = Some(Fallback::NativeLowBitUnavailable(Projection::X));
    assert_eq!((plan.runtime, plan.fallback), (Runtime::FakeQuantReference, missing));
    // Weights of 16 bits are not low-bit, even where a kernel says it takes them.
    let fp16 = LowBitQuantizationConfig { decoder_x_mode: LowBitWeightFormat::Fp16, ..training() };
    let boast = Capabilities::new([
        kernel(Projection::X, Pass::TrainingForward, LowBitWeightFormat::Fp16),
        kernel(Projection::Y, Pass::TrainingForward, LowBitWeightFormat::Ternary158),
    ]);
    assert_eq!(without_artifacts(&fp16, &boast).fallback, missing);
}

#[test]
fn fake_quantization_that_was_asked_for_needs_no_reason() {
    let config = LowBitQuantizationConfig {
        inference_mode: LowBitInferenceMode::RuntimeFakeQuant,
        ..config()
    };
    let plan = resolve(&config, &capable(Pass::Inference));
    assert_eq!((plan.runtime, plan.fallback), (Runtime::FakeQuantReference, None));
}

#[test]
fn words_are_the_sources_and_all_different() {
    let runtimes = [
        (Runtime::FakeQuantReference, "fake_quant_reference"),
        (Runtime::PackedReference, "packed_reference"),
        (Runtime::PackedNativeInference, "packed_native_inference"),
        (Runtime::PackedNativeTrainingForward, "packed_native_training_forward"),
    ];
    runtimes.into_iter().for_each(|(runtime, word)| assert_eq!(runtime.as_str(), word));
    let mut reasons = [
        Fallback::QuantDisabled,
        Fallback::NothingTargeted,
        Fallback::MissingPackedArtifact(Projection::X),
        Fallback::NativeLowBitUnavailable(Projection::X),
        Fallback::ExactReferenceWanted,
    ]
    .map(Fallback::as_str)
    .to_vec();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), 5);
}
