package quorate

// A network of the program's own.

// #cgo noescape quorate_frame_kind
// #cgo nocallback quorate_frame_kind
// #cgo noescape quorate_service_deliver
// #cgo noescape quorate_service_append
// #cgo noescape quorate_service_request_vote
// #cgo noescape quorate_service_join
// #include "hooks.h"
import "C"

import (
	"bytes"
	"runtime"
	"runtime/cgo"
	"unsafe"
)

// A Transport is a network of the program's own instead of TCP, given to StartRaft by
// [CustomCommunication]; what it receives goes to [Service.Deliver]. It carries frames whole and unaltered,
// or loses them; frames that were altered on their way are noticed and dropped, and repeated, late and
// reordered ones do no harm. Who may send them is its to check: the library believes the sender that a
// frame names. Addresses are any text that both sides understand.
type Transport interface {
	// Send sends one frame to the node at address and does not wait for the network. The id is 0 while
	// only the address is known. The frame is a copy and the transport's to keep. It is called on one
	// thread of the engine; a slow one delays the protocol. An error or a panic: not sent, and the node
	// counts as unreachable for now.
	Send(to NodeID, address string, frame []byte) error
}

// CustomCommunication sends through t; received frames go to [Service.Deliver].
func CustomCommunication(t Transport) Communication { return customCommunication{t} }

type customCommunication struct{ transport Transport }

func (c customCommunication) communication(o *options) error {
	if c.transport == nil {
		return errorf(ErrInvalid, "the transport is nil: CustomCommunication needs one, or use TCP(listen)")
	}
	o.transport = c.transport
	return nil
}

// A carrier is a transport as its hook calls it.
type carrier struct{ transport Transport }

func (c *carrier) send(to NodeID, address string, frame []byte) (err error) {
	defer new(cause).recovered(&err, "Send")
	return c.transport.Send(to, address, frame)
}

//export quorateGoSend
func quorateGoSend(handle C.uintptr_t, to C.uint64_t, address *C.char, frame unsafe.Pointer, n C.size_t,
	failure **C.quorate_error) C.quorate_status {
	hooks.Add(1)
	defer hooks.Add(-1)
	c := cgo.Handle(handle).Value().(*carrier)
	own := bytes.Clone(unsafe.Slice((*byte)(frame), n))
	if err := c.send(NodeID(to), C.GoString(address), own); err != nil {
		return failed(err, statusOf(err, ErrUnreachable), failure)
	}
	return C.QUORATE_OK
}

// Deliver hands over one frame that Send of another node was given. It is copied, and answers leave through
// Send. It does not wait and may be called anywhere, hooks included. ErrBusy: it was dropped; ErrInvalid: it
// is no frame, was altered, or is for another node; ErrUnsupported: this service has the built-in network.
func (r *Service) Deliver(frame []byte) error {
	defer runtime.KeepAlive(r)
	var failure *C.quorate_error
	return checked(C.quorate_service_deliver(r.handle, bytesOf(frame), C.size_t(len(frame)), &failure), failure)
}

// Append is Deliver for frames of kind AppendFrame; others are ErrInvalid. It has the page's name.
func (r *Service) Append(frame []byte) error {
	defer runtime.KeepAlive(r)
	var failure *C.quorate_error
	return checked(C.quorate_service_append(r.handle, bytesOf(frame), C.size_t(len(frame)), &failure), failure)
}

// RequestVote is Deliver for frames of kind RequestVoteFrame; others are ErrInvalid. It has the page's name.
func (r *Service) RequestVote(frame []byte) error {
	defer runtime.KeepAlive(r)
	var failure *C.quorate_error
	return checked(C.quorate_service_request_vote(r.handle, bytesOf(frame), C.size_t(len(frame)), &failure), failure)
}

// Join is Deliver for frames of kind JoinFrame; others are ErrInvalid. It has the page's name.
func (r *Service) Join(frame []byte) error {
	defer runtime.KeepAlive(r)
	var failure *C.quorate_error
	return checked(C.quorate_service_join(r.handle, bytesOf(frame), C.size_t(len(frame)), &failure), failure)
}

// FrameKind says what a frame is about.
type FrameKind int32

const (
	// OtherFrame: several things, or something else.
	OtherFrame FrameKind = C.QUORATE_FRAME_OTHER
	// AppendFrame: entries or heartbeats, or answers to them.
	AppendFrame FrameKind = C.QUORATE_FRAME_APPEND
	// RequestVoteFrame: votes and pre-votes asked for or given, or the request to campaign at once.
	RequestVoteFrame FrameKind = C.QUORATE_FRAME_REQUEST_VOTE
	// JoinFrame: a node is asked who it is or to become a member, or answers.
	JoinFrame FrameKind = C.QUORATE_FRAME_JOIN
)

var frameNames = []string{"Other", "Append", "RequestVote", "Join"}

// String gives a word, such as "Append".
func (k FrameKind) String() string { return nameOf("FrameKind", frameNames, int32(k)) }

// KindOfFrame looks what a frame is about. [Service.Deliver] takes all kinds. ErrInvalid: it is no frame,
// or was altered.
func KindOfFrame(frame []byte) (FrameKind, error) {
	kind := C.quorate_frame_kind(bytesOf(frame), C.size_t(len(frame)))
	if kind < 0 {
		return OtherFrame, errorf(Status(kind), "%d bytes that are no frame, or one that was altered: drop it", len(frame))
	}
	return FrameKind(kind), nil
}

func bytesOf(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// checked is what a call gave as an error.
func checked(status C.quorate_status, failure *C.quorate_error) error {
	if status < 0 {
		return takeError(status, failure)
	}
	return nil
}
