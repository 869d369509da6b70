//! Artifacts: content, generations, groups and what is refused.
use super::*;
use crate::format::{INT4, INT8, Levels, SIGN1, TERNARY2, UINT4};
use crate::rule::{activation_rule, weight_rule};

fn artifact(scale: f32, codes: &[Code]) -> Artifact {
    Artifact::pack(&TERNARY2, &[2, 3], vec![scale], codes).unwrap()
}

#[test]
fn generation_follows_content_and_nothing_else() {
    let first = artifact(0.5, &[1, 0, -1, 1, 1, 0]);
    assert_eq!(first.generation(), artifact(0.5, &[1, 0, -1, 1, 1, 0]).generation());
    let elsewhere = [first.clone(), first.clone()];
    assert_eq!(first.generation(), elsewhere[1].generation());
    let others = [
        artifact(0.25, &[1, 0, -1, 1, 1, 0]),
        artifact(0.5, &[1, 0, -1, 1, 1, 1]),
        Artifact::pack(&TERNARY2, &[3, 2], vec![0.5], &[1, 0, -1, 1, 1, 0]).unwrap(),
        Artifact::pack(&TERNARY2, &[2, 3], vec![0.5; 2], &[1, 0, -1, 1, 1, 0]).unwrap(),
        Artifact::pack(&INT8, &[2, 3], vec![0.5], &[1, 0, -1, 1, 1, 0]).unwrap(),
    ];
    let mut all: Vec<_> = others.iter().map(Artifact::generation).collect();
    all.push(first.generation());
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6, "six contents, six generations");
    // Same bytes and scale, other shape: only the shape part tells them apart.
    let flat = |shape: &[usize]| Artifact::pack(&INT8, shape, vec![1.0], &[1, 2, 3, 4]).unwrap();
    assert_eq!(flat(&[1, 4]).bytes(), flat(&[2, 2]).bytes());
    assert_ne!(flat(&[1, 4]).generation(), flat(&[2, 2]).generation());
    // Same bytes, scales and shape, other groups.
    let by = |granularity| {
        let rule = Rule { granularity, group_size: 2, ..Rule::default() };
        let content = (vec![1.0; 4], vec![1, 2, 3, 4, 5, 6, 7, 8]);
        Artifact::grouped(&INT8, &rule, &[4, 1, 2], content).unwrap().generation()
    };
    assert_eq!(by(Granularity::Row), by(Granularity::Group), "the same values share a scale");
    let halves = |granularity, group_size, shape: [usize; 3]| {
        let rule = Rule { granularity, group_size, ..Rule::default() };
        let content = (vec![1.0; 2], vec![1, 2, 3, 4]);
        Artifact::grouped(&INT8, &rule, &shape, content).unwrap().generation()
    };
    let (long, short) =
        (halves(Granularity::Group, 3, [1, 1, 4]), halves(Granularity::Group, 2, [1, 1, 4]));
    assert_ne!(long, short);
    // Same bytes, scale and shape, other format.
    let sign = Artifact::new(&SIGN1, &[1], vec![1.0], vec![1]).unwrap();
    let int8 = Artifact::new(&INT8, &[1], vec![1.0], vec![1]).unwrap();
    assert_ne!(sign.generation(), int8.generation());
}

#[test]
fn replaced_content_has_another_generation_and_bad_content_changes_nothing() {
    let mut artifact = artifact(0.5, &[1, 0, -1, 1, 1, 0]);
    let (before, bytes) = (artifact.generation(), artifact.bytes().to_vec());
    assert!(artifact.replace(vec![0.5], vec![0xff, 0xff]).is_err(), "pattern 3");
    assert!(artifact.replace(vec![f32::NAN], bytes.clone()).is_err());
    assert!(artifact.replace(vec![0.5; 3], bytes.clone()).is_err());
    assert!(artifact.replace(vec![0.5], bytes[1..].to_vec()).is_err());
    assert_eq!(artifact.generation(), before);
    artifact.replace(vec![1.5], bytes.clone()).unwrap();
    assert_ne!(artifact.generation(), before);
    artifact.replace(vec![0.5], bytes).unwrap();
    assert_eq!(artifact.generation(), before, "the first content is back");
}

#[test]
fn values_are_codes_times_the_scale_of_the_tensor_or_the_row() {
    let codes = [1, 0, -1, 1, 1, 0];
    assert_eq!(artifact(0.5, &codes).values().unwrap(), [0.5, 0.0, -0.5, 0.5, 0.5, 0.0]);
    let rows = Artifact::pack(&TERNARY2, &[2, 3], vec![0.5, 2.0], &codes).unwrap();
    assert_eq!(rows.values().unwrap(), [0.5, 0.0, -0.5, 2.0, 2.0, 0.0]);
    let empty = Artifact::pack(&TERNARY2, &[2, 0], vec![], &[]).unwrap();
    assert_eq!(empty.values().unwrap(), Vec::<f32>::new());
}

#[test]
fn shapes_without_a_size_and_codes_out_of_range_are_errors() {
    let field = |result: Result<Artifact, Invalid>| result.unwrap_err().field;
    assert_eq!(field(Artifact::pack(&UINT4, &[1], vec![1.0], &[1])), "format");
    assert_eq!(field(Artifact::pack(&INT8, &[], vec![1.0], &[])), "shape");
    let huge = [usize::MAX, 2];
    assert_eq!(field(Artifact::new(&INT8, &huge, vec![1.0], vec![])), "shape");
    assert_eq!(field(Artifact::pack(&TERNARY2, &[1], vec![1.0], &[2])), "codes");
    assert_eq!(field(Artifact::pack(&TERNARY2, &[2], vec![1.0], &[1])), "codes");
    assert_eq!(field(Artifact::new(&TERNARY2, &[1 << 60], vec![1.0], vec![])), "bytes");
}

#[test]
fn scales_are_those_of_any_groups() {
    let w: Vec<f32> = (0..24).map(|i| (i * 7 % 24) as f32 - 11.5).collect();
    let granularities =
        [Granularity::Tensor, Granularity::Row, Granularity::Group, Granularity::HeadGroup];
    let counts = [[1, 8, 16, 2], [1, 6, 12, 0]];
    for (shape, counts) in [&[4, 2, 3][..], &[6, 4]].into_iter().zip(counts) {
        for (granularity, count) in granularities.into_iter().zip(counts) {
            let rule = weight_rule("absmax", Levels::Int4).unwrap();
            let rule = Rule { granularity, group_size: 2, ..rule };
            let artifact = Artifact::quantize(&INT4, &rule, &w, shape);
            if shape.len() == 2 && granularity == Granularity::HeadGroup {
                assert_eq!(artifact.unwrap_err().field, "granularity");
                continue;
            }
            let artifact = artifact.unwrap();
            assert_eq!(artifact.scales().len(), count, "{granularity:?} {shape:?}");
            let groups = Groups::weight(&rule, shape).unwrap();
            let q = quantize_groups(&rule, Levels::Int4, &w, &groups);
            let want = dequantize_groups(&rule, (&q.codes, &q.shared), &groups);
            assert_eq!(artifact.values().unwrap(), want, "{granularity:?} {shape:?}");
            let bytes = stored_bytes(&INT4, shape, &groups).unwrap();
            assert_eq!(bytes, artifact.byte_len() as u64);
            let rows: usize = shape[..shape.len() - 1].iter().product();
            assert_eq!(artifact.byte_len(), rows * 2 + 4 * count);
        }
    }
}

#[test]
fn zeros_of_a48_have_a_scale_of_zero() {
    let rule = weight_rule("a48", Levels::Ternary).unwrap();
    let artifact = Artifact::quantize(&TERNARY2, &rule, &[0.0; 6], &[2, 3]).unwrap();
    assert_eq!((artifact.scales(), artifact.values().unwrap()), (&[0.0][..], vec![0.0; 6]));
}

#[test]
fn rules_that_need_more_than_a_scale_are_errors() {
    let field =
        |rule: Rule| Artifact::quantize(&INT8, &rule, &[1.0; 4], &[1, 4]).unwrap_err().field;
    assert_eq!(field(activation_rule("b2_hadamard", Levels::Int8).unwrap()), "rule.rotated");
    assert_eq!(field(Rule { range: Range::Minmax, ..Rule::default() }), "rule.range");
    let row = Rule::default();
    let of = |w: &[f32]| Artifact::quantize(&INT8, &row, w, &[2, 2]).unwrap_err().field;
    assert_eq!(of(&[1.0; 3]), "w");
    assert_eq!(of(&[1.0, 1.0, f32::NAN, 1.0]), "scales[1]");
    let three = Artifact::grouped(&INT8, &row, &[2, 2], (vec![1.0; 3], vec![0; 4]));
    assert_eq!(three.unwrap_err().field, "scales");
}
