package quorate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate"
)

// A node is one member of a test: it can be stopped and started with its directory and address.
type node struct {
	*quorate.Service
	t       *testing.T
	dir     string
	address string
	state   *journal
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), address: "127.0.0.1:0"}
	n.start()
	n.address = n.GetAddress()
	t.Cleanup(func() { n.Close() })
	return n
}

// start starts it, or starts it again.
func (n *node) start() {
	n.t.Helper()
	n.state = &journal{}
	service, err := quorate.StartRaft(quorate.TCP(n.address), quorate.WAL(n.dir), n.state)
	if err != nil {
		n.t.Fatal(err)
	}
	n.Service = service
}

// cluster makes a cluster of size nodes, the first of which leads.
func cluster(t *testing.T, size int) []*node {
	t.Helper()
	nodes := []*node{newNode(t)}
	if err := nodes[0].InitializeClusterContext(within(t), nodes[0].address); err != nil {
		t.Fatal(err)
	}
	for range size - 1 {
		added := newNode(t)
		nodes = append(nodes, added)
		add(t, nodes[0], added)
	}
	return nodes
}

func add(t *testing.T, member, added *node) {
	t.Helper()
	if err := member.AddNodeContext(within(t), added.address); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, member *node, id quorate.NodeID) {
	t.Helper()
	if err := member.RemoveNodeContext(within(t), id); err != nil {
		t.Fatal(err)
	}
}

// reaches waits until every node has applied an index.
func reaches(t *testing.T, index uint64, nodes ...*node) {
	t.Helper()
	for i, n := range nodes {
		if value, err := n.GetAppliedTracker().WaitContext(within(t), index); err != nil {
			t.Fatalf("node %d of %d stands at %d: %v\n%s", i, len(nodes), value, err, n.Report(quorate.JSON))
		}
	}
}

func ids(nodes []quorate.Node) []quorate.NodeID {
	var all []quorate.NodeID
	for _, n := range nodes {
		all = append(all, n.NodeID)
	}
	return all
}

func TestThreeNodesHoldTheSame(t *testing.T) {
	nodes := cluster(t, 3)
	var last uint64
	for i, n := range nodes {
		reply := propose(t, n.Service, fmt.Sprint("from ", i)) // followers forward
		if string(reply.Data) != fmt.Sprint("re: from ", i) || reply.Index <= last {
			t.Error(i, reply)
		}
		last = reply.Index
	}
	index, err := nodes[2].Propose(text("last"))
	if err != nil || index != last+1 {
		t.Fatal(index, err)
	}
	reaches(t, index, nodes...)
	for i, n := range nodes {
		if !n.state.holds("from 0", "from 1", "from 2", "last") {
			t.Error(i, n.state.texts())
		}
		if n.GetLeaderID() != nodes[0].MyID() || n.GetClusterID() != nodes[0].GetClusterID() || n.GetClusterID() == 0 {
			t.Error(i, n.GetLeaderID(), n.GetClusterID())
		}
		if got := ids(n.GetNodeConfig().Current); len(got) != 3 || !slices.Contains(got, nodes[i].MyID()) {
			t.Error(i, n.GetNodeConfig())
		}
		wanted, peers := []quorate.State{quorate.Leader, quorate.Follower, quorate.Follower}[i], n.GetRaftStatus().PeerIndices
		if n.GetState() != wanted || (peers != nil) != (i == 0) || i == 0 && len(*peers) != 3 {
			t.Error(i, n.GetState(), peers)
		}
	}
}

func TestABarrierOnAFollowerShowsWhatWasAcknowledged(t *testing.T) {
	nodes := cluster(t, 3)
	for i := range 20 {
		data := fmt.Sprint("change ", i)
		propose(t, nodes[i%3].Service, data)
		reader := nodes[(i+1)%3]
		if err := reader.ReadBarrier(within(t), quorate.Linearizable); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(reader.state.texts(), data) {
			t.Fatalf("node %d does not have %q", (i+1)%3, data)
		}
	}
}

func TestARemovedNodeIsStandaloneAndComesBack(t *testing.T) {
	nodes := cluster(t, 3)
	gone := nodes[2]
	id, clusterID := gone.MyID(), gone.GetClusterID()
	propose(t, nodes[0].Service, "before")
	remove(t, nodes[0], id)
	if slices.Contains(ids(nodes[0].GetNodeConfig().Current), id) {
		t.Error(nodes[0].GetNodeConfig())
	}
	eventually(t, "it learns of it", func() bool { return gone.GetState() == quorate.Standalone })
	if gone.GetClusterID() != 0 || len(gone.GetNodeConfig().Current) != 0 || !gone.state.holds("before") {
		t.Error(gone.Report(quorate.JSON))
	}
	meanwhile := propose(t, nodes[1].Service, "meanwhile")
	add(t, nodes[1], gone) // any member adds
	reaches(t, meanwhile.Index, gone)
	after := propose(t, gone.Service, "after")
	reaches(t, after.Index, nodes...)
	if gone.MyID() != id || gone.GetClusterID() != clusterID || !gone.state.holds("before", "meanwhile", "after") {
		t.Error(gone.MyID(), gone.GetClusterID(), gone.state.texts())
	}
}

func TestALeaderMayRemoveItself(t *testing.T) {
	nodes := cluster(t, 3)
	propose(t, nodes[0].Service, "before")
	remove(t, nodes[0], nodes[0].MyID())
	eventually(t, "it is Standalone", func() bool { return nodes[0].GetState() == quorate.Standalone })
	eventually(t, "another one leads", func() bool {
		return nodes[1].GetState() == quorate.Leader || nodes[2].GetState() == quorate.Leader
	})
	eventually(t, "the rest goes on", func() bool {
		_, err := nodes[1].ProposeWait(within(t), text("after"))
		return err == nil
	})
	if !nodes[0].state.holds("before") {
		t.Error(nodes[0].state.texts())
	}
}

func TestChangesOfMembersAreRefusedWithAReason(t *testing.T) {
	nodes := cluster(t, 2)
	other := cluster(t, 1)[0]
	owner := newNode(t)
	propose(t, owner.Service, "its own")
	for i, test := range []struct {
		err    error
		status quorate.Status
	}{
		{nodes[0].AddNode(nodes[1].address), quorate.ErrAlreadyMember},
		{nodes[1].AddNode(nodes[1].address), quorate.ErrAlreadyMember},
		{nodes[0].AddNode(other.address), quorate.ErrOtherCluster},
		{nodes[0].AddNode(owner.address), quorate.ErrHasData},
		{nodes[0].AddNode("127.0.0.1:1"), quorate.ErrUnreachable},
		{nodes[0].AddNode("nowhere"), quorate.ErrInvalid},
		{nodes[0].RemoveNode(12345), quorate.ErrNotFound},
		{other.RemoveNode(other.MyID()), quorate.ErrInvalid},
		{owner.RemoveNode(owner.MyID()), quorate.ErrNoCluster},
		{nodes[0].InitializeCluster(nodes[0].address), quorate.ErrAlreadyMember},
		{owner.InitializeCluster(nodes[0].address), quorate.ErrUnreachable},
	} {
		if !errors.Is(test.err, test.status) || quorate.OutcomeOf(test.err) != quorate.OutcomeNotDone {
			t.Errorf("%d, %v: %v", i, test.status, test.err)
		}
	}
	propose(t, nodes[1].Service, "it goes on")
}

func TestTheOthersGoOnWithoutTheLeader(t *testing.T) {
	nodes := cluster(t, 3)
	propose(t, nodes[0].Service, "before")
	nodes[0].Close()
	eventually(t, "another leader takes proposals", func() bool {
		_, err := nodes[1].ProposeWait(within(t), text("without"))
		if err != nil && quorate.OutcomeOf(err) == quorate.OutcomeUnknown {
			t.Fatal("nobody said no:", err)
		}
		return err == nil
	})
	nodes[0].start()
	after := propose(t, nodes[2].Service, "after")
	reaches(t, after.Index, nodes...)
	for i, n := range nodes {
		if !n.state.holds("before", "without", "after") {
			t.Error(i, n.state.texts())
		}
	}
}

func TestWithoutAMajorityNothingIsAcknowledged(t *testing.T) {
	nodes := cluster(t, 2)
	propose(t, nodes[0].Service, "before")
	nodes[1].Close()
	var all sync.WaitGroup
	for range 20 {
		all.Add(1)
		go func() {
			defer all.Done()
			_, err := nodes[0].ProposeWait(context.Background(), text("never acknowledged"))
			if outcome := quorate.OutcomeOf(err); err == nil || outcome == quorate.OutcomeFatal {
				t.Error(err)
			}
		}()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := nodes[0].ReadBarrier(ctx, quorate.Linearizable); err == nil {
		t.Error("a read without a majority")
	}
	nodes[0].Close()
	all.Wait()
	if !nodes[0].state.holds("before") {
		t.Error(nodes[0].state.texts())
	}
}

func TestWhoHasNoLeaderIsToldSo(t *testing.T) {
	nodes := cluster(t, 2)
	nodes[0].Close()
	eventually(t, "it knows of no leader", func() bool {
		return nodes[1].GetLeaderID() == 0
	})
	_, err := nodes[1].Propose(text("a"))
	if !errors.Is(err, quorate.ErrNotLeader) || quorate.OutcomeOf(err) != quorate.OutcomeNotDone {
		t.Error(err)
	}
}

func TestAFollowerThatDoesNotForwardNamesTheLeader(t *testing.T) {
	nodes := cluster(t, 1)
	follower, err := quorate.StartRaft(quorate.TCP("127.0.0.1:0"), quorate.Memory(), &journal{}, quorate.WithSetting("forward_proposals", "off"))
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()
	if err := nodes[0].AddNodeContext(within(t), follower.GetAddress()); err != nil {
		t.Fatal(err)
	}
	_, err = follower.Propose(text("a"))
	var details *quorate.Error
	if !errors.As(err, &details) || details.Status != quorate.ErrNotLeader || details.Leader == nil ||
		*details.Leader != (quorate.Node{NodeID: nodes[0].MyID(), Address: nodes[0].address}) {
		t.Errorf("%+v", details)
	}
}

func TestManyProposeThroughEveryNode(t *testing.T) {
	const goroutines, each = 60, 20
	nodes := cluster(t, 3)
	ctx := within(t)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range each {
				data := fmt.Sprint(g, " ", i)
				if reply, err := nodes[g%3].ProposeWait(ctx, text(data)); err != nil || string(reply.Data) != "re: "+data {
					t.Error(reply, err)
					return
				}
			}
		}()
	}
	all.Wait()
	index, _ := nodes[0].GetLastIndex()
	reaches(t, index, nodes...)
	order := nodes[0].state.texts()
	for i, n := range nodes {
		if !slices.Equal(n.state.texts(), order) {
			t.Error("another order on node", i)
		}
	}
	slices.Sort(order)
	if len(order) != goroutines*each || len(slices.Compact(order)) != len(order) {
		t.Error(len(order), "changes")
	}
	if report := nodes[0].Report(quorate.JSON); !strings.Contains(report, nodes[1].MyID().String()) {
		t.Error(report)
	}
}
