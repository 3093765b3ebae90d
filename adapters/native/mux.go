package native

import (
	"context"
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/nats-io/nats.go"
)

// Errors of a question that got no answer. Between them they say all that the
// caller needs to know about the money.
var (
	errNotSent   = errors.New("nothing was sent")        // surely not executed
	errNobody    = errors.New("nobody listens")          // surely not executed
	errNoAnswer  = errors.New("no answer in time")       // not known
	errLostAfter = errors.New("connection lost")         // not known
	errSending   = errors.New("sending failed half way") // not known
)

// mux asks questions over one connection and gives every reply to its asker. It
// does what nats.Conn.Request does with one subscription per mux, and differs in
// three points: an asker is told at once when the connection is lost, instead of
// waiting for its deadline; a reply that comes after its asker has gone is handed
// to stray instead of being thrown away; and buffers are used again.
type mux struct {
	nc     *nats.Conn
	prefix string // of reply subjects, with the dot
	sub    *nats.Subscription
	stray  func(token string, m *nats.Msg) // nil: strays are dropped
	status chan nats.Status
	gone   sync.WaitGroup

	mu      sync.Mutex // guards what follows; nothing is called while it is held
	pending map[string]*waiter
	random  *rand.ChaCha8 // tokens that nobody can guess, so that nobody can answer for another
	closed  bool
}

// waiter is one asker. The channel holds one message, so that delivering never
// blocks; a nil message says that the connection was lost.
type waiter struct{ reply chan *nats.Msg }

var waiters = sync.Pool{New: func() any { return &waiter{reply: make(chan *nats.Msg, 1)} }}

func newMux(nc *nats.Conn, stray func(string, *nats.Msg)) (*mux, error) {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	m := &mux{nc: nc, prefix: nc.NewInbox() + ".", stray: stray, pending: make(map[string]*waiter), random: rand.NewChaCha8(seed)}
	var err error
	if m.sub, err = nc.Subscribe(m.prefix+"*", m.deliver); err != nil {
		return nil, err
	}
	m.status = nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	m.gone.Go(func() {
		for range m.status {
			m.abandon()
		}
	})
	return m, nil
}

// close ends the subscription; whoever still waits is told that the connection
// is lost.
func (m *mux) close() {
	m.mu.Lock()
	again := m.closed
	m.closed = true
	m.mu.Unlock()
	if again {
		return
	}
	_ = m.sub.Unsubscribe() // fails only if the connection is closed, and then there is nothing to end
	m.nc.RemoveStatusListener(m.status)
	m.gone.Wait()
	m.abandon()
}

// abandon tells everybody who waits that the connection was lost.
func (m *mux) abandon() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for token, w := range m.pending {
		delete(m.pending, token)
		w.reply <- nil // the channel has room: only who removes a waiter from pending writes to it
	}
}

func (m *mux) deliver(msg *nats.Msg) {
	token := msg.Subject[min(len(m.prefix), len(msg.Subject)):]
	m.mu.Lock()
	w := m.pending[token]
	delete(m.pending, token)
	m.mu.Unlock()
	switch {
	case w != nil:
		w.reply <- msg
	case m.stray != nil:
		m.stray(token, msg)
	}
}

const tokenAlphabet = "0123456789abcdefghijklmnopqrstuv"

// expect opens a reply subject. The token is its last part.
func (m *mux) expect(w *waiter) (subject, token string, ok bool) {
	var buf [96]byte
	b := append(buf[:0], m.prefix...)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return "", "", false
	}
	for n, i := m.random.Uint64(), 0; i < 13; n, i = n>>5, i+1 {
		b = append(b, tokenAlphabet[n&31])
	}
	subject = string(b)
	token = subject[len(m.prefix):]
	m.pending[token] = w
	return subject, token, true
}

// forget closes a reply subject, and tells whether the reply had not come yet.
func (m *mux) forget(token string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, waiting := m.pending[token]
	delete(m.pending, token)
	return waiting
}

// ask sends msg and waits for its reply, until ctx ends. msg is free again on
// return, except that its Reply holds the token's subject. The error is one of
// the five above.
func (m *mux) ask(ctx context.Context, msg *nats.Msg) (*nats.Msg, string, error) {
	w := waiters.Get().(*waiter)
	subject, token, ok := m.expect(w)
	if !ok {
		return nil, "", errNotSent
	}
	msg.Reply = subject
	if err := m.nc.PublishMsg(msg); err != nil {
		m.retire(token, w)
		return nil, token, sendError(err)
	}
	select {
	case reply := <-w.reply:
		waiters.Put(w)
		return reply, token, replyError(reply)
	case <-ctx.Done():
		if reply := m.retire(token, w); reply != nil {
			return reply, token, replyError(reply) // it came at the same moment: better late than unknown
		}
		return nil, token, errNoAnswer
	}
}

// retire takes w out of pending and returns the reply that had come, if any.
func (m *mux) retire(token string, w *waiter) (reply *nats.Msg) {
	if !m.forget(token) {
		reply = <-w.reply // whoever took w out is about to write
	}
	waiters.Put(w)
	return reply
}

func replyError(m *nats.Msg) error {
	switch {
	case m == nil:
		return errLostAfter
	case len(m.Data) == 0 && carrier(m.Header).Get("Status") == "503":
		return errNobody
	}
	return nil
}

// sendError says whether a message that could not be published has surely not
// left. Only errors that the client library finds before it writes are sure.
func sendError(err error) error {
	for _, before := range [...]error{
		nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrReconnectBufExceeded, nats.ErrMaxPayload,
		nats.ErrHeadersNotSupported, nats.ErrBadSubject, nats.ErrInvalidConnection, nats.ErrInvalidMsg,
	} {
		if errors.Is(err, before) {
			return errNotSent
		}
	}
	return errSending
}
