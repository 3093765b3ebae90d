package crash_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/iso8583"
	"github.com/tongma/tongma/adapters/native"
	"github.com/tongma/tongma/adapters/scripted"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/emv"
)

const (
	north   = tongma.ParticipantID("acq-north")
	harbour = tongma.ParticipantID("acq-harbour")
	de32    = "00010344" // acq-north
	perAsk  = 3 * time.Second
)

// market is the tills and payers: they pay over all doors, repeat what they are
// in doubt of under the same key until they know, and remember every answer.
type market struct {
	t       *testing.T
	site    *site
	token   string
	clients map[tongma.ParticipantID]*native.Client
	till    till
	pause   time.Duration // between two payments of one caller, at most

	mu     sync.Mutex // guards rng, serial and orders
	rng    *rand.Rand
	serial uint64
	orders []*order

	asked, doubts atomic.Int64 // questions; those that were left without a final answer
}

// order is one payment, and what its asker knows of it. One caller at a time has it.
type order struct {
	door    string // "iso8583", "http", "nats" or "transfer"
	asker   tongma.ParticipantID
	key     string // as the books have it
	trace   iso8583.Trace
	request tongma.Request
	reverse bool // reversed when it has been answered
	abandon bool // reversed when the first answer is not final
	refund  bool // half of it is given back if it was approved
	again   bool // repeated when it has been answered

	heard    []answer // final ones of the payment, in order
	undoing  bool     // a reversal was asked for: heard before and after it differ
	undone   bool     // and was acknowledged
	refunded *order   // how the refund went
}

// answer is one final answer.
type answer struct {
	payment tongma.PaymentID
	status  tongma.Status
	raw     []byte // what came over the wire
	undoing bool   // heard after a reversal was asked for
}

func newMarket(t *testing.T, s *site, seed uint64) *market {
	m := &market{t: t, site: s, token: s.token(t, string(north)), clients: map[tongma.ParticipantID]*native.Client{},
		rng: rand.New(rand.NewPCG(seed, 1)), pause: 60 * time.Millisecond}
	m.till.addr = s.iso
	for _, p := range []tongma.ParticipantID{harbour, "wechatpay", "antnet"} {
		c, err := native.NewClient(connect(t, s, p), p)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		m.clients[p] = c
	}
	t.Cleanup(m.till.close)
	return m
}

// outcomes are what payers do, most of the time what they should.
var outcomes = []scripted.Outcome{
	scripted.Vanish, scripted.Timeout, scripted.LateApprove, scripted.PendingApprove, scripted.PendingDecline, scripted.AnswerTwice,
	scripted.LateReverse, scripted.Busy, scripted.Decline51, scripted.Decline05, scripted.Vanish, scripted.AnswerTwice,
}

var styles = []scripted.Style{scripted.WeChat, scripted.Alipay, scripted.UnionPay, scripted.Unified, scripted.CPM}

// next makes up a payment over a door.
func (m *market) next(door string) *order {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serial++
	o := &order{door: door, asker: north, key: fmt.Sprintf("k-%d", m.serial)}
	amount := tongma.Money{Minor: 1 + m.rng.Int64N(2000), Currency: tongma.CNY}
	outcome := scripted.Approve
	if m.rng.IntN(100) < 35 {
		outcome = outcomes[m.rng.IntN(len(outcomes))]
	}
	merchant := tongma.Merchant{ID: "898100012340001", Name: "NOODLE HOUSE", City: "SHANGHAI", Country: "CN", MCC: "5812", Terminal: "T0000001"}
	style, issuer := styles[m.rng.IntN(len(styles))], ""
	if style == scripted.Unified {
		issuer = "1001"
	}
	code, err := scripted.Code(style, issuer, outcome, m.serial)
	switch door {
	case "iso8583":
		o.trace = iso8583.Trace{STAN: fmt.Sprintf("%06d", m.serial%1_000_000), Sent: time.Now().UTC().Format("0102150405")}
		o.key = iso8583.Key(de32, "", o.trace.STAN, o.trace.Sent)
	case "nats":
		o.asker = harbour
	case "transfer":
		o.asker = []tongma.ParticipantID{"wechatpay", "antnet"}[m.rng.IntN(2)]
		acquirer := []string{"2001", "2002"}[m.rng.IntN(2)]
		code, err = shopCode(acquirer, fmt.Sprintf("SANDBOX%s%03d", shopOutcome(outcome), m.serial%1000))
		merchant = tongma.Merchant{}
	}
	if err != nil {
		panic(err) // all arguments are ours
	}
	o.request = tongma.Request{Key: o.key, Code: code, Amount: amount, Merchant: merchant, Order: fmt.Sprintf("order-%d", m.serial), Budget: perAsk}
	dice := m.rng.IntN(100)
	o.reverse, o.refund, o.abandon, o.again = dice < 6, dice >= 6 && dice < 14, dice >= 14 && dice < 24, dice >= 50 && dice < 70
	m.orders = append(m.orders, o)
	return o
}

// shopOutcome is an outcome as a merchant's number carries it.
func shopOutcome(o scripted.Outcome) string {
	var out []byte
	for _, c := range []byte(o.String()) {
		switch {
		case c >= 'a' && c <= 'z':
			out = append(out, c-'a'+'A')
		case c >= '0' && c <= '9':
			out = append(out, c)
		}
	}
	return string(out)
}

// shopCode is the code at a merchant's counter.
func shopCode(acquirer, merchant string) (string, error) {
	account, err := codespec.UnifiedAccount{Acquirer: acquirer, Merchant: merchant, Till: "01"}.Account()
	if err != nil {
		return "", err
	}
	shop, err := emv.Draft{Accounts: []emv.Account{account}, MCC: "5812", Currency: tongma.CNY.Number(), Country: "CN", Name: "NOODLE HOUSE", City: "SHANGHAI"}.Build()
	if err != nil {
		return "", err
	}
	return shop.Encode()
}

func (m *market) chance(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rng.IntN(n)
}

var doors = []string{"iso8583", "iso8583", "http", "http", "nats", "nats", "transfer", "transfer"}

// open lets callers pay until the returned function is called, which waits until
// all of them know what became of what they asked for.
func (m *market) open(callers int) (shut func(within time.Duration)) {
	ctx, cancel := context.WithCancel(m.t.Context())
	var closing atomic.Bool
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for !closing.Load() && ctx.Err() == nil {
				m.carry(ctx, m.next(doors[i%len(doors)]))
				if m.pause > 0 {
					rest(ctx, time.Duration(m.chance(int(m.pause))))
				}
			}
		})
	}
	m.t.Cleanup(func() { cancel(); wg.Wait() })
	return func(within time.Duration) {
		m.t.Helper()
		closing.Store(true)
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(within):
			cancel()
			<-done
			m.t.Errorf("callers still do not know what became of their payments after %v", within)
		}
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// carry takes one payment to its end, over as many crashes as it takes.
func (m *market) carry(ctx context.Context, o *order) {
	if !m.settle(ctx, o) {
		return
	}
	if o.undoing {
		return
	}
	if o.again {
		m.once(ctx, o, true)
	}
	switch last := o.heard[len(o.heard)-1]; {
	case o.reverse:
		m.undo(ctx, o)
	case o.refund && last.status == tongma.Paid:
		m.giveBack(ctx, o, last.payment)
	}
}

// settle asks under the same key until there is a final answer. It returns false
// if the market closes before that.
func (m *market) settle(ctx context.Context, o *order) bool {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		if m.once(ctx, o, attempt > 0) {
			return true
		}
		if o.abandon && !o.undoing {
			m.undo(ctx, o)
		}
		rest(ctx, 100*time.Millisecond)
	}
	return false
}

// once asks one time, and remembers a final answer.
func (m *market) once(ctx context.Context, o *order, repeat bool) bool {
	ctx, cancel := context.WithTimeout(ctx, perAsk+time.Second)
	defer cancel()
	m.asked.Add(1)
	a, err := m.ask(ctx, o, repeat)
	if err != nil || a.payment.IsZero() {
		m.doubts.Add(1)
		m.mustBePassing(o, err)
		return false
	}
	a.undoing = o.undoing
	o.heard = append(o.heard, a)
	return true
}

// errPending is an answer that is not final.
var errPending = errors.New("pending")

// mustBePassing fails the test if an error is none that a repeat can mend.
func (m *market) mustBePassing(o *order, err error) {
	var e *tongma.Error
	if !errors.As(err, &e) {
		return // of the network, or pending
	}
	switch e.Reason {
	case tongma.ShuttingDown, tongma.SchemeSilent, tongma.AdapterDown, tongma.AdapterBusy, tongma.JournalStopped, tongma.JournalInDoubt,
		tongma.Overloaded, tongma.DeadlineTooShort, tongma.SteppedDown:
		return
	}
	m.t.Errorf("%s %s over %s: %v", o.request.Op, o.key, o.door, err)
}

// ask asks for o over its door, and returns the answer if it is final.
func (m *market) ask(ctx context.Context, o *order, repeat bool) (answer, error) {
	r := o.request
	switch {
	case o.door == "iso8583" && r.Original.IsZero():
		return m.till.do(ctx, func(c *iso8583.Client) (iso8583.Reply, error) {
			return c.Purchase(ctx, iso8583.Purchase{Trace: o.trace, Repeat: repeat, Code: r.Code, Amount: r.Amount, Merchant: r.Merchant, Order: r.Order})
		})
	case o.door == "iso8583":
		return m.till.do(ctx, func(c *iso8583.Client) (iso8583.Reply, error) {
			return c.Refund(ctx, iso8583.Refund{Trace: o.trace, Repeat: repeat, Payment: r.Original, Amount: r.Amount, Merchant: r.Merchant})
		})
	case o.door == "http":
		path := "/v1/payments"
		if !r.Original.IsZero() {
			path += "/" + r.Original.String() + "/refunds"
		}
		r.Key = ""
		return m.post(ctx, path, o.key, &r)
	case !r.Original.IsZero():
		return final(m.clients[o.asker].Refund(ctx, r))
	case o.door == "transfer":
		return final(m.clients[o.asker].Transfer(ctx, r))
	}
	return final(m.clients[o.asker].Pay(ctx, r))
}

func final(a tongma.Answer, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	if a.Status == tongma.Pending {
		return answer{}, errPending
	}
	return answer{payment: a.Payment, status: a.Status, raw: a.AppendJSON(nil)}, nil
}

func (m *market) post(ctx context.Context, path, key string, r *tongma.Request) (answer, error) {
	body, err := m.site.ask(ctx, "POST", path, m.token, key, r.AppendJSON(nil))
	var status *statusError
	if errors.As(err, &status) {
		p, err := tongma.ParseProblem(status.body)
		if err != nil {
			return answer{}, status
		}
		return answer{}, p.Err("http")
	}
	if err != nil {
		return answer{}, err
	}
	a, err := tongma.ParseAnswer(body)
	got, err := final(a, err)
	got.raw = body
	return got, err
}

// undo reverses a payment until that is acknowledged and over.
func (m *market) undo(ctx context.Context, o *order) {
	o.undoing = true
	trace := iso8583.Trace{STAN: fmt.Sprintf("%06d", 1_000_000-1-m.chance(1000)), Sent: o.trace.Sent}
	for attempt := 0; ctx.Err() == nil; attempt++ {
		step, cancel := context.WithTimeout(ctx, perAsk+time.Second)
		a, err := m.askUndo(step, o, trace, attempt > 0)
		cancel()
		if err == nil && a.status != tongma.Paid {
			o.undone = true
			return
		}
		m.mustBePassing(o, err)
		rest(ctx, 100*time.Millisecond)
	}
}

func (m *market) askUndo(ctx context.Context, o *order, trace iso8583.Trace, repeat bool) (answer, error) {
	r := tongma.Request{OfKey: o.key, Budget: perAsk}
	switch o.door {
	case "iso8583":
		a, err := m.till.do(ctx, func(c *iso8583.Client) (iso8583.Reply, error) {
			return c.Reverse(ctx, iso8583.Reversal{Trace: trace, Repeat: repeat, Original: o.trace, Amount: o.request.Amount})
		})
		if err == nil && a.status == tongma.Paid { // DE39 00 of a reversal: nothing is left of it
			a.status = tongma.ReversedBack
		} else if err == nil {
			err = errPending
		}
		return a, err
	case "http":
		return m.post(ctx, "/v1/reversals", "", &r)
	}
	r.Key = o.key + "-u"
	return final(m.clients[o.asker].Reverse(ctx, r))
}

// giveBack refunds half of a payment, as a payment of its own.
func (m *market) giveBack(ctx context.Context, o *order, of tongma.PaymentID) {
	r := &order{door: o.door, asker: o.asker, key: o.key + "-r"}
	if o.door == "transfer" {
		return // its creditor would have to ask
	}
	if o.door == "iso8583" {
		m.mu.Lock()
		m.serial++
		r.trace = iso8583.Trace{STAN: fmt.Sprintf("%06d", m.serial%1_000_000), Sent: time.Now().UTC().Format("0102150405")}
		m.mu.Unlock()
		r.key = iso8583.Key(de32, "", r.trace.STAN, r.trace.Sent)
	}
	r.request = tongma.Request{Key: r.key, Original: of, Budget: perAsk, Merchant: o.request.Merchant,
		Amount: tongma.Money{Minor: (o.request.Amount.Minor + 1) / 2, Currency: o.request.Amount.Currency}}
	if o.door == "http" {
		r.request.Merchant = tongma.Merchant{}
	}
	o.refunded = r
	m.settle(ctx, r)
}

// all returns every payment and refund that was asked for.
func (m *market) all() (all []*order) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.orders {
		all = append(all, o)
		if o.refunded != nil {
			all = append(all, o.refunded)
		}
	}
	return all
}

// repeatAll asks for everything once more, under the same keys.
func (m *market) repeatAll(within time.Duration) {
	ctx, cancel := context.WithTimeout(m.t.Context(), within)
	defer cancel()
	queue := make(chan *order)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for o := range queue {
				m.settle(ctx, o)
			}
		})
	}
	for _, o := range m.all() {
		queue <- o
	}
	close(queue)
	wg.Wait()
	if ctx.Err() != nil {
		m.t.Errorf("not everything was answered again within %v", within)
	}
}

// till is the acquirer's ISO 8583 link, dialled again when it is lost.
type till struct {
	addr string
	mu   sync.Mutex // guards link; held while dialling
	link *iso8583.Client
}

func (t *till) get(ctx context.Context) (*iso8583.Client, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.link != nil && t.link.Err() == nil {
		return t.link, nil
	}
	if t.link != nil {
		_ = t.link.Close()
		t.link = nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	// Traces of network messages must not meet those of payments.
	c, err := iso8583.Dial(ctx, t.addr, iso8583.ClientConfig{DE32: de32, LastTrace: 990_000})
	if err != nil {
		return nil, err
	}
	if err := c.SignOn(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	t.link = c
	return c, nil
}

func (t *till) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.link != nil {
		_ = t.link.Close()
	}
}

// do sends one message and reads a final answer out of the reply.
func (t *till) do(ctx context.Context, send func(*iso8583.Client) (iso8583.Reply, error)) (answer, error) {
	c, err := t.get(ctx)
	if err != nil {
		return answer{}, err
	}
	reply, err := send(c)
	switch {
	case err != nil:
		return answer{}, err
	case reply.Undecided():
		return answer{}, errPending
	case reply.Payment.IsZero() && !reply.Approved():
		return answer{}, &tongma.Error{Op: "iso8583", Reason: reply.Reason, Detail: "DE39 " + reply.Code}
	}
	a := answer{payment: reply.Payment, status: tongma.Refused, raw: bytes.Clone(reply.Raw)}
	if reply.Approved() {
		a.status = tongma.Paid
	}
	return a, nil
}
