package settle

import (
	"cmp"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

// ModelProjection is what one settlement model would settle.
type ModelProjection struct {
	Model     string // "" is the one that every book has
	Method    calendar.Model
	Windows   []tongma.WindowID
	Totals    []clearing.Total       // by currency
	Transfers []clearing.Instruction // debits first
}

// ProjectedRow is where a participant would stand in one currency once the windows of
// all models are settled, and nothing else has happened. All amounts are minor units.
type ProjectedRow struct {
	Participant tongma.ParticipantID
	Currency    tongma.Currency
	Position    int64 // now: posted debits less posted credits, not yet settled
	Pays        int64 // in all the transfers
	Receives    int64
	After       int64 // the position that is left
	Reserved    int64 // open holds, which go on
	Cap         int64
	Capped      bool // false: it may only receive
	Prefunded   int64
	Suspended   bool
	Beyond      int64 // by how much position and holds would then be more than cap and prefunding
	Uncovered   int64 // by how much what it pays is more than its own prefunding: what others would have to find if it failed
}

// Projection is what closing and settling would do, before anyone presses a button.
type Projection struct {
	Models []ModelProjection
	Rows   []ProjectedRow // of all who take part in the windows, by participant and currency
}

// Project computes what settling the given windows would do, of whatever models;
// none means all that are not settled, the open ones included, as if they were closed
// now. It changes nothing. A participant can end up beyond its cap although every
// debit was within it: when the windows that settle hold its credits, and what stays
// open its debits. The errors are WindowUnknown, and StateConflict for a window that
// is settled, or is the first shard's to settle.
func Project(b *clearing.Book, windows []tongma.WindowID) (Projection, error) {
	sheets, err := unsettled(b, windows)
	if err != nil {
		return Projection{}, err
	}
	var out Projection
	pays, receives := map[Account]int64{}, map[Account]int64{}
	for _, s := range sheets {
		m := out.model(s)
		m.Windows = append(m.Windows, s.Window)
		m.Totals = addTotals(m.Totals, s.Totals)
		for _, in := range clearing.Instruct(s) {
			m.Transfers = append(m.Transfers, in)
			pays[Account{in.Debtor, in.Amount.Currency}] += in.Amount.Minor
			receives[Account{in.Creditor, in.Amount.Currency}] += in.Amount.Minor
		}
	}
	for i := range out.Models {
		slices.SortStableFunc(out.Models[i].Transfers, func(x, y clearing.Instruction) int { return b2i(y.Debit) - b2i(x.Debit) })
	}
	for _, p := range b.Positions() {
		k := Account{p.Participant, p.Currency}
		if pays[k] != 0 || receives[k] != 0 || took(sheets, k) {
			out.Rows = append(out.Rows, row(p, pays[k], receives[k]))
		}
	}
	return out, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// model finds the row of a sheet's model.
func (p *Projection) model(s clearing.Sheet) *ModelProjection {
	for i := range p.Models {
		if p.Models[i].Model == s.Model {
			return &p.Models[i]
		}
	}
	p.Models = append(p.Models, ModelProjection{Model: s.Model, Method: s.Method})
	return &p.Models[len(p.Models)-1]
}

func addTotals(all, more []clearing.Total) []clearing.Total {
	for _, t := range more {
		i := slices.IndexFunc(all, func(x clearing.Total) bool { return x.Currency == t.Currency })
		if i < 0 {
			all = append(all, t)
			continue
		}
		all[i].Gross += t.Gross
		all[i].ToMove += t.ToMove
		all[i].Count += t.Count
	}
	return all
}

// took tells whether a participant takes part in the windows, though its legs be zero.
func took(sheets []clearing.Sheet, k Account) bool {
	return slices.ContainsFunc(sheets, func(s clearing.Sheet) bool {
		return slices.ContainsFunc(s.Nets, func(n clearing.NetFigure) bool { return n.Participant == k.Participant && n.Currency == k.Currency })
	})
}

func row(p clearing.Position, pays, receives int64) ProjectedRow {
	r := ProjectedRow{Participant: p.Participant, Currency: p.Currency, Position: p.Position, Pays: pays, Receives: receives, After: p.Position - pays + receives,
		Reserved: p.Reserved, Cap: p.Cap, Capped: p.Capped, Prefunded: p.Prefunded, Suspended: p.Suspended, Uncovered: max(0, pays-p.Prefunded)}
	if p.Capped {
		r.Beyond = max(0, r.After+r.Reserved-r.Cap-r.Prefunded)
	}
	return r
}

// unsettled returns the sheets of the given windows, or of all that are not settled;
// of these, those in which nothing happened are left out, and those that another shard
// settles: nothing of them is instructed here.
func unsettled(b *clearing.Book, windows []tongma.WindowID) (out []clearing.Sheet, err error) {
	if len(windows) == 0 {
		out, _ = b.Unsettled()
		return slices.DeleteFunc(out, func(s clearing.Sheet) bool { return len(s.Nets) == 0 || s.Linked != 0 }), nil
	}
	windows = slices.Sorted(slices.Values(windows))
	for _, id := range slices.Compact(windows) {
		s, ok := b.Sheet(id)
		switch {
		case !ok:
			return nil, &tongma.Error{Op: "settle.project", Reason: tongma.WindowUnknown, Field: id.String()}
		case s.State == clearing.WindowSettled:
			return nil, &tongma.Error{Op: "settle.project", Reason: tongma.StateConflict, Field: id.String(), Detail: "it is settled already"}
		case s.Linked != 0:
			return nil, &tongma.Error{Op: "settle.project", Reason: tongma.StateConflict, Field: id.String(), Detail: "it is settled by " + s.Linked.String() + " of the first shard: project that"}
		}
		out = append(out, s)
	}
	return out, nil
}

// StressResult is what would become of one currency of a window if its largest
// debtors failed together and everybody else paid.
type StressResult struct {
	Currency tongma.Currency
	Failed   []tongma.ParticipantID
	Missing  int64  // what they owe
	Steps    []Step // by which layers it would be found
	Deferred int    // payments that would roll over
	Value    int64  // of these, minor units
	Settles  bool   // the window would settle in the end, and not wait for people
}

// Stress says for each currency of a sheet what would happen if the n largest debtors
// failed. It is pure; items are the payments of the window (Payments).
func Stress(s clearing.Sheet, items []clearing.WindowItem, f Funds, rules func(tongma.Currency) *schemes.DefaultRules, n int) (out []StressResult, err error) {
	for _, t := range s.Totals {
		r := StressResult{Currency: t.Currency, Failed: largest(s, t.Currency, n), Settles: true}
		if len(r.Failed) == 0 {
			continue
		}
		one := Collected(Fail(only(s, t.Currency), r.Failed...))
		for _, l := range shorts(&one) {
			r.Missing += l.due
		}
		r.Steps = Plan(one, f, rules, items)
		if err := r.recast(one, items); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// recast counts what would be deferred once the layers have paid.
func (r *StressResult) recast(s clearing.Sheet, items []clearing.WindowItem) error {
	defers := false
	for _, step := range r.Steps {
		defers = defers || step.Kind == StepRecast
		r.Settles = r.Settles && step.Kind != StepWait
		for i := range s.Legs {
			if l := &s.Legs[i]; step.Payer != "" && l.Short && l.Debtor == step.Short && l.Creditor == step.Creditor {
				l.Settled += step.Amount.Minor
			}
		}
	}
	if !defers {
		return nil
	}
	left, err := LeftOut(s, r.Currency, items)
	waits := map[Deferral]bool{}
	for _, d := range left {
		waits[d] = true
	}
	for i := range items {
		if it := &items[i]; it.Kind == clearing.KindPost && waits[deferralOf(it)] {
			r.Value += it.Amount.Minor
		}
	}
	r.Deferred = len(left)
	return err
}

// only returns a sheet with the legs of one currency.
func only(s clearing.Sheet, c tongma.Currency) clearing.Sheet {
	s.Legs = slices.DeleteFunc(slices.Clone(s.Legs), func(l clearing.SheetLeg) bool { return l.Currency != c })
	return s
}

// largest returns the n who owe most by their legs, the first by name among equals.
func largest(s clearing.Sheet, c tongma.Currency, n int) (out []tongma.ParticipantID) {
	owes := map[tongma.ParticipantID]int64{}
	for _, l := range s.Legs {
		if l.Currency == c && l.Debtor != "" && l.Due > 0 {
			owes[l.Debtor] += l.Due
		}
	}
	for who := range owes {
		out = append(out, who)
	}
	slices.SortFunc(out, func(x, y tongma.ParticipantID) int { return cmp.Or(cmp.Compare(owes[y], owes[x]), cmp.Compare(x, y)) })
	return out[:min(max(n, 0), len(out))]
}

// methodOf is a directory's method as the books name it.
func methodOf(m schemes.Method) calendar.Model {
	return [...]calendar.Model{calendar.Multilateral, calendar.Bilateral, calendar.Gross}[m%3]
}
