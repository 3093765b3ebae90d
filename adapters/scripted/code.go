package scripted

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tongma/tongma"
)

// Style is how a code looks: whose scheme it belongs to.
type Style uint8

const (
	WeChat   Style = iota + 1 // 18 digits: 13 oo ssssssssssssss
	Alipay                    // 18 digits: 28 oo ssssssssssssss
	UnionPay                  // 19 digits: 62 oo sssssssssssssss
	Unified                   // 20 digits: 77 iiii oo ssssssssss cc
	CPM                       // EMVCo CPM in Base64; its track 2 begins with the UnionPay digits
	AlipayHK                  // 18 digits: 2819 oo ssssssssssss; 281 may be of either Alipay
)

// String returns the style's name.
func (s Style) String() string {
	if int(s) < len(styles) {
		return styles[s].name
	}
	return ""
}

// styles say where everything stands: o is the outcome, s the serial, i the
// issuer and c the check digits.
var styles = [...]struct {
	name    string
	prefix  string // of the digits
	issuer  int    // digits of the issuer behind the prefix
	serial  int    // digits of the serial
	checked bool   // two check digits at the end
}{
	WeChat:   {"wechatpay", "13", 0, 14, false},
	Alipay:   {"alipay", "28", 0, 14, false},
	UnionPay: {"unionpay", "62", 0, 15, false},
	Unified:  {"unified", "77", 4, 10, true},
	CPM:      {"cpm", "62", 0, 15, false},
	AlipayHK: {"alipayhk", "2819", 0, 12, false},
}

// Code makes a payer's code that tells the wallet what to do. The serial makes it
// one-time: a style and a serial give one code. issuer is four digits for Unified,
// an application id in hexadecimal for CPM ("" is UnionPay debit), and nothing for
// the others, whose codes do not name one.
func Code(style Style, issuer string, o Outcome, serial uint64) (string, error) {
	if int(style) >= len(styles) || style == 0 {
		return "", codeError("no such style")
	}
	f := styles[style]
	text := fmt.Sprintf("%0*d", f.serial, serial)
	if len(text) > f.serial {
		return "", codeError(fmt.Sprintf("the serial has more than %d digits", f.serial))
	}
	if o > 99 {
		return "", codeError("no such outcome")
	}
	if style == CPM {
		return cpm(issuer, f.prefix+fmt.Sprintf("%02d", o)+text)
	}
	if len(issuer) != f.issuer && f.issuer > 0 || !digits(issuer) {
		return "", codeError(fmt.Sprintf("an issuer of %d digits is needed", f.issuer))
	}
	body := f.prefix + issuer[:f.issuer] + fmt.Sprintf("%02d", o) + text
	if f.checked {
		body += fmt.Sprintf("%02d", 98-mod97(body+"00"))
	}
	return body, nil
}

func codeError(detail string) error {
	return &tongma.Error{Op: "scripted.Code", Reason: tongma.FieldInvalid, Detail: detail}
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// mod97 is the remainder that ISO 7064 MOD 97-10 checks.
func mod97(s string) (r int) {
	for i := range len(s) {
		r = (r*10 + int(s[i]-'0')) % 97
	}
	return r
}

const unionPayDebit = "A000000333010101"

// cpm wraps the digits of a payment into EMVCo CPM: the payload format, and one
// application template with its id and a track 2.
func cpm(aid, pan string) (string, error) {
	if aid == "" {
		aid = unionPayDebit
	}
	id, err := hex.DecodeString(aid)
	if err != nil || len(id) < 5 || len(id) > 16 {
		return "", codeError("an application id of 5 to 16 bytes is needed")
	}
	track := pan + "D4912201"
	if len(track)%2 == 1 {
		track += "F"
	}
	t2, err := hex.DecodeString(track)
	if err != nil {
		return "", codeError("digits are needed")
	}
	app := append([]byte{0x4f, byte(len(id))}, id...)
	app = append(append(app, 0x57, byte(len(t2))), t2...)
	out := append([]byte{0x85, 5}, "CPV01"...)
	out = append(append(out, 0x61, byte(len(app))), app...)
	return base64.StdEncoding.EncodeToString(out), nil
}

// OutcomeOf reads what a code tells the wallet: None if it is of no style that
// Code makes, or its check digits are wrong, or it tells nothing.
func OutcomeOf(code string) Outcome {
	style, payload := split(code)
	if style == 0 {
		return None
	}
	f := styles[style]
	if f.checked && mod97(payload) != 1 {
		return None
	}
	at := len(f.prefix) + f.issuer
	o := Outcome(payload[at]-'0')*10 + Outcome(payload[at+1]-'0')
	if outcomeNames[o] == "" {
		return None
	}
	return o
}

// StyleOf tells how a code looks; zero if like none that Code makes.
func StyleOf(code string) Style {
	style, _ := split(code)
	return style
}

// split returns a code's style and its digits.
func split(code string) (Style, string) {
	if strings.HasPrefix(code, "hQVDUFYwMW") {
		if track := track2(code); len(track) == 19 && digits(track) {
			return CPM, track
		}
		return 0, ""
	}
	for _, s := range [...]Style{AlipayHK, WeChat, Alipay, UnionPay, Unified} {
		f := styles[s]
		n := len(f.prefix) + f.issuer + 2 + f.serial
		if f.checked {
			n += 2
		}
		if len(code) == n && strings.HasPrefix(code, f.prefix) && digits(code) {
			return s, code
		}
	}
	return 0, ""
}

// track2 returns the digits before the separator of a CPM code's track 2, or "".
// Only templates with one-byte tags and lengths are read, as Code makes them.
func track2(code string) string {
	raw, err := base64.StdEncoding.DecodeString(code)
	if err != nil || len(raw) < 9 || len(raw) > tongma.MaxCode {
		return ""
	}
	app := field(raw, 0x61)
	track, _, _ := strings.Cut(hex.EncodeToString(field(app, 0x57)), "d")
	return track
}

func field(b []byte, tag byte) []byte {
	for len(b) >= 2 {
		n := int(b[1])
		if n > 0x7f || len(b) < 2+n {
			return nil
		}
		if b[0] == tag {
			return b[2 : 2+n]
		}
		b = b[2+n:]
	}
	return nil
}
