//! Who may run which command, as its help says. What is enforced is enforced elsewhere: by certificates at the
//! coordinator and the nodes, by people's keys, by the modes of files.

use clap::{Command, CommandFactory};

use crate::app::Cli;

/// By command or the beginning of it; the longest that fits counts.
const ROLES: &[(&str, &str)] = &[
    ("demo", "anyone; it needs no consortium"),
    ("sandbox", "anyone, on data that they may see all of"),
    (
        "job plan",
        "anyone, most often a modeler; it needs no key and no network",
    ),
    ("job twin", "anyone, on made-up or public rows"),
    (
        "job submit",
        "a modeler (user/…) or a party (party/…); nobody else's proposal is taken, a regulator's neither",
    ),
    (
        "job resume",
        "a modeler (user/…) or a party (party/…), as with any proposal",
    ),
    (
        "job",
        "members of the job, users and regulators of the consortium; each sees the jobs that its certificate entitles to",
    ),
    (
        "job cancel",
        "who submitted the job (user/…) or a party of it (party/…)",
    ),
    (
        "job report",
        "whoever may read the party's folder of results",
    ),
    ("policy", "the officers of the institution"),
    (
        "party",
        "the operator of an institution's node (certificate party/…)",
    ),
    (
        "coordinator",
        "the operator of the coordinator (certificate coordinator/…)",
    ),
    (
        "helper",
        "the operator of a helper, who holds no data in its jobs (certificate helper/…)",
    ),
    ("pki", "whoever admits members to the consortium"),
    (
        "pki request",
        "the operator of the node or the person who asks; the key stays with them",
    ),
    ("pki show", "anyone who may read the folder"),
    (
        "data",
        "whoever prepares a party's data, beside them; nothing leaves the machine",
    ),
    ("data synth", "anyone; the rows are made up"),
    ("model", "whoever may read the party's results"),
    (
        "audit",
        "anyone who holds the bundle: compliance, auditor, regulator; it needs no key and no network",
    ),
    ("audit export", "the operator of a node, for its compliance"),
    (
        "audit prune",
        "the operator of a stopped node, by order of compliance",
    ),
    ("bench", "anyone"),
    (
        "doctor",
        "the operator of a node, or anyone with an identity",
    ),
];

/// Who may run the command of this path, such as `job submit`.
fn role(path: &str) -> Option<&'static str> {
    let fits = |name: &str| path == name || path.starts_with(&format!("{name} "));
    let fitting = ROLES.iter().filter(|(name, _)| fits(name));
    fitting
        .max_by_key(|(name, _)| name.len())
        .map(|(_, role)| *role)
}

/// The command line with that said in every command's help.
pub(crate) fn command() -> Command {
    said(Cli::command(), "")
}

fn said(command: Command, path: &str) -> Command {
    let leaf = command.get_subcommands().next().is_none();
    let help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let command = match role(path) {
        Some(role) if leaf && !help.contains("Run by: ") => {
            command.after_help(format!("Run by: {role}.\n\n{help}"))
        }
        _ => command,
    };
    let names: Vec<String> = {
        let subs = command.get_subcommands();
        subs.map(|sub| sub.get_name().to_owned()).collect()
    };
    names.into_iter().fold(command, |command, name| {
        let below = match path {
            "" => name.clone(),
            path => format!("{path} {name}"),
        };
        command.mut_subcommand(name, |sub| said(sub, &below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_says_who_may_run_it() {
        fn walk(command: &Command, path: &str) {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let leaf = command.get_subcommands().next().is_none();
            assert!(
                !leaf || help.contains("Run by: "),
                "`{path}` does not say who may run it"
            );
            assert!(
                help.matches("Run by: ").count() <= 1,
                "`{path}` says it twice"
            );
            for sub in command.get_subcommands() {
                walk(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        walk(&command(), "paripassu");
        assert!(role("job submit").unwrap().contains("modeler"));
        assert_eq!(role("pkix"), None);
    }
}
