package native_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func authorise(t *testing.T, a *native.Adapter, budget time.Duration, n uint64) (tongma.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), budget)
	defer cancel()
	return a.Authorise(ctx, exampleRequest(n))
}

func wantReason(t *testing.T, err error, want tongma.Reason) {
	t.Helper()
	var e *tongma.Error
	if !errors.As(err, &e) || e.Reason != want {
		t.Fatalf("error %v, want reason %v", err, want)
	}
}

// What finds workers and queue full is answered as busy: not executed, and the
// wallet never hears of it. What waited until its time was over is dropped.
func TestServeBusyAndDropped(t *testing.T) {
	s := startServer(t, "")
	release := make(chan struct{})
	var called atomic.Int64
	w := does{authorise: func(context.Context, tongma.Request) (tongma.Answer, error) {
		called.Add(1)
		<-release
		return tongma.Answer{Outcome: tongma.Approved}, nil
	}}
	svc := serve(t, dial(t, s), native.ServiceConfig{Workers: 1, Queue: 1, Log: quiet}, w)
	a := adapterFor(t, dial(t, s), native.AdapterOptions{})
	first := make(chan error, 1)
	go func() { _, err := authorise(t, a, 5*time.Second, 1); first <- err }()
	for called.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	_, err := authorise(t, a, 50*time.Millisecond, 2) // waits in the queue
	wantReason(t, err, tongma.SchemeSilent)
	_, err = authorise(t, a, 5*time.Second, 3)
	wantReason(t, err, tongma.AdapterBusy)
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := svc.Stop(); err != nil {
		t.Error(err)
	}
	if got := svc.Stats(tongma.OpAuthorise); called.Load() != 1 || got.Busy != 1 || got.Dropped != 1 || got.Approved != 1 {
		t.Errorf("the wallet was called %d times, and counted %+v", called.Load(), got)
	}
}

// A panic in the wallet's code is unknown, is logged without the code's digits,
// and ends nothing.
func TestServePanicIsUnknown(t *testing.T) {
	s := startServer(t, "")
	var log strings.Builder
	w := does{authorise: func(_ context.Context, r tongma.Request) (tongma.Answer, error) {
		if r.Attempt == 1 {
			panic("code " + r.Code)
		}
		return tongma.Answer{Outcome: tongma.Approved}, nil
	}}
	svc := serve(t, dial(t, s), native.ServiceConfig{Log: slog.New(slog.NewTextHandler(&log, nil))}, w)
	a := adapterFor(t, dial(t, s), native.AdapterOptions{})
	answer, err := authorise(t, a, 5*time.Second, 1)
	if err != nil || answer.Outcome != tongma.Unknown || answer.Reason != tongma.Internal {
		t.Errorf("%v (%v), %v; want unknown (internal)", answer.Outcome, answer.Reason, err)
	}
	r := exampleRequest(2)
	r.Attempt = 2
	if answer, err := a.Authorise(t.Context(), r); err != nil || answer.Outcome != tongma.Approved {
		t.Errorf("after a panic: %v, %v", answer.Outcome, err)
	}
	if err := svc.Stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "wallet panicked") || strings.Contains(log.String(), r.Code) {
		t.Errorf("log: %s", log.String())
	}
}

// A wallet's error is unknown, unless its reason promises that nothing was done.
func TestServeErrors(t *testing.T) {
	s := startServer(t, "")
	errs := []error{
		errors.New("the database is gone"),
		&tongma.Error{Reason: tongma.SchemeSilent},
		&tongma.Error{Reason: tongma.Reason(7777)},
		&tongma.Error{Reason: tongma.DeadlineTooShort},
		&tongma.Error{Reason: tongma.FieldInvalid, Field: "/order"},
	}
	w := does{authorise: func(_ context.Context, r tongma.Request) (tongma.Answer, error) {
		return tongma.Answer{Outcome: tongma.Approved}, errs[r.Attempt-1]
	}}
	serve(t, dial(t, s), native.ServiceConfig{Log: quiet}, w)
	a := adapterFor(t, dial(t, s), native.AdapterOptions{})
	for i, e := range errs {
		r := exampleRequest(uint64(i))
		r.Attempt = i + 1
		answer, err := a.Authorise(t.Context(), r)
		if answer.Outcome != tongma.Unknown {
			t.Errorf("%v: outcome %v", e, answer.Outcome)
		}
		if i < 3 && err != nil || i >= 3 && tongma.ReasonOf(err) != tongma.ReasonOf(e) {
			t.Errorf("%v arrives as %v", e, err)
		}
	}
}

// The service answers PING, INFO and STATS as ADR-32 has them, and counts.
func TestServeIsAMicroService(t *testing.T) {
	s := startServer(t, "")
	serve(t, dial(t, s), native.ServiceConfig{Version: "1.2.3"}, yes{})
	nc := dial(t, s)
	if _, err := authorise(t, adapterFor(t, nc, native.AdapterOptions{}), time.Second, 1); err != nil {
		t.Fatal(err)
	}
	for verb, want := range map[string]string{"PING": `"version":"1.2.3"`, "INFO": `"subject":"tm.v1.adapter.wallet.authorise"`, "STATS": `"approved":1`} {
		m, err := nc.Request("$SRV."+verb+".adapter-wallet", nil, time.Second)
		if err != nil || !json.Valid(m.Data) || !strings.Contains(string(m.Data), want) {
			t.Errorf("%s: %v, %s; want %s", verb, err, m.Data, want)
		}
	}
}

// A request that cannot be read is refused as not executed, with the place.
func TestServeRefusesWhatItCannotRead(t *testing.T) {
	s := startServer(t, "")
	serve(t, dial(t, s), native.ServiceConfig{}, yes{})
	m, err := dial(t, s).Request(tongma.AdapterSubject("wallet", tongma.OpAuthorise), []byte(`{"amuont":1}`), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	p, err := native.ParseProblem(m.Data)
	if err != nil || p.Reason != "field-unknown" || p.Outcome != "not_executed" || p.Field != "/amuont" || m.Header.Get("Nats-Service-Error-Code") != p.Code {
		t.Errorf("%+v, %v, %v", p, m.Header, err)
	}
}

// The trace and the payment id travel in the headers.
func TestHeadersTravel(t *testing.T) {
	s := startServer(t, "")
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled})
	seen := make(chan trace.SpanContext, 2)
	serve(t, dial(t, s), native.ServiceConfig{}, does{authorise: func(ctx context.Context, _ tongma.Request) (tongma.Answer, error) {
		seen <- trace.SpanContextFromContext(ctx)
		return tongma.Answer{Outcome: tongma.Approved}, nil
	}})
	nc := dial(t, s)
	spy, err := nc.SubscribeSync("tm.v1.adapter.wallet.*")
	if err != nil {
		t.Fatal(err)
	}
	a := adapterFor(t, nc, native.AdapterOptions{})
	if _, err := a.Authorise(trace.ContextWithSpanContext(t.Context(), parent), exampleRequest(1)); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got.TraceID() != parent.TraceID() || got.SpanID() != parent.SpanID() {
		t.Errorf("trace %v, want %v", got, parent)
	}
	if _, err := a.Authorise(t.Context(), exampleRequest(2)); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got.IsValid() {
		t.Errorf("a trace is left from the question before: %v", got)
	}
	m, err := spy.NextMsg(time.Second)
	if err != nil || m.Header["traceparent"] == nil || m.Header[tongma.HeaderKey][0] != payment(1).String() {
		t.Errorf("headers %v, %v", m.Header, err)
	}
}

// Stop lets what was taken finish, and its answer arrives.
func TestServeStopDrains(t *testing.T) {
	s := startServer(t, "")
	begun := make(chan struct{})
	svc := serve(t, dial(t, s), native.ServiceConfig{}, does{authorise: func(context.Context, tongma.Request) (tongma.Answer, error) {
		close(begun)
		time.Sleep(100 * time.Millisecond)
		return tongma.Answer{Outcome: tongma.Approved}, nil
	}})
	a := adapterFor(t, dial(t, s), native.AdapterOptions{})
	answered := make(chan error, 1)
	go func() { _, err := authorise(t, a, 5*time.Second, 1); answered <- err }()
	<-begun
	if err := svc.Stop(); err != nil {
		t.Error(err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	_, err := authorise(t, a, 5*time.Second, 2)
	wantReason(t, err, tongma.AdapterDown)
}

// An answer that comes after its asker has gone is told to Late, once, and only
// if it is of the right payment and amount.
func TestLateAnswers(t *testing.T) {
	s := startServer(t, "")
	far := dial(t, s)
	_, err := far.Subscribe("tm.v1.adapter.wallet.authorise", func(m *nats.Msg) {
		r, _ := tongma.ParseRequest(m.Data)
		a := tongma.Answer{Payment: r.Payment, Outcome: tongma.Approved, Amount: r.Amount}
		if r.Attempt == 2 {
			a.Amount.Minor++
		}
		time.AfterFunc(100*time.Millisecond, func() {
			_ = m.Respond(a.AppendJSON(nil))
			_ = m.Respond(a.AppendJSON(nil))
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = far.Flush()
	late := make(chan tongma.Answer, 8)
	a := adapterFor(t, dial(t, s), native.AdapterOptions{Late: func(op tongma.Operation, a tongma.Answer) {
		if op != tongma.OpAuthorise {
			t.Errorf("operation %v", op)
		}
		late <- a
	}})
	for n := range uint64(2) {
		r := exampleRequest(n + 1)
		r.Attempt = int(n + 1)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		_, err := a.Authorise(ctx, r)
		cancel()
		wantReason(t, err, tongma.SchemeSilent)
	}
	if got := <-late; got.Payment != payment(1) || got.Outcome != tongma.Approved || got.Status != tongma.Paid {
		t.Errorf("late answer %+v", got)
	}
	time.Sleep(200 * time.Millisecond)
	if len(late) != 0 {
		t.Errorf("%d late answers too many", len(late))
	}
}

// A connection that is lost ends the waiting at once, as unknown; what is asked
// afterwards is surely not sent.
func TestConnectionLost(t *testing.T) {
	s := startServer(t, "")
	far := dial(t, s)
	asked := make(chan struct{})
	if _, err := far.Subscribe("tm.v1.adapter.wallet.authorise", func(*nats.Msg) { close(asked) }); err != nil {
		t.Fatal(err)
	}
	_ = far.Flush()
	nc := dial(t, s)
	a := adapterFor(t, nc, native.AdapterOptions{})
	go func() { <-asked; nc.Close() }()
	begin := time.Now()
	_, err := authorise(t, a, time.Minute, 1)
	wantReason(t, err, tongma.SchemeSilent)
	if time.Since(begin) > 5*time.Second {
		t.Error("waited for the budget")
	}
	_, err = authorise(t, a, time.Minute, 2)
	wantReason(t, err, tongma.AdapterDown)
}
