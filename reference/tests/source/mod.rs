//! What the source computes, faults included (seed 002; burn_dragon_core 0.5.0), for tests that
//! hold its numbers or its faults against ours. Sums are f32 and in its order.
pub(crate) mod caches;
pub(crate) mod fake;
pub(crate) mod packing;
pub(crate) mod plans;
pub(crate) mod quantize;
