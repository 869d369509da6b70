//! Kernels as text in the language of the device.
use super::{Device, Words, spread};
use cubecl::prelude::*;
use cubecl::server::KernelArguments;
use cubecl::{CompilationError, Compiler, CubeTask};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A text that is hashed once, not at every launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    text: Arc<str>,
    hash: u64,
}

impl From<String> for Source {
    fn from(text: String) -> Source {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Source { text: text.into(), hash: hasher.finish() }
    }
}

impl Hash for Source {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A kernel and what it is launched with. Its buffers are bound in their order: on wgpu each as
/// `read_write`, and each used (else it has no place in the layout), on CUDA as a pointer each.
/// CubeCL adds no checks of bounds to it; wgpu keeps accesses within a buffer's page.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    /// Name of the function; `main` on wgpu.
    pub(crate) entry: &'static str,
    pub(crate) source: Source,
    pub(crate) units: CubeDim,
    pub(crate) buffers: Vec<Words>,
    pub(crate) cubes: usize,
}

impl Raw {
    /// Enqueue it once. Without cubes there is nothing to do, and nothing to compile.
    pub(crate) fn enqueue<R: Device>(&self, client: &ComputeClient<R>)
    where
        Text: CubeTask<R::Compiler>,
    {
        if self.cubes == 0 {
            return;
        }
        let buffers = self.buffers.iter().map(|words| words.handle.clone().binding()).collect();
        let task = Text { entry: self.entry, source: self.source.clone(), units: self.units };
        let arguments = KernelArguments::new().with_buffers(buffers);
        client.launch(Box::new(task), spread(self.cubes), arguments);
    }
}

/// A source to be compiled: whatever changes it makes it another kernel.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    entry: &'static str,
    source: Source,
    units: CubeDim,
}

impl Text {
    fn compiled<C: Compiler>(&self, repr: Option<C::Representation>) -> CompiledKernel<C> {
        CompiledKernel {
            entrypoint_name: self.entry.to_owned(),
            debug_name: None,
            source: self.source.text.to_string(),
            repr,
            cube_dim: self.units,
            debug_info: None,
        }
    }
}

impl KernelMetadata for Text {
    fn id(&self) -> KernelId {
        KernelId::new::<Text>().info((self.entry, self.source.clone())).cube_dim(self.units)
    }
    fn address_type(&self) -> StorageType {
        AddressType::U32.unsigned_type()
    }
}

/// Bindings follow from the text where there is no representation of it.
#[cfg(feature = "wgpu")]
impl CubeTask<cubecl::wgpu::AutoCompiler> for Text {
    fn compile(
        &self,
        _: &mut cubecl::wgpu::AutoCompiler,
        _: &<cubecl::wgpu::AutoCompiler as Compiler>::CompilationOptions,
        _: ExecutionMode,
        _: StorageType,
    ) -> Result<CompiledKernel<cubecl::wgpu::AutoCompiler>, CompilationError> {
        Ok(self.compiled(None))
    }
}

/// CubeCL asks a representation how much dynamic shared memory there is: that of an empty kernel
/// has none.
#[cfg(feature = "cuda")]
impl CubeTask<cubecl::cuda::CudaCompiler> for Text {
    fn compile(
        &self,
        compiler: &mut cubecl::cuda::CudaCompiler,
        options: &<cubecl::cuda::CudaCompiler as Compiler>::CompilationOptions,
        mode: ExecutionMode,
        address_type: StorageType,
    ) -> Result<CompiledKernel<cubecl::cuda::CudaCompiler>, CompilationError> {
        let mut empty = KernelBuilder::default();
        empty.runtime_properties(cubecl::cuda::CudaRuntime::target_properties());
        AddressType::U32.register(&mut empty.scope);
        let settings = KernelSettings::default().cube_dim(self.units);
        let empty = empty.build(settings.address_type(AddressType::U32).kernel_name("empty"));
        let repr = compiler.compile(empty, options, mode, address_type)?;
        Ok(self.compiled(Some(repr)))
    }
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::*;
    use cubecl::cuda::CudaCompiler;

    #[test]
    fn a_text_for_cuda_asks_for_no_dynamic_memory_and_keeps_its_words() {
        let source = Source::from("// words".to_owned());
        let text = Text { entry: "gemv", source, units: CubeDim::new_1d(128) };
        let address = AddressType::U32.unsigned_type();
        let mode = ExecutionMode::Unchecked;
        let mut compiler = CudaCompiler::default();
        let made = CubeTask::<CudaCompiler>::compile(
            &text,
            &mut compiler,
            &Default::default(),
            mode,
            address,
        );
        let made = made.expect("an empty kernel");
        assert_eq!((made.entrypoint_name.as_str(), made.source.as_str()), ("gemv", "// words"));
        assert_eq!(made.repr.map(|repr| repr.shared_memory_size()), Some(0));
    }
}
