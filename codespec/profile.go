package codespec

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/tlv"
)

// Profile is what one scheme asks of a merchant code, beyond EMVCo. What it
// finds is a finding, never an error: the clearing decides what to refuse.
type Profile struct {
	Scheme     string   `json:"scheme"`
	Country    string   `json:"country,omitempty"`    // what 58 should be
	Currencies []string `json:"currencies,omitempty"` // what 53 should be one of
	Checks     []Check  `json:"checks,omitempty"`
}

// Check is one line of a profile. At names the field: "01" a sub-object of the
// matched account, "01.00" one inside it, "" the whole value, "/62.05" from the
// root. AnyOf asks for one of several fields instead.
type Check struct {
	IDs      string   `json:"ids,omitempty"`  // only for accounts with these IDs
	When     string   `json:"when,omitempty"` // "dynamic" or "currency:840"
	At       string   `json:"at,omitempty"`
	AnyOf    []string `json:"any_of,omitempty"`
	Required bool     `json:"required,omitempty"`
	Absent   bool     `json:"absent,omitempty"` // must not be there
	Form     string   `json:"form,omitempty"`
	Prefix   string   `json:"prefix,omitempty"`
	In       []string `json:"in,omitempty"`
	Pattern  string   `json:"pattern,omitempty"`
	Says     string   `json:"says,omitempty"`
}

type profile struct {
	Profile
	checks []check
}

type check struct {
	Check
	lo, hi uint8
	re     *regexp.Regexp
	form   form
}

// form is a length range and an alphabet: "n13" digits, "n18..19", "an1..24"
// letters and digits, "x1..25" any characters.
type form struct {
	alpha    string
	min, max int
}

func parseForm(c *compiler, rule, s string) form {
	if s == "" {
		return form{}
	}
	alpha := strings.TrimRight(s, "0123456789.")
	lo, hi, ranged := strings.Cut(s[len(alpha):], "..")
	if !ranged {
		hi = lo
	}
	from, err1 := strconv.Atoi(lo)
	to, err2 := strconv.Atoi(hi)
	if err1 != nil || err2 != nil || from > to || alpha != "n" && alpha != "an" && alpha != "x" {
		c.fail(rule, "form %q is not n, an or x with a length", s)
	}
	return form{alpha, from, to}
}

func (f form) fits(s string) bool {
	n := len(s)
	if f.alpha == "x" {
		n = utf8.RuneCountInString(s)
	}
	if n < f.min || n > f.max {
		return false
	}
	for i := 0; i < len(s) && f.alpha != "x"; i++ {
		letter := s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z' && f.alpha == "an"
		if s[i]-'0' > 9 && !letter {
			return false
		}
	}
	return true
}

func (r *Rules) compileProfiles(c *compiler, profiles []Profile) {
	r.profiles = map[string]*profile{}
	for _, p := range profiles {
		name := "profile " + p.Scheme
		if p.Scheme == "" || r.profiles[p.Scheme] != nil {
			c.fail(name, "without scheme, or twice")
		}
		compiled := &profile{Profile: p}
		for _, k := range p.Checks {
			lo, hi := uint8(2), uint8(99)
			if k.IDs != "" {
				lo, hi = idRange(c, name, k.IDs)
			}
			if k.When != "" && k.When != "dynamic" && !strings.HasPrefix(k.When, "currency:") {
				c.fail(name, "condition %q is not known", k.When)
			}
			compiled.checks = append(compiled.checks, check{k, lo, hi, c.regexp(name, k.Pattern), parseForm(c, name, k.Form)})
		}
		r.profiles[p.Scheme] = compiled
	}
}

// profileFindings appends what the profiles of the matched schemes find. taken
// is what matchMPM returned beside the matches.
func (r *Rules) profileFindings(m *emv.MPM, matches []Match, taken []int16, f []Finding) []Finding {
	for i := range matches {
		p := r.profiles[matches[i].Scheme]
		if p == nil {
			continue
		}
		f = p.head(m, f)
		for k := range p.checks {
			if k := &p.checks[k]; k.applies(m) {
				f = r.runCheck(m, p, k, taken, f)
			}
		}
	}
	return f
}

func (p *profile) head(m *emv.MPM, f []Finding) []Finding {
	if v := m.Country(); v != "" && p.Country != "" && !strings.EqualFold(v, p.Country) {
		f = append(f, Finding{Path: "58", Kind: p.Scheme + "-country", Message: "country is not the scheme's"})
	}
	if v := m.Currency(); v != "" && len(p.Currencies) > 0 && !contains(p.Currencies, v) {
		f = append(f, Finding{Path: "53", Kind: p.Scheme + "-currency", Message: "currency is not one of the scheme's"})
	}
	return f
}

func (k *check) applies(m *emv.MPM) bool {
	switch {
	case k.When == "":
		return true
	case k.When == "dynamic":
		return m.Dynamic()
	}
	return m.Currency() == strings.TrimPrefix(k.When, "currency:")
}

// runCheck applies one check: from the root once, else to every account that
// took one of the scheme's rules.
func (r *Rules) runCheck(m *emv.MPM, p *profile, k *check, taken []int16, f []Finding) []Finding {
	if strings.HasPrefix(k.At, "/") {
		v, ok := rootField(m, k.At[1:])
		return k.judge(f, p.Scheme, k.At[1:], v, ok)
	}
	for i, rule := range taken {
		if rule < 0 || r.mpm[rule].Scheme != p.Scheme {
			continue
		}
		t := template(m, i)
		if id := idNumber(t.ID); id >= k.lo && id <= k.hi {
			f = k.account(m, f, p.Scheme, t)
		}
	}
	return f
}

// template returns object i of the accounts and then the unreserved templates.
func template(m *emv.MPM, i int) *emv.Template {
	if i < len(m.Accounts) {
		return &m.Accounts[i]
	}
	return &m.Unreserved[i-len(m.Accounts)]
}

func (k *check) account(m *emv.MPM, f []Finding, scheme string, t *emv.Template) []Finding {
	if k.AnyOf != nil {
		for _, at := range k.AnyOf {
			v, ok := "", false
			if strings.HasPrefix(at, "/") {
				v, ok = rootField(m, at[1:])
			} else {
				v, ok = t.Field(at)
			}
			if ok && v != "" {
				return f
			}
		}
		return append(f, Finding{Path: t.ID, Kind: scheme + "-" + t.ID + "-missing", Message: "none of the fields that could name the payee"})
	}
	if k.At == "" {
		return k.judge(f, scheme, t.ID, t.Value, true)
	}
	if !t.HasGUID {
		return f
	}
	v, ok := subField(t.Sub, k.At)
	if ok && !k.Absent && k.fits(v) || !ok && !k.Required {
		return f
	}
	return k.judge(f, scheme, t.ID+"."+k.At, v, ok)
}

func (k *check) judge(f []Finding, scheme, path, v string, ok bool) []Finding {
	switch {
	case ok && k.Absent:
		return append(f, Finding{Path: path, Kind: scheme + "-" + path + "-forbidden", Message: k.Says})
	case !ok && k.Required:
		return append(f, Finding{Path: path, Kind: scheme + "-" + path + "-missing", Message: k.Says})
	case ok && !k.fits(v):
		return append(f, Finding{Path: path, Kind: scheme + "-" + path + "-form", Message: k.Says})
	}
	return f
}

func (k *check) fits(v string) bool {
	return (k.Form == "" || k.form.fits(v)) && strings.HasPrefix(v, k.Prefix) &&
		(k.In == nil || contains(k.In, v)) && (k.re == nil || k.re.MatchString(v))
}

func rootField(m *emv.MPM, path string) (string, bool) {
	id, rest, nested := strings.Cut(path, ".")
	if !nested {
		return m.Root(id)
	}
	switch id {
	case "62":
		return tlv.Find(m.Additional, rest)
	case "64":
		return tlv.Find(m.Language, rest)
	}
	for i := range m.Unreserved {
		if m.Unreserved[i].ID == id {
			return m.Unreserved[i].Field(rest)
		}
	}
	return "", false
}

func subField(sub []tlv.Object, path string) (string, bool) {
	id, rest, nested := strings.Cut(path, ".")
	v, ok := tlv.Find(sub, id)
	if !ok || !nested {
		return v, ok
	}
	inner, err := tlv.Parse(v)
	if err != nil {
		return "", false
	}
	return tlv.Find(inner, rest)
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
