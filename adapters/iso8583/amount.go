package iso8583

import (
	"strconv"

	"github.com/tongma/tongma"
)

// Decimals says for which currencies the amounts of a link (DE4) have another
// number of decimals than ISO 4217 gives the currency: {IDR: 0} where whole
// rupiah travel. A currency that is not in it is carried as ISO 4217 says.
type Decimals map[tongma.Currency]int

// shift returns how many decimals the currency has more than the wire.
func (d Decimals) shift(c tongma.Currency) int {
	if wire, ok := d[c]; ok {
		return c.MinorUnits() - wire
	}
	return 0
}

// money reads DE4 and DE49. It refuses a currency that ISO 4217 does not have, an
// amount that nobody can pay, and one that cannot be said in the currency's own
// minor units.
func (d Decimals) money(de4, de49 []byte) (tongma.Money, error) {
	currency, ok := tongma.CurrencyByNumber(string(de49))
	if !ok {
		return tongma.Money{}, fail("amount", tongma.CurrencyUnknown, 49, 0, "")
	}
	minor, err := strconv.ParseInt(string(de4), 10, 64)
	if err != nil {
		return tongma.Money{}, fail("amount", tongma.AmountInvalid, 4, 0, "")
	}
	for shift := d.shift(currency); shift != 0; {
		switch {
		case shift > 0 && minor <= tongma.MaxMinor:
			minor, shift = minor*10, shift-1
		case shift < 0 && minor%10 == 0:
			minor, shift = minor/10, shift+1
		case shift < 0:
			return tongma.Money{}, fail("amount", tongma.AmountDecimals, 4, 0, "")
		default:
			return tongma.Money{}, fail("amount", tongma.AmountInvalid, 4, 0, "more than twelve digits")
		}
	}
	m := tongma.Money{Minor: minor, Currency: currency}
	if err := m.Payable(); err != nil {
		return tongma.Money{}, fail("amount", tongma.ReasonOf(err), 4, 0, "")
	}
	return m, nil
}

// text returns DE4 and DE49 of an amount. It refuses what money would, and an
// amount that has more decimals than travel.
func (d Decimals) text(m tongma.Money) (de4, de49 string, err error) {
	if err := m.Payable(); err != nil {
		return "", "", err
	}
	minor := m.Minor
	for shift := d.shift(m.Currency); shift > 0; shift-- {
		if minor%10 != 0 {
			return "", "", fail("amount", tongma.AmountDecimals, 4, 0, "")
		}
		minor /= 10
	}
	for shift := d.shift(m.Currency); shift < 0 && minor <= tongma.MaxMinor; shift++ {
		minor *= 10
	}
	digits := strconv.FormatInt(minor, 10)
	if len(digits) > 12 {
		return "", "", fail("amount", tongma.AmountInvalid, 4, 0, "more than twelve digits")
	}
	return "000000000000"[len(digits):] + digits, m.Currency.Number(), nil
}
