//! Parts of the row `avx512vnni`.
pub(super) mod arrange;
pub(super) mod fetch;
pub(super) mod floats;
pub(super) mod gemv;
