//! Peaks and roofs by hand.
use super::*;

fn peaks() -> Peaks {
    let rate = |best| Rate { best, median: best };
    let stream = |(reads, writes), footprint, cache, best| StreamRate {
        reads,
        writes,
        footprint,
        cache,
        rate: rate(best),
    };
    Peaks {
        device: None,
        threads: 1,
        isa: "test".into(),
        read: vec![
            (1 << 14, rate(200.0)),
            (1 << 22, rate(100.0)),
            (1 << 26, rate(24.0)),
            (1 << 28, rate(23.0)),
        ],
        cold_read: vec![(1 << 20, rate(30.0)), (1 << 22, rate(25.0)), (1 << 24, rate(22.0))],
        streams: vec![
            stream((4, 1), 5 << 20, Cache::Hot, 80.0),
            stream((1, 4), 5 << 20, Cache::Hot, 60.0),
            stream((1, 64), 5 << 20, Cache::Hot, 70.0),
            stream((4, 1), 80 << 20, Cache::Hot, 20.0),
            stream((4, 1), 80 << 20, Cache::Cold, 18.0),
            stream((1, 4), 80 << 20, Cache::Hot, 10.0),
            stream((1, 64), 80 << 20, Cache::Hot, 9.0),
        ],
        quantize_rows: rate(16.0),
        int8_dot: rate(400.0),
        f32_fma: rate(100.0),
    }
}
const CACHES: CacheSizes = CacheSizes { l1: 32 << 10, l2: 1 << 20, l3: 32 << 20 };

fn roof(work: Work, cache: Cache) -> (String, f64) {
    let Roof { roof, roof_ns, .. } = peaks().roof(work, Arithmetic::INTEGER, cache, CACHES);
    (roof, roof_ns)
}

#[test]
fn the_binding_peak_is_the_roof() {
    let gemv = Work { macs: 1 << 24, bytes_read: 1 << 22, bytes_written: 1 << 14 };
    // 2^25 operations at 400 a nanosecond, against 2^22 bytes at 100: compute binds.
    assert_eq!(roof(gemv, Cache::Hot), ("int8 dot".into(), 83_886.08));
    // Cold, the bytes come from DRAM: at 25, since 30 is of a smaller footprint.
    assert_eq!(roof(gemv, Cache::Cold), ("DRAM read".into(), 167_772.16));
    let limits = peaks().roof(gemv, Arithmetic::INTEGER, Cache::Cold, CACHES).limits_ns;
    assert_eq!((limits["int8 dot"], limits["f32 FMA"]), (83_886.08, 335_544.32));
    assert_eq!(limits["read"], 167_772.16);
}

#[test]
fn a_roof_is_the_best_of_a_probe_and_a_limit_its_median() {
    let mut peaks = peaks();
    peaks.int8_dot.median = peaks.int8_dot.best / 2.0;
    peaks.read.iter_mut().chain(&mut peaks.cold_read).for_each(|r| r.1.median = r.1.best / 4.0);
    peaks.streams.iter_mut().for_each(|s| s.rate.median = s.rate.best / 8.0);
    peaks.f32_fma.median = peaks.f32_fma.best / 16.0;
    peaks.quantize_rows.median = peaks.quantize_rows.best / 32.0;
    let gemv = Work { macs: 1 << 24, bytes_read: 1 << 22, bytes_written: 1 << 14 };
    let Roof { roof_ns, limits_ns, .. } =
        peaks.roof(gemv, Arithmetic::INTEGER, Cache::Cold, CACHES);
    assert_eq!(roof_ns, 167_772.16);
    assert_eq!(limits_ns["int8 dot"], 2.0 * 83_886.08);
    assert_eq!(limits_ns["read"], 4.0 * 167_772.16);
    assert_eq!(limits_ns["f32 FMA"], 16.0 * 335_544.32);
    // Of two ways to do the same each has the better of both; of two measurements the median of the first.
    let rates = [(8.0, 3.0), (6.0, 5.0)].map(|(best, median)| Rate { best, median });
    assert_eq!(rates[0].higher(rates[1]), Rate { best: 8.0, median: 5.0 });
    assert_eq!(rates[1].higher(rates[0]), Rate { best: 8.0, median: 5.0 });
    let again = |rate| Peaks { int8_dot: rate, ..peaks.clone() };
    let raised = again(rates[1]).higher(again(rates[0])).int8_dot;
    assert_eq!(raised, Rate { best: 8.0, median: 5.0 });
    let raised = again(rates[0]).higher(again(rates[1])).int8_dot;
    assert_eq!(raised, Rate { best: 8.0, median: 3.0 });
    let moved = Work { macs: 0, bytes_read: 64 << 20, bytes_written: 16 << 20 };
    let Roof { roof_ns, limits_ns, .. } = peaks.roof(moved, Arithmetic::FLOAT, Cache::Hot, CACHES);
    assert_eq!(limits_ns["stream"], 8.0 * roof_ns);
    assert_eq!(limits_ns["quantize rows"], 32.0 * (64u64 << 20) as f64 / 16.0);
}

#[test]
fn an_op_that_only_moves_is_held_to_the_stream_of_its_ratio() {
    let mib = |read: u64, written: u64| Work {
        macs: 0,
        bytes_read: read << 20,
        bytes_written: written << 20,
    };
    let ns = |mib: u64, rate: f64| (mib << 20) as f64 / rate;
    // f32 to int8: 4:1 exactly, far beyond the caches, and within them.
    assert_eq!(roof(mib(64, 16), Cache::Hot), ("DRAM stream 4:1".into(), ns(80, 20.0)));
    assert_eq!(roof(mib(4, 1), Cache::Hot), ("L3 stream 4:1".into(), ns(5, 80.0)));
    // A scale beside every 32 codes: the part of it that is 4:1.
    assert_eq!(roof(mib(64, 18), Cache::Hot), ("DRAM stream 4:1".into(), ns(80, 20.0)));
    assert_eq!(roof(mib(18, 64), Cache::Hot), ("DRAM stream 1:4".into(), ns(80, 10.0)));
    // Reading binds where next to nothing is written, and writing where nothing is read.
    assert_eq!(roof(mib(256, 8), Cache::Hot), ("DRAM read".into(), ns(256, 23.0)));
    assert_eq!(roof(mib(2, 128), Cache::Hot), ("DRAM stream 1:64".into(), ns(130, 9.0)));
    // A probe of writing that was slower than one that writes as much and reads too.
    let mut slow = peaks();
    slow.streams[6].rate.best = 5.0;
    let roof_ns = slow.roof(mib(2, 128), Arithmetic::FLOAT, Cache::Hot, CACHES).roof_ns;
    assert_eq!(roof_ns, ns(160, 10.0));
    // Cold is no faster than the best of cold and the largest hot one.
    assert_eq!(roof(mib(4, 1), Cache::Cold), ("DRAM stream 4:1".into(), ns(5, 20.0)));
    let limits = peaks().roof(mib(64, 16), Arithmetic::FLOAT, Cache::Hot, CACHES).limits_ns;
    let names: Vec<_> = limits.keys().map(String::as_str).collect();
    assert_eq!(names, ["quantize rows", "read", "stream"]);
    assert_eq!(limits["quantize rows"], ns(64, 16.0));
}

#[test]
fn every_limit_a_scenario_can_name_is_one_of_a_roof() {
    let work = Work { macs: 1, bytes_read: 1 << 20, bytes_written: 1 << 20 };
    let limits = peaks().roof(work, Arithmetic::INTEGER, Cache::Hot, CACHES).limits_ns;
    let named = lowbit_scenarios::LIMITS.iter().filter(|name| **name != "roof");
    assert!(named.clone().all(|name| limits.contains_key(*name)), "{limits:?}");
    assert_eq!(named.count(), limits.len());
}

#[test]
fn newer_peaks_take_the_place_of_those_of_the_same_threads_or_device() {
    let of = |device: Option<&str>, isa: &str, threads, best| Peaks {
        device: device.map(str::to_owned),
        isa: isa.into(),
        threads,
        int8_dot: Rate { best, median: best },
        ..peaks()
    };
    let (gpu, mut all) = (Some("GPU"), Vec::new());
    let new = [
        of(gpu, "wgpu", 1, 1.0),
        of(None, "avx2", 2, 2.0),
        of(gpu, "cuda", 1, 3.0),
        of(None, "avx2", 1, 4.0),
        of(gpu, "wgpu", 1, 5.0),
        of(None, "avx2", 2, 6.0),
    ];
    new.into_iter().for_each(|new| remember(&mut all, new));
    let kept: Vec<f64> = all.iter().map(|peaks| peaks.int8_dot.best).collect();
    assert_eq!(kept, [4.0, 6.0, 3.0, 5.0]);
}

#[test]
fn a_device_names_its_limits_after_what_it_was_reached_through() {
    let mut gpu = Peaks { device: Some("GPU".into()), isa: "cuda".into(), ..peaks() };
    gpu.int8_dot = Rate::default();
    let work = Work { macs: 1 << 24, bytes_read: 1 << 22, bytes_written: 1 << 14 };
    let roof = gpu.roof(work, Arithmetic::INTEGER, Cache::Cold, CACHES);
    // Nothing is known of its dots, which then bound nothing.
    assert_eq!((roof.roof.as_str(), roof.roof_ns), ("cuda read", 167_772.16));
    assert!(!roof.limits_ns.contains_key("int8 dot"));
    // Nor does the peak of f32 where operands are shorter: there may be other units for those.
    let work = Work { macs: 1 << 30, ..work };
    let float = gpu.roof(work, Arithmetic::FLOAT, Cache::Cold, CACHES).roof;
    let operands = Operands::Short { bits: 11 };
    let short = Arithmetic { operands, ..Arithmetic::FLOAT };
    let short = gpu.roof(work, short, Cache::Cold, CACHES).roof;
    assert_eq!((float.as_str(), short.as_str()), ("f32 FMA", "cuda read"));
    // What is read again and again may lie in its caches: the cold probes alone count.
    assert_eq!(gpu.read_rate(1 << 30, Cache::Cold).1, 22.0);
    gpu.cold_read.clear();
    assert_eq!(gpu.read_rate(1 << 30, Cache::Cold).1, 23.0);
}

#[test]
fn peaks_without_streams_still_give_a_roof() {
    let mut old = peaks();
    (old.streams, old.quantize_rows) = (Vec::new(), Rate::default());
    let work = Work { macs: 0, bytes_read: 64 << 20, bytes_written: 16 << 20 };
    let roof = old.roof(work, Arithmetic::FLOAT, Cache::Hot, CACHES);
    assert_eq!(roof.roof, "DRAM read");
    assert!(!roof.limits_ns.contains_key("quantize rows"));
}
