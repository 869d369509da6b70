// Many tokens: 16 x 16 units make a tile of 64 tokens by 64 rows of the weight, 8 words of four codes
// deep at a time. A unit makes 4 x 4 sums from eight reads of shared memory a word.
const PITCH = 65u;
var<workgroup> xs: array<u32, 520>;
var<workgroup> ws: array<u32, 520>;

// A word of x with one of each of four rows.
fn dots(a: u32, b: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(
        dot4I8Packed(a, b.x),
        dot4I8Packed(a, b.y),
        dot4I8Packed(a, b.z),
        dot4I8Packed(a, b.w),
    );
}

// Four sums of token t, sixteen rows apart.
fn store(sums: vec4<i32>, t: u32, n: u32) {
    for (var j = 0u; j < 4u; j++) {
        let row = n + 16u * j;
        if (t < M && row < N) {
            y[t * N + row] = scaled(sums[j], t, row);
        }
    }
}

@compute @workgroup_size(16, 16, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) unit: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let tiles = (N + 63u) / 64u;
    let tile = group.y * groups.x + group.x;
    let token = tile / tiles * 64u;
    let row = tile % tiles * 64u;
    var s0 = vec4<i32>();
    var s1 = vec4<i32>();
    var s2 = vec4<i32>();
    var s3 = vec4<i32>();
    for (var depth = 0u; depth < X_WORDS; depth += 8u) {
        for (var item = index; item < 512u; item += 256u) {
            let line = item / 8u;
            let column = depth + item % 8u;
            let inside = column < X_WORDS;
            let place = item % 8u * PITCH + line;
            var codes = 0u;
            if (inside && token + line < M) {
                codes = x[(token + line) * X_WORDS + column];
            }
            xs[place] = codes;
            codes = 0u;
            if (inside && row + line < N) {
                codes = four(w[(row + line) * W_WORDS + column / WIDTH], column % WIDTH);
            }
            ws[place] = codes;
        }
        workgroupBarrier();
        for (var k = 0u; k < 8u; k++) {
            let start = k * PITCH;
            let b0 = ws[start + unit.x];
            let b1 = ws[start + unit.x + 16u];
            let b2 = ws[start + unit.x + 32u];
            let b3 = ws[start + unit.x + 48u];
            let b = vec4<u32>(b0, b1, b2, b3);
            s0 += dots(xs[start + unit.y], b);
            s1 += dots(xs[start + unit.y + 16u], b);
            s2 += dots(xs[start + unit.y + 32u], b);
            s3 += dots(xs[start + unit.y + 48u], b);
        }
        workgroupBarrier();
    }
    store(s0, token + unit.y, row + unit.x);
    store(s1, token + unit.y + 16u, row + unit.x);
    store(s2, token + unit.y + 32u, row + unit.x);
    store(s3, token + unit.y + 48u, row + unit.x);
}
