//! Whether this program, the extension and the tables fit together, and what to do when not. Pure.

use serde::Deserialize;

/// What `capi.handshake()` tells.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Handshake {
    /// Version of the installed extension: its SQL functions.
    pub extension: String,
    /// Version of the shared library that the server loaded.
    pub library: String,
    /// Version of the tables that `capi.setup()` made.
    pub layout: String,
    /// Name of this installation.
    pub instance: String,
    /// What tells this database from every other one, a copy included.
    pub database: i64,
    /// Whether this database may send. A restored or cloned copy may not.
    pub adopted: bool,
    /// The server's version as a number.
    pub server_version_num: i32,
}

/// Why nothing may be sent from here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The server loads another library than the installed functions expect.
    #[error(
        "the extension is {extension} but the server's library is {library}: \
         run `alter extension pg_capi update; select capi.setup();` or, after an upgrade of the \
         package, restart the sessions"
    )]
    Library {
        /// Version of the extension.
        extension: String,
        /// Version of the library.
        library: String,
    },
    /// The tables are of another version than the functions.
    #[error("the extension is {extension} but its tables are {layout}: run `select capi.setup();`")]
    Layout {
        /// Version of the extension.
        extension: String,
        /// Version of the tables.
        layout: String,
    },
    /// The extension is older than this program.
    #[error(
        "this sidecar is {sidecar} but the extension is {extension}: run \
         `alter extension pg_capi update; select capi.setup();` or install sidecar {extension}"
    )]
    OldExtension {
        /// Version of this program.
        sidecar: String,
        /// Version of the extension.
        extension: String,
    },
    /// This program is older than the extension.
    #[error("this sidecar is {sidecar} but the extension is {extension}: upgrade the sidecar")]
    OldSidecar {
        /// Version of this program.
        sidecar: String,
        /// Version of the extension.
        extension: String,
    },
    /// The database bears another name than the configuration says.
    #[error(
        "the database is instance {found:?} but the configuration says {configured:?}: this may \
         be a copy; correct `instance` or `database_url`"
    )]
    Instance {
        /// Name in the database.
        found: String,
        /// Name in the configuration.
        configured: String,
    },
    /// The way to the database leads to another one than before.
    #[error(
        "this is another database than the one this sidecar began with (instance {found:?}): correct \
         `database_url`, or start the sidecar again if this one is meant"
    )]
    OtherDatabase {
        /// Name in the database.
        found: String,
    },
}

impl Handshake {
    /// Checks that versions agree in major and minor number.
    pub fn check_versions(&self, sidecar: &str) -> Result<(), Misfit> {
        let Self { extension, library, layout, .. } = self;
        if release(extension) != release(library) {
            return Err(Misfit::Library { extension: extension.clone(), library: library.clone() });
        }
        if release(extension) != release(layout) {
            return Err(Misfit::Layout { extension: extension.clone(), layout: layout.clone() });
        }
        let (sidecar, extension) = (sidecar.to_owned(), extension.clone());
        match release(&extension).cmp(&release(&sidecar)) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => Err(Misfit::OldExtension { sidecar, extension }),
            std::cmp::Ordering::Greater => Err(Misfit::OldSidecar { sidecar, extension }),
        }
    }

    /// Checks that it is the database of before.
    pub fn check_same(&self, before: i64) -> Result<(), Misfit> {
        match before == self.database {
            true => Ok(()),
            false => Err(Misfit::OtherDatabase { found: self.instance.clone() }),
        }
    }

    /// Checks the configured name of the installation, if there is one.
    pub fn check_instance(&self, configured: Option<&str>) -> Result<(), Misfit> {
        match configured {
            Some(name) if name != self.instance => {
                Err(Misfit::Instance { found: self.instance.clone(), configured: name.to_owned() })
            }
            _ => Ok(()),
        }
    }
}

/// Major and minor number; an odd text sorts before every release.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(extension: &str, library: &str, layout: &str) -> Handshake {
        Handshake {
            extension: extension.into(),
            library: library.into(),
            layout: layout.into(),
            instance: "shop".into(),
            database: 1,
            adopted: true,
            server_version_num: 150_018,
        }
    }

    #[test]
    fn patch_releases_fit_together() {
        assert_eq!(handshake("0.1.0", "0.1.3", "0.1.1").check_versions("0.1.9"), Ok(()));
    }

    #[test]
    fn every_misfit_says_the_way_out() {
        for (handshake, sidecar, way_out) in [
            (handshake("0.1.0", "0.2.0", "0.1.0"), "0.2.0", "alter extension pg_capi update"),
            (handshake("0.2.0", "0.2.0", "0.1.0"), "0.2.0", "select capi.setup()"),
            (handshake("0.1.0", "0.1.0", "0.1.0"), "0.2.0", "alter extension pg_capi update"),
            (handshake("0.10.0", "0.10.0", "0.10.0"), "0.9.0", "upgrade the sidecar"),
            (handshake("odd", "odd", "odd"), "0.9.0", "alter extension"),
        ] {
            let misfit = handshake.check_versions(sidecar).expect_err(way_out).to_string();
            assert!(misfit.contains(way_out), "{misfit}");
        }
    }

    #[test]
    fn the_instance_is_compared_when_configured() {
        let here = handshake("0.1.0", "0.1.0", "0.1.0");
        assert_eq!(here.check_instance(None), Ok(()));
        assert_eq!(here.check_instance(Some("shop")), Ok(()));
        assert!(here.check_instance(Some("staging")).is_err());
    }
}
