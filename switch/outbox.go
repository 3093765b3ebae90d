package switching

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
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
// mark on disk remembers how far that went, and each stream's last message says
// which of them it has. So an event is neither lost nor doubled by a crash.
type EventOutbox struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	engine *Engine
	logger *slog.Logger
	mark   string // file; "" keeps none

	// mu guards queue. Nothing else is taken while it is held.
	mu    sync.Mutex
	queue []clearing.Entry
	wake  chan struct{}
	quit  chan struct{}
	done  chan struct{}
	last  map[tongma.ParticipantID]uint64 // entry of the latest event in each stream
}

// NewEventOutbox makes an outbox that publishes over nc and keeps its mark in
// dir. Give it to Options.Outbox, hand it the batches of the replay by
// Committed, and Start it with the engine.
func NewEventOutbox(nc *nats.Conn, dir string, logger *slog.Logger) (*EventOutbox, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	o := &EventOutbox{nc: nc, js: js, logger: logger, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}), last: map[tongma.ParticipantID]uint64{}}
	if dir != "" {
		o.mark = filepath.Join(dir, "outbox.mark")
	}
	return o, nil
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

// Marked returns up to which entry everything was published by an earlier run.
func (o *EventOutbox) Marked() uint64 {
	if o.mark == "" {
		return 0
	}
	data, err := os.ReadFile(o.mark)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(string(data), 10, 64)
	return n
}

// Start makes the participants' streams and begins to publish.
func (o *EventOutbox) Start(ctx context.Context, e *Engine) error {
	o.engine = e
	for _, p := range e.Directory().Participants() {
		if err := o.stream(ctx, p.ID); err != nil {
			return err
		}
	}
	go o.run()
	return nil
}

func (o *EventOutbox) stream(ctx context.Context, p tongma.ParticipantID) error {
	if err := bus.EnsureEvents(ctx, o.nc, p, bus.EventConfig{}); err != nil {
		return err
	}
	s, err := o.js.Stream(ctx, tongma.EventStream(p))
	if err != nil {
		return err
	}
	last, err := s.GetLastMsgForSubject(ctx, tongma.EventSubject(p, ">"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		o.last[p] = 0
		return nil
	}
	if err == nil {
		o.last[p], _ = strconv.ParseUint(last.Header.Get(headerEntry), 10, 64)
	}
	return err
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
	for {
		o.mu.Lock()
		batch := o.queue
		o.queue = nil
		o.mu.Unlock()
		for i := range batch {
			if !o.publish(&batch[i]) {
				return
			}
		}
		if len(batch) > 0 {
			o.remember(batch[len(batch)-1].Number)
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
	if o.mark == "" {
		return
	}
	tmp := o.mark + ".tmp"
	if os.WriteFile(tmp, strconv.AppendUint(nil, entry, 10), 0o600) == nil {
		_ = os.Rename(tmp, o.mark)
	}
}

// publish sends one entry's events, again and again until the streams have them.
// It returns false if the outbox is stopped before that.
func (o *EventOutbox) publish(e *clearing.Entry) bool {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := o.send(e)
		if err == nil {
			return true
		}
		o.logger.Warn("event not published yet", "entry", e.Number, "err", err)
		select {
		case <-time.After(pause):
		case <-o.quit:
			return false
		}
	}
}

func (o *EventOutbox) send(e *clearing.Entry) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	data, err := o.dataFor(ctx, e)
	if err != nil {
		return err
	}
	for p, body := range data {
		if _, known := o.last[p]; !known { // it came, or went, while the directory was another
			if err := o.stream(ctx, p); err != nil {
				return err
			}
		}
		if e.Number <= o.last[p] {
			continue // an earlier run got as far as this stream
		}
		msg := nats.NewMsg(tongma.EventSubject(p, eventType(e)))
		msg.Data = body
		for k, v := range map[string]string{"ce-specversion": "1.0", "ce-id": strconv.FormatUint(e.Number, 10), "ce-source": "tongma/switch",
			"ce-type": "tongma." + eventType(e), "ce-time": time.UnixMilli(e.Time).UTC().Format(time.RFC3339Nano), "ce-subject": subjectOf(e),
			"ce-datacontenttype": "application/json", headerEntry: strconv.FormatUint(e.Number, 10)} {
			msg.Header[k] = []string{v}
		}
		if _, err := o.js.PublishMsg(ctx, msg, jetstream.WithMsgID(strconv.FormatUint(e.Number, 10))); err != nil {
			return err
		}
		o.last[p] = e.Number
	}
	return nil
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
