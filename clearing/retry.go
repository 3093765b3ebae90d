package clearing

import (
	"slices"

	"github.com/tongma/tongma"
)

// A debit that the agent refused may be tried again: its debtor may have got money since.
// That goes under an id of its own, and from the moment at which it is sent the agent may
// move it, however long the message takes. So it is an entry (KindRetry) before the agent
// hears of it. Until it has its end, which is a settle or a short under its id, nobody
// else is asked to pay for its debtor, and nothing rolls over; and whoever comes after a
// stop asks the agent what became of it, or sends it again under the same id.
//
// A credit that is tried again has such an entry too, so that nobody says that it was paid
// by other means while it may still arrive. That the agent refuses it is no entry, as of
// every credit; so nothing but a settle of it ends it, and nothing else waits for it.

// awaited tells whether nothing may be drawn up anew until this has its end.
func (t *told) awaited() bool { return t.kind != KindRetry || t.from != noName }

// mayMove tells whether the agent may still move t out of a leg: a cover that was asked
// for, or the leg's own debit that was tried again.
func (w *window) mayMove(t *told, from, to uint16, c tongma.Currency) bool {
	sent := t.kind == KindCoverAsked || (t.kind == KindRetry && from != noName)
	return sent && t.from == from && t.to == to && t.currency == c && w.waiting(t.kind, t.id) == t
}

func (w *window) anyMayMove(from, to uint16, c tongma.Currency) bool {
	for i := range w.told {
		if w.mayMove(&w.told[i], from, to, c) {
			return true
		}
	}
	return false
}

// retriedElse tells whether the debit of a leg was tried again under another id than this,
// and has no end yet.
func (w *window) retriedElse(id string, from, to uint16, c tongma.Currency) bool {
	for i := range w.told {
		if t := &w.told[i]; t.kind == KindRetry && t.id != id && w.mayMove(t, from, to, c) {
			return true
		}
	}
	return false
}

// proposeRetry decides on sending again what the agent refused. It is about all that is
// due of the leg, so that its id stays that of the instruction as long as it waits. The
// reasons, in their order:
//
//	StateConflict (not instructed, or being recast), FieldInvalid (nobody, no id, or no amount, or a person answers for it); a
//	repeat: Exists, with the first difference; StateConflict (the id had its end), SheetMismatch (no such leg, the other way
//	round, or not all of it), NotShort (a debit that was not refused), CreditsWait, StateConflict (a cover or another retry
//	may move of it, or a person's word on it waits)
func (b *Book) proposeRetry(e *Entry, w *window) Verdict {
	switch {
	case w.state != WindowInstructed || w.recasting:
		return Verdict{Reason: tongma.StateConflict}
	case (e.Debtor == "" && e.Creditor == "") || e.SchemeRef == "" || e.Amount.Minor <= 0 || e.Maker != "" || e.Checker != "":
		return Verdict{Reason: tongma.FieldInvalid}
	}
	from, to, known := b.sides(e)
	if t := w.waiting(KindRetry, e.SchemeRef); t != nil {
		return t.repeat(e, from, to, known)
	}
	if slices.ContainsFunc(append(enders[:], KindRetry), func(k Kind) bool { return w.said(k, e.SchemeRef) != nil }) {
		return Verdict{Reason: tongma.StateConflict}
	}
	reason := b.retriable(e, w, from, to, known)
	return Verdict{Write: reason == tongma.NoReason, Reason: reason}
}

func (b *Book) retriable(e *Entry, w *window, from, to uint16, known bool) tongma.Reason {
	l := w.leg(from, to, e.Amount.Currency)
	if !known || l == nil {
		return tongma.SheetMismatch
	}
	payer, payee, due := l.payer()
	switch {
	case payer != from || payee != to || due != e.Amount.Minor:
		return tongma.SheetMismatch
	case from != noName && !l.short:
		return tongma.NotShort
	case from == noName && w.collecting(e.Amount.Currency):
		return tongma.CreditsWait
	case w.anyMayMove(from, to, e.Amount.Currency), w.spokenOf(from, to, e.Amount.Currency):
		return tongma.StateConflict
	}
	return tongma.NoReason
}

// spokenOf tells whether a person's word on a leg waits for a second one.
func (w *window) spokenOf(from, to uint16, c tongma.Currency) bool {
	for i := range w.told {
		if t := &w.told[i]; t.kind == KindWord && t.from == from && t.to == to && t.currency == c && w.waiting(KindWord, t.id) == t {
			return true
		}
	}
	return false
}

// Retry returns the entry that records that in is about to be sent again.
func (in *Instruction) Retry() Entry {
	e := in.Confirm()
	e.Kind, e.Hash = KindRetry, [32]byte{}
	return e
}

// Retried returns what was sent again in a window and has no end yet, in the order in
// which it was: of debits that is what the agent may still move, of credits also what it
// has refused.
func (b *Book) Retried(id tongma.WindowID) (out []Word) {
	w := b.window(id)
	if w == nil || w.state != WindowInstructed {
		return nil
	}
	for i := range w.told {
		if t := &w.told[i]; t.kind == KindRetry && w.waiting(KindRetry, t.id) == t {
			out = append(out, b.word(w, t))
		}
	}
	return out
}
