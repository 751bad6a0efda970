package quorate

// Looking at a service: nothing here changes anything or waits, and all of it works after Close.

// #include "bridge.h"
import "C"

import (
	"runtime"
	"unsafe"
)

func (r *Service) info() C.quorate_info {
	info := C.quorate_info{struct_size: C.sizeof_quorate_info}
	C.quorate_service_info(r.handle, &info)
	runtime.KeepAlive(r) // what frees the service runs when r is gone
	return info
}

// GetClusterID gives the id of the cluster, 0 when the node is in none.
func (r *Service) GetClusterID() NodeID { return NodeID(r.info().cluster_id) }

// GetCommitIndex gives the last index that is known to be committed.
func (r *Service) GetCommitIndex() uint64 { return uint64(r.info().commit_index) }

// GetCurrentTerm gives the current term.
func (r *Service) GetCurrentTerm() uint64 { return uint64(r.info().current_term) }

// GetFirstIndex gives the lowest index of the local log, 0 when it is empty. The error is always nil.
func (r *Service) GetFirstIndex() (uint64, error) { return uint64(r.info().first_index), nil }

// GetLastApplied gives the last index that is applied on this node.
func (r *Service) GetLastApplied() uint64 { return uint64(r.info().last_applied) }

// GetLastIndex gives the highest index of the local log and its term.
func (r *Service) GetLastIndex() (uint64, uint64) {
	info := r.info()
	return uint64(info.last_index), uint64(info.last_term)
}

// GetLeaderID gives the id of the leader, 0 when none is known.
func (r *Service) GetLeaderID() NodeID { return NodeID(r.info().leader_id) }

// GetMembershipChangeMode says where the current change of membership stands.
func (r *Service) GetMembershipChangeMode() MembershipChangeMode {
	return MembershipChangeMode(r.info().membership_change_mode)
}

// GetState gives the state.
func (r *Service) GetState() State { return State(r.info().state) }

// MyID gives the id of this node.
func (r *Service) MyID() NodeID { return NodeID(r.info().my_id) }

// GetAddress gives the address of the listener, or "".
func (r *Service) GetAddress() string { return r.address }

// GetNodeConfig gives the configuration in force; it is empty when the node is Standalone.
func (r *Service) GetNodeConfig() *NodeList {
	defer runtime.KeepAlive(r)
	return takeNodeList(C.quorate_service_node_config(r.handle))
}

// GetRaftStatus gives diagnostic information.
func (r *Service) GetRaftStatus() ProtocolStatus {
	defer runtime.KeepAlive(r)
	return takeProtocolStatus(C.quorate_service_raft_status(r.handle))
}

// GetAppliedTracker gives the tracker that follows GetLastApplied; always the same one.
func (r *Service) GetAppliedTracker() *ChangeTracker { return r.applied }

// ReportKind says what text Report gives.
type ReportKind int32

const (
	// JSON is everything, with peers, queues, settings and failure: one object.
	JSON ReportKind = C.QUORATE_REPORT_JSON
	// Prometheus is metrics as Prometheus text, version 0.0.4.
	Prometheus ReportKind = C.QUORATE_REPORT_PROMETHEUS
)

// Report gives a text for people and tools, "" for an unknown kind.
func (r *Service) Report(kind ReportKind) string {
	defer runtime.KeepAlive(r)
	text := C.quorate_service_report(r.handle, C.int32_t(kind))
	defer C.quorate_free(unsafe.Pointer(text))
	return C.GoString(text)
}

// Err gives what made the service fail, or nil.
func (r *Service) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if failure := r.info().failure; r.failure == nil && failure != 0 {
		r.failure = r.whyFailed(failure)
	}
	return r.failure
}

func (r *Service) setFailure(err error) {
	r.mu.Lock()
	r.failure = err
	r.mu.Unlock()
}

// whyFailed gives the code its sentence. It comes with every request to a failed service, so one is made.
func (r *Service) whyFailed(status C.quorate_status) error {
	probe := batch{requests: []C.quorate_go_request{{token: noToken, op: C.QUORATE_OP_READ_BARRIER}}}
	done := probe.send(r.handle, r.poller.queue)
	err := takeError(done.status, done.error)
	if err.Status != Status(status) {
		err = &Error{Status: Status(status)}
	}
	return r.explained(err)
}
