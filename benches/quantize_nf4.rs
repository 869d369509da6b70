//! `cargo bench --bench quantize_nf4`
use criterion::{Criterion, criterion_group, criterion_main};
use lowbit_kernels::quantize_nf4::KERNELS;

fn rows(criterion: &mut Criterion) {
    lowbit_benches::walk(criterion, KERNELS);
}
criterion_group!(benches, rows);
criterion_main!(benches);
