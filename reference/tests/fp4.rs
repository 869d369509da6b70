//! `mxfp4`, `nvfp4` and `bf16` against the bytes of gguf-py and ggml.
use lowbit_reference::format::block_format;
use serde_json::Value;

fn floats(list: &Value) -> Vec<f32> {
    let text = |value: &Value| value.to_string().trim_matches('"').to_owned();
    list.as_array().unwrap().iter().map(|v| text(v).parse().unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bytes_are_those_of_ggml() {
    let document: Value = serde_json::from_str(include_str!("golden/gguf_blocks.json")).unwrap();
    let mut compared = 0;
    for result in document["results"].as_array().unwrap() {
        let name = result["type"].as_str().unwrap().to_lowercase();
        let Some(format) =
            block_format(&name).filter(|f| ["mxfp4", "nvfp4", "bf16"].contains(&f.name()))
        else {
            continue;
        };
        let case = format!("{name} {}", result["input"]);
        let x = floats(&document["inputs"][result["input"].as_str().unwrap()]);
        let bytes = format.encode(&x).unwrap();
        assert_eq!(hex(&bytes), result["bytes_hex"].as_str().unwrap(), "{case}");
        let back = format.decode(&bytes).unwrap();
        if let Some(want) = result.get("dequant") {
            assert_eq!(back, floats(want), "{case}");
        }
        let largest =
            x.iter().zip(&back).fold(0f64, |max, (x, q)| max.max(f64::from((x - q).abs())));
        assert_eq!(largest, result["dequant_max_abs"].as_f64().unwrap(), "{case}");
        compared += 1;
    }
    assert_eq!(compared, 3 * document["inputs"].as_object().unwrap().len());
}
