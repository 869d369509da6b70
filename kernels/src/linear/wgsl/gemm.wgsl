// Many tokens: 16 x 16 units make a tile of 64 tokens by 64 rows of the weight, 8 words of four codes
// deep at a time. A unit makes 4 x 4 sums from eight reads of shared memory a word.
const PITCH = 65u;
var<workgroup> xs: array<u32, 520>;
var<workgroup> ws: array<u32, 520>;

@compute @workgroup_size(16, 16, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) unit: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let tiles = (sizes[1] + 63u) / 64u;
    let tile = group.y * groups.x + group.x;
    let token = tile / tiles * 64u;
    let row = tile % tiles * 64u;
    var sums: array<vec4<i32>, 4>;
    for (var depth = 0u; depth < sizes[2]; depth += 8u) {
        for (var item = index; item < 512u; item += 256u) {
            let line = item / 8u;
            let column = depth + item % 8u;
            let inside = column < sizes[2];
            let place = item % 8u * PITCH + line;
            var codes = 0u;
            if (inside && token + line < sizes[0]) {
                codes = x[(token + line) * sizes[2] + column];
            }
            xs[place] = codes;
            codes = 0u;
            if (inside && row + line < sizes[1]) {
                codes = four(w[(row + line) * sizes[3] + column / WIDTH], column % WIDTH);
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
            for (var i = 0u; i < 4u; i++) {
                let a = xs[start + unit.y + 16u * i];
                sums[i] += vec4<i32>(
                    dot4I8Packed(a, b0),
                    dot4I8Packed(a, b1),
                    dot4I8Packed(a, b2),
                    dot4I8Packed(a, b3),
                );
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) {
            let t = token + unit.y + 16u * i;
            let n = row + unit.x + 16u * j;
            if (t < sizes[0] && n < sizes[1]) {
                y[t * sizes[1] + n] = scaled(sums[i][j], t, n);
            }
        }
    }
}
