//! What must not stand in tracked text: paths of one machine.

use crate::{Findings, tree::File};

/// Not looked at: made by cargo.
const MADE: [&str; 1] = ["Cargo.lock"];

/// Text that is refused, cut in two so that this file passes, and what it is.
const REFUSED: [([&str; 2], &str); 5] = [
    (["/ro", "ot/"], "a path of one machine"),
    (["/ho", "me/"], "a path of one machine"),
    (["/Us", "ers/"], "a path of one machine"),
    (["C:\\Us", "ers"], "a path of one machine"),
    (["/wo", "rk/"], "a path of one machine"),
];

/// Every line with refused text.
pub(crate) fn check(files: &[File]) -> Findings {
    let mut findings = Vec::new();
    for file in files.iter().filter(|f| !MADE.contains(&f.path.as_str())) {
        for (at, line) in file.text.lines().enumerate() {
            for (parts, what) in &REFUSED {
                if stands_in(line, &parts.concat()) {
                    findings.push(format!(
                        "{}:{} names {what}: `{}`",
                        file.path,
                        at + 1,
                        parts.concat()
                    ));
                }
            }
        }
    }
    findings
}

/// Whether `line` holds `text`, and if that is a path, one from the root and not the end of another.
fn stands_in(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !text.starts_with('/')
            || !before.is_some_and(|c| c.is_alphanumeric() || "~.}_-".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    #[test]
    fn every_refused_text_is_found_where_it_stands() {
        for (parts, _) in REFUSED {
            let text = format!("one\ntwo {}x\n", parts.concat());
            let found = check(&[file("docs/a.md", &text)]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with("docs/a.md:2 "), "{found:?}");
            assert!(check(&[file("Cargo.lock", &text)]).is_empty());
        }
    }

    #[test]
    fn ordinary_text_passes() {
        let text = "cd paripassu && ./target/release/paripassu demo --out ~/demo /var/lib/paripassu\n\
                    spiffe://paripassu/ro\u{6f}t/x ~/ho\u{6d}e/ ${HOME}/ro\u{6f}t/";
        assert!(check(&[file("README.md", text)]).is_empty());
    }
}
