//! Convolution, pooling, attention and projections.
use super::{HUGE, INF, NAN, check, floats};
use lowbit_reference::config::viva::AttentionConfig;
use lowbit_reference::op::attention::{
    AttentionInputs, AttentionShape, CausalAlignment, attention, attention_int8,
};
use lowbit_reference::op::conv2d::{Conv2dShape, conv2d, conv2d_integer};
use lowbit_reference::op::integer::{Affine, Codes};
use lowbit_reference::op::pool2d::{
    Divisor, Pool2dShape, average_pool2d, global_average_pool2d, max_pool2d,
};
use lowbit_reference::op::projection::{DecoderTail, LowrankProjection, Projection};
use lowbit_reference::op::window::Window;

const WINDOW: Window = Window { kernel: [2, 2], stride: [1, 1], pads: [0; 4], dilation: [1, 1] };

/// One image of one channel, one output channel.
fn conv(input: [usize; 2], window: Window) -> Conv2dShape {
    Conv2dShape { batch: 1, channels: 1, input, outputs: 1, groups: 1, window }
}

#[test]
fn convolutions() {
    let plain = conv([2, 2], WINDOW);
    let run = |shape: Conv2dShape, x: &[f32], w: &[f32]| conv2d(&shape, x, w, None);
    let window = |change: fn(&mut Window)| {
        let mut window = WINDOW;
        change(&mut window);
        conv([2, 2], window)
    };
    let (x, w) = ([1.0, 2.0, 3.0, 4.0], [1.0; 4]);
    check([
        ("nan", run(plain, &[1.0, NAN, 1.0, 1.0], &w), Ok(&[NAN])),
        ("infinities", run(plain, &[INF, -INF, 1.0, 1.0], &w), Ok(&[NAN])),
        ("infinity", run(plain, &[INF, 2.0, 1.0, 1.0], &w), Ok(&[INF])),
        ("no image", run(Conv2dShape { batch: 0, ..plain }, &[], &w), Ok(&[])),
        ("no output channel", run(Conv2dShape { outputs: 0, ..plain }, &x, &[]), Ok(&[])),
        ("no input channel", run(Conv2dShape { channels: 0, ..plain }, &[], &[]), Ok(&[0.0])),
        ("no pixels", run(conv([0, 0], WINDOW), &[], &w), Err("kernel_h")),
        ("window too wide", run(conv([2, 1], WINDOW), &[1.0; 2], &w), Err("kernel_w")),
        ("no kernel", run(window(|w| w.kernel = [0, 2]), &x, &[]), Err("kernel_h")),
        ("no stride", run(window(|w| w.stride = [1, 0]), &x, &w), Err("stride_w")),
        ("huge stride", run(window(|w| w.stride = [HUGE; 2]), &x, &w), Ok(&[10.0])),
        ("no dilation", run(window(|w| w.dilation = [0, 1]), &x, &w), Err("dilation_h")),
        ("huge dilation", run(window(|w| w.dilation = [HUGE, 1]), &x, &w), Err("dilation_h")),
        ("huge kernel", run(window(|w| w.kernel = [HUGE, 1]), &x, &w), Err("w")),
        ("huge pads", run(window(|w| w.pads = [HUGE; 4]), &x, &w), Err("pad_bottom")),
        ("many outputs", run(window(|w| w.pads = [1 << 40; 4]), &x, &w), Err("y")),
        ("huge batch", run(Conv2dShape { batch: HUGE, ..plain }, &x, &w), Err("x")),
        ("no groups", run(Conv2dShape { groups: 0, ..plain }, &x, &w), Err("groups")),
        ("groups", run(Conv2dShape { groups: 2, ..plain }, &x, &w), Err("groups")),
        ("bias", conv2d(&plain, &x, &w, Some(&[])), Err("bias")),
        ("nan bias", conv2d(&plain, &x, &w, Some(&[NAN])), Ok(&[NAN])),
    ]);
    let codes = Codes::U8(&[255; 4]);
    let integer = |shape: Conv2dShape, zeros: &[i32]| {
        let affine = Affine { codes, zero_points: &[0] };
        floats(conv2d_integer(&shape, &affine, &Affine { codes, zero_points: zeros }))
    };
    check([
        ("integers", integer(plain, &[0]), Ok(&[260_100.0])),
        ("zero point", integer(plain, &[256]), Err("w.zero_points")),
        ("zero points", integer(plain, &[0, 0]), Err("w.zero_points")),
        ("deep", integer(Conv2dShape { channels: 1 << 20, ..plain }, &[0]), Err("depth")),
    ]);
}

#[test]
fn pools() {
    let plain =
        Pool2dShape { batch: 1, channels: 1, input: [2, 2], window: WINDOW, ceil_mode: false };
    let max = |change: fn(&mut Pool2dShape), x: &[f32]| {
        let mut shape = plain;
        change(&mut shape);
        max_pool2d(&shape, x)
    };
    let mean = |x: &[f32]| average_pool2d(&plain, Divisor::Valid, x);
    let x = [1.0, 2.0, 3.0, 4.0];
    // Taps at -1 and 2: all of them padding.
    let holes = |s: &mut Pool2dShape| (s.window.dilation, s.window.pads) = ([3, 3], [1; 4]);
    check([
        ("nan is the largest", max(|_| {}, &[INF, NAN, 3.0, 4.0]), Ok(&[NAN])),
        ("minus infinities", max(|_| {}, &[-INF; 4]), Ok(&[-INF])),
        ("mean of nan", mean(&[NAN, 1.0, 1.0, 1.0]), Ok(&[NAN])),
        ("mean of infinities", mean(&[INF, -INF, 1.0, 1.0]), Ok(&[NAN])),
        ("mean of the largest", mean(&[f32::MAX; 4]), Ok(&[f32::MAX])),
        ("padding alone", max(holes, &x), Ok(&[-INF])),
        ("no image", max(|s| s.batch = 0, &[]), Ok(&[])),
        ("no channel", max(|s| s.channels = 0, &[]), Ok(&[])),
        ("no pixels", max(|s| s.input = [0, 2], &[]), Err("kernel_h")),
        ("no window", max(|s| s.window.kernel = [2, 0], &x), Err("kernel_w")),
        ("no stride", max(|s| s.window.stride = [0, 1], &x), Err("stride_h")),
        ("huge window", max(|s| s.window.kernel = [HUGE, 1], &x), Err("kernel")),
        ("wide padding", max(|s| s.window.pads = [0, 2, 0, 0], &x), Err("pad_left")),
        ("huge padding", max(|s| s.window.pads = [0, 0, HUGE, 0], &x), Err("pad_bottom")),
        ("huge batch", max(|s| s.batch = HUGE, &x), Err("x")),
        ("huge everything", max(|s| (s.batch, s.channels) = (HUGE, HUGE), &[]), Err("x")),
        ("global nan", global_average_pool2d([1, 1, 1, 2], &[NAN, 1.0]), Ok(&[NAN])),
        ("global, no pixels", global_average_pool2d([1, 2, 0, HUGE], &[]), Ok(&[0.0, 0.0])),
        ("global, huge", global_average_pool2d([HUGE, 1, 0, 1], &[]), Err("y")),
        ("global, short", global_average_pool2d([1, 1, 2, 2], &x[1..]), Err("x")),
    ]);
}

const ATTENTION: AttentionShape = AttentionShape {
    config: AttentionConfig { num_heads: 1, head_dim: 1, dropout: 0.0, causal: false, scale: None },
    batch: 1,
    kv_heads: 1,
    query_len: 1,
    key_len: 2,
    value_dim: 1,
    alignment: CausalAlignment::TopLeft,
    seed: 7,
};

#[test]
fn attentions() {
    let run = |change: fn(&mut AttentionShape), q: &[f32], k: &[f32], v: &[f32]| {
        let mut shape = ATTENTION;
        change(&mut shape);
        let inputs = AttentionInputs { q, k, v };
        let (float, integer) = (attention(&shape, &inputs), attention_int8(&shape, &inputs));
        // Where both have an answer here it is the same, and int8 has no more answers.
        match (&float, &integer) {
            (Err(float), Err(integer)) => assert_eq!(float, integer),
            (Err(_), Ok(_)) => panic!("{float:?} {integer:?}"),
            (Ok(_), Err(error)) => assert!(error.allowed == "finite", "{error}"),
            (Ok(float), Ok(integer)) => assert_eq!(format!("{float:?}"), format!("{integer:?}")),
        }
        float
    };
    let plain = |q, k: &[f32], v: &[f32]| run(|_| {}, &[q], k, v);
    let int8 =
        |q, k| attention_int8(&ATTENTION, &AttentionInputs { q: &[q], k: &[1.0, k], v: &[1.0; 2] });
    let of_config = |change| run(change, &[1.0], &[1.0; 2], &[1.0; 2]);
    let hidden = run(|s| s.config.causal = true, &[1.0], &[1.0, NAN], &[3.0, NAN]);
    check([
        ("nan query", plain(NAN, &[1.0, 1.0], &[1.0, 1.0]), Ok(&[NAN])),
        ("nan key", plain(1.0, &[NAN, 1.0], &[1.0, 1.0]), Ok(&[NAN])),
        ("nan value", plain(1.0, &[1.0, 1.0], &[NAN, 1.0]), Ok(&[NAN])),
        ("infinite key", plain(1.0, &[INF, 1.0], &[5.0, 1.0]), Ok(&[NAN])),
        ("key at minus infinity", plain(1.0, &[-INF, 1.0], &[5.0, 2.0]), Ok(&[2.0])),
        ("all at minus infinity", plain(1.0, &[-INF, -INF], &[1.0, 1.0]), Ok(&[NAN])),
        ("hidden nan", hidden, Ok(&[3.0])),
        ("int8 nan query", int8(NAN, 1.0), Err("q[0]")),
        ("int8 infinite key", int8(1.0, INF), Err("k[1]")),
        ("no keys", run(|s| s.key_len = 0, &[1.0], &[], &[]), Ok(&[0.0])),
        ("no queries", run(|s| s.query_len = 0, &[], &[1.0; 2], &[1.0; 2]), Ok(&[])),
        ("no values", run(|s| s.value_dim = 0, &[1.0], &[1.0; 2], &[]), Ok(&[])),
        ("no batch", run(|s| s.batch = 0, &[], &[], &[]), Ok(&[])),
        ("no head", of_config(|s| s.config.num_heads = 0), Err("num_heads")),
        ("no dimension", of_config(|s| s.config.head_dim = 0), Err("head_dim")),
        ("no kv head", run(|s| s.kv_heads = 0, &[1.0], &[], &[]), Err("kv_heads")),
        ("odd heads", of_config(|s| (s.config.num_heads, s.kv_heads) = (3, 2)), Err("kv_heads")),
        ("dropout", of_config(|s| s.config.dropout = 1.0), Err("dropout")),
        ("nan dropout", of_config(|s| s.config.dropout = f64::NAN), Err("dropout")),
        ("nan scale", of_config(|s| s.config.scale = Some(f64::NAN)), Err("scale")),
        ("huge keys", run(|s| s.key_len = HUGE, &[1.0], &[], &[]), Err("k")),
        ("huge values", run(|s| (s.key_len, s.value_dim) = (0, HUGE), &[1.0], &[], &[]), Err("y")),
        ("huge heads", of_config(|s| (s.config.num_heads, s.batch) = (HUGE, 2)), Err("q")),
    ]);
}

#[test]
fn projections() {
    let lowrank = |change: fn(&mut LowrankProjection), input: &[f32], weight: &[f32]| {
        let mut shape = LowrankProjection {
            batch: 1,
            input_heads: 1,
            heads: 1,
            time: 1,
            embd: 2,
            packed_latent: 1,
            latent: 1,
        };
        change(&mut shape);
        Projection { shape, input, weight, relu_threshold: Some(0.0) }.forward()
    };
    let tail = |change: fn(&mut DecoderTail), input: &[f32], weight: &[f32]| {
        let mut shape =
            DecoderTail { batch: 1, heads: 1, time: 1, latent: 2, latent_total: 2, dim: 1 };
        change(&mut shape);
        Projection { shape, input, weight, relu_threshold: None }.forward()
    };
    let one = [1.0; 2];
    check([
        ("nan passes the relu", lowrank(|_| {}, &[NAN, 1.0], &one), Ok(&[NAN])),
        ("infinities", lowrank(|_| {}, &[INF, -INF], &one), Ok(&[NAN])),
        ("minus infinity", lowrank(|_| {}, &[-INF, 1.0], &one), Ok(&[0.0])),
        ("overflow", lowrank(|_| {}, &[f32::MAX; 2], &one), Ok(&[INF])),
        ("no token", lowrank(|s| s.time = 0, &[], &one), Err("time")),
        ("no depth", lowrank(|s| s.embd = 0, &[], &[]), Err("embd")),
        ("huge batch", lowrank(|s| s.batch = HUGE, &one, &one), Err("input")),
        ("huge latent", lowrank(|s| s.latent = HUGE, &one, &one), Err("output")),
        ("more used than packed", lowrank(|s| s.latent = 2, &one, &one), Err("latent")),
        ("broadcast", lowrank(|s| s.input_heads = 2, &[1.0; 4], &one), Err("input_heads")),
        ("short weight", lowrank(|_| {}, &one, &one[1..]), Err("weight")),
        ("tail of nan", tail(|_| {}, &one, &[NAN, 1.0]), Ok(&[NAN])),
        ("tail of infinity", tail(|_| {}, &one, &[INF, 1.0]), Ok(&[INF])),
        ("tail without heads", tail(|s| s.heads = 0, &[], &one), Err("heads")),
        ("tail in odd parts", tail(|s| s.heads = 3, &one, &one), Err("latent_total")),
        ("huge tail", tail(|s| s.dim = HUGE, &one, &one), Err("weight")),
    ]);
}
