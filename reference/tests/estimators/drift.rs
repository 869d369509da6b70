//! Fifty steps of training: losses and latent weights stay within the bound of the scalar trainer,
//! and no wrong trainer does.
use super::near::{Meaning, Scalar};
use super::trainer::{Fault, Task, Trainer, Trains};

const STEPS: usize = 50;
const SEED: u64 = 7;

/// What fifty steps came to: the largest error over its bound, of losses and of latent weights, and
/// both ends of the loss.
#[derive(Clone, Copy, Debug, Default)]
struct Drift {
    loss: f64,
    weights: f64,
    first_loss: f64,
    last_loss: f64,
    /// Largest bound of a latent weight over the largest weight.
    relative_bound: f64,
    /// Codes and masks that either trainer might have decided otherwise.
    doubts: usize,
}

fn over(error: f64, bound: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / bound }
}

/// Compare a trainer with the scalar one, step by step.
fn drift(task: &Task, trainer: &mut dyn Trains) -> Drift {
    let mut scalar = Scalar::new(task);
    let mut seen = Drift::default();
    for i in 0..STEPS {
        let taken = trainer.step();
        let (want, got) = (scalar.step(&taken), f64::from(taken.loss));
        assert!(want.off.is_finite(), "{want:?}");
        seen.loss = seen.loss.max(over((got - want.value).abs(), want.off));
        seen.first_loss = if i == 0 { got } else { seen.first_loss };
        seen.last_loss = got;
    }
    let [first, second] = trainer.weights();
    let want = scalar.first.iter().chain(&scalar.second);
    let mut largest = 0.0f64;
    for (want, got) in want.zip(first.iter().chain(&second)) {
        seen.weights = seen.weights.max(over((f64::from(*got) - want.value).abs(), want.off));
        seen.relative_bound = seen.relative_bound.max(want.off);
        largest = largest.max(want.value.abs());
    }
    seen.relative_bound /= largest;
    seen.doubts = scalar.doubts;
    seen
}

fn ours(task: &Task, fault: Fault) -> Drift {
    drift(task, &mut Trainer::new(task, fault))
}

fn tasks() -> impl Iterator<Item = Task> {
    let tasks = [(Meaning::Ternary, false), (Meaning::Ternary, true), (Meaning::Absmax, false)];
    tasks.into_iter().map(|(meaning, clipped)| Task::new(SEED, meaning, clipped))
}

#[test]
fn fifty_steps_stay_within_the_bound_of_the_scalar_trainer() {
    for task in tasks() {
        let seen = ours(&task, Fault::None);
        println!("{:?} clipped={}: {seen:?}", task.meaning, task.clipped);
        assert!(seen.loss <= 1.0 && seen.weights <= 1.0, "{seen:?}");
        // It learns, and the bound says something.
        assert!(seen.last_loss < 0.5 * seen.first_loss, "{seen:?}");
        assert!(seen.relative_bound < 1e-2, "{seen:?}");
    }
}

#[test]
fn every_wrong_trainer_leaves_the_bound() {
    for task in tasks() {
        for fault in [
            Fault::Doubled,
            Fault::NoReluMask,
            Fault::NoClipMask,
            Fault::FrozenScale,
            Fault::Latent,
            Fault::Truncated,
        ] {
            if fault == Fault::NoClipMask && !task.clipped {
                continue;
            }
            let seen = ours(&task, fault);
            println!("{:?} {fault:?}: {seen:?}", task.meaning);
            assert!(seen.loss.max(seen.weights) > 100.0, "{fault:?}: {seen:?}");
        }
    }
}

#[cfg(feature = "burn")]
#[test]
fn burns_automatic_differentiation_stays_within_the_same_bound() {
    for task in tasks().filter(|task| !task.clipped) {
        let seen = drift(&task, &mut super::trainer::ByBurn::new(&task));
        println!("burn {:?}: {seen:?}", task.meaning);
        assert!(seen.loss <= 1.0 && seen.weights <= 1.0, "{seen:?}");
    }
}
