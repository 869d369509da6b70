//! How this thread computes: a launch that leaves subnormals flushed, or another rounding, changes
//! what runs after it, the reference included. So it is undone where it is seen.
use lowbit_kernels::Failure;
use std::hint::black_box;

/// Subnormals are kept, as operands and as results, and sums are rounded to nearest; the error says
/// which is not so.
pub(crate) fn as_ever() -> Result<(), Failure> {
    let (least, ulp) = (f32::MIN_POSITIVE, f32::EPSILON);
    let sum = |share: f32| black_box(1.0f32) + black_box(share * ulp);
    let kept = black_box(least) * black_box(0.5) > 0.0
        && black_box(f32::from_bits(1)) * black_box(2f32.powi(64)) > 0.0;
    let nearest = sum(0.75) > 1.0 && sum(0.25) == 1.0;
    if !(kept && nearest) {
        reset();
    }
    match (kept, nearest) {
        (false, _) => Err(Failure("the launch leaves its thread flushing subnormals".into())),
        (_, false) => Err(Failure("the launch leaves its thread rounding otherwise".into())),
        _ => Ok(()),
    }
}

/// The control register as a thread begins with it.
#[cfg(target_arch = "x86_64")]
fn reset() {
    let begins = 0x1f80u32;
    // SAFETY: SSE is part of x86-64; the register is loaded from `begins`, whose bits are all allowed.
    unsafe { std::arch::asm!("ldmxcsr [{at}]", at = in(reg) &raw const begins) }
}
#[cfg(not(target_arch = "x86_64"))]
fn reset() {}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Adds bits to the control register of this thread, which ends with the test.
    fn with(bits: u32) -> Result<(), Failure> {
        let control = move || {
            let mut state = 0u32;
            let at = &raw mut state;
            // SAFETY: SSE is part of x86-64; the register is stored to and loaded from `state`.
            unsafe {
                std::arch::asm!("stmxcsr [{at}]", at = in(reg) at);
                *at |= bits;
                std::arch::asm!("ldmxcsr [{at}]", at = in(reg) at);
            }
            let seen = as_ever();
            assert!(as_ever().is_ok(), "it is not undone");
            seen
        };
        std::thread::spawn(control).join().expect("no panic")
    }

    #[test]
    fn flushing_and_other_roundings_are_seen() {
        assert!(with(0).is_ok());
        for (bits, what) in [
            (0x40, "flush"),
            (0x8000, "flush"),
            (0x2000, "round"),
            (0x4000, "round"),
            (0x6000, "round"),
        ] {
            let Err(Failure(why)) = with(bits) else { panic!("{bits:#x} is not seen") };
            assert!(why.contains(what), "{bits:#x}: {why}");
        }
    }
}
