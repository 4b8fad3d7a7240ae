//! The command line as it is parsed.

use clap::{Parser, Subcommand};

use crate::{command, screen::ColorWhen};

/// Joint credit-risk models across institutions that share no customer data.
///
/// Each institution runs a party node beside its own data. A coordinator carries sealed messages
/// between them. A modeler proposes a job; every party approves it; the nodes match common customers
/// and fit one model on secret shares. Each party ends with the coefficients of its own columns.
#[derive(Debug, Parser)]
#[command(
    name = "paripassu",
    version,
    after_help = AFTER_HELP,
    max_term_width = 100,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// Print one JSON object on standard output, and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours (NO_COLOR is honoured)
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub(crate) color: ColorWhen,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  paripassu demo                                   see a bank and a bureau train together, here
  paripassu sandbox run JOB.toml --party bank=bank.csv --party partner=partner.csv --out DIR
  paripassu job plan JOB.toml                      who learns what, and what it costs
  paripassu audit verify JOB.bundle --policy trust.toml
  paripassu doctor                                 is this machine ready?

Exit codes:
  0 ok   1 yours to fix   2 our fault   3 a check or a job failed   75 try again later
  `audit` has its own: `paripassu audit verify --help`";

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show everything at once: three nodes on this machine train on shipped real data
    Demo(command::demo::Demo),
    /// Try a job on this machine with every node as a local process
    #[command(subcommand)]
    Sandbox(command::sandbox::Sandbox),
    /// Write, plan, propose, approve, watch and read jobs
    #[command(subcommand)]
    Job(command::job::Job),
    /// Write, check, try and sign an institution's policy; explain a job to its officers
    #[command(subcommand)]
    Policy(command::policy::Policy),
    /// Run a party node beside an institution's data
    #[command(subcommand)]
    Party(command::party::Party),
    /// Run the coordinator, which relays what it cannot read
    #[command(subcommand)]
    Coordinator(command::coordinator::Coordinator),
    /// Run a helper node, which deals randomness and sees no data
    #[command(subcommand)]
    Helper(command::helper::Helper),
    /// Make and manage the certificates of a consortium
    #[command(subcommand)]
    Pki(command::pki::Pki),
    /// Look at a data file before it is used
    #[command(subcommand)]
    Data(command::data::Data),
    /// Read a party's half of a model
    #[command(subcommand)]
    Model(command::model::Model),
    /// Export, verify, read, compare and prove the transcript of a job; make the officer's page
    #[command(subcommand)]
    Audit(command::audit::Audit),
    /// Measure on this machine, as ratios within one run
    #[command(subcommand)]
    Bench(command::bench::Bench),
    /// Check this machine, an identity, configurations and the way to the coordinator
    Doctor(command::doctor::Doctor),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself() {
        fn walk(command: &clap::Command, path: &str) {
            let name = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "`{name}` says nothing");
            for argument in command.get_arguments() {
                let documented = argument.get_help().is_some() || argument.is_hide_set();
                assert!(documented, "`{name}` {:?} says nothing", argument.get_id());
            }
            let leaf = command.get_subcommands().next().is_none();
            let examples = command
                .get_after_help()
                .is_some_and(|text| text.to_string().contains("paripassu "));
            assert!(!leaf || examples, "`{name}` shows no example");
            for sub in command.get_subcommands() {
                walk(sub, &name);
            }
        }
        walk(&Cli::command(), "");
    }
}
