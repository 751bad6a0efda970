// Package quorate is an embeddable Raft library: it hands a state machine the same changes, in the same
// order, on every node of a cluster, and keeps them through crashes and network faults.
//
// A program gives [StartRaft] a [StateMachine] and gets a [Service], which starts Standalone and takes
// proposals alone. [Service.InitializeCluster] makes it a cluster of one, [Service.AddNode] adds others,
// which may be written in any language of quorate.
//
// # Waiting
//
// A goroutine that waits here blocks no thread: one goroutine for each service drains a completion queue
// and wakes the others. When a context ends, the wait ends and the change goes on: its outcome is
// unknown. Everything may be used from many goroutines at once. A Service must be closed; only then its
// threads, files and memory go.
//
// # Errors
//
// What fails returns an [*Error]. [OutcomeOf] says whether the change is definitely not done, may be
// done, or was never begun because the service had failed; errors.Is compares with one [Status], such as
// [ErrBusy], and looks for other errors in what a hook returned.
//
// # Hooks
//
// The methods of a [StateMachine], [Store] and [Transport], and the handler of a logger, are called on
// threads of the engine, a batch at a time where there are batches. What they are given is a copy and theirs
// to keep: of an [Entry] Data and Tags, because its Reply is read when the method returns. An error or a
// panic in one of a StateMachine or Store stops the service for good; Err has it.
// They may not end with runtime.Goexit, which FailNow of package testing calls. Whatever waits for the
// engine is refused inside a hook, because it would wait for itself: it returns [ErrInCallback].
//
// # A store and a network of the program's own
//
// [CustomStorage] takes a Store, which [CheckStore] tries with all rules of the library's own stores.
// [CustomCommunication] takes a Transport; what that receives goes to [Service.Deliver].
//
// # What happens
//
// [Service.Events] tells of leaders, members and failures, and [WithLogger] sends log lines to a logger of
// log/slog. Without them the library writes nothing anywhere.
//
// # Building
//
// The package links the static library lib/<os>_<arch>/libquorate.a, which the recipe golib of the
// repository puts there. With the tag quorate_dynamic it links the shared library that pkg-config knows,
// which a program needs that links a second library written in Rust.
//
// The meaning of each function is that of its namesake in quorate.h.
package quorate
