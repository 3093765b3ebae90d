package switching

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
)

// script is a scheme that answers as a test tells it, question by question. A
// question without an answer of its own is answered by what the scheme knows.
type script struct {
	mu     sync.Mutex
	said   map[tongma.Operation][]reply // next answers, by operation
	asked  []tongma.Request
	debits map[tongma.PaymentID]string // "debited", "never", by payment
}

type reply struct {
	answer tongma.Answer
	err    error
	wait   time.Duration
	act    bool // carry it out, whatever is answered
	after  func()
}

func newScript() *script {
	return &script{said: map[tongma.Operation][]reply{}, debits: map[tongma.PaymentID]string{}}
}

func (s *script) say(op tongma.Operation, rs ...reply) { s.said[op] = append(s.said[op], rs...) }

func (s *script) count(op tongma.Operation) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.asked {
		if r.Op == op {
			n++
		}
	}
	return n
}

func (s *script) do(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	var told *reply
	if q := s.said[r.Op]; len(q) > 0 {
		told, s.said[r.Op] = &q[0], q[1:]
	}
	s.mu.Unlock()
	if told == nil {
		return s.honest(r), nil
	}
	if told.act {
		s.honest(r)
	}
	if told.after != nil {
		told.after()
	}
	if told.wait > 0 {
		select {
		case <-time.After(told.wait):
		case <-ctx.Done():
			return tongma.Answer{}, &tongma.Error{Op: "script", Reason: tongma.SchemeSilent, Err: ctx.Err()}
		}
	}
	return told.answer, told.err
}

// honest is a scheme that works.
func (s *script) honest(r tongma.Request) tongma.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	yes := tongma.Answer{Payment: r.Payment, Outcome: tongma.Approved, Amount: r.Amount, SchemeRef: "REF-" + r.Payment.String()[26:]}
	switch r.Op {
	case tongma.OpAuthorise, tongma.OpAccept, tongma.OpRefund:
		if s.debits[r.Payment] == "never" {
			return tongma.Answer{Outcome: tongma.Declined, Reason: tongma.ReversedBySwitch}
		}
		s.debits[r.Payment] = "debited"
	case tongma.OpInquire:
		switch s.debits[r.Original] {
		case "debited":
		case "never":
			return tongma.Answer{Outcome: tongma.Declined, Status: tongma.ReversedBack, Reason: tongma.ReversedBySwitch}
		default:
			return tongma.Answer{Reason: tongma.UnknownToScheme}
		}
	case tongma.OpReverse:
		s.debits[r.Original] = "never"
	}
	return yes
}

func (s *script) Authorise(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return s.do(ctx, r)
}
func (s *script) Accept(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return s.do(ctx, r)
}
func (s *script) Inquire(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return s.do(ctx, r)
}
func (s *script) Reverse(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return s.do(ctx, r)
}
func (s *script) Refund(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return s.do(ctx, r)
}
func (s *script) Consult(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return s.do(ctx, r)
}

var (
	silent  = reply{err: &tongma.Error{Op: "script", Reason: tongma.SchemeSilent}}
	vanish  = reply{act: true, err: &tongma.Error{Op: "script", Reason: tongma.SchemeSilent}}
	waiting = reply{act: true, answer: tongma.Answer{Outcome: tongma.Unknown, Reason: tongma.PayerConfirming}}
	noFunds = reply{answer: tongma.Answer{Outcome: tongma.Declined, Reason: tongma.InsufficientFunds}}
)

// fast is a small market; open gives its schemes a patience that fits a test.
const fast = `
name: test
rules: default
participants:
  - {id: acq, name: A, country: CN, roles: [acquirer], acquirer_ids: ["00010344"], issuer_code: "2001", caps: {CNY: "1000.00"}, accepts: all}
  - {id: wallet, name: W, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}, accepts: all}
  - {id: other, name: O, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}, accepts: all}
schemes:
  - {id: wechat, name: W, participant: wallet, countries: [CN], currencies: [CNY]}
  - {id: north, name: N, participant: acq, countries: [CN], currencies: [CNY]}
`

// watched is a store that notes what the scheme had done when each batch was
// about to be written: the latest that can be true if it never is.
type watched struct {
	*journal.Memory
	scheme *script
	before []map[tongma.PaymentID]string
}

func (w *watched) Append(ctx context.Context, expectLast uint64, message []byte) (uint64, error) {
	w.scheme.mu.Lock()
	w.before = append(w.before, maps.Clone(w.scheme.debits))
	w.scheme.mu.Unlock()
	return w.Memory.Append(ctx, expectLast, message)
}

type bench struct {
	t      testing.TB
	engine *Engine
	store  *watched
	scheme *script
	events *eventLog
}

type eventLog struct {
	mu   sync.Mutex
	ends []clearing.Entry
}

func (l *eventLog) Committed(es []clearing.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range es {
		if eventType(&e) == EventPaymentEnded {
			l.ends = append(l.ends, e)
		}
	}
}

// Ended takes an end that its entry does not tell.
func (l *eventLog) Ended(id tongma.PaymentID, entry uint64, _ int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, clearing.Entry{Payment: id, Number: entry})
}

func newBench(t testing.TB) *bench {
	b := emptyBench(t)
	b.open()
	return b
}

func emptyBench(t testing.TB) *bench {
	scheme := newScript()
	return &bench{t: t, store: &watched{Memory: journal.NewMemory(), scheme: scheme}, scheme: scheme, events: &eventLog{}}
}

func (b *bench) open() {
	b.t.Helper()
	d, err := schemes.Parse(1, []byte(fast))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range d.Schemes() {
		s.AuthoriseTimeout, s.InquireEvery, s.ReverseEvery, s.ConfirmWithin = 100*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond, 300*time.Millisecond
	}
	b.engine, err = Open(context.Background(), Options{Store: b.store, Registry: schemes.NewMemoryRegistry(d), Outbox: b.events,
		Adapters: map[tongma.SchemeID]Adapter{"wechat": b.scheme, "north": b.scheme}, DoubtFor: 200 * time.Millisecond,
		Digest: func(code string) [16]byte { var d [16]byte; copy(d[:], code[max(0, len(code)-16):]); return d }})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.engine.Close() })
}

func payRequest(key string, serial int, minor int64) tongma.Request {
	return tongma.Request{Op: tongma.OpPay, From: "acq", Key: key, Code: fmt.Sprintf("13%016d", serial), Amount: tongma.Money{Minor: minor, Currency: tongma.CNY},
		Merchant: tongma.Merchant{ID: "M1"}, Budget: 150 * time.Millisecond}
}

func (b *bench) do(r tongma.Request) tongma.Answer {
	b.t.Helper()
	a, err := b.engine.Do(context.Background(), r)
	if err != nil {
		b.t.Fatalf("%s: %v", r.Op, err)
	}
	return a
}

func (b *bench) refuses(r tongma.Request, want tongma.Reason) {
	b.t.Helper()
	if a, err := b.engine.Do(context.Background(), r); tongma.ReasonOf(err) != want {
		b.t.Fatalf("%s: got %v and %v, want %v", r.Op, a.Reason, err, want)
	}
}

// ends waits until the payment is final and returns its answer.
func (b *bench) ends(id tongma.PaymentID) tongma.Answer {
	b.t.Helper()
	for range 500 {
		a := b.do(tongma.Request{Op: tongma.OpInquire, From: "acq", Original: id})
		if a.Status.Final() {
			return a
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.t.Fatal("payment does not end")
	return tongma.Answer{}
}

func (b *bench) standing(p tongma.ParticipantID) (position, reserved int64) {
	b.t.Helper()
	err := b.engine.Ledger().Read(context.Background(), func(book *clearing.Book) {
		for _, at := range book.Positions() {
			if at.Participant == p {
				position, reserved = at.Position, at.Reserved
			}
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return position, reserved
}

func (b *bench) stands(p tongma.ParticipantID, position, reserved int64) {
	b.t.Helper()
	if gotPosition, gotReserved := b.standing(p); gotPosition != position || gotReserved != reserved {
		b.t.Fatalf("%s stands at %d, %d held; want %d, %d held", p, gotPosition, gotReserved, position, reserved)
	}
}

func (b *bench) want(a tongma.Answer, status tongma.Status, reason tongma.Reason) {
	b.t.Helper()
	if a.Status != status || a.Reason != reason {
		b.t.Fatalf("got %s for %s, want %s for %s", a.Status, a.Reason, status, reason)
	}
}

func TestApprovedIsPostedOnceAndRepeatsTheSameBytes(t *testing.T) {
	b := newBench(t)
	first := b.do(payRequest("k1", 1, 1250))
	b.want(first, tongma.Paid, tongma.NoReason)
	again := b.do(payRequest("k1", 1, 1250))
	if string(first.AppendJSON(nil)) != string(again.AppendJSON(nil)) || !again.Replayed {
		t.Fatalf("repeat differs:\n%s\n%s", first.AppendJSON(nil), again.AppendJSON(nil))
	}
	b.stands("wallet", 1250, 0)
	b.stands("acq", -1250, 0)
	if n := b.scheme.count(tongma.OpAuthorise); n != 1 {
		t.Fatalf("the scheme was asked %d times", n)
	}
}

func TestSameKeyOtherContentHasItsOwnReason(t *testing.T) {
	b := newBench(t)
	b.do(payRequest("k1", 1, 1250))
	other := payRequest("k1", 1, 1300)
	b.refuses(other, tongma.ExistsOtherAmount)
	other = payRequest("k1", 2, 1250)
	b.refuses(other, tongma.ExistsOtherCode)
	other = payRequest("k1", 1, 1250)
	other.Amount.Currency = tongma.USD
	if _, err := b.engine.Do(context.Background(), other); tongma.ReasonOf(err) != tongma.ExistsOtherCurrency {
		t.Fatal(err)
	}
	other = payRequest("k1", 1, 1250)
	other.Merchant.ID = "M2"
	b.refuses(other, tongma.ExistsOtherContent)
	b.stands("wallet", 1250, 0)
}

func TestDeclineReleasesTheHoldAndSpendsTheCode(t *testing.T) {
	b := newBench(t)
	b.scheme.say(tongma.OpAuthorise, noFunds)
	b.want(b.do(payRequest("k1", 1, 1250)), tongma.Refused, tongma.InsufficientFunds)
	b.stands("wallet", 0, 0)
	b.want(b.do(payRequest("k2", 1, 1250)), tongma.Refused, tongma.CodeSpent)
	b.stands("wallet", 0, 0)
}

func TestSilenceIsNotANo(t *testing.T) {
	t.Run("the payer was debited: posted, and pushed", func(t *testing.T) {
		b := newBench(t)
		b.scheme.say(tongma.OpAuthorise, vanish)
		b.scheme.say(tongma.OpInquire, silent, silent)
		a := b.ends(b.do(payRequest("k1", 1, 1250)).Payment)
		b.want(a, tongma.Paid, tongma.NoReason)
		b.stands("wallet", 1250, 0)
		if len(b.events.ends) != 1 {
			t.Fatalf("%d events", len(b.events.ends))
		}
	})
	t.Run("the scheme never saw it: reversed, so that it never acts", func(t *testing.T) {
		b := newBench(t)
		b.scheme.say(tongma.OpAuthorise, silent)
		a := b.ends(b.do(payRequest("k1", 1, 1250)).Payment)
		b.want(a, tongma.ReversedBack, tongma.ReversedBySwitch)
		b.stands("wallet", 0, 0)
		if b.scheme.debits[a.Payment] != "never" {
			t.Fatal("the scheme could still act")
		}
	})
	t.Run("it stays silent: reversed, sent until acknowledged", func(t *testing.T) {
		b := newBench(t)
		b.scheme.say(tongma.OpAuthorise, vanish)
		for range 100 {
			b.scheme.say(tongma.OpInquire, silent)
		}
		b.scheme.say(tongma.OpReverse, silent, silent, silent)
		first := b.do(payRequest("k1", 1, 1250))
		b.want(first, tongma.Pending, tongma.SchemeSilent)
		if _, held := b.standing("wallet"); held != 1250 {
			t.Fatalf("hold is %d while the outcome is not known", held)
		}
		a := b.ends(first.Payment)
		b.want(a, tongma.ReversedBack, tongma.ReversedBySwitch)
		b.stands("wallet", 0, 0)
		if n := b.scheme.count(tongma.OpReverse); n != 4 {
			t.Fatalf("reversal sent %d times, want 4", n)
		}
	})
}

func TestPayerConfirmingIsToldAtOnceAndItsEndIsPushed(t *testing.T) {
	b := newBench(t)
	b.scheme.say(tongma.OpAuthorise, waiting)
	b.scheme.say(tongma.OpInquire, waiting, waiting)
	first := b.do(payRequest("k1", 1, 1250))
	b.want(first, tongma.Pending, tongma.PayerConfirming)
	b.want(b.ends(first.Payment), tongma.Paid, tongma.NoReason)
	b.stands("wallet", 1250, 0)
	if len(b.events.ends) != 1 || b.events.ends[0].Payment != first.Payment {
		t.Fatal("the end was not pushed")
	}
}

func TestPayerWhoNeverConfirmsIsReversed(t *testing.T) {
	b := newBench(t)
	b.scheme.say(tongma.OpAuthorise, waiting)
	for range 200 {
		b.scheme.say(tongma.OpInquire, waiting)
	}
	b.want(b.ends(b.do(payRequest("k1", 1, 1250)).Payment), tongma.ReversedBack, tongma.HoldExpired)
	b.stands("wallet", 0, 0)
}

func TestHoldsCountAgainstTheCap(t *testing.T) {
	b := newBench(t)
	b.scheme.say(tongma.OpAuthorise, waiting)
	for range 200 {
		b.scheme.say(tongma.OpInquire, waiting)
	}
	b.do(payRequest("k1", 1, 6000)) // held, of a cap of 100.00
	b.want(b.do(payRequest("k2", 2, 4001)), tongma.Refused, tongma.OverCap)
	b.want(b.do(payRequest("k3", 3, 4000)), tongma.Paid, tongma.NoReason)
}

func TestReversalByTheAcquirer(t *testing.T) {
	reversal := tongma.Request{Op: tongma.OpReverse, From: "acq", OfKey: "k1", Budget: time.Second}
	t.Run("of an approved payment", func(t *testing.T) {
		b := newBench(t)
		id := b.do(payRequest("k1", 1, 1250)).Payment
		b.want(b.do(reversal), tongma.ReversedBack, tongma.ReversedByAcquirer)
		b.want(b.do(reversal), tongma.ReversedBack, tongma.ReversedByAcquirer)
		b.stands("wallet", 0, 0)
		b.stands("acq", 0, 0)
		if b.scheme.debits[id] != "never" {
			t.Fatal("the payer is still debited")
		}
		b.want(b.do(payRequest("k1", 1, 1250)), tongma.ReversedBack, tongma.ReversedByAcquirer)
	})
	t.Run("before the payment: the late payment is refused", func(t *testing.T) {
		b := newBench(t)
		b.want(b.do(reversal), tongma.ReversedBack, tongma.ReversedBeforeOriginal)
		b.want(b.do(payRequest("k1", 1, 1250)), tongma.ReversedBack, tongma.ReversedBeforeOriginal)
		b.stands("wallet", 0, 0)
		if b.scheme.count(tongma.OpAuthorise) != 0 {
			t.Fatal("the scheme was asked")
		}
	})
	t.Run("while the scheme is being asked: its late yes does not count", func(t *testing.T) {
		b := newBench(t)
		asked := make(chan struct{})
		b.scheme.say(tongma.OpAuthorise, reply{act: true, wait: 80 * time.Millisecond, after: func() { close(asked) },
			answer: tongma.Answer{Outcome: tongma.Approved, Amount: tongma.Money{Minor: 1250, Currency: tongma.CNY}}})
		paid := make(chan tongma.Answer, 1)
		go func() { a, _ := b.engine.Do(context.Background(), payRequest("k1", 1, 1250)); paid <- a }()
		<-asked
		b.want(b.do(reversal), tongma.ReversedBack, tongma.ReversedByAcquirer)
		if a := <-paid; a.Status == tongma.Paid {
			t.Fatal("approved what was being reversed")
		}
		b.stands("wallet", 0, 0)
	})
	t.Run("of somebody else's payment is of none", func(t *testing.T) {
		b := newBench(t)
		id := b.do(payRequest("k1", 1, 1250)).Payment
		b.refuses(tongma.Request{Op: tongma.OpReverse, From: "other", Original: id}, tongma.PaymentUnknown)
		b.refuses(tongma.Request{Op: tongma.OpInquire, From: "other", Original: id}, tongma.PaymentUnknown)
		b.stands("wallet", 1250, 0)
	})
}

// TestTheCodeSaysWhoIsPaid: a wallet that names another merchant, or a part of one, does
// not change whom the acquirer is asked for.
func TestTheCodeSaysWhoIsPaid(t *testing.T) {
	code := tongma.Merchant{ID: "m1", Name: "Noodles", Country: "CN"}
	wallet := tongma.Merchant{ID: "m2", Country: "HK", Terminal: "t9"}
	if got := printed(code, wallet); got != (tongma.Merchant{ID: "m1", Name: "Noodles", Country: "CN", Terminal: "t9"}) {
		t.Errorf("%+v", got)
	}
	if got := printed(tongma.Merchant{}, wallet); got != wallet {
		t.Errorf("of a code that says nothing: %+v", got)
	}
}

// TestADisputedPaymentIsNotReversed: and who asks is not told that all is well.
func TestADisputedPaymentIsNotReversed(t *testing.T) {
	b := newBench(t)
	id := b.do(payRequest("k1", 1, 1000)).Payment
	if _, err := b.engine.Ledger().Submit(t.Context(), clearing.Entry{Kind: clearing.KindOpen, Model: "disputes"}); err != nil {
		t.Fatal(err)
	}
	r, err := b.engine.Ledger().Submit(t.Context(), clearing.Entry{Kind: clearing.KindDispute, Payment: tongma.PaymentID{7}, Asker: "wallet", Key: "d1", Original: id,
		Amount: tongma.Money{Minor: 1000, Currency: tongma.CNY}, Expiry: time.Now().Add(time.Hour).UnixMilli(), Model: "disputes"})
	if err != nil || !r.Write || r.Reason != tongma.NoReason {
		t.Fatalf("%+v %v", r, err)
	}
	b.refuses(tongma.Request{Op: tongma.OpReverse, From: "acq", Original: id}, tongma.DisputeOpen)
	b.stands("wallet", 1000, 0)
}

func TestRefundsNeverPassTheOriginal(t *testing.T) {
	b := newBench(t)
	id := b.do(payRequest("k1", 1, 1000)).Payment
	refund := func(key string, minor int64) tongma.Request {
		return tongma.Request{Op: tongma.OpRefund, From: "acq", Key: key, Original: id, Amount: tongma.Money{Minor: minor, Currency: tongma.CNY}, Budget: 150 * time.Millisecond}
	}
	b.want(b.do(refund("r1", 300)), tongma.Paid, tongma.NoReason)
	b.scheme.say(tongma.OpRefund, silent) // asked again, never reversed
	second := b.do(refund("r2", 600))
	b.want(b.ends(second.Payment), tongma.Paid, tongma.NoReason)
	b.want(b.do(refund("r3", 101)), tongma.Refused, tongma.RefundExceeds)
	b.want(b.do(refund("r4", 100)), tongma.Paid, tongma.NoReason)
	b.stands("wallet", 0, 0)
	b.refuses(tongma.Request{Op: tongma.OpReverse, From: "acq", Original: id}, tongma.AlreadyRefunded)
	stranger := refund("r5", 1)
	stranger.From = "other"
	b.refuses(stranger, tongma.PaymentUnknown)
}

// TestARefundOfWhatItsSchemeDoesNotKnowEnds: a scheme that has no record of the
// payment declines its refund, at once or when it is asked again behind silence. While
// it does not know of the refund either, it is asked.
func TestARefundOfWhatItsSchemeDoesNotKnowEnds(t *testing.T) {
	declines := reply{answer: tongma.Answer{Outcome: tongma.Declined, Reason: tongma.UnknownToScheme}}
	noRecord := reply{answer: tongma.Answer{Reason: tongma.UnknownToScheme}}
	for name, said := range map[string][]reply{"at once": {declines}, "behind silence": {silent, noRecord, declines}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			id := b.do(payRequest("k1", 1, 1000)).Payment
			b.scheme.say(tongma.OpRefund, said...)
			refund := b.do(tongma.Request{Op: tongma.OpRefund, From: "acq", Key: "r1", Original: id, Amount: tongma.Money{Minor: 300, Currency: tongma.CNY}, Budget: 150 * time.Millisecond})
			b.want(b.ends(refund.Payment), tongma.Refused, tongma.UnknownToScheme)
			b.stands("wallet", 1000, 0)
			b.stands("acq", -1000, 0)
		})
	}
}

// TestRecoverAtEveryDurableStep cuts the journal behind each of its batches in
// turn, as a kill -9 would, and lets a new engine finish what it finds, with a
// scheme that remembers what it had done.
func TestRecoverAtEveryDurableStep(t *testing.T) {
	run := func(b *bench) {
		b.scheme.say(tongma.OpAuthorise, reply{act: true, answer: tongma.Answer{Outcome: tongma.Approved}}, vanish, silent, waiting, noFunds)
		for i := range 5 {
			b.do(payRequest(fmt.Sprintf("k%d", i), i, 1000))
		}
		b.do(tongma.Request{Op: tongma.OpReverse, From: "acq", OfKey: "k0", Budget: time.Second})
	}
	whole := newBench(t)
	run(whole)
	for i := range 4 {
		whole.ends(whole.do(tongma.Request{Op: tongma.OpInquire, From: "acq", OfKey: fmt.Sprintf("k%d", i)}).Payment)
	}
	whole.engine.Close()
	var messages [][]byte
	_ = whole.store.Read(context.Background(), 1, func(_ uint64, m []byte) error { messages = append(messages, append([]byte(nil), m...)); return nil })
	for cutAt := 1; cutAt <= len(messages); cutAt++ {
		b := emptyBench(t)
		if cutAt < len(messages) {
			b.scheme.debits = whole.store.before[cutAt]
		} else {
			b.scheme.debits = whole.scheme.debits
		}
		for _, m := range messages[:cutAt] {
			b.store.Put(m)
		}
		b.open()
		var open []clearing.Payment
		for range 400 {
			_ = b.engine.Ledger().Read(context.Background(), func(book *clearing.Book) { open = book.OpenPayments() })
			if len(open) == 0 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if len(open) > 0 {
			t.Fatalf("cut behind batch %d of %d: %d payments stay open", cutAt, len(messages), len(open))
		}
		b.agree(cutAt)
		b.engine.Close()
	}
}

// agree checks that the payer is debited exactly where the books have a posting.
func (b *bench) agree(cutAt int) {
	var all []clearing.Payment
	_ = b.engine.Ledger().Read(context.Background(), func(book *clearing.Book) {
		all = book.Recent(100, func(*clearing.Payment) bool { return true })
	})
	for _, p := range all {
		debited := b.scheme.debits[p.ID] == "debited"
		if debited != (p.Phase == clearing.KindPost) {
			b.t.Fatalf("cut behind batch %d: payment is %s in the books, scheme says debited: %v", cutAt, p.Phase, debited)
		}
	}
}

func TestRefusedBeforeTheSchemeHearsOfIt(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name   string
		change func(*tongma.Request)
		want   tongma.Reason
	}{
		{"no rule for these digits", func(r *tongma.Request) { r.Code = "999999999999999999" }, tongma.IssuerUnknown},
		{"a merchant's code", func(r *tongma.Request) { r.Code = "https://qr.alipay.com/bax00000000000000000" }, tongma.CodeWrongSide},
		{"a currency that the scheme does not serve", func(r *tongma.Request) { r.Amount.Currency = tongma.USD }, tongma.CurrencyNotServed},
		{"more than the cap", func(r *tongma.Request) { r.Amount.Minor = 10001 }, tongma.OverCap},
		{"no time left", func(r *tongma.Request) { r.Budget = 20 * time.Millisecond }, tongma.DeadlineTooShort},
		{"noise", func(r *tongma.Request) { r.Code = "\x00\xff~~" }, tongma.CodeUnreadable},
	} {
		r := payRequest("k-"+c.name[:4], 7, 100)
		r.Key = fmt.Sprintf("key-%d", c.want)
		c.change(&r)
		first := b.do(r)
		if first.Reason != c.want || first.Status != tongma.Refused {
			t.Errorf("%s: %s for %s, want %s", c.name, first.Status, first.Reason, c.want)
		}
		again := b.do(r)
		if string(again.AppendJSON(nil)) != string(first.AppendJSON(nil)) {
			t.Errorf("%s: a repeat answers otherwise", c.name)
		}
	}
	b.stands("wallet", 0, 0)
	if len(b.scheme.asked) != 0 {
		t.Fatalf("the scheme was asked %d times", len(b.scheme.asked))
	}
}
