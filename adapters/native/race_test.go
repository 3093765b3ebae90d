package native_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
)

// slowGiver gives back as often as it is asked, takes a while, and comes to know of it
// at the end only.
type slowGiver struct {
	native.Unimplemented
	asked, known atomic.Int64
}

func (w *slowGiver) Refund(context.Context, tongma.Request) (tongma.Answer, error) {
	w.asked.Add(1)
	time.Sleep(2 * time.Millisecond)
	w.known.Add(1)
	return tongma.Answer{Outcome: tongma.Approved}, nil
}

func (w *slowGiver) Authorise(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return w.Refund(ctx, r)
}

func (w *slowGiver) Inquire(context.Context, tongma.Request) (tongma.Answer, error) {
	if w.known.Load() > 0 {
		return tongma.Answer{Outcome: tongma.Approved}, nil
	}
	return tongma.Answer{Reason: tongma.UnknownToScheme}, nil
}

// meeting is a store at which several instances have all looked before any of them goes on.
type meeting struct {
	native.Store
	all     *sync.WaitGroup
	arrived sync.Once
}

func (s *meeting) Get(k native.Key) (native.Record, bool, error) {
	r, found, err := s.Store.Get(k)
	s.arrived.Do(func() { s.all.Done(); s.all.Wait() })
	return r, found, err
}

// instances are several of one adapter, which look into one store at the same moment.
func instances(n int, w native.Wallet, store native.Store) []native.Wallet {
	var all sync.WaitGroup
	all.Add(n)
	out := make([]native.Wallet, n)
	for i := range out {
		out[i] = native.Dedupe(w, &meeting{Store: store, all: &all})
	}
	return out
}

// stores are those that the package has, with nothing in them.
func stores(t *testing.T) map[string]native.Store {
	return map[string]native.Store{"memory": native.NewMemoryStore(0, nil), "file": openStore(t, t.TempDir())}
}

// Of several instances that have all seen that nothing is begun, or that what was begun
// long ago was never done, one calls the wallet; nobody is told no.
func TestDedupeOfInstancesAtTheSameMomentCallsTheWalletOnce(t *testing.T) {
	for _, begun := range []bool{false, true} {
		for _, op := range []tongma.Operation{tongma.OpAuthorise, tongma.OpRefund} {
			if begun && op != tongma.OpRefund {
				continue // only a refund is begun anew
			}
			for name, store := range stores(t) {
				w, r := &slowGiver{}, exampleRequest(1)
				r.Op = op
				if op == tongma.OpRefund {
					r.Original = payment(2)
				}
				if begun {
					old := native.Record{Amount: r.Amount, Original: r.Original, Until: time.Now().Add(-time.Hour)}
					if _, err := store.PutIf(native.Key{Op: op, Payment: r.Payment}, old); err != nil {
						t.Fatal(err)
					}
				}
				var wg sync.WaitGroup
				var approved atomic.Int64
				for _, d := range instances(4, w, store) {
					do := d.Authorise
					if op == tongma.OpRefund {
						do = d.Refund
					}
					wg.Go(func() {
						a, err := do(t.Context(), r)
						if err != nil || a.Outcome == tongma.Declined {
							t.Errorf("%s %v: %+v, %v", name, op, a, err)
						}
						if a.Outcome == tongma.Approved {
							approved.Add(1)
						}
					})
				}
				wg.Wait()
				if w.asked.Load() != 1 || approved.Load() == 0 {
					t.Errorf("%s %v, begun before: %v: the wallet was called %d times, %d were told yes", name, op, begun, w.asked.Load(), approved.Load())
				}
			}
		}
	}
}

// Of those that would replace one record, one succeeds; who comes late changes nothing,
// also behind a Delete.
func TestStoresReplaceARecordOnce(t *testing.T) {
	for name, s := range stores(t) {
		key, r := native.Key{Op: tongma.OpRefund, Payment: payment(1)}, native.Record{Amount: yuan(5)}
		for round := range 20 {
			var wg sync.WaitGroup
			var won atomic.Int64
			var next atomic.Uint64
			for range 8 {
				wg.Go(func() {
					revision, err := s.PutIf(key, r)
					switch {
					case err == nil && revision != 0:
						won.Add(1)
						next.Store(revision)
					case !errors.Is(err, native.ErrChanged):
						t.Errorf("%s: %d, %v", name, revision, err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Fatalf("%s round %d: %d of them replaced it", name, round, won.Load())
			}
			if kept, found, err := s.Get(key); !found || err != nil || kept.Revision != next.Load() {
				t.Fatalf("%s: %+v, %v, %v", name, kept, found, err)
			}
			r.Revision = next.Load()
		}
		if err := s.Delete(key, r.Revision-1); !errors.Is(err, native.ErrChanged) {
			t.Errorf("%s: an older one is deleted: %v", name, err)
		}
		if err := s.Delete(key, r.Revision); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		again, err := s.PutIf(key, native.Record{Amount: yuan(5)})
		if err != nil || again <= r.Revision {
			t.Errorf("%s: revision %d is used again: %v", name, again, err)
		}
		if _, err := s.PutIf(key, r); !errors.Is(err, native.ErrChanged) {
			t.Errorf("%s: what was deleted is replaced: %v", name, err)
		}
	}
}

// blind is a store that cannot be read.
type blind struct{ native.Store }

func (blind) Get(native.Key) (native.Record, bool, error) {
	return native.Record{}, false, errors.New("the database is gone")
}

// A store that cannot be read is not an empty one: nothing is done, and nothing is said
// about what was done before.
func TestDedupeDoesNothingWhenItsStoreCannotBeRead(t *testing.T) {
	w := &counting{}
	d := native.Dedupe(w, blind{native.NewMemoryStore(0, nil)})
	for _, do := range []func(context.Context, tongma.Request) (tongma.Answer, error){d.Authorise, d.Reverse} {
		a, err := do(t.Context(), exampleRequest(1))
		if err == nil || a.Outcome != tongma.Unknown || tongma.ReasonOf(err).Info().Money == tongma.NotMoved {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if w.authorised.Load()+w.reversed.Load() != 0 {
		t.Error("the wallet was called")
	}
}

// An answer that comes when another instance has stored one already is that one.
func TestDedupeOfTwoInstancesGivesOneAnswer(t *testing.T) {
	store := native.NewMemoryStore(0, nil)
	var other tongma.Answer
	w := &counting{}
	w.authorise = func(ctx context.Context) (tongma.Answer, error) {
		w.found = tongma.Answer{Outcome: tongma.Approved, Amount: yuan(1250), SchemeRef: "as inquired"}
		var err error
		if other, err = native.Dedupe(w, store).Authorise(ctx, exampleRequest(1)); err != nil {
			t.Error(err)
		}
		return tongma.Answer{Outcome: tongma.Approved, SchemeRef: "as done"}, nil
	}
	a, err := native.Dedupe(w, store).Authorise(t.Context(), exampleRequest(1))
	if err != nil || a.Outcome != tongma.Approved || a.SchemeRef != other.SchemeRef {
		t.Errorf("%+v, %v; the other: %+v", a, err, other)
	}
}
