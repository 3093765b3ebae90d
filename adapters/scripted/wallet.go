package scripted

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tongma/tongma"
)

// Clock is the wallet's time.
type Clock interface {
	Now() time.Time
	After(time.Duration) <-chan time.Time
}

type realClock struct{}

func (realClock) Now() time.Time                         { return time.Now() }
func (realClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Config is how the wallet is set up. The zero value declines every code that
// tells it nothing.
type Config struct {
	Default Outcome       // for codes and merchants that tell nothing; None declines
	Late    time.Duration // how long after the asker's budget LateApprove answers; zero: 300 ms
	Confirm time.Duration // how long a payer takes to confirm; zero: 2 s
	Seed    uint64        // of Flaky
	OneTime bool          // decline a code that was shown before with another payment id
	LogFile string        // movements are appended and synced to it before they are answered; "" for none
	Clock   Clock         // nil: the real one
}

// Wallet has the six methods of a wallet's adapter. They may be called at once
// from many goroutines.
type Wallet struct {
	cfg    Config
	clock  Clock
	closed chan struct{}
	once   sync.Once

	mu       sync.Mutex // guards what follows; the log file is written while it is held
	payments map[tongma.PaymentID]*payment
	spent    map[[16]byte]tongma.PaymentID // digests of codes shown
	log      *movements
}

// New returns a wallet. With a log file, its books are those of the file.
func New(cfg Config) (*Wallet, error) {
	w := &Wallet{
		cfg: cfg, clock: cfg.Clock, closed: make(chan struct{}),
		payments: make(map[tongma.PaymentID]*payment), spent: make(map[[16]byte]tongma.PaymentID),
	}
	if w.clock == nil {
		w.clock = realClock{}
	}
	if w.cfg.Late <= 0 {
		w.cfg.Late = 300 * time.Millisecond
	}
	if w.cfg.Confirm <= 0 {
		w.cfg.Confirm = 2 * time.Second
	}
	if cfg.LogFile == "" {
		return w, nil
	}
	var err error
	w.log, err = openMovements(cfg.LogFile, w.replay)
	return w, err
}

// Close ends all waiting, and the log.
func (w *Wallet) Close() error {
	w.once.Do(func() { close(w.closed) })
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.close()
}

// Copies says how often an answer should be sent: twice for AnswerTwice. It is
// made for the field of the same name in package native's ServiceConfig.
func (w *Wallet) Copies(r tongma.Request, _ tongma.Answer) int {
	if w.told(&r) == AnswerTwice && (r.Op == tongma.OpAuthorise || r.Op == tongma.OpAccept) {
		return 2
	}
	return 1
}

// told returns what the wallet is to do with a payment.
func (w *Wallet) told(r *tongma.Request) Outcome {
	o := None
	if r.Op == tongma.OpAccept {
		o = OutcomeOfMerchant(r.Merchant.ID)
	} else {
		o = OutcomeOf(r.Code)
	}
	if o == None {
		o = w.cfg.Default
	}
	switch o {
	case ByAmount:
		if o = Outcome(r.Amount.Minor % 100); outcomeNames[o] == "" || o == ByAmount {
			o = Approve
		}
	case Flaky:
		o = w.flaky(r.Payment)
	}
	return o
}

// flaky gives one payment one outcome, whatever the order of calls.
func (w *Wallet) flaky(id tongma.PaymentID) Outcome {
	random := rand.New(rand.NewPCG(w.cfg.Seed^binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])))
	return [...]Outcome{Approve, Approve, Approve, Approve, Approve, Approve, Approve, Decline91, Timeout, Vanish}[random.IntN(10)]
}

// Authorise debits the payer, or does not, as the code tells.
func (w *Wallet) Authorise(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	r.Op = tongma.OpAuthorise
	return w.move(ctx, r)
}

// Accept credits the merchant, or does not, as the merchant's number tells.
func (w *Wallet) Accept(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	r.Op = tongma.OpAccept
	return w.move(ctx, r)
}

func (w *Wallet) move(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	if err := payable(&r); err != nil {
		return tongma.Answer{}, err
	}
	o := w.told(&r)
	if o == Busy {
		return tongma.Answer{}, &tongma.Error{Op: "scripted", Reason: tongma.AdapterBusy}
	}
	p, first, err := w.begin(ctx, &r, o)
	switch {
	case err != nil:
		return tongma.Answer{}, err
	case p == nil || first && o == Vanish: // silence, with or without a debit
		return tongma.Answer{}, w.waitFor(ctx)
	case first && o == LateApprove:
		w.waitUntil(p.ready)
	}
	return w.tell(&r, p)
}

// payable refuses what cannot be entered into the books: nothing is done.
func payable(r *tongma.Request) error {
	if r.Payment.IsZero() {
		return &tongma.Error{Op: "scripted", Reason: tongma.FieldMissing, Field: "/payment"}
	}
	return r.Amount.Payable()
}

// begin enters a payment into the books, unless it is there. It returns nil for
// one of which no record is to be kept.
func (w *Wallet) begin(ctx context.Context, r *tongma.Request, o Outcome) (p *payment, first bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.payments[r.Payment]; p != nil {
		if p.amount != r.Amount && !p.unseen() {
			return nil, false, fmt.Errorf("scripted: payment known with another amount") // unknown: the first stands
		}
		return p, false, nil
	}
	if o == Timeout {
		return nil, true, nil
	}
	if w.cfg.OneTime && r.Op == tongma.OpAuthorise && !w.spend(r) {
		o = Decline14
	}
	p = &payment{id: r.Payment, kind: kindOf(r.Op), amount: r.Amount, outcome: o}
	if err := w.decide(ctx, r, p); err != nil {
		return nil, true, err
	}
	w.payments[r.Payment] = p
	return p, true, nil
}

// spend marks a code as shown, and tells whether it was new.
func (w *Wallet) spend(r *tongma.Request) bool {
	sum := sha256.Sum256([]byte(r.Code))
	digest := [16]byte(sum[:16])
	if by, shown := w.spent[digest]; shown {
		return by == r.Payment
	}
	w.spent[digest] = r.Payment
	return true
}

// decide gives a new payment its first state. What moves money is logged first.
func (w *Wallet) decide(ctx context.Context, r *tongma.Request, p *payment) error {
	now := w.clock.Now()
	p.at = now.UnixMilli()
	if reason, declines := declines[p.outcome]; declines {
		p.state, p.reason = declined, reason
		return nil
	}
	switch p.outcome {
	case Approve, AnswerTwice, Vanish, LateReverse:
		return w.post(p)
	case LateApprove:
		end, ok := ctx.Deadline()
		if !ok {
			end = now.Add(r.Budget)
		}
		p.state, p.ready, p.reason = waiting, end.Add(w.cfg.Late), tongma.SchemeSilent
	case PendingApprove, PendingDecline:
		p.state, p.ready, p.reason = waiting, now.Add(w.cfg.Confirm), tongma.PayerConfirming
	case PendingForever:
		p.state, p.ready, p.reason = waiting, now.AddDate(100, 0, 0), tongma.PayerConfirming
	default:
		p.state, p.reason = declined, tongma.IssuerCodeInvalid
		if p.kind == Credit {
			p.reason = tongma.MerchantUnknown
		}
	}
	return nil
}

// tell answers with a payment's state.
func (w *Wallet) tell(r *tongma.Request, p *payment) (tongma.Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.ripen(p); err != nil {
		return tongma.Answer{}, err
	}
	return named(r, p.answer(w.clock.Now())), nil
}

// named says in an answer which payment it is about.
func named(r *tongma.Request, a tongma.Answer) tongma.Answer {
	if a.Payment, a.Original = r.Payment, r.Original; a.Payment.IsZero() {
		a.Payment = about(r)
	}
	return a
}

// ripen lets a waiting payment's time come.
func (w *Wallet) ripen(p *payment) error {
	if p.state != waiting || w.clock.Now().Before(p.ready) {
		return nil
	}
	p.at = p.ready.UnixMilli()
	if p.outcome == PendingDecline {
		p.state, p.reason = declined, tongma.PayerCancelled
		return nil
	}
	return w.post(p)
}

// post moves the money of a payment, once.
func (w *Wallet) post(p *payment) error {
	if err := w.log.append(p, string(p.kind), p.amount); err != nil {
		return err
	}
	p.state, p.reason = posted, tongma.NoReason
	return nil
}

// waitFor waits until the asker has gone.
func (w *Wallet) waitFor(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closed:
		return context.Canceled
	}
}

// waitUntil waits until a time, whether or not the asker does.
func (w *Wallet) waitUntil(t time.Time) {
	for left := t.Sub(w.clock.Now()); left > 0; left = t.Sub(w.clock.Now()) {
		select {
		case <-w.clock.After(left):
		case <-w.closed:
			return
		}
	}
}

// Inquire says what has become of a payment, a credit or a refund.
func (w *Wallet) Inquire(_ context.Context, r tongma.Request) (tongma.Answer, error) {
	w.mu.Lock()
	p := w.payments[about(&r)]
	w.mu.Unlock()
	if p == nil {
		return named(&r, tongma.Answer{Reason: tongma.UnknownToScheme}), nil
	}
	return w.tell(&r, p)
}

// Reverse undoes a payment, a credit or a refund. One that was never seen is
// acknowledged, and declined when it comes.
func (w *Wallet) Reverse(_ context.Context, r tongma.Request) (tongma.Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := about(&r)
	if id.IsZero() {
		return tongma.Answer{}, &tongma.Error{Op: "scripted", Reason: tongma.FieldMissing, Field: "/original"}
	}
	p := w.payments[id]
	if p == nil {
		p = &payment{id: id, at: w.clock.Now().UnixMilli()}
		if err := w.log.append(p, "tombstone", tongma.Money{}); err != nil {
			return tongma.Answer{}, err
		}
		p.state, p.reason = reversed, tongma.ReversedBeforeOriginal
		w.payments[id] = p
		return named(&r, p.undone()), nil
	}
	if err := w.ripen(p); err != nil {
		return tongma.Answer{}, err
	}
	a, err := w.undo(p)
	return named(&r, a), err
}

func (w *Wallet) undo(p *payment) (tongma.Answer, error) {
	switch {
	case p.refunded > 0:
		return tongma.Answer{Outcome: tongma.Declined, Reason: tongma.AlreadyRefunded}, nil
	case p.state == reversed || p.state == declined:
		return p.undone(), nil
	}
	if p.outcome == LateReverse && p.tries < 2 {
		p.tries++
		return tongma.Answer{Reason: tongma.ReversalPending, After: 50 * time.Millisecond}, nil
	}
	if err := w.log.append(p, "reverse", p.amount); err != nil {
		return tongma.Answer{}, err
	}
	w.reverse(p)
	return p.undone(), nil
}

// reverse takes a payment out of the books, or a refund out of its payment.
func (w *Wallet) reverse(p *payment) {
	p.moved = p.state == posted
	p.state, p.reason = reversed, tongma.ReversedBySwitch
	if original := w.payments[p.original]; p.kind == Refund && original != nil {
		original.refunded -= p.amount.Minor
	}
}

// Refund gives back all or part of a payment.
func (w *Wallet) Refund(_ context.Context, r tongma.Request) (tongma.Answer, error) {
	if err := payable(&r); err != nil {
		return tongma.Answer{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.payments[r.Payment]
	if p == nil {
		p = &payment{id: r.Payment, original: r.Original, kind: Refund, amount: r.Amount, outcome: Approve, at: w.clock.Now().UnixMilli()}
		if err := w.giveBack(p); err != nil {
			return tongma.Answer{}, err
		}
		w.payments[r.Payment] = p
	}
	return named(&r, p.answer(w.clock.Now())), nil
}

func (w *Wallet) giveBack(p *payment) error {
	original := w.payments[p.original]
	if original != nil {
		if err := w.ripen(original); err != nil {
			return err
		}
	}
	p.state = declined
	switch {
	case original == nil:
		p.reason = tongma.UnknownToScheme
	case original.state != posted || original.kind == Refund:
		p.reason = tongma.NotRefundable
	case original.amount.Currency != p.amount.Currency:
		p.reason = tongma.CurrencyMismatch
	case p.amount.Minor > original.amount.Minor-original.refunded:
		p.reason = tongma.RefundExceeds
	default:
		if err := w.post(p); err != nil {
			return err
		}
		original.refunded += p.amount.Minor
	}
	return nil
}

// Consult says whether a code is of a style that this wallet makes. Where one
// wallet runs both schemes of a style's prefix, only one of them owns up.
func (w *Wallet) Consult(_ context.Context, r tongma.Request) (tongma.Answer, error) {
	foreign := (StyleOf(r.Code) == AlipayHK) != (r.Scheme == "alipayhk") && (StyleOf(r.Code) == AlipayHK || StyleOf(r.Code) == Alipay)
	if foreign || (OutcomeOf(r.Code) == None && w.cfg.Default == None) {
		return named(&r, tongma.Answer{Outcome: tongma.Declined, Status: tongma.Refused, Reason: tongma.IssuerCodeInvalid}), nil
	}
	return named(&r, tongma.Answer{Outcome: tongma.Approved, Status: tongma.Paid}), nil
}

// about returns the payment that an inquiry or a reversal is about.
func about(r *tongma.Request) tongma.PaymentID {
	if !r.Original.IsZero() {
		return r.Original
	}
	return r.Payment
}
