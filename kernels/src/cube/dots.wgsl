// The dots of `probe.rs`, by the built-in of WGSL.
@group(0) @binding(0) var<storage, read_write> asked: array<u32>;
@group(0) @binding(1) var<storage, read_write> sums: array<i32>;

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) unit: u32,
) {
    let place = (group.y * groups.x + group.x) * 256u + unit;
    let seed = asked[0];
    let times = asked[1];
    var chain = array<i32, 8>(0, 0, 0, 0, 0, 0, 0, 0);
    var word = place * seed;
    for (var i = 0u; i < times; i++) {
        word = word * 1664525u + 1013904223u;
        chain[0] += dot4I8Packed(seed * 3u, word);
        chain[1] += dot4I8Packed(seed * 5u, word);
        chain[2] += dot4I8Packed(seed * 7u, word);
        chain[3] += dot4I8Packed(seed * 9u, word);
        chain[4] += dot4I8Packed(seed * 11u, word);
        chain[5] += dot4I8Packed(seed * 13u, word);
        chain[6] += dot4I8Packed(seed * 15u, word);
        chain[7] += dot4I8Packed(seed * 17u, word);
    }
    sums[place] = chain[0] + chain[1] + chain[2] + chain[3] + chain[4] + chain[5] + chain[6] + chain[7];
}
