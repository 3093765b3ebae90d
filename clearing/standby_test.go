package clearing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
	"go.uber.org/goleak"
)

func openStandby(t testing.TB, store journal.Store, opts LedgerOptions) *Standby {
	t.Helper()
	if opts.Now == nil {
		opts.Now = func() int64 { return startMillis }
	}
	s, err := OpenStandby(context.Background(), store, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func takeOver(t testing.TB, s *Standby) *Ledger {
	t.Helper()
	l, err := s.TakeOver(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// caughtUp waits until a standby has read all that is stored.
func caughtUp(t testing.TB, s *Standby) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		lag, err := s.Lag(context.Background())
		if err == nil && lag.Batches == 0 && lag.Entries == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still behind: %+v, %v", lag, err)
		}
	}
}

func reasonIs(t testing.TB, what string, err error, want tongma.Reason) {
	t.Helper()
	if err == nil || tongma.ReasonOf(err) != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

// office is who a load of callers submits to, and what it told them.
type office struct {
	ledger atomic.Pointer[Ledger]

	mu    sync.Mutex // guards told
	told  map[uint64]tongma.PaymentID
	tries atomic.Uint64
	moved atomic.Int64 // minor units of postings that were acknowledged
}

func newOffice(l *Ledger) *office {
	o := &office{told: map[uint64]tongma.PaymentID{}}
	o.ledger.Store(l)
	return o
}

// ask submits to whoever is in office until somebody decides. Each try is a
// payment of its own, under the key that the entry has.
func (o *office) ask(t testing.TB, e Entry) (Result, bool) {
	for began := time.Now(); time.Since(began) < time.Minute; {
		if e.Kind == KindHold {
			e.Payment = testID(1<<40 + o.tries.Add(1))
		}
		l := o.ledger.Load()
		r, err := l.Submit(context.Background(), e)
		if err == nil {
			return r, true
		}
		for o.ledger.Load() == l && l.Err() != nil && time.Since(began) < time.Minute {
			time.Sleep(100 * time.Microsecond)
		}
	}
	t.Error("nobody decides")
	return Result{}, false
}

// pay holds and posts one payment of 10, and writes down what it was told.
func (o *office) pay(t testing.TB, n uint64) {
	r, ok := o.ask(t, hold(n, "bank-a", "shop-b", 10))
	if !ok || r.Reason != tongma.NoReason {
		t.Errorf("payment %d: %+v", n, r.Verdict)
		return
	}
	id := r.Payment.ID
	o.mu.Lock()
	o.told[n] = id
	o.mu.Unlock()
	if r, ok = o.ask(t, Entry{Kind: KindPost, Payment: id}); ok && r.Reason != tongma.NoReason {
		t.Errorf("posting of payment %d: %+v", n, r.Verdict)
	}
	o.moved.Add(10)
}

// holdsAll fails unless the store has what callers were told, once, and nothing
// of a writer behind the epoch record of the next.
func (o *office) holdsAll(t testing.TB, store journal.Store) (ignored int) {
	t.Helper()
	b := bookOf(t, store)
	for n, id := range o.told {
		p, ok := b.PaymentByKey("shop-b", testID(n).String())
		if !ok || p.ID != id || p.Phase != KindPost {
			t.Errorf("payment %d: told %s, stored %t %+v", n, id, ok, p)
		}
	}
	if p := b.Positions()[0]; p.Position != o.moved.Load() || p.Reserved != 0 {
		t.Errorf("told that %d moved, the journal says %d, and %d held", o.moved.Load(), p.Position, p.Reserved)
	}
	if all := b.Recent(1<<30, func(*Payment) bool { return true }); len(all) != len(o.told) {
		t.Errorf("%d payments told, %d stored", len(o.told), len(all))
	}
	if r, err := Audit(context.Background(), store, AuditOptions{}); err != nil || !r.OK {
		t.Errorf("audit: %v %+v", err, r.Findings)
	}
	var epoch uint64
	err := store.Read(context.Background(), 1, func(seq uint64, message []byte) error {
		m, err := journal.ParseBatch(message)
		if m.Epoch < epoch {
			ignored++
		}
		epoch = max(epoch, m.Epoch)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return ignored
}

// crossing is a writer's view of a store. From one Append on it lets the test do
// something while that batch is on its way, or after it took effect but before the
// writer hears of it.
type crossing struct {
	journal.Store
	appends atomic.Int64
	at      atomic.Int64 // which Append; 0 for none
	meet    func(deliver func() (uint64, error)) (uint64, error)
}

func (c *crossing) Append(ctx context.Context, last uint64, message []byte) (uint64, error) {
	deliver := func() (uint64, error) { return c.Store.Append(ctx, last, message) }
	if n := c.appends.Add(1); n == c.at.Load() {
		return c.meet(deliver)
	}
	return deliver()
}

// TestTakeOverAtEveryBatch: under load, a standby takes over in front of, and
// behind, each batch of the writer, whose answer then comes, or is lost. Nothing
// that was acknowledged is lost, nothing is there twice, and the deposed one stops.
func TestTakeOverAtEveryBatch(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	for _, c := range []struct {
		name string
		meet func(deliver func() (uint64, error), seize func()) (uint64, error)
	}{
		{"while a batch is on its way", func(deliver func() (uint64, error), seize func()) (uint64, error) {
			seize()
			return deliver()
		}},
		{"behind a batch that is acknowledged late", func(deliver func() (uint64, error), seize func()) (uint64, error) {
			seq, err := deliver()
			seize()
			return seq, err
		}},
		{"behind a batch whose acknowledgement is lost", func(deliver func() (uint64, error), seize func()) (uint64, error) {
			_, err := deliver()
			seize()
			return 0, errors.Join(journal.ErrInDoubt, err)
		}},
		{"and the batch on its way is lost", func(_ func() (uint64, error), seize func()) (uint64, error) {
			seize()
			return 0, fmt.Errorf("%w: lost", journal.ErrInDoubt)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			boundaries := 0
			for at := int64(1); at <= 40; at++ {
				if takeOverAt(t, at, c.meet) {
					boundaries++
				}
			}
			t.Logf("%d boundaries", boundaries)
			if boundaries < 30 {
				t.Errorf("only %d batches were met", boundaries)
			}
		})
	}
}

func takeOverAt(t *testing.T, at int64, meet func(deliver func() (uint64, error), seize func()) (uint64, error)) bool {
	store := journal.NewMemory()
	c := &crossing{Store: store}
	old := openLedger(t, c, LedgerOptions{})
	submit(t, old, capOf("bank-a", 1_000_000))
	standby := openStandby(t, store, LedgerOptions{})
	o := newOffice(old)
	met := false
	c.meet = func(deliver func() (uint64, error)) (uint64, error) {
		met = true
		return meet(deliver, func() { o.ledger.Store(takeOver(t, standby)) })
	}
	c.at.Store(c.appends.Load() + at)
	var all sync.WaitGroup
	for caller := range uint64(6) {
		all.Go(func() {
			for i := range uint64(24) {
				o.pay(t, 1+caller*100+i)
			}
		})
	}
	all.Wait()
	if !met {
		_, _ = old.Close(), standby.Close()
		return false
	}
	reasonIs(t, "the deposed one, asked", old.Confirm(context.Background()), tongma.SteppedDown)
	<-old.Stopped()
	if n := o.holdsAll(t, store); n != 0 {
		t.Errorf("%d batches of the deposed writer are behind the epoch record", n)
	}
	if young := o.ledger.Load(); young.Epoch() != old.Epoch()+1 || young.Err() != nil {
		t.Errorf("epoch %d behind %d, %v", young.Epoch(), old.Epoch(), young.Err())
	}
	_, _ = o.ledger.Load().Close(), old.Close()
	return true
}

// TestEverybodyAtADeposedWriterIsTold: who was on the way, who waits behind, who
// looks and who comes later all hear SteppedDown, and Stopped is closed.
func TestEverybodyAtADeposedWriterIsTold(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := newGated()
	old := openLedger(t, store, LedgerOptions{})
	submit(t, old, capOf("bank-a", 100))
	standby := openStandby(t, store.Memory, LedgerOptions{})
	store.shut.Store(true)
	ask := func(n uint64) chan error {
		return later(func() error {
			_, err := old.Submit(context.Background(), hold(n, "bank-a", "shop-b", 1))
			return err
		})
	}
	waiting := map[string]chan error{"on the way": ask(1)}
	<-store.entered
	waiting["behind it"] = ask(2)
	waiting["the repeat"] = ask(1)
	waiting["a look"] = later(func() error { return old.Read(context.Background(), func(*Book) {}) })
	young := takeOver(t, standby)
	store.shut.Store(false)
	close(store.open)
	for what, c := range waiting {
		reasonIs(t, what, eventually(t, what, c), tongma.SteppedDown)
	}
	<-old.Stopped()
	_, err := old.Submit(t.Context(), hold(3, "bank-a", "shop-b", 1))
	reasonIs(t, "later", err, tongma.SteppedDown)
	reasonIs(t, "why", old.Err(), tongma.SteppedDown)
	if r := submit(t, young, hold(1, "bank-a", "shop-b", 1)); !r.Write {
		t.Errorf("the one in office: %+v", r)
	}
}

// TestADeposedWriterAnswersNothingFromMemory: where a standby may take over,
// looks and repeats wait for the store's word too.
func TestADeposedWriterAnswersNothingFromMemory(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	for _, c := range []struct {
		what string
		ask  func(l *Ledger) error
	}{
		{"a look", func(l *Ledger) error { return l.Read(context.Background(), func(*Book) {}) }},
		{"a repeat", func(l *Ledger) error {
			_, err := l.Submit(context.Background(), hold(1, "bank-a", "shop-b", 10))
			return err
		}},
		{"a question about what it never heard of", func(l *Ledger) error {
			_, err := l.Submit(context.Background(), Entry{Kind: KindVoid, Payment: testID(2)})
			return err
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			store := journal.NewMemory()
			old := openLedger(t, store, LedgerOptions{Confirm: true})
			submit(t, old, capOf("bank-a", 100))
			submit(t, old, hold(1, "bank-a", "shop-b", 10))
			store.FailReads(2) // the store is away for a moment, and is asked again
			if err := c.ask(old); err != nil {
				t.Errorf("in office: %v", err)
			}
			takeOver(t, openStandby(t, store, LedgerOptions{}))
			reasonIs(t, "deposed", c.ask(old), tongma.SteppedDown)
			<-old.Stopped()
		})
	}
}

// TestAStoreThatLostItsEndStopsTheWriter: it does not answer from a Book that the
// journal no longer bears out.
func TestAStoreThatLostItsEndStopsTheWriter(t *testing.T) {
	beside(t)
	store := journal.NewMemory()
	l := openLedger(t, store, LedgerOptions{Confirm: true})
	submit(t, l, capOf("bank-a", 100))
	store.Lose(1)
	if err := l.Read(t.Context(), func(*Book) {}); err == nil {
		t.Error("answered")
	}
	<-l.Stopped()
	reasonIs(t, "the next", l.Confirm(t.Context()), tongma.JournalStopped)
}

// TestAStandbyHasTheWritersBook, at any time, and knows how far it is behind.
func TestAStandbyHasTheWritersBook(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := journal.NewMemory()
	l := openLedger(t, store, LedgerOptions{})
	var seen atomic.Int64
	standby := openStandby(t, store, LedgerOptions{OnReplay: func(es []Entry) { seen.Add(int64(len(es))) }})
	submit(t, l, capOf("bank-a", 1_000_000))
	o := newOffice(l)
	var all sync.WaitGroup
	for caller := range uint64(8) {
		all.Go(func() {
			for i := range uint64(50) {
				o.pay(t, 1+caller*100+i)
			}
		})
	}
	all.Wait()
	caughtUp(t, standby)
	if err := standby.Read(func(b *Book) { sameBooks(t, b, bookOf(t, store)) }); err != nil {
		t.Fatal(err)
	}
	if uint64(seen.Load()) != l.Next()-1 || standby.Epoch() != l.Epoch() {
		t.Errorf("saw %d entries of %d, epoch %d of %d", seen.Load(), l.Next()-1, standby.Epoch(), l.Epoch())
	}
	young := takeOver(t, standby)
	if uint64(seen.Load()) != young.Next()-1 {
		t.Errorf("%d entries were shown for %d: read twice, or not at all", seen.Load(), young.Next()-1)
	}
	if err := young.Read(t.Context(), func(b *Book) { sameBooks(t, b, bookOf(t, store)) }); err != nil {
		t.Fatal(err)
	}
	if err := standby.Read(func(*Book) {}); !errors.Is(err, ErrOver) {
		t.Errorf("the standby still has a Book: %v", err)
	}
	if _, err := standby.TakeOver(t.Context()); !errors.Is(err, ErrOver) {
		t.Errorf("took over twice: %v", err)
	}
	if err := standby.Close(); err != nil || young.Err() != nil {
		t.Errorf("closing the standby: %v, %v", err, young.Err())
	}
}

// deaf is a store whose Tail goes silent at once, as a consumer does whose server
// has died, as often as it is told to.
type deaf struct {
	*journal.Memory
	times atomic.Int32
}

func (d *deaf) Tail(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	if d.times.Add(-1) >= 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	return d.Memory.Tail(ctx, from, fn)
}

// TestAStandbyThatHearsNothingListensAnew: and meanwhile says how far it is behind.
func TestAStandbyThatHearsNothingListensAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &deaf{Memory: journal.NewMemory()}
		store.times.Store(3)
		l := openLedger(t, store, LedgerOptions{})
		standby := openStandby(t, store, LedgerOptions{})
		submit(t, l, capOf("bank-a", 100))
		submit(t, l, capOf("bank-a", 200))
		lag, err := standby.Lag(t.Context())
		if want := (Lag{Batches: 2, Entries: 2, LastTime: startMillis}); err != nil || lag != want {
			t.Errorf("%+v %v, want %+v", lag, err, want)
		}
		began := time.Now()
		for lag.Batches > 0 {
			time.Sleep(10 * time.Millisecond)
			if lag, err = standby.Lag(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 5*lookEvery {
			t.Errorf("took %v", took)
		}
		_, _ = standby.Close(), l.Close()
	})
}

// TestTheSlowerOfTwoStandbysFollowsTheOther instead of deposing it.
func TestTheSlowerOfTwoStandbysFollowsTheOther(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := journal.NewMemory()
	old := openLedger(t, store, LedgerOptions{})
	submit(t, old, capOf("bank-a", 100))
	quick := openStandby(t, store, LedgerOptions{})
	c := &crossing{Store: store}
	slow := openStandby(t, c, LedgerOptions{})
	var young *Ledger
	c.meet = func(deliver func() (uint64, error)) (uint64, error) {
		young = takeOver(t, quick)
		return deliver()
	}
	c.at.Store(1)
	if _, err := slow.TakeOver(t.Context()); !errors.Is(err, ErrTaken) {
		t.Fatalf("the slower one: %v", err)
	}
	submit(t, young, hold(1, "bank-a", "shop-b", 10))
	caughtUp(t, slow)
	if slow.Err() != nil || slow.Epoch() != young.Epoch() {
		t.Errorf("does not follow: %v, epoch %d", slow.Err(), slow.Epoch())
	}
	third := takeOver(t, slow)
	if r := submit(t, third, hold(1, "bank-a", "shop-b", 10)); !r.Exists {
		t.Errorf("the third: %+v", r)
	}
	reasonIs(t, "the second", young.Confirm(t.Context()), tongma.SteppedDown)
}

// TestATakeOverThatFailsLeavesAStandby, unless it is not known what became of it.
func TestATakeOverThatFailsLeavesAStandby(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := journal.NewMemory()
	old := openLedger(t, store, LedgerOptions{})
	standby := openStandby(t, store, LedgerOptions{})
	store.FailReads(1)
	if _, err := standby.TakeOver(t.Context()); err == nil || standby.Err() != nil {
		t.Fatalf("the journal is away: %v, %v", err, standby.Err())
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := standby.TakeOver(over); !errors.Is(err, context.Canceled) || standby.Err() != nil {
		t.Fatalf("too late: %v, %v", err, standby.Err())
	}
	submit(t, old, capOf("bank-a", 100))
	caughtUp(t, standby)
	store.Fail(journal.LostBefore, journal.LostAfter)
	young := takeOver(t, standby)
	if young.Epoch() != 2 {
		t.Errorf("epoch %d", young.Epoch())
	}
	_, _ = old.Close(), young.Close()
}

// TestAnEpochOfNobodyIsReplaced: a standby that dies between its epoch record and
// its first entry has deposed the writer; the next one goes on from there.
func TestAnEpochOfNobodyIsReplaced(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := journal.NewMemory()
	old := openLedger(t, store, LedgerOptions{})
	submit(t, old, capOf("bank-a", 100))
	dying := openStandby(t, store, LedgerOptions{})
	store.Fail(journal.StopAfter)
	if _, err := dying.TakeOver(t.Context()); !errors.Is(err, journal.ErrStopped) {
		t.Fatalf("got %v", err)
	}
	select {
	case <-dying.Stopped():
	case <-time.After(10 * time.Second):
		t.Fatal("goes on though it does not know what became of its record")
	}
	rest := copyOf(t, store)
	next := takeOver(t, openStandby(t, rest, LedgerOptions{}))
	if r := submit(t, next, hold(1, "bank-a", "shop-b", 10)); !r.Write || next.Epoch() != old.Epoch()+2 {
		t.Errorf("%+v, epoch %d behind %d", r, next.Epoch(), old.Epoch())
	}
	if r, err := Audit(t.Context(), rest, AuditOptions{}); err != nil || !r.OK {
		t.Errorf("%v %+v", err, r.Findings)
	}
}

// TestAStandbyStopsAtABrokenJournal: it says where, and never becomes the writer.
func TestAStandbyStopsAtABrokenJournal(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := journal.NewMemory()
	l := openLedger(t, store, LedgerOptions{})
	standby := openStandby(t, store, LedgerOptions{})
	caughtUp(t, standby)
	_ = l.Close()
	store.Put([]byte("not a batch"))
	<-standby.Stopped()
	var chain *journal.ChainError
	if !errors.As(standby.Err(), &chain) || chain.Sequence != 3 {
		t.Errorf("got %v", standby.Err())
	}
	if _, err := standby.TakeOver(t.Context()); !errors.As(err, &chain) {
		t.Errorf("took over: %v", err)
	}
}
