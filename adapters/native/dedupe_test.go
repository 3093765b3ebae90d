package native_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
)

// counting is a wallet that counts what reaches it.
type counting struct {
	native.Unimplemented
	authorised, reversed, inquired atomic.Int64
	authorise                      func(context.Context) (tongma.Answer, error)
	found                          tongma.Answer
}

func (w *counting) Authorise(ctx context.Context, _ tongma.Request) (tongma.Answer, error) {
	n := w.authorised.Add(1)
	if w.authorise != nil {
		return w.authorise(ctx)
	}
	return tongma.Answer{Outcome: tongma.Approved, At: n}, nil
}

func (w *counting) Inquire(context.Context, tongma.Request) (tongma.Answer, error) {
	w.inquired.Add(1)
	return w.found, nil
}

func (w *counting) Reverse(context.Context, tongma.Request) (tongma.Answer, error) {
	w.reversed.Add(1)
	if w.authorised.Load() == 0 {
		return tongma.Answer{Reason: tongma.UnknownToScheme}, nil
	}
	return tongma.Answer{Outcome: tongma.Approved}, nil
}

func openStore(t *testing.T, dir string) *native.FileStore {
	t.Helper()
	s, err := native.OpenFileStore(dir, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// A repeat gets the first answer byte for byte, also after a restart, and the
// wallet is called once.
func TestDedupeRepeats(t *testing.T) {
	dir := t.TempDir()
	w := &counting{}
	var first []byte
	for range 3 {
		store := openStore(t, dir)
		d := native.Dedupe(w, store)
		for attempt := range 2 {
			r := exampleRequest(1)
			r.Attempt = attempt
			a, err := d.Authorise(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			got := a.AppendJSON(nil)
			if first == nil {
				first = got
			}
			if !bytes.Equal(first, got) {
				t.Errorf("first %s\nthen %s", first, got)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.authorised.Load(); n != 1 {
		t.Errorf("the wallet was called %d times", n)
	}
}

// Repeats that come at once wait for the first.
func TestDedupeTogether(t *testing.T) {
	w := &counting{authorise: func(context.Context) (tongma.Answer, error) {
		time.Sleep(20 * time.Millisecond)
		return tongma.Answer{Outcome: tongma.Declined, Reason: tongma.InsufficientFunds}, nil
	}}
	d := native.Dedupe(w, native.NewMemoryStore(0, nil))
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if a, err := d.Authorise(t.Context(), exampleRequest(1)); err != nil || a.Reason != tongma.InsufficientFunds {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	all.Wait()
	if n := w.authorised.Load(); n != 1 {
		t.Errorf("the wallet was called %d times", n)
	}
}

// If the process dies after the wallet was called and before its answer was
// stored, the repeat inquires and does not debit again.
func TestDedupeInquiresAfterACrash(t *testing.T) {
	dir := t.TempDir()
	w := &counting{found: tongma.Answer{Outcome: tongma.Approved, Amount: yuan(1250), SchemeRef: "W9"}}
	store := openStore(t, dir)
	w.authorise = func(context.Context) (tongma.Answer, error) {
		_ = store.Close() // as if the disk had gone at this moment
		return tongma.Answer{Outcome: tongma.Approved}, nil
	}
	if a, err := native.Dedupe(w, store).Authorise(t.Context(), exampleRequest(1)); err != nil || a.Outcome != tongma.Approved {
		t.Fatalf("%v, %v: the answer is true though it cannot be stored", a.Outcome, err)
	}
	d := native.Dedupe(w, openStore(t, dir))
	for range 2 {
		a, err := d.Authorise(t.Context(), exampleRequest(1))
		if err != nil || a.Outcome != tongma.Approved || a.SchemeRef != "W9" || a.Payment != payment(1) {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if w.authorised.Load() != 1 || w.inquired.Load() != 1 {
		t.Errorf("debited %d times, inquired %d times; want 1 and 1", w.authorised.Load(), w.inquired.Load())
	}
}

// If it cannot be stored that a payment is begun, the wallet is not called, and
// the error says so.
func TestDedupeStoreFailsBefore(t *testing.T) {
	store := openStore(t, t.TempDir())
	_ = store.Close()
	w := &counting{}
	_, err := native.Dedupe(w, store).Authorise(t.Context(), exampleRequest(1))
	wantReason(t, err, tongma.AdapterBusy)
	if w.authorised.Load() != 0 {
		t.Error("the wallet was called")
	}
}

// A payment id with another amount is unknown: neither done nor declined.
func TestDedupeOtherAmount(t *testing.T) {
	w := &counting{}
	d := native.Dedupe(w, native.NewMemoryStore(0, nil))
	r := exampleRequest(1)
	_, _ = d.Authorise(t.Context(), r)
	r.Amount.Minor++
	a, err := d.Authorise(t.Context(), r)
	if err != nil || a.Outcome != tongma.Unknown || a.Reason.Info().Money != tongma.MayHaveMoved || w.authorised.Load() != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}

// What the wallet refused without doing anything may be asked again.
func TestDedupeRefusalIsNotKept(t *testing.T) {
	w := &counting{authorise: func(context.Context) (tongma.Answer, error) {
		return tongma.Answer{}, &tongma.Error{Reason: tongma.AdapterBusy}
	}}
	d := native.Dedupe(w, openStore(t, t.TempDir()))
	_, err := d.Authorise(t.Context(), exampleRequest(1))
	wantReason(t, err, tongma.AdapterBusy)
	w.authorise = nil
	if a, err := d.Authorise(t.Context(), exampleRequest(1)); err != nil || a.Outcome != tongma.Approved {
		t.Errorf("%+v, %v", a, err)
	}
}

// A reversal before its payment bars it, also after a restart, though the wallet
// itself knows nothing of such things.
func TestDedupeReversalFirst(t *testing.T) {
	dir := t.TempDir()
	w := &counting{}
	store := openStore(t, dir)
	r := exampleRequest(1)
	if a, err := native.Dedupe(w, store).Reverse(t.Context(), r); err != nil || a.Outcome != tongma.Approved || a.Status != tongma.ReversedBack {
		t.Fatalf("%+v, %v", a, err)
	}
	_ = store.Close()
	d := native.Dedupe(w, openStore(t, dir))
	if a, err := d.Authorise(t.Context(), r); err != nil || a.Outcome != tongma.Declined || a.Reason != tongma.ReversedBeforeOriginal {
		t.Errorf("%+v, %v", a, err)
	}
	if w.authorised.Load() != 0 {
		t.Error("the wallet was called")
	}
}

// A reversal that finds its payment being worked on ends that work, waits for it,
// and undoes it.
func TestDedupeReversalInterrupts(t *testing.T) {
	begun := make(chan struct{})
	w := &counting{authorise: func(ctx context.Context) (tongma.Answer, error) {
		close(begun)
		<-ctx.Done()
		return tongma.Answer{}, ctx.Err()
	}}
	d := native.Dedupe(w, native.NewMemoryStore(0, nil))
	ended := make(chan error, 1)
	go func() { _, err := d.Authorise(t.Context(), exampleRequest(1)); ended <- err }()
	<-begun
	if a, err := d.Reverse(t.Context(), exampleRequest(1)); err != nil || a.Outcome != tongma.Approved || w.reversed.Load() != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the payment ended with %v", err)
	}
}

// A file that ends in the middle of a record is cut there, wherever that is, and
// everything before it is kept; a changed byte before the last record is an
// error that says where.
func TestFileStoreDamage(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	key := func(n uint64) native.Key { return native.Key{Op: tongma.OpAuthorise, Payment: payment(n)} }
	for n := range uint64(3) {
		answer := tongma.Answer{Payment: payment(n), Outcome: tongma.Approved, Status: tongma.Paid, Amount: yuan(1250), Detail: "fine"}
		if _, err := s.PutIf(key(n), native.Record{Done: true, Amount: yuan(1250), Answer: answer}); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	whole, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for cut := last; cut < len(whole); cut++ {
		if err := os.WriteFile(names[0], whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s := openStore(t, dir)
		_, second, _ := s.Get(key(1))
		_, third, _ := s.Get(key(2))
		if !second || third {
			t.Fatalf("cut at %d of %d: second %v, third %v", cut, len(whole), second, third)
		}
		if _, err := s.PutIf(key(9), native.Record{Amount: yuan(1)}); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		s = openStore(t, dir)
		if _, ok, _ := s.Get(key(9)); !ok {
			t.Fatalf("cut at %d: what was put afterwards is lost", cut)
		}
		_ = s.Close()
	}
	for at := range last {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x04
		if err := os.WriteFile(names[0], damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := native.OpenFileStore(dir, 0, nil); err == nil {
			_ = s.Close()
			t.Fatalf("byte %d of %d was changed, and nobody noticed", at, len(whole))
		}
	}
}

// A store remembers for as long as it promises, over restarts, and for no more
// than twice as long.
func TestFileStoreForgets(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	key := func(day uint64) native.Key { return native.Key{Op: tongma.OpAccept, Payment: payment(day)} }
	for day := range uint64(30) {
		s, err := native.OpenFileStore(dir, 5*24*time.Hour, clock)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.PutIf(key(day), native.Record{Amount: yuan(1)}); err != nil {
			t.Fatal(err)
		}
		for age := range min(day, 20) {
			_, known, _ := s.Get(key(day - age))
			if age < 5 && !known || age > 10 && known {
				t.Errorf("day %d: %d days old, known: %v", day, age, known)
			}
		}
		_ = s.Close()
		now = now.Add(24 * time.Hour)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 2 {
		t.Errorf("%d files, want 2", len(names))
	}
}

// begunBefore is a store in which something was begun by a process that died.
func begunBefore(op tongma.Operation, until time.Time) native.Store {
	s := native.NewMemoryStore(0, nil)
	r := exampleRequest(1)
	_, _ = s.PutIf(native.Key{Op: op, Payment: r.Payment}, native.Record{Amount: r.Amount, Original: r.Original, Until: until})
	return s
}

// What was begun, and what its wallet has no record of, ends when nothing of it can be
// under way any more, and not before: a reversal is acknowledged, and bars it.
func TestDedupeReversesWhatItsWalletNeverHeardOf(t *testing.T) {
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for _, until := range []time.Time{now.Add(-time.Second), {}} { // a process of before noted no time
		now := now
		w := &counting{found: tongma.Answer{Reason: tongma.UnknownToScheme}}
		d := native.DedupeWith(w, begunBefore(tongma.OpAuthorise, until), native.DedupeOptions{Now: func() time.Time { return now }})
		if a, err := d.Reverse(t.Context(), exampleRequest(1)); err != nil || a.Outcome != tongma.Unknown || a.After <= 0 {
			t.Errorf("it may be under way: %+v, %v", a, err)
		}
		now = now.Add(native.DefaultSettle)
		if a, err := d.Authorise(t.Context(), exampleRequest(1)); err != nil || a.Outcome != tongma.Unknown || w.authorised.Load() != 0 {
			t.Errorf("a payment is not begun anew: %+v, %v", a, err)
		}
		if a, err := d.Reverse(t.Context(), exampleRequest(1)); err != nil || a.Outcome != tongma.Approved || a.Status != tongma.ReversedBack {
			t.Errorf("%+v, %v", a, err)
		}
		if a, err := d.Inquire(t.Context(), exampleRequest(1)); err != nil || a.Outcome != tongma.Declined {
			t.Errorf("%+v, %v", a, err)
		}
	}
}

// A wallet that keeps no record of what it declined leaves nothing open by that.
func TestDedupeTellsOfWhatWasDeclined(t *testing.T) {
	w := &counting{found: tongma.Answer{Reason: tongma.UnknownToScheme}, authorise: func(context.Context) (tongma.Answer, error) {
		return tongma.Answer{Outcome: tongma.Declined, Reason: tongma.InsufficientFunds}, nil
	}}
	d := native.Dedupe(w, native.NewMemoryStore(0, nil))
	_, _ = d.Authorise(t.Context(), exampleRequest(1))
	if a, err := d.Inquire(t.Context(), exampleRequest(1)); err != nil || a.Outcome != tongma.Declined || a.Reason != tongma.InsufficientFunds {
		t.Errorf("%+v, %v", a, err)
	}
	w.authorised.Store(0) // so that it has no record
	if a, err := d.Reverse(t.Context(), exampleRequest(1)); err != nil || a.Outcome != tongma.Approved {
		t.Errorf("%+v, %v", a, err)
	}
}

// A wallet that has lost what it approved is not believed: the money has moved.
func TestDedupeDoesNotReverseWhatItsWalletHasLost(t *testing.T) {
	w := &counting{found: tongma.Answer{Reason: tongma.UnknownToScheme}}
	d := native.Dedupe(w, native.NewMemoryStore(0, nil))
	_, _ = d.Authorise(t.Context(), exampleRequest(1))
	w.authorised.Store(0)
	if a, err := d.Reverse(t.Context(), exampleRequest(1)); err != nil || a.Outcome != tongma.Unknown {
		t.Errorf("%+v, %v", a, err)
	}
}

// shared is a store of several instances: behind a chosen step, another one acts.
type shared struct {
	native.Store
	behindGet, behindPut func(native.Key)
}

func (s *shared) Get(k native.Key) (native.Record, bool, error) {
	r, ok, err := s.Store.Get(k)
	if f := s.behindGet; f != nil {
		f(k)
	}
	return r, ok, err
}

func (s *shared) PutIf(k native.Key, r native.Record) (uint64, error) {
	revision, err := s.Store.PutIf(k, r)
	if f := s.behindPut; f != nil {
		f(k)
	}
	return revision, err
}

// A reversal that reaches another instance, at whatever moment, is not acknowledged if
// the wallet is called afterwards.
func TestDedupeOfTwoInstancesNeverDoesWhatWasReversed(t *testing.T) {
	for _, moment := range []struct {
		op  tongma.Operation
		put bool
	}{{tongma.OpReverse, false}, {tongma.OpAuthorise, false}, {tongma.OpAuthorise, true}} {
		w := &counting{}
		memory := native.NewMemoryStore(0, nil)
		store := &shared{Store: memory}
		var reversed tongma.Answer
		var before int64
		act := func(k native.Key) {
			if k.Op != moment.op || !reversed.Payment.IsZero() {
				return
			}
			var err error
			if reversed, err = native.Dedupe(w, memory).Reverse(t.Context(), exampleRequest(1)); err != nil {
				t.Fatal(err)
			}
			reversed.Payment, before = payment(1), w.authorised.Load()
		}
		if moment.put {
			store.behindPut = act
		} else {
			store.behindGet = act
		}
		a, err := native.Dedupe(w, store).Authorise(t.Context(), exampleRequest(1))
		if err != nil || reversed.Payment.IsZero() {
			t.Fatal(a, err)
		}
		if reversed.Outcome == tongma.Approved && before == 0 && w.authorised.Load() > 0 {
			t.Errorf("behind %v: acknowledged, and then debited: %+v", moment, a)
		}
	}
}

// giver is a wallet that gives back as often as it is asked, and has no record of it yet.
type giver struct {
	native.Unimplemented
	given    int
	inquired func()
}

func (w *giver) Refund(context.Context, tongma.Request) (tongma.Answer, error) {
	w.given++
	return tongma.Answer{Outcome: tongma.Approved}, nil
}

func (w *giver) Inquire(context.Context, tongma.Request) (tongma.Answer, error) {
	a := tongma.Answer{Reason: tongma.UnknownToScheme}
	if w.given > 0 {
		a = tongma.Answer{Outcome: tongma.Approved}
	}
	if f := w.inquired; f != nil {
		w.inquired = nil
		f()
	}
	return a, nil
}

// A refund that was begun long ago and has no record is begun anew by one instance: who
// asked the wallet meanwhile, at another one, goes by what that one has written.
func TestDedupeOfTwoInstancesGivesBackOnce(t *testing.T) {
	w, store := &giver{}, native.NewMemoryStore(0, nil)
	r := exampleRequest(1)
	r.Op, r.Original = tongma.OpRefund, payment(2)
	begun := native.Record{Amount: r.Amount, Original: r.Original, Until: time.Now().Add(-time.Hour)}
	if _, err := store.PutIf(native.Key{Op: tongma.OpRefund, Payment: r.Payment}, begun); err != nil {
		t.Fatal(err)
	}
	w.inquired = func() {
		if a, err := native.Dedupe(w, store).Refund(t.Context(), r); err != nil || a.Outcome != tongma.Approved {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if a, err := native.Dedupe(w, store).Refund(t.Context(), r); err != nil || a.Outcome == tongma.Declined || w.given != 1 {
		t.Errorf("%+v, %v; given back %d times", a, err, w.given)
	}
}
