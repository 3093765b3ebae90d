package clearing

import (
	"github.com/tongma/tongma"
)

// auditBalance is one account, as the audit adds it up.
type auditBalance struct {
	auditAccount
	capped     bool
	cap        int64
	capAt      uint64 // entry that set it
	prefunding int64
	position   int64
	reserved   int64
	memo       int64 // of a sub-participant: what it adds to its sponsor's position
	memoHeld   int64
}

// auditPayment is one payment, as the audit follows it.
type auditPayment struct {
	debtor, creditor         *auditBalance // nil if nothing was held
	original                 *auditPayment // of a refund
	amount                   int64
	paid                     int64 // posted of amount
	fees                     []Leg // of its posting
	given, giving            int64 // refunds posted, and under way
	disputed, chargedBack    int64
	feesGone                 int64         // of what was charged back, that of which fees went back
	dealer                   *auditBalance // of two currencies: in the one that it pays; nil for none
	target                   int64         // that it pays
	givenOther, givingOther  int64         // the same as given and so on, of what the debtor paid
	disputedOther, backOther int64
	expiry                   int64
	code                     Digest
	first                    tongma.Money // as it was asked for
	model                    string
	window, back             *auditWindow // in which its posting counts, and its turning back; nil for none
	phase                    Kind
	refund, posted           bool
}

func (a *Auditor) balance(who tongma.ParticipantID, c tongma.Currency) *auditBalance {
	k := auditAccount{who, c}
	b := a.accounts[k]
	if b == nil {
		b = &auditBalance{auditAccount: k}
		a.accounts[k] = b
	}
	return b
}

func (a *Auditor) total(c tongma.Currency) *AuditTotal {
	t := a.totals[c]
	if t == nil {
		t = &AuditTotal{Currency: c.Code()}
		a.totals[c] = t
	}
	return t
}

// asked looks at the first entry of a payment.
func (a *Auditor) asked(e *Entry) {
	k := auditKey{e.Asker, e.Key}
	if _, twice := a.keys[k]; twice {
		a.find(checkKey, "the key of %s was used before", e.Asker)
	}
	a.keys[k] = struct{}{}
	if _, twice := a.payments[e.Payment]; twice || a.disputes[e.Payment] != nil || e.Payment.IsZero() {
		a.find(checkPayment, "%s was used before", e.Payment)
		return
	}
	if open := a.open[e.Model]; open == nil || e.AuthWindow != open.id {
		a.find(checkAuth, "names %s, %s is open", e.AuthWindow, open.name())
	}
	a.placed(e)
	p := &auditPayment{amount: e.Amount.Minor, first: e.Amount, phase: e.Kind, expiry: e.Expiry, model: e.Model}
	a.payments[e.Payment] = p
	if e.Kind == KindHold {
		a.held(e, p)
	}
}

// held looks at a hold that was granted, and adds it.
func (a *Auditor) held(e *Entry, p *auditPayment) {
	if e.Amount.Minor <= 0 || e.Amount.Minor > tongma.MaxMinor || !e.Amount.Currency.Valid() {
		a.find(checkAmount, "%d of currency %d", e.Amount.Minor, e.Amount.Currency)
	}
	if e.Debtor == "" || e.Creditor == "" {
		a.find(checkZeroSum, "debtor %q, creditor %q: a movement has two sides", e.Debtor, e.Creditor)
	}
	if a.suspended[e.Debtor] || a.suspended[a.sponsors[e.Debtor]] {
		a.find(checkSuspended, "%s is suspended, or its sponsor", e.Debtor)
	}
	p.debtor, p.creditor, p.code = a.balance(e.Debtor, e.Amount.Currency), a.balance(e.Creditor, e.Amount.Currency), e.Code
	a.checkCode(e)
	a.exchanged(e, p)
	a.checkCap(p)
	if e.Op == tongma.OpRefund {
		a.checkRefund(e, p)
	}
	a.hold(p, p.amount)
}

// settler is who settles for an account: its sponsor's, if it has one.
func (a *Auditor) settler(b *auditBalance) *auditBalance {
	if sponsor := a.sponsors[b.who]; sponsor != "" {
		return a.balance(sponsor, b.currency)
	}
	return b
}

func (a *Auditor) hold(p *auditPayment, minor int64) {
	a.holdOne(p.debtor, minor)
	if p.dealer != nil {
		a.holdOne(p.dealer, map[bool]int64{true: p.target, false: -p.target}[minor > 0])
	}
}

func (a *Auditor) holdOne(b *auditBalance, minor int64) {
	s := a.settler(b)
	a.add(&s.reserved, minor)
	if s != b {
		a.add(&b.memoHeld, minor)
	}
}

// moves books a movement between two: in the positions of those who settle for them,
// in their own memo accounts, and in a window, which may be none.
func (a *Auditor) moves(w *auditWindow, from, to *auditBalance, minor int64) {
	payer, payee := a.settler(from), a.settler(to)
	a.add(&payer.position, minor)
	a.add(&payee.position, -minor)
	if w != nil {
		a.memos(w, from, to, minor, 1)
		w.take(a, payer, payee, minor)
	}
}

func (a *Auditor) memos(w *auditWindow, from, to *auditBalance, minor int64, count int) {
	note := func(b *auditBalance, minor int64) {
		if a.settler(b) == b {
			return
		}
		a.add(&b.memo, minor)
		sum := w.memos[b]
		a.add(&sum, minor)
		w.memos[b] = sum
		if w.moved[b] += count; w.moved[b] == 0 {
			delete(w.moved, b)
		}
	}
	note(from, minor)
	note(to, -minor)
}

// checkCode holds that a code which was held today or yesterday, in days of UTC,
// is not held again. Codes live for minutes; older ones may be forgotten.
func (a *Auditor) checkCode(e *Entry) {
	if e.Code == (Digest{}) {
		return
	}
	const dayMillis = 86_400_000
	today := e.Time / dayMillis
	if spent, ok := a.codes[e.Code]; ok && today-spent <= 1 {
		a.find(checkCode, "the code was spent before")
	}
	a.codes[e.Code] = today
}

func (a *Auditor) checkCap(p *auditPayment) {
	a.checkCapOf(p.debtor, p.amount)
	if p.dealer != nil {
		a.checkCapOf(p.dealer, p.target)
	}
}

func (a *Auditor) checkCapOf(d *auditBalance, amount int64) {
	s := a.settler(d)
	a.checkLimit(s, s.position, s.reserved, amount)
	if s != d {
		a.checkLimit(d, d.memo, d.memoHeld, amount)
	}
}

func (a *Auditor) checkLimit(d *auditBalance, position, reserved, amount int64) {
	use := position
	a.add(&use, reserved)
	a.add(&use, amount)
	uncovered := use
	a.add(&uncovered, -d.prefunding)
	switch {
	case !d.capped:
		a.find(checkCap, "%s has no cap in %s", d.who, d.currency)
	case uncovered > d.cap:
		a.find(checkCap, "%s: %d + %d + %d is more than %d, with %d prefunded", d.who, position, reserved, amount, d.cap, d.prefunding)
	}
}

// checkRefund holds that a refund turns a posted payment round, and that all
// refunds of it, those under way included, do not pass it.
func (a *Auditor) checkRefund(e *Entry, p *auditPayment) {
	p.refund = true
	o := a.payments[e.Original]
	switch {
	case o == nil || o.debtor == nil:
		a.find(checkRefund, "%s is not a payment that was held", e.Original)
		return
	case o.refund || o.phase != KindPost:
		a.find(checkRefund, "the original is at %s", o.phase)
	case o.debtor != p.creditor || o.creditor != p.debtor:
		a.find(checkRefund, "from %s to %s, the original went from %s to %s", p.debtor.who, p.creditor.who, o.debtor.who, o.creditor.who)
	case o.model != p.model:
		a.find(checkModels, "the refund is settled by model %q, its original by %q", p.model, o.model)
	case o.given+o.giving+o.disputed+o.chargedBack+p.amount > o.limit():
		a.find(checkRefund, "%d + %d + %d, and %d disputed, is more than the original's %d", o.given, o.giving, p.amount, o.disputed+o.chargedBack, o.limit())
	}
	a.samePart(e, o)
	p.original = o
	a.add(&o.giving, p.amount)
	a.add(&o.givingOther, p.target)
}

// follows tells whether a payment may come from one phase to the next.
func follows(from, to Kind) bool {
	waiting := from == KindHold || from == KindPend
	switch to {
	case KindPend, KindExpire:
		return from == KindHold
	case KindPost, KindVoid:
		return waiting
	case KindReversing:
		return waiting || from == KindPost
	case KindReversed:
		return from == KindReversing
	}
	return false
}

// changed looks at a later entry of a payment, and moves it.
func (a *Auditor) changed(e *Entry) {
	p := a.payments[e.Payment]
	if p == nil {
		a.find(checkPhase, "%s of a payment that was never asked for", e.Kind)
		return
	}
	if !follows(p.phase, e.Kind) {
		a.find(checkPhase, "%s behind %s", e.Kind, p.phase)
		return
	}
	a.checkSame(e, p)
	p.phase = e.Kind
	switch e.Kind {
	case KindPost:
		p.posted, p.paid, p.fees = true, a.captured(e, p), e.Legs
		a.release(p)
		p.window = a.post(e, p, false)
		a.checkFees(e, p)
		a.refundEnds(p, p.paid)
	case KindExpire:
		if p.expiry == 0 || e.Time <= p.expiry {
			a.find(checkExpiry, "dropped at %d, it was to be kept until %d", e.Time, p.expiry)
		}
		a.release(p)
		a.refundEnds(p, 0)
	case KindVoid:
		a.release(p)
		a.refundEnds(p, 0)
		if e.KeepCode {
			delete(a.codes, p.code)
		}
	case KindReversing:
		if p.refund || p.given+p.giving+p.disputed+p.chargedBack > 0 {
			a.find(checkReversal, "refund: %t; refunded: %d, under way: %d, disputed or charged back: %d", p.refund, p.given, p.giving, p.disputed+p.chargedBack)
		}
	case KindReversed:
		if p.posted {
			p.back = a.post(e, p, true)
			a.add(&a.total(p.debtor.currency).Reversed, p.paid)
		} else {
			a.release(p)
		}
		a.checkFees(e, p)
	}
	moves := e.Kind == KindPost || (e.Kind == KindReversed && p.posted)
	if !moves && e.Window != 0 {
		a.find(checkWindow, "%s moves nothing, but names %s", e.Kind, e.Window)
	}
}

func (a *Auditor) checkSame(e *Entry, p *auditPayment) {
	stands := p.first
	if p.posted {
		stands.Minor = p.paid
	}
	switch {
	case e.Amount != (tongma.Money{}) && e.Amount != stands && e.Kind != KindPost:
		a.find(checkSame, "amount %d, it is of %d", e.Amount.Minor, stands.Minor)
	case (e.Dealer != "") != (p.dealer != nil) || (p.dealer != nil && (e.Dealer != p.dealer.who || e.Target != tongma.Money{Minor: p.target, Currency: p.dealer.currency})):
		a.find(checkSame, "%d through %q, held were %d", e.Target.Minor, e.Dealer, p.target)
	case e.Debtor != "" && e.Debtor != p.debtor.who:
		a.find(checkSame, "debtor %s, the hold was of %s", e.Debtor, p.debtor.who)
	case e.Creditor != "" && e.Creditor != p.creditor.who:
		a.find(checkSame, "creditor %s, the hold was for %s", e.Creditor, p.creditor.who)
	}
}

func (a *Auditor) release(p *auditPayment) {
	a.hold(p, -p.amount)
	if s := a.settler(p.debtor); s.reserved < 0 || p.debtor.memoHeld < 0 {
		a.find(checkHolds, "%s: reserved %d, of which for %s %d", s.who, s.reserved, p.debtor.who, p.debtor.memoHeld)
	}
}

func (a *Auditor) refundEnds(p *auditPayment, paid int64) {
	if o := p.original; o != nil {
		a.add(&o.giving, -p.amount)
		a.add(&o.given, paid)
		a.add(&o.givingOther, -p.target)
		if paid > 0 {
			a.add(&o.givenOther, p.target)
		}
	}
	if p.refund {
		a.add(&a.total(p.debtor.currency).Refunded, paid)
	}
}

// post books what a payment moves: in the positions, and in the open window of its
// model, which it returns.
func (a *Auditor) post(e *Entry, p *auditPayment, back bool) *auditWindow {
	w := a.open[p.model]
	if w == nil || e.Window != w.id {
		a.find(checkWindow, "posted into %s, %s is open", e.Window, w.name())
	}
	if w != nil {
		w.items++
	}
	a.each(p, back, func(from, to *auditBalance, minor int64) {
		t := a.total(from.currency)
		t.Postings++
		a.add(&t.Posted, minor)
		a.moves(w, from, to, minor)
	})
	return w
}
