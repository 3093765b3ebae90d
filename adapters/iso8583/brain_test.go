package iso8583

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tongma/tongma"
)

// brain is a switch small enough to be seen through: it keeps every answer by
// key, and plays what the code tells it to.
type brain struct {
	mu      sync.Mutex
	asked   []tongma.Request
	entries map[string]*entry // by key
	dead    map[string]bool   // keys that were reversed before they came
	slow    bool              // a reversal found is on its way, not done
	fail    error             // instead of any answer
	held    map[string]chan struct{}
}

type entry struct {
	request tongma.Request
	answer  tongma.Answer
}

func newBrain() *brain {
	return &brain{entries: map[string]*entry{}, dead: map[string]bool{}, held: map[string]chan struct{}{}}
}

// hold makes the payment of a code wait until the returned function is called.
func (b *brain) hold(code string) (release func()) {
	gate := make(chan struct{})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held[code] = gate
	return func() { close(gate) }
}

func (b *brain) Do(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	b.mu.Lock()
	b.asked = append(b.asked, r)
	gate, err := b.held[r.Code], b.fail
	b.mu.Unlock()
	if err != nil {
		return tongma.Answer{}, err
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return tongma.Answer{}, ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.entries[r.Key]; e != nil {
		if e.request.Amount != r.Amount {
			return tongma.Answer{Status: tongma.Refused, Outcome: tongma.Declined, Reason: tongma.ExistsOtherAmount}, nil
		}
		return e.answer, nil
	}
	e := &entry{request: r, answer: b.decide(r)}
	b.entries[r.Key] = e
	return e.answer, nil
}

func (b *brain) decide(r tongma.Request) tongma.Answer {
	a := tongma.Answer{Amount: r.Amount, At: 1795363750000, Scheme: "wallet", SchemeRef: "W" + r.Key[len(r.Key)-10:], Window: 7}
	binary.BigEndian.PutUint64(a.Payment[:], uint64(len(b.entries)+1))
	original := b.entries[r.OfKey]
	switch {
	case r.Op == tongma.OpReverse && original == nil:
		b.dead[r.OfKey] = true
		a.Status, a.Outcome, a.Reason = tongma.Refused, tongma.Declined, tongma.ReversedBeforeOriginal
	case r.Op == tongma.OpReverse && b.slow:
		a.Reason = tongma.ReversalPending
	case r.Op == tongma.OpReverse:
		a.Status, a.Outcome, a.Reason = tongma.ReversedBack, tongma.Declined, tongma.ReversedByAcquirer
		original.answer.Status, original.answer.Reason = a.Status, a.Reason
	case original == nil && (r.Op == tongma.OpInquire || r.Op == tongma.OpRefund):
		a.Status, a.Outcome, a.Reason = tongma.Refused, tongma.Declined, tongma.PaymentUnknown
	case r.Op == tongma.OpInquire:
		return original.answer
	case b.dead[r.Key]:
		a.Status, a.Outcome, a.Reason = tongma.Refused, tongma.Declined, tongma.ReversedBeforeOriginal
	case r.Code == "poor":
		a.Status, a.Outcome, a.Reason = tongma.Refused, tongma.Declined, tongma.InsufficientFunds
	case r.Code == "confirming":
		a.Reason = tongma.PayerConfirming
	default:
		a.Status, a.Outcome, a.Approval = tongma.Paid, tongma.Approved, "A1B2C3"
	}
	return a
}

func (b *brain) requests() []tongma.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]tongma.Request(nil), b.asked...)
}

// await waits until the switch has been asked so many times.
func (b *brain) await(t testing.TB, count int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); len(b.requests()) < count; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the switch was asked %d times, not %d", len(b.requests()), count)
		}
	}
}

// acquirers is a directory of two participants.
type acquirers struct{}

func (acquirers) AcquirerByID(de32 string) (tongma.ParticipantID, bool) {
	p, ok := map[string]tongma.ParticipantID{"00010344": "acquirer-a", "00010345": "acquirer-a", "00020000": "acquirer-b"}[de32]
	return p, ok
}

// stand is a server on loopback with a brain behind it.
type stand struct {
	*brain
	server *Server
	addr   string
}

func newStand(t testing.TB, change func(*Config)) *stand {
	t.Helper()
	s := &stand{brain: newBrain()}
	cfg := Config{Switch: s.brain, Directory: acquirers{}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Budget: 5 * time.Second, SettlementDate: func(tongma.WindowID) string { return "1122" }}
	if change != nil {
		change(&cfg)
	}
	s.server = NewServer(cfg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(t.Context(), l) }()
	t.Cleanup(func() { // t.Context has ended by now
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func testConfig() ClientConfig {
	return ClientConfig{DE32: "00010344", DE33: "00010000",
		Now: func() time.Time { return time.Date(2026, 11, 22, 8, 9, 10, 0, time.UTC) }}
}

// client returns a client that has signed on.
func (s *stand) client(t testing.TB, change func(*ClientConfig)) *Client {
	t.Helper()
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	c, err := Dial(t.Context(), s.addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SignOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// raw returns a bare connection to the server, for what no client would send.
func (s *stand) raw(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func cny(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.CNY} }

// purchase is a purchase of 123.45 CNY with a code.
func purchase(code string) Purchase {
	return Purchase{Code: code, Amount: cny(12345), Order: "OR20261122000123",
		Merchant: tongma.Merchant{ID: "898100012340001", Name: "SHANGHAI NOODLE HOUSE", City: "SHANGHAI", Country: "CN", MCC: "5411", Terminal: "T0000001"}}
}

func mustReply(t testing.TB, code string) func(Reply, error) Reply {
	return func(r Reply, err error) Reply {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if r.Code != code {
			t.Fatalf("DE39 %s (%v), want %s", r.Code, r.Reason, code)
		}
		return r
	}
}

// closedWithin fails the test unless the server closes the connection in time.
func closedWithin(t testing.TB, conn net.Conn, d time.Duration) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(d))
	buf := make([]byte, 4096)
	for {
		if _, err := conn.Read(buf); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatalf("the link is still open after %v", d)
			}
			return
		}
	}
}
