//! The rules a quantization config asks for.
//!
//! | protocol | weights | activations |
//! |---|---|---|
//! | `none` | `burn_dragon` | `burn_dragon` |
//! | `bitnet_b1` | `b1` | `b1` |
//! | `bitnet_b158` | `b158` | `b158` |
//! | `bitnet_a48_exp` | `a48` | `a48` |
//! | `bitnet_v2_exp` | `b158` | `b2_hadamard` |
//!
//! Where a paper has no rule for a format the nearest published one stands in: `b1` for signs,
//! `b158` for ternary codes, `absmax` for integers. The grouping is the config's and not the
//! paper's: `per_tensor`, `per_token` (a row), `per_group` and `per_head_group` with their sizes.
//! The source names protocols and groupings and quantizes by its own rule under one scale a tensor
//! all the same (seed 002, lines 1079-1145).
use super::{
    BitNetLowBitProtocol as Protocol, LowBitActivationGrouping, LowBitQuantizationConfig,
    LowBitWeightGrouping,
};
use crate::format::Levels;
use crate::invalid::Invalid;
use crate::op::saved_activation::SavedFormat;
use crate::plan::stored_activation;
use crate::rule::named::{absmax, activation_rule, weight_rule};
use crate::rule::{Granularity, Rule};

impl Protocol {
    /// The names of its rules for weights and for activations.
    fn rules(self) -> [&'static str; 2] {
        match self {
            Protocol::None => ["burn_dragon"; 2],
            Protocol::BitnetB1 => ["b1"; 2],
            Protocol::BitnetB158 => ["b158"; 2],
            Protocol::BitnetA48Exp => ["a48"; 2],
            Protocol::BitnetV2Exp => ["b158", "b2_hadamard"],
        }
    }
}

impl LowBitQuantizationConfig {
    /// The rule for weights of these levels, whether or not the config is enabled.
    ///
    /// Errors name a group size that is missing, zero or not wanted.
    pub fn weight_rule(&self, levels: Levels) -> Result<Rule, Invalid> {
        self.check_weight_sizes()?;
        let [name, _] = self.protocol.rules();
        let rule = [name, "b158", "b1"].iter().find_map(|name| weight_rule(name, levels));
        let (granularity, size) = match self.weight_grouping {
            LowBitWeightGrouping::PerTensor => (Granularity::Tensor, None),
            LowBitWeightGrouping::PerGroup => (Granularity::Group, self.weight_group_size),
            LowBitWeightGrouping::PerHeadGroup => {
                (Granularity::HeadGroup, self.weight_heads_per_group)
            }
        };
        let rule = rule.unwrap_or_else(|| absmax(levels));
        Ok(Rule { granularity, group_size: size.unwrap_or(0), ..rule })
    }

    /// The rule for activations of these levels; see
    /// [`weight_rule`](LowBitQuantizationConfig::weight_rule).
    pub fn activation_rule(&self, levels: Levels) -> Result<Rule, Invalid> {
        self.check_act_sizes()?;
        let [_, name] = self.protocol.rules();
        let rule = activation_rule(name, levels).unwrap_or_else(|| absmax(levels));
        let (granularity, size) = match self.act_grouping {
            LowBitActivationGrouping::PerToken => (Granularity::Row, None),
            LowBitActivationGrouping::PerGroup => (Granularity::Group, self.act_group_size),
            LowBitActivationGrouping::PerHeadGroup => {
                (Granularity::HeadGroup, self.act_heads_per_group)
            }
        };
        Ok(Rule { granularity, group_size: size.unwrap_or(0), ..rule })
    }

    /// How activations are saved: the format of `saved_activations` under the rule for
    /// activations, without a rotation, for what is saved are the rows as they are.
    pub fn saved_format(&self) -> Result<SavedFormat, Invalid> {
        let Some(format) = stored_activation(self.saved_activations.format) else {
            return Ok(SavedFormat::Fp16);
        };
        let rule = Rule { rotated: false, ..self.activation_rule(format.levels())? };
        Ok(SavedFormat::Coded { format, rule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(protocol: Protocol) -> LowBitQuantizationConfig {
        LowBitQuantizationConfig { enable: true, protocol, ..Default::default() }
    }

    /// The rule without its granularity.
    fn choices(rule: Rule) -> Rule {
        Rule { granularity: Granularity::Row, group_size: 0, ..rule }
    }

    #[test]
    fn protocols_have_the_rules_of_their_papers() {
        use Levels::{Int4, Int8, Sign, Ternary, Uint8};
        use Protocol::{BitnetA48Exp, BitnetB1, BitnetB158, BitnetV2Exp, None};
        for (protocol, levels, name) in [
            (None, Ternary, "burn_dragon"),
            (None, Int8, "burn_dragon"),
            (BitnetB1, Sign, "b1"),
            (BitnetB1, Ternary, "b158"),
            (BitnetB1, Int8, "absmax"),
            (BitnetB158, Ternary, "b158"),
            (BitnetB158, Sign, "b1"),
            (BitnetA48Exp, Ternary, "a48"),
            (BitnetA48Exp, Sign, "b1"),
            (BitnetV2Exp, Ternary, "b158"),
            (BitnetV2Exp, Int8, "absmax"),
        ] {
            let found = choices(config(protocol).weight_rule(levels).unwrap());
            assert_eq!(found, choices(weight_rule(name, levels).unwrap()), "{protocol} {levels:?}");
        }
        for (protocol, levels, name) in [
            (None, Uint8, "burn_dragon"),
            (BitnetB1, Int8, "b1"),
            (BitnetB1, Int4, "absmax"),
            (BitnetB158, Int8, "b158"),
            (BitnetB158, Uint8, "absmax"),
            (BitnetA48Exp, Int8, "a48"),
            (BitnetA48Exp, Int4, "a48"),
            (BitnetV2Exp, Int8, "b2_hadamard"),
            (BitnetV2Exp, Int4, "b2_hadamard"),
            (BitnetV2Exp, Uint8, "absmax"),
        ] {
            let found = choices(config(protocol).activation_rule(levels).unwrap());
            let named = choices(activation_rule(name, levels).unwrap());
            assert_eq!(found, named, "{protocol} {levels:?}");
        }
    }

    #[test]
    fn groupings_are_those_of_the_config() {
        let default = config(Protocol::BitnetB158);
        let of = |rule: Rule| (rule.granularity, rule.group_size);
        assert_eq!(of(default.weight_rule(Levels::Ternary).unwrap()), (Granularity::Tensor, 0));
        assert_eq!(of(default.activation_rule(Levels::Int8).unwrap()), (Granularity::Row, 0));
        let groups = default
            .clone()
            .with_weight_grouping(LowBitWeightGrouping::PerGroup)
            .with_weight_group_size(Some(32))
            .with_act_grouping(LowBitActivationGrouping::PerHeadGroup)
            .with_act_heads_per_group(Some(2));
        assert_eq!(of(groups.weight_rule(Levels::Sign).unwrap()), (Granularity::Group, 32));
        assert_eq!(of(groups.activation_rule(Levels::Int4).unwrap()), (Granularity::HeadGroup, 2));
        let heads = default
            .clone()
            .with_weight_grouping(LowBitWeightGrouping::PerHeadGroup)
            .with_weight_heads_per_group(Some(4))
            .with_act_grouping(LowBitActivationGrouping::PerGroup)
            .with_act_group_size(Some(8));
        assert_eq!(of(heads.weight_rule(Levels::Int8).unwrap()), (Granularity::HeadGroup, 4));
        assert_eq!(of(heads.activation_rule(Levels::Int8).unwrap()), (Granularity::Group, 8));
        let missing = heads.with_weight_heads_per_group(None).with_act_group_size(Some(0));
        let field = |rule: Result<Rule, Invalid>| rule.unwrap_err().field;
        let weights = field(missing.weight_rule(Levels::Int8));
        assert_eq!(weights, "model.quant.weight_heads_per_group");
        let activations = field(missing.activation_rule(Levels::Int8));
        assert_eq!(activations, "model.quant.act_group_size");
    }

    #[test]
    fn rows_are_saved_as_they_are() {
        let rotated = config(Protocol::BitnetV2Exp);
        assert!(rotated.activation_rule(Levels::Int8).unwrap().rotated);
        let SavedFormat::Coded { rule, .. } = rotated.saved_format().unwrap() else {
            panic!("int8 is the default");
        };
        assert!(!rule.rotated && rule.granularity == Granularity::Row);
    }
}
