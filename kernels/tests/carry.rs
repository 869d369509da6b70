//! A state carried through the rows of `rho_pack` and `rho_unpack` for 64 chunks: every step is
//! judged as the op judges it, and int8 ends with the reference's bits.
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::hardware::Hardware;
use lowbit_kernels::pool::Pool;
use lowbit_kernels::{Kernel, rho_pack, rho_unpack};
use lowbit_reference::case::Case;
use lowbit_reference::data::{Distribution, NoFiles, Stream, realistic};
use lowbit_reference::judge::judge;
use lowbit_reference::op::quantize::{QuantizeProblem, unpack};
use lowbit_reference::op::rho::pack::RhoPack;
use lowbit_reference::op::rho::unpack::{RhoUnpack, UnpackProblem};
use lowbit_reference::op::{Op, Outputs, Tensor};
use lowbit_reference::rho::carry::{DECAY, carry, update};
use lowbit_reference::rho::{StateShape, rho_compression};
use lowbit_reference::rule::{Quantized, Shared};
use std::sync::Arc;

const CHUNKS: usize = 64;
const LEN: usize = 1000;

/// Run a row and judge its answer.
fn judged<O: Op>(kernel: &dyn Kernel<O>, problem: &O::Problem, hardware: &Hardware) -> Outputs {
    let pool = Pool::new(2).expect("threads");
    let mut context = Context::new(pool, hardware.clone(), Poison::Ones);
    kernel.accepts(problem).expect("accepted");
    let mut prepared = kernel.prepare(problem, &mut context).expect("prepared");
    prepared.launch().and_then(|()| prepared.sync()).expect("launched");
    let outputs = prepared.read().expect("read");
    let reference = O::reference(problem);
    let expected = O::expect(problem, &reference, kernel.arithmetic(problem), &outputs);
    assert_eq!(judge(&expected, &outputs).fault, None, "{}", kernel.name());
    outputs
}

fn problem(format: &str, x: Vec<f32>) -> QuantizeProblem {
    let case = format!("rho_pack/format={format}/elements={LEN}/data=realistic/seed=1");
    let case: Case = case.parse().expect("a case");
    QuantizeProblem { x: Arc::new(x), ..RhoPack::generate(&case, &NoFiles).expect("a problem") }
}

/// One chunk through both rows.
fn chunk(
    (pack, unpack_row): (&dyn Kernel<RhoPack>, &dyn Kernel<RhoUnpack>),
    (format, x): (&str, Vec<f32>),
    hardware: &Hardware,
) -> Vec<f32> {
    let source = problem(format, x);
    let packed = judged(pack, &source, hardware);
    let Some(Tensor::U8(bytes)) = packed.get("packed") else { panic!("no packed bytes") };
    let codes = unpack(&source, bytes).expect("codes");
    let scales = packed.f32s("scales").expect("scales");
    let shared = scales.iter().map(|scale| Shared { scale: *scale, ..Shared::default() });
    let quantized = Quantized { shared: shared.collect(), codes };
    let problem = UnpackProblem { source, quantized, packed: bytes.clone() };
    judged(unpack_row, &problem, hardware).f32s("values").expect("values").to_vec()
}

#[test]
fn sixty_four_chunks_through_every_native_row() {
    let hardware = Hardware::detect();
    let draw = |stream, len, sigma| realistic(Distribution::Normal, (5, stream), (len, len), sigma);
    let start = draw(Stream::State, LEN, 1.0);
    let updates = draw(Stream::Gradient, CHUNKS * LEN, (1.0 - DECAY * DECAY).sqrt());
    let shape = StateShape::new(&[1, 1, LEN]).expect("a shape");
    let mut rows = 0;
    for format in ["int8", "ternary", "binary"] {
        let codec = rho_compression(&format!("{format}_block")).and_then(|found| found.codec);
        let want = carry(codec.expect("a codec"), shape, (&start, &updates)).expect("carried");
        for pack in rho_pack::KERNELS {
            let same = |row: &&&dyn Kernel<RhoUnpack>| row.name() == pack.name();
            let Some(unpack_row) = rho_unpack::KERNELS.iter().find(same) else { continue };
            let native = ["scalar", "avx2", "avx512vnni"].contains(&pack.name());
            if !native || hardware.has(pack.need()).is_err() {
                continue;
            }
            let mut state = start.clone();
            for gain in updates.chunks(LEN) {
                let given = update(&state, gain);
                state = chunk((*pack, *unpack_row), (format, given), &hardware);
            }
            let last = &want.states[(CHUNKS - 1) * LEN..];
            if format == "int8" {
                assert_eq!(state, last, "{}", pack.name());
            }
            // A mean may be an ulp off, and a code with it, which the next chunks remember: what
            // is held beyond every single step is how far the state has drifted.
            let exact = &want.exact[(CHUNKS - 1) * LEN..];
            let off = |x: &[f32]| -> f64 {
                let squares = x.iter().zip(exact).map(|(x, e)| f64::from(x - e).powi(2));
                (squares.sum::<f64>() / LEN as f64).sqrt()
            };
            let (row, reference) = (off(&state), off(last));
            println!("{format} {}: drift {row:.5}, of the reference {reference:.5}", pack.name());
            assert!(row <= 1.1 * reference, "{format} {}", pack.name());
            rows += 1;
        }
    }
    assert!(rows >= 3, "{rows}");
}
