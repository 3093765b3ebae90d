package switching

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

// suspended reads whether a participant's debits are blocked.
func (b *bench) suspended(p tongma.ParticipantID) (blocked bool) {
	b.t.Helper()
	err := b.engine.Ledger().Read(context.Background(), func(book *clearing.Book) {
		for _, at := range book.Positions() {
			blocked = blocked || (at.Participant == p && at.Suspended)
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return blocked
}

func (b *bench) write(e clearing.Entry) clearing.Result {
	b.t.Helper()
	res, err := b.engine.Ledger().Submit(context.Background(), e)
	if err != nil {
		b.t.Fatal(err)
	}
	return res
}

// TestARestartEndsNobodysSuspension: not an operator's, and not that of a debtor
// who was short. A directory that suspends somebody no longer ends its own.
func TestARestartEndsNobodysSuspension(t *testing.T) {
	store := journal.NewMemory()
	registry := schemes.NewMemoryRegistry(market(t, 1, fast))
	start := func() *bench { return over(t, store, func(o *Options) { o.Registry = registry }) }
	b := start()
	b.write(clearing.Entry{Kind: clearing.KindSuspend, Debtor: "wallet", Maker: "ann"})
	_ = b.engine.Close()
	b = start()
	if !b.suspended("wallet") {
		t.Fatal("a restart resumed whom an operator had suspended")
	}
	blocked := strings.Replace(fast, "{id: other,", "{id: other, suspended: true,", 1)
	for _, step := range []struct {
		source        string
		other, wallet bool
	}{{blocked, true, true}, {fast, false, true}} {
		d, err := registry.Add([]byte(step.source))
		if err != nil {
			t.Fatal(err)
		}
		_ = b.engine.Close()
		b = start()
		if b.suspended("other") != step.other || b.suspended("wallet") != step.wallet {
			t.Errorf("directory %d: other suspended %v, wallet %v", d.Version(), b.suspended("other"), b.suspended("wallet"))
		}
	}
}

// TestAResumptionThatWasCutOffIsMadeUpFor: the version that resumes somebody came
// into force, and the switch stopped before it had said so. The next start does.
func TestAResumptionThatWasCutOffIsMadeUpFor(t *testing.T) {
	store := journal.NewMemory()
	registry := schemes.NewMemoryRegistry(market(t, 1, strings.Replace(fast, "{id: other,", "{id: other, suspended: true,", 1)))
	start := func() *bench { return over(t, store, func(o *Options) { o.Registry = registry }) }
	b := start()
	d, err := registry.Add([]byte(fast))
	if err != nil {
		t.Fatal(err)
	}
	b.write(clearing.Entry{Kind: clearing.KindDirectory, Directory: d.Version(), Hash: d.Hash()})
	_ = b.engine.Close()
	if b = start(); b.suspended("other") {
		t.Error("nobody resumes it any more")
	}
}

// settling is a market with a fee, a model of its own for one scheme, and a bank
// that settles through another.
var settling = strings.NewReplacer(
	"{id: other, name: O, country: CN, roles: [acquirer, issuer]", "{id: other, sponsor: acq, name: O, country: CN, roles: [acquirer, issuer]",
	"schemes:\n", "  - {id: hub, name: H, country: CN, roles: [acquirer], caps: {CNY: \"100.00\"}, accepts: all}\nschemes:\n",
).Replace(fast) + `
fees:
  - schemes: [wechat]
    currency: CNY
    effective_from: 2020-01-01T00:00:00+08:00
    rules:
      - {kind: interchange, from: acquirer, to: issuer, basis_points: "100", on_refund: return}
      - {kind: switch, from: acquirer, to: switch, flat: "0.05"}
switch_party: hub
settlement:
  models:
    - {id: fast, method: bilateral, schemes: [wechat], currencies: [CNY]}
`

// TestPaymentsCarryTheirFeesAndTheirModel: what the directory says is in the
// posting's own entry, a refund gives back its part, and a sub-participant and a
// model are there before the first payment.
func TestPaymentsCarryTheirFeesAndTheirModel(t *testing.T) {
	var seen []clearing.Entry
	b := over(t, journal.NewMemory(), func(o *Options) {
		o.Registry = schemes.NewMemoryRegistry(market(t, 1, settling))
		o.OnCommit = func(_ uint64, es []clearing.Entry) { seen = append(seen, es...) }
	})
	paid := b.do(payRequest("k1", 1, 1000))
	b.want(paid, tongma.Paid, tongma.NoReason)
	b.stands("wallet", 1000-10, 0)
	b.stands("hub", -5, 0)
	b.stands("acq", -1000+10+5, 0)
	refund := b.do(tongma.Request{Op: tongma.OpRefund, From: "acq", Key: "r1", Original: paid.Payment, Amount: tongma.Money{Minor: 500, Currency: tongma.CNY}, Budget: time.Second})
	b.want(refund, tongma.Paid, tongma.NoReason)
	b.stands("wallet", 500-5, 0)
	b.stands("hub", -5, 0)
	models := map[string]calendar.Model{}
	_ = b.engine.Ledger().Read(context.Background(), func(book *clearing.Book) {
		for _, m := range book.Models() {
			models[m.Name] = m.Method
		}
		for _, p := range book.Positions() {
			if p.Participant == "other" && p.Sponsor != "acq" {
				t.Errorf("other settles through %q", p.Sponsor)
			}
		}
	})
	if models["fast"] != calendar.Bilateral {
		t.Errorf("models %v", models)
	}
	for _, e := range seen {
		if e.Kind == clearing.KindHold && e.Model != "fast" {
			t.Errorf("%s is held in model %q", e.Op, e.Model)
		}
	}
}

// TestAStalledJournalHoldsNobodyPastItsTime: the scheme has said yes, and the
// journal stands still. The asker hears in time that nothing is known, as the disk
// has it, and the yes is written when the journal goes on, without the scheme being asked again.
func TestAStalledJournalHoldsNobodyPastItsTime(t *testing.T) {
	store := &slow{Memory: journal.NewMemory()}
	b := over(t, store, nil)
	b.scheme.say(tongma.OpAuthorise, reply{act: true, after: func() { store.shut.Store(true) }, answer: tongma.Answer{Outcome: tongma.Approved}})
	begun := time.Now()
	r := payRequest("k1", 1, 1250)
	a := b.do(r)
	b.want(a, tongma.Pending, tongma.SchemeSilent)
	if took := time.Since(begun); took > r.Budget {
		t.Errorf("answered after %v, asked to be within %v", took, r.Budget)
	}
	store.shut.Store(false)
	b.want(b.ends(a.Payment), tongma.Paid, tongma.NoReason)
	b.stands("wallet", 1250, 0)
	if n := b.scheme.count(tongma.OpInquire) + b.scheme.count(tongma.OpReverse); n != 0 {
		t.Errorf("the scheme was asked %d times more: %+v", n, b.scheme.asked)
	}
}

// TestAnExpiredHoldIsADecline in the state, in the answer, and to who reverses it.
func TestAnExpiredHoldIsADecline(t *testing.T) {
	p := clearing.Payment{Phase: clearing.KindExpire, Reason: tongma.HoldExpired, Amount: tongma.Money{Minor: 1, Currency: tongma.CNY}}
	if s := StateOf(&p); s != Declined || !s.Final() {
		t.Errorf("state %s", s)
	}
	if a := answerOf(&p); a.Outcome != tongma.Declined || a.Status != tongma.Refused || a.Reason != tongma.HoldExpired || a.After != 0 {
		t.Errorf("answered %+v", a)
	}
}

// TestAPaymentWithoutAnAdapterIsTakenUpWhenThereIsOne: not only at the next start.
func TestAPaymentWithoutAnAdapterIsTakenUpWhenThereIsOne(t *testing.T) {
	for _, by := range []string{"the adapter", "the clock"} {
		t.Run(by, func(t *testing.T) {
			store := journal.NewMemory()
			b := over(t, store, nil)
			for range 50 {
				b.scheme.say(tongma.OpReverse, silent)
			}
			a := b.do(payRequest("k1", 1, 100))
			undoing := b.do(tongma.Request{Op: tongma.OpReverse, From: "acq", OfKey: "k1", Budget: 30 * time.Millisecond})
			b.want(undoing, tongma.Pending, tongma.ReversalPending)
			_ = b.engine.Close()
			scheme := b.scheme
			scheme.said = map[tongma.Operation][]reply{}
			b = over(t, store, func(o *Options) { o.Adapters, o.LookAgain = nil, 20*time.Millisecond })
			b.want(b.do(tongma.Request{Op: tongma.OpInquire, From: "acq", Original: a.Payment}), tongma.Pending, tongma.ReversalPending)
			if by == "the adapter" {
				b.engine.Reach("wechat", scheme)
			} else {
				late := map[tongma.SchemeID]Adapter{"wechat": scheme}
				b.engine.reached.Store(&late)
			}
			b.want(b.ends(a.Payment), tongma.ReversedBack, tongma.ReversedByAcquirer)
		})
	}
}

// TestNoMoreThanSoManyAtOnce: payments beyond the bound are refused before anything
// is written, and questions that nobody waits for take turns.
func TestNoMoreThanSoManyAtOnce(t *testing.T) {
	b := over(t, journal.NewMemory(), func(o *Options) { o.MostOpen, o.AsksAtOnce = 1, 1 })
	b.scheme.say(tongma.OpAuthorise, reply{wait: 80 * time.Millisecond, act: true, answer: tongma.Answer{Outcome: tongma.Approved}})
	first := make(chan tongma.Answer, 1)
	go func() { a, _ := b.engine.Do(context.Background(), payRequest("k1", 1, 100)); first <- a }()
	until(t, "the first payment", func() bool { return b.scheme.count(tongma.OpAuthorise) == 1 })
	b.refuses(payRequest("k2", 2, 100), tongma.Overloaded)
	b.want(<-first, tongma.Paid, tongma.NoReason)
	b.want(b.do(payRequest("k2", 2, 100)), tongma.Paid, tongma.NoReason)
	done := b.engine.turn("wechat")
	next := make(chan func(), 1)
	go func() { next <- b.engine.turn("wechat") }()
	select {
	case <-next:
		t.Error("two ask at once")
	case <-time.After(20 * time.Millisecond):
	}
	done()
	(<-next)()
}

// TestEventsThatFoundTheQueueFullAreReadFromTheJournal, in order and none twice;
// and a limit that is being used up is told to whose limit it is.
func TestEventsThatFoundTheQueueFullAreReadFromTheJournal(t *testing.T) {
	nc, store := startBus(t), journal.NewMemory()
	outbox, err := NewEventOutbox(nc, EventOutboxOptions{MaxQueue: 2})
	if err != nil {
		t.Fatal(err)
	}
	b := over(t, store, func(o *Options) { o.Outbox = outbox })
	var ends []tongma.PaymentID
	for i := range 9 {
		b.scheme.say(tongma.OpAuthorise, waiting)
		r := payRequest(string(rune('a'+i)), i+1, 100)
		b.want(b.do(r), tongma.Pending, tongma.PayerConfirming)
		id := b.do(tongma.Request{Op: tongma.OpInquire, From: "acq", OfKey: r.Key}).Payment
		b.want(b.ends(id), tongma.Paid, tongma.NoReason)
		ends = append(ends, id)
	}
	if err := outbox.Start(t.Context(), b.engine); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream := func(p tongma.ParticipantID) (s jetstream.Stream, last uint64) {
		if s, err = js.Stream(t.Context(), tongma.EventStream(p)); err != nil {
			return nil, 0
		}
		return s, s.CachedInfo().State.LastSeq
	}
	until(t, "all events", func() bool { _, last := stream("acq"); return last == uint64(len(ends)) })
	s, _ := stream("acq")
	for i, id := range ends {
		m, err := s.GetMsg(t.Context(), uint64(i)+1)
		if err != nil || m.Header.Get("ce-subject") != id.String() {
			t.Fatalf("event %d is of %s, want %s (%v)", i+1, m.Header.Get("ce-subject"), id, err)
		}
	}
	b.want(b.do(payRequest("big", 99, 5000)), tongma.Paid, tongma.NoReason) // of 100.00, 9.00 are used
	until(t, "the warning", func() bool { _, last := stream("wallet"); return last == 1 })
	s, _ = stream("wallet")
	m, err := s.GetMsg(t.Context(), 1)
	if err != nil || m.Subject != tongma.EventSubject("wallet", EventLimit) || string(m.Data) != `{"currency":"CNY","percent":50}` {
		t.Fatalf("told %s %s (%v)", m.Subject, m.Data, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	outbox.Stop(ctx)
}

// TestTwoVersionsAreAdoptedOneAfterTheOther: whichever call comes first, the books
// end under one version, and it is the newer one.
func TestTwoVersionsAreAdoptedOneAfterTheOther(t *testing.T) {
	registry := schemes.NewMemoryRegistry(market(t, 1, fast))
	b := over(t, journal.NewMemory(), func(o *Options) { o.Registry = registry })
	var pair [2]*schemes.Directory
	for round := range 20 {
		for i := range pair {
			caps := fmt.Sprintf(`{CNY: "%d.00"}`, 500+10*round+i)
			d, err := registry.Add([]byte(regexp.MustCompile(`\{CNY: "[0-9.]+"\}`).ReplaceAllString(fast, caps)))
			if err != nil {
				t.Fatal(err)
			}
			pair[i] = d
		}
		var wg sync.WaitGroup
		for _, d := range pair {
			wg.Go(func() { _ = b.engine.Adopt(context.Background(), d) }) // the older one may be refused
		}
		wg.Wait()
		_ = b.engine.Ledger().Read(context.Background(), func(book *clearing.Book) {
			for _, at := range book.Positions() {
				p, _ := pair[1].Participant(at.Participant)
				if book.Directory() != pair[1].Version() || at.Cap != p.Caps[at.Currency] {
					t.Errorf("round %d: directory %d, the cap of %s is %d, it says %d", round, book.Directory(), at.Participant, at.Cap, p.Caps[at.Currency])
				}
			}
		})
	}
}

// TestTheSchemesFeesGoToItsFeeParty, who may be another than runs it.
func TestTheSchemesFeesGoToItsFeeParty(t *testing.T) {
	source := strings.Replace(settling, "{id: wechat,", "{id: wechat, fee_party: hub,", 1)
	source = strings.Replace(source, "{kind: switch, from: acquirer, to: switch,", "{kind: scheme, from: acquirer, to: scheme,", 1)
	b := over(t, journal.NewMemory(), func(o *Options) { o.Registry = schemes.NewMemoryRegistry(market(t, 1, source)) })
	b.want(b.do(payRequest("k1", 1, 1000)), tongma.Paid, tongma.NoReason)
	b.stands("hub", -5, 0)
	b.stands("wallet", 1000-10, 0)
}
