package native

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
)

// DefaultTimeout is how long a question waits when neither its context nor its
// request says.
const DefaultTimeout = 10 * time.Second

const maxBudget = 10 * time.Minute

// AdapterOptions are what an Adapter may be told. The zero value is fine.
type AdapterOptions struct {
	// Timeout bounds a question whose context has no deadline and whose request
	// has no budget. Zero: DefaultTimeout.
	Timeout time.Duration

	// Late is given an answer that came after its asker had gone, once it has
	// passed the same checks. It is called from one goroutine and must not block.
	// Nil: late answers are dropped, and only an inquiry brings the outcome.
	Late func(op tongma.Operation, a tongma.Answer)
}

// Adapter asks a scheme's adapter over NATS: the switch's side. All methods may
// be called at once from many goroutines.
//
// Every method waits until the scheme answers, ctx ends or the connection is
// lost. A nil error means that the scheme was heard, whatever it said, and that
// the answer is of this payment and of its whole amount. Otherwise the error is a
// *tongma.Error, the answer is unknown, and the reason says what is known:
//
//	AdapterDown            nobody serves the scheme: not executed
//	AdapterBusy            the adapter says that it took nothing: not executed
//	DeadlineTooShort       ctx was over before anything was sent: not executed
//	SchemeSilent           no answer in time, or the connection was lost: unknown
//	SchemeAnswerMalformed  unreadable, or of another payment or amount: unknown
//
// and any other reason that the adapter gives itself. Nothing is sent twice: a
// repeat is the caller's decision, with the same payment id.
type Adapter struct {
	scheme   tongma.SchemeID
	timeout  time.Duration
	subjects [opCount]string
	mux      *mux
	err      error // why there is no mux
	late     lateAnswers
}

const opCount = int(tongma.OpQuote) + 1

// NewAdapter returns the adapter of a scheme. It subscribes to its replies
// at once; if that fails, every question fails with AdapterDown. Close ends it.
func NewAdapter(nc *nats.Conn, scheme tongma.SchemeID, opts AdapterOptions) *Adapter {
	a := &Adapter{scheme: scheme, timeout: opts.Timeout, late: lateAnswers{tell: opts.Late}}
	if a.timeout <= 0 {
		a.timeout = DefaultTimeout
	}
	for _, op := range append(adapterOps[:len(adapterOps):len(adapterOps)], tongma.OpQuote) {
		a.subjects[op] = tongma.AdapterSubject(scheme, op)
	}
	var stray func(string, *nats.Msg)
	if opts.Late != nil {
		stray = func(token string, m *nats.Msg) { a.late.arrived(a.scheme, token, m) }
	}
	a.mux, a.err = newMux(nc, stray)
	return a
}

// Close stops listening. Whoever still waits gets SchemeSilent.
func (a *Adapter) Close() {
	if a.mux != nil {
		a.mux.close()
	}
}

// Scheme returns whose adapter is asked.
func (a *Adapter) Scheme() tongma.SchemeID { return a.scheme }

// Authorise asks the issuer's scheme to debit the payer.
func (a *Adapter) Authorise(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return a.ask(ctx, tongma.OpAuthorise, &r)
}

// Accept asks the acquirer's scheme to take the credit.
func (a *Adapter) Accept(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return a.ask(ctx, tongma.OpAccept, &r)
}

// Inquire asks what became of a payment. Unknown with the reason UnknownToScheme
// says that the scheme has no record of it yet.
func (a *Adapter) Inquire(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return a.ask(ctx, tongma.OpInquire, &r)
}

// Reverse asks to undo a payment, whatever became of it. Approved says that it
// is undone, or that it was never seen and a late copy will be declined.
func (a *Adapter) Reverse(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return a.ask(ctx, tongma.OpReverse, &r)
}

// Refund asks to give back r.Amount of the payment r.Original.
func (a *Adapter) Refund(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return a.ask(ctx, tongma.OpRefund, &r)
}

// Consult asks whether a code is the scheme's own. No money moves.
func (a *Adapter) Consult(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return a.ask(ctx, tongma.OpConsult, &r)
}

// question is what one request needs on its way out, used again and again.
type question struct {
	msg  nats.Msg
	body []byte
	key  [1]string
}

var questions = sync.Pool{New: func() any {
	q := &question{body: make([]byte, 0, 1024)}
	q.msg.Header = make(nats.Header, 4)
	return q
}}

func (q *question) release() {
	if len(q.msg.Header) > 1 {
		delete(q.msg.Header, headerTraceParent)
		delete(q.msg.Header, headerTraceState)
	}
	q.msg.Data = nil
	questions.Put(q)
}

// pack writes r as it will be sent. The request is not kept.
func (q *question) pack(ctx context.Context, subject, key string, r *tongma.Request) {
	q.body = r.AppendJSON(q.body[:0])
	q.key[0] = key
	q.msg.Header[tongma.HeaderKey] = q.key[:]
	inject(ctx, q.msg.Header)
	q.msg.Subject, q.msg.Data = subject, q.body
}

func (a *Adapter) ask(ctx context.Context, op tongma.Operation, r *tongma.Request) (tongma.Answer, error) {
	if a.err != nil {
		return a.unknown(op, r, tongma.AdapterDown, a.err)
	}
	ctx, cancel, ok := withBudget(ctx, r, a.timeout)
	if !ok {
		return a.unknown(op, r, tongma.DeadlineTooShort, nil)
	}
	defer cancel()
	r.Scheme = a.scheme
	q := questions.Get().(*question)
	q.pack(ctx, a.subjects[op], subjectOf(op, r).String(), r)
	reply, token, err := a.mux.ask(ctx, &q.msg)
	q.release()
	if err != nil {
		if errors.Is(err, errNoAnswer) {
			a.late.expect(token, op, r)
		}
		return a.unknown(op, r, reasonOfAsk(err), err)
	}
	answer, err := readAnswer(op, a.scheme, r, reply)
	if err != nil {
		return a.unknown(op, r, tongma.ReasonOf(err), err)
	}
	return answer, nil
}

// reasonOfAsk names what an error of the mux says about the money.
func reasonOfAsk(err error) tongma.Reason {
	if errors.Is(err, errNotSent) || errors.Is(err, errNobody) {
		return tongma.AdapterDown
	}
	return tongma.SchemeSilent
}

// unknown is the answer to every question that was not answered.
func (a *Adapter) unknown(op tongma.Operation, r *tongma.Request, reason tongma.Reason, cause error) (tongma.Answer, error) {
	answer := tongma.Answer{Payment: r.Payment, Original: r.Original, Scheme: a.scheme, Reason: reason}
	var e *tongma.Error
	if errors.As(cause, &e) {
		return answer, e
	}
	return answer, &tongma.Error{Op: "native." + op.String(), Reason: reason, Err: cause}
}

// withBudget returns a context that surely ends, and writes into r how much time
// is left until then. It is false if none is.
func withBudget(ctx context.Context, r *tongma.Request, fallback time.Duration) (context.Context, context.CancelFunc, bool) {
	cancel := context.CancelFunc(func() {})
	deadline, ok := ctx.Deadline()
	if !ok {
		if r.Budget > 0 {
			fallback = r.Budget
		}
		ctx, cancel = context.WithTimeout(ctx, fallback)
		deadline, _ = ctx.Deadline()
	}
	r.Budget = min(time.Until(deadline), maxBudget)
	if r.Budget < time.Millisecond || ctx.Err() != nil {
		cancel()
		return ctx, cancel, false
	}
	return ctx, cancel, true
}
