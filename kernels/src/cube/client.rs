//! The one way between host and device, where every copy is counted.
//!
//! Clippy forbids the client's own copies everywhere else, so that a launch which moves bytes
//! shows it (`Prepared::host_copies`), and is refused by the harness.
use super::{Device, failure, guarded};
use crate::Failure;
use crate::context::Context;
use cubecl::bytes::Bytes;
use cubecl::future::block_on;
use cubecl::prelude::*;
use cubecl::server::Handle;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A client of CubeCL that counts. Clones count together.
#[derive(Clone)]
pub(crate) struct Client<R: Runtime> {
    inner: ComputeClient<R>,
    copies: Arc<AtomicU64>,
}

impl<R: Device> Client<R> {
    /// On the device of the context.
    pub(crate) fn open(context: &Context) -> Result<Client<R>, Failure> {
        Ok(Client { inner: R::client_on(context.hardware())?, copies: Arc::default() })
    }

    /// Where kernels are launched.
    pub(crate) fn launcher(&self) -> &ComputeClient<R> {
        &self.inner
    }

    /// How many copies there were, of either direction.
    pub(crate) fn copies(&self) -> u64 {
        self.copies.load(Ordering::Relaxed)
    }

    /// A copy of `bytes` on the device.
    #[expect(clippy::disallowed_methods, reason = "counted")]
    pub(crate) fn upload(&self, bytes: &[u8]) -> Result<Handle, Failure> {
        self.copies.fetch_add(1, Ordering::Relaxed);
        guarded("upload", || self.inner.create_from_slice(bytes))
    }

    /// A copy of what the handle names, once the launches before it are known to have worked.
    #[expect(clippy::disallowed_methods, reason = "counted")]
    pub(crate) fn download(&self, handle: Handle) -> Result<Bytes, Failure> {
        self.copies.fetch_add(1, Ordering::Relaxed);
        self.flush()?;
        guarded("read", || self.inner.read_one(handle))?.map_err(|e| failure("read", e))
    }

    /// Wait for everything launched, and report what went wrong with it.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        self.flush()?;
        guarded("sync", || block_on(self.inner.sync()))?.map_err(|e| failure("sync", e))
    }

    /// Bytes of the device that its allocator has given out, where it says.
    pub(crate) fn bytes_in_use(&self) -> Option<u64> {
        let usage = guarded("memory usage", || self.inner.memory_usage());
        usage.ok()?.ok().map(|usage| usage.bytes_in_use)
    }

    fn flush(&self) -> Result<(), Failure> {
        guarded("flush", || self.inner.flush())?.map_err(|e| failure("launch", e))
    }
}
