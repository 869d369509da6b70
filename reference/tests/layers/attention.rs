//! Attention: masks, heads, dropout and int8 scores.
use super::{close, normal};
use lowbit_reference::bound::UNIT;
use lowbit_reference::config::viva::AttentionConfig;
use lowbit_reference::op::attention::{
    AttentionInputs, AttentionShape, CausalAlignment, attention, attention_int8, kept,
};

fn shape(
    config: AttentionConfig,
    [batch, kv_heads, query_len, key_len]: [usize; 4],
) -> AttentionShape {
    AttentionShape {
        config,
        batch,
        kv_heads,
        query_len,
        key_len,
        value_dim: 3,
        alignment: CausalAlignment::TopLeft,
        seed: 1,
    }
}

/// Random queries, keys and values of a shape.
struct Tensors {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Tensors {
    fn new(shape: &AttentionShape) -> Tensors {
        let AttentionConfig { num_heads, head_dim, .. } = shape.config;
        let keys = shape.batch * shape.kv_heads * shape.key_len;
        Tensors {
            q: normal(1, shape.batch * num_heads * shape.query_len * head_dim),
            k: normal(2, keys * head_dim),
            v: normal(3, keys * shape.value_dim),
        }
    }
    fn inputs(&self) -> AttentionInputs<'_> {
        AttentionInputs { q: &self.q, k: &self.k, v: &self.v }
    }
}

fn run(shape: &AttentionShape, tensors: &Tensors) -> Vec<f32> {
    attention(shape, &tensors.inputs()).unwrap()
}

/// The definition once more: a whole matrix of scores, hidden ones minus infinity, no maximum.
fn by_matrices(shape: &AttentionShape, tensors: &Tensors) -> Vec<f32> {
    let AttentionShape { config, query_len, key_len, value_dim, kv_heads, .. } = *shape;
    let (heads, dim) = (config.num_heads, config.head_dim);
    let mut y = Vec::new();
    for (sequence, head) in (0..shape.batch).flat_map(|n| (0..heads).map(move |h| (n, h))) {
        let q = &tensors.q[(sequence * heads + head) * query_len * dim..];
        let keys = sequence * kv_heads + head * kv_heads / heads;
        let (k, v) = (&tensors.k[keys * key_len * dim..], &tensors.v[keys * key_len * value_dim..]);
        for i in 0..query_len {
            let score = |j: usize| -> f64 {
                let hidden = match shape.alignment {
                    CausalAlignment::TopLeft => j > i,
                    CausalAlignment::BottomRight => j + query_len > i + key_len,
                };
                if config.causal && hidden {
                    return 0.0;
                }
                let dot: f64 =
                    (0..dim).map(|d| f64::from(q[i * dim + d]) * f64::from(k[j * dim + d])).sum();
                (dot * config.softmax_scale()).exp()
            };
            let scores: Vec<f64> = (0..key_len).map(score).collect();
            let total: f64 = scores.iter().sum();
            y.extend((0..value_dim).map(|d| {
                let sum: f64 =
                    (0..key_len).map(|j| scores[j] * f64::from(v[j * value_dim + d])).sum();
                if total == 0.0 { 0.0 } else { (sum / total) as f32 }
            }));
        }
    }
    y
}

#[test]
fn attention_is_its_definition() {
    let plain = AttentionConfig::new(4, 5);
    let configs = [plain, plain.causal(), plain.with_scale(-0.3), plain.causal().with_scale(2.0)];
    for config in configs {
        for (kv_heads, lengths) in [(4, [5, 5]), (2, [3, 7]), (1, [7, 3]), (1, [1, 1])] {
            for alignment in [CausalAlignment::TopLeft, CausalAlignment::BottomRight] {
                let shape = shape(config, [2, kv_heads, lengths[0], lengths[1]]);
                let shape = AttentionShape { alignment, ..shape };
                let tensors = Tensors::new(&shape);
                let (found, wanted) = (run(&shape, &tensors), by_matrices(&shape, &tensors));
                assert_eq!(found.len(), wanted.len());
                // Both are f64 sums of at most 7 weighted values below 6, rounded to f32.
                for (found, wanted) in found.iter().zip(&wanted) {
                    close(*found, *wanted, UNIT * f64::from(wanted.abs()) * 2.0 + 1e-13);
                }
            }
        }
    }
}

#[test]
fn two_keys_by_hand() {
    // Scores 0 and ln 3: weights 1/4 and 3/4.
    let config = AttentionConfig::new(1, 1).with_scale(1.0);
    let shape = AttentionShape { value_dim: 1, ..shape(config, [1, 1, 1, 2]) };
    let inputs = AttentionInputs { q: &[1.0], k: &[0.0, 3.0f32.ln()], v: &[4.0, 8.0] };
    close(attention(&shape, &inputs).unwrap()[0], 7.0, 4.0 * UNIT * 7.0);
    // Scores so large that only their difference can be told: the last key takes all.
    let inputs = AttentionInputs { q: &[1e30], k: &[1.0, 2.0], v: &[4.0, 8.0] };
    assert_eq!(attention(&shape, &inputs), Ok(vec![8.0]));
    // Scores all far below any fixed starting maximum.
    let inputs = AttentionInputs { q: &[-1e9], k: &[1.0, 1.0], v: &[4.0, 8.0] };
    assert_eq!(attention(&shape, &inputs), Ok(vec![6.0]));
}

#[test]
fn rows_of_weights_sum_to_one() {
    let config = AttentionConfig::new(2, 4).causal();
    let shape = shape(config, [1, 2, 6, 6]);
    let mut tensors = Tensors::new(&shape);
    tensors.v.fill(3.0);
    for y in run(&shape, &tensors) {
        close(y, 3.0, 3.0 * UNIT);
    }
}

#[test]
fn a_hidden_key_takes_no_part_and_a_query_that_sees_none_is_zero() {
    let config = AttentionConfig::new(1, 4).causal();
    let shape =
        AttentionShape { alignment: CausalAlignment::BottomRight, ..shape(config, [1, 1, 5, 3]) };
    let mut tensors = Tensors::new(&shape);
    assert_eq!([0, 1, 2, 3, 4].map(|i| shape.visible(i)), [0, 0, 1, 2, 3]);
    let y = run(&shape, &tensors);
    assert_eq!(y[..6], [0.0; 6]);
    tensors.k[8..].fill(f32::NAN);
    tensors.v[6..].fill(f32::INFINITY);
    let again = run(&shape, &tensors);
    assert_eq!(again[..12], y[..12]);
    assert!(again[12..].iter().all(|y| y.is_nan()), "a seen NaN shows");
}

#[test]
fn dropout_depends_on_seed_and_place_alone_and_keeps_the_expectation() {
    let p = 0.3;
    let mask = kept(p, 7, [1, 2, 3], 100);
    assert_eq!(kept(p, 7, [1, 2, 3], 1000)[..100], mask);
    for other in [[0, 2, 3], [1, 0, 3], [1, 2, 0], [2, 1, 3], [3, 2, 1]] {
        assert_ne!(kept(p, 7, other, 100), mask, "{other:?}");
    }
    assert_ne!(kept(p, 8, [1, 2, 3], 100), mask);
    assert_eq!(kept(0.0, 7, [0, 0, 0], 9), [true; 9]);
    // 100,000 draws: the share kept is within five standard deviations of 1 - p.
    let share = kept(p, 7, [0, 0, 0], 100_000).iter().filter(|kept| **kept).count() as f64 / 1e5;
    assert!((share - 0.7).abs() < 5.0 * (0.21f64 / 1e5).sqrt(), "{share}");
    // The mean over seeds is the attention without dropout: of values 1 the mean over 4,000
    // seeds and 6 queries has a standard deviation of at most sqrt(p / (1 - p) / 24,000).
    let config = AttentionConfig::new(1, 4).with_dropout(p);
    let base = shape(config, [1, 1, 6, 8]);
    let mut tensors = Tensors::new(&base);
    tensors.v.fill(1.0);
    let mean: f64 = (0..4000)
        .flat_map(|seed| run(&AttentionShape { seed, value_dim: 3, ..base }, &tensors))
        .map(f64::from)
        .sum::<f64>()
        / (4000.0 * 18.0);
    assert!((mean - 1.0).abs() < 5.0 * (0.3f64 / 0.7 / 24_000.0).sqrt(), "{mean}");
    assert_eq!(run(&base, &tensors), run(&base, &tensors));
}

#[test]
fn dropout_keeps_weights_over_one_minus_p() {
    let config = AttentionConfig::new(2, 4).with_dropout(0.5);
    let shape = shape(config.causal(), [2, 1, 3, 3]);
    let mut tensors = Tensors::new(&shape);
    // Equal scores, and one value per key to tell weights apart.
    tensors.q.fill(0.0);
    tensors.v = (0..2 * 3)
        .flat_map(|j| [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]][j % 3])
        .collect();
    let y = run(&shape, &tensors);
    for (row, weights) in y.chunks(3).enumerate() {
        let (sequence, head, i) = (row / 6, row / 3 % 2, row % 3);
        let mask = kept(0.5, 1, [sequence, head, i], 3);
        for (j, weight) in weights.iter().enumerate() {
            let wanted = if j <= i && mask[j] { 2.0 / (i + 1) as f32 } else { 0.0 };
            close(*weight, wanted, UNIT * f64::from(wanted));
        }
    }
}

#[test]
fn int8_scores_are_close_and_exact_for_codes() {
    // Rows of integers with a largest magnitude of 127 are their own codes.
    let config = AttentionConfig::new(2, 4).with_scale(1e-3);
    let shape = shape(config, [1, 1, 3, 5]);
    let mut tensors = Tensors::new(&shape);
    for x in [&mut tensors.q, &mut tensors.k] {
        x.iter_mut().for_each(|x| *x = (*x * 40.0).round().clamp(-126.0, 126.0));
        x.chunks_mut(4).for_each(|row| row[1] = -127.0);
    }
    let int8 = attention_int8(&shape, &tensors.inputs()).unwrap();
    assert_eq!(int8, run(&shape, &tensors));
    // Otherwise a score is off by half a step of q and of k: |s| <= scale (D a_q a_k / 127).
    let tensors = Tensors::new(&shape);
    let int8 = attention_int8(&shape, &tensors.inputs()).unwrap();
    let largest = |x: &[f32]| x.iter().fold(0.0f64, |max, x| max.max(f64::from(x.abs())));
    let score = 1e-3 * 4.0 * largest(&tensors.q) * largest(&tensors.k) / 127.0 * 1.01;
    let bound = (2.0 * score).exp_m1() * largest(&tensors.v);
    let plain = run(&shape, &tensors);
    assert_ne!(int8, plain);
    int8.iter().zip(&plain).for_each(|(int8, plain)| close(*int8, *plain, bound));
    let mut tensors = tensors;
    tensors.k[3] = f32::NAN;
    assert_eq!(attention_int8(&shape, &tensors.inputs()).unwrap_err().field, "k[3]");
}

#[test]
fn empty_huge_and_wrong_shapes() {
    let config = AttentionConfig::new(4, 2);
    let nothing = AttentionInputs { q: &[], k: &[], v: &[] };
    for empty in [[0, 2, 3, 3], [0, 2, 0, 3]] {
        assert_eq!(attention(&shape(config, empty), &nothing), Ok(vec![]));
    }
    let no_keys = AttentionInputs { q: &[1.0; 16], ..nothing };
    assert_eq!(attention(&shape(config, [1, 2, 2, 0]), &no_keys), Ok(vec![0.0; 24]));
    let field = |shape: &AttentionShape, inputs| attention(shape, inputs).unwrap_err().field;
    assert_eq!(field(&shape(config, [1, 3, 2, 0]), &no_keys), "kv_heads");
    assert_eq!(field(&shape(config, [1, 0, 2, 0]), &no_keys), "kv_heads");
    assert_eq!(field(&shape(config, [1, 2, 3, 0]), &no_keys), "q");
    assert_eq!(field(&shape(config, [1, 2, 2, usize::MAX]), &no_keys), "k");
    assert_eq!(field(&shape(config, [usize::MAX, 2, 2, 0]), &no_keys), "q");
    let wide = AttentionShape { value_dim: usize::MAX, ..shape(config, [1, 2, 2, 0]) };
    assert_eq!(field(&wide, &no_keys), "y");
    let inputs = AttentionInputs { q: &[1.0; 16], k: &[1.0; 8], v: &[1.0; 11] };
    assert_eq!(field(&shape(config, [1, 2, 2, 2]), &inputs), "v");
    let many = vec![0.0; 1 << 15];
    let inputs = AttentionInputs { q: &many, k: &many, v: &[] };
    let square = shape(AttentionConfig::new(1, 1), [1, 1, 1 << 15, 1 << 15]);
    assert_eq!(field(&AttentionShape { value_dim: 0, ..square }, &inputs), "scores");
    let dropout = AttentionShape { config: config.with_dropout(1.0), ..wide };
    assert_eq!(field(&dropout, &no_keys), "dropout");
    let long = AttentionConfig::new(1, 133_145);
    let zeros = vec![0.0; 133_145];
    let inputs = AttentionInputs { q: &zeros, k: &zeros, v: &[1.0; 3] };
    let error = attention_int8(&shape(long, [1, 1, 1, 1]), &inputs).unwrap_err();
    assert_eq!(error.field, "head_dim");
}
