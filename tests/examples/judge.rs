//! Judges a history of registers that real clients wrote. usage: judge FILE
//!
//! A line is an operation, its fields separated by tabs: client, called, returned (- if the outcome is unknown),
//! put or get, key, value (- for a get that found nothing).

use quorate_tests::linear::register::{Action, Input, Output, Register};
use quorate_tests::linear::{Operation, check};
use std::process::ExitCode;
use std::time::Instant;

fn operation(line: &str) -> Option<Operation<Input, Output>> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [client, called, returned, verb, key, value] = fields[..] else { return None };
    let (action, output) = match verb {
        "put" => (Action::Put(value.into()), Output::Done),
        "get" => (Action::Get, Output::Value((value != "-").then(|| value.into()))),
        _ => return None,
    };
    let returned = if returned == "-" { None } else { Some(returned.parse().ok()?) };
    Some(Operation {
        client: client.parse().ok()?,
        called: called.parse().ok()?,
        returned,
        input: Input { key: key.into(), action },
        output: returned.map(|_| output),
    })
}

fn read(path: &str) -> Result<Vec<Operation<Input, Output>>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let lines = text.lines().enumerate();
    lines.map(|(n, line)| operation(line).ok_or(format!("{path}:{}: {line:?}", n + 1))).collect()
}

fn judge(path: &str) -> Result<String, String> {
    let history = read(path)?;
    let started = Instant::now();
    check(&Register::default(), &history).map_err(|violation| violation.to_string())?;
    let unknown = history.iter().filter(|operation| operation.returned.is_none()).count();
    Ok(format!(
        "linearizable: {} operations, {unknown} of them with an unknown outcome, judged in {:?}",
        history.len(),
        started.elapsed()
    ))
}

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: judge FILE");
        return ExitCode::from(2);
    };
    match judge(&path) {
        Ok(said) => println!("{said}"),
        Err(said) => {
            eprintln!("{said}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
