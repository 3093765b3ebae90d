package tongma

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// objectReader reads one JSON object from front to back. The first fault stops
// it: later calls return zero values and end reports the fault.
type objectReader struct {
	b    []byte
	i    int
	op   string
	at   string // path of the object that is being read
	name string // of the member that is being read
	err  *Error
}

// memberNames are the names of all members that are known anywhere, so that
// reading one allocates nothing.
var memberNames = func() map[string]string {
	names := map[string]string{}
	for _, n := range []string{"key", "payment", "original", "of_key", "scheme", "acquirer", "issuer", "code", "amount", "merchant", "order", "reason", "budget_ms",
		"attempt", "minor", "currency", "id", "name", "city", "country", "mcc", "terminal", "outcome", "status", "reason_name", "title", "money",
		"pay_in", "quote", "exchange", "dealer", "rate", "source", "target", "expires", "scheme_ref", "approval", "at", "window", "entry", "after_ms", "detail"} {
		names[n] = n
	}
	return names
}()

const (
	maxNesting = 16
	maxMembers = 64
)

func (s *objectReader) fail(reason Reason, detail string) {
	if s.err == nil {
		path := s.at
		if s.name != "" {
			path += "/" + s.name
		}
		s.err = &Error{Op: s.op, Reason: reason, Field: path, Offset: s.i, Detail: detail}
	}
}

// end returns the first fault, and refuses anything behind the value.
func (s *objectReader) end() error {
	s.space()
	if s.err == nil && s.i < len(s.b) {
		s.at, s.name = "", ""
		s.fail(MessageMalformed, "something follows the value")
	}
	if s.err != nil {
		return s.err
	}
	return nil
}

func (s *objectReader) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\t' || s.b[s.i] == '\r') {
		s.i++
	}
}

// take consumes c, after white space, and tells whether it was there.
func (s *objectReader) take(c byte) bool {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *objectReader) want(c byte) {
	if s.err == nil && !s.take(c) {
		s.fail(MessageMalformed, "want "+strconv.QuoteRune(rune(c)))
	}
}

// object reads the members; member must read the value of each.
func (s *objectReader) object(at string, member func(name string)) {
	if len(s.b) > MaxMessage {
		s.fail(MessageTooLong, "")
		return
	}
	s.want('{')
	if s.err != nil || s.take('}') {
		return
	}
	var seen [maxMembers]string
	for n := 0; s.err == nil; n++ {
		s.at, s.name = at, ""
		name := s.memberName()
		s.name = name
		for _, earlier := range seen[:n] {
			if earlier == name {
				s.fail(MessageMalformed, "given twice")
			}
		}
		if s.want(':'); s.err != nil {
			return
		}
		member(name)
		if s.take(',') {
			if seen[n] = name; n == maxMembers-1 {
				s.fail(MessageMalformed, "too many members")
			}
			continue
		}
		s.want('}')
		return
	}
}

// memberName reads the name of a member.
func (s *objectReader) memberName() string {
	body, plain := s.raw()
	if name, ok := memberNames[string(body)]; ok {
		return name
	}
	if plain {
		return string(body)
	}
	return s.unquote(s.i - len(body) - 1)
}

// text reads a string.
func (s *objectReader) text() string {
	body, plain := s.raw()
	if plain || s.err != nil {
		return string(body)
	}
	return s.unquote(s.i - len(body) - 1)
}

// raw reads a string as it stands between its quotes; plain tells that this is
// what it says.
func (s *objectReader) raw() (body []byte, plain bool) {
	if s.want('"'); s.err != nil {
		return nil, true
	}
	start := s.i
	plain = true
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[start : s.i-1], plain
		case c == '\\':
			plain = false
			s.i++
		case c < 0x20:
			s.fail(MessageMalformed, "control character in a string")
			return nil, true
		case c >= utf8.RuneSelf:
			plain = false
		}
		s.i++
	}
	s.i = min(s.i, len(s.b))
	s.fail(MessageMalformed, "string does not end")
	return nil, true
}

func (s *objectReader) unquote(start int) string {
	var out string
	quoted := s.b[start-1 : s.i]
	if !utf8.Valid(quoted) || json.Unmarshal(quoted, &out) != nil {
		s.i = start
		s.fail(MessageMalformed, "not a UTF-8 string")
	}
	return out
}

func (s *objectReader) bounded(limit int) string {
	t := s.text()
	if len(t) > limit {
		s.fail(FieldInvalid, "too long")
	}
	return t
}

func (s *objectReader) integer(low, high int64) int64 {
	s.space()
	start := s.i
	for s.i < len(s.b) && (s.b[s.i] == '-' || (s.b[s.i] >= '0' && s.b[s.i] <= '9') || s.b[s.i] == '.' || s.b[s.i]|0x20 == 'e' || s.b[s.i] == '+') {
		s.i++
	}
	if s.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(s.b[start:s.i]), 10, 64)
	if err != nil || n < low || n > high {
		s.i = start
		s.fail(FieldInvalid, "want a whole number from "+strconv.FormatInt(low, 10)+" to "+strconv.FormatInt(high, 10))
		return 0
	}
	return n
}

func (s *objectReader) id() PaymentID {
	id, err := ParsePaymentID(s.text())
	if err != nil {
		s.fail(FieldInvalid, `want "pay_" and 26 characters of base 32`)
	}
	return id
}

func (s *objectReader) window() WindowID {
	id, err := ParseWindowID(s.text())
	if err != nil {
		s.fail(FieldInvalid, `want "win_" and digits`)
	}
	return id
}

func (s *objectReader) reason() Reason {
	text := s.text()
	r, ok := ParseReason(text)
	if !ok {
		s.fail(FieldInvalid, "not in the catalogue of reasons")
	}
	return r
}

func (s *objectReader) instant() int64 {
	t, err := time.Parse(time.RFC3339, s.text())
	if err != nil {
		s.fail(FieldInvalid, "want an RFC 3339 time")
		return 0
	}
	return t.UnixMilli()
}

func (s *objectReader) money() Money {
	var m Money
	at, name := s.at, s.name
	hasMinor, hasCurrency := false, false
	s.object(at+"/"+name, func(name string) {
		switch name {
		case "minor":
			m.Minor, hasMinor = s.integer(-1<<62, 1<<62), true
		case "currency":
			m.Currency, hasCurrency = s.currency(), true
		default:
			s.fail(FieldUnknown, "")
		}
	})
	if s.at, s.name = at, name; !hasMinor || !hasCurrency {
		s.fail(FieldMissing, "want minor and currency")
	}
	return m
}

func (s *objectReader) currency() Currency {
	body, _ := s.raw()
	c, ok := currencyByCode[string(body)]
	if !ok {
		s.fail(CurrencyUnknown, "")
	}
	return c
}

// exchange reads the two amounts of a payment; strict refuses members that it does
// not know.
func (s *objectReader) exchange(strict bool) Exchange {
	var x Exchange
	at, name := s.at, s.name
	s.object(at+"/"+name, func(name string) {
		switch name {
		case "dealer":
			x.Dealer = ParticipantID(s.bounded(32))
		case "quote":
			x.Quote = s.bounded(64)
		case "rate":
			x.Rate = s.bounded(MaxRate)
		case "source":
			x.Source = s.money()
		case "target":
			x.Target = s.money()
		case "expires":
			x.Expiry = s.instant()
		default:
			if !strict {
				s.skip(0)
				return
			}
			s.fail(FieldUnknown, "")
		}
	})
	s.at, s.name = at, name
	return x
}

func (s *objectReader) merchant() Merchant {
	var m Merchant
	s.object(s.at+"/"+s.name, func(name string) {
		switch name {
		case "id":
			m.ID = s.text()
		case "name":
			m.Name = s.text()
		case "city":
			m.City = s.text()
		case "country":
			m.Country = s.text()
		case "mcc":
			m.MCC = s.text()
		case "terminal":
			m.Terminal = s.text()
		default:
			s.fail(FieldUnknown, "")
		}
	})
	return m
}

// skip passes over any value.
func (s *objectReader) skip(depth int) {
	s.space()
	if s.err != nil {
		return
	}
	if depth > maxNesting || s.i >= len(s.b) {
		s.fail(MessageMalformed, "value missing or nested too deeply")
		return
	}
	switch s.b[s.i] {
	case '"':
		s.text()
	case '{', '[':
		s.skipNested(depth)
	default:
		start := s.i
		for s.i < len(s.b) && !bytes.ContainsRune([]byte(",]} \t\r\n"), rune(s.b[s.i])) {
			s.i++
		}
		if !json.Valid(s.b[start:s.i]) {
			s.i = start
			s.fail(MessageMalformed, "not a value")
		}
	}
}

func (s *objectReader) skipNested(depth int) {
	end := byte('}')
	named := s.b[s.i] == '{'
	if !named {
		end = ']'
	}
	s.i++
	if s.take(end) {
		return
	}
	for s.err == nil {
		if named {
			s.text()
			s.want(':')
		}
		s.skip(depth + 1)
		if s.take(',') {
			continue
		}
		s.want(end)
		return
	}
}
