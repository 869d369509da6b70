//! Cases of `conv2d`: every edge of a tile, a panel, a cell and a group, and every window.

/// `c_in, c_out, groups`: cells of 1, 2 and 4 channels, panels of 16 and 32, depthwise with and
/// without a multiplier.
const CHANNELS: [[usize; 3]; 17] = [
    [1, 1, 1],
    [1, 17, 1],
    [2, 15, 1],
    [3, 16, 1],
    [4, 31, 1],
    [5, 32, 1],
    [7, 33, 1],
    [17, 48, 1],
    [65, 3, 1],
    [16, 65, 1],
    [4, 6, 2],
    [10, 66, 2],
    [12, 4, 4],
    [20, 36, 4],
    [3, 3, 3],
    [17, 17, 17],
    [5, 15, 5],
];

/// Height and width of an image: pixels of one, below, at and above a tile, and several rows.
const IMAGES: [[usize; 2]; 11] =
    [[1, 1], [1, 2], [3, 1], [2, 3], [3, 3], [1, 7], [4, 5], [5, 6], [7, 9], [14, 14], [3, 67]];

/// Kernel, stride, padding and dilation.
const WINDOWS: [[[usize; 2]; 4]; 13] = [
    [[1, 1], [1, 1], [0, 0], [1, 1]],
    [[3, 3], [1, 1], [1, 1], [1, 1]],
    [[3, 3], [2, 2], [1, 1], [1, 1]],
    [[3, 3], [3, 2], [2, 1], [1, 1]],
    [[2, 2], [1, 1], [1, 1], [1, 1]],
    [[1, 3], [1, 2], [0, 1], [1, 1]],
    [[3, 1], [2, 1], [1, 0], [1, 1]],
    [[3, 3], [1, 1], [2, 2], [2, 2]],
    [[3, 2], [2, 3], [3, 4], [2, 3]],
    [[5, 7], [1, 1], [2, 3], [1, 1]],
    [[7, 7], [2, 2], [3, 3], [1, 1]],
    [[1, 1], [2, 3], [1, 2], [1, 1]],
    [[1, 1], [5, 70], [0, 60], [1, 1]],
];

pub(crate) fn cases() -> Vec<String> {
    let mut ids = Vec::new();
    for (c, [c_in, c_out, groups]) in CHANNELS.into_iter().enumerate() {
        for (i, [height, width]) in IMAGES.into_iter().enumerate() {
            for (w, window) in WINDOWS.into_iter().enumerate() {
                // A third of all, and every pair of channels, images and windows among them.
                if (c + i + w) % 3 != 0 || !fits([height, width], window) {
                    continue;
                }
                let batch = 1 + (c + w) % 3;
                let image = format!("c_in={c_in}/height={height}/width={width}/c_out={c_out}");
                for format in ["f32", "int8"] {
                    let data = ["exact", "realistic"][(i + w / 3) % 2];
                    ids.push(format!(
                        "conv2d/format={format}/batch={batch}/{image}/{}/groups={groups}\
                         /data={data}/seed={w}",
                        crate::window(window)
                    ));
                }
            }
        }
    }
    // Past the limit of what is compared whole; many blocks; sums deeper than one panel's cells.
    ids.extend(["f32", "int8"].map(|format| {
        format!(
            "conv2d/format={format}/c_in=67/height=61/width=59/c_out=99/padding_h=1/padding_w=1\
             /data=realistic"
        )
    }));
    ids.push("conv2d/format=int8/c_in=4099/height=3/width=5/c_out=34/data=exact".into());
    ids
}

/// Whether a window fits into an image with its padding.
pub(crate) fn fits(image: [usize; 2], [kernel, _, padding, dilation]: [[usize; 2]; 4]) -> bool {
    (0..2).all(|axis| image[axis] + 2 * padding[axis] > (kernel[axis] - 1) * dilation[axis])
}
