//! Named shapes: the sizes that published models really use, each with its source.
//!
//! A weight `[out, in]` is `n = out`, `k = in`. A set gives only the sizes an op has: a
//! projection gives `k` and `n` to `linear`, a recurrent state gives `elements` to `rho_pack`.

/// Shapes of one model.
#[derive(Debug)]
pub struct ShapeSet {
    /// Name in scenario files.
    pub name: &'static str,
    /// Where the numbers come from.
    pub source: &'static str,
    /// The shapes, in the order of the model's layers.
    pub shapes: &'static [Shape],
}

/// One shape.
#[derive(Debug)]
pub struct Shape {
    /// What it is in the model.
    pub label: &'static str,
    /// Parameters and their values.
    pub sizes: &'static [(&'static str, u64)],
}

const fn shape(label: &'static str, sizes: &'static [(&'static str, u64)]) -> Shape {
    Shape { label, sizes }
}

/// Source of both Llama sets.
const LLAMA: &str = "Llama 3 8B: arXiv 2407.21783, table 3 (model dimension 4,096, FFN dimension \
    14,336, 32 heads, 8 key/value heads); the same in config.json of meta-llama/Meta-Llama-3-8B";

/// Every shape set.
pub static SHAPE_SETS: &[ShapeSet] = &[
    ShapeSet {
        name: "bdh",
        source: "Baby Dragon Hatchling, arXiv 2509.26507; sizes of burn_dragon's tests: seed 002 \
            (002_ca958f8451867da6.txt), lines 4242-4244, 4343-4345 and 4259-4261 \
            (n_head 4; n_embd 256, 192, 128; latent_total 32,768, 12,288, 8,192). x and y \
            projections [H, E, L / H]: lines 618-620 and 1489; decoder tail [L, E]: line 621; \
            state rho [H, L / H, E] per layer and sequence: lines 698-705",
        shapes: &[
            shape("x projection, 4 heads, E 256", &[("k", 256), ("n", 32_768)]),
            shape("y projection, one head, E 256", &[("k", 256), ("n", 8_192)]),
            shape("decoder tail, E 256", &[("k", 32_768), ("n", 256)]),
            shape("state of a layer, E 256", &[("elements", 8_388_608)]),
            shape("x projection, 4 heads, E 192", &[("k", 192), ("n", 12_288)]),
            shape("y projection, one head, E 192", &[("k", 192), ("n", 3_072)]),
            shape("decoder tail, E 192", &[("k", 12_288), ("n", 192)]),
            shape("state of a layer, E 192", &[("elements", 2_359_296)]),
            shape("x projection, 4 heads, E 128", &[("k", 128), ("n", 8_192)]),
            shape("y projection, one head, E 128", &[("k", 128), ("n", 2_048)]),
            shape("decoder tail, E 128", &[("k", 8_192), ("n", 128)]),
            shape("state of a layer, E 128", &[("elements", 1_048_576)]),
        ],
    },
    ShapeSet {
        name: "bitnet_2b_4t",
        source: "BitNet b1.58 2B4T: arXiv 2504.12285 and config.json of \
            microsoft/bitnet-b1.58-2B-4T (hidden 2,560, intermediate 6,912, 20 heads of 128, \
            5 key/value heads)",
        shapes: &[
            shape("q, o", &[("k", 2_560), ("n", 2_560)]),
            shape("k, v", &[("k", 2_560), ("n", 640)]),
            shape("gate, up", &[("k", 2_560), ("n", 6_912)]),
            shape("down", &[("k", 6_912), ("n", 2_560)]),
        ],
    },
    ShapeSet {
        name: "llama_3_8b_decode",
        source: LLAMA,
        shapes: &[
            shape("q, o", &[("m", 1), ("k", 4_096), ("n", 4_096)]),
            shape("k, v", &[("m", 1), ("k", 4_096), ("n", 1_024)]),
            shape("gate, up", &[("m", 1), ("k", 4_096), ("n", 14_336)]),
            shape("down", &[("m", 1), ("k", 14_336), ("n", 4_096)]),
        ],
    },
    ShapeSet {
        name: "llama_3_8b_prefill",
        source: LLAMA,
        shapes: &[
            shape("q, o", &[("m", 512), ("k", 4_096), ("n", 4_096)]),
            shape("k, v", &[("m", 512), ("k", 4_096), ("n", 1_024)]),
            shape("gate, up", &[("m", 512), ("k", 4_096), ("n", 14_336)]),
            shape("down", &[("m", 512), ("k", 14_336), ("n", 4_096)]),
        ],
    },
];

/// Sizes that may be given beside a shape set, and then replace its own.
pub(crate) const FREE: &str = "m";

/// Every parameter that a shape set can give.
pub(crate) fn is_size(key: &str) -> bool {
    let shapes = SHAPE_SETS.iter().flat_map(|set| set.shapes);
    shapes.flat_map(|shape| shape.sizes).any(|(size, _)| *size == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(name: &str, times: &[u64]) -> u64 {
        let set = SHAPE_SETS.iter().find(|set| set.name == name).unwrap();
        let size = |shape: &Shape, key| shape.sizes.iter().find(|(k, _)| *k == key).unwrap().1;
        let area = |shape| size(shape, "k") * size(shape, "n");
        assert_eq!(set.shapes.len(), times.len(), "{name}");
        set.shapes.iter().zip(times).map(|(shape, times)| times * area(shape)).sum()
    }

    #[test]
    fn shapes_add_up_to_the_models_parameters() {
        // Layers times (q, o; k, v; gate, up; down), the embeddings (tied in BitNet), the norms.
        let bitnet = 30 * weights("bitnet_2b_4t", &[2, 2, 2, 1]) + 128_256 * 2_560;
        assert_eq!(bitnet / 10_000_000, 241, "2.4 billion");
        for set in ["llama_3_8b_decode", "llama_3_8b_prefill"] {
            let norms = 65 * 4_096;
            let llama = 32 * weights(set, &[2, 2, 2, 1]) + 2 * 128_256 * 4_096 + norms;
            assert_eq!(llama, 8_030_261_248);
        }
    }

    #[test]
    fn bdh_shapes_follow_from_heads_width_and_latents() {
        let set = SHAPE_SETS.iter().find(|set| set.name == "bdh").unwrap();
        let widths = [(256, 32_768), (192, 12_288), (128, 8_192)];
        for (shapes, (e, l)) in set.shapes.chunks(4).zip(widths) {
            let sizes: Vec<_> = shapes.iter().map(|shape| shape.sizes).collect();
            assert_eq!(sizes[0], [("k", e), ("n", l)]);
            assert_eq!(sizes[1], [("k", e), ("n", l / 4)]);
            assert_eq!(sizes[2], [("k", l), ("n", e)]);
            assert_eq!(sizes[3], [("elements", l * e)]);
        }
    }
}
