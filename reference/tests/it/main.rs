//! What the public functions promise, a module a subject. One binary, since each takes seconds to
//! link.
mod block_config;
mod cases;
mod config_parsers;
mod exact;
#[cfg(feature = "burn")]
mod gradients;
mod linear;
mod lowbit_config;
mod quality_gate;
mod quality_table;
mod rho_codecs;
mod rho_drift;
mod rules;
#[cfg(feature = "burn")]
mod ste;
mod tightness;
