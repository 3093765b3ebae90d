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

// TestNobodyPaysForARefusalThatIsAboutTheMessage: an agent that is past its own cut-off
// (TM01), or was told a wrong account, says nothing of anybody's money. The fund and the
// payments of others are left alone, in this call and in every later one, until it is
// mended, or a person has the rules go on.
func TestNobodyPaysForARefusalThatIsAboutTheMessage(t *testing.T) {
	w := newWire(t, &market{banks: banks("abc"), balance: rich("ab"), fund: 1000, recast: true})
	w.plant(agentsim.Fault{Kind: agentsim.Reject, Account: "BANK-A", Code: "TM01"})
	w.pay("a>c", 500)
	w.pay("b>c", 300)
	id := w.closeWindow()
	for range 3 {
		rep := w.settle(id, How{})
		if rep.Done() || w.money() != "1000000 999700 0 300" || w.agent.Balance(accountNumber(drillFund), tongma.CNY) != 1000 || len(rep.Open) == 0 || !strings.Contains(rep.Open[0].Text, "--steps") {
			t.Fatalf("%v %v %s", rep.Events, rep.Open, w.money())
		}
	}
	if rep := w.settle(id, How{Retry: true}); !rep.Done() || w.money() != "999500 999700 800 0" {
		t.Errorf("%v %s", rep.Open, w.money())
	}

	w.must(clearing.Entry{Kind: clearing.KindResume, Debtor: "bank-a", Maker: "ann"})
	w.plant(agentsim.Fault{Kind: agentsim.Reject, Account: "BANK-A", Code: "AC02"})
	w.pay("a>c", 500)
	id = w.closeWindow()
	w.settle(id, How{})
	if rep := w.settle(id, How{Steps: 1}); !rep.Done() || w.agent.Balance(accountNumber(drillFund), tongma.CNY) != 500 {
		t.Errorf("%v %s", rep.Open, w.money())
	}

	w.plant(agentsim.Fault{Kind: agentsim.Reject, Account: "BANK-B", Code: "AM04"}) // and for want of money they go on by themselves
	w.pay("b>c", 100)
	if rep := w.settle(w.closeWindow(), How{}); !rep.Done() || w.agent.Balance(accountNumber(drillFund), tongma.CNY) != 500+500-100 { // bank-a owed it 500
		t.Errorf("%v %s", rep.Open, w.money())
	}
}

// TestTakenBeforeIsNoRefusal: an agent that answers a repeat with "duplicate" (AM05) has
// the first one, whose status counts. Taken for a refusal, it would be collected again
// under another id.
func TestTakenBeforeIsNoRefusal(t *testing.T) {
	w := newRig(t, &market{banks: banks("ac"), balance: rich("a")})
	code, asked := "ACSC", 0
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if strings.HasPrefix(in.URL.Path, "/v1/notifications") {
			out.WriteHeader(http.StatusNoContent)
			return
		}
		s := iso20022.Status{Instruction: strings.TrimPrefix(in.URL.Path, "/v1/status/"), Code: code}
		if in.Method == http.MethodPost {
			s = iso20022.Status{Instruction: idOf(t, w), Code: "RJCT", Reason: "AM05 duplicate"}
			asked++
		}
		doc, err := iso20022.StatusReport(fmt.Sprint("M", asked), time.Now(), iso20022.Pacs009, []iso20022.Status{s})
		if err != nil {
			t.Error(err)
		}
		_, _ = out.Write(doc.XML)
	}))
	defer srv.Close()
	c := NewClient(ClientOptions{Agent: drillAgent, Directory: func() *schemes.Directory { return w.dir }, URL: srv.URL, Token: agentToken})
	w.pay("a>c", 500)
	id := w.closeWindow()
	w.must(clearing.Entry{Kind: clearing.KindInstruct, Window: id})
	in := clearing.Instruct(w.sheet(id))[0]
	move := func() Word {
		return c.Move(t.Context(), Transfer{Instruction: in})
	}
	if got := move(); got.Outcome != Settled || got.Amount != in.Amount {
		t.Errorf("settled before: %+v", got)
	}
	code = "PDNG"
	if got := move(); got.Outcome != Pending {
		t.Errorf("pending: %+v", got)
	}
	code = "RJCT"
	if got := move(); got.Outcome != Rejected {
		t.Errorf("refused before: %+v", got)
	}
}

func idOf(t *testing.T, r *rig) string {
	t.Helper()
	for _, s := range r.books.book.Sheets(0) {
		if ins := clearing.Instruct(s); s.State == clearing.WindowInstructed && len(ins) > 0 {
			return ins[0].ID
		}
	}
	return ""
}
