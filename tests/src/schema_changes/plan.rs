//! What a round does, worked out before it begins: the same seed gives the same plan, and a plan can
//! lose turns and steps and still be played.

use super::changes::{CHANGES, Change, DEEDS, TABLES, VIEWS, View, table};
use crate::chance::Chance;

/// Sessions of a plan: the first is the application's.
pub(super) const SESSIONS: usize = 3;

/// What one session does before another's turn.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    pub(super) session: usize,
    /// Statements in which `{home}` is the schema. Several behind semicolons are one step.
    pub(super) steps: Vec<String>,
    pub(super) end: End,
}

/// How a turn ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    Rollback,
    /// In two phases, by another session.
    Prepared,
    PreparedAndRolledBack,
    /// Not a transaction: the steps are calls of the library, in the tracked schema only.
    Upkeep,
}

/// A round.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The statements that make tables, view and triggers.
    pub(super) shop: String,
    /// Whether the view changes the tracked schema behind one's back.
    pub(super) meddles: bool,
    pub(super) turns: Vec<Turn>,
    /// The ways back, the last change first.
    pub(super) back: Vec<String>,
    /// What it is made of, for the counts.
    pub(super) kinds: Vec<&'static str>,
}

/// Where things are while a plan is made, should all of it succeed.
struct Planner<'a> {
    chance: &'a mut Chance,
    avoided: &'a [String],
    table: &'static str,
    view: String,
    pending: Vec<&'static Change>,
    back: Vec<String>,
    kinds: Vec<&'static str>,
    fresh: u64,
}

/// Makes the plan of a round with so many turns.
pub(super) fn plan(chance: &mut Chance, turns: usize, avoided: &[String]) -> Plan {
    let allowed = |name: &str| !avoided.iter().any(|avoided| avoided == name);
    let views: Vec<&'static View> = VIEWS.iter().filter(|v| allowed(v.name)).collect();
    let deeds: Vec<_> = DEEDS.iter().filter(|deed| allowed(deed.0)).collect();
    // Of deeds there are many.
    let meddling: Vec<_> = views.iter().copied().filter(|view| view.meddles).collect();
    let views = if !meddling.is_empty() && chance.percent(30) { meddling } else { views };
    let (kind, view, deed) = (chance.of(&TABLES).0, chance.of(&views), chance.of(&deeds));
    let mut kinds = vec![kind, view.name];
    if view.meddles {
        kinds.push(deed.0);
    }
    let view_sql = view.sql(&deed.1.replace("{t}", "{s}.orders"));
    let mut shop = format!("set role shop_owner; {} {view_sql}", table(kind));
    // A deferred trigger of the application, before or after ours by name.
    for (name, trigger) in [("an early trigger", "aa_audit"), ("a late trigger", "zz_audit")] {
        if allowed(name) && chance.percent(35) {
            kinds.push(name);
            shop.push_str(&format!(
                " create function {{s}}.{trigger}() returns trigger language plpgsql as $f$
                begin insert into {{s}}.log values (new.id, '{trigger}'); return null; end $f$;
                create constraint trigger {trigger} after insert or update on {{s}}.orders deferrable initially deferred
                    for each row execute function {{s}}.{trigger}();"
            ));
        }
    }
    shop.push_str(
        " grant select, insert, update, delete on all tables in schema {s} to app; reset role;",
    );
    let shop = shop.replace("{t}", "{s}.orders").replace("{s}", "{home}");
    let mut planner = Planner {
        chance,
        avoided,
        table: kind,
        view: view_sql,
        pending: Vec::new(),
        back: Vec::new(),
        kinds,
        fresh: 0,
    };
    let mut turns: Vec<Turn> = (0..turns).map(|n| planner.turn(n)).collect();
    if view.name == "foreign" && !allowed("foreign in two phases") {
        turns.iter_mut().filter(|turn| turn.end == End::Prepared).for_each(|t| t.end = End::Commit);
        turns.retain(|turn| turn.end != End::PreparedAndRolledBack);
    }
    let Planner { mut back, kinds, .. } = planner;
    back.reverse();
    Plan { shop, meddles: view.meddles, turns, back, kinds }
}

impl Planner<'_> {
    fn turn(&mut self, number: usize) -> Turn {
        if self.allowed("upkeep") && self.chance.percent(12) {
            self.kinds.push("upkeep");
            let calls = [
                "select capi.sweep()",
                "select capi.recapture()",
                "select capi.maintain()",
                "select capi.revalidate()",
                "select capi.health()",
            ];
            let step = self.chance.of(&calls).to_owned();
            return Turn { session: 2, steps: vec![step], end: End::Upkeep };
        }
        if let Some(turn) = self.moves() {
            return turn;
        }
        let before = self.pending.clone();
        let kind = self.chance.below(10);
        let mut steps = Vec::new();
        let by_app = kind < 5;
        let session = if by_app { 0 } else { 1 + self.chance.below(2) as usize };
        match self.chance.below(10) {
            0 => steps.push("set transaction isolation level repeatable read".to_owned()),
            1 => steps.push("set transaction isolation level serializable".to_owned()),
            _ => {}
        }
        if by_app {
            self.trade(&mut steps);
        } else {
            // As the owner, now and then as a superuser, whom nothing refuses.
            if self.chance.percent(75) {
                steps.push("set local role shop_owner".to_owned());
            }
            if self.chance.percent(10) {
                self.kinds.push("cursor held open");
                steps.push(self.filled("declare held cursor for select id, event_id, value from {s}.conversions order by 1; fetch 1 from held"));
            }
            if self.allowed("change after trade") && self.chance.percent(30) {
                self.kinds.push("change after trade");
                self.trade(&mut steps);
            }
            for _ in 0..=self.chance.below(2) {
                self.change(&mut steps);
            }
            if self.chance.percent(50) {
                self.trade(&mut steps);
            }
        }
        // What stands there at the commit is what may become events.
        steps.push(self.filled(&format!(
            "insert into {{s}}.book select id::bigint, {number} from {{t}} where paid_at is not null on conflict do nothing"
        )));
        let end = match self.chance.below(12) {
            0 => End::Rollback,
            1 => End::Prepared,
            2 => End::PreparedAndRolledBack,
            _ => End::Commit,
        };
        if matches!(end, End::Rollback | End::PreparedAndRolledBack) {
            self.pending = before;
        }
        Turn { session, steps, end }
    }

    /// Now and then a rename or a move, alone: were it undone with something else, every later name
    /// would be wrong.
    fn moves(&mut self) -> Option<Turn> {
        if !self.chance.percent(12) {
            return None;
        }
        let moved = self.pending.iter().position(|change| change.is_move());
        let step = if let Some(at) = moved {
            let step = self.filled(self.pending[at].back);
            self.pending.remove(at);
            step
        } else {
            let moves: Vec<&'static Change> = CHANGES
                .iter()
                .filter(|change| change.is_move() && self.allowed(change.name))
                .collect();
            if moves.is_empty() {
                return None;
            }
            let change = self.chance.of(&moves);
            self.kinds.push(change.name);
            let step = self.filled(change.there);
            self.pending.push(change);
            self.back.push(self.filled(change.back));
            step
        };
        Some(Turn { session: 2, steps: vec![step], end: End::Commit })
    }

    fn allowed(&self, name: &str) -> bool {
        !self.avoided.iter().any(|avoided| avoided == name)
    }

    /// A change, or the way back from one.
    fn change(&mut self, steps: &mut Vec<String>) {
        let undoable: Vec<usize> =
            (0..self.pending.len()).filter(|at| !self.pending[*at].is_move()).collect();
        if !undoable.is_empty() && self.chance.percent(60) {
            let at = self.chance.of(&undoable);
            let change = self.pending[at];
            steps.push(self.filled(change.back));
            self.pending.remove(at);
            return;
        }
        let possible: Vec<&'static Change> = CHANGES
            .iter()
            .filter(|change| {
                let fits = change.table.is_none_or(|table| table == self.table);
                fits && self.allowed(change.name) && !change.is_move()
            })
            .collect();
        let change = self.chance.of(&possible);
        self.kinds.push(change.name);
        steps.push(self.filled(change.there));
        self.pending.push(change);
        self.back.push(self.filled(change.back));
        if change.back.is_empty() {
            self.pending.pop();
        }
    }

    /// Something with orders, perhaps in a savepoint.
    fn trade(&mut self, steps: &mut Vec<String>) {
        let savepoint = self.chance.below(5);
        if savepoint < 2 {
            self.kinds.push("savepoint");
            steps.push("savepoint s".to_owned());
        }
        for _ in 0..=self.chance.below(2) {
            let step = self.order();
            steps.push(self.filled(&step));
            if self.chance.percent(10) {
                self.kinds.push("constraints immediate");
                steps.push("set constraints all immediate".to_owned());
                if self.chance.percent(50) {
                    steps.push("set constraints all deferred".to_owned());
                }
            }
        }
        match savepoint {
            0 => steps.push("rollback to s".to_owned()),
            1 => steps.push("release s".to_owned()),
            _ => {}
        }
    }

    /// A statement of the shop.
    fn order(&mut self) -> String {
        let old = self.chance.below(self.fresh.max(1) + 1);
        let takes_lastval = self.allowed("lastval");
        let mut fresh = || {
            self.fresh += 1;
            self.fresh
        };
        match self.chance.below(14) {
            0..4 => {
                let n = fresh();
                format!("insert into {{t}} (id, customer, total, paid_at) values ({n}, {}, {}, clock_timestamp())", n % 10, 10 + n)
            }
            4 => format!("insert into {{t}} (id, customer) values ({}, 3)", fresh()),
            5 | 6 => format!("update {{t}} set paid_at = coalesce(paid_at, clock_timestamp()) where id = {old} returning id"),
            7 => format!("update {{t}} set note = 'n', total = total + 1 where id = {old} returning id"),
            8 => format!("delete from {{t}} where id = {old} returning id"),
            9 => {
                self.kinds.push("many");
                let n = fresh();
                self.fresh += 300;
                format!("insert into {{t}} (id, customer, paid_at) select {n} + g, g % 10, clock_timestamp() from generate_series(0, 299) g")
            }
            10 if takes_lastval => {
                self.kinds.push("lastval");
                "insert into {t} (customer, paid_at) values (2, clock_timestamp()); select lastval() > 0".to_owned()
            }
            11 => {
                let n = fresh();
                format!("insert into {{t}} (id, customer, paid_at) values ({n}, 1, clock_timestamp()); delete from {{t}} where id = {n}")
            }
            12 => {
                self.kinds.push("key changed");
                format!("update {{t}} set id = id + 500000 where id = {old} and id < 500000 returning id")
            }
            _ => format!(
                "insert into {{t}} (id, customer, paid_at) values ({old}, 5, clock_timestamp())
                on conflict (id) do update set paid_at = coalesce(excluded.paid_at, clock_timestamp()) returning id"
            ),
        }
    }

    /// The text with the names of the moment; `{home}` stays.
    fn filled(&self, text: &str) -> String {
        let orders = self.pending.iter().rev().find_map(|change| change.orders);
        let schema = self.pending.iter().rev().find_map(|change| change.schema);
        text.replace("{table}", &table(self.table))
            .replace("{view}", &self.view)
            .replace("{t}", orders.unwrap_or("{s}.orders"))
            .replace("{s}", schema.unwrap_or("{home}"))
    }
}
