package settle

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/agentsim"
	"github.com/tongma/tongma/schemes"
)

const (
	agentToken = "the-switch-0123456789"
	agentAdmin = "the-operator-0123456789"
)

// wire is a rig whose agent is a service that listens.
type wire struct {
	*rig
	agent *agentsim.Server
	base  string
}

func newWire(t *testing.T, m *market, more ...agentsim.Account) *wire {
	t.Helper()
	w := &wire{rig: newRig(t, m)}
	var err error
	if w.agent, err = agentsim.New(agentsim.Options{Token: agentToken, Admin: agentAdmin, Accounts: append(m.accounts(), more...)}); err != nil {
		t.Fatal(err)
	}
	addr, err := w.agent.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.base = "http://" + addr.String()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := w.agent.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *wire) client() *Client {
	return NewClient(ClientOptions{Agent: drillAgent, Directory: func() *schemes.Directory { return w.dir }, URL: w.base, Token: agentToken,
		Timeout: 400 * time.Millisecond, Pause: 5 * time.Millisecond})
}

func (w *wire) settle(id tongma.WindowID, how How) Report {
	w.Helper()
	s := New(Options{Ledger: w.books, Directory: func() *schemes.Directory { return w.dir }, Agent: func(*clearing.Sheet, tongma.Currency) Agent { return w.client() },
		Patience: 100 * time.Millisecond, Every: 10 * time.Millisecond, Told: func(e Event) { w.told = append(w.told, e.String()) }})
	rep, err := s.Settle(w.Context(), id, how)
	if err != nil {
		w.Fatal(err)
	}
	return rep
}

func (w *wire) plant(f agentsim.Fault) {
	w.Helper()
	if _, err := w.agent.Plant(f); err != nil {
		w.Fatal(err)
	}
}

// money is what the agent's accounts hold: those of the banks, then the settlement
// account.
func (w *wire) money() string {
	var out []string
	for _, b := range w.market.banks {
		out = append(out, fmt.Sprint(w.agent.Balance(accountNumber(b), tongma.CNY)))
	}
	return strings.Join(append(out, fmt.Sprint(w.agent.Balance(drillAccount, tongma.CNY))), " ")
}

// TestFaultsOfTheAgent settles a window while the agent goes wrong in each way, and
// calls again until it settles or has to wait for people. Money moves once, whatever
// was heard of it.
func TestFaultsOfTheAgent(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults []agentsim.Fault
		least  int    // calls that it takes
		money  string // bank-a, bank-b, bank-c, settlement account
		done   bool
	}{
		{"none", nil, 1, "999500 999700 800 0", true},
		{"it is silent after it has booked", []agentsim.Fault{{Kind: agentsim.Silent, Account: "BANK-A"}}, 1, "999500 999700 800 0", true},
		{"it is silent for longer than we wait", []agentsim.Fault{{Kind: agentsim.Silent, Account: "BANK-A", DelayMillis: 600}}, 1, "999500 999700 800 0", true},
		{"it does not hear", []agentsim.Fault{{Kind: agentsim.Deaf, Account: "BANK-A"}}, 1, "999500 999700 800 0", true},
		{"it does not hear for long", []agentsim.Fault{{Kind: agentsim.Deaf, Account: "BANK-A", Times: 12}}, 1, "999500 999700 800 0", true},
		{"it is silent on a credit", []agentsim.Fault{{Kind: agentsim.Silent, Account: "BANK-C"}}, 1, "999500 999700 800 0", true},
		{"it answers later", []agentsim.Fault{{Kind: agentsim.Late, Account: "BANK-A", DelayMillis: 30}}, 1, "999500 999700 800 0", true},
		{"it answers much later", []agentsim.Fault{{Kind: agentsim.Late, Account: "BANK-A", DelayMillis: 200}}, 1, "999500 999700 800 0", true},
		{"it never answers", []agentsim.Fault{{Kind: agentsim.Never, Account: "BANK-A"}}, 2, "1000000 999700 0 300", false},
		{"it refuses once", []agentsim.Fault{{Kind: agentsim.Reject, Account: "BANK-A"}}, 2, "999500 999700 800 0", true},
		{"it refuses a credit", []agentsim.Fault{{Kind: agentsim.Reject, Account: "BANK-C", Times: 2}}, 3, "999500 999700 800 0", true},
		{"it books a part", []agentsim.Fault{{Kind: agentsim.Partial, Account: "BANK-A", Minor: 100}}, 2, "999500 999700 800 0", true},
		{"it books twice", []agentsim.Fault{{Kind: agentsim.Double, Account: "BANK-A"}}, 1, "999000 999700 800 500", true},
		{"it books too little", []agentsim.Fault{{Kind: agentsim.WrongAmount, Account: "BANK-A", Minor: -1}}, 2, "999500 999700 800 0", true},
		{"it books too much", []agentsim.Fault{{Kind: agentsim.WrongAmount, Account: "BANK-A", Minor: 1}}, 1, "999499 999700 800 1", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, &market{banks: banks("abc"), balance: rich("ab")})
			w.pay("a>c", 500)
			w.pay("b>c", 300)
			id := w.closeWindow()
			for _, f := range c.faults {
				w.plant(f)
			}
			var rep Report
			calls := 0
			for ; !rep.Done() && calls < 20 && (c.done || calls < 2); calls++ {
				rep = w.settle(id, How{Retry: calls > 0})
				time.Sleep(20 * time.Millisecond)
			}
			if calls < c.least {
				t.Errorf("settled after %d calls, and cannot have been", calls)
			}
			if got := w.money(); got != c.money || rep.Done() != c.done {
				t.Errorf("%s, done %t, want %s\n%s\n%v", got, rep.Done(), c.money, strings.Join(w.told, "\n"), rep.Open)
			}
		})
	}
}

// TestTheWaterfallOverTheWire is the waterfall with mandates (pacs.010) and prefunding
// (camt.050) at a real service; in between the agent refuses a survivor.
func TestTheWaterfallOverTheWire(t *testing.T) {
	w := newWire(t, &market{banks: banks("abcd"), balance: rich("bcd"), prefunding: map[tongma.ParticipantID]int64{"bank-a": 200}, fund: 300, mandates: true,
		shares: []schemes.LossShare{{Participant: "bank-b", Weight: 3, CapMinor: 500}, {Participant: "bank-c", Weight: 1, CapMinor: 500}}})
	w.pay("a>b", 400)
	w.pay("a>d", 500)
	id := w.closeWindow()
	w.plant(agentsim.Fault{Kind: agentsim.Reject, Account: "BANK-B", Code: "AC06"})
	w.plant(agentsim.Fault{Kind: agentsim.Silent, Account: "BANK-C"})
	rep := w.settle(id, How{})
	w.wantTold("instructed", "short bank-a -> settlement 9.00 CNY", "prefunding bank-a -> settlement 2.00 CNY", "guarantee drill-fund -> settlement for bank-a 3.00 CNY",
		"rejected bank-b -> settlement for bank-a 3.00 CNY", "share bank-c -> settlement for bank-a 4.00 CNY",
		"paid settlement -> bank-b 4.00 CNY", "paid settlement -> bank-d 5.00 CNY", "settled")
	if !rep.Done() || w.money() != "0 1000400 999600 1000500 0" {
		t.Errorf("%+v %s", rep.Open, w.money())
	}
}

// TestPairsSettleBetweenThemselves: where legs run between two participants, each is
// one transfer from one to the other; who is short pays the other by its prefunding,
// and what cannot settle even so is deferred.
func TestPairsSettleBetweenThemselves(t *testing.T) {
	for _, method := range []string{"bilateral", "gross"} {
		w := newWire(t, &market{banks: banks("abc"), balance: rich("bc"), prefunding: map[tongma.ParticipantID]int64{"bank-a": 350}, recast: true, method: method})
		w.pay("a>b", 300)
		w.pay("a>b", 200)
		w.pay("b>a", 100)
		w.pay("b>c", 70)
		w.pay("c>b", 30)
		id := w.closeWindow()
		rep := w.settle(id, How{})
		want := "0 1000160 1000040 0" // the second payment waits: a's net with b is 200, out of its prefunding
		if method == "gross" {
			want = "100 1000160 1000040 0" // 300 out of its prefunding, and b's 100 come back
		}
		if !rep.Done() || w.money() != want {
			t.Errorf("%s: %s, want %s\n%s\n%v", method, w.money(), want, strings.Join(w.told, "\n"), rep.Open)
		}
	}
}

func TestWhatTheAgentSaysInOtherWordsIsNotKnown(t *testing.T) {
	m := &market{banks: banks("ab"), balance: rich("a")}
	d, err := m.directory()
	if err != nil {
		t.Fatal(err)
	}
	answer := ""
	code := 200
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(answer))
	}))
	defer s.Close()
	c := NewClient(ClientOptions{Agent: drillAgent, Directory: func() *schemes.Directory { return d }, URL: s.URL, Pause: time.Millisecond, Tries: 2})
	in := clearing.Instruction{ID: "I-1", Window: 1, Debtor: "bank-a", Participant: "bank-a", Debit: true, Amount: cny(500), Sheet: [32]byte{1}}
	for _, code = range []int{200, 202, 301, 400, 401, 404, 409, 500, 503} {
		for _, answer = range []string{"", "yes", "<Document/>", `{"ok":true}`} {
			if w := c.Move(t.Context(), Transfer{Instruction: in}); w.Outcome != Unknown || w.Err == nil {
				t.Errorf("%d %q: %+v", code, answer, w)
			}
		}
	}
	code = 404
	if w := c.Ask(t.Context(), Transfer{Instruction: in}); w.Outcome != Unheard {
		t.Errorf("%+v", w)
	}
	in.Debtor, in.Participant = "bank-z", "bank-z"
	if w := c.Move(t.Context(), Transfer{Instruction: in}); w.Outcome != Unknown || w.Err == nil {
		t.Errorf("%+v", w)
	}
}
