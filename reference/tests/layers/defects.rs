//! Defects of seed 000's library that must not come back.
use super::normal;
use lowbit_reference::config::viva::{AttentionConfig, Conv2dConfig, Int8Config};
use lowbit_reference::op::attention::{
    AttentionInputs, AttentionShape, CausalAlignment, attention,
};
use lowbit_reference::op::int8::quantize_int8;
use lowbit_reference::op::window::SamePadding;

/// Its causal attention skips blocks of 64 keys that lie wholly in the future and masks nothing
/// else: up to 128 tokens see everything, 512 tokens 44,800 future pairs.
#[test]
fn no_future_key_is_attended_within_a_block_or_across() {
    for len in [128, 130] {
        let config = AttentionConfig::new(1, 2).causal();
        let shape = AttentionShape {
            config,
            batch: 1,
            kv_heads: 1,
            query_len: len,
            key_len: len,
            value_dim: len,
            alignment: CausalAlignment::TopLeft,
            seed: 0,
        };
        let (q, k) = (normal(1, 2 * len), normal(2, 2 * len));
        // The identity as values makes the weights themselves the result.
        let v: Vec<f32> = (0..len * len).map(|i| f32::from(u8::from(i / len == i % len))).collect();
        let weights = attention(&shape, &AttentionInputs { q: &q, k: &k, v: &v }).unwrap();
        let pairs = weights.iter().filter(|weight| **weight > 0.0).count();
        assert_eq!(pairs, len * (len + 1) / 2);
        for (i, row) in weights.chunks(len).enumerate() {
            assert!(row[i + 1..].iter().all(|weight| *weight == 0.0), "query {i} of {len}");
            assert!(row[..=i].iter().all(|weight| *weight > 0.0), "query {i} of {len}");
        }
    }
}

/// Its online softmax starts from a maximum of -999,999, so scores below it all are wrong.
#[test]
fn scores_below_a_million_are_scores() {
    let config = AttentionConfig::new(1, 1).with_scale(1.0);
    let shape = AttentionShape {
        config,
        batch: 1,
        kv_heads: 1,
        query_len: 1,
        key_len: 2,
        value_dim: 1,
        alignment: CausalAlignment::TopLeft,
        seed: 0,
    };
    let inputs = AttentionInputs { q: &[-1e7], k: &[1.0, 2.0], v: &[3.0, 5.0] };
    assert_eq!(attention(&shape, &inputs), Ok(vec![3.0]));
}

/// Its native INT8 quantizer cuts fractions off: an error of a whole step, towards zero.
#[test]
fn int8_rounds_to_nearest() {
    let x = normal(3, 4096);
    let tensor = quantize_int8(&Int8Config::default(), &x).unwrap();
    let half = f64::from(tensor.scales[0]) * 0.5 * (1.0 + 1e-5);
    for (x, y) in x.iter().zip(tensor.dequantize()) {
        assert!((f64::from(*x) - f64::from(y)).abs() <= half, "{x} became {y}");
    }
    let cut = |(x, code): &(&f32, &i16)| (**x / tensor.scales[0]) as i16 != **code;
    let mended = x.iter().zip(&tensor.codes).filter(cut).count();
    assert!(mended > 1000, "half of all fractions round away from zero, found {mended}");
}

/// It has neither blocks nor zero points, whatever its config says.
#[test]
fn int8_config_means_what_it_says() {
    let x: Vec<f32> = (0..64).map(|i| if i < 32 { i as f32 } else { 1000.0 + i as f32 }).collect();
    let symmetric = Int8Config::default();
    let tensor = |config: Int8Config| quantize_int8(&config, &x).unwrap();
    assert_eq!(tensor(symmetric).scales.len(), 1);
    assert_eq!(tensor(symmetric.with_block_size(32)).scales.len(), 2);
    let asymmetric = tensor(symmetric.with_symmetric(false));
    assert_eq!(asymmetric.codes.iter().max(), Some(&255));
}

/// Its "same" padding grows an even kernel's output and shrinks a dilated one's.
#[test]
fn same_padding_is_the_same() {
    let even = Conv2dConfig::same(4, 4);
    assert_eq!(even.output([7, 7]), Ok([8, 8]), "the source's constructor, kept as it is");
    for config in [even, Conv2dConfig::same(3, 3).with_dilation(2)] {
        let window = config.same_window([7, 7], SamePadding::Upper).unwrap();
        assert_eq!(window.output([7, 7], false), Ok([7, 7]));
    }
}
