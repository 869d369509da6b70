//! Defects 3 to 5: caches that remember what is no longer so.
use crate::source::caches::{ByAddress, ByShape, stack_key};
use lowbit_reference::artifact::{Artifact, Cache};
use lowbit_reference::format::{Levels, TERNARY2};
use lowbit_reference::rule::{burn_dragon, quantize};

fn ramp(len: usize, step: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 - (len as f32 - 1.0) / 2.0) * step).collect()
}

/// Ternary weights, one row.
fn ternary(w: &[f32]) -> Artifact {
    let q = quantize(&burn_dragon(Levels::Ternary), Levels::Ternary, w, w.len());
    Artifact::pack(&TERNARY2, &[1, w.len()], q.scales(), &q.codes).unwrap()
}

#[test]
fn defect_03_training_scale_caches_freeze_at_the_first_call() {
    let (first, second) = (vec![0.0f32; 16], ramp(16, 0.1));
    let mut source = ByShape::default();
    source.activations(&first);
    let (codes, scale, hit) = source.activations(&second);
    assert!(hit && scale == 1e-8 && codes.iter().all(|code| code.abs() == 127));
    // Ours has no memory: the same codes whatever came before.
    let rule = burn_dragon(Levels::Int8);
    let fresh = quantize(&rule, Levels::Int8, &second, 16);
    quantize(&rule, Levels::Int8, &first, 16);
    assert_eq!(quantize(&rule, Levels::Int8, &second, 16), fresh);
    assert!(fresh.codes.iter().any(|code| code.abs() < 127));

    // Weights ten times smaller, as after training: all zeros there, by the old scale.
    let (before, after) = (ramp(12, 0.1), ramp(12, 0.01));
    source.weights(&before);
    let (codes, _, hit) = source.weights(&after);
    assert!(hit && codes.iter().all(|code| *code == 0));
    // Ours keys by content: other weights have another scale.
    let mut scales = Cache::new(4).unwrap();
    for w in [&before, &after] {
        let artifact = ternary(w);
        let scale = *scales.get_or_make(artifact.generation(), || artifact.scales()[0]);
        let mean = w.iter().map(|w| w.abs()).sum::<f32>() / 12.0;
        assert!((scale / mean - 1.0).abs() < 1e-5, "{scale} {mean}");
        assert!(artifact.values().unwrap().iter().any(|value| *value != 0.0));
    }
    assert_eq!(scales.len(), 2);
}

#[test]
fn defect_04_an_activation_scale_warmed_up_by_zeros_saturates_what_follows() {
    let next = ramp(8, 0.25);
    let mut source = ByShape::default();
    source.activations(&[0.0; 8]);
    let (codes, ..) = source.activations(&next);
    assert!(codes.iter().all(|code| code.abs() == 127));
    let rule = burn_dragon(Levels::Int8);
    let cold = quantize(&rule, Levels::Int8, &next, 8);
    let zeros = quantize(&rule, Levels::Int8, &[0.0; 8], 8);
    assert_eq!(zeros.codes, [0; 8]);
    let q = quantize(&rule, Levels::Int8, &next, 8);
    assert_eq!(q, cold);
    // What does not saturate comes back within half a step.
    for (x, code) in next.iter().zip(&q.codes) {
        let value = rule.value(*code, &q.shared[0]);
        let half = 0.5001 * q.shared[0].scale;
        assert!(code.abs() == 127 || (x - value).abs() <= half, "{x} {value}");
    }
    assert!(q.codes.iter().any(|code| code.abs() < 127));
}

#[test]
fn defect_05_pointer_keyed_cache_returns_stale_weights() {
    let mut artifact = Box::new(ternary(&ramp(12, 0.1)));
    let values = |artifact: &Artifact| artifact.values().unwrap();
    let (mut source, mut ours) = (ByAddress::default(), Cache::new(4).unwrap());
    source.get_or_make(&*artifact, values);
    ours.get_or_make(artifact.generation(), || values(&artifact));

    let other = ternary(&ramp(12, 0.3));
    artifact.replace(other.scales().to_vec(), other.bytes().to_vec()).unwrap();
    let wanted = values(&artifact);
    assert_ne!(source.get_or_make(&*artifact, values), wanted, "the source's is stale");
    assert_eq!(ours.get_or_make(artifact.generation(), || values(&artifact)), &wanted);
}

#[test]
fn defect_05_the_address_of_a_local_clone_is_the_same_for_every_artifact() {
    let artifacts = [ternary(&ramp(12, 0.1)), ternary(&ramp(12, 0.3))];
    let keys: Vec<usize> = artifacts.iter().map(stack_key).collect();
    assert_eq!(keys[0], keys[1], "two artifacts, one key");
    assert_ne!(artifacts[0].generation(), artifacts[1].generation());
    // And a clone is the artifact it was cloned from.
    assert_eq!(artifacts[0].clone().generation(), artifacts[0].generation());
}

#[test]
fn defect_05_caches_without_a_capacity_grow_for_ever() {
    let artifacts: Vec<Artifact> = (1..=20).map(|i| ternary(&ramp(12, i as f32))).collect();
    let (mut source, mut ours) = (ByAddress::default(), Cache::new(4).unwrap());
    for artifact in &artifacts {
        source.get_or_make(artifact, |artifact| artifact.bytes().to_vec());
        ours.get_or_make(artifact.generation(), || artifact.bytes().to_vec());
    }
    assert_eq!(source.len(), 20);
    assert_eq!((ours.len(), ours.capacity()), (4, 4));
}
