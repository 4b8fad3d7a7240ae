//! The folder of a sandbox.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Marks a folder as made here, so that `--force` never empties any other.
const MARKER: &str = ".paripassu-sandbox";

/// `DIR/{data,logs,nodes}/` and one folder per party.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the folder; one that is not empty is only replaced if it was made here and `force` is set.
    pub(crate) fn create(root: &Path, force: bool) -> Result<Self, Failure> {
        let failed = |what: &'static str| move |e: std::io::Error| Failure::file(what, root, &e);
        if root.exists() {
            let mut entries = std::fs::read_dir(root).map_err(failed("read"))?;
            let empty = entries.next().is_none();
            let ours = root.join(MARKER).is_file();
            if !empty && !ours {
                return Err(Failure::user(format!("{} is not empty", root.display()))
                    .hint("choose a folder that does not exist yet"));
            }
            if !empty && !force {
                return Err(
                    Failure::user(format!("{} holds an earlier sandbox", root.display()))
                        .hint("choose another folder, or replace it with --force"),
                );
            }
            if !empty {
                std::fs::remove_dir_all(root).map_err(failed("empty"))?;
            }
        }
        make_private(root).map_err(failed("make"))?;
        let root = root.canonicalize().map_err(failed("find"))?;
        let layout = Self { root };
        let marker = layout.root.join(MARKER);
        let text = "Made by `paripassu sandbox`; `--force` may replace this folder.\n";
        std::fs::write(&marker, text).map_err(|e| Failure::file("write", &marker, &e))?;
        for dir in [layout.logs(), layout.nodes()] {
            std::fs::create_dir(&dir).map_err(|e| Failure::file("make", &dir, &e))?;
        }
        Ok(layout)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The job file as it was run.
    pub(crate) fn job(&self) -> PathBuf {
        self.root.join("job.toml")
    }

    /// A party's data, where it is not a file of the caller.
    pub(crate) fn data(&self, party: &str) -> PathBuf {
        self.root.join("data").join(format!("{party}.csv"))
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub(crate) fn log(&self, node: &str) -> PathBuf {
        self.logs().join(format!("{node}.log"))
    }

    pub(crate) fn nodes(&self) -> PathBuf {
        self.root.join("nodes")
    }

    pub(crate) fn node(&self, node: &str) -> PathBuf {
        self.nodes().join(node)
    }

    pub(crate) fn identity(&self, node: &str) -> PathBuf {
        self.node(node).join("identity")
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.nodes().join("ca")
    }

    /// A party's results.
    pub(crate) fn party(&self, party: &str) -> PathBuf {
        self.root.join(party)
    }
}

/// Makes a folder that only its owner can enter, before anything is in it: keys and every party's data
/// and results will be.
fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    const MODE: u32 = 0o700;
    if dir.exists() {
        return std::fs::set_permissions(dir, std::fs::Permissions::from_mode(MODE));
    }
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::DirBuilder::new().mode(MODE).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_folders_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let foreign = dir.path().join("foreign");
        std::fs::create_dir(&foreign).unwrap();
        std::fs::write(foreign.join("thesis.txt"), "years of work").unwrap();
        for force in [false, true] {
            let refused = Layout::create(&foreign, force).unwrap_err();
            assert!(refused.message().contains("not empty"), "{refused}");
        }
        assert!(foreign.join("thesis.txt").exists());

        let own = dir.path().join("own");
        let layout = Layout::create(&own, false).unwrap();
        std::fs::write(layout.log("bank"), "x").unwrap();
        assert!(Layout::create(&own, false).is_err());
        Layout::create(&own, true).unwrap();
        assert!(!layout.log("bank").exists());
    }

    #[test]
    fn nobody_else_can_enter() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let made = dir.path().join("some/where");
        Layout::create(&made, false).unwrap();
        assert_eq!(mode(&made), 0o700);
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        std::fs::set_permissions(&empty, std::fs::Permissions::from_mode(0o755)).unwrap();
        Layout::create(&empty, false).unwrap();
        assert_eq!(mode(&empty), 0o700);
    }
}
