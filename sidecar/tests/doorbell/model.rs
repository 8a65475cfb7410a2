//! The doorbell's protocol, step by step as it is implemented: the writer's half in
//! `pg_extension/src/bell.rs`, the locks in `sql/functions/bell_*.sql`, the sidecar's half in
//! `sidecar/src/doorbell.rs`.
//!
//! What Postgres does between these steps is part of the model: a commit becomes visible first, then
//! its locks go one by one in any order, then the listeners are signalled; who is signalled reads all
//! notifications of visible commits, not only those of whoever signalled. A session that ends loses
//! its locks one by one. Notifying commits stand in a queue of their own.

/// Most writers of a configuration.
const WRITERS: usize = 4;

/// Where a writer's transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) enum Commit {
    /// Takes no part.
    #[default]
    None,
    /// Has captured; its end is open.
    Captured,
    /// In the pre-commit callback: found the bell armed.
    FoundArmed,
    /// In the pre-commit callback: left its mark at the gate.
    AtGate,
    /// Must notify: waits for other commits that notify.
    Notifies,
    /// The callback is over; not visible yet.
    Ready,
    /// Visible, or rolled back; gives its locks back.
    Releases,
    /// Signals the listeners.
    Signals,
    /// Prepared, and the session is gone.
    Prepared,
    /// Over.
    Done,
}

/// Where a sidecar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) enum Life {
    /// Takes no part.
    #[default]
    None,
    /// Polls every few milliseconds.
    Awake,
    /// Has seen no work for a while: arms.
    Arms,
    /// Holds the bell and needs the gate.
    ArmsAtGate,
    /// Holds bell and gate and needs to know that no ringer is left over.
    ArmsAtRinger,
    /// Gives the ringer's lock back.
    ArmsLeavingRinger,
    /// Gives the gate back.
    ArmsLeavingGate,
    /// Could not arm: gives the bell back.
    GivesUp,
    /// Drains once more before it sleeps.
    DrainsOnceMore,
    /// Found nothing: lies down.
    LiesDown,
    /// Sleeps until the bell or the safety poll.
    Asleep,
    /// Heard the bell: polls.
    PollsWoken,
    /// Disarms.
    Disarms,
    /// Its session ends: its locks go.
    Dies,
    /// Gone.
    Dead,
}

/// A writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Writer {
    pub(super) at: Commit,
    /// Committed: everybody sees its event.
    pub(super) visible: bool,
    /// Its event was read.
    read: bool,
    /// Came here by PREPARE, which never rings.
    prepared: bool,
    /// Rolled back.
    rolled_back: bool,
    /// Its notification is in the queue.
    queued: bool,
    /// Relies on this writer's ringing.
    relies_on: Option<u8>,
}

/// A sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Sidecar {
    pub(super) at: Life,
    /// Was elected to keep the bell.
    keeps: bool,
    armed: bool,
    /// A notification has arrived that it has not yet looked at.
    rung: bool,
}

/// A lock: one exclusive holder or several shared ones. A writer is its number, a sidecar comes after
/// the writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Lock {
    shared: u8,
    exclusive: Option<u8>,
}

impl Lock {
    fn try_shared(&mut self, who: u8) -> bool {
        if self.exclusive.is_some_and(|holder| holder != who) {
            return false;
        }
        self.shared |= 1 << who;
        true
    }

    fn try_exclusive(&mut self, who: u8) -> bool {
        let free = self.exclusive.is_none() && self.shared & !(1 << who) == 0;
        if free {
            self.exclusive = Some(who);
        }
        free
    }

    fn holds(&self, who: u8) -> bool {
        self.shared & 1 << who != 0 || self.exclusive == Some(who)
    }

    fn release(&mut self, who: u8) {
        self.shared &= !(1 << who);
        if self.exclusive == Some(who) {
            self.exclusive = None;
        }
    }
}

const BELL: usize = 0;
const GATE: usize = 1;
const RINGER: usize = 2;
const KEEPER: usize = 3;
/// Postgres' own: commits that notify stand in a queue.
const NOTIFY: usize = 4;

/// Everything at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) writers: [Writer; WRITERS],
    pub(super) sidecars: [Sidecar; 2],
    locks: [Lock; 5],
}

/// What may happen, and what is broken on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    pub(super) writers: usize,
    pub(super) sidecars: usize,
    /// Writers may also prepare, and roll back before or after the callback.
    pub(super) all_ends: bool,
    /// The first sidecar may die at any moment and come back.
    pub(super) deaths: bool,
    /// A statement of a sleeping sidecar may fail, and its session lives on.
    pub(super) failures: bool,
    pub(super) flaw: Option<Flaw>,
}

/// A protocol that is wrong: the search must find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The queue is polled before arming and not after it.
    DrainsBeforeArming,
    /// The writer looks whether the bell is armed and keeps no lock to the commit.
    LooksWithoutLock,
    /// Who relies on another one's ringing leaves no mark.
    NoGate,
    /// The sidecar passes the gate while a ringer is left over.
    LeftOverRinger,
    /// Who finds the gate shut relies on a ringer all the same.
    ShutGateIsSilent,
    /// The notification does not wait for the commit.
    RingsBeforeCommit,
    /// What rang since the last poll is forgotten when the sidecar lies down.
    ForgetsRings,
    /// The sidecar hears the bell and takes no look.
    SleepsOnAfterRing,
    /// A failed statement takes the locks of its session along, as it does those of the default method.
    FailureReleases,
}

/// What may happen next.
pub(super) type Steps = Vec<(&'static str, State)>;

impl State {
    /// All writers have captured, all sidecars are awake and the first one keeps the bell.
    pub(super) fn first(rules: &Rules) -> Self {
        let mut state = Self {
            writers: Default::default(),
            sidecars: Default::default(),
            locks: Default::default(),
        };
        for writer in &mut state.writers[..rules.writers] {
            writer.at = Commit::Captured;
        }
        for sidecar in 0..rules.sidecars {
            state.sidecars[sidecar].at = Life::Awake;
        }
        state.sidecars[0].keeps = state.locks[KEEPER].try_exclusive(sidecar_number(0));
        state
    }

    /// The same moment with the writers in order: they are alike, so that states that differ only in
    /// who is who are one.
    pub(super) fn ordered(&self) -> Self {
        let held = |n: u8| self.locks.map(|lock| lock.holds(n));
        let mut order: [u8; WRITERS] = std::array::from_fn(|n| n as u8);
        order.sort_by_key(|n| {
            let writer = self.writers[usize::from(*n)];
            (Writer { relies_on: None, ..writer }, held(*n), writer.relies_on)
        });
        // Where each one has gone; sidecars stay.
        let mut gone: [u8; WRITERS + 2] = std::array::from_fn(|n| n as u8);
        for (to, from) in order.iter().enumerate() {
            gone[usize::from(*from)] = to as u8;
        }
        let mut next = *self;
        for (to, from) in order.iter().enumerate() {
            let writer = self.writers[usize::from(*from)];
            let relies_on = writer.relies_on.map(|n| gone[usize::from(n)]);
            next.writers[to] = Writer { relies_on, ..writer };
        }
        for lock in &mut next.locks {
            let shared = lock.shared;
            lock.shared = 0;
            for (from, to) in gone.iter().enumerate() {
                lock.shared |= (shared >> from & 1) << to;
            }
            lock.exclusive = lock.exclusive.map(|n| gone[usize::from(n)]);
        }
        next
    }

    /// Every step of everybody; the safety poll is the last resort and can be left out.
    pub(super) fn steps(&self, rules: &Rules, with_safety_poll: bool, steps: &mut Steps) {
        self.writers_steps(rules, steps);
        for n in 0..rules.sidecars {
            self.sidecar_steps(n, rules, with_safety_poll, steps);
        }
    }

    /// Every step of the writers.
    pub(super) fn writers_steps(&self, rules: &Rules, steps: &mut Steps) {
        for n in 0..WRITERS {
            self.writer_steps(n, rules, steps);
        }
    }

    fn writer_steps(&self, n: usize, rules: &Rules, steps: &mut Steps) {
        let who = u8::try_from(n).expect("few writers");
        let flaw = |flaw| rules.flaw == Some(flaw);
        let mut go = |name: &'static str, change: &dyn Fn(&mut State, &mut Writer)| {
            let mut next = *self;
            let mut writer = self.writers[n];
            change(&mut next, &mut writer);
            next.writers[n] = writer;
            steps.push((name, next));
        };
        match self.writers[n].at {
            Commit::None | Commit::Done => {}
            Commit::Captured => {
                go("writer: try the bell", &|next, writer| {
                    writer.at = if next.locks[BELL].try_shared(who) {
                        if flaw(Flaw::LooksWithoutLock) {
                            next.locks[BELL].release(who);
                        }
                        Commit::Ready
                    } else {
                        Commit::FoundArmed
                    };
                });
                if rules.all_ends {
                    go("writer: prepare", &|_, writer| writer.at = Commit::Prepared);
                    go("writer: roll back", &|_, writer| {
                        writer.rolled_back = true;
                        writer.at = Commit::Done;
                    });
                }
            }
            Commit::FoundArmed => go("writer: try the gate", &|next, writer| {
                let marked = flaw(Flaw::NoGate) || next.locks[GATE].try_shared(who);
                writer.at = if marked || flaw(Flaw::ShutGateIsSilent) {
                    Commit::AtGate
                } else {
                    Commit::Notifies
                };
            }),
            Commit::AtGate => go("writer: try to be the ringer", &|next, writer| {
                writer.at = if next.locks[RINGER].try_exclusive(who) {
                    Commit::Notifies
                } else {
                    writer.relies_on = next.locks[RINGER].exclusive;
                    Commit::Ready
                };
            }),
            Commit::Notifies if flaw(Flaw::RingsBeforeCommit) => {
                go("writer: ring at once", &|next, writer| {
                    next.ring();
                    writer.at = Commit::Ready;
                });
            }
            Commit::Notifies => {
                // The only lock that is waited for, and only other commits hold it.
                let mut free = self.locks[NOTIFY];
                if free.try_exclusive(who) {
                    go("writer: queue the notification", &|next, writer| {
                        next.locks[NOTIFY].try_exclusive(who);
                        writer.queued = true;
                        writer.at = Commit::Ready;
                    });
                }
            }
            Commit::Ready => {
                go("writer: visible", &|_, writer| {
                    writer.visible = true;
                    writer.at = Commit::Releases;
                });
                if rules.all_ends {
                    go("writer: roll back late", &|_, writer| {
                        writer.rolled_back = true;
                        writer.queued = false;
                        writer.at = Commit::Releases;
                    });
                }
            }
            Commit::Releases => {
                let held: Vec<usize> =
                    (BELL..=NOTIFY).filter(|lock| self.locks[*lock].holds(who)).collect();
                for lock in &held {
                    go(RELEASES[*lock], &|next, _| next.locks[*lock].release(who));
                }
                if held.is_empty() {
                    go("writer: all locks given back", &|_, writer| {
                        writer.at = if writer.queued { Commit::Signals } else { Commit::Done };
                    });
                }
            }
            Commit::Signals => go("writer: signal", &|next, writer| {
                next.writers[n].at = Commit::Done;
                next.deliver();
                *writer = next.writers[n];
            }),
            Commit::Prepared => {
                go("writer: commit prepared", &|_, writer| {
                    writer.visible = true;
                    writer.prepared = true;
                    writer.at = Commit::Done;
                });
                go("writer: rollback prepared", &|_, writer| {
                    writer.rolled_back = true;
                    writer.at = Commit::Done;
                });
            }
        }
    }

    fn sidecar_steps(&self, n: usize, rules: &Rules, with_safety_poll: bool, steps: &mut Steps) {
        let who = sidecar_number(n);
        let flaw = |flaw| rules.flaw == Some(flaw);
        let mut go = |name: &'static str, change: &dyn Fn(&mut State, &mut Sidecar)| {
            let mut next = *self;
            let mut sidecar = self.sidecars[n];
            change(&mut next, &mut sidecar);
            next.sidecars[n] = sidecar;
            steps.push((name, next));
        };
        let alive = !matches!(self.sidecars[n].at, Life::None | Life::Dies | Life::Dead);
        match self.sidecars[n].at {
            Life::None => {}
            Life::Awake => {
                if self.unread().next().is_some() {
                    go("sidecar: poll and drain", &|next, _| next.drain());
                } else {
                    go("sidecar: poll, no work for a while", &|_, sidecar| {
                        sidecar.at = if sidecar.keeps { Life::Arms } else { Life::DrainsOnceMore };
                    });
                }
            }
            Life::Arms => go("sidecar: try the bell", &|next, sidecar| {
                sidecar.at = match next.locks[BELL].try_exclusive(who) {
                    false => Life::Awake,
                    true if flaw(Flaw::NoGate) => armed(sidecar, rules),
                    true => Life::ArmsAtGate,
                };
            }),
            Life::ArmsAtGate => go("sidecar: try the gate", &|next, sidecar| {
                sidecar.at = match next.locks[GATE].try_exclusive(who) {
                    false => Life::GivesUp,
                    true if flaw(Flaw::LeftOverRinger) => Life::ArmsLeavingGate,
                    true => Life::ArmsAtRinger,
                };
            }),
            Life::ArmsAtRinger => go("sidecar: try the ringer's lock", &|next, sidecar| {
                if next.locks[RINGER].try_exclusive(who) {
                    sidecar.at = Life::ArmsLeavingRinger;
                } else {
                    next.locks[GATE].release(who);
                    sidecar.at = Life::GivesUp;
                }
            }),
            Life::ArmsLeavingRinger => {
                go("sidecar: give the ringer's lock back", &|next, sidecar| {
                    next.locks[RINGER].release(who);
                    sidecar.at = Life::ArmsLeavingGate;
                });
            }
            Life::ArmsLeavingGate => go("sidecar: give the gate back", &|next, sidecar| {
                next.locks[GATE].release(who);
                sidecar.at = armed(sidecar, rules);
            }),
            Life::GivesUp => go("sidecar: give the bell back", &|next, sidecar| {
                next.locks[BELL].release(who);
                sidecar.at = Life::Awake;
            }),
            Life::DrainsOnceMore => go("sidecar: poll once more", &|next, sidecar| {
                sidecar.at =
                    if next.unread().next().is_some() { Life::Disarms } else { Life::LiesDown };
            }),
            Life::LiesDown => go("sidecar: lie down", &|_, sidecar| {
                sidecar.rung &= !flaw(Flaw::ForgetsRings);
                sidecar.at = Life::Asleep;
            }),
            Life::Asleep => {
                if self.sidecars[n].rung {
                    go("sidecar: hear the bell", &|_, sidecar| {
                        sidecar.rung = false;
                        sidecar.at = match flaw(Flaw::SleepsOnAfterRing) {
                            true => Life::Asleep,
                            false => Life::PollsWoken,
                        };
                    });
                }
                if with_safety_poll {
                    go("sidecar: safety poll", &|next, sidecar| {
                        let elected = !sidecar.keeps && next.locks[KEEPER].try_exclusive(who);
                        sidecar.keeps |= elected;
                        sidecar.at = if elected { Life::Disarms } else { Life::DrainsOnceMore };
                    });
                }
            }
            Life::PollsWoken => go("sidecar: poll, woken", &|_, sidecar| {
                // What it finds goes to the workers; awake it polls again.
                sidecar.at = Life::Disarms;
            }),
            Life::Disarms => go("sidecar: disarm", &|next, sidecar| {
                if std::mem::take(&mut sidecar.armed) {
                    next.locks[BELL].release(who);
                }
                sidecar.at = Life::Awake;
            }),
            Life::Dies => {
                let held: Vec<usize> =
                    (BELL..=NOTIFY).filter(|lock| self.locks[*lock].holds(who)).collect();
                for lock in &held {
                    go("sidecar: a lock goes with its session", &|next, _| {
                        next.locks[*lock].release(who);
                    });
                }
                if held.is_empty() {
                    go("sidecar: gone", &|_, sidecar| {
                        *sidecar = Sidecar { at: Life::Dead, ..Sidecar::default() };
                    });
                }
            }
            Life::Dead => go("sidecar: start, listen, stand for election", &|next, sidecar| {
                sidecar.keeps = next.locks[KEEPER].try_exclusive(who);
                sidecar.at = Life::Awake;
            }),
        }
        let rests =
            matches!(self.sidecars[n].at, Life::DrainsOnceMore | Life::LiesDown | Life::Asleep);
        if rests && rules.failures {
            go("sidecar: a statement fails", &|next, sidecar| {
                if flaw(Flaw::FailureReleases) {
                    next.locks.iter_mut().for_each(|lock| lock.release(who));
                }
                // It looks again; that it is armed, it believes as before.
                sidecar.at = Life::DrainsOnceMore;
            });
        }
        if alive && rules.deaths && n == 0 {
            go("sidecar: die", &|_, sidecar| sidecar.at = Life::Dies);
        }
    }

    /// Wakes who listens.
    fn ring(&mut self) {
        for sidecar in &mut self.sidecars {
            sidecar.rung |= !matches!(sidecar.at, Life::None | Life::Dies | Life::Dead);
        }
    }

    /// A signalled listener reads the notifications of all visible commits.
    fn deliver(&mut self) {
        let mut any = false;
        for writer in &mut self.writers {
            any |= writer.visible && std::mem::take(&mut writer.queued);
        }
        if any {
            self.ring();
        }
    }

    fn drain(&mut self) {
        for writer in &mut self.writers {
            writer.read |= writer.visible;
        }
    }

    fn unread(&self) -> impl Iterator<Item = usize> {
        (0..WRITERS).filter(|n| self.writers[*n].visible && !self.writers[*n].read)
    }

    /// Everything has happened that will, but for the safety poll.
    pub(super) fn is_quiet(&self, rules: &Rules) -> bool {
        let mut steps = Vec::new();
        self.steps(&Rules { deaths: false, failures: false, ..*rules }, false, &mut steps);
        steps.is_empty()
    }

    /// A writer whose committed event nobody reads before the safety poll, without an excuse.
    pub(super) fn forgotten(&self, rules: &Rules) -> Option<usize> {
        // Without a keeper there are only safety polls.
        let kept = self.sidecars.iter().any(|sidecar| sidecar.keeps);
        if self.all_read() || !kept || !self.is_quiet(rules) {
            return None;
        }
        self.unread().find(|n| {
            let writer = &self.writers[*n];
            let ringer = writer.relies_on.and_then(|n| self.writers.get(usize::from(n)));
            !writer.prepared && !ringer.is_some_and(|ringer| ringer.rolled_back)
        })
    }

    /// Whether some committed event waits for the safety poll.
    pub(super) fn waits_for_the_safety_poll(&self, rules: &Rules) -> bool {
        !self.all_read() && self.is_quiet(rules)
    }

    /// One safety poll of every sidecar, and what it leads to without anybody else.
    pub(super) fn after_one_safety_poll(&self, rules: &Rules) -> Self {
        let alone = Rules { deaths: false, failures: false, ..*rules };
        let mut state = *self;
        let mut steps = Vec::new();
        for n in 0..rules.sidecars {
            if state.sidecars[n].at == Life::Asleep {
                state.sidecar_steps(n, &alone, true, &mut steps);
                state = steps.pop().expect("a safety poll").1;
                steps.clear();
            }
        }
        loop {
            state.steps(&alone, false, &mut steps);
            match steps.first() {
                Some((_, next)) => state = *next,
                None => return state,
            }
            steps.clear();
        }
    }

    /// Whether every committed event was read.
    pub(super) fn all_read(&self) -> bool {
        self.unread().next().is_none()
    }

    /// Whether a writer is still under way.
    pub(super) fn has_writers(&self) -> bool {
        self.writers.iter().any(|writer| !matches!(writer.at, Commit::None | Commit::Done))
    }

    /// Whether all is done and everybody sleeps.
    pub(super) fn is_at_rest(&self) -> bool {
        let resting = |sidecar: &Sidecar| matches!(sidecar.at, Life::None | Life::Asleep);
        !self.has_writers() && self.all_read() && self.sidecars.iter().all(resting)
    }
}

fn armed(sidecar: &mut Sidecar, rules: &Rules) -> Life {
    sidecar.armed = true;
    if rules.flaw == Some(Flaw::DrainsBeforeArming) { Life::Asleep } else { Life::DrainsOnceMore }
}

fn sidecar_number(n: usize) -> u8 {
    u8::try_from(WRITERS + n).expect("few of them")
}

const RELEASES: [&str; 5] = [
    "writer: give the bell back",
    "writer: give the gate back",
    "writer: give the ringer's lock back",
    "writer: give the keeper's lock back",
    "writer: let the next notifying commit go on",
];
