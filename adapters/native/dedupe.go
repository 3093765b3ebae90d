package native

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tongma/tongma"
)

// DefaultSettle is how long after the end of a call a wallet may still come to know
// of what it was asked by it.
const DefaultSettle = 10 * time.Second

// ErrChanged is a Store's answer to whoever would replace or delete what is no longer
// there: another has been quicker, and nothing was changed.
var ErrChanged = errors.New("native: another instance has changed this record since it was read")

// Store keeps what Dedupe must remember. Methods are called at once from many
// goroutines, and of a store that several instances share, from all of them.
//
// A record has a revision, given to it by the store when it is put: never zero, and
// never used again for the same key, not even behind a Delete. (A counter of the whole
// store will do; so does the sequence of a NATS key-value bucket.) What one instance
// has put, every other one's Get sees from then on.
type Store interface {
	// Get returns what is kept under a key, and whether anything is. An error is
	// neither: it says that this is not known.
	Get(Key) (Record, bool, error)
	// PutIf keeps a record in place of the one that has its Revision, or, if that is
	// zero, where nothing is kept, and returns the revision that it has from then on.
	// Otherwise it changes nothing and returns ErrChanged: of several that would replace
	// the same one, one succeeds. When it returns nil, the record survives a crash, as
	// far as this store promises. After another error it may be kept or not.
	PutIf(Key, Record) (revision uint64, err error)
	// Delete forgets the record of this revision, and returns ErrChanged if that is no
	// longer the one kept. It need not survive a crash.
	Delete(k Key, revision uint64) error
}

// Key names one thing that is done at most once.
type Key struct {
	Op      tongma.Operation // OpAuthorise, OpAccept, OpRefund or OpReverse
	Payment tongma.PaymentID
}

// Record is what is known of it.
type Record struct {
	Done     bool             // answered for good; otherwise only begun, and perhaps never ended
	Until    time.Time        // if not Done: the latest end of the call to the wallet; zero: not known
	Amount   tongma.Money     // what was asked
	Original tongma.PaymentID // of a refund
	Answer   tongma.Answer    // if Done
	Revision uint64           // of Get: the store's number for it; to PutIf: of the record that this one replaces
}

// Dedupe makes a wallet idempotent: a repeat of an authorisation, an acceptance,
// a refund or a reversal with the same payment id gets the first answer again,
// byte for byte, and the wallet's code is not called. What it promises:
//
//   - That something is begun is stored before the wallet is called. If the process
//     dies in between, the repeat asks the wallet's Inquire, and does not do the
//     thing twice.
//   - Only approved and declined answers are kept. While the answer is unknown, a
//     repeat asks Inquire.
//   - Repeats that come at the same time wait for the first.
//   - A reversal that comes before its payment is acknowledged and remembered: the
//     payment, when it comes, to this or another instance, is declined with
//     ReversedBeforeOriginal.
//   - A reversal that comes while its payment is being worked on ends the context of
//     that work, waits until it returns, and then undoes what it did.
//   - Of what was begun and has no answer, "no record" of the wallet's Inquire is not
//     yet a no: a copy may still be on its way inside the wallet. Once
//     DedupeOptions.Settle has passed behind the last call, it is: a refund is then
//     begun anew under the same id, and a reversal is acknowledged.
//   - The same id with another amount is answered as unknown, and nothing is done.
//   - Of several instances that would begin the same thing at the same moment, or begin
//     the same refund anew, one calls the wallet: the Store arbitrates.
//   - If the store cannot keep that something is begun, the answer is AdapterBusy: not
//     executed. If it cannot be read, the answer is unknown.
//
// The store must be shared by all instances of an adapter that share its work: a
// repeat may reach another one. NewMemoryStore and OpenFileStore serve one process.
//
// Inquire and Consult are passed on, except that Inquire tells of what the wallet has
// no record of: a payment that was reversed before it came, or was declined.
func Dedupe(w Wallet, s Store) Wallet { return DedupeWith(w, s, DedupeOptions{}) }

// DedupeOptions are the edges of DedupeWith.
type DedupeOptions struct {
	Settle time.Duration    // how long a wallet's record may be behind a call that has ended; zero: DefaultSettle
	Now    func() time.Time // nil: time.Now
}

// DedupeWith is Dedupe with options.
func DedupeWith(w Wallet, s Store, o DedupeOptions) Wallet {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Settle = cmp.Or(o.Settle, DefaultSettle)
	return &dedupe{wallet: w, store: s, opts: o, since: o.Now(), busy: make(map[tongma.PaymentID]*turn)}
}

type dedupe struct {
	wallet Wallet
	store  Store
	opts   DedupeOptions
	since  time.Time // no call of an earlier process has begun later

	mu   sync.Mutex // guards busy; nothing is called while it is held
	busy map[tongma.PaymentID]*turn
}

// turn is a lock that a context can stop waiting for.
type turn struct {
	token   chan struct{} // holds one value while the payment is free
	waiting int
	cancel  context.CancelFunc // ends the call that holds the token, if it may be ended
}

// enter waits until no other call is about the payment. leave must be called if
// it returns nil.
func (d *dedupe) enter(ctx context.Context, id tongma.PaymentID) error {
	d.mu.Lock()
	t := d.busy[id]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1)}
		t.token <- struct{}{}
		d.busy[id] = t
	}
	t.waiting++
	d.mu.Unlock()
	select {
	case <-t.token:
		return nil
	default:
	}
	select {
	case <-t.token:
		return nil
	case <-ctx.Done():
		d.unlist(id, t)
		return ctx.Err()
	}
}

func (d *dedupe) leave(id tongma.PaymentID) {
	d.mu.Lock()
	t := d.busy[id]
	d.mu.Unlock()
	t.token <- struct{}{}
	d.unlist(id, t)
}

// interruptible notes how the call that is about the payment can be ended.
func (d *dedupe) interruptible(id tongma.PaymentID, cancel context.CancelFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy[id].cancel = cancel
}

// interrupt ends the context of a call that is about the payment.
func (d *dedupe) interrupt(id tongma.PaymentID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.busy[id]; t != nil && t.cancel != nil {
		t.cancel()
	}
}

func (d *dedupe) unlist(id tongma.PaymentID, t *turn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.waiting--; t.waiting == 0 {
		delete(d.busy, id)
	}
}

func (d *dedupe) Authorise(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return d.once(ctx, tongma.OpAuthorise, r, d.wallet.Authorise)
}

func (d *dedupe) Accept(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return d.once(ctx, tongma.OpAccept, r, d.wallet.Accept)
}

func (d *dedupe) Refund(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return d.once(ctx, tongma.OpRefund, r, d.wallet.Refund)
}

func (d *dedupe) Consult(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return d.wallet.Consult(ctx, r)
}

// once does something that moves money at most once.
func (d *dedupe) once(ctx context.Context, op tongma.Operation, r tongma.Request, do func(context.Context, tongma.Request) (tongma.Answer, error)) (tongma.Answer, error) {
	r.Op = op
	if r.Payment.IsZero() {
		return tongma.Answer{}, &tongma.Error{Op: "native.Dedupe", Reason: tongma.FieldMissing, Field: "/payment"}
	}
	if err := d.enter(ctx, r.Payment); err != nil {
		return tongma.Answer{}, err
	}
	defer d.leave(r.Payment)
	key := Key{op, r.Payment}
	for range maxChanges {
		kept, found, err := d.store.Get(key)
		switch {
		case err != nil:
			return tongma.Answer{}, unread(err)
		case found && (kept.Amount != r.Amount || kept.Original != r.Original):
			// Declining would say that the payer is not debited, and the first may have been.
			return tongma.Answer{Reason: tongma.Internal, Detail: "the payment id was used with another amount or original"}, nil
		case found && kept.Done:
			return kept.Answer, nil
		case found:
			if a, anew, err := d.findOut(ctx, key, r, kept); !anew {
				return a, err
			}
		}
		record := Record{Amount: r.Amount, Original: r.Original, Until: d.endOf(ctx), Revision: kept.Revision}
		record.Revision, err = d.store.PutIf(key, record)
		switch {
		case errors.Is(err, ErrChanged): // another instance has begun it since we looked: what that one wrote counts
			continue
		case err != nil:
			return tongma.Answer{}, unkept(err)
		}
		return d.begin(ctx, key, r, record, do)
	}
	return tongma.Answer{Detail: "other instances are at it"}, nil
}

// maxChanges is how often one call looks again at what another instance has changed.
const maxChanges = 8

// unkept says that nothing was done, since it could not be stored that it is begun.
func unkept(err error) error {
	return &tongma.Error{Op: "native.Dedupe", Reason: tongma.AdapterBusy, Detail: "cannot be stored", Err: err}
}

// unread says that what was done before is not known.
func unread(err error) error {
	return &tongma.Error{Op: "native.Dedupe", Reason: tongma.Internal, Detail: "the store cannot be read", Err: err}
}

// begin calls the wallet for what is stored as begun, by this call and no other.
func (d *dedupe) begin(ctx context.Context, key Key, r tongma.Request, record Record, do func(context.Context, tongma.Request) (tongma.Answer, error)) (tongma.Answer, error) {
	// If we stop now, the repeat finds it begun and inquires
	// (TestDedupeInquiresAfterACrash). Of a refund that the wallet has not heard of, it
	// begins anew (TestARefundThatACrashKeptFromItsWalletIsDoneOnce).
	//
	// Looked for only now: of a reversal at another instance and this, one sees the other.
	switch _, reversed, err := d.store.Get(Key{tongma.OpReverse, r.Payment}); {
	case err != nil:
		_ = d.store.Delete(key, record.Revision) // as below
		return tongma.Answer{}, unkept(err)
	case reversed:
		a := tongma.Answer{Outcome: tongma.Declined, Reason: tongma.ReversedBeforeOriginal}
		return d.keep(key, r, record, a)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.interruptible(r.Payment, cancel)
	defer d.interruptible(r.Payment, nil)
	a, err := do(ctx, r)
	if _, refused := refusal(err); refused {
		_ = d.store.Delete(key, record.Revision) // nothing was done: if this fails, a repeat inquires needlessly
		return a, err
	}
	if err != nil || a.Outcome == tongma.Unknown {
		return a, err
	}
	return d.keep(key, r, record, a)
}

// endOf returns when a call under ctx ends at the latest.
func (d *dedupe) endOf(ctx context.Context) time.Time {
	if end, ok := ctx.Deadline(); ok {
		return d.opts.Now().Add(time.Until(end))
	}
	return d.opts.Now().Add(DefaultTimeout)
}

// findOut asks the wallet what became of something begun, and returns whether it is to
// be begun anew. That is only for a refund, and only once nothing of it can be under way:
// it is asked for until it is answered, where a payment is reversed.
func (d *dedupe) findOut(ctx context.Context, key Key, r tongma.Request, kept Record) (a tongma.Answer, anew bool, err error) {
	q := r
	q.Op, q.Original = tongma.OpInquire, r.Payment
	a, err = d.wallet.Inquire(ctx, q)
	switch {
	case err == nil && noRecord(&a):
		left := d.unsettled(&kept)
		if left <= 0 && key.Op == tongma.OpRefund {
			return a, true, nil
		}
		return tongma.Answer{Reason: tongma.UnknownToScheme, After: max(a.After, left), Detail: "begun, and the wallet has no record of it"}, false, nil
	case err != nil || a.Outcome == tongma.Unknown:
		return tongma.Answer{Reason: a.Reason, After: a.After, Detail: a.Detail}, false, err
	}
	a.Payment, a.Original = r.Payment, r.Original
	a, err = d.keep(key, r, kept, a)
	return a, false, err
}

// noRecord tells whether a wallet says that it knows nothing of what it was asked about.
func noRecord(a *tongma.Answer) bool {
	return a.Outcome != tongma.Approved && a.Reason == tongma.UnknownToScheme
}

// unsettled is how long from now the wallet may still come to know of what was begun.
func (d *dedupe) unsettled(kept *Record) time.Duration {
	until := kept.Until
	if until.IsZero() { // begun by a process that did not note it, and has ended
		until = d.since
	}
	return until.Add(d.opts.Settle).Sub(d.opts.Now())
}

// keep stores an answer for good and returns what stands. If it cannot be stored it is
// true all the same: a repeat will find it begun, and inquire. If another instance has
// stored an answer meanwhile, that one stands, so that both say the same.
func (d *dedupe) keep(key Key, r tongma.Request, record Record, a tongma.Answer) (tongma.Answer, error) {
	complete(r.Scheme, &r, &a)
	record.Done, record.Answer = true, a
	for range maxChanges {
		if _, err := d.store.PutIf(key, record); !errors.Is(err, ErrChanged) {
			return a, nil
		}
		kept, found, err := d.store.Get(key)
		switch {
		case err != nil || !found:
			return a, nil
		case kept.Done && kept.Answer.Outcome == a.Outcome:
			return kept.Answer, nil
		case kept.Done: // the wallet has told two instances two things
			return tongma.Answer{Reason: tongma.Internal, Detail: "another instance was answered otherwise"}, nil
		case a.Outcome != tongma.Approved: // begun anew there, and may still be done
			return tongma.Answer{Detail: "begun anew by another instance"}, nil
		}
		record.Revision = kept.Revision
	}
	return a, nil
}

// Reverse remembers the reversal before it passes it on.
func (d *dedupe) Reverse(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	r.Op = tongma.OpReverse
	id := subjectOf(r.Op, &r)
	if id.IsZero() {
		return tongma.Answer{}, &tongma.Error{Op: "native.Dedupe", Reason: tongma.FieldMissing, Field: "/original"}
	}
	d.interrupt(id)
	if err := d.enter(ctx, id); err != nil {
		return tongma.Answer{Reason: tongma.ReversalPending}, nil // the payment is being worked on: unknown, ask again
	}
	defer d.leave(id)
	key := Key{tongma.OpReverse, id}
	kept, err := d.mark(key, Record{Original: r.Original})
	if err != nil {
		return tongma.Answer{}, err
	}
	if kept.Done {
		return kept.Answer, nil
	}
	a, err := d.wallet.Reverse(ctx, r)
	if err == nil && noRecord(&a) {
		if a = d.unrecorded(id); a.Outcome != tongma.Unknown {
			a = tongma.Answer{Outcome: tongma.Approved, Status: tongma.ReversedBack, Detail: "never seen: it will be declined if it comes"}
		}
	}
	if err != nil || a.Outcome != tongma.Approved {
		return a, err
	}
	return d.keep(key, r, kept, a)
}

// mark returns what is kept under a key, having put the record there if there was nothing.
func (d *dedupe) mark(key Key, r Record) (Record, error) {
	for range maxChanges {
		kept, found, err := d.store.Get(key)
		if err != nil {
			return r, unread(err)
		}
		if found {
			return kept, nil
		}
		switch r.Revision, err = d.store.PutIf(key, r); {
		case err == nil:
			return r, nil
		case !errors.Is(err, ErrChanged):
			return r, unkept(err)
		}
		r.Revision = 0
	}
	return r, unread(ErrChanged)
}

// unrecorded is what is true of a payment of which the wallet has no record: Declined
// if nothing of it moved, or ever will; unknown as long as it may.
func (d *dedupe) unrecorded(id tongma.PaymentID) tongma.Answer {
	a := tongma.Answer{Outcome: tongma.Declined, Status: tongma.ReversedBack, Reason: tongma.ReversedBeforeOriginal}
	for _, op := range [...]tongma.Operation{tongma.OpAuthorise, tongma.OpAccept, tongma.OpRefund} {
		kept, found, err := d.store.Get(Key{op, id})
		switch {
		case err != nil:
			return tongma.Answer{Reason: tongma.UnknownToScheme, Detail: "the store cannot be read"}
		case !found:
		case kept.Done && kept.Answer.Outcome == tongma.Declined:
			a = kept.Answer
		case kept.Done: // approved: the wallet has lost it
			return tongma.Answer{Reason: tongma.UnknownToScheme, Detail: "approved, and the wallet has no record of it"}
		default:
			if left := d.unsettled(&kept); left > 0 {
				return tongma.Answer{Reason: tongma.UnknownToScheme, After: left, Detail: "begun, and the wallet has no record of it yet"}
			}
		}
	}
	return a
}

// Inquire asks the wallet, and knows of what was declined, or reversed unseen.
func (d *dedupe) Inquire(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	a, err := d.wallet.Inquire(ctx, r)
	if err != nil || a.Outcome != tongma.Unknown || !noRecord(&a) {
		return a, err
	}
	id := subjectOf(tongma.OpInquire, &r)
	kept, found, err := d.store.Get(Key{tongma.OpReverse, id})
	if err != nil {
		return a, nil // nothing is known beyond what the wallet says
	}
	known := d.unrecorded(id)
	if known.Outcome == tongma.Declined && (known.Status == tongma.Refused || (found && kept.Done)) {
		return known, nil
	}
	return a, nil
}
