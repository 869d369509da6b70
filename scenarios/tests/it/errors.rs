//! Every refusal names file, line, column and key, and what would be right.
use lowbit_scenarios::{Scenario, ScenarioError};

/// Parse and expand a file whose text is on one line.
fn refuse(text: &str) -> ScenarioError {
    let scenario = Scenario::parse("suite.json", text);
    match scenario.and_then(|scenario| scenario.expand()) {
        Ok(planned) => panic!("{} cases from {text}", planned.len()),
        Err(error) => error,
    }
}

/// A file of one sweep with these entries besides `name` and `op`.
fn sweep(op: &str, entries: &str) -> String {
    format!(r#"{{"about": "x", "sweeps": [{{"name": "s", "op": "{op}", {entries}}}]}}"#)
}

/// The error is about `key`, points at `at` in the text, and says `message`.
fn refuses(text: &str, key: &str, at: &str, message: &str) {
    let error = refuse(text);
    let column = text.find(at).unwrap_or_else(|| panic!("no {at} in {text}")) + 1;
    assert_eq!((error.line, error.column), (1, column), "{error}\n{text}");
    assert_eq!(error.key, key, "{error}");
    assert!(error.message.contains(message), "{error}\nwants: {message}");
    assert!(error.to_string().starts_with(&format!("suite.json:1:{column}: `{key}`: ")));
}

const LINEAR: &str = r#""product": {"weight": "int8", "activation": "int8", "weight_rule": "absmax",
    "activation_rule": "absmax", "m": 1, "k": 8, "n": 8, "data": "exact"}"#;

#[test]
fn a_misspelt_parameter_names_the_nearest() {
    let text = "{\n  \"about\": \"x\",\n  \"sweeps\": [\n    { \"name\": \"s\", \"op\": \"linear\",\n      \
        \"product\": { \"weigth\": \"int8\" } }\n  ]\n}";
    let error = refuse(text);
    assert_eq!((error.line, error.column), (5, 20));
    let text = error.to_string();
    assert!(text.starts_with("suite.json:5:20: `weigth`: "), "{text}");
    assert!(text.contains("did you mean `weight`?"), "{text}");
}

#[test]
fn columns_count_characters() {
    let error = refuse("{\"about\": \"\u{3bc}\u{3bc}\", \"sweps\": []}");
    assert_eq!((error.line, error.column), (1, 17), "{error}");
    assert!(error.message.contains("did you mean `sweeps`?"), "{error}");
}

#[test]
fn unknown_keys_are_refused_everywhere() {
    let file = r#"{"about": "x", "sweeps": [], "abuot": 1}"#;
    refuses(file, "abuot", r#""abuot""#, "did you mean `about`?");
    refuses(&sweep("linear", r#""produkt": {}"#), "produkt", r#""produkt""#, "`product`?");
    let measure = sweep("linear", r#""measure": {"thread": 1}"#);
    refuses(&measure, "thread", r#""thread""#, "did you mean `threads`?");
    let gate = sweep("rho_pack", r#""gate": {"rho": {"mean_error": 1}}"#);
    refuses(&gate, "mean_error", r#""mean_error""#, "mean_abs_error");
    let gate = sweep("rho_pack", r#""gate": {"correctnes": "report"}"#);
    refuses(&gate, "correctnes", r#""correctnes""#, "did you mean `correctness`?");
    let rule = sweep("quantize_weight", r#""product": {"weight_rule": {"treshold": 1}}"#);
    refuses(&rule, "treshold", r#""treshold""#, "did you mean `threshold`?");
}

#[test]
fn wrong_words_name_the_nearest() {
    refuses(&sweep("linaer", r#""product": {}"#), "op", r#""linaer""#, "did you mean `linear`?");
    let weight = sweep("linear", r#""product": {"weight": ["int8", "ternray2"]}"#);
    refuses(&weight, "weight", r#""ternray2""#, "did you mean `ternary2`?");
    let set = sweep("linear", r#""shapes": ["bitnet_2b"]"#);
    refuses(&set, "shapes", r#""bitnet_2b""#, "bitnet_2b_4t");
    let cache = sweep("linear", r#""measure": {"cache": "cool"}"#);
    refuses(&cache, "cache", r#""cool""#, "did you mean `cold`?");
    let mode = sweep("rho_pack", r#""gate": {"rho": {"mode": "enfroce"}}"#);
    refuses(&mode, "mode", r#""enfroce""#, "did you mean `enforce`?");
    let off = sweep("linear", r#""gate": {"correctness": "off"}"#);
    refuses(&off, "correctness", r#""off""#, "allowed: enforce, report");
    let rule = sweep("quantize_weight", r#""product": {"weight_rule": {"range": "absmaxx"}}"#);
    refuses(&rule, "range", r#""absmaxx""#, "did you mean `absmax`?");
}

#[test]
fn wrong_types_and_ranges_are_refused() {
    let product = |entry: &str| sweep("linear", &format!(r#""product": {{{entry}}}"#));
    refuses(&product(r#""m": "1""#), "m", r#""1""#, "takes a number, not a string");
    refuses(&product(r#""m": -1"#), "m", "-1", "a whole number from 0");
    refuses(&product(r#""m": 1.5"#), "m", "1.5", "a whole number from 0");
    refuses(&product(r#""weight": 8"#), "weight", "8", "takes a string, not a number");
    refuses(&product(r#""weight": null"#), "weight", "null", "not null");
    refuses(&product(r#""weight": [["int8"]]"#), "weight", r#"["int8"]"#, "not a list");
    refuses(&product(r#""weight": {"a": 1}"#), "weight", r#"{"a""#, "not an object");
    refuses(&product(r#""weight_rule": "{}""#), "weight_rule", r#""{}""#, "without quotes");
    let rule = product(r#""weight_rule": {"steps": -1}"#);
    refuses(&rule, "weight_rule", r#"{"steps"#, "`steps` is from 1e-6 to 1e6");
    refuses(&sweep("linear", r#""product": []"#), "product", "[]", "takes an object");
    refuses(r#"{"about": 7, "sweeps": []}"#, "about", "7", "takes a string");
    refuses(r#"[1]"#, "$", "[1]", "takes an object, not a list");
    let measure = |entry: &str| sweep("linear", &format!(r#""measure": {{{entry}}}"#));
    refuses(&measure(r#""threads": 0"#), "threads", "0", "from 1 to 4096");
    refuses(&measure(r#""threads": [2, 2]"#), "threads", "2]", "twice");
    refuses(&measure(r#""interval": 2"#), "interval", "2", "above 0 and at most 1");
    refuses(&measure(r#""min_samples": 500"#), "min_samples", "500", "more than max_samples 200");
    let gate = sweep("linear", r#""gate": {"rho_relative": {}}"#);
    refuses(&gate, "rho_relative", "{}", "begin with rho_");
    let gate = sweep("linear", r#""gate": {"rho": {}}"#);
    refuses(&gate, "rho", "{}", "begin with rho_");
    let gate = sweep("rho_pack", r#""gate": {"rho": {"min_rms_ratio": 1.2}}"#);
    refuses(&gate, "rho", r#"{"min_rms"#, "more than max_rms_ratio 1.05");
}

#[test]
fn missing_and_empty_things_are_refused() {
    refuses(r#"{"sweeps": []}"#, "about", "{", "is missing");
    refuses(r#"{"about": "", "sweeps": []}"#, "about", r#""""#, "is empty");
    refuses(r#"{"about": "x"}"#, "sweeps", "{", "is missing");
    refuses(r#"{"about": "x", "sweeps": []}"#, "sweeps", "[]", "empty list");
    refuses(r#"{"about": "x", "sweeps": [{"op": "linear"}]}"#, "name", r#"{"op""#, "is missing");
    refuses(r#"{"about": "x", "sweeps": [{"name": "s"}]}"#, "op", r#"{"name""#, "is missing");
    refuses(&sweep("linear", r#""product": {"weight": []}"#), "weight", "[]", "empty list");
    refuses(&sweep("linear", r#""shapes": []"#), "shapes", "[]", "empty list");
    refuses(&sweep("linear", r#""zip": [{}]"#), "zip", "{}", "without parameters");
    refuses(&sweep("linear", r#""kernels": []"#), "kernels", "[]", "empty list");
    let needs = "op `linear` needs `k` (depth: input features)";
    let text = LINEAR.replace(r#""k": 8, "#, "").replace('\n', " ");
    refuses(&sweep("linear", &text), "k", r#""s""#, needs);
    let file = LINEAR.replace("exact", "file").replace('\n', " ");
    refuses(&sweep("linear", &file), "file", r#""s""#, "op `linear` needs `file`");
    let twice = r#"{"about": "x", "sweeps": [{"name": "s", "op": "linear"}, {"op": "linear", "name": "s"}]}"#;
    let error = refuse(twice);
    assert_eq!((error.column, error.key.as_str()), (twice.rfind(r#""s""#).unwrap() + 1, "name"));
}

#[test]
fn text_that_is_not_strict_json_is_refused() {
    for (text, column) in [
        (r#"{"about": "x", }"#, 14),
        (r#"{"about": 'x'}"#, 11),
        (r#"{about: "x"}"#, 2),
        (r#"{"about": "x" /* why */}"#, 15),
        (r#"{"about": 0x1}"#, 11),
        (r#"{"about": "x"} {}"#, 16),
        (r#"{"a": 007}"#, 8),
        ("", 1),
    ] {
        let error = refuse(text);
        assert_eq!((error.line, error.key.as_str()), (1, "$"), "{error}");
        assert_eq!(error.column, column, "{text}: {error}");
    }
    refuses(r#"{"about": "x", "about": "y"}"#, "about", r#""about": "y"#, "is given twice");
    let deep = "[".repeat(100_000);
    assert!(refuse(&deep).message.contains("nesting depth"));
}

#[test]
fn groups_that_do_not_fit_are_refused() {
    let zip = |entry: &str| sweep("linear", &format!(r#""zip": [{{{entry}}}]"#));
    let uneven = zip(r#""k": [8, 16], "n": [8]"#);
    refuses(&uneven, "n", "[8]", "has 1 values, the others of its zip group 2");
    refuses(&zip(r#""k": 8"#), "k", "8", "takes a list, not a number");
    let twice = sweep("linear", r#""product": {"m": 1}, "zip": [{"m": [1]}]"#);
    refuses(&twice, "m", r#""m": [1]"#, "is given by `product`");
    let shapes = sweep("linear", r#""product": {"k": 8}, "shapes": "bdh""#);
    refuses(&shapes, "shapes", r#""bdh""#, "gives `k`, which is given already");
    let shapes = sweep("rho_pack", r#""shapes": "bitnet_2b_4t""#);
    refuses(&shapes, "shapes", r#""bitnet_2b_4t""#, "has no shapes for op `rho_pack`");
    let shapes = sweep("linear", r#""shapes": "bdh""#);
    refuses(&shapes, "shapes", r#""bdh""#, "`bdh` has no `m`: give `m`");
    let many = r#""product": {"m": LIST, "k": LIST, "n": LIST}"#;
    let list = (1..=101).map(|i: u32| i.to_string()).collect::<Vec<_>>().join(",");
    let many = sweep("linear", &many.replace("LIST", &format!("[{list}]")));
    refuses(&many, "s", r#""s""#, "has 1030301 combinations, more than 1000000");
}

#[test]
fn conflicts_point_at_the_value() {
    let text = LINEAR.replacen(r#""absmax","#, r#"["absmax", "b158"],"#, 1).replace('\n', " ");
    refuses(&sweep("linear", &text), "weight_rule", r#""b158""#, "rules that are: burn_dragon");
    let excluded = format!(r#"{text}, "where": "weight_rule != \"b158\"""#);
    let scenario = Scenario::parse("suite.json", &sweep("linear", &excluded)).unwrap();
    assert_eq!(scenario.expand().unwrap().len(), 1);
    let never = LINEAR.replace(r#""m": 1"#, r#""m": 1, "distribution": "relu""#).replace('\n', " ");
    let message = "applies only when `data=realistic`, which no case here has";
    refuses(&sweep("linear", &never), "distribution", r#""distribution""#, message);
}

#[test]
fn conditions_are_checked() {
    let text = LINEAR.replace('\n', " ");
    let with = |condition: &str| sweep("linear", &format!(r#"{text}, "where": "{condition}""#));
    for (condition, message) in [
        ("m * q < 7", "op `linear` has no parameter `q`"),
        ("weigth == m", "did you mean `weight`?"),
        ("m == int8", "words take quotes"),
        ("m <", "`m <` has an operator with a side missing"),
        ("(m < 2", "is no condition"),
        ("m = 1", "compare with `==`"),
        (r#"weight == \"int88\""#, "did you mean `int8`?"),
        (r#"\"packed2\" != weight"#, "`weight` is never `packed2`"),
        ("weight == 8", "`weight` is text, not 8"),
        ("m == 1.0", "`m` is a whole number"),
        ("m + k", "m + k"),
        ("weight < 8", "weight < 8"),
        ("frob(m)", "frob"),
        ("m > 1", "leaves none of the 1 combinations"),
    ] {
        let text = with(condition);
        refuses(&text, "where", &format!(r#""{condition}""#), message);
    }
    let sigma = r#""product": {"format": "int8", "elements": 8, "data": "realistic"}, "where": "sigma == 1""#;
    refuses(&sweep("rho_pack", sigma), "where", r#""sigma == 1""#, "write 2.0 for 2");
}

#[test]
fn malformed_globs_are_refused() {
    let text = sweep("linear", r#""kernels": ["avx*", "cube-[a"]"#);
    refuses(&text, "kernels", r#""cube-[a""#, "unclosed character class");
}
