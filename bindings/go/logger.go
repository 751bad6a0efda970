package quorate

// Log lines.

// #include "hooks.h"
import "C"

import (
	"context"
	"log/slog"
	"runtime/cgo"
	"time"
)

// WithLogger sends the service's log lines to logger. Without it, or with nil, nothing is written
// anywhere. Each line that logger's handler says it is enabled for has the attributes node (the id of the
// node, once it is known), target (the part of the library, such as "quorate::store") and source (file and
// line there).
//
// The handler is called on any thread of the engine, on several at a time. A slow one delays the service;
// what an error or a panic of it leaves out is left out.
func WithLogger(logger *slog.Logger) Option {
	return func(o *options) { o.logger = logger }
}

//export quorateGoLog
func quorateGoLog(handle C.uintptr_t, record *C.quorate_log_record) {
	hooks.Add(1)
	defer hooks.Add(-1)
	defer func() { _ = recover() }() // a log line is not worth a service
	handler, ctx := cgo.Handle(handle).Value().(*slog.Logger).Handler(), context.Background()
	if level := levelOf(record.level); handler.Enabled(ctx, level) {
		_ = handler.Handle(ctx, line(level, record))
	}
}

// line makes a record of slog.
func line(level slog.Level, record *C.quorate_log_record) slog.Record {
	at := time.Unix(0, int64(record.timestamp_ns))
	line := slog.NewRecord(at, level, string(borrowed(record.message)), 0)
	if id := NodeID(record.node_id); id != 0 {
		line.AddAttrs(slog.String("node", id.String()))
	}
	source := &slog.Source{File: C.GoString(record.file), Line: int(record.line)}
	line.AddAttrs(slog.String("target", C.GoString(record.target)), slog.Any(slog.SourceKey, source))
	return line
}

func levelOf(level C.int32_t) slog.Level {
	switch level {
	case C.QUORATE_LOG_ERROR:
		return slog.LevelError
	case C.QUORATE_LOG_WARN:
		return slog.LevelWarn
	case C.QUORATE_LOG_INFO:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
