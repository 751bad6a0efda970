package quorate_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"quorate"
)

func TestAStoreOfTheProgramsOwnPassesTheKit(t *testing.T) {
	report, err := quorate.CheckStore(shelves(nil))
	crashed := strings.Count(report, "skipped") == strings.Count(report, "no readers for other threads")
	if err != nil || strings.Count(report, "\n") < 15 || !crashed {
		t.Errorf("%v\n%s", err, report)
	}
}

func TestTheKitNamesTheRuleThatIsBroken(t *testing.T) {
	in := func(call string, fail func() error) func(*shelf) {
		return func(s *shelf) { s.do = (&trap{call: call, fail: fail, always: true}).spring }
	}
	for name, test := range map[string]struct {
		change func(*shelf)
		rule   string
		seen   string
	}{
		"fails":                   {in("TruncateSuffix", failures["error"]), "a truncated suffix is gone, and may be written anew", errBroken.Error()},
		"panics":                  {in("TruncatePrefix", failures["panic"]), "a removed prefix is gone; its last term is known", "TruncatePrefix panicked"},
		"forgets what was synced": {func(s *shelf) { s.records = nil }, "what was synced is there after a restart", ""},
		"forgets metadata":        {func(s *shelf) { clear(s.disk.metadata) }, "the state is kept whole, the newest one", ""},
		"gives too many records": {func(s *shelf) {
			s.read = func(records [][]byte) [][]byte { return append(records, records...) }
		}, "a read gives the entries that were asked for", ""},
		"gives damaged records": {func(s *shelf) {
			s.read = func(records [][]byte) [][]byte {
				first := append([]byte{}, records[0]...)
				first[len(first)/2] ^= 1
				return append([][]byte{first}, records[1:]...)
			}
		}, "a read gives what was appended, synced or not", ""},
		"gives them backwards": {func(s *shelf) {
			s.read = func(records [][]byte) [][]byte { slices.Reverse(records); return records }
		}, "a read gives what was appended, synced or not", ""},
		"leaves records out": {func(s *shelf) {
			s.read = func(records [][]byte) [][]byte { return make([][]byte, len(records)) }
		}, "a read gives what was appended, synced or not", ""},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := quorate.CheckStore(shelves(test.change))
			var details *quorate.Error
			if !errors.As(err, &details) || details.Status != quorate.ErrInvalid {
				t.Fatalf("%v\n%s", err, report)
			}
			if !strings.Contains(report, "BROKEN  "+test.rule+": ") || !strings.Contains(report, test.seen) {
				t.Error(report)
			}
		})
	}
}

// What a crash leaves of this store has none of its records.
func TestTheKitCrashesStores(t *testing.T) {
	maker := shelves(nil)
	var last *shelf
	report, err := quorate.CheckStore(func(how quorate.StoreHow) (quorate.Store, error) {
		store, err := maker(how)
		last = store.(*shelf)
		if how == quorate.StoreCrashed {
			for index := range last.records {
				delete(last.records, index)
			}
		}
		return last, err
	})
	rule := "BROKEN  an entry that was synced survives a crash: "
	if !errors.Is(err, quorate.ErrInvalid) || !strings.Contains(report, rule) {
		t.Fatalf("%v\n%s", err, report)
	}
	if _, calls, told := strings.Cut(report, rule); !told || !strings.Contains(calls, "the calls were: open, ") {
		t.Error(report)
	}
	if !strings.Contains(report, "ok      what was synced is there after a restart") {
		t.Error("it works as long as it does not crash:", report)
	}
}

func TestAMakerOfStoresThatFailsIsToldOf(t *testing.T) {
	for name, maker := range map[string]func(quorate.StoreHow) (quorate.Store, error){
		"fails":      func(quorate.StoreHow) (quorate.Store, error) { return nil, errBroken },
		"panics":     func(quorate.StoreHow) (quorate.Store, error) { panic(errBroken) },
		"gives nil":  func(quorate.StoreHow) (quorate.Store, error) { return nil, nil },
		"is nil":     nil,
		"stays open": func(quorate.StoreHow) (quorate.Store, error) { return nil, quorate.ErrLocked },
	} {
		report, err := quorate.CheckStore(maker)
		if !errors.Is(err, quorate.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if (name == "fails" || name == "panics") && !strings.Contains(report, errBroken.Error()) {
			t.Errorf("%s: %s", name, report)
		}
	}
}

func TestTheKitSaysWhatItLeftOut(t *testing.T) {
	maker := shelves(nil)
	report, err := quorate.CheckStore(func(how quorate.StoreHow) (quorate.Store, error) {
		if how == quorate.StoreCrashed {
			return nil, errors.ErrUnsupported
		}
		return maker(how)
	})
	if err != nil || !strings.Contains(report, "\nskipped an entry that was synced survives a crash: ") {
		t.Errorf("%v\n%s", err, report)
	}
}

func TestTheKitClosesWhatItOpened(t *testing.T) {
	var all []*shelf
	maker := shelves(func(s *shelf) {
		all = append(all, s)
		s.do = func(call string) error {
			if call == "Close" {
				return errBroken
			}
			return nil
		}
	})
	report, err := quorate.CheckStore(maker)
	if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "Close of the store failed") {
		t.Errorf("%v\n%s", err, report)
	}
	for i, s := range all {
		if s.closed != 1 {
			t.Errorf("store %d of %d was closed %d times", i, len(all), s.closed)
		}
	}
}

func TestTheKitIsRefusedInAHook(t *testing.T) {
	var refused error
	state := &journal{do: func(*quorate.Entry) error {
		_, refused = quorate.CheckStore(shelves(nil))
		return nil
	}}
	propose(t, alone(t, state), "a")
	if !errors.Is(refused, quorate.ErrInCallback) {
		t.Error(refused)
	}
}
