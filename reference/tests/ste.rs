//! Straight-through estimators of every format and rule: the value forward, the gradient once.
use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData};
use burn_ndarray::NdArray;
use lowbit_reference::config::lowbit::{LowBitActivationFormat, LowBitWeightFormat};
use lowbit_reference::data::{Distribution, Stream, realistic};
use lowbit_reference::fake_quantize::{ByBlocks, ByRule, FakeQuantize, of_activation, of_weight};
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::nf4::{Nf4, Nibbles};
use lowbit_reference::format::{ACTIVATION_FORMATS, BLOCK_FORMATS, WEIGHT_FORMATS};
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
        check(&format!("{format:?}"), &*of_weight(format), [2, 5, 7]);
    }
    for format in [A::Fp16, A::Int8, A::Int4Exp, A::Uint8PosExp] {
        check(&format!("{format:?}"), &*of_activation(format), [2, 3, 5, 7]);
    }
}

#[test]
fn shapes_a_quantizer_cannot_take_are_errors() {
    let q8_0 = lowbit_reference::format::block_format("q8_0").unwrap();
    let x = tensor(&data(40, 40), [1, 40]);
    let error = fake_quantize(&ByBlocks(q8_0), x).unwrap_err().to_string();
    assert_eq!(error, "`row_len` is 40, must be a multiple of 32, the block of q8_0");
}
