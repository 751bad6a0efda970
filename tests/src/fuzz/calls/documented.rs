//! What the header says that a function may return. It is read from `include/quorate.h`, so that the
//! promise and not the code decides: the words behind "Errors", and what its first comment says of all
//! functions that take a handle, block, or ask a service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

const HEADER: &str = include_str!("../../../../include/quorate.h");
/// Functions that wait without a `timeout_ms`.
const BLOCKING: [&str; 5] = [
    "quorate_service_start",
    "quorate_service_close",
    "quorate_service_free",
    "quorate_tracker_wait",
    "quorate_storage_check",
];
/// Functions whose success is a count or a kind.
const COUNTS: [&str; 4] =
    ["quorate_service_submit", "quorate_queue_poll", "quorate_storage_check", "quorate_frame_kind"];

/// One function of the header.
#[derive(Debug, Default)]
pub struct Function {
    /// What it may return, below 0.
    pub codes: BTreeSet<i32>,
    /// It may return more than 0.
    pub counts: bool,
    /// It refuses to run in a callback.
    pub blocks: bool,
}

/// All functions, by name.
pub static FUNCTIONS: LazyLock<BTreeMap<String, Function>> = LazyLock::new(read);

impl Function {
    /// Whether it may return that.
    #[must_use]
    pub fn allows(&self, status: i32) -> bool {
        match status {
            0 => true,
            1.. => self.counts,
            _ => self.codes.contains(&status),
        }
    }
}

/// The numbers of the errors, by the end of their names.
fn codes() -> BTreeMap<&'static str, i32> {
    let lines = HEADER.lines().filter_map(|line| line.strip_prefix("#define QUORATE_ERR_"));
    let code = |line: &'static str| {
        let (name, number) = line.split_once(" (")?;
        Some((name, number.trim_end_matches(')').parse().ok()?))
    };
    lines.filter_map(code).collect()
}

/// Each prototype with the comment before it.
fn prototypes() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut comment = String::new();
    let mut lines = HEADER.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("///") {
            comment.push_str(text);
            continue;
        }
        let mut text = line.to_owned();
        if is_prototype(line) {
            while !text.ends_with(';') {
                text.push_str(lines.next().expect("a prototype ends"));
            }
            found.push((comment.clone(), text));
        }
        comment.clear();
    }
    found
}

fn is_prototype(line: &str) -> bool {
    let begins_name = line.starts_with(|c: char| c.is_ascii_lowercase());
    begins_name && !line.starts_with("typedef") && line.contains("quorate_") && line.contains('(')
}

fn name(prototype: &str) -> &str {
    let head = prototype.split('(').next().unwrap_or_default();
    head.rsplit([' ', '*']).next().unwrap_or_default()
}

fn read() -> BTreeMap<String, Function> {
    let codes = codes();
    let mut functions: BTreeMap<String, Function> = BTreeMap::new();
    for (comment, prototype) in prototypes() {
        let errors = comment.find("Errors").map_or("", |at| &comment[at..]);
        let mut function = Function { codes: named(errors, &codes), ..Function::default() };
        if errors.contains("as propose") {
            function.codes.extend(&functions["quorate_service_propose"].codes);
        }
        let is_a_delivery = ["quorate_service_deliver for", "likewise for"];
        if is_a_delivery.iter().any(|words| comment.contains(words)) {
            function.codes.extend(&functions["quorate_service_deliver"].codes);
        }
        general(&mut function, &prototype, &codes);
        functions.insert(name(&prototype).to_owned(), function);
    }
    functions
}

/// The errors that a comment names, one by one or by their class.
fn named(errors: &str, codes: &BTreeMap<&str, i32>) -> BTreeSet<i32> {
    let words = errors.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    let mut found: BTreeSet<i32> = words.filter_map(|word| codes.get(word).copied()).collect();
    let class = |of: std::ops::RangeInclusive<i32>| {
        codes.values().copied().filter(move |code| of.contains(code))
    };
    if errors.contains("unknown") {
        found.extend(class(-1999..=-1000));
    }
    if errors.contains("fatal") {
        found.extend(class(-2999..=-2000));
    }
    found
}

/// What the header says of all functions at once.
fn general(function: &mut Function, prototype: &str, codes: &BTreeMap<&str, i32>) {
    let name = name(prototype);
    let takes = |what: &str| prototype.contains(&format!("{what} *"));
    let handles = ["quorate_config", "quorate_queue", "quorate_service", "quorate_tracker"];
    if handles.iter().any(|handle| takes(handle)) {
        function.codes.extend([codes["INVALID"], codes["CLOSED"]]);
    }
    let waits = prototype.contains("timeout_ms") && name != "quorate_tracker_notify";
    function.blocks = waits || BLOCKING.contains(&name);
    if function.blocks {
        function.codes.insert(codes["IN_CALLBACK"]);
    }
    if takes("quorate_service") {
        // FATAL: the service failed before this call. INTERRUPTED: it was closed during it.
        function.codes.extend(codes.values().filter(|code| **code <= -2000));
        if waits {
            function.codes.insert(codes["INTERRUPTED"]);
        }
    }
    function.counts = COUNTS.contains(&name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read() {
        let codes = codes();
        assert!(codes.len() > 30 && codes["INVALID"] == -1 && codes["IDENTITY_TAKEN"] == -2004);
        let of = |name: &str| &FUNCTIONS[name];
        assert!(FUNCTIONS.len() > 55, "{:?}", FUNCTIONS.keys());
        assert!(of("quorate_config_set").allows(-7) && !of("quorate_config_set").allows(-11));
        assert!(of("quorate_service_propose_wait").allows(-1003), "all unknown ones");
        assert!(of("quorate_service_submit").allows(3) && !of("quorate_service_submit").blocks);
        assert!(of("quorate_queue_poll").blocks && of("quorate_queue_poll").allows(-5));
        assert!(!of("quorate_frame_kind").allows(-5), "it takes no handle");
        assert!(!of("quorate_config_set").allows(1) && !of("quorate_config_set").allows(-3));
    }
}
