// Package link takes apart the payment codes that are URLs. It splits the raw
// string itself and refuses every spelling that two readers could understand
// differently - userinfo, ports, escapes and foreign letters in a host, control
// characters - so that a host can then be compared for equality.
package link

import (
	"strings"
)

// Reasons why a URL is refused. They are a closed list, safe to log.
const (
	ReasonBadURL         = "bad-url"         // not scheme://authority…, or characters that a URL may not hold
	ReasonUserinfo       = "userinfo"        // an @ in the authority
	ReasonPort           = "port"            // a port in the authority
	ReasonBadHost        = "bad-host"        // the host has characters other than letters, digits, hyphen and dot
	ReasonBadEscape      = "bad-escape"      // a percent sign without two hex digits
	ReasonUPIAction      = "upi-action"      // upi: with something other than pay
	ReasonUPIDuplicate   = "upi-duplicate"   // a parameter stands twice
	ReasonUPIPayee       = "upi-payee"       // pa is missing, or not name@handle
	ReasonUPIAmount      = "upi-amount"      // am or mam is not a positive decimal with at most two decimals
	ReasonUPICurrency    = "upi-currency"    // cu is not INR
	ReasonNothingWrapped = "nothing-wrapped" // an app link without a code inside
	ReasonWrappedCode    = "wrapped-code"    // the code inside an app link is not one that may stand there
)

// Error says why a URL is refused. Its text holds no part of the code.
type Error struct {
	Reason  string
	Path    string // "scheme", "host", "path", a parameter's name, or ""
	Offset  int    // character offset, -1 unknown
	Message string
}

// Error gives the reason in words.
func (e *Error) Error() string { return "link: " + e.Message }

// URL is a raw URL cut at its separators. Scheme and Host are in lower case;
// nothing is unescaped.
type URL struct {
	Scheme string
	Host   string
	Path   string // with its leading slash, "" if absent
	Query  string // without the question mark
}

// Split cuts raw at its separators. For https and http the host must be plain
// letters, digits, hyphens and dots, without userinfo, port, final dot or
// empty label; for other schemes the host is whatever stands there, within the
// same alphabet widened by underscore.
func Split(raw string) (URL, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || !isScheme(scheme) {
		return URL{}, &Error{ReasonBadURL, "scheme", 0, "not scheme://"}
	}
	at := len(scheme) + 3
	for i := 0; i < len(rest); i++ {
		if c := rest[i]; c <= ' ' || c >= 0x7F || c == '\\' || c == '"' || c == '<' || c == '>' || c == '`' {
			return URL{}, &Error{ReasonBadURL, "", at + i, "a character that a URL may not hold"}
		}
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	host, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	u := URL{Scheme: strings.ToLower(scheme), Host: strings.ToLower(host), Path: path, Query: query}
	return u, checkHost(u, at)
}

func isScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if !(c >= 'a' && c <= 'z') && !(i > 0 && (s[i]-'0' <= 9 || s[i] == '+' || s[i] == '-' || s[i] == '.')) {
			return false
		}
	}
	return s != ""
}

func checkHost(u URL, at int) error {
	web := u.Scheme == "https" || u.Scheme == "http"
	switch {
	case strings.IndexByte(u.Host, '@') >= 0:
		return &Error{ReasonUserinfo, "host", at, "userinfo before the host"}
	case strings.IndexByte(u.Host, ':') >= 0:
		return &Error{ReasonPort, "host", at, "port behind the host"}
	}
	for i := 0; i < len(u.Host); i++ {
		c := u.Host[i]
		plain := c >= 'a' && c <= 'z' || c-'0' <= 9 || c == '-' || c == '.' && web || c == '_' && !web
		if !plain {
			return &Error{ReasonBadHost, "host", at + i, "a character that a host may not hold"}
		}
	}
	if web && (u.Host == "" || u.Host[0] == '.' || u.Host[len(u.Host)-1] == '.' || strings.Contains(u.Host, "..")) {
		return &Error{ReasonBadHost, "host", at, "an empty label in the host"}
	}
	return nil
}

// Param returns the raw value of a query parameter. If it stands more than
// once, count says so and value is the first.
func (u URL) Param(name string) (value string, count int) {
	for q := u.Query; q != ""; {
		var pair string
		pair, q, _ = strings.Cut(q, "&")
		k, v, _ := strings.Cut(pair, "=")
		if k == name {
			if count == 0 {
				value = v
			}
			count++
		}
	}
	return value, count
}

// Unescape undoes percent escapes once. A plus sign stays a plus sign.
func Unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", &Error{ReasonBadEscape, "", i, "percent sign without two hex digits"}
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi > 15 || lo > 15 {
			return "", &Error{ReasonBadEscape, "", i, "percent sign without two hex digits"}
		}
		b = append(b, hi<<4|lo)
		i += 2
	}
	return string(b), nil
}

func unhex(c byte) byte {
	switch {
	case c-'0' <= 9:
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xFF
}

// Link is a payment code that is a URL and whose issuer is known.
type Link struct {
	URL         URL
	Kind        string // "order", "receive-code", "merchant-static", "deep-link", "pay", …: from the rule
	Institution string // UnionPay: eight digits of the institution, else ""
	Token       string // the part that names the order or the merchant, "" if the form has none
	UPI         *UPI   // upi: only
	Inner       *Link  // the code that an app link wraps
}
