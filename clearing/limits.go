package clearing

import (
	"math"

	"github.com/tongma/tongma"
)

// holdable says why the debtor's amount may not be held; if it may, which part of
// its limit that reaches.
func (b *Book) holdable(e *Entry, w *window) (tongma.Reason, uint8) {
	if err := e.Amount.Payable(); err != nil {
		return tongma.ReasonOf(err), 0
	}
	if e.Code != (Digest{}) && b.spent(e.Code) {
		return tongma.CodeSpent, 0
	}
	if e.Op == tongma.OpRefund {
		if reason := b.refundable(e); reason != tongma.NoReason {
			return reason, 0
		}
	}
	if reason := b.exchangeable(e); reason != tongma.NoReason {
		return reason, 0
	}
	if b.payments.len() >= maxPayments {
		return tongma.PositionOverflow, 0
	}
	if e.Dealer == "" {
		return b.withinLimits(e.Debtor, e.Creditor, e.Amount, w)
	}
	if reason, _ := b.withinLimits(e.Dealer, e.Creditor, e.Target, w); reason != tongma.NoReason {
		return reason, 0
	}
	return b.withinLimits(e.Debtor, e.Dealer, e.Amount, w)
}

// withinLimits says why a debtor may not owe more, itself or whoever settles for it;
// if it may, which part of its limit that reaches, the higher one of both.
func (b *Book) withinLimits(who, creditor tongma.ParticipantID, m tongma.Money, w *window) (tongma.Reason, uint8) {
	debtor, known := b.known(string(who))
	settler := b.settler(debtor)
	own := b.accountAt(accountKey{debtor, m.Currency})
	a := b.accountAt(accountKey{settler, m.Currency})
	if !known || own == nil || !own.capped || a == nil || !a.capped || creditor == "" {
		return tongma.NoAccount, 0
	}
	if b.blocked[debtor] || b.blocked[settler] {
		return tongma.ParticipantSuspended, 0
	}
	reason, crossed := room(a.position, a.reserved, a.limit(), m.Minor)
	if reason == tongma.PositionOverflow || b.nearEdge(creditor, m.Currency) || b.tooMuch(w, m.Currency, m.Minor, mostHeld) {
		return tongma.PositionOverflow, 0
	}
	if through, sub := b.memoNow(debtor, m.Currency); sub && reason == tongma.NoReason {
		var other uint8
		reason, other = room(through.position, through.reserved, own.limit(), m.Minor)
		crossed = max(crossed, other)
	}
	if reason != tongma.NoReason {
		return reason, 0
	}
	return tongma.NoReason, crossed
}

// nearEdge tells whether somebody is owed so much that more might not be counted.
func (b *Book) nearEdge(who tongma.ParticipantID, c tongma.Currency) bool {
	return b.standing(who, c).position < math.MinInt64/2
}

// crossed returns the highest of 50, 75 and 90 % of limit that use has reached
// and before had not; 0 if none.
func crossed(before, use, limit int64) uint8 {
	for _, percent := range [...]int64{90, 75, 50} {
		mark := limit/100*percent + (limit%100*percent+99)/100
		if use >= mark {
			if before < mark {
				return uint8(percent)
			}
			return 0
		}
	}
	return 0
}

func addChecked(x, y int64) (int64, bool) {
	sum := x + y
	return sum, (sum > x) == (y > 0)
}

func (b *Book) refundable(e *Entry) tongma.Reason {
	i, ok := b.find(e.Original)
	if !ok {
		return tongma.PaymentUnknown
	}
	p := b.payments.at(i)
	switch {
	case b.names[p.creditor] != string(e.Debtor) || b.names[p.debtor] != string(e.Creditor):
		return tongma.PaymentUnknown
	case p.phase != KindPost || p.op == tongma.OpRefund:
		return tongma.NotRefundable
	case b.given(p).Currency != e.Amount.Currency:
		return tongma.CurrencyMismatch
	}
	taken := b.claimsOn(i)
	switch left := b.given(p).Minor - p.refunded - p.refunding - taken.chargedBack - e.Amount.Minor; {
	case left < 0:
		return tongma.RefundExceeds
	case left < taken.open:
		return tongma.DisputeOpen
	}
	return tongma.NoReason
}

func (b *Book) spent(code Digest) bool {
	return b.codes[0].has(code) || b.codes[1].has(code)
}
