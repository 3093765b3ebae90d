package agentsim

import (
	"slices"
	"strconv"

	"github.com/tongma/tongma"
)

// FaultKind is one way in which an agent goes wrong.
type FaultKind string

// The faults of orders. Each strikes the next Times instructions that touch the
// account.
const (
	Reject      FaultKind = "reject"       // refused with Code
	Partial     FaultKind = "partial"      // Minor of it is booked, and accepted with a change; 0: half
	Late        FaultKind = "late"         // pending; booked after DelayMillis
	Never       FaultKind = "never"        // pending for good
	Silent      FaultKind = "silent"       // booked, but the connection ends without an answer after DelayMillis
	Deaf        FaultKind = "deaf"         // the connection ends without an answer, and nothing was taken
	Double      FaultKind = "double"       // booked twice
	WrongAmount FaultKind = "wrong-amount" // Minor more than asked is booked, or less
	LateValue   FaultKind = "late-value"   // value date Days later
)

// The faults of statements. They stay until they are taken away.
const (
	StatementLate    FaultKind = "statement-late"    // not ready until DelayMillis after it was planted
	StatementMissing FaultKind = "statement-missing" // the last Times entries are not there, nor in the closing balance
	StatementTwice   FaultKind = "statement-twice"   // all of it a second time, under another id
)

// Fault is one that is planted.
type Fault struct {
	ID          string    `json:"id"` // given by the agent
	Kind        FaultKind `json:"kind"`
	Account     string    `json:"account,omitempty"` // number; none: any
	Times       int       `json:"times"`             // left; default 1
	Code        string    `json:"code,omitempty"`    // Reject: the reason's code; default AM04
	Minor       int64     `json:"amount_minor,omitempty"`
	DelayMillis int64     `json:"delay_millis,omitempty"`
	Days        int       `json:"days,omitempty"`
	At          int64     `json:"at"` // when it was planted
}

// ofOrders are the faults that are used up.
var ofOrders = []FaultKind{Reject, Partial, Late, Never, Silent, Deaf, Double, WrongAmount, LateValue}

var ofStatements = []FaultKind{StatementLate, StatementMissing, StatementTwice}

const (
	maxFaults = 1000
	maxDelay  = 24 * 60 * 60 * 1000
)

func (f *Fault) valid() error {
	switch {
	case !slices.Contains(ofOrders, f.Kind) && !slices.Contains(ofStatements, f.Kind):
		return invalid("/kind", "no such fault")
	case f.Times < 1 || f.Times > 1_000_000:
		return invalid("/times", "1 to 1,000,000")
	case f.DelayMillis < 0 || f.DelayMillis > maxDelay:
		return invalid("/delay_millis", "at most a day")
	case f.Days < 0 || f.Days > 366:
		return invalid("/days", "at most a year")
	case len(f.Code) > 4 || len(f.Account) > 34:
		return invalid("/code", "too long")
	case f.Minor < -maxBalance || f.Minor > maxBalance:
		return invalid("/amount_minor", "out of range")
	}
	return nil
}

func invalid(field, detail string) error {
	return &tongma.Error{Op: "agentsim", Reason: tongma.FieldInvalid, Field: field, Detail: detail}
}

// changeFaults takes in what a change says of faults.
func (b *bank) changeFaults(c *change) {
	if c.Clear {
		b.faults = nil
	}
	for _, f := range c.Faults {
		i := slices.IndexFunc(b.faults, func(o Fault) bool { return o.ID == f.ID })
		switch {
		case i < 0:
			b.faults = append(b.faults, f)
			b.planted++
		case f.Times == 0:
			b.faults = slices.Delete(b.faults, i, i+1)
		default:
			b.faults[i] = f
		}
	}
}

// standing returns a fault of statements that is planted for an account.
func (b *bank) standing(kind FaultKind, account string) (Fault, bool) {
	for _, f := range b.faults {
		if f.Kind == kind && (f.Account == "" || f.Account == account) {
			return f, true
		}
	}
	return Fault{}, false
}

// striker hands out the faults of orders while one change is in the making: each
// as often as it has Times left.
type striker struct {
	left []Fault
	used map[string]bool
}

func (b *bank) striker() *striker {
	return &striker{slices.Clone(b.faults), map[string]bool{}}
}

// strike returns the oldest fault of a kind that touches one of the accounts, and
// uses it once.
func (s *striker) strike(kind FaultKind, accounts ...string) (Fault, bool) {
	for i := range s.left {
		f := &s.left[i]
		if f.Kind == kind && f.Times > 0 && (f.Account == "" || slices.Contains(accounts, f.Account)) {
			f.Times--
			s.used[f.ID] = true
			return *f, true
		}
	}
	return Fault{}, false
}

// spent returns the faults that were used, as they are now.
func (s *striker) spent() (out []Fault) {
	for _, f := range s.left {
		if s.used[f.ID] {
			out = append(out, f)
		}
	}
	return out
}

func (b *bank) faultID() string { return "F" + strconv.Itoa(b.planted+1) }
