package clearing

import (
	"math/big"
	"strings"

	"github.com/tongma/tongma"
)

// limit is what may go back of a payment: what its creditor got.
func (p *auditPayment) limit() int64 {
	if p.dealer != nil {
		return p.target
	}
	return p.paid
}

// each calls see for what a payment moves without its fees; back turns it round.
func (a *Auditor) each(p *auditPayment, back bool, see func(from, to *auditBalance, minor int64)) {
	one := func(from, to *auditBalance, minor int64) {
		if back {
			from, to = to, from
		}
		see(from, to, minor)
	}
	if p.dealer == nil {
		one(p.debtor, p.creditor, p.paid)
		return
	}
	one(p.debtor, a.balance(p.dealer.who, p.debtor.currency), p.paid)
	one(p.dealer, p.creditor, p.target)
}

// exchanged looks at the second side of a hold in two currencies.
func (a *Auditor) exchanged(e *Entry, p *auditPayment) {
	if e.Dealer == "" {
		if e.Target != (tongma.Money{}) || e.Quote != "" || e.Rate != "" {
			a.find(checkExchange, "%d of currency %d by rate %q, without a dealer", e.Target.Minor, e.Target.Currency, e.Rate)
		}
		return
	}
	if e.Target.Minor <= 0 || e.Target.Minor > tongma.MaxMinor || !e.Target.Currency.Valid() || e.Target.Currency == e.Amount.Currency {
		a.find(checkAmount, "%d of currency %d for %d of %d", e.Target.Minor, e.Target.Currency, e.Amount.Minor, e.Amount.Currency)
	}
	p.target, p.dealer, p.creditor = e.Target.Minor, a.balance(e.Dealer, e.Target.Currency), a.balance(e.Creditor, e.Target.Currency)
	if a.suspended[e.Dealer] || a.suspended[a.sponsors[e.Dealer]] {
		a.find(checkSuspended, "%s is suspended, or its sponsor", e.Dealer)
	}
	if e.Op == tongma.OpRefund {
		return // its two amounts are a proportion: see checkRefund
	}
	quote := string(e.Dealer) + "\x00" + e.Quote
	const dayMillis = 86_400_000
	if day, spent := a.quotes[quote]; e.Quote == "" || (spent && e.Time/dayMillis-day <= 1) {
		a.find(checkExchange, "quote %q of %s is none, or was used before", e.Quote, e.Dealer)
	}
	a.quotes[quote] = e.Time / dayMillis
	if !followsRate(e) {
		a.find(checkExchange, "%d of %s for %d of %s do not follow from %q", e.Target.Minor, e.Target.Currency, e.Amount.Minor, e.Amount.Currency, e.Rate)
	}
}

// followsRate tells whether the two amounts of a hold follow from its rate, written as
// "BASE/TERM number side": so many of TERM are worth one of BASE, and the side that is
// not given is rounded in the dealer's favour. In fractions, and in major units.
func followsRate(e *Entry) bool {
	words := strings.Split(e.Rate, " ")
	if len(words) != 3 || len(words[0]) != 7 || words[0][3] != '/' || strings.ContainsAny(words[1], "eE/+-_") {
		return false
	}
	rate, ok := new(big.Rat).SetString(words[1])
	if !ok || rate.Sign() <= 0 {
		return false
	}
	source, target := e.Amount.Currency, e.Target.Currency
	switch words[0] {
	case source.Code() + "/" + target.Code():
	case target.Code() + "/" + source.Code():
		rate.Inv(rate)
	default:
		return false
	}
	power := func(n int) *big.Rat {
		return new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil))
	}
	rate.Mul(rate, power(target.MinorUnits())).Quo(rate, power(source.MinorUnits())) // minor for minor
	switch words[2] {
	case "source":
		exact := new(big.Rat).Mul(big.NewRat(e.Amount.Minor, 1), rate)
		down := new(big.Int).Quo(exact.Num(), exact.Denom())
		return down.Cmp(big.NewInt(e.Target.Minor)) == 0
	case "target":
		exact := new(big.Rat).Quo(big.NewRat(e.Target.Minor, 1), rate)
		up, rest := new(big.Int).QuoRem(exact.Num(), exact.Denom(), new(big.Int))
		if rest.Sign() > 0 {
			up.Add(up, big.NewInt(1))
		}
		return up.Cmp(big.NewInt(e.Amount.Minor)) == 0
	}
	return false
}

// otherPart is what of its debtor's amount goes back with minor of what its creditor
// got, behind what went back before: in sum the proportion, rounded down.
func (p *auditPayment) otherPart(minor int64) int64 {
	sum := new(big.Int).Add(big.NewInt(p.given+p.giving+p.disputed+p.chargedBack), big.NewInt(minor))
	sum.Mul(sum, big.NewInt(p.paid)).Quo(sum, big.NewInt(max(p.target, 1)))
	return sum.Int64() - p.givenOther - p.givingOther - p.disputedOther - p.backOther
}

// samePart holds that the two amounts of what goes back are in proportion.
func (a *Auditor) samePart(e *Entry, o *auditPayment) {
	switch {
	case o.dealer == nil && (e.Dealer != "" || e.Target != (tongma.Money{})):
		a.find(checkExchange, "%s pays for what was paid without a dealer", e.Dealer)
	case o.dealer == nil:
	case e.Dealer != o.dealer.who || e.Target != (tongma.Money{Minor: o.otherPart(e.Amount.Minor), Currency: o.first.Currency}):
		a.find(checkExchange, "%d come back through %s, by proportion they are %d through %s", e.Target.Minor, e.Dealer, o.otherPart(e.Amount.Minor), o.dealer.who)
	}
}
