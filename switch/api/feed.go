package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

const (
	feedDepth  = 64               // batches that may wait for one listener
	feedMost   = 256              // listeners at once
	heartbeat  = 15 * time.Second // a comment, so that dead connections are noticed
	feedWrites = 10 * time.Second // for one write to a listener
)

// Feed hands the entries of each durable batch to those who listen to
// GET /v1/events. It never waits for a listener: one that falls behind is cut
// off, and reads on in the journal.
type Feed struct {
	some atomic.Int32 // number of listeners, so that a batch for nobody costs one load

	// mu guards all below. Nothing else is taken while it is held.
	mu        sync.Mutex
	listeners map[*listener]struct{}
	closed    bool
}

// listener's channel is closed when nothing more comes.
type listener struct{ batches chan committed }

type committed struct {
	batch   uint64
	entries []clearing.Entry
}

// NewFeed returns a Feed without listeners.
func NewFeed() *Feed { return &Feed{listeners: map[*listener]struct{}{}} }

// Committed takes the entries of a durable batch; they are copied. It is called
// by one goroutine, in order.
func (f *Feed) Committed(batch uint64, entries []clearing.Entry) {
	if f.some.Load() == 0 {
		return
	}
	item := committed{batch, slices.Clone(entries)}
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.listeners {
		select {
		case l.batches <- item:
		default:
			f.drop(l)
		}
	}
}

// Close cuts off every listener, and those that still come.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for l := range f.listeners {
		f.drop(l)
	}
}

// drop needs mu.
func (f *Feed) drop(l *listener) {
	if _, there := f.listeners[l]; there {
		delete(f.listeners, l)
		f.some.Add(-1)
		close(l.batches)
	}
}

func (f *Feed) leave(l *listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop(l)
}

func (f *Feed) join() (*listener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, &tongma.Error{Op: "http.events", Reason: tongma.ShuttingDown}
	}
	if len(f.listeners) >= feedMost {
		return nil, &tongma.Error{Op: "http.events", Reason: tongma.Overloaded, Detail: "too many listeners"}
	}
	l := &listener{batches: make(chan committed, feedDepth)}
	f.listeners[l] = struct{}{}
	f.some.Add(1)
	return l, nil
}

// events streams entries as server-sent events until the client goes, falls
// behind, or the switch stops. The id of an event is the number of its entry: with
// it a client finds in GET /v1/journal, or in the list of payments, what it missed.
func (c *call) events() error {
	l, err := c.feed.join()
	if err != nil {
		return err
	}
	defer c.feed.leave(l)
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(c.w)
	_ = rc.SetReadDeadline(time.Time{})
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	text := []byte("retry: 1000\n: listening\n\n")
	for {
		_ = rc.SetWriteDeadline(time.Now().Add(feedWrites))
		if _, err := c.w.Write(text); err != nil || rc.Flush() != nil {
			return nil
		}
		text = text[:0]
		for len(text) == 0 {
			select {
			case item, more := <-l.batches:
				if !more {
					return nil
				}
				text = c.appendEvents(text, item)
			case <-beat.C:
				text = append(text, ": alive\n\n"...)
			case <-c.r.Context().Done():
				return nil
			}
		}
	}
}

func (c *call) appendEvents(b []byte, item committed) []byte {
	for i := range item.entries {
		e := &item.entries[i]
		if !c.concerns(e) {
			continue
		}
		line, err := json.Marshal(c.line(e, item.batch))
		if err != nil {
			continue
		}
		b = append(strconv.AppendUint(append(b, "id: "...), e.Number, 10), "\ndata: "...)
		b = append(append(b, line...), "\n\n"...)
	}
	return b
}

// concerns tells whether the caller may hear of an entry: the operator of all, a
// participant of those that name it, as a party or in a fee, and of the sheets of
// windows.
func (c *call) concerns(e *clearing.Entry) bool {
	switch e.Kind {
	case clearing.KindClose, clearing.KindInstruct, clearing.KindRecast, clearing.KindSettled:
		return true // what everybody compares
	case clearing.KindWord, clearing.KindWordRejected:
		return c.operator // what people say counts for nobody until two of them have said it
	}
	return c.operator || c.partyTo(e) || slices.ContainsFunc(e.Legs, c.bears)
}

// partyTo tells whether an entry is about a movement of the caller's own.
func (c *call) partyTo(e *clearing.Entry) bool {
	return e.Asker == c.who || e.Debtor == c.who || e.Creditor == c.who || e.Dealer == c.who
}

// bears tells whether the caller pays a fee, or is paid it.
func (c *call) bears(l clearing.Leg) bool { return l.From == c.who || l.To == c.who }

// line is what the caller sees of an entry. What the asker alone knows, the other
// party of its payment does not learn here, nor the hash, from which it could be
// guessed; nobody but the operator learns who works for the operator, or of fees
// between others. One that is named in a fee only sees that fee, and of which
// payment it is.
func (c *call) line(e *clearing.Entry, batch uint64) clearing.Line {
	l := clearing.NewLine(e, batch, e.AppendTo(nil))
	if c.operator {
		return l
	}
	if e.Asker != c.who {
		l.Key, l.Order, l.CodeDigest, l.CodeTail, l.Content, l.Hash = "", "", "", "", "", ""
	}
	if e.Asker != c.who && e.Dealer != c.who {
		l.Quote = ""
	}
	l.Maker, l.Checker = "", ""
	if others := func(f clearing.Fee) bool { return f.From != string(c.who) && f.To != string(c.who) }; slices.ContainsFunc(l.Fees, others) {
		l.Fees = slices.DeleteFunc(l.Fees, others)
		l.Hash = ""
	}
	if len(e.Legs) > 0 && !c.partyTo(e) {
		l = clearing.Line{Entry: l.Entry, Kind: l.Kind, Time: l.Time, Batch: l.Batch, Payment: l.Payment, Original: l.Original, Operation: l.Operation,
			Scheme: l.Scheme, Currency: l.Currency, Window: l.Window, Directory: l.Directory, Fees: l.Fees}
	}
	return l
}
