//! Charts are drawn where there is data, can be read, and show what they claim to.
use crate::gallery::{base_record, long_records, records, run};
use lowbit_reports::plot::{Chart, charts};
use lowbit_reports::record::{Record, Verdict};
use lowbit_reports::{ReportError, write_report};
use std::collections::HashSet;
use std::path::Path;

fn names(charts: &[Chart]) -> Vec<&str> {
    charts.iter().map(|c| c.name.as_str()).collect()
}

fn chart(records: &[Record], name: &str) -> Chart {
    charts(records).unwrap().into_iter().find(|c| c.name == name).unwrap()
}

/// Width, height and pixels of a PNG.
fn decoded(png: &[u8]) -> (u32, u32, Vec<[u8; 3]>) {
    let mut reader = png::Decoder::new(png).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width, info.height, pixels.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect())
}

#[test]
fn a_chart_without_data_is_not_drawn() {
    assert!(charts(&[]).unwrap().is_empty());
    let failed = Record { verdict: Verdict::Failed, ..records(1).remove(0) };
    assert!(
        charts(&[failed, base_record("linear", "linear/m=1", "scalar", &[])]).unwrap().is_empty()
    );
    let mut rho = records(0);
    rho.retain(|r| r.op == "rho_pack");
    assert_eq!(names(&charts(&rho).unwrap()), ["speed_rho_pack", "quality", "bytes", "rho"]);
}

#[test]
fn no_text_overlaps_or_leaves_the_paper() {
    let sets = [records(0), records(1), records(2), records(12), records(40), long_records()];
    for (i, records) in sets.iter().enumerate() {
        for chart in charts(records).unwrap() {
            assert_eq!(chart.collisions().unwrap(), [""; 0], "set {i}, {}", chart.name);
        }
    }
}

#[test]
fn pngs_decode_and_are_not_blank() {
    for chart in charts(&records(2)).unwrap() {
        let (width, height, pixels) = decoded(&chart.png().unwrap());
        let colours = pixels.iter().collect::<HashSet<_>>().len();
        assert!(width == 1800 && height > 300, "{}: {width} x {height}", chart.name);
        assert!(colours > 100, "{}: {colours} colours", chart.name);
        // Text has many colours too; the data are drawn in the palette's own, and rows are shaded.
        let painted = |colour: [u8; 3]| pixels.iter().filter(|p| **p == colour).count();
        let data = if chart.name == "rho" { [0xe0, 0xf1, 0xec] } else { [0x00, 0x72, 0xb2] };
        assert!(painted(data) > 100, "{}: {} pixels", chart.name, painted(data));
        assert!(painted([0xf5, 0xf5, 0xf5]) > 1000, "{}", chart.name);
    }
}

#[test]
fn charts_say_how_much_they_leave_out() {
    let svg = chart(&records(40), "speed_linear").svg().unwrap();
    assert!(svg.contains("12 of 40 cases shown"), "{svg}");
    assert!(!chart(&records(12), "speed_linear").svg().unwrap().contains("cases shown"));
}

#[test]
fn the_speed_chart_follows_the_medians() {
    let plain = records(2);
    let mut slower = plain.clone();
    for record in slower.iter_mut().filter(|r| r.kernel == "scalar") {
        if let Some(timing) = &mut record.timing {
            timing.median_ns *= 1.5;
        }
    }
    let dots = |records: &[Record]| {
        let svg = chart(records, "speed_linear").svg().unwrap();
        svg.lines().filter(|l| l.starts_with("<circle")).map(str::to_owned).collect::<Vec<_>>()
    };
    let (before, after) = (dots(&plain), dots(&slower));
    let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert_eq!((before.len(), moved), (after.len(), 8), "2 cases x 4 panels of one kernel moved");
}

#[test]
fn every_kernel_has_a_colour_of_its_own() {
    let svg = chart(&records(2), "speed_linear").svg().unwrap();
    let fill = |line: &str| line.split("fill=\"").nth(1).map(|rest| rest[..7].to_owned());
    let colours: HashSet<_> = svg.lines().filter(|l| l.starts_with("<circle")).map(fill).collect();
    // Six kernels, the grey of the legend's ring and the white inside rings.
    assert_eq!(colours.len(), 8, "{colours:?}");
}

#[test]
fn data_made_for_exactness_say_nothing_about_quality() {
    let mut exact = records(1);
    for record in &mut exact {
        record.parameters.insert("data".into(), "exact".into());
    }
    assert!(!names(&charts(&exact).unwrap()).contains(&"quality"));
}

#[test]
fn many_kernels_with_one_quality_are_one_point() {
    let of = |kernels: usize| {
        let mut some = records(1);
        some.retain(|r| r.op == "linear");
        let names: HashSet<String> =
            ["scalar", "avx2", "burn"].iter().take(kernels).map(|k| (*k).to_owned()).collect();
        some.retain(|r| names.contains(&r.kernel));
        let svg = chart(&some, "quality").svg().unwrap();
        // The limit of a column would be drawn too, but linear has none; markers are discs.
        svg.matches("<circle").count()
    };
    assert_eq!(of(1), of(3));
}

#[test]
fn the_gate_of_rho_passes_int8_and_no_coarser_format() {
    let svg = chart(&records(0), "rho").svg().unwrap();
    // Two rows of each format, and the legend says both words once.
    assert_eq!(svg.matches("violates 3 of 4").count(), 4, "{svg}");
    assert_eq!(svg.matches("PASS").count(), 2 + 1);
}

#[test]
fn a_limit_counts_as_kept_when_met_exactly() {
    let mut at_limit = records(0);
    at_limit.retain(|r| r.case.starts_with("rho_pack/format=int8") && r.case.ends_with("normal"));
    let verdict = |record: &Record| {
        let svg = chart(std::slice::from_ref(record), "rho").svg().unwrap();
        svg.contains("violates 1 of 4")
    };
    let mut record = at_limit.remove(0);
    let quality = record.quality.as_mut().unwrap();
    (quality.max_quant_error, quality.rms_ratio) = (0.05, 0.95);
    assert!(!verdict(&record));
    record.quality.as_mut().unwrap().max_quant_error = 0.050_001;
    assert!(verdict(&record));
}

#[test]
fn bytes_share_a_bar_where_rules_cost_the_same() {
    let svg = chart(&records(0), "bytes").svg().unwrap();
    assert!(svg.contains("burn_dragon, b158, twn"), "{svg}");
    assert!(svg.contains("8.00 + 0.125"), "block scales are a bar of their own");
    assert_eq!(svg.matches("weight int8").count(), 2);
}

#[test]
fn numbers_that_are_none_stop_no_chart() {
    let mut odd = records(1);
    for record in &mut odd {
        if let Some(timing) = &mut record.timing {
            (timing.median_ns, timing.low_ns) = (f64::NAN, 0.0);
        }
        if let Some(quality) = &mut record.quality {
            (quality.mean_quant_error, quality.sqnr_db) = (f64::INFINITY, Some(f64::NAN));
        }
        record.bits_per_weight = Some(0.0);
    }
    for chart in charts(&odd).unwrap() {
        assert!(chart.png().is_ok() && !chart.svg().unwrap().contains("NaN,"));
    }
}

#[test]
fn a_report_answers_what_it_wrote() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let written = write_report(&folder, &run(), &records(1)).unwrap();
    let names: Vec<String> = written
        .iter()
        .map(|p| p.strip_prefix(&folder).unwrap().to_string_lossy().replace('\\', "/"))
        .collect();
    assert_eq!(
        names[..5],
        [
            "results.csv",
            "samples.csv",
            "summary.md",
            "charts/speed_linear.svg",
            "charts/speed_linear.png"
        ]
    );
    assert_eq!(names.len(), 3 + 2 * 6);
    assert!(written.iter().all(|p| std::fs::metadata(p).unwrap().len() > 100));
    let summary = std::fs::read_to_string(folder.join("summary.md")).unwrap();
    for name in names.iter().filter(|n| n.ends_with(".png")) {
        assert!(summary.contains(&format!("]({name})")), "{name} is embedded");
    }
    let error = write_report(&folder.join("absent"), &run(), &[]).unwrap_err();
    assert!(matches!(error, ReportError::Write { .. }), "{error}");
}
