//! What a row gets from the harness: threads, buffers, and the machine.
use crate::buffer::{Buffer, Element, Guard, Region};
use crate::hardware::Hardware;
use crate::pool::Pool;
use std::sync::Arc;

/// What buffers hold before a row writes them. Two runs under two patterns must read the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poison {
    /// `0xff`: NaN as f32, -1 as an integer.
    Ones,
    /// `0x7f`: 3.4e38 as f32, 127 as a code.
    Sevens,
}

impl Poison {
    fn byte(self) -> u8 {
        match self {
            Poison::Ones => 0xff,
            Poison::Sevens => 0x7f,
        }
    }

    /// What lies in the bands about a buffer: once NaN, so that a value read there shows even when
    /// it is multiplied by zero, and once a pattern that no row writes by chance.
    fn band(self) -> u8 {
        match self {
            Poison::Ones => 0xff,
            Poison::Sevens => 0xc5,
        }
    }
}

/// Buffers of a context that lie between pages: a process has some 65,000 mappings, of which such a
/// buffer takes three.
const MOST_BETWEEN_PAGES: usize = 1000;

/// What a row gets from the harness.
#[derive(Debug)]
pub struct Context {
    pool: Pool,
    hardware: Hardware,
    poison: Poison,
    guard: Guard,
    regions: Vec<Arc<Region>>,
}

impl Context {
    /// Threads, machine and the pattern of unwritten buffers.
    pub fn new(pool: Pool, hardware: Hardware, poison: Poison) -> Context {
        Context { pool, hardware, poison, guard: Guard::Bands, regions: Vec::new() }
    }

    /// The same, with something else on either side of its first thousand buffers.
    pub fn with_guard(self, guard: Guard) -> Context {
        Context { guard, ..self }
    }

    /// The threads.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The machine.
    pub fn hardware(&self) -> &Hardware {
        &self.hardware
    }

    /// What buffers hold before they are written.
    pub(crate) fn poison(&self) -> Poison {
        self.poison
    }

    /// A poisoned buffer for results or scratch.
    pub fn buffer<T: Element>(&mut self, label: &'static str, len: usize) -> Buffer<T> {
        let guard = if self.regions.len() < MOST_BETWEEN_PAGES { self.guard } else { Guard::Bands };
        let bytes = (self.poison.byte(), self.poison.band());
        let (buffer, region) = Buffer::new(len, bytes, guard, label);
        self.regions.push(region);
        buffer
    }

    /// A buffer that begins as a copy of `values`: inputs, packed weights.
    pub fn copy<T: Element>(&mut self, label: &'static str, values: &[T]) -> Buffer<T> {
        let mut buffer = self.buffer(label, values.len());
        buffer.copy_from_slice(values);
        buffer
    }

    /// The first buffer whose guard bands were written, as a sentence.
    pub fn check_guards(&self) -> Result<(), String> {
        self.regions.iter().try_for_each(|region| region.check())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row may have a buffer for each of its heads.
    #[test]
    fn a_context_gives_out_more_buffers_than_a_process_may_map() {
        let context = Context::new(Pool::new(1).unwrap(), Hardware::detect(), Poison::Ones);
        let mut context = context.with_guard(Guard::PageBefore);
        let buffers: Vec<Buffer<u8>> = (0..40_000).map(|_| context.buffer("y", 1)).collect();
        assert!(buffers.iter().all(|y| y[0] == 0xff));
        assert_eq!(context.check_guards(), Ok(()));
    }

    #[test]
    fn bands_are_nan_under_ones_and_a_stray_write_of_either_is_seen_under_one_of_the_two() {
        let stray = |poison, byte: u8| {
            let mut context = Context::new(Pool::new(1).unwrap(), Hardware::detect(), poison);
            let mut y = context.copy("y", &[0.0f32; 3]);
            // SAFETY: inside the allocation: a band follows the payload.
            let read = unsafe { y.as_ptr().add(3).read() };
            // SAFETY: as above.
            unsafe { y.as_mut_ptr().add(3).cast::<u8>().write(byte) };
            (read.is_nan(), context.check_guards().is_err())
        };
        assert_eq!(stray(Poison::Ones, 0xff), (true, false));
        assert_eq!(stray(Poison::Ones, 0xc5), (true, true));
        assert_eq!(stray(Poison::Sevens, 0xff), (false, true));
    }
}
