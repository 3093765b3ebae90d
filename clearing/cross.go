package clearing

import (
	"bytes"
	"crypto/sha256"
	"strings"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/exchange"
)

// cross is what a payment in two currencies has besides the others: the debtor pays
// the payment's amount to the dealer, the dealer pays the target to the creditor. Both
// are held together, posted together or not at all. What goes back of it is counted
// in what the creditor got, and here in what the debtor paid.
type cross struct {
	target              int64
	refunded, refunding int64 // of what the debtor paid
	disputed, back      int64 // of that too: in open disputes, and charged back
	quote, rate         textRef
	dealer              uint16
	currency            tongma.Currency
}

// maxRate is the longest text of a rate.
const maxRate = 48

// crossOf returns what p has if it is in two currencies, else nil.
func (b *Book) crossOf(p *payment) *cross {
	if p.cross == 0 {
		return nil
	}
	return &b.crosses[p.cross-1]
}

// given returns what the creditor of p gets, or got: what goes back is counted in it.
func (b *Book) given(p *payment) tongma.Money {
	if x := b.crossOf(p); x != nil {
		return tongma.Money{Minor: x.target, Currency: x.currency}
	}
	return tongma.Money{Minor: p.moved(), Currency: p.currency}
}

// asked is the amount of e that its asker named: of one in two currencies the side
// that its rate leaves fixed. The other side is another one with each quote.
func (e *Entry) asked() tongma.Money {
	if e.Dealer != "" && e.Op != tongma.OpRefund && strings.HasSuffix(e.Rate, targetFixed) && e.Target.Payable() == nil {
		return e.Target
	}
	return e.Amount
}

// asked is the same of a payment.
func (b *Book) asked(p *payment) tongma.Money {
	if x := b.crossOf(p); x != nil && p.op != tongma.OpRefund && bytes.HasSuffix(b.texts.get(x.rate), []byte(targetFixed)) {
		return tongma.Money{Minor: x.target, Currency: x.currency}
	}
	return tongma.Money{Minor: p.amount, Currency: p.currency}
}

// Asked is the amount that the payment's asker named: of one in two currencies what the
// creditor gets, if its rate leaves that side fixed.
func (p *Payment) Asked() tongma.Money {
	if p.Dealer != "" && p.Op != tongma.OpRefund && strings.HasSuffix(p.Rate, targetFixed) {
		return p.Target
	}
	return p.Amount
}

// targetFixed is how terms end whose target is fixed.
const targetFixed = " target"

// CanGive tells whether somebody's limits let it owe so much more, as they stand now. Of
// who is at home in another shard that one knows: room is got from it when it is held.
func (b *Book) CanGive(who tongma.ParticipantID, m tongma.Money) bool {
	if len(b.windows) == 0 || m.Payable() != nil {
		return false
	}
	reason, _ := b.withinLimits(who, who, m, b.openOf(0))
	return reason == tongma.NoReason || (reason == tongma.OverCap && b.away(who))
}

// QuoteUsed tells whether a dealer's quote was used for a payment, whatever became of
// that.
func (b *Book) QuoteUsed(dealer tongma.ParticipantID, quote string) bool {
	return b.spent(quoteDigest(dealer, quote))
}

// moving is one debit and one credit.
type moving struct {
	from, to uint16
	currency tongma.Currency
	minor    int64
	fee      bool
}

// movements calls see for everything that p's posting moves; the other way round if
// it is turned back.
func (b *Book) movements(p *payment, back bool, see func(moving)) {
	one := func(m moving) {
		if back {
			m.from, m.to = m.to, m.from
		}
		see(m)
	}
	if x := b.crossOf(p); x != nil {
		one(moving{p.debtor, x.dealer, p.currency, p.moved(), false})
		one(moving{x.dealer, p.creditor, x.currency, x.target, false})
	} else {
		one(moving{p.debtor, p.creditor, p.currency, p.moved(), false})
	}
	for _, f := range b.feesOf(p) {
		one(moving{f.from, f.to, b.feeCurrency(p), f.minor, true})
	}
}

// feeCurrency is the currency of p's fees: the one in which its original, or p
// itself, was paid.
func (b *Book) feeCurrency(p *payment) tongma.Currency {
	if x := b.crossOf(p); x != nil && p.op == tongma.OpRefund {
		return x.currency
	}
	return p.currency
}

// quoteDigest stands for a dealer's quote, which is spent like a code.
func quoteDigest(dealer tongma.ParticipantID, quote string) Digest {
	sum := sha256.Sum256([]byte("quote\x00" + string(dealer) + "\x00" + quote))
	return Digest(sum[:16])
}

// exchangeable says why the two amounts of a hold are none; and of a refund, computes
// the other one. The reasons, in their order: FieldInvalid (a dealer, a quote or a rate
// is missing, or is there without the others), what Money.Payable says of the target,
// QuoteMismatch or what else exchange.Check says, QuoteSpent.
func (b *Book) exchangeable(e *Entry) tongma.Reason {
	if e.Op == tongma.OpRefund {
		return b.crossRefund(e)
	}
	if e.Dealer == "" && e.Target == (tongma.Money{}) && e.Quote == "" && e.Rate == "" {
		return tongma.NoReason
	}
	if e.Dealer == "" || e.Quote == "" || e.Rate == "" {
		return tongma.FieldInvalid
	}
	if err := e.Target.Payable(); err != nil {
		return tongma.ReasonOf(err)
	}
	terms, err := exchange.ParseTerms(e.Rate)
	if err == nil {
		err = terms.Check(e.Amount, e.Target)
	}
	if err != nil {
		return tongma.ReasonOf(err)
	}
	if b.spent(quoteDigest(e.Dealer, e.Quote)) {
		return tongma.QuoteSpent
	}
	return tongma.NoReason
}

// crossRefund completes a refund of a payment in two currencies: its dealer gives
// back in proportion, so that all refunds together return exactly what was paid.
func (b *Book) crossRefund(e *Entry) tongma.Reason {
	e.Dealer, e.Target, e.Quote, e.Rate = "", tongma.Money{}, "", ""
	i, ok := b.find(e.Original)
	if !ok {
		return tongma.NoReason // refused for that
	}
	o := b.payments.at(i)
	x := b.crossOf(o)
	if x == nil || e.Amount.Currency != x.currency {
		return tongma.NoReason // or for that
	}
	other, reason := b.proportionOf(i, e.Amount.Minor)
	e.Dealer, e.Target = tongma.ParticipantID(b.names[x.dealer]), tongma.Money{Minor: other, Currency: o.currency}
	return reason
}

// proportionOf returns what of its debtor's amount goes back with so much of what its
// creditor got, behind all that went back, or may yet.
func (b *Book) proportionOf(i uint32, minor int64) (int64, tongma.Reason) {
	o := b.payments.at(i)
	x, taken := b.crossOf(o), b.claimsOn(i)
	paid := tongma.Money{Minor: o.moved(), Currency: o.currency}
	got := tongma.Money{Minor: x.target, Currency: x.currency}
	done := exchange.Pair{Source: paid, Target: got}
	done.Source.Minor = x.refunded + x.refunding + x.disputed + x.back
	done.Target.Minor = o.refunded + o.refunding + taken.open + taken.chargedBack
	part, err := exchange.Proportion(exchange.Pair{Source: paid, Target: got}, done, tongma.Money{Minor: minor, Currency: x.currency})
	if err != nil && tongma.ReasonOf(err) != tongma.RefundExceeds { // which has its own order
		return 0, tongma.ReasonOf(err)
	}
	return part.Source.Minor, tongma.NoReason
}

// keepCross keeps the second side of a payment that is being held.
func (b *Book) keepCross(p *payment, e *Entry) {
	if e.Dealer == "" {
		return
	}
	b.crosses = append(b.crosses, cross{target: e.Target.Minor, currency: e.Target.Currency, dealer: b.number(string(e.Dealer)), quote: b.texts.put(e.Quote), rate: b.texts.put(e.Rate)})
	p.cross = uint32(len(b.crosses))
	if e.Quote != "" {
		b.codes[0].put(quoteDigest(e.Dealer, e.Quote))
	}
}
