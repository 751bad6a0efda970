//! Makes include/quorate.h and names the shared library.
//!
//! cbindgen groups what it writes by kind; a header is read by topic. So the sources are cut at
//! their marks, each piece goes through cbindgen by itself, and the results are put together in the
//! order of CHAPTERS:
//!
//! ```text
//! // Chapter: Title      a heading in the header
//! // Section: text       a comment in front of what follows; lines that follow each other are one
//! // Verbatim: text      a line of C as it is, such as an _INIT macro
//! ```

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

const SONAME: &str = "libquorate.so.0";

/// The public modules in reading order.
const CHAPTERS: [&str; 17] = [
    "version",
    "status",
    "bytes",
    "node",
    "result",
    "page",
    "entry",
    "hooks",
    "storage",
    "logger",
    "config",
    "queue",
    "service",
    "propose",
    "info",
    "tracker",
    "transport",
];

const TOP: &str = "\
#ifndef QUORATE_H
#define QUORATE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern \"C\" {
#endif
";

const BOTTOM: &str = "
#ifdef __cplusplus
}
#endif

#endif /* QUORATE_H */
";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=src");
    // A host that unloads the library would pull the code away under the threads and fork handlers.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{SONAME},-z,nodelete");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let header = header(Path::new("src"), &out)?;
    fs::write(out.join("quorate.h"), &header)?;
    link_soname(&out);
    write_into_workspace(Path::new("../include/quorate.h"), &header)
}

/// Programs look for the library under its soname, also where cargo has just built it.
fn link_soname(out: &Path) {
    if let Some(profile) = out.ancestors().nth(3) {
        let _exists = std::os::unix::fs::symlink("libquorate.so", profile.join(SONAME));
    }
}

/// A packaged crate has no include folder beside it, and must not make one.
fn write_into_workspace(path: &Path, header: &str) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={}", path.display());
    let is_workspace = path.parent().is_some_and(Path::is_dir);
    if is_workspace && fs::read_to_string(path).ok().as_deref() != Some(header) {
        fs::write(path, header)?;
    }
    Ok(())
}

fn header(src: &Path, out: &Path) -> Result<String, Box<dyn Error>> {
    let lib = fs::read_to_string(src.join("lib.rs"))?;
    let mut header = preamble(&lib);
    header.push_str(TOP);
    let mut chapter = 0;
    for module in CHAPTERS {
        let text = fs::read_to_string(src.join(format!("{module}.rs")))?;
        for piece in pieces(&text) {
            chapter += usize::from(piece.title.is_some());
            header.push_str(&piece.head(chapter));
            header.push_str(&translate(&piece.code, out)?);
        }
    }
    header.push_str(BOTTOM);
    Ok(header)
}

/// The text that lib.rs begins with.
fn preamble(lib: &str) -> String {
    let lines = lib.lines().map_while(|line| line.strip_prefix("//!"));
    let mut text = String::from("/*\n");
    for line in lines {
        let _never = writeln!(text, " *{line}");
    }
    text + " */\n"
}

/// A part of a module: what its marks say, and the code up to the next mark.
#[derive(Default)]
struct Piece {
    title: Option<String>,
    section: Vec<String>,
    verbatim: Vec<String>,
    code: String,
}

impl Piece {
    fn head(&self, chapter: usize) -> String {
        let mut head = String::new();
        if let Some(title) = &self.title {
            let line = format!("/* ---- {chapter}. {title} ");
            head += &format!("\n{line:-<97} */\n");
        }
        if let Some((last, lines)) = self.section.split_last() {
            let lines: String = lines.iter().map(|line| format!("{line}\n   ")).collect();
            head += &format!("\n/* {lines}{last} */\n");
        }
        if !self.verbatim.is_empty() {
            head += &format!("\n{}\n", self.verbatim.join("\n"));
        }
        head
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for line in text.lines() {
        let marks = ["// Chapter: ", "// Section: ", "// Verbatim: "];
        let mark = marks.map(|mark| line.strip_prefix(mark).map(str::to_owned));
        if mark.iter().any(Option::is_some) && pieces.last().is_none_or(Piece::has_code) {
            pieces.push(Piece::default());
        }
        let Some(piece) = pieces.last_mut() else { continue };
        match mark {
            [Some(title), ..] => piece.title = Some(title),
            [_, Some(line), _] => piece.section.push(line),
            [.., Some(line)] => piece.verbatim.push(line),
            _ => piece.code += &format!("{line}\n"),
        }
    }
    pieces
}

impl Piece {
    fn has_code(&self) -> bool {
        !self.code.trim().is_empty()
    }
}

/// What cbindgen makes of a piece.
fn translate(code: &str, out: &Path) -> Result<String, Box<dyn Error>> {
    let code = code.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let file = out.join("piece.rs");
    fs::write(&file, code)?;
    let mut config = cbindgen::Config::from_file("cbindgen.toml")?;
    config.export.include = types(code);
    let mut bytes = Vec::new();
    cbindgen::Builder::new().with_config(config).with_src(&file).generate()?.write(&mut bytes);
    let text = layout(&String::from_utf8(bytes)?);
    Ok(if text.is_empty() { text } else { format!("\n{text}") })
}

/// All public types, used in this piece or not.
fn types(code: &str) -> Vec<String> {
    let name = |line: &str| {
        let rest = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub type "))?;
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned)
    };
    code.lines().filter_map(name).collect()
}

/// What cbindgen writes, as a person would: constants close together, types by their typedefs (it
/// sees one piece, and so not every type), arguments wrapped where the line ends.
fn layout(text: &str) -> String {
    let lines: Vec<String> = text.trim().lines().map(plain).collect();
    let mut laid_out = String::new();
    let mut rest = lines.as_slice();
    while let Some((line, behind)) = rest.split_first() {
        rest = behind;
        if line.is_empty() && is_between_constants(&laid_out, rest) {
            continue;
        }
        if opens(line) {
            let end = rest.iter().position(|line| line.ends_with(';')).map_or(0, |at| at + 1);
            laid_out += &wrapped(line, &rest[..end]);
            rest = &rest[end..];
            continue;
        }
        laid_out += &format!("{line}\n");
    }
    laid_out
}

fn plain(line: &str) -> String {
    if let Some((name, value)) = line.strip_prefix("#define ").and_then(|c| c.split_once(" -")) {
        return format!("#define {name} (-{value})");
    }
    match line.starts_with("typedef struct") {
        true => line.to_owned(),
        false => line.replace("struct quorate_", "quorate_"),
    }
}

fn is_between_constants(before: &str, behind: &[String]) -> bool {
    let is_constant = |line: &str| line.starts_with("#define");
    let next = behind.iter().find(|line| !line.starts_with("///"));
    before.lines().last().is_some_and(is_constant) && next.is_some_and(|line| is_constant(line))
}

/// Whether a declaration goes on in the next line.
fn opens(line: &str) -> bool {
    !line.trim_start().starts_with("//") && line.matches('(').count() > line.matches(')').count()
}

fn wrapped(first: &str, rest: &[String]) -> String {
    let (head, argument) = first.split_at(first.rfind('(').map_or(0, |at| at + 1));
    let arguments = [argument].into_iter().chain(rest.iter().map(|line| line.trim()));
    let mut text = head.to_owned();
    let mut column = head.len();
    for argument in arguments {
        let is_first = text.len() == head.len();
        if !is_first && column + 1 + argument.len() > 100 {
            text += &format!("\n{}", " ".repeat(head.len()));
            column = head.len();
        } else if !is_first {
            text.push(' ');
            column += 1;
        }
        text += argument;
        column += argument.len();
    }
    text + "\n"
}
