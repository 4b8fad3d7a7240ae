//! `paripassu-verify`: verifies an audit bundle offline, without a network, a node or a secret.
//!
//! It is the verifier of `paripassu audit verify` alone, with few dependencies, for whoever wants to review
//! and build what they judge by.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use paripassu_audit::{
    bundle::Bundle,
    trust::{SAMPLE, Trust},
    verify::{HeldFile, Options, verify},
};

const USAGE: &str = "\
Verifies an audit bundle offline: no network, no node, no secret.

Usage: paripassu-verify BUNDLE [--trust trust.toml | --authority ca.crt] [--json] [--model FILE]...

  --trust FILE   what you trust: authority or pinned keys, witnesses, programs, revoked keys; also --policy.
                 Without it the authority inside the bundle is used, which proves less; the page says so.
  --authority FILE
                 where no trust file is at hand: the consortium's authority (PEM), from your own records.
  --model FILE   a model or report file that you hold, to be compared with the one recorded; repeatable.
  --json         the verdict as JSON instead of a page.
  --sample       prints a documented trust.toml.
  --help, --version

Exit codes: 0 verified; 2 wrong usage; 3 a file cannot be read; otherwise the first check that failed:
  10 signature    11 chain         12 Merkle tree  13 witnesses    14 symmetry   15 approvals  16 policy
  17 disclosure   18 thresholds    19 programs     20 report       21 model      22 personal data
  23 clocks
";

/// Wrong usage.
const MISUSE: u8 = 2;
/// A file cannot be read.
const UNREADABLE: u8 = 3;

#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    bundle: PathBuf,
    trust: Option<PathBuf>,
    authority: Option<PathBuf>,
    models: Vec<PathBuf>,
    json: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Verify(Arguments),
    Print(String),
}

fn parse(words: impl IntoIterator<Item = String>) -> Result<Wish, String> {
    let mut arguments = Arguments::default();
    let mut bundle = None;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a file"));
        match word.as_str() {
            "--help" | "-h" => return Ok(Wish::Print(USAGE.to_owned())),
            "--version" | "-V" => {
                let version = env!("CARGO_PKG_VERSION");
                return Ok(Wish::Print(format!("paripassu-verify {version}\n")));
            }
            "--sample" => return Ok(Wish::Print(SAMPLE.to_owned())),
            "--json" => arguments.json = true,
            "--trust" | "--policy" if arguments.trust.is_some() => {
                return Err(format!("{word}: one trust file at a time"));
            }
            "--trust" | "--policy" => arguments.trust = Some(value()?.into()),
            "--authority" => arguments.authority = Some(value()?.into()),
            "--model" => arguments.models.push(value()?.into()),
            other if other.starts_with("--") => return Err(format!("unknown option {other}")),
            other if bundle.is_none() => bundle = Some(PathBuf::from(other)),
            other => return Err(format!("one bundle at a time: {other} is a second")),
        }
    }
    if arguments.trust.is_some() && arguments.authority.is_some() {
        return Err("--authority: a trust file names its own".into());
    }
    arguments.bundle = bundle.ok_or("which bundle?")?;
    Ok(Wish::Verify(arguments))
}

fn held(path: &Path) -> Result<HeldFile, String> {
    let content = fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let name = path.file_name().map(|name| name.to_string_lossy());
    Ok(HeldFile::new(&name.unwrap_or_default(), &content))
}

fn run(arguments: &Arguments) -> Result<(String, u8), String> {
    let trust = arguments.trust.as_deref().map(Trust::load).transpose();
    let mut trust = trust.map_err(|e| e.to_string())?;
    if let Some(path) = &arguments.authority {
        let pem = fs::read_to_string(path);
        let pem = pem.map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        trust = Some(Trust::of_authority(pem));
    }
    let files = arguments.models.iter().map(|path| held(path));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let bundle = Bundle::load(&arguments.bundle).map_err(|e| e.to_string())?;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let options = Options {
        trust: trust.as_ref(),
        now: since.ok().and_then(|t| i64::try_from(t.as_secs()).ok()),
        files: &files,
    };
    let verdict = verify(&bundle, &options);
    let text = if arguments.json {
        let json = serde_json::to_string_pretty(&verdict).map_err(|e| e.to_string())?;
        format!("{json}\n")
    } else {
        verdict.to_string()
    };
    Ok((text, verdict.exit_code))
}

fn main() -> ExitCode {
    let wish = match parse(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(why) => {
            eprint!("error: {why}\n\n{USAGE}");
            return MISUSE.into();
        }
    };
    let (text, code) = match wish {
        Wish::Print(text) => (text, 0),
        Wish::Verify(arguments) => match run(&arguments) {
            Ok(said) => said,
            Err(why) => {
                eprintln!("error: {why}");
                return UNREADABLE.into();
            }
        },
    };
    // a reader that stops reading does not change the verdict
    let _ = io::stdout().write_all(text.as_bytes());
    code.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Wish, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_its_arguments() {
        let wish = words("--json job.bundle --model a --trust t --model b").unwrap();
        let expected = Arguments {
            bundle: "job.bundle".into(),
            trust: Some("t".into()),
            authority: None,
            models: vec!["a".into(), "b".into()],
            json: true,
        };
        assert_eq!(wish, Wish::Verify(expected));
        for bad in ["", "a b", "a --trust", "a --trust x --trust y", "a --jsn"] {
            assert!(words(bad).is_err(), "{bad}");
        }
        assert_eq!(words("a --sample"), Ok(Wish::Print(SAMPLE.to_owned())));
    }

    #[test]
    fn what_cannot_be_read_is_no_verdict() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.bundle");
        let arguments = Arguments {
            bundle: path.clone(),
            ..Arguments::default()
        };
        assert!(run(&arguments).unwrap_err().contains("job.bundle"));
        fs::write(&path, "{}").unwrap();
        assert!(run(&arguments).unwrap_err().contains("not a bundle"));
    }
}
