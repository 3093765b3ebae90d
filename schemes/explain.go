package schemes

import (
	"strconv"
	"strings"

	tongma "github.com/tongma/tongma"
)

// why says in one clause why a scheme is not used. It holds no digits of the code.
func (s *scan) why(a attempt) string {
	version := "directory " + strconv.FormatUint(s.d.version, 10)
	if a.scheme == nil {
		switch {
		case a.match.Scheme != unifiedScheme:
			return version + " has no scheme that reads codes of " + a.match.Scheme
		case a.reason == tongma.CodeMalformed:
			return "the code's part of the unified format breaks its form"
		case a.reason == tongma.ParticipantUnknown:
			return version + " has no acquirer of the number in the unified template"
		}
		return version + " has no issuer of the number in the unified code"
	}
	id := string(a.scheme.ID)
	switch a.reason {
	case tongma.OperationUnknown:
		if s.q.Op == tongma.OpPay {
			return id + " has no payers here: " + string(a.other.ID) + " is no issuer"
		}
		return id + " has no merchants here: " + string(a.other.ID) + " is no acquirer"
	case tongma.SchemeNotAccepted:
		return string(s.asker.ID) + " does not accept " + id
	case tongma.CountryMismatch:
		return id + " pays in " + strings.Join(a.scheme.Countries, ", ") + ", not in " + shown(s.country)
	case tongma.CurrencyNotServed:
		return id + " clears in " + codes(a.scheme.Currencies) + ", not in " + s.currency.Code()
	case tongma.OverSchemeLimit:
		limit := tongma.Money{Minor: a.scheme.MaxPayment[s.amount.Currency], Currency: s.amount.Currency}
		return id + " takes at most " + limit.String() + " in one payment"
	case tongma.ParticipantSuspended:
		return string(a.other.ID) + ", who would be debited, is suspended"
	}
	return id + ": " + a.reason.Info().Title
}

// chosen says in one clause what the candidates are.
func (s *scan) chosen(list []Candidate) string {
	var b strings.Builder
	b.WriteString("directory " + strconv.FormatUint(s.d.version, 10) + ":")
	for i, c := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + string(c.Scheme) + " by " + c.Rule)
		for _, mark := range [...]struct {
			on   bool
			text string
		}{{c.Unified, "unified"}, {c.OnUs, "on us"}, {c.Consult, "to be asked"}} {
			if mark.on {
				b.WriteString(" (" + mark.text + ")")
			}
		}
	}
	return b.String()
}

func codes(list []tongma.Currency) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = c.Code()
	}
	return strings.Join(words, ", ")
}

// shown returns a country as it is, or nothing of what a code carries in its
// place.
func shown(country string) string {
	if len(country) == 2 && country[0] >= 'A' && country[0] <= 'Z' && country[1] >= 'A' && country[1] <= 'Z' {
		return country
	}
	return "what the code gives as its country"
}
