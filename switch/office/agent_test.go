package office

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/agentsim"
	"github.com/tongma/tongma/clearing/iso20022"
)

// agent is the simulated settlement agent, and the switch's side of the wire.
type agent struct {
	t    *testing.T
	m    *market
	base string
	*agentsim.Server
}

const agentToken = "the-switch-0123456789"

func startAgent(t *testing.T, m *market) *agent {
	t.Helper()
	s, err := agentsim.New(agentsim.Options{Now: func() time.Time { return m.now }, Token: agentToken, Admin: "the-operator-0123456789", Party: iso20022.Party{BIC: "RVBKTHBK"},
		Accounts: []agentsim.Account{
			{ID: "SETTLEMENT-THB", Code: "THB", Kind: agentsim.Settlement, Owner: "TONGMA"},
			{ID: "LOTUS-1", Code: "THB", Kind: agentsim.Participant, Owner: "LOTUS", Balance: 100_000},
			{ID: "HARBOUR-1", Code: "THB", Kind: agentsim.Participant, Owner: "HARBOUR"}}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		web.Close()
		_ = s.Close(t.Context())
	})
	return &agent{t, m, web.URL, s}
}

func (a *agent) call(method, path string, body []byte) []byte {
	a.t.Helper()
	req, err := http.NewRequest(method, a.base+path, bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+agentToken)
	req.Header.Set("Content-Type", "application/xml")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		a.t.Fatal(res.Status, err)
	}
	return data
}

// order sends an instruction, and books it as the agent answers.
func (a *agent) order(in clearing.Instruction) {
	a.t.Helper()
	at := func(account, id string) iso20022.Party {
		return iso20022.Party{Other: id, Account: iso20022.Account{Other: account}}
	}
	h := iso20022.Heading{ID: "M" + in.ID[:20], Created: a.m.now, Date: iso20022.DateOf(a.m.now), System: "TONGMA", Settlement: at("SETTLEMENT-THB", "TONGMA"),
		Parties: map[tongma.ParticipantID]iso20022.Party{"lotus": at("LOTUS-1", "LOTUS"), "harbour": at("HARBOUR-1", "HARBOUR")}}
	d, err := iso20022.CreditTransfers(h, []clearing.Instruction{in})
	if err != nil {
		a.t.Fatal(err)
	}
	body, err := d.Envelope(d.Header(iso20022.Party{Other: "TONGMA"}, iso20022.Party{BIC: "RVBKTHBK"}))
	if err != nil {
		a.t.Fatal(err)
	}
	a.call("POST", "/v1/messages", body)
	a.m.write(in.Confirm())
}

// statement is that of the settlement account's day.
func (a *agent) statement() ReconFile {
	a.t.Helper()
	return ReconFile{Name: "agent", Body: bytes.NewReader(a.call("GET", "/v1/statements/SETTLEMENT-THB/"+a.m.now.Format(time.DateOnly)+"?currency=THB", nil))}
}

// TestWhatTheAgentDoesWrongIsFound settles a window with an agent that has a fault,
// and reconciles its statement.
func TestWhatTheAgentDoesWrongIsFound(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault agentsim.Fault
		want  []string
	}{
		{"nothing", agentsim.Fault{}, nil},
		{"booked twice", agentsim.Fault{Kind: agentsim.Double, Times: 1}, []string{"OVERPAID 12.50 THB"}},
		{"too much", agentsim.Fault{Kind: agentsim.WrongAmount, Times: 1, Minor: 5}, []string{"OVERPAID 0.05 THB"}},
		{"half", agentsim.Fault{Kind: agentsim.Partial, Times: 1}, []string{"PARTIAL 6.25 THB", "UNPAID_NET 12.50 THB"}},
		{"an entry is missing", agentsim.Fault{Kind: agentsim.StatementMissing, Account: "SETTLEMENT-THB", Times: 1}, []string{"UNPAID_NET 12.50 THB"}},
		{"the statement comes twice", agentsim.Fault{Kind: agentsim.StatementTwice, Account: "SETTLEMENT-THB", Times: 1}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMarket(t, t.TempDir())
			a := startAgent(t, m)
			if c.fault.Kind != "" {
				if _, err := a.Plant(c.fault); err != nil {
					t.Fatal(err)
				}
			}
			m.pay(1250, "L1")
			for _, in := range clearing.Instruct(m.close()) {
				a.order(in)
			}
			m.write(clearing.Entry{Kind: clearing.KindSettled, Window: 1})
			m.now = m.now.Add(time.Minute)
			r := m.reconcile(Reconciliation{Files: []ReconFile{a.statement()}})
			if sameKinds(t, r.Breaks, c.want...); r.Inputs[0].Rows < 1 {
				t.Fatalf("%+v", r.Inputs)
			}
			// the agent puts it right, or says so once more: the same breaks, or none
			if err := a.ClearFaults(); err != nil {
				t.Fatal(err)
			}
			m.now = m.now.Add(time.Minute)
			again := m.reconcile(Reconciliation{Files: []ReconFile{a.statement()}})
			if again.New != 0 {
				t.Fatalf("%+v, %q", again, kindsOf(again.Breaks))
			}
			open, err := m.Breaks(BreakFilter{State: "open"})
			if err != nil || (c.name == "an entry is missing") != (len(c.want) > 0 && len(open) == 0) {
				t.Fatalf("%q, %v", kindsOf(open), err)
			}
			if len(open) > 0 && !slices.Equal(kindsOf(open), c.want) {
				t.Fatalf("%q", kindsOf(open))
			}
		})
	}
}

// TestALaterStatementDisagreesWithWhatTwoPeopleSaid: their word settles the window, and the
// bank's statement has the last: what differs is a break, until a later statement agrees or
// a person says why it does not.
func TestALaterStatementDisagreesWithWhatTwoPeopleSaid(t *testing.T) {
	type entries func(in []clearing.Instruction) []iso20022.Entry
	for _, c := range []struct {
		name  string
		said  int64 // of the debit of 12.50; the rest, if any, they say was refused
		bank  entries
		want  []string
		later entries // on the next day's statement
		left  []string
	}{
		{"it knows of nothing", 1250, func([]clearing.Instruction) []iso20022.Entry { return nil }, []string{"UNPAID_NET 12.50 THB", "UNPAID_NET 12.50 THB"},
			func(in []clearing.Instruction) []iso20022.Entry {
				return []iso20022.Entry{booked(1, 24, in[0], 1250), booked(2, 24, in[1], 1250)}
			}, nil},
		{"the credit was paid by other means", 1250, func(in []clearing.Instruction) []iso20022.Entry { return []iso20022.Entry{booked(1, 23, in[0], 1250)} }, []string{"UNPAID_NET 12.50 THB"},
			func([]clearing.Instruction) []iso20022.Entry { return nil }, []string{"UNPAID_NET 12.50 THB"}},
		{"it moved less", 1250, func(in []clearing.Instruction) []iso20022.Entry {
			return []iso20022.Entry{booked(1, 23, in[0], 1000), booked(2, 23, in[1], 1250)}
		}, []string{"PARTIAL 2.50 THB"},
			func(in []clearing.Instruction) []iso20022.Entry { return []iso20022.Entry{booked(3, 24, in[0], 250)} }, nil},
		{"it moved more", 1000, func(in []clearing.Instruction) []iso20022.Entry { return []iso20022.Entry{booked(1, 23, in[0], 1250)} },
			[]string{"OVERPAID 2.50 THB", "UNPAID_NET 12.50 THB", "UNPAID_NET 2.50 THB"}, nil, nil},
		{"it moved what they said was refused", 0, func(in []clearing.Instruction) []iso20022.Entry { return []iso20022.Entry{booked(1, 23, in[0], 1250)} },
			[]string{"UNEXPECTED_ENTRY 12.50 THB", "UNPAID_NET 12.50 THB", "UNPAID_NET 12.50 THB"}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMarket(t, t.TempDir())
			m.pay(1250, "L1")
			in := clearing.Instruct(m.close())
			say := func(e clearing.Entry) {
				word := e
				word.Kind, word.Key, word.Maker = clearing.KindWord, "telephone, 14:05", "ann"
				m.write(word)
				e.Key, e.Checker = word.Key, "ben"
				m.write(e)
			}
			if said := in[0].Confirm(); c.said > 0 {
				said.Amount.Minor = c.said
				say(said)
			}
			if c.said == 1250 {
				say(in[1].Confirm())
				m.write(clearing.Entry{Kind: clearing.KindSettled, Window: 1})
			} else if c.said == 0 {
				say(in[0].Refuse(tongma.AgentRejected))
			}
			m.now = m.now.Add(time.Minute)
			r := m.reconcile(Reconciliation{Files: []ReconFile{m.statement("ST1", 0, 23, c.bank(in)...)}})
			sameKinds(t, r.Breaks, c.want...)
			if c.later == nil {
				return
			}
			closing := int64(0)
			for _, e := range c.bank(in) {
				closing += e.Signed().Minor
			}
			m.now = m.now.Add(24 * time.Hour)
			sameKinds(t, m.reconcile(Reconciliation{Files: []ReconFile{m.statement("ST2", closing, 24, c.later(in)...)}}).Breaks, c.left...)
			if len(c.left) == 0 {
				return
			}
			open, err := m.Breaks(BreakFilter{State: "open"})
			if err != nil || len(open) != 1 {
				t.Fatal(open, err)
			}
			if _, err := m.Resolve(t.Context(), BreakResolution{Break: open[0].ID, How: Explained, By: "mei", Note: "cheque 0042, receipt of 14:10"}); err != nil {
				t.Fatal(err)
			}
			m.now = m.now.Add(24 * time.Hour)
			if again := m.reconcile(Reconciliation{Files: []ReconFile{m.statement("ST3", closing, 25)}}); again.New != 0 {
				t.Errorf("%q", kindsOf(again.Breaks))
			}
		})
	}
}
