package codespec

import (
	"strings"

	"github.com/tongma/tongma"
)

// Amount returns the amount that the code asks for. ok is false if the code
// leaves it to the payer, which a zero amount in a static code also does. The
// error names a currency that is unknown or an amount that the currency cannot
// express; nothing is rounded. A tip or fee (55-57) is not included.
func (c Code) Amount() (amount tongma.Money, ok bool, err error) {
	var digits, currency string
	switch {
	case c.MPM != nil:
		digits, currency = c.MPM.Amount(), c.MPM.Currency()
	case c.Link != nil && c.Link.UPI != nil:
		digits, currency = c.Link.UPI.Amount, "INR"
	}
	if strings.Trim(digits, "0.") == "" {
		return tongma.Money{}, false, nil
	}
	unit, found := tongma.CurrencyByNumber(currency)
	if !found {
		unit, _ = tongma.CurrencyByCode(strings.ToUpper(currency)) // MMQR carries letters
	}
	amount, err = tongma.ParseMoney(digits, unit)
	return amount, err == nil, err
}
