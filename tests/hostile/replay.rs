//! The corpora of the fuzz targets, played as they are and changed at random with fixed seeds. An input
//! that finds something is written to a file, and the command that plays it is told.

use quorate_tests::fuzz::mutate::Mutator;
use quorate_tests::fuzz::{self, Target, pack};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Nothing that an input asks for takes longer, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// Plays one input.
fn play(target: &Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        panic!("{}", found(target, input));
    }
}

/// Keeps an input, and says how to play it again.
fn found(target: &Target, input: &[u8]) -> String {
    let file = std::env::temp_dir().join(format!("quorate-{}-found", target.name));
    std::fs::write(&file, input).expect("the file can be written");
    format!(
        "{} found something in {} bytes; play it again with\n  HOSTILE={}:{} cargo test -p \
         quorate-tests --test hostile one_input -- --nocapture",
        target.name,
        input.len(),
        target.name,
        file.display()
    )
}

/// Plays inputs one after the other, and ends the process where one of them hangs.
fn play_all(target: &Target, inputs: impl Iterator<Item = Vec<u8>>) {
    let (begun, watched) = channel::<Vec<u8>>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut last = Vec::new();
            loop {
                match watched.recv_timeout(PATIENCE) {
                    Ok(input) => last = input,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        eprintln!("it hangs: {}", found(target, &last));
                        std::process::abort();
                    }
                }
            }
        });
        let begun = begun;
        for input in inputs {
            begun.send(input.clone()).expect("it is watched");
            play(target, &input);
        }
    });
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let kept = pack::read(&pack::path(target.name)).expect("a pack");
    assert!(!kept.is_empty(), "{} has no corpus: see make fuzz", target.name);
    kept.into_iter().chain((target.seeds)()).collect()
}

/// Shares the targets among as many threads as there are processors.
fn on_all(work: impl Fn(&Target) + Sync) {
    let _alone = crate::alone();
    let targets = fuzz::all();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(target) =
                    targets.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    work(target);
                }
            });
        }
    });
}

#[test]
fn every_kept_input_is_survived() {
    on_all(|target| play_all(target, corpus(target).into_iter()));
}

#[test]
fn inputs_changed_at_random_are_survived() {
    on_all(|target| {
        let corpus = corpus(target);
        let mut mutator = Mutator::new(&corpus, target.words, 7);
        play_all(target, (0..target.share).map(|_| mutator.next_input()));
    });
}

/// What was played once took what is kept for ever; the same again must leave nothing behind.
#[test]
fn scripts_of_calls_leave_no_memory_behind() {
    let _alone = crate::alone();
    let target = fuzz::find("calls").expect("a target");
    let corpus = corpus(&target);
    let rounds = [0; 3].map(|_| {
        play_all(&target, corpus.iter().cloned());
        fuzz::meter::living()
    });
    let grown = rounds[2] - rounds[1];
    assert!(grown < 64 * corpus.len() as isize, "{grown} bytes in {} scripts", corpus.len());
}

#[test]
fn one_input() {
    let Ok(given) = std::env::var("HOSTILE") else { return };
    let (name, file) = given.split_once(':').expect("HOSTILE=target:file");
    let target = fuzz::find(name).expect("a target");
    (target.run)(&std::fs::read(PathBuf::from(file)).expect("a file"));
}

/// A target that could not fail would be worth nothing.
#[test]
fn memory_out_of_proportion_is_noticed() {
    let greedy = || fuzz::meter::within(1000, || vec![0u8; 2000].len());
    assert!(catch_unwind(greedy).is_err());
    assert_eq!(fuzz::meter::within(3000, || vec![0u8; 2000].len()), 2000);
}

#[test]
fn a_checksum_is_put_right_and_makes_a_damaged_frame_whole() {
    for mut frame in fuzz::wire::frames() {
        frame[5] ^= 0x40;
        quorate_engine::transport::wire::decode(frame.clone().into()).expect_err("it is damaged");
        fuzz::repair::frame(&mut frame);
        quorate_engine::transport::wire::decode(frame.into()).expect("it is whole again");
    }
}

/// Found by the target `payload`: a length in front of a list is a claim, not a reason to reserve.
#[test]
fn a_membership_that_claims_a_million_voters_takes_no_memory_for_them() {
    let mut claim = vec![0; 32 + 8 + 24];
    claim[..4].copy_from_slice(&(-1i32).to_le_bytes());
    claim[32..40].copy_from_slice(&[1, 0, 1, 0, 24, 0, 0, 0]);
    claim[56..60].copy_from_slice(&1_000_000u32.to_le_bytes());
    let crc = crc32c::crc32c(&claim);
    let read = || quorate_engine::codec::decode_payload(claim.into(), crc);
    assert_eq!(fuzz::meter::within(4096, read), None);
}

/// Found by the target `segment`: what a segment says of its own size is a claim, and so is the length in
/// front of a frame.
#[test]
fn a_segment_that_claims_a_terabyte_takes_no_memory_for_it() {
    let flags = 0x28; // the last segment; its header has a checksum that fits
    let capacity = [&[1, 40, 0][..], &(1u64 << 40).to_le_bytes()].concat();
    let input = [&[flags, 0][..], &capacity, &[0x2a; 64]].concat();
    play(&fuzz::find("segment").expect("a target"), &input);
}

/// `make fuzz` begins and ends here: unpacks the corpora into folders, or packs what is in them.
#[test]
fn corpora() {
    let (Ok(work), Ok(folder)) = (std::env::var("CORPUS"), std::env::var("CORPUS_DIR")) else {
        return;
    };
    for target in fuzz::all() {
        let (path, dir) = (pack::path(target.name), PathBuf::from(&folder).join(target.name));
        std::fs::create_dir_all(&dir).expect("a folder");
        if work == "unpack" {
            let kept = pack::read(&path).expect("a pack").into_iter().chain((target.seeds)());
            for (number, input) in kept.enumerate() {
                std::fs::write(dir.join(format!("kept-{number:05}")), input).expect("written");
            }
        } else {
            let files = std::fs::read_dir(&dir).expect("a folder").flatten();
            let inputs = files.map(|file| std::fs::read(file.path()).expect("a file")).collect();
            pack::write(&path, inputs).expect("written");
        }
    }
}
