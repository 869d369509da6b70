//! `cargo bench --bench fake_quantize`
use criterion::{Criterion, criterion_group, criterion_main};
use lowbit_kernels::fake_quantize::KERNELS;

fn rows(criterion: &mut Criterion) {
    lowbit_benches::walk(criterion, KERNELS);
}
criterion_group!(benches, rows);
criterion_main!(benches);
