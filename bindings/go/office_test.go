package quorate_test

import (
	"errors"
	"math/rand"
	"sync"
	"testing"

	"quorate"
)

// A letter is a frame under way.
type letter struct {
	to    string
	frame []byte
}

// An office carries frames over one channel to the services that it knows by name. faults says whether it
// loses, repeats, holds up, and alters some.
type office struct {
	t       *testing.T
	letters chan letter
	done    chan struct{}

	mu       sync.Mutex
	services map[string]*quorate.Service
	cut      map[string]bool
	faults   bool
	lost     int
	repeated int
	held     int
	altered  int
	kinds    map[quorate.FrameKind]int
}

func newOffice(t *testing.T) *office {
	o := &office{
		t:        t,
		letters:  make(chan letter, 1024),
		done:     make(chan struct{}),
		services: map[string]*quorate.Service{},
		cut:      map[string]bool{},
		kinds:    map[quorate.FrameKind]int{},
	}
	go o.carry(rand.New(rand.NewSource(5)))
	t.Cleanup(func() {
		close(o.letters) // whoever sends was closed before
		<-o.done
	})
	return o
}

// A sack is one node's end of an office.
type sack struct {
	office *office
	name   string
}

func (s sack) Send(to quorate.NodeID, address string, frame []byte) error {
	if s.office.isCut(s.name) || s.office.isCut(address) {
		return errors.New("the road is closed")
	}
	select {
	case s.office.letters <- letter{address, frame}:
		return nil
	default:
		return errors.New("the office is full")
	}
}

func (o *office) isCut(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cut[name]
}

func (o *office) isolate(name string, cut bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cut[name] = cut
}

// start starts a service that this office serves.
func (o *office) start(name string, state quorate.StateMachine, options ...quorate.Option) *quorate.Service {
	o.t.Helper()
	service, err := quorate.StartRaft(quorate.CustomCommunication(sack{o, name}), quorate.Memory(), state, options...)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(service.Close)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.services[name] = service
	return service
}

func (o *office) carry(dice *rand.Rand) {
	defer close(o.done)
	var held []letter
	for l := range o.letters {
		o.mu.Lock()
		throw := 9
		if o.faults {
			throw = dice.Intn(16)
		}
		switch throw {
		case 0:
			o.lost++
		case 1:
			o.repeated++
			o.deliver(l)
			o.deliver(l)
		case 2, 3:
			o.held++
			held = append(held, l)
		case 4:
			o.altered++
			o.deliverAltered(l, dice)
		default:
			o.deliver(l)
		}
		if len(held) > 5 || !o.faults {
			for i := range held { // the last one first
				o.deliver(held[len(held)-1-i])
			}
			held = nil
		}
		o.mu.Unlock()
	}
}

// deliver takes the call for frames of its kind, as the page has them.
func (o *office) deliver(l letter) {
	service := o.services[l.to]
	if service == nil || o.cut[l.to] {
		return
	}
	kind, err := quorate.KindOfFrame(l.frame)
	if err != nil {
		o.t.Error(err)
	}
	o.kinds[kind]++
	calls := []func([]byte) error{service.Deliver, service.Append, service.RequestVote, service.Join}
	if err := calls[kind](l.frame); err != nil && !errors.Is(err, quorate.ErrClosed) && !errors.Is(err, quorate.ErrBusy) {
		o.t.Errorf("a frame of kind %v: %v", kind, err)
	}
	if other := (kind + 1) % 4; other != quorate.OtherFrame {
		if err := calls[other](l.frame); !errors.Is(err, quorate.ErrInvalid) && !errors.Is(err, quorate.ErrClosed) {
			o.t.Errorf("a frame of kind %v passes as %v: %v", kind, other, err)
		}
	}
}

// deliverAltered flips one bit, anywhere.
func (o *office) deliverAltered(l letter, dice *rand.Rand) {
	service := o.services[l.to]
	if service == nil {
		return
	}
	altered := append([]byte{}, l.frame...)
	altered[dice.Intn(len(altered))] ^= 1 << dice.Intn(8)
	err := service.Deliver(altered)
	if !errors.Is(err, quorate.ErrInvalid) && !errors.Is(err, quorate.ErrTooLarge) && !errors.Is(err, quorate.ErrClosed) {
		o.t.Error("an altered frame:", err)
	}
	if kind, err := quorate.KindOfFrame(altered); err == nil {
		o.t.Error("an altered frame has a kind:", kind)
	}
}
