package office

import (
	"context"
	"slices"
	"strconv"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// PositionRow is one entry behind a position, and what stood after it.
type PositionRow struct {
	Entry    uint64               `json:"entry,omitempty"` // zero: the row sums up the earlier ones
	What     string               `json:"what"`            // post, reversed, defer, cover, settle, hold, ..., or "earlier"
	Payment  tongma.PaymentID     `json:"payment,omitzero"`
	Other    tongma.ParticipantID `json:"other,omitempty"` // with whom; empty: the settlement account, or nobody
	Window   tongma.WindowID      `json:"window,omitempty"`
	Amount   tongma.Money         `json:"amount"`   // of the entry
	Position tongma.Money         `json:"position"` // what it added, with its fees
	Reserved tongma.Money         `json:"reserved"`
	Sum      tongma.Money         `json:"sum"` // position after it
}

// PositionView explains a participant's standing in one currency. The rows add up
// to Position and Reserved exactly, the row of the earlier ones included. Of a
// sub-participant it is what it adds to its sponsor's position.
type PositionView struct {
	Participant tongma.ParticipantID `json:"participant"`
	Sponsor     tongma.ParticipantID `json:"sponsor,omitempty"` // settles for it
	Position    tongma.Money         `json:"position"`          // more than zero owes
	Reserved    tongma.Money         `json:"reserved"`          // open holds
	Cap         tongma.Money         `json:"cap"`
	Prefunded   tongma.Money         `json:"prefunded"`
	Available   tongma.Money         `json:"available"`                 // what may still be debited by its own limits; nothing while its sponsor takes none
	Through     string               `json:"through_sponsor,omitempty"` // "yes" or "no": whether its sponsor takes debits for it now; how much is the sponsor's own affair
	Suspended   bool                 `json:"suspended,omitempty"`
	Earlier     int64                `json:"earlier,omitempty"` // entries that the first row sums up
	Rows        []PositionRow        `json:"rows"`
}

// ExplainPosition returns the entries behind a position and its holds, the latest
// limit of them and the others as one row; zero: all. What is settled is over and
// not among them. It takes as long as the windows that are not settled are large,
// and holds the books up for that time: give a limit where a person waits, and do
// not call it in a loop. Reasons: ParticipantUnknown, NoAccount, and Internal if
// the rows do not add up to the position, which calls for `tongma audit`.
func (o *Office) ExplainPosition(ctx context.Context, who tongma.ParticipantID, c tongma.Currency, limit int) (PositionView, error) {
	const op = "office.explain-position"
	if _, err := o.known(op, who); err != nil {
		return PositionView{}, err
	}
	var x clearing.Explanation
	var at, sponsor clearing.Position
	found := false
	if err := o.Ledger.Read(ctx, func(b *clearing.Book) {
		all := b.Positions()
		if at, found = positionOf(all, who, c); found {
			sponsor, _ = positionOf(all, at.Sponsor, c)
			x = b.Explain(who, c, max(0, limit))
		}
	}); err != nil {
		return PositionView{}, failed(op, err)
	}
	if !found {
		return PositionView{}, refuse(op, tongma.NoAccount, "/currency", "")
	}
	v := viewPosition(at, x)
	if at.Sponsor != "" {
		// The sponsor's room is the business of the sponsor, and of all its other subs.
		if v.Through = "yes"; available(&sponsor) == 0 {
			v.Through, v.Available.Minor = "no", 0
		}
	}
	position, reserved := int64(0), int64(0)
	for _, r := range v.Rows {
		position, reserved = position+r.Position.Minor, reserved+r.Reserved.Minor
	}
	if position != v.Position.Minor || reserved != v.Reserved.Minor {
		return PositionView{}, refuse(op, tongma.Internal, "", "the entries do not add up to the position: run `tongma audit`")
	}
	return v, nil
}

// positionOf finds an account among all.
func positionOf(all []clearing.Position, who tongma.ParticipantID, c tongma.Currency) (clearing.Position, bool) {
	i := slices.IndexFunc(all, func(p clearing.Position) bool { return p.Participant == who && p.Currency == c })
	if i < 0 {
		return clearing.Position{}, false
	}
	return all[i], true
}

// stands returns position and holds of an account: of a sub-participant, its memo.
func stands(p *clearing.Position) (position, reserved int64) {
	if p.Sponsor != "" {
		return p.MemoPosition, p.MemoReserved
	}
	return p.Position, p.Reserved
}

// available is what may still be debited as far as the account itself goes.
func available(p *clearing.Position) int64 {
	position, reserved := stands(p)
	if !p.Capped || p.Suspended {
		return 0
	}
	return max(0, p.Cap+p.Prefunded-position-reserved)
}

func viewPosition(at clearing.Position, x clearing.Explanation) PositionView {
	money := func(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: at.Currency} }
	position, reserved := stands(&at)
	v := PositionView{Participant: at.Participant, Sponsor: at.Sponsor, Position: money(position), Reserved: money(reserved), Cap: money(at.Cap), Prefunded: money(at.Prefunded),
		Available: money(available(&at)), Suspended: at.Suspended, Earlier: x.Earlier.Lines, Rows: []PositionRow{}}
	sum := int64(0)
	if e := x.Earlier; e.Lines > 0 {
		sum = e.Position
		v.Rows = append(v.Rows, PositionRow{What: "earlier", Amount: money(0), Position: money(e.Position), Reserved: money(e.Reserved), Sum: money(sum)})
	}
	for _, l := range x.Lines {
		sum += l.Position
		v.Rows = append(v.Rows, PositionRow{Entry: l.Entry, What: l.Kind.String(), Payment: l.Payment, Other: l.Other, Window: l.Window, Amount: l.Amount,
			Position: money(l.Position), Reserved: money(l.Reserved), Sum: money(sum)})
	}
	return v
}

// Table returns the view as the cells of a table: a head, the rows, and the totals.
func (v *PositionView) Table() [][]string {
	out := [][]string{{"entry", "what", "payment", "with", "window", "amount", "position", "held", "sum"}}
	for _, r := range v.Rows {
		entry, amount := strconv.FormatUint(r.Entry, 10), r.Amount.Decimal()
		if r.Entry == 0 {
			entry, amount = strconv.FormatInt(v.Earlier, 10)+" entries", ""
		}
		out = append(out, []string{entry, r.What, r.Payment.String(), string(r.Other), r.Window.String(), amount, r.Position.Decimal(), r.Reserved.Decimal(), r.Sum.Decimal()})
	}
	return append(out, []string{"", "total", "", "", "", "", v.Position.Decimal(), v.Reserved.Decimal(), v.Position.Decimal()})
}
