//! `cargo bench --bench rho_drift`
use criterion::{Criterion, criterion_group, criterion_main};
use lowbit_kernels::rho_drift::KERNELS;

fn rows(criterion: &mut Criterion) {
    lowbit_benches::walk(criterion, KERNELS);
}
criterion_group!(benches, rows);
criterion_main!(benches);
