//! PgBouncer in transaction mode between the application and the server.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tokio_postgres::Config;

use crate::database::{Database, Session};
use crate::patience::eventually;

/// Where Debian puts it, and elsewhere by its name.
const PROGRAMS: [&str; 2] = ["/usr/sbin/pgbouncer", "pgbouncer"];

/// Its port names the socket's file only: each pooler has a folder of its own.
const PORT: u16 = 6432;

/// A running pooler. Dropping it ends it.
pub struct Pooler {
    child: Child,
    folder: PathBuf,
    database: String,
}

impl Pooler {
    /// Starts one before this database, with so many connections to the server.
    pub async fn start(database: &Database, connections: u32) -> Self {
        let folder = database.cluster().folder().join(format!("pooler-{}", database.name()));
        fs::create_dir(&folder).expect("a new folder");
        let place = folder.display();
        let server = database.cluster().folder().display();
        let settings = format!(
            "[databases]
            {name} = host={server} port=5432 user=app dbname={name}
            [pgbouncer]
            listen_addr =
            listen_port = {PORT}
            unix_socket_dir = {place}
            auth_type = any
            pool_mode = transaction
            default_pool_size = {connections}
            max_client_conn = 100
            ignore_startup_parameters = extra_float_digits
            logfile = {place}/log
            ",
            name = database.name()
        );
        let file = folder.join("settings.ini");
        let lines: Vec<&str> = settings.lines().map(str::trim).collect();
        fs::write(&file, lines.join("\n")).expect("settings written");
        let mut command = own(&folder);
        let child =
            command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = child.spawn().expect("pgbouncer is installed (scripts/setup.sh does)");
        let pooler = Self { child, folder, database: database.name().to_owned() };
        eventually("the pooler takes connections", 20, async || {
            pooler.try_connect().await.map(drop)
        })
        .await;
        pooler
    }

    /// A client's connection, as the role `app`.
    pub async fn connect(&self) -> Session {
        self.try_connect().await.expect("the pooler answers")
    }

    async fn try_connect(&self) -> Result<Session, String> {
        let mut config = Config::new();
        config.host_path(&self.folder).port(PORT).dbname(&self.database).user("app");
        Session::open(&config).await
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, as the server's user where it would refuse to be root.
fn own(folder: &PathBuf) -> Command {
    let program = PROGRAMS.iter().find(|p| fs::exists(p).unwrap_or(false)).unwrap_or(&PROGRAMS[1]);
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    if !root {
        return Command::new(program);
    }
    let chown = Command::new("chown").arg("postgres").arg(folder).status();
    assert!(chown.is_ok_and(|status| status.success()), "chown");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--", program]);
    command
}
