//! A network of function calls.

use super::{Node, Types};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError};
use openraft::network::{RPCOption, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

/// The nodes by their ids.
#[derive(Clone, Default)]
pub struct Network(Arc<Mutex<BTreeMap<u64, Node>>>);

impl Network {
    /// A node that the others can reach.
    pub fn add(&self, id: u64, node: Node) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, node);
    }

    fn get(&self, id: u64) -> Option<Node> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

/// The way to one node.
pub struct Way {
    network: Network,
    to: u64,
    node: Option<Node>,
}

impl Way {
    fn node(&mut self) -> Result<Node, RPCError<Types>> {
        if self.node.is_none() {
            self.node = self.network.get(self.to);
        }
        self.node.clone().ok_or_else(|| failed(&std::io::Error::other("nobody is there")))
    }
}

fn failed(error: &(impl Error + 'static)) -> RPCError<Types> {
    RPCError::Network(NetworkError::new(error))
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Way;

    async fn new_client(&mut self, target: u64, _node: &()) -> Way {
        Way { network: self.clone(), to: target, node: None }
    }
}

impl RaftNetworkV2<Types> for Way {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.node()?.append_entries(request).await.map_err(|error| failed(&error))
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.node()?.vote(request).await.map_err(|error| failed(&error))
    }

    async fn full_snapshot(
        &mut self,
        _vote: VoteOf<Types>,
        _snapshot: SnapshotOf<Types, ()>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let error = std::io::Error::other("a member fell so far behind that it needs a snapshot");
        Err(StreamingError::Network(NetworkError::new(&error)))
    }
}
