package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"
	"quorate"
)

// A SQLiteStore is a store in one file of SQLite, for quorate.CustomStorage.
//
// The contract asks that a crash keeps a prefix of the calls, at least up to the last Sync. So what comes
// between two syncs is one transaction: SQLite keeps it whole or not at all. In WAL mode with
// synchronous=FULL a COMMIT returns once it is on the disk. SetMetadata must be durable on return; it
// commits what is open together with its own row, which only makes the prefix longer.
//
// All is done on one connection, because a transaction belongs to one.
type SQLiteStore struct {
	path string
	db   *sql.DB
	conn *sql.Conn
	open bool // a transaction is
}

// NewSQLiteStore names the file, which is made when it is opened.
func NewSQLiteStore(path string) *SQLiteStore { return &SQLiteStore{path: path} }

const schema = `
PRAGMA locking_mode = EXCLUSIVE; -- one process at a time; and no file for shared memory
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS metadata (key TEXT PRIMARY KEY, value BLOB NOT NULL);`

var ctx = context.Background() // nobody interrupts a store

// Open gives the ends of the log.
func (s *SQLiteStore) Open() (first, last uint64, err error) {
	defer func() { err = s.refusal(err) }()
	if s.db, err = sql.Open("sqlite3", s.path+"?_busy_timeout=0"); err != nil {
		return 0, 0, err
	}
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return 0, 0, err
	}
	if _, err = s.conn.ExecContext(ctx, schema); err != nil {
		return 0, 0, err
	}
	row := s.conn.QueryRowContext(ctx, "SELECT ifnull(min(number), 0), ifnull(max(number), 0) FROM log")
	err = row.Scan(&first, &last)
	return first, last, err
}

// Append adds records to the open transaction.
func (s *SQLiteStore) Append(records []quorate.Record) error {
	if err := s.begin(); err != nil {
		return err
	}
	insert, err := s.conn.PrepareContext(ctx, "INSERT INTO log VALUES (?, ?)")
	if err != nil {
		return err
	}
	defer insert.Close()
	for _, record := range records {
		if _, err := insert.ExecContext(ctx, int64(record.Index), record.Data); err != nil {
			return fmt.Errorf("record %d: %w", record.Index, err)
		}
	}
	return nil
}

// Sync ends the open transaction.
func (s *SQLiteStore) Sync() error {
	if !s.open {
		return nil
	}
	_, err := s.conn.ExecContext(ctx, "COMMIT")
	s.open = err != nil
	return err
}

// Read gives records up to maxBytes, but at least one.
func (s *SQLiteStore) Read(first, last uint64, maxBytes int) ([][]byte, error) {
	const query = "SELECT data FROM log WHERE number BETWEEN ? AND ? ORDER BY number"
	rows, err := s.conn.QueryContext(ctx, query, int64(first), int64(last))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var records [][]byte
	for size := 0; size < max(maxBytes, 1) && rows.Next(); {
		var record []byte
		if err := rows.Scan(&record); err != nil {
			return nil, err
		}
		records = append(records, record)
		size += len(record)
	}
	return records, rows.Err()
}

// TruncateSuffix removes first and what follows.
func (s *SQLiteStore) TruncateSuffix(first uint64) error {
	return s.change("DELETE FROM log WHERE number >= ?", int64(first))
}

// TruncatePrefix removes last and what precedes.
func (s *SQLiteStore) TruncatePrefix(last uint64) error {
	return s.change("DELETE FROM log WHERE number <= ?", int64(last))
}

// GetMetadata gives nil when there is no such key.
func (s *SQLiteStore) GetMetadata(key string) ([]byte, error) {
	var value []byte
	err := s.conn.QueryRowContext(ctx, "SELECT value FROM metadata WHERE key = ?", key).Scan(&value)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case value == nil:
		value = []byte{} // there is one, without bytes
	}
	return value, err
}

// SetMetadata commits the value and what is open.
func (s *SQLiteStore) SetMetadata(key string, value []byte) error {
	if err := s.change("INSERT OR REPLACE INTO metadata VALUES (?, ?)", key, value); err != nil {
		return err
	}
	return s.Sync()
}

// Close drops what was never synced.
func (s *SQLiteStore) Close() error {
	var err error
	if s.conn != nil {
		if s.open {
			_, err = s.conn.ExecContext(ctx, "ROLLBACK")
		}
		err = errors.Join(err, s.conn.Close())
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

// change is one statement of the open transaction.
func (s *SQLiteStore) change(statement string, values ...any) error {
	if err := s.begin(); err != nil {
		return err
	}
	_, err := s.conn.ExecContext(ctx, statement, values...)
	return err
}

func (s *SQLiteStore) begin() error {
	if s.open {
		return nil
	}
	_, err := s.conn.ExecContext(ctx, "BEGIN")
	s.open = err == nil
	return err
}

// refusal says in the library's terms why a file can't be opened: StartRaft gives that status.
func (s *SQLiteStore) refusal(err error) error {
	var failure sqlite3.Error
	if !errors.As(err, &failure) {
		return err
	}
	switch failure.Code {
	case sqlite3.ErrBusy:
		return fmt.Errorf("%s: another process or service has it open: %w", s.path, quorate.ErrLocked)
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return fmt.Errorf("%s: %w: %w", s.path, failure, quorate.ErrCorrupt)
	}
	return fmt.Errorf("%s: %w", s.path, err)
}
