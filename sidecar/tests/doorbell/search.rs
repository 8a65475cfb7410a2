//! An exhaustive search: every state that any interleaving reaches, each with the way to it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Most states of one search: more means that the model grew by mistake.
const MOST: usize = 20_000_000;

/// Every reachable state of a model, numbered in the order they were found.
pub(super) struct Reached<S> {
    pub(super) states: Vec<S>,
    /// The state before and the step from there; the first state has none.
    from: Vec<Option<(u32, &'static str)>>,
    /// All steps as pairs of numbers.
    edges: Vec<(u32, u32)>,
}

/// Visits every state. `steps` lists what may happen next, by name.
pub(super) fn explore<S: Copy + Eq + Hash>(
    first: S,
    steps: impl Fn(&S, &mut Vec<(&'static str, S)>),
) -> Reached<S> {
    let mut numbers: HashMap<S, u32> = HashMap::from([(first, 0)]);
    let mut reached = Reached { states: vec![first], from: vec![None], edges: Vec::new() };
    let mut next = Vec::new();
    let mut at = 0;
    while at < reached.states.len() {
        let state = reached.states[at];
        let number = u32::try_from(at).expect("fewer states");
        steps(&state, &mut next);
        for (name, state) in next.drain(..) {
            let target = match numbers.entry(state) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let target = u32::try_from(reached.states.len()).expect("fewer states");
                    reached.states.push(state);
                    reached.from.push(Some((number, name)));
                    *new.insert(target)
                }
            };
            reached.edges.push((number, target));
        }
        assert!(reached.states.len() < MOST, "the model has too many states");
        at += 1;
    }
    reached
}

impl<S> Reached<S> {
    /// The steps to a state, the shortest way.
    pub(super) fn way_to(&self, state: usize) -> Vec<&'static str> {
        let mut way = Vec::new();
        let mut at = state;
        while let Some((before, step)) = self.from[at] {
            way.push(step);
            at = before as usize;
        }
        way.reverse();
        way
    }

    /// The first state from which none of the goals can be reached any more.
    pub(super) fn stuck(&self, is_goal: impl Fn(&S) -> bool) -> Option<usize> {
        let mut before: Vec<Vec<u32>> = vec![Vec::new(); self.states.len()];
        for (from, to) in &self.edges {
            before[*to as usize].push(*from);
        }
        let mut can: Vec<bool> = self.states.iter().map(is_goal).collect();
        let mut open: Vec<usize> = (0..can.len()).filter(|state| can[*state]).collect();
        while let Some(state) = open.pop() {
            for from in &before[state] {
                if !std::mem::replace(&mut can[*from as usize], true) {
                    open.push(*from as usize);
                }
            }
        }
        can.iter().position(|can| !can)
    }
}
