//! Prints random histories of registers as JSON lines, each with what the checker says of it, for another
//! checker to judge. usage: histories COUNT

use quorate_tests::linear::generate::{History, Shape, history};
use quorate_tests::linear::register::{Action, Input, Output, Register};
use quorate_tests::linear::{Operation, check};
use std::io::{self, BufWriter, Write};

fn quoted(text: Option<&str>) -> String {
    text.map_or("null".into(), |text| format!("\"{text}\""))
}

fn line(operation: &Operation<Input, Output>) -> String {
    let (action, expected, value) = match &operation.input.action {
        Action::Get => ("get", None, None),
        Action::Put(value) => ("put", None, Some(value)),
        Action::Append(value) => ("append", None, Some(value)),
        Action::CompareAndSet { expected, value } => ("cas", expected.as_deref(), Some(value)),
    };
    let read = match &operation.output {
        Some(Output::Value(value)) => value.as_deref(),
        _ => None,
    };
    format!(
        "{{\"client\":{},\"called\":{},\"returned\":{},\"key\":\"{}\",\"action\":\"{action}\",\"expected\":{},\
         \"value\":{},\"read\":{},\"swapped\":{}}}",
        operation.client,
        operation.called,
        operation.returned.map_or("null".into(), |at| at.to_string()),
        operation.input.key,
        quoted(expected),
        quoted(value.map(|value| &**value)),
        quoted(read),
        operation.output == Some(Output::Swapped(true)),
    )
}

/// Some of many clients and some of few; half of them with a few operations altered.
fn shape(n: u64) -> Shape {
    Shape {
        operations: 20 + (n % 9 * 15) as usize,
        clients: 2 + n % 7,
        keys: 1 + n % 3,
        values: 4 + n % 5 * 40,
        unknown: n % 3 * 2,
        altered: n % 2 * 2,
    }
}

fn main() -> io::Result<()> {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(3000);
    let mut out = BufWriter::new(io::stdout().lock());
    for n in 0..count {
        let history: History = history(shape(n), 1_000_000 + n);
        let operations: Vec<String> = history.iter().map(line).collect();
        let linearizable = check(&Register::default(), &history).is_ok();
        writeln!(
            out,
            "{{\"linearizable\":{linearizable},\"operations\":[{}]}}",
            operations.join(",")
        )?;
    }
    out.flush()
}
