//! The corpus of a target as one file, `(len u32, bytes)` again and again, shortest first: a few hundred
//! small inputs in a form that does not litter the repository.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Longer inputs are not kept.
pub const LONGEST: usize = 4 << 10;

/// Where the corpus of a target stands.
#[must_use]
pub fn path(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(format!("{target}.pack"))
}

/// The inputs in a pack; none when there is no such file.
///
/// # Errors
/// The file can't be read, or is no pack.
pub fn read(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes?,
    };
    let mut rest = &bytes[..];
    let mut inputs = Vec::new();
    while !rest.is_empty() {
        inputs.push(take(&mut rest).ok_or(io::ErrorKind::InvalidData)?.to_vec());
    }
    Ok(inputs)
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, tail) = rest.split_first_chunk()?;
    let (input, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *rest = tail;
    Some(input)
}

/// Writes a pack: each input once, in an order that does not depend on where they come from.
///
/// # Errors
/// The file can't be written.
pub fn write(path: &Path, mut inputs: Vec<Vec<u8>>) -> io::Result<()> {
    inputs.retain(|input| input.len() <= LONGEST && !has_conflict_marker(input));
    inputs.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    inputs.dedup();
    let mut bytes = Vec::new();
    for input in &inputs {
        bytes.extend_from_slice(&(input.len() as u32).to_le_bytes());
        bytes.extend_from_slice(input);
    }
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(path, bytes)
}

/// Whether a tool would take it for a file with an unsolved conflict: at the beginning of a line, or of
/// what `grep` takes for one in a binary file.
fn has_conflict_marker(input: &[u8]) -> bool {
    let begins_line = |at: usize| at == 0 || matches!(input[at - 1], 0 | b'\n');
    let is_marker = |at: &[u8]| at == b"<<<<<<<" || at == b">>>>>>>";
    input.windows(7).enumerate().any(|(at, seven)| is_marker(seven) && begins_line(at))
}
