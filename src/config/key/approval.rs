//! When a setting in a repository's file has to be approved by the user.
//!
//! What runs something, or is written to where it says, always; a limit when it lets more happen, and cost, than without
//! that file, so that a file that only asks for less is never a nuisance. What decides how work is done inside of the
//! worktrees needs none. Pure.

use super::{Key, Kind};
use crate::cli::Parallel;
use crate::config::value::Value;

/// When a key of the repository's file needs approval. What is compared with is what the user's own file says, or else the
/// usual value; where neither is a value nothing is limited, and whatever the repository says limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// It lets nothing happen that could not happen without it.
    Never,
    /// Something is run by it, or written to where it says.
    Always,
    /// For more.
    ForMore,
    /// For less.
    ForLess,
    /// In the place of something else.
    ForOther,
}

impl Key {
    /// Whether the repository's file may say this only when it is approved. `yours` is what the user's own file says.
    pub fn needs_approval(&self, said: &Value, yours: Option<&Value>) -> bool {
        let usual = self.usual_value();
        let Some(without) = yours.or(usual.as_ref()) else {
            return self.approval == Approval::Always;
        };
        match self.approval {
            Approval::Never => false,
            Approval::Always => true,
            Approval::ForMore => amount(said) > amount(without),
            Approval::ForLess => amount(said) < amount(without),
            Approval::ForOther => said != without,
        }
    }

    /// When it needs approval, in a few words; empty if never.
    pub fn approval_in_words(&self) -> &'static str {
        match (self.approval, self.kind) {
            (Approval::Never, _) => "",
            (Approval::Always, _) => "needed",
            (Approval::ForMore, Kind::Time | Kind::TimeLimit) => "for longer",
            (Approval::ForMore, _) => "for more",
            (Approval::ForLess, Kind::Flag) => "for false",
            (Approval::ForLess, _) => "for less",
            (Approval::ForOther, _) => "for another",
        }
    }
}

/// To compare two values of one key by. How many `auto` is depends on the machine: more than any number that somebody
/// writes down.
fn amount(value: &Value) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "what differs by less than that is as much")]
    let number = |number: u64| number as f64;
    match value {
        Value::Parallel(Parallel::Most(most)) => number(u64::try_from(*most).unwrap_or(u64::MAX)),
        Value::Parallel(Parallel::Auto) => f64::MAX,
        Value::Parallel(Parallel::Unlimited) => f64::INFINITY,
        Value::Time(time) => time.as_secs_f64(),
        Value::Count(count) => f64::from(*count),
        Value::Usd(usd) => *usd,
        Value::Bytes(bytes) => number(*bytes),
        Value::Flag(flag) => f64::from(u8::from(*flag)),
        Value::Path(_) | Value::Text(_) | Value::List(_) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::key::find;

    #[test]
    fn a_limit_needs_approval_only_where_it_lets_more_happen() {
        for (name, said, yours, needed) in [
            // Nobody has limited it: so the repository can only limit it.
            ("max_cost", "100", None, false),
            ("max_turns", "1000", None, false),
            ("timeout", "24h", None, false),
            ("max_parallel", "4", None, false),
            ("model", "opus", None, false),
            ("max_cost", "100", Some("5"), true),
            ("max_cost", "5", Some("5"), false),
            ("max_cost", "2", Some("5"), false),
            ("max_cost_usd", "2.01", Some("2"), true),
            ("max_turns", "11", Some("10"), true),
            ("timeout", "31m", Some("30m"), true),
            ("timeout", "1m", Some("30m"), false),
            ("idle_timeout", "2h", Some("1h"), true),
            ("max_agents", "9", Some("8"), true),
            ("max_parallel", "3", Some("2"), true),
            ("max_parallel", "1", Some("2"), false),
            ("max_parallel", "auto", Some("2"), true),
            ("max_parallel", "unlimited", None, true),
            ("model", "opus", Some("haiku"), true),
            ("model", "haiku", Some("haiku"), false),
            // The usual value is what the user has when they say nothing.
            ("retry", "1", None, true),
            ("retry", "1", Some("2"), false),
            ("retry", "3", Some("2"), true),
            ("min_free_disk", "512M", None, true),
            ("min_free_disk", "2G", None, false),
            ("min_free_memory", "1G", Some("2G"), true),
            ("fail_fast", "true", None, false),
            ("fail_fast", "false", Some("true"), true),
            // What is asked of nobody, and what always is.
            ("grace", "1h", Some("1s"), false),
            ("verify", "true", Some("true"), true),
            ("output_dir", "out", None, true),
        ] {
            let key = find(name).unwrap();
            let value = |text| key.kind.parse(text, Path::new("/base")).unwrap();
            let found = key.needs_approval(&value(said), yours.map(value).as_ref());
            assert_eq!(found, needed, "{name} = {said}, yours {yours:?}");
        }
    }
}
