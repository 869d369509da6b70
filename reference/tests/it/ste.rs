//! Straight-through estimators of every format and rule: the value forward, the gradient once.
use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData};
use burn_ndarray::NdArray;
use lowbit_reference::config::lowbit::{
    BitNetLowBitProtocol, LowBitActivationFormat, LowBitActivationGrouping,
    LowBitQuantizationConfig, LowBitWeightFormat, LowBitWeightGrouping,
};
use lowbit_reference::data::{Distribution, Stream, realistic};
use lowbit_reference::fake_quantize::{
    ByBlocks, ByRule, FakeQuantize, activations, source_activation, source_weight, weights,
};
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::nf4::{Nf4, Nibbles};
use lowbit_reference::format::{ACTIVATION_FORMATS, BLOCK_FORMATS, Levels, WEIGHT_FORMATS};
use lowbit_reference::rule::{Granularity, Rule, named};
use lowbit_reference::ste::fake_quantize;

type Tracked = Autodiff<NdArray<f32>>;

fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<Tracked, D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
}

fn values<const D: usize>(tensor: Tensor<Tracked, D>) -> Vec<f32> {
    tensor.to_data().into_vec().expect("f32")
}

/// Heavy tails: much saturates under the rules of the source.
fn data(len: usize, row_len: usize) -> Vec<f32> {
    realistic(Distribution::StudentT, (11, Stream::Weight), (len, row_len), 0.7)
}

/// Forward to the bit, backward once, for every value.
fn check<const D: usize>(name: &str, quantizer: &dyn FakeQuantize, shape: [usize; D]) {
    let len = shape.iter().product();
    let x = data(len, shape[D - 1]);
    let want = quantizer.fake_quantize(&x, &shape).unwrap_or_else(|e| panic!("{name}: {e}"));
    let tracked = tensor(&x, shape).require_grad();
    let left = fake_quantize(quantizer, tracked.clone()).unwrap();
    // `==` and not bits: `-0` of a float format becomes `+0`.
    assert_eq!(values(left.clone()), want, "{name}");
    let upstream = realistic(Distribution::Normal, (3, Stream::State), (len, len), 1.0);
    let gradients = (left * tensor(&upstream, shape)).sum().backward();
    let gradient = tracked.grad(&gradients).expect("a gradient");
    let gradient: Vec<f32> = gradient.to_data().into_vec().expect("f32");
    assert_eq!(gradient, upstream, "{name}");
}

#[test]
fn weights_of_every_format_and_rule_pass_straight_through() {
    let mut checked = 0;
    for format in WEIGHT_FORMATS {
        for word in named::weight_rule_words() {
            let levels = format.levels();
            let Some(rule) = named::weight_rule(word.name, levels) else { continue };
            let name = format!("{} {}", format.name(), word.name);
            check(&name, &ByRule { rule, levels }, [6, 256]);
            check(&name, &ByRule { rule, levels }, [2, 3, 128]);
            checked += 1;
        }
    }
    assert!(checked >= 17, "{checked}");
}

#[test]
fn activations_of_every_format_and_rule_pass_straight_through() {
    let mut checked = 0;
    for format in ACTIVATION_FORMATS {
        for word in named::activation_rule_words() {
            let levels = format.levels();
            let Some(rule) = named::activation_rule(word.name, levels) else { continue };
            let name = format!("{} {}", format.name(), word.name);
            check(&name, &ByRule { rule, levels }, [2, 4, 3, 8]);
            let heads = Rule { granularity: Granularity::HeadGroup, group_size: 2, ..rule };
            check(&name, &ByRule { rule: heads, levels }, [2, 4, 3, 8]);
            let groups = Rule { granularity: Granularity::Group, group_size: 3, ..rule };
            check(&name, &ByRule { rule: groups, levels }, [2, 4, 3, 8]);
            checked += 1;
        }
    }
    assert!(checked >= 14, "{checked}");
}

#[test]
fn block_formats_and_nf4_pass_straight_through() {
    for format in BLOCK_FORMATS {
        check(format.name(), &ByBlocks(*format), [3, 512]);
    }
    let nf4 = Nf4::new(Table::Nf4, 64, None, Nibbles::HighFirst).unwrap();
    check("nf4", &nf4, [3, 100]);
}

#[test]
fn the_sources_words_pass_straight_through() {
    use LowBitActivationFormat as A;
    use LowBitWeightFormat as W;
    for format in [W::Fp16, W::Int8, W::Sign1, W::Ternary158, W::Packed2] {
        check(&format!("{format:?}"), &*source_weight(format), [2, 5, 7]);
    }
    for format in [A::Fp16, A::Int8, A::Int4Exp, A::Uint8PosExp] {
        check(&format!("{format:?}"), &*source_activation(format), [2, 3, 5, 7]);
    }
}

/// Every protocol under every grouping; the groups of two values, or heads, are both whole.
fn configs() -> impl Iterator<Item = LowBitQuantizationConfig> {
    let groupings = LowBitActivationGrouping::ALL.iter().zip(LowBitWeightGrouping::ALL);
    let groupings: Vec<_> = groupings.collect();
    BitNetLowBitProtocol::ALL.iter().flat_map(move |protocol| {
        let config = |(act, weight): &(&LowBitActivationGrouping, &LowBitWeightGrouping)| {
            let size = |wanted: bool| wanted.then_some(2);
            LowBitQuantizationConfig {
                enable: true,
                protocol: *protocol,
                act_grouping: **act,
                weight_grouping: **weight,
                act_group_size: size(**act == LowBitActivationGrouping::PerGroup),
                act_heads_per_group: size(**act == LowBitActivationGrouping::PerHeadGroup),
                weight_group_size: size(**weight == LowBitWeightGrouping::PerGroup),
                weight_heads_per_group: size(**weight == LowBitWeightGrouping::PerHeadGroup),
                ..Default::default()
            }
        };
        groupings.iter().map(config).collect::<Vec<_>>()
    })
}

#[test]
fn every_protocol_format_and_grouping_passes_straight_through() {
    let mut checked = 0;
    for config in configs() {
        for format in LowBitWeightFormat::ALL {
            let quantizer = weights(&config, *format).unwrap();
            check(&format!("{config} {format}"), &*quantizer, [4, 5, 6]);
            checked += 1;
        }
        for format in LowBitActivationFormat::ALL {
            let config = config.clone().with_act_format(*format);
            check(&config.to_string(), &*activations(&config).unwrap(), [2, 4, 3, 8]);
            checked += 1;
        }
    }
    assert_eq!(checked, 5 * 3 * (5 + 4));
}

/// The activations that a change of token 1 of 3 changes, by token: `[B, H, T, E] = [1, 4, 3, 8]`.
fn changed(quantizer: &dyn FakeQuantize) -> [bool; 3] {
    let x = data(96, 8);
    let token = |at: usize| at / 8 % 3;
    let other = x.iter().enumerate().map(|(at, x)| if token(at) == 1 { 100.0 * x } else { *x });
    let values = |x: &[f32]| quantizer.fake_quantize(x, &[1, 4, 3, 8]).unwrap();
    let (before, after) = (values(&x), values(&other.collect::<Vec<_>>()));
    [0, 1, 2].map(|t| (0..96).any(|at| token(at) == t && before[at] != after[at]))
}

#[test]
fn no_token_sees_another_but_in_the_source() {
    for config in configs() {
        for format in LowBitActivationFormat::ALL {
            let config = config.clone().with_act_format(*format);
            let alone = changed(&*activations(&config).unwrap());
            assert_eq!(alone, [false, true, false], "{config}");
        }
    }
    assert_eq!(changed(&*source_activation(LowBitActivationFormat::Int8)), [true; 3]);
}

#[test]
fn heads_of_a_group_share_a_scale_and_others_do_not() {
    let heads = |size| {
        LowBitQuantizationConfig::default()
            .with_act_format(LowBitActivationFormat::Int8)
            .with_act_grouping(LowBitActivationGrouping::PerHeadGroup)
            .with_act_heads_per_group(Some(size))
            .with_weight_grouping(LowBitWeightGrouping::PerHeadGroup)
            .with_weight_heads_per_group(Some(size))
    };
    // Head 0 a hundred times larger: which heads feel it.
    let felt = |quantizer: &dyn FakeQuantize, shape: &[usize]| {
        let x = data(32, 8);
        let other: Vec<f32> =
            x.iter().enumerate().map(|(at, x)| if at < 8 { 100.0 * x } else { *x }).collect();
        let (a, b) = (quantizer.fake_quantize(&x, shape), quantizer.fake_quantize(&other, shape));
        let (a, b) = (a.unwrap(), b.unwrap());
        [0, 1, 2, 3].map(|head| a[8 * head..8 * (head + 1)] != b[8 * head..8 * (head + 1)])
    };
    for (size, want) in
        [(1, [true, false, false, false]), (2, [true, true, false, false]), (4, [true; 4])]
    {
        let config = heads(size);
        assert_eq!(felt(&*activations(&config).unwrap(), &[1, 4, 1, 8]), want, "{size}");
        let weights = weights(&config, LowBitWeightFormat::Int8).unwrap();
        assert_eq!(felt(&*weights, &[4, 2, 4]), want, "{size}");
    }
    let three = activations(&heads(3)).unwrap().fake_quantize(&data(32, 8), &[1, 4, 1, 8]);
    assert_eq!(three.unwrap_err().field, "group_size");
    let none = heads(2).with_act_heads_per_group(None);
    assert_eq!(activations(&none).unwrap_err().field, "model.quant.act_heads_per_group");
}

#[test]
fn rotated_rows_are_quantized_rotated_and_turned_back() {
    let rule = named::activation_rule("b2_hadamard", Levels::Int8).unwrap();
    let rotated = ByRule { rule, levels: Levels::Int8 };
    // One spike is spread evenly: every rotated value is the largest, so that nothing is lost.
    let spike = [0.0, 8.0, 0.0, 0.0];
    for (left, x) in rotated.fake_quantize(&spike, &[1, 4]).unwrap().iter().zip(spike) {
        assert!((left - x).abs() <= 8.0 * 4.0 * f32::EPSILON, "{left} {x}");
    }
    // Four equal values are one spike when rotated; beside a small one it swallows, rows differ.
    let x = [1.0, 1.0, 1.0, 1.003];
    let left = rotated.fake_quantize(&x, &[1, 4]).unwrap();
    assert!(left.iter().all(|value| *value == left[0]), "{left:?}");
    let plain = ByRule { rule: Rule { rotated: false, ..rule }, ..rotated };
    assert_ne!(plain.fake_quantize(&x, &[1, 4]).unwrap(), left);
    assert_eq!(rotated.fake_quantize(&[1.0; 6], &[1, 6]).unwrap_err().field, "row_len");
}

#[test]
fn shapes_a_quantizer_cannot_take_are_errors() {
    let q8_0 = lowbit_reference::format::block_format("q8_0").unwrap();
    let x = tensor(&data(40, 40), [1, 40]);
    let error = fake_quantize(&ByBlocks(q8_0), x).unwrap_err().to_string();
    assert_eq!(error, "`row_len` is 40, must be a multiple of 32, the block of q8_0");
}
