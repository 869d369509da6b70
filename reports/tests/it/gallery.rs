//! Records of an invented machine, close enough to real ones to judge tables and charts by.
use lowbit_reports::record::{
    Agreement, Bytes, Cache, Clock, Quality, Record, Roof, SCHEMA, SkipKind, Timing, Verdict,
    Violation, Work,
};
use lowbit_reports::{PeakLine, RunInfo};

/// Kernel rows and their speed relative to `scalar`.
const KERNELS: [(&str, f64); 6] = [
    ("scalar", 1.0),
    ("avx2", 19.0),
    ("avx512vnni", 61.0),
    ("burn", 7.5),
    ("ste", 2.1),
    ("cube-wgpu", 33.0),
];

/// Weight formats with a rule, stored bits and decibels on normal data.
const WEIGHTS: [(&str, &str, f64, f64); 8] = [
    ("ternary2", "burn_dragon", 2.0, 3.9),
    ("ternary2", "b158", 2.0, 6.7),
    ("ternary2", "twn", 2.0, 7.1),
    ("sign1", "burn_dragon", 1.0, 4.3),
    ("sign1", "b1", 1.0, 4.4),
    ("int8", "absmax", 8.0, 39.8),
    ("int8", "onnx", 8.0, 39.5),
    ("int8", "bnb", 8.125, 43.1),
];

const DATA: [(&str, f64); 5] = [
    ("normal", 0.0),
    ("student_t", -2.6),
    ("log_normal_outliers", -5.5),
    ("relu", 1.2),
    ("file", -0.9),
];

const TENSOR: &str = "encoder.layer.0.attention.self.query.weight";

/// A run with about `cases` linear cases, and one of everything else there is to draw.
pub(crate) fn records(cases: u32) -> Vec<Record> {
    let mut records = Vec::new();
    for i in 0..cases {
        linear(i, &mut records);
    }
    for weight in WEIGHTS {
        for data in DATA {
            records.extend(quantize_weight(weight, data));
        }
    }
    for (i, (data, db)) in DATA.into_iter().enumerate() {
        for (rule, bits, base) in
            [("absmax", 8.0, 38.0), ("a48", 8.0, 36.5), ("burn_dragon", 8.0, 31.0)]
        {
            let case = format!(
                "quantize_activation/activation=int8/activation_rule={rule}/m=8/k=4096/data={data}"
            );
            let fields = [("activation", "int8"), ("activation_rule", rule)];
            let mut record = base_record("quantize_activation", &case, "scalar", &fields);
            name_data(&mut record, data);
            store(&mut record, 8 * 4096, bits);
            record.quality = Some(quality(base + db));
            time(&mut record, (1, Cache::Hot), 9_000.0 + f64::from(i as u32), "L2 read", 0.3);
            records.push(record);
        }
    }
    records.extend(rho());
    records
}

/// Three linear cases with names longer than any page is wide.
pub(crate) fn long_records() -> Vec<Record> {
    let mut long = records(3);
    for record in &mut long {
        let name = "model.layers.31.block_sparse_moe.experts.7.down_projection.weight".repeat(2);
        record.parameters.insert("data".into(), "file".into());
        record.parameters.insert("tensor".into(), name.clone());
        record.parameters.insert("an_axis_nobody_foresaw".into(), name + &record.case);
    }
    long
}

/// The run those records belong to.
pub(crate) fn run() -> RunInfo {
    let peak = |name: &str, threads, value, unit: &str| PeakLine {
        name: name.into(),
        threads,
        value,
        unit: unit.into(),
    };
    RunInfo {
        title: "smoke".into(),
        about: vec!["GEMV and small GEMM of every weight format.".into()],
        command: "lowbit run smoke".into(),
        started: "2025-11-21T09:00:00Z".into(),
        machine: vec![("cpu".into(), "Imaginary 2-core | AVX-512 VNNI".into())],
        peaks: vec![peak("L2 read", 1, 81.25, "GB/s"), peak("int8 dot", 2, 812.0, "GOPS")],
        ..RunInfo::default()
    }
}

fn linear(i: u32, records: &mut Vec<Record>) {
    let (weight, rule, bits, db) = WEIGHTS[i as usize % WEIGHTS.len()];
    let n = [512_u32, 4096, 11008, 1024][i as usize % 4];
    let m = [1_u32, 4, 8, 2, 16][i as usize % 5];
    let case = format!(
        "linear/weight={weight}/weight_rule={rule}/activation=int8/activation_rule=burn_dragon/m={m}/k=4096/n={n}/\
         data=realistic/distribution=normal/seed={}",
        7 + i / 20
    );
    let (ms, ns, seed) = (m.to_string(), n.to_string(), (7 + i / 20).to_string());
    let fields = [
        ("weight", weight),
        ("weight_rule", rule),
        ("activation", "int8"),
        ("activation_rule", "burn_dragon"),
        ("m", &ms),
        ("k", "4096"),
        ("n", &ns),
        ("data", "realistic"),
        ("distribution", "normal"),
        ("seed", &seed),
    ];
    let macs = u64::from(m * n) * 4096;
    for (k, (kernel, gain)) in KERNELS.into_iter().enumerate() {
        let mut record = base_record("linear", &case, kernel, &fields);
        if kernel == "cube-wgpu" && weight == "sign1" {
            record.verdict = Verdict::Skipped;
            record.skip = Some(SkipKind::Problem);
            record.reason = "sign1 weights are not packed for the device".into();
            records.push(record);
            continue;
        }
        store(&mut record, u64::from(n) * 4096, bits);
        record.quality = Some(quality(db - 0.3));
        record.work = Some(Work {
            macs,
            bytes_read: macs / 4 / u64::from(m),
            bytes_written: u64::from(m * n) * 4,
        });
        record.agreement = Some(Agreement {
            compared: u64::from(m * n),
            error_over_bound: 0.12 * k as f64,
            ..Agreement::default()
        });
        if i == 1 && kernel == "avx2" {
            record.verdict = Verdict::Failed;
            record.reason = "3 of 4096 elements differ, first at 17: got 0.5, want 0.25".into();
            records.push(record);
            continue;
        }
        measured(&record, (i, gain, macs), records);
    }
}

/// The record under every thread count and cache state, on the device's clock too where it has one.
fn measured(record: &Record, (i, gain, macs): (u32, f64, u64), records: &mut Vec<Record>) {
    for (threads, cache) in [(1, Cache::Hot), (1, Cache::Cold), (2, Cache::Hot), (2, Cache::Cold)] {
        let mut record = record.clone();
        let slow = if cache == Cache::Cold { 1.0 + gain / 90.0 } else { 1.0 };
        let rate = 2.3 * gain * (1.0 + f64::from(i % 7) * 0.13) * f64::from(threads).powf(0.9);
        let ns = 2.0 * macs as f64 / rate * slow;
        let roof = 2.0 * macs as f64 / (310.0 * f64::from(threads)) / ns;
        time(&mut record, (threads, cache), ns, "int8 dot", roof);
        if i == 2 && record.kernel == "avx512vnni" {
            record.verdict = Verdict::Mistrusted;
            record.reason = "faster than the roof".into();
        }
        if record.kernel == "cube-wgpu" {
            let mut device = record.clone();
            device.clock = Some(Clock::Device);
            if let Some(t) = &mut device.timing {
                (t.median_ns, t.low_ns, t.high_ns) =
                    (t.median_ns * 0.6, t.low_ns * 0.6, t.high_ns * 0.6);
            }
            records.push(device);
        }
        records.push(record);
    }
}

fn quantize_weight(
    (weight, rule, bits, db): (&str, &str, f64, f64),
    (data, change): (&str, f64),
) -> Vec<Record> {
    let case = format!(
        "quantize_weight/weight={weight}/weight_rule={rule}/k=384/n=384/data={data}/seed=7"
    );
    let fields =
        [("weight", weight), ("weight_rule", rule), ("k", "384"), ("n", "384"), ("seed", "7")];
    let row = |kernel: &str, ns: f64| {
        let mut record = base_record("quantize_weight", &case, kernel, &fields);
        name_data(&mut record, data);
        store(&mut record, 384 * 384, bits);
        record.quality = Some(quality(db + change * if bits < 4.0 { 0.4 } else { 1.0 }));
        record.work = Some(Work { macs: 0, bytes_read: 384 * 384 * 4, bytes_written: 384 * 48 });
        time(&mut record, (1, Cache::Hot), ns, "L2 read", 0.4);
        record
    };
    vec![row("scalar", 310_000.0), row("avx2", 21_000.0)]
}

fn rho() -> Vec<Record> {
    let formats = [
        ("int8", 9.0, 0.00616, 0.01363, 1.0001),
        ("ternary", 3.0, 0.8459, 2.1129, 0.6716),
        ("binary", 2.0, 0.8052, 2.0605, 0.8970),
    ];
    let mut records = Vec::new();
    for (format, bits, mean, max, ratio) in formats {
        for (data, factor) in [("normal", 1.0), ("student_t", 2.7)] {
            let case =
                format!("rho_pack/format={format}/len=65536/data=realistic/distribution={data}");
            let mut record = base_record("rho_pack", &case, "scalar", &[("format", format)]);
            name_data(&mut record, data);
            store(&mut record, 65_536, bits);
            let db = if bits > 8.0 { 44.0 } else { 2.1 + bits / 3.0 };
            let found = Quality {
                mean_quant_error: mean * factor,
                max_quant_error: max * factor,
                rms_ratio: ratio,
                ..quality(db)
            };
            record.quality = Some(found);
            if format != "int8" {
                record.violations.push(Violation {
                    limit_name: "rho.mean_abs_error".into(),
                    value: mean * factor,
                    allowed: "at most 0.02".into(),
                    enforced: false,
                });
            }
            record.work = Some(Work { macs: 0, bytes_read: 262_144, bytes_written: 73_728 });
            time(&mut record, (1, Cache::Hot), 40_000.0, "L2 read", 0.5);
            records.push(record);
        }
    }
    records
}

/// A passed record without measurements.
pub(crate) fn base_record(op: &str, case: &str, kernel: &str, fields: &[(&str, &str)]) -> Record {
    Record {
        schema: SCHEMA,
        sweep: "smoke".into(),
        case: case.into(),
        op: op.into(),
        kernel: kernel.into(),
        device: "cpu".into(),
        parameters: fields.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        verdict: Verdict::Passed,
        reason: String::new(),
        skip: None,
        threads: None,
        cache: None,
        clock: None,
        timing: None,
        agreement: None,
        quality: None,
        bits_per_weight: None,
        bytes: None,
        work: None,
        roof: None,
        violations: Vec::new(),
    }
}

fn name_data(record: &mut Record, data: &str) {
    let pairs = match data {
        "file" => [("data", "file"), ("tensor", TENSOR)],
        _ => [("data", "realistic"), ("distribution", data)],
    };
    record.parameters.extend(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

/// Whole bits are codes and the fraction is scales, but rho's have a scale for each 32 values.
fn store(record: &mut Record, values: u64, bits: f64) {
    let codes = if record.op == "rho_pack" { bits - 1.0 } else { bits.floor() };
    let bytes = |bits: f64| format!("{:.0}", bits / 8.0 * values as f64).parse().unwrap();
    let scale_bytes: u64 = bytes(bits - codes);
    let scale_bytes = scale_bytes.max(4);
    let artifact_bytes: u64 = bytes(codes);
    record.bytes = Some(Bytes { artifact_bytes, scale_bytes, ..Bytes::default() });
    record.bits_per_weight = Some((artifact_bytes + scale_bytes) as f64 * 8.0 / values as f64);
}

fn quality(db: f64) -> Quality {
    let nmse = 10f64.powf(-db / 10.0);
    Quality {
        sqnr_db: Some(db),
        nmse,
        mean_quant_error: nmse.sqrt(),
        max_quant_error: 0.4,
        rms_ratio: 0.97,
        ..Quality::default()
    }
}

fn time(record: &mut Record, (threads, cache): (u32, Cache), ns: f64, roof: &str, share: f64) {
    record.threads = Some(threads);
    record.cache = Some(cache);
    record.clock = Some(Clock::Wall);
    let samples_ns = [0.99, 1.0, 1.05].map(|f| f * ns).to_vec();
    let (low_ns, high_ns) = (0.985 * ns, 1.04 * ns);
    let converged = record.kernel != "ste";
    let times =
        Timing { samples_ns, median_ns: ns, low_ns, high_ns, converged, ..Timing::default() };
    record.timing = Some(times);
    record.roof = Some(Roof { roof: roof.into(), roof_ns: share * ns, ..Roof::default() });
}
