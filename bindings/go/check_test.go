package quorate_test

import (
	"errors"
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

func TestTheKitFindsWhatAStoreDoesWrong(t *testing.T) {
	for name, change := range map[string]func(*shelf){
		"fails": func(s *shelf) {
			s.do = func(call string) error {
				if call == "TruncateSuffix" {
					return errBroken
				}
				return nil
			}
		},
		"panics": func(s *shelf) {
			s.do = func(call string) error {
				if call == "TruncatePrefix" {
					panic(errBroken)
				}
				return nil
			}
		},
		"forgets what was synced": func(s *shelf) { s.records = nil },
		"forgets metadata":        func(s *shelf) { clear(s.disk.metadata) },
		"gives too many records": func(s *shelf) {
			s.read = func(records [][]byte) [][]byte { return append(records, records...) }
		},
		"gives damaged records": func(s *shelf) {
			s.read = func(records [][]byte) [][]byte {
				first := append([]byte{}, records[0]...)
				first[len(first)/2] ^= 1
				return append([][]byte{first}, records[1:]...)
			}
		},
		"leaves records out": func(s *shelf) {
			s.read = func(records [][]byte) [][]byte { return make([][]byte, len(records)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := quorate.CheckStore(shelves(change))
			var details *quorate.Error
			if !errors.As(err, &details) || details.Status != quorate.ErrInvalid || report == "" {
				t.Fatalf("%v\n%s", err, report)
			}
			if (name == "fails" || name == "panics") && !strings.Contains(report, errBroken.Error()) {
				t.Error(report)
			}
			if name == "panics" && !strings.Contains(report, "TruncatePrefix panicked") {
				t.Error(report)
			}
		})
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
	if err != nil {
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
