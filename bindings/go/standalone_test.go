package quorate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate"
)

func TestAStandaloneServiceTakesProposals(t *testing.T) {
	state := &journal{}
	service := alone(t, state)
	if got := service.GetState(); got != quorate.Standalone {
		t.Fatal(got)
	}
	first := propose(t, service, "one")
	if string(first.Data) != "re: one" || first.Index == 0 || first.Term == 0 {
		t.Errorf("%+v", first)
	}
	index, err := service.Propose(text("two"))
	if err != nil || index != first.Index+1 {
		t.Fatal(index, err)
	}
	if applied := service.GetAppliedTracker().Wait(index); applied < index {
		t.Error("applied", applied, "of", index)
	}
	if err := service.ReadBarrier(within(t), quorate.Linearizable); err != nil {
		t.Error(err)
	}
	if !state.holds("one", "two") {
		t.Error(state.texts())
	}
	position, err := service.ProposeContext(within(t), text("three"))
	if err != nil || position != (quorate.Position{Index: index + 1, Term: first.Term}) {
		t.Error(position, err)
	}
}

func TestAnEntryComesBackAsItWas(t *testing.T) {
	state := &journal{}
	service := alone(t, state)
	many := make([]string, 300)
	for i := range many {
		many[i] = fmt.Sprint("tag ", i)
	}
	for _, entry := range []quorate.Entry{
		{},
		{Type: math.MaxInt32, Timestamp: time.Unix(1468195200, 123456789), Tags: []string{"a", "", "ü"}, Data: []byte{0, 255, 0}},
		{Timestamp: time.Unix(-1, 0), Tags: many, Data: bytes.Repeat([]byte("x"), 100_000)},
	} {
		reply, err := service.ProposeWait(within(t), &entry)
		if err != nil {
			t.Fatal(err)
		}
		got := state.last()
		if got.Index != reply.Index || got.Term != reply.Term || got.Type != entry.Type ||
			!got.Timestamp.Equal(entry.Timestamp) || got.Timestamp.IsZero() != entry.Timestamp.IsZero() ||
			!slices.Equal(got.Tags, entry.Tags) || !bytes.Equal(got.Data, entry.Data) {
			t.Errorf("%+v became %+v", entry, got)
		}
	}
}

func TestNoReplyIsNotAnEmptyOne(t *testing.T) {
	state := &journal{do: func(entry *quorate.Entry) error {
		switch string(entry.Data) {
		case "none":
			entry.Reply = nil
		case "empty":
			entry.Reply = []byte{}
		}
		return nil
	}}
	service := alone(t, state)
	if data := propose(t, service, "none").Data; data != nil {
		t.Errorf("none: %q", data)
	}
	if data := propose(t, service, "empty").Data; data == nil || len(data) != 0 {
		t.Errorf("empty: %#v", data)
	}
}

// keeper is a state machine that takes batches and keeps its position.
type keeper struct {
	journal
	applied quorate.Applied
	batches int
}

func (k *keeper) Open() (quorate.Applied, error) { return k.applied, nil }

func (k *keeper) CommitBatch(entries []quorate.Entry) error {
	k.batches++
	for i := range entries {
		if err := k.Commit(&entries[i]); err != nil {
			return err
		}
		k.applied = quorate.Applied{Index: entries[i].Index, Term: entries[i].Term}
	}
	return nil
}

func TestAStateMachineThatKeepsItsPositionIsToldTheRest(t *testing.T) {
	wal, sled, disk := t.TempDir(), t.TempDir(), newDisk()
	for name, storage := range map[string]func() quorate.Storage{
		"wal":    func() quorate.Storage { return quorate.WAL(wal) },
		"sled":   func() quorate.Storage { return quorate.Sled(sled) },
		"custom": func() quorate.Storage { return quorate.CustomStorage("", disk.shelf()) },
	} {
		t.Run(name, func(t *testing.T) { toldTheRest(t, storage) })
	}
}

func toldTheRest(t *testing.T, storage func() quorate.Storage) {
	first := &keeper{}
	service, err := quorate.StartRaft(nil, storage(), first)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"a", "b", "c"} {
		propose(t, service, data)
	}
	id := service.MyID()
	service.Close()
	if first.batches == 0 {
		t.Error("CommitBatch was never called")
	}

	// It lost its last change, and then everything: it is told what it has not.
	second := &keeper{applied: quorate.Applied{Index: first.entries[1].Index, Term: first.entries[1].Term}}
	again, err := quorate.StartRaft(nil, storage(), second)
	if err != nil {
		t.Fatal(err)
	}
	propose(t, again, "d")
	if again.MyID() != id || !second.holds("c", "d") {
		t.Error(again.MyID(), second.texts())
	}
	again.Close()
	third := &journal{}
	forgetful, err := quorate.StartRaft(nil, storage(), third)
	if err != nil {
		t.Fatal(err)
	}
	defer forgetful.Close()
	propose(t, forgetful, "e")
	if !third.holds("a", "b", "c", "d", "e") {
		t.Error(third.texts())
	}
}

func TestAStateMachineAheadOfTheLogIsRefused(t *testing.T) {
	_, err := quorate.StartRaft(nil, quorate.Memory(), &keeper{applied: quorate.Applied{Index: 99, Term: 1}})
	if !errors.Is(err, quorate.ErrStateMachine) {
		t.Error(err)
	}
}

func TestBadInputIsRefusedWithAReason(t *testing.T) {
	service := alone(t, &journal{})
	before, _ := service.GetLastIndex()
	for reason, entry := range map[string]*quorate.Entry{
		"nil":       nil,
		"reserved":  {Type: -1},
		"UTF-8":     {Tags: []string{"\xff"}},
		"timestamp": {Timestamp: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		_, err := service.ProposeWait(within(t), entry)
		if !errors.Is(err, quorate.ErrInvalid) || !strings.Contains(err.Error(), reason) || quorate.OutcomeOf(err) != quorate.OutcomeNotDone {
			t.Errorf("%s: %v", reason, err)
		}
	}
	for _, entry := range []*quorate.Entry{
		{Data: make([]byte, 2<<20)},
		{Tags: []string{strings.Repeat("x", 70_000)}},
		{Tags: []string{strings.Repeat("x", 40_000), strings.Repeat("y", 40_000)}},
	} {
		if _, err := service.Propose(entry); !errors.Is(err, quorate.ErrTooLarge) {
			t.Error(err)
		}
	}
	if err := service.ReadBarrier(within(t), quorate.ReadMode(7)); !errors.Is(err, quorate.ErrInvalid) {
		t.Error(err)
	}
	if err := service.AddNode("127.0.0.1:1"); !errors.Is(err, quorate.ErrNoCluster) {
		t.Error(err)
	}
	if after, _ := service.GetLastIndex(); after != before {
		t.Error("something was written:", before, after)
	}
}

func TestBadStartsAreRefusedWithAReason(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	taken, err := quorate.StartRaft(quorate.TCP("127.0.0.1:0"), quorate.WAL(dir), &journal{})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	start := func(comm quorate.Communication, stor quorate.Storage, key, value string) error {
		var options []quorate.Option
		if key != "" {
			options = append(options, quorate.WithSetting(key, value))
		}
		service, err := quorate.StartRaft(comm, stor, &journal{}, options...)
		if err == nil {
			service.Close()
		}
		return err
	}
	memory := quorate.Memory()
	for _, test := range []struct {
		err    error
		status quorate.Status
		part   string
	}{
		{start(nil, memory, "election_timeuot", "1s"), quorate.ErrNotFound, "election_timeout"},
		{start(nil, memory, "election_timeout", "soon"), quorate.ErrInvalid, "election_timeout"},
		{start(nil, memory, "election_timeout", "1s\x00"), quorate.ErrInvalid, "NUL"},
		{start(nil, nil, "", ""), quorate.ErrInvalid, "storage"},
		{start(nil, memory, "storage", "tape"), quorate.ErrInvalid, "one of wal, sled, memory"},
		{start(quorate.TCP(taken.GetAddress()), memory, "", ""), quorate.ErrAddressInUse, taken.GetAddress()},
		{start(nil, quorate.WAL(dir), "", ""), quorate.ErrLocked, dir},
		{start(nil, quorate.WAL(filepath.Join(file, "below")), "", ""), quorate.ErrIO, file},
	} {
		if !errors.Is(test.err, test.status) || !strings.Contains(test.err.Error(), test.part) {
			t.Errorf("%v, %q: %v", test.status, test.part, test.err)
		}
	}
	if _, err := quorate.StartRaft(nil, memory, nil); !errors.Is(err, quorate.ErrInvalid) {
		t.Error(err)
	}
}

func TestTheLogInSledIsThereAgain(t *testing.T) {
	dir := t.TempDir()
	for run := range 2 {
		state := &journal{}
		service, err := quorate.StartRaft(nil, quorate.Sled(dir), state)
		if err != nil {
			t.Fatal(err)
		}
		propose(t, service, fmt.Sprint(run))
		if got := state.texts(); !slices.Equal(got, []string{"0", "1"}[:run+1]) {
			t.Error(got)
		}
		service.Close()
	}
}

func TestADirectoryOfTheOtherStoreIsRefused(t *testing.T) {
	stores := map[string]func(string) quorate.Storage{"wal": quorate.WAL, "sled": quorate.Sled}
	for store, other := range map[string]string{"wal": "sled", "sled": "wal"} {
		dir := t.TempDir()
		start := func(store string) error {
			service, err := quorate.StartRaft(nil, stores[store](dir), &journal{})
			if err == nil {
				service.Close()
			}
			return err
		}
		if err := start(store); err != nil {
			t.Fatal(err)
		}
		if err := start(other); !errors.Is(err, quorate.ErrInvalid) || !strings.Contains(err.Error(), "Set storage="+store) {
			t.Error(err)
		}
		if err := start(store); err != nil {
			t.Error("something was touched:", err)
		}
	}
}

func TestSettingsAreListedAndMade(t *testing.T) {
	known := map[string]quorate.SettingInfo{}
	for _, info := range quorate.Settings() {
		known[info.Key] = info
		if info.Unit == "" || info.Meaning == "" {
			t.Errorf("%+v", info)
		}
	}
	if info := known["max_entry_bytes"]; info.Default != "1MiB" || info.Unit != "bytes" {
		t.Errorf("%+v", info)
	}
	service := alone(t, &journal{}, quorate.WithSetting("max_entry_bytes", "100"))
	if _, err := service.Propose(text(strings.Repeat("x", 101))); !errors.Is(err, quorate.ErrTooLarge) {
		t.Error(err)
	}
}

func TestTheGettersTellOfOneNode(t *testing.T) {
	service, err := quorate.StartRaft(quorate.TCP("127.0.0.1:0"), quorate.Memory(), &journal{})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	address := service.GetAddress()
	if err := service.InitializeCluster(address); err != nil {
		t.Fatal(err)
	}
	reply := propose(t, service, "a")
	me := service.MyID()
	index, term := service.GetLastIndex()
	first, err := service.GetFirstIndex()
	if me == 0 || service.GetLeaderID() != me || service.GetState() != quorate.Leader || service.GetClusterID() == 0 ||
		index != reply.Index || term != reply.Term || service.GetCurrentTerm() != term || first != 1 || err != nil ||
		service.GetCommitIndex() != index || service.GetLastApplied() != index ||
		service.GetMembershipChangeMode() != quorate.Stable {
		t.Error(service.Report(quorate.JSON))
	}
	nodes := service.GetNodeConfig()
	if !slices.Equal(nodes.Current, []quorate.Node{{NodeID: me, Address: address}}) || nodes.Next != nil || len(nodes.GetLearners()) > 0 {
		t.Error(nodes)
	}
	peers := service.GetRaftStatus().PeerIndices
	if peers == nil || len(*peers) != 1 || (*peers)[me] != index {
		t.Error(peers)
	}
	if !json.Valid([]byte(service.Report(quorate.JSON))) || !strings.Contains(service.Report(quorate.Prometheus), "# TYPE") || service.Report(99) != "" {
		t.Error(service.Report(quorate.JSON), service.Report(quorate.Prometheus), service.Report(99))
	}
	if service.GetAppliedTracker() != service.GetAppliedTracker() {
		t.Error("the tracker is always the same one")
	}
	if err := service.InitializeCluster(address); !errors.Is(err, quorate.ErrAlreadyMember) {
		t.Error(err)
	}
	if quorate.Version() == "" {
		t.Error("no version")
	}
}

func TestManyGoroutinesProposeAtOnce(t *testing.T) {
	const goroutines, each = 500, 20
	state := &journal{}
	service := alone(t, state)
	ctx := within(t)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Add(1)
		go func() {
			defer all.Done()
			var before uint64
			for i := range each {
				data := fmt.Sprint(g, " ", i)
				reply, err := service.ProposeWait(ctx, text(data))
				if err != nil || string(reply.Data) != "re: "+data || reply.Index <= before {
					t.Error(data, reply, err)
					return
				}
				before = reply.Index
			}
		}()
	}
	all.Wait()
	next := map[string]int{}
	var index uint64
	for _, entry := range state.entries {
		var g string
		var i int
		if _, err := fmt.Sscan(string(entry.Data), &g, &i); err != nil || i != next[g] || entry.Index <= index {
			t.Fatal("out of order:", string(entry.Data), entry.Index)
		}
		next[g]++
		index = entry.Index
	}
	if len(state.entries) != goroutines*each {
		t.Error(len(state.entries), "entries")
	}
}

func TestAContextEndsTheWaitAndNotTheChange(t *testing.T) {
	released, entered := make(chan struct{}), make(chan struct{}, 10)
	state := &journal{do: func(*quorate.Entry) error {
		entered <- struct{}{}
		<-released
		return nil
	}}
	service := alone(t, state)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-entered
		cancel()
	}()
	_, err := service.ProposeWait(ctx, text("cancelled"))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, quorate.ErrTimeout) || quorate.OutcomeOf(err) != quorate.OutcomeUnknown {
		t.Error(err)
	}
	limited, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = service.ProposeWait(limited, text("late"))
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, quorate.ErrTimeout) || quorate.OutcomeOf(err) != quorate.OutcomeUnknown {
		t.Error(err)
	}
	_, err = service.ProposeWait(ctx, text("never"))
	if !errors.Is(err, context.Canceled) || quorate.OutcomeOf(err) != quorate.OutcomeNotDone {
		t.Error(err)
	}
	close(released)
	propose(t, service, "after")
	if !state.holds("cancelled", "late", "after") {
		t.Error(state.texts())
	}
}
