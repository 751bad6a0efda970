package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorate"
)

// files makes stores for the kit, each in its folder. What a crash leaves is a copy of the database and of
// its journal while the store is open; what it has in memory is not copied.
func files(t *testing.T) func(quorate.StoreHow) (quorate.Store, error) {
	folder, made := t.TempDir(), 0
	name := func() string { return filepath.Join(folder, fmt.Sprint(made, ".db")) }
	return func(how quorate.StoreHow) (quorate.Store, error) {
		before := name()
		if how != quorate.StoreAgain {
			made++
		}
		if how == quorate.StoreCrashed {
			for _, ending := range []string{"", "-wal"} {
				if err := copyFile(before+ending, name()+ending); err != nil {
					return nil, err
				}
			}
		}
		return NewSQLiteStore(name()), nil
	}
}

func copyFile(from, to string) error {
	bytes, err := os.ReadFile(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, bytes, 0o644)
}

func TestTheStorePassesTheKit(t *testing.T) {
	report, err := quorate.CheckStore(files(t))
	readers := strings.Count(report, "no readers for other threads")
	if err != nil || strings.Count(report, "skipped") != readers {
		t.Errorf("%v\n%s", err, report)
	}
}

func TestAFileInUseOrDamagedIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	start := func() (*quorate.Service, error) {
		return quorate.StartRaft(nil, quorate.CustomStorage("", NewSQLiteStore(path)), &KV{rows: map[string]string{}})
	}
	first, err := start()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := start(); !errors.Is(err, quorate.ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	first.Close()
	again, err := start()
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if err := os.WriteFile(path, []byte("this is no database, and it is long enough to be taken for one"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := start(); !errors.Is(err, quorate.ErrCorrupt) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}
