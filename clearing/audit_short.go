package clearing

import (
	"math/big"
	"slices"

	"github.com/tongma/tongma"
)

// foundShort takes the agent's word that a debtor has not got what it owes.
func (a *Auditor) foundShort(e *Entry, w *auditWindow) {
	l, from, _, due := a.due(e, w, e.Creditor)
	if due < e.Amount.Minor || e.Amount.Minor <= 0 || from == nil {
		a.find(checkShort, "%s: %q is short of %d in %s, %d is due", w.id, e.Debtor, e.Amount.Minor, e.Amount.Currency, due)
		return
	}
	a.told(e, w)
	a.shared(e, w)
	a.retryAnswers(e, w, e.Creditor)
	l.short = true
	a.suspended[e.Debtor] = true
}

// covered takes what was paid for a debtor that is short: out of its prefunding, or
// by another, to whom it then owes as much in the next window.
func (a *Auditor) covered(e *Entry, w *auditWindow) {
	l, from, to, due := a.due(e, w, e.Asker)
	minor := e.Amount.Minor
	if due < minor || minor <= 0 || from == nil || !l.short || e.Creditor == "" || a.sponsors[e.Creditor] != "" {
		a.find(checkCover, "%s: %q pays %d in %s for %q, of which %d is due", w.id, e.Creditor, minor, e.Amount.Currency, e.Debtor, due)
		return
	}
	a.told(e, w)
	a.shared(e, w)
	a.coverAnswers(e, w)
	a.retryAnswers(e, w, e.Asker)
	a.pays(w, l, from, to, minor)
	if e.Creditor == e.Debtor {
		a.add(&from.prefunding, -minor)
		if a.usedUp[from] == nil {
			a.usedUp[from] = new(big.Int)
		}
		a.usedUp[from].Add(a.usedUp[from], big.NewInt(minor))
		if from.prefunding < 0 {
			a.find(checkCover, "%s: %s used %d of its prefunding that was not there", w.id, from.who, -from.prefunding)
		}
		return
	}
	payer := a.balance(e.Creditor, e.Amount.Currency)
	a.add(&from.position, minor)
	a.add(&payer.position, -minor)
	if next := a.open[w.model]; next != nil {
		next.take(a, from, payer, minor)
		next.owed[e.SchemeRef] = append(next.owed[e.SchemeRef], auditDebt{from, payer, minor})
	}
}

// auditDebt is what one owes another for a cover.
type auditDebt struct {
	from, to *auditBalance
	minor    int64
}

// leaves holds that something in these currencies may leave a window now.
func (a *Auditor) leaves(e *Entry, w *auditWindow, own ...tongma.Currency) {
	named := tongma.Currency(0)
	if e.Payment.IsZero() {
		named = own[0]
	} else if e.SchemeRef != "" {
		named, _ = tongma.CurrencyByCode(e.SchemeRef)
		if !slices.Contains(own, named) {
			a.find(checkRecast, "%s: deferred for %q, it is of %s", w.id, e.SchemeRef, own)
		}
	}
	short := slices.ContainsFunc(own, func(c tongma.Currency) bool { return (named == 0 || c == named) && w.anyShort(c) })
	switch {
	case !w.recast && !short:
		a.find(checkRecast, "%s: nobody is short in %s", w.id, own)
	case w.recast && named != 0 && w.recastOf != 0 && named != w.recastOf:
		a.find(checkRecast, "%s: deferred for %s while it is recast for %s", w.id, named, w.recastOf)
	}
	if debits := w.debitsAgain(); len(w.words) > 0 || len(w.asked) > 0 || debits > 0 {
		a.find(checkRecast, "%s: %s is deferred while %d covers, %d debits that were tried again and %d words have no end", w.id, e.Payment, len(w.asked), debits, len(w.words))
	}
	if w.recast = true; w.recastOf == 0 {
		w.recastOf = named
	}
}

// deferredDebt moves what is owed for a cover, or a chargeback with its fees.
func (a *Auditor) deferredDebt(e *Entry, w, next *auditWindow) {
	if next == nil || e.AuthWindow != next.id {
		a.find(checkRecast, "%s: it goes to %s", w.id, e.AuthWindow)
		return
	}
	if d := a.disputes[e.Payment]; d != nil {
		if d.window != w || e.Amount != d.amount || e.Target != d.other || e.Debtor != d.of.debtor.who || e.Creditor != d.of.creditor.who {
			a.find(checkRecast, "%s: no chargeback of %d is in it", w.id, e.Amount.Minor)
			return
		}
		d.window = next
		if d.of.dealer == nil {
			a.leaves(e, w, d.amount.Currency)
			a.shiftOne(w, next, d.of.creditor, d.of.debtor, d.amount.Minor)
		} else {
			a.leaves(e, w, d.amount.Currency, d.other.Currency)
			a.shiftOne(w, next, d.of.creditor, d.of.dealer, d.amount.Minor)
			a.shiftOne(w, next, a.balance(d.of.dealer.who, d.other.Currency), d.of.debtor, d.other.Minor)
		}
		for _, l := range d.fees {
			a.shiftOne(w, next, a.balance(l.From, l.Amount.Currency), a.balance(l.To, l.Amount.Currency), l.Amount.Minor)
		}
		return
	}
	owed := w.owed[e.SchemeRef]
	if len(owed) == 0 || !e.Payment.IsZero() {
		a.find(checkRecast, "%s: nothing is owed in it for the cover %q", w.id, e.SchemeRef)
		return
	}
	delete(w.owed, e.SchemeRef)
	for _, x := range owed {
		if e.Debtor != x.from.who || e.Creditor != x.to.who || e.Amount != (tongma.Money{Minor: x.minor, Currency: x.from.currency}) {
			a.find(checkSame, "%d from %s to %s are deferred, owed are %d from %s to %s", e.Amount.Minor, e.Debtor, e.Creditor, x.minor, x.from.who, x.to.who)
		}
		a.leaves(e, w, x.from.currency)
		a.shiftOne(w, next, x.from, x.to, x.minor)
		next.owed[e.SchemeRef] = append(next.owed[e.SchemeRef], x)
	}
}

// deferred moves what a window holds of a payment into the open window of its model.
func (a *Auditor) deferred(e *Entry, w *auditWindow) {
	p, next := a.payments[e.Payment], a.open[w.model]
	if p == nil {
		a.deferredDebt(e, w, next)
		return
	}
	if p == nil || (p.window != w && p.back != w) || next == nil || e.AuthWindow != next.id {
		a.find(checkRecast, "%s is not in %s, or goes to %s", e.Payment, w.id, e.AuthWindow)
		return
	}
	own := []tongma.Currency{p.first.Currency}
	if p.dealer != nil {
		own = append(own, p.dealer.currency)
	}
	a.leaves(e, w, own...)
	if e.Amount != (tongma.Money{Minor: p.paid, Currency: p.first.Currency}) || e.Debtor != p.debtor.who || e.Creditor != p.creditor.who {
		a.find(checkSame, "%d from %s to %s are deferred, posted were %d from %s to %s", e.Amount.Minor, e.Debtor, e.Creditor, p.paid, p.debtor.who, p.creditor.who)
	}
	if p.window == w {
		a.shift(p, w, next, false)
		p.window = next
	}
	if p.back == w {
		a.shift(p, w, next, true)
		p.back = next
	}
}

// shift takes a posting and its fees out of one window and into another; the other
// way round if it was turned back.
func (a *Auditor) shift(p *auditPayment, w, next *auditWindow, back bool) {
	one := func(from, to *auditBalance, minor int64) { a.shiftOne(w, next, from, to, minor) }
	w.items--
	next.items++
	a.each(p, back, one)
	for _, l := range p.fees {
		from, to := a.balance(l.From, l.Amount.Currency), a.balance(l.To, l.Amount.Currency)
		if back {
			from, to = to, from
		}
		one(from, to, l.Amount.Minor)
	}
}

// shiftOne takes one movement out of one window and into another.
func (a *Auditor) shiftOne(w, next *auditWindow, from, to *auditBalance, minor int64) {
	a.memos(w, from, to, -minor, -1)
	a.memos(next, from, to, minor, 1)
	from, to = a.settler(from), a.settler(to)
	w.take(a, from, to, -minor)
	w.forget(from, to)
	next.take(a, from, to, minor)
}

// forget drops a cell of the matrix that is empty, and figures that nothing is left of.
func (w *auditWindow) forget(from, to *auditBalance) {
	if w.matrix[auditPair{from, to}] != 0 {
		return
	}
	delete(w.matrix, auditPair{from, to})
	for _, b := range []*auditBalance{from, to} {
		in := false
		for pair := range w.matrix {
			in = in || pair.debtor == b || pair.creditor == b
		}
		if !in && w.nets[b] == 0 {
			delete(w.nets, b)
		}
	}
}

func (w *auditWindow) anyShort(c tongma.Currency) bool {
	for pair, l := range w.legs {
		if l.short && l.net != l.done && ((pair.debtor != nil && pair.debtor.currency == c) || (pair.creditor != nil && pair.creditor.currency == c)) {
			return true
		}
	}
	return false
}

// recasts draws up the sheet of a window anew, with what was paid by the old one.
func (a *Auditor) recasts(e *Entry, w *auditWindow) {
	if !w.recast {
		a.find(checkRecast, "%s: nothing was deferred since its last sheet", w.id)
	}
	w.recast, w.recastOf = false, 0
	w.hash = w.sheetHash()
	a.sameSheet(e, w)
	a.checkFigures(w)
	legs := w.legsNow()
	for pair, was := range w.legs {
		if l := legs[pair]; l != nil {
			l.done = was.done
		} else if was.done != 0 {
			legs[pair] = &auditLeg{done: was.done}
		}
	}
	w.legs = legs
}
