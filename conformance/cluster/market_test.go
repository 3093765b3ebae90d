package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
	"github.com/tongma/tongma/adapters/scripted"
	"github.com/tongma/tongma/conformance/crash"
	"github.com/tongma/tongma/schemes"
)

const (
	harbour   = tongma.ParticipantID("acq-harbour")
	perAsk    = 1500 * time.Millisecond
	mostUnder = 20_000 // payments under way at once
)

// market is an acquirer that asks for so many payments a second, whatever becomes
// of those before, and repeats each under its key until it knows; and the wallets.
type market struct {
	t       *testing.T
	clients []*native.Client // of the acquirer, one at each server
	wallets map[tongma.ParticipantID]*scripted.Wallet
	schemes map[string]string // wallet of each

	mu     sync.Mutex // guards rng and orders
	rng    *rand.Rand
	orders []*order

	asked, doubts, shed atomic.Int64
	yes                 firsts
}

// order is one payment and what its acquirer was told, final answers only.
type order struct {
	key   string
	minor int64
	code  string
	heard []answer
}

type answer struct {
	payment string
	status  tongma.Status
	raw     []byte
}

// firsts remembers when the approved answers came to questions that were put
// after a moment.
type firsts struct {
	mu      sync.Mutex // guards what follows
	since   time.Time
	found   time.Time
	waiting chan struct{}
}

// after forgets what was, and returns a channel that is closed when a question put
// from now on was answered with yes.
func (f *firsts) after(at time.Time) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since, f.found, f.waiting = at, time.Time{}, make(chan struct{})
	return f.waiting
}

func (f *firsts) heard(asked time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting != nil && f.found.IsZero() && asked.After(f.since) {
		f.found = time.Now()
		close(f.waiting)
	}
}

// took is how long that was after the moment.
func (f *firsts) took() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.found.Sub(f.since)
}

func newMarket(t *testing.T, urls, creds string, seed uint64) *market {
	t.Helper()
	m := &market{t: t, wallets: map[tongma.ParticipantID]*scripted.Wallet{}, schemes: map[string]string{}, rng: rand.New(rand.NewPCG(seed, 1))}
	for _, url := range strings.Split(urls, ",") {
		c, err := native.NewClient(connect(t, url, creds, harbour), harbour)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		m.clients = append(m.clients, c)
	}
	d, err := schemes.Parse(1, crash.Hasty(schemes.Sandbox()))
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range d.Schemes() {
		m.serve(urls, creds, scheme)
	}
	return m
}

// serve lets a participant's wallet answer for a scheme, at each server.
func (m *market) serve(urls, creds string, scheme *schemes.Scheme) {
	m.t.Helper()
	wallet := m.wallets[scheme.Participant]
	if wallet == nil {
		var err error
		if wallet, err = scripted.New(scripted.Config{Default: scripted.Approve, Late: 200 * time.Millisecond, Confirm: 500 * time.Millisecond}); err != nil {
			m.t.Fatal(err)
		}
		m.wallets[scheme.Participant] = wallet
		m.t.Cleanup(func() { _ = wallet.Close() })
	}
	m.schemes[string(scheme.ID)] = string(scheme.Participant)
	for _, url := range strings.Split(urls, ",") {
		nc := connect(m.t, url, creds, scheme.Participant)
		svc, err := native.Serve(m.t.Context(), nc, native.ServiceConfig{Scheme: scheme.ID, Version: "1.0.0", Workers: 256, Queue: 4096,
			Log: slog.New(slog.DiscardHandler), Copies: wallet.Copies}, wallet)
		if err != nil {
			m.t.Fatal(err)
		}
		m.t.Cleanup(func() { nc.Close(); _ = svc.Stop() })
	}
}

// connect connects as a participant to one of the servers and no other: whoever
// wants to outlive it has a connection to each.
func connect(t *testing.T, url, creds string, p tongma.ParticipantID) *nats.Conn {
	t.Helper()
	seed, err := nats.NkeyOptionFromSeed(filepath.Join(creds, string(p)+".nk"))
	if err != nil {
		t.Fatal(err)
	}
	opts := append(native.ConnectOptions("cluster-"+string(p), tongma.InboxPrefix(p)), seed, nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.Timeout(time.Second), nats.IgnoreDiscoveredServers(), nats.PingInterval(time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

var (
	styles   = []scripted.Style{scripted.WeChat, scripted.Alipay, scripted.UnionPay, scripted.Unified}
	outcomes = []scripted.Outcome{scripted.LateApprove, scripted.PendingApprove, scripted.PendingDecline, scripted.AnswerTwice, scripted.Vanish,
		scripted.Decline51, scripted.Decline05, scripted.AnswerTwice, scripted.Busy}
)

// next makes up a payment: nine of ten are as they should be.
func (m *market) next() *order {
	m.mu.Lock()
	defer m.mu.Unlock()
	serial := uint64(len(m.orders)) + 1
	outcome := scripted.Approve
	if m.rng.IntN(100) < 10 {
		outcome = outcomes[m.rng.IntN(len(outcomes))]
	}
	style, issuer := styles[m.rng.IntN(len(styles))], ""
	if style == scripted.Unified {
		issuer = "1001"
	}
	code, err := scripted.Code(style, issuer, outcome, serial)
	if err != nil {
		panic(err) // all arguments are ours
	}
	o := &order{key: fmt.Sprintf("k-%d", serial), minor: 1 + m.rng.Int64N(2000), code: code}
	m.orders = append(m.orders, o)
	return o
}

// open asks for rate payments a second until shut is called, which waits until the
// acquirer knows what became of all of them.
func (m *market) open(rate int) (shut func(within time.Duration)) {
	ctx, cancel := context.WithCancel(m.t.Context())
	var closing atomic.Bool
	var wg sync.WaitGroup
	var under atomic.Int64
	wg.Go(func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		begun, made := time.Now(), 0
		for range ticker.C {
			if closing.Load() || ctx.Err() != nil {
				return
			}
			for due := int(time.Since(begun).Seconds() * float64(rate)); made < due; made++ {
				if under.Load() >= mostUnder {
					m.shed.Add(1)
					continue
				}
				under.Add(1)
				o := m.next()
				wg.Go(func() { defer under.Add(-1); m.settle(ctx, o) })
			}
		}
	})
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
			m.t.Errorf("after %v the acquirer does not know what became of %d payments", within, m.unknown())
		}
	}
}

func (m *market) unknown() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.orders {
		if len(o.heard) == 0 {
			n++
		}
	}
	return n
}

// settle asks under one key until there is a final answer, at another server each
// time.
func (m *market) settle(ctx context.Context, o *order) {
	for pause, at := 50*time.Millisecond, int(o.minor); ctx.Err() == nil; pause, at = min(2*pause, time.Second), at+1 {
		if m.once(ctx, m.clients[at%len(m.clients)], o) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// once asks one time, and remembers a final answer.
func (m *market) once(ctx context.Context, client *native.Client, o *order) bool {
	ctx, cancel := context.WithTimeout(ctx, perAsk+500*time.Millisecond)
	defer cancel()
	m.asked.Add(1)
	asked := time.Now()
	a, err := client.Pay(ctx, tongma.Request{Key: o.key, Code: o.code, Amount: tongma.Money{Minor: o.minor, Currency: tongma.CNY}, Budget: perAsk,
		Merchant: tongma.Merchant{ID: "898100012340001", Name: "NOODLE HOUSE", Country: "CN", MCC: "5812"}})
	if err != nil || a.Status == tongma.Pending {
		m.doubts.Add(1)
		m.mustPass(o, err)
		return false
	}
	if a.Status == tongma.Paid {
		m.yes.heard(asked)
	}
	o.heard = append(o.heard, answer{a.Payment.String(), a.Status, a.AppendJSON(nil)})
	return true
}

// mustPass fails the test if an error is none that a repeat can mend.
func (m *market) mustPass(o *order, err error) {
	var e *tongma.Error
	if err == nil || !errors.As(err, &e) {
		return // pending, or of the network
	}
	switch e.Reason {
	case tongma.ShuttingDown, tongma.SchemeSilent, tongma.AdapterDown, tongma.AdapterBusy, tongma.JournalStopped, tongma.JournalInDoubt,
		tongma.Overloaded, tongma.DeadlineTooShort, tongma.SteppedDown:
		return
	}
	m.t.Errorf("%s: %v", o.key, err)
}

// repeatSome asks again for one of so many payments, under its key.
func (m *market) repeatSome(within time.Duration, each int) (repeated int) {
	ctx, cancel := context.WithTimeout(m.t.Context(), within)
	defer cancel()
	queue := make(chan *order)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for o := range queue {
				m.settle(ctx, o)
			}
		})
	}
	for i := 0; i < len(m.orders); i += each {
		queue <- m.orders[i]
		repeated++
	}
	close(queue)
	wg.Wait()
	if ctx.Err() != nil {
		m.t.Errorf("not everything was answered again within %v", within)
	}
	return repeated
}

// verdict is what the acquirer's memory and the journal say of each other.
type verdict struct{ payments, approved, lost, doubled, changed int }

func (m *market) judge(b *crash.Books) (v verdict) {
	m.t.Helper()
	for _, o := range m.orders {
		v.payments++
		p := b.Keys[[2]string{string(harbour), o.key}]
		if p != nil && p.Posts > 1 {
			m.t.Errorf("%s is posted %d times", o.key, p.Posts)
			v.doubled++
		}
		for i, a := range o.heard {
			switch {
			case p == nil || p.First.Payment != a.payment:
				m.t.Errorf("%s was answered as payment %s, which the journal does not have under that key", o.key, a.payment)
				v.lost++
			case a.status == tongma.Paid && (p.Phase != "post" || p.First.Minor != o.minor):
				m.t.Errorf("%s was told approved, and the journal says %s of %d (%s)", o.key, p.Phase, p.First.Minor, p.Reason)
				v.lost++
			case a.status != tongma.Paid && p.Phase == "post":
				m.t.Errorf("%s was told %s, and is posted", o.key, a.status)
				v.doubled++
			}
			if i == 0 && a.status == tongma.Paid {
				v.approved++
			}
			if i > 0 && !bytes.Equal(o.heard[0].raw, a.raw) {
				m.t.Errorf("%s was answered in two ways:\n%q\n%q", o.key, o.heard[0].raw, a.raw)
				v.changed++
			}
		}
	}
	return v
}

// compare holds the wallets' own books against the journal.
func (m *market) compare(b *crash.Books) int {
	m.t.Helper()
	said := crash.Movements{}
	for who, wallet := range m.wallets {
		for _, line := range wallet.Ledger().Lines {
			said.Add(string(who), line.Payment.String(), line.Amount.Minor, line.Moved)
		}
	}
	return b.CompareMovements(m.t, said, func(scheme string) string { return m.schemes[scheme] })
}

// events reads the acquirer's stream of events, until there are as many as the
// books call for and none comes behind them, or no more come.
func (m *market) events(b *crash.Books) crash.Events {
	m.t.Helper()
	want := 0
	for _, p := range b.Payments {
		if p.Told != 0 && p.First.Asker == string(harbour) {
			want++
		}
	}
	seen := map[uint64]int{}
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	idle := time.AfterFunc(15*time.Second, cancel)
	_ = m.clients[0].Events(ctx, 0, func(e native.Event) error { // it ends with the context
		var entry uint64
		if _, err := fmt.Sscan(e.ID, &entry); err != nil {
			m.t.Errorf("event %q is not named by an entry", e.ID)
		}
		if seen[entry]++; len(seen) >= want {
			idle.Reset(time.Second)
		} else {
			idle.Reset(15 * time.Second)
		}
		return nil
	})
	return crash.Events{string(harbour): seen}
}
