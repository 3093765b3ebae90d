package native

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/tongma/tongma"
)

// ServiceConfig says whose adapter is served, and how.
type ServiceConfig struct {
	Scheme     tongma.SchemeID
	Version    string // of the adapter, as in SemVer; empty: "0.0.0"
	Workers    int    // requests worked on at once; zero: 256
	Queue      int    // requests that wait beyond those; zero: as many as Workers
	QueueGroup string // instances that share the work; empty: "adapter"

	// Log is told of panics and failures, never of codes. Nil: slog.Default.
	Log *slog.Logger

	// Copies says how often an answer goes out: 1 as it should, 0 to lose it, 2 to
	// send it twice. It is for sandboxes, whose faults are the point of them.
	// Nil: always once.
	Copies func(tongma.Request, tongma.Answer) int
}

// ServiceStats counts what a service has done since it started. It is also the
// data of each endpoint's $SRV.STATS.
type ServiceStats struct {
	Approved  uint64 `json:"approved"`
	Declined  uint64 `json:"declined"`
	Unknown   uint64 `json:"unknown"`
	Refused   uint64 `json:"refused"` // not executed: unreadable, or the wallet's own refusal
	Busy      uint64 `json:"busy"`    // not executed: too much work
	Dropped   uint64 `json:"dropped"` // not begun: their time was over
	Unsent    uint64 `json:"unsent"`  // ended without an answer after their time
	Panics    uint64 `json:"panics"`
	SendFails uint64 `json:"send_fails"` // answers that could not be sent
}

// Service is a wallet that is being served.
type Service struct {
	cfg    ServiceConfig
	ops    []tongma.Operation
	do     func(context.Context, tongma.Request) (tongma.Answer, error) // the wallet's code
	nc     *nats.Conn
	micro  micro.Service
	pool   *pool[asked]
	ctx    context.Context // of the wallet's code; ends when Stop gives up waiting
	cancel context.CancelFunc
	stop   sync.Once
	counts [opCount]endpointCounts
}

type endpointCounts struct {
	approved, declined, unknown, refused, busy, dropped, unsent, panics, sendFails atomic.Uint64
}

// asked is one request that has arrived.
type asked struct {
	op      tongma.Operation
	data    []byte
	header  nats.Header
	reply   string
	arrived time.Time
}

// Serve answers what the switch asks of cfg.Scheme with w, as a NATS micro
// service (ADR-32), until Stop is called or the connection is closed. When ctx
// ends, the contexts that the wallet's methods got end too.
//
// Requests are worked on by at most cfg.Workers goroutines. What finds the queue
// full is answered with AdapterBusy: not executed. What has waited until its
// time was over is dropped, since nobody waits for it. A panic in the wallet's code
// is logged and answered as unknown: the money may have moved.
func Serve(ctx context.Context, nc *nats.Conn, cfg ServiceConfig, w Wallet) (*Service, error) {
	return serve(ctx, nc, cfg, adapterOps[:], func(ctx context.Context, r tongma.Request) (tongma.Answer, error) { return call(ctx, w, r) })
}

func serve(ctx context.Context, nc *nats.Conn, cfg ServiceConfig, ops []tongma.Operation, do func(context.Context, tongma.Request) (tongma.Answer, error)) (*Service, error) {
	if !cfg.Scheme.Valid() {
		return nil, &tongma.Error{Op: "native.Serve", Reason: tongma.FieldInvalid, Field: "Scheme"}
	}
	cfg.setDefaults()
	s := &Service{cfg: cfg, ops: ops, do: do, nc: nc}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.pool = newPool(cfg.Workers, cfg.Queue, s.work)
	if err := s.listen(); err != nil {
		_ = s.Stop() // nothing was begun yet
		return nil, err
	}
	return s, nil
}

func (c *ServiceConfig) setDefaults() {
	if c.Version == "" {
		c.Version = "0.0.0"
	}
	if c.Workers <= 0 {
		c.Workers = 256
	}
	if c.Queue <= 0 {
		c.Queue = c.Workers
	}
	if c.QueueGroup == "" {
		c.QueueGroup = "adapter"
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
}

func (s *Service) listen() (err error) {
	s.micro, err = micro.AddService(s.nc, micro.Config{
		Name:         "adapter-" + string(s.cfg.Scheme),
		Version:      s.cfg.Version,
		Description:  "Tongma adapter of scheme " + string(s.cfg.Scheme),
		Metadata:     map[string]string{"scheme": string(s.cfg.Scheme), "protocol": "tm.v1"},
		QueueGroup:   s.cfg.QueueGroup,
		StatsHandler: func(e *micro.Endpoint) any { return s.statsOf(e.Name) },
	})
	if err != nil {
		return err
	}
	for _, op := range s.ops {
		subject := tongma.AdapterSubject(s.cfg.Scheme, op)
		if err := s.micro.AddEndpoint(op.String(), s.handler(op), micro.WithEndpointSubject(subject)); err != nil {
			return err
		}
	}
	return s.nc.Flush() // from here on, the server knows: who asks now is heard
}

// handler takes requests off the subscription. It never blocks.
func (s *Service) handler(op tongma.Operation) micro.Handler {
	return micro.HandlerFunc(func(m micro.Request) {
		j := asked{op: op, data: m.Data(), header: nats.Header(m.Headers()), reply: m.Reply(), arrived: time.Now()}
		if !s.pool.submit(j) {
			s.counts[op].busy.Add(1)
			s.refuse(&j, tongma.PaymentID{}, &tongma.Error{Reason: tongma.AdapterBusy})
		}
	})
}

// work answers one request.
func (s *Service) work(buf *scratch, j asked) {
	r, err := tongma.ParseRequest(j.data)
	if err != nil {
		s.counts[j.op].refused.Add(1)
		refused, _ := refusal(err)
		s.refuse(&j, tongma.PaymentID{}, refused)
		return
	}
	r.Op = j.op
	if r.Scheme == "" {
		r.Scheme = s.cfg.Scheme
	}
	if r.Budget <= 0 {
		r.Budget = DefaultTimeout
	}
	deadline := j.arrived.Add(r.Budget)
	if r.Budget = time.Until(deadline); r.Budget <= 0 {
		s.counts[j.op].dropped.Add(1)
		return
	}
	ctx := newBudgetContext(extract(s.ctx, j.header), deadline)
	defer ctx.end()
	a, err := s.ask(ctx, r)
	if err != nil {
		s.failed(&j, &r, err, time.Now().After(deadline), buf)
		return
	}
	s.answer(&j, &r, a, buf)
}

// ask calls the wallet, and catches its panics.
func (s *Service) ask(ctx context.Context, r tongma.Request) (a tongma.Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.counts[r.Op].panics.Add(1)
			// The value may hold anything, a code too: its type must do.
			s.cfg.Log.Error("wallet panicked", "op", r.Op.String(), "payment", subjectOf(r.Op, &r).String(),
				"panic", panicKind(p), "stack", string(debug.Stack()))
			a, err = tongma.Answer{Reason: tongma.Internal, Detail: "fault in the wallet's code"}, nil
		}
	}()
	return s.do(ctx, r)
}

func panicKind(p any) string {
	if err, ok := p.(interface {
		error
		RuntimeError()
	}); ok {
		return err.Error()
	}
	return "raised by the wallet's code"
}

func (s *Service) answer(j *asked, r *tongma.Request, a tongma.Answer, buf *scratch) {
	complete(s.cfg.Scheme, r, &a)
	s.count(j.op, a.Outcome)
	buf.body = a.AppendJSON(buf.body[:0])
	copies := 1
	if s.cfg.Copies != nil {
		copies = s.cfg.Copies(*r, a)
	}
	for range copies {
		if err := s.nc.Publish(j.reply, buf.body); err != nil {
			s.counts[j.op].sendFails.Add(1)
		}
	}
}

// failed answers a request whose wallet gave an error.
func (s *Service) failed(j *asked, r *tongma.Request, err error, over bool, buf *scratch) {
	if e, ok := refusal(err); ok {
		s.counts[j.op].refused.Add(1)
		s.refuse(j, r.Payment, e)
		return
	}
	if over {
		s.counts[j.op].unsent.Add(1)
		return
	}
	s.cfg.Log.Warn("wallet could not answer", "op", r.Op.String(), "payment", subjectOf(r.Op, r).String(), "reason", tongma.ReasonOf(err).String())
	s.answer(j, r, tongma.Answer{Reason: tongma.SchemeSilent, Detail: "the wallet could not find out"}, buf)
}

func (s *Service) refuse(j *asked, of tongma.PaymentID, e *tongma.Error) {
	if j.reply == "" {
		return
	}
	p := ProblemOf(e)
	p.Payment = of
	if err := s.nc.PublishMsg(problemMsg(&p, j.reply)); err != nil {
		s.counts[j.op].sendFails.Add(1)
	}
}

func (s *Service) count(op tongma.Operation, o tongma.Outcome) {
	switch o {
	case tongma.Approved:
		s.counts[op].approved.Add(1)
	case tongma.Declined:
		s.counts[op].declined.Add(1)
	default:
		s.counts[op].unknown.Add(1)
	}
}

func (s *Service) statsOf(endpoint string) ServiceStats {
	op, _ := tongma.ParseOperation(endpoint)
	return s.Stats(op)
}

// Stats returns the counts of one operation.
func (s *Service) Stats(op tongma.Operation) ServiceStats {
	if int(op) >= opCount {
		return ServiceStats{}
	}
	c := &s.counts[op]
	return ServiceStats{
		Approved: c.approved.Load(), Declined: c.declined.Load(), Unknown: c.unknown.Load(), Refused: c.refused.Load(),
		Busy: c.busy.Load(), Dropped: c.dropped.Load(), Unsent: c.unsent.Load(), Panics: c.panics.Load(), SendFails: c.sendFails.Load(),
	}
}

// Stop takes no more requests, lets those already taken finish and be answered,
// and returns when they have. The wallet's contexts end with their budgets, so
// it returns soon after the longest of them unless the wallet ignores its context.
func (s *Service) Stop() (err error) {
	s.stop.Do(func() {
		if s.micro != nil {
			err = s.micro.Stop()
		}
		_ = s.nc.FlushTimeout(time.Second) // what the server had sent before it heard is here now
		s.pool.stop()                      // whatever is still taken off a subscription finds it stopped: busy, not executed
		s.cancel()
		if !s.nc.IsClosed() {
			_ = s.nc.FlushTimeout(time.Second) // answers are on their way; a lost one is unknown to the asker, as it must be
		}
	})
	return err
}
