package conformance

import (
	"fmt"
	"strings"

	"github.com/tongma/tongma"
)

// coverAsked takes that somebody is about to be asked to pay for who is short: one at a
// time for a leg.
func (r *recomputing) coverAsked(l *line) error {
	t, err := r.tell(l, tongma.ParticipantID(l.Asker))
	switch {
	case err != nil:
		return err
	case l.Debtor == "" || l.Ref == "" || l.Creditor == "" || string(l.Creditor) == l.Asker || r.sponsors[l.Creditor] != "":
		return fmt.Errorf("it names no debtor, no payer or no instruction")
	case !t.leg.short:
		return fmt.Errorf("%s was not found short", l.Debtor)
	}
	for _, was := range t.asked {
		if was.Debtor == l.Debtor && was.Asker == l.Asker && was.Currency == l.Currency {
			return fmt.Errorf("entry %d asked for the same, and has no answer yet", was.Entry)
		}
	}
	t.asked[l.Ref] = *l
	return nil
}

// retry takes that what the agent refused is sent again: all that is due, of a debtor that
// is short or to a creditor whose turn it is, under an id that had no answer.
func (r *recomputing) retry(l *line) error {
	t, err := r.tell(l, l.Creditor)
	switch {
	case err != nil:
		return err
	case l.Ref == "" || t.told["settle "+l.Ref] || t.told["short "+l.Ref]:
		return fmt.Errorf("it names no instruction, or one that had its answer")
	case l.Minor != t.due():
		return fmt.Errorf("%d of the %d that are due", l.Minor, t.due())
	case l.Debtor != "" && !t.leg.short:
		return fmt.Errorf("%s was not found short", l.Debtor)
	case l.Debtor == "" && t.collecting(t.pair.Currency):
		return fmt.Errorf("a creditor is paid before the last debtor has paid")
	}
	for _, was := range t.asked {
		if was.Debtor == l.Debtor && was.Asker == string(l.Creditor) && was.Currency == l.Currency {
			return fmt.Errorf("entry %d asked for a cover, and has no answer yet", was.Entry)
		}
	}
	t.again[l.Ref] = *l
	return nil
}

// inTurn holds that nothing comes for a leg whose debit was tried again but the answer to
// that, which ends it.
func (t *telling) inTurn(l *line) error {
	delete(t.again, l.Ref)
	for _, was := range t.again {
		if was.Debtor != "" && was.Debtor == t.pair.Debtor && was.Creditor == t.pair.Creditor && was.Currency == l.Currency {
			return fmt.Errorf("entry %d tried its debit again, which has no answer yet", was.Entry)
		}
	}
	return nil
}

// debitsAgain tells whether a debit that was tried again has no answer yet.
func (s *settling) debitsAgain() bool {
	for _, was := range s.again {
		if was.Debtor != "" {
			return true
		}
	}
	return false
}

// sameCover tells whether two lines are about one cover.
func sameCover(x, y *line) bool {
	return x.Debtor == y.Debtor && x.Asker == y.Asker && x.Creditor == y.Creditor && x.Currency == y.Currency
}

// answered ends what was asked for, if it was: with all of it, or with a part.
func (s *settling) answered(l *line) error {
	if was, ok := s.asked[l.Ref]; ok && (!sameCover(&was, l) || l.Minor > was.Minor) {
		return fmt.Errorf("entry %d asked for something else under the same id", was.Entry)
	}
	if err := s.shared(l, false); err != nil {
		return err
	}
	delete(s.asked, l.Ref)
	return nil
}

func (r *recomputing) coverRefused(l *line) error {
	w, err := r.window(l, "instructed")
	if err != nil {
		return err
	}
	s := r.settling[w.Window]
	if was, ok := s.asked[l.Ref]; !ok || !sameCover(&was, l) || l.Minor != was.Minor {
		return fmt.Errorf("it was not asked for so")
	}
	delete(s.asked, l.Ref)
	return s.shared(l, true)
}

// word takes what a first person says that the agent did.
func (r *recomputing) word(l *line) error {
	w, err := r.window(l, "instructed")
	if err != nil {
		return err
	}
	s := r.settling[w.Window]
	if _, twice := s.words[l.Ref]; twice || l.Ref == "" || l.Key == "" || l.Maker == "" || l.Checker != "" || l.Minor <= 0 {
		return fmt.Errorf("a word waits already, or it names nobody, nothing, or no evidence")
	}
	s.words[l.Ref] = *l
	return nil
}

func (r *recomputing) wordRejected(l *line) error {
	w, err := r.window(l, "instructed")
	if err != nil {
		return err
	}
	s := r.settling[w.Window]
	if was, ok := s.words[l.Ref]; !ok || l.Checker == "" || was.Maker != l.Maker || was.Key != l.Key || was.Minor != l.Minor {
		return fmt.Errorf("no such word waits")
	}
	delete(s.words, l.Ref)
	return nil
}

// shared holds that what people answer for was said by two of them, alike. Without
// people it is the agent's own word.
func (s *settling) shared(l *line, refused bool) error {
	was, waits := s.words[l.Ref]
	delete(s.words, l.Ref)
	same := func(x, y string) bool { return strings.EqualFold(strings.TrimSpace(x), strings.TrimSpace(y)) }
	switch {
	case l.Maker == "" && l.Checker == "":
		return nil
	case !waits || was.Maker != l.Maker || was.Key != l.Key || was.Minor != l.Minor || was.Currency != l.Currency || was.Debtor != l.Debtor || was.Creditor != l.Creditor || was.Asker != l.Asker:
		return fmt.Errorf("no such word of %q waits", l.Maker)
	case (was.Reason != "") != refused:
		return fmt.Errorf("%q said the opposite", l.Maker)
	case l.Checker == "" || same(l.Checker, l.Maker):
		return fmt.Errorf("said by %q, checked by %q", l.Maker, l.Checker)
	}
	return nil
}

// owedFor is what is owed in a window for a cover, by the cover's id.
type owedFor struct {
	window *Sheet
	cover  string
}

type owes struct {
	pair  Pair
	minor int64
}

// leaves says why something in these currencies may not leave the window now: somebody
// has to be short in one of them, or in the one that is named; one recast is for one
// currency; and no answer may be awaited.
func (s *settling) leaves(l *line, named string, own ...tongma.Currency) error {
	short, among := false, named == ""
	for _, c := range own {
		among = among || c.Code() == named
		short = short || ((named == "" || c.Code() == named) && s.anyShort(c))
	}
	switch {
	case !among:
		return fmt.Errorf("it leaves for %q, which is none of its currencies", named)
	case !s.recasting && !short:
		return fmt.Errorf("nobody was found short")
	case s.recasting && named != "" && s.recastOf != "" && named != s.recastOf:
		return fmt.Errorf("it leaves for %s while the window is recast for %s", named, s.recastOf)
	case len(s.asked) > 0 || len(s.words) > 0 || s.debitsAgain():
		return fmt.Errorf("an answer is awaited")
	}
	if s.recasting = true; s.recastOf == "" {
		s.recastOf = named
	}
	return nil
}

// deferDebt moves a chargeback with its fees, or what is owed for a cover, into the
// open window.
func (r *recomputing) deferDebt(l *line, w *Sheet, s *settling) error {
	open := r.open[w.Model]
	if tongma.WindowID(l.Auth) != open.Window {
		return fmt.Errorf("it goes to window %d while %d is open", l.Auth, open.Window)
	}
	moved := r.owed[owedFor{w, l.Ref}]
	if d := r.disputes[l.Payment]; d != nil {
		if d.window != w || l.Minor != d.Minor || l.Currency != d.Currency || l.Debtor != d.Debtor || l.Creditor != d.Creditor || l.Target != d.Target {
			return fmt.Errorf("no such chargeback is in the window")
		}
		moved, d.window = d.moved, open
		own := []tongma.Currency{}
		for _, x := range moved {
			own = append(own, x.pair.Currency)
		}
		if err := s.leaves(l, l.Ref, own...); err != nil {
			return err
		}
	} else {
		if len(moved) == 0 || l.Payment != "" {
			return fmt.Errorf("nothing is owed in the window for the cover %q", l.Ref)
		}
		delete(r.owed, owedFor{w, l.Ref})
		r.owed[owedFor{open, l.Ref}] = append(r.owed[owedFor{open, l.Ref}], moved...)
		if x := moved[0]; x.pair.Debtor != l.Debtor || x.pair.Creditor != l.Creditor || x.pair.Currency.Code() != l.Currency || x.minor != l.Minor {
			return fmt.Errorf("%d %s from %s to %s are owed for the cover", x.minor, x.pair.Currency.Code(), x.pair.Debtor, x.pair.Creditor)
		}
		if err := s.leaves(l, l.Currency, moved[0].pair.Currency); err != nil {
			return err
		}
	}
	for _, x := range moved {
		if err := r.count(w, x.pair, Cell{-x.minor, 0}); err != nil {
			return err
		}
		if err := r.count(open, x.pair, Cell{x.minor, 0}); err != nil {
			return err
		}
	}
	return nil
}
