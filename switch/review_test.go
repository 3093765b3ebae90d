package switching

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
)

// slow is a store that takes nothing while it is shut, and all of it then.
type slow struct {
	*journal.Memory
	shut    atomic.Bool
	waiting atomic.Int32
}

func (s *slow) Append(ctx context.Context, expectLast uint64, message []byte) (uint64, error) {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	for s.shut.Load() {
		time.Sleep(time.Millisecond)
	}
	return s.Memory.Append(ctx, expectLast, message)
}

// market parses a directory with the patience of a test.
func market(t testing.TB, version uint64, source string) *schemes.Directory {
	t.Helper()
	d, err := schemes.Parse(version, []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Schemes() {
		s.AuthoriseTimeout, s.InquireEvery, s.ReverseEvery, s.ConfirmWithin = 100*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond, 300*time.Millisecond
	}
	return d
}

// over opens an engine over a store, with what change makes of its options.
func over(t testing.TB, store journal.Store, change func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, scheme: newScript(), events: &eventLog{}}
	opts := Options{Store: store, Registry: schemes.NewMemoryRegistry(market(t, 1, fast)), Outbox: b.events,
		Adapters: map[tongma.SchemeID]Adapter{"wechat": b.scheme, "north": b.scheme}, DoubtFor: 200 * time.Millisecond,
		Digest: func(code string) [16]byte { var d [16]byte; copy(d[:], code[max(0, len(code)-16):]); return d }}
	if change != nil {
		change(&opts)
	}
	engine, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	b.engine = engine
	t.Cleanup(func() { engine.Close() })
	return b
}

func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for range 2000 {
		if is() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal(what + " does not come")
}

// TestReversalBehindThePostIsDriven: the acquirer's reversal is written right
// behind the posting, while the course that posted is still there. It must be
// sent all the same, whether the acquirer waits for it or not.
func TestReversalBehindThePostIsDriven(t *testing.T) {
	for name, budget := range map[string]time.Duration{"the acquirer waits": 5 * time.Second, "the acquirer has gone": 30 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			id := b.do(payRequest("k1", 1, 1250)).Payment
			scheme, _ := b.engine.Directory().Scheme("wechat")
			c := b.engine.newCourse(&clearing.Payment{ID: id, Op: tongma.OpPay}, scheme, b.scheme)
			c.state = Approved // it has posted, and is about to end
			b.engine.begin(c)
			told := make(chan tongma.Answer, 1)
			go func() {
				a, _ := b.engine.Do(context.Background(), tongma.Request{Op: tongma.OpReverse, From: "acq", OfKey: "k1", Budget: budget})
				told <- a
			}()
			until(t, "the reversal", func() bool { return len(c.poked) == 1 })
			if budget < time.Second {
				b.want(<-told, tongma.Pending, tongma.ReversalPending)
			}
			b.engine.end(c)
			b.want(b.ends(id), tongma.ReversedBack, tongma.ReversedByAcquirer)
			b.stands("wallet", 0, 0)
			if budget > time.Second {
				b.want(<-told, tongma.ReversedBack, tongma.ReversedByAcquirer)
			}
		})
	}
}
