//! Defects 20 to 24: sizes that are rounded, capabilities that are claimed, tests that assert
//! something else than they are called, bits that are not saved, calls that are miscounted.
use crate::source::packing::pack_i8x4;
use crate::source::plans;
use lowbit_reference::artifact::Artifact;
use lowbit_reference::config::lowbit::{
    BitNetLowBitProtocol, LowBitActivationFormat, LowBitInferenceMode, LowBitQuantizationConfig,
    LowBitRhoConfig, LowBitTargetModule, LowBitTrainingMode, LowBitWeightFormat,
};
use lowbit_reference::format::{SIGN1, TERNARY2, WeightFormat};
use lowbit_reference::memory::{Held, ModelShape, compat, count};
use lowbit_reference::plan::{
    Capabilities, Fallback, Formats, KernelPlan, NativeKernel, PackedArtifacts, Pass, Projection,
    Runtime, Want,
};
use lowbit_reference::rho::RhoStatistics;
use lowbit_reference::rule::Code;

/// `decoder_x` in ternary codes, packed ahead of time.
fn config() -> LowBitQuantizationConfig {
    LowBitQuantizationConfig {
        enable: true,
        protocol: BitNetLowBitProtocol::BitnetB158,
        decoder_x_mode: LowBitWeightFormat::Ternary158,
        act_format: LowBitActivationFormat::Int8,
        target_modules: vec![LowBitTargetModule::DecoderX],
        ..Default::default()
    }
}

fn artifact() -> Artifact {
    Artifact::pack(&TERNARY2, &[1, 4], vec![0.25], &[1, 0, -1, 1]).unwrap()
}

fn ours(config: &LowBitQuantizationConfig, kernels: &[NativeKernel]) -> KernelPlan {
    let x = artifact();
    let artifacts = PackedArtifacts { x: Some(&x), ..Default::default() };
    let capabilities = Capabilities::new(kernels.iter().copied());
    KernelPlan::resolve(config, artifacts, &capabilities, Want::Native)
}

#[test]
fn defect_20_latents_that_heads_do_not_divide_are_lost() {
    let shape = ModelShape {
        batch_size: 1,
        time_steps: 1,
        n_layer: 1,
        n_head: 3,
        n_embd: 10,
        latent_total: 50,
    };
    let rho = LowBitRhoConfig::default();
    let masters = compat(&config(), &rho, &shape).master_weights;
    assert_eq!(masters, 4 * 48 * 10, "two latents of fifty have no weights");
    let error = count(&config(), &rho, &shape, Held::default()).unwrap_err();
    assert_eq!(error.to_string(), "`latent_total` is 50, must be a multiple of n_head (3)");
    let whole = ModelShape { latent_total: 51, ..shape };
    let masters = count(&config(), &rho, &whole, Held::default()).unwrap().master_weights;
    assert_eq!(masters, 4 * 51 * 10);
}

#[test]
fn defect_21_every_backend_name_has_native_kernels() {
    for name in ["cuda", "ndarray", "", "no such backend"] {
        assert_eq!(plans::resolve(&config(), true, name), ("packed_native_inference", None));
    }
    // Ours is told which kernels there are: with none, the exact reference runs and says why.
    let none = ours(&config(), &[]);
    let missing = Some(Fallback::NativeLowBitUnavailable(Projection::X));
    assert_eq!((none.runtime, none.fallback), (Runtime::PackedReference, missing));
    let formats = Formats {
        weight: LowBitWeightFormat::Ternary158,
        activation: LowBitActivationFormat::Int8,
    };
    let kernel = |projection| NativeKernel { projection, pass: Pass::Inference, formats };
    let native = ours(&config(), &[kernel(Projection::X)]);
    assert_eq!((native.runtime, native.fallback), (Runtime::PackedNativeInference, None));
    // A kernel for another projection is no kernel for this one.
    assert_eq!(ours(&config(), &[kernel(Projection::Residual)]).fallback, missing);
}

#[test]
fn defect_21_one_artifact_makes_all_projections_ready() {
    let both = LowBitQuantizationConfig {
        weight_format: LowBitWeightFormat::Ternary158,
        target_modules: vec![LowBitTargetModule::DecoderX, LowBitTargetModule::DecoderY],
        ..config()
    };
    assert_eq!(plans::resolve(&both, true, "cuda").0, "packed_native_inference");
    let plan = ours(&both, &[]);
    assert_eq!(plan.fallback, Some(Fallback::MissingPackedArtifact(Projection::Y)));
    assert!(!plan.packed_ready);
}

/// The source's tests by name, what they assert, and what their configs are planned as.
#[test]
fn defect_22_tests_assert_what_their_names_deny_or_their_plans_refuse() {
    // "uses_packed_reference_when_artifacts_exist" asserts the native kernel.
    assert_eq!(plans::resolve(&config(), true, "ndarray").0, "packed_native_inference");
    assert_eq!(ours(&config(), &[]).runtime, Runtime::PackedReference);
    // "capabilities_default_to_reference_only" asserts native kernels.
    assert!(plans::native_supported("cuda"));
    // "uses_native_training_forward_for_train_kernel_mode" has weights of 16 bits, which the
    // source's own plan refuses, without a reason.
    let training = LowBitQuantizationConfig {
        training_mode: LowBitTrainingMode::TrainKernelExp,
        inference_mode: LowBitInferenceMode::RuntimeFakeQuant,
        target_modules: vec![LowBitTargetModule::DecoderY],
        ..config()
    };
    assert_eq!(plans::resolve(&training, false, "ndarray"), ("fake_quant_reference", None));
    let plan = ours(&training, &[]);
    let missing = Some(Fallback::NativeLowBitUnavailable(Projection::Y));
    assert_eq!((plan.runtime, plan.fallback), (Runtime::FakeQuantReference, missing));
}

#[test]
fn defect_23_signs_and_ternary_codes_are_expanded_to_bytes() {
    let codes: Vec<i8> = (0..256).map(|i| if i % 3 == 0 { -1 } else { 1 }).collect();
    let words = 4 * pack_i8x4(&codes, 2, 128).len();
    let tensor = 4 * codes.len();
    assert_eq!((words, tensor), (256, 1024), "a byte and an i32 for each sign");
    let wide: Vec<Code> = codes.iter().map(|code| Code::from(*code)).collect();
    let packed = |format: &'static dyn WeightFormat| {
        Artifact::pack(format, &[2, 128], vec![1.0], &wide).unwrap().bytes().len()
    };
    assert_eq!((packed(&SIGN1), packed(&TERNARY2)), (32, 64));
}

/// Structural: there are no stages here that a call could be counted for. The source's counting
/// stands beside the one counter that we have.
#[test]
fn defect_24_a_call_is_counted_once_for_each_stage() {
    /// `record_low_bit_training_lowrank_memory_stage`, its counting.
    fn record(calls: &mut u64, stage: &str) -> bool {
        *calls += 1;
        ["after_weight_codes", "after_activation_codes", "after_output"].contains(&stage)
    }
    let mut calls = 0;
    for stage in ["after_weight_codes", "after_activation_codes", "after_output"] {
        assert!(record(&mut calls, stage));
    }
    assert_eq!(calls, 3, "one call of three stages");
    assert!(!record(&mut calls, "no such stage"));
    assert_eq!(calls, 4, "and one of none");
    // Ours counts the calls of `record`, each with all of its figures, and nothing that it refused.
    let mut statistics = RhoStatistics::default();
    for calls in 1..=3 {
        statistics.record(&[1.0, 2.0], &[1.0, 1.5], 8).unwrap();
        assert!(statistics.record(&[1.0, 2.0], &[1.0], 8).is_err());
        assert_eq!(statistics.calls(), calls);
        // Not diluted by what was refused.
        assert_eq!(statistics.compat_mean_abs_error(), Some(0.25));
        assert_eq!(statistics.compression_ratio(), Some(1.0));
    }
}
