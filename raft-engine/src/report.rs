//! The report: everything about a service as one JSON object, and its metrics as Prometheus text.
//! Ids are text in base 36, because many readers of JSON lose digits of large numbers.

use crate::consensus::membership::Member;
use crate::consensus::types::Incarnation;
use crate::driver::view::{Counters, View};
use crate::settings::Settings;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is reported on.
pub(crate) struct Subject<'a> {
    /// The getters' values, and counters.
    pub view: &'a View,
    /// Requests and bytes under way.
    pub under_way: (usize, usize),
    /// This run.
    pub incarnation: Incarnation,
    /// As started.
    pub settings: &'a Settings,
}

/// Writes JSON: values one after the other, commas by themselves.
#[derive(Default)]
struct Json {
    text: String,
}

impl Json {
    fn text(&mut self, value: &str) {
        self.text.push('"');
        for c in value.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                c if c < ' ' => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(c)); // writing to text can't fail
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }

    fn raw(&mut self, value: impl std::fmt::Display) {
        let _ = write!(self.text, "{value}"); // writing to text can't fail
    }

    fn key(&mut self, key: &str) {
        if !self.text.ends_with(['{', '[']) {
            self.text.push(',');
        }
        self.text(key);
        self.text.push(':');
    }

    fn object(&mut self, body: impl FnOnce(&mut Json)) {
        self.text.push('{');
        body(self);
        self.text.push('}');
    }

    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut Json, T)) {
        self.text.push('[');
        for (at, value) in items.into_iter().enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            item(self, value);
        }
        self.text.push(']');
    }

    fn text_field(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text(value);
    }

    fn field(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        self.raw(value);
    }

    fn member(&mut self, member: &Member) {
        self.object(|json| {
            json.text_field("id", &member.id.to_string());
            json.text_field("address", &member.address);
        });
    }

    fn members(&mut self, key: &str, members: &[Member]) {
        self.key(key);
        self.list(members, Json::member);
    }
}

/// One JSON object.
pub(crate) fn json(subject: &Subject<'_>) -> String {
    let mut json = Json::default();
    json.object(|json| {
        json.text_field("version", env!("CARGO_PKG_VERSION"));
        node_fields(json, subject);
        membership_fields(json, subject);
        json.key("requests");
        json.object(|json| {
            json.field("under_way", subject.under_way.0);
            json.field("bytes", subject.under_way.1);
        });
        json.key("counters");
        json.object(|json| {
            for (name, _, counter) in counters(&subject.view.counters) {
                json.field(name, counter.load(Ordering::Relaxed));
            }
        });
        json.key("settings");
        json.object(|json| {
            for (key, value) in subject.settings.list() {
                json.text_field(key, &value);
            }
        });
    });
    json.text
}

fn node_fields(json: &mut Json, subject: &Subject<'_>) {
    let picture = subject.view.picture();
    let info = &picture.info;
    json.text_field("node", &info.my_id.to_string());
    json.field("incarnation", subject.incarnation.counter());
    json.text_field("state", &format!("{:?}", info.state));
    json.text_field("cluster", &info.cluster_id.to_string());
    json.text_field("leader", &info.leader_id.to_string());
    json.text_field("address", subject.view.address.get().map_or("", String::as_str));
    json.key("failure");
    match subject.view.failure() {
        None => json.raw("null"),
        Some(failure) => json.object(|json| {
            json.field("code", failure.kind.code());
            json.text_field("word", failure.kind.word());
            json.text_field("message", &failure.message);
        }),
    }
    json.field("term", info.current_term);
    json.field("first_index", info.first_index);
    json.field("last_index", info.last_index);
    json.field("last_term", info.last_term);
    json.field("durable_index", picture.durable);
    json.field("commit_index", info.commit_index);
    json.field("last_applied", info.last_applied);
    json.field("abstaining", picture.abstaining);
    json.key("damage");
    match &subject.view.damage {
        None => json.raw("null"),
        Some(damage) => json.text(damage),
    }
    json.key("unreachable");
    json.object(|json| {
        picture.troubles.iter().for_each(|(address, why)| json.text_field(address, why));
    });
    json.key("notices");
    json.list(&picture.notices, |json, notice| json.text(notice));
}

fn membership_fields(json: &mut Json, subject: &Subject<'_>) {
    let picture = subject.view.picture();
    let nodes = subject.view.node_config();
    json.key("membership");
    json.object(|json| {
        json.field("number", picture.membership.number);
        json.text_field("mode", &format!("{:?}", picture.info.membership_change_mode));
        json.members("current", &nodes.current);
        json.members("next", &nodes.next);
        json.members("learners", &nodes.learners);
    });
    json.key("peers");
    match picture.peers {
        None => json.raw("null"),
        Some(peers) => json.object(|json| {
            peers.iter().for_each(|(id, index)| json.field(&id.to_string(), index));
        }),
    }
}

/// Name, meaning, counter.
fn counters(counters: &Counters) -> [(&'static str, &'static str, &AtomicU64); 9] {
    let c = counters;
    [
        ("requests", "Requests that were taken.", &c.requests),
        ("refused_busy", "Requests that were refused for want of room.", &c.refused_busy),
        ("applied_entries", "Entries that the state machine was given.", &c.applied_entries),
        ("applied_batches", "Advances of the last applied index.", &c.applied_batches),
        ("messages_sent", "Messages sent to other nodes.", &c.messages_sent),
        ("messages_received", "Messages received from other nodes.", &c.messages_received),
        ("turns", "Turns of the protocol loop.", &c.turns),
        ("writes", "Writes handed to the store.", &c.writes),
        ("role_changes", "Changes of role, term or leader.", &c.role_changes),
    ]
}

/// Prometheus text, version 0.0.4.
pub(crate) fn prometheus(subject: &Subject<'_>) -> String {
    let picture = subject.view.picture();
    let info = &picture.info;
    let node = info.my_id;
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: u64| {
        // Writing to text can't fail.
        let _ = writeln!(text, "# HELP quorate_{name} {help}");
        let _ = writeln!(text, "# TYPE quorate_{name} {kind}");
        let _ = writeln!(text, "quorate_{name}{{node=\"{node}\"}} {value}");
    };
    let leads = u64::from(info.leader_id == node);
    let (requests, bytes) = subject.under_way;
    for (name, help, value) in [
        (
            "state",
            "0 follower, 1 candidate, 2 leader, 3 standalone, 4 stopping, 5 stopped, 6 failed.",
            info.state as u64,
        ),
        ("is_leader", "Whether this node leads.", leads),
        ("has_leader", "Whether a leader is known.", u64::from(!info.leader_id.is_zero())),
        ("term", "The term.", info.current_term.0),
        ("last_index", "The end of the log.", info.last_index.0),
        ("durable_index", "The end of what is durable.", picture.durable.0),
        ("commit_index", "The last committed entry.", info.commit_index.0),
        ("applied_index", "The last applied entry.", info.last_applied.0),
        ("voters", "Nodes that vote.", picture.membership.all_voters().count() as u64),
        ("requests_under_way", "Requests that are not answered.", requests as u64),
        ("request_bytes_under_way", "Bytes of entries in them.", bytes as u64),
    ] {
        metric(name, "gauge", help, value);
    }
    for (name, help, counter) in counters(&subject.view.counters) {
        metric(&format!("{name}_total"), "counter", help, counter.load(Ordering::Relaxed));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::{Index, NodeId};
    use crate::error::{Error, ErrorKind};

    /// Whether the text is one JSON value: a reader of the grammar, without the values.
    fn is_json(text: &str) -> bool {
        let bytes = text.as_bytes();
        value(bytes, 0) == Some(bytes.len())
    }

    fn value(b: &[u8], at: usize) -> Option<usize> {
        match b.get(at)? {
            b'{' => items(b, at + 1, b'}', |b, at| {
                let at = string(b, at)?;
                (b.get(at)? == &b':').then_some(())?;
                value(b, at + 1)
            }),
            b'[' => items(b, at + 1, b']', value),
            b'"' => string(b, at),
            b'n' => b[at..].starts_with(b"null").then_some(at + 4),
            b't' => b[at..].starts_with(b"true").then_some(at + 4),
            b'f' => b[at..].starts_with(b"false").then_some(at + 5),
            _ => {
                let digits = b[at + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
                (b[at] == b'-' || b[at].is_ascii_digit()).then_some(at + 1 + digits)
            }
        }
    }

    fn items(
        b: &[u8],
        mut at: usize,
        end: u8,
        item: fn(&[u8], usize) -> Option<usize>,
    ) -> Option<usize> {
        if *b.get(at)? == end {
            return Some(at + 1);
        }
        loop {
            at = item(b, at)?;
            match *b.get(at)? {
                b',' => at += 1,
                c if c == end => return Some(at + 1),
                _ => return None,
            }
        }
    }

    fn string(b: &[u8], at: usize) -> Option<usize> {
        (*b.get(at)? == b'"').then_some(())?;
        let mut at = at + 1;
        loop {
            match *b.get(at)? {
                b'"' => return Some(at + 1),
                b'\\' => at += if *b.get(at + 1)? == b'u' { 6 } else { 2 },
                c if c < 0x20 => return None,
                _ => at += 1,
            }
        }
    }

    #[test]
    fn the_report_is_valid_whatever_the_texts_hold() {
        let view = View::new(NodeId(35), Index(4), None);
        let settings = Settings::new();
        let subject = Subject {
            view: &view,
            under_way: (1, 2),
            incarnation: Incarnation(3 << 40),
            settings: &settings,
        };
        let text = json(&subject);
        assert!(is_json(&text), "{text}");
        assert!(text.contains("\"node\":\"z\"") && text.contains("\"failure\":null"), "{text}");
        view.trouble("a\"b\\:1", Some("line\none\u{1}".to_owned()));
        view.fail(Error::new(ErrorKind::StorageFailed, "the \"disk\"\tis gone"));
        let text = json(&subject);
        assert!(is_json(&text), "{text}");
        assert!(text.contains("\"state\":\"Failed\"") && text.contains("-2000"), "{text}");
        assert!(!is_json("{\"a\":}") && !is_json("[1,]") && !is_json("{} "));
    }

    #[test]
    fn each_metric_has_help_type_and_value() {
        let view = View::new(NodeId(35), Index(4), None);
        let settings = Settings::new();
        let subject = Subject {
            view: &view,
            under_way: (1, 2),
            incarnation: Incarnation(3 << 40),
            settings: &settings,
        };
        let text = prometheus(&subject);
        assert!(text.contains("quorate_applied_index{node=\"z\"} 4\n"), "{text}");
        for lines in text.lines().collect::<Vec<_>>().chunks(3) {
            let name = lines[0].split(' ').nth(2).expect("a name");
            assert!(lines[0].starts_with("# HELP quorate_"), "{lines:?}");
            assert!(lines[1].starts_with(&format!("# TYPE {name} ")), "{lines:?}");
            let (metric, value) = lines[2].rsplit_once(' ').expect("a value");
            assert!(metric.starts_with(name) && value.parse::<u64>().is_ok(), "{lines:?}");
        }
    }
}
