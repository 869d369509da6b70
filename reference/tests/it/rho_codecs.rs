//! Every rho codec on normal data: bytes, quality and verdicts, and a state carried over chunks.
use lowbit_reference::config::lowbit::{
    LowBitRhoConfig, RhoCompressionConfig, RhoCompressionInterval, RhoPrecisionConfig,
};
use lowbit_reference::data::{Distribution, NoFiles, Stream, realistic};
use lowbit_reference::format::{MXINT4, MXINT6};
use lowbit_reference::op::Op;
use lowbit_reference::op::rho::encode::RhoEncode;
use lowbit_reference::quality::{Quality, quality};
use lowbit_reference::rho::{
    FlatBlocks, LowrankDelta, RHO_COMPRESSIONS, RHO_PRECISIONS, RhoCodec, RhoGate, RhoStream,
    SparsePositive, SparseTile, State, StateShape, Streamed, TileValues, Tokens, rho_compression,
    rho_precision, rho_stream,
};

fn normal(sigma: f32) -> (StateShape, Vec<f32>) {
    normal_heads(64, sigma)
}

fn normal_heads(heads: usize, sigma: f32) -> (StateShape, Vec<f32>) {
    let shape = StateShape::new(&[heads, 64, 64]).unwrap();
    let len = (shape.len(), 64);
    (shape, realistic(Distribution::Normal, (11, Stream::State), len, sigma))
}

/// Bytes per value, and the quality of what comes back.
fn kept(codec: &dyn RhoCodec, shape: StateShape, x: &[f32]) -> (f64, Quality) {
    let state = State::new(shape, x).unwrap();
    let payload = codec.encode(state, None).unwrap();
    assert_eq!(payload.len() as u64, codec.payload_bytes(state), "{codec:?}");
    let back = codec.decode(&payload, shape, None).unwrap();
    (payload.len() as f64 / x.len() as f64, quality(x, back))
}

fn precision(name: &str) -> &'static dyn RhoCodec {
    rho_precision(name).unwrap().codec
}

fn compression(name: &str) -> &'static dyn RhoCodec {
    rho_compression(name).unwrap().codec.unwrap()
}

#[test]
fn every_word_of_the_source_has_a_codec() {
    for word in RhoPrecisionConfig::ALL {
        assert!(rho_precision(word.as_str()).is_some(), "{word}");
    }
    for word in RhoCompressionConfig::ALL {
        let found = rho_compression(word.as_str()).unwrap();
        assert_eq!(found.codec.is_none(), *word == RhoCompressionConfig::None, "{word}");
    }
    assert!(rho_compression("fp32").is_none() && rho_precision("none").is_none());
    assert_eq!((RHO_PRECISIONS.len(), RHO_COMPRESSIONS.len()), (6, 8));
}

#[test]
fn a_config_is_streamed_as_it_says() {
    let config = LowBitRhoConfig::default()
        .with_precision(RhoPrecisionConfig::Fp32)
        .with_compression(RhoCompressionConfig::Int8BlockExp)
        .with_compression_interval(RhoCompressionInterval::EvalOnly)
        .with_carry_across_tbptt(false);
    let of = |evaluating| RhoStream::of_config(&config, evaluating, (4, 2)).unwrap();
    let same = RhoStream {
        compression: Some(compression("int8_block")),
        interval: RhoCompressionInterval::EvalOnly,
        evaluating: true,
        carry_across_tbptt: false,
        ..plain()
    };
    assert_eq!(streamed(&of(true)), streamed(&same));
    assert_eq!(streamed(&of(false)).chunks[0].compressions, 0);
    let attached = config.clone().with_carry_across_tbptt(true).with_detach_between_windows(false);
    let attached = RhoStream::of_config(&attached, true, (4, 2)).unwrap();
    assert_eq!(streamed(&attached).gradient_stops, [0usize; 0]);
    let both = config
        .with_precision(RhoPrecisionConfig::Fp8Exp)
        .with_compression(RhoCompressionConfig::Fp8BlockExp);
    let error = RhoStream::of_config(&both, true, (4, 2)).unwrap_err();
    assert_eq!(error.field, "model.rho.precision");
}

/// Signal-to-noise ratios found for two million values by another implementation; those of 2^18
/// values differ by less than 0.1 dB.
#[test]
fn bytes_and_quality_are_those_calculated() {
    let (shape, x) = normal(1.0);
    let table: &[(&dyn RhoCodec, f64, Option<f64>)] = &[
        (precision("fp32"), 4.0, None),
        (precision("bf16"), 2.0, None),
        (precision("fp8"), 1.0, Some(31.5)),
        (precision("int8_block"), 1.125, None),
        (precision("blockfp8"), 1.03125, Some(30.6)),
        (compression("fp8_block"), 1.125, Some(32.4)),
        (compression("ternary_block"), 0.375, None),
        (compression("binary_block"), 0.25, None),
        (compression("blockfp"), 1.03125, Some(41.7)),
        (&FlatBlocks::Mx(&MXINT6), 0.78125, None),
        (&FlatBlocks::Mx(&MXINT4), 0.53125, None),
    ];
    for (codec, bytes, sqnr_db) in table {
        let (found, quality) = kept(*codec, shape, &x);
        assert_eq!(found, *bytes, "{codec:?}");
        if let Some(want) = sqnr_db {
            let found = quality.sqnr_db.unwrap();
            assert!((found - want).abs() < 0.1, "{codec:?}: {found} dB, calculated {want}");
        }
    }
    assert_eq!(kept(precision("fp32"), shape, &x).1.sqnr_db, None);
}

#[test]
fn verdicts_are_those_calculated() {
    let passes = |codec: &dyn RhoCodec, sigma: f32| {
        let (shape, x) = normal(sigma);
        let (bytes, quality) = kept(codec, shape, &x);
        let broken = RhoGate::default().check(&quality, bytes / 4.0);
        broken.iter().map(|violation| violation.limit_name).collect::<Vec<_>>()
    };
    assert_eq!(passes(compression("int8_block"), 1.0), [""; 0]);
    assert_eq!(passes(compression("fp8_block"), 1.0), ["rho.max_abs_error"]);
    assert_eq!(passes(compression("fp8_block"), 0.3), [""; 0]);
    assert_eq!(passes(compression("blockfp"), 1.0), [""; 0]);
    assert!(passes(&FlatBlocks::Mx(&MXINT6), 1.0).contains(&"rho.mean_abs_error"));
    assert_eq!(passes(&FlatBlocks::Mx(&MXINT6), 0.3), [""; 0]);
    assert!(passes(&FlatBlocks::Mx(&MXINT4), 1.0).contains(&"rho.mean_abs_error"));
    assert!(!passes(&FlatBlocks::Mx(&MXINT4), 0.3).is_empty());
    for (name, sigma) in [("ternary_block", 1.0), ("binary_block", 1.0), ("binary_block", 0.01)] {
        assert!(passes(compression(name), sigma).contains(&"rho.rms_ratio"), "{name} {sigma}");
    }
    let (shape, x) = normal(1.0);
    let mean = kept(&FlatBlocks::Mx(&MXINT6), shape, &x).1.mean_abs_error;
    assert!((mean - 0.0276).abs() < 0.0005, "{mean}");
}

#[test]
fn sparse_codecs_pay_for_what_they_keep() {
    // The noise comes from the few blocks with many more than 16 positive values: its ratio varies
    // by 0.2 dB (standard deviation) among samples of 2^18 values, by 0.03 dB among those of 2^23.
    let (shape, x) = normal_heads(2048, 1.0);
    let x: Vec<f32> = x.iter().map(|x| x.max(0.0)).collect();
    let (bytes, quality) = kept(&SparsePositive::DEFAULT, shape, &x);
    let sqnr = quality.sqnr_db.unwrap();
    assert!((sqnr - 26.5).abs() < 0.1, "{sqnr}");
    assert!(quality.max_abs_error > RhoGate::default().max_abs_error);
    let nonzero = |block: &[f32]| block.iter().filter(|x| **x > 0.0).count().min(16);
    let kept_values: usize = x.chunks(32).map(nonzero).sum();
    assert_eq!(bytes * x.len() as f64, (x.len() / 32 * 8 + kept_values) as f64);

    let (shape, mut half) = normal(1.0);
    half[shape.len() / 2..].fill(0.0);
    let exact = SparseTile::new(0.0, TileValues::F32).unwrap();
    let (bytes, quality) = kept(&exact, shape, &half);
    assert_eq!((bytes, quality.sqnr_db), (2.0 + 1.0 / 512.0, None));
    let (bytes, quality) = kept(&SparseTile::DEFAULT, shape, &half);
    assert_eq!(bytes, 1.0 + 1.0 / 512.0);
    assert!(quality.nmse > 0.0 && quality.nmse < 2f64.powi(-16));
}

/// Anything but the truth is an error, not a panic: every payload one byte short or long.
#[test]
fn payloads_of_the_wrong_length_are_errors() {
    let shape = StateShape::new(&[2, 9, 5]).unwrap();
    let x: Vec<f32> = (0..90).map(|i| (i % 13) as f32 - 4.0).collect();
    let state = State::new(shape, &x).unwrap();
    let precisions = RHO_PRECISIONS.iter().map(|precision| precision.codec);
    let compressions = RHO_COMPRESSIONS.iter().filter_map(|compression| compression.codec);
    for codec in precisions.chain(compressions) {
        let mut payload = codec.encode(state, None).unwrap();
        assert_eq!(codec.decode(&payload, shape, None).unwrap().len(), 90, "{codec:?}");
        let short = codec.decode(&payload[..payload.len() - 1], shape, None).unwrap_err();
        payload.push(0);
        let long = codec.decode(&payload, shape, None).unwrap_err();
        assert_eq!([short.field, long.field], ["payload"; 2], "{codec:?}");
    }
}

const SHAPE: [usize; 5] = [2, 2, 22, 6, 5];

/// `q`, `k` and `v` of [`SHAPE`].
fn tensors() -> [Vec<f32>; 3] {
    let [batch, heads, tokens, key, value] = SHAPE;
    [(21, key), (22, key), (23, value)].map(|(seed, dim)| {
        let len = (batch * heads * tokens * dim, dim);
        realistic(Distribution::Normal, (seed, Stream::Activation), len, 1.0)
    })
}

fn plain() -> RhoStream<'static> {
    RhoStream {
        precision: precision("fp32"),
        compression: None,
        interval: RhoCompressionInterval::Chunk,
        evaluating: false,
        chunk_len: 4,
        window_chunks: 2,
        carry_across_tbptt: true,
        detach_between_windows: true,
    }
}

fn streamed(stream: &RhoStream) -> Streamed {
    let [q, k, v] = tensors();
    rho_stream(stream, &Tokens { shape: SHAPE, q: &q, k: &k, v: &v }).unwrap()
}

#[test]
fn a_token_reads_what_it_and_all_before_it_wrote() {
    // o_t = sum over s <= t of (q_t . k_s) v_s.
    let tokens = Tokens {
        shape: [1, 1, 3, 2, 1],
        q: &[1.0, 0.0, 1.0, 1.0, 0.0, 2.0],
        k: &[1.0, 2.0, 3.0, 4.0, -1.0, 1.0],
        v: &[1.0, 10.0, 100.0],
    };
    let out = rho_stream(&plain(), &tokens).unwrap();
    assert_eq!(out.output, [1.0, 73.0, 2.0 * (2.0 + 40.0 + 100.0)]);
    assert_eq!(out.state, [31.0 - 100.0, 42.0 + 100.0]);
    assert_eq!(out.chunks.len(), 1);
    assert_eq!((out.chunks[0].tokens.clone(), out.chunks[0].stored_bytes), (0..3, 8));
}

#[test]
fn fp32_does_not_drift_and_every_head_is_its_own() {
    let out = streamed(&plain());
    assert_eq!(out.chunks.len(), 6);
    for chunk in &out.chunks {
        assert_eq!((chunk.drift.max_abs_error, chunk.drift.nmse), (0.0, 0.0));
        assert_eq!((chunk.drift.rms_ratio, chunk.compressions), (1.0, 0));
        assert_eq!(chunk.stored_bytes, 4 * 2 * 2 * 6 * 5);
    }
    assert_eq!(out.chunks[5].tokens, 20..22);
    assert_eq!(out.gradient_stops, [8, 16]);
    let [q, k, v] = tensors();
    let tokens = Tokens { shape: [1, 1, 22, 6, 5], q: &q[396..], k: &k[396..], v: &v[330..] };
    let last = rho_stream(&plain(), &tokens).unwrap();
    assert_eq!(out.output[330..], last.output);
    assert_eq!(out.state[90..], last.state);
}

#[test]
fn a_lossy_state_drifts_the_same_way_every_time() {
    for name in ["fp8_block", "int8_block", "ternary_block", "binary_block", "blockfp"] {
        let stream = RhoStream { compression: Some(compression(name)), ..plain() };
        let out = streamed(&stream);
        assert_eq!(out, streamed(&stream), "{name}");
        assert!(out.chunks.iter().all(|chunk| chunk.drift.nmse > 0.0), "{name}");
        let drift = quality(&streamed(&plain()).state, out.state.iter().copied());
        assert_eq!(out.chunks[5].drift, drift, "{name}");
        let bytes = stream
            .compression
            .unwrap()
            .encode(State::new(StateShape::new(&[4, 6, 5]).unwrap(), &out.state).unwrap(), None);
        assert_eq!(out.chunks[5].stored_bytes, bytes.unwrap().len() as u64, "{name}");
    }
    let rounded = streamed(&RhoStream { precision: precision("bf16"), ..plain() });
    assert!(rounded.chunks[5].drift.nmse > 0.0);
    assert_eq!(rounded.chunks[5].stored_bytes, 240);
}

#[test]
fn intervals_say_how_often_the_state_is_compressed() {
    let int8 = Some(compression("int8_block"));
    let run = |interval, evaluating| {
        let out = streamed(&RhoStream { compression: int8, interval, evaluating, ..plain() });
        let times: Vec<usize> = out.chunks.iter().map(|chunk| chunk.compressions).collect();
        (out, times)
    };
    let (chunk, times) = run(RhoCompressionInterval::Chunk, false);
    assert_eq!(times, [1; 6]);
    let (step, times) = run(RhoCompressionInterval::Step, false);
    assert_eq!(times, [4, 4, 4, 4, 4, 2]);
    assert!(step.chunks[5].drift.nmse > chunk.chunks[5].drift.nmse);
    let (training, times) = run(RhoCompressionInterval::EvalOnly, false);
    assert_eq!((times, &training), (vec![0; 6], &streamed(&plain())));
    assert_eq!(run(RhoCompressionInterval::EvalOnly, true).0, chunk);
    // A token reads the state before it is stored: the first chunk's outputs are those of f32.
    assert_eq!(chunk.output[..4 * 5], training.output[..4 * 5]);
    assert_ne!(chunk.output[4 * 5..5 * 5], training.output[4 * 5..5 * 5]);
}

#[test]
fn a_rank_of_the_chunk_keeps_its_gain_to_rounding() {
    let [_, k, v] = tensors();
    let [.., tokens, key, value] = SHAPE;
    let largest = |x: &[f32]| x.iter().fold(0f64, |max, x| max.max(f64::from(x.abs())));
    // No value of a state is larger; a token or a codec rounds by 2^-24 of it, or of the norm of
    // the matrix for each factor, and there are two states, 22 tokens and 6 chunks.
    let reach = tokens as f64 * largest(&k) * largest(&v);
    let roundings = (2 * tokens + 6 * 4) as f64 * ((key * value) as f64).sqrt();
    let bound = reach * roundings * 2f64.powi(-24);
    let drift = |rank: usize| {
        let codec = LowrankDelta::new(rank).unwrap();
        let out = streamed(&RhoStream { compression: Some(&codec), ..plain() });
        assert!(out.chunks.iter().all(|c| c.stored_bytes == (4 * 4 * rank.min(5) * 11) as u64));
        out.chunks.iter().fold(0f64, |max, chunk| max.max(chunk.drift.max_abs_error))
    };
    assert!(drift(4) <= bound, "{} {bound}", drift(4));
    assert!(drift(5) <= bound);
    assert!(drift(3) > 10.0 * bound, "{} {bound}", drift(3));
}

#[test]
fn the_anchor_of_a_chunk_is_the_state_it_began_with() {
    let [q, k, v] = tensors();
    let codec = LowrankDelta::new(1).unwrap();
    let stream = RhoStream { compression: Some(&codec), ..plain() };
    let first = |count: usize| {
        let (q, k, v) = (&q[..6 * count], &k[..6 * count], &v[..5 * count]);
        rho_stream(&stream, &Tokens { shape: [1, 1, count, 6, 5], q, k, v }).unwrap().state
    };
    let anchor = first(4);
    let mut state = anchor.clone();
    for (k, v) in k[24..48].chunks(6).zip(v[20..40].chunks(5)) {
        for (at, s) in state.iter_mut().enumerate() {
            *s = (f64::from(*s) + f64::from(k[at / 5]) * f64::from(v[at % 5])) as f32;
        }
    }
    let shape = StateShape::new(&[6, 5]).unwrap();
    let anchor = Some(State::new(shape, &anchor).unwrap());
    let payload = codec.encode(State::new(shape, &state).unwrap(), anchor).unwrap();
    assert_eq!(codec.decode(&payload, shape, anchor).unwrap(), first(8));
}

#[test]
fn windows_that_are_not_carried_begin_at_zero() {
    let base = RhoStream { compression: Some(compression("int8_block")), ..plain() };
    let reset = streamed(&RhoStream { carry_across_tbptt: false, ..base });
    assert_eq!(reset.gradient_stops, [8, 16]);
    let attached = streamed(&RhoStream { detach_between_windows: false, ..base });
    assert_eq!(attached.gradient_stops, [0usize; 0]);
    assert_eq!(attached.output, streamed(&base).output);
    let exact = streamed(&RhoStream { carry_across_tbptt: false, ..plain() });
    assert!(exact.chunks.iter().all(|chunk| chunk.drift.max_abs_error == 0.0));
    let both = RhoStream { carry_across_tbptt: false, detach_between_windows: false, ..base };
    assert_eq!(streamed(&both), reset);
    // The last window of the first head alone.
    let [q, k, v] = tensors();
    let tokens = Tokens {
        shape: [1, 1, 6, 6, 5],
        q: &q[16 * 6..22 * 6],
        k: &k[16 * 6..22 * 6],
        v: &v[16 * 5..22 * 5],
    };
    let alone = rho_stream(&base, &tokens).unwrap();
    assert_eq!(reset.output[16 * 5..22 * 5], alone.output);
    assert_eq!(reset.state.len(), 4 * 30);
    assert_ne!(reset.output, streamed(&base).output);
}

#[test]
fn streams_of_the_wrong_shape_are_errors() {
    let [q, k, v] = tensors();
    let tokens = Tokens { shape: SHAPE, q: &q, k: &k, v: &v };
    let field = |stream: &RhoStream, tokens: &Tokens| rho_stream(stream, tokens).unwrap_err().field;
    assert_eq!(field(&RhoStream { chunk_len: 0, ..plain() }, &tokens), "chunk_len");
    assert_eq!(field(&RhoStream { window_chunks: 0, ..plain() }, &tokens), "window_chunks");
    assert_eq!(field(&plain(), &Tokens { q: &q[1..], ..tokens }), "q");
    assert_eq!(field(&plain(), &Tokens { k: &k[1..], ..tokens }), "k");
    assert_eq!(field(&plain(), &Tokens { v: &[], ..tokens }), "v");
    let huge = Tokens { shape: [usize::MAX, 2, 0, 1, 1], q: &[], k: &[], v: &[] };
    assert_eq!(field(&plain(), &huge), "q");
    let endless = Tokens { shape: [0, 1, usize::MAX, 2, 2], q: &[], k: &[], v: &[] };
    assert_eq!(field(&plain(), &endless), "tokens");
    let empty = Tokens { shape: [1 << 24, 1 << 24, 9, 0, 0], ..endless };
    assert_eq!(rho_stream(&plain(), &empty).unwrap().state, [0.0; 0]);
    // No token, but a state of 2^56 values.
    let huge = Tokens { shape: [1, 1, 0, 1 << 28, 1 << 28], q: &[], k: &[], v: &[] };
    assert_eq!(field(&plain(), &huge), "state");
    let none = Tokens { shape: [2, 2, 0, 6, 5], q: &[], k: &[], v: &[] };
    let out = rho_stream(&plain(), &none).unwrap();
    assert_eq!((out.chunks.len(), out.state), (0, vec![0.0; 120]));
}

/// A codec that keeps the largest finite float finite would round it the wrong way.
#[test]
fn a_saturated_state_leaves_the_range_of_bf16() {
    let id = "rho_encode/codec=bf16/rows=2/columns=1/data=adversarial/pattern=saturated/seed=1";
    let problem = RhoEncode::generate(&id.parse().unwrap(), &NoFiles).unwrap();
    assert_eq!(problem.x, [f32::MAX, -f32::MAX]);
    assert_eq!(RhoEncode::reference(&problem), [0x80, 0x7f, 0x80, 0xff]);
}
