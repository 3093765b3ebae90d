package clearing

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes/calendar"
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
	ToMove   int64 // what the legs come to: of multilateral ones, what the net debtors pay
	Count    int64
}

// Compression is how much of the gross has to be moved, in hundredths of a percent,
// rounded down; 0 if there is nothing.
func (t Total) Compression() int64 {
	if t.Gross <= 0 || t.ToMove <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(t.ToMove), 10_000)
	if hi >= uint64(t.Gross) {
		return math.MaxInt64 // no sheet has it: legs never come to more than the gross
	}
	q, _ := bits.Div64(hi, lo, uint64(t.Gross))
	return int64(min(q, math.MaxInt64))
}

// SheetLeg is what one side has to pay another so that a window settles. Of a
// multilateral window one side is the settlement account, the empty name.
type SheetLeg struct {
	Debtor, Creditor tongma.ParticipantID
	Currency         tongma.Currency
	Net              int64 // zero or more; zero of what was settled before everything was deferred
	Settled          int64 // confirmed up to now
	Due              int64 // Net less Settled; less than zero has to go back, as what was settled before a recast
	Tries            int   // how often the agent refused it
	Short            bool  // its last word was a refusal
}

// Progress is how far the settlement of a window has come, for people.
type Progress uint8

const (
	ProgressOpen       Progress = iota
	ProgressClosed              // its figures are fixed, and nobody was told to pay
	ProgressCollecting          // debits are due
	ProgressPaying              // all debits are in, credits are due
	ProgressShort               // the agent refused a debit, which nobody covers yet
	ProgressSettled
	ProgressRecasting // payments leave it, and its sheet is not drawn up anew yet
)

// String returns "open", "closed", "collecting", "paying", "short", "settled" or
// "recasting".
func (p Progress) String() string {
	return [...]string{"open", "closed", "collecting", "paying", "short", "settled", "recasting"}[p%7]
}

// Sheet is the net sheet of one window: the bilateral matrix, the multilateral
// figures that are the sums of its rows less its columns, and the legs that its
// method makes of them.
type Sheet struct {
	Window         tongma.WindowID
	Model          string // settlement model; "" is the one that every book has
	Method         calendar.Model
	State          WindowState
	Progress       Progress
	Recasting      bool            // payments were deferred, and its sheet is not drawn up anew yet
	RecastOf       tongma.Currency // while Recasting: for which currency; zero in older journals
	Opened, Closed uint64          // the window is those entries [Opened, Closed) of the journal that belong to its model
	OpenedAt       int64
	ClosedAt       int64
	Cutoff         int64        // Unix milliseconds that the schedule named; zero if it was closed by hand
	ValueDate      uint32       // yyyymmdd
	Calendar       string       // versions of the calendars
	Directory      uint64       // version in force when it was instructed, by which its agents stay who they are; zero before
	Matrix         []Obligation // ordered by currency, debtor, creditor
	Nets           []NetFigure  // ordered by currency, participant
	Totals         []Total      // ordered by currency
	Legs           []SheetLeg   // ordered by currency, and by the side whose name comes first
	Hash           [32]byte     // SHA-256 of the canonical text of window and nets

	// Of a switch of several shards. The head's sheet is the sum when nothing is awaited.
	Shards   uint16          // how many it is gathered of, with the head; zero: of none but its own
	Awaited  []uint16        // those that have not handed over theirs yet
	Gathered []Gathered      // what the others have handed over
	Linked   tongma.WindowID // the window of the head that this one is gathered into, and settled by
}

// Net turns obligations into multilateral figures. Their sum is zero in every
// currency. It is pure: the same obligations give the same figures in the same
// order. If a sum does not fit 64 bits there are no figures at all: NetChecked says so.
func Net(matrix []Obligation) ([]NetFigure, []Total) {
	nets, totals, err := NetChecked(matrix)
	if err != nil {
		return nil, nil
	}
	return nets, totals
}

// NetChecked is Net, with the error PositionOverflow if a sum does not fit 64 bits.
func NetChecked(matrix []Obligation) ([]NetFigure, []Total, error) {
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
	fits := true
	add := func(to *int64, n int64) {
		sum, ok := addChecked(*to, n)
		fits = fits && ok && n >= 0
		*to = sum
	}
	for _, o := range matrix {
		add(&figure(o.Currency, o.Debtor).Debits, o.Gross)
		add(&figure(o.Currency, o.Creditor).Credits, o.Gross)
		t := totals[o.Currency]
		if t == nil {
			t = &Total{Currency: o.Currency}
			totals[o.Currency] = t
		}
		add(&t.Gross, o.Gross)
		add(&t.Count, o.Count)
	}
	nets := make([]NetFigure, 0, len(figures))
	for _, f := range figures {
		f.Net = f.Debits - f.Credits // neither is less than zero: their difference fits
		if f.Net > 0 {
			add(&totals[f.Currency].ToMove, f.Net)
		}
		nets = append(nets, *f)
	}
	if !fits {
		return nil, nil, &tongma.Error{Op: "clearing.Net", Reason: tongma.PositionOverflow, Detail: "an amount is less than zero, or a sum more than 64 bits hold"}
	}
	slices.SortFunc(nets, func(x, y NetFigure) int {
		return cmp.Or(cmp.Compare(x.Currency.Code(), y.Currency.Code()), cmp.Compare(x.Participant, y.Participant))
	})
	sums := make([]Total, 0, len(totals))
	for _, t := range totals {
		sums = append(sums, *t)
	}
	slices.SortFunc(sums, func(x, y Total) int { return cmp.Compare(x.Currency.Code(), y.Currency.Code()) })
	return nets, sums, nil
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
	s := Sheet{Window: w.id, Model: b.models[w.model].name, Method: shownMethod(w.method), State: w.state, Recasting: w.recasting, RecastOf: w.recastOf, Opened: w.opened, Closed: w.closed,
		OpenedAt: w.openedAt, ClosedAt: w.closedAt, Cutoff: w.cutoff, ValueDate: w.valueDate, Calendar: w.calendar, Directory: w.directory}
	for k, f := range w.flows {
		s.Matrix = append(s.Matrix, Obligation{tongma.ParticipantID(b.names[k.debtor]), tongma.ParticipantID(b.names[k.creditor]), k.currency, f.gross, f.count, f.fees})
	}
	slices.SortFunc(s.Matrix, func(x, y Obligation) int {
		return cmp.Or(cmp.Compare(x.Currency.Code(), y.Currency.Code()), cmp.Compare(x.Debtor, y.Debtor), cmp.Compare(x.Creditor, y.Creditor))
	})
	s.Nets, s.Totals = Net(s.Matrix)
	legs := w.legs
	if w.state < WindowInstructed || w.recasting {
		legs = b.recastLegs(w)
	}
	for i := range legs {
		if !legs[i].gone() {
			s.Legs = append(s.Legs, b.sheetLeg(&legs[i]))
		}
	}
	w.showGathering(&s)
	s.moved()
	s.Progress = s.progress()
	s.Hash = s.hash()
	return s
}

// sheetLeg shows a leg from the side that pays by the sheet; of one whose net is
// zero, from the side that paid.
func (b *Book) sheetLeg(l *leg) SheetLeg {
	out := SheetLeg{tongma.ParticipantID(b.names[l.one]), tongma.ParticipantID(b.names[l.other]), l.currency, l.net, l.done, l.due(), int(l.tries), l.short}
	if l.net < 0 || (l.net == 0 && l.done < 0) {
		out.Debtor, out.Creditor, out.Net, out.Settled, out.Due = out.Creditor, out.Debtor, -out.Net, -out.Settled, -out.Due
	}
	return out
}

// moved adds up what the legs come to, for methods of which it is not the sum of the nets.
func (s *Sheet) moved() {
	if s.Method == calendar.Multilateral {
		return
	}
	for i := range s.Totals {
		t := &s.Totals[i]
		t.ToMove = 0
		for _, l := range s.Legs {
			if l.Currency == t.Currency {
				t.ToMove += l.Net
			}
		}
	}
}

func (s *Sheet) progress() Progress {
	switch s.State {
	case WindowOpen:
		return ProgressOpen
	case WindowClosed:
		return ProgressClosed
	case WindowSettled:
		return ProgressSettled
	}
	if s.Recasting {
		return ProgressRecasting
	}
	out := ProgressPaying
	for _, l := range s.Legs {
		switch {
		case l.Short && l.Due != 0:
			return ProgressShort
		case l.Due > 0 && l.Debtor != "", l.Due < 0 && l.Debtor == "":
			out = ProgressCollecting
		}
	}
	return out
}

// hash binds the window and its figures: each as a line of text, so that anybody
// can compute it with sha256sum. A window of the default model that settles
// multilaterally has no line for the model, and one without a value date none for
// that. Where legs are not the nets, they follow them.
func (s *Sheet) hash() [32]byte {
	text := fmt.Appendf(nil, "tongma net sheet 1\nwindow %d\nentries %d %d\n", s.Window, s.Opened, s.Closed)
	if s.Model != "" || s.Method != calendar.Multilateral {
		text = fmt.Appendf(text, "model %s %s\n", cmp.Or(s.Model, "-"), s.Method)
	}
	if s.ValueDate != 0 {
		text = fmt.Appendf(text, "value %d\n", s.ValueDate)
	}
	for _, n := range s.Nets {
		text = fmt.Appendf(text, "%s %s %d\n", n.Currency.Code(), n.Participant, n.Net)
	}
	if s.Method != calendar.Multilateral {
		for _, l := range s.Legs {
			if l.Net == 0 {
				continue
			}
			text = fmt.Appendf(text, "%s %s pays %s %d\n", l.Currency.Code(), l.Debtor, l.Creditor, l.Net)
		}
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

// Renew brings the sheet of a window that is being settled up to what was said of its legs
// since: their figures, and how far the window has come. It is all that changes as long as
// the sheet stays in force, and costs no look at the matrix. False: draw it up with Sheet.
func (b *Book) Renew(s *Sheet) bool {
	w := b.window(s.Window)
	if w == nil || w.state < WindowInstructed || w.recasting || s.Recasting || s.State < WindowInstructed || s.Hash != w.sheet {
		return false
	}
	s.Legs = make([]SheetLeg, 0, len(w.legs))
	for i := range w.legs {
		if !w.legs[i].gone() {
			s.Legs = append(s.Legs, b.sheetLeg(&w.legs[i]))
		}
	}
	s.State = w.state
	s.Progress = s.progress()
	return true
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

// Unsettled returns the net sheets of all windows that are not settled, oldest first,
// and how many windows are.
func (b *Book) Unsettled() (sheets []Sheet, settled int) {
	for _, w := range b.windows {
		if w.state == WindowSettled {
			settled++
		} else {
			sheets = append(sheets, b.sheet(w))
		}
	}
	return sheets, settled
}

// Instruction tells the settlement agent to move what is still due of one leg. Its
// ID is the same however often it is computed, so that sending it twice moves money
// once; and another one once a part was confirmed, or it was refused.
type Instruction struct {
	ID          string
	Window      tongma.WindowID
	Debtor      tongma.ParticipantID // pays; empty: the settlement account
	Creditor    tongma.ParticipantID // is paid; empty: the settlement account
	Participant tongma.ParticipantID // the debtor if there is one, else the creditor
	Debit       bool                 // the participant pays; otherwise it is paid
	Amount      tongma.Money
	Sheet       [32]byte
}

// Instruct lists what the agent is still to do for a closed window: all debits
// first, then the credits, which are due only when no debit of their currency is. A
// window whose legs are all settled needs nothing, and neither does one that is
// being recast.
func Instruct(s Sheet) []Instruction {
	if s.Recasting {
		return nil
	}
	var debits, credits []Instruction
	for _, l := range s.legs() {
		in := Instruction{Window: s.Window, Debtor: l.Debtor, Creditor: l.Creditor, Amount: tongma.Money{Minor: l.Due, Currency: l.Currency}, Sheet: s.Hash}
		if l.Due < 0 {
			in.Debtor, in.Creditor, in.Amount.Minor = l.Creditor, l.Debtor, -l.Due
		}
		in.Debit, in.Participant = in.Debtor != "", cmp.Or(in.Debtor, in.Creditor)
		in.ID = in.id(&l)
		switch {
		case l.Due == 0:
		case in.Debit:
			debits = append(debits, in)
		default:
			credits = append(credits, in)
		}
	}
	return append(debits, credits...)
}

// legs returns the legs; of a sheet that was made by hand and has none, those of its
// nets, of which nothing is settled.
func (s *Sheet) legs() []SheetLeg {
	if len(s.Legs) > 0 {
		return s.Legs
	}
	var legs []SheetLeg
	for _, n := range s.Nets {
		l := SheetLeg{Debtor: n.Participant, Currency: n.Currency, Net: n.Net, Due: n.Net}
		if n.Net < 0 {
			l = SheetLeg{Creditor: n.Participant, Currency: n.Currency, Net: -n.Net, Due: -n.Net}
		}
		if n.Net != 0 {
			legs = append(legs, l)
		}
	}
	return legs
}

// id is 32 characters: ISO 20022 allows 35. It is SHA-256, cut to half, of the
// sheet's hash, the window, debtor, creditor and currency, each with a zero byte
// behind it, and of what was settled of the leg and how often it was refused.
func (in *Instruction) id(l *SheetLeg) string {
	text := binary.BigEndian.AppendUint64(append([]byte(nil), in.Sheet[:]...), uint64(in.Window))
	for _, name := range []string{string(in.Debtor), string(in.Creditor), in.Amount.Currency.Code()} {
		text = append(append(text, name...), 0)
	}
	text = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(text, uint64(l.Settled)), uint64(l.Tries))
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Confirm returns the entry that records the agent's confirmation of in.
func (in *Instruction) Confirm() Entry {
	return Entry{Kind: KindSettle, Window: in.Window, Debtor: in.Debtor, Creditor: in.Creditor, Amount: in.Amount, Hash: in.Sheet, SchemeRef: in.ID}
}

// Refuse returns the entry that records that the agent could not move in, for a
// reason. It suspends the debtor.
func (in *Instruction) Refuse(reason tongma.Reason) Entry {
	e := in.Confirm()
	e.Kind, e.Reason, e.Hash = KindShort, reason, [32]byte{}
	return e
}
