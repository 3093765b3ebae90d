package api

import (
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	switching "github.com/tongma/tongma/switch"
	"github.com/tongma/tongma/switch/settle"
)

const (
	failingMost   = 100
	failingNormal = 2
)

// Projection is what closing and settling would do, before anyone presses a button. A
// participant can end up beyond its cap although every debit was within it: when the
// windows that settle hold its credits, and what stays open its debits.
type Projection struct {
	Windows      []string                    `json:"windows" doc:"those that would be settled"`
	ToMove       map[string]string           `json:"to_move" doc:"by currency: what the legs come to"`
	Instructions []switching.InstructionView `json:"instructions" doc:"to the settlement agent: debits first"`
	Positions    []ProjectedPosition         `json:"positions" doc:"of all who take part in the windows"`
	Beyond       int                         `json:"beyond" doc:"how many would be beyond their cap"`
	Models       []ProjectedModel            `json:"models"`
}

// ProjectedModel is what one settlement model would settle.
type ProjectedModel struct {
	Model   string            `json:"model" doc:"empty: the one that every book has"`
	Method  string            `json:"method" enum:"multilateral,bilateral,gross"`
	Windows []string          `json:"windows"`
	Gross   map[string]string `json:"gross" doc:"by currency"`
	ToMove  map[string]string `json:"to_move" doc:"by currency"`
}

// ProjectedPosition is where a participant would stand in one currency once the
// windows are settled, and nothing else has happened.
type ProjectedPosition struct {
	Participant string `json:"participant"`
	Currency    string `json:"currency"`
	Position    string `json:"position" doc:"now: posted debits less posted credits, not yet settled"`
	Settled     string `json:"settled" doc:"what the windows take off it: more than zero is paid by the participant"`
	Pays        string `json:"pays" doc:"in all the transfers"`
	Receives    string `json:"receives"`
	After       string `json:"after" doc:"the position that is left"`
	Reserved    string `json:"reserved" doc:"open holds, which go on"`
	Cap         string `json:"cap,omitempty"`
	Prefunded   string `json:"prefunded,omitempty"`
	Suspended   bool   `json:"suspended,omitempty"`
	Beyond      string `json:"beyond,omitempty" doc:"by how much position and holds would then be more than cap and prefunding"`
	Uncovered   string `json:"uncovered,omitempty" doc:"by how much what it pays is more than its own prefunding: what others would have to find if it failed"`
}

// StressList is the answer to GET /v1/windows/{id}/stress.
type StressList struct {
	Window  string       `json:"window"`
	Failing int          `json:"failing" doc:"how many of the largest debtors fail together"`
	Results []StressView `json:"results" doc:"by currency"`
}

// StressView is what would become of one currency of a window if its largest debtors
// failed together and everybody else paid.
type StressView struct {
	Currency string           `json:"currency"`
	Failed   []string         `json:"failed"`
	Missing  string           `json:"missing" doc:"what they owe"`
	Steps    []SettlementStep `json:"steps" doc:"by which layers it would be found"`
	Deferred int              `json:"deferred,omitempty" doc:"payments that would roll over"`
	Value    string           `json:"deferred_value,omitempty"`
	Settles  bool             `json:"settles" doc:"the window would settle in the end, and not wait for people"`
}

func (c *call) projectWindows() error {
	ids, err := c.windowIDs()
	if err != nil {
		return err
	}
	var p settle.Projection
	var refused error
	if err := c.read(func(b *clearing.Book) { p, refused = settle.Project(b, ids) }); err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	return c.send(viewProjection(&p))
}

func viewProjection(p *settle.Projection) Projection {
	v := Projection{Windows: []string{}, ToMove: map[string]string{}, Instructions: []switching.InstructionView{}, Positions: []ProjectedPosition{}, Models: []ProjectedModel{}}
	moved := map[tongma.Currency]int64{}
	var debits, credits []switching.InstructionView
	for _, m := range p.Models {
		row := ProjectedModel{Model: m.Model, Method: m.Method.String(), Windows: []string{}, Gross: map[string]string{}, ToMove: map[string]string{}}
		for _, id := range m.Windows {
			row.Windows = append(row.Windows, id.String())
		}
		for _, t := range m.Totals {
			row.Gross[t.Currency.Code()], row.ToMove[t.Currency.Code()] = dec(t.Gross, t.Currency), dec(t.ToMove, t.Currency)
			moved[t.Currency] += t.ToMove
		}
		for _, in := range m.Transfers {
			one := switching.InstructionView{ID: in.ID, Participant: string(in.Participant), Direction: "credit", Currency: in.Amount.Currency.Code(), Amount: in.Amount.Decimal()}
			if in.Debit {
				one.Direction = "debit"
				debits = append(debits, one)
			} else {
				credits = append(credits, one)
			}
		}
		v.Windows, v.Models = append(v.Windows, row.Windows...), append(v.Models, row)
	}
	v.Instructions = append(append(v.Instructions, debits...), credits...)
	for c, minor := range moved {
		v.ToMove[c.Code()] = dec(minor, c)
	}
	for i := range p.Rows {
		v.add(&p.Rows[i])
	}
	return v
}

func (v *Projection) add(r *settle.ProjectedRow) {
	c := r.Currency
	row := ProjectedPosition{Participant: string(r.Participant), Currency: c.Code(), Position: dec(r.Position, c), Settled: dec(r.Pays-r.Receives, c), Pays: dec(r.Pays, c),
		Receives: dec(r.Receives, c), After: dec(r.After, c), Reserved: dec(r.Reserved, c), Suspended: r.Suspended}
	if r.Capped {
		row.Cap = dec(r.Cap, c)
	}
	if r.Prefunded != 0 {
		row.Prefunded = dec(r.Prefunded, c)
	}
	if r.Beyond > 0 {
		row.Beyond = dec(r.Beyond, c)
		v.Beyond++
	}
	if r.Uncovered > 0 {
		row.Uncovered = dec(r.Uncovered, c)
	}
	v.Positions = append(v.Positions, row)
}

// stress says what would become of a window if its largest debtors failed.
func (c *call) stress() error {
	id, err := c.windowID()
	if err != nil {
		return err
	}
	n, err := c.number("failing", failingNormal)
	if err == nil && (n == 0 || n > failingMost) {
		err = &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?failing", Detail: "1 to 100"}
	}
	if err != nil {
		return err
	}
	var s clearing.Sheet
	var items []clearing.WindowItem
	var funds settle.Funds
	next := uint64(0)
	if err := c.read(func(b *clearing.Book) {
		if s, _ = b.Sheet(id); s.Window != 0 {
			funds, next = settle.FundsOf(b, &s), b.Next()
		}
	}); err != nil {
		return err
	}
	if err := c.eachPayment(id, clearing.WindowCursor{}, func(it *clearing.WindowItem) bool {
		if it.Entry < next && it.DeferredTo == 0 { // what comes meanwhile is not in the sheet
			items = append(items, *it)
		}
		return it.Entry < next
	}); err != nil {
		return err
	}
	switch {
	case s.Window == 0:
		return &tongma.Error{Op: "window", Reason: tongma.WindowUnknown, Field: id.String()}
	case s.State == clearing.WindowSettled:
		return &tongma.Error{Op: "window", Reason: tongma.StateConflict, Field: id.String(), Detail: "it is settled already"}
	}
	results, err := settle.Stress(s, items, funds, settle.Rules(c.cfg.Engine.Directory(), s.Model), int(n))
	if err != nil {
		return err
	}
	list := StressList{Window: id.String(), Failing: int(n), Results: []StressView{}}
	for _, r := range results {
		v := StressView{Currency: r.Currency.Code(), Failed: []string{}, Missing: dec(r.Missing, r.Currency), Steps: viewSteps(r.Steps), Deferred: r.Deferred, Settles: r.Settles}
		for _, who := range r.Failed {
			v.Failed = append(v.Failed, string(who))
		}
		if r.Deferred > 0 {
			v.Value = dec(r.Value, r.Currency)
		}
		list.Results = append(list.Results, v)
	}
	return c.send(list)
}

func viewSteps(steps []settle.Step) []SettlementStep {
	out := []SettlementStep{}
	for _, s := range steps {
		out = append(out, SettlementStep{s.Kind.String(), string(s.Short), string(s.Creditor), string(s.Payer), s.Amount.Currency.Code(), s.Amount.Decimal()})
	}
	return out
}
