package emv

import (
	"strings"
	"unicode/utf8"

	"github.com/tongma/tongma/codespec/tlv"
)

// fieldRule is one line of EMVCo MPM table 3.5 or 3.7: how long a field may be
// and what it is made of.
type fieldRule struct {
	id    string
	max   int
	exact bool // exactly max characters
	alpha alphabet
}

type alphabet uint8

const (
	anyText alphabet = iota
	digits
	ans // the 96 printable ASCII characters (EMV Book 4 Annex B)
)

var rootRules = []fieldRule{
	{id: "52", max: 4, exact: true, alpha: digits},
	{id: "53", max: 3, exact: true, alpha: digits},
	{id: "54", max: 13},
	{id: "55", max: 2, exact: true},
	{id: "56", max: 13},
	{id: "57", max: 5},
	{id: "58", max: 2, exact: true},
	{id: "59", max: 25, alpha: ans},
	{id: "60", max: 15, alpha: ans},
	{id: "61", max: 10},
}

var additionalRules = []fieldRule{
	{id: "01", max: 25}, {id: "02", max: 25}, {id: "03", max: 25}, {id: "04", max: 25},
	{id: "05", max: 25}, {id: "06", max: 25}, {id: "07", max: 25}, {id: "08", max: 25},
	{id: "09", max: 3}, {id: "10", max: 20}, {id: "11", max: 3},
}

var languageRules = []fieldRule{
	{id: "00", max: 2, exact: true}, {id: "01", max: 25}, {id: "02", max: 15},
}

var mandatory = [...][2]string{
	{"52", "missing-52"}, {"53", "missing-53"}, {"58", "missing-58"}, {"59", "missing-59"}, {"60", "missing-60"},
}

// findings collects what the specification forbids a generator to do.
type findings struct{ list []Finding }

func (f *findings) add(path, kind, message string) {
	f.list = append(f.list, Finding{Path: path, Kind: kind, Message: message})
}

// Findings lists where the code departs from EMVCo MPM, in the order of the
// specification. An empty list means that a strict reader would accept it.
func (m *MPM) Findings() []Finding {
	var f findings
	m.checkHead(&f)
	for _, o := range mandatory {
		if !m.Has(o[0]) {
			f.add(o[0], o[1], "mandatory object is absent")
		}
	}
	if len(m.Accounts) == 0 {
		f.add("", "missing-merchant-account", "no merchant account in 02-51")
	}
	m.checkRoot(&f)
	m.checkMoney(&f)
	m.checkTemplates(&f)
	m.checkAdditional(&f)
	m.checkLanguage(&f)
	m.checkWhole(&f)
	return f.list
}

func (m *MPM) checkHead(f *findings) {
	if v := m.Get("00"); v != "01" {
		f.add("00", "pfi-not-01:"+short(v), "payload format indicator is not 01")
	}
	if v, ok := m.Root("01"); ok && v != "11" && v != "12" {
		f.add("01", "poi-rfu:"+short(v), "point of initiation is neither 11 nor 12")
	}
}

// checkRoot looks at length and alphabet of 52-61, at empty objects, and at
// IDs reserved for later use.
func (m *MPM) checkRoot(f *findings) {
	for i := range m.Objects {
		o := &m.Objects[i]
		if o.Value == "" {
			f.add(o.ID, "zero-length-"+o.ID, "length 00 is not allowed")
		}
		if n := o.ID; n >= "65" && n <= "79" {
			f.add(n, "rfu-id-"+n, "ID is reserved for future use")
		}
	}
	for i := range rootRules {
		if v, ok := m.Root(rootRules[i].id); ok {
			rootRules[i].check(f, "", v)
		}
	}
}

func (r *fieldRule) check(f *findings, parent, v string) {
	if v == "" {
		return
	}
	n := len(v)
	if n > r.max { // bytes: an upper bound of characters
		n = utf8.RuneCountInString(v)
	}
	if n > r.max {
		path := parent + r.id
		f.add(path, "too-long-"+path, "value is longer than the field allows")
	} else if r.exact && n < r.max {
		path := parent + r.id
		f.add(path, "too-short-"+path, "value is shorter than the field demands")
	}
	if r.alpha == digits && !allDigits(v) {
		path := parent + r.id
		f.add(path, "not-numeric-"+path, "value is not all digits")
	} else if r.alpha == ans && !isANS(v) {
		path := parent + r.id
		f.add(path, "not-ans-"+path, "value has characters outside the common set; 64 is the place for them")
	}
}

// checkMoney applies the rules of 54-58 to each other.
func (m *MPM) checkMoney(f *findings) {
	if v, ok := m.Root("54"); ok && v != "" {
		checkAmount(f, "54", "amount-zero", v)
	}
	tip, fixed, percent := m.Get("55"), m.Has("56"), m.Has("57")
	if m.Has("55") && tip != "01" && tip != "02" && tip != "03" {
		f.add("55", "55-rfu", "tip indicator is not 01, 02 or 03")
	}
	if fixed != (tip == "02") {
		f.add("56", "56-presence", "56 goes with 55 = 02 and only with it")
	}
	if percent != (tip == "03") {
		f.add("57", "57-presence", "57 goes with 55 = 03 and only with it")
	}
	if v, ok := m.Root("56"); ok && v != "" {
		checkAmount(f, "56", "56-zero", v)
	}
	if v, ok := m.Root("57"); ok && v != "" && !decimal(v) {
		f.add("57", "57-format", "not a decimal percentage")
	}
	if v, ok := m.Root("58"); ok && len(v) == 2 && !(upper(v[0]) && upper(v[1])) {
		f.add("58", "58-format", "country is not two capital letters")
	}
}

func checkAmount(f *findings, path, zeroKind, v string) {
	switch {
	case !decimal(v):
		f.add(path, path+"-format", "not digits with at most one point")
	case strings.Trim(v, "0.") == "":
		f.add(path, zeroKind, "amount is zero")
	}
}

func (m *MPM) checkTemplates(f *findings) {
	for i := range m.Accounts {
		if t := &m.Accounts[i]; class(t.ID) == classAccount {
			checkTemplate(f, t, "template-")
		}
	}
	for i := range m.Unreserved {
		checkTemplate(f, &m.Unreserved[i], "unreserved-")
	}
}

func checkTemplate(f *findings, t *Template, prefix string) {
	switch {
	case !t.IsTLV && prefix == "template-":
		f.add(t.ID, prefix+t.ID+"-not-tlv", "value is not TLV; kept as an opaque token")
	case !t.HasGUID:
		f.add(t.ID, prefix+t.ID+"-no-guid", "template has no GUID; kept as an opaque token")
	case t.GUID == "":
		f.add(t.ID, prefix+t.ID+"-empty-guid", "GUID is empty")
	case len(t.GUID) > 32:
		f.add(t.ID, prefix+t.ID+"-guid-too-long", "GUID is longer than 32 characters")
	}
	checkTwice(f, t.ID, t.Sub)
}

func checkTwice(f *findings, parent string, sub []tlv.Object) {
	for i := range sub {
		for j := range sub[:i] {
			if sub[i].ID == sub[j].ID {
				path := parent + "." + sub[i].ID
				f.add(path, "duplicate-"+path, "ID stands twice in one template")
				break
			}
		}
	}
}

func (m *MPM) checkAdditional(f *findings) {
	if m.Has("62") && len(m.Additional) == 0 {
		f.add("62", "62-empty", "template has no object")
	}
	for i := range m.Additional {
		o := &m.Additional[i]
		if o.Value == "" {
			f.add("62."+o.ID, "zero-length-62."+o.ID, "length 00 is not allowed")
			continue
		}
		for k := range additionalRules {
			if additionalRules[k].id == o.ID {
				additionalRules[k].check(f, "62.", o.Value)
			}
		}
	}
	checkTwice(f, "62", m.Additional)
}

func (m *MPM) checkLanguage(f *findings) {
	if !m.Has("64") {
		return
	}
	for _, id := range [2]string{"00", "01"} {
		if _, ok := tlv.Find(m.Language, id); !ok {
			f.add("64."+id, "missing-64."+id, "mandatory object of the language template is absent")
		}
	}
	for i := range languageRules {
		if v, ok := tlv.Find(m.Language, languageRules[i].id); ok {
			languageRules[i].check(f, "64.", v)
		}
	}
	checkTwice(f, "64", m.Language)
}

func (m *MPM) checkWhole(f *findings) {
	if m.lower {
		f.add("63", "crc-lower-case", "CRC is written in lower case")
	}
	if m.size > 512 {
		f.add("", "payload-too-long", "code is longer than 512 characters")
	}
	if !m.utf8 {
		f.add("", "not-utf8", "code is not valid UTF-8")
	}
}

// short bounds what goes into a kind: two characters of an indicator.
func short(v string) string {
	if len(v) > 2 || !isANS(v) {
		return "other"
	}
	return v
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return true
}

func isANS(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7E {
			return false
		}
	}
	return true
}

// decimal reports whether s is digits with at most one point and at least one
// digit before it (EMVCo MPM 4.7.9).
func decimal(s string) bool {
	point := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i]-'0' <= 9:
		case s[i] == '.' && i > 0 && !point:
			point = true
		default:
			return false
		}
	}
	return s != ""
}

func upper(c byte) bool { return c >= 'A' && c <= 'Z' }
