//! Weight formats, block formats, small floats, NF4 and rules.
use crate::input::Input;
use crate::targets;
use lowbit_reference::fake_quantize::{ByBlocks, ByRule, FakeQuantize};
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::double_quant::{DoubleQuant, DoubleQuantized};
use lowbit_reference::format::minifloat::{
    BF16, E2M1, E2M3, E3M2, E4M3FN, E4M3FNUZ, E5M2, E5M2FNUZ, F16,
};
use lowbit_reference::format::nf4::{Absmax, Nf4, Nibbles};
use lowbit_reference::format::{
    ACTIVATION_FORMATS, BLOCK_FORMATS, BlockFormat, Element, Levels, Mx, ScaleMode, WEIGHT_FORMATS,
    WeightFormat, e8m0,
};
use lowbit_reference::rule::{
    EpsilonUse, Granularity, Groups, Range, Rounding, Rule, Shared, quantize,
};

targets! {
    weight_format_pack weight_format_unpack block_format_encode block_format_decode microscaling
    minifloat nf4_quantize nf4_parts double_quant rule_quantize rule_groups fake_quantize
}

const FLOATS: [lowbit_reference::format::minifloat::Minifloat; 9] =
    [F16, BF16, E4M3FN, E5M2, E4M3FNUZ, E5M2FNUZ, E2M3, E3M2, E2M1];
const LEVELS: [Levels; 6] =
    [Levels::Sign, Levels::Ternary, Levels::Int4, Levels::Uint4, Levels::Int8, Levels::Uint8];

/// Any of the formats of codes.
pub(crate) fn format(input: &mut Input) -> &'static dyn WeightFormat {
    let all: Vec<_> = WEIGHT_FORMATS.iter().chain(ACTIVATION_FORMATS).copied().collect();
    input.pick(&all)
}

/// Any rule, sensible or not.
pub(crate) fn rule(input: &mut Input) -> Rule {
    Rule {
        granularity: input.pick(&[
            Granularity::Tensor,
            Granularity::Row,
            Granularity::Group,
            Granularity::HeadGroup,
        ]),
        group_size: input.size(),
        range: input.pick(&[Range::Absmax, Range::Absmean, Range::Minmax, Range::Fixed]),
        fixed_scale: input.float(),
        times: if input.flip() { 1.0 } else { input.float() },
        steps: if input.flip() { 127.0 } else { input.float() },
        rounding: input.pick(&[Rounding::HalfEven, Rounding::HalfAway]),
        min_code: input.bytes(1)[0].cast_signed(),
        threshold: if input.flip() { 0.5 } else { input.float() },
        kept_mean: input.flip(),
        inclusive: input.flip(),
        centred: input.flip(),
        zero_is_positive: input.flip(),
        with_zero: input.flip(),
        rotated: input.once_in(8),
        epsilon: if input.flip() { 1e-5 } else { input.float() },
        epsilon_use: input.pick(&[
            EpsilonUse::FloorScale,
            EpsilonUse::FloorStatistic,
            EpsilonUse::Add,
            EpsilonUse::Unit,
        ]),
    }
}

/// What a group shares, of any numbers.
pub(crate) fn shared(input: &mut Input) -> Shared {
    let [scale, centre, limit] = [0; 3].map(|_| input.float());
    Shared { scale, centre, zero_point: input.code(), limit }
}

fn weight_format_pack(input: &mut Input) {
    let (format, codes) = (format(input), input.codes(70));
    if let Ok(bytes) = format.pack(&codes) {
        assert_eq!(bytes.len(), format.row_bytes(codes.len()));
        assert_eq!(format.unpack(&bytes, codes.len()).as_ref(), Ok(&codes));
    }
}

fn weight_format_unpack(input: &mut Input) {
    let format = format(input);
    let len = if input.once_in(4) { input.size() } else { input.below(70) };
    let size = input.below(70);
    let bytes = input.bytes(size);
    if let Ok(codes) = format.unpack(&bytes, len) {
        assert_eq!(codes.len(), len);
        assert!(format.levels().check(&codes).is_ok() && format.row_bytes(len) <= bytes.len());
    }
}

fn block_format_encode(input: &mut Input) {
    let format = input.pick(BLOCK_FORMATS);
    let len = format.block_len() * input.below(3) + if input.once_in(8) { 1 } else { 0 };
    let x = input.floats(len);
    match format.encode(&x) {
        Ok(bytes) => assert_eq!(format.decode(&bytes).unwrap().len(), len),
        Err(error) => assert!(error.field == "x" && !len.is_multiple_of(format.block_len())),
    }
    let shape = [input.size(), input.size(), format.block_len()];
    let x = input.tensor(&shape);
    let _ = ByBlocks(format).fake_quantize(&x, &shape);
}

fn block_format_decode(input: &mut Input) {
    let format = input.pick(BLOCK_FORMATS);
    let len = format.block_bytes() * input.below(3) + if input.once_in(8) { 1 } else { 0 };
    let bytes = input.bytes(len);
    if let Ok(x) = format.decode(&bytes) {
        assert_eq!(format.encode(&x).unwrap().len(), len);
    }
}

fn microscaling(input: &mut Input) {
    let float = input.pick(&FLOATS);
    let bits = input.size() as u32;
    let element = if input.flip() { Element::Integer(bits) } else { Element::Float(float) };
    let modes = [ScaleMode::Floor, ScaleMode::Ceil, ScaleMode::Even, ScaleMode::Rceil];
    let Ok(mx) = Mx::new(BLOCK_FORMATS[0].word(), element, input.pick(&modes)) else { return };
    let bytes = mx.encode(&input.floats(32)).unwrap();
    mx.decode(&bytes).unwrap();
    let any = input.bytes(mx.block_bytes());
    mx.encode(&mx.decode(&any).unwrap()).unwrap();
    assert_eq!(mx.codes(&[]), [0; 32]);
}

fn minifloat(input: &mut Input) {
    let float = input.pick(&FLOATS);
    let float = if input.flip() { float } else { float.saturating() };
    let pattern = input.word() as u16;
    let value = float.decode(pattern);
    let again = float.decode(float.encode(value));
    let same = again.to_bits() == value.to_bits();
    assert!(same || !value.is_finite(), "{float:?} {pattern:#x}");
    float.encode(input.float());
    e8m0::decode(e8m0::encode(input.float()));
}

fn nf4(input: &mut Input) -> Nf4 {
    let table = input.pick(&[Table::Nf4, Table::Fp4]);
    let double = [None].into_iter().chain(DoubleQuant::ALL.map(Some)).collect::<Vec<_>>();
    let nibbles = input.pick(&[Nibbles::HighFirst, Nibbles::LowFirst]);
    Nf4::new(table, input.pick(&[32, 64, 128]), input.pick(&double), nibbles).unwrap()
}

fn nf4_quantize(input: &mut Input) {
    let (format, len) = (nf4(input), input.below(300));
    let tensor = format.quantize(&input.floats(len));
    assert_eq!((tensor.dequantize().len(), tensor.codes().len()), (len, len));
    let (packed, absmax) = (tensor.packed().to_vec(), tensor.absmax().clone());
    assert!(format.tensor(packed, absmax, len).is_ok());
}

fn nf4_parts(input: &mut Input) {
    let any = Nf4::new(Table::Nf4, input.size(), None, Nibbles::LowFirst);
    assert!(any.is_err());
    let format = nf4(input);
    let len = if input.once_in(8) { input.size() } else { input.below(300) };
    let size = input.len_of(&[len.div_ceil(2)]);
    let packed = input.bytes(size);
    let count = input.len_of(&[len.div_ceil(format.block_size())]);
    let scheme = if input.flip() { format.double_quant() } else { Some(DoubleQuant::Int8Mean) };
    let absmax = match scheme {
        None => Absmax::Float(input.floats(count)),
        Some(scheme) => Absmax::Double(scheme.quantize(&input.floats(count))),
    };
    if let Ok(tensor) = format.tensor(packed, absmax, len) {
        assert_eq!(tensor.dequantize().len(), len);
    }
}

fn double_quant(input: &mut Input) {
    let (scheme, size) = (input.pick(&DoubleQuant::ALL), input.below(600));
    let (codes, count) = (input.bytes(size), input.len_of(&[size.div_ceil(256)]));
    if let Ok(stored) = DoubleQuantized::new(scheme, codes, input.floats(count), input.float()) {
        assert_eq!(stored.dequantize().len(), size);
    }
    let offset = input.float();
    let stored = scheme.quantize_around(&input.floats(size), offset);
    assert_eq!(stored.dequantize().len(), size);
}

fn rule_quantize(input: &mut Input) {
    let (rule, levels, len) = (rule(input), input.pick(&LEVELS), input.below(40));
    let x = input.floats(len);
    let group_len = rule.group_len(len, input.size());
    let q = quantize(&rule, levels, &x, group_len);
    for ((code, x), group) in q.codes.iter().zip(&x).zip(0..) {
        let shared = &q.shared[group / group_len];
        rule.value(*code, shared);
        rule.near_zero(levels, *x, shared);
        rule.near_tie(levels, *x, shared, group_len);
    }
    rule.value(input.code(), &shared(input));
    rule.code(levels, input.float(), &shared(input));
}

fn rule_groups(input: &mut Input) {
    let (rule, [a, b, c, d]) = (rule(input), input.sizes());
    let heads = [Groups::weight_heads(&rule, [a, b, c]), Groups::matrix(&rule, (a, b))];
    for groups in heads.into_iter().chain([Groups::activation_heads(&rule, [a, b, c, d])]) {
        let Ok(groups) = groups else { continue };
        for group in 0..groups.count().min(8) {
            let _ = groups.positions(group).next();
        }
    }
}

fn fake_quantize(input: &mut Input) {
    let quantizer = ByRule { rule: rule(input), levels: input.pick(&LEVELS) };
    let (shape, rank) = (input.sizes::<5>(), input.below(6));
    let x = input.tensor(&shape[..rank]);
    let _ = quantizer.fake_quantize(&x, &shape[..rank]);
    let _ = nf4(input).fake_quantize(&x, &shape[..rank]);
}
