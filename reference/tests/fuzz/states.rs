//! Codecs of the recurrent state and the stream that carries it.
use crate::formats::format;
use crate::input::Input;
use crate::targets;
use lowbit_reference::case::Word;
use lowbit_reference::config::lowbit::RhoCompressionInterval;
use lowbit_reference::rho::{
    FlatBlocks, LowrankDelta, RHO_COMPRESSIONS, RHO_PRECISIONS, RhoCodec, RhoFormat, RhoStream,
    SparsePositive, SparseTile, State, StateShape, TileValues, Tokens, rho_stream,
};

targets! { rho_encode rho_decode rho_parameters rho_streams }

/// Any codec, of the tables or of other parameters.
fn with_codec(input: &mut Input, check: fn(&dyn RhoCodec, &mut Input)) {
    match input.below(5) {
        0 => {
            let word = Word { name: "any", aliases: &[] };
            check(&FlatBlocks::Scaled(RhoFormat { word, codes: format(input) }), input);
        }
        1 => check(&SparsePositive::new(1 + input.below(32)).unwrap(), input),
        2 => {
            let values = input.pick(&[TileValues::Bf16, TileValues::F32]);
            check(&SparseTile::new(0.5, values).unwrap(), input);
        }
        3 => check(&LowrankDelta::new(input.size().max(1)).unwrap(), input),
        _ => check(named(input), input),
    }
}

/// A codec of the tables.
fn named(input: &mut Input) -> &'static dyn RhoCodec {
    let precisions = RHO_PRECISIONS.iter().map(|precision| precision.codec);
    let compressions = RHO_COMPRESSIONS.iter().filter_map(|compression| compression.codec);
    let all: Vec<_> = precisions.chain(compressions).collect();
    input.pick(&all)
}

/// A shape of few values and its dimensions.
fn small(input: &mut Input) -> StateShape {
    StateShape::new(&[input.below(3), input.below(12), input.below(12)]).unwrap()
}

fn rho_encode(input: &mut Input) {
    with_codec(input, encode);
}

fn rho_decode(input: &mut Input) {
    with_codec(input, decode);
}

fn encode(codec: &dyn RhoCodec, input: &mut Input) {
    let shape = small(input);
    let (x, anchor) = (input.floats(shape.len()), input.floats(shape.len()));
    let state = State::new(shape, &x).unwrap();
    let anchor = if input.flip() { Some(State::new(shape, &anchor).unwrap()) } else { None };
    let Ok(mut payload) = codec.encode(state, anchor) else { return };
    assert_eq!(payload.len() as u64, codec.payload_bytes(state), "{codec:?}");
    assert_eq!(codec.decode(&payload, shape, anchor).unwrap().len(), shape.len(), "{codec:?}");
    // A few bytes changed, or a few missing.
    for _ in 0..input.below(4) {
        let (at, byte) = (input.below(payload.len().max(1)), input.bytes(1)[0]);
        payload.get_mut(at).into_iter().for_each(|slot| *slot = byte);
    }
    let keep = payload.len() - if input.flip() { 0 } else { input.below(payload.len() + 1) };
    let _ = codec.decode(&payload[..keep], shape, anchor);
}

fn decode(codec: &dyn RhoCodec, input: &mut Input) {
    let dims = input.sizes::<4>();
    let rank = input.below(5);
    let Ok(shape) = StateShape::new(&dims[..rank]) else { return };
    let size = input.below(600);
    let _ = codec.decode(&input.bytes(size), shape, None);
    let zeros = vec![0; size];
    let _ = codec.decode(&zeros, shape, None);
}

fn rho_parameters(input: &mut Input) {
    let _ = (SparsePositive::new(input.size()), LowrankDelta::new(input.size()));
    let _ = SparseTile::new(input.float(), TileValues::F32);
    let values = input.tensor(&[4, 5]);
    let _ = State::new(small(input), &values);
    SparsePositive::negative_energy_dropped(&values);
}

fn rho_streams(input: &mut Input) {
    let shape @ [batch, heads, tokens, key, value] = input.sizes();
    let (q, k) = (input.tensor(&shape[..4]), input.tensor(&shape[..4]));
    let v = input.tensor(&[batch, heads, tokens, value]);
    let intervals = [
        RhoCompressionInterval::Step,
        RhoCompressionInterval::Chunk,
        RhoCompressionInterval::EvalOnly,
    ];
    let stream = RhoStream {
        precision: named(input),
        compression: if input.flip() { Some(named(input)) } else { None },
        interval: input.pick(&intervals),
        evaluating: input.flip(),
        chunk_len: input.size(),
        window_chunks: input.size(),
        carry_across_tbptt: input.flip(),
        detach_between_windows: input.flip(),
    };
    let shape = [batch, heads, tokens, key, value];
    let _ = rho_stream(&stream, &Tokens { shape, q: &q, k: &k, v: &v });
}
