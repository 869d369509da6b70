//! `cargo bench --bench quantize_weight`
use criterion::{Criterion, criterion_group, criterion_main};
use lowbit_kernels::quantize_weight::KERNELS;

fn rows(criterion: &mut Criterion) {
    lowbit_benches::walk(criterion, KERNELS);
}
criterion_group!(benches, rows);
criterion_main!(benches);
