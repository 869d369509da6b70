//! The low-bit configs of burn_dragon_core 0.5.0 (seed 001): quantization and rho.
//!
//! JSON keys and words are the source's. Unknown keys, which the source ignores, are refused.
mod quant;
mod rho;
mod rules;
mod words;
pub use quant::{LowBitQuantizationConfig, LowBitSavedActivationConfig};
pub use rho::LowBitRhoConfig;
pub use words::{
    BitNetLowBitProtocol, LowBitActivationFormat, LowBitActivationGrouping, LowBitInferenceMode,
    LowBitSavedActivationMode, LowBitTargetModule, LowBitTrainingMode, LowBitWeightFormat,
    LowBitWeightGrouping, RhoCompressionConfig, RhoCompressionInterval, RhoPrecisionConfig,
};
