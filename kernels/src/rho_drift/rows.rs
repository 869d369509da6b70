//! What the rows of `rho_drift` share: an encoder and a decoder of `rho_encode` and `rho_decode`,
//! one after the other, on buffers that stay.
//!
//! ```text
//! for each chunk c:  x = decay s + u_c      encode x      decode to s      states[c] = s
//! ```
//!
//! The update is a product and a sum, rounded each, value by value: no answer depends on the number
//! of threads. The state and its payload stay where they are, so that in small states only the
//! updates and the answers move.
use crate::buffer::Buffer;
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
use crate::rho_codec::sparse_positive::Positive;
use crate::rho_codec::{Codec, TASK};
use crate::rho_decode::rows::Decode;
use crate::rho_encode::rows::Encode;
use crate::{Determinism, Failure, Kernel, Prepared};
use lowbit_reference::op::rho::drift::{DriftProblem, RhoDrift};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use std::marker::PhantomData;

/// The row of an instruction set.
#[derive(Debug)]
pub(super) struct Row<I>(PhantomData<fn() -> I>);

impl<I> Row<I> {
    pub(super) const fn new() -> Row<I> {
        Row(PhantomData)
    }
}

impl<I: Positive> Kernel<RhoDrift> for Row<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }

    fn need(&self) -> Need {
        I::NEED
    }

    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }

    fn arithmetic(&self, _: &DriftProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }

    fn accepts(&self, problem: &DriftProblem) -> Result<(), String> {
        Codec::named(problem.source.name).map(drop)
    }

    fn prepare<'p>(
        &self,
        problem: &'p DriftProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let payload = context.buffer("payload", problem.source.most_bytes);
        Ok(Box::new(Drift::<I> {
            pool: context.pool().clone(),
            decay: problem.decay,
            start: context.copy("start", &problem.source.x),
            updates: context.copy("updates", &problem.updates),
            encode: Encode::new(&problem.source, context)?,
            decode: Decode::new(&problem.source, payload, context)?,
            states: context.buffer("states", problem.updates.len()),
        }))
    }
}

/// A row bound to its problem.
struct Drift<I> {
    pool: Pool,
    /// What is left of a state after one more chunk.
    decay: f32,
    start: Buffer<f32>,
    updates: Buffer<f32>,
    encode: Encode<I>,
    decode: Decode<I>,
    states: Buffer<f32>,
}

impl<I: Positive> Prepared for Drift<I> {
    fn launch(&mut self) -> Result<(), Failure> {
        let (len, decay) = (self.start.len().max(1), self.decay);
        self.decode.values.copy_from_slice(&self.start);
        for (gain, answer) in self.updates.chunks(len).zip(self.states.chunks_mut(len)) {
            let tasks = self.encode.x.chunks_mut(TASK).zip(self.decode.values.chunks(TASK));
            self.pool.for_each(tasks.zip(gain.chunks(TASK)).collect(), |((x, state), gain)| {
                for ((x, s), u) in x.iter_mut().zip(state).zip(gain) {
                    *x = decay * s + u;
                }
            });
            self.encode.launch()?;
            let payload = self.encode.payload();
            self.decode.payload[..payload.len()].copy_from_slice(payload);
            self.decode.launch()?;
            answer.copy_from_slice(&self.decode.values);
        }
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.encode.forget()?;
        self.decode.forget()?;
        self.states.fill(f32::NAN);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("states", Tensor::F32(self.states.to_vec()))]))
    }
}
