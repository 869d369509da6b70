//! Reports from whole runs, through the public interface.
mod bounds;
mod charts;
mod csv;
mod gallery;
mod goals;
mod record;
mod rule_costs;
mod text;
