package quorate

// #include "bridge.h"
import "C"

import (
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// A NodeID names a node or a cluster; 0 is none. Its text is base 36.
type NodeID uint64

// String gives the id in base 36, lower case, without padding.
func (id NodeID) String() string { return strconv.FormatUint(uint64(id), 36) }

// ParseNodeID reads base 36. It gives 0 for anything that is not an id.
func ParseNodeID(text string) NodeID {
	id, err := strconv.ParseUint(text, 36, 64)
	if err != nil {
		return 0
	}
	return NodeID(id)
}

// A Node is a member of a cluster.
type Node struct {
	NodeID  NodeID
	Address string
}

func (n Node) String() string { return "Node{" + n.NodeID.String() + ": " + n.Address + "}" }

// A NodeList is a configuration: the voters, and during joint consensus in Next the new ones.
type NodeList struct {
	Current []Node
	Next    []Node

	learners []Node
}

// GetNode gives a copy of the node of that id, voter or learner, or nil.
func (nl *NodeList) GetNode(id NodeID) *Node {
	for _, nodes := range [][]Node{nl.Current, nl.Next, nl.learners} {
		for _, node := range nodes {
			if node.NodeID == id {
				return &node
			}
		}
	}
	return nil
}

// GetUniqueNodes gives Current, then those of Next that are not in it.
func (nl *NodeList) GetUniqueNodes() []Node {
	var unique []Node
	for _, node := range slices.Concat(nl.Current, nl.Next) {
		known := func(other Node) bool { return other.NodeID == node.NodeID }
		if !slices.ContainsFunc(unique, known) {
			unique = append(unique, node)
		}
	}
	return unique
}

// GetLearners gives the nodes that are sent the log and do not vote, such as one that catches up.
func (nl *NodeList) GetLearners() []Node { return slices.Clone(nl.learners) }

// String gives the addresses alone: NodeList{Current:a, b, Next:c}.
func (nl *NodeList) String() string {
	text := "NodeList{Current:" + addresses(nl.Current)
	if len(nl.Next) > 0 {
		text += ", Next:" + addresses(nl.Next)
	}
	return text + "}"
}

func addresses(nodes []Node) string {
	texts := make([]string, len(nodes))
	for i, node := range nodes {
		texts[i] = node.Address
	}
	return strings.Join(texts, ", ")
}

// ProtocolStatus is diagnostic information.
type ProtocolStatus struct {
	// PeerIndices has, on a leader, the last durable index of each member, itself included. It is nil
	// on other nodes, and empty on a Standalone one.
	PeerIndices *map[NodeID]uint64
}

// takeNodeList copies a configuration and frees it. NULL, from a service that is gone, gives an empty one.
func takeNodeList(list *C.quorate_node_list) *NodeList {
	if list == nil {
		return &NodeList{}
	}
	defer C.quorate_free(unsafe.Pointer(list))
	return &NodeList{
		Current:  goNodes(list.current, list.current_len),
		Next:     goNodes(list.next, list.next_len),
		learners: goNodes(list.learners, list.learners_len),
	}
}

func goNodes(nodes *C.quorate_node, n C.size_t) []Node {
	var list []Node
	for i := range unsafe.Slice(nodes, n) {
		list = append(list, goNode(&unsafe.Slice(nodes, n)[i]))
	}
	return list
}

func goNode(node *C.quorate_node) Node {
	return Node{NodeID: NodeID(node.node_id), Address: C.GoString(node.address)}
}

// takeProtocolStatus copies a status and frees it.
func takeProtocolStatus(status *C.quorate_protocol_status) ProtocolStatus {
	if status == nil {
		return ProtocolStatus{}
	}
	defer C.quorate_free(unsafe.Pointer(status))
	if status.peer_indices == nil {
		return ProtocolStatus{}
	}
	indices := map[NodeID]uint64{}
	for _, row := range unsafe.Slice(status.peer_indices, status.peer_indices_len) {
		indices[NodeID(row.node_id)] = uint64(row.index)
	}
	return ProtocolStatus{PeerIndices: &indices}
}
