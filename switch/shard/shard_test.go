package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
	switching "github.com/tongma/tongma/switch"
)

const source = `
name: shards
rules: default
participants:
  - {id: acq, name: A, country: CN, roles: [acquirer], acquirer_ids: ["00010344"], caps: {CNY: "1000.00"}, accepts: all}
  - {id: weibank, name: W, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}, accepts: all}
  - {id: alibank, name: O, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}, accepts: all}
  - {id: unibank, name: U, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}, accepts: all}
schemes:
  - {id: wechat, name: W, participant: weibank, countries: [CN], currencies: [CNY]}
  - {id: alipay, name: A, participant: alibank, countries: [CN], currencies: [CNY]}
  - {id: unionpay, name: U, participant: unibank, countries: [CN], currencies: [CNY]}
`

// wallet is every scheme: it pays, once a payment.
type wallet struct {
	mu    sync.Mutex
	state map[tongma.PaymentID]string
}

func (w *wallet) do(r tongma.Request) (tongma.Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	yes := tongma.Answer{Payment: r.Payment, Outcome: tongma.Approved, Amount: r.Amount, SchemeRef: "R" + r.Payment.String()[20:]}
	switch r.Op {
	case tongma.OpInquire:
		switch w.state[r.Original] {
		case "paid":
		case "undone":
			return tongma.Answer{Outcome: tongma.Declined, Status: tongma.ReversedBack, Reason: tongma.ReversedBySwitch}, nil
		default:
			return tongma.Answer{Reason: tongma.UnknownToScheme}, nil
		}
	case tongma.OpReverse:
		w.state[r.Original] = "undone"
	default:
		if w.state[r.Payment] == "undone" {
			return tongma.Answer{Outcome: tongma.Declined, Reason: tongma.ReversedBySwitch}, nil
		}
		w.state[r.Payment] = "paid"
	}
	return yes, nil
}

func (w *wallet) Authorise(_ context.Context, r tongma.Request) (tongma.Answer, error) {
	return w.do(r)
}
func (w *wallet) Accept(_ context.Context, r tongma.Request) (tongma.Answer, error)  { return w.do(r) }
func (w *wallet) Inquire(_ context.Context, r tongma.Request) (tongma.Answer, error) { return w.do(r) }
func (w *wallet) Reverse(_ context.Context, r tongma.Request) (tongma.Answer, error) { return w.do(r) }
func (w *wallet) Refund(_ context.Context, r tongma.Request) (tongma.Answer, error)  { return w.do(r) }
func (w *wallet) Consult(_ context.Context, r tongma.Request) (tongma.Answer, error) { return w.do(r) }

// market is several shards on one NATS server, with journals in memory that outlive
// them.
type market struct {
	t       *testing.T
	url     string
	stores  []journal.Store
	engines []*switching.Engine
	nodes   []*Node
	conns   []*nats.Conn
	wallet  *wallet
	source  string
	later   string        // the next version of it, for writers to come; empty: there is none
	standby bool          // writers to come follow the journal first, and take over
	refuses atomic.Uint32 // the shard that brings no directory into force
	folders [clearing.MaxShards]atomic.Pointer[schemes.Registry]
	keeps   bool // the folders of the directory outlive their switches
}

// bring is what SIGHUP does in a shard, and what another shard has it do.
func (m *market) bring(ctx context.Context, s uint16, e *switching.Engine, source []byte) error {
	if m.refuses.Load() == uint32(s) {
		return errors.New("it is not to be")
	}
	d, err := m.folders[s-1].Load().Add(source)
	if err != nil {
		return err
	}
	return e.Adopt(ctx, d)
}

func newMarket(t *testing.T, shards int) *market { return newMarketOf(t, shards, source) }

func newMarketOf(t *testing.T, shards int, source string) *market {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(srv.Shutdown)
	if !srv.ReadyForConnections(5 * time.Second) {
		t.Fatal("no server")
	}
	m := &market{t: t, url: srv.ClientURL(), wallet: &wallet{state: map[tongma.PaymentID]string{}}, engines: make([]*switching.Engine, shards), nodes: make([]*Node, shards), conns: make([]*nats.Conn, shards), source: source}
	for i := range shards {
		m.stores = append(m.stores, journal.NewMemory())
		m.start(uint16(i + 1))
	}
	t.Cleanup(func() {
		for i := range shards {
			m.stop(uint16(i + 1))
		}
	})
	return m
}

func (m *market) start(s uint16) {
	m.t.Helper()
	nc, err := nats.Connect(m.url)
	if err != nil {
		m.t.Fatal(err)
	}
	var engine atomic.Pointer[switching.Engine]
	node := New(Options{Self: s, Count: uint16(len(m.nodes)), Conn: nc, Every: 20 * time.Millisecond, Bring: func(ctx context.Context, source []byte) error {
		return m.bring(ctx, s, engine.Load(), source)
	}})
	e, err := m.open(s, node)
	engine.Store(e)
	if err == nil {
		err = node.Start(m.t.Context(), e.Ledger(), e)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.engines[s-1], m.nodes[s-1], m.conns[s-1] = e, node, nc
}

// complaint is a log in which the accounts of other shards do not turn up: they are
// nobody's whom a person could do anything about.
type complaint struct {
	slog.Handler
	t *testing.T
}

func (c *complaint) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}
func (c *complaint) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *complaint) WithGroup(string) slog.Handler      { return c }
func (c *complaint) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if strings.Contains(a.Value.String(), "~shard-") {
			c.t.Errorf("the log says: %s %s", r.Message, a.Value)
		}
		return true
	})
	return nil
}

// open opens the engine of a shard.
func (m *market) open(s uint16, node *Node) (*switching.Engine, error) {
	d, err := schemes.Parse(1, []byte(m.source))
	versions := []*schemes.Directory{d}
	if m.later != "" && err == nil {
		d, err = schemes.Parse(2, []byte(m.later))
		versions = append(versions, d)
	}
	if err != nil {
		return nil, err
	}
	adapters := map[tongma.SchemeID]switching.Adapter{"wechat": m.wallet, "alipay": m.wallet, "unionpay": m.wallet, "north": m.wallet}
	var office func(context.Context, clearing.LedgerOptions) (*clearing.Ledger, error)
	if m.standby {
		office = func(ctx context.Context, opts clearing.LedgerOptions) (*clearing.Ledger, error) {
			warm, err := clearing.OpenStandby(ctx, m.stores[s-1], opts)
			if err != nil {
				return nil, err
			}
			return warm.TakeOver(ctx)
		}
	}
	folder := schemes.NewMemoryRegistry(versions...)
	if kept := m.folders[s-1].Load(); kept != nil && m.keeps {
		if folder = kept; m.later != "" {
			if _, err := folder.Add([]byte(m.later)); err != nil {
				return nil, err
			}
		}
	}
	m.folders[s-1].Store(folder)
	return switching.Open(m.t.Context(), switching.Options{Office: office, Store: m.stores[s-1], Shard: s - 1, Logger: slog.New(&complaint{t: m.t}), Registry: folder, Adapters: adapters, Digest: digest,
		NewID: node.NewID, Shards: node, OnCommit: func(_ uint64, es []clearing.Entry) { node.OnCommit(es) }})
}

func digest(code string) (d [16]byte) {
	copy(d[:], code[max(0, len(code)-16):])
	return d
}

func (m *market) stop(s uint16) {
	if m.engines[s-1] == nil {
		return
	}
	m.nodes[s-1].Stop()
	_ = m.engines[s-1].Close()
	m.conns[s-1].Close()
	m.engines[s-1] = nil
}

var prefixes = map[string]string{"weibank": "13", "alibank": "28", "unibank": "62"}

func (m *market) code(bank string, n int) string {
	digits := 16
	if bank == "unibank" {
		digits = 17
	}
	return prefixes[bank] + fmt.Sprintf("%0*d", digits, n)
}

func (m *market) pay(door uint16, bank, key string, serial int, minor int64) (tongma.Answer, error) {
	return m.engines[door-1].Do(m.t.Context(), tongma.Request{Op: tongma.OpPay, From: "acq", Key: key, Code: m.code(bank, serial), Amount: tongma.Money{Minor: minor, Currency: tongma.CNY},
		Merchant: tongma.Merchant{ID: "m1"}, Budget: 5 * time.Second})
}

func (m *market) mustPay(door uint16, bank, key string, serial int, minor int64) tongma.Answer {
	m.t.Helper()
	a, err := m.pay(door, bank, key, serial, minor)
	if err != nil || a.Outcome != tongma.Approved {
		m.t.Fatalf("%s by %s at %d: %+v, %v", key, bank, door, a, err)
	}
	return a
}

func (m *market) eventually(what string, f func() bool) {
	m.t.Helper()
	for end := time.Now().Add(8 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if f() {
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("never: %s", what)
		}
	}
}

func (m *market) sheet(s uint16, w tongma.WindowID) (sheet clearing.Sheet) {
	_ = m.engines[s-1].Ledger().Read(m.t.Context(), func(b *clearing.Book) { sheet, _ = b.Sheet(w) })
	return sheet
}

// underWay is how much has left a shard and is not known to have arrived.
func (m *market) underWay(b *clearing.Book) (n int) {
	self, count := b.Shard()
	for s := uint16(1); s <= count; s++ {
		if s != self {
			_ = m.engines[s-1].Ledger().Read(m.t.Context(), func(there *clearing.Book) { n += len(b.CarriesOut(s, there.CarriesIn(self))) })
		}
	}
	return n
}

func (m *market) submit(s uint16, e clearing.Entry) clearing.Result {
	m.t.Helper()
	res, err := m.engines[s-1].Ledger().Submit(m.t.Context(), e)
	if err != nil {
		m.t.Fatal(err)
	}
	return res
}

// audit audits all journals. The shards go on meanwhile: what one journal says and the
// other did not say yet when it was read is found once, not again.
func (m *market) audit() clearing.ShardsReport {
	m.t.Helper()
	for end := time.Now().Add(3 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r, err := clearing.AuditShards(m.t.Context(), m.stores, clearing.AuditOptions{})
		if err != nil {
			m.t.Fatal(err)
		}
		if r.OK || time.Now().After(end) {
			for i, s := range r.Shards {
				for _, f := range s.Findings {
					m.t.Errorf("shard %d: %+v", i+1, f)
				}
			}
			for _, f := range r.Findings {
				m.t.Errorf("across shards: %+v", f)
			}
			return r
		}
	}
}

// TestAnyDoorTakesAnyPayment: it is held where its payer is at home, once, and its
// answer is the same at every door.
func TestAnyDoorTakesAnyPayment(t *testing.T) {
	m := newMarket(t, 3)
	for i, bank := range []string{"weibank", "alibank", "unibank"} {
		key := "k-" + bank
		first := m.mustPay(1, bank, key, i, 1_000)
		want := first.AppendJSON(nil)
		for door := uint16(1); door <= 3; door++ {
			again := m.mustPay(door, bank, key, i, 1_000)
			if string(again.AppendJSON(nil)) != string(want) || !again.Replayed {
				t.Errorf("door %d: %s, first %s", door, again.AppendJSON(nil), want)
			}
			got, err := m.engines[door-1].Do(t.Context(), tongma.Request{Op: tongma.OpInquire, From: "acq", OfKey: key})
			if err != nil || got.Payment != first.Payment || got.Outcome != tongma.Approved {
				t.Errorf("door %d, by key: %+v, %v", door, got, err)
			}
			got, err = m.engines[door-1].Do(t.Context(), tongma.Request{Op: tongma.OpInquire, From: "acq", Original: first.Payment})
			if err != nil || got.Payment != first.Payment {
				t.Errorf("door %d, by id: %+v, %v", door, got, err)
			}
		}
		for _, other := range []string{"weibank", "alibank", "unibank"} { // the same key, another payer's code
			if other == bank {
				continue
			}
			if a, err := m.pay(2, other, key, 77, 1_000); err == nil && a.Payment != first.Payment {
				t.Errorf("%s paid with the key of %s: %+v", other, bank, a)
			}
		}
	}
	// Refused at every door, once.
	for door := uint16(1); door <= 3; door++ {
		a, err := m.engines[door-1].Do(t.Context(), tongma.Request{Op: tongma.OpPay, From: "acq", Key: "bad", Code: "99", Amount: tongma.Money{Minor: 1, Currency: tongma.CNY}})
		if err != nil || a.Outcome != tongma.Declined {
			t.Errorf("door %d: %+v, %v", door, a, err)
		}
	}
	// Reversed before it came: never paid, at whatever door.
	if _, err := m.engines[0].Do(t.Context(), tongma.Request{Op: tongma.OpReverse, From: "acq", OfKey: "early"}); err != nil {
		t.Fatal(err)
	}
	for door := uint16(1); door <= 3; door++ {
		if a, err := m.pay(door, "weibank", "early", 500, 100); err != nil || a.Outcome == tongma.Approved {
			t.Errorf("door %d: %+v, %v", door, a, err)
		}
	}
	m.audit()
}

// TestRefundsFindTheirRoom: an acquirer gives back in the shard of the original, with
// room of its own from its home.
func TestRefundsFindTheirRoom(t *testing.T) {
	m := newMarket(t, 3)
	for i, bank := range []string{"weibank", "alibank", "unibank"} {
		paid := m.mustPay(1, bank, "p-"+bank, i, 2_000)
		time.Sleep(60 * time.Millisecond) // what the acquirer earned has gone home
		for door := uint16(1); door <= 3; door++ {
			r := tongma.Request{Op: tongma.OpRefund, From: "acq", Key: "r-" + bank, Original: paid.Payment, Amount: tongma.Money{Minor: 700, Currency: tongma.CNY}, Budget: 5 * time.Second}
			a, err := m.engines[door-1].Do(t.Context(), r)
			if err != nil || a.Outcome != tongma.Approved {
				t.Fatalf("door %d: %+v, %v", door, a, err)
			}
		}
	}
	m.audit()
}

// TestCreditsElsewhereAreRoomAtHome: what a bank has earned in other shards it may spend.
func TestCreditsElsewhereAreRoomAtHome(t *testing.T) {
	m := newMarket(t, 3)
	m.mustPay(1, "weibank", "full", 1, 10_000)
	if a, err := m.pay(1, "weibank", "over", 2, 1); err != nil || a.Reason != tongma.OverCap {
		t.Fatalf("%+v, %v", a, err)
	}
	for i, bank := range []string{"alibank", "unibank"} { // pay to weibank as an acquirer
		a, err := m.engines[0].Do(t.Context(), tongma.Request{Op: tongma.OpPay, From: "weibank", Key: "to-" + bank, Code: m.code(bank, 10+i), Amount: tongma.Money{Minor: 3_000, Currency: tongma.CNY}, Merchant: tongma.Merchant{ID: "m"}})
		if err != nil || a.Outcome != tongma.Approved {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	m.mustPay(2, "weibank", "spend", 3, 6_000)
	m.audit()
}

// TestTheHeadsWindowIsTheSumOfAll, with a shard that is away while it closes.
func TestTheHeadsWindowIsTheSumOfAll(t *testing.T) {
	m := newMarket(t, 3)
	naive := map[tongma.ParticipantID]int64{}
	for i := range 30 {
		bank := []string{"weibank", "alibank", "unibank"}[i%3]
		minor := int64(100 + i)
		m.mustPay(uint16(i%3+1), bank, fmt.Sprint("k", i), i, minor)
		naive[tongma.ParticipantID(bank)] += minor
		naive["acq"] -= minor
	}
	m.stop(3)
	w := m.submit(1, clearing.Entry{Kind: clearing.KindClose}).Entry.Window
	m.eventually("shard 2 has handed over", func() bool { s := m.sheet(1, w); return len(s.Awaited) == 1 && s.Awaited[0] == 3 })
	if res := m.submit(1, clearing.Entry{Kind: clearing.KindInstruct, Window: w}); res.Reason != tongma.WindowNotClosed {
		t.Fatalf("instructed without shard 3: %s", res.Reason)
	}
	m.start(3)
	m.eventually("all have handed over", func() bool { return len(m.sheet(1, w).Awaited) == 0 })
	got := map[tongma.ParticipantID]int64{}
	for _, n := range m.sheet(1, w).Nets {
		got[n.Participant] = n.Net
	}
	if fmt.Sprint(got) != fmt.Sprint(naive) {
		t.Fatalf("the head has %v, the payments say %v", got, naive)
	}
	m.submit(1, clearing.Entry{Kind: clearing.KindInstruct, Window: w})
	for range 2 {
		for _, in := range clearing.Instruct(m.sheet(1, w)) {
			m.submit(1, in.Confirm())
		}
	}
	m.submit(1, clearing.Entry{Kind: clearing.KindSettled, Window: w})
	m.eventually("all shards are settled, and all room is home", func() bool {
		for s := uint16(1); s <= 3; s++ {
			lies := 0
			_ = m.engines[s-1].Ledger().Read(t.Context(), func(b *clearing.Book) { lies = len(b.Astray()) + len(b.Following()) + m.underWay(b) })
			if lies > 0 {
				return false
			}
		}
		return true
	})
	for _, p := range m.audit().Positions {
		if p.Position != 0 {
			t.Errorf("%+v is owed behind settlement", p)
		}
	}
	sums, missing, err := m.nodes[0].Positions(t.Context())
	if err != nil || len(missing) > 0 || len(sums) < 4 {
		t.Errorf("%+v, %v, %v", sums, missing, err)
	}
}

// TestAMoveUnderLoadLosesNothing: payments go on while their payer moves there and back,
// and a shard is restarted in between.
func TestAMoveUnderLoadLosesNothing(t *testing.T) {
	m := newMarket(t, 3)
	home := clearing.HomeOf("weibank", 3)
	to := home%3 + 1
	var wait sync.WaitGroup
	var mu sync.Mutex
	approved, refused := 0, map[string]int{}
	for worker := range 4 {
		wait.Go(func() {
			for i := range 40 {
				a, err := m.pay(uint16((worker+i)%3+1), "weibank", fmt.Sprint("w", worker, "-", i), worker*1000+i, 10)
				mu.Lock()
				switch {
				case err != nil:
					refused[err.Error()]++
				case a.Outcome == tongma.Approved:
					approved++
				default:
					refused[a.Reason.String()]++
				}
				mu.Unlock()
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, at := range []uint16{to, home, to} {
		r, err := m.nodes[0].Move(ctx, "weibank", at, false)
		if err != nil || !r.Done {
			t.Errorf("to %d: %+v, %v", at, r, err)
		}
	}
	wait.Wait()
	if approved < 150 {
		t.Errorf("%d approved, %v", approved, refused)
	}
	t.Log(approved, refused)
	m.stop(to)
	m.start(to)
	m.mustPay(home, "weibank", "after", 9_999, 10)
	m.eventually("all room is home", func() bool {
		for s := uint16(1); s <= 3; s++ {
			lies := 0
			_ = m.engines[s-1].Ledger().Read(t.Context(), func(b *clearing.Book) { lies = len(b.Astray()) + m.underWay(b) })
			if lies > 0 {
				return false
			}
		}
		return true
	})
	for _, p := range m.audit().Positions {
		if p.Participant == "weibank" && p.Currency == "CNY" && (p.Position != int64(10*(approved+1)) || p.Cap == nil || *p.Cap != 10_000) {
			t.Errorf("%d payments were approved: %+v", approved+1, p)
		}
	}
	r, err := m.nodes[1].Move(ctx, "weibank", home, true)
	if err != nil || !r.Dry || r.Done || r.Refused != "" || len(r.Goes) == 0 || !strings.Contains(fmt.Sprint(r.Goes), "CNY") {
		t.Errorf("%+v, %v", r, err)
	}
}
