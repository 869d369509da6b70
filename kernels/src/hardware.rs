//! What this machine has. A missing device is data with a reason, never a panic.
use serde::{Deserialize, Serialize};

/// Hardware a row may need; also the words of `--require`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Runs anywhere.
    Nothing,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, VL and VNNI.
    Avx512Vnni,
    /// A wgpu adapter (software Vulkan counts).
    Wgpu,
    /// A CUDA device, NVRTC and the headers of the toolkit.
    Cuda,
    /// The same of compute capability 8.0: integer tensor cores, copies past the registers.
    CudaAmpere,
}

impl Need {
    /// The words `--require` takes.
    pub const WORDS: [(&'static str, Need); 4] = [
        ("avx2", Need::Avx2),
        ("avx512vnni", Need::Avx512Vnni),
        ("wgpu", Need::Wgpu),
        ("cuda", Need::Cuda),
    ];

    /// What the row's device is reached through, where it computes on one, not with the processor's own
    /// instructions.
    pub fn api(self) -> Option<&'static str> {
        match self {
            Need::Wgpu => Some("wgpu"),
            Need::Cuda | Need::CudaAmpere => Some("cuda"),
            Need::Nothing | Need::Avx2 | Need::Avx512Vnni => None,
        }
    }

    /// Whether the row computes on a device.
    pub fn is_device(self) -> bool {
        self.api().is_some()
    }
}

/// A wgpu adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// Name the driver gives.
    pub name: String,
    /// Driver and version.
    pub driver: String,
    /// API it is reached through.
    pub api: String,
    /// Whether it computes on the CPU (Mesa's llvmpipe).
    pub software: bool,
    /// What it can do beyond what every adapter can, and its limits.
    #[serde(default)]
    pub features: Vec<String>,
    /// The other adapters, which no row runs on.
    #[serde(default)]
    pub others: Vec<String>,
}

/// A CUDA device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CudaDevice {
    /// Name the driver gives.
    pub name: String,
    /// Compute capability: `9.0`.
    pub capability: String,
    /// The newest CUDA that the driver knows: `13.0`.
    pub driver: String,
    /// The NVRTC that compiles for it: `13.0`; empty in runs from before it was recorded.
    #[serde(default)]
    pub compiler: String,
    /// Bytes of its memory.
    pub memory_bytes: u64,
    /// How many processors it has, and their shared memory.
    #[serde(default)]
    pub features: Vec<String>,
    /// The other devices, which no row runs on.
    #[serde(default)]
    pub others: Vec<String>,
}

impl CudaDevice {
    /// The first number of the compute capability.
    fn major(&self) -> u32 {
        self.capability.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// The adapter wgpu would use, or why there is none.
    pub wgpu: Result<Adapter, String>,
    /// The first CUDA device, or why there is none that can be used.
    pub cuda: Result<CudaDevice, String>,
}

impl Hardware {
    /// Look. Lists adapters, so it costs some milliseconds; nothing is cached.
    pub fn detect() -> Hardware {
        Hardware { wgpu: wgpu_adapter(), cuda: cuda_device() }
    }

    /// No device, for that reason, whatever there is.
    pub fn without_devices(why: &str) -> Hardware {
        Hardware { wgpu: Err(why.to_owned()), cuda: Err(why.to_owned()) }
    }

    /// Whether the need is met; the error is the reason, as a fragment: `no AVX2`.
    pub fn has(&self, need: Need) -> Result<(), String> {
        match need {
            Need::Nothing => Ok(()),
            Need::Avx2 => avx2().then_some(()).ok_or_else(|| "no AVX2 with FMA".into()),
            Need::Avx512Vnni => avx512vnni().then_some(()).ok_or_else(|| "no AVX-512 VNNI".into()),
            Need::Wgpu => self.wgpu.as_ref().map(drop).map_err(Clone::clone),
            Need::Cuda => self.cuda.as_ref().map(drop).map_err(Clone::clone),
            Need::CudaAmpere => match &self.cuda {
                Ok(device) if device.major() < 8 => {
                    Err(format!("compute capability {}, 8.0 is needed", device.capability))
                }
                Ok(_) => Ok(()),
                Err(why) => Err(why.clone()),
            },
        }
    }

    /// Name of the device a row with that need runs on.
    pub fn device(&self, need: Need) -> String {
        let named = |name: Option<&String>| name.map_or("none", String::as_str).to_owned();
        match need {
            Need::Wgpu => named(self.wgpu.as_ref().ok().map(|adapter| &adapter.name)),
            Need::Cuda | Need::CudaAmpere => {
                named(self.cuda.as_ref().ok().map(|device| &device.name))
            }
            Need::Nothing | Need::Avx2 | Need::Avx512Vnni => "cpu".into(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}
#[cfg(target_arch = "x86_64")]
pub(crate) fn avx512vnni() -> bool {
    avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn avx2() -> bool {
    false
}
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn avx512vnni() -> bool {
    false
}

/// The first adapter of a compute API. CubeCL panics where there is none, so we ask wgpu first.
#[cfg(feature = "wgpu")]
fn wgpu_adapter() -> Result<Adapter, String> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = cubecl::future::block_on(instance.enumerate_adapters(backends));
    // The order CubeCL's default device prefers: discrete, integrated, virtual, software.
    let rank = |info: &wgpu::AdapterInfo| match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    let mut adapters: Vec<_> = adapters.iter().map(|a| (a.get_info(), a)).collect();
    adapters.sort_by_key(|(info, _)| rank(info));
    let Some(((info, adapter), others)) = adapters.split_first() else {
        return Err("no Vulkan, Metal or DX12 adapter (Debian: mesa-vulkan-drivers)".into());
    };
    let named =
        |(other, _): &(wgpu::AdapterInfo, _)| format!("{} ({:?})", other.name, other.backend);
    Ok(Adapter {
        name: info.name.clone(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        api: format!("{:?}", info.backend),
        software: info.device_type == wgpu::DeviceType::Cpu,
        features: wgpu_features(adapter),
        others: others.iter().map(named).collect(),
    })
}

/// What rows and clocks may use, and how large buffers may be.
#[cfg(feature = "wgpu")]
fn wgpu_features(adapter: &wgpu::Adapter) -> Vec<String> {
    let (has, limits) = (adapter.features(), adapter.limits());
    let known = [
        (wgpu::Features::TIMESTAMP_QUERY, "timestamp queries"),
        (wgpu::Features::SUBGROUP, "subgroups"),
        (wgpu::Features::SHADER_F16, "f16"),
    ];
    let named = known.iter().filter(|(feature, _)| has.contains(*feature));
    let named = named.map(|(_, name)| (*name).to_owned());
    let buffer = limits.max_storage_buffer_binding_size >> 20;
    let shared = limits.max_compute_workgroup_storage_size >> 10;
    let sizes = [format!("binds {buffer} MiB"), format!("{shared} KiB of shared memory")];
    named.chain(sizes).collect()
}

#[cfg(not(feature = "wgpu"))]
fn wgpu_adapter() -> Result<Adapter, String> {
    Err("built without the `wgpu` feature".into())
}

/// The first device of the driver. cudarc panics where it cannot load a library, and CubeCL where
/// there are no headers, so each is looked for first.
#[cfg(feature = "cuda")]
fn cuda_device() -> Result<CudaDevice, String> {
    use cudarc::driver::result::{self, device};
    use cudarc::driver::sys::{self, CUdevice_attribute};
    // SAFETY: tries to load the library, nothing else.
    if !unsafe { sys::is_culib_present() } {
        return Err("no CUDA driver (libcuda)".into());
    }
    let failed = |what: &str, error: result::DriverError| format!("CUDA: {what}: {error}");
    result::init().map_err(|e| failed("initialization", e))?;
    let count = device::get_count().map_err(|e| failed("counting devices", e))?;
    if count < 1 {
        return Err("no CUDA device".into());
    }
    // SAFETY: as above.
    if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Err("no NVRTC (libnvrtc of the CUDA toolkit)".into());
    }
    let toolkit = cubecl::cuda::install::cuda_path()
        .ok_or("no CUDA headers (no CUDA_PATH, /usr/local/cuda or /opt/cuda)")?;
    if !toolkit.join("include/cuda_runtime.h").exists() {
        return Err(format!("no include/cuda_runtime.h under {}", toolkit.display()));
    }
    let first = device::get(0).map_err(|e| failed("the first device", e))?;
    let attribute = |attribute| {
        // SAFETY: the driver gave the device.
        unsafe { device::get_attribute(first, attribute) }.map_err(|e| failed("an attribute", e))
    };
    let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let processors = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
    let shared = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR;
    let shared = attribute(shared)? >> 10;
    let mut driver = 0;
    // SAFETY: the pointer is to a number on the stack.
    let found = unsafe { sys::cuDriverGetVersion(&raw mut driver) }.result();
    found.map_err(|e| failed("the driver's version", e))?;
    let (mut nvrtc_major, mut nvrtc_minor) = (0, 0);
    // SAFETY: the pointers are to numbers on the stack.
    let found =
        unsafe { cudarc::nvrtc::sys::nvrtcVersion(&raw mut nvrtc_major, &raw mut nvrtc_minor) };
    found.result().map_err(|e| format!("CUDA: NVRTC's version: {e}"))?;
    // SAFETY: the driver gave the device.
    let memory = unsafe { device::total_mem(first) }.map_err(|e| failed("memory", e))?;
    let name = |device| device::get_name(device).map_err(|e| failed("a name", e));
    Ok(CudaDevice {
        name: name(first)?,
        capability: format!("{major}.{minor}"),
        driver: format!("{}.{}", driver / 1000, driver % 1000 / 10),
        compiler: format!("{nvrtc_major}.{nvrtc_minor}"),
        memory_bytes: memory as u64,
        features: vec![
            format!("{processors} multiprocessors"),
            format!("{shared} KiB of shared memory in each"),
        ],
        others: (1..count).filter_map(|at| name(device::get(at).ok()?).ok()).collect(),
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda_device() -> Result<CudaDevice, String> {
    Err("built without the `cuda` feature".into())
}
