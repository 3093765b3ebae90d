package native

import (
	"context"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
)

// Client asks the switch, in the name of one participant: an acquirer or a
// wallet. All methods may be called at once from many goroutines.
//
// A nil error means that the switch has answered, and the answer says what
// became of the payment; Pending says that it is not decided yet. An error is a
// *tongma.Error, whose reason says what happened to the money:
//
//	ShuttingDown  no switch is listening: not executed
//	SchemeSilent  the switch has not answered in time: unknown; ask again with the same key
//
// and any other reason that the switch gives, as a Problem.
type Client struct {
	participant tongma.ParticipantID
	nc          *nats.Conn
	mux         *mux
	owns        bool // the connection is the client's own
	subjects    [opCount]string
}

// clientOps are the operations that a participant asks of the switch.
var clientOps = [...]tongma.Operation{
	tongma.OpPay, tongma.OpTransfer, tongma.OpResolve, tongma.OpInquire, tongma.OpReverse, tongma.OpRefund,
}

// Dial connects to the switch's NATS server as a participant, with the NKey seed
// in seedFile; an empty seedFile connects without, as a sandbox may allow. The
// file must not be readable by others. What opts say comes last.
func Dial(url string, participant tongma.ParticipantID, seedFile string, opts ...nats.Option) (*Client, error) {
	all := ConnectOptions("tongma-client-"+string(participant), tongma.InboxPrefix(participant))
	if seedFile != "" {
		seed, err := seedOption(seedFile)
		if err != nil {
			return nil, err
		}
		all = append(all, seed)
	}
	nc, err := nats.Connect(url, append(all, opts...)...)
	if err != nil {
		return nil, &tongma.Error{Op: "native.Dial", Reason: tongma.ShuttingDown, Detail: "cannot connect", Err: err}
	}
	c, err := NewClient(nc, participant)
	if err != nil {
		nc.Close()
		return nil, err
	}
	c.owns = true
	return c, nil
}

// ConnectOptions returns how every connection that asks for money should be
// made: nothing is kept while disconnected, to be sent when its time is long
// over; a lost server is noticed soon, and looked for without end.
func ConnectOptions(name, inboxPrefix string) []nats.Option {
	opts := []nats.Option{
		nats.Name(name), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2),
	}
	if inboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(inboxPrefix))
	}
	return opts
}

func seedOption(file string) (nats.Option, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, &tongma.Error{Op: "native.Dial", Reason: tongma.NotAuthenticated, Field: "seedFile", Err: err}
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, &tongma.Error{Op: "native.Dial", Reason: tongma.NotAuthenticated, Field: "seedFile", Detail: "others may read the file: chmod 600 it"}
	}
	opt, err := nats.NkeyOptionFromSeed(file)
	if err != nil {
		return nil, &tongma.Error{Op: "native.Dial", Reason: tongma.NotAuthenticated, Field: "seedFile", Detail: "not a user's NKey seed"}
	}
	return opt, nil
}

// NewClient returns a client on a connection that stays the caller's. On a server
// with permissions, its inbox prefix must be tongma.InboxPrefix(participant).
func NewClient(nc *nats.Conn, participant tongma.ParticipantID) (*Client, error) {
	if !participant.Valid() {
		return nil, &tongma.Error{Op: "native.NewClient", Reason: tongma.FieldInvalid, Field: "participant"}
	}
	m, err := newMux(nc, nil)
	if err != nil {
		return nil, &tongma.Error{Op: "native.NewClient", Reason: tongma.ShuttingDown, Detail: "cannot listen for answers", Err: err}
	}
	c := &Client{participant: participant, nc: nc, mux: m}
	for _, op := range clientOps {
		c.subjects[op] = tongma.Subject(participant, op)
	}
	return c, nil
}

// Close stops listening, and closes the connection if Dial made it.
func (c *Client) Close() {
	c.mux.close()
	if c.owns {
		c.nc.Close()
	}
}

// Pay asks for r.Amount from the payer whose code r.Code is.
func (c *Client) Pay(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return c.answer(ctx, tongma.OpPay, &r)
}

// Transfer pays r.Amount to the merchant whose code r.Code is, out of a wallet
// whose payer has confirmed.
func (c *Client) Transfer(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return c.answer(ctx, tongma.OpTransfer, &r)
}

// Inquire asks what became of r.Original, or of the payment with the key r.OfKey.
func (c *Client) Inquire(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return c.answer(ctx, tongma.OpInquire, &r)
}

// Reverse undoes r.Original, or the payment with the key r.OfKey, whatever became
// of it.
func (c *Client) Reverse(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return c.answer(ctx, tongma.OpReverse, &r)
}

// Refund gives back r.Amount of r.Original, or of the payment with the key
// r.OfKey.
func (c *Client) Refund(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return c.answer(ctx, tongma.OpRefund, &r)
}

// Resolve asks whose merchant's code r.Code is. No money moves.
func (c *Client) Resolve(ctx context.Context, r tongma.Request) (Resolution, error) {
	m, err := c.ask(ctx, tongma.OpResolve, &r)
	if err != nil {
		return Resolution{}, err
	}
	return ParseResolution(m.Data)
}

func (c *Client) answer(ctx context.Context, op tongma.Operation, r *tongma.Request) (tongma.Answer, error) {
	m, err := c.ask(ctx, op, r)
	if err != nil {
		return tongma.Answer{Reason: tongma.ReasonOf(err)}, err
	}
	a, err := tongma.ParseAnswer(m.Data)
	if err != nil {
		return tongma.Answer{Reason: tongma.SchemeAnswerMalformed}, malformed(op, "", "the switch's answer cannot be read", err)
	}
	a.Replayed = carrier(m.Header).Get(tongma.HeaderReplay) == "true"
	return a, nil
}

// ask sends a request and returns the reply if it is no problem document.
func (c *Client) ask(ctx context.Context, op tongma.Operation, r *tongma.Request) (*nats.Msg, error) {
	if needsKey(op) && r.Key == "" {
		return nil, &tongma.Error{Op: "native." + op.String(), Reason: tongma.KeyMissing, Field: "/key"}
	}
	ctx, cancel, ok := withBudget(ctx, r, DefaultTimeout)
	if !ok {
		return nil, &tongma.Error{Op: "native." + op.String(), Reason: tongma.DeadlineTooShort}
	}
	defer cancel()
	q := questions.Get().(*question)
	q.pack(ctx, c.subjects[op], r.Key, r)
	m, _, err := c.mux.ask(ctx, &q.msg)
	q.release()
	if err != nil {
		return nil, switchError(op, err)
	}
	if isProblem(m) {
		return nil, readProblem(op, m.Data)
	}
	return m, nil
}

func needsKey(op tongma.Operation) bool { return op != tongma.OpInquire && op != tongma.OpResolve }

// switchError says what a missing answer of the switch means.
func switchError(op tongma.Operation, err error) error {
	e := &tongma.Error{Op: "native." + op.String(), Reason: tongma.SchemeSilent, Detail: "the switch has not answered", Err: err}
	if reasonOfAsk(err) == tongma.AdapterDown {
		e.Reason, e.Detail = tongma.ShuttingDown, "no switch is listening"
	}
	return e
}
