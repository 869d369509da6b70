//! What is swept: scenario files, their expansion into cases, and their JSON Schema.
//!
//! A [`Scenario`] is a JSON file of sweeps. A [`Sweep`] names an op and gives each of its
//! parameters one value or a list; [`Scenario::expand`] turns the combinations into cases. The
//! legal words, ranges and shapes come from the op tables of `lowbit-reference` and from
//! [`SHAPE_SETS`], and from nowhere else, so that the parser, the error messages and
//! [`schema()`] cannot disagree.
//!
//! ```
//! let text = r#"{
//!   "about": "One token through a layer of BitNet, three formats.",
//!   "sweeps": [{
//!     "name": "decode", "op": "linear", "kernels": ["avx*", "scalar"],
//!     "product": { "m": 1, "data": "realistic", "activation": "int8", "activation_rule": "absmax" },
//!     "zip": [{ "weight": ["ternary2", "sign1", "int8"], "weight_rule": ["b158", "b1", "absmax"] }],
//!     "shapes": ["bitnet_2b_4t"],
//!     "where": ["m * k * n < 10000000", "weight != \"int8\" || k % 32 == 0"]
//!   }]
//! }"#;
//! let scenario = lowbit_scenarios::Scenario::parse("decode.json", text)?;
//! let planned = scenario.expand()?;
//! assert_eq!(planned.len(), 6);
//! assert!(scenario.runs(&planned[0], "avx2"));
//! # Ok::<(), lowbit_scenarios::ScenarioError>(())
//! ```
mod axes;
mod constraint;
mod draw;
mod error;
mod expand;
mod gate;
mod goal;
mod json;
mod keys;
mod measure;
mod scenario;
mod schema;
mod shapes;
pub use draw::Dice;
pub use error::ScenarioError;
pub use expand::{MAX_COMBINATIONS, Planned};
pub use gate::{GateMode, Gates};
pub use goal::{LIMITS, Of, PlannedGoal, Subject};
pub use measure::{Cache, Measure, ThreadCount};
pub use scenario::{Scenario, Sweep};
pub use schema::schema;
pub use shapes::{SHAPE_SETS, Shape, ShapeSet};
