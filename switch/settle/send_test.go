package settle

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/agentsim"
	"github.com/tongma/tongma/schemes"
)

// crowd is an agent that counts how many transfers are with it at once, and answers them
// in an order of its own.
type crowd struct {
	Agent
	mu        sync.Mutex
	now, most int
	order     []string
}

func (c *crowd) Move(ctx context.Context, t Transfer) Word {
	c.mu.Lock()
	c.now++
	c.most = max(c.most, c.now)
	wait := time.Duration(5-c.now%5) * time.Millisecond // those that came later are answered first
	c.mu.Unlock()
	time.Sleep(wait)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	c.order = append(c.order, t.ID)
	return c.Agent.Move(ctx, t)
}

// TestTransfersAreSentAtOnceAndBookedInOrder: as many as are allowed are with the agent,
// all debits before the first credit, and whatever comes back first, the entries stand in
// the order of the sheet.
func TestTransfersAreSentAtOnceAndBookedInOrder(t *testing.T) {
	names := "abcdefghijklmnopqrst"
	entries := func(atOnce int) (out []string, at *crowd, r *rig) {
		r = newRig(t, &market{banks: banks(names), balance: rich(names[:10])})
		for i := range 10 {
			r.pay(fmt.Sprintf("%c>%c", names[i], names[10+i]), int64(100+i))
		}
		r.bank.balance["BANK-C"], r.bank.balance["BANK-F"] = 0, 50 // they are short
		r.market.fund = 1000
		r.bank.balance["DRILL-FUND"] = 1000
		var err error
		if r.dir, err = r.market.directory(); err != nil {
			t.Fatal(err)
		}
		id := r.closeWindow()
		at = &crowd{Agent: r.bank}
		s := New(Options{Ledger: r.books, Directory: func() *schemes.Directory { return r.dir }, Agent: func(*clearing.Sheet, tongma.Currency) Agent { return at },
			Patience: time.Second, Every: time.Millisecond, AtOnce: atOnce})
		rep, err := s.Settle(t.Context(), id, How{})
		if err != nil || !rep.Done() {
			t.Fatalf("%v %+v", err, rep)
		}
		for _, e := range *r.books.entries {
			out = append(out, fmt.Sprintf("%s %s %s %s", e.Kind, e.Debtor, e.Creditor, e.SchemeRef))
		}
		return out, at, r
	}
	one, alone, _ := entries(1)
	many, at, r := entries(8)
	if alone.most != 1 || at.most < 4 || at.most > 8 {
		t.Errorf("%d were with the agent at once, and %d", alone.most, at.most)
	}
	if !slices.Equal(one, many) {
		t.Errorf("booked as %q, and one after another as %q", many, one)
	}
	if slices.Equal(alone.order, at.order) {
		t.Error("the agent answered in the order of the sheet: nothing is shown")
	}
	for _, pay := range (*r.bank.moves)[:9] { // eight debits that are not short, and the first cover
		if pay[:4] == "DRIL" && pay[:10] != "DRILL-FUND" {
			t.Errorf("a credit was paid before the debits were in: %v", *r.bank.moves)
		}
	}
}

// TestAnErrorOfTheBooksWaitsForWhatIsWithTheAgent: nobody goes on asking behind the end of
// the call.
func TestAnErrorOfTheBooksWaitsForWhatIsWithTheAgent(t *testing.T) {
	r := newRig(t, &market{banks: banks("abcdefgh"), balance: rich("abcd")})
	for i := range 4 {
		r.pay(fmt.Sprintf("%c>%c", "abcd"[i], "efgh"[i]), 100)
	}
	id, at := r.closeWindow(), &crowd{Agent: r.bank}
	*r.books.ends = clearing.KindSettle
	s := New(Options{Ledger: r.books, Directory: func() *schemes.Directory { return r.dir }, Agent: func(*clearing.Sheet, tongma.Currency) Agent { return at },
		Patience: time.Second, Every: time.Millisecond, AtOnce: 4})
	if _, err := s.Settle(t.Context(), id, How{}); err == nil {
		t.Fatal("it did not stop")
	}
	at.mu.Lock()
	if at.now != 0 || len(at.order) != 4 {
		t.Errorf("%d are with the agent still, %d were", at.now, len(at.order))
	}
	at.mu.Unlock()
	r.books.gone = false
	if rep := r.settle(id, How{}); !rep.Done() || len(*r.bank.moves) != 8 {
		t.Errorf("%v %+v", *r.bank.moves, rep)
	}
}

// TestARenewedSheetIsTheSheet: what is read of a window while it is settled is what would
// be drawn up anew.
func TestARenewedSheetIsTheSheet(t *testing.T) {
	r := wide(t)
	id := r.closeWindow()
	s := r.sheet(id)
	if r.books.book.Renew(&s) {
		t.Error("nothing is settled of a window that is not instructed")
	}
	r.must(clearing.Entry{Kind: clearing.KindInstruct, Window: id})
	s = r.sheet(id)
	renewed := 0
	for _, step := range []How{{Steps: -1}, {Steps: 1}, {Steps: 1}, {Steps: 1}, {}} {
		r.settle(id, step)
		if r.books.book.Renew(&s) {
			renewed++
		} else {
			s = r.sheet(id)
		}
		if got, want := fmt.Sprint(s), fmt.Sprint(r.sheet(id)); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	if renewed < 3 {
		t.Errorf("renewed %d times", renewed)
	}
}

// BenchmarkLargeMarket settles a window of 500 participants, each of which has paid 20
// others, with a simulated agent over HTTP that takes 5 ms more for each request, as over
// a line of that length.
func BenchmarkLargeMarket(b *testing.B) {
	const banks, line = 500, 5 * time.Millisecond
	m := &market{balance: map[tongma.ParticipantID]int64{}}
	for i := range banks {
		who := tongma.ParticipantID(fmt.Sprintf("bank-%03d", i))
		m.banks, m.balance[who] = append(m.banks, who), 1_000_000
	}
	for _, atOnce := range []int{1, AtOnce} {
		b.Run(fmt.Sprint(atOnce), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s, id, stop := large(b, m, line, atOnce)
				b.StartTimer()
				rep, err := s.Settle(b.Context(), id, How{})
				b.StopTimer()
				if err != nil || !rep.Done() {
					b.Fatal(err, rep.Sheet.Progress, rep.Open)
				}
				b.ReportMetric(float64(len(rep.Sheet.Legs)), "legs")
				stop()
				b.StartTimer()
			}
		})
	}
}

// large closes a window of a market whose agent is at the end of a long line.
func large(b *testing.B, m *market, line time.Duration, atOnce int) (*Settler, tongma.WindowID, func()) {
	dir, err := m.directory()
	if err != nil {
		b.Fatal(err)
	}
	books := newBooks()
	submit := func(e clearing.Entry) clearing.Entry {
		res, err := books.Submit(b.Context(), e)
		if err != nil || !res.Write || res.Reason != tongma.NoReason {
			b.Fatal(e.Kind, res.Verdict, err)
		}
		return *res.Entry
	}
	submit(clearing.Entry{Kind: clearing.KindOpen})
	for _, who := range m.banks {
		submit(clearing.Entry{Kind: clearing.KindCap, Debtor: who, Amount: cny(drillCap)})
	}
	n := 0
	for i, from := range m.banks {
		for k := range 20 {
			n++
			to := m.banks[(i+1+k*k*7+i*k)%len(m.banks)]
			if to == from {
				continue
			}
			id := tongma.PaymentID{0: 1, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}
			submit(clearing.Entry{Kind: clearing.KindHold, Op: tongma.OpPay, Payment: id, Asker: to, Key: fmt.Sprint("K", n), Debtor: from, Creditor: to, Scheme: drillScheme, Amount: cny(int64(100 + n%97))})
			submit(clearing.Entry{Kind: clearing.KindPost, Payment: id})
		}
	}
	id := submit(clearing.Entry{Kind: clearing.KindClose}).Window
	agent, err := agentsim.New(agentsim.Options{Token: agentToken, Admin: agentAdmin, Accounts: m.accounts()})
	if err != nil {
		b.Fatal(err)
	}
	addr, err := agent.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	at, _ := url.Parse("http://" + addr.String())
	proxy := httputil.NewSingleHostReverseProxy(at)
	proxy.Transport = connections()
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		time.Sleep(line)
		proxy.ServeHTTP(w, req)
	}))
	client := NewClient(ClientOptions{Agent: drillAgent, Directory: func() *schemes.Directory { return dir }, URL: door.URL, Token: agentToken})
	s := New(Options{Ledger: books, Directory: func() *schemes.Directory { return dir }, Agent: func(*clearing.Sheet, tongma.Currency) Agent { return client }, AtOnce: atOnce})
	return s, id, func() {
		door.Close()
		if err := agent.Close(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	}
}
