//! Defects 25 to 32: the memory estimate beside what is stored.
use lowbit_reference::config::lowbit::{
    BitNetLowBitProtocol, LowBitActivationFormat, LowBitQuantizationConfig, LowBitRhoConfig,
    LowBitSavedActivationMode, LowBitTargetModule, LowBitTrainingMode, LowBitWeightFormat,
    RhoCompressionConfig, RhoPrecisionConfig,
};
use lowbit_reference::format::{INT4, INT8, SIGN1, WeightFormat};
use lowbit_reference::memory::{
    Buckets, Held, ModelShape, RecomputePolicy, compat, compat_saved, count, saved,
};
use lowbit_reference::rho::rho_format;

/// Whole blocks, whole bytes, whole heads: nothing here is rounded.
const SHAPE: ModelShape = ModelShape {
    batch_size: 2,
    time_steps: 8,
    n_layer: 3,
    n_head: 4,
    n_embd: 32,
    latent_total: 64,
};
/// Codes of a projection.
const WEIGHTS: u64 = 64 * 32;
/// Values of the state of all layers.
const STATE: u64 = 3 * 2 * 64 * 32;

fn quant(targets: &[LowBitTargetModule]) -> LowBitQuantizationConfig {
    LowBitQuantizationConfig {
        enable: true,
        protocol: BitNetLowBitProtocol::BitnetB158,
        training_mode: LowBitTrainingMode::TrainKernelExp,
        weight_format: LowBitWeightFormat::Sign1,
        decoder_x_mode: LowBitWeightFormat::Sign1,
        act_format: LowBitActivationFormat::Int8,
        target_modules: targets.to_vec(),
        ..Default::default()
    }
}

fn saving(
    targets: &[LowBitTargetModule],
    mode: LowBitSavedActivationMode,
) -> LowBitQuantizationConfig {
    let mut quant = quant(targets);
    quant.saved_activations.mode = mode;
    quant
}

fn compressed(compression: RhoCompressionConfig) -> LowBitRhoConfig {
    LowBitRhoConfig { compression, ..Default::default() }
}

fn ours(quant: &LowBitQuantizationConfig, rho: &LowBitRhoConfig, held: Held) -> Buckets {
    count(quant, rho, &SHAPE, held).unwrap()
}

#[test]
fn defect_25_without_quantization_rho_takes_no_memory() {
    let (off, rho) = (LowBitQuantizationConfig::default(), LowBitRhoConfig::default());
    assert_eq!(compat(&off, &rho, &SHAPE), Buckets::default());
    let counted = ours(&off, &rho, Held::default());
    assert_eq!(counted, Buckets { rho_state: 2 * STATE, ..Buckets::default() });
}

#[test]
fn defect_26_unpacked_copies_of_the_weights_are_not_counted() {
    let (quant, rho) = (quant(&[LowBitTargetModule::DecoderX]), LowBitRhoConfig::default());
    let estimated = compat(&quant, &rho, &SHAPE).execution_weights;
    assert_eq!(estimated, WEIGHTS / 8 + 4);
    // What `CachedLowrankProjectionArtifact` holds on a GPU: bits, an i32 a code, an i8x4 word
    // for every four.
    let held = WEIGHTS / 8 + 4 + 4 * WEIGHTS + 4 * (WEIGHTS / 4);
    assert!(held > 40 * estimated);
    let copies = Held { weight_copies: 5, ..Held::default() };
    assert_eq!(ours(&quant, &rho, copies).execution_weights, held);
    // And the bits alone where a kernel computes with the bits.
    let packed = ours(&quant, &rho, Held::default()).execution_weights;
    assert_eq!(packed, 64 * SIGN1.row_bytes(32) as u64 + 4);
}

#[test]
fn defect_27_rho_codes_are_counted_as_bytes_and_held_as_integers() {
    // `PackedRhoInt8DeviceState` of 192 values on a backend with i64 integers.
    let claimed = 192 + 4 * 6;
    let real = 8 * 192 + 4 * 6;
    assert_eq!((claimed, real > 4 * 192), (216, true), "more than the f32 it compresses");
    let shape = ModelShape {
        batch_size: 1,
        time_steps: 1,
        n_layer: 1,
        n_head: 2,
        n_embd: 12,
        latent_total: 16,
    };
    let rho = compressed(RhoCompressionConfig::Int8BlockExp);
    let state = |held| count(&quant(&[]), &rho, &shape, held).unwrap().rho_state;
    assert_eq!(state(Held { rho_code: Some(8), ..Held::default() }), real);
    assert_eq!(state(Held::default()), claimed);
}

#[test]
fn defect_28_the_saved_bucket_and_the_inventory_disagree() {
    use LowBitTargetModule::{DecoderX, DecoderY, Encoder};
    let rho = LowBitRhoConfig::default();
    let mut bucket_of_all = Vec::new();
    for targets in [&[DecoderX][..], &[DecoderY], &[Encoder], &[DecoderX, DecoderY, Encoder]] {
        let quant = saving(targets, LowBitSavedActivationMode::QuantizedCacheExp);
        let bucket = compat(&quant, &rho, &SHAPE).saved_activations;
        let listed: u64 =
            compat_saved(&quant, &SHAPE).unwrap().tensors.iter().map(|tensor| tensor.bytes).sum();
        assert_ne!(bucket, listed, "{targets:?}");
        bucket_of_all.push(bucket);
        let inventory = saved(&quant, &rho, &SHAPE).unwrap().unwrap();
        assert_eq!(inventory.tensors.len(), targets.len());
        let listed: u64 = inventory.tensors.iter().map(|tensor| tensor.bytes).sum();
        assert_eq!(ours(&quant, &rho, Held::default()).saved_activations, listed);
        // Every layer saves its own, and x once for all heads.
        assert!(inventory.tensors.iter().all(|tensor| tensor.shape[0] == SHAPE.n_layer));
    }
    bucket_of_all.dedup();
    assert_eq!(bucket_of_all.len(), 1, "the same bucket, whatever is targeted");
}

#[test]
fn defect_29_saved_buffers_are_wider_than_their_formats() {
    /// `ReferenceActivationBuffer::estimated_bytes`: a `Vec<f32>`, or a `Vec<i8>` and a scale.
    fn buffer(format: LowBitActivationFormat, n: u64) -> u64 {
        match format {
            LowBitActivationFormat::Fp16 => 4 * n,
            _ => n + 4,
        }
    }
    let tokens = 2 * 8;
    let stored = |format| {
        let mode = LowBitSavedActivationMode::QuantizedCacheExp;
        let mut quant = saving(&[LowBitTargetModule::DecoderX], mode);
        quant.saved_activations.format = format;
        ours(&quant, &LowBitRhoConfig::default(), Held::default()).saved_activations / 3
    };
    let n = tokens * 32;
    assert_eq!(stored(LowBitActivationFormat::Fp16), 2 * n);
    assert_eq!(buffer(LowBitActivationFormat::Fp16, n), 2 * stored(LowBitActivationFormat::Fp16));
    // Rows as the formats pack them, and a scale a token.
    for (format, packed) in [
        (LowBitActivationFormat::Int4Exp, INT4.row_bytes(32)),
        (LowBitActivationFormat::Int8, INT8.row_bytes(32)),
    ] {
        assert_eq!(stored(format), tokens * packed as u64 + 4 * tokens);
    }
    let int4 = stored(LowBitActivationFormat::Int4Exp) - 4 * tokens;
    assert_eq!(buffer(LowBitActivationFormat::Int4Exp, n) - 4, 2 * int4);
}

#[test]
fn defect_30_recomputation_is_guessed_as_a_half() {
    let targets = [LowBitTargetModule::DecoderY, LowBitTargetModule::Encoder];
    let rho = LowBitRhoConfig::default();
    let cache = saving(&targets, LowBitSavedActivationMode::QuantizedCacheExp);
    let again = saving(&targets, LowBitSavedActivationMode::QuantizedCacheRecomputeExp);
    let (all, half) = (compat(&cache, &rho, &SHAPE), compat(&again, &rho, &SHAPE));
    assert_eq!(half.saved_activations, all.saved_activations / 2);
    assert_eq!(half.workspace, all.workspace + all.activations / 4);
    // Ours names what stays: the layers' inputs and rho when the window began.
    let inventory = saved(&again, &rho, &SHAPE).unwrap().unwrap();
    let kept: Vec<_> = inventory.tensors.iter().map(|t| (t.name, t.bytes)).collect();
    let inputs = 3 * (2 * 8 * 32 + 4 * 2 * 8);
    assert_eq!(kept, [("layer_input", inputs), ("rho_window_anchor", 2 * STATE)]);
    assert!(inventory.requires_rho_window_anchor);
    let policy = RecomputePolicy::RecomputeSafeWithinWindow;
    assert!(inventory.tensors.iter().all(|tensor| tensor.policy == policy));
    // And the workspace is what one layer rebuilds, beside what it always is.
    let (cached, rebuilding) =
        (ours(&cache, &rho, Held::default()), ours(&again, &rho, Held::default()));
    assert_eq!(rebuilding.saved_activations, inputs + 2 * STATE);
    assert_eq!(rebuilding.workspace - cached.workspace, cached.saved_activations / 3);
}

#[test]
fn defect_31_formats_without_a_kernel_are_a_byte_or_the_precision() {
    let quant = quant(&[]);
    let source = |rho: &LowBitRhoConfig| compat(&quant, rho, &SHAPE).rho_state;
    let precise = |precision| LowBitRhoConfig { precision, ..Default::default() };
    // int8 blocks as a precision: a byte there, nine eighths as the same blocks are elsewhere.
    let blocks = precise(RhoPrecisionConfig::Int8BlockExp);
    assert_eq!(source(&blocks), STATE + 4);
    let int8 = rho_format("int8").unwrap().stored_bytes(usize::try_from(STATE).unwrap());
    assert_eq!(ours(&quant, &blocks, Held::default()).rho_state, int8.0 + int8.1);
    assert_eq!(int8.0 + int8.1, STATE * 9 / 8);
    // Compressions that are no blocks take as many bytes as bf16 there, tiles a byte; each has a
    // codec of its own here.
    let of = |rho: &LowBitRhoConfig| ours(&quant, rho, Held::default()).rho_state;
    let sparse = compressed(RhoCompressionConfig::SparsePositiveExp);
    assert_eq!(source(&sparse), source(&LowBitRhoConfig::default()));
    assert_eq!(of(&sparse), STATE / 32 * (8 + 16));
    let floats = compressed(RhoCompressionConfig::Fp8BlockExp);
    assert_eq!((source(&floats), of(&floats)), (2 * STATE + 4, STATE * 9 / 8));
    let tiles = precise(RhoPrecisionConfig::SparseTileExp);
    assert_eq!((source(&tiles), of(&tiles)), (STATE + 4, 2 * STATE + STATE / 64 / 8));
}

#[test]
fn defect_32_sixteen_bit_tensors_and_all_of_rho_have_a_scale() {
    let mut fp16 = quant(&[LowBitTargetModule::DecoderX]);
    fp16.decoder_x_mode = LowBitWeightFormat::Fp16;
    fp16.act_format = LowBitActivationFormat::Fp16;
    let rho = LowBitRhoConfig::default();
    let (source, ours) = (compat(&fp16, &rho, &SHAPE), ours(&fp16, &rho, Held::default()));
    assert_eq!(source.execution_weights, ours.execution_weights + 4);
    assert_eq!(source.activations, ours.activations + 4);
    assert_eq!(source.rho_state, ours.rho_state + 4);
    assert_eq!(ours.execution_weights, 2 * WEIGHTS);
    // One scale for all of an int8 rho there, besides the blocks' own.
    let int8 = compressed(RhoCompressionConfig::Int8BlockExp);
    let source = compat(&fp16, &int8, &SHAPE).rho_state;
    assert_eq!(source, STATE * 9 / 8 + 4);
}
