package conformance

import (
	"fmt"

	"github.com/tongma/tongma"
)

// memo is what a sub-participant has in one window: a part of what its sponsor has.
type memo struct {
	minor     int64
	movements int64
}

// settler is who settles for a participant: itself, unless it has a sponsor.
func (r *recomputing) settler(who tongma.ParticipantID) tongma.ParticipantID {
	if sponsor := r.sponsors[who]; sponsor != "" {
		return sponsor
	}
	return who
}

func (r *recomputing) settlers(pair Pair) Pair {
	return Pair{r.settler(pair.Debtor), r.settler(pair.Creditor), pair.Currency}
}

// count counts a movement in a window, between those who settle for the two, and in
// the parts of the two; or takes it out again, if it is less than zero.
func (r *recomputing) count(w *Sheet, pair Pair, m Cell) error {
	if err := w.put(r.settlers(pair), m); err != nil {
		return err
	}
	w.Payments += m.Count
	one := int64(1)
	if m.Gross < 0 {
		one = -1
	}
	r.note(w, Account{pair.Debtor, pair.Currency}, m.Gross, one)
	r.note(w, Account{pair.Creditor, pair.Currency}, -m.Gross, one)
	return nil
}

func (r *recomputing) note(w *Sheet, a Account, minor, one int64) {
	if r.sponsors[a.Participant] == "" {
		return
	}
	if w.memos == nil {
		w.memos = map[Account]memo{}
	}
	part := w.memos[a]
	part.minor, part.movements = part.minor+minor, part.movements+one
	if w.memos[a] = part; part.movements == 0 {
		delete(w.memos, a)
	}
	r.standing(a).MemoPosition += minor
}

// sponsor takes who settles for whom from here on. Nothing of a sub-participant may
// be open then, and there are two levels only.
func (r *recomputing) sponsor(l *line) error {
	now := r.sponsors[l.Debtor]
	switch {
	case !l.Debtor.Valid() || l.Debtor == l.Creditor || now == l.Creditor:
		return fmt.Errorf("%q is sponsored so already, or nobody", l.Debtor)
	case r.sponsors[l.Creditor] != "":
		return fmt.Errorf("%s settles through another itself", l.Creditor)
	}
	for sub, of := range r.sponsors {
		if of == l.Debtor && l.Creditor != "" {
			return fmt.Errorf("%s is the sponsor of %s", l.Debtor, sub)
		}
	}
	if where := r.busy(l.Debtor); where != "" {
		return fmt.Errorf("%s has something open %s", l.Debtor, where)
	}
	r.sponsors[l.Debtor] = l.Creditor
	if l.Creditor == "" {
		delete(r.sponsors, l.Debtor)
	}
	return nil
}

// busy says where a participant has something open; "" if nowhere.
func (r *recomputing) busy(who tongma.ParticipantID) string {
	for a, s := range r.positions {
		if a.Participant == who && (s.Position != 0 || s.Reserved != 0 || s.MemoPosition != 0 || s.MemoReserved != 0) {
			return "in " + a.Currency.Code()
		}
	}
	for _, w := range r.sheets {
		if w.State == "settled" {
			continue
		}
		for a := range w.memos {
			if a.Participant == who {
				return fmt.Sprintf("in window %d", w.Window)
			}
		}
		for pair := range w.Matrix {
			if pair.Debtor == who || pair.Creditor == who {
				return fmt.Sprintf("in window %d", w.Window)
			}
		}
	}
	return ""
}
