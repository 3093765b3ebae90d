package codespec

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/link"
	"github.com/tongma/tongma/codespec/tlv"
)

// SchemeUnified is the scheme id of the unified format.
const SchemeUnified = "tongma"

var unifiedMatch = [1]Match{{Scheme: SchemeUnified, Rule: "num.tongma.77", Path: "prefix", Note: "issuer is digits 3 to 6"}}

const (
	maxURLScheme = 16
	maxUnwrap    = 1  // an app link may wrap a code, which may not wrap another
	maxFold      = 99 // longest value of an EMVCo object
)

// matchMPM walks the accounts, then the unreserved templates, in carried order.
// Each object takes the first rule that fits; each scheme is listed once. taken
// holds the index of the rule that each object took, or -1.
func (r *Rules) matchMPM(m *emv.MPM) (matches []Match, taken []int16) {
	matches = make([]Match, 0, len(m.Accounts))
	taken = make([]int16, 0, len(m.Accounts)+len(m.Unreserved))
	country := m.Country()
	for _, list := range [2][]emv.Template{m.Accounts, m.Unreserved} {
		for i := range list {
			k := r.ruleFor(&list[i], country)
			taken = append(taken, int16(k))
			if k < 0 || listed(matches, r.mpm[k].Scheme) {
				continue
			}
			rule := &r.mpm[k]
			matches = append(matches, Match{Scheme: rule.Scheme, Rule: rule.ID, Path: list[i].ID, Consult: rule.Consult, Note: rule.Note})
		}
	}
	return matches, taken
}

func listed(matches []Match, scheme string) bool {
	for i := range matches {
		if matches[i].Scheme == scheme {
			return true
		}
	}
	return false
}

// ruleFor returns the index of the first rule that takes t, or -1. GUIDs are
// compared without regard to case, for both spellings are in the field.
func (r *Rules) ruleFor(t *emv.Template, country string) int {
	value := t.Value
	if t.HasGUID {
		value = t.GUID
	}
	var buf [maxFold * utf8.UTFMax]byte
	folded := fold(buf[:0], value)
	id, best := idNumber(t.ID), len(r.mpm)
	for _, i := range r.exact[string(folded)] {
		if r.mpm[i].applies(id, country) {
			best = i
			break
		}
	}
	for _, i := range r.tested {
		if i >= best {
			break
		}
		if rule := &r.mpm[i]; rule.applies(id, country) && rule.takes(folded) {
			best = i
			break
		}
	}
	for _, i := range r.primitive {
		if i >= best {
			break
		}
		if r.mpm[i].applies(id, country) {
			best = i
			break
		}
	}
	if best == len(r.mpm) {
		return -1
	}
	return best
}

func (m *mpmRule) applies(id uint8, country string) bool {
	return id >= m.lo && id <= m.hi && (m.RequiresCountry == "" || strings.EqualFold(country, m.RequiresCountry))
}

func (m *mpmRule) takes(folded []byte) bool {
	return m.Prefix != "" && len(folded) >= len(m.Prefix) && string(folded[:len(m.Prefix)]) == m.Prefix ||
		m.re != nil && m.re.Match(folded) ||
		m.Form != "" && m.form.fits(string(folded))
}

// fold appends s with ASCII capitals made small.
func fold(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// matchNumeric returns the matches of the longest prefix that fits.
func (r *Rules) matchNumeric(digits string) []Match {
	if len(digits) < 2 {
		return nil
	}
	rules := r.numeric[int(digits[0]-'0')*10+int(digits[1]-'0')]
	for i := range rules {
		n := &rules[i]
		if len(digits) >= n.min && len(digits) <= n.max && strings.HasPrefix(digits, n.prefix) {
			return n.matches
		}
	}
	return nil
}

// almostNumeric says of digits that no rule covers whose beginning they have, and how
// many that scheme's have. It repeats none of the digits: they may be a payer's code
// that was read badly.
func (r *Rules) almostNumeric(digits string) string {
	if len(digits) < 2 {
		return ""
	}
	rules := r.numeric[int(digits[0]-'0')*10+int(digits[1]-'0')]
	for i := range rules {
		n := &rules[i]
		if !strings.HasPrefix(digits, n.prefix) {
			continue
		}
		lengths := strconv.Itoa(n.min)
		if n.max > n.min {
			lengths += " to " + strconv.Itoa(n.max)
		}
		return fmt.Sprintf(": codes of %s begin so and have %s, these are %d", n.matches[0].Scheme, lengths, len(digits))
	}
	return ": none begins so"
}

// matchCPM takes each application in carried order.
func (r *Rules) matchCPM(c *emv.CPM) []Match {
	var matches []Match
	for i := range c.Apps {
		for k := range r.aids {
			a := &r.aids[k]
			byFormat := a.Format != "" && a.Format == c.Format
			byAID := a.Format == "" && c.Format == emv.FormatCPV01 && bytes.HasPrefix(c.Apps[i].AID, a.prefix)
			if byFormat || byAID {
				if !listed(matches, a.Scheme) {
					matches = append(matches, Match{Scheme: a.Scheme, Rule: a.ID, Path: "61.4F", Note: a.Note})
				}
				break
			}
		}
	}
	return matches
}

// matchURL finds the rule for a URL and takes it apart. depth counts how often
// a wrapper was opened.
func (r *Rules) matchURL(text string, depth int) (*link.Link, *linkRule, *DecodeError) {
	if len(text) >= 6 && strings.EqualFold(text[:6], "upi://") {
		return r.matchUPI(text)
	}
	u, err := link.Split(text)
	if err != nil {
		return nil, nil, fromLink(err)
	}
	if u.Scheme == "http" {
		return nil, nil, &DecodeError{Format: FormatURL, Reason: ReasonNotHTTPS, Path: "scheme", Offset: 0, Message: "http where https is due"}
	}
	rules := r.links[u.Scheme+"://"+u.Host]
	if rules == nil {
		rules = r.links[u.Scheme+"://"]
	}
	if rules == nil {
		return nil, nil, &DecodeError{Format: FormatURL, Reason: ReasonUnknownHost, Path: "host", Offset: len(u.Scheme) + 3, Message: "a host that no rule names"}
	}
	for i := range rules {
		if l, ok := rules[i].open(u, text); ok {
			return r.unwrap(l, &rules[i], depth)
		}
	}
	return nil, nil, &DecodeError{Format: FormatURL, Reason: ReasonBadPath, Path: "path", Offset: -1, Message: "path or query is not a payment code's"}
}

func (r *Rules) matchUPI(text string) (*link.Link, *linkRule, *DecodeError) {
	rules := r.links["upi://"]
	if len(rules) == 0 {
		return nil, nil, fail(FormatURL, ReasonUnknownHost, "no rule for upi")
	}
	u, err := link.ParseUPI(text)
	if err != nil {
		return nil, nil, fromLink(err)
	}
	return &link.Link{URL: link.URL{Scheme: "upi", Host: "pay"}, Kind: rules[0].Kind, Token: u.Reference, UPI: &u}, &rules[0], nil
}

// open reports whether u has the form that the rule asks for.
func (k *linkRule) open(u link.URL, text string) (*link.Link, bool) {
	l := &link.Link{URL: u, Kind: k.Kind}
	if k.host != nil {
		if !k.host.MatchString(u.Host) {
			return nil, false
		}
		at := len(u.Scheme) + 3
		l.Token = text[at : at+len(u.Host)] // here the host is the token, and its case counts
	}
	if k.path != nil {
		sub := k.path.FindStringSubmatch(u.Path)
		if sub == nil {
			return nil, false
		}
		for i, name := range k.path.SubexpNames() {
			switch name {
			case "token":
				l.Token = sub[i]
			case "institution":
				l.Institution = sub[i]
			}
		}
	}
	for name, re := range k.query {
		if v, n := u.Param(name); n != 1 || !re.MatchString(v) {
			return nil, false
		}
	}
	if k.TokenParam != "" {
		l.Token, _ = u.Param(k.TokenParam)
	}
	return l, true
}

// unwrap opens the code inside an app link, once. The code inside has to
// belong to the same scheme.
func (r *Rules) unwrap(l *link.Link, k *linkRule, depth int) (*link.Link, *linkRule, *DecodeError) {
	if k.Wraps == "" {
		return l, k, nil
	}
	wrapped := &DecodeError{Format: FormatURL, Reason: link.ReasonWrappedCode, Path: k.Wraps, Offset: -1, Message: "the code inside is not one that may stand there"}
	v, n := l.URL.Param(k.Wraps)
	if n == 0 || v == "" {
		return nil, nil, &DecodeError{Format: FormatURL, Reason: link.ReasonNothingWrapped, Path: k.Wraps, Offset: -1, Message: "an app link without a code inside"}
	}
	inner, err := link.Unescape(v)
	if err != nil {
		return nil, nil, fromLink(err)
	}
	if n > 1 || depth >= maxUnwrap || !strings.Contains(inner, "://") {
		return nil, nil, wrapped
	}
	il, ik, derr := r.matchURL(inner, depth+1)
	if derr != nil || ik.Scheme != k.Scheme || ik.NotPayable {
		return nil, nil, wrapped
	}
	l.Inner, l.Token = il, il.Token
	return l, k, nil
}

// notPayable recognises by their first characters the codes that are none of
// ours.
func (r *Rules) notPayable(text string) (Code, bool) {
	for i := range r.refusals {
		for _, p := range r.refusals[i].Prefixes {
			if strings.HasPrefix(text, p) {
				return r.refused(text, &r.refusals[i]), true
			}
		}
	}
	return Code{}, false
}

func (r *Rules) refused(text string, n *NotPayableRule) Code {
	return Code{Format: FormatNotPayable, Raw: text, Matches: []Match{{Scheme: n.Scheme, Rule: n.ID, Path: "prefix", Note: n.Note}}}
}

// slip recognises the slip of a payment already made: EMVCo-like objects whose
// CRC stands in another ID than 63, right at the end.
func (r *Rules) slip(text string) (Code, bool) {
	if len(text) < 12 {
		return Code{}, false
	}
	for i := range r.refusals {
		n := &r.refusals[i]
		if n.TLVCheck == "" || text[len(text)-8:len(text)-6] != n.TLVCheck || text[len(text)-6:len(text)-4] != "04" {
			continue
		}
		objects, err := tlv.Parse(text)
		if err != nil || len(objects) == 0 || objects[len(objects)-1].ID != n.TLVCheck {
			continue
		}
		if _, payment := tlv.Find(objects, "63"); !payment {
			return r.refused(text, n), true
		}
	}
	return Code{}, false
}

// gs1 recognises a GS1 Digital Link: https, any host, a primary key and a value
// with a right check digit. It names an item, not an account.
func (r *Rules) gs1(text string) (Code, bool) {
	u, err := link.Split(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return Code{}, false
	}
	if r.links["https://"+u.Host] != nil {
		return Code{}, false
	}
	for i := range r.refusals {
		if n := &r.refusals[i]; n.GS1 != nil && hasGS1Key(u.Path, n.GS1) {
			return r.refused(text, n), true
		}
	}
	return Code{}, false
}

func hasGS1Key(path string, keys map[string][]int) bool {
	parts := strings.Split(path, "/")
	for i := 0; i+1 < len(parts); i++ {
		lengths, ok := keys[parts[i]]
		value := parts[i+1]
		if !ok || value == "" {
			continue
		}
		if len(lengths) == 0 {
			return true
		}
		for _, n := range lengths {
			if len(value) == n && gs1Check(value) {
				return true
			}
		}
	}
	return false
}

// gs1Check verifies a GS1 modulo-10 check digit: weights 3 and 1 from the right.
func gs1Check(s string) bool {
	sum := 0
	for i := 0; i < len(s); i++ {
		d := int(s[len(s)-1-i]) - '0'
		if d < 0 || d > 9 {
			return false
		}
		if i%2 == 1 {
			d *= 3
		}
		sum += d
	}
	return sum%10 == 0
}
