package link

import (
	"strings"
)

// UPI is a upi://pay request. Values are unescaped, except Sign and Signed,
// which must stay as carried: the signature covers the raw text.
type UPI struct {
	Payee       string // pa: name@handle
	PayeeName   string // pn
	MCC         string // mc
	Reference   string // tr
	Note        string // tn
	Amount      string // am, "" if the payer types it
	MinAmount   string // mam
	Currency    string // cu, "INR" or ""
	Mode        string // mode
	Purpose     string // purpose
	OrgID       string // orgid: whose key signed
	Sign        string // sign, raw
	Signed      string // what the signature covers: everything before "&sign="
	ZeroAmount  bool   // am is present and zero
	NonASCII    bool   // the text has characters that should have been escaped
	OtherParams int    // parameters beyond the ones above
}

// HasSignature reports whether the code carries a signature. It says nothing
// about the signature being good.
func (u *UPI) HasSignature() bool { return u.Sign != "" }

// ParseUPI reads upi://pay?… from the raw string, because unescaping first
// would change what the signature covers. pa must be name@handle, am a decimal
// without sign and with at most two decimals, cu INR; a parameter may stand once.
func ParseUPI(raw string) (UPI, error) {
	const head = "upi://"
	if len(raw) < len(head) || !strings.EqualFold(raw[:len(head)], head) {
		return UPI{}, &Error{ReasonBadURL, "scheme", 0, "not upi://"}
	}
	action, query, _ := strings.Cut(raw[len(head):], "?")
	if !strings.EqualFold(strings.TrimSuffix(action, "/"), "pay") {
		return UPI{}, &Error{ReasonUPIAction, "", len(head), "action is not pay"}
	}
	var u UPI
	if i := strings.Index(query, "&sign="); i >= 0 {
		u.Signed = raw[:len(raw)-len(query)+i]
	}
	if err := u.params(query); err != nil {
		return UPI{}, err
	}
	err := u.check()
	return u, err
}

func (u *UPI) params(query string) error {
	seen := make(map[string]bool, 12)
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, raw, _ := strings.Cut(pair, "=")
		for i := 0; i < len(pair); i++ {
			if pair[i] < ' ' || pair[i] == 0x7F {
				return &Error{ReasonBadURL, "", -1, "control character in the query"}
			}
			u.NonASCII = u.NonASCII || pair[i] > 0x7F
		}
		if name == "" && raw == "" {
			continue
		}
		if seen[name] {
			return &Error{ReasonUPIDuplicate, "", -1, "a parameter stands twice"}
		}
		seen[name] = true
		if name == "sign" {
			u.Sign = raw
			continue
		}
		value, err := Unescape(raw)
		if err != nil {
			return err
		}
		if field := u.field(name); field != nil {
			*field = value
		} else {
			u.OtherParams++
		}
	}
	u.PayeeName = strings.ReplaceAll(u.PayeeName, "+", " ")
	u.Note = strings.ReplaceAll(u.Note, "+", " ")
	return nil
}

func (u *UPI) field(name string) *string {
	switch name {
	case "pa":
		return &u.Payee
	case "pn":
		return &u.PayeeName
	case "mc":
		return &u.MCC
	case "tr":
		return &u.Reference
	case "tn":
		return &u.Note
	case "am":
		return &u.Amount
	case "mam":
		return &u.MinAmount
	case "cu":
		return &u.Currency
	case "mode":
		return &u.Mode
	case "purpose":
		return &u.Purpose
	case "orgid":
		return &u.OrgID
	}
	return nil
}

func (u *UPI) check() error {
	if !isVPA(u.Payee) {
		return &Error{ReasonUPIPayee, "pa", -1, "payee is missing or not name@handle"}
	}
	for _, a := range [2][2]string{{"am", u.Amount}, {"mam", u.MinAmount}} {
		if a[1] != "" && !isAmount(a[1]) && !(a[0] == "mam" && strings.EqualFold(a[1], "null")) {
			return &Error{ReasonUPIAmount, a[0], -1, "amount is not a decimal with at most two decimals"}
		}
	}
	if u.Currency != "" && !strings.EqualFold(u.Currency, "INR") {
		return &Error{ReasonUPICurrency, "cu", -1, "currency is not INR"}
	}
	u.ZeroAmount = u.Amount != "" && strings.Trim(u.Amount, "0.") == ""
	return nil
}

// isVPA reports whether s is a virtual payment address: name@handle.
func isVPA(s string) bool {
	name, handle, ok := strings.Cut(s, "@")
	if !ok || name == "" || handle == "" || len(s) > 255 {
		return false
	}
	return isWord(name) && isWord(handle) && handle[0] != '.' && handle[0] != '-'
}

func isWord(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c-'0' <= 9 || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

func isAmount(s string) bool {
	whole, frac, point := strings.Cut(s, ".")
	if whole == "" || len(whole) > 12 || point && (frac == "" || len(frac) > 2) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '.' && s[i]-'0' > 9 {
			return false
		}
	}
	return strings.Count(s, ".") <= 1
}
