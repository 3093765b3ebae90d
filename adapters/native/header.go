package native

import (
	"context"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Headers of an answer that is an error (ADR-32 of NATS): the title for people
// and the code such as "TM-2007". The body is a Problem.
const (
	headerError     = "Nats-Service-Error"
	headerErrorCode = "Nats-Service-Error-Code"
)

// Headers of W3C trace context, lower case as the standard has them: NATS
// headers are case-sensitive, so propagation.HeaderCarrier, which would write
// "Traceparent", cannot be used.
const (
	headerTraceParent = "traceparent"
	headerTraceState  = "tracestate"
)

// carrier lets OpenTelemetry read and write NATS headers as they are.
type carrier nats.Header

var _ propagation.TextMapCarrier = carrier(nil)

func (c carrier) Get(key string) string {
	if v := c[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (c carrier) Set(key, value string) { c[key] = []string{value} }

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}

// inject writes the trace of ctx into h and tells whether there was one.
func inject(ctx context.Context, h nats.Header) bool {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return false
	}
	propagation.TraceContext{}.Inject(ctx, carrier(h))
	return true
}

// extract returns ctx with the trace that h carries, or ctx itself.
func extract(ctx context.Context, h nats.Header) context.Context {
	if carrier(h).Get(headerTraceParent) == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, carrier(h))
}

// isProblem tells whether a message says in its headers that it is an error.
func isProblem(m *nats.Msg) bool {
	return m.Header != nil && carrier(m.Header).Get(headerErrorCode) != ""
}

// problemMsg makes the message that answers with a problem.
func problemMsg(p *Problem, reply string) *nats.Msg {
	return &nats.Msg{
		Subject: reply,
		Header:  nats.Header{headerError: {p.Title}, headerErrorCode: {p.Code}},
		Data:    p.AppendJSON(nil),
	}
}
