//! Configs of seed 000: defaults, modifiers, files, checks and output shapes.
use lowbit_reference::config::viva::{
    AttentionConfig, AwqConfig, Conv2dConfig, Int8Config, Nf4Config, PoolConfig,
};
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::double_quant::DoubleQuant;
use lowbit_reference::format::nf4::{Nf4, Nibbles};
use lowbit_reference::op::awq::{Awq, AwqSearchConfig};
use lowbit_reference::op::window::SamePadding;

#[test]
fn defaults_are_those_of_the_source() {
    let conv = Conv2dConfig::default();
    assert_eq!(
        conv.to_string(),
        "conv2d kernel 3x3, stride 1x1, padding 0x0, dilation 1x1, groups 1"
    );
    assert_eq!(PoolConfig::default().to_string(), "pool window 2x2, stride 2x2, padding 0x0");
    assert_eq!(Int8Config::default().to_string(), "int8 per tensor, symmetric");
    assert_eq!(Nf4Config::default().to_string(), "nf4 blocks of 64, 8-bit scales");
    let awq = AwqConfig::default().to_string();
    assert_eq!(awq, "awq blocks of 64, 128 calibration samples, scale factor 1");
    let attention = AttentionConfig::new(8, 64);
    let text = "attention heads 8, head_dim 64, not causal, dropout 0, scale 0.125";
    assert_eq!(attention.to_string(), text);
    assert_eq!(attention.with_scale(2.0).softmax_scale(), 2.0);
}

#[test]
fn modifiers_change_what_they_name() {
    let conv = Conv2dConfig::new(5, 4, 2, 1).with_stride_hw(2, 3).with_padding_hw(1, 2);
    let conv = conv.with_dilation(4).with_groups(6);
    let text = "conv2d kernel 5x4, stride 2x3, padding 1x2, dilation 4x4, groups 6";
    assert_eq!(conv.to_string(), text);
    let same = Conv2dConfig::same(5, 4);
    assert_eq!((same.padding_h, same.padding_w, same.stride_h, same.stride_w), (2, 2, 1, 1));
    let pool = PoolConfig::new(3, 1).with_size(3, 5).with_padding(1);
    assert_eq!(pool.to_string(), "pool window 3x5, stride 1x1, padding 1x1");
    let int8 = Int8Config::default().with_block_size(32).with_symmetric(false);
    assert_eq!(int8.to_string(), "int8 blocks of 32, asymmetric");
    let nf4 = Nf4Config::default().with_block_size(128).with_double_quant(false);
    assert_eq!(nf4.to_string(), "nf4 blocks of 128, f32 scales");
    let awq = AwqConfig::default().with_block_size(32).with_calibration(8).with_scale_factor(0.5);
    assert_eq!(awq.to_string(), "awq blocks of 32, 8 calibration samples, scale factor 0.5");
    let attention = AttentionConfig::new(2, 16).causal().with_dropout(0.1);
    let text = "attention heads 2, head_dim 16, causal, dropout 0.1, scale 0.25";
    assert_eq!(attention.to_string(), text);
}

#[test]
fn files_take_defaults_and_no_unknown_fields() {
    let conv: Conv2dConfig = serde_json::from_str(r#"{"stride_h": 2}"#).unwrap();
    assert_eq!(conv, Conv2dConfig::default().with_stride_hw(2, 1));
    let attention: AttentionConfig =
        serde_json::from_str(r#"{"num_heads": 4, "head_dim": 16}"#).unwrap();
    assert_eq!(attention, AttentionConfig::new(4, 16));
    assert!(serde_json::from_str::<AttentionConfig>(r#"{"num_heads": 4}"#).is_err());
    assert!(serde_json::from_str::<Conv2dConfig>(r#"{"strides": 2}"#).is_err());
    assert!(serde_json::from_str::<PoolConfig>(r#"{"ceil": true}"#).is_err());
    assert!(serde_json::from_str::<Int8Config>(r#"{"block_size": -1}"#).is_err());
    assert!(serde_json::from_str::<Nf4Config>(r#"{"block": 64}"#).is_err());
    assert!(serde_json::from_str::<AwqConfig>(r#"{"n": 64}"#).is_err());
    let text = serde_json::to_string(&attention.with_scale(0.5)).unwrap();
    let again: AttentionConfig = serde_json::from_str(&text).unwrap();
    assert_eq!(again, attention.with_scale(0.5));
}

#[test]
fn what_is_wrong_is_named() {
    let conv = Conv2dConfig::default();
    let field = |config: Conv2dConfig| config.validate().unwrap_err().field;
    assert_eq!(field(conv.with_stride_hw(1, 0)), "stride_w");
    assert_eq!(field(conv.with_kernel(0, 1)), "kernel_h");
    assert_eq!(field(conv.with_dilation(0)), "dilation_h");
    assert_eq!(field(conv.with_groups(0)), "groups");
    assert_eq!(PoolConfig::new(2, 1).with_padding(2).validate().unwrap_err().field, "pad_top");
    assert_eq!(PoolConfig::new(2, 0).validate().unwrap_err().field, "stride_h");
    let attention = AttentionConfig::new(2, 4);
    let field = |config: AttentionConfig| config.validate().unwrap_err().field;
    assert_eq!(field(AttentionConfig::new(2, 0)), "head_dim");
    assert_eq!(field(AttentionConfig::new(0, 2)), "num_heads");
    assert_eq!(field(attention.with_scale(f64::NAN)), "scale");
    for dropout in [-0.1, 1.0, f64::NAN] {
        assert_eq!(field(attention.with_dropout(dropout)), "dropout");
    }
    let awq = AwqConfig::default();
    assert_eq!(awq.with_scale_factor(0.0).validate().unwrap_err().field, "scale_factor");
    assert_eq!(awq.with_calibration(0).validate().unwrap_err().field, "n_calibration");
    assert_eq!(awq.with_block_size(0).validate().unwrap_err().field, "block_size");
    let nf4 = Nf4Config::default();
    for block_size in [0, 1, 48, 8192] {
        let odd = nf4.with_block_size(block_size);
        assert_eq!(odd.validate().unwrap_err().field, "block_size");
        assert_eq!(odd.bits_per_weight().unwrap_err(), Nf4::try_from(&odd).unwrap_err());
    }
    for legal in [conv.validate(), attention.validate(), awq.validate(), nf4.validate()] {
        assert_eq!(legal, Ok(()));
    }
    assert_eq!(PoolConfig::default().validate(), Ok(()));
    assert_eq!(Int8Config::default().validate(), Ok(()));
}

#[test]
fn nf4_bits_are_those_of_the_arithmetic() {
    let nf4 = Nf4Config::default();
    assert_eq!(nf4.bits_per_weight(), Ok(4.126_953_125));
    assert_eq!(nf4.with_double_quant(false).bits_per_weight(), Ok(4.5));
    assert_eq!(nf4.with_block_size(32).with_double_quant(false).bits_per_weight(), Ok(5.0));
}

#[test]
fn configs_become_what_is_computed_with() {
    let nf4 = Nf4::try_from(&Nf4Config::default().with_block_size(128)).unwrap();
    let dynamic = Some(DoubleQuant::Dynamic8);
    assert_eq!(Ok(nf4), Nf4::new(Table::Nf4, 128, dynamic, Nibbles::LowFirst));
    let plain = Nf4::try_from(&Nf4Config::default().with_double_quant(false)).unwrap();
    assert_eq!((plain.block_size(), plain.double_quant()), (64, None));
    let awq = AwqConfig::default().with_block_size(2).with_calibration(3);
    let config = AwqSearchConfig::try_from(&awq).unwrap();
    let wanted = AwqSearchConfig { group_size: 2, max_tokens: 3, ..AwqSearchConfig::default() };
    assert_eq!(config, wanted);
    // Whatever the factor; but one that is none is an error.
    assert_eq!(AwqSearchConfig::try_from(&awq.with_scale_factor(7.0)), Ok(wanted));
    let error = AwqSearchConfig::try_from(&awq.with_scale_factor(0.0)).unwrap_err();
    assert_eq!(error.field, "scale_factor");
}

#[test]
fn calibration_reads_no_more_tokens_than_it_is_given() {
    let weight: Vec<f32> = (0..16).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
    let mut tokens: Vec<f32> = (0..24).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
    let awq = AwqConfig::default().with_block_size(2).with_calibration(4);
    let config = AwqSearchConfig::try_from(&awq).unwrap();
    let found = |tokens: &[f32]| {
        let awq = Awq { config, n: 4, k: 4, weight: &weight, tokens };
        (awq.statistic().unwrap(), awq.search().unwrap(), awq.clip_limits().unwrap())
    };
    let first = found(&tokens[..16]);
    tokens[16..].fill(1000.0);
    assert_eq!(found(&tokens), first, "tokens five and six");
    tokens[12..16].fill(1000.0);
    assert_ne!(found(&tokens).0, first.0, "token four");
}

#[test]
fn outputs_have_the_size_of_the_formula() {
    // floor((I + 2 P - D (K - 1) - 1) / S) + 1
    let conv = Conv2dConfig::default();
    assert_eq!(conv.output([7, 6]), Ok([5, 4]));
    assert_eq!(Conv2dConfig::same(3, 5).output([7, 6]), Ok([7, 6]));
    // An even kernel grows, a dilated one shrinks: the source's "same" is neither's.
    assert_eq!(Conv2dConfig::same(4, 4).output([7, 6]), Ok([8, 7]));
    assert_eq!(Conv2dConfig::same(3, 3).with_dilation(2).output([7, 6]), Ok([5, 4]));
    assert_eq!(Conv2dConfig::new(3, 3, 2, 1).output([7, 6]), Ok([4, 3]));
    let pool = PoolConfig::default();
    assert_eq!(pool.output([5, 4], false), Ok([2, 2]));
    assert_eq!(pool.output([5, 4], true), Ok([3, 2]));
    // The third window of 3 in 4 pixels with padding 1 and stride 3 would start behind the image.
    let pool = PoolConfig::new(3, 3).with_padding(1);
    assert_eq!(pool.output([4, 5], true), Ok([2, 2]));
    assert_eq!(PoolConfig::new(2, 3).with_padding(1).output([2, 2], true), Ok([1, 1]));
    assert_eq!(conv.output([2, 9]).unwrap_err().field, "kernel_h");
}

#[test]
fn same_padding_keeps_the_size_for_every_kernel() {
    for kernel in 1..6 {
        for (stride, dilation, input) in [(1, 1, 7), (1, 2, 9), (2, 1, 7), (2, 1, 8), (3, 2, 11)] {
            let config = Conv2dConfig::new(kernel, 1, stride, 0).with_dilation(dilation);
            for padding in [SamePadding::Upper, SamePadding::Lower] {
                let window = config.same_window([input, input], padding).unwrap();
                let wanted = input.div_ceil(stride);
                assert_eq!(window.output([input, input], false), Ok([wanted, wanted]));
                let [top, _, bottom, _] = window.pads;
                assert!(top.abs_diff(bottom) <= 1, "{window:?}");
                assert!(top == bottom || (top < bottom) == (padding == SamePadding::Upper));
            }
        }
    }
    let window = Conv2dConfig::same(4, 2).same_window([7, 7], SamePadding::Upper).unwrap();
    assert_eq!(window.pads, [1, 0, 2, 1]);
    // Stride 2 over 8 pixels starts its last window at 6: one pixel is missing, or none is.
    let pads =
        |kernel| Conv2dConfig::new(kernel, kernel, 2, 0).same_window([8, 7], SamePadding::Upper);
    assert_eq!(pads(3).unwrap().pads, [0, 1, 1, 1]);
    assert_eq!(pads(1).unwrap().pads, [0, 0, 0, 0]);
    let empty = Conv2dConfig::default().same_window([0, 7], SamePadding::Upper);
    assert_eq!(empty.unwrap_err().field, "height");
}
