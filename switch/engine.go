package switching

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
)

// Adapter speaks one scheme's protocol. Methods may be called at once from many
// goroutines, and return when ctx ends at the latest. A scheme that is asked the
// same question of the same payment again gives the same answer.
//
// An error says what is known of the question: AdapterDown, AdapterBusy and
// DeadlineTooShort promise that it never reached the scheme, which did nothing and
// never will; anything else, that nothing is known, so that the switch inquires.
// An answer of outcome Unknown and reason PayerConfirming says that the payer is
// being asked.
type Adapter interface {
	Authorise(ctx context.Context, r tongma.Request) (tongma.Answer, error) // debit the payer
	Accept(ctx context.Context, r tongma.Request) (tongma.Answer, error)    // take the credit for a merchant
	Inquire(ctx context.Context, r tongma.Request) (tongma.Answer, error)   // what became of r.Original?
	Reverse(ctx context.Context, r tongma.Request) (tongma.Answer, error)   // undo r.Original, or never do it
	Refund(ctx context.Context, r tongma.Request) (tongma.Answer, error)    // give back r.Amount of r.Original
	Consult(ctx context.Context, r tongma.Request) (tongma.Answer, error)   // is r.Code yours?
}

// Options are the edges of an Engine. Store, Registry, Adapters and Digest are
// required.
type Options struct {
	Store    journal.Store
	Shard    uint16
	Registry *schemes.Registry
	Adapters map[tongma.SchemeID]Adapter // may still be filled by Office
	Digest   func(code string) [16]byte  // keyed digest that stands in for a payer's code
	Outbox   Outbox                      // where events go; nil: nowhere
	Metrics  *Metrics                    // nil: none
	Tracer   trace.Tracer                // nil: none
	Logger   *slog.Logger                // nil: discard
	Now      func() time.Time            // nil: time.Now
	NewID    func() tongma.PaymentID     // nil: UUID version 7
	OnCommit func(batch uint64, entries []clearing.Entry)
	OnReplay func(entries []clearing.Entry) // each batch that is read at the start
	Journal  []journal.Option               // such as where to keep the checkpoint
	Pace     func()                         // for simulations: see clearing.LedgerOptions
	Shards   Shards                         // the others of a switch of several shards; nil: there are none

	// Dealer returns how a dealer is asked that a directory version brings, nil if it
	// cannot be, and what is called when it is asked no more, which may be nil. It is
	// called behind Office, once for each as long as it stays. Nil: none is asked.
	Dealer func(id tongma.ParticipantID) (ask Dealer, stop func())

	// Keep makes a directory version durable where every switch of this journal finds
	// it. It returns before the version comes into force, and keeps what it has kept
	// before. Nil: the registry's folder is enough, since no other switch reads it.
	Keep func(ctx context.Context, d *schemes.Directory) error

	// Office makes the engine the journal's writer: it returns a running Ledger that
	// was opened with the options given, such as by clearing.Standby.Succeed, however
	// long that takes. Where another switch may write it asks Fits first. The engine
	// closes the Ledger. Nil: clearing.OpenLedger, which takes over at once, or of several
	// shards, when the journal is found to be ours.
	Office func(ctx context.Context, opts clearing.LedgerOptions) (*clearing.Ledger, error)

	MostOpen    int           // payments that may be under way here at once, before Overloaded, of one scheme as many as it leaves free; default 100,000
	MostWaiting int           // askers that may wait for schemes at once, likewise, since they take up the doors; default 4,096
	AsksAtOnce  int           // questions to one scheme about payments that nobody waits for; default 128
	LookAgain   time.Duration // pause before a payment whose scheme has no adapter is tried again; default 30 s
	Budget      time.Duration // an asker's patience when it names none; default 30 s
	QuoteWithin time.Duration // how long dealers may take over a quote; default 1 s, and a third of the asker's patience at most
	LeastLeg    time.Duration // a scheme is not asked with less than this left; default 50 ms
	DoubtFor    time.Duration // how long an unknown outcome is inquired into before it is reversed; default 10 s
	PauseMost   time.Duration // longest pause between two reversals; default 60 s
}

// Engine runs payments. Its methods may be called at once from many goroutines.
type Engine struct {
	opts     Options
	ledger   *clearing.Ledger
	adopting chan struct{} // whoever has put something in brings a version into force
	inForce  atomic.Pointer[schemes.Directory]
	reached  atomic.Pointer[map[tongma.SchemeID]Adapter]

	ctx    context.Context // ends when the engine stops
	cancel context.CancelFunc
	jobs   sync.WaitGroup // background courses

	offers offers
	desks  desks
	drafts sync.Pool // of *clearing.Draft: see draft

	// mu guards what follows, and that no job starts once ctx has ended. Nothing else
	// is taken while it is held.
	mu       sync.Mutex
	courses  map[tongma.PaymentID]*course         // payments that somebody is driving
	open     map[tongma.SchemeID]int              // how many of them by scheme, of those whose scheme is known
	waiting  map[tongma.SchemeID]int              // askers that wait for what a scheme says
	waiters  int                                  // all of them
	stranded map[tongma.PaymentID]tongma.SchemeID // open, and their schemes have no adapter
	looking  bool                                 // somebody tries those again
	asking   map[tongma.SchemeID]chan struct{}    // bounds the questions that nobody waits for
}

// Open reads the journal, becomes its writer (see Options.Office), adopts the
// registry's current directory, and starts to finish what an earlier writer left
// open.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	opts.defaults()
	e := &Engine{opts: opts, courses: map[tongma.PaymentID]*course{}, open: map[tongma.SchemeID]int{}, waiting: map[tongma.SchemeID]int{}, stranded: map[tongma.PaymentID]tongma.SchemeID{}, asking: map[tongma.SchemeID]chan struct{}{}, adopting: make(chan struct{}, 1)}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	ledger, err := opts.Office(ctx, clearing.LedgerOptions{
		Shard:    opts.Shard,
		Now:      func() int64 { return opts.Now().UnixMilli() },
		OnReplay: opts.OnReplay,
		Journal:  opts.Journal,
		Pace:     opts.Pace,
		OnCommit: func(batch uint64, es []clearing.Entry) {
			opts.Metrics.committed(es)
			if opts.OnCommit != nil {
				opts.OnCommit(batch, es)
			}
			if opts.Outbox != nil {
				opts.Outbox.Committed(es)
			}
		},
	})
	if err != nil {
		e.cancel()
		return nil, err
	}
	e.ledger = ledger
	adapters := maps.Clone(opts.Adapters)
	e.reached.Store(&adapters)
	e.inForce.Store(opts.Registry.Current())
	opts.Metrics.watch("tongma_open_payments", "Payments that are not decided, by the books.", e.openPayments)
	opts.Metrics.watch("tongma_courses", "Payments that are being worked on here.", func() float64 { return float64(e.under()) })
	if err = e.declare(ctx); err == nil {
		err = e.Adopt(ctx, opts.Registry.Current())
	}
	if err == nil {
		err = e.recover(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (o *Options) defaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = func() tongma.PaymentID { return tongma.PaymentID(uuid.Must(uuid.NewV7())) }
	}
	o.MostOpen, o.MostWaiting = cmp.Or(o.MostOpen, 100_000), cmp.Or(o.MostWaiting, 4096)
	o.AsksAtOnce, o.LookAgain = cmp.Or(o.AsksAtOnce, 128), cmp.Or(o.LookAgain, 30*time.Second)
	if o.Office == nil {
		store := o.Store
		shards := o.Shards
		o.Office = func(ctx context.Context, opts clearing.LedgerOptions) (*clearing.Ledger, error) {
			if shards != nil { // another writer may be there
				return openFit(ctx, store, shards, opts)
			}
			return clearing.OpenLedger(ctx, store, opts)
		}
	}
	for _, d := range []struct {
		value    *time.Duration
		default_ time.Duration
	}{{&o.Budget, 30 * time.Second}, {&o.QuoteWithin, time.Second}, {&o.LeastLeg, 50 * time.Millisecond}, {&o.DoubtFor, 10 * time.Second}, {&o.PauseMost, time.Minute}} {
		if *d.value == 0 {
			*d.value = d.default_
		}
	}
}

// Ledger returns the books, for views and for closing windows.
func (e *Engine) Ledger() *clearing.Ledger { return e.ledger }

// Directory returns the directory version in force: the latest that Adopt has kept. The
// registry may be ahead of it.
func (e *Engine) Directory() *schemes.Directory { return e.inForce.Load() }

// Close stops driving payments, lets the batch in flight finish, and waits. What
// is open stays open in the journal, for the next Open.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.cancel() // under the lock: see spawn
	e.mu.Unlock()
	e.jobs.Wait()
	e.desks.close()
	return e.ledger.Close()
}

// Do carries out one request: the single door behind every front door. From and
// Op have been set by the door, from what it authenticated. The answer carries
// refusals; an error means that nothing was decided, and its reason says what is
// known of the money.
func (e *Engine) Do(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	if r.Budget <= 0 {
		r.Budget = e.opts.Budget
	}
	ctx, cancel := context.WithTimeout(ctx, r.Budget)
	defer cancel()
	start := e.opts.Now()
	a, err := e.dispatch(ctx, r)
	e.opts.Metrics.answered(r.Op, &a, err, e.opts.Now().Sub(start))
	return a, err
}

func (e *Engine) dispatch(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	if err := e.admit(&r); err != nil {
		return tongma.Answer{}, err
	}
	if e.opts.Shards != nil {
		here, a, done, err := e.route(ctx, r)
		if done {
			return a, err
		}
		ctx = here
	}
	switch r.Op {
	case tongma.OpPay:
		return e.pay(ctx, r)
	case tongma.OpTransfer:
		return e.transfer(ctx, r)
	case tongma.OpRefund:
		return e.refund(ctx, r)
	case tongma.OpReverse:
		return e.reverse(ctx, r)
	case tongma.OpInquire:
		return e.inquire(ctx, r)
	}
	return tongma.Answer{}, &tongma.Error{Op: "switch", Reason: tongma.OperationUnknown}
}

// admit checks what every request must have, before anything is looked up.
func (e *Engine) admit(r *tongma.Request) error {
	if err := r.Check(); err != nil {
		return err
	}
	if _, ok := e.Directory().Participant(r.From); !ok {
		return &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.ParticipantUnknown}
	}
	switch r.Op {
	case tongma.OpPay, tongma.OpTransfer, tongma.OpRefund:
		if r.Key == "" {
			return &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.KeyMissing, Field: "/key"}
		}
		if r.Amount == (tongma.Money{}) {
			return &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.AmountMissing, Field: "/amount"}
		}
		if err := r.Amount.Payable(); err != nil {
			return err
		}
	}
	if path := misplaced(r); path != "" {
		return &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.FieldInvalid, Field: path, Detail: "this operation does not take it"}
	}
	if (r.Op == tongma.OpPay || r.Op == tongma.OpTransfer) && r.Code == "" {
		return &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.FieldMissing, Field: "/code"}
	}
	return nil
}

// misplaced returns the path of a member about exchange that r may not have: quotes are
// the wallet's to name, and amounts on two sides are the switch's to tell.
func misplaced(r *tongma.Request) string {
	switch {
	case r.Exchange != tongma.Exchange{}:
		return "/exchange"
	case r.Quote != "" && r.Op != tongma.OpTransfer:
		return "/quote"
	case r.PayIn != 0 && r.Op != tongma.OpTransfer && r.Op != tongma.OpResolve:
		return "/pay_in"
	}
	return ""
}
