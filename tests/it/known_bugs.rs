//! `docs/known-bugs.md`: the bugs that others had, and the tests that show that they are not here.
//!
//! A test says which bug it shows, in a comment above it: the words `known bug:`, an id, and, in one test
//! of each id, what went wrong and where, and what keeps quorate from it, with `|` between them. The page
//! is made of these comments, so it can't name a test that is not there; it is compared with what is
//! committed, and written with `UPDATE_GOLDENFILES=1`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where tests may stand.
const PLACES: [&str; 6] = [
    "tests",
    "raft-engine/src",
    "raft-ffi",
    "bindings/cpp/tests",
    "bindings/python/tests",
    "bindings/go",
];

/// What a group is about, and how many entries it must have; `None`: those named below.
const GROUPS: [(char, &str, Option<u32>); 6] = [
    ('A', "Terms and votes", Some(13)),
    ('B', "Replication and commit", Some(23)),
    ('C', "Elections, liveness, transfer", Some(17)),
    ('D', "Membership", Some(17)),
    ('G', "Storage", Some(15)),
    ('H', "Clients, handles, callbacks", None),
];

/// Of group H those about handles and callbacks.
const OF_GROUP_H: [u32; 5] = [2, 7, 8, 9, 10];

/// An id: a group and a number, so that B2 comes before B10.
type Id = (char, u32);

/// A test that says which bug it shows.
#[derive(Debug)]
struct Shown {
    id: Id,
    /// What went wrong and whose it was; what keeps quorate from it.
    told: Option<(String, String)>,
    test: String,
    path: String,
}

#[test]
fn the_page_of_known_bugs_is_what_the_tests_say() {
    let shown = collect();
    let wrong = missing(&shown);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let page = page(&shown);
    let path = root().join("docs/known-bugs.md");
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        fs::write(&path, page).expect("docs can be written");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let told = quorate_tests::golden::diff(&committed, &page);
    assert!(
        committed == page,
        "{} is stale; UPDATE_GOLDENFILES=1 writes it\n{told}",
        path.display()
    );
}

#[test]
fn a_comment_is_read_with_what_follows_it() {
    let code = "// known bug: G1 | somebody #7: a sync\n// failed | poisoned\n// known bug: G2\n#[test]\nfn a_test() {}\n";
    let found = read(code, "x.rs");
    assert_eq!(found.len(), 2);
    let told = Some(("somebody #7: a sync failed".to_owned(), "poisoned".to_owned()));
    assert_eq!((found[0].id, &found[0].told), (('G', 1), &told));
    assert_eq!((found[1].id, &found[1].told, &*found[1].test), (('G', 2), &None, "a_test"));
    assert_eq!(read("// known bug: G1\nlet x = 1;\n", "x.rs")[0].test, "");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace").to_owned()
}

/// All that is said, in the order of files.
fn collect() -> Vec<Shown> {
    let mut paths = Vec::new();
    PLACES.iter().for_each(|place| walk(&root().join(place), &mut paths));
    paths.sort();
    let own = Path::new(file!()).file_name();
    let texts = paths.iter().filter(|path| path.file_name() != own).filter_map(|path| {
        let inside = path.strip_prefix(root()).expect("it was found there");
        Some((fs::read_to_string(path).ok()?, inside.display().to_string()))
    });
    texts.flat_map(|(text, path)| read(&text, &path)).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let built = ["target", "build", "corpus"];
    for path in fs::read_dir(folder).expect("a folder can be read").flatten().map(|e| e.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !built.contains(&&*name) && !name.starts_with('.') {
            walk(&path, found);
        } else if ["rs", "txt", "c", "cpp", "go", "py"]
            .iter()
            .any(|e| name.ends_with(&format!(".{e}")))
        {
            found.push(path);
        }
    }
}

/// The comments of a file that name a bug, and the test below each.
fn read(text: &str, path: &str) -> Vec<Shown> {
    let lines: Vec<&str> = text.lines().collect();
    let begins = |at: &usize| comment(lines[*at]).is_some_and(|c| c.starts_with("known bug: "));
    let said = (0..lines.len()).filter(begins).filter_map(|at| {
        let mut words = comment(lines[at])?.trim_start_matches("known bug: ").to_owned();
        let more = lines[at + 1..].iter().map_while(|line| comment(line));
        for line in more.take_while(|line| !line.starts_with("known bug: ")) {
            words = format!("{words} {line}");
        }
        let mut parts = words.split('|').map(|part| part.trim().to_owned());
        let id = id(&parts.next()?)?;
        let told = parts.next().zip(parts.next());
        Some(Shown { id, told, test: test(&lines[at..], path), path: path.to_owned() })
    });
    said.collect()
}

/// What a line says if it is a comment and nothing else.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim();
    let marks = ["// ", "# ", "/* ", "* "];
    let said = marks.iter().find_map(|mark| line.strip_prefix(mark))?;
    Some(said.trim_end_matches("*/").trim())
}

fn id(word: &str) -> Option<Id> {
    let group = word.chars().next().filter(|c| ('A'..='H').contains(c))?;
    Some((group, word[1..].parse().ok()?))
}

/// The name of the test below a comment: a script is one; elsewhere it is the next function. Empty if
/// there is none.
fn test(below: &[&str], path: &str) -> String {
    if path.ends_with(".txt") {
        return path.rsplit(['/', '.']).nth(1).unwrap_or_default().to_owned();
    }
    let near = below.iter().take(12).map(|line| line.trim());
    let code =
        near.filter(|line| comment(line).is_none() && !line.starts_with("#[")).find_map(name);
    let is_test = match path.rsplit('.').next() {
        Some("rs") => below.iter().take(12).any(|line| line.trim() == "#[test]"),
        _ => true,
    };
    code.filter(|_| is_test).unwrap_or_default()
}

/// The name of the function that a line begins.
fn name(line: &str) -> Option<String> {
    let starts = ["fn ", "func ", "def ", "async def ", "static void ", "TEST(", "void "];
    let rest = starts.iter().find_map(|start| line.strip_prefix(start))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (end > 0).then(|| rest[..end].to_owned())
}

/// What keeps the page from being written.
fn missing(shown: &[Shown]) -> Vec<String> {
    let spell = |(group, number): Id| format!("{group}{number}");
    let mut wrong = Vec::new();
    for one in shown.iter().filter(|one| one.test.is_empty()) {
        wrong.push(format!("{}: there is no test below `known bug: {}`", one.path, spell(one.id)));
    }
    let all = wanted();
    for id in &all {
        let told = shown.iter().filter(|one| one.id == *id && one.told.is_some()).count();
        if told != 1 {
            wrong.push(format!("{}: {told} tests say what it is, one should", spell(*id)));
        }
    }
    for one in shown.iter().filter(|one| !all.contains(&one.id)) {
        wrong.push(format!("{}: {} is not in the catalogue", one.path, spell(one.id)));
    }
    wrong
}

fn wanted() -> BTreeSet<Id> {
    let group = |(group, _, count): &(char, &str, Option<u32>)| {
        let numbers = count.map_or(OF_GROUP_H.to_vec(), |count| (1..=count).collect());
        numbers.into_iter().map(|number| (*group, number)).collect::<Vec<Id>>()
    };
    GROUPS.iter().flat_map(group).collect()
}

const HEAD: &str = "\
# Known bugs

What went wrong in other implementations of Raft and in what is built around them, and why it does not here.
Each has a test that tells its story. Where the protocol or the log could have it, there is a *mutant*: the same
mistake, made on purpose behind a build flag, which the tests must notice.

This page is made of the comments above the tests. `UPDATE_GOLDENFILES=1 cargo test -p quorate-tests known_bugs`
writes it anew; the test fails when it is stale, or when an entry has no test. *Waits for snapshots* marks what
can't be shown before there are any.
";

fn page(shown: &[Shown]) -> String {
    let mutants = mutants();
    let mut page = HEAD.to_owned();
    for (group, about, _) in GROUPS {
        let _ = write!(
            page,
            "\n## {group}. {about}\n\n| | what went wrong, and where | here | shown by | mutant |\n"
        );
        page += "| --- | --- | --- | --- | --- |\n";
        for id in wanted().into_iter().filter(|id| id.0 == group) {
            page += &row(id, shown, mutants.get(&id).map_or(&[], Vec::as_slice));
        }
    }
    page
}

fn row((group, number): Id, shown: &[Shown], mutants: &[String]) -> String {
    let of: Vec<&Shown> = shown.iter().filter(|one| one.id == (group, number)).collect();
    let (what, here) = of.iter().find_map(|one| one.told.clone()).unwrap_or_default();
    let link = |one: &&Shown| format!("[{}](../{})", one.test, one.path);
    let tests: Vec<String> = of.iter().map(link).collect();
    let mutants: Vec<String> = mutants.iter().map(|name| format!("`{name}`")).collect();
    let (tests, mutants) = (tests.join(", "), mutants.join(", "));
    format!("| {group}{number} | {what} | {here} | {tests} | {mutants} |\n")
}

/// The mutants of the engine, by the id that their names begin with.
fn mutants() -> BTreeMap<Id, Vec<String>> {
    let mut paths = Vec::new();
    walk(&root().join("raft-engine/src"), &mut paths);
    let mut found: BTreeMap<Id, BTreeSet<String>> = BTreeMap::new();
    for text in paths.iter().filter_map(|path| fs::read_to_string(path).ok()) {
        for rest in text.split("mutant!(").skip(1) {
            let Some(name) = rest.trim_start().strip_prefix('"') else { continue };
            let name = name.split('"').next().unwrap_or_default().to_owned();
            if let Some(id) = name.split('_').next().and_then(|word| id(&word.to_uppercase())) {
                found.entry(id).or_default().insert(name);
            }
        }
    }
    found.into_iter().map(|(id, names)| (id, names.into_iter().collect())).collect()
}
