//! A node that is attacked: a process of its own, so that its memory and descriptors are its own too. It
//! is told what to do by lines on its input, writes all the time once it is told to, and keeps the frames
//! that it sent, which the attacker plays again.

use quorate_engine::change::NewEntry;
use quorate_engine::consensus::types::NodeId;
use quorate_engine::error::Error;
use quorate_engine::service::{Parts, Service};
use quorate_engine::settings::Settings;
use quorate_engine::state_machine::{Committed, StateMachine};
use quorate_engine::transport::tcp::{Tcp, TcpOptions};
use quorate_engine::transport::{LocalIdentity, Sink, Transport, wire};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const DIR: &str = "QUORATE_ATTACKED";
const LONG: Option<Duration> = Some(Duration::from_secs(60));
/// Between two writes of a node, so that the log does not fill the memory that is watched.
const PAUSE: Duration = Duration::from_millis(5);
/// Bytes of frames that are kept.
const KEPT: usize = 256 << 10;

/// The built-in network, and a file with the first frames that it sent.
struct Recorder {
    tcp: Tcp,
    file: File,
    room: usize,
}

impl Transport for Recorder {
    fn start(&mut self, identity: Arc<LocalIdentity>, sink: Sink) -> Result<Option<String>, Error> {
        self.tcp.start(identity, sink)
    }

    fn send(&mut self, to: NodeId, address: Option<&str>, frame: wire::Frame) {
        if frame.len() <= self.room {
            self.room -= frame.len();
            let _full = self.file.write_all(&frame.to_bytes());
        }
        self.tcp.send(to, address, frame);
    }

    fn stop(&mut self) {
        self.tcp.stop();
    }
}

/// Remembers nothing: what grows is not the host's.
struct Forgetful;

impl StateMachine for Forgetful {
    fn commit(&mut self, _: &[Committed], _: &mut Vec<Option<bytes::Bytes>>) -> Result<(), String> {
        Ok(())
    }
}

fn start(dir: &Path) -> Service {
    let mut settings = Settings::new();
    let data = dir.join("data");
    for (key, value) in [
        ("data_dir", data.to_str().expect("it is UTF-8")),
        ("listen", "127.0.0.1:0"),
        ("election_timeout", "2s"),
        ("segment_bytes", "1MiB"),
    ] {
        settings.set(key, value).expect("it is known");
    }
    let options = TcpOptions { listen: "127.0.0.1:0".to_owned(), ..TcpOptions::default() };
    let file = File::create(frames_of(dir)).expect("a file");
    let transport = Recorder { tcp: Tcp::new(options), file, room: KEPT };
    let parts = Parts { transport: Some(Box::new(transport)), ..Parts::default() };
    Service::start_with(settings, Box::new(Forgetful), parts).expect("it starts")
}

/// Where a node keeps the frames that it sent.
pub fn frames_of(dir: &Path) -> PathBuf {
    dir.join("frames")
}

#[derive(Default)]
struct Written {
    done: AtomicU64,
    failed: AtomicU64,
}

fn write_for_ever(service: Arc<Service>, written: Arc<Written>) {
    loop {
        match service.propose_wait(NewEntry::new(&[7; 64]), LONG) {
            Ok(_) => written.done.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                eprintln!("a write failed: {error:?}");
                written.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
        thread::sleep(PAUSE);
    }
}

#[test]
#[ignore = "what the processes of the attack do until they are killed"]
fn one_node() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let service = Arc::new(start(Path::new(&dir)));
    let written = Arc::new(Written::default());
    println!("\nanswer {}", service.address().expect("it listens"));
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let result = match line.split_once(' ').unwrap_or((&line, "")) {
            ("found", _) => service.initialize_cluster(service.address().unwrap_or_default(), LONG),
            ("add", address) => service.add_node(address, LONG),
            ("write", _) => {
                let (service, written) = (service.clone(), written.clone());
                thread::spawn(|| write_for_ever(service, written));
                Ok(())
            }
            _ => Ok(()),
        };
        let info = service.info();
        let (done, failed) = (&written.done, &written.failed);
        println!(
            "\nanswer {} {} {} {} {} {} {}",
            u8::from(result.is_ok()),
            info.my_id.0,
            info.cluster_id.0,
            info.leader_id.0,
            info.current_term.0,
            done.load(Ordering::Relaxed),
            failed.load(Ordering::Relaxed),
        );
        result.unwrap_or_else(|error| eprintln!("{line}: {error:?}"));
    }
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Told {
    pub ok: bool,
    pub id: u64,
    pub cluster: u64,
    pub leader: u64,
    pub term: u64,
    pub done: u64,
    pub failed: u64,
}

/// The process of a node, seen from outside. Killed when dropped.
pub struct Node {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub address: String,
    pub dir: PathBuf,
}

impl Node {
    pub fn new(dir: PathBuf) -> Node {
        std::fs::create_dir_all(&dir).expect("a directory");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "--ignored", "attack::node::one_node", "--nocapture"])
            .env(DIR, &dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut node = Node { child, input, output, address: String::new(), dir };
        node.address = node.answer();
        node
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.output.read_line(&mut line).expect("it can be read");
            assert!(read > 0, "the attacked process is dead");
            if let Some(answer) = line.strip_prefix("answer ") {
                return answer.trim().to_owned();
            }
        }
    }

    pub fn tell(&mut self, command: &str) -> Told {
        writeln!(self.input, "{command}").expect("the attacked process lives");
        let answer = self.answer();
        let mut numbers = answer.split(' ').map(|n| n.parse::<u64>().expect("a number"));
        let mut next = || numbers.next().expect("seven numbers");
        let ok = next() == 1;
        let (id, cluster, leader, term) = (next(), next(), next(), next());
        Told { ok, id, cluster, leader, term, done: next(), failed: next() }
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("it lives");
        let line =
            text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
        kib << 10
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(path).expect("it lives").count()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _dead = self.child.kill();
        let _status = self.child.wait();
    }
}
