//! The doorbell's protocol, all interleavings of it: no committed event is forgotten by a sleeping
//! sidecar, no commit waits for a sidecar, nobody is stuck. And the search has teeth: each of several
//! protocols that are wrong by one detail is found out.

mod model;
mod search;

use model::{Flaw, Rules, State};
use search::{Reached, explore};

/// All interleavings of these actors.
fn all(rules: Rules) -> Reached<State> {
    explore(State::first(&rules).ordered(), |state, steps| {
        state.steps(&rules, true, steps);
        steps.iter_mut().for_each(|(_, next)| *next = next.ordered());
    })
}

/// The way to an event that is forgotten without an excuse.
fn forgotten(rules: Rules) -> Option<Vec<&'static str>> {
    let reached = all(rules);
    let found = reached.states.iter().position(|state| state.forgotten(&rules).is_some())?;
    Some(reached.way_to(found))
}

/// Fails with the way to the first state that breaks a promise. Says how many states there were and
/// in how many an event waits for the safety poll.
fn keeps_its_promises(rules: Rules) -> (usize, usize) {
    let reached = all(rules);
    let broken = |promise: &str, state: usize| {
        panic!(
            "{promise} in {:#?}\nafter:\n{}",
            reached.states[state],
            reached.way_to(state).join("\n")
        )
    };
    let mut steps = Vec::new();
    let mut waiting = 0;
    for (n, state) in reached.states.iter().enumerate() {
        if state.forgotten(&rules).is_some() {
            broken("an event is forgotten", n);
        }
        // Whatever the sidecars do or do not: somebody among the writers gets on, and each of their
        // steps leads nearer to the end of one of them.
        state.writers_steps(&rules, &mut steps);
        if state.has_writers() && steps.is_empty() {
            broken("a commit waits for a sidecar", n);
        }
        steps.clear();
        if state.waits_for_the_safety_poll(&rules) {
            waiting += 1;
            if !rules.deaths && !state.after_one_safety_poll(&rules).all_read() {
                broken("a safety poll is not enough", n);
            }
        }
    }
    if let Some(n) = reached.stuck(State::is_at_rest) {
        broken("no way leads to rest", n);
    }
    (reached.states.len(), waiting)
}

#[test]
fn three_writers_with_every_end() {
    let rules = Rules { writers: 3, sidecars: 1, all_ends: true, ..Rules::default() };
    let (states, waiting) = keeps_its_promises(rules);
    assert!(states > 10_000, "{states} states are too few to be all of them");
    assert!(waiting > 0, "prepared transactions wait for the safety poll: the model has them");
}

#[test]
fn three_writers_that_commit() {
    let rules = Rules { writers: 3, sidecars: 1, ..Rules::default() };
    let (_, waiting) = keeps_its_promises(rules);
    assert_eq!(waiting, 0, "without PREPARE and rollbacks nobody ever waits for the safety poll");
}

#[test]
fn four_writers_that_commit() {
    let rules = Rules { writers: 4, sidecars: 1, ..Rules::default() };
    let (states, waiting) = keeps_its_promises(rules);
    assert!(states > 100_000, "{states} states are too few to be all of them");
    assert_eq!(waiting, 0, "without PREPARE and rollbacks nobody ever waits for the safety poll");
}

#[test]
fn a_keeper_that_dies_and_comes_back() {
    let rules = Rules { writers: 2, sidecars: 1, all_ends: true, deaths: true, ..Rules::default() };
    keeps_its_promises(rules);
}

#[test]
fn a_sidecar_whose_statements_fail() {
    let rules =
        Rules { writers: 2, sidecars: 1, all_ends: true, failures: true, ..Rules::default() };
    keeps_its_promises(rules);
}

#[test]
fn locks_that_go_with_a_failed_statement_are_found_out() {
    let rules = Rules {
        writers: 1,
        sidecars: 1,
        failures: true,
        flaw: Some(Flaw::FailureReleases),
        ..Rules::default()
    };
    let way = forgotten(rules).expect("a way to a forgotten event");
    assert!(way.contains(&"sidecar: a statement fails"), "{way:?}");
    assert_eq!(forgotten(Rules { flaw: None, ..rules }), None);
}

#[test]
fn two_sidecars_of_which_one_keeps_the_bell() {
    let rules = Rules { writers: 2, sidecars: 2, all_ends: true, ..Rules::default() };
    keeps_its_promises(rules);
}

#[test]
fn a_second_sidecar_takes_over_when_the_keeper_dies() {
    let rules = Rules { writers: 2, sidecars: 2, deaths: true, ..Rules::default() };
    keeps_its_promises(rules);
}

/// Fails unless the search finds an event that this flaw makes the sidecar forget.
fn is_found_out(flaw: Flaw, writers: usize) {
    let rules = Rules { writers, sidecars: 1, flaw: Some(flaw), ..Rules::default() };
    let way = forgotten(rules).unwrap_or_else(|| panic!("{flaw:?} was not found out"));
    // The same actors without the flaw forget nothing.
    assert_eq!(forgotten(Rules { flaw: None, ..rules }), None, "{flaw:?}: {way:?}");
}

#[test]
fn draining_before_arming_is_found_out() {
    is_found_out(Flaw::DrainsBeforeArming, 1);
}

#[test]
fn a_look_that_keeps_no_lock_to_the_commit_is_found_out() {
    is_found_out(Flaw::LooksWithoutLock, 1);
}

#[test]
fn a_missing_gate_is_found_out() {
    is_found_out(Flaw::NoGate, 2);
}

#[test]
fn a_shut_gate_that_keeps_a_writer_silent_is_found_out() {
    is_found_out(Flaw::ShutGateIsSilent, 2);
}

#[test]
fn ringing_before_the_commit_is_found_out() {
    is_found_out(Flaw::RingsBeforeCommit, 1);
}

#[test]
fn forgotten_rings_are_found_out() {
    is_found_out(Flaw::ForgetsRings, 1);
}

#[test]
fn a_ring_without_a_look_is_found_out() {
    is_found_out(Flaw::SleepsOnAfterRing, 1);
}

/// A ringer gives its locks back one by one. If the gate goes first and the ringer's lock is still
/// there, its notification may already have been read together with another one's: who then relies on
/// it is forgotten.
#[test]
fn a_left_over_ringer_is_found_out() {
    is_found_out(Flaw::LeftOverRinger, 3);
}
