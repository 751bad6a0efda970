package quorate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"quorate"
)

// A page is what a logger writes on.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(line)
}

// lines reads what is on the page, each line an object.
func (p *page) lines(t *testing.T) (all []map[string]any) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(p.text.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, fields)
	}
	return all
}

func TestEveryServiceHasItsOwnLogger(t *testing.T) {
	var pages [2]page
	for i := range pages {
		logger := slog.New(slog.NewJSONHandler(&pages[i], &slog.HandlerOptions{Level: slog.LevelDebug})).With("mine", i)
		service := alone(t, &journal{}, quorate.WithLogger(logger))
		id := service.MyID().String()
		service.Close()
		lines := pages[i].lines(t)
		for _, line := range lines {
			source, _ := line["source"].(map[string]any)
			file, _ := source["file"].(string)
			target, _ := line["target"].(string)
			if line["mine"] != float64(i) || line["msg"] == "" || line["time"] == "" || !strings.HasSuffix(file, ".rs") || !strings.HasPrefix(target, "quorate::") {
				t.Error(line)
			}
		}
		if last := lines[len(lines)-1]; last["node"] != id || last["level"] != "INFO" || last["msg"] != "closed" {
			t.Error(lines)
		}
	}
}

func TestALoggerChoosesItsLevel(t *testing.T) {
	var p page
	level := new(slog.LevelVar)
	level.Set(slog.LevelWarn)
	logger := slog.New(slog.NewJSONHandler(&p, &slog.HandlerOptions{Level: level}))
	service := alone(t, &journal{}, quorate.WithLogger(logger))
	propose(t, service, "nothing to worry about")
	if lines := p.lines(t); len(lines) != 0 {
		t.Error(lines)
	}
	level.Set(slog.LevelInfo) // asked at each line
	service.Close()
	if lines := p.lines(t); len(lines) != 1 || lines[0]["msg"] != "closed" {
		t.Error(lines)
	}
}

func TestWhatMadeAServiceFailIsLogged(t *testing.T) {
	var p page
	service := alone(t, &journal{do: func(*quorate.Entry) error { return errBroken }}, quorate.WithLogger(slog.New(slog.NewJSONHandler(&p, nil))))
	events := service.Events(within(t))
	service.ProposeWait(within(t), text("bad"))
	until(t, events, quorate.FailedEvent)
	service.Close()
	lines := p.lines(t)
	failed := slices.IndexFunc(lines, func(line map[string]any) bool { return line["level"] == "ERROR" })
	if failed < 0 || !strings.Contains(lines[failed]["msg"].(string), errBroken.Error()) {
		t.Error(lines)
	}
}

// A loud handler fails at every line, and calls a service before.
type loud struct {
	mu      sync.Mutex
	service *quorate.Service
	refused []error
	lines   int
	fail    func() error
}

func (l *loud) Enabled(context.Context, slog.Level) bool { return true }
func (l *loud) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *loud) WithGroup(string) slog.Handler            { return l }

func (l *loud) Handle(ctx context.Context, _ slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines++
	if l.service != nil {
		_, err := l.service.ProposeWait(ctx, text("inner"))
		l.refused = append(l.refused, err)
	}
	return l.fail()
}

func TestALoggerThatFailsStopsNothing(t *testing.T) {
	for name, fail := range failures {
		handler := &loud{fail: fail}
		service, err := quorate.StartRaft(quorate.TCP("127.0.0.1:0"), quorate.Memory(), &journal{}, quorate.WithLogger(slog.New(handler)))
		if err != nil {
			t.Fatal(err)
		}
		handler.mu.Lock()
		handler.service = service
		handler.mu.Unlock()
		if err := service.InitializeClusterContext(within(t), service.GetAddress()); err != nil {
			t.Error(name, err)
		}
		propose(t, service, "it goes on")
		service.Close()
		if err := service.Err(); err != nil {
			t.Error(name, err)
		}
		others := slices.DeleteFunc(handler.refused, func(err error) bool { return errors.Is(err, quorate.ErrInCallback) })
		if handler.lines < 2 || len(others) > 0 {
			t.Error(name, handler.lines, others)
		}
	}
	alone(t, &journal{}, quorate.WithLogger(nil)) // nobody hears anything
}
