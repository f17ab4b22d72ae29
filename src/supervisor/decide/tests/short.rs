//! What fails for want of something waits.

use super::*;
use crate::session::fixture::{ended, released};
use crate::task::AgentEnd;

fn short() -> Short {
    Short {
        of: Shortage::Disk,
        error: "full".into(),
    }
}

#[test]
fn what_fails_for_want_of_something_goes_back_and_does_not_fail() {
    let spec = spec(&["a"]);
    let prepared = state_after(&spec, &[preparing("a")]);
    let result = Err(NoWorktree::Short(short()));
    let unmade = decide(&spec, &prepared, Input::Provisioned { task: 0, result });
    assert_eq!(unmade, (vec![released("a")], vec![]));

    let end = AgentEnd::NotStarted {
        error: "no".into(),
        shortage: Some(Shortage::Processes),
    };
    let outcome = AttemptOutcome::unseen(end, FailureReason::Exit, "no");
    let running = [preparing("a"), started("a", 1)];
    let ended = Input::AttemptEnded {
        task: 0,
        outcome: outcome.clone(),
    };
    let (events, actions) = decide(&spec, &state_after(&spec, &running), ended);
    let lost = EventKind::AttemptLost {
        task: task_id("a"),
        outcome,
    };
    assert_eq!((&events, actions), (&vec![lost], vec![]));
    // And starts again where it was.
    let state = state_after(&spec, &[&running[..], &events].concat());
    let again = vec![Action::Provision {
        task: 0,
        site: Some(site("a")),
    }];
    assert_eq!(schedule(&spec, &state), (vec![preparing("a")], again));
}

#[test]
fn work_that_cannot_be_committed_is_only_settled_when_somebody_wants_it_to_stop() {
    let spec = spec(&["a"]);
    let settlement = Settlement::failed(FailureReason::Settling, "full");
    let input = || Input::Unsettled {
        task: 0,
        short: short(),
        settlement: settlement.clone(),
    };
    let settling = [preparing("a"), started("a", 1), ended("a", good_attempt())];
    assert_eq!(decide(&spec, &state_after(&spec, &settling), input()), (vec![], vec![]));
    let of_task = EventKind::TaskStopAsked {
        task: task_id("a"),
        now: false,
    };
    for stop in [EventKind::StopAsked { now: false }, of_task] {
        let state = state_after(&spec, &[&settling[..], &[stop]].concat());
        assert_eq!(
            decide(&spec, &state, input()),
            (vec![settled("a", settlement.clone())], vec![])
        );
    }
}

#[test]
fn the_worktree_of_work_that_is_committed_is_put_away_although_the_answer_found_no_room() {
    let spec = spec(&["a"]);
    let settlement = good_settlement(WorktreeIntent::Remove);
    let input = Input::Unsettled {
        task: 0,
        short: short(),
        settlement: settlement.clone(),
    };
    let settling = [preparing("a"), started("a", 1), ended("a", good_attempt()), STOP];
    let (events, actions) = decide(&spec, &state_after(&spec, &settling), input);
    assert_eq!(events, [settled("a", settlement)]);
    // Without it the session would wait for its end for ever.
    assert_eq!(actions, [Action::Remove { task: 0 }]);
}
