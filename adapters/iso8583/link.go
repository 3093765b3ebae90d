package iso8583

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tongma/tongma"
)

// link is one acquirer's connection: one goroutine reads, one writes, and each
// request in flight has one of its own.
type link struct {
	cfg  *Config
	ctx  context.Context // of the server, not of the link: a payment outlives the link
	conn net.Conn
	log  *slog.Logger
	in   *frameReader
	out  *frameWriter

	// Of the reading goroutine alone. party is given by the first good sign-on and
	// stays.
	party      tongma.ParticipantID
	key        *MAC // of its DE32
	decimals   Decimals
	signedOn   bool
	mustSignOn time.Time // a link that nobody has signed on by then is closed

	handlers sync.WaitGroup // requests in flight

	// mu guards busy and inFlight. Nothing is waited for while it is held.
	mu       sync.Mutex
	busy     int
	inFlight map[string]uint64 // idempotency key → digest of the content
}

// digestSeed makes the digests of contents, which stay inside one process.
var digestSeed = maphash.MakeSeed()

// messages are used again, since one is some 3 KB. They keep parts of frames only
// until they are unpacked into or reset.
var messages = sync.Pool{New: func() any { return new(Message) }}

func newLink(ctx context.Context, s *Server, conn net.Conn) *link {
	cfg := &s.cfg
	return &link{cfg: cfg, ctx: ctx, conn: conn,
		log:      cfg.Logger.With("link", conn.RemoteAddr().String()),
		in:       newFrameReader(conn, cfg.MaxFrame, min(cfg.SignOnTimeout, cfg.IdleTimeout), cfg.ReadTimeout),
		out:      newFrameWriter(conn, min(cfg.MaxInFlight, 256), cfg.WriteTimeout),
		inFlight: map[string]uint64{}, mustSignOn: time.Now().Add(cfg.SignOnTimeout),
	}
}

// serve reads until the link ends, waits for the requests in flight, and closes
// the link when their replies are written.
func (k *link) serve() {
	written := make(chan error, 1)
	go func() { written <- k.out.run() }()
	k.log.Info("link opened")
	err := k.read()
	if err != nil {
		_ = k.conn.Close() // what follows on it cannot be trusted, or nobody is there
	}
	k.handlers.Wait()
	k.out.finish()
	if cause := <-written; cause != nil && !errors.Is(cause, net.ErrClosed) {
		err = cause // it closed the link, so that reading failed too
	}
	_ = k.conn.Close() // all is written
	if err != nil {
		k.log.Warn("link broken", "error", err)
		return
	}
	k.log.Info("link closed")
}

// read takes one frame after the other. It returns nil when the peer closed the
// link between two frames or sent nothing for too long, and when the server is
// shutting down.
func (k *link) read() error {
	for {
		f, err := k.in.next()
		if err == nil {
			err = k.handle(f)
		}
		var fault *tongma.Error
		switch {
		case err == nil:
		case errors.As(err, &fault):
			k.cfg.Metrics.Dropped(fault.Reason)
			return err
		case errors.Is(err, io.EOF), errors.Is(err, errStopped), errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		default:
			return err
		}
	}
}

// call is one request on its way through a link.
type call struct {
	frame    *frame   // that m aliases
	m        *Message // the request
	kind     kind
	key      *MAC
	received time.Time
	request  tongma.Request
	first    bool // it holds the entry of its key in inFlight
}

// handle answers one message, or starts a goroutine that does. It returns an
// error if the link must be closed.
func (k *link) handle(f *frame) error {
	c := &call{frame: f, m: messages.Get().(*Message), key: k.key, received: time.Now()}
	if k.party == "" && c.received.After(k.mustSignOn) {
		k.free(c)
		return &tongma.Error{Op: "iso8583: link", Reason: tongma.NotSignedOn, Detail: "not in time"}
	}
	if err := c.m.Unpack(f.b); err != nil {
		return k.unreadable(c, err)
	}
	c.kind = kindOf(c.m.mti)
	if c.kind == kindResponse {
		k.drop(c)
		return nil
	}
	if de32 := c.m.Get(32); de32 != nil {
		c.key = k.cfg.Key(string(de32)) // each number has its key: none may be used to get round another's
	}
	switch reason, where := k.admit(c); {
	case reason != tongma.NoReason:
		k.refuse(c, reason, where)
	case c.kind == kindNetwork:
		k.network(c)
	default:
		k.business(c)
	}
	return nil
}

// unreadable answers a message that could not be read, if it can be addressed,
// and else ends the link.
func (k *link) unreadable(c *call, err error) error {
	c.kind = kindOf(c.m.mti)
	if c.m.mti[0] != '0' || c.kind == kindResponse || !c.m.Has(11) {
		k.free(c)
		return err
	}
	k.refuse(c, tongma.ReasonOf(err), whereOf(err))
	return nil
}

// admit decides whether a message may be looked at: its type is served, its MAC
// is right, and it comes from who the link belongs to.
func (k *link) admit(c *call) (reason tongma.Reason, where string) {
	de32 := c.m.Get(32)
	switch {
	case c.kind == kindUnserved:
		return tongma.MTIUnknown, ""
	case c.key != nil && !c.m.SealedBy(c.frame.b, c.key):
		return tongma.MACWrong, ""
	case c.kind == kindNetwork && de32 == nil:
		return tongma.NoReason, ""
	case c.kind != kindNetwork && !k.signedOn:
		return tongma.NotSignedOn, ""
	case de32 == nil:
		return tongma.FieldMissing, "DE32"
	}
	party, ok := k.cfg.Directory.AcquirerByID(string(de32))
	if !ok || (k.party != "" && party != k.party) {
		return tongma.LinkUnknown, "DE32"
	}
	return tongma.NoReason, ""
}

// network serves sign-on, sign-off and echo (DE70 001, 002, 301). The first
// sign-on binds the link to the participant of its DE32, for good.
func (k *link) network(c *call) {
	switch code := string(c.m.Get(70)); {
	case code == "":
		k.refuse(c, tongma.FieldMissing, "DE70")
		return
	case code == signOn && !c.m.Has(32):
		k.refuse(c, tongma.FieldMissing, "DE32")
		return
	case code == signOn:
		k.bind(c)
	case code == signOff:
		k.signedOn = false
	case code != echoTest:
		k.refuse(c, tongma.OperationUnknown, "DE70")
		return
	}
	k.refuse(c, tongma.NoReason, "") // DE39 00
}

// Network management codes, DE70.
const (
	signOn   = "001"
	signOff  = "002"
	echoTest = "301"
)

func (k *link) bind(c *call) {
	k.signedOn = true
	if k.party != "" {
		return
	}
	k.party, _ = k.cfg.Directory.AcquirerByID(string(c.m.Get(32))) // admit has looked it up
	k.key, k.decimals, k.in.idle = c.key, k.cfg.Decimals(k.party), k.cfg.IdleTimeout
	k.log = k.log.With("participant", string(k.party))
	k.log.Info("signed on")
}

// business hands a request to a goroutine of its own, unless it is a copy of one
// in flight or there are too many.
func (k *link) business(c *call) {
	r, err := requestOf(c.m, c.kind, k.decimals)
	if err != nil {
		k.refuse(c, tongma.ReasonOf(err), whereOf(err))
		return
	}
	r.From, r.Acquirer, r.Budget = k.party, k.party, k.cfg.Budget
	c.request = r
	switch k.begin(c) {
	case copyOfOne:
		k.drop(c)
	case tooMany:
		k.refuse(c, tongma.Overloaded, "")
	case begun:
		go k.work(c)
	}
}

type beginning uint8

const (
	begun beginning = iota
	copyOfOne
	tooMany
)

// begin counts a request in, and notes its key. A request with the key of one in
// flight, but other content, is begun without being noted.
func (k *link) begin(c *call) beginning {
	digest := contentDigest(c.m, c.frame.b)
	k.mu.Lock()
	defer k.mu.Unlock()
	other, found := k.inFlight[c.request.Key]
	if found && other == digest {
		return copyOfOne
	}
	if k.busy >= k.cfg.MaxInFlight {
		return tooMany
	}
	if c.first = !found; c.first {
		k.inFlight[c.request.Key] = digest
	}
	k.busy++
	k.handlers.Add(1)
	return begun
}

// contentDigest covers all of a message but the digit that marks a repeat, and
// the MAC, which that digit changes.
func contentDigest(m *Message, msg []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(digestSeed)
	_, _ = h.Write(msg[:3])
	if m.Has(m.sealField()) {
		msg = msg[:len(msg)-macSize]
	}
	_, _ = h.Write(msg[4:])
	return h.Sum64()
}

// decided forgets the key of a request. From here a copy is a repeat, with a reply
// of its own; so this comes before the reply is queued, lest a repeat of who has
// read the reply be taken for a copy in flight.
func (k *link) decided(c *call) {
	if !c.first {
		return
	}
	k.mu.Lock()
	delete(k.inFlight, c.request.Key)
	k.mu.Unlock()
}

// end counts a request out.
func (k *link) end() {
	k.mu.Lock()
	k.busy--
	k.mu.Unlock()
	k.handlers.Done()
}

// work asks the switch, and queues the reply. It runs on when the link is lost:
// what the switch decides is then found by a repeat.
func (k *link) work(c *call) {
	defer k.end()
	ctx, cancel := context.WithTimeout(k.ctx, k.cfg.Budget)
	a, err := k.cfg.Switch.Do(ctx, c.request)
	cancel()
	k.decided(c)
	if err != nil {
		k.refuse(c, reasonFor(err), "")
		return
	}
	reply := messages.Get().(*Message)
	reply.answer(c.m, c.kind, &a, k.cfg.SettlementDate(a.Window))
	reply.bill(a.Exchange, k.decimals)
	k.reply(c, reply)
}

// refuse answers with a reason, or with 00 if there is none.
func (k *link) refuse(c *call, reason tongma.Reason, where string) {
	if reason != tongma.NoReason {
		k.log.Debug("refused", "mti", c.m.MTI(), "reason", reason.String(), "field", where)
	}
	reply := messages.Get().(*Message)
	reply.refuse(c.m, reason, where)
	k.reply(c, reply)
}

// reply packs and queues a reply, and lets go of the call.
func (k *link) reply(c *call, reply *Message) {
	f := newFrame()
	if err := f.pack(reply, c.key); err != nil { // an echoed field cannot do this, an answer's might
		k.log.Error("reply cannot be packed", "error", err)
		reply.refuse(c.m, tongma.Internal, "")
		_ = f.pack(reply, c.key) // only echoed fields and a reason
	}
	mti, code := c.m.MTI(), reply.Text(39)
	if k.out.send(f) {
		k.cfg.Metrics.Handled(mti, code, time.Since(c.received))
	}
	messages.Put(reply)
	k.free(c)
}

// drop lets go of a message that needs no answer of its own.
func (k *link) drop(c *call) {
	k.cfg.Metrics.Dropped(tongma.NoReason)
	k.free(c)
}

func (k *link) free(c *call) {
	messages.Put(c.m)
	c.frame.free()
}
