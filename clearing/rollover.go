package clearing

import (
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes/calendar"
)

// What one owes another in a window that is no payment rolls over as payments do: a
// chargeback, found by its dispute, with its fees; and what is owed for a cover, found
// by the instruction's id. Else a window in which nothing else is due could never end.

// debtsOf returns the debts of a window that a defer entry names, or has moved out of
// it before: they are those of one chargeback, or of one cover.
func (w *window) debtsOf(e *Entry) (out []*debt) {
	for i := range w.debts {
		d := &w.debts[i]
		if (!e.Payment.IsZero() && d.dispute == e.Payment) || (e.Payment.IsZero() && d.of != 0 && e.SchemeRef != "" && d.ref == e.SchemeRef) {
			out = append(out, d)
		}
	}
	return out
}

// here leaves those that the window still holds.
func here(debts []*debt) (out []*debt) {
	for _, d := range debts {
		if d.deferredTo == 0 {
			out = append(out, d)
		}
	}
	return out
}

// proposeDeferDebt decides on moving a chargeback, or what is owed for a cover, out of
// a window that cannot settle. The reasons, in their order:
//
//	WindowUnknown; StateConflict (not instructed); what has left the window: Exists; PaymentUnknown (never in it);
//	then those of a payment
func (b *Book) proposeDeferDebt(e *Entry) Verdict {
	w := b.window(e.Window)
	switch {
	case w == nil:
		return Verdict{Reason: tongma.WindowUnknown}
	case w.state != WindowInstructed:
		return Verdict{Reason: tongma.StateConflict}
	}
	all := w.debtsOf(e)
	debts := here(all)
	switch {
	case len(debts) == 0 && len(all) > 0:
		return Verdict{Exists: true}
	case len(debts) == 0:
		return Verdict{Reason: tongma.PaymentUnknown}
	}
	var currencies []tongma.Currency
	weight := int64(0)
	for _, d := range debts {
		currencies = append(currencies, d.currency)
		weight += d.minor
	}
	if reason := b.deferrable(e, w, currencies, e.Payment.IsZero()); reason != tongma.NoReason {
		return Verdict{Reason: reason}
	}
	for _, d := range debts {
		if w.method == calendar.Gross && b.debtPaidFor(w, debts, d) {
			return Verdict{Reason: tongma.StateConflict}
		}
		if b.tooMuch(b.openOf(w.model), d.currency, weight, mostPosted) {
			return Verdict{Reason: tongma.PositionOverflow}
		}
	}
	b.completeDeferDebt(e, w, debts)
	return Verdict{Write: true}
}

// deferrable says why something in these currencies may not leave a window now: for a
// currency that the entry names, for one of its own, somebody has to be short; one
// recast at a time is for one currency; and no answer may be awaited.
func (b *Book) deferrable(e *Entry, w *window, own []tongma.Currency, cover bool) tongma.Reason {
	named, ok := tongma.Currency(0), true
	switch {
	case cover: // its reference is the instruction's
		named = own[0]
	case e.SchemeRef != "":
		named, ok = tongma.CurrencyByCode(e.SchemeRef)
	}
	among, short := named == 0, false
	for _, c := range own {
		among = among || c == named
		short = short || ((named == 0 || c == named) && w.shortOf(c))
	}
	switch {
	case w.waits > 0:
		return tongma.StateConflict
	case !ok || !among:
		return tongma.FieldInvalid
	case w.recasting && w.recastOf != 0 && named != 0 && w.recastOf != named:
		return tongma.StateConflict
	case !short && !w.recasting:
		return tongma.NotShort
	}
	return tongma.NoReason
}

// recastFor keeps for which currency payments leave a window; older journals do not
// say it.
func (w *window) recastFor(e *Entry) {
	if w.recasting = true; w.recastOf != 0 {
		return
	}
	if e.Payment.IsZero() {
		w.recastOf = e.Amount.Currency
	} else if c, ok := tongma.CurrencyByCode(e.SchemeRef); ok {
		w.recastOf = c
	}
}

// debtPaidFor tells whether without these debts a leg would be less than what was paid
// of it.
func (b *Book) debtPaidFor(w *window, debts []*debt, one *debt) bool {
	k := flowKey{b.settler(one.from), b.settler(one.to), one.currency}
	less := int64(0)
	for _, d := range debts {
		if (flowKey{b.settler(d.from), b.settler(d.to), d.currency}) == k {
			less += d.minor
		}
	}
	l := legBetween(w.legs, k.debtor, k.creditor, k.currency)
	return l != nil && w.flows[k] != nil && w.flows[k].gross-less < l.done
}

// completeDeferDebt repeats in the entry what is owed, and where it goes. Of a
// chargeback, debtor and creditor are those of the payment, as its dispute says.
func (b *Book) completeDeferDebt(e *Entry, w *window, debts []*debt) {
	e.AuthWindow, e.Model, e.Legs = b.openOf(w.model).id, b.models[w.model].name, nil
	if d := b.disputeOf(e.Payment); d != nil {
		p := b.payments.at(d.payment)
		e.Original, e.Debtor, e.Creditor = p.id, tongma.ParticipantID(b.names[p.debtor]), tongma.ParticipantID(b.names[p.creditor])
		e.Amount = tongma.Money{Minor: d.amount, Currency: b.given(p).Currency}
		if x := b.crossOf(p); x != nil {
			e.Dealer, e.Target = tongma.ParticipantID(b.names[x.dealer]), tongma.Money{Minor: d.other, Currency: p.currency}
		}
		return
	}
	d := debts[0]
	e.Debtor, e.Creditor = tongma.ParticipantID(b.names[d.from]), tongma.ParticipantID(b.names[d.to])
	e.Amount = tongma.Money{Minor: d.minor, Currency: d.currency}
}

// deferDebts moves them: cells of two windows, and no position.
func (b *Book) deferDebts(e *Entry, w *window) {
	open := b.openOf(w.model)
	for _, d := range here(w.debtsOf(e)) {
		k := flowKey{b.settler(d.from), b.settler(d.to), d.currency}
		b.note(w, d.from, d.to, d.currency, d.minor, true)
		b.note(open, d.from, d.to, d.currency, d.minor, false)
		w.takeDebt(k, d.minor, d.fee != 0)
		if d.fee != 0 {
			open.addFee(k, d.minor)
		} else {
			open.addDebt(k, d.minor)
		}
		moved := *d
		moved.entry, moved.deferred = e.Number, true
		d.deferredTo, d.gone = uint32(open.id), true
		open.debts = append(open.debts, moved)
	}
	if d := b.disputeOf(e.Payment); d != nil {
		d.window, d.entry, d.changedAt = uint32(open.id), e.Number, e.Time
	}
	w.recastFor(e)
}

// takeDebt is the undoing of addDebt, or of addFee.
func (w *window) takeDebt(k flowKey, amount int64, fee bool) {
	f := w.flow(k)
	f.gross -= amount
	if fee {
		f.fees -= amount
	}
	if *f == (flow{}) {
		delete(w.flows, k)
	}
	*w.gross.of(k.currency) -= amount
}
