//! What the ops on images share: parameters, and which outputs of a large one are compared.
use super::samples::indices;
use super::shape;
use super::window::Window;
use crate::case::{Case, CaseError, Kind, Param};
use crate::data::mix;
use crate::invalid::Invalid;

/// Products or comparisons up to which the oracle compares every output.
pub(super) const EXHAUSTIVE: u64 = 1 << 27;
/// Rows and columns on each side of an output that a sample has whole.
const BORDER: usize = 3;

const fn number(
    key: &'static str,
    (min, max): (u64, u64),
    about: &'static str,
    default: Option<&'static str>,
) -> Param {
    Param { key, kind: Kind::Number { min, max }, about, when: None, default }
}

/// A tensor may have so many values along an axis.
const AXIS: (u64, u64) = (1, 1 << 28);
/// Taps, strides and holes of a window.
const TAPS: (u64, u64) = (1, 1 << 14);
/// Padding of a side.
const PADDING: (u64, u64) = (0, 1 << 14);

/// Images.
pub(super) const BATCH: Param = number("batch", AXIS, "images", Some("1"));
/// Channels of an image.
pub(super) const C_IN: Param = number("c_in", AXIS, "input channels", None);
/// Channels of a result.
pub(super) const C_OUT: Param = number("c_out", AXIS, "output channels", None);
/// Rows of an image.
pub(super) const HEIGHT: Param = number("height", AXIS, "rows of an image", None);
/// Columns of an image.
pub(super) const WIDTH: Param = number("width", AXIS, "columns of an image", None);
/// Groups of channels.
pub(super) const GROUPS: Param = number(
    "groups",
    AXIS,
    "independent groups of channels; as many as input channels is depthwise",
    Some("1"),
);

/// Kernel, stride, padding and dilation, height before width, with these defaults for kernel and
/// stride. Padding is the same on both sides of an axis.
pub(super) const fn window_params(kernel: &'static str, stride: &'static str) -> [Param; 8] {
    [
        number("kernel_h", TAPS, "rows of the window", Some(kernel)),
        number("kernel_w", TAPS, "columns of the window", Some(kernel)),
        number("stride_h", TAPS, "rows from one window to the next", Some(stride)),
        number("stride_w", TAPS, "columns from one window to the next", Some(stride)),
        number("padding_h", PADDING, "rows added above, and below", Some("0")),
        number("padding_w", PADDING, "columns added left, and right", Some("0")),
        number("dilation_h", TAPS, "rows from one tap to the next", Some("1")),
        number("dilation_w", TAPS, "columns from one tap to the next", Some("1")),
    ]
}

/// The window of a case.
pub(super) fn window(case: &Case) -> Window {
    let pair = |[h, w]: [&str; 2]| [case.number(h), case.number(w)];
    let [above, left] = pair(["padding_h", "padding_w"]);
    Window {
        kernel: pair(["kernel_h", "kernel_w"]),
        stride: pair(["stride_h", "stride_w"]),
        pads: [above, left, above, left],
        dilation: pair(["dilation_h", "dilation_w"]),
    }
}

/// Whether an image with its padding is a tensor that a row may hold.
pub(super) fn check_padded(
    [batch, channels, height, width]: [usize; 4],
    window: &Window,
) -> Result<(), Invalid> {
    let padded = |axis: usize, input: usize| {
        input.saturating_add(window.pads[axis]).saturating_add(window.pads[axis + 2])
    };
    let shape = [batch, channels, padded(0, height), padded(1, width)];
    shape::values("padded input", &shape).map(drop)
}

/// The error of a case whose shapes are wrong: at the parameter that has the field's name.
pub(super) fn refused(case: &Case, invalid: &Invalid) -> CaseError {
    let mut keys = case.spec().params.iter().map(|param| param.key);
    let key = keys.find(|key| *key == invalid.field).unwrap_or("height");
    case.conflict(key, format!("makes no case: {invalid}"))
}

/// Positions of an output `[N, C, H, W]` that are compared, ascending: of the first and the last
/// image and of a sample of the channels that stands on every edge of a power-of-two tile, the
/// border of three rows and columns, which has the corners, the padding and a pixel of every row
/// and column, and 64 drawn pixels.
pub(super) fn sample([images, channels, height, width]: [usize; 4], seed: u64) -> Vec<usize> {
    let border = |len: usize, i: usize| i < BORDER || i + BORDER >= len;
    let drawn = |len: usize, salt: u64| {
        let draw = move |at: u64| mix(mix(seed.wrapping_add(salt)).wrapping_add(at)) as usize % len;
        (0..64).map(draw)
    };
    let mut pixels: Vec<usize> = (0..height * width)
        .filter(|at| border(height, at / width) || border(width, at % width))
        .chain(drawn(height * width, 1))
        .collect();
    pixels.sort_unstable();
    pixels.dedup();
    let mut positions = Vec::new();
    let last = (images > 1).then(|| images - 1);
    for image in std::iter::once(0).chain(last) {
        for channel in indices(channels, 16, mix(seed)) {
            let plane = (image * channels + channel) * height * width;
            positions.extend(pixels.iter().map(|pixel| plane + pixel));
        }
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_corners_borders_and_channels_at_tile_edges() {
        let [n, c, h, w] = [3, 65, 40, 50];
        let sample = sample([n, c, h, w], 7);
        let has = |image, channel, i, j| {
            sample.binary_search(&(((image * c + channel) * h + i) * w + j)).is_ok()
        };
        for (image, channel) in [(0, 0), (0, 15), (0, 16), (0, 31), (2, 32), (2, 64)] {
            for (i, j) in [(0, 0), (0, 49), (39, 0), (39, 49), (1, 23), (20, 48), (37, 14)] {
                assert!(has(image, channel, i, j), "{image} {channel} {i} {j}");
            }
        }
        assert!(sample.is_sorted_by(|a, b| a < b) && sample.len() < n * c * h * w / 4);
    }
}
