//! Not replayed yet.
use super::replay::Replay;
use serde_json::Value;

pub(crate) fn replay(document: &Value, replay: &mut Replay) {
    replay.exclude(document, "not replayed yet");
}
