//! Files that hold what a program is told and what it answers. Blocks of input, a line `---`, and the
//! output up to the next empty line; lines that begin with `#` are for readers.
//!
//! A test answers the input of each block anew and compares. With `UPDATE_GOLDENFILES=1` it writes
//! the file instead: look at the difference before you keep it.

use std::fs;
use std::path::Path;

/// Runs a file: `answer` is given the lines of each block in turn, without comments.
///
/// # Errors
/// What differs from the file, as a diff.
pub fn check(path: &Path, mut answer: impl FnMut(&str) -> Vec<String>) -> Result<(), String> {
    let expected =
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let actual =
        answer_all(&expected, |lines| lines.iter().flat_map(|line| answer(line)).collect());
    if actual == expected {
        return Ok(());
    }
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        return fs::write(path, actual).map_err(|error| format!("{}: {error}", path.display()));
    }
    Err(format!("{}\n{}", path.display(), diff(&expected, &actual)))
}

/// The file as it should be.
fn answer_all(text: &str, mut answer: impl FnMut(&[&str]) -> Vec<String>) -> String {
    let mut lines = text.lines();
    let mut out: Vec<String> = Vec::new();
    let mut input: Vec<&str> = Vec::new();
    while let Some(line) = lines.next() {
        out.push(line.to_owned());
        if line == "---" {
            let said = answer(&input);
            out.extend(if said.is_empty() { vec!["ok".to_owned()] } else { said });
            out.push(String::new());
            input.clear();
            lines.by_ref().find(|line| line.is_empty());
        } else if !line.is_empty() && !line.starts_with('#') {
            input.push(line);
        }
    }
    while out.last().is_some_and(String::is_empty) {
        out.pop();
    }
    out.join("\n") + "\n"
}

/// The lines that differ, with `-` for what was expected and `+` for what came, and three lines around.
#[must_use]
pub fn diff(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let common = common_lines(&old, &new);
    let (mut i, mut j) = (0, 0);
    let mut all: Vec<(char, &str)> = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            all.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            all.push(('-', old[i]));
            i += 1;
        } else {
            all.push(('+', new[j]));
            j += 1;
        }
    }
    let near = |at: usize| {
        all[at.saturating_sub(3)..all.len().min(at + 4)].iter().any(|(mark, _)| *mark != ' ')
    };
    let shown = all.iter().enumerate().filter(|(at, _)| near(*at));
    shown.map(|(_, (mark, line))| format!("{mark} {line}\n")).collect()
}

/// How many lines the tails from `i` and `j` on have in common, in order.
fn common_lines(old: &[&str], new: &[&str]) -> Vec<Vec<usize>> {
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_is_answered_and_the_rest_is_kept() {
        let text = "# a story\n\nsay a\n# why\nsay b\n---\nold\nolder\n\n# the end\nsay c\n---\n";
        let actual = answer_all(text, |lines| lines.iter().map(|l| l.to_uppercase()).collect());
        let expected =
            "# a story\n\nsay a\n# why\nsay b\n---\nSAY A\nSAY B\n\n# the end\nsay c\n---\nSAY C\n";
        assert_eq!(actual, expected);
    }

    #[test]
    fn a_difference_is_shown_with_what_is_around_it() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n";
        let new = "1\n2\n3\n4\n5\nsix\n7\n8\n";
        assert_eq!(diff(old, new), "  3\n  4\n  5\n- 6\n+ six\n  7\n  8\n");
    }
}
