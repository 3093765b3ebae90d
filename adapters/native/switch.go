package native

import (
	"context"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
)

// Handler is the switch, as this protocol sees it. Its methods are called at
// once from many goroutines. Op and From of a request are set: the operation and
// the participant that the subject names.
//
// ctx ends when the asker stops waiting, or when a stop takes too long. An error
// is answered as a Problem; one of no known reason as Internal, unknown.
type Handler interface {
	// Do serves every operation but OpResolve.
	Do(ctx context.Context, r tongma.Request) (tongma.Answer, error)
	// Resolve reads a merchant's code.
	Resolve(ctx context.Context, r tongma.Request) (Resolution, error)
}

// SwitchOptions are what ServeSwitch may be told. The zero value is fine.
type SwitchOptions struct {
	Workers    int           // payments worked on at once; zero: 4096
	Queue      int           // requests that wait beyond those; zero: 1024
	QueueGroup string        // switches that share the work; empty: "switch"
	Budget     time.Duration // of requests that name none; zero: DefaultTimeout
	Log        *slog.Logger  // told of panics; nil: slog.Default

	// MayAnswer tells whether a participant may be answered at a reply subject. The
	// switch may publish anywhere, and must not be made to. Nil: anywhere.
	MayAnswer func(p tongma.ParticipantID, reply string) bool
}

// SwitchServer listens to all participants.
type SwitchServer struct {
	opts    SwitchOptions
	nc      *nats.Conn
	handler Handler
	subs    []*nats.Subscription
	pool    *pool[asking]
	ctx     context.Context
	cancel  context.CancelFunc
	stop    sync.Once
	err     error
}

// asking is one participant's request that has arrived.
type asking struct {
	op      tongma.Operation
	msg     *nats.Msg
	arrived time.Time
}

// ServeSwitch hands every request of every participant to h, until Stop. One
// subscription per operation, "tm.v1.*.pay" and so on, in a queue group. The
// participant is the subject's token, which the server's permissions allowed;
// the body is not asked. What finds the queue full is answered with Overloaded:
// not executed. A request whose time was over while it waited is dropped.
func ServeSwitch(ctx context.Context, nc *nats.Conn, h Handler, opts SwitchOptions) (*SwitchServer, error) {
	opts.setDefaults()
	s := &SwitchServer{opts: opts, nc: nc, handler: h}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.pool = newPool(opts.Workers, opts.Queue, s.work)
	for _, op := range clientOps {
		sub, err := nc.QueueSubscribe(tongma.Subject("*", op), opts.QueueGroup, s.receiver(op))
		if err != nil {
			_ = s.Stop(context.Background()) // nothing was begun yet
			return nil, err
		}
		s.subs = append(s.subs, sub)
	}
	return s, nc.Flush() // from here on, the server knows: who asks now is heard
}

func (o *SwitchOptions) setDefaults() {
	if o.Workers <= 0 {
		o.Workers = 4096
	}
	if o.Queue <= 0 {
		o.Queue = 1024
	}
	if o.QueueGroup == "" {
		o.QueueGroup = "switch"
	}
	if o.Budget <= 0 {
		o.Budget = DefaultTimeout
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// receiver takes requests off a subscription. It never blocks.
func (s *SwitchServer) receiver(op tongma.Operation) nats.MsgHandler {
	return func(m *nats.Msg) {
		if s.opts.MayAnswer != nil && !s.opts.MayAnswer(participantOf(m.Subject), m.Reply) {
			return
		}
		if !s.pool.submit(asking{op, m, time.Now()}) {
			s.refuse(m, &tongma.Error{Reason: tongma.Overloaded})
		}
	}
}

// work answers one request.
func (s *SwitchServer) work(buf *scratch, j asking) {
	r, err := s.read(&j)
	if err != nil {
		s.refuse(j.msg, err)
		return
	}
	if r.Budget <= 0 {
		r.Budget = s.opts.Budget
	}
	deadline := j.arrived.Add(r.Budget)
	if r.Budget = time.Until(deadline); r.Budget <= 0 {
		return // nobody waits any more, and nothing was begun
	}
	ctx := newBudgetContext(extract(s.ctx, j.msg.Header), deadline)
	defer ctx.end()
	var replayed bool
	if buf.body, replayed, err = s.do(ctx, r, buf.body[:0]); err != nil {
		s.refuse(j.msg, err)
		return
	}
	// A lost answer is unknown to the asker, who repeats with the same key.
	if !replayed {
		_ = s.nc.Publish(j.msg.Reply, buf.body)
		return
	}
	_ = s.nc.PublishMsg(&nats.Msg{Subject: j.msg.Reply, Header: nats.Header{tongma.HeaderReplay: {"true"}}, Data: buf.body})
}

// read parses a request, and takes from the headers and the subject what they say.
func (s *SwitchServer) read(j *asking) (tongma.Request, error) {
	r, err := tongma.ParseRequest(j.msg.Data)
	if err != nil {
		return r, err
	}
	r.Op, r.From = j.op, participantOf(j.msg.Subject)
	if !r.From.Valid() {
		return r, &tongma.Error{Op: "native", Reason: tongma.ParticipantUnknown, Detail: "the subject names no participant"}
	}
	key := carrier(j.msg.Header).Get(tongma.HeaderKey)
	switch {
	case r.Key == "":
		r.Key = key
	case key != "" && key != r.Key:
		return r, &tongma.Error{Op: "native", Reason: tongma.FieldInvalid, Field: "/key", Detail: "the header has another key"}
	}
	if r.Key == "" && needsKey(j.op) {
		return r, &tongma.Error{Op: "native", Reason: tongma.KeyMissing, Field: "/key"}
	}
	return r, r.Check()
}

// participantOf returns the third token of "tm.v1.<participant>.<operation>".
func participantOf(subject string) tongma.ParticipantID {
	rest, ok := strings.CutPrefix(subject, "tm.v1.")
	name, _, dot := strings.Cut(rest, ".")
	if !ok || !dot {
		return ""
	}
	return tongma.ParticipantID(name)
}

// do calls the handler and appends its answer to b; replayed tells that it was
// given before. A panic is unknown.
func (s *SwitchServer) do(ctx context.Context, r tongma.Request, b []byte) (out []byte, replayed bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.opts.Log.Error("switch panicked", "op", r.Op.String(), "panic", panicKind(p), "stack", string(debug.Stack()))
			out, replayed, err = b, false, &tongma.Error{Op: "native", Reason: tongma.Internal}
		}
	}()
	if r.Op == tongma.OpResolve {
		found, err := s.handler.Resolve(ctx, r)
		if err != nil {
			return b, false, err
		}
		return found.AppendJSON(b), false, nil
	}
	a, err := s.handler.Do(ctx, r)
	if err != nil {
		return b, false, err
	}
	return a.AppendJSON(b), a.Replayed, nil
}

func (s *SwitchServer) refuse(m *nats.Msg, err error) {
	if m.Reply == "" {
		return
	}
	p := ProblemOf(err)
	_ = s.nc.PublishMsg(problemMsg(&p, m.Reply)) // a lost answer is unknown to the asker
}

// Stop takes no more requests, lets those already taken finish and be answered,
// and returns when they have. When ctx ends first, the contexts of those that
// remain are ended, and Stop waits for them still. It is safe to call twice.
func (s *SwitchServer) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		giveUp := context.AfterFunc(ctx, s.cancel)
		defer giveUp()
		s.err = drain(ctx, s.subs)
		s.pool.stop()
		s.cancel()
		if !s.nc.IsClosed() {
			_ = s.nc.FlushTimeout(time.Second) // answers are on their way
		}
	})
	return s.err
}

// drain ends subscriptions and waits until what they had received was handed on.
func drain(ctx context.Context, subs []*nats.Subscription) error {
	closed := make(chan struct{}, len(subs))
	waiting := 0
	for _, sub := range subs {
		sub.SetClosedHandler(func(string) { closed <- struct{}{} })
		if sub.Drain() == nil { // it fails only if the connection is closed: nothing to wait for
			waiting++
		}
	}
	for range waiting {
		select {
		case <-closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
