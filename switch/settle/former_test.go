package settle

import (
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// changing is a market whose directory changes while windows are settled, with an
// agent of each name.
type changing struct {
	*rig
	versions []*schemes.Directory
	agents   map[schemes.AgentID]*bank
}

func newChanging(t *testing.T, m *market) *changing {
	c := &changing{rig: newRig(t, m), agents: map[schemes.AgentID]*bank{drillAgent: newBank(m), "other-agent": newBank(m)}}
	c.versions = []*schemes.Directory{c.dir}
	c.must(clearing.Entry{Kind: clearing.KindDirectory, Directory: 1, Hash: c.dir.Hash()})
	return c
}

// change brings a version into force in which words stand in place of others.
func (c *changing) change(words ...string) {
	c.Helper()
	d, err := schemes.Parse(uint64(len(c.versions)+1), []byte(strings.NewReplacer(words...).Replace(c.market.source())))
	if err != nil {
		c.Fatal(err)
	}
	c.versions = append(c.versions, d)
	c.must(clearing.Entry{Kind: clearing.KindDirectory, Directory: d.Version(), Hash: d.Hash()})
}

func (c *changing) settle(id tongma.WindowID) Report {
	c.Helper()
	past := schemes.NewMemoryRegistry(c.versions...)
	rep, err := New(Options{Ledger: c.books, Directory: past.Current, Past: past, Agent: func(s *clearing.Sheet, cur tongma.Currency) Agent {
		if id, ok := AgentOf(past, s, cur); ok {
			return c.agents[id]
		}
		return nil
	}, Patience: time.Millisecond, Every: time.Millisecond / 2}).Settle(c.Context(), id, How{})
	if err != nil {
		c.Fatal(err)
	}
	return rep
}

// otherAgent has the market settled by another agent from now on.
var otherAgent = []string{"[{agent: drill-agent,", "[{agent: other-agent,", "settlement:\n  agent: drill-agent", "  - id: other-agent\n    name: Other agent\n    number: OTHER\n    currencies: [CNY]\n    system: DRILL\n" +
	"    switch: {name: Drill switch, number: SWITCH, accounts: {CNY: {account: " + drillAccount + "}}}\nsettlement:\n  agent: other-agent"}

// TestWhatOneAgentWasAskedForIsNotAskedOfAnother: an instruction that the first agent may
// have carried out is unheard of at the second, which would move the money once more.
func TestWhatOneAgentWasAskedForIsNotAskedOfAnother(t *testing.T) {
	c := newChanging(t, &market{banks: banks("ac"), balance: rich("a")})
	first, second := c.agents[drillAgent], c.agents["other-agent"]
	c.pay("a>c", 500)
	id := c.closeWindow()
	first.faults["BANK-A"] = []Word{{Outcome: Pending}}
	if rep := c.settle(id); rep.Done() {
		t.Fatal(rep.Events)
	}
	c.change(otherAgent...)
	first.decide("BANK-A", true)
	if rep := c.settle(id); !rep.Done() || first.balance["BANK-C"] != 500 || len(*second.moves) != 0 {
		t.Errorf("%v; the second agent moved %v", rep.Open, *second.moves)
	}
	c.pay("a>c", 300) // nobody was asked for this yet
	if rep := c.settle(c.closeWindow()); !rep.Done() || second.balance["BANK-C"] != 300 {
		t.Errorf("%v; the second agent moved %v", rep.Open, *second.moves)
	}
}

// TestAModelThatTheDirectoryDroppedKeepsItsAgent, and the rules that say who pays for
// whom in it: whatever was closed or instructed when it was dropped.
func TestAModelThatTheDirectoryDroppedKeepsItsAgent(t *testing.T) {
	for _, told := range []bool{false, true} {
		c := newChanging(t, &market{banks: banks("abc"), balance: rich("b"), fund: 1000, method: "bilateral"})
		at := c.agents[drillAgent]
		c.pay("a>c", 500) // a has nothing: the fund pays
		c.pay("b>c", 300)
		id := c.closeWindow()
		if told {
			c.must(clearing.Entry{Kind: clearing.KindInstruct, Window: id})
		}
		c.change("  models:\n    - {id: pairs, method: bilateral, agent: drill-agent, currencies: [CNY], schemes: [drill]}\n", "", "    model: pairs\n", "")
		c.change("name: drill\n", "name: drill again\n", "  models:\n    - {id: pairs, method: bilateral, agent: drill-agent, currencies: [CNY], schemes: [drill]}\n", "", "    model: pairs\n", "")
		past := schemes.NewMemoryRegistry(c.versions...)
		s, sheet := New(Options{Directory: past.Current, Past: past}), c.sheet(id)
		if d := s.DirectoryOf(&sheet, tongma.CNY); d.Version() != 1 {
			t.Errorf("told %v: version %d", told, d.Version())
		}
		if rep := c.settle(id); !rep.Done() || at.balance["BANK-C"] != 800 {
			t.Errorf("told %v: %v %v", told, rep.Open, at.balance)
		}
	}
}

// TestAnAgentThatTheDirectoryDroppedIsSpokenToByTheLatestVersionThatNamedIt.
func TestAnAgentThatTheDirectoryDroppedIsSpokenToByTheLatestVersionThatNamedIt(t *testing.T) {
	c := newChanging(t, &market{banks: banks("ac")})
	c.change(otherAgent...)
	c.change()
	past := schemes.NewMemoryRegistry(c.versions...)
	for id, version := range map[schemes.AgentID]uint64{drillAgent: 3, "other-agent": 2} {
		if d := Naming(past, id); d == nil || d.Version() != version {
			t.Errorf("%s: %v", id, d)
		}
	}
	if Naming(past, "nobody") != nil {
		t.Error("somebody named nobody")
	}
}
