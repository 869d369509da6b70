//! What every number means: cases, data, rules, formats, codes and the scalar operations.
//!
//! Nothing here is fast and nothing here is clever. A kernel is right when it agrees with
//! this crate. It imports none of our crates, reads no file, no clock and no environment.
pub mod artifact;
pub mod bound;
pub mod case;
pub mod codes;
pub mod config;
pub mod data;
pub mod estimator;
pub mod fake_quantize;
pub mod format;
pub mod hash;
pub mod invalid;
pub mod judge;
pub mod memory;
pub mod op;
pub mod plan;
pub mod quality;
pub mod rho;
pub mod rule;
#[cfg(feature = "burn")]
pub mod ste;
