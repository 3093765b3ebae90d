package clearing

import (
	"strings"

	"github.com/tongma/tongma"
)

// spoken takes the word of a first person on what the agent did: of what is due, or of
// a cover that was asked for, and with evidence.
func (a *Auditor) spoken(e *Entry, w *auditWindow) {
	_, twice := w.words[e.SchemeRef]
	asked, cover := w.asked[e.SchemeRef]
	to := e.Creditor
	if cover {
		to = e.Asker
	}
	_, _, _, due := a.due(e, w, to)
	switch {
	case twice:
		a.find(checkHand, "%s: a word on %s waits already", w.id, e.SchemeRef)
	case e.Maker == "" || e.Checker != "" || e.Key == "" || e.SchemeRef == "":
		a.find(checkHand, "%s: %q says something of %q by %q", w.id, e.Maker, e.SchemeRef, e.Key)
	case due < e.Amount.Minor || e.Amount.Minor <= 0:
		a.find(checkHand, "%s: %q says that %d moved or not, %d is due", w.id, e.Maker, e.Amount.Minor, due)
	case cover && (asked.Debtor != e.Debtor || asked.Asker != e.Asker || asked.Creditor != e.Creditor || asked.Amount.Minor < e.Amount.Minor):
		a.find(checkHand, "%s: %q says something of a cover that was not asked for so", w.id, e.Maker)
	}
	w.words[e.SchemeRef] = *e
}

func (a *Auditor) unspoken(e *Entry, w *auditWindow) {
	was, waits := w.words[e.SchemeRef]
	if !waits || e.Checker == "" || e.Maker != was.Maker || e.Key != was.Key || e.Amount != was.Amount || e.Debtor != was.Debtor || e.Creditor != was.Creditor || e.Asker != was.Asker {
		a.find(checkHand, "%s: %q takes back what nobody said of %s", w.id, e.Checker, e.SchemeRef)
	}
	delete(w.words, e.SchemeRef)
}

// shared holds that what people answer for was said by two of them, the same.
func (a *Auditor) shared(e *Entry, w *auditWindow) {
	was, waits := w.words[e.SchemeRef]
	delete(w.words, e.SchemeRef)
	if e.Maker == "" && e.Checker == "" {
		return
	}
	person := func(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
	refusal := e.Kind == KindShort || e.Kind == KindCoverRefused
	switch {
	case !waits || was.Maker != e.Maker || was.Key != e.Key || was.Amount != e.Amount || was.Debtor != e.Debtor || was.Creditor != e.Creditor || was.Asker != e.Asker:
		a.find(checkHand, "%s: %s of %s by %q and %q, of whom the first has not said that", w.id, e.Kind, e.SchemeRef, e.Maker, e.Checker)
	case refusal != (was.Reason != tongma.NoReason):
		a.find(checkHand, "%s: %s of %s, %q said the opposite", w.id, e.Kind, e.SchemeRef, e.Maker)
	case e.Checker == "" || person(e.Checker) == person(e.Maker):
		a.find(checkHand, "%s: %s of %s was said by %q and checked by %q", w.id, e.Kind, e.SchemeRef, e.Maker, e.Checker)
	}
}

// asksCover takes that somebody is about to be asked to pay for a debtor that is short.
func (a *Auditor) asksCover(e *Entry, w *auditWindow) {
	l, from, _, due := a.due(e, w, e.Asker)
	if due < e.Amount.Minor || e.Amount.Minor <= 0 || from == nil || !l.short || e.Creditor == "" || a.sponsors[e.Creditor] != "" {
		a.find(checkCover, "%s: %q is asked for %d in %s for %q, of which %d is due", w.id, e.Creditor, e.Amount.Minor, e.Amount.Currency, e.Debtor, due)
		return
	}
	if e.Creditor == e.Debtor && from.prefunding < e.Amount.Minor {
		a.find(checkCover, "%s: %s is asked for %d of its prefunding of %d", w.id, from.who, e.Amount.Minor, from.prefunding)
	}
	for id, other := range w.asked {
		if other.Debtor == e.Debtor && other.Asker == e.Asker && other.Amount.Currency == e.Amount.Currency {
			a.find(checkCover, "%s: %s is asked for while %s has no end", w.id, e.SchemeRef, id)
		}
	}
	a.retryAnswers(e, w, e.Asker)
	a.told(e, w)
	w.asked[e.SchemeRef] = *e
}

// coverRefused takes the agent's word that it will not move a cover.
func (a *Auditor) coverRefused(e *Entry, w *auditWindow) {
	was, waits := w.asked[e.SchemeRef]
	if !waits || was.Debtor != e.Debtor || was.Asker != e.Asker || was.Creditor != e.Creditor || was.Amount != e.Amount {
		a.find(checkCover, "%s: %s is refused, and was not asked for so", w.id, e.SchemeRef)
	}
	a.shared(e, w)
	a.told(e, w)
	delete(w.asked, e.SchemeRef)
}

// coverAnswers holds that what was paid is what was asked for under its id, or less.
func (a *Auditor) coverAnswers(e *Entry, w *auditWindow) {
	was, waits := w.asked[e.SchemeRef]
	if waits && (was.Debtor != e.Debtor || was.Asker != e.Asker || was.Creditor != e.Creditor || was.Amount.Currency != e.Amount.Currency || was.Amount.Minor < e.Amount.Minor) {
		a.find(checkCover, "%s: %d of %s came under %s, %d of %s was asked for", w.id, e.Amount.Minor, e.Creditor, e.SchemeRef, was.Amount.Minor, was.Creditor)
	}
	delete(w.asked, e.SchemeRef)
}

// triesAgain takes that what the agent refused is about to be sent again: a debit that is
// short, or a credit of which that is no entry; all that is due, and while nothing else is
// under way for it.
func (a *Auditor) triesAgain(e *Entry, w *auditWindow) {
	l, from, to, due := a.due(e, w, e.Creditor)
	if due != e.Amount.Minor || e.Amount.Minor <= 0 || (from != nil && !l.short) {
		a.find(checkRetry, "%s: %d in %s of %q is tried again, %d is due", w.id, e.Amount.Minor, e.Amount.Currency, e.Debtor, due)
		return
	}
	if from == nil && w.collecting(to.currency) {
		a.find(checkDebits, "%s: %s is paid again while debits are open", w.id, to.who)
	}
	for id, other := range w.asked {
		if other.Debtor == e.Debtor && other.Asker == e.Creditor && other.Amount.Currency == e.Amount.Currency {
			a.find(checkRetry, "%s: %s is tried again while the cover %s has no end", w.id, e.SchemeRef, id)
		}
	}
	for _, kind := range []Kind{KindSettle, KindShort} {
		if _, ended := w.said[kind.String()+" "+e.SchemeRef]; ended {
			a.find(checkRetry, "%s: %s is tried again under the id of what has its end", w.id, e.SchemeRef)
		}
	}
	a.retryAnswers(e, w, e.Creditor)
	a.told(e, w)
	w.again[e.SchemeRef] = *e
}

// retryAnswers holds that nothing else comes for a leg whose debit was tried again, and
// that what comes of that is for what was sent, or less.
func (a *Auditor) retryAnswers(e *Entry, w *auditWindow, to tongma.ParticipantID) {
	was, waits := w.again[e.SchemeRef]
	if waits && e.Kind != KindRetry && (was.Debtor != e.Debtor || was.Creditor != to || was.Amount.Currency != e.Amount.Currency || was.Amount.Minor < e.Amount.Minor) {
		a.find(checkRetry, "%s: %s of %d from %q under %s, %d from %q was sent again", w.id, e.Kind, e.Amount.Minor, e.Debtor, e.SchemeRef, was.Amount.Minor, was.Debtor)
	}
	delete(w.again, e.SchemeRef)
	for id, other := range w.again {
		if other.Debtor != "" && other.Debtor == e.Debtor && other.Creditor == to && other.Amount.Currency == e.Amount.Currency {
			a.find(checkRetry, "%s: %s of %s while the debit that was tried again as %s has no end", w.id, e.Kind, e.SchemeRef, id)
		}
	}
}

// debitsAgain counts the debits that were tried again and have no end.
func (w *auditWindow) debitsAgain() (n int) {
	for _, e := range w.again {
		if e.Debtor != "" {
			n++
		}
	}
	return n
}
