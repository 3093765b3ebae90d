package iso8583

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tongma/tongma"
)

// ClientConfig is what an acquirer's end of a link is made of. DE32 must be
// given; anything else may be zero.
type ClientConfig struct {
	DE32 string // the acquirer's number, at most eleven digits
	DE33 string // the forwarder's, or none
	MAC  *MAC   // nil: messages carry no MAC

	Decimals     Decimals         // deviations from ISO 4217, as agreed with the switch
	Now          func() time.Time // default time.Now
	LastTrace    uint32           // the first message has the trace number behind this one
	ReadTimeout  time.Duration    // from a frame's first byte to its last; default 10 s
	WriteTimeout time.Duration    // for one write; default 5 s

	// Unsolicited is told of messages that nobody waits for: a reply that came too
	// late, or a second one. It is called by the goroutine that reads the link, so
	// it must not wait for the client.
	Unsolicited func(Reply)
}

// Client is an acquirer's end of a link. It is safe for use by several
// goroutines; their requests share the link, and replies find them by message
// type, trace number and time, in whatever order they come. It does not
// reconnect: when the link is lost every call fails at once, and Done is closed.
type Client struct {
	cfg   ClientConfig
	conn  net.Conn
	in    *frameReader
	out   *frameWriter
	trace atomic.Uint32
	done  chan struct{}
	ended sync.WaitGroup // the two goroutines

	// mu guards what follows. Nothing is waited for while it is held.
	mu      sync.Mutex
	err     error // why the link ended
	waiters map[match][]chan Reply
}

// match is what a reply and its request have in common.
type match struct{ mti, stan, sent string }

// Dial connects to a switch. It does not sign on.
func Dial(ctx context.Context, addr string, cfg ClientConfig) (*Client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, &tongma.Error{Op: "iso8583: dial", Reason: tongma.AdapterDown, Err: err}
	}
	return NewClient(conn, cfg), nil
}

// NewClient speaks over a connection, which is its own from here.
func NewClient(conn net.Conn, cfg ClientConfig) *Client {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ReadTimeout <= 0 {
		cfg.ReadTimeout = 10 * time.Second
	}
	if cfg.WriteTimeout <= 0 {
		cfg.WriteTimeout = 5 * time.Second
	}
	if cfg.Unsolicited == nil {
		cfg.Unsolicited = func(Reply) {}
	}
	const forEver = 1 << 62 // an acquirer may be silent for as long as it likes
	c := &Client{cfg: cfg, conn: conn, done: make(chan struct{}), waiters: map[match][]chan Reply{},
		in: newFrameReader(conn, MaxMessage, forEver, cfg.ReadTimeout), out: newFrameWriter(conn, 256, cfg.WriteTimeout)}
	c.trace.Store(cfg.LastTrace)
	c.ended.Add(2)
	go func() {
		defer c.ended.Done()
		c.fail(c.read())
	}()
	go func() {
		defer c.ended.Done()
		if err := c.out.run(); err != nil {
			c.fail(err)
		}
	}()
	return c
}

// Done is closed when the link has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the link ended, or nil while it stands.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the link, and returns when its goroutines have. Requests that still
// wait fail.
func (c *Client) Close() error {
	c.fail(net.ErrClosed)
	c.ended.Wait()
	return nil
}

func (c *Client) fail(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
		close(c.done)
	}
	c.mu.Unlock()
	if first {
		c.out.abort()
		_ = c.conn.Close() // the cause is already known
	}
}

// read hands every reply to who waits for it, until the link ends.
func (c *Client) read() error {
	var m Message
	for {
		f, err := c.in.next()
		if err != nil {
			return err
		}
		err = m.Unpack(f.b)
		if err == nil && c.cfg.MAC != nil && !m.SealedBy(f.b, c.cfg.MAC) {
			err = &tongma.Error{Op: "iso8583: reply", Reason: tongma.MACWrong}
		}
		if err != nil {
			f.free()
			return err
		}
		c.deliver(readReply(&m, f.b, c.cfg.Decimals), string(m.Get(32)))
		f.free()
	}
}

// deliver gives a reply to all who wait for it. A refusal of a message whose DE32
// could not be read has none.
func (c *Client) deliver(r Reply, de32 string) {
	at := match{r.MTI, r.STAN, r.Sent}
	c.mu.Lock()
	waiting := c.waiters[at]
	if de32 != "" && de32 != c.cfg.DE32 {
		waiting = nil
	}
	for _, w := range waiting {
		w <- r // never blocks: one reply for a channel that holds one
	}
	if waiting != nil {
		delete(c.waiters, at)
	}
	c.mu.Unlock()
	if len(waiting) == 0 {
		c.cfg.Unsolicited(r)
	}
}

// exchange sends a request, which is the pool's from here, and waits for its
// reply. The error says whether the request may have been carried out:
// AdapterDown or AdapterBusy if it was not sent, SchemeSilent if nobody knows, so
// that it must be repeated or reversed.
func (c *Client) exchange(ctx context.Context, m *Message) (Reply, error) {
	op, want := "iso8583: "+m.MTI(), responseType(m.mti)
	at := match{string(want[:]), m.Text(11), m.Text(7)}
	f := newFrame()
	err := f.pack(m, c.cfg.MAC)
	messages.Put(m)
	if err != nil {
		f.free()
		return Reply{}, err
	}
	w := make(chan Reply, 1)
	if err := c.wait(at, w); err != nil {
		f.free()
		return Reply{}, &tongma.Error{Op: op, Reason: tongma.AdapterDown, Detail: "link is down", Err: err}
	}
	select {
	case c.out.out <- f:
	case <-c.done:
		c.forget(at, w)
		return Reply{}, &tongma.Error{Op: op, Reason: tongma.AdapterDown, Detail: "link is down", Err: c.Err()}
	case <-ctx.Done():
		c.forget(at, w)
		return Reply{}, &tongma.Error{Op: op, Reason: tongma.AdapterBusy, Detail: "not sent in time", Err: ctx.Err()}
	}
	select {
	case r := <-w:
		return r, nil
	case <-c.done:
		c.forget(at, w)
		return lastLook(w, &tongma.Error{Op: op, Reason: tongma.SchemeSilent, Detail: "link lost", Err: c.Err()})
	case <-ctx.Done():
		c.forget(at, w)
		return lastLook(w, &tongma.Error{Op: op, Reason: tongma.SchemeSilent, Err: ctx.Err()})
	}
}

// lastLook takes the reply if it came at the same moment as the end.
func lastLook(w chan Reply, err error) (Reply, error) {
	select {
	case r := <-w:
		return r, nil
	default:
		return Reply{}, err
	}
}

func (c *Client) wait(at match, w chan Reply) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.waiters[at] = append(c.waiters[at], w)
	}
	return c.err
}

func (c *Client) forget(at match, w chan Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.waiters[at]
	for i := range list {
		if list[i] == w {
			c.waiters[at] = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(c.waiters[at]) == 0 {
		delete(c.waiters, at)
	}
}

// Trace is what names a message of an acquirer: with DE32 and DE33 it makes the
// idempotency key.
type Trace struct {
	STAN string // DE11: six digits
	Sent string // DE7: MMDDhhmmss, GMT
}

// NextTrace returns a trace that this client has not given before. Whoever may
// have to repeat or reverse a request takes its trace first.
func (c *Client) NextTrace() Trace {
	next := c.trace.Add(1)
	return Trace{STAN: fmt.Sprintf("%06d", (next-1)%999999+1), Sent: c.cfg.Now().UTC().Format("0102150405")}
}

// Key returns the idempotency key that the switch makes of a trace of this client.
func (c *Client) Key(t Trace) string { return Key(c.cfg.DE32, c.cfg.DE33, t.STAN, t.Sent) }

// Reply is what came back.
type Reply struct {
	MTI  string
	Code string // DE39
	Trace
	Reason    tongma.Reason // from DE44; NoReason if it says none
	Approval  string        // DE38
	Reference string        // DE37
	Scheme    tongma.SchemeID
	SchemeRef string
	Payment   tongma.PaymentID
	Billed    tongma.Money // DE6 and DE51: what the payer pays in its own currency; none if that is the one of DE4
	Rate      string       // DE10
	Raw       []byte       // the message as it came
}

// Approved tells whether DE39 is 00.
func (r *Reply) Approved() bool { return r.Code == approvedCode }

// Undecided tells whether money may have moved or may still: the request must be
// repeated, inquired after, or reversed.
func (r *Reply) Undecided() bool {
	if r.Approved() {
		return false
	}
	if r.Reason != tongma.NoReason {
		return r.Reason.Info().Money == tongma.MayHaveMoved
	}
	return r.Code == "09" || r.Code == "68" || r.Code == "96"
}

func readReply(m *Message, msg []byte, d Decimals) Reply {
	r := Reply{MTI: m.MTI(), Code: m.Text(39), Trace: Trace{STAN: m.Text(11), Sent: m.Text(7)},
		Approval: m.Text(38), Reference: trimmed(m.Get(37)), Billed: m.billed(d), Rate: m.Text(10), Raw: bytes.Clone(msg)}
	if code, _, _ := strings.Cut(m.Text(44), " "); code != "" {
		r.Reason, _ = tongma.ParseReason(code) // other text in DE44 is no reason
	}
	if tags, err := parseTagged(m.Get(48)); err == nil {
		r.Scheme, r.SchemeRef = tongma.SchemeID(tags[tagScheme]), string(tags[tagSchemeRef])
		r.Payment, _ = tongma.ParsePaymentID(string(tags[tagPayment])) // none is none
	}
	return r
}
