//! Kernel plans (seed 002, lines 375-545).
use lowbit_reference::config::lowbit::{
    LowBitInferenceMode, LowBitQuantizationConfig, LowBitTargetModule, LowBitTrainingMode,
    LowBitWeightFormat,
};

/// `low_bit_kernel_capabilities_for_backend_name`: looks at nothing.
pub(crate) fn native_supported(_backend_name: &str) -> bool {
    true
}

/// `config_prefers_native_training_runtime`.
fn trainable(config: &LowBitQuantizationConfig) -> bool {
    let low_bit = |format| format != LowBitWeightFormat::Fp16;
    config.target_modules.iter().all(|module| match module {
        LowBitTargetModule::DecoderX => {
            matches!(config.decoder_x_mode, LowBitWeightFormat::Int8 | LowBitWeightFormat::Sign1)
        }
        LowBitTargetModule::DecoderY => low_bit(config.weight_format),
        LowBitTargetModule::Encoder => low_bit(config.encoder_mode.unwrap_or(config.weight_format)),
    })
}

/// Runtime and fallback reason. `any_artifact`: one of the three is enough.
pub(crate) fn resolve(
    config: &LowBitQuantizationConfig,
    any_artifact: bool,
    backend_name: &str,
) -> (&'static str, Option<&'static str>) {
    let (native, reference) = (native_supported(backend_name), true);
    if !config.enable {
        return ("fake_quant_reference", Some("quant_disabled"));
    }
    if config.inference_mode == LowBitInferenceMode::OfflinePack {
        return match any_artifact {
            true if native => ("packed_native_inference", None),
            true if reference => ("packed_reference", None),
            true => ("fake_quant_reference", Some("native_low_bit_unavailable")),
            false => ("fake_quant_reference", Some("missing_packed_artifacts")),
        };
    }
    let training = config.training_mode == LowBitTrainingMode::TrainKernelExp;
    match training && native && trainable(config) {
        true => ("packed_native_training_forward", None),
        false => ("fake_quant_reference", None),
    }
}
