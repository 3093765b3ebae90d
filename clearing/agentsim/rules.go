package agentsim

import (
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/iso20022"
)

// Rules are what an agent refuses that it could carry out. Real systems differ in them. The
// zero Rules refuse a settlement date that has passed, and answer a repeat as it was
// answered first.
type Rules struct {
	Duplicates Duplicates
	BackDated  bool // a settlement date that has passed is taken for today's; else it is refused (DT01)
}

// Duplicates is what an agent does with an id, of a message or of an instruction, that it
// has taken before.
type Duplicates string

// What agents do with them.
const (
	AnswerDuplicates    Duplicates = "answer" // as it was answered first; if it is another message, with a conflict. The default
	RefuseDuplicates    Duplicates = "refuse" // with AM05, whatever it says; the first one's status stays
	RefuseDuplicatesDay Duplicates = "day"    // with AM05 on the business day of the first one; behind that it is another instruction, and carried out
)

// DuplicateRules lists them.
func DuplicateRules() []Duplicates {
	return []Duplicates{AnswerDuplicates, RefuseDuplicates, RefuseDuplicatesDay}
}

func (r Rules) valid() error {
	if r.Duplicates != "" && !slices.Contains(DuplicateRules(), r.Duplicates) {
		return &tongma.Error{Op: "agentsim.New", Reason: tongma.SetupInvalid, Field: "/rules/duplicates", Detail: "answer, refuse or day"}
	}
	return nil
}

func (r Rules) refuse() bool {
	return r.Duplicates == RefuseDuplicates || r.Duplicates == RefuseDuplicatesDay
}

// taken tells whether an id that was taken on a day is a duplicate today.
func (w *worker) taken(day string) bool {
	return w.rules.Duplicates != RefuseDuplicatesDay || day == "" || day == w.day(0)
}

// messageBefore returns a message that was taken before under an id.
func (w *worker) messageBefore(id string) *message {
	if m := w.b.messages[id]; m != nil && w.taken(m.Taken) {
		return m
	}
	return nil
}

// legBefore returns what became of an instruction that was taken before under an id.
func (w *worker) legBefore(id string) *transaction {
	if t := w.b.transactions[id]; t != nil && w.taken(t.Taken) {
		return t
	}
	return nil
}

// passed tells whether an order is to settle on a day that is over.
func (w *worker) passed(o *iso20022.Order) bool {
	return !w.rules.BackDated && !o.Date.IsZero() && o.Date.String() < w.day(0)
}

// duplicate is what is said of an instruction that was taken before.
func duplicate(o *iso20022.Order, l *iso20022.OrderLeg) iso20022.Status {
	return iso20022.Status{Instruction: l.ID, UETR: l.UETR, Original: o.ID, Code: codeRejected, Reason: "AM05 duplicate"}
}
