//! A Postgres cluster of the tests' own: in a temporary folder, reached through a socket in that
//! folder, gone with the process that started it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::patience::eventually;

/// Name of the database that tests copy.
const TEMPLATE: &str = "capi_template";

/// Settings for all clusters. Without page images a record in the log holds no more than its
/// change: the search for planted values relies on it.
const SETTINGS: &str = "
listen_addresses = ''
wal_level = replica
max_prepared_transactions = 20
max_connections = 300
shared_buffers = 64MB
full_page_writes = off
timezone = 'UTC'
lc_messages = 'C'
# Most tests make their views as the superuser that they are; rights.rs switches it off.
capi.superuser_views = on
log_line_prefix = '%m [%p] %d '
";

/// The example shop, as the documentation gives it to users.
const SHOP: &str = include_str!("../../sql/examples/shop.sql");

/// Login roles of the tests, each a member of one role that has rights, and an owner of views who
/// has none.
const ROLES: &str = "
create role app login in role shop_app;
create role analyst login in role capi_analyst;
create role capi login in role capi_sidecar;
create role admin login in role capi_admin;
create role web login in role capi_emitter;
create role nobody login;
create role mallory;
";

/// A running cluster. Dropping it, or the end of the process, stops it and removes its folder.
pub struct Cluster {
    folder: PathBuf,
    /// While this pipe is open the guard waits; when it closes, the guard cleans up.
    pipe: Option<ChildStdin>,
    guard: Child,
}

impl Cluster {
    /// The cluster that all tests share, with the template database.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        static TRIED: AtomicBool = AtomicBool::new(false);
        SHARED.get_or_init(|| {
            let tried = TRIED.swap(true, Ordering::Relaxed);
            assert!(!tried, "the cluster did not start; an earlier test says why");
            Self::start("fsync = off")
        })
    }

    /// Starts a cluster with further settings, one per line.
    pub fn start(settings: &str) -> Self {
        let cluster = Self::found();
        finish(server_command("initdb").arg("--pgdata").arg(cluster.data()).args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]));
        cluster.configure(settings);
        let main = cluster.data().join("postgresql.conf");
        finish(
            server_command("sh")
                .args(["-c", "echo \"include 'conf.d.conf'\" >> \"$1\"", "sh"])
                .arg(main),
        );
        cluster.boot();
        cluster.make_template();
        cluster
    }

    /// Starts a standby of this cluster, with further settings, that replays what it receives.
    pub fn standby(&self, settings: &str) -> Self {
        let standby = Self::found();
        let mut copy = server_command("pg_basebackup");
        copy.args([
            "--username=postgres",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        ]);
        finish(copy.arg("--host").arg(&self.folder).arg("--pgdata").arg(standby.data()));
        standby.configure(settings);
        standby.boot();
        standby
    }

    /// A folder and what cleans it up.
    fn found() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("capi-tests-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a new folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("permissions");
        if is_root() {
            finish(Command::new("chown").arg("postgres").arg(&folder));
        }
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&folder)
            .args(as_postgres("pg_ctl"))
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        Self { pipe: guard.stdin.take(), folder, guard }
    }

    /// Writes the file that the main one includes.
    fn configure(&self, settings: &str) {
        let socket = self.folder.display();
        let text = format!("{SETTINGS}unix_socket_directories = '{socket}'\n{settings}\n");
        let written = self.folder.join("settings");
        fs::write(&written, text).expect("settings written");
        finish(server_command("cp").arg(written).arg(self.data().join("conf.d.conf")));
    }

    /// Starts the server, for the first time or after [`Cluster::crash`].
    pub fn boot(&self) {
        let mut command = server_command("pg_ctl");
        command.args(["--wait", "start", "--pgdata"]).arg(self.data());
        finish(command.arg("--log").arg(self.log_file()));
    }

    /// Starts the server again after [`Cluster::kill`]: a process that was forked in the same moment
    /// leaves by itself and is waited for.
    pub async fn boot_after_kill(&self) {
        eventually("the server starts again", 60, async || {
            let mut command = server_command("pg_ctl");
            command.args(["--wait", "start", "--pgdata"]).arg(self.data());
            command.arg("--log").arg(self.log_file()).stdin(Stdio::null());
            let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            if status.expect("pg_ctl runs").success() { Ok(()) } else { Err("it does not".into()) }
        })
        .await;
    }

    /// Stops the server as a crash would: nothing is flushed, no session is asked.
    pub fn crash(&self) {
        let mut command = server_command("pg_ctl");
        finish(command.args(["--mode=immediate", "stop", "--pgdata"]).arg(self.data()));
    }

    /// Kills the postmaster and all of its processes at once, as the end of a virtual machine would.
    pub async fn kill(&self) {
        let file =
            fs::read_to_string(self.data().join("postmaster.pid")).expect("a running server");
        let postmaster = file.lines().next().expect("its number").trim().to_owned();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &postmaster]).output();
        let children =
            String::from_utf8(children.expect("the program ps").stdout).expect("numbers");
        let mut all = vec![postmaster];
        all.extend(children.split_whitespace().map(str::to_owned));
        // A child may have ended by itself; that the others are gone is looked at below.
        let _ = Command::new("kill").arg("-9").args(&all).stderr(Stdio::null()).status();
        eventually("every process of the server is gone", 30, async || {
            let alive: Vec<_> = all.iter().filter(|pid| is_alive(pid)).collect();
            if alive.is_empty() { Ok(()) } else { Err(format!("{alive:?}")) }
        })
        .await;
    }

    /// Bounds the memory that a process of the server may ask for, in bytes.
    pub fn bound_memory(&self, pid: i64, bytes: u64) {
        let mut command = server_command("prlimit");
        command.args(["--pid", &pid.to_string(), &format!("--as={bytes}")]);
        finish(&mut command);
    }

    /// Folder of the socket, and of whatever a test wants to leave behind.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Folder of the write-ahead log.
    pub fn wal(&self) -> PathBuf {
        self.data().join("pg_wal")
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).expect("a log")).into_owned()
    }

    /// A client program, told where the server is.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(binary(program));
        command
            .env_clear()
            .env("PGHOST", &self.folder)
            .env("PGUSER", "postgres")
            .env("PGCLIENTENCODING", "UTF8");
        command
    }

    /// Runs SQL with `psql` as superuser; for scripts with psql's own commands.
    pub fn psql(&self, database: &str, variables: &[&str], sql: &str) -> Output {
        let mut command = self.client("psql");
        command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", database]);
        for variable in variables {
            command.arg("--set").arg(variable);
        }
        output_of(command.arg("--file=-"), sql)
    }

    /// Name of the template database.
    pub fn template(&self) -> &'static str {
        TEMPLATE
    }

    fn make_template(&self) {
        let create = format!("create database {TEMPLATE};");
        done(&self.psql("postgres", &[], &create), "create database");
        let extension = self.psql(TEMPLATE, &[], "create extension pg_capi;");
        assert!(
            extension.status.success(),
            "the extension must be installed first: cargo pgrx install --release -p pg_capi\n{}",
            String::from_utf8_lossy(&extension.stderr)
        );
        done(&self.psql(TEMPLATE, &[], "select capi.setup();"), "capi.setup");
        done(&self.psql(TEMPLATE, &[], SHOP), "shop.sql");
        done(&self.psql(TEMPLATE, &[], ROLES), "roles");
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // Its exit code tells nothing that could still be mended.
        let _ = self.guard.wait();
    }
}

/// Outlives the tests, whatever ends them: `$1` is the folder, the rest calls pg_ctl.
const GUARD: &str = "trap '' INT TERM HUP; cat >/dev/null; folder=$1; shift; \
    \"$@\" --silent --mode=immediate stop --pgdata \"$folder/data\" >/dev/null 2>&1; \
    rm -rf \"$folder\"";

/// Server programs refuse to run as root.
fn server_command(program: &str) -> Command {
    let words = as_postgres(program);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir("/");
    command
}

fn as_postgres(program: &str) -> Vec<PathBuf> {
    let drop_root = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"];
    let own = ["sh", "cp", "prlimit"].contains(&program);
    let path = if own { program.into() } else { binary(program) };
    let before = if is_root() { &drop_root[..] } else { &[] };
    before.iter().map(PathBuf::from).chain([path]).collect()
}

/// Whether a process runs; one that has ended and is not yet waited for does not.
fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
    })
}

fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        let id = Command::new("id").arg("-u").output().expect("the program id");
        id.stdout.trim_ascii() == b"0"
    })
}

fn binary(program: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let pg_config = std::env::var_os("PG_CONFIG").unwrap_or_else(|| "pg_config".into());
        let output = Command::new(&pg_config).arg("--bindir").output();
        let output = output.unwrap_or_else(|error| {
            panic!("{} does not run, set PG_CONFIG: {error}", pg_config.display())
        });
        String::from_utf8(output.stdout).expect("a path").trim().into()
    });
    folder.join(program)
}

fn finish(command: &mut Command) {
    // Files instead of pipes: the server inherits them and would keep a pipe open.
    let name = command.get_program().to_owned();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("{}: {error}", name.display()));
    assert!(status.success(), "{} {:?}: {status}", name.display(), arguments(command));
}

fn arguments(command: &Command) -> Vec<&OsStr> {
    command.get_args().collect()
}

/// Runs a program with this input.
pub fn output_of(command: &mut Command, input: &str) -> Output {
    use std::io::Write as _;
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("a client program of Postgres");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // A program that stops early closes its input; its status tells.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).ok());
    let output = child.wait_with_output().expect("output");
    writer.join().expect("no panic while writing");
    output
}

/// Fails with the program's own words unless it succeeded.
pub fn done(output: &Output, what: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{stderr}", output.status);
}
