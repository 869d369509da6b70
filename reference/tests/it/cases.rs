//! Case ids: printed, parsed, and refused with the part that is wrong.
use lowbit_reference::case::{Case, CaseError};
use lowbit_reference::op::OPS;
use proptest::prelude::*;

const LINEAR: &str = "linear/weight=ternary2/activation=int8/weight_rule=b158/\
                      activation_rule=absmax/m=1/k=4096/n=512/data=exact/seed=7";

fn error(id: &str) -> String {
    id.parse::<Case>().unwrap_err().to_string()
}

#[test]
fn ids_print_as_they_parse() {
    let file = "quantize_weight/weight=int8/weight_rule=absmax/k=384/n=384/data=file/\
                file=a/b.safetensors/tensor=encoder/query.weight/seed=7";
    let spelled = r#"quantize_weight/weight=ternary2/weight_rule={"range":"absmean","steps":1.0,"threshold":0.7}/k=8/n=2/data=realistic/distribution=relu/seed=0"#;
    for id in [LINEAR, file, spelled] {
        assert_eq!(id.parse::<Case>().unwrap().to_string(), id);
    }
}

#[test]
fn defaults_aliases_and_order_are_made_canonical() {
    let given = "linear/n=512/k=4096/m=1/weight=ternary158/activation=int8_exp/weight_rule=b158/\
                 activation_rule=absmax/data=exact";
    assert_eq!(given.parse::<Case>().unwrap().to_string(), LINEAR);
    let normal = "rho_pack/format=int8_block_exp/elements=64/data=realistic";
    let full = "rho_pack/format=int8/elements=64/data=realistic/distribution=normal/sigma=1/seed=7";
    assert_eq!(normal.parse::<Case>().unwrap().to_string(), full);
}

#[test]
fn a_typo_says_which_part_is_wrong_and_what_is_near() {
    assert!(error("liner/m=1").contains("unknown op `liner` (did you mean `linear`?)"));
    let key = error(&LINEAR.replace("/weight=", "/weigth="));
    assert!(key.contains("no parameter `weigth` (did you mean `weight`?)"), "{key}");
    let word = error(&LINEAR.replace("ternary2", "ternery2"));
    assert!(word.contains("`weight` cannot be `ternery2` (did you mean `ternary2`?)"), "{word}");
    let number = error(&LINEAR.replace("m=1", "m=-1"));
    assert!(number.contains("`m` cannot be `-1`; allowed: a whole number from 0"), "{number}");
    assert!(error(&LINEAR.replace("/seed=7", "/seed")).contains("`exact/seed`"));
    assert!(error(&format!("{LINEAR}/m=2")).contains("`m` is given twice"));
    assert!(error(&LINEAR.replace("/m=1", "")).contains("needs `m` (rows of activations"));
}

/// A case that was changed must have an id that makes it again.
#[test]
fn a_value_that_is_not_allowed_is_refused_however_it_is_given() {
    use lowbit_reference::case::Value;
    let case: Case = "pack/weight=ternary2/k=8/n=4/data=exact".parse().unwrap();
    let with = |n| case.with(&[("n", Some(Value::Number(n)))]).map_err(|e| e.to_string());
    assert_eq!(with(5).unwrap().to_string().parse::<Case>().unwrap().number("n"), 5);
    let most = u64::MAX;
    let refused = with(most).unwrap_err();
    let sentence = format!("`n` cannot be `{most}`; allowed: a whole number");
    assert!(refused.contains(&sentence), "{refused}");
    let drawn = case.with(&[("data", Some(Value::Word("realistic")))]).unwrap_err().to_string();
    assert!(drawn.contains("`data` cannot be `realistic`; allowed: exact"), "{drawn}");
}

#[test]
fn parts_that_make_no_case_together_are_refused_with_a_reason() {
    let rule = error(&LINEAR.replace("b158", "b1"));
    assert!(
        rule.contains(
            "`weight_rule=b1` is no rule for ternary codes; rules that are: burn_dragon, b158, a48"
        ),
        "{rule}"
    );
    let f32s = error(&LINEAR.replace("activation=int8", "activation=f32"));
    assert!(f32s.contains("use `none`"), "{f32s}");
    let tensor = error(&LINEAR.replace("data=exact", "data=exact/tensor=t"));
    assert!(tensor.contains("`tensor` applies only when `data=file`"), "{tensor}");
    let depth = error(&LINEAR.replace("k=4096", "k=16777216").replace("n=512", "n=2"));
    assert!(depth.contains("overflows an i32 sum; at most 16777215"), "{depth}");
    let spelled = LINEAR.replace("=b158", r#"={"treshold":0.7}"#);
    assert!(error(&spelled).contains("treshold"), "{}", error(&spelled));
}

#[test]
fn every_parameter_of_every_op_is_described() {
    for op in OPS {
        assert!(!op.about.is_empty());
        for param in op.params {
            assert!(!param.about.is_empty(), "{} {}", op.name, param.key);
        }
    }
}

proptest! {
    #[test]
    fn no_id_panics_and_what_parses_is_stable(id in "[a-z_/=0-9{}\":.]{0,60}") {
        if let Ok(case) = id.parse::<Case>() {
            prop_assert_eq!(case.to_string().parse::<Case>().unwrap(), case);
        }
        let whole: Result<Case, CaseError> = format!("{LINEAR}/{id}").parse();
        if let Ok(case) = whole {
            prop_assert_eq!(case.to_string().parse::<Case>().unwrap(), case);
        }
    }
}
