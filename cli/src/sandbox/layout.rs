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
        std::fs::create_dir_all(root).map_err(failed("make"))?;
        let root = root.canonicalize().map_err(failed("find"))?;
        let layout = Self { root };
        let marker = layout.root.join(MARKER);
        let text = "Made by `paripassu sandbox`; `--force` may replace this folder.\n";
        std::fs::write(&marker, text).map_err(|e| Failure::file("write", &marker, &e))?;
        for dir in [layout.logs(), layout.nodes()] {
            std::fs::create_dir(&dir).map_err(|e| Failure::file("make", &dir, &e))?;
        }
        restrict(&layout.nodes())?;
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

/// Keys are in there.
fn restrict(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
        .map_err(|e| Failure::file("restrict", dir, &e))
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
}
