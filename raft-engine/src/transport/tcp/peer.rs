//! The task that keeps a connection to one peer, as long as there is something to send.

use super::connection::{End, Link};
use super::handshake::{self, Failure};
use super::queue::Drain;
use super::runs::of_one_process;
use super::socket::first;
use super::{Context, address, socket};
use crate::consensus::message::{Body, Message, Superseded};
use crate::consensus::types::{Incarnation, NodeId, Term};
use crate::transport::Inbound;
use crate::transport::wire::hello::{Code, Hello, Kind};
use crate::transport::wire::{Decoded, Envelope};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// A peer to dial.
pub(super) struct Peer {
    pub(super) context: Arc<Context>,
    /// 0: whoever is there.
    pub(super) to: NodeId,
    pub(super) address: String,
    pub(super) drain: Drain,
    /// Changes whenever that node opens a connection to this one: it is there, in that run.
    pub(super) heard: watch::Receiver<Incarnation>,
    pub(super) backoff: Backoff,
}

impl Peer {
    /// Until nobody sends anything any more.
    pub(super) async fn run(mut self) {
        loop {
            match self.connect().await {
                Ok(link) => {
                    self.backoff.reset();
                    match self.talk(&link).await {
                        End::Idle | End::Unwanted => return,
                        End::Lost => {}
                        End::Broken(text) => self.report(Failure::Unreachable(text)),
                    }
                }
                Err(failure) => self.report(failure),
            }
            if !self.rest().await {
                return;
            }
        }
    }

    async fn connect(&self) -> Result<Link, Failure> {
        let context = &self.context;
        let attempt = async {
            let dialed = address::dial(&self.address, context.options.insecure).await;
            let stream = dialed.map_err(Failure::Unreachable)?;
            let prepared = socket::prepare(stream);
            let stream = prepared.map_err(|e| Failure::Unreachable(e.to_string()))?;
            let welcome = handshake::greet(context, &stream, self.to).await?;
            Ok(Link::new(stream, &welcome))
        };
        let limit = context.options.handshake_timeout;
        let late = |_| Failure::Unreachable(format!("no answer within {limit:?}"));
        timeout(limit, attempt).await.map_err(late)?
    }

    /// Uses the connection until it ends, or a newer process of the node is heard of.
    async fn talk(&mut self, link: &Link) -> End {
        let idle = Some(self.context.options.idle_timeout);
        let heard = &mut self.heard;
        let replaced = async {
            while heard.changed().await.is_ok() {
                let run = *heard.borrow_and_update();
                if !of_one_process(run, link.run) && run.counter() > link.run.counter() {
                    return End::Lost;
                }
            }
            std::future::pending().await
        };
        first(replaced, link.run(&self.context, &mut self.drain, idle)).await
    }

    /// Waits before the next attempt. What waits is given up once the pauses are at their longest: it
    /// would only be old news. Nobody dials for nothing: `false` if there is nothing to send.
    async fn rest(&mut self) -> bool {
        if self.backoff.is_longest() {
            let lost = self.drain.clear();
            self.context.lose(lost);
        }
        let pause = self.backoff.next();
        let heard = &mut self.heard;
        let woken = async {
            if heard.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        first(woken, sleep(pause)).await;
        if !self.drain.is_empty() {
            return true;
        }
        timeout(self.context.options.idle_timeout, self.drain.wait()).await.unwrap_or(false)
    }

    fn report(&self, failure: Failure) {
        let address = self.address.clone();
        let inbound = match failure {
            Failure::Unreachable(text) => Inbound::Unreachable { address, text },
            Failure::WrongNode(found) => Inbound::WrongNode { address, wanted: self.to, found },
            Failure::Refused(hello) => match hello.kind {
                Kind::Refuse(Code::Superseded) => superseded(self.context.identity.node, &hello),
                _ => Inbound::Refused { address, text: hello.text },
            },
        };
        self.context.hand_up(inbound);
    }
}

/// The message that a refusal because of a newer run stands for.
pub(super) fn superseded(to: NodeId, hello: &Hello) -> Inbound {
    let message = Message {
        from: hello.from,
        from_incarnation: hello.incarnation,
        to,
        address: None,
        cluster: hello.cluster,
        term: Term::ZERO,
        body: Body::Superseded(Superseded { by: hello.superseded_by }),
    };
    let envelope = Envelope::of(&message);
    Inbound::Frame(Decoded { envelope, frame_seq: 0, messages: vec![message], dropped: 0 })
}

/// Pauses that double, with jitter, so that nodes that lost one peer at the same moment don't come
/// back to it at the same moment.
pub(super) struct Backoff {
    bounds: (Duration, Duration),
    now: Duration,
    random: u64,
}

impl Backoff {
    pub(super) fn new(bounds: (Duration, Duration), seed: u64) -> Backoff {
        Backoff { bounds, now: bounds.0, random: seed }
    }

    fn reset(&mut self) {
        self.now = self.bounds.0;
    }

    fn is_longest(&self) -> bool {
        self.now >= self.bounds.1
    }

    /// Between half and all of the present pause.
    fn next(&mut self) -> Duration {
        let pause = self.now;
        self.now = (pause * 2).min(self.bounds.1);
        self.random =
            self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        pause.mul_f64(0.5 + (self.random >> 33) as f64 / (1u64 << 32) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let bounds = (Duration::from_millis(20), Duration::from_secs(1));
        let mut backoff = Backoff::new(bounds, 7);
        for full in [20, 40, 80, 160, 320, 640, 1000, 1000] {
            let (full, pause) = (Duration::from_millis(full), backoff.next());
            assert!(full / 2 <= pause && pause < full, "{pause:?} of {full:?}");
        }
        assert!(backoff.is_longest());
        backoff.reset();
        assert!(backoff.next() < bounds.0);
    }
}
