//! The port for log lines: what people may want to read when they look for what happened. Each service
//! has its own; without one nothing is written anywhere. Nothing depends on it.

use crate::consensus::types::NodeId;
use crate::driver::clock;
use crate::os;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much a line matters. The numbers are those of the C interface.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(i32)]
pub enum Level {
    /// The service can't go on.
    Error = 1,
    /// Something is wrong, and somebody should look at it.
    Warn = 2,
    /// What an operator wants to know: starts, leaders, members.
    Info = 3,
    /// What helps to find a fault.
    Debug = 4,
}

impl Level {
    /// The level with that number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Level> {
        [Level::Error, Level::Warn, Level::Info, Level::Debug]
            .into_iter()
            .find(|level| *level as i32 == number)
    }
}

/// A line of one service's log.
#[derive(Debug)]
pub struct Line<'a> {
    /// How much it matters.
    pub level: Level,
    /// The node; 0 before it is known.
    pub node: NodeId,
    /// Nanoseconds since 1970 UTC.
    pub timestamp_ns: i64,
    /// What part of the library wrote it, such as `quorate::store`.
    pub target: &'static str,
    /// The source file.
    pub file: &'static str,
    /// The line in it.
    pub line: u32,
    /// A sentence.
    pub message: &'a str,
}

/// Takes lines. From any of the library's threads, several at a time; a slow one delays them.
pub trait Logger: Send + Sync {
    /// Takes a line.
    fn write(&self, line: &Line<'_>);
}

/// One service's log. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Log {
    to: Option<(Level, Arc<dyn Logger>)>,
    node: Arc<AtomicU64>,
}

impl Log {
    /// Writes lines of `level` and what matters more to `logger`.
    pub(crate) fn new(level: Level, logger: Arc<dyn Logger>) -> Log {
        Log { to: Some((level, logger)), node: Arc::default() }
    }

    /// From now on it is known which node writes.
    pub(crate) fn name(&self, node: NodeId) {
        self.node.store(node.0, Ordering::Relaxed);
    }

    /// Writes a line if somebody wants it.
    #[track_caller]
    pub(crate) fn line(&self, level: Level, target: &'static str, message: fmt::Arguments<'_>) {
        let Some((most, logger)) = &self.to else { return };
        if level > *most {
            return;
        }
        let from = Location::caller();
        let line = Line {
            level,
            node: NodeId(self.node.load(Ordering::Relaxed)),
            timestamp_ns: clock::time_of_day_ns(),
            target,
            file: from.file(),
            line: from.line(),
            message: &message.to_string(),
        };
        let _ = os::callback(|| logger.write(&line)); // a panic loses its line, and nothing else
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Kept(Mutex<Vec<(Level, u64, String)>>);

    impl Logger for Kept {
        fn write(&self, line: &Line<'_>) {
            assert!(line.file.ends_with("logger.rs") && line.line > 0 && line.timestamp_ns > 0);
            let kept = (line.level, line.node.0, line.message.to_owned());
            self.0.lock().expect("no panic").push(kept);
        }
    }

    #[test]
    fn lines_below_the_level_are_left_out() {
        let kept = Arc::new(Kept::default());
        let log = Log::new(Level::Warn, kept.clone());
        log.line(Level::Warn, "quorate::test", format_args!("one"));
        log.name(NodeId(7));
        log.line(Level::Info, "quorate::test", format_args!("two"));
        log.line(Level::Error, "quorate::test", format_args!("three"));
        let kept = kept.0.lock().expect("no panic");
        let wanted = [(Level::Warn, 0, "one".to_owned()), (Level::Error, 7, "three".to_owned())];
        assert_eq!(*kept, wanted);
        Log::default().line(Level::Error, "quorate::test", format_args!("nobody hears it"));
    }

    #[test]
    fn levels_have_their_numbers() {
        assert_eq!(Level::from_number(3), Some(Level::Info));
        assert_eq!(Level::from_number(0), None);
        assert_eq!(Level::from_number(5), None);
    }
}
