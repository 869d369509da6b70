//! Records survive their line, whatever is missing from them.
use crate::gallery::{base_record, records};
use lowbit_reports::record::{Cache, KEYS, Quality, Record, RecordError, SCHEMA, Verdict};

#[test]
fn every_record_survives_its_line() {
    let records = records(3);
    let text: String = records.iter().map(|r| r.to_line() + "\n").collect();
    assert_eq!(Record::parse_lines(&text).unwrap(), records);
}

#[test]
fn a_record_with_nothing_in_it_survives_with_every_key_null() {
    let record = base_record("linear", "linear/m=1", "scalar", &[]);
    let line = record.to_line();
    for key in ["median_ns", "compared", "nmse", "artifact_bytes", "macs", "roof", "cache", "skip"]
    {
        assert!(line.contains(&format!("\"{key}\":null")), "{key} in {line}");
    }
    assert_eq!(Record::parse_lines(&line).unwrap(), [record]);
}

#[test]
fn quality_without_noise_keeps_its_other_numbers() {
    let mut record = base_record("linear", "linear/m=1", "scalar", &[]);
    record.quality = Some(Quality { sqnr_db: None, rms_ratio: 1.0, ..Quality::default() });
    assert_eq!(Record::parse_lines(&record.to_line()).unwrap(), [record]);
}

/// `to_line` writes the keys it is told to; one forgotten there would vanish from the file.
#[test]
fn the_line_has_every_field_of_a_full_record_in_the_documented_order() {
    let mut full = records(1).into_iter().find(|r| r.timing.is_some()).unwrap();
    full.cache = Some(Cache::Cold);
    let serde_json::Value::Object(fields) = serde_json::to_value(&full).unwrap() else { panic!() };
    let mut fields: Vec<&str> = fields.keys().map(String::as_str).collect();
    let mut keys = KEYS.to_vec();
    let line = full.to_line();
    let places: Vec<_> = keys.iter().map(|k| line.find(&format!("\"{k}\":"))).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{line}");
    fields.sort_unstable();
    keys.sort_unstable();
    assert_eq!(fields, keys);
}

#[test]
fn lines_of_another_schema_and_lines_that_are_no_records_name_their_number() {
    let record = base_record("linear", "linear/m=1", "scalar", &[]);
    let newer = Record { schema: SCHEMA + 1, ..record.clone() };
    let text = format!("{}\n\n{}\n", record.to_line(), newer.to_line());
    let error = Record::parse_lines(&text).unwrap_err();
    assert!(matches!(error, RecordError::Schema { line: 3, found } if found == SCHEMA + 1));
    let error = Record::parse_lines("{\"schema\":1}\n").unwrap_err();
    assert!(matches!(error, RecordError::Json { line: 1, .. }), "{error}");
}

#[test]
fn verdict_names_are_what_serde_writes() {
    for verdict in Verdict::ALL {
        assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.name());
    }
}
