//! The loop the CPU rows of `conv2d` share; an instruction set supplies a tile of sums.
//!
//! Convolution is a product of matrices whose left one, a row per output pixel, is never written
//! down: [`super::layout`] has the places of its elements. A tile is some pixels by the `PANEL`
//! output channels of a panel; its weights stream from one place, and each cell is broadcast to
//! all channels. A block of tiles meets all panels while its cells stay in L2.
//!
//! Bytes come as `x + 128`, padding too, so that `128 sum w` taken off each sum sets it right. All
//! of it wraps modulo 2^32, and `|sum x w| < 2^31` up to `linear::max_k` products, so the result is
//! exact even where a partial sum wraps. Threads split pixels or, where there are few, panels.
use super::depthwise::{self, Depthwise};
use super::layout::{Cell, Float, Layout};
use crate::buffer::Buffer;
use crate::context::Context;
use crate::plane::Taps;
use crate::pool::Pool;
use crate::{Failure, Prepared};
use lowbit_reference::op::conv2d::{Conv2dProblem, Conv2dTensors};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use std::ops::Range;

/// Bytes of cells that all panels pass over: a quarter of a 1 MiB L2.
const BLOCK_BYTES: usize = 256 << 10;

/// Some output pixels of a panel.
pub(super) struct Tile<'a, C: Cell> {
    /// The packed panel.
    pub(super) weights: &'a [C::Weight],
    /// Cells of the group.
    pub(super) x: &'a [C::Stored],
    /// Where the taps stand.
    pub(super) steps: &'a Taps,
    /// Where each pixel's first tap stands; at least one pixel, at most `PIXELS`.
    pub(super) pixels: &'a [usize],
    /// What is taken off the sums of each channel.
    pub(super) offsets: &'a [i32],
    /// What they are multiplied by.
    pub(super) scales: &'a [f32],
}

impl<C: Cell> Tile<'_, C> {
    /// The places of `T` pixels, the last one repeated where there are fewer. Every tap of each
    /// lies within the cells.
    ///
    /// # Panics
    /// If it does not, which the layout rules out.
    #[inline(always)]
    pub(super) fn places<const T: usize>(&self) -> [usize; T] {
        let last = self.pixels.len() - 1;
        let places = std::array::from_fn(|t| self.pixels[t.min(last)]);
        assert!(places.iter().all(|place| place + self.steps.reach() < self.x.len()));
        places
    }
}

/// Sums as an instruction set does them, `PANEL` output channels at a time.
pub(super) trait Dot<C: Cell, const PANEL: usize>: Copy + Sync {
    /// Pixels of a tile.
    const PIXELS: usize;
    /// The outputs of a tile: `(sum - offset) scale` for integers, the sum for floats, from `at` on
    /// in the slice of each channel.
    fn tile(self, tile: &Tile<'_, C>, y: &mut [&mut [f32]], at: usize);
}

/// Integer sums for int8, f32 sums for f32.
pub(super) fn arithmetic(problem: &Conv2dProblem) -> Arithmetic {
    match problem.tensors {
        Conv2dTensors::F32 => Arithmetic::FLOAT,
        Conv2dTensors::Int8 { .. } => Arithmetic::INTEGER,
    }
}

/// Bind a problem to an instruction set: cells `C` for int8, floats otherwise.
pub(super) fn bind<'p, D, C, const PANEL: usize>(
    dot: D,
    problem: &'p Conv2dProblem,
    context: &mut Context,
) -> Result<Box<dyn Prepared + 'p>, Failure>
where
    D: Dot<C, PANEL> + Dot<Float, PANEL> + Depthwise + 'p,
    C: Cell<Value = i8>,
{
    if depthwise::takes(problem) {
        return depthwise::bind(dot, problem, context);
    }
    Ok(match &problem.tensors {
        Conv2dTensors::F32 => {
            let tensors = (&problem.x_f32[..], &problem.w_f32[..]);
            Box::new(Run::<D, Float, PANEL>::new(dot, tensors, problem, context)?)
        }
        Conv2dTensors::Int8 { x, w, .. } => {
            Box::new(Run::<D, C, PANEL>::new(dot, (x, w), problem, context)?)
        }
    })
}

struct Run<D, C: Cell, const PANEL: usize> {
    dot: D,
    pool: Pool,
    layout: Layout,
    x: Buffer<C::Value>,
    cells: Buffer<C::Stored>,
    weights: Buffer<C::Weight>,
    offsets: Buffer<i32>,
    scales: Buffer<f32>,
    y: Buffer<f32>,
}

impl<D: Dot<C, PANEL>, C: Cell, const PANEL: usize> Run<D, C, PANEL> {
    fn new(
        dot: D,
        (x, w): (&[C::Value], &[C::Value]),
        problem: &Conv2dProblem,
        context: &mut Context,
    ) -> Result<Self, Failure> {
        let shape = problem.shape;
        let layout = Layout::new(shape, C::CHANNELS)?;
        let mut cells = context.buffer("cells", layout.all_planes() * layout.pitch);
        cells.fill(C::ZERO);
        let panels = shape.groups * layout.panels(PANEL);
        let mut weights = context.buffer("weights", panels * layout.panel::<C>(PANEL));
        layout.pack::<C>(w, PANEL, &mut weights);
        let scales: Vec<f32> = (0..shape.outputs).map(|o| problem.scale(o)).collect();
        Ok(Run {
            dot,
            pool: context.pool().clone(),
            x: context.copy("x", x),
            cells,
            weights,
            offsets: context.copy("offsets", &layout.offsets::<C>(w)),
            scales: context.copy("scales", &scales),
            y: context.buffer("y", shape.batch * shape.outputs * layout.pixels.len()),
            layout,
        })
    }

    /// Arrange every plane.
    fn arrange(&mut self) {
        let (layout, x) = (&self.layout, &self.x[..]);
        let mut cells = &mut self.cells[..];
        let mut tasks = Vec::new();
        for planes in self.pool.ranges(layout.all_planes(), 1) {
            let to = cells.split_off_mut(..planes.len() * layout.pitch).unwrap_or_default();
            tasks.push((planes, to));
        }
        self.pool.for_each(tasks, |(planes, to)| {
            for (plane, to) in planes.zip(to.chunks_exact_mut(layout.pitch)) {
                layout.fill::<C>(x, plane, to);
            }
        });
    }
}

impl<D: Dot<C, PANEL>, C: Cell, const PANEL: usize> Prepared for Run<D, C, PANEL> {
    fn launch(&mut self) -> Result<(), Failure> {
        self.arrange();
        let product = Product::<D, C, PANEL> {
            dot: self.dot,
            layout: &self.layout,
            cells: &self.cells,
            weights: &self.weights,
            offsets: &self.offsets,
            scales: &self.scales,
        };
        let pixels = self.layout.pixels.len();
        let panels = self.scales.len() / self.layout.outputs * self.layout.panels(PANEL);
        let enough = pixels.div_ceil(D::PIXELS) >= 2 * self.pool.threads();
        let (panels, pixels) = match self.pool.threads() == 1 || enough {
            true => (self.pool.ranges(panels, panels), self.pool.ranges(pixels, D::PIXELS)),
            false => (self.pool.ranges(panels, 1), self.pool.ranges(pixels, pixels)),
        };
        let tasks = product.split(&mut self.y, &panels, &pixels);
        self.pool.for_each(tasks, |mut task| product.run(&mut task));
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.y.fill(f32::NAN);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("y", Tensor::F32(self.y.to_vec()))]))
    }
}

/// Panels by pixels of an image, and the part of each output channel that they make.
struct Task<'y> {
    image: usize,
    panels: Range<usize>,
    pixels: Range<usize>,
    /// Channel by channel.
    y: Vec<&'y mut [f32]>,
}

/// Everything a thread reads.
struct Product<'a, D, C: Cell, const PANEL: usize> {
    dot: D,
    layout: &'a Layout,
    cells: &'a [C::Stored],
    weights: &'a [C::Weight],
    offsets: &'a [i32],
    scales: &'a [f32],
}

impl<D: Dot<C, PANEL>, C: Cell, const PANEL: usize> Product<'_, D, C, PANEL> {
    /// Output channels of a panel: those of its group only.
    fn channels(&self, panel: usize) -> Range<usize> {
        let panels = self.layout.panels(PANEL);
        let (group, first) = (panel / panels, panel % panels * PANEL);
        let from = group * self.layout.outputs;
        from + first..from + self.layout.outputs.min(first + PANEL)
    }

    /// A task for each image, range of panels and range of pixels.
    fn split<'y>(
        &self,
        y: &'y mut [f32],
        panels: &[Range<usize>],
        pixels: &[Range<usize>],
    ) -> Vec<Task<'y>> {
        let plane = self.layout.pixels.len();
        let mut planes = y.chunks_exact_mut(plane);
        let mut tasks = Vec::new();
        for image in 0..planes.len() / self.scales.len() {
            for panels in panels {
                let first = tasks.len();
                tasks.extend(pixels.iter().map(|pixels| {
                    let (panels, pixels) = (panels.clone(), pixels.clone());
                    Task { image, panels, pixels, y: Vec::new() }
                }));
                let channels = panels.clone().map(|panel| self.channels(panel).len()).sum();
                for mut plane in planes.by_ref().take(channels) {
                    for task in &mut tasks[first..] {
                        task.y.extend(plane.split_off_mut(..task.pixels.len()));
                    }
                }
            }
        }
        tasks
    }

    /// Blocks of pixels, panels within them, tiles within those.
    fn run(&self, task: &mut Task<'_>) {
        let layout = self.layout;
        let group_len = layout.planes * layout.pitch;
        let groups = self.scales.len() / layout.outputs;
        let bytes = size_of::<C::Stored>() * group_len;
        let block = layout.pixels.len() * BLOCK_BYTES / bytes;
        let block = block.next_multiple_of(D::PIXELS).max(D::PIXELS);
        let len = layout.panel::<C>(PANEL);
        for from in task.pixels.clone().step_by(block) {
            let pixels = from..task.pixels.end.min(from + block);
            let mut y = &mut task.y[..];
            for panel in task.panels.clone() {
                let channels = self.channels(panel);
                let y = y.split_off_mut(..channels.len()).unwrap_or_default();
                let group = task.image * groups + panel / layout.panels(PANEL);
                for at in pixels.clone().step_by(D::PIXELS) {
                    let tile = Tile {
                        weights: &self.weights[panel * len..][..len],
                        x: &self.cells[group * group_len..][..group_len],
                        steps: &layout.steps,
                        pixels: &layout.pixels[at..pixels.end.min(at + D::PIXELS)],
                        offsets: &self.offsets[channels.clone()],
                        scales: &self.scales[channels.clone()],
                    };
                    self.dot.tile(&tile, y, at - task.pixels.start);
                }
            }
        }
    }
}
