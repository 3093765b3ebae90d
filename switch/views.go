package switching

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// Views are how the books are shown: over HTTP, by the command line, in events.
// Amounts are decimal strings with the currency's own number of decimals.

// FigureView is one participant's net in one window and currency.
type FigureView struct {
	Participant string `json:"participant"`
	Currency    string `json:"currency"`
	Debits      string `json:"debits"`
	Credits     string `json:"credits"`
	Net         string `json:"net" doc:"debits less credits: more than zero pays"`
}

// ObligationView is one cell of the bilateral matrix.
type ObligationView struct {
	Debtor   string `json:"debtor"`
	Creditor string `json:"creditor"`
	Currency string `json:"currency"`
	Gross    string `json:"gross"`
	Payments int64  `json:"payments"`
}

// InstructionView is one order to the settlement agent.
type InstructionView struct {
	ID          string `json:"id"`
	Participant string `json:"participant"`
	Direction   string `json:"direction" enum:"debit,credit"`
	Currency    string `json:"currency"`
	Amount      string `json:"amount"`
}

// WindowView is a clearing window with its net sheet.
type WindowView struct {
	Window       string            `json:"window"`
	State        string            `json:"state" enum:"open,closed,instructed,settled"`
	FirstEntry   uint64            `json:"first_entry" doc:"the window holds the journal entries from this one"`
	EndEntry     uint64            `json:"end_entry,omitempty" doc:"up to, and without, this one"`
	OpenedAt     string            `json:"opened_at"`
	ClosedAt     string            `json:"closed_at,omitempty"`
	Payments     int64             `json:"payments"`
	Gross        map[string]string `json:"gross" doc:"by currency"`
	ToMove       map[string]string `json:"to_move" doc:"by currency: what the net debtors pay"`
	Nets         []FigureView      `json:"nets"`
	Matrix       []ObligationView  `json:"matrix"`
	Instructions []InstructionView `json:"instructions,omitempty"`
	SheetHash    string            `json:"sheet_hash"`
}

// Sheet returns a window's net sheet.
func (e *Engine) Sheet(ctx context.Context, id tongma.WindowID) (clearing.Sheet, error) {
	var s clearing.Sheet
	var ok bool
	if err := e.ledger.Read(ctx, func(b *clearing.Book) { s, ok = b.Sheet(id) }); err != nil {
		return clearing.Sheet{}, err
	}
	if !ok {
		return s, &tongma.Error{Op: "window", Reason: tongma.WindowUnknown, Field: id.String()}
	}
	return s, nil
}

// ViewWindow renders a net sheet.
func ViewWindow(s clearing.Sheet) WindowView {
	v := WindowView{Window: s.Window.String(), State: s.State.String(), FirstEntry: s.Opened, EndEntry: s.Closed, OpenedAt: stamp(s.OpenedAt),
		ClosedAt: stamp(s.ClosedAt), Gross: map[string]string{}, ToMove: map[string]string{}, Nets: []FigureView{}, Matrix: []ObligationView{}, SheetHash: hexHash(s.Hash)}
	for _, t := range s.Totals {
		v.Gross[t.Currency.Code()], v.ToMove[t.Currency.Code()] = dec(t.Gross, t.Currency), dec(t.ToMove, t.Currency)
		v.Payments += t.Count
	}
	for _, n := range s.Nets {
		v.Nets = append(v.Nets, figureView(n))
	}
	for _, o := range s.Matrix {
		v.Matrix = append(v.Matrix, ObligationView{string(o.Debtor), string(o.Creditor), o.Currency.Code(), dec(o.Gross, o.Currency), o.Count})
	}
	if s.State != clearing.WindowOpen {
		for _, in := range clearing.Instruct(s) {
			v.Instructions = append(v.Instructions, instructionView(in))
		}
	}
	return v
}

func instructionView(in clearing.Instruction) InstructionView {
	direction := "credit"
	if in.Debit {
		direction = "debit"
	}
	return InstructionView{in.ID, string(in.Participant), direction, in.Amount.Currency.Code(), in.Amount.Decimal()}
}

func figureView(n clearing.NetFigure) FigureView {
	return FigureView{string(n.Participant), n.Currency.Code(), dec(n.Debits, n.Currency), dec(n.Credits, n.Currency), dec(n.Net, n.Currency)}
}

func dec(minor int64, c tongma.Currency) string {
	return tongma.Money{Minor: minor, Currency: c}.Decimal()
}

func hexHash(h [32]byte) string { return hex.EncodeToString(h[:]) }

func stamp(millis int64) string {
	if millis == 0 {
		return ""
	}
	return time.UnixMilli(millis).UTC().Format("2006-01-02T15:04:05.000Z")
}
