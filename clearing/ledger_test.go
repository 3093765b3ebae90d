package clearing

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
	"go.uber.org/goleak"
)

func openLedger(t testing.TB, store journal.Store, opts LedgerOptions) *Ledger {
	t.Helper()
	if opts.Now == nil {
		opts.Now = func() int64 { return startMillis }
	}
	l, err := OpenLedger(context.Background(), store, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func submit(t testing.TB, l *Ledger, e Entry) Result {
	t.Helper()
	r, err := l.Submit(context.Background(), e)
	if err != nil {
		t.Fatalf("%s: %v", e.Kind, err)
	}
	return r
}

// TestADraftIsUsedAgain: nothing of one use is left in the next, and how the payment
// stands is told where it is wanted, or where nothing was written.
func TestADraftIsUsedAgain(t *testing.T) {
	l := openLedger(t, journal.NewMemory(), LedgerOptions{})
	submit(t, l, capOf("a", 1000))
	submit(t, l, capOf("b", 1000))
	post := Entry{Kind: KindPost, Payment: testID(1)}
	var d Draft
	write := func(e Entry, view bool) *Verdict {
		d.Entry, d.View = e, view
		if err := l.Write(context.Background(), &d); err != nil {
			t.Fatal(err)
		}
		return &d.Verdict
	}
	if v := write(hold(1, "a", "b", 300), true); !v.Write || v.Payment == nil || v.Payment.Phase != KindHold || d.Entry.Number == 0 {
		t.Errorf("hold: %+v, entry %d", v, d.Entry.Number)
	}
	if v := write(post, false); !v.Write || v.Payment != nil || d.Entry.Amount.Minor != 300 {
		t.Errorf("post without view: %+v", v)
	}
	if v := write(post, false); v.Write || !v.Exists || v.Payment == nil || v.Payment.Phase != KindPost {
		t.Errorf("post again: %+v", v)
	}
	if v := write(hold(2, "a", "b", 900), false); !v.Write || v.Reason != tongma.OverCap || d.Entry.Kind != KindRefuse {
		t.Errorf("hold beyond the cap: %+v, %s", v, d.Entry.Kind)
	}
	if v := write(Entry{Kind: KindCap, Debtor: "a", Maker: strings.Repeat("x", 1000)}, true); v.Write || v.Reason != tongma.FieldInvalid {
		t.Errorf("what does not fit: %+v", v)
	}
	if v := write(hold(3, "a", "b", 300), true); !v.Write || v.Reason != tongma.NoReason || v.Exists || v.Payment == nil || v.Payment.ID != testID(3) {
		t.Errorf("hold behind all that: %+v", v)
	}
}

// TestWhatIsGivenUpInTheQueueIsNotWritten: behind a journal that stands still, an
// entry whose asker has gone is not written when it moves on, and the asker knows.
// What had been sent, and what is still waited for, is.
func TestWhatIsGivenUpInTheQueueIsNotWritten(t *testing.T) {
	store := newGated()
	l := openLedger(t, store, LedgerOptions{})
	submit(t, l, capOf("P", 100_000))
	store.shut.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	sent := later(func() error { _, err := l.Submit(ctx, hold(1, "P", "Q", 100)); return err })
	<-store.entered
	queue := later(func() error { _, err := l.Submit(ctx, hold(2, "P", "Q", 100)); return err })
	for waiting := 0; waiting == 0; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		waiting = len(l.queue)
		l.mu.Unlock()
	}
	patient := later(func() error { _, err := l.Submit(t.Context(), hold(3, "P", "Q", 100)); return err })
	cancel()
	for name, one := range map[string]struct {
		err     error
		written bool
	}{"sent": {eventually(t, "the one that was sent", sent), true}, "in the queue": {eventually(t, "the one in the queue", queue), false}} {
		if tongma.ReasonOf(one.err) != tongma.JournalInDoubt || errors.Is(one.err, ErrNotWritten) == one.written {
			t.Errorf("%s: %v", name, one.err)
		}
	}
	close(store.open)
	if err := eventually(t, "the patient one", patient); err != nil {
		t.Error(err)
	}
	for n, want := range map[uint64]bool{1: true, 2: false, 3: true} {
		if err := l.Read(t.Context(), func(b *Book) {
			if _, ok := b.Payment(hold(n, "P", "Q", 100).Payment); ok != want {
				t.Errorf("payment %d: in the books %v, want %v", n, ok, want)
			}
		}); err != nil {
			t.Error(err)
		}
	}
}

// gated is a store whose Append waits, once it is shut, until somebody opens it.
type gated struct {
	*journal.Memory
	shut    atomic.Bool
	entered chan struct{}
	open    chan struct{}
}

func newGated() *gated {
	return &gated{Memory: journal.NewMemory(), entered: make(chan struct{}, 100), open: make(chan struct{})}
}

func (g *gated) Append(ctx context.Context, last uint64, message []byte) (uint64, error) {
	if g.shut.Load() {
		g.entered <- struct{}{}
		select {
		case <-g.open:
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", journal.ErrInDoubt, ctx.Err())
		}
	}
	return g.Memory.Append(ctx, last, message)
}

// copyOf is the store as the next process finds it.
func copyOf(t testing.TB, m *journal.Memory) *journal.Memory {
	t.Helper()
	out := journal.NewMemory()
	if err := m.Read(context.Background(), 1, func(_ uint64, message []byte) error { out.Put(message); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func bookOf(t testing.TB, store journal.Store) *Book {
	t.Helper()
	b := NewBook()
	if _, err := journal.Open(context.Background(), store, 0, func(batch journal.Batch) error { return b.Replay(batch, nil) }); err != nil {
		t.Fatal(err)
	}
	return b
}

// later runs what waits for the Ledger, and gives its error when it has one.
func later(run func() error) chan error {
	out := make(chan error, 1)
	go func() { out <- run() }()
	return out
}

func stillWaiting(t *testing.T, what string, c chan error) {
	t.Helper()
	select {
	case err := <-c:
		t.Errorf("%s was answered (%v) before it was durable", what, err)
	default:
	}
}

func eventually(t *testing.T, what string, c <-chan error) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(10 * time.Second):
		t.Fatalf("%s is never answered", what)
		return nil
	}
}

// TestManyCallersShareBatches: a thousand callers at once share commits, each
// gets its own entry, and the next process finds all of it.
func TestManyCallersShareBatches(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	path := filepath.Join(t.TempDir(), "journal")
	store, err := journal.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	l := openLedger(t, store, LedgerOptions{OnCommit: func(_ uint64, es []Entry) { sizes = append(sizes, len(es)) }})
	submit(t, l, capOf("bank-a", 1_000_000))
	const callers = 1000
	var all sync.WaitGroup
	numbers := make([]uint64, 2*callers)
	for i := range callers {
		all.Go(func() {
			e := hold(uint64(i+1), "bank-a", "shop-b", 10)
			numbers[2*i] = submit(t, l, e).Entry.Number
			numbers[2*i+1] = submit(t, l, Entry{Kind: KindPost, Payment: e.Payment}).Entry.Number
		})
	}
	all.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	entries, most, seen := 0, 0, map[uint64]bool{}
	for _, n := range sizes {
		entries, most = entries+n, max(most, n)
	}
	for i, n := range numbers {
		if n == 0 || seen[n] || (i%2 == 1 && n < numbers[i-1]) {
			t.Fatalf("caller %d got entry %d, twice or out of order", i/2, n)
		}
		seen[n] = true
	}
	if entries != 2*callers+2 || most < 2 || len(sizes) > callers {
		t.Errorf("%d entries in %d batches, the largest of %d", entries, len(sizes), most)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := journal.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if p := bookOf(t, again).Positions()[0]; p.Position != 10*callers || p.Reserved != 0 {
		t.Errorf("the next process finds %+v", p)
	}
	if r, err := Audit(t.Context(), again, AuditOptions{}); err != nil || !r.OK {
		t.Errorf("%v %+v", err, r.Findings)
	}
}

// brief is a store that counts, and takes no more from some message on.
type brief struct {
	*journal.Memory
	most              uint64
	inFlight, overlap atomic.Int64
}

func (s *brief) Append(ctx context.Context, expectLast uint64, message []byte) (uint64, error) {
	if s.inFlight.Add(1) > 1 {
		s.overlap.Add(1)
	}
	defer s.inFlight.Add(-1)
	if expectLast >= s.most {
		return 0, journal.ErrStopped
	}
	return s.Memory.Append(ctx, expectLast, message)
}

// TestGroupsTakeTurns: of more callers than one batch can serve at once, in groups of
// which one is applied while the other one is stored, never two batches are in flight,
// batches are told of in their order, and when the store ends in the middle everybody
// is answered, nobody with a yes that is not in the journal.
func TestGroupsTakeTurns(t *testing.T) {
	for _, most := range []uint64{1 << 60, 12} {
		store := &brief{Memory: journal.NewMemory(), most: most}
		var told, entries uint64
		l := openLedger(t, store, LedgerOptions{OnCommit: func(batch uint64, es []Entry) {
			if batch <= told || (entries > 0 && es[0].Number != entries+1) {
				t.Errorf("batch %d from entry %d on is told behind batch %d and entry %d", batch, es[0].Number, told, entries)
			}
			told, entries = batch, es[len(es)-1].Number
		}})
		submit(t, l, capOf("bank-a", 1_000_000_000))
		var all sync.WaitGroup
		var next, posted atomic.Uint64
		for range 1500 {
			all.Go(func() {
				for n := next.Add(1); n <= 9000; n = next.Add(1) {
					_, err := l.Submit(t.Context(), hold(n, "bank-a", "shop-b", 1))
					if err == nil {
						_, err = l.Submit(t.Context(), Entry{Kind: KindPost, Payment: testID(n)})
					}
					if err == nil {
						posted.Add(1)
					}
				}
			})
		}
		all.Wait()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		got := uint64(bookOf(t, store.Memory).Positions()[0].Position)
		if ended := most < 1<<60; got != posted.Load() || store.overlap.Load() > 0 || (got < 9000) != ended {
			t.Errorf("%d posted of which the journal has %d, %d batches beside another", posted.Load(), got, store.overlap.Load())
		}
	}
}

// TestNobodyIsToldBeforeItIsDurable: neither who asked, nor who repeats, nor who
// is refused because of it, nor who only looks.
func TestNobodyIsToldBeforeItIsDurable(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := newGated()
	var announced atomic.Int32
	l := openLedger(t, store, LedgerOptions{OnCommit: func(uint64, []Entry) { announced.Add(1) }})
	submit(t, l, capOf("bank-a", 100))
	before := announced.Load()
	store.shut.Store(true)
	first := later(func() error { submit(t, l, hold(1, "bank-a", "shop-b", 100)); return nil })
	<-store.entered
	repeat := hold(1, "bank-a", "shop-b", 100)
	repeat.Payment = testID(2)
	waiting := map[string]chan error{
		"the repeat": later(func() error {
			if r := submit(t, l, repeat); !r.Exists || r.Payment.ID != testID(1) {
				t.Errorf("the repeat got %+v", r)
			}
			return nil
		}),
		"the refused one": later(func() error {
			if r := submit(t, l, hold(3, "bank-a", "shop-b", 1)); r.Reason != tongma.OverCap {
				t.Errorf("got %+v", r)
			}
			return nil
		}),
		"a repeated cap": later(func() error { submit(t, l, capOf("bank-a", 100)); return nil }),
		"a look": later(func() error {
			return l.Read(context.Background(), func(b *Book) {
				if b.Positions()[0].Reserved != 100 {
					t.Error("looked, and did not see the hold")
				}
			})
		}),
	}
	time.Sleep(30 * time.Millisecond)
	stillWaiting(t, "the hold", first)
	for what, c := range waiting {
		stillWaiting(t, what, c)
	}
	if announced.Load() != before || len(bookOf(t, copyOf(t, store.Memory)).OpenPayments()) != 0 {
		t.Error("announced, or stored")
	}
	store.shut.Store(false)
	store.open <- struct{}{}
	_ = eventually(t, "the hold", first)
	for what, c := range waiting {
		_ = eventually(t, what, c)
	}
	if n := len(bookOf(t, copyOf(t, store.Memory)).OpenPayments()); n != 1 {
		t.Errorf("%d payments are stored", n)
	}
}

// TestAFailedAppendIsFoundOut: doubt that can be settled is settled, and callers
// get the one true answer, once.
func TestAFailedAppendIsFoundOut(t *testing.T) {
	for name, fault := range map[string]journal.Fault{"before": journal.LostBefore, "after": journal.LostAfter, "late": journal.LostLate} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { goleak.VerifyNone(t) })
			store := journal.NewMemory()
			l := openLedger(t, store, LedgerOptions{})
			submit(t, l, capOf("bank-a", 100))
			store.Fail(fault)
			store.FailReads(2)
			submit(t, l, hold(1, "bank-a", "shop-b", 60))
			if r := submit(t, l, hold(2, "bank-a", "shop-b", 60)); r.Reason != tongma.OverCap {
				t.Errorf("got %+v", r)
			}
			submit(t, l, Entry{Kind: KindPost, Payment: testID(1)})
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if p := bookOf(t, store).Positions()[0]; p.Position != 60 || p.Reserved != 0 {
				t.Errorf("stored: %+v", p)
			}
			if r, err := Audit(t.Context(), store, AuditOptions{}); err != nil || !r.OK {
				t.Errorf("%v %+v", err, r.Findings)
			}
		})
	}
}

// TestAStoppedJournalStopsTheLedger: who was on the way is told that it is not
// known, who comes behind that nothing is taken. The next process knows.
func TestAStoppedJournalStopsTheLedger(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault journal.Fault
		found int
	}{{"before it took effect", journal.StopBefore, 0}, {"after it took effect", journal.StopAfter, 1}} {
		t.Run(c.name, func(t *testing.T) {
			t.Cleanup(func() { goleak.VerifyNone(t) })
			store := journal.NewMemory()
			l := openLedger(t, store, LedgerOptions{OnCommit: func(_ uint64, es []Entry) {
				if es[0].Kind == KindHold {
					t.Error("announced what is not known")
				}
			}})
			submit(t, l, capOf("bank-a", 100))
			store.Fail(c.fault)
			if _, err := l.Submit(t.Context(), hold(1, "bank-a", "shop-b", 60)); tongma.ReasonOf(err) != tongma.JournalInDoubt {
				t.Errorf("on the way: %v", err)
			}
			<-l.Stopped()
			if _, err := l.Submit(t.Context(), hold(1, "bank-a", "shop-b", 60)); tongma.ReasonOf(err) != tongma.JournalStopped {
				t.Errorf("the repeat: %v", err)
			}
			if err := l.Read(t.Context(), func(*Book) { t.Error("looked at a Book that is ahead of the journal") }); tongma.ReasonOf(err) != tongma.JournalStopped {
				t.Errorf("a look: %v", err)
			}
			if tongma.ReasonOf(l.Err()) != tongma.JournalStopped {
				t.Error(l.Err())
			}
			next := openLedger(t, copyOf(t, store), LedgerOptions{})
			if r := submit(t, next, hold(1, "bank-a", "shop-b", 60)); r.Exists != (c.found == 1) || r.Write != (c.found == 0) {
				t.Errorf("the repeat at the next process: %+v", r)
			}
			_ = next.Close()
		})
	}
}

// TestADeposedWriterStepsDown: another writer took over; nothing of the first
// counts from there on, and it says so.
func TestADeposedWriterStepsDown(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := journal.NewMemory()
	old := openLedger(t, store, LedgerOptions{})
	submit(t, old, capOf("bank-a", 100))
	current := openLedger(t, store, LedgerOptions{})
	if _, err := old.Submit(t.Context(), hold(1, "bank-a", "shop-b", 60)); tongma.ReasonOf(err) != tongma.SteppedDown {
		t.Errorf("the first: %v", err)
	}
	if _, err := old.Submit(t.Context(), hold(2, "bank-a", "shop-b", 60)); tongma.ReasonOf(err) != tongma.SteppedDown {
		t.Errorf("the second: %v", err)
	}
	if r := submit(t, current, hold(1, "bank-a", "shop-b", 60)); !r.Write {
		t.Errorf("the one in office: %+v", r)
	}
	_, _ = old.Close(), current.Close()
	if r, err := Audit(t.Context(), store, AuditOptions{}); err != nil || !r.OK || r.OpenHolds != 1 {
		t.Errorf("%v %+v", err, r)
	}
}

// TestCloseFinishesWhatIsOnTheWay and turns away the rest, however often it is called.
func TestCloseFinishesWhatIsOnTheWay(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := newGated()
	l := openLedger(t, store, LedgerOptions{})
	submit(t, l, capOf("bank-a", 100))
	store.shut.Store(true)
	flying := later(func() error { _, err := l.Submit(context.Background(), hold(1, "bank-a", "shop-b", 10)); return err })
	<-store.entered
	queued := later(func() error { _, err := l.Submit(context.Background(), hold(2, "bank-a", "shop-b", 10)); return err })
	time.Sleep(20 * time.Millisecond)
	closed := []chan error{later(l.Close), later(l.Close), later(l.Close)}
	for tongma.ReasonOf(l.Err()) != tongma.ShuttingDown {
		time.Sleep(time.Millisecond)
	}
	if _, err := l.Submit(t.Context(), hold(3, "bank-a", "shop-b", 10)); tongma.ReasonOf(err) != tongma.ShuttingDown {
		t.Errorf("behind Close: %v", err)
	}
	store.open <- struct{}{}
	if err := eventually(t, "what was on the way", flying); err != nil {
		t.Errorf("on the way: %v", err)
	}
	if err := eventually(t, "what was queued", queued); tongma.ReasonOf(err) != tongma.ShuttingDown {
		t.Errorf("queued: %v", err)
	}
	for _, c := range closed {
		if err := eventually(t, "Close", c); err != nil {
			t.Error(err)
		}
	}
	if n := len(bookOf(t, store).OpenPayments()); n != 1 {
		t.Errorf("%d payments are stored, want the one that was told so", n)
	}
}

// TestCloseDoesNotWaitForEver: a store that never answers does not keep the
// process from ending; who was on the way is told that it is not known.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := newGated()
	l := openLedger(t, store, LedgerOptions{CloseGrace: 50 * time.Millisecond})
	store.shut.Store(true)
	flying := later(func() error { _, err := l.Submit(context.Background(), capOf("bank-a", 10)); return err })
	<-store.entered
	store.FailReads(1 << 30)
	closed := later(l.Close)
	if err := eventually(t, "what was on the way", flying); tongma.ReasonOf(err) != tongma.JournalInDoubt {
		t.Errorf("on the way: %v", err)
	}
	_ = eventually(t, "Close", closed)
}

// TestOverloaded: what waits is bounded, repeats included.
func TestOverloaded(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := newGated()
	l := openLedger(t, store, LedgerOptions{QueueLimit: 100})
	submit(t, l, capOf("bank-a", 10))
	store.shut.Store(true)
	first := later(func() error { submit(t, l, capOf("bank-a", 20)); return nil })
	<-store.entered
	var turnedAway, told atomic.Int32
	var all sync.WaitGroup
	for range 10_000 {
		all.Go(func() {
			_, err := l.Submit(context.Background(), capOf("bank-a", 20))
			switch {
			case tongma.ReasonOf(err) == tongma.Overloaded:
				turnedAway.Add(1)
			case err == nil:
				told.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	for start := time.Now(); turnedAway.Load() == 0 && time.Since(start) < 10*time.Second; {
		time.Sleep(time.Millisecond)
	}
	if turnedAway.Load() == 0 {
		t.Error("ten thousand callers wait behind one batch, and none was turned away")
	}
	store.shut.Store(false)
	store.open <- struct{}{}
	_ = eventually(t, "the first", first)
	all.Wait()
	if turnedAway.Load()+told.Load() != 10_000 {
		t.Errorf("%d turned away and %d told", turnedAway.Load(), told.Load())
	}
	submit(t, l, capOf("bank-a", 30)) // it goes on
}

// TestGivingUpIsNotKnowing: who stops waiting is told that it is not known, and
// the entry takes its way.
func TestGivingUpIsNotKnowing(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := newGated()
	l := openLedger(t, store, LedgerOptions{})
	submit(t, l, capOf("bank-a", 100))
	store.shut.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	given := later(func() error { _, err := l.Submit(ctx, hold(1, "bank-a", "shop-b", 10)); return err })
	<-store.entered
	cancel()
	err := eventually(t, "who gives up", given)
	if tongma.ReasonOf(err) != tongma.JournalInDoubt || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	store.shut.Store(false)
	store.open <- struct{}{}
	repeat := hold(1, "bank-a", "shop-b", 10)
	repeat.Payment = testID(2)
	if r := submit(t, l, repeat); !r.Exists || r.Payment.ID != testID(1) {
		t.Errorf("the repeat: %+v", r)
	}
}

// TestABookThatDisagreesWithItselfStops: if an entry that was proposed cannot be
// applied, nothing more is written, not even what was decided just before.
func TestABookThatDisagreesWithItselfStops(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := journal.NewMemory()
	l := openLedger(t, store, LedgerOptions{})
	submit(t, l, capOf("bank-a", 100))
	submit(t, l, hold(1, "bank-a", "shop-b", 10))
	before, _ := store.Last(t.Context())
	if err := l.Read(t.Context(), func(b *Book) { b.account(b.numbers["bank-a"], tongma.CNY).reserved = 3 }); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Submit(t.Context(), Entry{Kind: KindVoid, Payment: testID(1)}); tongma.ReasonOf(err) != tongma.Internal {
		t.Errorf("got %v", err)
	}
	select {
	case <-l.Stopped():
	case <-time.After(5 * time.Second):
		t.Error("the writer goes on")
	}
	if _, err := l.Submit(t.Context(), capOf("bank-a", 50)); tongma.ReasonOf(err) != tongma.Internal {
		t.Errorf("behind it: %v", err)
	}
	if after, _ := store.Last(t.Context()); after != before {
		t.Errorf("%d batches were written behind the fault", after-before)
	}
}

// TestOpenLedgerRefusesABrokenJournal, and leaves nothing running.
func TestOpenLedgerRefusesABrokenJournal(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	written := life(t)
	written[10].Window++ // a posting elsewhere, in a chain that is whole
	now := LedgerOptions{Now: func() int64 { return startMillis }, Journal: []journal.Option{journal.WithCheckpoint(filepath.Join(t.TempDir(), "mark"), time.Hour)}}
	for i := range written {
		if written[i].Kind == KindPost {
			written[i].Window++
			break
		}
	}
	if _, err := OpenLedger(t.Context(), batches(t, written, 3), now); err == nil {
		t.Error("a Book was made of it")
	}
	damaged := batches(t, life(t), 3)
	damaged.Edit(func(ms [][]byte) [][]byte { ms[2][130] ^= 4; return ms })
	var chain *journal.ChainError
	if _, err := OpenLedger(t.Context(), damaged, now); !errors.As(err, &chain) || chain.Batch != 3 {
		t.Errorf("got %v", err)
	}
	stopped := batches(t, life(t), 3)
	stopped.Fail(journal.StopBefore)
	if _, err := OpenLedger(t.Context(), stopped, now); err == nil {
		t.Error("took over a journal that takes nothing")
	}
}

// TestReplayShowsEveryEntry: views are made anew from what a start reads.
func TestReplayShowsEveryEntry(t *testing.T) {
	written := life(t)
	var seen []Entry
	l := openLedger(t, batches(t, written, 5), LedgerOptions{OnReplay: func(es []Entry) { seen = append(seen, es...) }})
	if len(seen) != len(written) || seen[len(seen)-1].Number != written[len(written)-1].Number {
		t.Errorf("%d entries of %d", len(seen), len(written))
	}
	if err := l.Read(t.Context(), func(b *Book) { sameBooks(t, b, replayed(t, written)) }); err != nil {
		t.Fatal(err)
	}
}

// TestEntriesAreAnnouncedWithTheirOwnBatch: also while the next batch is on its way
// already, when the journal may be further than what is announced.
func TestEntriesAreAnnouncedWithTheirOwnBatch(t *testing.T) {
	store := journal.NewMemory()
	announced := map[uint64]uint64{} // entry to batch
	l := openLedger(t, store, LedgerOptions{OnCommit: func(batch uint64, es []Entry) {
		time.Sleep(time.Millisecond) // so that the next one lands meanwhile
		for i := range es {
			announced[es[i].Number] = batch
		}
	}})
	submit(t, l, capOf("bank-a", 1_000_000))
	var all sync.WaitGroup
	for i := range 3000 {
		all.Go(func() { submit(t, l, hold(uint64(i+1), "bank-a", "shop-b", 1)) })
	}
	all.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wrong, checked := 0, 0
	if _, err := journal.Open(t.Context(), store, 0, func(b journal.Batch) error {
		for i := range b.Entries {
			if said, ok := announced[b.First+uint64(i)]; ok {
				if checked++; said != b.Number {
					wrong++
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if wrong > 0 || checked < 3000 {
		t.Errorf("%d of %d entries were announced with another batch", wrong, checked)
	}
}

// TestABatchOfLongEntriesFits: a thousand who come at once, each with the longest entry
// that a payment can have, do not fit one batch; they are stored in several.
func TestABatchOfLongEntriesFits(t *testing.T) {
	store := newGated()
	l := openLedger(t, store, LedgerOptions{})
	name := func(c string) tongma.ParticipantID { return tongma.ParticipantID(strings.Repeat(c, maxName)) }
	debtor, shop := name("d"), name("s")
	submit(t, l, capOf(debtor, 1_000_000_000))
	var legs []Leg
	for i := range MaxLegs {
		legs = append(legs, Leg{Kind: schemes.FeeSwitch, From: shop, To: name(string(rune('e' + i))), Amount: tongma.Money{Minor: 1, Currency: tongma.CNY}})
	}
	const callers = 1000
	var all sync.WaitGroup
	for n := range uint64(callers) {
		all.Go(func() { submit(t, l, hold(n+1, debtor, shop, 100)) })
	}
	all.Wait()
	store.shut.Store(true)
	first := later(func() error { _, err := l.Submit(t.Context(), hold(callers+1, debtor, shop, 100)); return err })
	<-store.entered
	var failed atomic.Int64
	for n := range uint64(callers) {
		all.Go(func() {
			r, err := l.Submit(t.Context(), Entry{Kind: KindPost, Payment: testID(n + 1), SchemeRef: strings.Repeat("r", maxRef), Legs: legs})
			if err != nil || !r.Write {
				failed.Add(1)
			}
		})
	}
	for l.queued() < callers {
		time.Sleep(time.Millisecond)
	}
	store.shut.Store(false)
	close(store.open)
	if err := eventually(t, "the first", first); err != nil {
		t.Fatal(err)
	}
	if all.Wait(); failed.Load() > 0 || l.Err() != nil {
		t.Errorf("%d of %d were not posted: %v", failed.Load(), callers, l.Err())
	}
}
