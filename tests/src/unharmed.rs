//! What a search must not do to the server, whatever else it does: ends of server processes, and roles
//! and rights before and after.

use crate::cluster::Cluster;
use crate::database::Session;

/// Roles, memberships, settings of roles, and owners and rights of everything that is ours. Partitions
/// come and go; those have the rights of their table.
const RIGHTS: &str = "
    select format('role %s %s %s %s %s %s %s', rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolbypassrls) as what
    from pg_roles
    union all
    select format('member %s of %s admin %s', m.member::regrole, m.roleid::regrole, m.admin_option) from pg_auth_members m
    union all
    select format('setting %s %s', coalesce(nullif(s.setrole, 0)::regrole::text, '*'), s.setconfig) from pg_db_role_setting s
    union all
    select format('schema %s %s %s', n.nspname, n.nspowner::regrole, n.nspacl) from pg_namespace n where n.nspname like '%capi%' or n.nspname = 'public'
    union all
    select format('relation %s %s %s', c.oid::regclass, c.relowner::regrole, c.relacl) from pg_class c
    join pg_namespace n on n.oid = c.relnamespace where n.nspname like '%capi%' and not c.relispartition and c.relkind <> 'i' and c.relkind <> 'I'
    union all
    select format('function %s %s %s %s %s', p.oid::regprocedure, p.proowner::regrole, p.prosecdef, p.proacl, md5(p.prosrc)) from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace where n.nspname like '%capi%'
    union all
    select format('default %s %s', d.defaclrole::regrole, d.defaclacl) from pg_default_acl d
    union all
    select format('event trigger %s %s %s %s', e.evtname, e.evtowner::regrole, e.evtfoid::regprocedure, e.evtenabled) from pg_event_trigger e
    union all
    select format('database %s %s', d.datdba::regrole, d.datacl) from pg_database d where d.datname = current_database()
    order by 1";

/// How things were.
pub struct Before {
    /// How long the server's log was.
    log: usize,
    rights: Vec<String>,
}

impl Before {
    /// Looks, as superuser.
    pub async fn look(cluster: &Cluster, superuser: &Session) -> Self {
        Self { log: cluster.log().len(), rights: superuser.column(RIGHTS).await }
    }

    /// Which lines of the log since then tell of the end of a process that nobody asked for.
    pub fn ends(&self, cluster: &Cluster) -> Vec<String> {
        let signs =
            ["was terminated by signal", "PANIC:", "TRAP:", "all server processes terminated"];
        self.log_since(cluster)
            .lines()
            .filter(|line| signs.iter().any(|sign| line.contains(sign)))
            .map(|line| format!("the server did not live: {line}"))
            .collect()
    }

    /// The log since then.
    pub fn log_since(&self, cluster: &Cluster) -> String {
        cluster.log().get(self.log..).unwrap_or_default().to_owned()
    }

    /// Which roles and rights are others.
    pub async fn rights_changed(&self, superuser: &Session) -> Vec<String> {
        let now = superuser.column(RIGHTS).await;
        let gone = self.rights.iter().filter(|right| !now.contains(right));
        let new = now.iter().filter(|right| !self.rights.contains(right));
        gone.map(|right| format!("rights changed: no longer {right}"))
            .chain(new.map(|right| format!("rights changed: now {right}")))
            .collect()
    }
}
