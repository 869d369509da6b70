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
}

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

    /// The same, with something else on either side of its buffers.
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

    /// A poisoned buffer for results or scratch.
    pub fn buffer<T: Element>(&mut self, label: &'static str, len: usize) -> Buffer<T> {
        let (buffer, region) = Buffer::new(len, self.poison.byte(), self.guard, label);
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
