//! No parser, packer or operation panics, whatever it is given; none asks for memory that its
//! input does not justify, and all come to an end.
//!
//! Every target gets its share of the inputs: 60,000 in all, a million with the feature `heavy`.
//! Input `i` of a target is made by a ChaCha8 generator seeded with the target's name and `i`, so
//! a failure names all that is needed to see it again. Memory and time
//! are [guarded](guard).
mod configs;
mod formats;
mod guard;
mod input;
mod layers;
mod ops;
mod states;
use input::{Input, SEED};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Inputs in all.
const INPUTS: u64 = if cfg!(feature = "heavy") { 1_000_000 } else { 60_000 };

/// Something that must not panic.
pub(crate) struct Target {
    name: &'static str,
    run: fn(&mut Input),
}

/// A target by the name of its function.
macro_rules! targets {
    ($($name:ident)*) => {
        pub(crate) static TARGETS: &[$crate::Target] =
            &[$($crate::Target { name: stringify!($name), run: $name }),*];
    };
}
pub(crate) use targets;

fn all() -> impl Iterator<Item = &'static Target> {
    let parts = [formats::TARGETS, states::TARGETS, ops::TARGETS, layers::TARGETS];
    parts.into_iter().chain([configs::TARGETS]).flatten()
}

/// The first input that the target at this place panics on, as a sentence.
fn hunt((place, target): (usize, &Target), inputs: u64) -> Option<String> {
    for number in 0..inputs {
        guard::announce(place, number);
        let run = || (target.run)(&mut Input::new(target.name, number));
        let Err(panic) = catch_unwind(AssertUnwindSafe(run)) else { continue };
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref().copied()).unwrap_or("no message");
        return Some(format!("input {number} of `{}` (seed {SEED}): {text}", target.name));
    }
    None
}

/// A panic is found, and at the input it is at.
fn check_that_panics_are_found() {
    let run = |input: &mut Input| assert!(input.number() < 7, "seven");
    let seventh = Target { name: "seventh", run };
    let found = hunt((0, &seventh), 10);
    assert_eq!(found, Some(format!("input 7 of `seventh` (seed {SEED}): seven")));
    assert_eq!(hunt((0, &seventh), 7), None);
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    check_that_panics_are_found();
    guard::watch();
    let count = all().count();
    let share = INPUTS.div_ceil(count as u64);
    let mut failures = Vec::new();
    for (place, target) in all().enumerate() {
        let found = hunt((place, target), share);
        let result = found.as_deref().unwrap_or("ok");
        println!("{place:>2} {:<24} {share} inputs, {result}", target.name);
        failures.extend(found);
    }
    println!("{} inputs to {count} targets", share * count as u64);
    failures.iter().for_each(|failure| eprintln!("panic: {failure}"));
    ExitCode::from(u8::from(!failures.is_empty()))
}
