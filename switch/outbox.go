package switching

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/switch/bus"
)

// Outbox hears of every durable batch, in order, on the writer's goroutine: it
// must take the entries and return.
type Outbox interface {
	Committed(entries []clearing.Entry)
}

// Types of the events that participants get.
const (
	EventPaymentEnded  = "payment.ended"  // a payment that was answered "pending" has ended; data: the Answer
	EventWindowClosed  = "window.closed"  // data: the participant's figures of the window
	EventWindowSettled = "window.settled" // likewise
)

// headerEntry carries the journal entry that an event comes from.
const headerEntry = "Tm-Entry"

// EventOutbox publishes events to each participant's own stream, from which it
// may replay them. The journal is the outbox: events are derived from entries, a
// mark remembers how far that went, and each stream's last message says which of
// them it has. So an event is neither lost nor doubled by a crash, nor by another
// switch that takes over: each publish names the message that it comes behind.
type EventOutbox struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	engine *Engine
	opts   EventOutboxOptions

	// mu guards queue. Nothing else is taken while it is held.
	mu    sync.Mutex
	queue []clearing.Entry
	wake  chan struct{}
	quit  chan struct{}
	done  chan struct{}
	last  map[tongma.ParticipantID]lastEvent
}

// lastEvent is the latest message of a participant's stream.
type lastEvent struct {
	entry    uint64 // that it comes from; 0 for none
	sequence uint64 // of the message; 0 for none
}

// EventOutboxOptions are the edges of an EventOutbox.
type EventOutboxOptions struct {
	Mark     Mark // nil: none is kept, and all of the journal is looked through at each start
	Replicas int  // of the participants' streams; 1 if zero
	// Later makes the streams when payments run already, and again and again until
	// that succeeds: a switch that takes over need not wait for them.
	Later  bool
	Logger *slog.Logger
}

// NewEventOutbox makes an outbox that publishes over nc. Give it to
// Options.Outbox, hand it the batches of the replay by Committed, and Start it
// with the engine.
func NewEventOutbox(nc *nats.Conn, opts EventOutboxOptions) (*EventOutbox, error) {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(sendWithin))
	if err != nil {
		return nil, err
	}
	if opts.Mark == nil {
		opts.Mark = noMark{}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &EventOutbox{nc: nc, js: js, opts: opts, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}), last: map[tongma.ParticipantID]lastEvent{}}, nil
}

// Committed takes those entries that concern somebody.
func (o *EventOutbox) Committed(entries []clearing.Entry) {
	var mine []clearing.Entry
	for i := range entries {
		if eventType(&entries[i]) != "" {
			mine = append(mine, entries[i])
		}
	}
	if len(mine) == 0 {
		return
	}
	o.mu.Lock()
	o.queue = append(o.queue, mine...)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func eventType(e *clearing.Entry) string {
	switch e.Kind {
	case clearing.KindPost, clearing.KindVoid, clearing.KindReversed:
		if e.Late {
			return EventPaymentEnded
		}
	case clearing.KindClose:
		return EventWindowClosed
	case clearing.KindSettled:
		return EventWindowSettled
	}
	return ""
}

// Forget drops what is queued up to an entry: another switch has published it.
func (o *EventOutbox) Forget(upTo uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = slices.DeleteFunc(o.queue, func(e clearing.Entry) bool { return e.Number <= upTo })
}

// Start makes the participants' streams and begins to publish.
func (o *EventOutbox) Start(ctx context.Context, e *Engine) error {
	o.engine = e
	if !o.opts.Later {
		for _, p := range e.Directory().Participants() {
			if err := o.stream(ctx, p.ID); err != nil {
				return err
			}
		}
	}
	go o.run()
	return nil
}

// stream makes sure of a participant's stream, and learns where it ends.
func (o *EventOutbox) stream(ctx context.Context, p tongma.ParticipantID) error {
	if err := bus.EnsureEvents(ctx, o.nc, p, bus.EventConfig{Replicas: o.opts.Replicas}); err != nil {
		return err
	}
	s, err := o.js.Stream(ctx, tongma.EventStream(p))
	if err != nil {
		return err
	}
	last := lastEvent{sequence: s.CachedInfo().State.LastSeq}
	m, err := s.GetLastMsgForSubject(ctx, tongma.EventSubject(p, ">"))
	switch {
	case err == nil:
		last.entry, _ = strconv.ParseUint(m.Header.Get(headerEntry), 10, 64)
		last.sequence = m.Sequence
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return err
	}
	o.last[p] = last
	return nil
}

// Stop publishes what is queued, within ctx, and waits.
func (o *EventOutbox) Stop(ctx context.Context) {
	close(o.quit)
	select {
	case <-o.done:
	case <-ctx.Done():
	}
}

func (o *EventOutbox) run() {
	defer close(o.done)
	for _, p := range o.engine.Directory().Participants() {
		if _, known := o.last[p.ID]; known {
			continue
		}
		if !o.until("stream of "+string(p.ID), func(ctx context.Context) error { return o.stream(ctx, p.ID) }) {
			return
		}
	}
	for {
		o.mu.Lock()
		batch := o.queue
		o.queue = nil
		o.mu.Unlock()
		for part := range slices.Chunk(batch, publishMost) {
			if !o.publish(part) {
				return
			}
			o.remember(part[len(part)-1].Number)
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-o.wake:
		case <-o.quit:
			return
		}
	}
}

// remember moves the mark. Losing it only means that more of the journal is
// looked through at the next start.
func (o *EventOutbox) remember(entry uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), sendWithin)
	defer cancel()
	if err := o.opts.Mark.Save(ctx, entry); err != nil {
		o.opts.Logger.Warn("mark of events not kept", "entry", entry, "err", err)
	}
}

// sendWithin bounds one attempt to publish.
const sendWithin = 3 * time.Second

// publishMost is how many entries' events are on their way at once: each waits for
// a disk, in a cluster for two.
const publishMost = 128

// publish sends the events of some entries, again and again until the streams have
// them. It returns false if the outbox is stopped before that.
func (o *EventOutbox) publish(entries []clearing.Entry) bool {
	first, last := entries[0].Number, entries[len(entries)-1].Number
	return o.until(fmt.Sprintf("events of entries %d to %d", first, last), func(ctx context.Context) error { return o.send(ctx, entries) })
}

// until does f until it succeeds, and returns false if the outbox is stopped
// before that.
func (o *EventOutbox) until(what string, f func(context.Context) error) bool {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		ctx, cancel := context.WithTimeout(context.Background(), sendWithin)
		err := f(ctx)
		cancel()
		if err == nil {
			return true
		}
		o.opts.Logger.Warn("not published yet", "what", what, "err", err)
		select {
		case <-time.After(pause):
		case <-o.quit:
			return false
		}
	}
}

// send publishes the events of entries and waits for all of them. Each names the
// message that it comes behind: an attempt of ours whose answer was lost, or a
// switch that does not know yet that it was deposed, may have been quicker. Then
// the streams are asked what they have, and the rest is sent again.
func (o *EventOutbox) send(ctx context.Context, entries []clearing.Entry) error {
	var sent []jetstream.PubAckFuture
	var failed error
	for i := range entries {
		futures, err := o.sendOne(ctx, &entries[i])
		sent = append(sent, futures...)
		if failed = err; err != nil {
			break
		}
	}
	for _, f := range sent {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			failed = errors.Join(failed, err)
		case <-ctx.Done():
			failed = errors.Join(failed, ctx.Err())
		}
	}
	if failed != nil {
		clear(o.last)
	}
	return failed
}

// sendOne puts one entry's events on their way.
func (o *EventOutbox) sendOne(ctx context.Context, e *clearing.Entry) (sent []jetstream.PubAckFuture, err error) {
	data, err := o.dataFor(ctx, e)
	if err != nil {
		return nil, err
	}
	for p, body := range data {
		if _, known := o.last[p]; !known { // it came, or went, while the directory was another
			if err := o.stream(ctx, p); err != nil {
				return sent, err
			}
		}
		last := o.last[p]
		if e.Number <= last.entry {
			continue // an earlier writer got as far as this stream
		}
		msg := nats.NewMsg(tongma.EventSubject(p, eventType(e)))
		msg.Data = body
		for k, v := range map[string]string{"ce-specversion": "1.0", "ce-id": strconv.FormatUint(e.Number, 10), "ce-source": "tongma/switch",
			"ce-type": "tongma." + eventType(e), "ce-time": time.UnixMilli(e.Time).UTC().Format(time.RFC3339Nano), "ce-subject": subjectOf(e),
			"ce-datacontenttype": "application/json", headerEntry: strconv.FormatUint(e.Number, 10)} {
			msg.Header[k] = []string{v}
		}
		future, err := o.js.PublishMsgAsync(msg, jetstream.WithExpectLastSequence(last.sequence), jetstream.WithRetryAttempts(0))
		if err != nil {
			return sent, err
		}
		sent = append(sent, future)
		o.last[p] = lastEvent{e.Number, last.sequence + 1}
	}
	return sent, nil
}

func subjectOf(e *clearing.Entry) string {
	if e.Payment.IsZero() {
		return e.Window.String()
	}
	return e.Payment.String()
}

// dataFor returns what each participant is told of an entry.
func (o *EventOutbox) dataFor(ctx context.Context, e *clearing.Entry) (map[tongma.ParticipantID][]byte, error) {
	out := map[tongma.ParticipantID][]byte{}
	err := o.engine.Ledger().Read(ctx, func(b *clearing.Book) {
		if p, ok := b.Payment(e.Payment); ok {
			if p.Final() { // otherwise it is being undone since, and the end of that is an event too
				a := answerOf(&p)
				out[p.Asker] = a.AppendJSON(nil)
			}
			return
		}
		sheet, _ := b.Sheet(e.Window)
		own := map[tongma.ParticipantID][]FigureView{}
		for _, n := range sheet.Nets {
			own[n.Participant] = append(own[n.Participant], figureView(n))
		}
		for p, figures := range own {
			out[p], _ = json.Marshal(map[string]any{"window": sheet.Window.String(), "state": sheet.State.String(), "figures": figures, "sheet_hash": hexHash(sheet.Hash)})
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
