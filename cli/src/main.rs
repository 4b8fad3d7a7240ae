//! The paripassu command: every node, and everything one asks of them.

mod allocator;
mod app;
mod client;
mod command;
mod failure;
mod outcome;
mod progress;
mod roles;
mod sandbox;
mod screen;
mod view;

use std::process::ExitCode;

use clap::{FromArgMatches, error::ErrorKind};

use crate::{
    app::{Cli, Command},
    failure::{Exit, Failure},
    outcome::{Outcome, print_failure},
    screen::{ColorWhen, Screen},
};

fn main() -> ExitCode {
    let parsed = roles::command().try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    allocator::settle(&cli.command);
    let screen = Screen::new(cli.json, cli.color);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(cli.command, &screen)),
        Err(error) => Err(Failure::ours(format!("cannot start: {error}"))),
    };
    match result {
        Ok(outcome) => {
            outcome.print(&screen);
            outcome.exit().into()
        }
        Err(failure) => {
            print_failure(&failure, &screen);
            failure.exit().into()
        }
    }
}

/// Help and version are answers; everything else that cannot be parsed is the caller's to fix.
fn misused(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|arg| arg == "--json");
    // `audit` has the exit codes of the transcript's specification
    let audit = std::env::args_os().skip(1).find(|arg| {
        arg.to_str()
            .is_none_or(|arg| !arg.starts_with('-') && !matches!(arg, "auto" | "always" | "never"))
    });
    let misuse = if audit.is_some_and(|arg| arg == "audit") {
        command::audit::MISUSE
    } else {
        Exit::User
    };
    let where_to = "say where once: export PARIPASSU_COORDINATOR=HOST:PORT PARIPASSU_IDENTITY=DIR";
    let lacks_coordinator = error.kind() == ErrorKind::MissingRequiredArgument
        && error.to_string().contains("--identity <DIR>\n");
    let answer = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if json && !answer {
        let text = error.render().to_string();
        let mut failure = Failure::user(text.trim().trim_start_matches("error: "));
        if lacks_coordinator {
            failure = failure.hint(where_to);
        }
        print_failure(&failure, &Screen::new(true, ColorWhen::Auto));
    } else if error.print().is_err() {
        return Exit::Ours.into();
    } else if lacks_coordinator {
        eprintln!("\n  hint: {where_to}");
    }
    if answer { Exit::Ok } else { misuse }.into()
}

async fn run(command: Command, screen: &Screen) -> Result<Outcome, Failure> {
    match command {
        Command::Demo(demo) => demo.run(screen).await,
        Command::Sandbox(sandbox) => sandbox.run(screen).await,
        Command::Job(job) => job.run(screen).await,
        Command::Policy(policy) => policy.run(screen).await,
        Command::Party(party) => party.run(screen).await,
        Command::Coordinator(coordinator) => coordinator.run(screen).await,
        Command::Helper(helper) => helper.run(screen).await,
        Command::Pki(pki) => pki.run(screen),
        Command::Data(data) => data.run(screen),
        Command::Model(model) => model.run(screen),
        Command::Audit(audit) => audit.run(screen),
        Command::Bench(bench) => bench.run(screen).await,
        Command::Doctor(doctor) => doctor.run(screen).await,
    }
}
