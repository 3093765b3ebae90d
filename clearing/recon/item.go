package recon

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// Item is one payment, transfer or refund, as the journal has it. It moves money
// when it is posted, in window Posted, and moves it back when the posting is
// reversed, in window Reversed.
//
// A payment in two currencies is two items, one behind the other: what the debtor
// paid to the dealer, and, as Part 1, what the dealer paid to the creditor.
type Item struct {
	Payment    tongma.PaymentID
	Part       uint8
	Op         tongma.Operation // pay, transfer or refund
	Status     tongma.Status
	Debtor     tongma.ParticipantID
	Creditor   tongma.ParticipantID
	Amount     tongma.Money    // of what was posted, or else of what was asked
	Fees       []clearing.Leg  // that were posted with it
	SchemeRef  string          // the scheme's reference of the payment
	ReverseRef string          // of the reversal, if it has one of its own
	Posted     tongma.WindowID // zero: no money moved
	Reversed   tongma.WindowID // zero: it was not turned back
	PostedAt   int64           // Unix milliseconds
	ReversedAt int64
	Entry      uint64 // its latest entry
}

// Journal gathers the items of a journal. Give it the entries in order: all of
// them, or those of the window and of the ones around it together with the
// earlier entries of the payments that they touch.
type Journal struct {
	items  []Item
	byID   map[tongma.PaymentID]int32
	closed map[tongma.WindowID]int64
	head   uint64
	last   tongma.WindowID
}

// NewJournal returns an empty Journal.
func NewJournal() *Journal {
	return &Journal{byID: map[tongma.PaymentID]int32{}, closed: map[tongma.WindowID]int64{}}
}

// Items returns the payments in the order in which they were first seen. The
// slice is the Journal's own.
func (j *Journal) Items() []Item { return j.items }

// LastWindow is the latest window that was opened.
func (j *Journal) LastWindow() tongma.WindowID { return j.last }

// Head is the number of the last entry.
func (j *Journal) Head() uint64 { return j.head }

// Closed returns when a window closed, or the zero time if it is open.
func (j *Journal) Closed(w tongma.WindowID) time.Time {
	if at, ok := j.closed[w]; ok {
		return time.UnixMilli(at).UTC()
	}
	return time.Time{}
}

// Add takes in the next entry. It refuses an entry that does not come after the
// one before, and a change of a payment that it has not seen.
func (j *Journal) Add(e *clearing.Entry) error {
	if e.Number <= j.head {
		return fault(tongma.FieldInvalid, "recon: journal", "entry %d after entry %d", e.Number, j.head)
	}
	switch e.Kind {
	case clearing.KindHold, clearing.KindRefuse, clearing.KindTombstone:
		if err := j.begin(e); err != nil {
			return err
		}
	case clearing.KindPend, clearing.KindPost, clearing.KindVoid, clearing.KindExpire, clearing.KindReversing, clearing.KindReversed:
		i, ok := j.byID[e.Payment]
		if !ok {
			return fault(tongma.PaymentUnknown, "recon: journal", "entry %d changes a payment whose first entry is missing", e.Number)
		}
		for _, it := range j.parts(i) {
			it.change(e)
		}
	case clearing.KindDisputeStep:
		if e.Window != 0 {
			return j.chargeBack(e)
		}
	case clearing.KindDefer:
		i, ok := j.byID[e.Payment]
		if e.Payment.IsZero() { // what is owed for a cover, which is no payment
			break
		}
		if !ok {
			return fault(tongma.PaymentUnknown, "recon: journal", "entry %d defers a payment whose first entry is missing", e.Number)
		}
		for _, it := range j.parts(i) {
			it.move(e.Window, e.AuthWindow)
		}
	case clearing.KindOpen:
		j.last = max(j.last, e.Window)
	case clearing.KindClose:
		j.closed[e.Window] = e.Time
		j.last++ // it opens the next one
	}
	j.head = e.Number
	return nil
}

func (j *Journal) begin(e *clearing.Entry) error {
	if _, twice := j.byID[e.Payment]; twice || e.Payment.IsZero() {
		return fault(tongma.FieldInvalid, "recon: journal", "entry %d begins a payment that has begun, or none", e.Number)
	}
	it := Item{Payment: e.Payment, Op: e.Op, Status: tongma.Refused, Debtor: e.Debtor, Creditor: e.Creditor,
		Amount: e.Amount, SchemeRef: e.SchemeRef, Entry: e.Number}
	if e.Kind == clearing.KindHold {
		it.Status = tongma.Pending
	}
	j.byID[e.Payment] = int32(len(j.items))
	j.items = append(j.items, it)
	if e.Dealer != "" {
		j.items[len(j.items)-1].Creditor = e.Dealer
		it.Part, it.Debtor, it.Amount = 1, e.Dealer, e.Target
		j.items = append(j.items, it)
	}
	return nil
}

// parts returns the one item of a payment, or both.
func (j *Journal) parts(i int32) []*Item {
	out := []*Item{&j.items[i]}
	if int(i)+1 < len(j.items) && j.items[i+1].Part == 1 {
		out = append(out, &j.items[i+1])
	}
	return out
}

// chargeBack adds what a dispute moved: like a refund, under the dispute's id, by
// the one who was paid. Payer and payee of the entry are those of the payment.
func (j *Journal) chargeBack(e *clearing.Entry) error {
	back := *e
	back.Debtor, back.Creditor = e.Creditor, e.Debtor
	if err := j.begin(&back); err != nil {
		return err
	}
	for _, it := range j.parts(j.byID[e.Payment]) {
		it.Op, it.Status = tongma.OpRefund, tongma.Paid
		it.Posted, it.PostedAt, it.SchemeRef = e.Window, e.Time, "" // the entry's says why it was disputed, or decided so
	}
	return nil
}

// move puts what the item moved in one window into another, as a window that
// could not settle was drawn up anew without it.
func (it *Item) move(from, to tongma.WindowID) {
	if it.Posted == from {
		it.Posted = to
	}
	if it.Reversed == from {
		it.Reversed = to
	}
}

func (it *Item) change(e *clearing.Entry) {
	it.Entry = e.Number
	switch e.Kind {
	case clearing.KindPost:
		it.Status, it.Posted, it.PostedAt, it.Fees = tongma.Paid, e.Window, e.Time, e.Legs
		if e.Dealer != "" { // fees are of the part in their currency
			it.Fees = slices.DeleteFunc(slices.Clone(e.Legs), func(l clearing.Leg) bool { return l.Amount.Currency != it.Amount.Currency })
		} else if !e.Amount.IsZero() { // captured in part, it may be less than was held
			it.Amount = e.Amount
		}
	case clearing.KindVoid, clearing.KindExpire:
		it.Status = tongma.Refused
	case clearing.KindReversing:
		it.Status = tongma.Pending
	case clearing.KindReversed:
		it.Status = tongma.ReversedBack
		if it.Posted != 0 {
			it.Reversed, it.ReversedAt = e.Window, e.Time
		}
	}
	switch {
	case e.SchemeRef == "":
	case it.SchemeRef == "":
		it.SchemeRef = e.SchemeRef
	case e.Kind == clearing.KindReversed && e.SchemeRef != it.SchemeRef:
		it.ReverseRef = e.SchemeRef
	}
}

// Charged returns what p was charged in fees when the item was posted: those that
// it paid less those that it got. It is not known, for a file tells no fee below
// zero, if it got more. It serves as Input.Fee.
func Charged(p tongma.ParticipantID, it *Item) (fee tongma.Money, ok bool) {
	fee = tongma.Money{Currency: it.Amount.Currency}
	for _, l := range it.Fees {
		if l.Amount.Currency != fee.Currency {
			return tongma.Money{}, false
		}
		if l.From == p {
			fee.Minor += l.Amount.Minor
		}
		if l.To == p {
			fee.Minor -= l.Amount.Minor
		}
	}
	return fee, fee.Minor >= 0
}

// maxJournalLine bounds one line of a dump; entries are far shorter.
const maxJournalLine = 64 << 10

var entryKinds = func() map[string]clearing.Kind {
	kinds := map[string]clearing.Kind{}
	for k := range clearing.Kind(255) {
		if name := k.String(); name != "unknown" {
			kinds[name] = k
		}
	}
	return kinds
}()

// ReadJournal reads a dump of the journal: JSON Lines as docs/journal.md
// describes them. An unknown field or kind is refused, with the line.
func ReadJournal(r io.Reader) (*Journal, error) {
	j := NewJournal()
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4096), maxJournalLine)
	n := 0
	for lines.Scan() {
		n++
		e, err := parseLine(lines.Bytes())
		if err == nil {
			err = j.Add(&e)
		}
		if err != nil {
			return nil, &tongma.Error{Op: "recon: journal", Field: fmt.Sprintf("line %d", n), Reason: tongma.MessageMalformed, Err: err}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, &tongma.Error{Op: "recon: journal", Field: fmt.Sprintf("line %d", n+1), Reason: tongma.MessageTooLong, Err: err}
	}
	return j, nil
}

func parseLine(data []byte) (clearing.Entry, error) {
	var l clearing.Line
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return clearing.Entry{}, err
	}
	if dec.More() {
		return clearing.Entry{}, fault(tongma.MessageMalformed, "recon: journal", "more than one object in the line")
	}
	at, err := time.Parse(time.RFC3339, l.Time)
	kind, known := entryKinds[l.Kind]
	if err != nil || !known || kind == clearing.KindNone {
		return clearing.Entry{}, fault(tongma.FieldInvalid, "recon: journal", "kind or time cannot be read")
	}
	e := clearing.Entry{Number: l.Entry, Kind: kind, Time: at.UnixMilli(), Debtor: tongma.ParticipantID(l.Debtor),
		Creditor: tongma.ParticipantID(l.Creditor), SchemeRef: l.SchemeRef, Window: tongma.WindowID(l.Window)}
	e.Op, _ = tongma.ParseOperation(l.Operation)
	e.Dealer = tongma.ParticipantID(l.Dealer)
	if l.Payment != "" {
		if e.Payment, err = tongma.ParsePaymentID(l.Payment); err != nil {
			return clearing.Entry{}, err
		}
	}
	if l.AmountMin != nil {
		c, ok := tongma.CurrencyByCode(l.Currency)
		if !ok {
			return clearing.Entry{}, fault(tongma.CurrencyUnknown, "recon: journal", "")
		}
		e.Amount = tongma.Money{Minor: *l.AmountMin, Currency: c}
	}
	if l.TargetMin != nil {
		c, ok := tongma.CurrencyByCode(l.TargetCurrency)
		if !ok {
			return clearing.Entry{}, fault(tongma.CurrencyUnknown, "recon: journal", "")
		}
		e.Target = tongma.Money{Minor: *l.TargetMin, Currency: c}
	}
	return e, nil
}

func fault(reason tongma.Reason, op, format string, args ...any) error {
	return &tongma.Error{Op: op, Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
