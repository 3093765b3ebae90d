package settle

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/agentsim"
	"github.com/tongma/tongma/clearing/iso20022"
	"github.com/tongma/tongma/schemes"
)

// TestAmountThatNobodyKnowsIsNotGuessed: of a cover that was sent before we stopped,
// only its id is known again. Where the agent's advice does not say what was booked
// under it, it is not taken for all that is due.
func TestAmountThatNobodyKnowsIsNotGuessed(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer srv.Close()
	c := NewClient(ClientOptions{URL: srv.URL})
	in := clearing.Instruction{ID: "0123456789abcdef0123456789abcdef", Debtor: "bank-a", Debit: true, Amount: tongma.Money{Currency: tongma.CNY}}
	if w := c.booked(t.Context(), Transfer{Instruction: in}, Word{Outcome: Settled, Amount: in.Amount}); w.Outcome != Unknown || w.Err == nil {
		t.Errorf("%+v", w)
	}
	in.Creditor = "bank-b" // between two: there is no advice
	if w := c.booked(t.Context(), Transfer{Instruction: in}, Word{Outcome: Settled, Amount: in.Amount}); w.Outcome != Unknown || w.Err == nil {
		t.Errorf("%+v", w)
	}
}

// moved is a wire's directory with another account of a bank: as the operator changes it
// while instructions are under way.
func (w *wire) moved(from, to string) {
	w.Helper()
	d, err := schemes.Parse(2, []byte(strings.Replace(w.market.source(), "account: "+from+",", "account: "+to+",", 1)))
	if err != nil {
		w.Fatal(err)
	}
	w.dir = d
}

// TestAnAccountThatIsChangedUnderWayIsNotDebitedASecondTime: the id stands for what was
// sent first, from the old account; the agent refuses the new message (409), and what
// became of the first one counts.
func TestAnAccountThatIsChangedUnderWayIsNotDebitedASecondTime(t *testing.T) {
	w := newWire(t, &market{banks: banks("ac"), balance: rich("a")}, agentsim.Account{ID: "BANK-A2", Code: drillCurrency, Kind: agentsim.Participant, Owner: "BANK-A2", Balance: 900})
	w.plant(agentsim.Fault{Kind: agentsim.Late, Account: "BANK-A", DelayMillis: 400})
	w.pay("a>c", 500)
	id := w.closeWindow()
	if rep := w.settle(id, How{}); len(rep.Open) != 1 || rep.Open[0].Kind != "pending" {
		t.Fatal(rep.Open)
	}
	w.moved("BANK-A", "BANK-A2")
	if rep := w.settle(id, How{}); len(rep.Open) != 1 || rep.Open[0].Kind != "pending" { // of the first message
		t.Fatal(rep.Open)
	}
	time.Sleep(400 * time.Millisecond)
	if rep := w.settle(id, How{}); !rep.Done() || w.money() != "999500 500 0" || w.agent.Balance("BANK-A2", tongma.CNY) != 900 {
		t.Errorf("%v %s", rep.Open, w.money())
	}

	w.pay("a>c", 100) // the next one comes from the new account
	if rep := w.settle(w.closeWindow(), How{}); !rep.Done() || w.agent.Balance("BANK-A2", tongma.CNY) != 800 {
		t.Errorf("%v %s", rep.Open, w.money())
	}
}

// TestWhatWasRefusedForItsAccountGoesThroughTheNewOne: a refused debit or credit is tried
// again under an id of its own, and that goes by the directory in force.
func TestWhatWasRefusedForItsAccountGoesThroughTheNewOne(t *testing.T) {
	for _, who := range []string{"BANK-A", "BANK-C"} {
		w := newWire(t, &market{banks: banks("ac"), balance: rich("a")}, agentsim.Account{ID: who + "2", Code: drillCurrency, Kind: agentsim.Participant, Owner: who + "2", Balance: 900})
		w.plant(agentsim.Fault{Kind: agentsim.Reject, Account: who, Code: "AC04"})
		w.pay("a>c", 500)
		id := w.closeWindow()
		if rep := w.settle(id, How{}); rep.Done() {
			t.Fatal(rep.Events)
		}
		w.moved(who, who+"2")
		want := map[string]int64{"BANK-A": 400, "BANK-C": 1400}[who]
		if rep := w.settle(id, How{Retry: true}); !rep.Done() || w.agent.Balance(who+"2", tongma.CNY) != want || w.agent.Balance(drillAccount, tongma.CNY) != 0 {
			t.Errorf("%s: %v %s", who, rep.Open, w.money())
		}
	}
}

// advising is an agent that says ACSC of everything, and gives the entries as its advice.
func advising(t *testing.T, entries func(id string) [][]iso20022.Entry) *httptest.Server {
	now, count := time.Now(), 0
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		var doc iso20022.Document
		var err error
		count++
		name := fmt.Sprint("M", count)
		if id := in.URL.Query().Get("instruction"); id != "" {
			var all []iso20022.Advice
			for i, some := range entries(id) {
				all = append(all, iso20022.Advice{ID: fmt.Sprint("N", i), Created: now, Account: iso20022.Account{Other: drillAccount}, Currency: tongma.CNY, Entries: some})
			}
			doc, err = iso20022.AdviceReport(name, now, all)
		} else {
			doc, err = iso20022.StatusReport(name, now, iso20022.Pacs009, []iso20022.Status{{Instruction: strings.TrimPrefix(in.URL.Path, "/v1/status/"), Code: "ACSC"}})
		}
		if err != nil {
			t.Error(err)
		}
		_, _ = out.Write(doc.XML)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// TestAnAdviceCountsEachEntryOnce: what the agent advises of twice it has booked once, and
// what it gave back did not move.
func TestAnAdviceCountsEachEntryOnce(t *testing.T) {
	entry := func(ref string, minor int64, credit bool) func(string) iso20022.Entry {
		return func(id string) iso20022.Entry {
			return iso20022.Entry{Amount: cny(minor), Credit: credit, Booked: true, Reversal: !credit, AgentRef: ref, Details: []iso20022.Detail{{EndToEnd: id, Amount: cny(minor), Credit: credit}}}
		}
	}
	part := entry("B1", 250, true)
	for name, c := range map[string]struct {
		notes [][]func(string) iso20022.Entry
		want  Word
	}{
		"all":                   {[][]func(string) iso20022.Entry{{entry("B1", 500, true)}}, Word{Outcome: Settled, Amount: cny(500)}},
		"a part":                {[][]func(string) iso20022.Entry{{part}}, Word{Outcome: Partly, Amount: cny(250)}},
		"a part, advised twice": {[][]func(string) iso20022.Entry{{part}, {part}}, Word{Outcome: Partly, Amount: cny(250)}},
		"two parts":             {[][]func(string) iso20022.Entry{{part, entry("B2", 250, true)}}, Word{Outcome: Settled, Amount: cny(500)}},
		"all, given back":       {[][]func(string) iso20022.Entry{{entry("B1", 500, true), entry("B2", 500, false)}}, Word{}},
		"a part given back":     {[][]func(string) iso20022.Entry{{entry("B1", 500, true), entry("B2", 200, false)}}, Word{Outcome: Partly, Amount: cny(300)}},
	} {
		srv := advising(t, func(id string) (all [][]iso20022.Entry) {
			for _, note := range c.notes {
				var some []iso20022.Entry
				for _, e := range note {
					some = append(some, e(id))
				}
				all = append(all, some)
			}
			return all
		})
		client := NewClient(ClientOptions{URL: srv.URL})
		transfer := Transfer{Instruction: clearing.Instruction{ID: "0123456789abcdef0123456789abcdef", Debtor: "bank-a", Debit: true, Amount: cny(500)}}
		if got := client.Ask(t.Context(), transfer).sound(transfer); got.Outcome != c.want.Outcome || got.Amount != c.want.Amount {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
