//! Cases in, records out: the only crate with a command line, a clock, files and processes.
pub mod child;
pub mod cli;
mod command;
pub mod driver;
pub mod engine;
pub mod exit;
pub mod files;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod outside;
pub mod peaks;
pub mod plan;
mod progress;
pub mod protocol;
mod row;
pub mod worker;
