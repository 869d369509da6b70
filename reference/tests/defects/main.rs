//! A test for each defect of seed 002, by its number in the list of defects: the source's formula
//! (`tests/source`) and ours get the same input; the source's answer is wrong, ours is right.
//! `viva` does the same for seed 000's library.
mod caches;
mod memory;
mod overflow;
mod packing;
mod performance;
mod plans;
mod rounding;
#[allow(dead_code, reason = "each test target uses its share of the source")]
#[path = "../source/mod.rs"]
mod source;
#[cfg(feature = "burn")]
mod straight_through;
mod viva;
mod wrong_results;
