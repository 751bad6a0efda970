//! One run of the store: how it begins, and how what is pending gets into frames, segments and state.
//!
//! The order of steps is what makes every crash between two of them harmless; each is commented where
//! it matters.

use super::found::{Found, Tail};
use super::prepare::Preparer;
use super::salvage::set_aside;
use super::segment::{FIRST_FRAME, Plan, Ready, Segment};
use super::writer::Writer;
use super::{Context, Opened, Stage};
use crate::codec::STATE_BYTES;
use crate::storage::directory::Paths;
use crate::storage::directory::state_file::{End, State};
use crate::storage::fs::{Access, Fs};
use crate::storage::{StorageError, StorageErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What writes.
pub(super) struct Run {
    writer: Writer,
    preparer: Preparer,
}

impl Run {
    pub fn room(&self) -> u64 {
        self.writer.room()
    }

    pub fn has_room(&self) -> bool {
        self.preparer.has_room()
    }
}

impl Opened {
    /// The run, begun with the state that was found if nobody gave a new one.
    pub(super) fn run(&mut self, context: &Context<'_>) -> Result<(), StorageError> {
        if let Stage::Running(_) = self.stage {
            return Ok(());
        }
        let Some(file) = &self.directory.state else {
            let message = "A new data directory must be given its state before anything else.";
            return Err(StorageError::new(StorageErrorKind::Misuse, message));
        };
        let engine = file.state().engine;
        self.begin(context, engine)
    }

    /// Begins the run: makes `engine` durable, and a new segment whose link pins the end that was found.
    pub(super) fn begin(
        &mut self,
        context: &Context<'_>,
        engine: [u8; STATE_BYTES],
    ) -> Result<(), StorageError> {
        let Stage::Found(found) = &mut self.stage else { return Ok(()) };
        let mut found = std::mem::take(found);
        let fs = context.fs.as_ref();
        self.make_files(fs, context.paths, engine)?;
        let mut preparer = preparer(context, &mut found, State::new(engine).directory())?;
        let ready = preparer.take(0)?;
        // A segment left over from an earlier run may have its name in memory alone.
        let wal = &context.paths.log;
        fs.sync_dir(wal).map_err(|e| StorageError::io("sync", wal, &e))?;
        let tail = found.tail.take();
        let birth = self.directory.birth;
        let number = ready.segment.number;
        let base = *self.log.read().index.bounds();
        self.write_state_file(|state| {
            state.engine = engine;
            (state.base, state.base_term, state.birth) = (base.base, base.base_term, birth);
            if !mutant!("g13_first_segment_is_unknown") {
                state.newest = number;
            }
            match &tail {
                Some(tail) => state.end = end_of(tail),
                None => (state.oldest, state.end) = (number, End::default()),
            }
        })?;
        // Only now may a frame be written there; until it is durable, the end found stays the end.
        let link = tail.as_ref().map(Tail::link).unwrap_or_default();
        let writer = Writer::new(ready, link);
        self.stage = Stage::Running(Box::new(Run { writer, preparer }));
        self.write_frame()?;
        // Now the end is pinned, and what is behind it is nobody's.
        set_aside(fs, wal, &found)?;
        tidy(fs, wal, tail, &found)?;
        self.running()?.preparer.start()
    }

    /// In a new directory: first the state, then the log, so that a log without state means loss.
    fn make_files(
        &mut self,
        fs: &dyn Fs,
        paths: &Paths,
        engine: [u8; STATE_BYTES],
    ) -> Result<(), StorageError> {
        self.directory.make(fs, paths, engine)?;
        fs.make_dir(&paths.log).map_err(|e| StorageError::io("make", &paths.log, &e))
    }

    fn running(&mut self) -> Result<&mut Run, StorageError> {
        match &mut self.stage {
            Stage::Running(run) => Ok(run),
            Stage::Found(_) => Err(StorageError::new(StorageErrorKind::Misuse, "no run has begun")),
        }
    }

    /// Changes the state, durably.
    pub(super) fn write_state(
        &mut self,
        change: impl FnOnce(&mut State),
    ) -> Result<(), StorageError> {
        let base = *self.log.read().index.bounds();
        let end = end_of(&self.running()?.writer.tail());
        self.write_state_file(|state| {
            (state.base, state.base_term, state.end) = (base.base, base.base_term, end);
            change(state);
        })
    }

    fn write_state_file(&mut self, change: impl FnOnce(&mut State)) -> Result<(), StorageError> {
        let Some(file) = &mut self.directory.state else { return Ok(()) };
        let mut state = *file.state();
        change(&mut state);
        let written = file.write(state);
        written.map_err(|e| StorageError::io("write", file.path(), &e))
    }

    /// Makes everything pending durable.
    pub(super) fn sync(&mut self, context: &Context<'_>) -> Result<(), StorageError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.flush(context)
    }

    /// Before the state says that the run was closed: the last hint saves the next start some waiting.
    pub(super) fn close(&mut self, context: &Context<'_>) -> Result<(), StorageError> {
        if self.pending.is_empty() && self.pending.hint.is_none() {
            return Ok(());
        }
        self.flush(context)
    }

    /// Writes one frame, in a new segment if there is no room in this one.
    pub(super) fn flush(&mut self, context: &Context<'_>) -> Result<(), StorageError> {
        let bytes = self.pending.frame_len();
        let run = self.running()?;
        if let Some(failure) = run.preparer.failure() {
            return Err(failure);
        }
        let rolls = bytes > run.room();
        if rolls {
            self.roll(bytes)?;
        }
        let compacted = self.pending.compact.is_some();
        self.write_frame()?;
        if rolls && mutant!("g13_newest_segment_is_raised_late") {
            let number = self.running()?.writer.segment().number;
            self.write_state(|state| state.newest = number)?;
        }
        if compacted { self.drop_segments(context) } else { Ok(()) }
    }

    /// Goes on in the next segment. The state must know it before it is written.
    fn roll(&mut self, bytes: u64) -> Result<(), StorageError> {
        let run = self.running()?;
        let link = run.writer.tail().link();
        let ready: Ready = run.preparer.take(bytes)?;
        let number = ready.segment.number;
        if !mutant!("g13_newest_segment_is_raised_late") {
            self.write_state(|state| state.newest = number)?;
        }
        self.running()?.writer = Writer::new(ready, link);
        Ok(())
    }

    fn write_frame(&mut self) -> Result<(), StorageError> {
        let Stage::Running(run) = &mut self.stage else { return Ok(()) };
        let segment = Arc::clone(run.writer.segment());
        let offset = run.writer.write(&self.pending);
        let offset = offset.map_err(|e| StorageError::io("write", &segment.path, &e))?;
        self.index(segment, offset);
        self.hint = self.pending.hint.unwrap_or(self.hint);
        self.pending.clear();
        Ok(())
    }

    /// Takes the frame that was written into the index: the same steps as in recovery.
    fn index(&mut self, segment: Arc<Segment>, offset: u64) {
        let mut log = self.log.write();
        if let Some(keep_to) = self.pending.cut {
            log.index.cut(keep_to);
        }
        if let Some((last, term)) = self.pending.compact {
            log.index.compact(last, term);
        }
        let number = segment.number as u32;
        for run in self.pending.runs() {
            let place = (run[0].index, run[0].term, run.len() as u32);
            let follows = log.index.extend(place, number, offset as u32);
            debug_assert!(follows, "append checked that");
        }
        log.segments.insert(segment.number, segment);
    }

    /// Removes the segments that hold no entry of the log any more, oldest first.
    fn drop_segments(&mut self, context: &Context<'_>) -> Result<(), StorageError> {
        let written = self.running()?.writer.segment().number;
        let oldest = self.log.read().index.oldest_segment().map_or(written, u64::from);
        let oldest = oldest + u64::from(mutant!("g10_live_segment_goes") && oldest < written);
        let Some(file) = &self.directory.state else { return Ok(()) };
        if oldest <= file.state().oldest {
            return Ok(());
        }
        if !mutant!("g10_files_go_before_the_state") {
            self.write_state(|state| state.oldest = oldest)?;
        }
        let mut log = self.log.write();
        let kept = log.segments.split_off(&oldest);
        let gone = std::mem::replace(&mut log.segments, kept);
        drop(log);
        self.recycle(context, gone.into_values().collect())
    }

    /// Hands old files to the preparer, but for those that a reader holds, and removes the rest.
    fn recycle(
        &mut self,
        context: &Context<'_>,
        gone: Vec<Arc<Segment>>,
    ) -> Result<(), StorageError> {
        let (fs, wal) = (context.fs.as_ref(), &context.paths.log);
        let preparer = &self.running()?.preparer;
        let (mut spares, mut rest) = (Vec::new(), Vec::new());
        for segment in gone {
            let usable = Arc::strong_count(&segment) == 1 && is_whole(fs, &segment, preparer);
            if usable { &mut spares } else { &mut rest }.push(segment.path.clone());
        }
        preparer.recycle(&mut spares);
        rest.append(&mut spares);
        remove(fs, wal, &rest)
    }
}

/// Whether a file is as long as the segments that are made now.
fn is_whole(fs: &dyn Fs, segment: &Segment, preparer: &Preparer) -> bool {
    let len = fs.open(&segment.path, Access::Read).and_then(|file| file.len());
    segment.capacity == preparer.capacity() && len.is_ok_and(|len| len == segment.capacity)
}

/// Takes over the segments that were prepared and never begun, if they are of the right size.
fn preparer(
    context: &Context<'_>,
    found: &mut Found,
    directory: u64,
) -> Result<Preparer, StorageError> {
    let capacity = context.options.segment_bytes.max(16 << 10).next_multiple_of(4096);
    let mut ready = Vec::new();
    for segment in std::mem::take(&mut found.ready) {
        if segment.capacity != capacity || ready.len() == super::prepare::RESERVE {
            found.leftovers.push(segment.path);
            continue;
        }
        let file = context.fs.open(&segment.path, Access::Write);
        let file = file.map_err(|e| StorageError::io("open", &segment.path, &e))?;
        ready.push(Ready { segment, file, written: FIRST_FRAME });
    }
    let plan = Plan { number: found.highest, directory, capacity };
    Ok(Preparer::new(Arc::clone(context.fs), context.paths.log.clone(), plan, ready))
}

fn end_of(tail: &Tail) -> End {
    End { segment: tail.segment.number, offset: tail.end, seq: tail.seq }
}

/// Cuts the segment of the last run to its end and removes what belongs to nothing.
fn tidy(fs: &dyn Fs, wal: &Path, tail: Option<Tail>, found: &Found) -> Result<(), StorageError> {
    if let Some(tail) = tail {
        let path = &tail.segment.path;
        let cut = fs.open(path, Access::Write).and_then(|file| file.truncate(tail.end));
        cut.map_err(|e| StorageError::io("cut", path, &e))?;
    }
    let blank = found.blank.iter().map(|segment| segment.path.clone());
    let gone: Vec<PathBuf> = blank.chain(found.leftovers.iter().cloned()).collect();
    remove(fs, wal, &gone)
}

fn remove(fs: &dyn Fs, wal: &Path, gone: &[PathBuf]) -> Result<(), StorageError> {
    for path in gone {
        fs.remove(path).map_err(|e| StorageError::io("remove", path, &e))?;
    }
    if gone.is_empty() {
        return Ok(());
    }
    fs.sync_dir(wal).map_err(|e| StorageError::io("sync", wal, &e))
}
