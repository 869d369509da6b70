//! CubeCL `attention`: online softmax over tiles of 64 keys, nothing of the size of the scores.
//!
//! ```text
//! s_j = q k_j factor log2(e)       16, 32 or 64 queries by 64 keys, 16 items of D at a time
//! m'  = max(m, max_j s_j)          l = l 2^(m - m') + sum_j 2^(s_j - m')
//! y   = (y 2^(m - m') + sum_j 2^(s_j - m') v_j) / l       at the end
//! ```
//!
//! 16 x 16 units share a tile: unit (a, b) makes queries `b + 16 i` and keys, later columns of the
//! value, `a + 16 j`. Weights pass through shared memory once, values 16 keys at a time. A cube
//! makes 64 or 128 columns of a value; longer values have more cubes, each with its own scores.
//! Powers of two are made here, since WGSL promises 3 + 2 |x| ulp of `exp` and the bound allows 2:
//! `2^x = 2^n p(x - n)`, `n` the nearest whole number, `p` the Taylor polynomial of degree 7, off
//! by at most `0.35^8 / 8! = 6e-9`.
//!
//! A single query has a cube for each head and no more: keys are not split.
//!
//! Tier `exact` rests on divisions or an `fma` that round once, as CUDA's and desktop Vulkan's do.
//!
//! Bounds: a rescaling in 64 keys; 30,144 bytes of shared memory; `|sum| <= 127^2 D < 2^31`.
mod kernel;
mod tiles;
use crate::context::Context;
use crate::cube::tile::SIDE;
use crate::cube::{
    Cube, Device, Packing, Ready, Session, Words, floats, padded, spread, vector, word,
};
use crate::hardware::Need;
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use kernel::{ShapeLaunch, TILE, Variant, attend};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::attention::{
    Attention, AttentionInputs, AttentionProblem, AttentionShape, CausalAlignment, Scores,
    TokenCodes,
};

/// The largest score that is accepted: far from where differences leave f32.
const LARGEST: f32 = 1e36;

/// Queries or keys on the device, and their scales.
struct Tokens {
    words: Words,
    scales: Words,
}

impl Tokens {
    fn new<R: Device>(
        session: &Session<R>,
        values: &[f32],
        codes: Option<&TokenCodes>,
        dim: usize,
    ) -> Result<Tokens, Failure> {
        Ok(match codes {
            None => Tokens { words: session.upload(values)?, scales: session.upload(&[1.0f32])? },
            Some(TokenCodes { codes, scales }) => {
                let words = padded(i8::as_bytes(codes), dim, Packing::Int8.words(dim));
                Tokens { words: session.upload(&words)?, scales: session.upload(scales)? }
            }
        })
    }
}

/// What a launch needs beside the buffers.
#[derive(Clone, Copy)]
struct Plan {
    shape: AttentionShape,
    variant: Variant,
    items: usize,
    cubes: usize,
}

impl Plan {
    fn new(p: &AttentionProblem) -> Plan {
        let shape = p.shape;
        let dim = shape.config.head_dim;
        let integer = matches!(p.scores, Scores::Int8 { .. });
        let values = if shape.value_dim > TILE as usize { 2 } else { 1 };
        // As much as 32 KB of shared memory hold.
        let rows = if shape.query_len > SIDE as usize { 4 / values } else { 1 };
        let variant = Variant { integer, rows, values };
        let tiles = shape.query_len.div_ceil((rows * SIDE) as usize)
            * shape.value_dim.div_ceil((values * TILE) as usize);
        Plan {
            shape,
            variant,
            items: if integer { Packing::Int8.words(dim) } else { dim },
            cubes: tiles * shape.batch * shape.config.num_heads,
        }
    }

    fn shape<R: Runtime>(&self) -> ShapeLaunch<R> {
        let AttentionShape { batch, kv_heads, query_len, key_len, value_dim, config, .. } =
            self.shape;
        let whole = |len: usize| i32::try_from(len).unwrap_or(i32::MAX);
        let seen = match (config.causal, self.shape.alignment) {
            (false, _) => whole(key_len),
            (true, CausalAlignment::TopLeft) => 1,
            (true, CausalAlignment::BottomRight) => 1 + whole(key_len) - whole(query_len),
        };
        let factor = (config.softmax_scale() * std::f64::consts::LOG2_E) as f32;
        let [all, heads] = [batch * config.num_heads, config.num_heads].map(word);
        let [kv_heads, query_len, key_len] = [kv_heads, query_len, key_len].map(word);
        let [items, value_dim] = [self.items, value_dim].map(word);
        let causal = i32::from(config.causal);
        ShapeLaunch::new(
            all, heads, kv_heads, query_len, key_len, items, value_dim, seen, causal, factor,
        )
    }
}

impl<R: Device> Kernel<Attention> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, problem: &AttentionProblem) -> Arithmetic {
        match problem.scores {
            Scores::F32 => Arithmetic::FLOAT_GPU,
            Scores::Int8 { .. } => Arithmetic::INTEGER_GPU,
        }
    }
    fn accepts(&self, p: &AttentionProblem) -> Result<(), String> {
        let AttentionProblem { shape, q, k, v, .. } = p;
        shape.check(&AttentionInputs { q, k, v }).map_err(|error| error.to_string())?;
        if shape.config.dropout > 0.0 {
            return Err("no dropout".into());
        }
        let finite = |x: &[f32]| x.iter().all(|x| x.is_finite());
        let most = |x: &[f32]| x.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        let scale = shape.config.softmax_scale().abs() as f32;
        let score = most(q) * most(k) * shape.config.head_dim as f32 * scale;
        // The kernel multiplies a query by its factor before it meets a key.
        let reached = score.max(most(q) * scale);
        if !(finite(q) && finite(k) && finite(v) && reached < LARGEST) {
            return Err(format!("values that are not finite, or scores beyond {LARGEST:e}"));
        }
        let outputs = shape.batch * shape.config.num_heads * shape.query_len * shape.value_dim;
        self.binds(4 * [q.len(), k.len(), v.len(), outputs].into_iter().fold(0, usize::max))
    }
    fn prepare<'p>(
        &self,
        p: &'p AttentionProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<R>::open(context)?;
        let plan = Plan::new(p);
        let AttentionShape { batch, query_len, value_dim, config, .. } = p.shape;
        let (q, k) = match &p.scores {
            Scores::F32 => (None, None),
            Scores::Int8 { q, k } => (Some(q), Some(k)),
        };
        let q = Tokens::new(&session, &p.q, q, config.head_dim)?;
        let k = Tokens::new(&session, &p.k, k, config.head_dim)?;
        let v = session.upload(&p.v)?;
        let y = session.output(context, "y", batch * config.num_heads * query_len * value_dim)?;
        let out = y.clone();
        let width = vector([word(plan.items); 2]);
        let enqueue = move |client: &ComputeClient<R>| {
            if p.shape.key_len == 0 {
                return out.clear(client);
            }
            let launch = match plan.variant.integer {
                true => attend::launch::<u32, i32, R>,
                false => attend::launch::<f32, f32, R>,
            };
            launch(
                client,
                spread(plan.cubes),
                CubeDim::new_2d(SIDE, SIDE),
                width,
                q.words.vectors(width),
                k.words.vectors(width),
                q.scales.arg(),
                k.scales.arg(),
                v.arg(),
                out.arg(),
                plan.shape(),
                plan.variant,
            );
        };
        Ok(Box::new(Ready::new(session, enqueue, floats("y", y))))
    }
}
