//! A row bound to its problem: what is launched, timed, and read.
//!
//! Before a cold launch the device's caches are swept by reading [`SWEPT`] buffers of [`SWEPT_WORDS`]
//! words, each of them no more than every adapter binds: twice the largest cache between a GPU and its
//! memory that we know of (256 MiB, AMD's MI300).
use super::{Client, Device, Session, Words, failure, guarded, spread};
use crate::{Failure, Prepared};
use cubecl::prelude::*;
use lowbit_reference::op::Outputs;

/// 128 MiB.
const SWEPT_WORDS: usize = 32 << 20;
/// Buffers.
const SWEPT: usize = 4;
/// Units of a cube.
const UNITS: u32 = 256;
/// Cubes that sweep.
const SWEEPERS: usize = 1024;

/// A row bound to its problem: what to enqueue and how to read what it answered.
pub(crate) struct Ready<R: Runtime, L, A> {
    session: Session<R>,
    enqueue: L,
    answer: A,
    /// Whether a launch has returned, so that every kernel is built.
    built: bool,
}

impl<R, L, A> Ready<R, L, A>
where
    R: Device,
    L: Fn(&ComputeClient<R>) + Sync,
    A: Fn(&Session<R>) -> Result<Outputs, Failure>,
{
    /// Kernels are compiled by the first launch.
    pub(crate) fn new(session: Session<R>, enqueue: L, answer: A) -> Ready<R, L, A> {
        Ready { session, enqueue, answer, built: false }
    }
}

impl<R, L, A> Prepared for Ready<R, L, A>
where
    R: Device,
    L: Fn(&ComputeClient<R>) + Sync,
    A: Fn(&Session<R>) -> Result<Outputs, Failure>,
{
    fn launch(&mut self) -> Result<(), Failure> {
        let (enqueue, client) = (&self.enqueue, self.session.client.launcher());
        if self.built {
            return guarded("launch", || enqueue(client));
        }
        // A panic while a kernel is built was on stderr, and is an error here.
        guarded("build", || client.exclusive(|| enqueue(client)))?
            .map_err(|e| failure("build", e))?;
        self.built = true;
        Ok(())
    }
    fn sync(&mut self) -> Result<(), Failure> {
        self.session.client.sync()
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.session.forget()
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        (self.answer)(&self.session)
    }
    fn device_clock(&self) -> bool {
        R::has_clock(self.session.client.launcher())
    }
    fn device_time(&mut self) -> Result<f64, Failure> {
        R::timed(&self.session.client, &self.enqueue)
    }
    fn device_caches(&self) -> bool {
        self.session.caches
    }
    fn evict(&mut self) -> Result<(), Failure> {
        evict(&self.session.client)
    }
    fn host_copies(&self) -> u64 {
        self.session.client.copies()
    }
    fn device_bytes(&self) -> Option<u64> {
        self.session.client.bytes_in_use()
    }
}

/// Sweep the device's caches.
pub(crate) fn evict<R: Device>(client: &Client<R>) -> Result<(), Failure> {
    let launcher = client.launcher();
    guarded("evict", || {
        // All at once, or one memory would serve for each of them.
        let all = [(); SWEPT].map(|()| Words::empty(launcher, SWEPT_WORDS));
        for words in all {
            sweep::launch::<R>(launcher, spread(SWEEPERS), CubeDim::new_1d(UNITS), words.arg());
        }
    })?;
    client.sync()
}

/// Each unit reads every so many words. What it writes, where it ever does, nobody reads.
#[cube(launch)]
fn sweep(words: &mut Array<u32>) {
    let mut at = ABSOLUTE_POS;
    let mut sum = 0u32;
    while at < words.len() {
        sum ^= words[at];
        at += CUBE_COUNT * CUBE_DIM as usize;
    }
    if sum == 0x5eed_5eedu32 {
        words[ABSOLUTE_POS] = sum;
    }
}
