//! Peers outside: a case goes out, an answer comes in, and is judged as a row is.
use lowbit_reports::record::{Cache, Record, Verdict};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CASE: &str = "linear/weight=int8/activation=int8/weight_rule=absmax/\
                    activation_rule=absmax/m=3/k=40/n=5/data=exact/seed=7";

fn lowbit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lowbit")).args(arguments).output().expect("lowbit")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A run of the scalar row on a case, and the case exported.
fn setting(folder: &Path, case: &str) -> (PathBuf, PathBuf) {
    setting_of("check", folder, case)
}

/// The same with a run of `check` or `measure`.
fn setting_of(verb: &str, folder: &Path, case: &str) -> (PathBuf, PathBuf) {
    let (run, exported) = (folder.join("run"), folder.join("exported"));
    let out = run.to_string_lossy().into_owned();
    let row = ["--case", case, "--kernel", "scalar", "--threads", "1"];
    let ran = lowbit(&[&[verb][..], &row, &["--out", &out]].concat());
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    let out = exported.to_string_lossy().into_owned();
    let ran = lowbit(&["export", "--case", case, "--out", &out]);
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    (run, exported)
}

/// The bytes of an exported tensor of that shape.
fn bytes(exported: &Path, name: &str, shape: &[usize]) -> Vec<u8> {
    let data = std::fs::read(exported.join("inputs.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&data).unwrap();
    let view = tensors.tensor(name).unwrap();
    assert_eq!(view.shape(), shape, "{name}");
    view.data().to_vec()
}

fn floats(exported: &Path, name: &str, shape: &[usize]) -> Vec<f32> {
    let bytes = bytes(exported, name, shape);
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn codes(exported: &Path, name: &str, shape: &[usize]) -> Vec<i32> {
    bytes(exported, name, shape).into_iter().map(|b| i32::from(b.cast_signed())).collect()
}

/// The product of the exported codes and scales, computed here as an outside peer would.
fn product(exported: &Path) -> Vec<f32> {
    let x = codes(exported, "activation_codes", &[3, 40]);
    let w = codes(exported, "weight_codes", &[5, 40]);
    let sx = floats(exported, "activation_scales", &[3]);
    let sw = floats(exported, "weight_scales", &[5]);
    let element = |(i, j): (usize, usize)| {
        let sum: i32 = (0..40).map(|k| x[i * 40 + k] * w[j * 40 + k]).sum();
        sum as f32 * (sx[i] * sw[j])
    };
    (0..3).flat_map(|i| (0..5).map(move |j| (i, j))).map(element).collect()
}

fn answer(exported: &Path, peer: &str, y: &[f32], json: &str) {
    let bytes: Vec<u8> = y.iter().flat_map(|y| y.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![3, 5], &bytes).unwrap();
    let path = exported.join(format!("{peer}.safetensors"));
    safetensors::serialize_to_file([("y", view)], None, &path).unwrap();
    std::fs::write(exported.join(format!("{peer}.json")), json).unwrap();
}

fn json(kernel: &str, samples: &str) -> String {
    format!(
        r#"{{"kernel": "{kernel}", "version": "1", "arithmetic": {{"integer": true}},
            "timings": [{{"threads": 1, "cache": "hot", "rounds": [{samples}]}}]}}"#
    )
}

fn merge(run: &Path, exported: &Path) -> Output {
    lowbit(&["merge", &run.to_string_lossy(), &exported.to_string_lossy()])
}

fn records(run: &Path) -> Vec<Record> {
    Record::parse_lines(&std::fs::read_to_string(run.join("records.jsonl")).unwrap()).unwrap()
}

#[test]
fn an_answer_becomes_a_record_and_merging_again_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    let (run, exported) = setting(folder.path(), CASE);
    let y = product(&exported);
    for samples in ["[9.0], [8.0]", "[30.0, 10.0, 20.0], [40.0, 50.0]"] {
        answer(&exported, "peer", &y, &json("peer", samples));
        let merged = merge(&run, &exported);
        assert_eq!(merged.status.code(), Some(0), "{}", text(&merged.stderr));
    }
    let records = records(&run);
    assert_eq!(records.len(), 2);
    let peer = records.iter().find(|r| r.kernel == "peer").unwrap();
    assert_eq!((peer.verdict, peer.median_ns()), (Verdict::Passed, Some(30.0)));
    assert_eq!((peer.threads, peer.cache), (Some(1), Some(Cache::Hot)));
    assert_eq!((peer.device.as_str(), peer.case.as_str()), ("cpu", records[0].case.as_str()));
    assert_eq!(peer.agreement.as_ref().map(|a| a.compared), Some(15));
    let csv = std::fs::read_to_string(run.join("results.csv")).unwrap();
    assert!(csv.contains(",peer,cpu,passed,"), "{csv}");
    assert!(
        std::fs::read_to_string(run.join("peers.json")).unwrap().contains("\"version\": \"1\"")
    );
}

#[test]
fn a_wrong_answer_is_shown_as_failed_and_has_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let (run, exported) = setting(folder.path(), CASE);
    let mut y = product(&exported);
    y[7] += 1.0;
    answer(&exported, "peer", &y, &json("peer", "[1.0]"));
    let merged = merge(&run, &exported);
    assert_eq!(merged.status.code(), Some(4), "{}", text(&merged.stderr));
    let wrong = records(&run).into_iter().find(|r| r.kernel == "peer").unwrap();
    assert_eq!((wrong.verdict, wrong.timing), (Verdict::Failed, None));
    assert!(wrong.reason.contains("`y`[7]"), "{}", wrong.reason);
}

/// Gradients of `y[b, h, t, l] = sum over e of x[b, 0, t, e] w[h, e, l]`, of the exported values.
fn gradients(exported: &Path) -> (Vec<f32>, Vec<f32>) {
    let x = codes(exported, "input_codes", &[2, 1, 3, 8]);
    let w = codes(exported, "weight_codes", &[4, 8, 5]);
    let g = floats(exported, "grad_output", &[2, 4, 3, 5]);
    let [sx, sw] = ["input_scales", "weight_scales"].map(|name| floats(exported, name, &[1])[0]);
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    for (at, g) in g.iter().enumerate() {
        let (b, h, t, l) = (at / 60, at / 15 % 4, at / 5 % 3, at % 5);
        for e in 0..8 {
            let (to_x, to_w) = ((b * 3 + t) * 8 + e, (h * 8 + e) * 5 + l);
            dx[to_x] += g * w[to_w] as f32 * sw;
            dw[to_w] += g * x[to_x] as f32 * sx;
        }
    }
    (dx, dw)
}

#[test]
fn gradients_of_a_projection_are_judged_and_a_doubled_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let case = "lowrank_projection/weight=int8/weight_rule=burn_dragon/activation=int8/activation_rule=onnx\
                /pass=backward/batch=2/heads=4/time=3/embd=8/packed_latent=5/latent=5/data=realistic";
    let (run, exported) = setting(folder.path(), case);
    let (dx, dw) = gradients(&exported);
    for (factor, code) in [(1.0, 0), (2.0, 4)] {
        let bytes = |values: &[f32]| -> Vec<u8> {
            values.iter().flat_map(|v| (v * factor).to_le_bytes()).collect()
        };
        let (dx, dw) = (bytes(&dx), bytes(&dw));
        let view =
            |bytes| TensorView::new(Dtype::F32, vec![<[u8]>::len(bytes) / 4], bytes).unwrap();
        let path = exported.join("peer.safetensors");
        let outputs = [("grad_input", view(&dx)), ("grad_weight", view(&dw))];
        safetensors::serialize_to_file(outputs, None, &path).unwrap();
        let said = json("peer", "[1e9]").replace("true", "false");
        std::fs::write(exported.join("peer.json"), said).unwrap();
        let merged = merge(&run, &exported);
        assert_eq!(merged.status.code(), Some(code), "{}", text(&merged.stdout));
    }
}

#[test]
fn a_peer_on_a_device_is_named_after_the_one_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (run, exported) = setting_of("measure", folder.path(), CASE);
    let y = product(&exported);
    // Too fast for the processor, of which nothing follows for a device.
    let on = |device: &str| {
        let device = format!(r#""version": "1", "device": "{device}""#);
        json("peer", "[1e-3]").replace(r#""version": "1""#, &device)
    };
    let machine = run.join("machine.json");
    let mut known: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&machine).unwrap()).unwrap();
    known["cuda"] = serde_json::json!(
        {"name": "A GPU", "capability": "9.0", "driver": "13.0", "memory_bytes": 1});
    std::fs::write(&machine, known.to_string()).unwrap();
    answer(&exported, "peer", &y, &on("cuda"));
    let merged = merge(&run, &exported);
    assert_eq!(merged.status.code(), Some(0), "{}", text(&merged.stdout));
    let peer = records(&run).into_iter().find(|r| r.kernel == "peer").unwrap();
    assert_eq!((peer.device.as_str(), peer.roof), ("A GPU", None));
    known["cuda"] = serde_json::Value::Null;
    std::fs::write(&machine, known.to_string()).unwrap();
    let wrong = [("cuda", "machine.json has none"), ("tpu", "must be cpu, wgpu or cuda")];
    for (device, why) in wrong {
        answer(&exported, "peer", &y, &on(device));
        let refused = merge(&run, &exported);
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
}

#[test]
fn a_time_faster_than_the_machine_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (run, exported) = setting_of("measure", folder.path(), CASE);
    let y = product(&exported);
    for (samples, verdict) in [("[1e9]", Verdict::Passed), ("[1e-3]", Verdict::Mistrusted)] {
        answer(&exported, "peer", &y, &json("peer", samples));
        merge(&run, &exported);
        let peer = records(&run).into_iter().find(|r| r.kernel == "peer").unwrap();
        assert_eq!(peer.verdict, verdict, "{}", peer.reason);
    }
}

#[test]
fn a_folder_that_holds_another_case_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let (_, exported) = setting(folder.path(), CASE);
    let out = exported.to_string_lossy().into_owned();
    let again = lowbit(&["export", "--case", CASE, "--out", &out]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    let other = CASE.replace("m=3", "m=4");
    let refused = lowbit(&["export", "--case", &other, "--out", &out]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("name a new folder"), "{}", text(&refused.stderr));
}

/// The product of f32 activations that were rounded to 8 bits in blocks of 20, as some peers do.
fn rounded_product(exported: &Path) -> Vec<f32> {
    let mut x = floats(exported, "activation_f32", &[3, 40]);
    for block in x.chunks_mut(20) {
        let step = block.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
        block.iter_mut().for_each(|x| *x = (*x / step).round() * step);
    }
    let w = codes(exported, "weight_codes", &[5, 40]);
    let sw = floats(exported, "weight_scales", &[5]);
    let element = |(i, j): (usize, usize)| {
        let sum: f64 = (0..40).map(|k| f64::from(x[i * 40 + k]) * f64::from(w[j * 40 + k])).sum();
        (sum * f64::from(sw[j])) as f32
    };
    (0..3).flat_map(|i| (0..5).map(move |j| (i, j))).map(element).collect()
}

#[test]
fn a_peer_that_rounds_its_operands_is_held_to_what_it_declares() {
    let folder = tempfile::tempdir().unwrap();
    let case = CASE.replace("activation=int8", "activation=f32");
    let case = case.replace("activation_rule=absmax", "activation_rule=none");
    let (run, exported) = setting(folder.path(), &case.replace("data=exact", "data=realistic"));
    let y = rounded_product(&exported);
    let declared =
        |operands: &str| json("peer", "[1.0]").replace("true", &format!("true{operands}"));
    let blocks = declared(r#", "operands": {"eight_bit": {"block": 20, "scale_bits": 24}}"#);
    let shorter = declared(r#", "operands": {"short": {"bits": 20}}"#);
    let off: Vec<f32> = y.iter().map(|y| y + 0.1 * y.abs().max(1.0)).collect();
    for (y, json, code) in
        [(&y, &blocks, 0), (&y, &declared(""), 4), (&y, &shorter, 4), (&off, &blocks, 4)]
    {
        answer(&exported, "peer", y, json);
        let merged = merge(&run, &exported);
        assert_eq!(merged.status.code(), Some(code), "{json} {}", text(&merged.stdout));
    }
}

#[test]
fn what_is_wrong_with_an_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (run, exported) = setting(folder.path(), CASE);
    let y = product(&exported);
    let wrong = [
        (json("scalar", "[1.0]"), "kernel is `scalar`, a row of this program"),
        (json("a peer", "[1.0]"), "kernel is `a peer`, must be letters"),
        (json("peer", "[1.0, -2.0]"), "timings[0].rounds[0][1] is -2, must be a positive number"),
        (json("peer", "[]"), "timings[0].rounds holds no sample"),
        (json("peer", "[1.0]").replace("hot", "warm"), "unknown variant `warm`, expected"),
        (json("peer", "[1.0]").replace("version", "verison"), "unknown field `verison`, expected"),
    ];
    for (json, why) in wrong {
        answer(&exported, "peer", &y, &json);
        let merged = merge(&run, &exported);
        assert_eq!(merged.status.code(), Some(2), "{}", text(&merged.stderr));
        let said = text(&merged.stderr);
        assert!(said.contains("peer.json") && said.contains(why), "{said}");
    }
    assert_eq!(records(&run).len(), 1, "a refused answer leaves the run alone");
    let typo = lowbit(&["export", "--case", "rho_pack", "--out", "x"]);
    assert_eq!(typo.status.code(), Some(2));
}
