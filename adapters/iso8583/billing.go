package iso8583

import (
	"fmt"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/tongma/tongma"
)

// bill puts into a reply what the payer pays, or gets back, when that is in another
// currency than DE4: DE6 and DE51, and in DE10 by which rate DE6 follows from DE4.
// What cannot be said in a field is left out of it: DE4 and DE39 are what counts.
func (m *Message) bill(x tongma.Exchange, d Decimals) {
	if x == (tongma.Exchange{}) {
		return
	}
	de6, de51, err := d.text(x.Source)
	if err != nil {
		return
	}
	m.SetText(6, de6)
	m.SetText(51, de51)
	if de10, ok := conversionRate(x); ok {
		m.SetText(10, de10)
	}
}

// conversionRate is DE10: major units of the source for one of the target, as the
// number of decimals, from the right, and seven digits. It is false if the rate is
// not known or does not fit.
func conversionRate(x tongma.Exchange) (string, bool) {
	pair, rest, _ := strings.Cut(x.Rate, " ")
	number, _, _ := strings.Cut(rest, " ")
	rate, err := decimal.NewFromString(number)
	if err != nil || !rate.IsPositive() {
		return "", false
	}
	const most = 9 // decimals that one digit can tell of
	switch source, target := x.Source.Currency.Code(), x.Target.Currency.Code(); pair {
	case target + "/" + source:
	case source + "/" + target:
		rate = decimal.New(1, 0).DivRound(rate, most)
	default:
		return "", false
	}
	for decimals := int32(most); decimals >= 0; decimals-- {
		digits := rate.Round(decimals).Shift(decimals)
		if n := digits.IntPart(); digits.IsPositive() && digits.LessThan(decimal.New(1, 7)) {
			return fmt.Sprintf("%d%07d", decimals, n), true
		}
	}
	return "", false
}

// billed reads DE6 and DE51 of a reply: what the payer pays; none if it is in the
// currency of DE4.
func (m *Message) billed(d Decimals) tongma.Money {
	if !m.Has(6) || !m.Has(51) {
		return tongma.Money{}
	}
	amount, err := d.money(m.Get(6), m.Get(51))
	if err != nil {
		return tongma.Money{}
	}
	return amount
}
