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
}

impl Need {
    /// The words `--require` takes.
    pub const WORDS: [(&'static str, Need); 3] =
        [("avx2", Need::Avx2), ("avx512vnni", Need::Avx512Vnni), ("wgpu", Need::Wgpu)];
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
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// The adapter wgpu would use, or why there is none.
    pub wgpu: Result<Adapter, String>,
}

impl Hardware {
    /// Look. Lists adapters, so it costs some milliseconds; nothing is cached.
    pub fn detect() -> Hardware {
        Hardware { wgpu: wgpu_adapter() }
    }

    /// Whether the need is met; the error is the reason, as a fragment: `no AVX2`.
    pub fn has(&self, need: Need) -> Result<(), String> {
        match need {
            Need::Nothing => Ok(()),
            Need::Avx2 => avx2().then_some(()).ok_or_else(|| "no AVX2 with FMA".into()),
            Need::Avx512Vnni => avx512vnni().then_some(()).ok_or_else(|| "no AVX-512 VNNI".into()),
            Need::Wgpu => self.wgpu.as_ref().map(drop).map_err(Clone::clone),
        }
    }

    /// Name of the device a row with that need runs on.
    pub fn device(&self, need: Need) -> String {
        match (need, &self.wgpu) {
            (Need::Wgpu, Ok(adapter)) => adapter.name.clone(),
            (Need::Wgpu, Err(_)) => "none".into(),
            _ => "cpu".into(),
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
    let best = adapters.iter().map(wgpu::Adapter::get_info).min_by_key(rank);
    let info = best.ok_or("no Vulkan, Metal or DX12 adapter (Debian: mesa-vulkan-drivers)")?;
    Ok(Adapter {
        name: info.name.clone(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        api: format!("{:?}", info.backend),
        software: info.device_type == wgpu::DeviceType::Cpu,
    })
}

#[cfg(not(feature = "wgpu"))]
fn wgpu_adapter() -> Result<Adapter, String> {
    Err("built without the `wgpu` feature".into())
}
