package native

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tongma/tongma"
)

// Event is one CloudEvent of what concerns a participant, such as the end of a
// payment. On the wire its attributes are headers and its data is the body
// (CloudEvents 1.0, NATS protocol binding, binary mode).
type Event struct {
	Sequence uint64 // in the participant's stream: where to go on from is this plus one
	ID       string // the same event has the same id, however often it comes
	Source   string // which switch: a URI reference
	Type     string // "payment.ended"
	Subject  string // the payment's id, or the window's
	Time     time.Time
	Trace    string // traceparent of what caused it, or ""
	Data     []byte // JSON; of a payment's event it is an answer
}

// Answer reads the data of a payment's event.
func (e *Event) Answer() (tongma.Answer, error) { return tongma.ParseAnswer(e.Data) }

// Headers of CloudEvents on NATS.
const (
	ceSpecVersion = "ce-specversion"
	ceID          = "ce-id"
	ceSource      = "ce-source"
	ceType        = "ce-type"
	ceSubject     = "ce-subject"
	ceTime        = "ce-time"
	ceTrace       = "ce-traceparent"
	contentType   = "content-type"
	contentJSON   = "application/json"
)

// EventMsg makes the message that tells p of an event: the switch's side. The id
// is also the Nats-Msg-Id, so that the stream keeps a repeat out.
func EventMsg(p tongma.ParticipantID, e *Event) *nats.Msg {
	h := nats.Header{
		ceSpecVersion: {"1.0"}, ceID: {escape(e.ID)}, ceSource: {escape(e.Source)}, ceType: {escape(e.Type)},
		contentType: {contentJSON}, nats.MsgIdHdr: {escape(e.ID)},
	}
	if e.Subject != "" {
		h[ceSubject] = []string{escape(e.Subject)}
	}
	if !e.Time.IsZero() {
		h[ceTime] = []string{e.Time.UTC().Format(time.RFC3339Nano)}
	}
	if e.Trace != "" {
		h[ceTrace] = []string{escape(e.Trace)}
	}
	return &nats.Msg{Subject: tongma.EventSubject(p, e.Type), Header: h, Data: e.Data}
}

// ParseEvent reads an event's message. The four attributes that CloudEvents
// requires must be there. Sequence is left zero.
func ParseEvent(m *nats.Msg) (Event, error) { return parseEvent(m.Header, m.Data) }

func parseEvent(header nats.Header, data []byte) (Event, error) {
	h := carrier(header)
	if v := h.Get(ceSpecVersion); !strings.HasPrefix(v, "1.") {
		return Event{}, &tongma.Error{Op: "event", Reason: tongma.FieldInvalid, Field: ceSpecVersion, Detail: "want CloudEvents 1.x in binary mode"}
	}
	e := Event{Data: data}
	for _, f := range [...]struct {
		name     string
		value    *string
		required bool
	}{
		{ceID, &e.ID, true}, {ceSource, &e.Source, true}, {ceType, &e.Type, true}, {ceSubject, &e.Subject, false}, {ceTrace, &e.Trace, false},
	} {
		text, err := url.PathUnescape(h.Get(f.name))
		if err != nil || len(text) > 512 {
			return Event{}, &tongma.Error{Op: "event", Reason: tongma.FieldInvalid, Field: f.name}
		}
		if text == "" && f.required {
			return Event{}, &tongma.Error{Op: "event", Reason: tongma.FieldMissing, Field: f.name}
		}
		*f.value = text
	}
	if text := h.Get(ceTime); text != "" {
		var err error
		if e.Time, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return Event{}, &tongma.Error{Op: "event", Reason: tongma.FieldInvalid, Field: ceTime, Detail: "want an RFC 3339 time"}
		}
	}
	return e, nil
}

// escape writes a header value as the binding asks: spaces, quotes, percent signs
// and all that is not printable ASCII as percent and two hexadecimal digits.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > 0x20 && c < 0x7f && c != '"' && c != '%' {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
	return b.String()
}

// Events replays the participant's events from a sequence, 0 or 1 for all that
// are kept, and then follows, calling fn for each in order. It returns when ctx
// ends, with its cause, or with the first error of fn. Reconnections are seen
// through. An event that cannot be read is given to fn with its Sequence and Data
// only, since leaving one out would be a lie. Remember the sequence behind what
// has been done, and go on from the next.
func (c *Client) Events(ctx context.Context, from uint64, fn func(Event) error) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return err
	}
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy, InactiveThreshold: time.Minute}
	if from > 1 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, from
	}
	consumer, err := js.OrderedConsumer(ctx, tongma.EventStream(c.participant), cfg)
	if err != nil {
		return eventsError(err)
	}
	// Bytes, not messages, are what a slow reader must be protected from.
	messages, err := consumer.Messages(jetstream.PullMaxBytes(1 << 20))
	if err != nil {
		return eventsError(err)
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for {
		m, err := messages.Next()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // the consumer makes itself anew
		case err != nil:
			return eventsError(err)
		}
		if err := handOver(m, fn); err != nil {
			return err
		}
	}
}

func handOver(m jetstream.Msg, fn func(Event) error) error {
	meta, err := m.Metadata()
	if err != nil {
		return eventsError(err)
	}
	e, err := parseEvent(m.Headers(), m.Data())
	if err != nil {
		e = Event{Data: m.Data()}
	}
	e.Sequence = meta.Sequence.Stream
	return fn(e)
}

func eventsError(err error) error {
	reason := tongma.ShuttingDown
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		reason = tongma.ParticipantUnknown
	}
	return &tongma.Error{Op: "native.Events", Reason: reason, Detail: "events cannot be read", Err: err}
}
