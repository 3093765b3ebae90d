package native

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// A pool runs no more than its workers at once, queues as much as it may, and
// refuses the rest at once.
func TestPoolBounds(t *testing.T) {
	release := make(chan struct{})
	var running, most, ran atomic.Int64
	p := newPool(3, 2, func(*scratch, int) {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		running.Add(-1)
		ran.Add(1)
	})
	taken := 0
	for i := range 10 {
		if p.submit(i) {
			taken++
		}
	}
	if taken != 5 {
		t.Errorf("took %d jobs, want 3 at work and 2 queued", taken)
	}
	for running.Load() < 3 {
		runtime.Gosched()
	}
	close(release)
	p.stop()
	if ran.Load() != 5 || most.Load() != 3 {
		t.Errorf("ran %d jobs, at most %d at once; want 5 and 3", ran.Load(), most.Load())
	}
	if p.submit(1) {
		t.Error("took a job after it was stopped")
	}
}

// Every job that was taken is run exactly once, however submitting and stopping
// meet.
func TestPoolLosesNothing(t *testing.T) {
	for range 50 {
		var taken, ran atomic.Int64
		p := newPool(4, 8, func(*scratch, int) { ran.Add(1) })
		var submitters sync.WaitGroup
		for range 4 {
			submitters.Go(func() {
				for i := range 200 {
					if p.submit(i) {
						taken.Add(1)
					}
				}
			})
		}
		p.stop()
		submitters.Wait()
		if taken.Load() != ran.Load() {
			t.Fatalf("took %d jobs and ran %d", taken.Load(), ran.Load())
		}
	}
}
