//! Kernels that NVRTC has compiled, kept on disk from one process to the next.
//!
//! CubeCL 0.10 can keep PTX in a file, but under a key that holds neither the text of a kernel nor what
//! compiled it for which device: after a change it would answer with the kernel of yesterday. So the
//! folder it keeps them in is named by all of that: a hash of the whole executable (which holds every
//! kernel, in CubeCL and in CUDA C++), the device's compute capability, its driver, its NVRTC, and
//! where the toolkit is and what its `version.json` says.
//!
//! Only a `lowbit worker` asks for it ([`keep`]), since CubeCL reads its configuration once in a
//! process: a check of a kernel in somebody's tests compiles anew. The folders may be removed whenever
//! no worker runs; one that was not used for a week is.
use crate::hardware::{CudaDevice, Hardware};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a folder stays that nobody uses.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The file in each folder that says when it was used.
const USED: &str = "used";

/// Keep what NVRTC compiles for the first CUDA device in the user's cache folder, for this executable
/// alone. Before the first kernel of a process: later it changes nothing. Without such a folder that
/// can be written, or without a CUDA device, nothing is kept, and every process compiles.
pub fn keep(hardware: &Hardware) {
    let (Ok(device), Ok(program)) = (&hardware.cuda, std::env::current_exe()) else { return };
    if let Some(base) = users_folder()
        && let Ok(folder) = folder(&base.join("lowbit").join("ptx"), &program, (device, &toolkit()))
    {
        configure(folder);
    }
}

/// The folder for kernels of that executable on that device by that toolkit, made under `base` where
/// it is not there, and marked as used. Folders that nobody used for long are removed.
fn folder(base: &Path, program: &Path, on: (&CudaDevice, &str)) -> io::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    let (mut file, mut piece) = (File::open(program)?, vec![0u8; 1 << 20]);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hasher.write(&piece[..read]),
        }
    }
    let (device, toolkit) = on;
    (&device.capability, &device.driver, &device.compiler, toolkit).hash(&mut hasher);
    let folder = base.join(format!("{:016x}", hasher.finish()));
    std::fs::create_dir_all(&folder)?;
    // CubeCL panics where it cannot write.
    File::create(folder.join(USED))?.write_all(b".")?;
    if let Some(now) = used(&folder) {
        remove_unused(base, now);
    }
    Ok(folder)
}

/// When a folder was used last.
fn used(folder: &Path) -> Option<SystemTime> {
    std::fs::metadata(folder.join(USED)).ok()?.modified().ok()
}

/// Remove the folders that were not used for long; what cannot be removed stays.
fn remove_unused(base: &Path, now: SystemTime) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let age = used(&entry.path()).and_then(|used| now.duration_since(used).ok());
        if age.is_some_and(|age| age > KEPT) {
            // Another process may do the same.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(feature = "cuda")]
fn users_folder() -> Option<PathBuf> {
    dirs::cache_dir()
}
#[cfg(not(feature = "cuda"))]
fn users_folder() -> Option<PathBuf> {
    None
}

/// Where the toolkit is whose headers kernels include, and its version.
#[cfg(feature = "cuda")]
fn toolkit() -> String {
    let path = cubecl::cuda::install::cuda_path().and_then(|path| path.canonicalize().ok());
    let version = path.as_ref().and_then(|path| std::fs::read(path.join("version.json")).ok());
    format!("{path:?} {}", String::from_utf8_lossy(&version.unwrap_or_default()))
}
#[cfg(not(feature = "cuda"))]
fn toolkit() -> String {
    String::new()
}

/// Tell CubeCL, unless it has its configuration already.
#[cfg(feature = "cuda")]
fn configure(folder: PathBuf) {
    use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig, cache::CacheConfig};
    // A `cubecl.toml` that cannot be read panics: CubeCL will say so again where it is needed.
    let read = || CubeClRuntimeConfig::from_current_dir().override_from_env();
    let Ok(mut config) = std::panic::catch_unwind(read) else { return };
    config.compilation.cache = Some(CacheConfig::File(folder));
    let mut state = CubeClRuntimeConfig::storage().lock();
    if state.is_none() {
        *state = Some(std::sync::Arc::new(config));
    }
}
#[cfg(not(feature = "cuda"))]
fn configure(_: PathBuf) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> CudaDevice {
        let text = |text: &str| text.to_owned();
        CudaDevice {
            name: text("A GPU"),
            capability: text("9.0"),
            driver: text("13.0"),
            compiler: text("13.0"),
            memory_bytes: 1,
            features: Vec::new(),
            others: Vec::new(),
        }
    }

    /// A folder of this test's own, empty.
    fn empty(name: &str) -> PathBuf {
        let base = std::env::temp_dir().join(format!("lowbit-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&base);
        std::fs::create_dir_all(&base).expect("writable");
        base
    }

    /// One byte of the executable more, another device, driver, compiler or toolkit: another folder.
    #[test]
    fn a_change_of_anything_that_decides_a_kernel_changes_the_folder() {
        let base = empty("compiled");
        let program = base.join("program");
        let of = |device: &CudaDevice, toolkit: &str| {
            folder(&base.join("ptx"), &program, (device, toolkit)).expect("a folder")
        };
        std::fs::write(&program, "kernels").expect("writable");
        let first = of(&device(), "13.0.1");
        assert_eq!(of(&device(), "13.0.1"), first);
        let others: [fn(&mut CudaDevice); 3] = [
            |device| device.capability = "8.0".into(),
            |device| device.driver = "12.9".into(),
            |device| device.compiler = "12.9".into(),
        ];
        let mut seen = vec![first, of(&device(), "13.0.2")];
        for change in others {
            let mut other = device();
            change(&mut other);
            seen.push(of(&other, "13.0.1"));
        }
        std::fs::write(&program, "kernels.").expect("writable");
        seen.push(of(&device(), "13.0.1"));
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 6);
        std::fs::remove_dir_all(base).expect("removable");
    }

    #[test]
    fn folders_that_nobody_uses_go_and_others_stay() {
        let base = empty("compiled-old");
        let program = base.join("program");
        let of = |build: &str| {
            std::fs::write(&program, build).expect("writable");
            folder(&base.join("ptx"), &program, (&device(), "")).expect("a folder")
        };
        let [unused, in_use, used_again] = ["1", "2", "3"].map(of);
        for (folder, weeks) in [(&unused, 9), (&in_use, 6), (&used_again, 9)] {
            let mark = File::options().write(true).open(folder.join(USED)).expect("a mark");
            let now = used(folder).expect("a time");
            mark.set_modified(now - weeks * KEPT / 8).expect("a time");
        }
        assert_eq!(of("3"), used_again);
        assert!(!unused.exists());
        assert!(in_use.exists() && used_again.exists());
        std::fs::remove_dir_all(base).expect("removable");
    }

    /// CubeCL would panic there.
    #[test]
    fn without_an_executable_or_a_place_to_write_there_is_no_folder() {
        let base = empty("compiled-none");
        let missing = folder(&base.join("ptx"), &base.join("missing"), (&device(), ""));
        assert!(missing.is_err() && !base.join("ptx").exists());
        let program = base.join("program");
        std::fs::write(&program, "kernels").expect("writable");
        std::fs::write(base.join("ptx"), "a file").expect("writable");
        assert!(folder(&base.join("ptx"), &program, (&device(), "")).is_err());
        std::fs::remove_dir_all(base).expect("removable");
    }
}
