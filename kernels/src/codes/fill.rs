//! Runs of codes to tasks, and results that go past the caches.
//!
//! A result larger than caches is made a piece at a time in a stage that stays in the first cache,
//! and leaves it in whole lines: a line that is written whole past the caches is not read first.
use super::{Codes, PIECE};
use crate::buffer::{Buffer, Element};
use crate::context::Context;
use crate::pool::Pool;
use crate::quantize::isa::{Work, bytes_of};
use crate::quantize::{Packing, STREAMED};
use crate::{Failure, Prepared};
use lowbit_reference::op::{Outputs, Tensor};
use std::ops::Range;

/// Values of a task: some ten microseconds.
pub(crate) const TASK: usize = 24 * PIECE;

/// How codes lie in bytes: runs of codes, each of which starts on a byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runs {
    /// How codes are packed.
    pub(crate) packing: Packing,
    /// Codes of a run, at least 1.
    pub(crate) len: usize,
    /// Bytes of a run.
    pub(crate) bytes: usize,
}

impl Runs {
    /// Runs of `run_len` codes, of `len` in all. Those that fill their bytes are one.
    pub(crate) fn new(packing: Packing, run_len: usize, len: usize) -> Runs {
        let per_byte = packing.per_byte();
        let whole = run_len.is_multiple_of(per_byte);
        let run_len = if whole { len } else { run_len }.max(1);
        Runs { packing, len: run_len, bytes: run_len.div_ceil(per_byte) }
    }

    /// The same runs, of bytes.
    pub(crate) fn of_bytes(&self) -> Runs {
        Runs { packing: Packing::Byte, len: self.bytes, bytes: self.bytes }
    }

    /// Where the byte of value `at` is, the first of its byte.
    #[inline(always)]
    pub(crate) fn byte(&self, at: usize) -> usize {
        at / self.len * self.bytes + at % self.len / self.packing.per_byte()
    }

    /// Ranges of values, each of whole runs or a part of one that starts on a byte.
    pub(crate) fn tasks(&self, len: usize) -> Vec<Range<usize>> {
        if self.len <= TASK {
            let each = TASK / self.len * self.len;
            return (0..len).step_by(each).map(|from| from..(from + each).min(len)).collect();
        }
        let parts = |run: usize| {
            let end = (run + self.len).min(len);
            (run..end).step_by(TASK).map(move |from| from..(from + TASK).min(end))
        };
        (0..len).step_by(self.len).flat_map(parts).collect()
    }

    /// The values of a task, in pieces of one run each.
    #[inline(always)]
    pub(crate) fn pieces(&self, task: Range<usize>) -> Pieces {
        Pieces { run_len: self.len, task }
    }

    /// Results of the tasks, each a part of its own.
    pub(crate) fn split<'a, T>(&self, all: &'a mut [T]) -> Vec<(Range<usize>, &'a mut [T])> {
        let mut rest = all;
        let mut parts = Vec::new();
        for task in self.tasks(rest.len()) {
            let (part, later) = rest.split_at_mut(task.len());
            parts.push((task, part));
            rest = later;
        }
        parts
    }
}

/// Pieces of at most [`PIECE`] values, each within one run.
#[derive(Debug)]
pub(crate) struct Pieces {
    run_len: usize,
    task: Range<usize>,
}

impl Iterator for Pieces {
    type Item = Range<usize>;

    #[inline(always)]
    fn next(&mut self) -> Option<Range<usize>> {
        let Range { start, end } = self.task;
        if start >= end {
            return None;
        }
        let run_end = (start / self.run_len + 1) * self.run_len;
        let piece = start..end.min(run_end).min(start + PIECE);
        self.task.start = piece.end;
        Some(piece)
    }
}

/// Results that are plain numbers.
pub(crate) trait Number: Element + Default {
    /// What they are before they are made.
    const UNSET: Self;
    /// Their bytes.
    fn bytes(x: &mut [Self]) -> &mut [u8];
}
impl Number for u8 {
    const UNSET: u8 = 0x5a;
    #[inline(always)]
    fn bytes(x: &mut [u8]) -> &mut [u8] {
        x
    }
}
impl Number for f32 {
    const UNSET: f32 = f32::NAN;
    #[inline(always)]
    fn bytes(x: &mut [f32]) -> &mut [u8] {
        bytes_of(x)
    }
}

/// What makes results.
pub(crate) trait Make<T>: Send + Sync {
    /// What all of them need, once a launch.
    fn begin<I: Codes>(&mut self, _: I, _: &Pool) {}
    /// The results of a range of one run, at most [`PIECE`] of them.
    fn make<I: Codes>(&self, isa: I, at: Range<usize>, to: &mut [T]);
    /// Name and type of the answer.
    fn answer(&self, made: &[T]) -> (&'static str, Tensor);
}

/// A row that makes every result anew in a launch.
pub(crate) struct Filled<I, M, T> {
    isa: I,
    pool: Pool,
    maker: M,
    runs: Runs,
    stream: bool,
    made: Buffer<T>,
}

impl<I: Codes, M: Make<T>, T: Number> Filled<I, M, T> {
    /// `len` results in runs, from `read` bytes.
    pub(crate) fn prepared<'p>(
        (maker, runs): (M, Runs),
        (read, len): (usize, usize),
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure>
    where
        I: 'p,
        M: 'p,
        T: 'p,
    {
        Ok(Box::new(Filled {
            isa: I::detect().ok_or_else(|| Failure(format!("no {}", I::NAME)))?,
            pool: context.pool().clone(),
            maker,
            runs,
            stream: read + size_of::<T>() * len >= STREAMED,
            made: context.buffer("made", len),
        }))
    }
}

impl<I: Codes, M: Make<T>, T: Number> Prepared for Filled<I, M, T> {
    fn launch(&mut self) -> Result<(), Failure> {
        let Filled { isa, runs, stream, .. } = *self;
        self.maker.begin(isa, &self.pool);
        let maker = &self.maker;
        let tasks = runs.split(&mut self.made).into_iter();
        let tasks =
            tasks.map(|(task, to)| Filling { maker, pieces: runs.pieces(task), stream, to });
        self.pool.for_each(tasks.collect(), |task| isa.enter(task));
        Ok(())
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.made.fill(T::UNSET);
        Ok(())
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![self.maker.answer(&self.made)]))
    }
}

/// The results of a task.
struct Filling<'a, M, T> {
    maker: &'a M,
    pieces: Pieces,
    /// Whether results go past the caches.
    stream: bool,
    to: &'a mut [T],
}

#[repr(C, align(64))]
struct Stage<T>([T; PIECE]);

impl<I: Codes, M: Make<T>, T: Number> Work<I> for Filling<'_, M, T> {
    #[inline(always)]
    fn run(self, isa: I) {
        let Filling { maker, pieces, stream, mut to } = self;
        let mut stage = Stage([T::default(); PIECE]);
        for piece in pieces {
            let (now, later) = to.split_at_mut(piece.len());
            let made = if stream { &mut stage.0[..piece.len()] } else { &mut *now };
            maker.make(isa, piece, &mut *made);
            if stream {
                isa.stream(T::bytes(&mut stage.0[..now.len()]), T::bytes(now));
            }
            to = later;
        }
        if stream {
            isa.fence();
        }
    }
}
