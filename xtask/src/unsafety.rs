//! Unsafe code stays within a few named modules.

use crate::{Findings, source, tree::File};

/// The modules that may hold it, and what for.
const ALLOWED: [(&str, &str); 9] = [
    (
        "bench/src/cpu.rs",
        "asks the system for processor time and memory",
    ),
    (
        "crypto/src/curve25519/ifma/lanes.rs",
        "names the instructions of a detected CPU feature; loads and stores vectors",
    ),
    (
        "crypto/src/curve25519/ifma/mod.rs",
        "calls a function for a detected CPU feature",
    ),
    (
        "crypto/src/dense/tile.rs",
        "loads and stores vectors; calls a function for a detected CPU feature",
    ),
    (
        "crypto/src/fixed_aes/aesni.rs",
        "loads and stores vectors; calls a function for a detected CPU feature",
    ),
    (
        "crypto/src/gf128/clmul.rs",
        "loads and stores vectors; calls a function for a detected CPU feature",
    ),
    (
        "crypto/src/simd.rs",
        "calls a function for a detected CPU feature",
    ),
    (
        "crypto/src/vole/code/wide.rs",
        "loads and stores vectors; calls a function for a detected CPU feature",
    ),
    (
        "model/src/logistic/kernels.rs",
        "calls a function for a detected CPU feature",
    ),
];

/// Every use of unsafe code elsewhere, and every named module that no longer has any.
pub(crate) fn check(files: &[File]) -> Findings {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        let named = ALLOWED.iter().any(|(path, _)| *path == file.path);
        let code = source::code_only(&file.text);
        let uses: Vec<usize> = code
            .lines()
            .enumerate()
            .filter(|(_, line)| {
                source::words(line).any(|word| word == "unsafe" || word == "unsafe_code")
            })
            .map(|(at, _)| at + 1)
            .collect();
        if named && uses.is_empty() {
            findings.push(format!(
                "{} holds no unsafe code: take it off the list in xtask/src/unsafety.rs",
                file.path
            ));
        }
        if !named {
            findings.extend(uses.iter().map(|line| {
                format!(
                    "{}:{line} is unsafe outside the modules named in xtask/src/unsafety.rs",
                    file.path
                )
            }));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    #[test]
    fn unsafe_code_elsewhere_is_named() {
        let found = check(&[
            file("a/src/lib.rs", "fn f() {\n    unsafe { g() }\n}"),
            file("b/src/lib.rs", "#![allow(unsafe_code)]"),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a/src/lib.rs:2 "), "{found:?}");
    }

    #[test]
    fn words_in_text_and_named_modules_pass() {
        let found = check(&[
            file(
                "a/src/lib.rs",
                "// unsafe\nconst A: &str = \"unsafe-inline\";",
            ),
            file("crypto/src/simd.rs", "unsafe { f() }"),
            file("deploy/README.md", "unsafe"),
        ]);
        assert_eq!(found, Vec::<String>::new());
        let stale = check(&[file("crypto/src/simd.rs", "fn f() {}")]);
        assert_eq!(stale.len(), 1);
    }
}
