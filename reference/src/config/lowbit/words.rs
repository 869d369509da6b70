//! Every choice of the low-bit configs and the word it has in JSON (seed 001, lines 511-630 and
//! 739-772). The word is written once: serde, `as_str` and `Display` all use it.
use serde::{Deserialize, Serialize};
use std::fmt;

/// An enum whose variants are words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {$(
            $(#[$of])*
            #[serde(rename = $word)]
            $variant,
        )*}

        impl $name {
            /// Every choice, in the source's order.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The word in JSON.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// The published method whose rules are followed.
    #[derive(Default)]
    BitNetLowBitProtocol {
        /// No method.
        #[default]
        None = "none",
        /// BitNet: sign weights, int8 activations.
        BitnetB1 = "bitnet_b1",
        /// BitNet b1.58: ternary weights, int8 activations.
        BitnetB158 = "bitnet_b158",
        /// BitNet a4.8: ternary weights, int4 and sparse int8 activations.
        BitnetA48Exp = "bitnet_a48_exp",
        /// BitNet v2: Hadamard rotation before int4 activations.
        BitnetV2Exp = "bitnet_v2_exp",
    }
}

words! {
    /// How the weights are trained.
    #[derive(Default)]
    LowBitTrainingMode {
        /// Fake-quantized forward, straight-through gradients.
        #[default]
        QatSte = "qat_ste",
        /// A training kernel of its own, the only one that can save quantized activations.
        TrainKernelExp = "train_kernel_exp",
    }
}

words! {
    /// How the weights are held for inference.
    #[derive(Default)]
    LowBitInferenceMode {
        /// Packed once, ahead of time.
        #[default]
        OfflinePack = "offline_pack",
        /// Float weights, quantized and dequantized on every call.
        RuntimeFakeQuant = "runtime_fake_quant",
    }
}

words! {
    /// What a weight is stored as.
    #[derive(Default)]
    LowBitWeightFormat {
        /// 16 bits, not quantized.
        #[default]
        Fp16 = "fp16",
        /// 8 bits.
        Int8 = "int8",
        /// 1 bit, -1 or 1.
        Sign1 = "sign1",
        /// Ternary in 2 bits.
        Ternary158 = "ternary158",
        /// Ternary in 2 bits, by the name of its packing.
        Packed2 = "packed2",
    }
}

words! {
    /// What an activation is stored as.
    #[derive(Default)]
    LowBitActivationFormat {
        /// 16 bits, not quantized.
        #[default]
        Fp16 = "fp16",
        /// 8 bits, signed.
        Int8 = "int8",
        /// 4 bits, signed.
        Int4Exp = "int4_exp",
        /// 8 bits, for activations that are never negative.
        Uint8PosExp = "uint8_pos_exp",
    }
}

words! {
    /// Which activations are kept from the forward pass for the backward pass.
    #[derive(Default)]
    LowBitSavedActivationMode {
        /// None in low bits.
        #[default]
        Disabled = "disabled",
        /// Quantized, all of them.
        QuantizedCacheExp = "quantized_cache_exp",
        /// Quantized, the others computed again.
        QuantizedCacheRecomputeExp = "quantized_cache_recompute_exp",
    }
}

words! {
    /// Which activations share a scale.
    #[derive(Default)]
    LowBitActivationGrouping {
        /// Those of a token.
        #[default]
        PerToken = "per_token",
        /// `act_group_size` neighbours.
        PerGroup = "per_group",
        /// Those of `act_heads_per_group` heads.
        PerHeadGroup = "per_head_group",
    }
}

words! {
    /// Which weights share a scale.
    #[derive(Default)]
    LowBitWeightGrouping {
        /// All of a tensor.
        #[default]
        PerTensor = "per_tensor",
        /// `weight_group_size` neighbours.
        PerGroup = "per_group",
        /// Those of `weight_heads_per_group` heads.
        PerHeadGroup = "per_head_group",
    }
}

words! {
    /// A projection of the model.
    LowBitTargetModule {
        /// Latents back to the embedding.
        Encoder = "encoder",
        /// Embedding to latents, the x branch.
        DecoderX = "decoder_x",
        /// Embedding to latents, the y branch.
        DecoderY = "decoder_y",
    }
}

words! {
    /// What the recurrent state rho is computed in.
    #[derive(Default)]
    RhoPrecisionConfig {
        /// 32-bit float.
        Fp32 = "fp32",
        /// bfloat16.
        #[default]
        Bf16 = "bf16",
        /// 8-bit float.
        Fp8Exp = "fp8_exp",
        /// int8 with a scale per block.
        Int8BlockExp = "int8_block_exp",
        /// Shared exponent per block, 8 bits in all.
        Blockfp8Exp = "blockfp8_exp",
        /// Tiles, the empty ones left out.
        SparseTileExp = "sparse_tile_exp",
    }
}

words! {
    /// How rho is compressed between steps.
    #[derive(Default)]
    RhoCompressionConfig {
        /// Not at all.
        #[default]
        None = "none",
        /// 8-bit float with a scale per block.
        Fp8BlockExp = "fp8_block_exp",
        /// int8 with a scale per block.
        Int8BlockExp = "int8_block_exp",
        /// Ternary with a scale per block.
        TernaryBlockExp = "ternary_block_exp",
        /// Signs with a scale per block.
        BinaryBlockExp = "binary_block_exp",
        /// Shared exponent per block.
        BlockfpExp = "blockfp_exp",
        /// The positive entries alone.
        SparsePositiveExp = "sparse_positive_exp",
        /// A low-rank difference from the last state.
        LowrankDeltaExp = "lowrank_delta_exp",
    }
}

words! {
    /// How often rho is compressed.
    #[derive(Default)]
    RhoCompressionInterval {
        /// After every step.
        Step = "step",
        /// After every chunk.
        #[default]
        Chunk = "chunk",
        /// In evaluation only.
        EvalOnly = "eval_only",
    }
}
