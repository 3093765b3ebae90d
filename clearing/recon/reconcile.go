package recon

import (
	"cmp"
	"encoding/hex"
	"slices"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// Cycle is what is known of a window beside its movements.
type Cycle struct {
	Window tongma.WindowID
	Date   Date      // business date that the participants file it under; zero: dates are not compared
	Closed time.Time // zero: not known
}

// Input is one run: a window of the journal, and what others say about it. A
// side that is not there is not compared.
type Input struct {
	Window tongma.WindowID // the window that is reconciled
	AsOf   time.Time       // when, by the caller's clock
	Head   uint64          // last journal entry that Items know of

	// Items are the payments of the window, and of the windows around it, from
	// the journal: Journal.Items. One that has moved no money yet is needed too,
	// for it is the other side of a row that says otherwise.
	Items  []Item
	Cycles []Cycle

	// Fee tells what the switch says that p is charged for the item's movement;
	// false: nothing is known, and whatever the row says is not compared. Nil
	// means that no fees are compared. It must be a pure function.
	Fee func(p tongma.ParticipantID, it *Item) (fee tongma.Money, ok bool)

	// Files are what participants reported for the window, each participant's
	// movements in one file at most.
	Files []File

	// Legs are the instructions of the window and of those before it that are not
	// settled. Statements are what the settlement agent reported since the oldest
	// of them was sent: a leg that was paid before the first statement would be
	// found unpaid.
	Legs       []Leg
	Statements []Statement
}

// Leg is one instruction that the settlement agent has been given.
type Leg struct {
	clearing.Instruction
	UETR string    // if the instruction had one
	Due  time.Time // its settlement date is the day of Due in Due's zone; zero: due at once, no date is compared
}

// Sum counts movements, rows, legs or entries and adds them up.
type Sum struct {
	Count int64 `json:"count"`
	Minor int64 `json:"minor"` // minor units
}

// Tally accounts for everything that one side brought, in one currency: Total is
// the sum of all the other figures, so that nothing is lost between the sides.
type Tally struct {
	Side        string               `json:"side"` // "file:SENDER" or "bank"
	Participant tongma.ParticipantID `json:"participant,omitempty"`
	Book        Book                 `json:"book"`
	Currency    string               `json:"currency"`
	Total       Sum                  `json:"total"`
	Matched     Sum                  `json:"matched"`   // found on the other side, no difference
	Differing   Sum                  `json:"differing"` // found on the other side, with a difference
	Alone       Sum                  `json:"alone"`     // not found on the other side
	Duplicate   Sum                  `json:"duplicate"` // found before
	Unknown     Sum                  `json:"unknown"`   // of a participant that the file does not cover
	NotDue      Sum                  `json:"not_due"`   // not found, and not due yet
}

// Book says whose list a tally counts.
type Book string

const (
	BookJournal      Book = "journal"      // movements of the window
	BookFile         Book = "file"         // rows of a participant's file
	BookInstructions Book = "instructions" // legs of the net sheet
	BookStatement    Book = "statement"    // entries of the settlement agent
)

// InputID names one input by the SHA-256 of its bytes.
type InputID struct {
	Name string `json:"name"`
	Hash string `json:"hash"`
	Rows int    `json:"rows"`
}

// Run is one comparison of one side. Its ID follows from what was compared, not
// from when.
type Run struct {
	ID      string            `json:"id"`
	Side    string            `json:"side"`
	Windows []tongma.WindowID `json:"windows"`
	AsOf    time.Time         `json:"as_of"`
	Head    uint64            `json:"journal_head"`
	Inputs  []InputID         `json:"inputs"`
}

// Result is what a run found, in an order that does not depend on that of the
// input.
type Result struct {
	Window  tongma.WindowID `json:"window"`
	AsOf    time.Time       `json:"as_of"`
	Runs    []Run           `json:"runs"`
	Tallies []Tally         `json:"tallies"`
	Breaks  []Break         `json:"breaks"`
}

// SideBank is the side of the settlement agent. That of a file is "file:" and
// its sender.
const SideBank = "bank"

// Bounds of a run. With amounts of at most twelve digits no sum of movements or
// rows can overflow below maxThings.
const (
	maxThings    = 9_000_000
	maxBankMinor = 1 << 58 // one amount, one sum, or one balance
)

// Reconcile compares the journal with each file, and the legs with the
// statements. It is pure: the same input, in whatever order of items, rows and
// entries, gives the same result, but for the line numbers of the sources.
//
// It fails on input that no side may have: two items with one payment, two files
// that speak for one participant, an amount out of bounds, more than nine million
// items and rows.
func Reconcile(in Input) (Result, error) {
	r := run{in: &in, out: Result{Window: in.Window, AsOf: in.AsOf}, cycles: map[tongma.WindowID]Cycle{}}
	if err := r.check(); err != nil {
		return Result{}, err
	}
	for _, c := range in.Cycles {
		r.cycles[c.Window] = c
	}
	for i := range in.Files {
		r.file(&in.Files[i])
	}
	if len(in.Legs) > 0 || len(in.Statements) > 0 {
		if err := r.bank(); err != nil {
			return Result{}, err
		}
	}
	r.finish()
	return r.out, nil
}

// run is the work of one Reconcile.
type run struct {
	in      *Input
	out     Result
	cycles  map[tongma.WindowID]Cycle
	byID    map[tongma.PaymentID]int32 // place in in.Items of part 0
	tallies []*Tally
}

func (r *run) check() error {
	const op = "recon.Reconcile"
	things := 2 * len(r.in.Items)
	for _, f := range r.in.Files {
		things += len(f.Rows)
	}
	if things > maxThings {
		return fault(tongma.MessageTooLong, op, "more than %d items and rows", maxThings)
	}
	if r.in.Window == 0 {
		return fault(tongma.FieldMissing, op, "no window")
	}
	r.byID = make(map[tongma.PaymentID]int32, len(r.in.Items))
	for i := range r.in.Items {
		it := &r.in.Items[i]
		moved := it.Posted != 0 || it.Reversed != 0
		if it.Payment.IsZero() || it.Amount.Minor < 0 || it.Amount.Minor > tongma.MaxMinor || (moved && !it.Amount.Currency.Valid()) ||
			(it.Reversed != 0 && it.Posted == 0) {
			return fault(tongma.FieldInvalid, op, "item %d has no payment id, or an amount or windows that cannot be", i)
		}
		switch first, ok := r.byID[it.Payment]; {
		case it.Part == 0 && !ok:
			r.byID[it.Payment] = int32(i)
		case it.Part != 1 || first != int32(i-1):
			return fault(tongma.FieldInvalid, op, "two items have one payment id")
		}
	}
	return r.checkFiles(op)
}

func (r *run) checkFiles(op string) error {
	spoken := map[tongma.ParticipantID]bool{}
	for _, f := range r.in.Files {
		if f.Hash == ([32]byte{}) {
			return fault(tongma.FieldMissing, op, "the file of %s has no hash", f.Sender)
		}
		for _, p := range f.covered() {
			if spoken[p] {
				return fault(tongma.FieldInvalid, op, "two files speak for %s", p)
			}
			spoken[p] = true
		}
		for i := range f.Rows {
			row := &f.Rows[i]
			if row.Amount.Minor < 0 || row.Amount.Minor > tongma.MaxMinor || row.Fee < 0 || row.Fee > tongma.MaxMinor ||
				!row.Amount.Currency.Valid() || row.Kind == RowNone || row.Kind > RowReversal ||
				(row.Payment.IsZero() && row.SchemeRef == "") {
				return fault(tongma.FieldInvalid, op, "line %d of the file of %s has no key, or a kind or amount that cannot be", row.Line, f.Sender)
			}
		}
	}
	return nil
}

// covered lists for whom the file speaks, each once.
func (f *File) covered() []tongma.ParticipantID {
	if len(f.Covers) == 0 {
		return []tongma.ParticipantID{f.Sender}
	}
	out := slices.Clone(f.Covers)
	slices.Sort(out)
	return slices.Compact(out)
}

// tally finds the account of one book. The number of them is small: a look
// along the list is cheaper than a map.
func (r *run) tally(side string, p tongma.ParticipantID, book Book, c tongma.Currency) *Tally {
	code := c.Code()
	for i := len(r.tallies) - 1; i >= 0; i-- {
		if t := r.tallies[i]; t.Currency == code && t.Book == book && t.Participant == p && t.Side == side {
			return t
		}
	}
	t := &Tally{Side: side, Participant: p, Book: book, Currency: code}
	r.tallies = append(r.tallies, t)
	return t
}

func (t *Tally) add(part *Sum, minor int64) {
	part.Count, part.Minor = part.Count+1, part.Minor+minor
	t.Total.Count, t.Total.Minor = t.Total.Count+1, t.Total.Minor+minor
}

// found takes in a break.
func (r *run) found(b Break) {
	b.FirstSeen = r.in.AsOf
	r.out.Breaks = append(r.out.Breaks, b)
}

// finish numbers the breaks of one content, gives all their ids, and puts
// everything into its order.
func (r *run) finish() {
	breaks := r.out.Breaks
	slices.SortFunc(breaks, func(x, y Break) int {
		return cmp.Or(compareContent(&x, &y), cmp.Compare(x.Source.Hash, y.Source.Hash), cmp.Compare(x.Source.Line, y.Source.Line))
	})
	for i := range breaks {
		if i > 0 && compareContent(&breaks[i], &breaks[i-1]) == 0 {
			breaks[i].Twin = breaks[i-1].Twin + 1
		}
	}
	for i := range breaks {
		breaks[i].ID = breaks[i].Identity()
	}
	for _, t := range r.tallies {
		r.out.Tallies = append(r.out.Tallies, *t)
	}
	slices.SortFunc(r.out.Tallies, func(x, y Tally) int {
		return cmp.Or(cmp.Compare(x.Side, y.Side), cmp.Compare(x.Participant, y.Participant), cmp.Compare(x.Book, y.Book), cmp.Compare(x.Currency, y.Currency))
	})
	slices.SortFunc(r.out.Runs, func(x, y Run) int { return cmp.Compare(x.Side, y.Side) })
}

// compareContent orders breaks by what Identity is made of.
func compareContent(x, y *Break) int {
	return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Side, y.Side), cmp.Compare(x.Window, y.Window),
		cmp.Compare(x.Participant, y.Participant), slices.Compare(x.Payment[:], y.Payment[:]), cmp.Compare(x.Movement, y.Movement),
		cmp.Compare(x.Ref, y.Ref), cmp.Compare(x.Expected, y.Expected), cmp.Compare(x.Found, y.Found),
		cmp.Compare(x.AtRisk.Currency, y.AtRisk.Currency), cmp.Compare(x.AtRisk.Minor, y.AtRisk.Minor), cmp.Compare(x.Other, y.Other))
}

func hexOf(hash [32]byte) string {
	if hash == ([32]byte{}) {
		return ""
	}
	return hex.EncodeToString(hash[:])
}

func distance(x, y int64) int64 { return max(x-y, y-x) }
