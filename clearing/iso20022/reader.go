package iso20022

import (
	"strconv"
	"strings"
	"time"

	"github.com/tongma/tongma"
)

// reader takes values out of a tree. The first fault stops it: from then on it
// returns nothing, so that fields can be read one behind the other. Every method
// takes nil for an element that is not there.
type reader struct {
	*faults
	space   string // namespace of the message
	unknown int    // elements that the schema does not have
}

// at records the rule f broken by n.
func (r *reader) at(f Fault, n *node, detail string) {
	if r.err == nil {
		r.fail(f, n.path(), n.at, detail)
	}
}

// enter checks that n holds elements only, and counts those that the schema does
// not have: typ is the name of the element's type.
func (r *reader) enter(n *node, typ string) {
	if n == nil {
		return
	}
	if n.mixed {
		r.at(FaultMalformed, n, "text stands between elements")
	}
	names := schema[typ]
	for _, k := range n.kids {
		if k.name.Space != r.space || !strings.Contains(names, " "+k.name.Local+" ") {
			r.unknown++
		}
	}
}

// many returns the elements of a name, in order.
func (r *reader) many(n *node, name string) (found []*node) {
	if n == nil || r.err != nil {
		return nil
	}
	for _, k := range n.kids {
		if k.name.Local == name && k.name.Space == r.space {
			found = append(found, k)
		}
	}
	return found
}

// opt returns the only element of a name, or nil. Two of them are a fault, since
// it would be a guess which one counts.
func (r *reader) opt(n *node, name string) *node {
	found := r.many(n, name)
	if len(found) > 1 {
		r.at(FaultRepeated, found[1], "")
	}
	if len(found) == 0 || r.err != nil {
		return nil
	}
	return found[0]
}

// one returns the only element of a name, which must be there.
func (r *reader) one(n *node, name string) *node {
	k := r.opt(n, name)
	if k == nil && n != nil && r.err == nil {
		r.fail(FaultMissing, n.path()+"/"+name, n.at, "")
	}
	return k
}

// text returns the text of n, 1 to limit printable characters.
func (r *reader) text(n *node, limit int) string {
	if n == nil || r.err != nil {
		return ""
	}
	if len(n.kids) > 0 || !validText(string(n.text), limit) {
		r.at(FaultText, n, "at most "+strconv.Itoa(limit)+" characters")
		return ""
	}
	return string(n.text)
}

// token is text of which blanks at both ends do not count: numbers and dates.
func (r *reader) token(n *node, limit int) string {
	if n == nil || r.err != nil {
		return ""
	}
	s := strings.Trim(string(n.text), " \t\r\n")
	if len(n.kids) > 0 || !validText(s, limit) {
		r.at(FaultText, n, "at most "+strconv.Itoa(limit)+" characters")
		return ""
	}
	return s
}

func (r *reader) optText(n *node, name string, limit int) string {
	return r.text(r.opt(n, name), limit)
}

// id returns an identifier, ours or the agent's.
func (r *reader) id(n *node, name string) string { return r.text(r.one(n, name), maxID) }

// optID is id for one that may be missing.
func (r *reader) optID(n *node, name string) string { return r.text(r.opt(n, name), maxID) }

func (r *reader) uetr(n *node, name string) string {
	k := r.opt(n, name)
	s := r.text(k, 36)
	if k != nil && !validUETR(s) {
		r.at(FaultUETR, k, "")
	}
	return s
}

// flag returns xs:boolean; false if it is missing.
func (r *reader) flag(n *node, name string) bool {
	k := r.opt(n, name)
	switch r.token(k, 5) {
	case "true", "1":
		return true
	case "false", "0", "":
	default:
		r.at(FaultCode, k, "neither true nor false")
	}
	return false
}

// credit returns whether CreditDebitCode says credit.
func (r *reader) credit(n *node) bool {
	switch r.text(n, 4) {
	case "CRDT":
		return true
	case "DBIT":
	default:
		if n != nil {
			r.at(FaultCode, n, "neither CRDT nor DBIT")
		}
	}
	return false
}

// money returns an amount of zero or more with its currency.
func (r *reader) money(n *node) (m tongma.Money) {
	s := r.token(n, 20)
	if n == nil || r.err != nil {
		return m
	}
	code := ""
	for _, a := range n.attrs {
		if a.Name.Local == "Ccy" && a.Name.Space == "" {
			code = a.Value
		}
	}
	currency, ok := tongma.CurrencyByCode(code)
	if !ok {
		r.fail(FaultCurrency, n.path()+"/@Ccy", n.at, "")
		return m
	}
	m, err := tongma.ParseMoney(s, currency)
	switch {
	case tongma.ReasonOf(err) == tongma.AmountDecimals:
		r.at(FaultDecimals, n, currency.Code()+" has "+strconv.Itoa(currency.MinorUnits()))
	case err != nil || m.Minor > maxMinor:
		r.at(FaultAmount, n, "not a decimal amount of at most 18 digits")
	}
	if r.err != nil {
		return tongma.Money{}
	}
	return m
}

// currency returns a currency that stands alone; none if it is missing.
func (r *reader) currency(n *node) tongma.Currency {
	s := r.text(n, 3)
	c, ok := tongma.CurrencyByCode(s)
	if n != nil && !ok {
		r.at(FaultCurrency, n, "")
	}
	return c
}

func (r *reader) time(n *node) time.Time {
	s := r.token(n, 40)
	t, ok := parseTime(s)
	if n != nil && !ok {
		r.at(FaultDate, n, "")
	}
	return t
}

// date returns a choice of date and date-time as a date, as it stands there.
func (r *reader) date(n *node) Date {
	if n == nil {
		return Date{}
	}
	r.enter(n, "DateAndDateTime2Choice")
	day, moment := r.opt(n, "Dt"), r.opt(n, "DtTm")
	switch {
	case (day == nil) == (moment == nil):
		r.at(FaultMissing, n, "one of Dt and DtTm")
		return Date{}
	case moment != nil:
		return DateOf(r.time(moment))
	}
	d, ok := parseDate(r.token(day, 16))
	if !ok {
		r.at(FaultDate, day, "")
	}
	return d
}

// account returns the id of an account; its other children are the caller's.
func (r *reader) account(n *node) (a Account) {
	id := r.one(n, "Id")
	r.enter(id, "AccountIdentification4Choice")
	iban, other := r.opt(id, "IBAN"), r.opt(id, "Othr")
	r.enter(other, "GenericAccountIdentification1")
	switch {
	case id == nil:
	case (iban == nil) == (other == nil):
		r.at(FaultAccount, id, "one of IBAN and Othr")
	case other != nil:
		a.Other = r.text(r.one(other, "Id"), 34)
	default:
		if a.IBAN = r.text(iban, 34); !validIBAN(a.IBAN) {
			r.at(FaultAccount, iban, "not of the form of ISO 13616, or its check digits are wrong")
		}
	}
	return a
}

// choice returns the text of a choice between a code and a proprietary text, and
// whether it is a code.
func (r *reader) choice(n *node, typ string, limit int) (text string, coded bool) {
	if n == nil {
		return "", false
	}
	r.enter(n, typ)
	code, own := r.opt(n, "Cd"), r.opt(n, "Prtry")
	if (code == nil) == (own == nil) {
		r.at(FaultMissing, n, "one of Cd and Prtry")
	}
	if code != nil {
		return r.text(code, 4), true
	}
	return r.text(own, limit), false
}
