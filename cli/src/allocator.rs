//! How the system's allocator keeps memory, for commands that move much of it.
//!
//! Shares come and go in pieces of megabytes. glibc by default hands each back to the system and takes it anew, zeroed
//! page by page: a sixth of the processor time of a training run (docs/benchmarks.md). It reads its settings from the
//! environment when a program starts, so the program starts itself once more, as the same process.

use std::process::Command as Process;

use crate::app::Command;

/// Where glibc looks. Whoever sets it has chosen for themselves.
const VARIABLE: &str = "GLIBC_TUNABLES";
/// One arena for all threads; pieces up to 128 MiB kept; what is free above 256 MiB goes back to the system. Larger
/// pieces, such as a table of a million rows, go back at once: they would leave holes that the next does not fit.
const SETTINGS: &str = "glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=134217728:glibc.malloc.trim_threshold=268435456";

/// Starts the program once more with these settings, where it helps and they are not set. Where that fails, all
/// works as before, at more cost.
pub(crate) fn settle(command: &Command) {
    let heavy = matches!(
        command,
        Command::Demo(_)
            | Command::Sandbox(_)
            | Command::Party(_)
            | Command::Coordinator(_)
            | Command::Helper(_)
            | Command::Bench(_)
    );
    if !heavy || std::env::var_os(VARIABLE).is_some() || !cfg!(target_env = "gnu") {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut again = Process::new(program);
    if let Some(name) = arguments.next() {
        std::os::unix::process::CommandExt::arg0(&mut again, name);
    }
    again.args(arguments).env(VARIABLE, SETTINGS);
    // comes back only where it failed
    let _failed = std::os::unix::process::CommandExt::exec(&mut again);
}
