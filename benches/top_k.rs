//! `cargo bench --bench top_k`
use criterion::{Criterion, criterion_group, criterion_main};
use lowbit_kernels::top_k::KERNELS;

fn rows(criterion: &mut Criterion) {
    lowbit_benches::walk(criterion, KERNELS);
}
criterion_group!(benches, rows);
criterion_main!(benches);
