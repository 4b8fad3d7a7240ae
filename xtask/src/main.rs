//! Checks that CI runs beside the tests: `cargo run -p paripassu-xtask -- check`.

mod dependencies;
mod layers;
mod length;
mod licence;
mod links;
mod source;
mod tree;
mod unsafety;
mod words;

use std::{env, process::ExitCode};

use anyhow::{Context, Result, bail};

/// What one check found wrong, a line each.
type Findings = Vec<String>;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["check"] => check(),
        _ => bail!("usage: cargo run -p paripassu-xtask -- check"),
    }
}

fn check() -> Result<bool> {
    let root = tree::root();
    let files = tree::tracked(&root).context("cannot list the repository's files")?;
    let metadata = dependencies::metadata(&root)?;
    let checks: [(&str, Findings); 7] = [
        ("layers", layers::check(&metadata)?),
        ("dependencies", dependencies::check(&metadata)?),
        ("file length", length::check(&files)),
        ("unsafe code", unsafety::check(&files)),
        ("words", words::check(&files)),
        ("links", links::check(&files)),
        ("tests named in documents", links::check_names(&files)),
    ];
    for (name, findings) in &checks {
        let state = if findings.is_empty() { "ok" } else { "FAILED" };
        println!("{name}: {state}");
        for finding in findings {
            println!("  {finding}");
        }
    }
    Ok(checks.iter().all(|(_, findings)| findings.is_empty()))
}
