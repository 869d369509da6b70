//! Saved activations: a backward pass that reads what was saved and one that quantizes again agree.
use lowbit_reference::data::{Distribution, Stream, realistic};
use lowbit_reference::fake_quantize::{ByBlocks, ByRule, FakeQuantize};
use lowbit_reference::format::{ACTIVATION_FORMATS, FP16, Levels};
use lowbit_reference::op::projection::{Contraction, Gradients, LowrankProjection, Projection};
use lowbit_reference::op::saved_activation::{SavedActivation, SavedFormat};
use lowbit_reference::rule::{Granularity, Rule, named};

const SHAPE: LowrankProjection = LowrankProjection {
    batch: 2,
    input_heads: 3,
    heads: 3,
    time: 4,
    embd: 16,
    packed_latent: 7,
    latent: 6,
};

fn draw(stream: Stream, dims: &[usize]) -> Vec<f32> {
    let len = dims.iter().product();
    realistic(Distribution::StudentT, (23, stream), (len, len), 0.7)
}

fn gradients(input: &[f32]) -> Gradients {
    let weight = draw(Stream::Weight, &SHAPE.weight_shape());
    let upstream = draw(Stream::State, &SHAPE.output_shape());
    let relu_threshold = Some(0.125);
    let projection = Projection { shape: SHAPE, input, weight: &weight, relu_threshold };
    projection.gradients(&upstream).unwrap()
}

fn bits(gradients: &Gradients) -> Vec<u32> {
    gradients.input.iter().chain(&gradients.weight).map(|g| g.to_bits()).collect()
}

/// Every format under every rule that may be saved.
fn formats() -> Vec<(String, SavedFormat, Box<dyn FakeQuantize>)> {
    let mut all: Vec<(String, SavedFormat, Box<dyn FakeQuantize>)> =
        vec![("fp16".into(), SavedFormat::Fp16, Box::new(ByBlocks(&FP16)))];
    for format in ACTIVATION_FORMATS {
        for word in named::activation_rule_words() {
            let levels = format.levels();
            let Some(rule) = named::activation_rule(word.name, levels) else { continue };
            let heads = Rule { granularity: Granularity::HeadGroup, group_size: 3, ..rule };
            for rule in [rule, heads].into_iter().filter(|rule| !rule.rotated) {
                let name = format!("{} {} {:?}", format.name(), word.name, rule.granularity);
                let saved = SavedFormat::Coded { format: *format, rule };
                all.push((name, saved, Box::new(ByRule { rule, levels })));
            }
        }
    }
    all
}

#[test]
fn reading_the_cache_and_quantizing_again_give_the_same_gradients() {
    let dims = SHAPE.input_shape();
    let x = draw(Stream::Activation, &dims);
    let formats = formats();
    assert!(formats.len() > 25, "{}", formats.len());
    let mut told_apart = 0;
    for (name, format, again) in formats {
        let kept = SavedActivation::pack(&x, &dims, format).unwrap().unpack().unwrap();
        let recomputed = again.fake_quantize(&x, &dims).unwrap();
        let want = bits(&gradients(&kept));
        assert_eq!(want, bits(&gradients(&recomputed)), "{name}");
        // The unquantized input has other gradients, so the comparison can fail.
        assert_ne!(want, bits(&gradients(&x)), "{name}");
        // So has what is saved a second time, under the scale of what is left: the source does
        // that to weights it exports. Absolute maxima survive it; means do not.
        let twice = SavedActivation::pack(&kept, &dims, format).unwrap().unpack().unwrap();
        told_apart += usize::from(want != bits(&gradients(&twice)));
    }
    assert!(told_apart >= 6, "{told_apart}");
}

/// A cache that keeps the scale of its first batch gives gradients of another size.
#[test]
fn a_frozen_scale_is_seen_in_the_gradients() {
    let dims = SHAPE.input_shape();
    let x = draw(Stream::Activation, &dims);
    let small: Vec<f32> = x.iter().map(|x| 0.125 * x).collect();
    let rule = named::activation_rule("absmax", Levels::Int8).unwrap();
    let format = SavedFormat::Coded { format: ACTIVATION_FORMATS[0], rule };
    let first = SavedActivation::pack(&small, &dims, format).unwrap();
    let mut frozen = SavedActivation::pack(&x, &dims, format).unwrap();
    let want = gradients(&frozen.unpack().unwrap());
    frozen.shared.clone_from(&first.shared);
    assert_ne!(bits(&want), bits(&gradients(&frozen.unpack().unwrap())));
}
