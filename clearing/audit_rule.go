package clearing

import (
	"math/big"
	"slices"
	"strings"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes"
)

// auditOrder is a proposed cap, a deposit or a withdrawal, as the audit follows it.
type auditOrder struct {
	of      *auditBalance
	kind    Kind
	entry   uint64
	minor   int64
	maker   string
	checked bool
}

// capped takes a cap of the directory.
func (a *Auditor) capped(e *Entry) {
	if e.Amount.Minor < 0 {
		a.find(checkCap, "the cap of %s is %d", e.Debtor, e.Amount.Minor)
	}
	b := a.balance(e.Debtor, e.Amount.Currency)
	b.capped, b.cap, b.capAt = true, e.Amount.Minor, e.Number
}

// ordered takes the first entry under a key; false if it is not the first.
func (a *Auditor) ordered(e *Entry, check string) (*auditOrder, bool) {
	if _, twice := a.orders[e.Key]; twice || e.Key == "" {
		a.find(check, "the key of %s was used before, or is none", e.Kind)
		return nil, false
	}
	o := &auditOrder{of: a.balance(e.Debtor, e.Amount.Currency), kind: e.Kind, entry: e.Number, minor: e.Amount.Minor, maker: e.Maker}
	a.orders[e.Key] = o
	if !o.of.capped {
		a.find(check, "%s has no cap in %s", e.Debtor, e.Amount.Currency)
	}
	return o, true
}

func (a *Auditor) capProposed(e *Entry) {
	if o, ok := a.ordered(e, checkApproval); ok && (o.maker == "" || o.minor < 0) {
		a.find(checkApproval, "%q proposes a cap of %d", o.maker, o.minor)
	}
}

// capChecked holds that two people have set a cap, both looking at the same one.
func (a *Auditor) capChecked(e *Entry) {
	o := a.orders[e.Key]
	person := func(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
	switch {
	case o == nil || o.kind != KindCapProposed || o.checked:
		a.find(checkApproval, "%s of what does not wait for it", e.Kind)
		return
	case e.Checker == "" || person(e.Checker) == person(o.maker):
		a.find(checkApproval, "made by %q, checked by %q", o.maker, e.Checker)
	case e.Maker != o.maker || e.Debtor != o.of.who || e.Amount != (tongma.Money{Minor: o.minor, Currency: o.of.currency}):
		a.find(checkApproval, "proposed were %d for %s by %q", o.minor, o.of.who, o.maker)
	case e.Kind == KindCapApproved && o.of.capAt > o.entry:
		a.find(checkApproval, "proposed in entry %d, but entry %d set another cap", o.entry, o.of.capAt)
	}
	o.checked = true
	if e.Kind == KindCapApproved {
		o.of.cap, o.of.capAt = o.minor, e.Number
	}
}

func (a *Auditor) prefunded(e *Entry) {
	o, ok := a.ordered(e, checkPrefund)
	if !ok {
		return
	}
	if o.minor <= 0 {
		a.find(checkPrefund, "%s of %d", e.Kind, o.minor)
	}
	if e.Kind == KindDeposit {
		a.add(&o.of.prefunding, o.minor)
		return
	}
	a.add(&o.of.prefunding, -o.minor)
	position, reserved := o.of.position, o.of.reserved
	if a.settler(o.of) != o.of {
		position, reserved = o.of.memo, o.of.memoHeld
	}
	uncovered := position
	a.add(&uncovered, reserved)
	a.add(&uncovered, -o.of.prefunding)
	switch {
	case a.suspended[e.Debtor]:
		a.find(checkPrefund, "%s is suspended", e.Debtor)
	case o.of.prefunding < 0:
		a.find(checkPrefund, "%s: %d more than was there", e.Debtor, -o.of.prefunding)
	case uncovered > o.of.cap:
		a.find(checkPrefund, "%s: %d + %d is in use, %d and the cap of %d are left", e.Debtor, position, reserved, o.of.prefunding, o.of.cap)
	}
}

// sponsored takes who settles for whom from here on.
func (a *Auditor) sponsored(e *Entry) {
	was := a.sponsors[e.Debtor]
	switch {
	case e.Debtor == "" || e.Debtor == e.Creditor || was == e.Creditor:
		a.find(checkSponsor, "%q settles through %q, through %q before", e.Debtor, e.Creditor, was)
	case e.Creditor != "" && a.sponsors[e.Creditor] != "":
		a.find(checkSponsor, "%s has a sponsor itself", e.Creditor)
	}
	for sub, sponsor := range a.sponsors {
		if e.Creditor != "" && sponsor == e.Debtor {
			a.find(checkSponsor, "%s is the sponsor of %s", e.Debtor, sub)
		}
	}
	for _, b := range a.sorted() {
		if b.who == e.Debtor && (b.position != 0 || b.reserved != 0 || b.memo != 0 || b.memoHeld != 0 || a.unsettled(b)) {
			a.find(checkSponsor, "%s of %s has %d and %d open, as a sub-participant %d and %d, or is in a window that is not settled", b.who, b.currency, b.position, b.reserved, b.memo, b.memoHeld)
		}
	}
	if a.sponsors[e.Debtor] = e.Creditor; e.Creditor == "" {
		delete(a.sponsors, e.Debtor)
	}
}

func (a *Auditor) unsettled(b *auditBalance) bool {
	return slices.ContainsFunc(a.windows, func(w *auditWindow) bool {
		_, net := w.nets[b]
		_, memo := w.moved[b]
		return w.state != auditSettled && (net || memo)
	})
}

// checkPrefunding adds up what was deposited and withdrawn anew.
func (a *Auditor) checkPrefunding() {
	sums := map[*auditBalance]*big.Int{}
	for _, o := range a.orders {
		if sums[o.of] == nil {
			sums[o.of] = new(big.Int)
		}
		switch o.kind {
		case KindDeposit:
			sums[o.of].Add(sums[o.of], big.NewInt(o.minor))
		case KindWithdraw:
			sums[o.of].Sub(sums[o.of], big.NewInt(o.minor))
		}
	}
	for b, used := range a.usedUp {
		if sums[b] == nil {
			sums[b] = new(big.Int)
		}
		sums[b].Sub(sums[b], used)
	}
	for b, moved := range a.shards.moved {
		if sums[b] == nil {
			sums[b] = new(big.Int)
		}
		sums[b].Add(sums[b], moved)
	}
	for _, b := range a.sorted() {
		if sum := sums[b]; (sum == nil && b.prefunding != 0) || (sum != nil && sum.Cmp(big.NewInt(b.prefunding)) != 0) {
			a.find(checkPrefund, "%s of %s: prefunded %d, its deposits and withdrawals say %s", b.who, b.currency, b.prefunding, sum)
		}
	}
}

// captured returns what an entry posts of a hold. One that names no amount posts
// all of it.
func (a *Auditor) captured(e *Entry, p *auditPayment) int64 {
	if e.Amount == (tongma.Money{}) {
		return p.amount
	}
	if e.Amount.Currency != p.first.Currency || e.Amount.Minor < 1 || e.Amount.Minor > p.amount {
		a.find(checkCapture, "%d of currency %d are posted, held were %d of %d", e.Amount.Minor, e.Amount.Currency, p.amount, p.first.Currency)
		return p.amount
	}
	if p.dealer != nil && e.Amount.Minor != p.amount {
		a.find(checkExchange, "%d of %d are posted: both sides are posted whole", e.Amount.Minor, p.amount)
	}
	return e.Amount.Minor
}

// checkFees holds the fees of an entry against those that are due, if it gives
// back, and moves them.
func (a *Auditor) checkFees(e *Entry, p *auditPayment) {
	switch {
	case p.refund && p.original != nil:
		a.sameFees(e, p.original.feesBack(p.original.given+p.original.feesGone, p.paid))
	case p.refund:
	case e.Kind == KindReversed && p.posted:
		a.sameFees(e, p.feesBack(0, -1))
	case e.Kind == KindReversed:
		a.sameFees(e, nil)
	}
	currency := p.first.Currency
	if p.refund && p.dealer != nil { // in which its original was paid
		currency = p.creditor.currency
	}
	a.moveFees(e, a.open[p.model], currency)
}

// moveFees moves the fees of an entry in a window.
func (a *Auditor) moveFees(e *Entry, w *auditWindow, currency tongma.Currency) {
	if len(e.Legs) > MaxLegs {
		a.find(checkFees, "%d fees", len(e.Legs))
	}
	for _, l := range e.Legs {
		if l.From == "" || l.To == "" || l.From == l.To || l.Amount.Minor <= 0 || l.Amount.Minor > tongma.MaxMinor || l.Amount.Currency != currency {
			a.find(checkFees, "%s pays %s %d of currency %d", l.From, l.To, l.Amount.Minor, l.Amount.Currency)
			continue
		}
		from, to := a.balance(l.From, l.Amount.Currency), a.balance(l.To, l.Amount.Currency)
		a.add(&a.total(l.Amount.Currency).Fees, l.Amount.Minor)
		a.moves(w, from, to, l.Amount.Minor)
	}
}

func (a *Auditor) sameFees(e *Entry, due []Leg) {
	if !slices.Equal(e.Legs, due) {
		a.find(checkFees, "%d fees go back, of which not all are the %d that are due", len(e.Legs), len(due))
	}
}

// feesBack returns what a refund of so much gives back of the payment's fees, when
// so much was given back before: the exact proportion of both together, rounded,
// less that of what was before. All fees go back if minor is less than zero.
func (p *auditPayment) feesBack(before, minor int64) []Leg {
	var due []Leg
	for _, l := range p.fees {
		back := l.Amount.Minor
		if minor >= 0 {
			if l.OnRefund != schemes.FeeReturn {
				continue
			}
			back = halfEven(l.Amount.Minor, before+minor, p.limit()) - halfEven(l.Amount.Minor, before, p.limit())
		}
		if back > 0 {
			due = append(due, Leg{l.Kind, l.OnRefund, l.To, l.From, tongma.Money{Minor: back, Currency: l.Amount.Currency}})
		}
	}
	return due
}

// halfEven is n * part / whole, rounded half to even: twice the exact figure and a
// half, in whole numbers.
func halfEven(n, part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	double := new(big.Int).Mul(big.NewInt(n), big.NewInt(part))
	double.Lsh(double, 1).Add(double, big.NewInt(whole))
	divisor := big.NewInt(whole)
	divisor.Lsh(divisor, 1)
	q, r := new(big.Int).DivMod(double, divisor, new(big.Int))
	if r.Sign() == 0 && q.Bit(0) == 1 {
		q.Sub(q, big.NewInt(1))
	}
	return q.Int64()
}
