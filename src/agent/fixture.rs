//! What the unit tests of the streams start from: how one begins, and how one ends well.

use super::StreamReader;

pub(super) const INIT: &str = r#"{"cwd":"/x","type":"system","subtype":"init"}"#;
pub(super) const OK: &str = r#"{"type":"result","subtype":"success","is_error":false,"num_turns":3,"result":"all done","total_cost_usd":0.5,"permission_denials":[]}"#;

/// A reader that has read these lines.
pub(super) fn read(lines: &[&str]) -> StreamReader {
    let mut reader = StreamReader::default();
    for line in lines {
        reader.line(line.as_bytes());
    }
    reader
}
