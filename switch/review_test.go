package switching

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/switch/bus"
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
			c := newCourse(id)
			c.state = Approved // it has posted, and is about to end
			b.engine.enter(c)
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

// TestHoldWhoseAskerHasGoneIsLetGo: the asker's time ends while its hold is on the
// way to the disk. The hold may be durable, so somebody must finish it; the scheme
// never heard of it, and need not.
func TestHoldWhoseAskerHasGoneIsLetGo(t *testing.T) {
	store := &slow{Memory: journal.NewMemory()}
	b := over(t, store, nil)
	store.shut.Store(true)
	b.refuses(payRequest("k1", 1, 1250), tongma.JournalInDoubt)
	store.shut.Store(false)
	id := b.do(tongma.Request{Op: tongma.OpInquire, From: "acq", OfKey: "k1"}).Payment
	b.want(b.ends(id), tongma.Refused, tongma.DeadlineTooShort)
	b.stands("wallet", 0, 0)
	asked := b.scheme.count(tongma.OpAuthorise) + b.scheme.count(tongma.OpInquire) + b.scheme.count(tongma.OpReverse)
	if asked != 0 || len(b.events.ends) != 1 {
		t.Fatalf("asked %d times, %d events", asked, len(b.events.ends))
	}
}

// TestReversalWhoseAskerHasGoneIsSent: likewise for the entry that says that an
// approved payment is being reversed.
func TestReversalWhoseAskerHasGoneIsSent(t *testing.T) {
	store := &slow{Memory: journal.NewMemory()}
	b := over(t, store, nil)
	id := b.do(payRequest("k1", 1, 1250)).Payment
	p, err := b.engine.find(context.Background(), &tongma.Request{From: "acq", Original: id})
	if err != nil {
		t.Fatal(err)
	}
	store.shut.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if _, err := b.engine.undo(ctx, p); tongma.ReasonOf(err) != tongma.JournalInDoubt {
		t.Fatal(err)
	}
	store.shut.Store(false)
	until(t, "the reversal", func() bool { return b.scheme.count(tongma.OpReverse) == 1 })
	b.want(b.ends(id), tongma.ReversedBack, tongma.ReversedByAcquirer)
	b.stands("wallet", 0, 0)
}

// TestALookThatIsGivenUpIsLeftAlone: what a look at the books finds later than
// its caller waits must not be written into what the caller has by then.
func TestALookThatIsGivenUpIsLeftAlone(t *testing.T) {
	store := &slow{Memory: journal.NewMemory()}
	b := over(t, store, nil)
	first := b.do(payRequest("k1", 1, 1250))
	store.shut.Store(true)
	paid := make(chan error, 1)
	go func() { _, err := b.engine.Do(context.Background(), payRequest("k2", 2, 100)); paid <- err }()
	until(t, "the batch", func() bool { return store.waiting.Load() == 1 })
	stale := clearing.Payment{ID: first.Payment, Phase: clearing.KindHold}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, _ = b.engine.find(ctx, &tongma.Request{From: "acq", Original: first.Payment})
	_, _ = b.engine.Sheet(ctx, 1)
	if p := b.engine.reread(ctx, stale); p.Phase != stale.Phase || p.Entry != stale.Entry {
		t.Errorf("got %+v", p)
	}
	store.shut.Store(false)
	<-paid
}

// TestARepeatHearsNothingThatIsNotDurable: the posting is in the Book, and not
// yet on the disk. Neither a repeat nor a reversal that waits may tell of it.
func TestARepeatHearsNothingThatIsNotDurable(t *testing.T) {
	store := &slow{Memory: journal.NewMemory()}
	b := over(t, store, nil)
	b.scheme.say(tongma.OpAuthorise, reply{act: true, after: func() { store.shut.Store(true) }, answer: tongma.Answer{Outcome: tongma.Approved}})
	first := make(chan tongma.Answer, 1)
	go func() {
		r := payRequest("k1", 1, 1250)
		r.Budget = 5 * time.Second
		a, _ := b.engine.Do(context.Background(), r)
		first <- a
	}()
	until(t, "the posting", func() bool { return store.shut.Load() && store.waiting.Load() == 1 })
	held := clearing.Payment{Phase: clearing.KindHold}
	for _, p := range bookOf(t, store.Memory).OpenPayments() {
		held = p
	}
	if p := b.engine.reread(context.Background(), held); p.Phase != clearing.KindHold {
		t.Errorf("told %s, which is not on the disk", p.Phase)
	}
	store.shut.Store(false)
	b.want(<-first, tongma.Paid, tongma.NoReason)
	b.stands("wallet", 1250, 0)
}

// bookOf is what the next process would find in a store.
func bookOf(t testing.TB, store journal.Store) *clearing.Book {
	t.Helper()
	book := clearing.NewBook()
	if _, err := journal.Open(context.Background(), store, 0, func(batch journal.Batch) error { return book.Replay(batch, nil) }); err != nil {
		t.Fatal(err)
	}
	return book
}

// TestYesThatCannotBeWrittenAtOnceIsNotForgotten: the ledger is overloaded at the
// moment when the scheme says yes, and recovers.
func TestYesThatCannotBeWrittenAtOnceIsNotForgotten(t *testing.T) {
	store := &slow{Memory: journal.NewMemory()}
	b := over(t, store, func(o *Options) { o.DoubtFor = time.Minute })
	ledger := b.engine.Ledger()
	overload := func() {
		store.shut.Store(true)
		go func() {
			_, _ = ledger.Submit(context.Background(), clearing.Entry{Kind: clearing.KindSuspend, Debtor: "other"})
		}()
		until(t, "the batch", func() bool { return store.waiting.Load() == 1 })
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		until(t, "the overload", func() bool {
			for range 2000 {
				if tongma.ReasonOf(ledger.Read(gone, func(*clearing.Book) {})) == tongma.Overloaded {
					return true
				}
			}
			return false
		})
	}
	b.scheme.say(tongma.OpAuthorise, reply{act: true, after: overload, answer: tongma.Answer{Outcome: tongma.Approved}})
	a := b.do(payRequest("k1", 1, 1250))
	b.want(a, tongma.Pending, tongma.SchemeSilent)
	store.shut.Store(false)
	until(t, "the end of the overload", func() bool { return ledger.Read(context.Background(), func(*clearing.Book) {}) == nil })
	b.want(b.ends(a.Payment), tongma.Paid, tongma.NoReason)
	b.stands("wallet", 1250, 0)
	if len(b.events.ends) != 1 {
		t.Fatalf("%d events", len(b.events.ends))
	}
}

// TestSchemeIsNeverAskedWithoutAHold: a hold that the books take for no reason of
// the payment's own, here an id that was given twice, is not a hold.
func TestSchemeIsNeverAskedWithoutAHold(t *testing.T) {
	twice := tongma.PaymentID{1: 1, 15: 1}
	b := over(t, journal.NewMemory(), func(o *Options) { o.NewID = func() tongma.PaymentID { return twice } })
	b.want(b.do(payRequest("k1", 1, 1250)), tongma.Paid, tongma.NoReason)
	b.refuses(payRequest("k2", 2, 100), tongma.Internal)
	bad := payRequest("k3", 3, 100)
	bad.Code = "999999999999999999" // and so with a refusal
	b.refuses(bad, tongma.Internal)
	if n := b.scheme.count(tongma.OpAuthorise); n != 1 {
		t.Fatalf("the scheme was asked %d times", n)
	}
}

// TestDeclineForAnUnheardOfReasonReleasesTheHold: an adapter's own number does
// not fit an entry; the no is a no.
func TestDeclineForAnUnheardOfReasonReleasesTheHold(t *testing.T) {
	b := newBench(t)
	b.scheme.say(tongma.OpAuthorise, reply{answer: tongma.Answer{Outcome: tongma.Declined, Reason: 60001}})
	b.want(b.do(payRequest("k1", 1, 1250)), tongma.Refused, tongma.DoNotHonour)
	b.stands("wallet", 0, 0)
}

// TestWhoeverWasToldPendingIsToldTheEnd: the first asker gets its answer in time,
// but a repeat or an inquiry in between was told "pending", and it may be all
// that reached the asker.
func TestWhoeverWasToldPendingIsToldTheEnd(t *testing.T) {
	repeat := payRequest("k1", 1, 1250)
	repeat.Budget = 60 * time.Millisecond
	for name, r := range map[string]tongma.Request{"a repeat": repeat, "an inquiry": {Op: tongma.OpInquire, From: "acq", OfKey: "k1"}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			asked := make(chan struct{})
			b.scheme.say(tongma.OpAuthorise, reply{act: true, wait: 90 * time.Millisecond, after: func() { close(asked) }, answer: tongma.Answer{Outcome: tongma.Approved}})
			first := make(chan tongma.Answer, 1)
			go func() {
				a, _ := b.engine.Do(context.Background(), payRequest("k1", 1, 1250))
				first <- a
			}()
			<-asked
			b.want(b.do(r), tongma.Pending, tongma.SchemeSilent)
			b.want(<-first, tongma.Paid, tongma.NoReason)
			b.stands("wallet", 1250, 0)
			if len(b.events.ends) != 1 {
				t.Fatalf("%d events", len(b.events.ends))
			}
		})
	}
}

// TestAContradictionIsNotAnAnswer: only a clear yes is a yes, and only a clear no
// is a no.
func TestAContradictionIsNotAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		answer tongma.Answer
		want   Event
	}{
		"approved":                            {tongma.Answer{Outcome: tongma.Approved}, Yes},
		"approved, and paid":                  {tongma.Answer{Outcome: tongma.Approved, Status: tongma.Paid}, Yes},
		"approved, and undone":                {tongma.Answer{Outcome: tongma.Approved, Status: tongma.ReversedBack}, Silence},
		"approved, and refused":               {tongma.Answer{Outcome: tongma.Approved, Status: tongma.Refused}, Silence},
		"declined":                            {tongma.Answer{Outcome: tongma.Declined}, No},
		"declined, and paid":                  {tongma.Answer{Outcome: tongma.Declined, Status: tongma.Paid}, Silence},
		"declined, since nothing is known":    {tongma.Answer{Outcome: tongma.Declined, Reason: tongma.SchemeSilent}, Silence},
		"declined, and undone":                {tongma.Answer{Outcome: tongma.Declined, Status: tongma.ReversedBack, Reason: tongma.ReversedBySwitch}, No},
		"declined for an unheard-of reason":   {tongma.Answer{Outcome: tongma.Declined, Reason: 60001}, No},
		"unknown, and paid":                   {tongma.Answer{Status: tongma.Paid}, Silence},
		"unknown, while the payer is at it":   {tongma.Answer{Reason: tongma.PayerConfirming}, Waiting},
		"unknown, since there is no such one": {tongma.Answer{Reason: tongma.UnknownToScheme}, NoRecord},
	} {
		if got := classify(tongma.OpInquire, &c.answer, nil); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestAdoptBlocksBeforeItGivesAndTakesAwayWhatIsGone: a participant that is
// suspended gets no new room first, one that is resumed has its new cap before it
// may use it, and a currency that the directory no longer has is no account.
func TestAdoptBlocksBeforeItGivesAndTakesAwayWhatIsGone(t *testing.T) {
	var seen []clearing.Entry
	b := over(t, journal.NewMemory(), func(o *Options) {
		o.OnCommit = func(_ uint64, es []clearing.Entry) { seen = append(seen, es...) }
	})
	adopt := func(version uint64, change ...string) {
		t.Helper()
		seen = nil
		if err := b.engine.Adopt(context.Background(), market(t, version, strings.NewReplacer(change...).Replace(fast))); err != nil {
			t.Fatal(err)
		}
		b.stands("wallet", 0, 0) // behind which seen is complete
	}
	at := func(kind clearing.Kind) int {
		return slices.IndexFunc(seen, func(e clearing.Entry) bool { return e.Kind == kind && e.Debtor == "wallet" })
	}
	wallet := `{id: wallet, name: W, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}`
	adopt(2, wallet, `{id: wallet, name: W, country: CN, suspended: true, roles: [acquirer, issuer], caps: {CNY: "900.00"}`)
	if s, c := at(clearing.KindSuspend), at(clearing.KindCap); s < 0 || c < 0 || s > c {
		t.Errorf("suspended by entry %d, given its cap by entry %d", s, c)
	}
	adopt(3)
	if r, c := at(clearing.KindResume), at(clearing.KindCap); r < 0 || c < 0 || c > r {
		t.Errorf("resumed by entry %d, given its cap by entry %d", r, c)
	}
	limit := func() (minor int64) {
		_ = b.engine.Ledger().Read(context.Background(), func(book *clearing.Book) {
			for _, p := range book.Positions() {
				if p.Participant == "other" && p.Currency == tongma.CNY {
					minor = p.Cap
				}
			}
		})
		return minor
	}
	other := `{id: other, name: O, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}`
	adopt(4, other, `{id: other, name: O, country: CN, roles: [acquirer, issuer], caps: {USD: "100.00"}`)
	if got := limit(); got != 0 {
		t.Errorf("a currency that is gone keeps its cap of %d", got)
	}
	adopt(5)
	if got := limit(); got != 10000 {
		t.Errorf("a currency that is back has a cap of %d", got)
	}
	adopt(6, "  - "+other+", accepts: all}\n", "")
	if got := limit(); got != 0 {
		t.Errorf("a participant that is gone keeps its cap of %d", got)
	}
}

// TestAnEngineThatDoesNotOpenLeavesNothingRunning: here the books have seen a
// newer directory.
func TestAnEngineThatDoesNotOpenLeavesNothingRunning(t *testing.T) {
	store := journal.NewMemory()
	b := over(t, store, nil)
	if err := b.engine.Adopt(context.Background(), market(t, 2, fast)); err != nil {
		t.Fatal(err)
	}
	if err := b.engine.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), Options{Store: store, Registry: schemes.NewMemoryRegistry(market(t, 1, fast))})
	if tongma.ReasonOf(err) != tongma.StateConflict {
		t.Fatal(err)
	}
	goleak.VerifyNone(t)
}

// TestPendingIsToldBeforeTheAskersTimeIsOver: an answer that leaves when the
// asker has stopped listening is none.
func TestPendingIsToldBeforeTheAskersTimeIsOver(t *testing.T) {
	b := newBench(t)
	b.scheme.say(tongma.OpAuthorise, vanish)
	for range 200 {
		b.scheme.say(tongma.OpInquire, silent)
		b.scheme.say(tongma.OpReverse, silent)
	}
	for _, ask := range []tongma.Request{payRequest("k1", 1, 1250), {Op: tongma.OpReverse, From: "acq", OfKey: "k1"}} {
		ask.Budget = 120 * time.Millisecond
		took := time.Hour
		for range 5 { // a busy machine may be late itself
			start := time.Now()
			if a := b.do(ask); a.Status != tongma.Pending {
				t.Fatalf("%s: %s", ask.Op, a.Status)
			}
			took = min(took, time.Since(start))
		}
		if took >= ask.Budget {
			t.Errorf("%s: told after %v, asked to be within %v", ask.Op, took, ask.Budget)
		}
	}
}

// posted is an engine whose events go into real streams, as cmd wires it.
type posted struct {
	*bench
	outbox *EventOutbox
	js     jetstream.JetStream
}

func overBus(t testing.TB, store journal.Store, nc *nats.Conn, dir string, registry *schemes.Registry) *posted {
	t.Helper()
	mark := NewFileMark(dir)
	outbox, err := NewEventOutbox(nc, EventOutboxOptions{Mark: mark})
	if err != nil {
		t.Fatal(err)
	}
	marked, err := mark.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := over(t, store, func(o *Options) {
		o.Outbox, o.Registry = outbox, registry
		o.OnReplay = func(es []clearing.Entry) {
			if len(es) > 0 && es[len(es)-1].Number > marked {
				outbox.Committed(es)
			}
		}
	})
	if err := outbox.Start(t.Context(), b.engine); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &posted{b, outbox, js}
}

// stop ends it, as a node does.
func (p *posted) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	p.outbox.Stop(ctx)
	p.engine.Close()
}

// late runs a payment whose asker is told "pending" first, and returns its answer.
func (p *posted) late(from tongma.ParticipantID, key string, serial int) tongma.Answer {
	p.t.Helper()
	p.scheme.say(tongma.OpAuthorise, waiting)
	r := payRequest(key, serial, 100)
	r.From = from
	p.want(p.do(r), tongma.Pending, tongma.PayerConfirming)
	var a tongma.Answer
	until(p.t, "the end", func() bool {
		a = p.do(tongma.Request{Op: tongma.OpInquire, From: from, OfKey: key})
		return a.Status.Final()
	})
	p.want(a, tongma.Paid, tongma.NoReason)
	return a
}

// hears waits until a participant's stream ends with its n-th event, this one.
func (p *posted) hears(who tongma.ParticipantID, n uint64, want tongma.Answer) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var last uint64
	until(p.t, fmt.Sprintf("event %d of %s", n, who), func() bool {
		if s, err := p.js.Stream(ctx, tongma.EventStream(who)); err == nil {
			last = s.CachedInfo().State.LastSeq
		}
		return last >= n
	})
	s, err := p.js.Stream(ctx, tongma.EventStream(who))
	if err != nil {
		p.t.Fatal(err)
	}
	m, err := s.GetMsg(ctx, last)
	if err != nil {
		p.t.Fatal(err)
	}
	if last != n || m.Subject != tongma.EventSubject(who, EventPaymentEnded) || string(m.Data) != string(want.AppendJSON(nil)) {
		p.t.Errorf("%s: event %d is %s %s, want event %d to be %s", who, last, m.Subject, m.Data, n, want.AppendJSON(nil))
	}
}

func startBus(t testing.TB) *nats.Conn {
	t.Helper()
	srv, err := bus.Start(bus.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
	nc, err := srv.Switch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// TestEventsAreNeitherLostNorDoubledByACrash: behind each publication, with the
// mark where it was, and with the mark lost.
func TestEventsAreNeitherLostNorDoubledByACrash(t *testing.T) {
	nc, store, dir := startBus(t), journal.NewMemory(), t.TempDir()
	registry := schemes.NewMemoryRegistry(market(t, 1, fast))
	p := overBus(t, store, nc, dir, registry)
	a := p.late("acq", "k1", 1)
	p.hears("acq", 1, a)
	p.stop()

	mute := &posted{bench: over(t, store, func(o *Options) { o.Outbox, o.Registry = nil, registry })} // it dies before it has published anything
	b := mute.late("acq", "k2", 2)
	mute.engine.Close()

	p = overBus(t, store, nc, dir, registry)
	p.hears("acq", 2, b)
	p.stop()

	if err := os.Remove(filepath.Join(dir, "outbox.mark")); err != nil {
		t.Fatal(err)
	}
	p = overBus(t, store, nc, dir, registry)
	c := p.late("acq", "k3", 3)
	p.hears("acq", 3, c)
	p.stop()
}

// TestANewcomerHearsOfItsPaymentsAndHoldsUpNobody: it came into the directory
// while the switch was running.
func TestANewcomerHearsOfItsPaymentsAndHoldsUpNobody(t *testing.T) {
	nc := startBus(t)
	registry := schemes.NewMemoryRegistry(market(t, 1, fast))
	p := overBus(t, journal.NewMemory(), nc, t.TempDir(), registry)
	defer p.stop()
	d, err := registry.Add([]byte(strings.Replace(fast, "schemes:", `  - {id: newcomer, name: N, country: CN, roles: [acquirer], acquirer_ids: ["00010355"], caps: {CNY: "1.00"}, accepts: all}`+"\nschemes:", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Schemes() {
		s.AuthoriseTimeout, s.InquireEvery, s.ReverseEvery, s.ConfirmWithin = 100*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond, 300*time.Millisecond
	}
	if err := p.engine.Adopt(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	a := p.late("newcomer", "k1", 1)
	b := p.late("acq", "k2", 2)
	p.hears("newcomer", 1, a)
	p.hears("acq", 1, b)
}

// TestAnEndThatIsBeingUndoneIsNotAnEnd: the posting's event is built when the
// reversal is under way already; the end that counts has an event of its own.
func TestAnEndThatIsBeingUndoneIsNotAnEnd(t *testing.T) {
	b := newBench(t)
	id := b.do(payRequest("k1", 1, 1250)).Payment
	for range 200 {
		b.scheme.say(tongma.OpReverse, silent)
	}
	b.want(b.do(tongma.Request{Op: tongma.OpReverse, From: "acq", OfKey: "k1", Budget: 60 * time.Millisecond}), tongma.Pending, tongma.ReversalPending)
	o := &EventOutbox{engine: b.engine}
	data, err := o.dataFor(context.Background(), &notice{kind: EventPaymentEnded, payment: id})
	if err != nil || len(data) != 0 {
		t.Errorf("told %s, %v", data["acq"], err)
	}
}

// TestAPaymentThatIsBeingLookedUpIsNobodyElses: who takes a payment up holds its
// place from before he looks, so that nobody goes on from what was true earlier.
func TestAPaymentThatIsBeingLookedUpIsNobodyElses(t *testing.T) {
	store := &slow{Memory: journal.NewMemory()}
	b := over(t, store, nil)
	id := b.do(payRequest("k1", 1, 1250)).Payment
	stale, err := b.engine.find(context.Background(), &tongma.Request{From: "acq", Original: id})
	if err != nil {
		t.Fatal(err)
	}
	stale.Phase, stale.Posted = clearing.KindHold, false
	b.scheme.say(tongma.OpInquire, reply{answer: tongma.Answer{Reason: tongma.UnknownToScheme}})
	store.shut.Store(true)
	go func() {
		_, _ = b.engine.Ledger().Submit(context.Background(), clearing.Entry{Kind: clearing.KindSuspend, Debtor: "other"})
	}()
	until(t, "the batch", func() bool { return store.waiting.Load() == 1 })
	b.engine.takeUp(id)
	b.engine.resume(stale)
	store.shut.Store(false)
	until(t, "the end of the course", func() bool { return b.engine.course(id) == nil })
	b.want(b.do(tongma.Request{Op: tongma.OpInquire, From: "acq", Original: id}), tongma.Paid, tongma.NoReason)
	if n := b.scheme.count(tongma.OpInquire); n != 0 {
		t.Errorf("the scheme was asked %d times about a payment that has ended", n)
	}
}

// TestStorm: payments, repeats, inquiries, reversals and refunds at once, with
// askers that lose patience, a scheme that fails in every way it can, and a store
// that stalls. In the end nothing is open, the payer is debited exactly where the
// books say so, no hold is left, and whoever was told yes or no was told the truth.
func TestStorm(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	store := &slow{Memory: journal.NewMemory()}
	b := over(t, store, nil)
	yes := reply{act: true, answer: tongma.Answer{Outcome: tongma.Approved}}
	late := reply{act: true, wait: 30 * time.Millisecond, answer: tongma.Answer{Outcome: tongma.Approved}}
	down := reply{err: &tongma.Error{Op: "script", Reason: tongma.AdapterDown}}
	chance := rand.New(rand.NewPCG(seed, 1))
	for range 2000 {
		pick := func(rs ...reply) reply { return rs[chance.IntN(len(rs))] }
		b.scheme.say(tongma.OpAuthorise, pick(yes, yes, late, silent, vanish, waiting, noFunds, down))
		b.scheme.say(tongma.OpInquire, pick(silent, down, reply{answer: tongma.Answer{Reason: tongma.PayerConfirming}}))
		b.scheme.say(tongma.OpReverse, pick(silent, down))
		b.scheme.say(tongma.OpRefund, pick(yes, yes, silent, vanish, down)) // the same question is never answered otherwise: no declines here
	}
	// Half of what is asked behind the first question is answered honestly.
	b.scheme.said[tongma.OpInquire] = b.scheme.said[tongma.OpInquire][:300]
	b.scheme.said[tongma.OpReverse] = b.scheme.said[tongma.OpReverse][:100]
	var told sync.Map // payment to the final answers that were heard of it
	var all sync.WaitGroup
	for i := range 150 {
		key, seed := fmt.Sprintf("k%d", i), seed+uint64(i)
		all.Go(func() {
			chance := rand.New(rand.NewPCG(seed, 2))
			for range 6 {
				r := payRequest(key, i, 10)
				switch chance.IntN(6) {
				case 0:
					r = tongma.Request{Op: tongma.OpReverse, From: "acq", OfKey: key}
				case 1:
					r = tongma.Request{Op: tongma.OpInquire, From: "acq", OfKey: key}
				case 2:
					r = tongma.Request{Op: tongma.OpRefund, From: "acq", Key: key + "r", OfKey: key, Amount: tongma.Money{Minor: 4, Currency: tongma.CNY}}
				}
				r.Budget = time.Duration(60+chance.IntN(60)) * time.Millisecond
				ctx, cancel := context.WithCancel(context.Background())
				hangUp := time.AfterFunc(time.Duration(chance.IntN(200))*time.Millisecond, cancel)
				if a, err := b.engine.Do(ctx, r); err == nil && a.Status.Final() {
					told.Store(fmt.Sprint(a.Payment, a.Status), a)
				}
				hangUp.Stop()
				cancel()
			}
		})
	}
	stalls := make(chan struct{})
	go func() {
		defer close(stalls)
		for range 10 {
			time.Sleep(20 * time.Millisecond)
			store.shut.Store(true)
			time.Sleep(30 * time.Millisecond)
			store.shut.Store(false)
		}
	}()
	all.Wait()
	<-stalls
	var book []clearing.Payment
	until(t, "the end of all payments", func() bool {
		open := 1
		_ = b.engine.Ledger().Read(context.Background(), func(x *clearing.Book) {
			open, book = x.Unfinished(), x.Recent(10_000, func(*clearing.Payment) bool { return true })
		})
		if open > 0 {
			time.Sleep(2 * time.Millisecond)
		}
		return open == 0
	})
	states := map[clearing.Kind]int{}
	var position int64
	for _, p := range book {
		states[p.Phase]++
		if debited := b.scheme.debits[p.ID] == "debited"; debited != (p.Phase == clearing.KindPost) {
			t.Errorf("%s %s is %s in the books, the scheme has acted: %v", p.Op, p.ID, p.Phase, debited)
		}
		if p.Phase == clearing.KindPost && p.Op == tongma.OpPay {
			position += p.Amount.Minor
		}
		if p.Phase == clearing.KindPost && p.Op == tongma.OpRefund {
			position -= p.Amount.Minor
		}
		for _, s := range []tongma.Status{tongma.Paid, tongma.Refused, tongma.ReversedBack} {
			if a, heard := told.Load(fmt.Sprint(p.ID, s)); heard {
				now, then := answerOf(&p), a.(tongma.Answer)
				undone := s == tongma.Paid && now.Reason == tongma.ReversedByAcquirer
				if !undone && string(then.AppendJSON(nil)) != string(now.AppendJSON(nil)) {
					t.Errorf("%s was told %+v, is %+v", p.ID, then, now)
				}
			}
		}
	}
	b.stands("wallet", position, 0)
	b.stands("acq", -position, 0)
	t.Log(states)
	until(t, "the end of all courses", func() bool { b.engine.mu.Lock(); defer b.engine.mu.Unlock(); return len(b.engine.courses) == 0 })
}

// TestPendingAnswersOfOneEntryAreTheSame: why a payment is pending is read off the entry
// that the answer names, whoever asks, and by whichever way: so two answers that rest on
// one entry are the same bytes, as those of payments that have ended are.
func TestPendingAnswersOfOneEntryAreTheSame(t *testing.T) {
	for name, c := range map[string]struct {
		first  reply
		undo   bool
		reason tongma.Reason
	}{
		"held":       {vanish, false, tongma.SchemeSilent},
		"confirming": {waiting, false, tongma.PayerConfirming},
		"reversing":  {vanish, true, tongma.ReversalPending},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.scheme.say(tongma.OpAuthorise, c.first)
			for range 300 {
				b.scheme.say(tongma.OpInquire, silent)
				b.scheme.say(tongma.OpReverse, silent)
			}
			told := map[uint64]string{}
			r := payRequest("k1", 1, 1250)
			back := tongma.Request{Op: tongma.OpReverse, From: "acq", OfKey: "k1", Budget: 60 * time.Millisecond}
			asks := []tongma.Request{r, r, {Op: tongma.OpInquire, From: "acq", OfKey: "k1"}}
			if c.undo {
				asks = []tongma.Request{r, back, back, r, {Op: tongma.OpInquire, From: "acq", OfKey: "k1"}}
			}
			reasons := map[tongma.Reason]bool{}
			for _, ask := range asks {
				a := b.do(ask)
				text := string(a.AppendJSON(nil))
				if was, ok := told[a.Entry]; ok && was != text {
					t.Errorf("told of entry %d first %s and then %s", a.Entry, was, text)
				}
				told[a.Entry] = text
				reasons[a.Reason] = true
			}
			if !reasons[c.reason] || len(told) > len(reasons) {
				t.Errorf("%v of %d entries", reasons, len(told))
			}
		})
	}
}
