package iso20022

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxID is the length of Max35Text, which every identifier of ours has.
const maxID = 35

// idMarks are the characters besides letters and digits that any agent takes:
// the SWIFT set X without line ends.
const idMarks = "/-?:().,'+ "

// validID tells whether s may be sent as an identifier: 1 to 35 characters of
// the SWIFT set X, neither beginning nor ending with a slash or a space, and
// without two slashes in a row, since those delimit lines in older formats.
func validID(s string) bool {
	if len(s) == 0 || len(s) > maxID || strings.Trim(s, " /") != s || strings.Contains(s, "//") {
		return false
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && strings.IndexByte(idMarks, s[i]) < 0 {
			return false
		}
	}
	return true
}

func digit(c byte) bool        { return c >= '0' && c <= '9' }
func upper(c byte) bool        { return c >= 'A' && c <= 'Z' }
func alphanumeric(c byte) bool { return digit(c) || upper(c) || (c >= 'a' && c <= 'z') }

// validText tells whether s is 1 to limit printable characters without blanks at
// either end. Line ends, controls and invisible formatting are refused.
func validText(s string, limit int) bool {
	if s == "" || len(s) > 4*limit || !utf8.ValidString(s) || utf8.RuneCountInString(s) > limit || strings.TrimSpace(s) != s {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// validBIC tells whether s has the form of ISO 9362: four letters or digits,
// two letters of the country, two of the place and, or not, three of the branch.
func validBIC(s string) bool {
	if len(s) != 8 && len(s) != 11 {
		return false
	}
	for i := range len(s) {
		if !upper(s[i]) && (i == 4 || i == 5 || !digit(s[i])) {
			return false
		}
	}
	return true
}

// validIBAN tells whether s has the form of ISO 13616 and its check digits are
// right.
func validIBAN(s string) bool {
	if len(s) < 15 || len(s) > 34 || !upper(s[0]) || !upper(s[1]) || !digit(s[2]) || !digit(s[3]) {
		return false
	}
	rest := 0
	for i := range len(s) {
		switch c := s[(i+4)%len(s)]; {
		case digit(c):
			rest = (rest*10 + int(c-'0')) % 97
		case upper(c):
			rest = (rest*100 + int(c-'A') + 10) % 97
		default:
			return false
		}
	}
	return rest == 1
}

// ValidIBAN tells whether s has the form of ISO 13616 and right check digits.
func ValidIBAN(s string) bool { return validIBAN(s) }

// ValidAccount tells whether a may stand in a message: one of the two ids, of the
// form that it has to have.
func ValidAccount(a Account) bool {
	c := faults{}
	return c.account("", a, "") != nil && c.err == nil
}

// UETR returns the transaction reference of an instruction: a UUID in the form of
// version 4 that is a digest of its id, so that sending an instruction again
// sends the same reference.
func UETR(instruction string) string {
	sum := sha256.Sum256([]byte("tongma uetr 1\n" + instruction))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	x := hex.EncodeToString(u)
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// notProvided is what agents write into EndToEndId when there is none.
const notProvided = "NOTPROVIDED"

// about tells whether the references that came back are those of an instruction
// of ours: at least one is there, and none says otherwise.
func about(instruction, endToEnd, uetr string) bool {
	if endToEnd == notProvided {
		endToEnd = ""
	}
	return instruction != "" && endToEnd+uetr != "" && (endToEnd == "" || endToEnd == instruction) && (uetr == "" || uetr == UETR(instruction))
}

// validUETR tells whether s is a UUID of version 4 in lower case, as
// UUIDv4Identifier asks.
func validUETR(s string) bool {
	if len(s) != 36 || s[14] != '4' || strings.IndexByte("89ab", s[19]) < 0 {
		return false
	}
	for i := range len(s) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		if hyphen != (s[i] == '-') || (!hyphen && !digit(s[i]) && (s[i] < 'a' || s[i] > 'f')) {
			return false
		}
	}
	return true
}

// Date is a calendar day, such as a settlement date, in whatever zone the
// settlement agent lives. The zero Date is none.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// Valid tells whether the day exists, between the years 1970 and 2999.
func (d Date) Valid() bool {
	t := time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC)
	return d.Year >= 1970 && d.Year <= 2999 && DateOf(t) == d
}

// IsZero tells whether the date is none.
func (d Date) IsZero() bool { return d == Date{} }

// String returns "2026-11-23", or "" for none.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

// DateOf returns the day of t in t's own zone.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}

// ParseDate reads xs:date: "2026-11-23", with or without a zone behind it, which
// is dropped.
func ParseDate(s string) (Date, error) {
	c := faults{op: "iso20022.ParseDate"}
	if d, ok := parseDate(s); ok {
		return d, nil
	}
	c.fail(FaultDate, "", 0, "")
	return Date{}, c.err
}

func parseDate(s string) (Date, bool) {
	for _, layout := range [...]string{time.DateOnly, "2006-01-02Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			d := DateOf(t)
			return d, d.Valid()
		}
	}
	return Date{}, false
}

// parseTime reads xs:dateTime. A time without a zone is taken as UTC.
func parseTime(s string) (time.Time, bool) {
	if len(s) > len("2006-01-02T15:04:05.123456789+00:00") || strings.Contains(s, ",") {
		return time.Time{}, false
	}
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, DateOf(t).Valid()
		}
	}
	return time.Time{}, false
}

// stamp writes a time as ISODateTime: UTC, whole seconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
