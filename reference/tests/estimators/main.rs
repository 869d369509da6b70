//! Straight-through estimators: the table of `METHODOLOGY.md`, the op that judges rows by it, saved
//! activations, why finite differences are no test of them, and fifty steps of training.
mod drift;
mod finite;
mod floats;
mod near;
mod operation;
mod saved;
mod table;
mod trainer;
