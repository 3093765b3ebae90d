package switching

import (
	"cmp"
	"context"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// ProjectedPosition is where a participant would stand once some windows have
// been settled, and nothing else has happened.
type ProjectedPosition struct {
	Participant string `json:"participant"`
	Currency    string `json:"currency"`
	Position    string `json:"position" doc:"now: posted debits less posted credits, not yet settled"`
	Settled     string `json:"settled" doc:"what the windows take off it: more than zero is paid by the participant"`
	After       string `json:"after" doc:"the position that is left"`
	Reserved    string `json:"reserved" doc:"open holds, which go on"`
	Cap         string `json:"cap,omitempty"`
	Beyond      string `json:"beyond,omitempty" doc:"by how much position and holds would then be more than the cap"`
}

// ProjectionView is what closing and settling would do, before anyone presses a
// button. A participant can end up beyond its cap although every debit was within
// it: when the window that is settled holds its credits, and the one that stays
// open its debits.
type ProjectionView struct {
	Windows      []string            `json:"windows" doc:"those that would be settled"`
	ToMove       map[string]string   `json:"to_move" doc:"by currency: what the net debtors would pay"`
	Instructions []InstructionView   `json:"instructions" doc:"to the settlement agent: debits first"`
	Positions    []ProjectedPosition `json:"positions" doc:"of all who take part in the windows"`
	Beyond       int                 `json:"beyond" doc:"how many would be beyond their cap"`
}

// Project computes what settling the given windows would do; none means all that
// are not settled yet, the open one included, as if it were closed now. It
// changes nothing.
func (e *Engine) Project(ctx context.Context, windows []tongma.WindowID) (ProjectionView, error) {
	var view ProjectionView
	var refused error
	err := e.ledger.Read(ctx, func(b *clearing.Book) { view, refused = project(b, windows) })
	if err == nil {
		err = refused
	}
	return view, err
}

type standing struct {
	participant tongma.ParticipantID
	currency    tongma.Currency
}

func project(b *clearing.Book, windows []tongma.WindowID) (ProjectionView, error) {
	v := ProjectionView{Windows: []string{}, ToMove: map[string]string{}, Instructions: []InstructionView{}, Positions: []ProjectedPosition{}}
	sheets, err := unsettled(b, windows)
	if err != nil {
		return v, err
	}
	nets, moved := map[standing]int64{}, map[tongma.Currency]int64{}
	for _, s := range sheets {
		v.Windows = append(v.Windows, s.Window.String())
		for _, n := range s.Nets {
			nets[standing{n.Participant, n.Currency}] += n.Net
		}
		for _, t := range s.Totals {
			moved[t.Currency] += t.ToMove
		}
		for _, in := range clearing.Instruct(s) {
			v.Instructions = append(v.Instructions, instructionView(in))
		}
	}
	slices.SortStableFunc(v.Instructions, func(x, y InstructionView) int { return cmp.Compare(y.Direction, x.Direction) }) // "debit" before "credit"
	for c, minor := range moved {
		v.ToMove[c.Code()] = dec(minor, c)
	}
	for _, p := range b.Positions() {
		net, concerned := nets[standing{p.Participant, p.Currency}]
		if concerned {
			v.add(p, net)
		}
	}
	return v, nil
}

func (v *ProjectionView) add(p clearing.Position, net int64) {
	after := p.Position - net
	row := ProjectedPosition{Participant: string(p.Participant), Currency: p.Currency.Code(), Position: dec(p.Position, p.Currency),
		Settled: dec(net, p.Currency), After: dec(after, p.Currency), Reserved: dec(p.Reserved, p.Currency)}
	if p.Capped {
		row.Cap = dec(p.Cap, p.Currency)
		if over := after + p.Reserved - p.Cap - p.Prefunded; over > 0 {
			row.Beyond = dec(over, p.Currency)
			v.Beyond++
		}
	}
	v.Positions = append(v.Positions, row)
}

// unsettled returns the sheets of the given windows, or of all that are not
// settled. A window in which nothing happened adds nothing and is left out.
func unsettled(b *clearing.Book, windows []tongma.WindowID) (sheets []clearing.Sheet, err error) {
	if len(windows) == 0 {
		for _, s := range b.Sheets(0) {
			if s.State != clearing.WindowSettled && len(s.Nets) > 0 {
				sheets = append(sheets, s)
			}
		}
		return sheets, nil
	}
	slices.Sort(windows)
	for _, id := range slices.Compact(windows) {
		s, ok := b.Sheet(id)
		switch {
		case !ok:
			return nil, &tongma.Error{Op: "window.project", Reason: tongma.WindowUnknown, Field: id.String()}
		case s.State == clearing.WindowSettled:
			return nil, &tongma.Error{Op: "window.project", Reason: tongma.StateConflict, Field: id.String(), Detail: "it is settled already"}
		}
		sheets = append(sheets, s)
	}
	return sheets, nil
}
