//! Links of the documents lead somewhere, and the tests they name exist.

use std::collections::BTreeMap;

use crate::{Findings, source, tree::File};

/// Every link in a Markdown file to a file, folder or heading that is not there.
pub(crate) fn check(files: &[File]) -> Findings {
    let by_path: BTreeMap<&str, &File> = files.iter().map(|f| (f.path.as_str(), f)).collect();
    let is_folder = |path: &str| {
        let start = format!("{path}/");
        path.is_empty() || files.iter().any(|file| file.path.starts_with(&start))
    };
    let mut findings = Vec::new();
    for link in documents(files).flat_map(links_of) {
        let (path, heading) = match link.target.split_once('#') {
            Some((path, heading)) => (path, Some(heading)),
            None => (link.target, None),
        };
        let Some(path) = resolve(&link.file.path, path) else {
            findings.push(link.wrong("leads out of the repository"));
            continue;
        };
        let Some(file) = by_path.get(path.as_str()) else {
            if !is_folder(&path) {
                findings.push(link.wrong("leads to no tracked file"));
            }
            continue;
        };
        if let Some(heading) = heading
            && path.ends_with(".md")
            && !headings(&file.text).iter().any(|h| h == heading)
        {
            findings.push(link.wrong("leads to no heading of that file"));
        }
    }
    findings
}

/// Every link whose text is one name in code and whose target is a Rust file that lacks the name.
pub(crate) fn check_names(files: &[File]) -> Findings {
    let by_path: BTreeMap<&str, &File> = files.iter().map(|f| (f.path.as_str(), f)).collect();
    let mut findings = Vec::new();
    for link in documents(files).flat_map(links_of) {
        let name = link
            .text
            .strip_prefix('`')
            .and_then(|t| t.strip_suffix('`'));
        let target = resolve(&link.file.path, link.target).unwrap_or_default();
        let (Some(name), Some(file)) = (name, by_path.get(target.as_str())) else {
            continue;
        };
        let last = name.rsplit("::").next().unwrap_or(name);
        let is_name = source::words(last).eq([last]);
        if target.ends_with(".rs")
            && is_name
            && !source::words(&source::code_only(&file.text)).any(|word| word == last)
        {
            findings.push(link.wrong(&format!("names `{last}`, which is not in that file")));
        }
    }
    findings
}

struct Link<'a> {
    file: &'a File,
    line: usize,
    text: &'a str,
    target: &'a str,
}

impl Link<'_> {
    fn wrong(&self, what: &str) -> String {
        format!("{}:{} ({}) {what}", self.file.path, self.line, self.target)
    }
}

fn documents(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.path.ends_with(".md"))
}

/// Links `[text](target)` of a file, outside code blocks, to places within the repository.
fn links_of(file: &File) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    for (at, line) in prose(&file.text) {
        let mut rest = line;
        while let Some(middle) = rest.find("](") {
            let target = &rest[middle + 2..];
            let Some(end) = target.find(')') else { break };
            let open = rest[..middle].rfind('[').map_or(0, |i| i + 1);
            let text = &rest[open..middle];
            rest = &target[end..];
            let target = target[..end].split(' ').next().unwrap_or_default();
            if !(target.contains("://") || target.starts_with("mailto:")) {
                found.push(Link {
                    file,
                    line: at,
                    text,
                    target,
                });
            }
        }
    }
    found
}

/// Lines outside fenced code, with their numbers from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((at + 1, line))
    })
}

/// The path that `target` means in `file`, within the repository.
fn resolve(file: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(file.to_owned());
    }
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            other => parts.push(other),
        }
    }
    Some(parts.join("/"))
}

/// The headings of a document as they are linked to.
fn headings(text: &str) -> Vec<String> {
    prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    fn files(readme: &str) -> Vec<File> {
        vec![
            file("README.md", readme),
            file("docs/a.md", "# The first, of two\n```\n# no heading\n```\n"),
            file("p/src/lib.rs", "fn it_holds() {}\n// fn it_is_a_comment\n"),
        ]
    }

    #[test]
    fn good_links_pass() {
        let text = "[a](docs/a.md), [b](docs/a.md#the-first-of-two) [c](docs) [d](docs/)\n\
                    [e](https://example.org/x) [f](#top)\n# Top\n```\n[g](nowhere.md)\n```\n\
                    [`it_holds`](p/src/lib.rs) [`p::tests::it_holds`](p/src/lib.rs)";
        assert_eq!(check(&files(text)), Vec::<String>::new());
        assert_eq!(check_names(&files(text)), Vec::<String>::new());
    }

    #[test]
    fn bad_links_are_named_with_their_line() {
        for (text, want) in [
            ("x\n[a](docs/b.md)", "README.md:2 (docs/b.md)"),
            ("[a](docs/a.md#no-heading)", "no heading"),
            ("[a](../secret)", "out of the repository"),
            ("![a](picture.svg)", "no tracked file"),
        ] {
            let found = check(&files(text));
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].contains(want), "{found:?}");
        }
    }

    #[test]
    fn a_test_that_is_not_there_is_named() {
        for text in [
            "[`it_fails`](p/src/lib.rs)",
            "[`it_is_a_comment`](p/src/lib.rs)",
        ] {
            assert_eq!(check_names(&files(text)).len(), 1, "{text}");
        }
        assert!(check_names(&files("[words](p/src/lib.rs)")).is_empty());
    }
}
