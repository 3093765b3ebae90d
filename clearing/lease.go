package clearing

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Lease is how a writer shows that it is there, and how standbys notice that it
// is not: a word on a subject, several times a second, that nobody stores. It is a
// hint and nothing else. Whoever errs by it, in either direction, loses time and
// not money: only the journal, by the sequence that an append expects, decides who
// writes. So it is not in a bucket with a time to live, which would sync a disk
// five times a second and be away just when a server of the cluster has died.
type Lease struct {
	nc   *nats.Conn
	opts LeaseOptions
}

// LeaseOptions say where and how often. All switches of a shard have the same.
type LeaseOptions struct {
	Subject  string        // that no stream takes, and that only switches may use; required
	Name     string        // of this switch, for people who listen
	Every    time.Duration // between two words; default 200 ms
	Patience time.Duration // of silence before the writer counts as lost; default 1.2 s
}

// NewLease returns a lease on a connection, which stays the caller's.
func NewLease(nc *nats.Conn, opts LeaseOptions) *Lease {
	opts.Every = cmp.Or(opts.Every, 200*time.Millisecond)
	opts.Patience = cmp.Or(opts.Patience, 1200*time.Millisecond)
	return &Lease{nc: nc, opts: opts}
}

// word is what a writer says.
type word struct {
	Epoch  uint64 `json:"epoch"`
	Switch string `json:"switch,omitempty"`
	Left   bool   `json:"left,omitempty"` // it has stopped, nobody need wait
}

const maxWord = 512

// parseWord refuses what is not one word of a writer.
func parseWord(data []byte) (w word, ok bool) {
	return w, len(data) <= maxWord && json.Unmarshal(data, &w) == nil && w.Epoch > 0
}

func (l *Lease) say(epoch uint64, left bool) error {
	data, err := json.Marshal(word{Epoch: epoch, Switch: l.opts.Name, Left: left})
	if err != nil {
		return err
	}
	return l.nc.Publish(l.opts.Subject, data)
}

// Hold speaks for ledger until the ledger stops, whose error it then returns, or
// until ctx ends. Then it says that the writer has left, so that a standby takes
// over without waiting: close the Ledger first.
//
// If it hears of a later epoch it has the ledger ask the journal, which stops a
// deposed one that is idle, and takes no word for the truth. While the connection
// is down it cannot speak; the ledger then lives or dies by its commits.
func (l *Lease) Hold(ctx context.Context, ledger *Ledger) error {
	epoch := ledger.Epoch()
	later := make(chan struct{}, 1)
	sub, err := l.nc.Subscribe(l.opts.Subject, func(m *nats.Msg) {
		if w, ok := parseWord(m.Data); ok && w.Epoch > epoch {
			select {
			case later <- struct{}{}:
			default:
			}
		}
	})
	if err != nil {
		return err
	}
	defer func() {
		_ = sub.Unsubscribe()
		_ = l.say(epoch, true)
		_ = l.nc.FlushTimeout(l.opts.Every)
	}()
	ticker := time.NewTicker(l.opts.Every)
	defer ticker.Stop()
	for {
		_ = l.say(epoch, false) // what is not heard is said again
		select {
		case <-ctx.Done():
			return nil
		case <-ledger.Stopped():
			return ledger.Err()
		case <-later:
			asking, cancel := context.WithTimeout(ctx, l.opts.Every)
			_ = ledger.Confirm(asking)
			cancel()
		case <-ticker.C:
		}
	}
}

// Watch returns nil when the writer is lost: it said that it leaves, or said
// nothing for as long as Patience. Words of an epoch before least, which a deposed
// writer may still speak, do not count. Silence counts only if our own connection
// was up all the while and answers now; otherwise it is not known, and Watch goes
// on. It ends with ctx's error, or when the connection is closed for good.
func (l *Lease) Watch(ctx context.Context, least func() uint64) error {
	return l.watch(ctx, least, l.opts.Patience)
}

func (l *Lease) watch(ctx context.Context, least func() uint64, patience time.Duration) error {
	sub, err := l.nc.SubscribeSync(l.opts.Subject)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	connection := l.nc.Stats().Reconnects
	for heard := time.Now(); ; {
		m, err := l.next(ctx, sub, heard.Add(patience))
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			w, ok := parseWord(m.Data)
			if !ok || w.Epoch < least() {
				continue
			}
			if w.Left {
				return nil
			}
			heard = now
		case errors.Is(err, nats.ErrSlowConsumer):
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		case !l.nc.IsConnected() || l.nc.Stats().Reconnects != connection:
			// Seen soon after it happens, so that the writer has its time from then on, and
			// nobody waits for longer.
			connection, heard = l.nc.Stats().Reconnects, now
		case now.Before(heard.Add(patience)):
		case l.nc.FlushTimeout(l.opts.Patience) != nil || l.nc.Stats().Reconnects != connection:
			connection, heard = l.nc.Stats().Reconnects, time.Now()
		case queued(sub):
			heard = now.Add(l.opts.Every - patience)
		default:
			return nil
		}
	}
}

// listening hears whether the writer of an epoch, or of a later one, speaks again.
type listening struct {
	nc         *nats.Conn
	connection uint64
	sub        *nats.Subscription
	heard      atomic.Bool
}

func (l *Lease) listen(epoch uint64) (*listening, error) {
	h := &listening{nc: l.nc, connection: l.nc.Stats().Reconnects}
	var err error
	h.sub, err = l.nc.Subscribe(l.opts.Subject, func(m *nats.Msg) {
		if w, ok := parseWord(m.Data); ok && !w.Left && w.Epoch >= epoch {
			h.heard.Store(true)
		}
	})
	return h, err
}

// silent tells whether nothing was heard, over one and the same connection.
func (h *listening) silent() bool {
	return !h.heard.Load() && h.nc.IsConnected() && h.nc.Stats().Reconnects == h.connection
}

func (h *listening) stop() { _ = h.sub.Unsubscribe() }

// next waits for a word until a moment, and not for longer than it takes to see
// that the connection is another one.
func (l *Lease) next(ctx context.Context, sub *nats.Subscription, until time.Time) (*nats.Msg, error) {
	if soon := time.Now().Add(l.opts.Every / 4); soon.Before(until) {
		until = soon
	}
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return sub.NextMsgWithContext(waiting)
}

// queued tells whether there are words not yet heard. The server has just answered
// behind all that it had for us, so that what it had is in the queue, even if it is
// we who were asleep and not the writer.
func queued(sub *nats.Subscription) bool {
	n, _, err := sub.Pending()
	return err != nil || n > 0
}
