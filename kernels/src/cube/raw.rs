//! Kernels as text in the language of the device.
use super::{Device, Words, spread};
use cubecl::prelude::*;
use cubecl::server::KernelArguments;
use cubecl::{CompilationError, Compiler, CubeTask};
use std::sync::Arc;

/// A kernel and what it is launched with. Its entry point is `main`, and its buffers are bound in
/// their order: on wgpu each as `read_write`, and each used (else it has no place in the layout).
/// CubeCL adds no checks of bounds to it; wgpu keeps accesses within a buffer's page.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) source: Arc<str>,
    pub(crate) units: CubeDim,
    pub(crate) buffers: Vec<Words>,
    pub(crate) cubes: usize,
}

impl Raw {
    /// Enqueue it once.
    pub(crate) fn enqueue<R: Device>(&self, client: &ComputeClient<R>)
    where
        Text: CubeTask<R::Compiler>,
    {
        let buffers = self.buffers.iter().map(|words| words.handle.clone().binding()).collect();
        let task = Text { source: self.source.clone(), units: self.units };
        let arguments = KernelArguments::new().with_buffers(buffers);
        client.launch(Box::new(task), spread(self.cubes), arguments);
    }
}

/// A source to be compiled: whatever changes it makes it another kernel.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    source: Arc<str>,
    units: CubeDim,
}

impl KernelMetadata for Text {
    fn id(&self) -> KernelId {
        KernelId::new::<Text>().info(self.source.clone()).cube_dim(self.units)
    }
    fn address_type(&self) -> StorageType {
        AddressType::U32.unsigned_type()
    }
}

impl<C: Compiler> CubeTask<C> for Text {
    fn compile(
        &self,
        _: &mut C,
        _: &C::CompilationOptions,
        _: ExecutionMode,
        _: StorageType,
    ) -> Result<CompiledKernel<C>, CompilationError> {
        Ok(CompiledKernel {
            entrypoint_name: "main".to_owned(),
            debug_name: None,
            source: self.source.to_string(),
            repr: None,
            cube_dim: self.units,
            debug_info: None,
        })
    }
}
