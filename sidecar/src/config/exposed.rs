//! Files that everybody on the machine may change: whoever does so chooses where events and
//! credentials go.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Others may write.
const WRITE_BY_OTHERS: u32 = 0o002;

/// In a folder with this bit only the owner of a file may replace it.
const STICKY: u32 = 0o1000;

/// Which of a configuration's places everybody may change: the file, the folder of credentials and
/// the files in it, and the folders in which these lie.
pub(super) fn exposed(file: Option<&Path>, credentials: Option<&Path>) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = Vec::new();
    let inside = credentials.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten();
    for place in file.into_iter().chain(credentials) {
        places
            .extend(place.parent().filter(|folder| !folder.as_os_str().is_empty()).map(Into::into));
        places.push(place.to_owned());
    }
    places.extend(inside.flatten().map(|entry| entry.path()));
    places.sort();
    places.dedup();
    places.retain(|place| {
        fs::metadata(place).is_ok_and(|found| is_open(found.mode(), found.is_dir()))
    });
    places
}

fn is_open(mode: u32, is_folder: bool) -> bool {
    mode & WRITE_BY_OTHERS != 0 && !(is_folder && mode & STICKY != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_everybody_may_write_is_found() {
        let folder = std::env::temp_dir().join(format!("capi-exposed-{}", std::process::id()));
        let credentials = folder.join("credentials");
        fs::create_dir_all(&credentials).expect("a folder");
        let (file, token) = (folder.join("capi.toml"), credentials.join("META_TOKEN"));
        let set = |place: &Path, mode| {
            fs::set_permissions(place, fs::Permissions::from_mode(mode)).expect("changed");
        };
        for place in [&file, &token] {
            fs::write(place, "").expect("a file");
            set(place, 0o644);
        }
        set(&folder, 0o755);
        set(&credentials, 0o750);
        let found = || exposed(Some(&file), Some(&credentials));
        assert_eq!(found(), [""; 0].map(PathBuf::from));
        set(&token, 0o646);
        set(&file, 0o666);
        assert_eq!(found(), [file.clone(), token.clone()]);
        set(&file, 0o600);
        set(&token, 0o600);
        set(&credentials, 0o777);
        assert_eq!(found(), std::slice::from_ref(&credentials), "a file in it can be replaced");
        set(&credentials, 0o1777);
        assert_eq!(found(), [""; 0].map(PathBuf::from));
        fs::remove_dir_all(folder).expect("removed");
    }
}
