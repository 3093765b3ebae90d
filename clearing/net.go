package clearing

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/tongma/tongma"
)

// Obligation is what one participant owes another from one window, in minor
// units: the sum of its payments and fees, before any netting.
type Obligation struct {
	Debtor   tongma.ParticipantID
	Creditor tongma.ParticipantID
	Currency tongma.Currency
	Gross    int64 // payments and fees
	Count    int64 // payments; fees are not counted
	Fees     int64 // of Gross
}

// NetFigure is one participant's multilateral net in one currency: more than
// zero pays, less than zero receives.
type NetFigure struct {
	Participant tongma.ParticipantID
	Currency    tongma.Currency
	Debits      int64
	Credits     int64
	Net         int64
}

// Total sums up one currency of a sheet.
type Total struct {
	Currency tongma.Currency
	Gross    int64 // all payments and fees
	ToMove   int64 // what the net debtors pay
	Count    int64
}

// Sheet is the net sheet of one window: the bilateral matrix, and the
// multilateral figures that are the sums of its rows less its columns.
type Sheet struct {
	Window         tongma.WindowID
	State          WindowState
	Opened, Closed uint64 // the window is the entries [Opened, Closed) of the journal
	OpenedAt       int64
	ClosedAt       int64
	Matrix         []Obligation // ordered by currency, debtor, creditor
	Nets           []NetFigure  // ordered by currency, participant
	Totals         []Total      // ordered by currency
	Hash           [32]byte     // SHA-256 of the canonical text of window and nets
}

// Net turns obligations into multilateral figures. Their sum is zero in every
// currency. It is pure: the same obligations give the same figures in the same
// order.
func Net(matrix []Obligation) ([]NetFigure, []Total) {
	type key struct {
		currency    tongma.Currency
		participant tongma.ParticipantID
	}
	figures := map[key]*NetFigure{}
	totals := map[tongma.Currency]*Total{}
	figure := func(c tongma.Currency, p tongma.ParticipantID) *NetFigure {
		f := figures[key{c, p}]
		if f == nil {
			f = &NetFigure{Participant: p, Currency: c}
			figures[key{c, p}] = f
		}
		return f
	}
	for _, o := range matrix {
		figure(o.Currency, o.Debtor).Debits += o.Gross
		figure(o.Currency, o.Creditor).Credits += o.Gross
		t := totals[o.Currency]
		if t == nil {
			t = &Total{Currency: o.Currency}
			totals[o.Currency] = t
		}
		t.Gross += o.Gross
		t.Count += o.Count
	}
	nets := make([]NetFigure, 0, len(figures))
	for _, f := range figures {
		f.Net = f.Debits - f.Credits
		if f.Net > 0 {
			totals[f.Currency].ToMove += f.Net
		}
		nets = append(nets, *f)
	}
	slices.SortFunc(nets, func(x, y NetFigure) int {
		return cmp.Or(cmp.Compare(x.Currency.Code(), y.Currency.Code()), cmp.Compare(x.Participant, y.Participant))
	})
	sums := make([]Total, 0, len(totals))
	for _, t := range totals {
		sums = append(sums, *t)
	}
	slices.SortFunc(sums, func(x, y Total) int { return cmp.Compare(x.Currency.Code(), y.Currency.Code()) })
	return nets, sums
}

// nets returns the multilateral figures by account.
func (w *window) nets() map[accountKey]int64 {
	out := make(map[accountKey]int64, 2*len(w.flows))
	for k, f := range w.flows {
		out[accountKey{k.debtor, k.currency}] += f.gross
		out[accountKey{k.creditor, k.currency}] -= f.gross
	}
	return out
}

func (b *Book) sheet(w *window) Sheet {
	s := Sheet{Window: w.id, State: w.state, Opened: w.opened, Closed: w.closed, OpenedAt: w.openedAt, ClosedAt: w.closedAt}
	for k, f := range w.flows {
		s.Matrix = append(s.Matrix, Obligation{tongma.ParticipantID(b.names[k.debtor]), tongma.ParticipantID(b.names[k.creditor]), k.currency, f.gross, f.count, f.fees})
	}
	slices.SortFunc(s.Matrix, func(x, y Obligation) int {
		return cmp.Or(cmp.Compare(x.Currency.Code(), y.Currency.Code()), cmp.Compare(x.Debtor, y.Debtor), cmp.Compare(x.Creditor, y.Creditor))
	})
	s.Nets, s.Totals = Net(s.Matrix)
	s.Hash = s.hash()
	return s
}

// hash binds the window and its figures: each as a line of text, so that anybody
// can compute it with sha256sum.
func (s *Sheet) hash() [32]byte {
	text := fmt.Appendf(nil, "tongma net sheet 1\nwindow %d\nentries %d %d\n", s.Window, s.Opened, s.Closed)
	for _, n := range s.Nets {
		text = fmt.Appendf(text, "%s %s %d\n", n.Currency.Code(), n.Participant, n.Net)
	}
	return sha256.Sum256(text)
}

// Sheet returns the net sheet of a window, open or closed.
func (b *Book) Sheet(id tongma.WindowID) (Sheet, bool) {
	w := b.window(id)
	if w == nil {
		return Sheet{}, false
	}
	return b.sheet(w), true
}

// Sheets returns the net sheets of the latest windows, oldest first; limit zero
// means all.
func (b *Book) Sheets(limit int) []Sheet {
	from := 0
	if limit > 0 && len(b.windows) > limit {
		from = len(b.windows) - limit
	}
	var out []Sheet
	for _, w := range b.windows[from:] {
		out = append(out, b.sheet(w))
	}
	return out
}

// Instruction tells the settlement agent to move one participant's net. Its ID
// is the same however often it is computed, so that sending it twice moves money
// once.
type Instruction struct {
	ID          string
	Window      tongma.WindowID
	Participant tongma.ParticipantID
	Debit       bool // the participant pays the settlement account; otherwise it is paid
	Amount      tongma.Money
	Sheet       [32]byte
}

// Instruct lists what the agent is to do for a closed window: all debits first,
// then the credits. A window whose figures are all zero needs nothing.
func Instruct(s Sheet) []Instruction {
	var debits, credits []Instruction
	for _, n := range s.Nets {
		in := Instruction{ID: instructionID(s, n), Window: s.Window, Participant: n.Participant, Debit: n.Net > 0,
			Amount: tongma.Money{Minor: max(n.Net, -n.Net), Currency: n.Currency}, Sheet: s.Hash}
		switch {
		case n.Net > 0:
			debits = append(debits, in)
		case n.Net < 0:
			credits = append(credits, in)
		}
	}
	return append(debits, credits...)
}

// instructionID is 32 characters: ISO 20022 allows 35.
func instructionID(s Sheet, n NetFigure) string {
	in := binary.BigEndian.AppendUint64(append([]byte(nil), s.Hash[:]...), uint64(s.Window))
	in = append(append(append(in, n.Participant...), 0), n.Currency.Code()...)
	sum := sha256.Sum256(in)
	return hex.EncodeToString(sum[:16])
}

// Confirm returns the entry that records the agent's confirmation of in.
func (in *Instruction) Confirm() Entry {
	e := Entry{Kind: KindSettle, Window: in.Window, Amount: in.Amount, Hash: in.Sheet, SchemeRef: in.ID}
	if in.Debit {
		e.Debtor = in.Participant
	} else {
		e.Creditor = in.Participant
	}
	return e
}
