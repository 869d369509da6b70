//! Convolution, pooling, attention and projections.
use crate::input::Input;
use crate::targets;
use lowbit_reference::config::viva::AttentionConfig;
use lowbit_reference::op::attention::{
    AttentionInputs, AttentionShape, CausalAlignment, attention, attention_int8,
};
use lowbit_reference::op::conv2d::{Conv2dShape, conv2d, conv2d_integer};
use lowbit_reference::op::integer::{Affine, Codes};
use lowbit_reference::op::pool2d::{
    Divisor, Pool2dShape, average_pool2d, global_average_pool2d, max_pool2d,
};
use lowbit_reference::op::projection::{
    Accumulator, Coded, Contraction, DecoderTail, IntegerProjection, LowrankProjection, Projection,
};
use lowbit_reference::op::window::{SamePadding, Window};

targets! { windows convolutions pools attentions projections }

fn window(input: &mut Input) -> Window {
    let [kernel, stride, dilation] = [0; 3].map(|_| input.sizes());
    let pads = if input.flip() { [0; 4] } else { input.sizes() };
    Window { kernel, stride, pads, dilation }
}

fn windows(input: &mut Input) {
    let (window, size) = (window(input), input.sizes::<2>());
    let _ = (window.output(size, true), window.check_pads(), window.extent(1));
    let padding = input.pick(&[SamePadding::Upper, SamePadding::Lower]);
    if let Ok(same) = window.same(size, padding) {
        let want = [0, 1].map(|axis| size[axis].div_ceil(window.stride[axis]));
        assert!(
            same.output(size, false).is_err_and(|e| e.field.starts_with("pad_"))
                || same.output(size, false).as_ref() == Ok(&want),
            "{same:?} {size:?}"
        );
    }
    window.pixel(0, input.size(), input.size(), input.size());
}

fn convolutions(input: &mut Input) {
    let [batch, channels, outputs] = input.sizes();
    let (size, groups) = ([input.below(6), input.below(6)], input.pick(&[1, 1, 1, 2, 3, 0]));
    let shape =
        Conv2dShape { batch, channels, input: size, outputs, groups, window: window(input) };
    let x = input.tensor(&shape.input_shape());
    let w = shape.weight_shape().map(|shape| input.tensor(&shape)).unwrap_or_default();
    let bias = input.tensor(&[outputs]);
    let bias = if input.flip() { Some(&bias[..]) } else { None };
    let _ = conv2d(&shape, &x, &w, bias);
    let (x, w) = (input.bytes(x.len()), input.bytes(w.len()));
    let zeros = if input.flip() { vec![7] } else { vec![input.word() as i32; outputs.min(9)] };
    let [x, w] = [(&x, &[7][..]), (&w, &zeros)]
        .map(|(codes, zero_points)| Affine { codes: Codes::U8(codes), zero_points });
    let _ = conv2d_integer(&shape, &x, &w);
}

fn pools(input: &mut Input) {
    let [batch, channels] = input.sizes();
    let (size, ceil_mode) = ([input.below(9), input.below(9)], input.flip());
    let shape = Pool2dShape { batch, channels, input: size, window: window(input), ceil_mode };
    let x = input.tensor(&shape.input_shape());
    let _ = max_pool2d(&shape, &x);
    let _ = average_pool2d(&shape, input.pick(&[Divisor::Valid, Divisor::Padded]), &x);
    let _ = global_average_pool2d(shape.input_shape(), &x);
    let any = input.sizes();
    let _ = global_average_pool2d(any, &input.tensor(&any));
}

fn attentions(input: &mut Input) {
    let [batch, query_len, key_len, value_dim] = input.sizes();
    let (num_heads, kv_heads) = (input.pick(&[1, 2, 4, 0]), input.pick(&[1, 1, 2, 3, 0]));
    let config = AttentionConfig {
        num_heads,
        head_dim: input.size(),
        dropout: if input.flip() { 0.0 } else { input.double() },
        causal: input.flip(),
        scale: if input.flip() { None } else { Some(input.double()) },
    };
    let alignment = input.pick(&[CausalAlignment::TopLeft, CausalAlignment::BottomRight]);
    let seed = input.word();
    let shape =
        AttentionShape { config, batch, kv_heads, query_len, key_len, value_dim, alignment, seed };
    let q = input.tensor(&[batch, num_heads, query_len, config.head_dim]);
    let k = input.tensor(&[batch, kv_heads, key_len, config.head_dim]);
    let v = input.tensor(&[batch, kv_heads, key_len, value_dim]);
    let inputs = AttentionInputs { q: &q, k: &k, v: &v };
    let _ = (attention(&shape, &inputs), attention_int8(&shape, &inputs));
    shape.visible(input.size());
}

fn projections(input: &mut Input) {
    let [batch, heads, time, embd, packed_latent, latent] = input.sizes();
    let input_heads = if input.flip() { 1 } else { heads };
    project(
        input,
        LowrankProjection { batch, input_heads, heads, time, embd, packed_latent, latent },
    );
    let latent_total = heads.saturating_mul(packed_latent);
    project(input, DecoderTail { batch, heads, time, latent, latent_total, dim: embd });
}

fn project<S: Contraction + Copy>(input: &mut Input, shape: S) {
    let (x, w) = (input.tensor(&shape.input_shape()), input.tensor(&shape.weight_shape()));
    let g = input.tensor(&shape.output_shape());
    let relu_threshold = if input.flip() { None } else { Some(input.float()) };
    let float = Projection { shape, input: &x, weight: &w, relu_threshold };
    let _ = (float.forward(), float.gradients(&g));
    let codes = |input: &mut Input, len| -> Vec<i16> { (0..len).map(|_| input.code()).collect() };
    let (x, w) = (codes(input, x.len()), codes(input, w.len()));
    let limit = input.pick(&[1, 255, u16::MAX]);
    let count = if input.flip() { 1 } else { input.below(20) };
    let scales = input.floats(count);
    let [coded_x, coded_w] = [&x, &w].map(|codes| Coded { codes, limit, scales: &scales });
    let accumulator = input.pick(&[Accumulator::I32, Accumulator::I64]);
    let integer =
        IntegerProjection { shape, input: coded_x, weight: coded_w, accumulator, relu_threshold };
    let _ = (integer.forward(), integer.gradients(&g));
}
