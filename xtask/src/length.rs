//! Files stay short enough to be read in one sitting.

use crate::{Findings, tree::File};

/// Most lines of a source file, its tests apart.
const MOST: usize = 600;

/// Every source file that is too long.
pub(crate) fn check(files: &[File]) -> Findings {
    files
        .iter()
        .filter(|file| file.path.ends_with(".rs") && !is_test(&file.path))
        .filter_map(|file| {
            let lines = lines_before_tests(&file.text);
            (lines > MOST).then(|| {
                format!(
                    "{} has {lines} lines, more than {MOST}: give it one duty and split off the rest",
                    file.path
                )
            })
        })
        .collect()
}

fn is_test(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "tests.rs")
}

/// Lines up to a test module within the file.
fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"))
        .unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    #[test]
    fn long_files_are_named_and_tests_do_not_count() {
        let long = "//\n".repeat(MOST + 1);
        assert_eq!(check(&[file("a/src/lib.rs", &long)]).len(), 1);
        let tested = format!("{}#[cfg(test)]\nmod tests {{\n{long}}}\n", "//\n".repeat(9));
        let fine = [
            file("a/src/lib.rs", &tested),
            file("a/src/tests.rs", &long),
            file("a/tests/all.rs", &long),
            file("a/data.csv", &long),
            file("a/src/short.rs", &"//\n".repeat(MOST)),
        ];
        assert_eq!(check(&fine), Vec::<String>::new());
    }
}
