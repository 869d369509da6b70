//! A runtime without a device: it compiles what rows launch, keeps the text, and runs nothing.
//!
//! So every kernel in CubeCL is seen as a device would get it, CUDA C++ as well as WGSL, on a
//! machine that has neither. There is no memory: what is written is dropped, reading is an error.
mod tests;
use super::{Client, Cube, Device, guarded};
use crate::Failure;
use crate::hardware::{Hardware, Need};
use cubecl::backtrace::BackTrace;
use cubecl::bytes::Bytes;
use cubecl::device::{DeviceId, DeviceService, ServerUtilitiesHandle};
use cubecl::future::DynFut;
use cubecl::ir::features::Features;
use cubecl::ir::{
    DeviceProperties, ElemType, HardwareProperties, MemoryDeviceProperties, TargetProperties,
};
use cubecl::prelude::*;
use cubecl::profile::{ProfileDuration, TimingMethod};
use cubecl::server::{
    Binding, ComputeServer, CopyDescriptor, IoError, KernelArguments, ProfileError, ProfilingToken,
    ServerCommunication, ServerError, ServerUtilities,
};
use cubecl::stream_id::StreamId;
use cubecl::wgpu::WgslCompiler;
use cubecl::zspace::{Shape, Strides};
use cubecl::{CompilationError, Compiler, CubeTask};
use cubecl_cpp::cuda::CudaDialect;
use cubecl_cpp::cuda::mma::CudaWmmaCompiler;
use cubecl_cpp::shared::{CompilationOptions, CppCompiler, CppSupportedFeatures};
use cubecl_runtime::allocator::ContiguousMemoryLayoutPolicy;
use cubecl_runtime::logging::ServerLogger;
use cubecl_runtime::memory_management::{ManagedMemoryHandle, MemoryAllocationMode, MemoryUsage};
use cubecl_runtime::storage::{ComputeStorage, ManagedResource, StorageHandle, StorageId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Formatter};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type CudaCompiler = CppCompiler<CudaDialect<CudaWmmaCompiler>>;

/// A language that CubeCL writes.
#[derive(Clone, Debug)]
pub(super) enum Writer {
    Cuda(Box<CudaCompiler>),
    Wgsl(Box<WgslCompiler>),
}

/// Those of CubeCL for compute capability 8.0 (9.0 adds clusters, which no kernel here has).
fn cuda_options() -> CompilationOptions {
    let supports_features =
        CppSupportedFeatures { grid_constants: true, fast_math: true, ..Default::default() };
    CompilationOptions { supports_features, ..Default::default() }
}

/// What a kernel is in it.
pub(super) struct Text(String);

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Compiler for Writer {
    type Representation = Text;
    type CompilationOptions = ();

    fn compile(
        &mut self,
        kernel: KernelDefinition,
        _: &(),
        mode: ExecutionMode,
        address: StorageType,
    ) -> Result<Text, CompilationError> {
        let text = match self {
            Writer::Cuda(writer) => {
                writer.compile(kernel, &cuda_options(), mode, address)?.to_string()
            }
            Writer::Wgsl(writer) => {
                writer.compile(kernel, &Default::default(), mode, address)?.to_string()
            }
        };
        Ok(Text(text))
    }
    fn elem_size(&self, elem: ElemType) -> usize {
        match self {
            Writer::Cuda(writer) => writer.elem_size(elem),
            Writer::Wgsl(writer) => writer.elem_size(elem),
        }
    }
    fn extension(&self) -> &'static str {
        match self {
            Writer::Cuda(writer) => writer.extension(),
            Writer::Wgsl(writer) => writer.extension(),
        }
    }
}

/// A kernel as it was launched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    /// The type that `#[cube(launch)]` made, with its path.
    pub(super) kernel: String,
    /// What a CUDA device would get.
    pub(super) cuda: String,
    /// What a wgpu device would get.
    pub(super) wgsl: String,
}

impl Listed {
    fn new(kernel: &dyn CubeTask<Writer>, mode: ExecutionMode) -> Result<Listed, CompilationError> {
        let text = |mut writer| {
            let compiled = kernel.compile(&mut writer, &(), mode, kernel.address_type());
            compiled.map(|compiled| compiled.source)
        };
        Ok(Listed {
            kernel: kernel.name().to_owned(),
            cuda: text(Writer::Cuda(Box::default()))?,
            wgsl: text(Writer::Wgsl(Box::default()))?,
        })
    }
}

/// All that was asked of it so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Kernels that were launched.
    kernels: BTreeSet<Listed>,
    /// Copies between host and device, of either direction, by the stream of who asked.
    copies: BTreeMap<u64, u64>,
}

type Listing = Arc<Mutex<Seen>>;

/// The runtime.
#[derive(Clone, Debug)]
pub(super) struct Lists;

impl Lists {
    /// The rows on it.
    pub(super) const ROWS: Cube<Lists> = Cube(PhantomData);

    /// What was launched, each text once.
    pub(super) fn listed() -> BTreeSet<Listed> {
        let client = Lists::client(&Nowhere);
        client.flush().expect("every kernel compiles");
        client.info().lock().unwrap_or_else(PoisonError::into_inner).kernels.clone()
    }

    /// How many copies this thread asked for.
    pub(super) fn copies() -> u64 {
        let client = Lists::client(&Nowhere);
        client.flush().expect("every kernel compiles");
        let seen = client.info().lock().unwrap_or_else(PoisonError::into_inner);
        seen.copies.get(&StreamId::current().value).copied().unwrap_or(0)
    }
}

/// The one device.
#[derive(Clone, Debug, Default)]
pub(super) struct Nowhere;

impl cubecl::device::Device for Nowhere {
    fn from_id(_: DeviceId) -> Nowhere {
        Nowhere
    }
    fn to_id(&self) -> DeviceId {
        DeviceId { type_id: 0, index_id: 0 }
    }
}

impl Runtime for Lists {
    type Compiler = Writer;
    type Server = Lister;
    type Device = Nowhere;

    fn client(device: &Nowhere) -> ComputeClient<Lists> {
        ComputeClient::load(device)
    }
    fn name(_: &ComputeClient<Lists>) -> &'static str {
        Self::NAME
    }
    fn require_array_lengths() -> bool {
        // As CUDA does; wgpu asks the array.
        true
    }
    fn max_cube_count() -> (u32, u32, u32) {
        (65_535, 65_535, 65_535)
    }
    fn can_read_tensor(_: &Shape, _: &Strides) -> bool {
        true
    }
    fn target_properties() -> TargetProperties {
        TargetProperties { mma: Default::default() }
    }
    fn enumerate_devices(_: u16, _: &Listing) -> Vec<DeviceId> {
        vec![DeviceId { type_id: 0, index_id: 0 }]
    }
}

impl Device for Lists {
    const NAME: &'static str = "listed";
    const NEED: Need = Need::Nothing;
    fn client_on(_: &Hardware) -> Result<ComputeClient<Self>, Failure> {
        guarded("start", || Self::client(&Nowhere))
    }
    fn has_clock(_: &ComputeClient<Self>) -> bool {
        false
    }
    fn timed(_: &Client<Self>, _: &(dyn Fn(&ComputeClient<Self>) + Sync)) -> Result<f64, Failure> {
        Err(Failure("nothing runs".into()))
    }
    fn has_caches(_: &Hardware) -> bool {
        true
    }
}

/// Compiles instead of running.
pub(super) struct Lister {
    utilities: Arc<ServerUtilities<Lister>>,
    /// What did not compile since `flush` was last called.
    failed: Option<ServerError>,
}

impl Lister {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.utilities.info.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copied(&self, stream: StreamId) {
        *self.seen().copies.entry(stream.value).or_default() += 1;
    }
}

impl std::fmt::Debug for Lister {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lister").finish_non_exhaustive()
    }
}

impl DeviceService for Lister {
    fn init(_: DeviceId) -> Lister {
        let memory = MemoryDeviceProperties { max_page_size: 1 << 30, alignment: 512 };
        let (features, timing) = (Features::default(), TimingMethod::System);
        let mut properties = DeviceProperties::new(features, memory, sizes(), timing);
        cubecl_cpp::register_supported_types(&mut properties);
        let (logger, policy) = (Arc::default(), ContiguousMemoryLayoutPolicy::new(4));
        let utilities = ServerUtilities::new(properties, logger, Listing::default(), policy);
        Lister { utilities: Arc::new(utilities), failed: None }
    }
    fn utilities(&self) -> ServerUtilitiesHandle {
        self.utilities.clone()
    }
}

/// What both kinds of device have at least, but for what is only asked of CUDA (planes, tensor cores).
fn sizes() -> HardwareProperties {
    HardwareProperties {
        load_width: 128,
        plane_size_min: 32,
        plane_size_max: 32,
        max_bindings: 32,
        max_shared_memory_size: 48 << 10,
        max_cube_count: (65_535, 65_535, 65_535),
        max_units_per_cube: 1024,
        max_cube_dim: (1024, 1024, 64),
        num_streaming_multiprocessors: Some(132),
        num_cpu_cores: None,
        num_tensor_cores: Some(4),
        min_tensor_cores_dim: Some(8),
        max_vector_size: 4,
    }
}

impl ServerCommunication for Lister {
    const SERVER_COMM_ENABLED: bool = false;
}

/// Holds nothing.
pub(super) struct NoMemory;

impl ComputeStorage for NoMemory {
    type Resource = ();
    fn alignment(&self) -> usize {
        4
    }
    fn get(&mut self, _: &StorageHandle) {}
    fn alloc(&mut self, _: u64) -> Result<StorageHandle, IoError> {
        Err(IoError::UnsupportedIoOperation { backtrace: BackTrace::capture() })
    }
    fn dealloc(&mut self, _: StorageId) {}
    fn flush(&mut self) {}
}

/// What whoever wants memory hears.
fn no_memory() -> ServerError {
    IoError::UnsupportedIoOperation { backtrace: BackTrace::capture() }.into()
}

impl ComputeServer for Lister {
    type Kernel = Box<dyn CubeTask<Writer>>;
    type Storage = NoMemory;
    type MemoryLayoutPolicy = ContiguousMemoryLayoutPolicy;
    type Info = Listing;

    fn logger(&self) -> Arc<ServerLogger> {
        self.utilities.logger.clone()
    }
    fn utilities(&self) -> Arc<ServerUtilities<Self>> {
        self.utilities.clone()
    }
    fn initialize_memory(&mut self, _: ManagedMemoryHandle, _: u64, _: StreamId) {}
    fn read(
        &mut self,
        _: Vec<CopyDescriptor>,
        stream: StreamId,
    ) -> DynFut<Result<Vec<Bytes>, ServerError>> {
        self.copied(stream);
        Box::pin(async { Err(no_memory()) })
    }
    fn write(&mut self, _: Vec<(CopyDescriptor, Bytes)>, stream: StreamId) {
        self.copied(stream);
    }
    fn sync(&mut self, stream: StreamId) -> DynFut<Result<(), ServerError>> {
        let flushed = self.flush(stream);
        Box::pin(async move { flushed })
    }
    fn get_resource(
        &mut self,
        _: Binding,
        _: StreamId,
    ) -> Result<ManagedResource<()>, ServerError> {
        Err(no_memory())
    }
    unsafe fn launch(
        &mut self,
        kernel: Self::Kernel,
        _: CubeCount,
        _: KernelArguments,
        mode: ExecutionMode,
        _: StreamId,
    ) {
        match Listed::new(&*kernel, mode) {
            Ok(listed) => {
                self.seen().kernels.insert(listed);
            }
            Err(error) => self.failed = Some(LaunchError::from(error).into()),
        }
    }
    fn flush(&mut self, _: StreamId) -> Result<(), ServerError> {
        self.failed.take().map_or(Ok(()), Err)
    }
    fn memory_usage(&mut self, _: StreamId) -> Result<MemoryUsage, ServerError> {
        Err(no_memory())
    }
    fn memory_cleanup(&mut self, _: StreamId) {}
    fn start_profile(&mut self, _: StreamId) -> Result<ProfilingToken, ServerError> {
        Err(no_memory())
    }
    fn end_profile(
        &mut self,
        _: StreamId,
        _: ProfilingToken,
    ) -> Result<ProfileDuration, ProfileError> {
        Err(ProfileError::NotRegistered { backtrace: BackTrace::capture() })
    }
    fn allocation_mode(&mut self, _: MemoryAllocationMode, _: StreamId) {}
}
