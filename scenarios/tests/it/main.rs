//! Scenario files from text to cases, and what is wrong with those that make none.
mod draws;
mod errors;
mod expand;
mod goals;
mod schema;
mod suites;
