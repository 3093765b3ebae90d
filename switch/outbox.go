package switching

import (
	"cmp"
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
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/switch/bus"
)

// Outbox hears of every durable batch, in order, on the writer's goroutine: it
// must take the entries and return.
type Outbox interface {
	Committed(entries []clearing.Entry)
}

// Types of the events that participants get.
const (
	EventLimit         = "limit.reached"   // a hold used up 50, 75 or 90 % of the participant's limit; data: currency, percent
	EventExchanged     = "exchange.done"   // a payment by a dealer's quote was posted, or turned back: for the dealer; data: the Answer
	EventPaymentEnded  = "payment.ended"   // a payment that was answered "pending" has ended; data: the Answer
	EventWindowClosed  = "window.closed"   // data: the participant's figures of the window
	EventWindowSettled = "window.settled"  // likewise
	EventShort         = "window.short"    // the agent did not take a debit: for who is short, and who waits for it; data: a SettlingView, as of all that follow
	EventCoverAsked    = "cover.asked"     // somebody is about to be asked to pay for who is short: for both
	EventCovered       = "cover.done"      // and has paid
	EventCoverRefused  = "cover.refused"   // or the agent did not take it
	EventDeferred      = "window.deferred" // a payment is settled in a later window: for its parties
	EventRecast        = "window.recast"   // the sheet without those payments; data: figures as of window.closed, and the legs
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

	// mu guards what follows, up to wake. Nothing else is taken while it is held.
	mu      sync.Mutex
	queue   []notice
	missing uint64 // the first entry that found the queue full; 0 if none did
	newest  uint64 // the latest entry that concerns somebody

	wake chan struct{}
	quit chan struct{}
	done chan struct{}
	last map[tongma.ParticipantID]lastEvent
}

// notice is what the outbox keeps of an entry until its events are published.
type notice struct {
	entry   uint64
	time    int64
	kind    string               // type of its events; "" if it concerns only a dealer
	dealer  tongma.ParticipantID // of a payment in two currencies that was posted or turned back: hears of that
	payment tongma.PaymentID
	window  tongma.WindowID
	settle  *unsettled // of a window that does not settle as it was drawn up
	warning *Warning   // instead of an entry
	beside  bool       // no entry calls for it: published once at most, and lost in a crash
}

// maxNotices bounds the queue, at some 100 bytes each, and 300 of what is deferred. Beyond it the journal is read
// again, when the queue is empty.
const maxNotices = 1 << 18

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
	Later    bool
	Shard    uint16 // of a switch of several, which share the participants' streams; zero: there is one
	MaxQueue int    // of entries whose events are not published yet; default 262,144
	Logger   *slog.Logger
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
	opts.MaxQueue = cmp.Or(opts.MaxQueue, maxNotices)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &EventOutbox{nc: nc, js: js, opts: opts, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}), last: map[tongma.ParticipantID]lastEvent{}}, nil
}

// Committed takes those entries that concern somebody.
func (o *EventOutbox) Committed(entries []clearing.Entry) {
	o.mu.Lock()
	for i := range entries {
		e := &entries[i]
		n, concerns := noticeOf(e)
		if !concerns {
			continue
		}
		o.newest = max(o.newest, e.Number)
		switch {
		case o.missing != 0: // read again, later, with all that follows it
		case len(o.queue) >= o.opts.MaxQueue:
			o.missing = e.Number
		default:
			o.queue = append(o.queue, n)
		}
	}
	o.mu.Unlock()
	o.nudge()
}

// Warned takes a warning. It is published once at most, and lost in a crash.
func (o *EventOutbox) Warned(w Warning) {
	o.mu.Lock()
	if o.missing == 0 && len(o.queue) < o.opts.MaxQueue {
		o.queue = append(o.queue, notice{entry: w.Entry, time: w.At, kind: EventLimit, warning: &w, beside: true})
	}
	o.mu.Unlock()
	o.nudge()
}

// Ended takes the end of a payment whose entry does not say that somebody waits for it.
// It is published once at most, and lost in a crash.
func (o *EventOutbox) Ended(id tongma.PaymentID, entry uint64, at int64) {
	o.mu.Lock()
	if o.missing == 0 && len(o.queue) < o.opts.MaxQueue {
		o.queue = append(o.queue, notice{entry: entry, time: at, kind: EventPaymentEnded, payment: id, beside: true})
	}
	o.mu.Unlock()
	o.nudge()
}

// tellEnd has an asker told of an end that it was answered "pending" for while the
// entry was on its way already.
func (e *Engine) tellEnd(p *clearing.Payment) {
	if o, ok := e.opts.Outbox.(interface {
		Ended(id tongma.PaymentID, entry uint64, at int64)
	}); ok {
		o.Ended(p.ID, p.Entry, p.ChangedAt)
	}
}

func (o *EventOutbox) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// refill reads from the journal what found the queue full. It returns whether
// there may be more to publish.
func (o *EventOutbox) refill(ctx context.Context) (bool, error) {
	o.mu.Lock()
	from := o.missing
	o.mu.Unlock()
	if from == 0 {
		return false, nil
	}
	o.opts.Logger.Warn("events: the queue was full, the journal is read again", "entry", from)
	chain := journal.NewChain(journal.Position{Shard: o.engine.opts.Shard})
	var found []notice
	last := uint64(0)
	err := o.engine.opts.Store.Read(ctx, 1, func(seq uint64, message []byte) error {
		b, counts, err := chain.Check(seq, message)
		if err != nil || !counts || b.Next() <= from || len(found) >= o.opts.MaxQueue {
			return err
		}
		for _, data := range b.Entries {
			e, err := clearing.ParseEntry(data)
			if err != nil {
				return err
			}
			if n, concerns := noticeOf(&e); concerns && e.Number >= from && len(found) < o.opts.MaxQueue {
				found = append(found, n)
				last = e.Number
			}
		}
		return nil
	})
	if err != nil {
		return true, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, found...)
	if o.missing = last + 1; o.newest <= last {
		o.missing = 0
	}
	return true, nil
}

// noticeOf returns what is kept of an entry, and whether it concerns somebody.
func noticeOf(e *clearing.Entry) (notice, bool) {
	n := notice{entry: e.Number, time: e.Time, kind: eventType(e), payment: e.Payment, window: e.Window}
	if n.kind != "" {
		n.settle = settlingOf(e)
	}
	if e.Window != 0 && (e.Kind == clearing.KindPost || e.Kind == clearing.KindReversed) {
		n.dealer = e.Dealer
	}
	return n, n.kind != "" || n.dealer != ""
}

func eventType(e *clearing.Entry) string {
	switch e.Kind {
	case clearing.KindPost, clearing.KindVoid, clearing.KindReversed, clearing.KindExpire:
		if e.Late {
			return EventPaymentEnded
		}
	case clearing.KindClose:
		if e.Linked == 0 { // else the head says so, for all shards
			return EventWindowClosed
		}
	case clearing.KindSettled:
		if e.Linked == 0 {
			return EventWindowSettled
		}
	case clearing.KindShort:
		return EventShort
	case clearing.KindCoverAsked:
		return EventCoverAsked
	case clearing.KindCover:
		return EventCovered
	case clearing.KindCoverRefused:
		return EventCoverRefused
	case clearing.KindDefer:
		return EventDeferred
	case clearing.KindRecast:
		return EventRecast
	}
	return ""
}

// Forget drops what is queued up to an entry: another switch has published it.
func (o *EventOutbox) Forget(upTo uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = slices.DeleteFunc(o.queue, func(n notice) bool { return n.entry <= upTo })
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
		last.sequence = m.Sequence
		if m, err = o.ownLast(ctx, s, m); err != nil {
			return err
		}
		if m != nil {
			last.entry, _ = strconv.ParseUint(m.Header.Get(headerEntry), 10, 64)
		}
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
			o.remember(part)
		}
		more := len(batch) > 0
		if !more && !o.until("what found the queue full", func(ctx context.Context) (err error) { more, err = o.refill(context.WithoutCancel(ctx)); return err }) {
			return
		}
		if more {
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
func (o *EventOutbox) remember(published []notice) {
	entry := uint64(0)
	for i := range published { // a warning, say, may come before entries that are older
		if !published[i].beside {
			entry = max(entry, published[i].entry)
		}
	}
	if entry == 0 {
		return
	}
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
func (o *EventOutbox) publish(notices []notice) bool {
	what := fmt.Sprintf("events of entries %d to %d", notices[0].entry, notices[len(notices)-1].entry)
	return o.until(what, func(ctx context.Context) error {
		err := o.send(ctx, notices)
		if err != nil { // whether what is beside the entries came through is not known: once at most
			notices = slices.DeleteFunc(notices, func(n notice) bool { return n.beside })
		}
		return err
	})
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
func (o *EventOutbox) send(ctx context.Context, notices []notice) error {
	var sent []jetstream.PubAckFuture
	var failed error
	for i := range notices {
		futures, err := o.sendOne(ctx, &notices[i])
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
func (o *EventOutbox) sendOne(ctx context.Context, n *notice) (sent []jetstream.PubAckFuture, err error) {
	data, err := o.dataFor(ctx, n)
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
		now := lastEvent{n.entry, last.sequence + 1}
		if n.beside {
			now.entry = last.entry // the stream has of the entries what it had
		} else if n.entry <= last.entry {
			continue // an earlier writer got as far as this stream
		}
		msg := n.message(p, body, now.entry)
		o.sign(msg)
		future, err := o.js.PublishMsgAsync(msg, jetstream.WithExpectLastSequence(last.sequence), jetstream.WithRetryAttempts(0))
		if err != nil {
			return sent, err
		}
		sent = append(sent, future)
		o.last[p] = now
	}
	return sent, nil
}

// message is an event as CloudEvents has it on NATS. upTo is the entry up to which
// the stream then has all.
func (n *notice) message(p tongma.ParticipantID, body []byte, upTo uint64) *nats.Msg {
	kind := n.kind
	if p == n.dealer {
		kind = EventExchanged
	}
	msg := nats.NewMsg(tongma.EventSubject(p, kind))
	msg.Data = body
	for k, v := range map[string]string{"ce-specversion": "1.0", "ce-id": strconv.FormatUint(n.entry, 10), "ce-source": "tongma/switch",
		"ce-type": "tongma." + kind, "ce-time": time.UnixMilli(n.time).UTC().Format(time.RFC3339Nano), "ce-subject": n.subject(),
		"ce-datacontenttype": "application/json", headerEntry: strconv.FormatUint(upTo, 10)} {
		msg.Header[k] = []string{v}
	}
	return msg
}

func (n *notice) subject() string {
	switch {
	case n.warning != nil:
		return string(n.warning.Participant)
	case n.payment.IsZero():
		return n.window.String()
	}
	return n.payment.String()
}

// dataFor returns what each participant is told of an entry.
func (o *EventOutbox) dataFor(ctx context.Context, n *notice) (map[tongma.ParticipantID][]byte, error) {
	out := map[tongma.ParticipantID][]byte{}
	if w := n.warning; w != nil {
		var err error
		out[w.Participant], err = json.Marshal(map[string]any{"currency": w.Currency.Code(), "percent": w.Percent})
		return out, err
	}
	err := o.engine.Ledger().Read(ctx, func(b *clearing.Book) {
		if n.settle != nil {
			out = n.settle.tell(b, n)
			return
		}
		if p, ok := b.Payment(n.payment); ok {
			if p.Final() { // otherwise it is being undone since, and the end of that is an event too
				a := answerOf(&p)
				body := a.AppendJSON(nil)
				if n.kind != "" {
					out[p.Asker] = body
				}
				if n.dealer != "" {
					out[n.dealer] = body
				}
			}
			return
		}
		sheet, _ := b.Sheet(n.window)
		own := map[tongma.ParticipantID][]FigureView{}
		for _, net := range sheet.Nets {
			own[net.Participant] = append(own[net.Participant], figureView(net))
		}
		if n.kind == EventRecast {
			out = recastFor(&sheet, own)
			return
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
