package quorate_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"quorate"
)

// sink applies nothing.
type sink struct{}

func (sink) Commit(*quorate.Entry) error { return nil }

// BenchmarkProposeWait measures one Standalone service in memory: what Go and the crossings cost.
func BenchmarkProposeWait(b *testing.B) {
	for _, goroutines := range []int{1, 16, 256, 4096} {
		b.Run(fmt.Sprint(goroutines, " goroutines"), func(b *testing.B) { proposeFrom(b, goroutines) })
	}
}

func proposeFrom(b *testing.B, goroutines int) {
	service := alone(b, sink{})
	entry := &quorate.Entry{Data: make([]byte, 128)}
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range goroutines {
		all.Add(1)
		go func() {
			defer all.Done()
			for left.Add(-1) >= 0 {
				if _, err := service.ProposeWait(context.Background(), entry); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	all.Wait()
	b.StopTimer()
	service.Close()
}
