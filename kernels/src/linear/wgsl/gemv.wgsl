// One token: 32 units stride over the words of a row of the weight, four rows a workgroup, and add up
// in shared memory.
var<workgroup> sums: array<i32, 128>;

@compute @workgroup_size(32, 4, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) unit: vec3<u32>,
) {
    let row = (group.y * groups.x + group.x) * 4u + unit.y;
    // Rows beyond the last repeat it; they are not stored.
    let start = min(row, N - 1u) * W_WORDS;
    var sum = 0i;
    for (var at = unit.x; at < W_WORDS; at += 32u) {
        let word = w[start + at];
        for (var i = 0u; i < WIDTH; i++) {
            let column = at * WIDTH + i;
            if (column < X_WORDS) {
                sum += dot4I8Packed(x[column], four(word, i));
            }
        }
    }
    let place = unit.y * 32u + unit.x;
    sums[place] = sum;
    workgroupBarrier();
    for (var step = 16u; step > 0u; step >>= 1u) {
        if (unit.x < step) {
            sums[place] += sums[place + step];
        }
        workgroupBarrier();
    }
    if (unit.x == 0u && row < N) {
        y[row] = scaled(sums[place], 0u, row);
    }
}
